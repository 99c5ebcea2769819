package password_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

const (
	device = "__Host-walkin.device"
	member = "__Host-walkin"
)

// A house is a site of two replicas that share a store and a limiter.
type house struct {
	replicas [2]http.Handler
	hashes   atomic.Int32
}

func newHouse(t *testing.T, change func(*walkin.Config)) *house {
	t.Helper()
	h, store, limiter := &house{}, memstore.New(), limit.New(0)
	for i := range h.replicas {
		cfg := walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: store, Limiter: limiter,
			Paths: walkin.Paths{Upgrade: "/up", SignIn: "/in", Credentials: []string{"/password", "/form"}}}
		if change != nil {
			change(&cfg)
		}
		wk, err := walkin.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		passwords, err := password.New(wk, password.Config{})
		if err != nil {
			t.Fatal(err)
		}
		passwords.SetIDKey(func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
			h.hashes.Add(1)
			return quick(password, salt, time, memory, threads, keyLen)
		})
		mux := http.NewServeMux()
		mux.Handle("/up", wk.UpgradeHandler(passwords, nil))
		mux.Handle("/in", wk.SignInHandler(passwords, nil))
		mux.Handle("/out", wk.SignOutHandler())
		mux.HandleFunc("/password", func(w http.ResponseWriter, r *http.Request) {
			if err := passwords.Change(r, name, r.FormValue("old"), r.FormValue("new")); err != nil {
				wk.Refuse(w, r, err)
			}
		})
		mux.HandleFunc("/form", func(w http.ResponseWriter, r *http.Request) {
			if _, err := passwords.SignUp(r); err != nil {
				wk.Refuse(w, r, err)
			}
		})
		mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
		h.replicas[i] = wk.Handler(mux)
	}
	return h
}

func (h *house) post(c *walkintest.Client, i int, path, secret string) int {
	return c.On(h.replicas[i%2]).Post(path, url.Values{"email": {name}, "password": {secret}}).StatusCode
}

// attack lets strangers guess from 13 networks, on both replicas, until none may.
func (h *house) attack(t *testing.T) {
	t.Helper()
	guesses := 0
	for i := range 13 * 12 {
		c := walkintest.NewClient(t, h.replicas[0]).From(fmt.Sprintf("198.51.%d.7:1", i%13))
		if got := h.post(c, i, "/in", "wrong horse battery"); got == http.StatusUnauthorized {
			guesses++
		} else if got != http.StatusTooManyRequests {
			t.Fatalf("got %d", got)
		}
	}
	if guesses > 100 {
		t.Errorf("%d guesses on two replicas, want 100 at most", guesses)
	}
}

// TestDevices holds that strangers who guess cannot lock out a browser that has proven
// the name before or is signed in, also in their own network; and that nothing else
// makes a browser known.
func TestDevices(t *testing.T) {
	const bad, good, limited = http.StatusUnauthorized, http.StatusSeeOther, http.StatusTooManyRequests
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		browser := func(addr string) *walkintest.Client { return walkintest.NewClient(t, h.replicas[0]).From(addr + ":1") }
		signedIn := browser("203.0.113.1")
		if got := h.post(signedIn, 0, "/up", secret); got != good {
			t.Fatalf("signing up: got %d", got)
		}
		signedIn.SetCookie(device, "")     // the session alone makes it known
		signedOut := browser("198.51.1.7") // in the network of a stranger
		if got := h.post(signedOut, 1, "/in", secret); got != good {
			t.Fatalf("signing in: got %d", got)
		}
		mark := signedOut.Cookie(device)
		if mark == "" || strings.Contains(mark, "@") {
			t.Fatalf("the mark is %q", mark)
		}
		signedOut.Post("/out", nil)
		if signedOut.Cookie(device) != mark || signedOut.Cookie(member) != "" {
			t.Fatal("a sign-out took the mark, or left the session")
		}
		marked := func(value string) *walkintest.Client {
			c := browser("198.51.2.7")
			c.SetCookie(device, value)
			return c
		}
		h.attack(t)
		for _, tt := range []struct {
			name   string
			c      *walkintest.Client
			secret string
			want   int
		}{
			{"a new browser", browser("192.0.2.1"), secret, limited},
			{"a forged mark", marked(mark[:60] + strings.Repeat("A", len(mark)-60)), secret, limited},
			{"another random number", marked(strings.Repeat("A", 26) + mark[26:]), secret, limited},
			{"two marks of which one is good", marked(strings.Repeat("A", len(mark)) + "~" + mark), "wrong horse battery", bad},
			{"signed in", signedIn, "wrong horse battery", bad},
			{"signed in, and right", signedIn, secret, good},
			{"known", signedOut, "wrong horse battery", bad},
			{"known, and right", signedOut, secret, good},
		} {
			if got := h.post(tt.c, 1, "/in", tt.secret); got != tt.want {
				t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
			}
		}

		// A thief of a mark has as few tries as anybody, and takes none from the
		// owner's other devices.
		thief, tries := marked(signedOut.Cookie(device)), 0
		for i := range 50 {
			if h.post(thief, i, "/in", "wrong horse battery") == bad {
				tries++
			}
		}
		if tries > 10 {
			t.Errorf("a thief has %d tries, want 10 at most", tries)
		}
		if got := h.post(signedIn, 0, "/in", secret); got != good {
			t.Errorf("the other device: got %d", got)
		}

		// A new password makes strangers of all devices that are not signed in.
		time.Sleep(time.Hour)
		r := signedIn.Post("/password", url.Values{"old": {secret}, "new": {"another horse battery"}})
		if r.StatusCode != http.StatusOK {
			t.Fatalf("changing: got %d", r.StatusCode)
		}
		h.attack(t)
		if got := h.post(marked(mark), 0, "/in", "another horse battery"); got != limited {
			t.Errorf("a mark of the old password: got %d", got)
		}
		if got := h.post(signedIn, 0, "/in", "another horse battery"); got != good {
			t.Errorf("signed in: got %d", got)
		}
	})
}

// TestHashAfterLimit holds that an account for which there is no room costs no hash,
// and that one that was made takes one from the new-user limit and not two.
func TestHashAfterLimit(t *testing.T) {
	h := newHouse(t, func(c *walkin.Config) { c.NewUsers.Limit = limit.Limit{Count: 3, Per: time.Hour} })
	statuses := map[int]int{}
	for i := range 20 {
		c := walkintest.NewClient(t, h.replicas[0]).From("203.0.113.7:1")
		r := c.Post("/up", url.Values{"email": {fmt.Sprintf("ann%d@example.com", i)}, "password": {secret}})
		statuses[r.StatusCode]++
	}
	if statuses[http.StatusSeeOther] != 3 || statuses[http.StatusTooManyRequests] != 17 {
		t.Errorf("got %v, want 3 accounts and 17 refusals", statuses)
	}
	if n := h.hashes.Load(); n != 3 {
		t.Errorf("hashed %d times, want 3", n)
	}
	if got := h.post(walkintest.NewClient(t, h.replicas[0]).From("203.0.113.7:1"), 0, "/form", secret); got != http.StatusTooManyRequests {
		t.Errorf("the proof alone: got %d, want 429", got)
	}
}
