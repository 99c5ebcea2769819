package providers_test

import (
	"encoding/json"
	"html/template"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/internal/browser"
)

var pageText = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Notes</title>
<p id="who">{{.Who}}</p>
<form method="post" action="/page?a=secret-of-the-page"><button id="act">Act</button></form>
<form method="post" action="/auth/start">
	<input type="hidden" name="return_to" value="/page?done">
	<button id="query" name="provider" value="query">By a query</button>
	<button id="posted" name="provider" value="posted">By a post</button>
</form>
</html>
`))

func page(w http.ResponseWriter, r *http.Request) {
	c, _ := walkin.FromContext(r.Context())
	text, _ := json.Marshal(c)
	_ = pageText.Execute(w, map[string]string{"Who": string(text)})
}

// TestBrowser walks an anonymous user to a provider on another site and back, and looks at
// what a real browser sends: a post from there has no cookie, the GET it is
// answered with has, and no URL of ours goes there.
func TestBrowser(t *testing.T) {
	chromium := browser.New(t)
	for name, posts := range map[string]bool{"query": false, "posted": true} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(nil)
			_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
			at := "http://localhost:" + port // and the provider is at 127.0.0.1, which is another site
			issuer := zitadel(t, at)
			s := newSiteAt(t, at, oidc.Provider{Name: name, Issuer: issuer, ClientID: name, ClientSecret: "secret", FormPost: posts})
			var mu sync.Mutex
			var callbacks []string
			protection := http.NewCrossOriginProtection()
			protection.AddInsecureBypassPattern("POST /auth/callback/posted")
			site := protection.Handler(s.replicas[0])
			server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/auth/callback/") {
					with := slices.ContainsFunc(r.Cookies(), func(c *http.Cookie) bool { return strings.HasSuffix(c.Name, "-anon") })
					mu.Lock()
					callbacks = append(callbacks, r.Method+map[bool]string{true: " with the cookie", false: " without"}[with]+", "+r.Header.Get("Sec-Fetch-Site"))
					mu.Unlock()
				}
				w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self' "+strings.TrimSuffix(issuer, "/"))
				site.ServeHTTP(w, r)
			})
			server.Start()
			t.Cleanup(server.Close)

			b := browser.NewTab(t, chromium)
			who := func() (c walkin.Claims) {
				t.Helper()
				text := browser.Ask(b, chromedp.TextContent(chromedp.CSS("#who")))
				if err := json.Unmarshal([]byte(text), &c); err != nil {
					t.Fatal(err)
				}
				return c
			}
			b.Do(chromedp.Navigate(at + "/page"))
			b.Click("#act")
			before := who()
			if !before.Anonymous || before.Provisional {
				t.Fatalf("got %+v", before)
			}
			b.Click("#" + name)
			if referrer := browser.Ask(b, chromedp.Evaluate[string]("document.referrer")); referrer != at+"/" {
				t.Errorf("the provider sees that %q sent the visitor", referrer)
			}
			b.Do(
				chromedp.SendKeys(chromedp.CSS("#username"), "test-user@127.0.0.1"),
				chromedp.SendKeys(chromedp.CSS("#password"), "verysecure"),
			)
			b.Click("button")
			b.Do(chromedp.WaitReady(chromedp.CSS("#who"))) // the provider's page that posts stands in between
			if after := who(); after.UserID != before.UserID || after.Anonymous || after.Method != "fed" {
				reason, err := s.reason()
				t.Errorf("got %+v after %+v: %q, %v", after, before, reason, err)
			}
			if got := browser.Ask(b, chromedp.Location()); got != at+"/page?done" {
				t.Errorf("got to %s", got)
			}
			want := "GET with the cookie, cross-site"
			if posts {
				want = "POST without, cross-site; " + want
			}
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(callbacks, "; "); got != want {
				t.Errorf("the browser sent %s, want %s", got, want)
			}
		})
	}
}
