//go:build unix

package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A crash is what the child process is told: where the database is, whose
// browser it is, and before which call of the store it is to be killed.
type crash struct {
	Dialect     sqlstore.Dialect
	Driver, DSN string
	Cookie      string
	Subject     string
	Step        int64
}

const (
	crashEnv    = "WALKIN_TEST_CRASH"
	crashCookie = "__Host-walkin-anon"
)

// dying is a store whose process is killed before its nth call.
type dying struct {
	store.Store
	left atomic.Int64
}

func (d *dying) step() {
	if d.left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it arrives
	}
}

func (d *dying) InTx(ctx context.Context, fn func(context.Context) error) error {
	d.step()
	err := d.Store.InTx(ctx, func(ctx context.Context) error {
		err := fn(ctx)
		d.step() // everything is done, and nothing committed
		return err
	})
	d.step() // committed, and no caller told
	return err
}

func (d *dying) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	d.step()
	return d.Store.LookupSession(ctx, user, session)
}

func (d *dying) LockUser(ctx context.Context, id uuid.UUID) (store.User, error) {
	d.step()
	return d.Store.LockUser(ctx, id)
}

func (d *dying) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	d.step()
	return d.Store.Identity(ctx, provider, subject)
}

func (d *dying) SetAnonymous(ctx context.Context, id uuid.UUID, anonymous bool) error {
	d.step()
	return d.Store.SetAnonymous(ctx, id, anonymous)
}

func (d *dying) CreateIdentity(ctx context.Context, identity store.Identity) error {
	d.step()
	return d.Store.CreateIdentity(ctx, identity)
}

func (d *dying) DeleteSessions(ctx context.Context, user, except uuid.UUID) error {
	d.step()
	return d.Store.DeleteSessions(ctx, user, except)
}

func (d *dying) DeleteUser(ctx context.Context, tombstone store.Tombstone) error {
	d.step()
	return d.Store.DeleteUser(ctx, tombstone)
}

func (d *dying) CreateSession(ctx context.Context, session store.Session) error {
	d.step()
	return d.Store.CreateSession(ctx, session)
}

// dyingData is the session data of the same process.
type dyingData struct {
	scs.CtxStore
	*dying
}

func (d dyingData) FindCtx(ctx context.Context, key string) ([]byte, bool, error) {
	d.step()
	return d.CtxStore.FindCtx(ctx, key)
}

func (d dyingData) CommitCtx(ctx context.Context, key string, b []byte, expiry time.Time) error {
	d.step()
	return d.CtxStore.CommitCtx(ctx, key, b, expiry)
}

func (d dyingData) DeleteCtx(ctx context.Context, key string) error {
	d.step()
	return d.CtxStore.DeleteCtx(ctx, key)
}

// A noteSite is a site whose notes have a foreign key to the users, and which
// keeps a draft in the session.
type noteSite struct {
	http.Handler
	who   uuid.UUID // of the last request
	draft string    // in its session
}

func newNoteSite(t *testing.T, store store.Store, data scs.CtxStore, d database) *noteSite {
	t.Helper()
	n := new(noteSite)
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: store,
		Hooks: walkin.Hooks{
			OnMerge: func(ctx context.Context, c walkin.Change) error {
				tx, _ := sqlstore.Tx(ctx)
				_, err := tx.ExecContext(ctx, d.sql("UPDATE notes SET user_id = ? WHERE user_id = ?"), d.bind(c.UserID), d.bind(c.AnonymousID))
				return err
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	sm := scs.New()
	sm.Store = data
	n.Handler = wk.Handler(wk.LoadAndSave(sm)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		n.who, n.draft = c.UserID, sm.GetString(r.Context(), "draft")
		if r.URL.Path == "/draft" {
			sm.Put(r.Context(), "draft", r.PostFormValue("text"))
		}
		if r.URL.Path != "/prove" {
			return
		}
		if _, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.PostFormValue("name"), Method: "pwd"}); err != nil {
			wk.Refuse(w, r, err)
		}
	})))
	return n
}

// drafts counts the sessions of two users, who may be one, that have data.
func (d database) drafts(t *testing.T, db *sql.DB, a, b uuid.UUID) (n int) {
	t.Helper()
	ok(t, db.QueryRowContext(t.Context(), d.sql(`SELECT COUNT(*) FROM walkin_session_data WHERE session_id IN
		(SELECT id FROM walkin_sessions WHERE user_id = ? OR user_id = ?)`), d.bind(a), d.bind(b)).Scan(&n))
	return n
}

// TestCrashChild is the process that is killed; it does nothing by itself.
func TestCrashChild(t *testing.T) {
	text := os.Getenv(crashEnv)
	if text == "" {
		t.SkipNow()
	}
	var c crash
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	d := database{dialect: c.Dialect, driver: c.Driver, dsn: c.DSN}
	s, _ := d.store(t)
	store := &dying{Store: s}
	store.left.Store(c.Step)
	client := walkintest.NewClient(t, newNoteSite(t, store, dyingData{s.Sessions(), store}, d))
	client.SetCookie(crashCookie, c.Cookie)
	if r := client.Post("/prove", url.Values{"name": {c.Subject}}); r.StatusCode != http.StatusOK {
		t.Errorf("got status %d", r.StatusCode)
	}
}

// crashes kills a process at each step of an upgrade and of a merge. Afterwards
// it happened whole or not at all, and the visitor can try again.
func crashes(t *testing.T, d database) {
	store, db := d.migrated(t)
	createNotes(t, d, db)
	for _, kind := range []string{"upgrade", "merge"} {
		for step := int64(1); ; step++ {
			if died := crashAt(t, d, store, db, kind, step); !died {
				if step < 12 {
					t.Errorf("%s: only %d steps", kind, step-1)
				}
				break
			}
		}
	}
}

func crashAt(t *testing.T, d database, store *sqlstore.Store, db *sql.DB, kind string, step int64) (died bool) {
	t.Helper()
	site := newNoteSite(t, store, store.Sessions(), d)
	subject := fmt.Sprintf("%s at %d", kind, step)
	prove := url.Values{"name": {subject}}
	var owner uuid.UUID
	if kind == "merge" {
		c := walkintest.NewClient(t, site)
		c.Post("/prove", prove)
		c.Post("/", nil)
		owner = site.who
	}
	visitor := walkintest.NewClient(t, site)
	visitor.Post("/draft", url.Values{"text": {subject}})
	id := site.who
	if owner == uuid.Nil {
		owner = id
	}
	if _, err := db.ExecContext(t.Context(), d.sql("INSERT INTO notes VALUES (1, ?)"), d.bind(id)); err != nil {
		t.Fatal(err)
	}

	text, err := json.Marshal(crash{d.dialect, d.driver, d.dsn, visitor.Cookie(crashCookie), subject, step})
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), crashEnv+"="+string(text))
	out, err := child.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status, _ := exit.Sys().(syscall.WaitStatus)
		died = status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if err != nil && !died {
		t.Fatalf("%s: the child failed by itself: %v\n%s", subject, err, out)
	}

	// Whole, or not at all.
	visitor.Post("/", nil)
	alive := site.who == id
	_, err = store.Identity(t.Context(), "test", subject)
	attached := err == nil
	user, err := store.LockUser(t.Context(), id)
	there := err == nil
	switch {
	case kind == "upgrade" && alive && !attached && user.Anonymous:
	case kind == "upgrade" && !alive && attached && !user.Anonymous:
	case kind == "merge" && alive && there && d.notes(t, db, id) == 1 && d.notes(t, db, owner) == 0:
	case kind == "merge" && !alive && !there && d.notes(t, db, id) == 0 && d.notes(t, db, owner) == 1:
	default:
		t.Errorf("%s: half: old token alive=%t, identity attached=%t, user there=%t anonymous=%t, notes %d and %d",
			subject, alive, attached, there, user.Anonymous, d.notes(t, db, id), d.notes(t, db, owner))
	}
	// Whichever it was, the draft is with one session, and that is the one in
	// the visitor's token if nothing happened.
	if n := d.drafts(t, db, id, owner); n != 1 {
		t.Errorf("%s: the draft is with %d sessions, want 1", subject, n)
	}
	if alive && site.draft != subject {
		t.Errorf("%s: got draft %q, want it where it was", subject, site.draft)
	}
	// And the visitor tries again, or signs in, and has their note.
	if r := visitor.Post("/prove", prove); r.StatusCode != http.StatusOK {
		t.Errorf("%s: trying again: got status %d", subject, r.StatusCode)
	}
	visitor.Post("/", nil)
	if alive && site.draft != subject {
		t.Errorf("%s: afterwards: got draft %q, want it to have come along", subject, site.draft)
	}
	if site.who != owner || d.notes(t, db, owner) != 1 {
		t.Errorf("%s: afterwards: got user %v with %d notes, want %v with 1", subject, site.who, d.notes(t, db, owner), owner)
	}
	return died
}
