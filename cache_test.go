package walkin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/store"
)

// aliveStore is a store in which every session is alive.
type aliveStore struct {
	store.Store
	guests map[uuid.UUID]bool // whose sessions are of anonymous users
}

func (s aliveStore) LookupSession(_ context.Context, user, session uuid.UUID) (store.Session, error) {
	return store.Session{ID: session, UserID: user, ExpiresAt: time.Now().Add(maxLifetime), Anonymous: s.guests[session]}, nil
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
	issue := func(c Claims, kind token.Kind) string {
		text, err := m.keys.Issue(c.forToken(), kind, m.cfg.Tokens.Audience)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	permanent, anonymous := issue(base, token.Session), issue(guest, token.Session)
	access, guestAccess := issue(base, token.Access), issue(guest, token.Access)

	ask := func(carrier, token string, at time.Time) string {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if r.Header.Set("Authorization", "Bearer "+token); carrier != "bearer" {
			r.Header = http.Header{"Cookie": {carrier + "=" + token}}
		}
		var b requestCredentials
		b.read(r.Header, m.verifier)
		if f := m.verifier.authenticate(r, &b, at); f.status != live {
			return string(f.reason)
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
			if m.verifier.cache.Get(token) == nil {
				ask("bearer", token, in) // and now it is known
			}
		}
		if got := ask(tt.carrier, tt.token, tt.at); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}

	// A session that ended is over, however lately it was seen alive.
	e := m.verifier.cache.Get(permanent)
	e.checked.Store(now.UnixNano())
	m.verifier.over(e)
	if got := ask(m.cookies.permanent, permanent, now); got != "session_ended" {
		t.Errorf("a dead session: got %q, want session_ended", got)
	}
	// A clock that is set back does not make an old look a new one.
	e = m.verifier.cache.Get(anonymous)
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

func (s calmStore) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	if s.none {
		return store.Session{}, store.ErrNotFound
	}
	return s.aliveStore.LookupSession(ctx, user, session)
}

func (calmStore) RenewSession(context.Context, store.Session) error { return nil }

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
			}, func(c *Config) { c.Tokens.RenewAfter = time.Hour }, nil, http.MethodGet, 10 * time.Second},
			{"one older than Lifetime in ten seconds, and the leeway", func(now time.Time) Claims {
				return Claims{IssuedAt: now.Add(-time.Hour - leeway + 10*time.Second), ExpiresAt: now.Add(time.Hour), Anonymous: true}
			}, func(c *Config) { c.Tokens.Lifetime, c.Tokens.RenewAfter = time.Hour, time.Hour-1 }, nil, http.MethodHead, 0}, // due for a renewal, too
			{"provisional", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), Anonymous: true, Provisional: true}
			}, nil, nil, http.MethodGet, recheck},
			{"provisional, whose handler may demand a row", func(now time.Time) Claims {
				return Claims{ExpiresAt: now.Add(time.Hour), Anonymous: true, Provisional: true}
			}, func(c *Config) { c.NewUsers.Mint = MintOnDemand }, nil, http.MethodGet, 0},
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
			text, err := m.keys.Issue(c.forToken(), token.Session, m.cfg.Tokens.Audience)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(tt.method, "/", nil)
			r.Header = http.Header{"Cookie": {m.cookies.name(c.Anonymous) + "=" + text}}
			if tt.carry != nil {
				r.Header = tt.carry(m, text)
			}
			isOpen := func() bool {
				var b requestCredentials
				b.read(r.Header, m.verifier)
				return m.verifier.returning(r, &b) != nil
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
			if e := m.verifier.cache.Get(text); isOpen() {
				m.verifier.over(e)
				if isOpen() {
					t.Errorf("%s: open for a session that is over", tt.name)
				}
			}
		}
	})
}
