package walkin_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
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

// TestRenewalOfWrites holds which unsafe requests renew a cookie: those whose answer
// reaches the site's own page, in a browser that sends what it has.
func TestRenewalOfWrites(t *testing.T) {
	const own, sister, evil = "https://app.example", "https://sister.example", "https://evil.example"
	for name, tt := range map[string]struct {
		method, path, site, origin string
		header                     http.Header
		want                       bool
	}{
		"own":             {"POST", "/", "same-origin", own, nil, true},
		"no word":         {"POST", "/", "", "", nil, true},
		"trusted":         {"POST", "/", "same-site", sister, nil, true},
		"trusted, far":    {"POST", "/", "cross-site", sister, nil, false},
		"exempt":          {"POST", "/exempt", "cross-site", evil, nil, false},
		"foreign":         {"POST", "/", "cross-site", evil, nil, false},
		"WebKit's _blank": {"POST", "/", "cross-site", own, http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, false},
		"a report":        {"POST", "/", "same-origin", own, http.Header{"Content-Type": {"application/csp-report"}}, false},
		"another method":  {"PURGE", "/", "same-origin", own, nil, false},
		"HEAD":            {"HEAD", "/", "same-origin", "", nil, false},
	} {
		s := newSite(t, renewAlways, func(c *walkin.Config) {
			c.CrossOrigin = http.NewCrossOriginProtection()
			noError(t, c.CrossOrigin.AddTrustedOrigin(sister))
			c.CrossOrigin.AddInsecureBypassPattern("/exempt")
		})
		for _, kind := range []string{"anonymous", "permanent"} { // a first write stores its visitor
			r := s.request(tt.method, tt.path)
			r.Header = http.Header{"Cookie": {cookieOf(kind) + "=" + resident(s, kind).Cookie(cookieOf(kind))}}
			maps.Copy(r.Header, tt.header)
			for name, value := range map[string]string{"Sec-Fetch-Site": tt.site, "Origin": tt.origin} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			rec := httptest.NewRecorder()
			s.Handler(http.HandlerFunc(who)).ServeHTTP(rec, r)
			if got := len(rec.Result().Cookies()) > 0; got != tt.want {
				t.Errorf("%s of %s: renewed: %t, want %t", name, kind, got, tt.want)
			}
		}
	}
}
