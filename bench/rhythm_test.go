package bench_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/postgresstore"
	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	"github.com/golang-jwt/jwt/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/maypok86/otter/v2"
	_ "modernc.org/sqlite"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// BenchmarkRhythm is a page view of a visitor who reads: a minute after the one before.
// What is remembered for seconds is forgotten then, and sessions are looked up, in a
// real database. All others are as fast as at once. By the clock, since a visitor waits
// for the database's work too.
func BenchmarkRhythm(b *testing.B) {
	lite, pg := openSQLite(b), openPostgres(b)
	hand := keys()["HS256"]
	for _, c := range []struct {
		name  string
		batch int
		make  func(b *testing.B) (http.Handler, func(n int) []string)
	}{
		{"walkin, at once", 20_000, siteOn(lite, 0)},
		{"walkin, SQLite, feed", 20_000, siteOn(lite, feed)},
		{"walkin, PostgreSQL, feed", 20_000, siteOn(pg, feed)},
		{"walkin, SQLite, no feed", 200, siteOn(lite, lookUp)},
		{"walkin, PostgreSQL, no feed", 200, siteOn(pg, lookUp)},
		{"golang-jwt, no session", 2_000, tokensOf(golangReturning(b, hand))},
		{"golang-jwt behind sync.Map, no session", 20_000, tokensOf(golangCached(hand, mapCache()))},
		{"golang-jwt behind otter, no session", 20_000, tokensOf(golangCached(hand, otterCache()))},
		{"scs, SQLite", 200, scsOn(lite)},
		{"scs, PostgreSQL", 200, scsOn(pg)},
	} {
		h, visitors := c.make(b)
		many := visitors(1000)
		for _, scene := range []struct {
			name   string
			tokens []string
			line   func(name, value string) string
		}{{"one visitor", many[:1], withTheme}, {"1,000 visitors", many, withTheme}, {"20 other cookies", many[:1], withMany}} {
			b.Run(scene.name+"/"+c.name, func(b *testing.B) {
				ours := serveCookies(h, scene.tokens, scene.line)
				against(b, c.batch, ours, serveCookies(withContext, scene.tokens, scene.line))
			})
		}
	}
}

// against is compare by the clock. The floor has a batch of its own.
func against(b *testing.B, batch int, ours, floor func()) {
	b.Helper()
	measure := func(batch int, f func()) float64 {
		start := time.Now()
		for range batch {
			f()
		}
		return float64(time.Since(start)) / float64(batch)
	}
	var ratios []float64
	for b.Loop() {
		f := measure(20_000, floor)
		ratios = append(ratios, measure(batch, ours)/f)
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "×floor")
}

// serveCookies serves visitors in turn. A token is a whole cookie where it has a name.
func serveCookies(h http.Handler, tokens []string, line func(name, value string) string) func() {
	lines := make([][]string, len(tokens))
	for i, token := range tokens {
		name, value, ok := strings.Cut(token, "=")
		if !ok {
			name, value = cookieName, token
		}
		lines[i] = []string{line(name, value)}
	}
	w, r, i := newSink(), newRequest("x"), 0
	return func() {
		w.reset()
		r.Header["Cookie"] = lines[i%len(lines)]
		i++
		h.ServeHTTP(w, r)
		if w.status != http.StatusNoContent {
			panic(fmt.Sprintf("got status %d, want 204", w.status))
		}
	}
}

// A base is a real database.
type base struct {
	store store.Store
	scs   scs.Store
}

func openSQLite(tb testing.TB) base {
	dsn := "file:" + filepath.Join(tb.TempDir(), "bench.db") + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_txlock=immediate"
	db := open(tb, "sqlite", dsn)
	exec(tb, db, `CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL)`, `CREATE TABLE guests (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL)`)
	return base{migrated(tb, sqlstore.SQLite, db), sqlite3store.NewWithCleanupInterval(db, 0)}
}

func openPostgres(tb testing.TB) base {
	address := testserver.PostgresURL(tb)
	admin := open(tb, "pgx", address)
	exec(tb, admin, `DROP SCHEMA IF EXISTS walkin_bench CASCADE`, `CREATE SCHEMA walkin_bench`)
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", "walkin_bench")
	u.RawQuery = q.Encode()
	db := open(tb, "pgx", u.String())
	exec(tb, db, `CREATE TABLE sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL)`)
	return base{migrated(tb, sqlstore.PostgreSQL, db), postgresstore.NewWithCleanupInterval(db, 0)}
}

func open(tb testing.TB, driver, dsn string) *sql.DB {
	tb.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

func exec(tb testing.TB, db *sql.DB, statements ...string) {
	tb.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatal(err)
		}
	}
}

func migrated(tb testing.TB, dialect sqlstore.Dialect, db *sql.DB) store.Store {
	tb.Helper()
	s, err := sqlstore.New(sqlstore.Config{Dialect: dialect, DB: db})
	if err == nil {
		err = s.Migrate(tb.Context())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

const (
	feed   = 2 * time.Second // RecheckAfter, which the visitors then outlive
	lookUp = time.Nanosecond
)

// siteOn is a site whose visitors are stored: just seen, seen longer than RecheckAfter
// ago with the feed, or without it.
func siteOn(on base, recheck time.Duration) func(*testing.B) (http.Handler, func(int) []string) {
	return func(b *testing.B) (http.Handler, func(int) []string) {
		m := newWalkin(b, "HS256", func(cfg *walkin.Config) {
			cfg.Store = on.store
			if cfg.Sessions.RecheckAfter = recheck; recheck == 0 {
				cfg.Sessions.RecheckAfter = time.Hour
			}
		})
		if recheck == feed {
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			wg.Go(func() { _ = m.RunFeed(ctx) })
			b.Cleanup(func() { cancel(); wg.Wait() })
		}
		h := m.Handler(walkinPage)
		return h, func(n int) []string {
			tokens := make([]string, n)
			for i := range tokens {
				tokens[i] = storeUser(b, h, newToken(b, m))
			}
			for range 3 { // known, looked up, and vouched for
				for _, token := range tokens {
					h.ServeHTTP(newSink(), newRequest(withTheme(cookieName, token)))
				}
				if recheck == feed {
					time.Sleep(feed + feed/4)
				}
			}
			return tokens
		}
	}
}

// storeUser lets a visitor write for the first time, and returns the token that they have
// from then on.
func storeUser(tb testing.TB, h http.Handler, token string) string {
	tb.Helper()
	w, r := newSink(), httptest.NewRequest(http.MethodPost, "https://app.example/", nil)
	r.Header = http.Header{"Cookie": {cookieName + "=" + token}, "Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"navigate"},
		"Sec-Fetch-Dest": {"document"}, "Origin": {"https://app.example"}, "Accept": {"text/html"}}
	h.ServeHTTP(w, r)
	for _, c := range (&http.Response{Header: w.header}).Cookies() {
		if c.Name == cookieName {
			return c.Value
		}
	}
	tb.Fatalf("a first write brought no cookie, status %d", w.status)
	return ""
}

// tokensOf is a handler that believes tokens until they expire.
func tokensOf(h http.Handler) func(*testing.B) (http.Handler, func(int) []string) {
	return func(b *testing.B) (http.Handler, func(int) []string) {
		return h, func(n int) []string {
			all := tokens(b, "HS256", n)
			for range 3 {
				for _, token := range all {
					h.ServeHTTP(newSink(), newRequest(withTheme(cookieName, token)))
				}
			}
			return all
		}
	}
}

// A claimsCache is what a hand would put in front of golang-jwt.
type claimsCache interface {
	get(token string) *handClaims
	set(token string, c *handClaims)
}

func golangCached(k key, cache claimsCache) http.Handler {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{k.alg}), jwt.WithExpirationRequired(),
		jwt.WithIssuer("walkin"), jwt.WithAudience("walkin"))
	public := k.verify()
	find := func(*jwt.Token) (any, error) { return public, nil }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(cookieName)
		if err != nil {
			answer(w, false)
			return
		}
		claims := cache.get(cookie.Value)
		if claims == nil {
			claims = new(handClaims)
			if _, err := parser.ParseWithClaims(cookie.Value, claims, find); err != nil {
				answer(w, false)
				return
			}
			cache.set(strings.Clone(cookie.Value), claims)
		}
		if !time.Now().Before(claims.ExpiresAt.Time) {
			answer(w, false)
			return
		}
		handPage.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handKey{}, claims)))
	})
}

type inMap struct{ sync.Map } // without bound, and so for tests alone

func mapCache() claimsCache { return new(inMap) }

func (m *inMap) get(token string) *handClaims {
	c, _ := m.Load(token)
	claims, _ := c.(*handClaims)
	return claims
}

func (m *inMap) set(token string, c *handClaims) { m.Store(token, c) }

type inOtter struct {
	*otter.Cache[string, *handClaims]
}

func otterCache() claimsCache {
	return inOtter{otter.Must(&otter.Options[string, *handClaims]{MaximumSize: 1 << 15})}
}

func (o inOtter) get(token string) *handClaims {
	c, _ := o.GetIfPresent(token)
	return c
}

func (o inOtter) set(token string, c *handClaims) { o.Set(token, c) }

// scsOn is scs over a database: each request reads its session there.
func scsOn(on base) func(*testing.B) (http.Handler, func(int) []string) {
	return func(b *testing.B) (http.Handler, func(int) []string) {
		sm := scs.New()
		sm.Store, sm.Lifetime = on.scs, lifetime
		h := sm.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if sm.GetString(r.Context(), "user") == "" {
				sm.Put(r.Context(), "user", newUser())
			}
			answer(w, true)
		}))
		return h, func(n int) []string {
			all := make([]string, n)
			for i := range all {
				all[i] = strings.TrimPrefix(cookieFrom(b, h), "theme=dark; ")
			}
			return all
		}
	}
}

// BenchmarkFirstWrite is the first write of a visitor on SQLite, beside a user made by
// hand on scs: a row for the user, and the session that scs saves.
func BenchmarkFirstWrite(b *testing.B) {
	dsn := "file:" + filepath.Join(b.TempDir(), "write.db") + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_txlock=immediate"
	db := open(b, "sqlite", dsn)
	exec(b, db, `CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL)`,
		`CREATE INDEX sessions_expiry_idx ON sessions(expiry)`, `CREATE TABLE guests (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL)`)
	m := newWalkin(b, "HS256", func(cfg *walkin.Config) { cfg.Store = migrated(b, sqlstore.SQLite, db) })
	h := m.Handler(walkinPage)
	sm := scs.New()
	sm.Store, sm.Lifetime = sqlite3store.NewWithCleanupInterval(db, 0), lifetime
	insert, err := db.PrepareContext(b.Context(), `INSERT INTO guests (id, created_at) VALUES (?, ?)`)
	if err != nil {
		b.Fatal(err)
	}
	guest := sm.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := newUser()
		if _, err := insert.ExecContext(r.Context(), id, time.Now().Unix()); err != nil {
			answer(w, false)
			return
		}
		sm.Put(r.Context(), "user", id)
		answer(w, true)
	}))
	const batch = 200
	fresh := make([]string, 0, batch)
	b.Run("any/÷ a guest by hand on scs", func(b *testing.B) {
		var ratios []float64
		for b.Loop() {
			fresh = fresh[:0]
			for range batch {
				fresh = append(fresh, newToken(b, m))
			}
			start := time.Now()
			for range batch {
				w := newSink()
				guest.ServeHTTP(w, newRequest(""))
				if len(w.header["Set-Cookie"]) == 0 || w.status != http.StatusNoContent {
					b.Fatal("no guest")
				}
			}
			hand := time.Since(start)
			start = time.Now()
			for _, token := range fresh {
				storeUser(b, h, token)
			}
			ratios = append(ratios, float64(time.Since(start))/float64(hand))
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], "×floor")
	})
}
