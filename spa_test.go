package walkin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
)

// TestSinglePageApp holds that a page on another origin of the same site, which
// Config.CrossOrigin trusts, has the same users as the site's own pages; that no
// other origin has; and that bearers need no such trust.
func TestSinglePageApp(t *testing.T) {
	const spa = "https://app.example.com"
	api := func(t *testing.T) *site {
		return newSite(t, func(c *walkin.Config) { c.CrossOrigin = trusting(t, spa) })
	}
	from := func(s *site, method, path, origin, where string) *http.Request {
		return with(s.request(method, path), "Sec-Fetch-Site", where, "Origin", origin)
	}
	t.Run("with credentials", func(t *testing.T) {
		s := api(t)
		c := s.browser(s.routes().ServeHTTP)
		if c.Do(from(s, "GET", "/", spa, "same-site")); len(c.Cookies()) > 0 {
			t.Error("a fetch made a user")
		}
		c.Do(from(s, "POST", "/note", spa, "same-site"))
		id := body(t, c.Do(from(s, "GET", "/", spa, "same-site")))
		s.wantRows(1)
		if r := c.Do(from(s, "POST", "/prove?name=ann", spa, "same-site")); r.StatusCode != http.StatusOK {
			t.Errorf("signing up: got %d", r.StatusCode)
		}
		if got := body(t, c.Do(from(s, "GET", "/", spa, "same-site"))); strings.Fields(got)[0] != strings.Fields(id)[0] {
			t.Errorf("got %q after signing up, want the user of %q", got, id)
		}
		if r := c.Do(from(s, "POST", "/out", "https://evil.example.com", "same-site")); r.StatusCode != http.StatusForbidden {
			t.Errorf("a sibling that is not trusted: got %d, want 403", r.StatusCode)
		}
		if r := c.Do(from(s, "POST", "/out", spa, "same-site")); r.StatusCode != http.StatusSeeOther {
			t.Errorf("signing out: got %d", r.StatusCode)
		}
	})
	t.Run("Ensure", func(t *testing.T) {
		for _, method := range []string{"GET", "POST"} {
			for origin, want := range map[string]bool{spa: true, "https://evil.example.com": false, "null": false} {
				s := api(t)
				var err error
				s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, err = s.Ensure(w, r) })).
					ServeHTTP(httptest.NewRecorder(), from(s, method, "/", origin, "same-site"))
				if (err == nil) != want {
					t.Errorf("%s from %s: got %v", method, origin, err)
				}
			}
		}
	})
	t.Run("a bearer", func(t *testing.T) {
		s := api(t)
		c := resident(s, "permanent")
		token := c.Cookie(permName)
		for origin, cookie := range map[string]string{"https://elsewhere.example": "", "https://evil.example": permName + "=" + token} {
			r := with(from(s, "POST", "/", origin, "cross-site"), "Authorization", "Bearer "+token, "Cookie", cookie)
			rec := httptest.NewRecorder()
			s.Handler(s.RequirePermanent()(new(spy))).ServeHTTP(rec, r)
			if got := rec.Code == http.StatusOK; got != (cookie == "") {
				t.Errorf("from %s, with cookie %t: got %d", origin, cookie != "", rec.Code)
			}
		}
	})
}
