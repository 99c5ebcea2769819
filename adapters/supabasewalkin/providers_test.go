package supabasewalkin_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
)

const issuer = "https://idp.example"

// A provider stands for an *oidc.Handler: it binds a flow to the browser that began it,
// takes a state once, and proves the identity that the code names.
type provider struct {
	wk *walkin.Middleware
	mu sync.Mutex
	on map[string]begun // by state
}

// begun is what the fake remembers of a flow.
type begun struct {
	browser         string
	links, existing bool
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/start") {
			bound, err := p.wk.StartFlow(w, r)
			if err != nil {
				p.wk.Refuse(w, r, err)
				return
			}
			state := rand.Text()
			p.mu.Lock()
			p.on[state] = begun{bound, r.FormValue("link") != "", r.FormValue("existing") != ""}
			p.mu.Unlock()
			http.Redirect(w, r, issuer+"/authorize?state="+state, http.StatusSeeOther)
			return
		}
		state := r.URL.Query().Get("state")
		p.mu.Lock()
		flow, known := p.on[state]
		delete(p.on, state)
		p.mu.Unlock()
		mine := false
		for _, name := range p.wk.FlowIDs(r) {
			mine = mine || name == flow.browser
		}
		if !known || !mine {
			p.wk.Refuse(w, r, &walkin.Refusal{Status: http.StatusForbidden, Reason: "oidc_browser"})
			return
		}
		proof := walkin.Proof{Provider: issuer, Subject: r.URL.Query().Get("code"), Method: "fed", StateChecked: true, FlowID: flow.browser}
		if flow.links {
			proof.Conflict = walkin.ConflictReject
		}
		proof.Applied = func(_ context.Context, c walkin.Change) error {
			if flow.existing && (c.Outcome == walkin.SignedUp || c.Outcome == walkin.Upgraded) {
				return &walkin.Refusal{Status: http.StatusForbidden, Reason: "oidc_no_account", Code: "no_account"}
			}
			return nil
		}
		_, err := p.wk.Continue(w, r, proof)
		if err != nil {
			p.wk.Refuse(w, r, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})).ServeHTTP(w, r)
}

// challengeOf is what a client sends of a verifier at first.
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// TestCallbackOfNoFlow holds that a browser which has been too long at the provider is led
// to the site, which says what happened, and nowhere else.
func TestCallbackOfNoFlow(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/callback/google", "/callback/google?code=x&state=y", "/callback/google?error=x&state=y&redirect_to=https://evil.example"} {
		a := s.do(request{method: "GET", path: path, header: http.Header{"Apikey": nil, "Authorization": nil}})
		to, err := a.Location()
		if a.StatusCode != http.StatusSeeOther || err != nil || !strings.HasPrefix(to.String(), siteURL+"?") || to.Query().Get("error_code") != "bad_oauth_state" || !strings.Contains(to.Fragment, "error_code=bad_oauth_state") {
			t.Errorf("%s: got %d to %v", path, a.StatusCode, to)
		}
	}
}

func TestProviders(t *testing.T) {
	idp := &provider{on: map[string]begun{}}
	begin := func(t *testing.T) *site {
		t.Helper()
		s := newSite(t, func(_ *walkin.Config, c *supabasewalkin.Config) {
			c.Providers = map[string]supabasewalkin.Provider{"idp": {Issuer: issuer, Handler: idp}}
		})
		idp.wk = s.wk
		return s
	}
	back := func(s *site, state, who string, cookies []*http.Cookie) *url.URL {
		t.Helper()
		h := http.Header{"Apikey": nil, "Authorization": nil}
		for _, c := range cookies {
			h.Add("Cookie", c.Name+"="+c.Value)
		}
		a := s.do(request{method: "GET", path: "/callback/idp?code=" + who + "&state=" + state, header: h})
		to, err := a.Location()
		if err != nil {
			t.Fatalf("got %d %s", a.StatusCode, a.text)
		}
		return to
	}
	state := func(t *testing.T, to string) string {
		t.Helper()
		u, err := url.Parse(to)
		if err != nil || u.Host != "idp.example" {
			t.Fatalf("got %q, %v", to, err)
		}
		return u.Query().Get("state")
	}
	const link = "/user/identities/authorize?provider=idp&skip_http_redirect=true&redirect_to=https://app.example/back"
	pkce := "&code_challenge_method=s256&code_challenge=" + challengeOf("the verifier")

	t.Run("linking with PKCE keeps the ID", func(t *testing.T) {
		s := begin(t)
		c := s.anonymous()
		st := state(t, s.get(link+pkce, c.access).want(t, 200, "").str("url"))
		to := back(s, st, "ann", nil)
		if u := s.get("/user", c.access).want(t, 200, ""); u.body["is_anonymous"] != true {
			t.Error("the callback alone has upgraded them")
		}
		body := `{"auth_code":"` + to.Query().Get("code") + `","code_verifier":"the verifier"}`
		id := c.id
		c.take(s.post("/token?grant_type=pkce", "", body))
		u := s.get("/user", c.access)
		if c.id != id || u.body["is_anonymous"] != false || u.str("app_metadata", "provider") != "idp" {
			t.Errorf("got %s", u.text)
		}
		s.post("/token?grant_type=pkce", "", body).want(t, 404, "flow_state_not_found")
	})
	t.Run("without PKCE only in the browser that began", func(t *testing.T) {
		s := begin(t)
		c := s.anonymous()
		a := s.get(link, c.access).want(t, 200, "")
		st := state(t, a.str("url"))
		to := back(s, st, "victim", nil)
		if to.Query().Get("error_code") != "bad_oauth_state" || strings.Contains(to.String(), "access_token") {
			t.Errorf("elsewhere: got %s", to)
		}
		if u := s.get("/user", c.access).want(t, 200, ""); u.body["is_anonymous"] != true {
			t.Error("another's browser has upgraded them")
		}
		fragment, _ := url.ParseQuery(back(s, st, "ann", a.Cookies()).Fragment)
		if u := s.get("/user", fragment.Get("access_token")).want(t, 200, ""); u.str("id") != c.id {
			t.Errorf("got the user %s, want %s", u.str("id"), c.id)
		}
	})
	t.Run("a visitor who says no", func(t *testing.T) {
		s := begin(t)
		c := s.anonymous()
		a := s.get(link, c.access).want(t, 200, "")
		to := back(s, state(t, a.str("url")), "&error=access_denied", a.Cookies())
		if got := to.Query().Get("error_code"); got != "provider_email_needs_verification" || to.Host != "app.example" || to.Path != "/back" || strings.Contains(to.String(), "access_token") {
			t.Errorf("got %s", to)
		}
		if u := s.get("/user", c.access).want(t, 200, ""); u.body["is_anonymous"] != true {
			t.Error("a no has upgraded them")
		}
	})
	t.Run("after the session that began has ended", func(t *testing.T) {
		s := begin(t)
		c := s.anonymous()
		to := back(s, state(t, s.get(link+pkce, c.access).want(t, 200, "").str("url")), "ann", nil)
		s.post("/logout?scope=local", c.access, "").want(t, 204, "")
		// Not session_not_found, at which the client forgets the session it has by now.
		s.post("/token?grant_type=pkce", "", `{"auth_code":"`+to.Query().Get("code")+`","code_verifier":"the verifier"}`).want(t, 404, "flow_state_not_found")
	})
	t.Run("an identity that is taken", func(t *testing.T) {
		s := begin(t)
		for i := range 2 {
			c := s.upgraded([]string{"ann@example.com", "bob@example.com"}[i])
			a := s.get(link, c.access).want(t, 200, "")
			to := back(s, state(t, a.str("url")), "same", a.Cookies())
			if got := to.Query().Get("error_code"); got != []string{"", "identity_already_exists"}[i] {
				t.Errorf("user %d: got %s", i, to)
			}
		}
	})
	t.Run("an identity that is taken, and an anonymous user", func(t *testing.T) {
		s := begin(t)
		ann := s.anonymous()
		ann.take(s.post("/token?grant_type=pkce", "", `{"auth_code":"`+back(s, state(t, s.get(link+pkce, ann.access).str("url")), "ann", nil).Query().Get("code")+`","code_verifier":"the verifier"}`))
		c := s.anonymous()
		to := back(s, state(t, s.get(link+pkce, c.access).want(t, 200, "").str("url")), "ann", nil)
		s.post("/token?grant_type=pkce", "", `{"auth_code":"`+to.Query().Get("code")+`","code_verifier":"the verifier"}`).want(t, 422, "identity_already_exists")
		a := s.get(link, c.access).want(t, 200, "")
		if to := back(s, state(t, a.str("url")), "ann", a.Cookies()); to.Query().Get("error_code") != "identity_already_exists" || !strings.Contains(to.Fragment, "error_code=identity_already_exists") {
			t.Errorf("got %s", to)
		}
		if u := s.get("/user", c.access).want(t, 200, ""); u.str("id") != c.id || u.body["is_anonymous"] != true {
			t.Errorf("got %s", u.text)
		}
	})
	t.Run("signing in", func(t *testing.T) {
		s := begin(t)
		var ids []string
		for range 2 {
			a := s.do(request{method: "GET", path: "/authorize?provider=idp&redirect_to=https://app.example/back", header: http.Header{"Apikey": nil, "Authorization": nil}})
			if a.StatusCode != http.StatusFound {
				t.Fatalf("got %d %s", a.StatusCode, a.text)
			}
			fragment, _ := url.ParseQuery(back(s, state(t, a.Header.Get("Location")), "ann", a.Cookies()).Fragment)
			ids = append(ids, s.get("/user", fragment.Get("access_token")).want(t, 200, "").str("id"))
		}
		if ids[0] != ids[1] {
			t.Errorf("got the users %v, want one", ids)
		}
	})
}
