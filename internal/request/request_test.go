package request_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/request"
)

const (
	self    = "https://app.example"
	other   = "https://other.example"
	trusted = "https://spa.example"
	html    = "text/html,application/xhtml+xml"
	urlForm = "application/x-www-form-urlencoded"
)

// TestRead holds what is read from requests as browsers send them: each line was
// measured in Chromium 156, Firefox ESR 153 or WebKitGTK 2.50, over https. The last
// word is why an unsafe request does not write for a visitor with a live cookie.
func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, method            string
		site, mode, dest        string
		accept, origin, content string
		lax                     bool // the browser sent the visitor's Lax cookie
		from                    request.From
		shape                   request.Shape
		why                     request.Reason
	}{
		{"a typed address", "GET", "none", "navigate", "document", html, "", "", false, request.Own, request.Page, ""},
		{"a link of the site", "GET", "same-origin", "navigate", "document", html, "", "", true, request.Own, request.Page, ""},
		{"a link of another site", "GET", "cross-site", "navigate", "document", html, "", "", true, request.Foreign, request.Page, ""},
		{"behind a worker, Chromium and WebKit", "GET", "same-origin", "navigate", "empty", html, "", "", true, request.Own, request.Page, ""},
		{"behind a worker, Firefox", "GET", "same-origin", "same-origin", "empty", html, "", "", true, request.Own, request.Page, ""},
		{"behind a worker, from another site", "GET", "cross-site", "navigate", "empty", html, "", "", true, request.Foreign, request.Call, ""},
		{"a download, Chromium", "GET", "same-origin", "navigate", "empty", "*/*", "", "", true, request.Own, request.Call, ""},
		{"a download, WebKit", "GET", "", "", "", html, "", "", true, request.Unsaid, request.Page, ""},
		{"a fetch", "GET", "same-origin", "cors", "empty", "*/*", "", "", true, request.Own, request.Call, ""},
		{"a fetch of HTML", "GET", "same-origin", "cors", "empty", html, "", "", true, request.Own, request.Call, ""},
		{"a fetch of HTML by another site, over plain http", "GET", "", "", "", html, other, "", false, request.Foreign, request.Call, ""},
		{"an image", "GET", "same-origin", "no-cors", "image", "*/*", "", "", true, request.Own, request.Piece, ""},
		{"a module", "GET", "same-origin", "cors", "script", "*/*", self, "", true, request.Own, request.Piece, ""},
		{"a worker's script", "GET", "same-origin", "same-origin", "worker", "*/*", "", "", true, request.Own, request.Piece, ""},
		{"an iframe", "GET", "cross-site", "navigate", "iframe", html, "", "", false, request.Foreign, request.Frame, ""},
		{"an object", "GET", "same-origin", "navigate", "object", "*/*", "", "", true, request.Own, request.Plugin, ""},
		{"a WebSocket, WebKit", "GET", "same-origin", "websocket", "websocket", "*/*", self, "", true, request.Own, request.Piece, ""},
		{"a WebSocket, Chromium", "GET", "", "", "", "*/*", self, "", true, request.Own, request.Call, ""},

		{"a form", "POST", "same-origin", "navigate", "document", html, self, urlForm, true, request.Own, request.Page, ""},
		{"a form of a page without referrer", "POST", "same-origin", "navigate", "document", html, "null", urlForm, true, request.Own, request.Page, ""},
		{"a form with target=_blank, WebKit", "POST", "cross-site", "navigate", "document", html, self, urlForm, true, request.Foreign, request.Page, ""},
		{"the same without a cookie", "POST", "cross-site", "navigate", "document", html, self, urlForm, false, request.Foreign, request.Page, "cross_site"},
		{"another site's form", "POST", "cross-site", "navigate", "document", html, other, urlForm, false, request.Foreign, request.Page, "cross_site"},
		{"the same, a minute after the cookie was set", "POST", "cross-site", "navigate", "document", html, other, urlForm, true, request.Foreign, request.Page, "cross_site"},
		{"a form of a sandbox", "POST", "cross-site", "navigate", "iframe", html, "null", urlForm, false, request.Foreign, request.Frame, "cross_site"},
		{"a form of a sibling", "POST", "same-site", "navigate", "document", html, other, urlForm, true, request.Foreign, request.Page, "cross_site"},
		{"a form of a trusted sibling", "POST", "same-site", "navigate", "document", html, trusted, urlForm, true, request.Trusted, request.Page, ""},
		{"a fetch that writes", "POST", "same-origin", "cors", "empty", "*/*", self, "application/json", true, request.Own, request.Call, ""},
		{"a fetch that deletes", "DELETE", "same-origin", "cors", "empty", "*/*", self, "", true, request.Own, request.Call, ""},
		{"a fetch of another site", "POST", "cross-site", "cors", "empty", "*/*", other, "application/json", false, request.Foreign, request.Call, "cross_site"},
		{"a fetch of a trusted sibling", "POST", "same-site", "cors", "empty", "*/*", trusted, "application/json", true, request.Trusted, request.Call, ""},
		{"a fetch of a trusted other site", "POST", "cross-site", "cors", "empty", "*/*", trusted, "application/json", false, request.TrustedFar, request.Call, ""},
		{"a beacon", "POST", "same-origin", "no-cors", "empty", "*/*", self, "text/plain", true, request.Own, request.Beacon, ""},
		{"a beacon of JSON", "POST", "same-origin", "cors", "empty", "*/*", self, "application/json", true, request.Own, request.Call, ""},
		{"a beacon of another site", "POST", "cross-site", "no-cors", "empty", "*/*", other, urlForm, false, request.Foreign, request.Beacon, "cross_site"},
		{"a ping", "POST", "same-origin", "no-cors", "empty", "*/*", self, "text/ping", true, request.Own, request.Report, "report"},
		{"a CSP report", "POST", "same-origin", "no-cors", "report", "*/*", self, "application/csp-report", true, request.Own, request.Report, "report"},
		{"a CSP report, WebKit", "POST", "same-origin", "no-cors", "empty", "*/*", "null", "application/csp-report", true, request.Own, request.Report, "report"},
		{"a report, Chromium", "POST", "", "", "", "*/*", self, "application/reports+json", true, request.Own, request.Report, "report"},
		{"a report, Firefox", "POST", "same-origin", "cors", "empty", "*/*", self, "application/reports+json", true, request.Own, request.Report, "report"},
		{"a form behind a worker", "POST", "same-origin", "navigate", "empty", html, self, urlForm, true, request.Own, request.Worker, ""},
		{"a form behind a worker, Firefox", "POST", "same-origin", "same-origin", "empty", html, self, urlForm, true, request.Own, request.Worker, ""},
		{"a fetch in the mode same-origin", "POST", "same-origin", "same-origin", "empty", "*/*", self, "application/json", false, request.Own, request.Call, ""},
		{"the same, which could be a form", "POST", "same-origin", "same-origin", "empty", html, self, "text/plain;charset=UTF-8", false, request.Own, request.Worker, "worker_without_cookie"},
		{"another site's form behind a worker, WebKit", "POST", "same-origin", "navigate", "empty", html, other, urlForm, false, request.Own, request.Worker, "worker_without_cookie"},
		{"another site's form behind a worker, Firefox", "POST", "same-origin", "same-origin", "empty", html, self, urlForm, false, request.Own, request.Worker, "worker_without_cookie"},
		{"another site's form behind a worker, Chromium", "POST", "cross-site", "navigate", "empty", html, other, urlForm, false, request.Foreign, request.Worker, "cross_site"},
		{"a webhook", "POST", "", "", "", "*/*", "", "application/json", false, request.Unsaid, request.Call, ""},
		{"a preflight", "OPTIONS", "cross-site", "cors", "empty", "*/*", other, "", false, request.Foreign, request.Call, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, self+"/", strings.NewReader(""))
			for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Sec-Fetch-Mode": c.mode, "Sec-Fetch-Dest": c.dest,
				"Accept": c.accept, "Origin": c.origin, "Content-Type": c.content} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			f := request.Read(r, &request.Site{
				Trusts:   func(origin string) bool { return origin == trusted },
				IsExempt: func(*http.Request) bool { return false },
				IsOurs:   func(string) bool { return false },
			}, c.lax, c.lax)
			if f.From != c.from || f.Shape != c.shape || f.WriteRefusal(c.lax) != c.why {
				t.Errorf("got from %d, shape %d, %q; want from %d, shape %d, %q", f.From, f.Shape, f.WriteRefusal(c.lax), c.from, c.shape, c.why)
			}
			if got, want := f.SaysBrowser(), c.site != "" || c.origin != ""; got != want {
				t.Errorf("a browser: got %t", got)
			}
		})
	}
}

// TestIsHost holds which pages are of the host that a request asks for.
func TestIsHost(t *testing.T) {
	for _, c := range []struct {
		page, host string
		want       bool
	}{
		{"https://app.example", "app.example", true},
		{"https://app.example/a/page?q", "app.example", true},
		{"https://app.example", "app.example:443", true}, // as some proxies write it
		{"https://app.example:443", "app.example", true},
		{"http://app.example", "app.example:80", true},
		{"https://app.example:8443", "app.example:8443", true},
		{"https://APP.example", "app.example", true},
		{"http://[::1]:8080", "[::1]:8080", true},
		{"http://[::1]", "[::1]:80", true},
		{"//app.example/page", "app.example", true},

		{"https://app.example:8443", "app.example", false},
		{"https://app.example", "app.example:8443", false},
		{"https://app.example", "app.example:80", false},
		{"http://app.example", "app.example:443", false},
		{"https://app.example:80", "app.example", false},
		{"https://evil.example", "app.example", false},
		{"https://app.example.evil.example", "app.example", false},
		{"https://evilapp.example", "app.example", false},
		{"https://app.example@evil.example", "app.example", false},
		{"https://evil@app.example", "app.example", false},
		{"capacitor://localhost", "localhost", false},
		{"chrome-extension://app.example", "app.example", false},
		{"file://", "", false},
		{"null", "null", false},
		{"/a/path", "", false},
		{"https://:443", "", false},
	} {
		u, err := url.Parse(c.page)
		if err != nil {
			t.Fatal(err)
		}
		if got := request.IsHost(u, c.host); got != c.want {
			t.Errorf("%s and %s: got %t, want %t", c.page, c.host, got, c.want)
		}
	}
}
