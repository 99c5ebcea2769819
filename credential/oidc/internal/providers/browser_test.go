package providers_test

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/walkintest"
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

// newChromium starts a browser, or skips the test when there is none.
func newChromium(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(testserver.Chromium(t)),
		chromedp.DisableGPU,
		chromedp.UserAgent(walkintest.UserAgent), // by its own, a headless browser is a robot
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it cannot be had as root, and only our own pages are shown
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until it is gone, and its profile with it
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// TestBrowser walks a guest to a provider on another site and back, and looks at
// what a real browser sends: a post from there has no cookie, the GET it is
// answered with has, and no URL of ours goes there.
func TestBrowser(t *testing.T) {
	browser := newChromium(t)
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
					_, err := r.Cookie("walkin-anon")
					mu.Lock()
					callbacks = append(callbacks, r.Method+map[bool]string{true: " with the cookie", false: " without"}[err == nil]+", "+r.Header.Get("Sec-Fetch-Site"))
					mu.Unlock()
				}
				w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self' "+strings.TrimSuffix(issuer, "/"))
				site.ServeHTTP(w, r)
			})
			server.Start()
			t.Cleanup(server.Close)

			ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
			t.Cleanup(cancel)
			do := func(steps ...chromedp.Action[chromedp.Void]) {
				t.Helper()
				if err := chromedp.Do(ctx, steps...); err != nil {
					t.Fatal(err)
				}
			}
			click := func(selector string) {
				t.Helper()
				if _, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
					t.Fatalf("clicking %s: %v", selector, err)
				}
			}
			who := func() (c walkin.Claims) {
				t.Helper()
				text, err := chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS("#who")))
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal([]byte(text), &c); err != nil {
					t.Fatal(err)
				}
				return c
			}
			do(chromedp.Navigate(at + "/page"))
			click("#act")
			before := who()
			if !before.Anonymous || before.Provisional {
				t.Fatalf("got %+v", before)
			}
			click("#" + name)
			referrer, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.referrer"))
			if err != nil || referrer != at+"/" {
				t.Errorf("the provider sees that %q sent the visitor, %v", referrer, err)
			}
			do(
				chromedp.SendKeys(chromedp.CSS("#username"), "test-user@127.0.0.1"),
				chromedp.SendKeys(chromedp.CSS("#password"), "verysecure"),
			)
			click("button")
			do(chromedp.WaitReady(chromedp.CSS("#who"))) // the provider's page that posts stands in between
			if after := who(); after.UserID != before.UserID || after.Anonymous || after.Method != "fed" {
				reason, err := s.reason()
				t.Errorf("got %+v after %+v: %q, %v", after, before, reason, err)
			}
			if got, err := chromedp.Run(ctx, chromedp.Location()); err != nil || got != at+"/page?done" {
				t.Errorf("got to %s, %v", got, err)
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
