package scsmove_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	scsmem "github.com/alexedwards/scs/v2/memstore"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/scsmove"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// errDown is what a store says that is down.
var errDown = errors.New("down")

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A shop is a site on its way from scs to walkin.
type shop struct {
	t             *testing.T
	before        http.Handler // the site as it was
	now           http.Handler // during the transition
	after         http.Handler // when that is over
	down, oldDown atomic.Bool  // the stores of the new sessions and of the old
	oldStore      *scsmem.MemStore
	told          atomic.Int32 // changes of identity
}

// downStore is an scs store that can be down.
type downStore struct {
	*scsmem.MemStore
	down *atomic.Bool
}

func (d downStore) Commit(token string, b []byte, expiry time.Time) error {
	if d.down.Load() {
		return errDown
	}
	return d.MemStore.Commit(token, b, expiry)
}

func (d downStore) Delete(token string) error {
	if d.down.Load() {
		return errDown
	}
	return d.MemStore.Delete(token)
}

func newShop(t *testing.T, change ...func(*walkin.Config)) *shop {
	t.Helper()
	s := &shop{t: t, oldStore: scsmem.NewWithCleanupInterval(0)}
	pages := func(sm *scs.SessionManager, signIn http.HandlerFunc) *http.ServeMux {
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			c, _ := walkin.FromContext(r.Context())
			w.Header().Set("X-User", c.UserID.String())
			fmt.Fprintf(w, "cart=%s user=%s permanent=%t", sm.GetString(r.Context(), "cart"), sm.GetString(r.Context(), "user"), c.Method != "")
		})
		mux.HandleFunc("POST /buy", func(_ http.ResponseWriter, r *http.Request) {
			sm.Put(r.Context(), "cart", strings.TrimPrefix(sm.GetString(r.Context(), "cart")+"+book", "+"))
		})
		mux.HandleFunc("POST /sign-in", signIn)
		return mux
	}
	was := scs.New()
	was.Store = s.oldStore
	s.before = was.LoadAndSave(pages(was, func(_ http.ResponseWriter, r *http.Request) { was.Put(r.Context(), "user", r.FormValue("name")) }))

	cfg := walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("thirty-two bytes of a test's key")}}, Store: memstore.New(), NewUsers: walkin.NewUsers{Limit: limit.Limit{Count: -1}},
		OnEvent: func(_ context.Context, e walkin.Event) {
			switch e.Outcome {
			case walkin.Upgraded, walkin.Linked, walkin.Merged, walkin.SignedIn, walkin.SignedUp:
				s.told.Add(1)
			}
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	wk, err := walkin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	oldStore, newStore := downStore{s.oldStore, &s.oldDown}, downStore{scsmem.NewWithCleanupInterval(0), &s.down}
	accountName := func(_ context.Context, user string) (string, error) {
		switch {
		case s.oldDown.Load():
			return "", errDown
		case user == "gone":
			return "", nil
		}
		return user + "@example.com", nil
	}

	// docs/moving-from-scs.md has these lines, too.
	old := scs.New() // as it was: its cookie, its lifetimes, its codec
	old.Store = oldStore
	sm := scs.New() // what the handlers use from now on
	sm.Store = newStore
	move, err := scsmove.New(wk, scsmove.Config{Old: old, New: sm, UserKey: "user", AccountName: accountName})
	if err != nil {
		t.Fatal(err)
	}

	mux := pages(sm, func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Continue(w, r, walkin.Proof{Provider: "account", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	mux.Handle("/recent", wk.RequireRecent(time.Hour)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "passed") })))
	mux.HandleFunc("POST /sign-out", func(w http.ResponseWriter, r *http.Request) {
		if err := move.SignOut(w, r); err != nil {
			wk.Refuse(w, r, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	site := wk.Handler(wk.LoadAndSave(sm)(move.Handler(mux)))

	s.now, s.after = site, wk.Handler(wk.LoadAndSave(sm)(mux))
	return s
}

func (s *shop) page(c *walkintest.Client, h http.Handler) string {
	s.t.Helper()
	return body(s.t, c.On(h).Visit("/"))
}

// signedIn returns a browser that has signed in to the site as it was.
func (s *shop) signedIn(name string) *walkintest.Client {
	s.t.Helper()
	c := walkintest.NewClient(s.t, s.before)
	c.Post("/buy", nil)
	c.Post("/sign-in", url.Values{"name": {name}})
	return c.On(s.now)
}

// goOn answers the question, which must be asked.
func (s *shop) goOn(c *walkintest.Client, name string) *http.Response {
	s.t.Helper()
	if got := s.page(c, s.now); !strings.Contains(got, "You were signed in as "+name+"@example.com.") {
		s.t.Errorf("%s is not asked: %q", name, got)
	}
	return c.On(s.now).Post("/go-on", url.Values{"user": {name}, "return_to": {"/basket"}})
}

// TestMove holds that no user is signed out on the way, and no cart lost.
func TestMove(t *testing.T) {
	s := newShop(t)
	guest := walkintest.NewClient(t, s.before)
	guest.Post("/buy", nil)
	buyer := walkintest.NewClient(t, s.before) // had a page open
	buyer.Post("/buy", nil)
	buyer.On(s.now).Post("/buy", nil)
	ann := s.signedIn("ann")
	if r := s.goOn(ann, "ann"); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/basket" {
		t.Errorf("going on: got %d to %q", r.StatusCode, r.Header.Get("Location"))
	}
	bea := s.signedIn("bea") // had a page open, too, and bought before she was asked
	bea.Post("/buy", nil)
	bea.Post("/buy", nil)
	s.goOn(bea, "bea")
	for name, tt := range map[string]struct {
		c    *walkintest.Client
		want string
	}{
		"a newer cart":          {bea, "cart=book+book user= permanent=true"},
		"a guest with a cart":   {guest, "cart=book user= permanent=false"},
		"a guest who goes on":   {buyer, "cart=book+book user= permanent=false"},
		"signed in":             {ann, "cart=book user= permanent=true"},
		"a new visitor":         {walkintest.NewClient(t, s.before), "cart= user= permanent=false"},
		"an account that is no": {s.signedIn("gone"), "cart= user= permanent=false"},
	} {
		for i, site := range []http.Handler{s.now, s.now, s.now, s.after} {
			if got := s.page(tt.c, site); got != tt.want {
				t.Errorf("%s, page %d: got %q, want %q", name, i, got, tt.want)
			}
		}
		if tt.c.Cookie("session") != "" {
			t.Errorf("%s: the old cookie is still there", name)
		}
	}
	if left, err := s.oldStore.All(); err != nil || len(left) != 0 {
		t.Errorf("got %d old sessions, %v", len(left), err)
	}
	if got := s.page(ann, s.before); got != "cart= user= permanent=false" {
		t.Errorf("back on the old site: got %q", got)
	}

	// The same account from two browsers is one user, and its new password works.
	second := s.signedIn("ann")
	s.goOn(second, "ann")
	third := walkintest.NewClient(t, s.now)
	third.Post("/sign-in", url.Values{"name": {"ann"}})
	want := ann.On(s.now).Visit("/").Header.Get("X-User")
	for _, c := range []*walkintest.Client{second, third} {
		if got := c.On(s.now).Visit("/").Header.Get("X-User"); got != want {
			t.Errorf("got user %q, want %q of the same account", got, want)
		}
	}
}

// TestMoveFails holds that what cannot be saved is not lost: the old session
// stays until the new one has come back.
func TestMoveFails(t *testing.T) {
	s := newShop(t)
	c := walkintest.NewClient(t, s.before)
	c.Post("/buy", nil)
	s.down.Store(true)
	if r := c.On(s.now).Visit("/"); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while the new store is down: got %d", r.StatusCode)
	}
	if got := s.page(c, s.before); !strings.HasPrefix(got, "cart=book") {
		t.Errorf("back on the old site: got %q", got)
	}
	s.down.Store(false)
	for range 3 {
		if got := s.page(c, s.now); !strings.HasPrefix(got, "cart=book") {
			t.Errorf("when it is back: got %q", got)
		}
	}

	// An answer that never arrived.
	lost := s.signedIn("ann")
	s.page(lost, s.now)
	r := lost.NewRequest(http.MethodPost, "/go-on", strings.NewReader("user=ann"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	lost.Carry(r)
	if response, err := lost.Serve(r); err != nil || response.StatusCode != http.StatusSeeOther {
		t.Fatalf("got %v, %v", response, err)
	}
	s.goOn(lost, "ann")
	if got := s.page(lost, s.now); got != "cart=book user= permanent=true" {
		t.Errorf("after a lost answer: got %q", got)
	}

	// The accounts cannot be read, when they are to be asked and when they answer.
	s.oldDown.Store(true)
	second := s.signedIn("ann")
	for _, got := range []*http.Response{second.Visit("/"), second.Post("/go-on", url.Values{"user": {"ann"}})} {
		if got.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("while the accounts cannot be read: got %d", got.StatusCode)
		}
	}
	s.oldDown.Store(false)
	s.goOn(second, "ann")

	// A cookie that opens nothing.
	forged := walkintest.NewClient(t, s.now)
	forged.SetCookie("session", "x")
	if got := s.page(forged, s.now); got != "cart= user= permanent=false" {
		t.Errorf("a forged cookie: got %q", got)
	}

	// At the limit a page is a page, and the cart is there when it is over.
	full := newShop(t, func(c *walkin.Config) { c.NewUsers.Limit = limit.Limit{Count: 1, Per: time.Hour} })
	for i, want := range []string{"cart=book", "cart= "} {
		c := walkintest.NewClient(t, full.before).From("192.0.2.1:1234")
		c.Post("/buy", nil)
		if got := full.page(c, full.now); !strings.HasPrefix(got, want) {
			t.Errorf("guest %d at a limit of one: got %q", i, got)
		}
		if got := full.page(c.From("198.51.100.1:1234"), full.now); !strings.HasPrefix(got, "cart=book") {
			t.Errorf("guest %d elsewhere: got %q", i, got)
		}
	}
}

// TestMoveAttacks holds that an old session gives its holder nothing but its own
// account, by a click of the holder, and ends with a sign-out.
func TestMoveAttacks(t *testing.T) {
	t.Run("planted on an account", func(t *testing.T) {
		s := newShop(t)
		victim := walkintest.NewClient(t, s.now)
		victim.Post("/sign-in", url.Values{"name": {"ann"}})
		want := victim.Visit("/").Header.Get("X-User")
		changes := s.told.Load()
		for _, act := range []func(c *walkintest.Client){
			func(c *walkintest.Client) { c.Visit("/") },
			func(c *walkintest.Client) { c.Post("/buy", nil) },
			func(c *walkintest.Client) { c.Post("/go-on", url.Values{"user": {"mallory"}}) },
		} {
			victim.SetCookie("session", s.signedIn("mallory").Cookie("session"))
			act(victim)
			if got := victim.Visit("/").Header.Get("X-User"); got != want {
				t.Errorf("ann was %s and is %s", want, got)
			}
		}
		if got := s.told.Load(); got != changes {
			t.Errorf("got %d changes of identity", got-changes)
		}
		mallory := walkintest.NewClient(t, s.now)
		mallory.Post("/sign-in", url.Values{"name": {"mallory"}})
		if got := mallory.Visit("/").Header.Get("X-User"); got == want {
			t.Error("mallory's password opens ann's account")
		}
	})
	t.Run("planted on a guest", func(t *testing.T) {
		s := newShop(t)
		victim := walkintest.NewClient(t, s.now)
		victim.Post("/buy", nil)
		want := victim.Visit("/").Header.Get("X-User")
		mallory, bob := s.signedIn("mallory"), s.signedIn("bob")
		victim.SetCookie("session", mallory.Cookie("session"))
		for range 2 {
			if got := s.page(victim, s.now); !strings.Contains(got, "mallory@example.com") {
				t.Errorf("the page does not say whose session it is: %q", got)
			}
		}
		victim.Post("/buy", nil)
		for _, site := range []string{"cross-site", "same-site"} {
			r := victim.NewRequest(http.MethodPost, "/go-on", strings.NewReader("user=mallory"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", site)
			if response := victim.Do(r); response.StatusCode != http.StatusForbidden {
				t.Errorf("a click on a %s page: got %d", site, response.StatusCode)
			}
		}
		victim.SetCookie("session", bob.Cookie("session")) // while they read the question
		victim.Post("/go-on", url.Values{"user": {"mallory"}})
		victim.SetCookie("session", mallory.Cookie("session"))
		victim.Post("/go-on", url.Values{"user": {""}}) // that is not me
		if r := victim.Visit("/"); r.Header.Get("X-User") != want || body(t, r) != "cart=book+book user= permanent=false" {
			t.Errorf("the guest was %s and is %s", want, r.Header.Get("X-User"))
		}
		if got := s.told.Load(); got != 0 {
			t.Errorf("got %d changes of identity", got)
		}
	})
	t.Run("an account that is gone", func(t *testing.T) {
		s := newShop(t)
		c := s.signedIn("gone")
		c.Post("/go-on", url.Values{"user": {"gone"}})
		if got := s.page(c, s.now); got != "cart= user= permanent=false" || s.told.Load() != 0 {
			t.Errorf("got %q, %d changes of identity", got, s.told.Load())
		}
	})
	t.Run("nothing was proven", func(t *testing.T) {
		s := newShop(t)
		c := s.signedIn("ann")
		s.goOn(c, "ann")
		if r := c.Visit("/recent"); r.StatusCode != http.StatusForbidden {
			t.Errorf("RequireRecent: got %d", r.StatusCode)
		}
	})
	t.Run("sign-out", func(t *testing.T) {
		s := newShop(t)
		first, later := s.signedIn("ann"), s.signedIn("bob")
		s.goOn(later, "bob")
		for name, c := range map[string]*walkintest.Client{"as the first thing": first, "after going on": later} {
			s.oldDown.Store(true)
			if r := c.Post("/sign-out", nil); r.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%s: with the old store down: got %d", name, r.StatusCode)
			}
			s.oldDown.Store(false)
			if r := c.Post("/sign-out", nil); r.StatusCode != http.StatusSeeOther {
				t.Errorf("%s: got %d", name, r.StatusCode)
			}
			if got := s.page(c, s.now); got != "cart= user= permanent=false" {
				t.Errorf("%s: the next page is %q", name, got)
			}
		}
		if left, err := s.oldStore.All(); err != nil || len(left) != 0 {
			t.Errorf("got %d old sessions, %v", len(left), err)
		}
	})
}

// TestNew holds that New reports everything wrong at once.
func TestNew(t *testing.T) {
	_, err := scsmove.New(nil, scsmove.Config{UserKey: "user", Path: "go-on"})
	for _, want := range []string{"New needs a middleware", "Config.Old", "AccountName", "Config.Path"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	sm := scs.New()
	if _, err := scsmove.New(nil, scsmove.Config{Old: sm, New: sm}); err == nil || !strings.Contains(err.Error(), "one manager") {
		t.Errorf("got %v for one manager", err)
	}
}

// TestKeys holds that an ID may be a number, that keys which give rights are not copied,
// and that the answer is a post of this very site.
func TestKeys(t *testing.T) {
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("thirty-two bytes of a test's key")}}, Store: memstore.New()})
	if err != nil {
		t.Fatal(err)
	}
	old, sm := scs.New(), scs.New()
	sm.Store = scsmem.NewWithCleanupInterval(0)
	move, err := scsmove.New(wk, scsmove.Config{
		Old: old, New: sm, UserKey: "uid", SignInKeys: []string{"admin"}, Path: "/answer",
		AccountName: func(_ context.Context, id string) (string, error) { return "account " + id, nil },
		Page: func(w http.ResponseWriter, _ *http.Request, q scsmove.Question) {
			fmt.Fprintf(w, "%s %s %s %s", q.Action, q.User, q.Name, q.ReturnTo)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := walkintest.NewClient(t, old.LoadAndSave(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		old.Put(r.Context(), "uid", int64(7))
		old.Put(r.Context(), "admin", true)
		old.Put(r.Context(), "cart", "book")
	})))
	c.Post("/", nil)
	c = c.On(wk.Handler(wk.LoadAndSave(sm)(move.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, sm.Keys(r.Context()), " ", sm.GetString(r.Context(), "cart"))
	})))))
	r := c.Visit("/basket?a=1")
	if got, want := body(t, r), "/answer 7 account 7 /basket?a=1"; got != want {
		t.Errorf("got the question %q, want %q", got, want)
	}
	if !strings.Contains(r.Header.Get("Cache-Control"), "no-store") || r.Header.Get("Content-Security-Policy") != "frame-ancestors 'none'" {
		t.Errorf("got the header %v", r.Header)
	}
	if r := c.Visit("/answer"); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %d", r.StatusCode)
	}
	no := c.NewRequest(http.MethodPost, "/answer", strings.NewReader("user="))
	no.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	no.Header.Set("Sec-Fetch-Site", "cross-site")
	if r := c.Do(no); r.StatusCode != http.StatusForbidden || c.Cookie("session") == "" {
		t.Errorf("a no from another site: got %d, and the old cookie is %q", r.StatusCode, c.Cookie("session"))
	}
	if r := c.Post("/answer", url.Values{"user": {"7"}}); r.StatusCode != http.StatusSeeOther {
		t.Errorf("got %d", r.StatusCode)
	}
	c.Visit("/")
	if got, want := body(t, c.Visit("/")), "[cart] book"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
