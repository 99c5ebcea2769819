package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/store/redisstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A site keeps carts in Redis.
type site struct {
	*walkin.Middleware
	http.Handler
	t      *testing.T
	sm     *scs.SessionManager
	mu     sync.Mutex
	failed []error
}

// newSite opens one over users; two over the same users are replicas.
func newSite(t *testing.T, users store.Store, data *redisstore.Sessions, hash bool) *site {
	t.Helper()
	s := &site{t: t, sm: scs.New()}
	s.sm.Store = data
	s.sm.HashTokenInStore = hash
	m, err := walkin.New(walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("32 random bytes, not these words")}},
		Store: users,
		Hooks: walkin.Hooks{OnMerge: func(context.Context, walkin.Change) error { return nil }},
		OnEvent: func(_ context.Context, e walkin.Event) {
			if e.Err != nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.failed = append(s.failed, e.Err)
			}
		},
		Paths: walkin.Paths{Upgrade: "/prove"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Middleware = m
	mux := http.NewServeMux()
	mux.HandleFunc("/put", func(_ http.ResponseWriter, r *http.Request) { s.sm.Put(r.Context(), "cart", r.FormValue("cart")) })
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, s.sm.GetString(r.Context(), "cart")) })
	mux.HandleFunc("/prove", func(w http.ResponseWriter, r *http.Request) {
		conflict := walkin.ConflictMerge
		if r.FormValue("alone") != "" {
			conflict = walkin.ConflictSignIn
		}
		outcome, err := m.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd", Conflict: conflict})
		if err != nil {
			m.Refuse(w, r, err)
			return
		}
		if err := s.sm.RenewToken(r.Context()); err != nil { // as scs wants it after a sign-in
			t.Error(err)
		}
		fmt.Fprint(w, outcome)
	})
	mux.HandleFunc("/unlink", func(w http.ResponseWriter, r *http.Request) {
		if err := m.Unlink(w, r, "test", r.FormValue("name")); err != nil {
			m.Refuse(w, r, err)
		}
	})
	mux.Handle("/out", m.SignOutHandler())
	s.Handler = m.Handler(m.LoadAndSave(s.sm)(mux))
	return s
}

func (s *site) visitor() *walkintest.Client {
	c := walkintest.NewClient(s.t, s)
	c.Visit("/")
	return c
}

// act posts a form and returns the answer, which must be a good one.
func (s *site) act(c *walkintest.Client, path string, pairs ...string) string {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := c.Post(path, form)
	if r.StatusCode >= 400 {
		s.t.Errorf("%s %q: got %d %q", path, pairs, r.StatusCode, body(s.t, r))
	}
	return body(s.t, r)
}

func (s *site) want(c *walkintest.Client, want string) {
	s.t.Helper()
	if r := c.Fetch("/get"); body(s.t, r) != want || r.StatusCode != http.StatusOK {
		s.t.Errorf("got %d and cart %q, want %q", r.StatusCode, body(s.t, r), want)
	}
}

func (s *site) user(c *walkintest.Client) walkin.Claims {
	s.t.Helper()
	var claims walkin.Claims
	c.On(s.Middleware.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		claims, _ = walkin.FromContext(r.Context())
	}))).Fetch("/")
	return claims
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// stored returns how many sessions have data.
func (r *server) stored(t testing.TB) int {
	t.Helper()
	n := 0
	for _, key := range r.keys(t) {
		if strings.Contains(key, ":data:") {
			n++
		}
	}
	return n
}

// testSite holds that a cart goes where its visitor goes, and nowhere else,
// with two replicas over one Redis.
func testSite(t *testing.T, r *server) {
	for _, hash := range []bool{false, true} {
		steps := map[string]func(t *testing.T, s, replica *site, stored func(want int)){
			"upgrade": func(t *testing.T, s, replica *site, stored func(int)) {
				c := s.visitor()
				s.want(c, "")
				stored(0)
				s.act(c, "/put", "cart", "1 book")
				stolen := c.Cookies()
				if got := s.act(c, "/prove", "name", "ann"); got != "upgraded" {
					t.Errorf("got %q, want upgraded", got)
				}
				s.want(c, "1 book")
				replica.want(c.On(replica), "1 book")
				stored(1)
				thief := walkintest.NewClient(t, replica)
				for _, cookie := range stolen {
					thief.SetCookie(cookie.Name, cookie.Value)
				}
				replica.want(thief, "")
			},
			"upgrade, with other browsers": func(t *testing.T, s, _ *site, stored func(int)) {
				c := s.visitor()
				s.act(c, "/put", "cart", "1 book")
				s.act(c, "/prove", "name", "ann")
				other := walkintest.NewClient(t, s)
				s.act(other, "/prove", "name", "ann")
				s.act(other, "/put", "cart", "2 books")
				s.act(c, "/prove", "name", "second") // linked: the other goes on
				s.want(c, "1 book")
				s.want(other, "2 books")
				s.act(c, "/unlink", "name", "second") // which ends it
				s.want(c, "1 book")
				s.want(other, "")
				stored(1)
			},
			"merge": func(t *testing.T, s, replica *site, stored func(int)) {
				owner, c := s.visitor(), s.visitor()
				s.act(owner, "/put", "cart", "the owner's")
				s.act(owner, "/prove", "name", "ann")
				s.act(c, "/put", "cart", "the guest's")
				if got := s.act(c, "/prove", "name", "ann"); got != "merged" {
					t.Errorf("got %q, want merged", got)
				}
				replica.want(c.On(replica), "the guest's")
				s.want(owner, "the owner's")
				stored(2)
			},
			"sign-in to another account": func(t *testing.T, s, _ *site, stored func(int)) {
				owner, c := s.visitor(), s.visitor()
				s.act(owner, "/prove", "name", "ann")
				s.act(owner, "/put", "cart", "the owner's")
				s.act(c, "/put", "cart", "the guest's")
				if got := s.act(c, "/prove", "name", "ann", "alone", "1"); got != "signed_in" {
					t.Errorf("got %q, want signed_in", got)
				}
				s.want(c, "")
				s.want(owner, "the owner's")
			},
			"sign-out": func(t *testing.T, s, replica *site, stored func(int)) {
				for _, name := range []string{"", "ann"} {
					c := s.visitor()
					s.act(c, "/put", "cart", "1 book")
					if name != "" {
						s.act(c, "/prove", "name", name)
					}
					stored(1)
					stolen := c.Cookies()
					replica.act(c.On(replica), "/out")
					stored(0)
					for _, cookie := range stolen {
						c.SetCookie(cookie.Name, cookie.Value)
					}
					c.Do(c.NewRequest(http.MethodPost, "/put?cart=again", nil))
					stored(0)
				}
			},
			"sign-out everywhere": func(t *testing.T, s, replica *site, stored func(int)) {
				c, other, stranger := s.visitor(), walkintest.NewClient(t, replica), s.visitor()
				s.act(stranger, "/put", "cart", "a stranger's")
				s.act(c, "/prove", "name", "ann")
				s.act(c, "/put", "cart", "1 book")
				replica.act(other, "/prove", "name", "ann")
				replica.act(other, "/put", "cart", "2 books")
				stored(3)
				if err := s.SignOutEverywhere(t.Context(), s.user(c).UserID); err != nil {
					t.Error(err)
				}
				stored(1)
				s.want(stranger, "a stranger's")
				s.act(c, "/prove", "name", "ann", "alone", "1")
				s.want(c, "")
			},
			"deletion": func(t *testing.T, s, replica *site, stored func(int)) {
				c := s.visitor()
				s.act(c, "/put", "cart", "1 book")
				if err := replica.DeleteUser(t.Context(), s.user(c).UserID); err != nil {
					t.Error(err)
				}
				stored(0)
			},
			"a request on its way": func(t *testing.T, s, replica *site, stored func(int)) {
				c := s.visitor()
				s.act(c, "/put", "cart", "1 book")
				claims := s.user(c)
				c.On(s.Middleware.Handler(s.LoadAndSave(s.sm)(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
					replica.act(c.On(replica), "/out")
					s.sm.Put(req.Context(), "cart", "2 books")
				})))).Fetch("/")
				stored(1)
				for _, key := range r.keys(t) {
					if !strings.Contains(key, claims.UserID.String()) {
						continue
					}
					left, err := r.client.PTTL(t.Context(), r.prefix+key).Result()
					if err != nil || left < 0 || left > s.sm.Lifetime/2 {
						t.Errorf("%s: got %v left, %v, want minutes", key, left, err)
					}
				}
			},
		}
		for name, step := range steps {
			t.Run(fmt.Sprint(name, ", hashed ", hash), func(t *testing.T) {
				r := newServer(t, r.client) // its own prefix
				users := memstore.New()
				s, replica := newSite(t, users, r.Sessions, hash), newSite(t, users, r.Sessions, hash)
				step(t, s, replica, func(want int) {
					t.Helper()
					if got := r.stored(t); got != want {
						t.Errorf("got data of %d sessions, want %d: %q", got, want, r.keys(t))
					}
				})
				if failed := append(s.failed, replica.failed...); len(failed) > 0 {
					t.Errorf("got failures: %v", errors.Join(failed...))
				}
				for _, key := range r.keys(t) {
					r.expires(t, r.prefix+key) // nothing stays for ever
				}
			})
		}
	}
}

// testCrowd holds that visitors who come at once have their own carts, with all
// their requests.
func testCrowd(t *testing.T, r *server) {
	s := newSite(t, memstore.New(), r.Sessions, true)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := s.visitor()
			for n := range 5 {
				cart := fmt.Sprintf("%d books of %d", n, i)
				s.act(c, "/put", "cart", cart)
				var readers sync.WaitGroup
				for range 3 {
					readers.Go(func() { s.want(c, cart) })
				}
				readers.Wait()
			}
			s.act(c, "/prove", "name", fmt.Sprint("visitor ", i))
			s.want(c, fmt.Sprintf("4 books of %d", i))
		})
	}
	wg.Wait()
}

// testDown holds what a visitor sees while Redis is away, and that it is all there
// afterwards: a 503, the cookie as it was, no visitor signed out by it.
func testDown(t *testing.T, r *server) {
	var down atomic.Bool
	var mu sync.Mutex
	var open []net.Conn
	dialer := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if down.Load() {
			return nil, errors.New("connection refused")
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			open = append(open, conn)
		}
		return conn, err
	}
	var client redis.UniversalClient
	switch c := r.client.(type) {
	case *redis.Client:
		o := options(t, "redis://unused")
		o.Network, o.Addr, o.Username, o.Password, o.DB, o.TLSConfig = c.Options().Network, c.Options().Addr, c.Options().Username, c.Options().Password, c.Options().DB, c.Options().TLSConfig
		o.Dialer = dialer
		client = closing(t, redis.NewClient(o))
	case *redis.ClusterClient:
		client = closing(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Options().Addrs, ContextTimeoutEnabled: true, Dialer: dialer}))
	}
	goDown := func() {
		down.Store(true)
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range open {
			conn.Close()
		}
		open = nil
	}
	s := newSite(t, memstore.New(), newSessions(t, client, r.prefix), false)
	c, leaving := s.visitor(), s.visitor()
	s.act(c, "/put", "cart", "1 book")
	s.act(leaving, "/put", "cart", "2 books")
	before := fmt.Sprint(c.Cookies())

	goDown()
	for _, ask := range []func() *http.Response{
		func() *http.Response { return c.Fetch("/get") },
		func() *http.Response { return c.Post("/put", url.Values{"cart": {"lost"}}) },
		func() *http.Response { return c.Post("/prove", url.Values{"name": {"ann"}}) },
		func() *http.Response {
			// Around LoadAndSave, so that it is the change itself that fails.
			return c.On(s.Middleware.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				_, err := s.Continue(w, req, walkin.Proof{Provider: "test", Subject: "ann", Method: "pwd"})
				s.Refuse(w, req, err)
			}))).Post("/prove", nil)
		},
		func() *http.Response {
			return c.On(s.Middleware.Handler(s.LoadAndSave(s.sm)(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				s.sm.Put(req.Context(), "cart", "lost")
				goDown()
				fmt.Fprint(w, "saved!")
			})))).Post("/", nil)
		},
	} {
		answer := ask()
		if text := body(t, answer); answer.StatusCode != http.StatusServiceUnavailable || strings.Contains(text, "saved") || answer.Header.Get("Retry-After") == "" {
			t.Errorf("got %d %q, want a 503", answer.StatusCode, text)
		}
		if len(answer.Header["Set-Cookie"]) > 0 || fmt.Sprint(c.Cookies()) != before {
			t.Errorf("got %q and jar %v, want the cookie left alone", answer.Header["Set-Cookie"], c.Cookies())
		}
	}
	for _, err := range s.failed {
		if !strings.Contains(err.Error(), "redisstore: ") {
			t.Errorf("told %q, want redisstore: in it", err)
		}
	}
	// Who wants to leave can, and the data goes by itself.
	s.failed = nil
	out := leaving.On(s.Middleware.Handler(s.SignOutHandler())).Post("/out", nil)
	if out.StatusCode != http.StatusSeeOther || len(leaving.Cookies()) > 0 || len(s.failed) != 1 {
		t.Errorf("signing out: got %d, jar %v and failures %v, want it done and told", out.StatusCode, leaving.Cookies(), s.failed)
	}

	down.Store(false)
	until(t, "for the client to try again", func() bool { return c.Fetch("/get").StatusCode == http.StatusOK })
	s.want(c, "1 book")
	s.act(c, "/prove", "name", "ann")
	s.want(c, "1 book")
}

// TestDownFromTheStart holds that a site opens without Redis and serves the
// routes that need none.
func TestDownFromTheStart(t *testing.T) {
	refused := closing(t, redis.NewClient(&redis.Options{ContextTimeoutEnabled: true, Dialer: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("connection refused")
	}}))
	s := newSite(t, memstore.New(), newSessions(t, refused, ""), false)
	c := walkintest.NewClient(t, s)
	if r := c.Visit("/get"); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %d, want 503", r.StatusCode)
	}
	page := s.Middleware.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "page") }))
	if r := c.On(page).Visit("/"); r.StatusCode != http.StatusOK || body(t, r) != "page" {
		t.Errorf("without session data: got %d, want 200", r.StatusCode)
	}
}

// TestFailover holds what the package says: while no primary is there it is a
// 503 and nothing worse, and afterwards all that the replica had is there, under
// the same cookie.
func TestFailover(t *testing.T) {
	servers := testserver.RedisSentinel(t)
	client := closing(t, redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: servers.Name, SentinelAddrs: []string{servers.Sentinel}, ContextTimeoutEnabled: true,
		MaxRetries: -1})) // more would bridge the gap, and the test would see nothing
	s := newSite(t, memstore.New(), newServer(t, client).Sessions, false)
	c, other := s.visitor(), s.visitor()
	s.act(c, "/put", "cart", "1 book")
	s.act(other, "/put", "cart", "2 books")
	s.act(other, "/prove", "name", "ann")
	before := fmt.Sprint(c.Cookies())
	// WAIT is about the writes of its own connection, and those before them.
	conn := client.Conn()
	err1, err2 := conn.Set(t.Context(), "the last", "write", 0).Err(), conn.Wait(t.Context(), 1, 0).Err()
	if err := errors.Join(err1, err2, conn.Close()); err != nil {
		t.Fatal(err)
	}
	servers.Kill()
	refused := 0
	until(t, "for the replica to take over", func() bool {
		r := c.Post("/put", url.Values{"cart": {"3 books"}})
		if r.StatusCode != http.StatusServiceUnavailable && r.StatusCode != http.StatusOK || len(r.Header["Set-Cookie"]) > 0 {
			t.Errorf("got %d and header %v, want 503 or 200, and no cookie", r.StatusCode, r.Header)
		}
		if r.StatusCode != http.StatusOK {
			refused++
		}
		return r.StatusCode == http.StatusOK
	})
	if refused == 0 {
		t.Error("no request met the gap")
	}
	if got := fmt.Sprint(c.Cookies()); got != before {
		t.Errorf("got jar %v, want %v", got, before)
	}
	s.want(c, "3 books")
	s.want(other, "2 books")
	s.act(c, "/prove", "name", "bob")
	s.want(c, "3 books")
}
