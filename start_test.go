package walkin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/walkintest"
)

// TestStart holds that the call gives a visitor without a user one, leaves other
// visitors alone, and gives another site's page nothing.
func TestStart(t *testing.T) {
	s := newSite(t)
	c := s.browser(s.StartHandler().ServeHTTP)
	if r := c.Do(s.request("POST", "/walkin.js")); r.StatusCode != http.StatusNoContent || c.Cookie(anonName) == "" {
		t.Fatalf("got %d and the cookies %v", r.StatusCode, c.Cookies())
	}
	first := c.Cookie(anonName)
	s.wantRows(1)
	if r := c.Do(s.request("POST", "/walkin.js")); r.StatusCode != http.StatusNoContent || c.Cookie(anonName) != first {
		t.Errorf("the second call: got %d and another cookie: %v", r.StatusCode, c.Cookie(anonName) != first)
	}
	s.wantRows(1)
	other := s.browser(s.StartHandler().ServeHTTP)
	if r := other.Do(with(s.request("POST", "/walkin.js"), "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")); r.StatusCode != http.StatusForbidden || len(other.Cookies()) > 0 {
		t.Errorf("another site: got %d and the cookies %v", r.StatusCode, other.Cookies())
	}
	script := other.Do(s.request("GET", "/walkin.js"))
	if script.StatusCode != http.StatusOK || !strings.Contains(body(t, script), "walkinFetch") || len(other.Cookies()) > 0 ||
		!strings.HasPrefix(script.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("the script: got %d %v", script.StatusCode, script.Header)
	}
	if r := other.Do(s.request("DELETE", "/walkin.js")); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: got %d", r.StatusCode)
	}
}

// TestStartOver holds that a page which walkin does not serve gets out of a cookie that
// has ended: it is replaced. One that cannot be verified stays, and a visitor who has
// signed up elsewhere is asked to sign in.
func TestStartOver(t *testing.T) {
	for name, tt := range map[string]struct {
		ends func(s *site, c *walkintest.Client)
		want int
	}{
		"deleted":               {func(s *site, c *walkintest.Client) { _ = s.DeleteUser(t.Context(), s.claims(c).UserID) }, 204},
		"signed out everywhere": {func(s *site, c *walkintest.Client) { _ = s.SignOutEverywhere(t.Context(), s.claims(c).UserID) }, 204},
		"garbage":               {func(_ *site, c *walkintest.Client) { c.SetCookie(anonName, "x.y.z") }, 204},
		"a dead account":        {func(_ *site, c *walkintest.Client) { c.SetCookie(anonName, ""); c.SetCookie(permName, "x.y.z") }, 204},
		"another key": {func(_ *site, c *walkintest.Client) {
			other := newSite(t, signedBy(keyOf(t, "EdDSA", 0))).browser(who)
			other.Visit("/")
			c.SetCookie(anonName, other.Cookie(anonName))
		}, 401},
		"signed up elsewhere": {func(s *site, c *walkintest.Client) {
			there := s.browser(nil)
			there.SetCookie(anonName, c.Cookie(anonName))
			s.prove(there, "ann", "new", "1")
		}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range policies[:3] {
				s := newSite(t, minting(mode))
				c := s.browser(s.StartHandler().ServeHTTP)
				c.Do(s.request("POST", "/walkin.js"))
				first := s.claims(c).UserID
				tt.ends(s, c)
				before, rows := c.Cookie(anonName), s.store.rows(t)
				r := c.Do(s.request("POST", "/walkin.js"))
				if r.StatusCode != tt.want {
					t.Fatalf("got %d %s, want %d", r.StatusCode, body(t, r), tt.want)
				}
				if tt.want != 204 {
					if c.Cookie(anonName) != before || s.store.rows(t) != rows {
						t.Error("the cookie was replaced")
					}
					continue
				}
				now := s.claims(c)
				if now.UserID == first || !now.Anonymous || now.Provisional || s.store.rows(t) != rows+1 {
					t.Errorf("got the user %+v in place of %s", now, first)
				}
				if r := c.On(s.Handler(s.routes())).Do(s.request("POST", "/note")); r.StatusCode != http.StatusOK {
					t.Errorf("the next write: got %d", r.StatusCode)
				}
			}
		})
	}
}
