package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/internal/faulty"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestEveryStepFails holds that whichever call of the store fails, no visitor is signed
// in or proven once more, and that the answer is 503.
func TestEveryStepFails(t *testing.T) {
	guest := func(s *site) *walkintest.Client { c, _ := s.anonymous(); return c }
	member := func(s *site) *walkintest.Client {
		c := s.browser()
		s.prove(c, "ann")
		return c
	}
	begun := func(visit func(*site) *walkintest.Client, more ...string) func(*site) (*walkintest.Client, func() *http.Response) {
		return func(s *site) (*walkintest.Client, func() *http.Response) {
			c := visit(s)
			answer := s.op.answer(s.press(c, "op", more...), "ann")
			return c, func() *http.Response { return s.back(c, "op", answer) }
		}
	}
	for _, tt := range []struct {
		name  string
		visit func(*site) (*walkintest.Client, func() *http.Response)
		once  bool
	}{
		{"start", func(s *site) (*walkintest.Client, func() *http.Response) {
			c := guest(s)
			return c, func() *http.Response { return c.Post("/auth/start", pressed("op")) }
		}, false},
		{"sign up", begun(guest), true},
		{"sign in", begun(func(s *site) *walkintest.Client { member(s); return guest(s) }), true},
		{"prove again", begun(member, "reproof", "1"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s *site
			var c *walkintest.Client
			var was who
			faulty.EachStep(t, func(t *testing.T, st *faulty.Store) faulty.Call {
				kept := memstore.New()
				s = newSite(t, func(c *walkin.Config, _ *oidc.Config) { st.Store, c.Store = kept, st })
				s.op.claims = func(m map[string]any) { m["auth_time"] = time.Now().Unix() }
				var ask func() *http.Response
				c, ask = tt.visit(s)
				was = s.who(c)
				return faulty.Call{Name: tt.name, Ask: ask, Once: tt.once}
			}, func(t *testing.T, step string, _ *http.Response) {
				if got := s.who(c); got != was {
					t.Errorf("%s fails: got %+v, want %+v", step, got, was)
				}
			})
		})
	}
}

// TestHeadersWithoutEnd holds that the header of an answer has a bound as well, whatever
// the site's client allows.
func TestHeadersWithoutEnd(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 1 << 10
		if r.URL.Path == "/large" {
			n = 2 << 20
		}
		w.Header().Set("X-Filler", strings.Repeat("a", n))
	}))
	defer server.Close()
	open := &http.Transport{MaxResponseHeaderBytes: 64 << 20}
	for name, tt := range map[string]struct {
		client *http.Client
		small  bool // whether an answer with 1 KB of header passes
	}{
		"none":                 {nil, true},
		"an open one":          {&http.Client{Transport: open}, true},
		"one of a lower bound": {&http.Client{Transport: &http.Transport{MaxResponseHeaderBytes: 512}}, false},
	} {
		for path, ok := range map[string]bool{"/": tt.small, "/large": false} {
			r, err := oidc.Bounded(tt.client).Get(server.URL + path)
			if (err == nil) != ok {
				t.Errorf("%s, %s: got %v", name, path, err)
			}
			if err == nil {
				r.Body.Close()
			}
		}
	}
	if n, m := open.MaxResponseHeaderBytes, http.DefaultTransport.(*http.Transport).MaxResponseHeaderBytes; n != 64<<20 || m != 0 {
		t.Errorf("the site's own client has a bound of %d now, and the one of all of %d", n, m)
	}
}
