package walkin_test

import (
	"net/http"
	"strings"
	"testing"
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
