package walkin_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
)

// TestSlowAnswerRenews holds that an answer which takes its time sets the cookie of a
// renewal only for a session that is alive when its header goes out, and that what was
// found then is known at once.
func TestSlowAnswerRenews(t *testing.T) {
	for _, kind := range kinds {
		for name, tt := range map[string]struct {
			meanwhile func(s *site, c walkin.Claims)
			renewed   bool
			after     bool // they are who they were
		}{
			"nothing": {func(*site, walkin.Claims) {}, true, true},
			"signed out elsewhere": {func(s *site, c walkin.Claims) {
				_ = s.store.Store.DeleteSessions(s.t.Context(), c.UserID, uuid.Nil)
			}, false, false},
			"deleted elsewhere": {func(s *site, c walkin.Claims) { _ = newSite(t, over(s)).DeleteUser(s.t.Context(), c.UserID) }, false, false},
			"lost":              {func(s *site, _ walkin.Claims) { s.store.Store = memstore.New() }, kind == "provisional", true},
			"down":              {func(s *site, _ walkin.Claims) { s.store.be(errDown) }, false, true},
		} {
			if kind == "provisional" && name == "signed out elsewhere" {
				continue // there is no row to end
			}
			t.Run(kind+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t)
					c := resident(s, kind)
					old, id := c.Cookie(cookieOf(kind)), body(t, c.Fetch("/"))
					claims := s.claims(c)
					time.Sleep(25 * time.Hour)
					r := c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						time.Sleep(2 * time.Second)
						tt.meanwhile(s, claims)
						who(w, r)
					}))).Visit("/")
					if got := len(r.Cookies()) > 0; got != tt.renewed {
						t.Errorf("renewed: %t, want %t", got, tt.renewed)
					}
					if got := body(t, carrying(s, cookieOf(kind), old).Fetch("/")); (got == id) != tt.after {
						t.Errorf("with the cookie of before, a moment later: got %q, want %q: %t", got, id, tt.after)
					}
				})
			})
		}
	}
}
