package ormtest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// The site of docs/users-table.md, which quotes it.

const schema = `
CREATE TABLE users (
	id integer PRIMARY KEY,
	walkin_id blob UNIQUE REFERENCES walkin_users (id) ON DELETE CASCADE,
	name text NOT NULL CHECK (name <> ''),
	email text UNIQUE,
	password_hash text,
	CHECK ((email IS NULL) = (password_hash IS NULL))
);
CREATE TABLE notes (id integer PRIMARY KEY, user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE, body text NOT NULL);
CREATE TABLE tags (user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE, name text NOT NULL, UNIQUE (user_id, name));
CREATE TABLE likes (user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE, post_id integer NOT NULL, times integer NOT NULL,
	PRIMARY KEY (user_id, post_id));
`

type site struct {
	db *sql.DB
	wk *walkin.Middleware
}

func newSite(db *sql.DB, store store.Store, keys []walkin.Key) (*site, error) {
	s := &site{db: db}
	var err error
	s.wk, err = walkin.New(walkin.Config{
		Keys: keys, Store: store, Paths: walkin.Paths{Upgrade: "/sign-up", SignIn: "/sign-in"},
		Hooks:  walkin.Hooks{OnCreate: addRow, OnUpgrade: fillRow, OnMerge: mergeRows},
		Tokens: walkin.Tokens{AppClaims: s.number},
	})
	return s, err
}

// addRow is OnCreate: the one place that inserts.
func addRow(ctx context.Context, c walkin.Claims) error {
	tx, _ := sqlstore.Tx(ctx)
	_, err := tx.ExecContext(ctx, `INSERT INTO users (walkin_id, name) VALUES (?, 'Guest') ON CONFLICT DO NOTHING`, c.UserID[:])
	return err
}

// number is AppClaims: the token knows the row, and no handler has to look for it.
func (s *site) number(ctx context.Context, c walkin.Claims) (map[string]any, error) {
	var q interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	} = s.db
	if tx, ok := sqlstore.Tx(ctx); ok {
		q = tx
	}
	var id int64
	err := q.QueryRowContext(ctx, `SELECT id FROM users WHERE walkin_id = ?`, c.UserID[:]).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // a page of a visitor who has not written anything
	}
	return map[string]any{"user": id}, err
}

// userID returns the row of the visitor, or 0.
func userID(r *http.Request) int64 {
	c, _ := walkin.FromContext(r.Context())
	var app struct{ User int64 }
	if c.App == "" || json.Unmarshal([]byte(c.App), &app) != nil {
		return 0
	}
	return app.User
}

func (s *site) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /notes", s.wk.RequireUser()(http.HandlerFunc(s.addNote)))        // anonymous users too
	mux.Handle("POST /publish", s.wk.RequirePermanent()(http.HandlerFunc(s.publish))) // was requireLogin
	mux.HandleFunc("POST /sign-up", s.signUp)
	mux.HandleFunc("POST /sign-in", s.signIn)
	mux.Handle("POST /sign-out", s.wk.SignOutHandler())
	return s.wk.Handler(mux)
}

func (s *site) addNote(w http.ResponseWriter, r *http.Request) {
	if _, err := s.db.ExecContext(r.Context(), `INSERT INTO notes (user_id, body) VALUES (?, ?)`, userID(r), r.PostFormValue("body")); err != nil {
		http.Error(w, "the note was not saved", http.StatusInternalServerError)
	}
}

func (s *site) publish(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, userID(r)) }

// An account is what the sign-up form asks for.
type account struct{ name, email, hash string }

type accountKey struct{}

func (s *site) signUp(w http.ResponseWriter, r *http.Request) {
	if c, ok := walkin.FromContext(r.Context()); ok && !c.Anonymous {
		// They have an account. Continue would add this address to it.
		http.Redirect(w, r, "/account", http.StatusSeeOther)
		return
	}
	c, err := s.wk.Ensure(w, r) // from here on they have a row
	if err != nil {
		s.wk.Refuse(w, r, err)
		return
	}
	var number int64
	if err := s.db.QueryRowContext(r.Context(), `SELECT id FROM users WHERE walkin_id = ?`, c.UserID[:]).Scan(&number); err != nil {
		http.Error(w, "the account was not created", http.StatusInternalServerError)
		return
	}
	a := account{r.PostFormValue("name"), r.PostFormValue("email"), "hash of " + r.PostFormValue("password")}
	// The account is not stored here: the hook does it, in the transaction, and so it
	// stays only if Continue does not refuse.
	r = r.WithContext(context.WithValue(r.Context(), accountKey{}, a))
	s.goOn(w, r, proofOf(number, true))
}

// proofOf says that the visitor is the account with this number. It is not the address:
// who changes theirs would become another user, and who takes it next would become them.
func proofOf(number int64, chosen bool) walkin.Proof {
	return walkin.Proof{Provider: "account", Subject: strconv.FormatInt(number, 10), Method: "pwd", Chosen: chosen}
}

func (s *site) goOn(w http.ResponseWriter, r *http.Request, p walkin.Proof) {
	if _, err := s.wk.Continue(w, r, p); err != nil {
		s.wk.Refuse(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// fillRow is OnUpgrade: it updates the row that is there. An INSERT would be another
// number, and the notes would stay with the old one.
func fillRow(ctx context.Context, c walkin.Change) error {
	a, ok := ctx.Value(accountKey{}).(account)
	if !ok {
		return adoptRow(ctx, c)
	}
	tx, _ := sqlstore.Tx(ctx)
	var taken bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM users WHERE email = ?)`, a.email).Scan(&taken)
	if err != nil {
		return err
	}
	if taken {
		return store.ErrIdentityTaken
	}
	_, err = tx.ExecContext(ctx, `UPDATE users SET name = ?, email = ?, password_hash = ? WHERE walkin_id = ?`, a.name, a.email, a.hash, c.UserID[:])
	return err
}

// signIn checks the password as it always did.
func (s *site) signIn(w http.ResponseWriter, r *http.Request) {
	var number int64
	var hash string
	err := s.db.QueryRowContext(r.Context(), `SELECT id, password_hash FROM users WHERE email = ?`, r.PostFormValue("email")).Scan(&number, &hash)
	if err != nil || hash != "hash of "+r.PostFormValue("password") {
		http.Error(w, "wrong address or password", http.StatusUnauthorized)
		return
	}
	s.goOn(w, r, proofOf(number, false))
}

// adoptRow is for an account from before walkin, whose owner signs in for the first
// time: its row gets their user ID, and what they made before. Its number stays.
func adoptRow(ctx context.Context, c walkin.Change) error {
	tx, _ := sqlstore.Tx(ctx)
	var before, own int64
	err := tx.QueryRowContext(ctx, `SELECT g.id, o.id FROM users g, users o WHERE g.walkin_id = ? AND o.id = ? AND o.walkin_id IS NULL`,
		c.UserID[:], c.Identity.Subject).Scan(&before, &own)
	if err != nil {
		return err
	}
	if err := moveRows(ctx, tx, before, own); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM users WHERE id = ?`, before); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE users SET walkin_id = ? WHERE id = ?`, c.UserID[:], own)
	return err
}

// mergeRows is OnMerge. The anonymous user's row, with what is left of theirs, goes with the
// user: ON DELETE CASCADE.
func mergeRows(ctx context.Context, c walkin.Change) error {
	tx, _ := sqlstore.Tx(ctx)
	var before, own int64
	err := tx.QueryRowContext(ctx, `SELECT g.id, o.id FROM users g, users o WHERE g.walkin_id = ? AND o.walkin_id = ?`,
		c.AnonymousID[:], c.UserID[:]).Scan(&before, &own)
	if err != nil {
		return err
	}
	return moveRows(ctx, tx, before, own)
}

func moveRows(ctx context.Context, tx *sql.Tx, from, to int64) error {
	for _, statement := range []string{
		`UPDATE notes SET user_id = ?2 WHERE user_id = ?1`,
		// UNIQUE (user_id, name): an UPDATE would fail at the first tag that both have.
		`INSERT INTO tags (user_id, name) SELECT ?2, name FROM tags WHERE user_id = ?1 ON CONFLICT DO NOTHING`,
		// PRIMARY KEY (user_id, post_id): what both have becomes one.
		`INSERT INTO likes (user_id, post_id, times) SELECT ?2, post_id, times FROM likes WHERE user_id = ?1
			ON CONFLICT (user_id, post_id) DO UPDATE SET times = times + excluded.times`,
	} {
		if _, err := tx.ExecContext(ctx, statement, from, to); err != nil {
			return err
		}
	}
	return nil
}
