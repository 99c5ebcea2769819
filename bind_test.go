package walkin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

const bindName = "__Host-walkin-bind"

// bound returns a browser of a site whose pages say what it is bound to.
func (s *site) bound() *walkintest.Client { return walkintest.NewClient(s.t, s.flows()) }

// flows returns that site.
func (s *site) flows() http.Handler {
	mux := s.routes()
	mux.HandleFunc("/bind", func(w http.ResponseWriter, r *http.Request) {
		name, err := s.StartFlow(w, r)
		if err != nil {
			s.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, name)
	})
	mux.HandleFunc("/bound", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Join(s.FlowIDs(r), " "))
	})
	return s.Handler(mux)
}

// bind starts a login flow and returns its name.
func (s *site) bind(c *walkintest.Client) string {
	s.t.Helper()
	r := c.Post("/bind", nil)
	name := body(s.t, r)
	if r.StatusCode != http.StatusOK || name == "" {
		s.t.Fatalf("binding: got %d %q", r.StatusCode, name)
	}
	return name
}

// completes reports whether the browser is still the one of a login flow.
func (s *site) completes(c *walkintest.Client, name string) bool {
	s.t.Helper()
	return slices.Contains(strings.Fields(body(s.t, c.Do(c.NewRequest(http.MethodGet, "/bound", nil)))), name)
}

func TestBind(t *testing.T) {
	s := newSite(t, minting(walkin.MintOff))
	on := newSite(t, over(s))
	visit := func(c *walkintest.Client) { c.On(on.Handler(on.routes())).Visit("/") }
	act := func(c *walkintest.Client) { c.On(on.Handler(on.routes())).Post("/note", nil) }
	none := func(*walkintest.Client) {}
	signIn := func(name string) func(c *walkintest.Client) {
		return func(c *walkintest.Client) { s.prove(c, name) }
	}
	for _, c := range []struct {
		name          string
		before, after func(*walkintest.Client)
		cookie, want  bool
	}{
		{"nobody", none, none, true, true},
		{"nobody who opens a page", none, visit, true, true},
		{"nobody who opens a page and acts", none, func(c *walkintest.Client) { visit(c); act(c) }, true, true},
		{"nobody who signs up otherwise", none, signIn("new"), true, false},
		{"nobody who signs in otherwise", none, signIn("ann"), true, false},
		{"a visitor", visit, none, false, true},
		{"a visitor who acts", visit, act, false, true},
		{"a visitor who upgrades otherwise", visit, signIn("newer"), false, false},
		{"an anonymous user", func(c *walkintest.Client) { visit(c); act(c) }, none, false, true},
		{"a permanent user", signIn("bea"), none, false, true},
		{"a permanent user who signs in anew", signIn("cleo"), signIn("cleo"), false, false},
		{"a permanent user who signs out", signIn("dora"), func(c *walkintest.Client) { c.On(s.Handler(s.routes())).Post("/out", nil) }, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.forget("test", "new", "newer")
			s.prove(s.bound(), "ann")
			browser := s.bound()
			c.before(browser)
			rows := s.store.rows(t)
			name := s.bind(browser)
			if got := s.store.rows(t) - rows; got != 0 && c.cookie {
				t.Errorf("got %d new rows for nobody", got)
			}
			if got := browser.Cookie(bindName) != ""; got != c.cookie {
				t.Errorf("got a cookie %t, want %t", got, c.cookie)
			}
			if strings.Contains(name, browser.Cookie(bindName)) && c.cookie {
				t.Errorf("got %q, which says what the cookie is", name)
			}
			if again := s.bind(browser); again != name {
				t.Errorf("the second tab: got %q, want %q", again, name)
			}
			c.after(browser)
			if got := s.completes(browser, name); got != c.want {
				t.Errorf("completes: got %t, want %t", got, c.want)
			}
			other := s.bound()
			visit(other)
			if s.completes(other, name) || s.bind(other) == name {
				t.Error("another browser completes it")
			}
		})
	}
}

func TestBindRefuses(t *testing.T) {
	s := newSite(t)
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"a GET":         {func(r *http.Request) { r.Method = http.MethodGet }, http.StatusMethodNotAllowed},
		"a HEAD":        {func(r *http.Request) { r.Method = http.MethodHead }, http.StatusMethodNotAllowed},
		"another site":  {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		"a sister site": {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, http.StatusForbidden},
		"two live cookies": {func(r *http.Request) {
			ann, bob := permanentUser(s, "ann"), permanentUser(s, "bob")
			r.Header.Set("Cookie", permName+"="+ann.Cookie(permName)+"; "+permName+"="+bob.Cookie(permName))
		}, http.StatusUnauthorized},
	} {
		r := s.form("/bind", url.Values{})
		c.change(r)
		resp := s.bound().Do(r)
		if resp.StatusCode != c.want || len(named(resp, bindName)) > 0 {
			t.Errorf("%s: got %d with cookies %v, want %d and none", name, resp.StatusCode, resp.Cookies(), c.want)
		}
	}
}

// TestBindCookie holds what is on the wire, and which values are believed.
func TestBindCookie(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*walkin.Config)
		want   string
	}{
		"host":        {func(*walkin.Config) {}, bindName + "=; Path=/; Max-Age=900; HttpOnly; Secure; SameSite=Lax"},
		"domain":      {func(c *walkin.Config) { c.Cookies.Domain = "app.example" }, bindName + "=; Path=/; Max-Age=900; HttpOnly; Secure; SameSite=Lax"},
		"insecure":    {func(c *walkin.Config) { c.Cookies.Insecure, c.Cookies.Name = true, "walkin" }, "walkin-bind=; Path=/; Max-Age=900; HttpOnly; SameSite=Lax"},
		"partitioned": {func(c *walkin.Config) { c.Cookies.Partitioned = true }, "__Host-walkin-bind-chips=; Path=/; Max-Age=900; HttpOnly; Secure; SameSite=None; Partitioned"},
	} {
		s := newSite(t, minting(walkin.MintOff), c.change)
		rec := httptest.NewRecorder()
		if _, err := s.StartFlow(rec, s.form("/", nil)); err != nil {
			t.Fatal(err)
		}
		set := rec.Result().Cookies()
		if len(set) != 1 || strings.Replace(rec.Header().Get("Set-Cookie"), set[0].Value, "", 1) != c.want {
			t.Fatalf("%s: got %q, want %q", name, rec.Header()["Set-Cookie"], c.want)
		}
		if got := rec.Header().Get("Cache-Control"); got != "private, no-store" {
			t.Errorf("%s: got Cache-Control %q", name, got)
		}
		value := set[0].Value
		other := "B" + value[1:]
		if other == value {
			other = "C" + value[1:]
		}
		cookie := set[0].Name + "="
		for header, want := range map[string]int{
			cookie + value: 1, cookie + value + "; " + cookie + value: 1, "": 0,
			cookie: 0, cookie + "short": 0, cookie + value + "x": 0,
			cookie + value + "; " + cookie + other: 0, cookie + "short; " + cookie + value: 0,
		} {
			r := s.request(http.MethodGet, "/")
			r.Header.Set("Cookie", header)
			if got := s.FlowIDs(r); len(got) != want {
				t.Errorf("%s: %q: got %q, want %d", name, header, got, want)
			}
		}
	}
}
