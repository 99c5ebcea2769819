package docs

import (
	"log"
	"net/http"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/browser"
	"github.com/walkin-go/walkin/store/memstore"
)

// TestSinglePageAppsPage runs docs/single-page-apps.md in Chromium: a page on one origin
// writes to an API on another, and is the same user at every call.
func TestSinglePageAppsPage(t *testing.T) {
	page := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>page</title><link rel=icon href=data:,>"))
	}))
	keys, store, development := defaults().Keys, memstore.New(), true
	trusted := http.NewCrossOriginProtection()
	for _, origin := range []string{"http://localhost:5173", "https://app.example.com"} {
		if err := trusted.AddTrustedOrigin(origin); err != nil {
			log.Fatal(err)
		}
	}
	ok(t, trusted.AddTrustedOrigin(page)) // whatever port it got
	wk, err := walkin.New(walkin.Config{Keys: keys, Store: store, CrossOrigin: trusted, Cookies: walkin.Cookies{Insecure: development}})
	ok(t, err)
	inside := wk.Handler(http.HandlerFunc(whoami))
	headers := strings.ReplaceAll(codeOf(t, "docs/single-page-apps.md", "http", "Allow-Origin"), "https://app.example.com", page)
	api := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for line := range strings.Lines(headers) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			w.Header().Add(name, value)
		}
		inside.ServeHTTP(w, r)
	}))
	p := browser.NewPage(t, browser.Start(t, "chromium"))
	p.Open(page)
	call := "(async (url) => {" + codeOf(t, "docs/single-page-apps.md", "js", "credentials") + "; return (await response.text()) })(" + `"` + api + `/notes")`
	first, second := browser.Eval[string](p, call), browser.Eval[string](p, call)
	if first == "" || first != second || !strings.HasSuffix(first, " anonymous") {
		t.Errorf("got %q, then %q", first, second)
	}
}
