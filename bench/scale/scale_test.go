// Package scale plays a large site's day at its own pace: visitors who read, over
// several replicas and one PostgreSQL, with walkin's real code. docs/capacity.md has what
// it says.
//
//	go test -run '^$' -bench . -benchtime 1x ./scale
package scale

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

var (
	visitors = flag.Int("visitors", 5_000, "how many visitors read at once")
	replicas = flag.Int("replicas", 4, "how many replicas serve them")
	speed    = flag.Int("speed", 10, "how many times as fast as a person they read")
	during   = flag.Duration("during", 20*time.Second, "how long each scene takes")
	callers  = flag.Int("callers", 64, "how many requests are under way at once where all is asked for at once")
)

const (
	pause   = time.Minute      // between two pages of a visitor, on average
	recheck = 30 * time.Second // walkin's default
)

// A world is the site's database and its visitors.
type world struct {
	db      *sql.DB
	store   *sqlstore.Store
	secret  []byte
	cookies []string
	users   []uuid.UUID
}

func newWorld(b *testing.B, n int) *world {
	b.Helper()
	address := testserver.PostgresURL(b)
	u, err := url.Parse(address)
	must(b, err)
	q := u.Query()
	q.Set("search_path", "walkin_scale")
	u.RawQuery = q.Encode()
	w := &world{secret: make([]byte, 32)}
	_, _ = rand.Read(w.secret) // never fails, see crypto/rand
	w.db, err = sql.Open("pgx", u.String())
	must(b, err)
	b.Cleanup(func() { w.db.Close() })
	w.db.SetMaxOpenConns(16)
	w.db.SetMaxIdleConns(16)
	for _, statement := range []string{`DROP SCHEMA IF EXISTS walkin_scale CASCADE`, `CREATE SCHEMA walkin_scale`} {
		_, err := w.db.ExecContext(b.Context(), statement)
		must(b, err)
	}
	w.store, err = sqlstore.New(sqlstore.Config{Dialect: sqlstore.PostgreSQL, DB: w.db})
	must(b, err)
	must(b, w.store.Migrate(b.Context()))
	w.cookies, w.users = make([]string, n), make([]uuid.UUID, n)
	h := w.replica(b, w.store, recheck).Handler(page)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range *callers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				w.cookies[i] = visit(h, http.MethodPost, visit(h, http.MethodGet, "", nil), &w.users[i])
			}
		})
	}
	wg.Wait()
	for _, cookie := range w.cookies {
		if cookie == "" {
			b.Fatal("a visitor got no cookie")
		}
	}
	_, err = w.db.ExecContext(b.Context(), "ANALYZE")
	must(b, err)
	return w
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (w *world) replica(tb testing.TB, store store.Store, recheck time.Duration) *walkin.Middleware {
	tb.Helper()
	// With fewer places for each, some visitors would share a set with more than it holds.
	m, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: w.secret}}, Store: store, CacheSize: max(1<<15, 8*len(w.cookies)),
		Sessions: walkin.Sessions{RecheckAfter: recheck}, NewUsers: walkin.NewUsers{Limit: limit.Limit{Count: -1}},
		OnEvent: func(_ context.Context, e walkin.Event) {
			if e.Err != nil {
				tb.Logf("%s: %s: %v", e.Outcome, e.Reason, e.Err)
			}
		}})
	must(tb, err)
	return m
}

type userKey struct{}

var page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	c, ok := walkin.FromContext(r.Context())
	if user, _ := r.Context().Value(userKey{}).(*uuid.UUID); user != nil {
		*user = c.UserID
	}
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
	}
})

// visit is one request of a browser. It returns the cookie that the visitor has then, or
// nothing where they have no user.
func visit(h http.Handler, method, cookie string, user *uuid.UUID) string {
	r := httptest.NewRequest(method, "https://app.example/", nil)
	r.Header = http.Header{"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"},
		"Origin": {"https://app.example"}, "Accept": {"text/html"}, "User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}}
	if cookie != "" {
		r.Header["Cookie"] = []string{cookie}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	for _, c := range (&http.Response{Header: w.Header()}).Cookies() {
		cookie = c.Name + "=" + c.Value
	}
	if w.Code != http.StatusOK {
		return ""
	}
	return cookie
}

// A counted store counts look-ups.
type counted struct {
	*sqlstore.Store
	n atomic.Int64
}

func (c *counted) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	c.n.Add(1)
	return c.Store.LookupSession(ctx, user, session)
}

// statements is how many the database has answered, each in a transaction.
func (w *world) statements(tb testing.TB) (n int64) {
	must(tb, w.db.QueryRowContext(tb.Context(), `SELECT pg_stat_get_db_xact_commit(oid) + pg_stat_get_db_xact_rollback(oid) FROM pg_database WHERE datname = current_database()`).Scan(&n))
	return n
}

// A fleet is replicas that serve now.
type fleet struct {
	handlers []http.Handler
	lookups  *counted
	stop     func()
}

func (w *world) fleet(tb testing.TB, feed bool) *fleet {
	f := &fleet{lookups: &counted{Store: w.store}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range *replicas {
		m := w.replica(tb, f.lookups, recheck/time.Duration(*speed))
		if feed {
			wg.Go(func() { _ = m.RunFeed(ctx) })
		}
		f.handlers = append(f.handlers, m.Handler(page))
	}
	f.stop = func() { cancel(); wg.Wait() }
	return f
}

// BenchmarkDay has the visitors read at a person's pace. It reports page views and
// look-ups a second of that pace, in thousandths of a look-up for each page view.
func BenchmarkDay(b *testing.B) {
	w := newWorld(b, *visitors)
	for _, scene := range []struct {
		name         string
		feed, sticky bool
		hot          bool // a fifth of the page views are of one user, who ends a session each second
		deploy       bool // all replicas are new in the middle
	}{
		{name: "without the feed", sticky: true},
		{name: "feed", feed: true, sticky: true},
		{name: "feed, any replica", feed: true},
		{name: "without the feed, any replica"},
		{name: "feed, a deploy in the middle", feed: true, sticky: true, deploy: true},
		{name: "feed, a hot user", feed: true, sticky: true, hot: true},
	} {
		b.Run(scene.name, func(b *testing.B) {
			for b.Loop() {
				w.day(b, scene.feed, scene.sticky, scene.hot, scene.deploy)
			}
		})
	}
}

func (w *world) day(b *testing.B, feed, sticky, hot, deploy bool) {
	var current atomic.Pointer[fleet]
	current.Store(w.fleet(b, feed))
	var views, lost atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	for i, cookie := range w.cookies {
		if hot && i%5 == 0 {
			cookie = w.cookies[0]
		}
		wg.Go(func() {
			for {
				select {
				case <-time.After(mathrand.N(2 * pause / time.Duration(*speed))):
				case <-ctx.Done():
					return
				}
				f := current.Load()
				on := i % len(f.handlers)
				if !sticky {
					on = mathrand.IntN(len(f.handlers))
				}
				views.Add(1)
				if visit(f.handlers[on], http.MethodGet, cookie, nil) == "" && ctx.Err() == nil {
					lost.Add(1)
				}
			}
		})
	}
	if hot {
		wg.Go(func() {
			for ctx.Err() == nil { // they are looked up again at once
				at := time.Now()
				other := store.Session{ID: uuid.New(), UserID: w.users[0], CreatedAt: at, RenewedAt: at, ExpiresAt: at.Add(time.Hour)}
				if err := errors.Join(w.store.CreateSession(ctx, other), w.store.DeleteSession(ctx, other.UserID, other.ID)); err != nil && ctx.Err() == nil {
					b.Error(err)
				}
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
			}
		})
	}
	measure := func(name string, d time.Duration) {
		f := current.Load()
		v, l, s, at := views.Load(), f.lookups.n.Load(), w.statements(b), time.Now()
		time.Sleep(d)
		took := time.Since(at).Seconds()
		pages := float64(views.Load() - v)
		b.ReportMetric(pages/took, name+"views/s")
		b.ReportMetric(1000*float64(f.lookups.n.Load()-l)/pages, name+"look-ups/1000")
		b.ReportMetric(1000*float64(w.statements(b)-s)/pages, name+"statements/1000")
	}
	time.Sleep(2 * pause / time.Duration(*speed)) // all have been here
	if feed {
		time.Sleep(2 * pause / time.Duration(*speed)) // and were looked up once
	}
	if !sticky { // on each replica
		time.Sleep(time.Duration(2**replicas) * pause / time.Duration(*speed))
	}
	if deploy {
		old := current.Swap(w.fleet(b, feed))
		old.stop()
		measure("deploy-", 2*pause/time.Duration(*speed))
		time.Sleep(pause / time.Duration(*speed))
	}
	measure("", *during)
	cancel()
	wg.Wait()
	current.Load().stop()
	if n := lost.Load(); n > 0 {
		b.Errorf("%d page views without their user", n)
	}
}

// BenchmarkRush has all visitors ask at once, as fast as two cores serve them, each
// with a look-up: one statement for each as a plain store does, those together that
// come together, and with the feed.
func BenchmarkRush(b *testing.B) {
	w := newWorld(b, *visitors)
	for _, scene := range []struct {
		name    string
		store   store.Store
		recheck time.Duration
	}{
		{"one statement each", &plain{w.store, w.db}, time.Nanosecond},
		{"together", w.store, time.Nanosecond},
		{"feed", &counted{Store: w.store}, 5 * time.Second},
	} {
		b.Run(scene.name, func(b *testing.B) {
			m := w.replica(b, scene.store, scene.recheck)
			h := m.Handler(page)
			rush := func(d time.Duration) float64 {
				var n atomic.Int64
				end := time.Now().Add(d)
				var wg sync.WaitGroup
				for range *callers {
					wg.Go(func() {
						for time.Now().Before(end) {
							if visit(h, http.MethodGet, w.cookies[int(n.Add(1))%len(w.cookies)], nil) == "" {
								b.Error("a visitor without their user")
								return
							}
						}
					})
				}
				wg.Wait()
				return float64(n.Load()) / d.Seconds()
			}
			if c, ok := scene.store.(*counted); ok {
				ctx, cancel := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				wg.Go(func() { _ = m.RunFeed(ctx) })
				defer wg.Wait()
				defer cancel()
				for range 2 {
					for _, cookie := range w.cookies {
						visit(h, http.MethodGet, cookie, nil)
					}
					time.Sleep(scene.recheck)
				}
				before := c.n.Load()
				defer func() { b.ReportMetric(float64(c.n.Load()-before), "look-ups") }()
			} else {
				rush(time.Second)
			}
			for b.Loop() {
				b.ReportMetric(rush(*during/4), "views/s")
			}
		})
	}
}

// plain looks up as a store does that knows nothing of others.
type plain struct {
	*sqlstore.Store
	db *sql.DB
}

func (p *plain) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	s := store.Session{ID: session, UserID: user}
	var alive bool
	err := p.db.QueryRowContext(ctx, `
		SELECT COALESCE(s.user_id = $1, FALSE), s.created_at, s.renewed_at, s.expires_at, COALESCE(u.anonymous, FALSE),
			EXISTS (SELECT 1 FROM walkin_tombstones WHERE user_id = $1)
		FROM (SELECT 1) AS one LEFT JOIN walkin_users u ON u.id = $1 LEFT JOIN walkin_sessions s ON s.id = $2
		LEFT JOIN walkin_database d ON d.one = 1`, user, session).Scan(&alive, &s.CreatedAt, &s.RenewedAt, &s.ExpiresAt, &s.Anonymous, new(bool))
	if err == nil && !alive {
		err = fmt.Errorf("no session %v: %w", session, store.ErrNotFound)
	}
	return s, err
}
