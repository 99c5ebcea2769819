package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/credential/oidc"
)

// FuzzCallback holds that whatever is brought to a callback, by GET or by post, signs
// in no user, and is refused as the visitor's error and not as a failure of ours.
func FuzzCallback(f *testing.F) {
	for _, query := range []string{
		"", "code=x&state=y", "posted=x", "error=access_denied&state=x", "state=%00", "state=%ff&iss=https://op.example",
		"code=x&code=y&state=z", ";", "%zz", "state=" + strings.Repeat("x", 4096), "iss=%0d%0aSet-Cookie:%20x",
	} {
		for _, path := range []string{"op", "other", "", "op/", "../start", "%2e%2e/op", "op%00"} {
			f.Add(path, query, false)
			f.Add(path, query, true)
		}
	}
	f.Fuzz(func(t *testing.T, path, query string, post bool) {
		s := newSite(t, provider(func(p *oidc.Provider) { p.FormPost = true }))
		c, before := s.anonymous()
		r := c.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = "/auth/callback/" + path
		r.URL.RawQuery = query
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if post {
			r = c.NewRequest(http.MethodPost, "/", strings.NewReader(query))
			r.URL.Path = "/auth/callback/" + path
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		// Past the mux, which would redirect the odd paths.
		response, err := c.On(s.sso[0]).Serve(r)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode < 400 || response.StatusCode >= 500 {
			t.Errorf("got %d for %q", response.StatusCode, s.reason())
		}
		for _, cookie := range response.Cookies() {
			if cookie.Name == permName {
				t.Errorf("got %v", cookie)
			}
		}
		if values, err := url.ParseQuery(query); err == nil && values.Get("state") != "" && strings.Contains(text(response), values.Get("state")) && len(values.Get("state")) > 8 {
			t.Error("the state is shown")
		}
		if after := s.glance(c); after != before {
			t.Errorf("got %+v, want %+v as before", after, before)
		}
	})
}
