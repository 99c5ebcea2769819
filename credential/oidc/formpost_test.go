package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/walkintest"
)

var formPost = provider(func(p *oidc.Provider) { p.FormPost = true })

// post is what the provider's page makes a browser send: from another site, so
// without its cookies.
func (s *site) post(c *walkintest.Client, name string, form url.Values) *http.Response {
	s.t.Helper()
	r := c.NewRequest(http.MethodPost, "/auth/callback/"+name, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Origin", issuer)
	response, err := c.Serve(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.checkHeader(response)
	if cookies := response.Cookies(); len(cookies) != 0 {
		s.t.Errorf("the post set %v", cookies)
	}
	return response
}

// follow goes where a post sends the browser: by GET, and with its cookies.
func (s *site) follow(c *walkintest.Client, r *http.Response) *http.Response {
	s.t.Helper()
	to, err := r.Location()
	if r.StatusCode != http.StatusSeeOther || err != nil {
		s.t.Fatalf("got %d for %q: %s", r.StatusCode, s.reason(), text(r))
	}
	if to.Path != "/auth/callback/op" || len(to.Query()) != 1 || len(to.Query().Get("posted")) != 26 {
		s.t.Errorf("got %s, want nothing but a reference", to)
	}
	return s.back(c, "op", to.Query())
}

func TestFormPost(t *testing.T) {
	for kind, visitor := range map[string]func(*site) *walkintest.Client{
		"nobody":  func(s *site) *walkintest.Client { return s.browser() },
		"a guest": func(s *site) *walkintest.Client { c, _ := s.anonymous(); return c },
	} {
		s := newSite(t, formPost, minting(walkin.MintOnWrite))
		c := visitor(s)
		before := s.glance(c)
		to := s.press(c, "op", "return_to", "/notes")
		if got := to.Query().Get("response_mode"); got != "form_post" {
			t.Errorf("%s: got response_mode %q", kind, got)
		}
		posted := s.post(c.On(s.replicas[1]), "op", s.op.answer(to, "ann"))
		if after := s.glance(c); after != before {
			t.Errorf("%s: the post made %+v of %+v", kind, after, before)
		}
		if s.op.called("/token") != 0 {
			t.Errorf("%s: the post exchanged the code", kind)
		}
		r := s.follow(c, posted)
		if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/notes" {
			t.Fatalf("%s: got %d for %q", kind, r.StatusCode, s.reason())
		}
		after := s.who(c)
		if after.Anonymous || kind == "a guest" && (after.ID != before.ID || after.Notes != 2) {
			t.Errorf("%s: got %+v after %+v", kind, after, before)
		}
		s.refused(c, s.follow(c, posted), after, http.StatusForbidden, "oidc_state")
	}
}

// TestFormPostAttacks holds that a post from elsewhere changes nothing, and that
// what follows it counts in the browser that began it alone.
func TestFormPostAttacks(t *testing.T) {
	for to, victim := range victims {
		s := newSite(t, formPost, minting(walkin.MintOnWrite))
		v := victim(s)
		before := s.glance(v)
		attacker, _ := s.anonymous()
		r := s.follow(v, s.post(v, "op", s.op.answer(s.press(attacker, "op"), "mallory")))
		if after := s.glance(v); after != before || r.StatusCode != http.StatusForbidden || s.reason() != "oidc_browser" {
			t.Errorf("%s: got %d for %q, %+v, want %+v as before", to, r.StatusCode, s.reason(), after, before)
		}
	}
	for _, c := range []struct {
		name, at string
		change   func(url.Values)
		status   int
		reason   string
	}{
		{"another state", "op", func(v url.Values) { v.Set("state", "guessed") }, 403, "oidc_state"},
		{"two states", "op", func(v url.Values) { v.Add("state", "guessed") }, 400, "oidc_malformed"},
		{"too large", "op", func(v url.Values) { v.Set("user", strings.Repeat("x", 64<<10)) }, 413, "form_large"},
		{"another provider's", "other", func(url.Values) {}, 405, "method"},
		{"nobody's", "unheard-of", func(url.Values) {}, 405, "method"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, formPost)
			b, before := s.anonymous()
			answer := s.op.answer(s.press(b, "op"), "ann")
			c.change(answer)
			s.refused(b, s.post(b, c.at, answer), before, c.status, c.reason)
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		s := newSite(t, formPost)
		b, before := s.anonymous()
		to := s.press(b, "op")
		r := s.follow(b, s.post(b, "op", url.Values{"state": {to.Query().Get("state")}, "error": {"access_denied"}}))
		s.refused(b, r, before, http.StatusForbidden, "oidc_denied")
	})
	t.Run("another iss", func(t *testing.T) {
		s := newSite(t, formPost)
		b, before := s.anonymous()
		answer := s.op.answer(s.press(b, "op"), "ann")
		answer.Set("iss", other)
		s.refused(b, s.follow(b, s.post(b, "op", answer)), before, http.StatusForbidden, "oidc_mix_up")
	})
	t.Run("twice", func(t *testing.T) {
		s := newSite(t, formPost)
		b, before := s.anonymous()
		answer := s.op.answer(s.press(b, "op"), "ann")
		s.post(b, "op", answer)
		s.refused(b, s.post(b, "op", answer), before, http.StatusForbidden, "oidc_state")
	})
	for _, tt := range []struct {
		name            string
		there, followed time.Duration // how long it takes
		late            bool
	}{
		{"in time", 0, 2*time.Minute - time.Second, false},
		{"too late", 0, 2*time.Minute + time.Second, true},
		{"before the login flow ends", 14 * time.Minute, time.Minute - time.Second, false},
		{"after the login flow has ended", 14 * time.Minute, time.Minute + time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, formPost)
				b, before := s.anonymous()
				to := s.press(b, "op")
				time.Sleep(tt.there)
				posted := s.post(b, "op", s.op.answer(to, "ann"))
				time.Sleep(tt.followed)
				r := s.follow(b, posted)
				if tt.late {
					s.refused(b, r, before, http.StatusForbidden, "oidc_state")
				} else if r.StatusCode != http.StatusSeeOther || s.who(b).ID != before.ID {
					t.Errorf("got %d for %q", r.StatusCode, s.reason())
				}
			})
		})
	}
}

// TestFormPostLeadsHome holds that a post leads to the callback that Config.URL
// names, whatever path it came by: a router may take parts off it, or leave in it
// what a browser takes for another site.
func TestFormPostLeadsHome(t *testing.T) {
	for _, at := range []string{"/callback/op", "//evil.example/auth/callback/op", `/\evil.example/callback/op`} {
		s := newSite(t, formPost)
		c, _ := s.anonymous()
		answer := s.op.answer(s.press(c, "op"), "ann")
		r := c.NewRequest(http.MethodPost, "/", strings.NewReader(answer.Encode()))
		r.URL.Path = at
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		response, err := c.On(s.sso[0]).Serve(r)
		if err != nil {
			t.Fatal(err)
		}
		to, rest, _ := strings.Cut(response.Header.Get("Location"), "?posted=")
		if to != "https://app.example/auth/callback/op" || len(rest) != 26 {
			t.Errorf("%s: sent to %s", at, to)
		}
	}
}

// TestFormPostBehindProtection is the pattern that docs/oidc.md gives to a site
// with a protection of its own in front of everything.
func TestFormPostBehindProtection(t *testing.T) {
	for bypass, want := range map[string]int{"": http.StatusForbidden, "POST /auth/callback/op": http.StatusSeeOther} {
		s := newSite(t, formPost)
		protection := http.NewCrossOriginProtection()
		if bypass != "" {
			protection.AddInsecureBypassPattern(bypass)
		}
		c, _ := s.anonymous()
		c = c.On(protection.Handler(s.replicas[0]))
		answer := s.op.answer(s.press(c, "op"), "ann")
		r := c.NewRequest(http.MethodPost, "/auth/callback/op", strings.NewReader(answer.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		response, err := c.Serve(r)
		if err != nil || response.StatusCode != want {
			t.Errorf("%q: got %d, %v, want %d", bypass, response.StatusCode, err, want)
		}
		// Everything else is as protected as before.
		r = c.NewRequest(http.MethodPost, "/auth/start?provider=op", nil)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if response := c.Do(r); response.StatusCode != http.StatusForbidden {
			t.Errorf("%q: a start from elsewhere: got %d", bypass, response.StatusCode)
		}
	}
}
