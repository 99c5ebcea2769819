package sqlstore_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestFeed holds what the feed promises over a real database.
func TestFeed(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			server := server.start(t)
			t.Run("an end on one replica is over on the other", func(t *testing.T) { feedReplicas(t, server(t)) })
			t.Run("SQL by hand is told, a sweep is not", func(t *testing.T) { feedByHand(t, server(t)) })
			t.Run("what is no longer there is lost", func(t *testing.T) { feedLost(t, server(t)) })
			t.Run("old rows go, and beats keep it alive", func(t *testing.T) { feedTrimmed(t, server(t)) })
			if d := server(t); d.dialect != sqlstore.SQLite { // which has one writer and no network
				t.Run("a commit that comes late is told", func(t *testing.T) { feedLate(t, d) })
				t.Run("a network that stops forwarding ends the trust", func(t *testing.T) { feedCut(t, server(t)) })
			}
		})
	}
}

// feedOf begins to read.
func feedOf(t *testing.T, s *sqlstore.Store) store.Feed {
	t.Helper()
	f, err := s.Feed(t.Context())
	ok(t, err)
	return f
}

// tells waits for a reader to be told of a user, and returns all it was told.
func tells(t *testing.T, f store.Feed, user uuid.UUID) {
	t.Helper()
	users, err := f.Next(t.Context())
	ok(t, err)
	if !slices.Contains(users, user) {
		t.Errorf("told of %v, want %v", users, user)
	}
}

func member(t *testing.T, s *sqlstore.Store) (store.User, store.Session) {
	t.Helper()
	user, session := visitor(time.Now())
	session.ExpiresAt = time.Now().Add(24 * time.Hour)
	_, err := s.CreateAnonymous(t.Context(), user, session)
	ok(t, err)
	return user, session
}

// feedReplicas has two replicas whose look-ups are never due by themselves.
func feedReplicas(t *testing.T, d database) {
	n := newDataSite(t, d, false, func(cfg *walkin.Config) { cfg.Sessions.RecheckAfter = time.Hour })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, replica := range n.replicas {
		wg.Go(func() { _ = replica.RunFeed(ctx) })
	}
	reads := func(c *walkintest.Client, site http.Handler) bool {
		n.who = walkin.Claims{}
		c.On(site).Fetch("/")
		return n.who.UserID != uuid.Nil
	}
	for _, end := range []string{"out", "everywhere", "delete", "ban", "all"} {
		c := n.visitor("word")
		n.act(c, "/prove", "name", end)
		old := walkintest.NewClient(t, n.sites[1])
		for _, cookie := range c.Cookies() {
			old.SetCookie(cookie.Name, cookie.Value)
		}
		for range 2 { // looked up, and remembered
			if !reads(old, n.sites[1]) {
				t.Fatalf("%s: the session is not alive", end)
			}
		}
		id := n.who.UserID
		here := n.replicas[0]
		switch end {
		case "out":
			c.On(n.sites[0]).Post("/out", nil)
		case "everywhere":
			ok(t, here.SignOutEverywhere(t.Context(), id))
		case "delete":
			ok(t, here.DeleteUser(t.Context(), id))
		case "ban":
			ok(t, here.Ban(t.Context(), id, store.Ban{}))
		case "all":
			ok(t, here.EndSessionsBefore(t.Context(), time.Now().Add(time.Second), false))
		}
		if again := walkintest.NewClient(t, n.sites[0]); true { // at once where it ended
			for _, cookie := range old.Cookies() {
				again.SetCookie(cookie.Name, cookie.Value)
			}
			if reads(again, n.sites[0]) {
				t.Errorf("%s: read where it ended", end)
			}
		}
		eventually(t, end+": over on the other replica", func() bool { return !reads(old, n.sites[1]) })
	}
}

// eventually looks until something is so, for as long as a slow machine may take.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after a minute", what)
		}
	}
}

func feedByHand(t *testing.T, d database) {
	s, db := d.migrated(t)
	f := feedOf(t, s)
	exec := func(query string, id uuid.UUID) {
		t.Helper()
		_, err := db.ExecContext(t.Context(), d.sql(query), d.bind(id))
		ok(t, err)
	}
	user, session := member(t, s)
	exec("UPDATE walkin_users SET anonymous = FALSE WHERE id = ?", user.ID)
	tells(t, f, user.ID)
	exec("DELETE FROM walkin_sessions WHERE id = ?", session.ID)
	tells(t, f, user.ID)
	other, _ := member(t, s)
	exec("DELETE FROM walkin_users WHERE id = ?", other.ID)
	tells(t, f, other.ID)

	// Whom a sweep takes has no session that is alive.
	var before int
	ok(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM walkin_feed").Scan(&before))
	long := time.Now().Add(-100 * 24 * time.Hour)
	for range 5 {
		user, session := visitor(long)
		_, err := s.CreateAnonymous(t.Context(), user, session)
		ok(t, err)
	}
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s})
	ok(t, err)
	swept, err := wk.Sweep(t.Context(), walkin.SweepOptions{})
	ok(t, err)
	var after int
	ok(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM walkin_feed").Scan(&after))
	if swept != 5 || after != before {
		t.Errorf("%d users were swept and %d rows written, want 5 and none", swept, after-before)
	}
}

func feedLost(t *testing.T, d database) {
	s, db := d.migrated(t)
	exec := func(queries ...string) {
		t.Helper()
		for _, query := range queries {
			_, err := db.ExecContext(t.Context(), query)
			ok(t, err)
		}
	}
	nonce := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "gen_random_uuid()", sqlstore.MySQL: "UNHEX(MD5(RAND()))", sqlstore.SQLite: "randomblob(16)"}[d.dialect]
	for name, lose := range map[string]func(){
		"truncated": func() { exec("DELETE FROM walkin_feed") },
		"restored": func() { // to before the row that was read last; and others have its ID since
			exec("UPDATE walkin_feed SET nonce = " + nonce)
		},
		"trimmed by a clock that is ahead": func() {
			_, err := s.DeleteExpired(t.Context(), time.Now().Add(2*time.Hour), 100)
			ok(t, err)
		},
	} {
		f := feedOf(t, s)
		if users, err := f.Next(t.Context()); err != nil || len(users) > 0 {
			t.Fatalf("%s: at first: got %v, %v", name, users, err)
		}
		lose()
		if _, err := f.Next(t.Context()); !errors.Is(err, store.ErrFeedLost) {
			t.Errorf("%s: got %v, want ErrFeedLost", name, err)
		}
	}
	f := feedOf(t, s)
	many := "INSERT INTO walkin_feed (nonce, at) SELECT " + nonce + ", at FROM (SELECT at FROM walkin_feed LIMIT 1) AS one CROSS JOIN (SELECT n" + d.numbers(10_001) + ") AS many"
	exec(many)
	if _, err := f.Next(t.Context()); !errors.Is(err, store.ErrFeedLost) {
		t.Errorf("with more news than one look reads: got %v, want ErrFeedLost", err)
	}
	if d.dialect == sqlstore.SQLite {
		f := feedOf(t, s)
		file, _, _ := strings.Cut(strings.TrimPrefix(d.dsn, "file:"), "?")
		ok(t, os.Rename(file, file+".old"))
		ok(t, os.WriteFile(file, nil, 0o600))
		if _, err := f.Next(t.Context()); !errors.Is(err, store.ErrFeedLost) {
			t.Errorf("with another file: got %v, want ErrFeedLost", err)
		}
		ok(t, os.Rename(file+".old", file))
	}
}

func feedTrimmed(t *testing.T, d database) {
	s, db := d.migrated(t)
	f := feedOf(t, s)
	old := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "now() - interval '2 hours'",
		sqlstore.MySQL: "UTC_TIMESTAMP(6) - INTERVAL 2 HOUR", sqlstore.SQLite: "(unixepoch() - 7200) * 1000000"}[d.dialect]
	_, err := db.ExecContext(t.Context(), "UPDATE walkin_feed SET at = "+old)
	ok(t, err)
	_, err = f.Next(t.Context()) // which finds the newest row old, and adds one
	ok(t, err)
	wantRows(t, db, "walkin_feed", 2)
	_, err = f.Next(t.Context())
	ok(t, err)
	_, err = s.DeleteExpired(t.Context(), time.Now(), 100)
	ok(t, err)
	wantRows(t, db, "walkin_feed", 1)
	if _, err = f.Next(t.Context()); err != nil {
		t.Errorf("after the sweep: %v", err)
	}
}

// feedLate has transactions that write their rows in one order and commit in the other.
// Some are rolled back, and some began before the reader did.
func feedLate(t *testing.T, d database) {
	s, _ := d.migrated(t)
	type open struct {
		user store.User
		end  chan error
		done chan error
	}
	begin := func() *open {
		user, session := member(t, s)
		o := &open{user, make(chan error), make(chan error, 1)}
		held := make(chan bool)
		go func() {
			o.done <- s.InTx(context.WithoutCancel(t.Context()), func(ctx context.Context) error {
				if err := s.DeleteSession(ctx, user.ID, session.ID); err != nil {
					close(held)
					return err
				}
				close(held)
				return <-o.end
			})
		}()
		<-held
		return o
	}
	finish := func(o *open, err error) {
		o.end <- err
		<-o.done
	}
	early := begin()
	f := feedOf(t, s)
	a, undone, b := begin(), begin(), begin()
	finish(b, nil)
	tells(t, f, b.user.ID)
	finish(undone, errors.New("no"))
	finish(a, nil)
	tells(t, f, a.user.ID)
	finish(early, nil)
	tells(t, f, early.user.ID)
	if users, err := f.Next(t.Context()); err != nil || len(users) > 0 {
		t.Errorf("told again: %v, %v", users, err)
	}
}

// feedCut holds that a replica which hears nothing any more looks up again, and goes on
// with the feed when it can.
func feedCut(t *testing.T, d database) {
	plain, _ := d.migrated(t)
	far, proxy := d.behind(t)
	var lookups counted
	n := newDataSite(t, far, false, func(cfg *walkin.Config) {
		cfg.Sessions.RecheckAfter = 3 * time.Second
		cfg.Store = &lookedUp{cfg.Store.(*sqlstore.Store), &lookups}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = n.replicas[1].RunFeed(ctx) })
	c := n.visitor("word")
	n.act(c, "/prove", "name", "cut")
	reads := func() bool {
		n.who = walkin.Claims{}
		c.On(n.sites[1]).Fetch("/")
		return n.who.UserID != uuid.Nil
	}
	if !reads() {
		t.Fatal("the session is not alive")
	}
	id := n.who.UserID
	// With the feed there comes a time at which no replica asks.
	eventually(t, "no look-ups", func() bool {
		time.Sleep(4 * time.Second)
		before := lookups.n()
		return reads() && lookups.n() == before
	})
	proxy.forward(false)
	ok(t, plain.DeleteSessions(t.Context(), id, uuid.Nil))
	eventually(t, "no reads without the feed", func() bool { return !reads() })
	proxy.forward(true)
	proxy.cut()
	eventually(t, "over when it is back", func() bool { return !reads() })
}

type counted struct {
	mu sync.Mutex
	of int
}

func (c *counted) n() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of
}

// lookedUp counts look-ups, and has all abilities of the store.
type lookedUp struct {
	*sqlstore.Store
	count *counted
}

func (l *lookedUp) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	l.count.mu.Lock()
	l.count.of++
	l.count.mu.Unlock()
	return l.Store.LookupSession(ctx, user, session)
}
