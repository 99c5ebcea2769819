package walkin_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// TestSignInAndOut holds that a user who signs out between two sign-ins, so that no
// session is left to count, is bounded as well, and on replicas that share a limiter
// together.
func TestSignInAndOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHookedSite(t)
		owner := h.browser(h.routes().ServeHTTP)
		act(owner, "/prove?name=ann")
		statuses := map[int]int{}
		for i := range 200 {
			c := h.browser(h.routes().ServeHTTP).From(fmt.Sprintf("203.0.113.%d:1", i))
			c.Visit("/") // an anonymous user, of whom a tombstone stays
			statuses[act(c, "/prove?name=ann").StatusCode]++
			act(c.On(h.Handler(h.SignOutHandler())), "/")
		}
		if statuses[http.StatusOK] != 50 || statuses[http.StatusTooManyRequests] != 150 {
			t.Errorf("got %v, want 50 of 200", statuses)
		}
		for range 10 { // a signed-in user proves who they are again, whatever others did
			if status := act(owner, "/prove?name=ann").StatusCode; status != http.StatusOK {
				t.Fatalf("proving again: got %d", status)
			}
		}
		if status := act(h.browser(h.routes().ServeHTTP), "/prove?name=bea").StatusCode; status != http.StatusOK {
			t.Errorf("somebody else: got %d", status)
		}
		time.Sleep(time.Hour / 50)
		if status := act(h.browser(h.routes().ServeHTTP), "/prove?name=ann").StatusCode; status != http.StatusOK {
			t.Errorf("after the wait: got %d", status)
		}
	})
}

// TestDeleteFlood holds that a bot leaves no more traces of users who never were than
// it can make rows, wherever the app deletes them.
func TestDeleteFlood(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Paths.Credentials = []string{"/account/"} })
	deleteMe := func(w http.ResponseWriter, r *http.Request) {
		c, ok := walkin.FromContext(r.Context())
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if err := s.DeleteUser(r.Context(), c.UserID); err != nil {
			s.Refuse(w, r, err)
		}
	}
	statuses := map[int]int{}
	for range 100 {
		c := s.browser(deleteMe).From("203.0.113.7:1")
		c.On(s.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))).Visit("/")
		statuses[act(c, "/account/delete").StatusCode]++
	}
	if statuses[http.StatusOK] != 30 || statuses[http.StatusTooManyRequests] != 70 {
		t.Errorf("got %v, want 30 deletions", statuses)
	}
	if err := s.DeleteUser(t.Context(), uuid.New()); err != nil { // for a user whom no request is about
		t.Errorf("the app's own: %v", err)
	}
}

// sessionsOf returns how many sessions a user has in the store.
func (s *site) sessionsOf(id uuid.UUID) int {
	s.t.Helper()
	sessions, err := s.store.UserSessions(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return len(sessions)
}

// signInFrom signs a new browser in as ann, from an address of its own.
func (h *hookedSite) signInFrom(i int) (*walkintest.Client, int) {
	c := h.browser(h.routes().ServeHTTP).From(fmt.Sprintf("203.0.%d.%d:1", i/250, i%250))
	return c, act(c, "/prove?name=ann").StatusCode
}

// alive reports whether a browser's visitor is signed in, as the store has it.
func (h *hookedSite) alive(c *walkintest.Client) bool {
	return act(c.On(h.Handler(h.RequirePermanent()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))), "/").StatusCode == http.StatusOK
}

// TestSignInFlood holds that sign-ins to one account are bounded however many
// addresses they come from, that they leave the owner signed in, and that what
// they leave behind is bounded with them.
func TestSignInFlood(t *testing.T) {
	for _, tt := range []struct {
		name  string
		visit bool // they come as anonymous users, of whom a sign-in leaves a tombstone
	}{{"nobody", false}, {"guests", true}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHookedSite(t)
				owner, status := h.signInFrom(0)
				if status != http.StatusOK {
					t.Fatalf("got %d", status)
				}
				id := h.userOf("ann")
				time.Sleep(26 * time.Hour)
				if r := owner.Visit("/"); r.StatusCode != http.StatusOK { // renewed, and so seen
					t.Fatalf("got %d", r.StatusCode)
				}
				h.told()
				good := 0
				for hour := range 24 {
					for i := range 100 {
						c := h.browser(h.routes().ServeHTTP).From(fmt.Sprintf("203.0.113.%d:1", i))
						if tt.visit {
							c.Visit("/")
						}
						switch status := act(c, "/prove?name=ann").StatusCode; status {
						case http.StatusOK:
							good++
						case http.StatusTooManyRequests:
						default:
							t.Fatalf("got %d", status)
						}
					}
					if n := h.sessionsOf(id); n > 50 {
						t.Fatalf("after %d hours there are %d sessions", hour, n)
					}
					if !h.alive(owner) {
						t.Fatalf("after %d hours the owner was pushed out", hour)
					}
					time.Sleep(time.Hour)
				}
				if good == 0 || good > 50*25 {
					t.Errorf("%d sign-ins went through", good)
				}
				reasons := map[string]int{}
				for _, e := range h.told() {
					reasons[string(e.Outcome)+" "+string(e.Reason)]++
				}
				if reasons["refused session_limit"] == 0 || reasons["signed_out session_limit"] != good+1-50 {
					t.Errorf("the owner of the site is told %v of %d sign-ins", reasons, good)
				}
				// A signed-in user proves who they are again, whatever others did.
				for range 30 {
					if got := act(owner, "/prove?name=ann").StatusCode; got != http.StatusOK {
						t.Fatalf("proving again: got %d", got)
					}
				}
				if n := h.sessionsOf(id); n > 50 {
					t.Errorf("there are %d sessions", n)
				}
			})
		})
	}
}

// TestMakeRoom holds which session ends for a new one: the expired, then what was
// never seen after it was made, then what was not seen for longest; never a young one.
func TestMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHookedSite(t, func(c *walkin.Config) { c.Sessions.Max = 4; c.Tokens.Lifetime = 10 * 24 * time.Hour })
		signIn := func() *walkintest.Client {
			t.Helper()
			time.Sleep(time.Second)
			c, status := h.signInFrom(0)
			if status != http.StatusOK {
				t.Fatalf("signing in: got %d", status)
			}
			return c
		}
		first := signIn()
		second := signIn()
		time.Sleep(2 * time.Hour)
		unseen := signIn()
		time.Sleep(25 * time.Hour)
		second.Visit("/")
		time.Sleep(time.Hour)
		first.Visit("/")
		time.Sleep(time.Hour)
		young := signIn()
		for _, tt := range []struct {
			name string
			out  *walkintest.Client
		}{{"never seen", unseen}, {"seen longest ago", second}} {
			c := signIn()
			if !h.alive(c) || h.alive(tt.out) {
				t.Errorf("%s: it is the one to end", tt.name)
			}
		}
		// Now there are three young ones, and one that its owner uses.
		c, status := h.signInFrom(0)
		if status != http.StatusTooManyRequests || c.Cookie(permName) != "" {
			t.Errorf("with three young ones: got %d", status)
		}
		if !h.alive(young) || !h.alive(first) {
			t.Error("a young one was ended, or the last one that is in use")
		}
		time.Sleep(time.Hour)
		if c := signIn(); h.alive(young) || !h.alive(c) || !h.alive(first) {
			t.Error("an hour later: the oldest that was never seen is the one to end")
		}
	})
}

// TestExpiredMakesRoom holds that a session which has expired ends before one that is
// alive, also where it was in use until then.
func TestExpiredMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHookedSite(t, func(c *walkin.Config) { c.Sessions.Max = 2 })
		expired, _ := h.signInFrom(0)
		time.Sleep(2 * day)
		expired.Visit("/")
		time.Sleep(29 * day)
		unseen, _ := h.signInFrom(1)
		time.Sleep(2 * day)
		if _, status := h.signInFrom(2); status != http.StatusOK || !h.alive(unseen) {
			t.Errorf("got %d, and the other session alive %t", status, h.alive(unseen))
		}
	})
}

// TestYoungSessions holds that the answer is 429 and the wait is told.
func TestYoungSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHookedSite(t, func(c *walkin.Config) { c.Sessions.Max = 3; c.Sessions.RecentProof = 3 * time.Hour })
		for i := range 3 {
			if _, status := h.signInFrom(i); status != http.StatusOK {
				t.Fatalf("got %d", status)
			}
			time.Sleep(time.Hour / 3)
		}
		c := h.browser(h.routes().ServeHTTP)
		r := act(c, "/prove?name=ann") // an hour later: they are proven within RecentProof
		if r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") != "7200" {
			t.Errorf("got %d, Retry-After %s", r.StatusCode, r.Header.Get("Retry-After"))
		}
		time.Sleep(2 * time.Hour)
		if r := act(c, "/prove?name=ann"); r.StatusCode != http.StatusOK {
			t.Errorf("after the wait: got %d", r.StatusCode)
		}
	})
}

// TestManySessions holds that an account from before there was a limit comes down to
// it, a bounded number of sessions at a time, and only where a sign-in adds one: a new
// proof in a browser that is signed in replaces its own.
func TestManySessions(t *testing.T) {
	h := newHookedSite(t)
	owner, _ := h.signInFrom(0)
	id := h.userOf("ann")
	for i := range 250 {
		at := time.Now().Add(-time.Duration(2+i) * time.Hour)
		err := h.store.CreateSession(t.Context(), store.Session{ID: uuid.New(), UserID: id, CreatedAt: at, RenewedAt: at, ExpiresAt: at.Add(720 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := act(owner, "/prove?name=ann").StatusCode; got != http.StatusOK || h.sessionsOf(id) != 251 {
		t.Errorf("proving again: got %d and %d sessions, want 251", got, h.sessionsOf(id))
	}
	for _, want := range []int{152, 53, 50, 50} {
		if c, status := h.signInFrom(0); status != http.StatusOK || !h.alive(c) || h.sessionsOf(id) != want {
			t.Errorf("got %d and %d sessions, want %d", status, h.sessionsOf(id), want)
		}
	}
}
