package clients_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// testNoSignUpAtProvider has users go through a real provider's pages while a site takes
// no new users. Each request comes to another of two replicas. Who has an account signs
// in and links; who has none is told so, and there are no more users than before.
func testNoSignUpAtProvider(t *testing.T, database func() share) {
	var isClosed atomic.Bool
	var next atomic.Uint64
	var open, closed [2]*replica
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := &open
		if isClosed.Load() {
			to = &closed
		}
		to[next.Add(1)%2].mux.ServeHTTP(w, r)
	}))
	_, port, _ := strings.Cut(front.Listener.Addr().String(), ":")
	site := &replica{url: "http://localhost:" + port}
	issuer := idp(t, site.url)
	behind := func(r *replica) {
		r.cfg.URL, r.cfg.SiteURL, r.cfg.RedirectURLs = site.url+"/auth/v1", site.url+"/", []string{site.url + "/back"}
		r.signsInAt(issuer)
	}
	s := newSite(t, database, behind)
	open, site.site = s.replicas, s
	for i := range closed {
		closed[i] = s.replica(database(), []func(*replica){behind, func(r *replica) { r.cfg.NoSignUp = true }})
	}
	front.Start()
	t.Cleanup(front.Close)

	const verifier = "a verifier that only the client knows, of 43 letters"
	sum := sha256.Sum256([]byte(verifier))
	pkce := "provider=google&redirect_to=" + url.QueryEscape(site.url+"/back") + "&code_challenge_method=s256&code_challenge=" + base64.RawURLEncoding.EncodeToString(sum[:])
	through := func(to, who string) answer {
		t.Helper()
		at := site.goThrough(to, who)
		if at.Path != "/back" || at.Query().Get("code") == "" {
			t.Fatalf("got %s", at)
		}
		return site.do("POST", "/token?grant_type=pkce", "", fmt.Sprintf(`{"auth_code":%q,"code_verifier":%q}`, at.Query().Get("code"), verifier))
	}
	users := func() int {
		t.Helper()
		return strings.Count(site.do("GET", "/admin/users?per_page=100", secretKey, "").want(t, 200, "").text, `"is_anonymous"`)
	}
	ann := through(site.url+"/auth/v1/authorize?"+pkce, annThere).want(t, 200, "").User.ID
	anon := site.anonymous()

	isClosed.Store(true)
	before := users()
	for range 2 { // on each replica
		a := through(site.url+"/auth/v1/authorize?"+pkce, annThere).want(t, 200, "")
		if a.User.ID != ann || a.User.Anonymous {
			t.Errorf("got %+v, want the ID %s", a.User, ann)
		}
		through(site.url+"/auth/v1/authorize?"+pkce, beaThere).want(t, 422, "signup_disabled")
	}
	at := site.goThrough(site.url+"/auth/v1/authorize?provider=google", beaThere)
	if f, _ := url.ParseQuery(at.Fragment); f.Get("error_code") != "signup_disabled" || f.Get("access_token") != "" {
		t.Errorf("without PKCE: got %s", at)
	}
	at = site.goThrough(site.url+"/auth/v1/authorize?provider=google", annThere)
	if f, _ := url.ParseQuery(at.Fragment); f.Get("access_token") == "" {
		t.Errorf("without PKCE: got %s", at)
	} else if u := site.do("GET", "/user", f.Get("access_token"), "").want(t, 200, ""); u.ID != ann {
		t.Errorf("without PKCE: got the user %s, want %s", u.ID, ann)
	}
	site.do("GET", "/user/identities/authorize?skip_http_redirect=true&"+pkce, anon.Access, "").want(t, 422, "signup_disabled")
	if u := site.do("GET", "/user", anon.Access, "").want(t, 200, ""); u.ID != anon.User.ID {
		t.Errorf("got the user %s, want %s", u.ID, anon.User.ID)
	}
	if s.did("oidc_no_account") != 3 {
		t.Errorf("the operator was told of %d, want 3", s.did("oidc_no_account"))
	}
	if after := users(); after != before || before != 2 {
		t.Errorf("there are %d users, and there were %d, want 2", after, before)
	}

	isClosed.Store(false)
	through(site.url+"/auth/v1/authorize?"+pkce, beaThere).want(t, 200, "")
}
