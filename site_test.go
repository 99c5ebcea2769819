package walkin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// siteSecret signs the tokens of all sites in these tests.
var siteSecret = []byte("a secret that is only of this test")

// A site is a small site with walkin in front, and what walkin said about it.
type site struct {
	*walkin.Middleware
	t     *testing.T
	store *faultyStore

	mu     sync.Mutex
	events []walkin.Event
}

// newSite returns a site over a store of its own, unless a change gives it
// another one.
func newSite(t *testing.T, changes ...func(*walkin.Config)) *site {
	t.Helper()
	s := &site{t: t}
	cfg := walkin.Config{
		Keys:  []walkin.Key{{Secret: siteSecret}},
		Store: &faultyStore{Store: memstore.New()},
		OnEvent: func(_ context.Context, e walkin.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	}
	for _, change := range changes {
		change(&cfg)
	}
	m, err := walkin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Middleware, s.store = m, cfg.Store.(*faultyStore)
	return s
}

// unlimited is for more visitors from one address than a household has.
func unlimited(c *walkin.Config) { c.NewUsers.Limit = limit.Limit{Count: -1} }

// renewAlways makes every token due for a renewal.
func renewAlways(c *walkin.Config) { c.Tokens.RenewAfter = 1 }

// merging gives the site an OnMerge.
func merging(c *walkin.Config) {
	c.Hooks.OnMerge = func(context.Context, walkin.Change) error { return nil }
}

// browser returns a new visitor of the site, in front of h.
func (s *site) browser(h http.HandlerFunc) *walkintest.Client {
	return walkintest.NewClient(s.t, s.Handler(h))
}

// who tells the visitor who they are.
func who(w http.ResponseWriter, r *http.Request) {
	if c, ok := walkin.FromContext(r.Context()); ok {
		fmt.Fprintf(w, "%s anonymous=%t", c.UserID, c.Anonymous)
		return
	}
	fmt.Fprint(w, "nobody")
}

// routes returns the site's handlers.
func (s *site) routes() *http.ServeMux {
	prove := func(w http.ResponseWriter, r *http.Request) {
		outcome, err := s.Continue(w, r, proofOf(r))
		if err != nil {
			s.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, outcome)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", who)
	mux.Handle("/note", s.RequireUser()(http.HandlerFunc(who)))
	mux.Handle("/members", s.RequirePermanent()(http.HandlerFunc(who)))
	mux.HandleFunc("POST /prove", prove)
	mux.HandleFunc("GET /callback", prove)
	mux.HandleFunc("/ensure", func(w http.ResponseWriter, r *http.Request) {
		c, err := s.Ensure(w, r)
		if err != nil {
			s.Refuse(w, r, err)
			return
		}
		fmt.Fprintf(w, "%s anonymous=%t", c.UserID, c.Anonymous)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		token, err := s.AccessToken(r.Context(), "walkin", 0)
		if err != nil {
			s.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, token)
	})
	mux.HandleFunc("POST /unlink", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Unlink(w, r, "test", r.FormValue("name")); err != nil {
			s.Refuse(w, r, err)
		}
	})
	mux.Handle("/out", s.SignOutHandler())
	return mux
}

// proofOf reads from a request what was proven, as no app should.
func proofOf(r *http.Request) walkin.Proof {
	conflicts := map[string]walkin.Conflict{"merge": walkin.ConflictMerge, "sign-in": walkin.ConflictSignIn, "reject": walkin.ConflictReject}
	return walkin.Proof{
		Provider: "test", Subject: r.FormValue("name"), Method: "pwd", Secret: []byte(r.FormValue("secret")),
		Chosen: r.FormValue("new") != "", StateChecked: r.FormValue("state") != "", Conflict: conflicts[r.FormValue("conflict")],
	}
}

// prove lets a visitor prove who they are.
func (s *site) prove(c *walkintest.Client, name string, more ...string) string {
	s.t.Helper()
	form := url.Values{"name": {name}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	r := c.On(s.Handler(s.routes())).Post("/prove", form)
	if r.StatusCode != http.StatusOK {
		s.t.Fatalf("proving %q: got %d %q, want 200", name, r.StatusCode, body(s.t, r))
	}
	return body(s.t, r)
}

// forget removes identities and lets their names be free again.
func (s *site) forget(provider string, subjects ...string) {
	s.t.Helper()
	for _, subject := range subjects {
		identity, err := s.store.Identity(s.t.Context(), provider, subject)
		if err == nil {
			err = s.store.DeleteIdentity(s.t.Context(), identity.UserID, provider, subject)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			s.t.Fatal(err)
		}
	}
}

// request returns what a script of the page sends; navigation what a browser
// sends for a page, and form for a form of it.
func (s *site) request(method, path string) *http.Request {
	return walkintest.NewClient(s.t, nil).NewRequest(method, path, nil)
}

func (s *site) navigation(path string) *http.Request {
	r := s.request(http.MethodGet, path)
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	return r
}

func (s *site) form(path string, values url.Values) *http.Request {
	r := walkintest.NewClient(s.t, nil).NewRequest(http.MethodPost, path, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Origin", "https://app.example")
	return r
}

// told returns the events since the last call.
func (s *site) told() []walkin.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	return events
}

// outcomes returns what happened since the last call, with its reasons.
func (s *site) outcomes() string {
	var words []string
	for _, e := range s.told() {
		var word strings.Builder
		word.WriteString(string(e.Outcome))
		for i, reason := range []walkin.Reason{e.Token, e.Reason} {
			if reason != "" {
				word.WriteString([...]string{"/", ":"}[i] + string(reason))
			}
		}
		words = append(words, word.String())
	}
	return strings.Join(words, " ")
}

// wantRows checks how many users the store knows.
func (s *site) wantRows(want int) {
	s.t.Helper()
	if got := s.store.rows(s.t); got != want {
		s.t.Errorf("got %d rows, want %d", got, want)
	}
}

// body returns the text of a response, as often as it is asked.
func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	return string(b)
}

// named returns a response's cookies of a name.
func named(r *http.Response, name string) []*http.Cookie {
	return slices.DeleteFunc(r.Cookies(), func(c *http.Cookie) bool { return c.Name != name })
}
