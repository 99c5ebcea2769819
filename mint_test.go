package walkin_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// The four ways to mint, in the order of the tables below.
var policies = [...]walkin.Mint{walkin.MintOnVisit, walkin.MintOnWrite, walkin.MintOnDemand, walkin.MintOff}

func minting(p walkin.Mint) func(*walkin.Config) {
	return func(c *walkin.Config) { c.NewUsers.Mint = p }
}

// over lets a site share another one's store: another replica of it.
func over(s *site) func(*walkin.Config) { return func(c *walkin.Config) { c.Store = s.store } }

// tries serves a request and returns what walkin said about it. Whatever it
// said, the handler runs once, the cookie and the row agree with it, and
// no visitor gets a permanent cookie.
func (s *site) tries(t *testing.T, r *http.Request) string {
	t.Helper()
	s.told()
	before, calls, known := s.store.rows(t), 0, false
	rec := httptest.NewRecorder()
	s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		_, known = walkin.FromContext(r.Context())
	})).ServeHTTP(rec, r)
	said := s.outcomes()
	cookie, row := strings.Contains(said, "minted") || strings.Contains(said, "persisted") || strings.Contains(said, "renewed"), strings.Contains(said, "persisted")
	if calls != 1 || rec.Code != http.StatusOK {
		t.Errorf("%q: got %d and %d calls of the handler, want 200 and 1", said, rec.Code, calls)
	}
	set := slices.DeleteFunc(rec.Result().Cookies(), func(c *http.Cookie) bool { return c.MaxAge < 0 && said == "renewed" })
	if got := len(set) == 1; got != cookie || len(set) > 1 || got && said != "renewed" && !strings.Contains(set[0].Name, "walkin-anon") {
		t.Errorf("%q: got cookies %v", said, rec.Result().Cookies())
	}
	if got := s.store.rows(t) - before; got != map[bool]int{true: 1}[row] {
		t.Errorf("%q: got %d new rows", said, got)
	}
	if wanted := !strings.Contains(said, "skipped"); known != wanted {
		t.Errorf("%q: got claims %t, want %t", said, known, wanted)
	}
	return said
}

// with returns a request with other header fields; an empty value removes one.
func with(r *http.Request, header ...string) *http.Request {
	for i := 0; i < len(header); i += 2 {
		if r.Header.Del(header[i]); header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	return r
}

// noSFS is a browser of old, which says nothing about a request.
var noSFS = []string{"Sec-Fetch-Site", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", ""}

// TestMint is the whole table of which requests get a user, and which a row, for
// visitors without a cookie.
func TestMint(t *testing.T) {
	page := func(header ...string) func(*site) *http.Request {
		return func(s *site) *http.Request { return with(s.navigation("/"), header...) }
	}
	at := func(path string) func(*site) *http.Request {
		return func(s *site) *http.Request { return s.navigation(path) }
	}
	fetch := func(method string, header ...string) func(*site) *http.Request {
		return func(s *site) *http.Request { return with(s.request(method, "/"), header...) }
	}
	form := func(path string, header ...string) func(*site) *http.Request {
		return func(s *site) *http.Request { return with(s.form(path, url.Values{}), header...) }
	}
	same := func(reason string) [4]string {
		return [4]string{"skipped:" + reason, "skipped:" + reason, "skipped:" + reason, "skipped:mint_off"}
	}
	visit := [4]string{"minted", "skipped:no_write", "skipped:no_write", "skipped:mint_off"}
	act := [4]string{"minted persisted", "minted persisted", "skipped:on_demand", "skipped:mint_off"}
	automatic := func(reason string) [4]string {
		return [4]string{"skipped:" + reason, "skipped:" + reason, "skipped:on_demand", "skipped:mint_off"}
	}

	tests := []struct {
		name    string
		request func(*site) *http.Request
		want    [4]string
	}{
		// Pages.
		{"navigation, typed", page("Sec-Fetch-Site", "none"), visit},
		{"navigation, same-origin link", page(), visit},
		{"navigation, link from elsewhere", page("Sec-Fetch-Site", "cross-site"), visit},
		{"navigation, link from a sibling", page("Sec-Fetch-Site", "same-site"), visit},
		{"navigation of an old browser", page(noSFS...), visit},
		{"navigation with Basic of a staging site", page("Authorization", "Basic dTpw"), visit},
		{"GET of an old browser for JSON", page(append(noSFS, "Accept", "application/json")...), same("not_a_page")},
		{"GET of a program", page(append(noSFS, "Accept", "")...), same("not_a_page")},

		// Pieces of pages.
		{"fetch", fetch("GET"), same("not_a_page")},
		{"page behind a service worker", page("Sec-Fetch-Dest", "empty"), visit},
		{"page behind a service worker of Firefox", page("Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Dest", "empty"), visit},
		{"typed, behind a service worker", page("Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "none"), visit},
		{"page of Chrome 76 to 79", page("Sec-Fetch-Dest", ""), visit},
		{"page behind a service worker, from elsewhere", page("Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "cross-site"), same("not_a_page")},
		{"page behind a service worker, from a sibling", page("Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-site"), same("not_a_page")},
		{"download", page("Sec-Fetch-Dest", "empty", "Accept", "*/*"), same("not_a_page")},
		{"worker script", fetch("GET", "Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Dest", "worker"), same("not_a_page")},
		{"fetch of the same origin", fetch("GET", "Sec-Fetch-Mode", "same-origin"), same("not_a_page")},
		{"fetch that accepts HTML", fetch("GET", "Accept", "text/html"), same("not_a_page")},
		{"fetch from elsewhere", fetch("GET", "Sec-Fetch-Site", "cross-site"), same("not_a_page")},
		{"image", fetch("GET", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"), same("not_a_page")},
		{"script", fetch("GET", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"), same("not_a_page")},
		{"iframe", page("Sec-Fetch-Dest", "iframe"), same("embedded")},
		{"iframe elsewhere", page("Sec-Fetch-Dest", "iframe", "Sec-Fetch-Site", "cross-site"), same("embedded")},
		{"frame", page("Sec-Fetch-Dest", "frame"), same("embedded")},
		{"embed", page("Sec-Fetch-Dest", "embed"), same("embedded")},
		{"object", page("Sec-Fetch-Dest", "object"), same("embedded")},

		// Writes.
		{"POST, same-origin", fetch("POST"), act},
		{"PUT, same-origin", fetch("PUT"), act},
		{"PATCH, same-origin", fetch("PATCH"), act},
		{"DELETE, same-origin", fetch("DELETE"), act},
		{"form, same-origin", form("/"), act},
		{"POST by a bookmarklet", fetch("POST", "Sec-Fetch-Site", "none"), act},
		{"POST, same origin by Origin only", fetch("POST", append(noSFS, "Origin", "https://app.example")...), act},
		{"POST of a program that says nothing", fetch("POST", noSFS...), automatic("no_browser")},
		{"POST with Basic of a staging site", fetch("POST", "Authorization", "Basic dTpw"), act},
		{"POST with Basic and an Origin only", fetch("POST", append(noSFS, "Origin", "https://app.example", "Authorization", "basic dTpw")...), act},
		{"POST with Negotiate", fetch("POST", "Authorization", "Negotiate YII="), act},
		{"POST with Digest", fetch("POST", "Authorization", `Digest username="a"`), act},
		{"POST with NTLM", fetch("POST", "Authorization", "NTLM TlRM"), act},
		{"POST of a program with Basic", fetch("POST", append(noSFS, "Authorization", "Basic dTpw")...), same("authorization")},
		{"POST with Token", fetch("POST", "Authorization", "Token abc"), same("authorization")},
		{"form of a site behind a password", form("/", "Authorization", "Basic dTpw"), act},
		{"sendBeacon", fetch("POST", "Sec-Fetch-Mode", "no-cors"), automatic("beacon")},
		{"ping", fetch("POST", "Sec-Fetch-Mode", "no-cors", "Content-Type", "text/ping"), same("report")},
		{"CSP report", fetch("POST", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "report", "Content-Type", "application/csp-report"), same("report")},
		{"CSP report of WebKit", fetch("POST", "Sec-Fetch-Mode", "no-cors", "Origin", "null", "Content-Type", "application/csp-report"), same("report")},
		{"report of Firefox", fetch("POST", "Content-Type", "application/reports+json; charset=utf-8"), same("report")},
		{"report of Chromium", fetch("POST", append(noSFS, "Origin", "https://app.example", "Content-Type", "application/reports+json")...), same("report")},
		{"network error report of a server", fetch("POST", append(noSFS, "Content-Type", "application/reports+json")...), same("report")},
		{"what the app calls automatic", form("/webhooks/shop"), automatic("automatic")},
		{"form behind a service worker, without a cookie", form("/", "Sec-Fetch-Dest", "empty"), same("worker_without_cookie")},
		{"the same in Firefox", form("/", "Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Dest", "empty"), same("worker_without_cookie")},
		{"form of another site behind a service worker of WebKit", form("/", "Sec-Fetch-Dest", "empty", "Origin", "https://evil.example"), same("worker_without_cookie")},
		{"form of Chrome 76 to 79", form("/", "Sec-Fetch-Dest", ""), act},
		{"form of a trusted sibling", form("/", "Sec-Fetch-Site", "same-site", "Origin", "https://shop.app.example"), act},
		{"fetch of a trusted sibling", fetch("POST", "Sec-Fetch-Site", "same-site", "Origin", "https://shop.app.example"), act},
		{"fetch of a trusted sibling, of an old browser", fetch("POST", append(noSFS, "Origin", "https://shop.app.example")...), act},
		{"fetch of a trusted other site", fetch("POST", "Sec-Fetch-Site", "cross-site", "Origin", "https://shop.app.example"), same("cross_site")},
		{"form to a path that anybody may ask", form("/open/a", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"), same("cross_site")},
		{"own form in a new tab of WebKit, without a cookie", form("/", "Sec-Fetch-Site", "cross-site"), same("cross_site")},
		{"POST from elsewhere", fetch("POST", "Sec-Fetch-Site", "cross-site"), same("cross_site")},
		{"form from elsewhere", form("/", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"), same("cross_site")},
		{"form from a sibling", form("/", "Sec-Fetch-Site", "same-site", "Origin", "https://other.example"), same("cross_site")},
		{"DELETE from elsewhere", fetch("DELETE", "Sec-Fetch-Site", "cross-site"), same("cross_site")},
		{"POST, another Origin", fetch("POST", append(noSFS, "Origin", "https://evil.example")...), same("cross_site")},
		{"POST, another port", fetch("POST", append(noSFS, "Origin", "https://app.example:8443")...), same("cross_site")},
		{"POST, Origin null", fetch("POST", append(noSFS, "Origin", "null")...), same("cross_site")},
		{"POST, unreadable Origin", fetch("POST", append(noSFS, "Origin", "https://a b")...), same("cross_site")},
		{"POST, unknown Sec-Fetch-Site", fetch("POST", "Sec-Fetch-Site", "moon"), same("cross_site")},
		{"the sign-up form", form("/sign-up"), [4]string{"skipped:credential_form", "skipped:credential_form", "skipped:on_demand", "skipped:mint_off"}},
		{"the sign-in form", form("/sign-in"), [4]string{"skipped:credential_form", "skipped:credential_form", "skipped:on_demand", "skipped:mint_off"}},
		{"a credential's path", form("/passkey"), [4]string{"skipped:credential_form", "skipped:credential_form", "skipped:on_demand", "skipped:mint_off"}},
		{"below a credential's path", form("/passkey/signin"), [4]string{"skipped:credential_form", "skipped:credential_form", "skipped:on_demand", "skipped:mint_off"}},
		{"beside a credential's path", form("/passkeys"), act},
		{"the sign-in page", at("/sign-in"), visit},
		{"a page below a credential's path", at("/passkey/help"), visit},

		// Methods.
		{"HEAD", page2("HEAD"), same("method")},
		{"OPTIONS", page2("OPTIONS"), same("method")},
		{"TRACE", page2("TRACE"), same("method")},
		{"CONNECT", page2("CONNECT"), same("method")},
		{"PROPFIND", page2("PROPFIND"), same("method")},
		{"QUERY", page2("QUERY"), same("method")},
		{"get, in lower case", page2("get"), same("method")},
		{"post, in lower case", page2("post"), same("method")},
		{"CORS preflight", fetch("OPTIONS", "Access-Control-Request-Method", "POST", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), same("method")},

		// Machines.
		{"WebSocket handshake", page("Upgrade", "websocket", "Connection", "Upgrade"), same("protocol_upgrade")},
		{"health check by a browser", at("/healthz"), visit},
		{"status page", at("/status"), visit},
		{"health check", func(s *site) *http.Request { return with(s.navigation("/healthz"), noSFS...) }, same("machine_path")},
		{"robots.txt", at("/robots.txt"), same("machine_path")},
		{"favicon", at("/favicon.ico"), same("machine_path")},
		{"well-known", at("/.well-known/security.txt"), same("machine_path")},
		{"not quite a health check", at("/healthz2"), visit},
		{"POST to a health check by a browser", form("/healthz"), act},
		{"POST to a status page by a browser", form("/status"), act},
		{"POST to a health check by a program", form("/healthz", append(noSFS, "Origin", "")...), same("machine_path")},
		{"prefetch", page("Sec-Purpose", "prefetch"), same("prefetch")},
		{"bot", page("User-Agent", ""), [4]string{"skipped:bot", "skipped:no_write", "skipped:no_write", "skipped:mint_off"}},
		{"bot of old", page(append(noSFS, "User-Agent", "")...), [4]string{"skipped:bot", "skipped:no_write", "skipped:no_write", "skipped:mint_off"}},
		{"bot that posts", fetch("POST", "User-Agent", ""), [4]string{"skipped:bot", "skipped:bot", "skipped:on_demand", "skipped:mint_off"}},

		// Bearers.
		{"bearer of golang-jwt, act", fetch("POST", "Authorization", "Bearer "+appJWT(`{"alg":"HS256","kid":"app-1","typ":"JWT"}`)), same("authorization")},
		{"bearer of another kid, but for another service", fetch("POST", "Authorization", "Bearer "+appJWT(`{"alg":"HS256","kid":"app-1","typ":"at+jwt"}`)), [4]string{
			"skipped/unknown_key:cookie_not_verified", "skipped/unknown_key:cookie_not_verified", "skipped/unknown_key:cookie_not_verified", "skipped/unknown_key:mint_off"}},
		{"bearer of something else, page", page("Authorization", "Bearer secret-api-key"), same("authorization")},
		{"bearer of something else, act", fetch("POST", "Authorization", "Bearer secret-api-key"), same("authorization")},
		{"bearer in lower case", fetch("POST", "Authorization", "bearer secret-api-key"), same("authorization")},
		{"empty bearer", fetch("POST", "Authorization", "Bearer "), same("authorization")},
	}
	for _, tt := range tests {
		for i, policy := range policies {
			t.Run(fmt.Sprint(tt.name, "/", policy), func(t *testing.T) {
				s := newSite(t, minting(policy), func(c *walkin.Config) {
					c.Paths.Upgrade, c.Paths.SignIn, c.Paths.Credentials = "/sign-up", "/sign-in", []string{"/passkey/"}
					c.NewUsers.IsAutomatic = func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/webhooks/") }
					c.CrossOrigin = http.NewCrossOriginProtection()
					c.CrossOrigin.AddInsecureBypassPattern("/open/")
					if err := c.CrossOrigin.AddTrustedOrigin("https://shop.app.example"); err != nil {
						t.Fatal(err)
					}
				})
				if got := s.tries(t, tt.request(s)); got != tt.want[i] {
					t.Errorf("got %q, want %q", got, tt.want[i])
				}
			})
		}
	}
}

// appJWT returns a token of the app's own, with this header.
func appJWT(header string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30.c2lnbmF0dXJl"
}

// page2 returns a navigation by another method.
func page2(method string) func(*site) *http.Request {
	return func(s *site) *http.Request {
		r := s.navigation("/")
		r.Method = method
		return r
	}
}

// A baggage is what a visitor may bring along, as a Cookie header.
type baggage struct {
	name   string
	cookie string
	reason string // why there is no user, in front of the reason for no new user
	kind   string // "nothing", "dead", "unverified", "provisional", "live", "account"
}

// luggage returns everything that a visitor of s can bring.
func luggage(t *testing.T, s *site) []baggage {
	t.Helper()
	visitor := func(s *site) *walkintest.Client { return s.browser(s.routes().ServeHTTP) }

	c := visitor(s)
	c.Visit("/")
	provisional := c.Cookie(anonName)
	row := visitor(s)
	row.Post("/note", nil)
	anonymous := row.Cookie(anonName)
	gone := visitor(s)
	gone.Post("/note", nil)
	upgraded := gone.Cookie(anonName)
	s.prove(gone, "gone")
	endedPermanent := gone.Cookie(permName)
	gone.Post("/out", nil)
	gone = visitor(s)
	gone.Post("/note", nil)
	ended := gone.Cookie(anonName)
	gone.Post("/out", nil)
	ann := visitor(s)
	s.prove(ann, "ann")
	permanent := ann.Cookie(permName)
	bob := permanentUser(s, "bob").Cookie(permName)
	var many strings.Builder
	for i := range 32 {
		many.WriteString(fmt.Sprintf("; %s=%d", anonName, i))
	}

	var expired, expiredPermanent string
	synctest.Test(t, func(t *testing.T) { // where the year is 2000
		old := newSite(t)
		c := visitor(old)
		c.Visit("/")
		expired = c.Cookie(anonName)
		old.prove(c, "ann")
		expiredPermanent = c.Cookie(permName)
	})
	foreign := visitor(newSite(t, func(c *walkin.Config) { c.Keys[0].Secret = []byte("a secret of some other replica there") }))
	foreign.Visit("/")
	otherKey := foreign.Cookie(anonName)
	forge := func(token string) string { // another first letter of the signature
		i := strings.LastIndexByte(token, '.') + 1
		letter := "A"
		if token[i] == 'A' {
			letter = "B"
		}
		return token[:i] + letter + token[i+1:]
	}
	anon, perm := anonName+"=", permName+"="
	return []baggage{
		{"no cookie", "", "", "nothing"},
		{"another app's cookie", "theme=dark", "", "nothing"},
		{"a cookie of nearly our name", "__host-walkin-anon=x; walkin-anon=y; __Host-walkin-anon2=z", "", "nothing"},
		{"malformed", anon + "x", "malformed", "dead"},
		{"empty", anon, "malformed", "dead"},
		{"forged", anon + forge(anonymous), "forged", "dead"},
		{"forged, permanent", perm + forge(permanent), "forged", "dead"},
		{"expired", anon + expired, "expired", "dead"},
		{"expired, permanent", perm + expiredPermanent, "expired", "dead"},
		{"session_ended", anon + ended, "session_ended", "dead"},
		{"upgraded elsewhere", anon + upgraded, "session_ended", "account"},
		{"ended, permanent", perm + endedPermanent, "session_ended", "dead"},
		{"ended in both", perm + endedPermanent + "; " + anon + ended, "session_ended", "dead"},
		{"anonymous token in the permanent cookie", perm + anonymous, "wrong_cookie", "dead"},
		{"permanent token in the anonymous cookie", anon + permanent, "wrong_cookie", "dead"},
		{"two values", anon + anonymous + "; " + anon + provisional, "duplicate_cookie", "unverified"},
		{"two values, permanent", perm + permanent + "; " + perm + bob, "duplicate_cookie", "unverified"},
		{"two values, permanent, and a live anonymous one", perm + permanent + "; " + perm + bob + "; " + anon + anonymous, "duplicate_cookie", "unverified"},
		{"33 values", anon + anonymous + many.String(), "duplicate_cookie", "unverified"},
		{"an unknown key and garbage", anon + otherKey + "; " + anon + "x", "unknown_key", "unverified"},
		{"garbage and an unknown key, permanent", perm + "x; " + perm + otherKey + "; " + anon + anonymous, "unknown_key", "unverified"},
		{"two values, both dead", anon + ended + "; " + anon + expired, "session_ended", "dead"},
		{"an ended session and a live one of that user", anon + ended + "; " + anon + anonymous, "", "live cleaned"},
		{"a live one and an unknown key", anon + otherKey + "; " + anon + anonymous, "", "live"},
		{"a permanent one and garbage", perm + permanent + "; " + perm + "x", "", "live cleaned"},
		{"3,001 cookies", strings.Repeat("a=b; ", 3000) + anon + anonymous, "duplicate_cookie", "unverified"},
		{"3,001 cookies, none of ours", strings.Repeat("a=b; ", 3000) + "a=b", "duplicate_cookie", "unverified"},
		{"unknown key", anon + otherKey, "unknown_key", "unverified"},
		{"unknown key, permanent, and a live anonymous one", perm + otherKey + "; " + anon + anonymous, "unknown_key", "unverified"},
		{"provisional", anon + provisional, "", "provisional"},
		{"anonymous", anon + anonymous, "", "live"},
		{"the same value twice", anon + anonymous + "; " + anon + anonymous, "", "live"},
		{"permanent", perm + permanent, "", "live"},
		{"both kinds", anon + anonymous + "; " + perm + permanent, "", "live"},
		{"ended permanent, live anonymous", perm + endedPermanent + "; " + anon + anonymous, "", "live"},
		{"forged permanent, live anonymous", perm + forge(permanent) + "; " + anon + anonymous, "", "live"},
	}
}

// TestMintOverCookies is the rest of the table: what a visitor brings along
// decides whether there may be a new user.
func TestMintOverCookies(t *testing.T) {
	want := map[string]map[string][4]string{
		"nothing": {
			"page":               {"minted", "no_write", "no_write", "mint_off"},
			"fetch":              {"not_a_page", "not_a_page", "not_a_page", "mint_off"},
			"act":                {"minted persisted", "minted persisted", "on_demand", "mint_off"},
			"act from elsewhere": {"cross_site", "cross_site", "cross_site", "mint_off"},
		},
		"dead": { // the device has a cookie of ours, so a page replaces it; a click may have raced an upgrade
			"page":               {"minted", "minted", "minted", "mint_off"},
			"fetch":              {"not_a_page", "not_a_page", "not_a_page", "mint_off"},
			"act":                {"stale_cookie", "stale_cookie", "stale_cookie", "mint_off"},
			"act from elsewhere": {"cross_site", "cross_site", "cross_site", "mint_off"},
		},
		"account": { // they have an account in another browser, and are asked to sign in
			"page":               {"has_account", "has_account", "has_account", "mint_off"},
			"fetch":              {"not_a_page", "not_a_page", "not_a_page", "mint_off"},
			"act":                {"stale_cookie", "stale_cookie", "stale_cookie", "mint_off"},
			"act from elsewhere": {"cross_site", "cross_site", "cross_site", "mint_off"},
		},
		"unverified": {
			"page":               {"cookie_not_verified", "cookie_not_verified", "cookie_not_verified", "mint_off"},
			"fetch":              {"cookie_not_verified", "cookie_not_verified", "cookie_not_verified", "mint_off"},
			"act":                {"cookie_not_verified", "cookie_not_verified", "cookie_not_verified", "mint_off"},
			"act from elsewhere": {"cookie_not_verified", "cookie_not_verified", "cookie_not_verified", "mint_off"},
		},
		"provisional":  {"act": {"persisted", "persisted", "persisted", "persisted"}},
		"live cleaned": {"page": {"renewed", "renewed", "renewed", "renewed"}},
	}
	requests := map[string]func(*site) *http.Request{
		"page":  func(s *site) *http.Request { return s.navigation("/") },
		"fetch": func(s *site) *http.Request { return s.request(http.MethodGet, "/") },
		"act":   func(s *site) *http.Request { return s.request(http.MethodPost, "/") },
		"act from elsewhere": func(s *site) *http.Request {
			return with(s.request(http.MethodPost, "/"), "Sec-Fetch-Site", "cross-site")
		},
	}
	for i, policy := range policies {
		home := newSite(t)
		for _, carried := range luggage(t, home) {
			for _, name := range []string{"page", "fetch", "act from elsewhere", "act"} {
				t.Run(fmt.Sprint(carried.name, "/", name, "/", policy), func(t *testing.T) {
					s := newSite(t, over(home), minting(policy)) // another replica each time, with nothing in its cache
					r := requests[name](s)
					if carried.cookie != "" {
						r.Header.Set("Cookie", carried.cookie)
					}
					want := want[carried.kind][name][i]
					if want != "" && !strings.Contains(want, "minted") && !strings.Contains(want, "persisted") && want != "renewed" {
						want = "skipped:" + want
					}
					if carried.reason != "" { // what was wrong with the token is told, whether or not there is a user now
						want = strings.NewReplacer("minted", "minted/"+carried.reason, "skipped", "skipped/"+carried.reason).Replace(want)
					}
					if got := s.tries(t, r); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				})
			}
		}
	}
}

// TestClockSkew holds that clocks half a minute apart do no harm, and that a
// token from one that is far ahead is left alone.
func TestClockSkew(t *testing.T) {
	const skewed = "skipped/clock_skew:cookie_not_verified"
	for _, tt := range []struct {
		ahead     time.Duration
		kind      string
		page, act string
	}{
		{30 * time.Second, "provisional", "", "persisted"},
		{59 * time.Second, "provisional", "", "persisted"},
		{62 * time.Second, "provisional", skewed, skewed},
		{5 * time.Minute, "provisional", skewed, skewed},
		{5 * time.Minute, "anonymous", skewed, skewed},
		{5 * time.Minute, "permanent", skewed, skewed},
	} {
		var token string
		synctest.Test(t, func(t *testing.T) { // both of these begin at the same moment
			time.Sleep(tt.ahead)
			token = resident(newSite(t), tt.kind).Cookie(cookieOf(tt.kind))
		})
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			for _, try := range []struct {
				request *http.Request
				want    string
			}{{s.navigation("/"), tt.page}, {s.request(http.MethodPost, "/"), tt.act}} {
				try.request.Header.Set("Cookie", cookieOf(tt.kind)+"="+token)
				if got := s.tries(t, try.request); got != try.want {
					t.Errorf("%s, %v ahead, %s: got %q, want %q", tt.kind, tt.ahead, try.request.Method, got, try.want)
				}
			}
		})
	}
}

// TestFirstLoad holds that the requests of one page's first load make at most
// one anonymous user, and no row.
func TestFirstLoad(t *testing.T) {
	s := newSite(t)
	replica := newSite(t, over(s))
	for range 20 {
		c := s.browser(who)
		requests := []*http.Request{s.navigation("/")}
		for i := range 8 {
			r := s.request(http.MethodGet, fmt.Sprint("/part", i))
			switch i % 4 {
			case 1:
				with(r, "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image")
			case 2:
				with(r, "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script")
			case 3:
				with(r, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe")
			}
			requests = append(requests, r)
		}
		var wg sync.WaitGroup
		answers := make([]*http.Response, len(requests))
		for i, r := range requests {
			browser := c
			if i%2 == 1 {
				browser = c.On(replica.Handler(http.HandlerFunc(who)))
			}
			wg.Go(func() { answers[i], _ = browser.Serve(r) })
		}
		wg.Wait()
		cookies := 0
		for _, answer := range answers {
			cookies += len(answer.Cookies())
		}
		if cookies != 1 {
			t.Fatalf("got %d cookies, want 1", cookies)
		}
	}
	s.wantRows(0)
	if n := s.store.count(); n > 0 {
		t.Errorf("got %d calls of the store, want none", n)
	}
}

// TestAppShell holds that an app whose pages come from elsewhere makes one user,
// with the first write.
func TestAppShell(t *testing.T) {
	for _, policy := range []walkin.Mint{walkin.MintOnVisit, walkin.MintOnWrite} {
		s := newSite(t, minting(policy))
		c := s.browser(s.routes().ServeHTTP)
		for range 6 {
			if got := body(t, c.Fetch("/")); got != "nobody" {
				t.Fatalf("a fetch: got %q, want nobody", got)
			}
		}
		id := body(t, c.Do(s.request(http.MethodPost, "/note")))
		for range 3 {
			if got := body(t, c.Fetch("/")); got != id {
				t.Errorf("a later fetch: got %q, want %q", got, id)
			}
			if got := body(t, c.Do(s.request(http.MethodDelete, "/note"))); got != id {
				t.Errorf("a later act: got %q, want %q", got, id)
			}
		}
		s.wantRows(1)
	}
}

// TestCrawlers holds that bots get no user, whatever their well-known name, and that
// visitors' browsers all get one.
func TestCrawlers(t *testing.T) {
	robots := []string{
		"",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"Googlebot-Image/1.0",
		"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
		"Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
		"Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
		"Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
		"DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
		"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
		"Twitterbot/1.0",
		"LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
		"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
		"Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
		"TelegramBot (like TwitterBot)",
		"WhatsApp/2.23.20.0",
		"Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
		"Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
		"Mozilla/5.0 (compatible; MJ12bot/v1.4.8; http://mj12bot.com/)",
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
		"CCBot/2.0 (https://commoncrawl.org/faq/)",
		"Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)",
		"Mozilla/5.0 (compatible; PetalBot;+https://webmaster.petalsearch.com/site/petalbot)",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/141.0.0.0 Safari/537.36",
		"Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
		"Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
		"ia_archiver (+http://www.alexa.com/site/help/webmasters; crawler@alexa.com)",
		"Feedfetcher-Google; (+http://www.google.com/feedfetcher.html; 1 subscribers)",
		"kube-probe/1.31",
		"ELB-HealthChecker/2.0",
		"GoogleHC/1.0",
	}
	browsers := []string{
		walkintest.UserAgent,
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 OPR/124.0.0.0",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 12_5_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/141.0 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0.4844.88 Mobile Safari/537.36",
		"Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-A536B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/22A3354 Instagram 350.0.0.0 (iPhone16,2; iOS 18_0; de_DE; scale=3.00)",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/22A3354 [FBAN/FBIOS;FBAV/480.0.0.0;FBDV/iPhone16,2]",
		"Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UD1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/141.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
		"Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.4 Safari/605.1.15",
		"Opera/9.80 (Android; Opera Mini/36.2.2254/191.256; U; en) Presto/2.12.423 Version/12.16",
	}
	for _, extra := range [][]string{nil, noSFS} {
		for _, agent := range robots {
			s := newSite(t)
			page := with(with(s.navigation("/"), extra...), "User-Agent", agent)
			if got := s.tries(t, page); got != "skipped:bot" {
				t.Errorf("robot %q: got %q, want skipped:bot", agent, got)
			}
			if strings.HasPrefix(agent, "WhatsApp") || strings.Contains(agent, "Headless") {
				continue // one looks like a program, and never posts; the other is driven by one
			}
			act := with(with(s.request(http.MethodPost, "/"), extra...), "User-Agent", agent)
			want := "skipped:bot"
			if extra != nil {
				want = "skipped:no_browser"
			}
			if got := s.tries(t, act); got != want {
				t.Errorf("robot %q acts: got %q, want %s", agent, got, want)
			}
		}
		for _, agent := range browsers {
			s := newSite(t)
			if got := s.tries(t, with(with(s.navigation("/"), extra...), "User-Agent", agent)); got != "minted" {
				t.Errorf("browser %q: got %q, want minted", agent, got)
			}
		}
	}
	// An API client that posts works for an app or its owner, and is no visitor.
	for _, agent := range []string{"curl/8.14.1", "Go-http-client/2.0", "python-requests/2.32.3", "okhttp/4.12.0"} {
		s := newSite(t)
		page := with(with(s.navigation("/"), noSFS...), "User-Agent", agent)
		if got := s.tries(t, page); got != "skipped:bot" {
			t.Errorf("program %q: got %q, want skipped:bot", agent, got)
		}
		act := with(with(s.request(http.MethodPost, "/"), noSFS...), "User-Agent", agent)
		if got := s.tries(t, act); got != "skipped:no_browser" {
			t.Errorf("program %q acts: got %q, want skipped:no_browser", agent, got)
		}
	}
	t.Run("the app's own check", func(t *testing.T) {
		s := newSite(t, func(c *walkin.Config) { c.NewUsers.IsBot = func(r *http.Request) bool { return r.URL.Path == "/trap" } })
		if got := s.tries(t, s.navigation("/trap")); got != "skipped:bot" {
			t.Errorf("got %q, want skipped:bot", got)
		}
		if got := s.tries(t, with(s.navigation("/"), "User-Agent", robots[1])); got != "minted" {
			t.Errorf("got %q, want minted", got)
		}
	})
	t.Run("a robot with a live cookie goes on", func(t *testing.T) {
		s := newSite(t)
		c := s.browser(who)
		id := body(t, c.Visit("/"))
		r := with(s.navigation("/"), "User-Agent", robots[1])
		c.Carry(r)
		if answer, _ := c.Serve(r); body(t, answer) != id {
			t.Errorf("got %q, want %q", body(t, answer), id)
		}
	})
}

// TestProbes holds that ten thousand probes make nothing: no cookie, no row,
// no question to the store.
func TestProbes(t *testing.T) {
	s := newSite(t)
	h := s.Handler(http.HandlerFunc(who))
	probes := []*http.Request{
		with(page2("HEAD")(s), "User-Agent", "curl/8.14.1"),
		page2("HEAD")(s),
		page2("OPTIONS")(s),
		with(s.navigation("/healthz"), noSFS...),
		with(s.request("GET", "/"), append(noSFS, "User-Agent", "kube-probe/1.31")...),
		with(s.request("GET", "/"), append(noSFS, "User-Agent", "kube-probe/1.31", "Accept", "")...),
		with(s.request("GET", "/"), append(noSFS, "User-Agent", "ELB-HealthChecker/2.0", "Accept", "")...),
		with(s.request("HEAD", "/"), append(noSFS, "User-Agent", "Wget/1.25.0")...), // wget --spider
		with(s.request("GET", "/"), append(noSFS, "User-Agent", "", "Accept", "")...),
		with(s.request("GET", "/readyz"), noSFS...),
	}
	for range 1000 {
		for _, r := range probes {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code != http.StatusOK || len(rec.Result().Header) > 1 { // net/http's Content-Type
				t.Fatalf("%s %s: got %d %v, want nothing of ours", r.Method, r.URL.Path, rec.Code, rec.Result().Header)
			}
		}
	}
	s.wantRows(0)
	if n := s.store.count(); n > 0 {
		t.Errorf("got %d calls of the store, want none", n)
	}
	for _, e := range s.told() {
		if e.Outcome != walkin.Skipped {
			t.Fatalf("got %v, want skipped", e)
		}
	}
}

// TestPrefetch holds that a request ahead of a visitor's click makes no user and renews
// nothing, in every spelling.
func TestPrefetch(t *testing.T) {
	spellings := [][2]string{
		{"Sec-Purpose", "prefetch"},
		{"Sec-Purpose", "prefetch;prerender"},
		{"Sec-Purpose", "prefetch;anonymous-client-ip"},
		{"Sec-Purpose", "Prefetch; Prerender"},
		{"Purpose", "prefetch"},
		{"Purpose", "prerender"},
		{"Purpose", "preview"},
		{"X-Purpose", "preview"},
		{"X-Purpose", "instant-prefetch"},
		{"X-Moz", "prefetch"},
	}
	for _, header := range spellings {
		s := newSite(t, renewAlways, func(c *walkin.Config) { c.NewUsers.PersistOnMint = true })
		ahead := func() *http.Request { return with(s.navigation("/"), header[:]...) }
		if got := s.tries(t, ahead()); got != "skipped:prefetch" {
			t.Errorf("%q: got %q, want skipped:prefetch", header, got)
		}
		c := s.browser(who)
		id := body(t, c.Visit("/"))
		s.told()
		if r := c.Do(ahead()); body(t, r) != id || len(r.Cookies()) > 0 || s.outcomes() != "" {
			t.Errorf("%q: got %q and %v, want the visitor and no cookie", header, body(t, r), r.Cookies())
		}
		if c.Visit("/"); s.outcomes() != "renewed" {
			t.Errorf("%q: the page itself did not renew", header)
		}
	}
}

// TestPersistOnMint holds that with it a visit is a row at once, and that a
// page is served all the same when that fails.
func TestPersistOnMint(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.NewUsers.PersistOnMint = true })
	if got := s.tries(t, s.navigation("/")); got != "minted persisted" {
		t.Errorf("got %q, want minted persisted", got)
	}
	if got := s.tries(t, s.request(http.MethodGet, "/")); got != "skipped:not_a_page" {
		t.Errorf("a fetch: got %q, want skipped:not_a_page", got)
	}
	s.store.be(errDown)
	c := s.browser(who)
	if r := c.Visit("/"); body(t, r) != "nobody" || len(r.Cookies()) > 0 {
		t.Errorf("with the store down: got %q and %v, want nobody and no cookie", body(t, r), r.Cookies())
	}
	if got := s.outcomes(); got != "failed:store_down" {
		t.Errorf("with the store down: got %q, want failed:store_down", got)
	}
	s.store.be(nil)
	s.wantRows(1)
}

// TestMintOff holds that existing users go on: their writes make rows and their tokens
// are renewed.
func TestMintOff(t *testing.T) {
	on := newSite(t)
	c := on.browser(who)
	c.Visit("/")
	off := newSite(t, over(on), renewAlways, minting(walkin.MintOff))
	c = c.On(off.Handler(off.routes()))
	c.Visit("/")
	c.Post("/note", nil)
	c.Visit("/")
	if got, want := off.outcomes(), "renewed persisted renewed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := off.prove(c, "ann"); got != "upgraded" {
		t.Errorf("got %q, want upgraded", got)
	}
	if got := off.prove(off.browser(who), "bob"); got != "signed_up" {
		t.Errorf("a new visitor who signs up: got %q, want signed_up", got)
	}
}

// TestActsFromElsewhere holds that a post from another site makes no row of a
// provisional user, unless the app trusts that site.
func TestActsFromElsewhere(t *testing.T) {
	trusting := http.NewCrossOriginProtection()
	if err := trusting.AddTrustedOrigin("https://partner.example"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, origin, want string
		protection         *http.CrossOriginProtection
	}{
		{"not trusted", "https://partner.example", "", nil},
		{"trusted", "https://partner.example", "persisted", trusting},
		{"another one", "https://evil.example", "", trusting},
	} {
		s := newSite(t, func(c *walkin.Config) { c.CrossOrigin = tt.protection })
		c := s.browser(who)
		c.Visit("/")
		r := with(s.form("/", nil), "Sec-Fetch-Site", "cross-site", "Origin", tt.origin)
		c.Carry(r)
		if got := s.tries(t, r); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		// To mint it takes more: the browser may be holding a cookie back.
		if got := s.tries(t, with(s.form("/", nil), "Sec-Fetch-Site", "cross-site", "Origin", tt.origin)); got != "skipped:cross_site" {
			t.Errorf("%s, nobody: got %q, want skipped:cross_site", tt.name, got)
		}
	}
}

// TestCredentialForms holds that a post to the pages where visitors prove who
// they are makes no row of theirs.
func TestCredentialForms(t *testing.T) {
	for _, path := range []string{"/sign-up", "/sign-in"} {
		s := newSite(t, func(c *walkin.Config) { c.Paths.Upgrade, c.Paths.SignIn = "/sign-up", "/sign-in" })
		c := s.browser(who)
		if got := body(t, c.Post(path, nil)); got != "nobody" {
			t.Errorf("%s: nobody: got %q, want nobody", path, got)
		}
		id := body(t, c.Visit(path))
		for range 3 { // wrong passwords
			if got := body(t, c.Post(path, nil)); got != id {
				t.Errorf("%s: got %q, want %q", path, got, id)
			}
		}
		s.wantRows(0)
		c.Post("/elsewhere", nil)
		s.wantRows(1)
	}
}

// TestPartitioned holds that an iframe elsewhere gets a user where the app is
// made for that, and that the cookies then stay in their partition.
func TestPartitioned(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Cookies.Partitioned = true })
	c := s.browser(who)
	r := c.Do(with(s.navigation("/"), "Sec-Fetch-Dest", "iframe", "Sec-Fetch-Site", "cross-site"))
	line := r.Header.Get("Set-Cookie")
	for _, part := range []string{"__Host-walkin-anon-chips=", "; Secure", "; SameSite=None", "; Partitioned", "; HttpOnly", "; Path=/"} {
		if !strings.Contains(line, part) {
			t.Errorf("got %q, want %s in it", line, part)
		}
	}
	if got := s.outcomes(); got != "minted" {
		t.Errorf("got %q, want minted", got)
	}
	// A post of the iframe's own page is same-origin.
	if c.Post("/", nil); s.outcomes() != "persisted" {
		t.Error("an act in the iframe made no row")
	}
}

// TestEnsure holds what a handler gets that calls Ensure, for every kind of visitor.
func TestEnsure(t *testing.T) {
	tests := []struct {
		name    string
		request func(*site) *http.Request
		kind    string // of what the visitor brings; "" is nothing
		want    map[walkin.Mint]string
		status  int
	}{
		{"page", func(s *site) *http.Request { return s.navigation("/ensure") }, "nothing", map[walkin.Mint]string{
			walkin.MintOnVisit: "minted persisted", walkin.MintOnWrite: "skipped:no_write minted persisted", walkin.MintOnDemand: "skipped:no_write minted persisted"}, 200},
		{"page, link from elsewhere", func(s *site) *http.Request { return with(s.navigation("/ensure"), "Sec-Fetch-Site", "cross-site") }, "nothing", map[walkin.Mint]string{
			walkin.MintOnVisit: "minted persisted", walkin.MintOnWrite: "skipped:no_write minted persisted"}, 200},
		{"fetch", func(s *site) *http.Request { return s.request("GET", "/ensure") }, "nothing", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped:not_a_page minted persisted", walkin.MintOnDemand: "skipped:not_a_page minted persisted"}, 200},
		{"GET of a program", func(s *site) *http.Request { return with(s.request("GET", "/ensure"), noSFS...) }, "nothing", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped:not_a_page minted persisted", walkin.MintOnDemand: "skipped:not_a_page minted persisted"}, 200},
		{"fetch from elsewhere", func(s *site) *http.Request { return with(s.request("GET", "/ensure"), "Sec-Fetch-Site", "cross-site") }, "nothing", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped:not_a_page refused:cross_origin", walkin.MintOnDemand: "skipped:not_a_page refused:cross_origin"}, 403},
		{"iframe elsewhere", func(s *site) *http.Request {
			return with(s.navigation("/ensure"), "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "iframe")
		}, "nothing", map[walkin.Mint]string{walkin.MintOnVisit: "skipped:embedded refused:cross_origin"}, 403},
		{"act", func(s *site) *http.Request { return s.request("POST", "/ensure") }, "nothing", map[walkin.Mint]string{
			walkin.MintOnVisit: "minted persisted", walkin.MintOnWrite: "minted persisted", walkin.MintOnDemand: "skipped:on_demand minted persisted"}, 200},
		{"act from elsewhere", func(s *site) *http.Request { return with(s.request("POST", "/ensure"), "Sec-Fetch-Site", "cross-site") }, "nothing", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped:cross_site refused:cross_origin", walkin.MintOnDemand: "skipped:cross_site refused:cross_origin"}, 403},
		{"MintOff", func(s *site) *http.Request { return s.request("POST", "/ensure") }, "nothing", map[walkin.Mint]string{
			walkin.MintOff: "skipped:mint_off refused:mint_off"}, 401},
		{"HEAD", func(s *site) *http.Request { return with(s.request("HEAD", "/ensure")) }, "nothing", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped:method refused:method"}, 401},
		{"bot", func(s *site) *http.Request { return with(s.request("POST", "/ensure"), "User-Agent", "") }, "nothing", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped:bot refused:bot", walkin.MintOnDemand: "skipped:on_demand refused:bot"}, 401},
		{"prefetch", func(s *site) *http.Request { return with(s.navigation("/ensure"), "Sec-Purpose", "prefetch") }, "nothing", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped:prefetch refused:prefetch"}, 401},
		{"WebSocket", func(s *site) *http.Request { return with(s.request("GET", "/ensure"), "Upgrade", "websocket") }, "nothing", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped:protocol_upgrade refused:protocol_upgrade"}, 401},
		{"page with a dead cookie", func(s *site) *http.Request { return s.navigation("/ensure") }, "dead", map[walkin.Mint]string{
			walkin.MintOnVisit: "minted/? persisted", walkin.MintOnDemand: "minted/? persisted"}, 200},
		{"page of a user with an account elsewhere", func(s *site) *http.Request { return s.navigation("/ensure") }, "account", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped/?:has_account refused:has_account", walkin.MintOnDemand: "skipped/?:has_account refused:has_account"}, 401},
		{"fetch with a dead cookie", func(s *site) *http.Request { return s.request("GET", "/ensure") }, "dead", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped/?:not_a_page refused:?", walkin.MintOnDemand: "skipped/?:not_a_page refused:?"}, 401},
		{"act with a dead cookie", func(s *site) *http.Request { return s.request("POST", "/ensure") }, "dead", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped/?:stale_cookie refused:?", walkin.MintOnDemand: "skipped/?:stale_cookie refused:?"}, 401},
		{"page with a cookie that cannot be verified", func(s *site) *http.Request { return s.navigation("/ensure") }, "unverified", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped/?:cookie_not_verified refused:?"}, 401},
		{"act with a cookie that cannot be verified", func(s *site) *http.Request { return s.request("POST", "/ensure") }, "unverified", map[walkin.Mint]string{
			walkin.MintOnVisit: "skipped/?:cookie_not_verified refused:?", walkin.MintOnDemand: "skipped/?:cookie_not_verified refused:?"}, 401},
		{"post from elsewhere of a provisional user", func(s *site) *http.Request { return with(s.request("POST", "/ensure"), "Sec-Fetch-Site", "cross-site") }, "provisional", map[walkin.Mint]string{
			walkin.MintOnVisit: "refused:cross_origin", walkin.MintOff: "refused:cross_origin"}, 403},
		{"page of a provisional user", func(s *site) *http.Request { return s.navigation("/ensure") }, "provisional", map[walkin.Mint]string{
			walkin.MintOnVisit: "persisted"}, 200},
		{"page of a live user", func(s *site) *http.Request { return s.navigation("/ensure") }, "live", map[walkin.Mint]string{
			walkin.MintOnVisit: "", walkin.MintOff: ""}, 200},
		{"act of a live user", func(s *site) *http.Request { return s.request("POST", "/ensure") }, "live", map[walkin.Mint]string{
			walkin.MintOnVisit: "", walkin.MintOff: ""}, 200},
	}
	home := newSite(t)
	carried := luggage(t, home)
	for _, tt := range tests {
		for policy, want := range tt.want {
			for _, b := range carried {
				if b.kind != tt.kind {
					continue
				}
				t.Run(fmt.Sprint(tt.name, "/", b.name, "/", policy), func(t *testing.T) {
					s := newSite(t, over(home), minting(policy))
					want := strings.ReplaceAll(want, "?", b.reason)
					r := tt.request(s)
					if b.cookie != "" {
						r.Header.Set("Cookie", b.cookie)
					}
					before := s.store.rows(t)
					rec := httptest.NewRecorder()
					s.Handler(s.routes()).ServeHTTP(rec, r)
					got := s.outcomes()
					if got != want || rec.Code != tt.status {
						t.Errorf("got %d %q, want %d %q", rec.Code, got, tt.status, want)
					}
					row := strings.Contains(want, "persisted")
					if n := s.store.rows(t) - before; n != map[bool]int{true: 1}[row] {
						t.Errorf("got %d new rows", n)
					}
					cookies := rec.Result().Cookies()
					if row && (len(cookies) != 1 || rec.Header().Get("Cache-Control") != "private, no-store") || !row && len(cookies) > 0 {
						t.Errorf("got cookies %v and %v", cookies, rec.Header())
					}
					if rec.Code != http.StatusOK {
						return
					}
					id, _, _ := strings.Cut(rec.Body.String(), " ")
					if _, err := s.store.LockUser(t.Context(), uuid.MustParse(id)); err != nil {
						t.Errorf("the user whom Ensure returned: %v", err)
					}
				})
			}
		}
	}
}

// TestEnsureTwice holds that a request makes one user, however often the app
// asks: in a middleware of its own, and again in the handler.
func TestEnsureTwice(t *testing.T) {
	for _, policy := range []walkin.Mint{walkin.MintOnVisit, walkin.MintOnWrite, walkin.MintOnDemand} {
		for _, r := range []*http.Request{newSite(t).navigation("/"), newSite(t).request(http.MethodGet, "/"), newSite(t).request(http.MethodPost, "/")} {
			s := newSite(t, minting(policy))
			var ids [2]uuid.UUID
			c := s.browser(func(w http.ResponseWriter, r *http.Request) {
				for i := range ids {
					claims, err := s.Ensure(w, r)
					if err != nil {
						t.Fatal(err)
					}
					ids[i] = claims.UserID
				}
			})
			answer := c.Do(r)
			if ids[0] != ids[1] || len(answer.Cookies()) != 1 {
				t.Errorf("policy %d, %s %s: got users %v and %d cookies, want one", policy, r.Method, r.Header.Get("Sec-Fetch-Mode"), ids, len(answer.Cookies()))
			}
			s.wantRows(1)
		}
	}
}

// TestEnsureTooLate holds that no user is stored whose cookie cannot be delivered.
func TestEnsureTooLate(t *testing.T) {
	s := newSite(t)
	var got error
	s.browser(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the response has begun")
		_, got = s.Ensure(w, r)
	}).Visit("/")
	if got == nil {
		t.Error("got no error, want one")
	}
	s.wantRows(0)
}

// TestEnsureWithBearer holds that an API client gets a row under the token it has, and
// gets no cookie.
func TestEnsureWithBearer(t *testing.T) {
	s := newSite(t)
	c := s.browser(who)
	id := body(t, c.Visit("/"))
	token := c.Cookie(anonName)
	program := s.browser(s.routes().ServeHTTP)
	for range 2 {
		r := with(program.NewRequest(http.MethodGet, "/ensure", nil), append(noSFS, "Authorization", "Bearer "+token)...)
		answer := program.Do(r)
		if got := body(t, answer); got != id || len(answer.Header["Set-Cookie"]) > 0 {
			t.Errorf("got %q and %v, want %q and no cookie", got, answer.Header, id)
		}
	}
	s.wantRows(1)
}

// TestLostAct holds that a visitor whose first write succeeded without an answer goes
// on, and gets the cookie that they missed with the next page or fetch.
func TestLostAct(t *testing.T) {
	s := newSite(t)
	c := resident(s, "provisional")
	id := body(t, c.Fetch("/"))
	r := s.request(http.MethodPost, "/note")
	c.Carry(r)
	if lost, err := c.Serve(r); err != nil || body(t, lost) != id {
		t.Fatalf("got %v, %v, want an act of %q", lost, err, id)
	}
	replica := newSite(t, over(s)) // the one that answers next has not seen the write
	c = c.On(replica.Handler(replica.routes()))
	if r := c.Fetch("/"); len(r.Cookies()) != 1 || body(t, r) != id {
		t.Errorf("the next fetch: got %q and %v, want %q and the cookie", body(t, r), r.Cookies(), id)
	}
	if got := replica.claims(c); got.Provisional {
		t.Errorf("got %+v, want a user with a row", got)
	}
	if r := c.Fetch("/"); len(r.Cookies()) != 0 {
		t.Errorf("the fetch after it: got %v, want no cookie", r.Cookies())
	}
	s.wantRows(1)
}

// TestActWithTheTokenFromBeforeTheRow holds that such a request writes nothing when it
// comes soon, and that the session lives on from it when it comes late.
func TestActWithTheTokenFromBeforeTheRow(t *testing.T) {
	const soon, late = time.Hour, 30*24*time.Hour - time.Hour
	for _, after := range []time.Duration{soon, late} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				c := resident(s, "provisional")
				old := c.Cookie(anonName)
				c.Post("/note", nil)
				id := body(t, c.Fetch("/"))
				time.Sleep(after)

				s.store.count()
				again := carrying(s, anonName, old).On(s.Handler(s.routes()))
				if got := body(t, again.Post("/note", nil)); got != id {
					t.Fatalf("acting: got %q, want %q", got, id)
				}
				want := 0
				if after == late {
					want = 1 // the renewal
				}
				if got := s.store.count(writes...); got != want {
					t.Errorf("got %d writes, want %d", got, want)
				}
				if got := s.claims(again); got.Provisional {
					t.Errorf("got %+v, want a user with a row", got)
				}
				time.Sleep(20 * 24 * time.Hour)
				if got := body(t, again.Post("/note", nil)); got != id {
					t.Errorf("acting 20 days later: got %q, want %q", got, id)
				}
				s.wantRows(1)
			})
		})
	}
}

// TestDeletedMeanwhile holds that a visitor who is deleted during their first write has
// no user, and makes no row.
func TestDeletedMeanwhile(t *testing.T) {
	for _, path := range []string{"/", "/note", "/ensure"} {
		s := newSite(t)
		c := resident(s, "provisional")
		s.store.failAt("CreateAnonymous", store.ErrSessionEnded) // as it says when the look before it was too early
		r := c.Do(c.NewRequest(http.MethodPost, path, nil))
		want := http.StatusUnauthorized
		if path == "/" {
			want = http.StatusOK
		}
		if r.StatusCode != want || len(r.Cookies()) > 0 || path == "/" && body(t, r) != "nobody" {
			t.Errorf("%s: got %d %q and %v, want %d and nobody", path, r.StatusCode, body(t, r), r.Cookies(), want)
		}
		s.store.be(nil)
		if got := body(t, c.Fetch("/")); got != "nobody" {
			t.Errorf("%s: reading afterwards: got %q, want nobody", path, got)
		}
		s.wantRows(0)
	}
}

// TestWrappedTwice holds that a part of the site which is wrapped once more is
// treated once.
func TestWrappedTwice(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.NewUsers.PersistOnMint = true })
	c := s.browser(s.Handler(http.HandlerFunc(who)).ServeHTTP)
	r := c.Visit("/")
	if got := s.outcomes(); got != "minted persisted" || len(r.Cookies()) != 1 {
		t.Errorf("got events %q and cookies %v, want one user", got, r.Cookies())
	}
	if got := body(t, c.Fetch("/")); got != body(t, r) {
		t.Errorf("got %q, want %q", got, body(t, r))
	}
	s.wantRows(1)
}
