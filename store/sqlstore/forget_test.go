package sqlstore_test

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/quota"
	"github.com/walkin-go/walkin/resume"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// forgotten deletes a user who has left something everywhere, and reads all tables.
func forgotten(t *testing.T, d database) {
	s, db := d.migrated(t)
	var operator uuid.UUID
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s,
		Paths:         walkin.Paths{Credentials: []string{"/prove"}},
		Impersonation: walkin.Impersonation{IsOperator: func(_ context.Context, id uuid.UUID) (bool, error) { return id == operator, nil }},
		Hooks:         walkin.Hooks{OnMerge: func(context.Context, walkin.Change) error { return nil }}})
	ok(t, err)
	kept, err := resume.New(wk, resume.Config{})
	ok(t, err)
	notes, err := quota.New(wk, quota.Config{Name: "notes", Limit: 3, By: quota.PerUser | quota.PerNetwork, Within: time.Hour})
	ok(t, err)
	codes, err := code.New(wk, code.Config{Sender: code.SenderFunc(func(context.Context, code.Message) error { return nil })})
	ok(t, err)
	sm := scs.New()
	sm.Store = s.Sessions()
	var users, sessions []uuid.UUID // all that the visitor had
	mux := http.NewServeMux()
	mux.Handle("POST /note", notes.Require()(wk.RequireUser()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sm.Put(r.Context(), "draft", "of ann@example.com")
	}))))
	mux.Handle("POST /publish", kept.RequirePermanent()(http.NotFoundHandler()))
	mux.HandleFunc("POST /code", func(w http.ResponseWriter, r *http.Request) {
		if err := codes.Send(w, r, "ann@example.com"); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Continue(w, r, walkin.Proof{Provider: "email", Subject: cmp.Or(r.FormValue("as"), "ann@example.com"), Method: "otp"}); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /see", func(w http.ResponseWriter, r *http.Request) {
		ok(t, wk.Impersonate(w, r, uuid.MustParse(r.FormValue("as")), "a letter of ann@example.com"))
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		if _, err := wk.StartRefresh(r.Context(), c); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		c, known := walkin.FromContext(r.Context())
		if !known {
			t.Error("got no user")
		}
		users, sessions = append(users, c.UserID), append(sessions, c.SessionID)
	})
	site := wk.Handler(wk.LoadAndSave(sm)(mux))
	// Two browsers: the second one's anonymous user is merged into the account.
	for range 2 {
		c := walkintest.NewClient(t, site)
		c.Visit("/")
		for _, path := range []string{"/note", "/token", "/code"} {
			c.Post(path, nil)
		}
		c.Post("/publish", url.Values{"text": {"by ann@example.com"}})
		c.Fetch("/")
		c.Post("/prove", nil)
		c.Fetch("/")
		for _, path := range []string{"/note", "/token"} {
			c.Post(path, nil)
		}
	}
	id := users[len(users)-1]
	// An operator sees the site as the user.
	c := walkintest.NewClient(t, site)
	c.Visit("/")
	c.Post("/prove", url.Values{"as": {"oscar@example.com"}})
	c.Fetch("/")
	operator = users[len(users)-1]
	users, sessions = users[:len(users)-2], sessions[:len(sessions)-2]
	c.Post("/see", url.Values{"as": {id.String()}})
	if len(c.Cookie("__Host-walkin.as")) == 0 {
		t.Error("the operator does not see the site as the user")
	}
	ok(t, wk.Ban(t.Context(), id, store.Ban{Until: time.Now().Add(time.Hour), Reason: "ann@example.com asked"}))

	traces := map[string][]byte{"the address": []byte("ann@example.com")}
	for _, user := range users {
		traces["user "+user.String()] = user[:]
	}
	for _, session := range sessions {
		traces["session "+session.String()] = session[:]
	}
	before := tracesIn(t, d, db, traces)
	for _, table := range []string{"walkin_users", "walkin_sessions", "walkin_identities", "walkin_tickets", "walkin_session_data"} {
		if len(before[table]) == 0 {
			t.Errorf("nothing of the user was in %s", table)
		}
	}
	ok(t, wk.DeleteUser(t.Context(), id))
	for table, found := range tracesIn(t, d, db, traces) {
		for _, what := range found {
			user, isUser := strings.CutPrefix(what, "user ")
			if (table == "walkin_tombstones" || table == "walkin_feed") && isUser && user != "" {
				continue // their IDs, until no token of theirs can live
			}
			t.Errorf("in %s there is still %s", table, what)
		}
	}
}

// tracesIn reads all of walkin's tables and returns what it finds in each: as bytes or in
// hexadecimal.
func tracesIn(t *testing.T, d database, db *sql.DB, traces map[string][]byte) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, table := range allTables(t, d, db) {
		rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
		ok(t, err)
		columns, err := rows.Columns()
		ok(t, err)
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			ok(t, rows.Scan(into...))
			for name, trace := range traces {
				if slices.ContainsFunc(values, func(v any) bool { return holds(v, trace) }) && !slices.Contains(found[table], name) {
					found[table] = append(found[table], name)
				}
			}
		}
		ok(t, rows.Err())
		ok(t, rows.Close())
	}
	return found
}

func holds(v any, trace []byte) bool {
	var b []byte
	switch v := v.(type) {
	case []byte:
		b = v
	case nil:
		return false
	default:
		b = fmt.Append(nil, v)
	}
	text := strings.ToLower(strings.ReplaceAll(string(b), "-", ""))
	return bytes.Contains(b, trace) || strings.Contains(text, hex.EncodeToString(trace))
}

func allTables(t *testing.T, d database, db *sql.DB) (tables []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), map[sqlstore.Dialect]string{
		sqlstore.SQLite:     "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'walkin%'",
		sqlstore.PostgreSQL: "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE 'walkin%'",
		sqlstore.MySQL:      "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'walkin%'",
	}[d.dialect])
	ok(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		ok(t, rows.Scan(&name))
		tables = append(tables, name)
	}
	ok(t, rows.Err())
	if len(tables) < len(walkinTables) {
		t.Fatalf("found tables %q", tables)
	}
	return tables
}
