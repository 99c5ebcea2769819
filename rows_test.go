package walkin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/walkintest"
)

// rowsAnHour sets the row limit.
func rowsAnHour(n int) func(*walkin.Config) {
	return func(c *walkin.Config) { c.NewUsers.Limit = limit.Limit{Count: n, Per: time.Hour} }
}

// actFrom sends a write from an address, by a visitor whom the site never saw, and
// returns the status of the answer.
func (s *site) actFrom(remote string, header ...string) int {
	s.t.Helper()
	c := s.browser(s.routes().ServeHTTP).From(remote)
	return c.Do(with(c.NewRequest(http.MethodPost, "/note", nil), header...)).StatusCode
}

// TestRowFloods holds that many addresses of one network are one visitor: a
// home has an IPv6 /64, and for little money anybody has a /48.
func TestRowFloods(t *testing.T) {
	for _, tt := range []struct {
		name    string
		n       int
		address func(i int) string
		want    int // rows
	}{
		{"one IPv4 address", 500, func(int) string { return "203.0.113.7:1" }, 30},
		{"one IPv4 address, spelt in two ways", 500, func(i int) string {
			return []string{"203.0.113.7:1", "[::ffff:203.0.113.7]:1"}[i%2]
		}, 30},
		{"5,000 addresses of one /64", 5000, func(i int) string { return fmt.Sprintf("[2001:db8:1:2:%x::%x]:1", i, i) }, 30},
		{"one link, by many zones", 500, func(i int) string { return fmt.Sprintf("[fe80::1%%eth%d]:1", i) }, 30},
		{"300 /64s of one /48", 1200, func(i int) string { return fmt.Sprintf("[2001:db8:1:%x::1]:1", i%300) }, 120},
		{"a Unix socket", 100, func(i int) string { return []string{"@", "", "/run/app.sock"}[i%3] }, 30},
		{"40 IPv4 addresses", 40, func(i int) string { return fmt.Sprintf("203.0.113.%d:1", i) }, 40},
		{"150 /48s", 150, func(i int) string { return fmt.Sprintf("[2001:db8:%x::1]:1", i) }, 150},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // nothing comes back while it runs
				s := newSite(t)
				for i := range tt.n {
					s.actFrom(tt.address(i))
				}
				s.wantRows(tt.want)
			})
		})
	}
}

// TestNeighbours holds that a computer which hammers at its own limit does not
// use up that of the networks around it.
func TestNeighbours(t *testing.T) {
	s := newSite(t)
	for range 200 {
		s.actFrom("[2001:db8:1:1::1]:1")
	}
	if got := s.actFrom("[2001:db8:1:2::1]:1"); got != http.StatusOK {
		t.Errorf("the next /64: got %d, want 200", got)
	}
}

// TestFullNeighbourhood holds that a computer which was refused for its
// neighbours' sake has lost nothing of its own.
func TestFullNeighbourhood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		for i := range 120 {
			s.actFrom(fmt.Sprintf("[2001:db8:1:%x::1]:1", i%6))
		}
		c := s.browser(who).From("[2001:db8:1:ff::1]:1")
		for range 40 {
			r := c.Do(c.NewRequest(http.MethodPost, "/", nil))
			if got := r.Header.Get("RateLimit"); r.StatusCode != http.StatusTooManyRequests || got != `"new-users-network";r=0;t=30` {
				t.Fatalf("got %d and RateLimit %s", r.StatusCode, got)
			}
			if got := r.Header.Get("RateLimit-Policy"); got != `"new-users-network";q=120;w=3600` {
				t.Fatalf("got RateLimit-Policy %s", got)
			}
		}
		time.Sleep(30 * time.Second)
		if r := c.Do(c.NewRequest(http.MethodPost, "/", nil)); r.StatusCode != http.StatusOK {
			t.Errorf("after the wait: got %d, want 200", r.StatusCode)
		}
	})
}

// TestSpoofing holds that no client chooses the bucket it counts in.
func TestSpoofing(t *testing.T) {
	t.Run("untrusted peer", func(t *testing.T) {
		for _, changes := range [][]func(*walkin.Config){nil, {behind("", proxies...)}} {
			s := newSite(t, changes...)
			for i := range 200 {
				s.actFrom("192.0.2.1:1", "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i), "Forwarded", fmt.Sprintf("for=203.0.113.%d", i))
			}
			s.wantRows(30)
		}
	})
	t.Run("client's own words", func(t *testing.T) {
		s := newSite(t, behind("", proxies...))
		for i := range 200 {
			s.actFrom(proxy, "X-Forwarded-For", fmt.Sprintf("198.51.100.%d, 203.0.113.7", i))
		}
		s.wantRows(30)
	})
	t.Run("garbage", func(t *testing.T) {
		s := newSite(t, behind("", proxies...))
		for i := range 200 {
			s.actFrom(proxy, "X-Forwarded-For", fmt.Sprintf("198.51.100.1, garbage %d", i))
		}
		s.wantRows(30)
		for i := range 20 { // and the others of that proxy go on
			if got := s.actFrom(proxy, "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i)); got != http.StatusOK {
				t.Errorf("a neighbour: got %d, want 200", got)
			}
		}
		if got := s.actFrom("10.0.0.2:1", "X-Forwarded-For", "unknown"); got != http.StatusOK {
			t.Errorf("the garbage of another proxy: got %d, want 200", got)
		}
	})
}

// TestAtTheNewUserLimit holds what a visitor without a row sees then, and that all
// the others see nothing of it.
func TestAtTheNewUserLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(c *walkin.Config) { c.NewUsers.PersistOnMint = true; c.NewUsers.Mint = walkin.MintOnVisit })
		lazy := newSite(t, over(s))
		const here = "203.0.113.7:1"
		user, member, guest := resident(lazy, "anonymous").From(here), resident(lazy, "permanent").From(here), resident(lazy, "provisional").From(here)
		for _, replica := range []*site{s, lazy} {
			for range 30 {
				if got := replica.actFrom(here); got != http.StatusOK {
					t.Fatalf("below the limit: got %d, want 200", got)
				}
			}
		}
		rows := s.store.rows(t)
		s.told()
		lazy.told()

		ran := 0
		spy := func(w http.ResponseWriter, r *http.Request) { ran++; who(w, r) }
		r := s.browser(spy).From(here).Visit("/")
		if got := body(t, r); r.StatusCode != http.StatusOK || got != "nobody" || ran != 1 || len(r.Cookies()) > 0 || r.Header.Get("RateLimit") != "" {
			t.Errorf("a page: got %d %q, %v and %v, want 200 for nobody", r.StatusCode, got, r.Cookies(), r.Header)
		}
		if got := s.outcomes(); got != "skipped:new_user_limit" {
			t.Errorf("a page: got events %q, want skipped:new_user_limit", got)
		}

		for name, c := range map[string]*walkintest.Client{"nobody": lazy.browser(spy), "a guest who never acted": guest.On(lazy.Handler(http.HandlerFunc(spy)))} {
			ran = 0
			c = c.From(here)
			jar := fmt.Sprint(c.Cookies())
			r = c.Do(c.NewRequest(http.MethodPost, "/", nil))
			for field, want := range map[string]string{
				"Retry-After": "120", "RateLimit": `"new-users";r=0;t=120`, "RateLimit-Policy": `"new-users";q=30;w=3600`,
				"Cache-Control": "no-store", "Content-Type": "application/problem+json", "Set-Cookie": "",
			} {
				if got := r.Header.Get(field); got != want {
					t.Errorf("an act of %s: got %s: %q, want %q", name, field, got, want)
				}
			}
			const want = `{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"There are many new visitors from your network just now. Please wait 2 minutes and try again.","code":"new_user_limit"}`
			if got := strings.TrimSpace(body(t, r)); r.StatusCode != http.StatusTooManyRequests || got != want || ran > 0 {
				t.Errorf("an act of %s: got %d %s, want 429 %s", name, r.StatusCode, got, want)
			}
			if got := lazy.outcomes(); got != "refused:new_user_limit" {
				t.Errorf("an act of %s: got events %q, want refused:new_user_limit", name, got)
			}
			if got := fmt.Sprint(c.Cookies()); got != jar {
				t.Errorf("an act of %s: the jar went from %s to %s", name, jar, got)
			}
		}
		page := lazy.browser(spy).From(here).Post("/", nil)
		if got := body(t, page); !strings.Contains(got, "<p>There are many new visitors from your network just now. Please wait 2 minutes") {
			t.Errorf("a person's act: got page %s", got)
		}
		if got := lazy.browser(lazy.routes().ServeHTTP).From(here).Fetch("/ensure"); got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") != "120" {
			t.Errorf("Ensure: got %d and %v, want 429", got.StatusCode, got.Header)
		}
		if got := lazy.store.rows(t); got != rows {
			t.Errorf("got %d rows, want %d", got, rows)
		}

		// Everybody else.
		for i := range 1000 { // nothing is written for a visitor who reads
			if r := lazy.browser(spy).From(here).Visit("/"); r.StatusCode != http.StatusOK || len(r.Cookies()) != 1 {
				t.Fatalf("page view %d: got %d and %v, want 200 and a cookie", i, r.StatusCode, r.Cookies())
			}
		}
		for name, c := range map[string]*walkintest.Client{"a user": user, "a member": member} {
			if r := c.Post("/note", nil); r.StatusCode != http.StatusOK {
				t.Errorf("%s: got %d, want 200", name, r.StatusCode)
			}
		}
		if got := lazy.actFrom("203.0.113.8:1"); got != http.StatusOK {
			t.Errorf("the next address: got %d, want 200", got)
		}

		time.Sleep(500 * time.Millisecond)
		if got := guest.Post("/note", nil).Header; got.Get("Retry-After") != "120" || got.Get("RateLimit") != `"new-users";r=0;t=120` {
			t.Errorf("119.5 s before: got %v, want 120", got)
		}
		time.Sleep(119*time.Second + 500*time.Millisecond - time.Nanosecond)
		if got := guest.Post("/note", nil); got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") != "1" {
			t.Errorf("just before: got %d after %q, want 429 after 1", got.StatusCode, got.Header.Get("Retry-After"))
		}
		time.Sleep(time.Nanosecond)
		if got := guest.Post("/note", nil); got.StatusCode != http.StatusOK {
			t.Errorf("after the wait: got %d, want 200", got.StatusCode)
		}
		if got := lazy.actFrom(here); got != http.StatusTooManyRequests {
			t.Errorf("and one more: got %d, want 429", got)
		}
	})
}

// TestNoRowNoCharge holds that what makes no row takes none from the address:
// only then may the limit be as tight as it is.
func TestNoRowNoCharge(t *testing.T) {
	const here = "203.0.113.7:1"
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, s *site) // five times
	}{
		{"page views", func(_ *testing.T, s *site) { s.browser(who).From(here).Visit("/") }},
		{"prefetches", func(_ *testing.T, s *site) {
			r := with(s.navigation("/ensure"), "Sec-Purpose", "prefetch")
			r.RemoteAddr = here
			_, _ = s.browser(s.routes().ServeHTTP).Serve(r)
		}},
		{"posts from elsewhere", func(_ *testing.T, s *site) { s.actFrom(here, "Sec-Fetch-Site", "cross-site") }},
		{"robots", func(_ *testing.T, s *site) { s.actFrom(here, "User-Agent", "Googlebot/2.1") }},
		{"a row twice", func(t *testing.T, s *site) {
			// The response to the first write got lost.
			c := walkintest.NewClient(t, s.Handler(s.routes())).From(fmt.Sprintf("198.51.100.%d:1", s.store.rows(t)))
			c.Visit("/")
			for i := range 2 {
				r := c.NewRequest(http.MethodPost, "/note", nil)
				c.Carry(r)
				if i > 0 {
					r.RemoteAddr = here
				}
				if answer, err := c.Serve(r); err != nil || answer.StatusCode != http.StatusOK {
					t.Fatalf("got %v and error %v", answer, err)
				}
			}
		}},
		{"claims that fail", func(_ *testing.T, s *site) {
			s.actFrom(here, "X-Claims", "fail")
		}},
		{"a name that is taken", func(_ *testing.T, s *site) {
			c := s.browser(s.routes().ServeHTTP).From(here)
			c.Post("/prove", url.Values{"name": {"ann"}, "new": {"yes"}})
		}},
		{"signing in", func(_ *testing.T, s *site) { s.prove(s.browser(s.routes().ServeHTTP).From(here), "ann") }},
		{"a guest who signs in", func(_ *testing.T, s *site) {
			c := s.browser(s.routes().ServeHTTP).From(here)
			c.Visit("/")
			s.prove(c, "ann")
		}},
		{"an upgrade of a user", func(_ *testing.T, s *site) {
			c := resident(s, "anonymous").From(here)
			s.prove(c, fmt.Sprint("bob", s.store.rows(s.t)))
		}},
		{"signing out of a user", func(_ *testing.T, s *site) {
			resident(s, "anonymous").From(here).On(s.SignOutHandler()).Post("/out", nil)
		}},
		{"signing out of a user with the token from before their row", func(_ *testing.T, s *site) {
			c := resident(s, "provisional")
			old := carrying(s, anonName, c.Cookie(anonName))
			c.Post("/note", nil)
			old.From(here).On(s.SignOutHandler()).Post("/out", nil)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				type key struct{}
				s := newSite(t, rowsAnHour(1), func(c *walkin.Config) {
					c.Paths.SignIn = "/prove"
					c.Tokens.AppClaims = func(ctx context.Context, _ walkin.Claims) (map[string]any, error) {
						if ctx.Value(key{}) != nil {
							return nil, errors.New("no claims")
						}
						return nil, nil
					}
				})
				resident(s, "permanent") // Ann
				if tt.name == "claims that fail" {
					h := s.Handler(s.routes())
					for range 5 {
						c := walkintest.NewClient(t, h).From(here)
						r := c.NewRequest(http.MethodPost, "/note", nil)
						if got := c.Do(r.WithContext(context.WithValue(r.Context(), key{}, true))).StatusCode; got != http.StatusInternalServerError {
							t.Fatalf("got %d, want 500", got)
						}
					}
				} else {
					for range 5 {
						tt.do(t, s)
					}
				}
				if got := s.actFrom(here); got != http.StatusOK {
					t.Errorf("afterwards: got %d, want 200", got)
				}
				if got := s.actFrom(here); got != http.StatusTooManyRequests {
					t.Errorf("and then: got %d, want 429", got)
				}
			})
		})
	}
}

// TestEveryRowCounts holds that there is no way around: whatever makes the
// store keep something for a stranger takes from their address, and is refused
// at the limit.
func TestEveryRowCounts(t *testing.T) {
	const here = "203.0.113.7:1"
	n := 0
	name := func() string { n++; return fmt.Sprint("name", n) }
	for _, tt := range []struct {
		name string
		do   func(s *site) int // the status of the answer
		most int               // writes to the store at the limit
		want int
	}{
		{"an act", func(s *site) int { return s.actFrom(here) }, 0, 429},
		{"an act of a guest", func(s *site) int {
			c := s.browser(s.routes().ServeHTTP).From(here)
			c.Visit("/")
			return c.Post("/note", nil).StatusCode
		}, 0, 429},
		{"Ensure", func(s *site) int { return s.browser(s.routes().ServeHTTP).From(here).Fetch("/ensure").StatusCode }, 0, 429},
		{"a sign-up of nobody", func(s *site) int {
			return s.browser(s.routes().ServeHTTP).From(here).Post("/prove", url.Values{"name": {name()}, "new": {"yes"}}).StatusCode
		}, 0, 429},
		{"a sign-up of a guest", func(s *site) int {
			c := s.browser(s.routes().ServeHTTP).From(here)
			c.Visit("/")
			return c.Post("/prove", url.Values{"name": {name()}, "new": {"yes"}}).StatusCode
		}, 0, 429},
		{"a sign-up outside of Handler", func(s *site) int {
			return walkintest.NewClient(s.t, s.routes()).From(here).Post("/prove", url.Values{"name": {name()}, "new": {"yes"}}).StatusCode
		}, 0, 429},
		{"a guest who signs out", func(s *site) int { // outside of Handler; inside, it is a write
			c := s.browser(s.routes().ServeHTTP).From(here)
			c.Visit("/")
			defer func() {
				if len(c.Cookies()) > 0 {
					s.t.Errorf("after signing out: got %v, want no cookie", c.Cookies())
				}
			}()
			return c.On(s.SignOutHandler()).Post("/out", nil).StatusCode
		}, 0, 303},
		{"a store that fails, perhaps after it wrote", func(s *site) int {
			s.store.failAt("CreateAnonymous", errDown)
			defer s.store.be(nil)
			return s.actFrom(here)
		}, 0, 429},
		{"a handler that panics", func(s *site) int {
			c := s.browser(func(http.ResponseWriter, *http.Request) { panic("x") }).From(here)
			r, err := c.Serve(c.NewRequest(http.MethodPost, "/", nil))
			if err != nil {
				return 0
			}
			return r.StatusCode
		}, 0, 429},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, rowsAnHour(3), func(c *walkin.Config) { c.Paths.SignIn = "/prove" })
				for i := range 3 {
					if got := tt.do(s); got == http.StatusTooManyRequests {
						t.Fatalf("number %d: got 429", i)
					}
				}
				for range 3 {
					s.store.count()
					if got := tt.do(s); got != tt.want {
						t.Errorf("at the limit: got %d, want %d", got, tt.want)
					}
					if got := s.store.count(writes...); got > tt.most {
						t.Errorf("at the limit: got %d writes", got)
					}
				}
			})
		})
	}
}

// TestSignInAtTheNewUserLimit holds that a crowd at an address keeps no owner out
// of their account, whether walkin has heard of it or not.
func TestSignInAtTheNewUserLimit(t *testing.T) {
	const here = "203.0.113.7:1"
	for _, guest := range []bool{false, true} {
		s := newSite(t, rowsAnHour(1), func(c *walkin.Config) { c.Paths.SignIn = "/prove" })
		resident(s, "permanent") // Ann
		s.actFrom(here)
		for range 3 {
			c := s.browser(s.routes().ServeHTTP).From(here)
			if guest {
				c.Visit("/")
			}
			if got := s.prove(c, "ann"); got != "signed_in" {
				t.Errorf("a guest %t: got %q, want signed_in", guest, got)
			}
		}
		for i := range 3 { // to walkin they are new
			c := s.browser(s.routes().ServeHTTP).From(here)
			want := "signed_up"
			if guest {
				c.Visit("/")
				want = "upgraded"
			}
			if got := s.prove(c, fmt.Sprint("of the app's own table ", i)); got != want {
				t.Errorf("a guest %t: got %q, want %s", guest, got, want)
			}
		}
		if got := s.actFrom(here); got != http.StatusTooManyRequests {
			t.Errorf("a guest %t: a row: got %d, want 429", guest, got)
		}
	}
}

// TestLostCookieAtTheNewUserLimit holds that a visitor whose row is there goes on, also
// with the token from before it.
func TestLostCookieAtTheNewUserLimit(t *testing.T) {
	const here = "203.0.113.7:1"
	s := newSite(t, rowsAnHour(1))
	c := resident(s, "provisional").From(here)
	old := c.Cookie(anonName)
	c.Post("/note", nil)
	id := body(t, c.Fetch("/"))
	late := carrying(s, anonName, old).From(here).On(s.Handler(s.routes()))
	if r := late.Post("/note", nil); r.StatusCode != http.StatusOK || body(t, r) != id {
		t.Errorf("got %d %q, want %q", r.StatusCode, body(t, r), id)
	}
	if err := s.SignOutEverywhere(t.Context(), s.claims(c).UserID); err != nil {
		t.Fatal(err)
	}
	late = carrying(s, anonName, old).From(here).On(s.Handler(s.routes()))
	if r := late.Post("/note", nil); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("after signing out: got %d, want 401", r.StatusCode)
	}
}

// TestSessionDataAtTheNewUserLimit holds that a page which keeps something about
// its readers is still read, and a post is not answered as if it were kept.
func TestSessionDataAtTheNewUserLimit(t *testing.T) {
	const here = "203.0.113.7:1"
	s := newSite(t, rowsAnHour(1), minting(walkin.MintOnVisit))
	sm := scs.New()
	sm.Store = memstore.NewWithCleanupInterval(0)
	h := s.Handler(s.LoadAndSave(sm)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sm.Put(r.Context(), "seen", true)
		fmt.Fprint(w, "hello")
	})))
	guest := walkintest.NewClient(t, h).From(here)
	guest.On(s.Handler(http.HandlerFunc(who))).Visit("/")
	s.actFrom(here)
	s.told()
	r := guest.Visit("/")
	if got := body(t, r); r.StatusCode != http.StatusOK || got != "hello" || len(r.Cookies()) > 0 {
		t.Errorf("a page: got %d %q and %v, want 200", r.StatusCode, got, r.Cookies())
	}
	if got := s.outcomes(); got != "skipped:new_user_limit" {
		t.Errorf("a page: got events %q, want skipped:new_user_limit", got)
	}
	if r := guest.Post("/", nil); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("an act: got %d, want 429", r.StatusCode)
	}
	s.wantRows(1)
}

// TestNewUserLimitOf holds that a route has its own limit, or none, or the site's.
func TestNewUserLimitOf(t *testing.T) {
	const here = "203.0.113.7:1"
	limits := map[string]limit.Limit{
		"/booth": {Count: 5, Per: time.Minute}, "/off": {Count: -1}, "/wrong": {Count: 5}, "/huge": {Count: math.MaxInt, Per: time.Hour},
	}
	for path, want := range map[string]int{"/": 3, "/booth": 5, "/off": 20, "/wrong": 3, "/huge": 3} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, rowsAnHour(3), func(c *walkin.Config) {
					c.NewUsers.LimitOf = func(r *http.Request) limit.Limit { return limits[r.URL.Path] }
				})
				act := func(path string) int {
					c := s.browser(who).From(here)
					return c.Do(c.NewRequest(http.MethodPost, path, nil)).StatusCode
				}
				for range 20 {
					act(path)
				}
				s.wantRows(want)
				wrong := strings.Contains(s.outcomes(), "failed:new_user_limit_of")
				if wrong != (path == "/wrong" || path == "/huge") {
					t.Errorf("the owner was told of a wrong limit: %t", wrong)
				}
				if path != "/booth" {
					return
				}
				for i := range 5 { // each by itself
					time.Sleep(time.Minute)
					if got := act(path); got != http.StatusOK {
						t.Errorf("at the booth: got %d, want 200", got)
					}
					if got, want := act("/"), []int{200, 200, 200, 429, 429}[i]; got != want {
						t.Errorf("elsewhere, number %d: got %d, want %d", i, got, want)
					}
				}
			})
		})
	}
}

func TestNewUserLimitConfig(t *testing.T) {
	for _, tt := range []struct {
		limit limit.Limit
		want  string // "" is none
	}{
		{limit.Limit{}, ""},
		{limit.Limit{Count: -1}, ""},
		{limit.Limit{Count: 1000, Per: time.Minute}, ""},
		{limit.Limit{Count: 10}, "walkin: Config.NewUsers.Limit: a limit of 10 per 0s makes no sense"},
		{limit.Limit{Per: time.Hour}, "walkin: Config.NewUsers.Limit: a limit of 0 per 1h0m0s makes no sense"},
		{limit.Limit{Count: 10, Per: -1}, "walkin: Config.NewUsers.Limit: a limit of 10 per -1ns makes no sense"},
		{limit.Limit{Count: 2_000_000, Per: time.Hour}, "walkin: Config.NewUsers.Limit: a limit of 2000000 is none; a negative Count says so"},
	} {
		cfg := walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: &faultyStore{}, NewUsers: walkin.NewUsers{Limit: tt.limit}}
		_, err := walkin.New(cfg)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.limit, got, tt.want)
		}
	}
}

// A sharedLimiter is one that replicas share: over a network, with its faults.
type sharedLimiter struct {
	limit.Limiter

	mu    sync.Mutex
	fault error
	calls int
	takes int // and gives back
	keys  []string
}

func (l *sharedLimiter) Take(ctx context.Context, key string, rate limit.Limit, n int, now time.Time) (limit.Verdict, error) {
	l.mu.Lock()
	l.calls++
	if n != 0 {
		l.takes++
	}
	l.keys = append(l.keys, key)
	fault := l.fault
	l.mu.Unlock()
	if fault == errHang {
		<-ctx.Done()
		return limit.Verdict{}, ctx.Err()
	}
	if fault != nil {
		return limit.Verdict{}, fault
	}
	return l.Limiter.Take(ctx, key, rate, n, now)
}

func (l *sharedLimiter) be(fault error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.calls = fault, 0
}

// asked returns how often the limiter was called.
func (l *sharedLimiter) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// TestSharedLimiter holds that replicas which share a limiter count together,
// at once, and that those which do not each count for themselves.
func TestSharedLimiter(t *testing.T) {
	for _, shared := range []bool{true, false} {
		t.Run(fmt.Sprint("shared ", shared), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var changes []func(*walkin.Config)
				want := 60
				if shared {
					l := &sharedLimiter{Limiter: limit.New(0)}
					changes, want = append(changes, func(c *walkin.Config) { c.Limiter = l }), 30
				}
				a := newSite(t, changes...)
				b := newSite(t, append(changes, over(a))...)
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() { []*site{a, b}[i%2].actFrom("203.0.113.7:1") })
				}
				wg.Wait()
				a.wantRows(want)
			})
		})
	}
}

// TestFullRangeTakesNothing holds that new addresses in a network that is full are
// refused without anything being written to a limiter that is shared: a rented range
// has more of them than a table should.
func TestFullRangeTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &sharedLimiter{Limiter: limit.New(0)}
		s := newSite(t, rowsAnHour(1), func(c *walkin.Config) { c.Limiter = l })
		for i := range 4 {
			if got := s.actFrom(fmt.Sprintf("[2001:db8:1:%x::1]:1", i)); got != http.StatusOK {
				t.Fatalf("address %d: got %d, want 200", i, got)
			}
		}
		l.takes = 0
		for i := range 20 {
			if got := s.actFrom(fmt.Sprintf("[2001:db8:1:%x::1]:1", i)); got != http.StatusTooManyRequests {
				t.Fatalf("address %d: got %d, want 429", i, got)
			}
		}
		if l.takes > 0 {
			t.Errorf("the limiter took or gave back %d times, want none", l.takes)
		}
		s.wantRows(4)
	})
}

// TestLimiterDown holds that while the shared limiter does not work a site goes on,
// within what each replica allows, that no visitor waits for it more than once, and
// that it is used again when it returns.
func TestLimiterDown(t *testing.T) {
	for i, fault := range []error{errDown, errHang, errDown, errHang} {
		here := []string{"203.0.113.7:1", "[2001:db8:1:2::1]:1"}[i/2]
		t.Run(fmt.Sprint(fault, " for ", here), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &sharedLimiter{Limiter: limit.New(0)}
				s := newSite(t, rowsAnHour(5), func(c *walkin.Config) { c.Limiter = l })
				for range 5 {
					s.actFrom(here)
				}
				if got := s.actFrom(here); got != http.StatusTooManyRequests {
					t.Fatalf("at the limit: got %d, want 429", got)
				}
				s.told()
				l.be(fault)
				start := time.Now()
				for i := range 10 {
					want := http.StatusOK
					if i >= 5 {
						want = http.StatusTooManyRequests
					}
					if got := s.actFrom(here); got != want {
						t.Errorf("number %d: got %d, want %d", i, got, want)
					}
				}
				if waited := time.Since(start); waited > time.Second || l.asked() != 1 {
					t.Errorf("waited %v for %d calls, want a second at most, once", waited, l.asked())
				}
				if got := s.outcomes(); strings.Count(got, "failed:limiter") != 1 {
					t.Errorf("got events %q, want failed:limiter once", got)
				}
				l.be(nil)
				time.Sleep(13 * time.Minute)
				if got := s.actFrom(here); got != http.StatusOK || l.asked() == 0 {
					t.Errorf("when it is back: got %d after %d calls, want 200", got, l.asked())
				}
			})
		})
	}
	t.Run("the client hangs up", func(t *testing.T) {
		l := &sharedLimiter{Limiter: limit.New(0)}
		s := newSite(t, func(c *walkin.Config) { c.Limiter = l })
		l.be(errHang)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := s.browser(who)
		c.Do(c.NewRequest(http.MethodPost, "/", nil).WithContext(ctx))
		l.be(nil)
		if got := s.outcomes(); strings.Contains(got, "limiter") {
			t.Errorf("got events %q; nothing is wrong with the limiter", got)
		}
		if s.actFrom("203.0.113.7:1"); l.asked() == 0 {
			t.Error("the limiter was not asked for the next one")
		}
	})
}

// TestHangUpAtTheStore holds that a bot which never waits for its answer makes no more
// rows than others: the store may have written what it was asked.
func TestHangUpAtTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, rowsAnHour(5))
		s.store.failAt("CreateAnonymous", errHang)
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			c := s.browser(who).From("203.0.113.7:1")
			c.Do(c.NewRequest(http.MethodPost, "/", nil).WithContext(ctx))
			cancel()
		}
		s.store.be(nil)
		if got := s.actFrom("203.0.113.7:1"); got != http.StatusTooManyRequests {
			t.Errorf("got %d, want 429", got)
		}
	})
}

// TestLimitsTellNoAddress holds that the operator learns what happened, and no address.
func TestLimitsTellNoAddress(t *testing.T) {
	var log bytes.Buffer
	l := &sharedLimiter{Limiter: limit.New(0)}
	s := newSite(t, behind("", proxies...), rowsAnHour(1), func(c *walkin.Config) {
		c.Limiter, c.Logger = l, slog.New(slog.NewTextHandler(&log, nil))
	})
	for _, fault := range []error{nil, errDown} {
		l.be(fault)
		for range 3 {
			s.actFrom(proxy, "X-Forwarded-For", client)
			s.actFrom(proxy, "X-Forwarded-For", "2001:db8::7")
		}
	}
	text := fmt.Sprintf("%s %+v", log.String(), s.told())
	for _, address := range []string{"203.0.113", "2001:db8", "10.0.0"} {
		if strings.Contains(text, address) {
			t.Errorf("%s is in what the owner was told: %s", address, text)
		}
	}
	if !strings.Contains(strings.Join(l.keys, " "), "new-users:1/1h0m0s:203.0.113.7 ") {
		t.Errorf("got keys %q", l.keys)
	}
}

// TestProxyNotTrusted holds that the operator of a site behind a proxy that was
// forgotten is told, once, and that no client can make walkin say so otherwise.
func TestProxyNotTrusted(t *testing.T) {
	for _, tt := range []struct {
		name, peer, header string
		changes            []func(*walkin.Config)
		want               bool
	}{
		{"localhost", "127.0.0.1:1", "X-Forwarded-For", nil, true},
		{"a private network", "10.0.0.1:1", "Forwarded", nil, true},
		{"a Unix socket", "@", "X-Forwarded-For", nil, true},
		{"without a header", "127.0.0.1:1", "X-Other", nil, false},
		{"a stranger", "203.0.113.7:1", "X-Forwarded-For", nil, false},
		{"trusted", "10.0.0.1:1", "X-Forwarded-For", []func(*walkin.Config){behind("", proxies...)}, false},
		{"no limit", "127.0.0.1:1", "X-Forwarded-For", []func(*walkin.Config){unlimited}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			s := newSite(t, append(tt.changes, func(c *walkin.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })...)
			for range 3 {
				s.actFrom(tt.peer, tt.header, client)
			}
			said := strings.Count(s.outcomes(), "failed:proxy_not_trusted")
			logged := strings.Count(log.String(), "Config.Proxies.Trusted does not name")
			want := map[bool]int{true: 1}[tt.want]
			if said != want || logged != want {
				t.Errorf("got %d events and %d lines, want %d: %s", said, logged, want, log.String())
			}
		})
	}
}

// aChallenge is one without a page of its own.
type aChallenge func(*http.Request) (bool, error)

func (c aChallenge) Passed(r *http.Request) (bool, error) { return c(r) }

func (aChallenge) Show(http.ResponseWriter, *http.Request, *walkin.Refusal) bool { return false }

// TestChallenge holds which visitors get past a row limit by a challenge, and how far.
func TestChallenge(t *testing.T) {
	for name, tt := range map[string]struct {
		passed bool
		err    error
		want   int    // rows of 50 visitors
		told   string // of the last one
	}{
		"passed":     {true, nil, 40, "refused:new_user_limit"}, // twenty times as many
		"not passed": {false, nil, 2, "refused:new_user_limit"},
		"broken":     {true, errors.New("no answer"), 2, "failed:challenge refused:new_user_limit"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				s := newSite(t, rowsAnHour(2))
				err := s.AttachChallenge(aChallenge(func(*http.Request) (bool, error) { asked++; return tt.passed, tt.err }))
				if err != nil {
					t.Fatal(err)
				}
				for i := range 50 {
					s.told()
					want := http.StatusTooManyRequests
					if asked != max(i-2, 0) {
						t.Fatalf("visitor %d: asked %d times before", i, asked)
					}
					if i < tt.want+2 && (i < 2 || tt.passed && tt.err == nil && i < 42) {
						want = http.StatusOK
					}
					if got := s.actFrom("203.0.113.7:1"); got != want {
						t.Errorf("visitor %d: got %d, want %d", i, got, want)
					}
				}
				if got := s.outcomes(); got != tt.told {
					t.Errorf("the owner is told %q, want %q", got, tt.told)
				}
				want := tt.want
				if tt.passed && tt.err == nil {
					want = 42
				}
				s.wantRows(want)
				if got := s.browser(who).From("203.0.113.7:1").Visit("/").StatusCode; got != http.StatusOK {
					t.Errorf("a page view: got %d", got)
				}
			})
		})
	}
}

// TestChallengedHaveTheirOwn holds that those who pass a challenge and a route with as
// large a limit use up nothing of each other, and that a refusal says which limit it was.
func TestChallengedHaveTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const own = 20 * 2 // as many as those who pass have
		s := newSite(t, rowsAnHour(2), func(c *walkin.Config) {
			c.NewUsers.LimitOf = func(r *http.Request) limit.Limit {
				if r.URL.Path == "/ensure" {
					return limit.Limit{Count: own, Per: time.Hour}
				}
				return limit.Limit{}
			}
		})
		passes := true
		noError(t, s.AttachChallenge(aChallenge(func(*http.Request) (bool, error) { return passes, nil })))
		visits := func(path string, most int) *http.Response {
			for n := range most + 1 {
				c := s.browser(s.routes().ServeHTTP).From("203.0.113.7:1")
				c.Visit("/")
				r := c.Post(path, nil)
				if r.StatusCode != http.StatusOK || n == most {
					if n != most {
						t.Errorf("%s: %d had room, want %d", path, n, most)
					}
					return r
				}
			}
			return nil
		}
		r := visits("/note", 2+own)
		if got := r.Header.Get("RateLimit-Policy"); r.StatusCode != http.StatusTooManyRequests || !strings.HasPrefix(got, `"new-users-challenged"`) {
			t.Errorf("passed: got %d by %q, want 429 by those who passed", r.StatusCode, got)
		}
		passes = false
		r = visits("/ensure", own)
		if got := r.Header.Get("RateLimit-Policy"); r.StatusCode != http.StatusTooManyRequests || !strings.HasPrefix(got, `"new-users"`) {
			t.Errorf("another route: got %d by %q, want 429 by its own", r.StatusCode, got)
		}
	})
}

// TestLongNewUserLimits holds that New takes a limit for ever, and none that overflows.
func TestLongNewUserLimits(t *testing.T) {
	for _, per := range []time.Duration{time.Hour, 100 * 365 * 24 * time.Hour, 200 * 365 * 24 * time.Hour, math.MaxInt64} {
		for _, rate := range []limit.Limit{{Count: 1, Per: per}, {Count: 1_000_000, Per: per}} {
			_, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: &faultyStore{}, NewUsers: walkin.NewUsers{Limit: rate}})
			if (err != nil) != (rate.Check() != nil) {
				t.Errorf("%d per %v: New says %v", rate.Count, per, err)
			}
		}
	}
}

// TestFailedChangesCostNothing holds that what a change has taken from a limit comes back
// when nothing became of it.
func TestFailedChangesCostNothing(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Sessions.SignInLimit = limit.Limit{Count: 2, Per: time.Hour} })
	c := resident(s, "permanent")
	for range 160 { // more than the changes of an hour
		if r := c.Post("/unlink", words("name", "none")); r.StatusCode == http.StatusTooManyRequests {
			t.Fatal("unlinking what is not there counts")
		}
	}
	s.prove(c, "second")
	other := resident(s, "nobody")
	for _, step := range []string{"Identity", "LockUser", "CreateSession", "commit"} {
		s.store.failAt(step, errDown)
		if r := act(other, "/prove?name=second"); r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("failing at %s: got %d, want 503", step, r.StatusCode)
		}
		s.store.failAt("", nil)
		if step == "commit" {
			break // which may have happened
		}
	}
	s.prove(resident(s, "nobody"), "second")
}

// TestNewcomersShareNoChanges holds that the limit of changes is of one user: those who
// sign up have none in common.
func TestNewcomersShareNoChanges(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Paths.Upgrade = "/prove" })
	for n := range 160 {
		if r := act(resident(s, "nobody"), fmt.Sprint("/prove?name=new", n)); r.StatusCode != http.StatusOK {
			t.Fatalf("sign-up %d: got %d", n+1, r.StatusCode)
		}
	}
}
