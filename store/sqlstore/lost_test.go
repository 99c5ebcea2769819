package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A replica is a process of a site over a database.
type replica struct {
	*walkin.Middleware
	http.Handler
	events []walkin.Event
}

func newReplica(t *testing.T, s store.Store) *replica {
	t.Helper()
	r := new(replica)
	m, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s, Sessions: walkin.Sessions{RecheckAfter: time.Nanosecond},
		OnEvent: func(_ context.Context, e walkin.Event) { r.events = append(r.events, e) },
	})
	ok(t, err)
	r.Middleware = m
	r.Handler = m.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/prove" {
			if _, err := m.Continue(w, req, walkin.Proof{Provider: "test", Subject: "ann", Method: "pwd"}); err != nil {
				m.Refuse(w, req, err)
			}
			return
		}
		c, _ := walkin.FromContext(req.Context())
		fmt.Fprintf(w, "%s %t", c.UserID, c.Anonymous)
	}))
	return r
}

func (r *replica) count(outcome walkin.Outcome, reason string) (n int) {
	for _, e := range r.events {
		if e.Outcome == outcome && string(e.Reason) == reason {
			n++
		}
	}
	return n
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	ok(t, err)
	return string(b)
}

// restored takes the rows of a database away as a restore of an older backup does, and
// brings them back.
func restored(t *testing.T, d database) {
	s, db := d.migrated(t)
	second, _ := d.store(t)
	sites := []*replica{newReplica(t, s), newReplica(t, second)}
	nobody := uuid.Nil.String() + " false"
	guest, member := walkintest.NewClient(t, sites[0]), walkintest.NewClient(t, sites[0])
	id := text(t, guest.Post("/", nil))
	member.Post("/", nil)
	member.Post("/prove", nil)
	memberID := text(t, member.Fetch("/"))
	cookie := member.Cookie("__Host-walkin")
	tables := []string{"walkin_users", "walkin_sessions", "walkin_identities"}
	for _, table := range tables {
		run(t, db, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
	}
	slices.Reverse(tables)
	for _, table := range tables {
		run(t, db, "DELETE FROM "+table)
	}
	run(t, db, "DELETE FROM walkin_tombstones") // which the trigger has left

	for _, site := range sites {
		if got := text(t, guest.On(site).Visit("/")); got != id {
			t.Errorf("a lost guest reads: got %q, want %q", got, id)
		}
		r := member.On(site).Visit("/")
		if got := text(t, r); got != nobody || len(r.Cookies()) > 0 {
			t.Errorf("a lost member: got %q and %d cookies, want nobody and none", got, len(r.Cookies()))
		}
	}
	for _, site := range sites {
		if got := text(t, guest.On(site).Post("/", nil)); got != id {
			t.Errorf("a lost guest acts: got %q, want %q", got, id)
		}
	}
	if n := sites[0].count(walkin.Revived, "") + sites[1].count(walkin.Revived, ""); n != 1 {
		t.Errorf("got %d events of a revival, want one", n)
	}
	// The right database is back.
	run(t, db, "DELETE FROM walkin_users")
	run(t, db, "DELETE FROM walkin_tombstones")
	slices.Reverse(tables)
	for _, table := range tables {
		run(t, db, "INSERT INTO "+table+" SELECT * FROM kept_"+table)
	}
	for _, site := range sites {
		if got := text(t, member.On(site).Post("/", nil)); got != memberID || member.Cookie("__Host-walkin") != cookie {
			t.Errorf("with the right database: got %q, want %q", got, memberID)
		}
	}
}

// otherDatabase points a replica at the wrong database, and has it adopt the right
// one's tokens.
func otherDatabase(t *testing.T, one, two database) {
	s, _ := one.migrated(t)
	wrong, _ := two.migrated(t)
	home, away := newReplica(t, s), newReplica(t, wrong)
	c := walkintest.NewClient(t, home)
	id := text(t, c.Post("/", nil))
	for range 3 {
		if r := c.On(away).Post("/", nil); r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("an act over the wrong database: got %d, want 503", r.StatusCode)
		}
		if got := text(t, c.On(away).Fetch("/")); got != id {
			t.Errorf("a reader over the wrong database: got %q, want %q", got, id)
		}
	}
	if n := away.count(walkin.Failed, "other_database"); n != 1 {
		t.Errorf("the owner was told %d times, want once", n)
	}
	if _, err := wrong.LockUser(t.Context(), uuid.MustParse(id[:36])); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the user over the wrong database: got %v, want ErrNotFound", err)
	}
	home1, err := s.Database(t.Context())
	ok(t, err)
	for _, bad := range []string{"", "short", "x' OR 1=1", "ABCDEFGH"} {
		if err := wrong.Adopt(t.Context(), bad); err == nil {
			t.Errorf("adopting %q: got no error", bad)
		}
	}
	ok(t, wrong.Adopt(t.Context(), home1.ID))
	ok(t, wrong.Adopt(t.Context(), home1.ID))
	away = newReplica(t, wrong)
	if got := text(t, c.On(away).Post("/", nil)); got != id {
		t.Errorf("adopted: got %q, want %q", got, id)
	}
}

// buriedBySQL deletes users by hand: their tokens are over, and bring no user back.
func buriedBySQL(t *testing.T, d database) {
	s, db := d.migrated(t)
	site := newReplica(t, s)
	c := walkintest.NewClient(t, site)
	id := text(t, c.Post("/", nil))
	where := d.sql("DELETE FROM walkin_users WHERE id = ?")
	_, err := db.ExecContext(t.Context(), where, d.bind(uuid.MustParse(id[:36])))
	ok(t, err)
	cookie := c.Cookie("__Host-walkin-anon")
	if got := text(t, c.Post("/", nil)); strings.HasPrefix(got, id) {
		t.Error("a user who was deleted by SQL came back")
	}
	other := walkintest.NewClient(t, site)
	other.SetCookie("__Host-walkin-anon", cookie)
	if got := text(t, other.Fetch("/")); strings.HasPrefix(got, id) {
		t.Error("a user who was deleted by SQL reads")
	}
	wantRows(t, db, "walkin_tombstones", 1)
	if site.count(walkin.Failed, "user_lost") > 0 {
		t.Error("a user who was deleted by SQL counts as lost")
	}

	// A user who is away for longer than a token can live needs no tombstone. A user
	// whom the store takes back gets none.
	user, session := visitor(time.Now().Add(-60 * 24 * time.Hour))
	_, err = s.CreateAnonymous(t.Context(), user, session)
	ok(t, err)
	_, err = db.ExecContext(t.Context(), where, d.bind(user.ID))
	ok(t, err)
	wantRows(t, db, "walkin_tombstones", 1)
	fresh, taken := visitor(time.Now())
	_, err = s.CreateAnonymous(t.Context(), fresh, taken)
	ok(t, err)
	late, session := visitor(time.Now())
	session.ID = taken.ID
	if _, err := s.CreateAnonymous(t.Context(), late, session); !errors.Is(err, store.ErrSessionEnded) {
		t.Errorf("a session ID that is taken: got %v", err)
	}
	wantRows(t, db, "walkin_tombstones", 1)
	if d.dialect == sqlstore.PostgreSQL {
		run(t, db, "TRUNCATE walkin_users CASCADE")
		run(t, db, "DELETE FROM walkin_tombstones")
		token := walkintest.NewClient(t, newReplica(t, s))
		token.SetCookie("__Host-walkin-anon", cookie)
		if got := text(t, token.Fetch("/")); strings.HasPrefix(got, id) {
			t.Error("a user of a table that was truncated reads")
		}
	}
}

// oldUsers has a database of before the ID was there: it is as old as its oldest user.
func oldUsers(t *testing.T, d database) {
	s, db := d.migrated(t)
	old := time.Now().Add(-100 * 24 * time.Hour).Truncate(time.Second)
	user, session := visitor(old)
	_, err := s.CreateAnonymous(t.Context(), user, session)
	ok(t, err)
	d.forgetsItself(t, db)
	run(t, db, "DELETE FROM walkin_migrations WHERE version > 4")
	ok(t, s.Migrate(t.Context()))
	got, err := s.Database(t.Context())
	ok(t, err)
	if !got.Birth.Equal(old) {
		t.Errorf("got birth %v, want that of the oldest user, %v", got.Birth, old)
	}
}

// forgetsItself undoes what the migrations do about the database as a whole.
func (d database) forgetsItself(t *testing.T, db *sql.DB) {
	t.Helper()
	d.forgetsFeed(t, db)
	run(t, db, "DROP TABLE walkin_database")
	if d.dialect == sqlstore.PostgreSQL {
		run(t, db, "DROP TRIGGER walkin_bury ON walkin_users")
		run(t, db, "DROP TRIGGER walkin_bury_all ON walkin_users")
		run(t, db, "DROP FUNCTION walkin_bury")
		run(t, db, "DROP FUNCTION walkin_bury_all")
	} else {
		run(t, db, "DROP TRIGGER walkin_bury")
	}
}

// forgetsFeed undoes the feed, and what is between it and the database as a whole.
func (d database) forgetsFeed(t *testing.T, db *sql.DB) {
	t.Helper()
	statements := []string{"DROP TRIGGER walkin_tell_session", "DROP TRIGGER walkin_tell_user", "DROP TRIGGER walkin_tell_deleted", "DROP TABLE walkin_feed"}
	index, tickets := "DROP INDEX walkin_identities_created", "DROP INDEX walkin_tickets_user"
	switch d.dialect {
	case sqlstore.PostgreSQL:
		statements = []string{"DROP FUNCTION walkin_alarm CASCADE", "DROP FUNCTION walkin_tell_sessions CASCADE", "DROP FUNCTION walkin_tell_user CASCADE",
			"DROP FUNCTION walkin_tell_all CASCADE", "DROP TABLE walkin_feed", "DROP INDEX walkin_users_permanent"}
	case sqlstore.SQLite:
		statements = append(statements, "DROP TRIGGER walkin_tell_all", "DROP INDEX walkin_users_permanent")
	case sqlstore.MySQL:
		index += " ON walkin_identities"
		tickets += " ON walkin_tickets"
	}
	for _, statement := range append(statements, index, tickets, "ALTER TABLE walkin_tickets DROP COLUMN user_id",
		"ALTER TABLE walkin_users DROP COLUMN banned_until", "ALTER TABLE walkin_users DROP COLUMN ban_reason") {
		run(t, db, statement)
	}
}

func run(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query)
	ok(t, err)
}
