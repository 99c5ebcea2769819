package walkin

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/uuid"
)

// tokens returns n texts that look like tokens. The cache minds nothing but
// their last letters, which a signature makes random.
func tokens(seed uint64, n int) []string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	random := rand.New(rand.NewPCG(seed, 0))
	all := make([]string, n)
	for i := range all {
		b := []byte("header.payload.")
		b = strconv.AppendUint(b, seed<<32+uint64(i), 36)
		for range 4 {
			b = append(b, letters[random.IntN(len(letters))])
		}
		all[i] = string(b)
	}
	return all
}

// size returns how many tokens a cache holds.
func (c *cache) size() int {
	n := 0
	for i := range c.sets {
		for j := range c.sets[i].entries {
			if c.sets[i].entries[j].Load() != nil {
				n++
			}
		}
	}
	return n
}

// TestCacheSize holds that the cache never has more entries than it was given,
// whatever comes how often, and makes use of what it was given. The size is
// rounded down to a multiple of 16, the places of a set; 256 is the least.
func TestCacheSize(t *testing.T) {
	for _, tt := range []struct{ size, limit int }{
		{1, 256}, {255, 256}, {256, 256}, {271, 256}, {272, 272}, {1000, 992}, {4096, 4096},
	} {
		for visits := range 3 {
			c := newCache(tt.size)
			for _, token := range tokens(1, 10*tt.limit+1000) {
				c.add(token, Claims{}, false)
				for range visits {
					if c.get(token) == nil {
						t.Fatalf("size %d: a token was forgotten at once", tt.size)
					}
				}
			}
			// Who came once or twice is on probation, unless the doorkeeper took
			// them for somebody who came before.
			least, most := tt.limit*probation/ways*9/10, tt.limit*3/4
			if visits == 2 {
				least, most = tt.limit*9/10*(ways-probation)/ways, tt.limit
			}
			if got := c.size(); got < least || got > most {
				t.Errorf("size %d, %d visits: got %d entries, want %d to %d", tt.size, visits, got, least, most)
			}
		}
	}
}

// TestCacheKeepsRegulars holds that a token which keeps coming is not pushed
// out by any number of tokens that come once.
func TestCacheKeepsRegulars(t *testing.T) {
	c := newCache(4096)
	regulars := tokens(1, 100)
	entries := make(map[string]*entry)
	for _, token := range regulars {
		entries[token] = c.add(token, Claims{UserID: uuid.New()}, false)
		c.get(token)
		c.get(token) // the second return
	}
	for i, token := range tokens(2, 20_000) {
		c.add(token, Claims{}, false)
		if i%2 == 0 {
			c.get(token) // came back once
		}
	}
	for _, token := range regulars {
		if e := c.get(token); e != entries[token] {
			t.Fatalf("a regular was forgotten: got %v", e)
		}
	}
	if once := tokens(3, 1)[0]; c.add(once, Claims{}, false) == nil || c.get(once) == nil {
		t.Error("a newcomer is not remembered after the flood")
	}

	// Regulars make way for other regulars, and those who still come stay.
	faithful := regulars[0]
	for _, token := range tokens(4, 20_000) {
		c.add(token, Claims{}, false)
		c.get(token)
		c.get(token)
		if c.get(faithful) == nil {
			t.Fatal("a token that comes between any two others was forgotten")
		}
	}
	if got := c.get(regulars[1]); got != nil {
		t.Errorf("a token that stayed away is still there: %v", got)
	}
}

// TestCacheSpelling holds that only the very text of a token finds its entry,
// that adding it again changes nothing, and that no larger text is kept alive.
func TestCacheSpelling(t *testing.T) {
	c := newCache(0)
	header := "x=1; name=" + tokens(1, 1)[0] + "; y=" + strings.Repeat("y", 1<<20)
	token := header[len("x=1; name="):strings.LastIndex(header, "; y=")]
	e := c.add(token, Claims{App: "first"}, false)
	if again := c.add(strings.Clone(token), Claims{App: "second"}, true); again != e || e.claims.App != "first" || e.access {
		t.Errorf("adding it again: got %v, want the first entry", again)
	}
	for range 3 { // on probation, and kept
		for _, other := range []string{"", "a", "ab", "abc", token + "=", " " + token, token + " ", token[1:], token[:len(token)-1], strings.ToUpper(token)} {
			if got := c.get(other); got != nil {
				t.Errorf("%q finds %v", other, got)
			}
		}
		if got := c.get(token); got != e {
			t.Errorf("got %v, want the entry", got)
		}
	}
	if unsafe.StringData(e.token) == unsafe.StringData(token) {
		t.Error("the cache keeps a whole Cookie header alive")
	}
	s, tag := c.find(token)
	if _, place := s.get(token, tag); place < probation || c.size() != 1 {
		t.Errorf("got %d entries and it at place %d, want one among the kept", c.size(), place)
	}
	var none *cache
	if got := none.get(token); got != nil {
		t.Errorf("no cache: got %v", got)
	}
}

// TestCacheConcurrently holds that many requests at once agree on one entry of
// a token as long as it is there, and that each finds the claims of its own.
func TestCacheConcurrently(t *testing.T) {
	c := newCache(1024)
	all := tokens(1, 2000)
	users := make(map[string]uuid.UUID, len(all))
	for _, token := range all {
		users[token] = uuid.New()
	}
	var found, wrong atomic.Int64
	var wg sync.WaitGroup
	for worker := range 4 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 0))
			for range 3000 {
				// Few come often, many seldom.
				token := all[min(random.IntN(len(all)), random.IntN(len(all)), random.IntN(len(all)))]
				e := c.get(token)
				if e == nil {
					e = c.add(token, Claims{UserID: users[token]}, false)
				} else {
					found.Add(1)
				}
				if e.claims.UserID != users[token] {
					wrong.Add(1)
				}
				e.checked.Store(int64(worker))
			}
		})
	}
	wg.Wait()
	if wrong.Load() > 0 || found.Load() == 0 {
		t.Errorf("got %d hits and %d of them another user's", found.Load(), wrong.Load())
	}
	if n := c.size(); n > 1024 {
		t.Errorf("got %d entries, want 1,024 at most", n)
	}

	// All add one token at the same moment.
	var entries sync.Map
	for range 16 {
		wg.Go(func() { entries.Store(c.add("header.payload.signature", Claims{}, false), true) })
	}
	wg.Wait()
	n := 0
	entries.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("got %d entries of one token", n)
	}
}

// aliveStore is a store in which every session is alive.
type aliveStore struct {
	Store
	guests map[uuid.UUID]bool // whose sessions are of anonymous users
}

func (s aliveStore) Lookup(_ context.Context, user, session uuid.UUID) (Session, error) {
	return Session{ID: session, UserID: user, ExpiresAt: time.Now().Add(maxLifetime), Anonymous: s.guests[session]}, nil
}

// TestCacheIsNoWayAround holds that what is remembered of a token saves no
// check but that of its signature: its time, what carried it, and its session
// are looked at all the same.
func TestCacheIsNoWayAround(t *testing.T) {
	store := aliveStore{guests: make(map[uuid.UUID]bool)}
	m, err := New(Config{Keys: []Key{{Secret: []byte("a secret that is only of this test")}}, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	base := Claims{UserID: uuid.New(), SessionID: uuid.New(), IssuedAt: now, ExpiresAt: now.Add(time.Hour), ProvenAt: now, Method: "pwd"}
	guest := base
	guest.SessionID, guest.Anonymous, guest.Method, guest.ProvenAt = uuid.New(), true, "", time.Time{}
	store.guests[guest.SessionID] = true
	issue := func(c Claims, typ string) string {
		token, err := m.keys.issue(c, typ, m.cfg.Audience)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	permanent, anonymous := issue(base, typeSession), issue(guest, typeSession)
	access, guestAccess := issue(base, typeAccess), issue(guest, typeAccess)

	ask := func(carrier, token string, at time.Time) string {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if r.Header.Set("Authorization", "Bearer "+token); carrier != "bearer" {
			r.Header = http.Header{"Cookie": {carrier + "=" + token}}
		}
		var b brought
		b.read(r.Header, m)
		if f := m.look(r, &b, at); f.standing != live {
			return f.reason
		}
		return "live"
	}
	in, late := now, now.Add(time.Hour+leeway+time.Second)
	for _, tt := range []struct {
		name, carrier, token string
		at                   time.Time
		want                 string
	}{
		{"permanent, in its cookie", m.cookies.permanent, permanent, in, "live"},
		{"permanent, in the other", m.cookies.anonymous, permanent, in, "wrong_cookie"},
		{"permanent, bearer", "bearer", permanent, in, "live"},
		{"anonymous, in its cookie", m.cookies.anonymous, anonymous, in, "live"},
		{"anonymous, in the other", m.cookies.permanent, anonymous, in, "wrong_cookie"},
		{"access token, bearer", "bearer", access, in, "live"},
		{"access token, permanent cookie", m.cookies.permanent, access, in, "wrong_cookie"},
		{"access token, anonymous cookie", m.cookies.anonymous, access, in, "wrong_cookie"},
		{"guest's access token, bearer", "bearer", guestAccess, in, "live"},
		{"guest's access token, anonymous cookie", m.cookies.anonymous, guestAccess, in, "wrong_cookie"},
		{"guest's access token, permanent cookie", m.cookies.permanent, guestAccess, in, "wrong_cookie"},
		{"permanent, at its last second", m.cookies.permanent, permanent, late.Add(-2 * time.Second), "live"},
		{"permanent, late", m.cookies.permanent, permanent, late, "expired"},
		{"permanent, late, bearer", "bearer", permanent, late, "expired"},
		{"anonymous, late", m.cookies.anonymous, anonymous, late, "expired"},
		{"access token, late", "bearer", access, late, "expired"},
	} {
		for _, token := range []string{permanent, anonymous, access, guestAccess} {
			if m.cache.get(token) == nil {
				ask("bearer", token, in) // and now it is known
			}
		}
		if got := ask(tt.carrier, tt.token, tt.at); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}

	// A session that ended is over, however lately it was seen alive.
	e := m.cache.get(permanent)
	e.checked.Store(now.UnixNano())
	m.over(e)
	if got := ask(m.cookies.permanent, permanent, now); got != "superseded" {
		t.Errorf("a dead session: got %q, want superseded", got)
	}
	// A clock that is set back does not make an old look a new one.
	e = m.cache.get(anonymous)
	e.checked.Store(now.Add(time.Hour).UnixNano())
	if e.checkedWithin(time.Minute, now) || !e.checkedWithin(time.Minute, now.Add(time.Hour+59*time.Second)) || e.checkedWithin(time.Minute, now.Add(time.Hour+time.Minute)) {
		t.Error("a look in an hour counts now, or not in its minute")
	}
}

// A calmStore has every session, or has never heard of any, and renews all.
type calmStore struct {
	aliveStore
	none bool
}

func (s calmStore) Lookup(ctx context.Context, user, session uuid.UUID) (Session, error) {
	if s.none {
		return Session{}, ErrNotFound
	}
	return s.aliveStore.Lookup(ctx, user, session)
}

func (calmStore) RenewSession(context.Context, Session) error { return nil }

// TestReturning holds for whom the short way is open, and until when.
func TestReturning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const recheck = 30 * time.Second
		for _, tt := range []struct {
			name   string
			claims func(now time.Time) Claims
			change func(*Config)
			carry  func(m *Middleware, token string) http.Header // nil: the cookie that fits
			method string
			want   time.Duration // for how long it is open after a page view
		}{
			{"a permanent user", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), ProvenAt: now, Method: "pwd"}
			}, nil, nil, http.MethodGet, recheck},
			{"an anonymous one", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), Anonymous: true}
			}, nil, nil, http.MethodGet, recheck},
			{"a HEAD", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), Anonymous: true}
			}, nil, nil, http.MethodHead, recheck},
			{"an act", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), Anonymous: true}
			}, nil, nil, http.MethodPost, 0},
			{"a token that is over in ten seconds, and the leeway", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(-leeway + 10*time.Second), Anonymous: true}
			}, nil, nil, http.MethodGet, 10 * time.Second},
			{"one that is due in ten seconds", func(now time.Time) Claims {
				return Claims{IssuedAt: now.Add(-time.Hour + 10*time.Second), ExpiresAt: now.Add(time.Hour), Anonymous: true}
			}, func(c *Config) { c.RenewAfter = time.Hour }, nil, http.MethodGet, 10 * time.Second},
			{"one older than Lifetime in ten seconds, and the leeway", func(now time.Time) Claims {
				return Claims{IssuedAt: now.Add(-time.Hour - leeway + 10*time.Second), ExpiresAt: now.Add(time.Hour), Anonymous: true}
			}, func(c *Config) { c.Lifetime, c.RenewAfter = time.Hour, time.Hour-1 }, nil, http.MethodHead, 0}, // due for a renewal, too
			{"provisional", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), Anonymous: true, Provisional: true}
			}, nil, nil, http.MethodGet, recheck},
			{"provisional, whose handler may demand a row", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), Anonymous: true, Provisional: true}
			}, func(c *Config) { c.Mint = MintOnDemand }, nil, http.MethodGet, 0},
			{"a bearer", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), Anonymous: true}
			}, nil, func(_ *Middleware, token string) http.Header {
				return http.Header{"Authorization": {"Bearer " + token}}
			}, http.MethodGet, 0},
			{"in the wrong cookie", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), Anonymous: true}
			}, nil, func(m *Middleware, token string) http.Header {
				return http.Header{"Cookie": {m.cookies.permanent + "=" + token}}
			}, http.MethodGet, 0},
			{"beside another cookie of the name", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), Anonymous: true}
			}, nil, func(m *Middleware, token string) http.Header {
				return http.Header{"Cookie": {m.cookies.anonymous + "=" + token + "; " + m.cookies.anonymous + "=x"}}
			}, http.MethodGet, 0},
			{"beside a permanent cookie", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), Anonymous: true}
			}, nil, func(m *Middleware, token string) http.Header {
				return http.Header{"Cookie": {m.cookies.anonymous + "=" + token + "; " + m.cookies.permanent + "=x"}}
			}, http.MethodGet, 0},
		} {
			guests := make(map[uuid.UUID]bool)
			store := calmStore{aliveStore: aliveStore{guests: guests}, none: tt.claims(time.Now()).Provisional}
			cfg := Config{Keys: []Key{{Secret: []byte("a secret that is only of this test")}}, Store: store}
			if tt.change != nil {
				tt.change(&cfg)
			}
			m, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			c := tt.claims(now)
			c.UserID, c.SessionID = uuid.New(), uuid.New()
			guests[c.SessionID] = c.Anonymous
			if c.IssuedAt.IsZero() {
				c.IssuedAt = now
			}
			token, err := m.keys.issue(c, typeSession, m.cfg.Audience)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(tt.method, "/", nil)
			r.Header = http.Header{"Cookie": {m.cookies.name(c.Anonymous) + "=" + token}}
			if tt.carry != nil {
				r.Header = tt.carry(m, token)
			}
			isOpen := func() bool {
				var b brought
				b.read(r.Header, m)
				return m.returning(r, &b) != nil
			}
			if isOpen() {
				t.Errorf("%s: open before anybody looked", tt.name)
			}
			m.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
			if got := isOpen(); got != (tt.want > 0) {
				t.Errorf("%s: open %t, want for %v", tt.name, got, tt.want)
			}
			if tt.want == 0 {
				continue
			}
			time.Sleep(tt.want - time.Nanosecond)
			if !isOpen() {
				t.Errorf("%s: closed before %v", tt.name, tt.want)
			}
			time.Sleep(time.Nanosecond)
			if isOpen() {
				t.Errorf("%s: still open after %v", tt.name, tt.want)
			}
			m.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
			if e := m.cache.get(token); isOpen() {
				m.over(e)
				if isOpen() {
					t.Errorf("%s: open for a session that is over", tt.name)
				}
			}
		}
	})
}
