package docs

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/bot"
	"github.com/walkin-go/walkin/internal/browser"
	"github.com/walkin-go/walkin/walkintest"
)

// TestTestingPage runs the Go of docs/testing.md.
func TestTestingPage(t *testing.T) {
	wk := newWalkin(t, defaults())
	mux := http.NewServeMux()
	mux.HandleFunc("/", whoami)
	site := wk.Handler(mux)

	c := walkintest.NewClient(t, site)
	c.Visit("/")                                       // opens a page: an anonymous user
	c.Post("/notes", url.Values{"body": {"buy milk"}}) // stored with the first write
	if _, kind := is(t, c); kind != "anonymous" {
		t.Errorf("got %q", kind)
	}

	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(walkin.NewContext(r.Context(), walkintest.Permanent(t)))
	if got := who(r); !strings.HasSuffix(got, " permanent") {
		t.Errorf("got %q", got)
	}
}

// TestHeadlessPage holds what docs/testing.md says of headless browsers: Chromium gets no
// user by itself, and gets one with either of the two ways out.
func TestHeadlessPage(t *testing.T) {
	agent := regexp.MustCompile(`userAgent: '([^']+)'`).FindStringSubmatch(codeOf(t, "docs/testing.md", "js", "userAgent"))
	if agent == nil {
		t.Fatal("the page names no user agent")
	}
	engine := browser.Start(t, "chromium")
	for _, test := range []struct {
		name, agent string
		own, user   bool
	}{
		{"as it is", "", false, false},
		{"another user agent", agent[1], false, true},
		{"IsBot of the app's", "", true, true},
	} {
		cfg := defaults()
		cfg.Cookies.Insecure = true
		if test.own {
			cfg.NewUsers.IsBot = func(r *http.Request) bool {
				return !strings.Contains(r.UserAgent(), "HeadlessChrome") && bot.Is(r)
			}
		}
		inside := newWalkin(t, cfg).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<!doctype html><title>t</title><link rel=icon href=data:,>" + who(r)))
		}))
		var sent string
		site := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent = r.UserAgent()
			if test.agent != "" {
				r.Header.Set("User-Agent", test.agent) // as Playwright does
			} else { // the harness of these tests says that it is another browser
				r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36")
			}
			inside.ServeHTTP(w, r)
		}))
		p := browser.NewPage(t, engine)
		p.Open(site)
		if got := p.Text("body"); (strings.TrimSpace(got) != "") != test.user {
			t.Errorf("%s: got %q for %s", test.name, got, sent)
		}
	}
}
