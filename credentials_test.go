package walkin_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestSatelliteCookies holds that a package made from the middleware has cookies that
// follow its settings, that no sibling domain can plant, and that no other app's
// cookies are taken for.
func TestSatelliteCookies(t *testing.T) {
	tests := []struct {
		name   string
		change func(*walkin.Config)
		want   string
	}{
		{"default", func(*walkin.Config) {}, "__Host-walkin.pass=; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"Domain", func(c *walkin.Config) { c.Cookies.Domain = "example.com" }, "__Host-walkin.pass=; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"a name", func(c *walkin.Config) { c.Cookies.Name = "shop" }, "__Host-shop.pass=; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"Insecure and a name", func(c *walkin.Config) { c.Cookies.Insecure, c.Cookies.Name = true, "shop" }, "shop.pass=; Path=/; HttpOnly; SameSite=Lax"},
		{"Partitioned", func(c *walkin.Config) { c.Cookies.Partitioned = true }, "__Host-walkin.pass-chips=; Path=/; HttpOnly; Secure; SameSite=None; Partitioned"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cookie := newSite(t, tt.change).Cookie("pass")
			if got := cookie.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	// On localhost all apps share one set of cookies, so the name has the app in it.
	s := newSite(t, func(c *walkin.Config) { c.Cookies.Insecure = true })
	name := s.Cookie("pass").Name
	if !strings.HasPrefix(name, "walkin-") || !strings.HasSuffix(name, ".pass") || len(name) != len("walkin-01234567.pass") {
		t.Errorf("on localhost: got the name %q", name)
	}
	if other := newSite(t, func(c *walkin.Config) { c.Cookies.Insecure, c.Tokens.Issuer = true, "other" }).Cookie("pass").Name; other == name {
		t.Errorf("another app has the same name %q", other)
	}
}

func TestDeriveKeys(t *testing.T) {
	derive := func(purpose string, change func(*walkin.Config)) [][]byte {
		t.Helper()
		keys, err := newSite(t, change).DeriveKeys(purpose)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	one := walkin.Key{Secret: []byte("a secret of thirty-two bytes, one")}
	two := walkin.Key{Secret: []byte("a secret of thirty-two bytes, two")}
	with := func(keys ...walkin.Key) func(*walkin.Config) {
		return func(c *walkin.Config) { c.Keys = keys }
	}
	before, after := derive("a", with(one)), derive("a", with(two, one))
	if len(before) != 1 || len(before[0]) != 32 || len(after) != 2 || !bytes.Equal(before[0], after[1]) {
		t.Errorf("a rotation does not keep what was derived: got %d and %d keys", len(before), len(after))
	}
	for name, other := range map[string][][]byte{
		"purpose": derive("b", with(one)),
		"issuer":  derive("a", func(c *walkin.Config) { c.Keys, c.Tokens.Issuer = []walkin.Key{one}, "other" }),
		"key":     derive("a", with(two)),
	} {
		if bytes.Equal(before[0], other[0]) {
			t.Errorf("another %s has the same secret", name)
		}
	}
	for _, purpose := range []string{"", "a\x00other"} {
		if _, err := newSite(t).DeriveKeys(purpose); err == nil {
			t.Errorf("purpose %q: got no error", purpose)
		}
	}
}

// TestFallbackLimiter holds that what packages count goes on while the shared limiter
// does not work, and that the operator learns of it.
func TestFallbackLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &sharedLimiter{Limiter: limit.New(0)}
		s := newSite(t, func(c *walkin.Config) { c.Limiter = l })
		one, other := s.Limiter(), s.Limiter()
		two := limit.Limit{Count: 2, Per: time.Hour}
		take := func(l limit.Limiter) bool {
			t.Helper()
			verdict, err := l.Take(t.Context(), "key", two, 1, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return verdict.OK
		}
		if !take(one) || !take(other) || take(one) {
			t.Error("two limiters of one site do not count together")
		}
		l.be(errDown)
		s.told()
		for i, want := range []bool{true, true, false} {
			if got := take(one); got != want {
				t.Errorf("down, number %d: got %v, want %v", i, got, want)
			}
		}
		if !take(other) {
			t.Error("in memory, one kind of key uses up what another has")
		}
		if got := s.outcomes(); got != "failed:limiter" {
			t.Errorf("got events %q, want failed:limiter once", got)
		}
		l.be(nil)
		time.Sleep(time.Minute)
		if take(one) {
			t.Error("when it is back: got one more than the limit")
		}
	})
}

func TestAttachChallenge(t *testing.T) {
	s := newSite(t)
	if err := s.AttachChallenge(nil); err == nil {
		t.Error("nil: got no error")
	}
	c := aChallenge(func(*http.Request) (bool, error) { return false, nil })
	if err := s.AttachChallenge(c); err != nil {
		t.Error(err)
	}
	if err := s.AttachChallenge(c); err == nil {
		t.Error("a second one: got no error")
	}
}

// A failingCredential reserves an account and fails then, as a password does where too
// many hash at once.
type failingCredential struct {
	wk   *walkin.Middleware
	left int
}

func (c *failingCredential) SignUp(r *http.Request) (walkin.Proof, error) {
	if err := c.wk.ReserveAccount(r); err != nil {
		return walkin.Proof{}, err
	}
	if c.left--; c.left >= 0 {
		return walkin.Proof{}, &walkin.Refusal{Status: http.StatusServiceUnavailable, Reason: "busy"}
	}
	return walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd", Chosen: true}, nil
}

func (c *failingCredential) SignIn(*http.Request) (walkin.Proof, error) {
	return walkin.Proof{}, errors.New("not here")
}

// TestReservationsReturn holds that an account which was reserved and not made takes
// nothing from its network: within a form of walkin's, within one of the app's, and
// where Continue refuses before it begins.
func TestReservationsReturn(t *testing.T) {
	for _, name := range []string{"form", "handler", "refused"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, rowsAnHour(2), func(c *walkin.Config) { c.Paths.Upgrade = "/join" })
			credential := &failingCredential{wk: s.Middleware, left: 6}
			join := s.UpgradeHandler(credential, nil)
			if name != "form" {
				join = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					proof, err := credential.SignUp(r)
					if name == "refused" && credential.left >= 0 {
						proof, err = walkin.Proof{Chosen: true}, nil // of no provider
					}
					if err == nil {
						_, err = s.Continue(w, r, proof)
					}
					if err != nil {
						s.Refuse(w, r, err)
					}
				})
			}
			want := http.StatusServiceUnavailable
			if name == "refused" {
				want = http.StatusUnprocessableEntity
			}
			site := s.Handler(join)
			post := func(user string) int {
				c := walkintest.NewClient(t, site).From("203.0.113.7:1")
				return act(c, "/join?name="+user).StatusCode
			}
			for i := range 6 {
				if got := post("ann"); got != want {
					t.Fatalf("number %d: got %d, want %d", i, got, want)
				}
			}
			for _, user := range []string{"ann", "bob"} {
				if got := post(user); got >= 400 {
					t.Errorf("%s: got %d; their network has room for two", user, got)
				}
			}
			if got := post("cid"); got != http.StatusTooManyRequests {
				t.Errorf("a third: got %d, want 429", got)
			}
		})
	}
}

// A ticketCounter counts the tickets that are kept in it.
type ticketCounter struct {
	store.Store
	tickets atomic.Int64
}

func (c *ticketCounter) PutTicket(ctx context.Context, t store.Ticket) error {
	c.tickets.Add(1)
	return c.Store.PutTicket(ctx, t)
}

// TestReproofsAreLimited holds that a client with one account cannot make rows without
// end by proving it again, or by linking and unlinking; and that this is the user's own
// limit, which others have for themselves, and which passes.
func TestReproofsAreLimited(t *testing.T) {
	steps := map[string][]string{
		"the same identity again": {"/prove?name=ann"},
		"one more and one less":   {"/prove?name=new", "/unlink?name=new"},
		"a chosen one, and back":  {"/prove?name=new&new=1", "/unlink?name=new"},
	}
	for name, paths := range steps {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				counted := &ticketCounter{Store: memstore.New()}
				s := newSite(t, func(c *walkin.Config) { c.Store = &faultyStore{Store: counted} })
				ann := s.browser(s.routes().ServeHTTP)
				if got := act(ann, "/prove?name=ann").StatusCode; got != http.StatusOK {
					t.Fatalf("the first proof: got %d", got)
				}
				counted.tickets.Store(0)
				refused := 0
				for i := range 400 {
					r := act(ann, paths[i%len(paths)])
					if r.StatusCode == http.StatusTooManyRequests {
						if refused++; r.Header.Get("Retry-After") == "" {
							t.Fatal("429 without Retry-After")
						}
					}
				}
				if made := counted.tickets.Load(); made < 100 || made > 150 || refused < 100 {
					t.Errorf("400 changes made %d tickets, and %d were refused", made, refused)
				}
				if got := act(s.browser(s.routes().ServeHTTP), "/prove?name=bob").StatusCode; got != http.StatusOK {
					t.Errorf("another user: got %d", got)
				}
				time.Sleep(2 * time.Minute)
				if got := act(ann, paths[0]).StatusCode; got != http.StatusOK {
					t.Errorf("two minutes later: got %d", got)
				}
			})
		})
	}
}
