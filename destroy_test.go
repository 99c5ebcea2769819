package walkin_test

import (
	"net/http"
	"testing"

	"github.com/walkin-go/walkin"
)

// TestDestroy holds that a handler's sm.Destroy, which was a sign-out to an app that
// moves from scs, is told to the operator, and is a sign-out or says that it was none
// where the app has chosen so.
func TestDestroy(t *testing.T) {
	destroy := func(s *scsSite, _ http.ResponseWriter, r *http.Request) { _ = s.sm.Destroy(r.Context()) }
	for _, tt := range []struct {
		name      string
		handler   func(*scsSite, http.ResponseWriter, *http.Request)
		get       bool
		destroyed bool
	}{
		{"Destroy", destroy, false, true},
		{"Destroy, and a word of farewell", func(s *scsSite, w http.ResponseWriter, r *http.Request) {
			destroy(s, w, r)
			s.sm.Put(r.Context(), "flash", "bye")
		}, false, true},
		{"Destroy, and a redirect", func(s *scsSite, w http.ResponseWriter, r *http.Request) {
			destroy(s, w, r)
			http.Redirect(w, r, "/", http.StatusSeeOther)
		}, false, true},
		{"Destroy on a GET", destroy, true, true},
		{"RenewToken", func(s *scsSite, _ http.ResponseWriter, r *http.Request) { _ = s.sm.RenewToken(r.Context()) }, false, false},
		{"Clear", func(s *scsSite, _ http.ResponseWriter, r *http.Request) { _ = s.sm.Clear(r.Context()) }, false, false},
		{"Destroy, and signed in again", func(s *scsSite, w http.ResponseWriter, r *http.Request) {
			destroy(s, w, r)
			if _, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Method: "pwd"}); err != nil {
				t.Error(err)
			}
		}, false, false},
		{"nothing", func(*scsSite, http.ResponseWriter, *http.Request) {}, false, false},
	} {
		for _, ends := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				s := newSCSSite(t, "CtxStore", false, func(c *walkin.Config) { c.Sessions.DestroySignsOut = ends })
				c := s.visitor("permanent")
				s.put(c, "cart", "1 lamp")
				old := c.Cookie(permName)
				s.told()
				method := http.MethodPost
				if tt.get {
					method = http.MethodGet
				}
				answer := c.On(s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) { tt.handler(s, w, r) }))).Do(c.NewRequest(method, "/leave", nil))
				told, out := false, false
				for _, e := range s.told() {
					told = told || e.Outcome == walkin.Failed && e.Reason == "session_destroyed"
					out = out || e.Outcome == walkin.SignedOut
				}
				if want := tt.destroyed && !ends; told != want {
					t.Errorf("the operator was told %t, want %t", told, want)
				}
				wantOut := tt.destroyed && ends && !tt.get
				if out != wantOut || (c.Cookie(permName) == "") != wantOut {
					t.Errorf("signed out %t with the cookie %q, want %t", out, c.Cookie(permName), wantOut)
				}
				if refused := answer.StatusCode == http.StatusMethodNotAllowed; refused != (tt.get && ends) {
					t.Errorf("got %d", answer.StatusCode)
				}
				if wantOut {
					if got := body(t, carrying(newSite(t, over(s.site)), permName, old).Fetch("/")); got != "nobody" {
						t.Errorf("on the other replica: %s", got)
					}
				}
			})
		}
	}
}
