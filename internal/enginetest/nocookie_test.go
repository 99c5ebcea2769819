package enginetest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/browser"
)

// TestCookiesBlocked holds that a browser whose owner has blocked cookies makes no user by
// three tries, with forms, a link and calls of scripts. The answers say why, and the
// operator is told once.
func TestCookiesBlocked(t *testing.T) {
	for _, engine := range browser.Engines {
		t.Run(engine, func(t *testing.T) {
			a := newApp(t, nil)
			a.mux.HandleFunc("GET /ensure", func(w http.ResponseWriter, r *http.Request) {
				if _, err := a.wk.Ensure(w, r); err != nil {
					a.wk.Refuse(w, r, err)
				}
			})
			a.mux.HandleFunc("GET /links", a.page(`<a id="ensure" href="/ensure">keep it</a>`))
			p := open(t, browser.WithoutCookies(t, engine))
			about := func(what, says string) {
				t.Helper()
				if !strings.Contains(says, "cookies") {
					t.Errorf("%s: the answer is %q", what, says)
				}
			}
			for range 3 {
				for _, form := range []string{"#signup", "#publish"} {
					p.Open(a.url + "/")
					p.Click(form + " button")
					p.Wait(`document.querySelector("` + form + `") === null`)
					about(form, p.Says())
				}
				p.Open(a.url + "/links")
				p.Click("#ensure")
				p.Wait(`document.querySelector("#ensure") === null`)
				about("a link", p.Says())

				p.Open(a.url + "/")
				for path, options := range map[string]string{
					"/ensure": `{}`, "/publish": `{method: "POST"}`,
					"/signin": `{method: "POST", body: new URLSearchParams({name: "ann"})}`,
				} {
					if got := p.fetch(path, options); got.Status != http.StatusForbidden {
						t.Errorf("a call of %s: got %+v", path, got)
					} else {
						about(path, got.Body)
					}
				}
				p.fetch("/note", `{method: "POST", body: new URLSearchParams({text: "a call"})}`)
			}
			told := 0
			a.mu.Lock()
			for _, e := range a.events {
				if e.Reason == walkin.ReasonCookiesBlocked {
					told++
				}
			}
			a.mu.Unlock()
			if n := a.count(walkin.Persisted, walkin.SignedUp, walkin.Upgraded); n != 0 || told != 1 {
				t.Errorf("there are %d users, and the operator was told %d times", n, told)
			}
			if got := a.got(); len(got) != 3 || got[0].user != "" {
				t.Errorf("what needs no user: got %v, want three posts of no user", got)
			}
		})
	}
}
