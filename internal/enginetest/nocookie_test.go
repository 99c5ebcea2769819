package enginetest

import (
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/browser"
)

// TestCookiesBlockedInFirefox holds that a browser whose owner has blocked cookies makes
// no user by three tries, that the page says why, and that the operator is told once.
func TestCookiesBlockedInFirefox(t *testing.T) {
	a := newApp(t, nil)
	p := open(t, browser.WithoutCookies(t))
	for range 3 {
		for _, form := range []string{"#signup", "#publish"} {
			p.Open(a.url + "/")
			if browser.Eval[bool](p.Page, "navigator.cookieEnabled") {
				t.Fatal("cookies are not blocked")
			}
			p.Click(form + " button")
			p.Wait(`document.querySelector("` + form + `") === null`)
			if says := p.Says(); !strings.Contains(strings.ToLower(says), "cookies") {
				t.Errorf("%s: the page says %q", form, says)
			}
		}
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
}
