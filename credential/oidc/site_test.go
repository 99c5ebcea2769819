package oidc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

const (
	permName = "__Host-walkin"
	issuer   = "https://op.example"
	other    = "https://other.example"
)

// A site runs on two replicas over one store, with two providers. Its users
// write notes.
type site struct {
	t         testing.TB
	store     store.Store
	op, other *op
	replicas  [2]http.Handler
	wk        [2]*walkin.Middleware
	sso       [2]http.Handler

	mu       sync.Mutex
	notes    map[uuid.UUID]int
	events   []walkin.Event
	profiles []oidc.Profile // that hooks saw
	hook     func(walkin.Change) error
}

// A setup changes a site before it is built.
type setup func(*walkin.Config, *oidc.Config)

func provider(change func(*oidc.Provider)) setup {
	return func(_ *walkin.Config, c *oidc.Config) { change(&c.Providers[0]) }
}

func minting(m walkin.Mint) setup {
	return func(c *walkin.Config, _ *oidc.Config) { c.NewUsers.Mint = m }
}

func newSite(t testing.TB, setups ...setup) *site {
	t.Helper()
	s := &site{t: t, store: memstore.New(), op: newOP(t, issuer), other: newOP(t, other), notes: map[uuid.UUID]int{}}
	net := web{"op.example": s.op, "other.example": s.other}
	hook := func(ctx context.Context, c walkin.Change) error {
		s.mu.Lock()
		if p, ok := oidc.ProfileFrom(ctx); ok {
			s.profiles = append(s.profiles, p)
		}
		if c.Outcome == walkin.Merged {
			s.notes[c.UserID] += s.notes[c.AnonymousID]
			delete(s.notes, c.AnonymousID)
		}
		hook := s.hook
		s.mu.Unlock()
		if hook != nil {
			return hook(c)
		}
		return nil
	}
	for i := range s.replicas {
		cfg := walkin.Config{
			Keys:      []walkin.Key{{Secret: []byte("a secret that is only of this test")}},
			Store:     s.store,
			Paths:     walkin.Paths{Credentials: []string{"/auth/"}},
			CacheSize: 256,
			Hooks:     walkin.Hooks{OnUpgrade: hook, OnSignIn: hook},
			OnEvent: func(_ context.Context, e walkin.Event) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.events = append(s.events, e)
			},
		}
		one := oidc.Provider{ClientID: "client", ClientSecret: "secret"}
		two := one
		one.Name, one.Issuer = "op", issuer
		two.Name, two.Issuer = "other", other
		sso := oidc.Config{URL: "https://app.example/auth/", Client: &http.Client{Transport: net}, Providers: []oidc.Provider{one, two}}
		for _, setup := range setups {
			setup(&cfg, &sso)
		}
		if cfg.Conflict == walkin.ConflictMerge {
			cfg.Hooks.OnMerge = hook
		}
		s.store = cfg.Store
		var err error
		if s.wk[i], err = walkin.New(cfg); err != nil {
			t.Fatal(err)
		}
		h, err := oidc.New(s.wk[i], sso)
		if err != nil {
			t.Fatal(err)
		}
		s.sso[i] = h
		s.replicas[i] = s.wk[i].Handler(s.routes(s.wk[i], h))
	}
	return s
}

// who is what a page says about its visitor.
type who struct {
	ID        uuid.UUID
	Anonymous bool
	Session   uuid.UUID
	Method    string
	ProvenAt  int64
	Notes     int
}

func (s *site) routes(wk *walkin.Middleware, sso http.Handler) http.Handler {
	mux := http.NewServeMux()
	tell := func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(who{c.UserID, c.Anonymous, c.SessionID, c.Method, c.ProvenAt.Unix(), s.notes[c.UserID]})
	}
	mux.HandleFunc("/", tell)
	mux.Handle("/members", wk.RequirePermanent()(http.HandlerFunc(tell)))
	mux.Handle("/danger", wk.RequireRecent(10*time.Minute)(http.HandlerFunc(tell)))
	mux.Handle("/note", wk.RequireUser()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		s.mu.Lock()
		s.notes[c.UserID]++
		s.mu.Unlock()
		tell(w, r)
	})))
	mux.HandleFunc("/prove", func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	mux.Handle("/out", wk.SignOutHandler())
	mux.Handle("/auth/", sso)
	return mux
}

// browser returns one at the first replica.
func (s *site) browser() *walkintest.Client { return walkintest.NewClient(s.t, s.replicas[0]) }

// anonymous returns the browser of an anonymous user who has written two notes.
func (s *site) anonymous() (*walkintest.Client, who) {
	s.t.Helper()
	c := s.browser()
	c.Visit("/")
	c.Post("/note", nil)
	c.Post("/note", nil)
	w := s.who(c)
	if !w.Anonymous || w.Notes != 2 {
		s.t.Fatalf("got %+v, want an anonymous user with two notes", w)
	}
	return c, w
}

// member returns the browser of a user who has signed up with a password.
func (s *site) member(name string) (*walkintest.Client, who) {
	s.t.Helper()
	c := s.browser()
	c.Visit("/")
	if r := c.Post("/prove", url.Values{"name": {name}}); r.StatusCode != http.StatusOK {
		s.t.Fatalf("signing up: got %d", r.StatusCode)
	}
	return c, s.who(c)
}

// who returns who a browser's visitor is, as the store has it now.
func (s *site) who(c *walkintest.Client) who {
	s.t.Helper()
	var w who
	r := c.Do(c.NewRequest(http.MethodPatch, "/", nil)) // looks at the store
	if err := json.NewDecoder(r.Body).Decode(&w); err != nil {
		s.t.Fatal(err)
	}
	return w
}

// glance is who without an unsafe request, which would make a reader a stored user.
func (s *site) glance(c *walkintest.Client) who {
	s.t.Helper()
	var w who
	if err := json.NewDecoder(c.Fetch("/").Body).Decode(&w); err != nil {
		s.t.Fatal(err)
	}
	return w
}

// press presses the button of a provider and returns where the browser is sent.
func (s *site) press(c *walkintest.Client, name string, more ...string) *url.URL {
	s.t.Helper()
	r := c.Post("/auth/start", pressed(name, more...))
	to, err := r.Location()
	if r.StatusCode != http.StatusSeeOther || err != nil {
		s.t.Fatalf("starting: got %d %s", r.StatusCode, text(r))
	}
	return to
}

func pressed(name string, more ...string) url.Values {
	form := url.Values{"provider": {name}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// callback returns the request with which a browser comes back.
func callback(c *walkintest.Client, name string, answer url.Values) *http.Request {
	r := c.NewRequest(http.MethodGet, "/auth/callback/"+name+"?"+answer.Encode(), nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Referer", issuer+"/")
	return r
}

// back brings a browser back from a provider.
func (s *site) back(c *walkintest.Client, name string, answer url.Values) *http.Response {
	s.t.Helper()
	r := c.Do(callback(c, name, answer))
	s.checkHeader(r)
	return r
}

// checkHeader holds what every answer to a callback has.
func (s *site) checkHeader(r *http.Response) {
	s.t.Helper()
	if !strings.Contains(r.Header.Get("Cache-Control"), "no-store") || r.Header.Get("Referrer-Policy") != "strict-origin" {
		s.t.Errorf("got Cache-Control %q and Referrer-Policy %q", r.Header.Get("Cache-Control"), r.Header.Get("Referrer-Policy"))
	}
}

// prove lets a browser's visitor prove who they are, all the way.
func (s *site) prove(c *walkintest.Client, sub string, more ...string) *http.Response {
	s.t.Helper()
	return s.back(c, "op", s.op.answer(s.press(c, "op", more...), sub))
}

// reason returns why the last visitor was refused.
func (s *site) reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.events) - 1; i >= 0; i-- {
		if s.events[i].Outcome == walkin.Refused {
			return string(s.events[i].Reason)
		}
	}
	return ""
}

// cause returns what the operator learns about the last refusal.
func (s *site) cause() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.events) - 1; i >= 0; i-- {
		if e := s.events[i]; e.Outcome == walkin.Refused {
			return fmt.Sprint(e.Reason, " ", e.Err)
		}
	}
	return ""
}

// outcome returns what the last change of identity was.
func (s *site) outcome() walkin.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.events) - 1; i >= 0; i-- {
		switch o := s.events[i].Outcome; o {
		case walkin.Upgraded, walkin.SignedUp, walkin.SignedIn, walkin.Merged, walkin.Linked:
			return o
		}
	}
	return ""
}

// identities returns how many a user has.
func (s *site) identities(user uuid.UUID) int {
	s.t.Helper()
	list, err := s.store.Identities(s.t.Context(), user)
	if err != nil {
		s.t.Fatal(err)
	}
	return len(list)
}

// refused holds that a visitor was refused, and is who they were.
func (s *site) refused(c *walkintest.Client, r *http.Response, before who, status int, reason string) {
	s.t.Helper()
	if r.StatusCode != status || s.reason() != reason {
		s.t.Errorf("got %d for %q, want %d for %q: %s", r.StatusCode, s.reason(), status, reason, text(r))
	}
	if after := s.who(c); after != before {
		s.t.Errorf("got %+v, want %+v as before", after, before)
	}
	s.quiet(text(r))
}

// quiet holds that nothing of the login flow is shown, or told to the operator.
func (s *site) quiet(shown string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		shown += fmt.Sprintf(" %v", e.Err)
	}
	for _, secret := range []string{"ann@example.com", accessToken, "secret", "eyJ", "state=", "code="} {
		if strings.Contains(shown, secret) {
			s.t.Errorf("%q is in %s", secret, shown)
		}
	}
}

func text(r *http.Response) string {
	b, _ := io.ReadAll(r.Body)
	return string(b)
}
