package supabasewalkin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
	"github.com/walkin-go/walkin/store/memstore"
)

// TestNoSignUp holds that a site that takes no new users gets none, by any way that
// leads to one, and that those it has sign in.
func TestNoSignUp(t *testing.T) {
	open := memstore.New()
	before := newSite(t, func(w *walkin.Config, _ *supabasewalkin.Config) { w.Store = open })
	anon := before.anonymous()
	before.upgraded("ann@example.com")
	proof := walkin.Proof{Provider: issuer, Subject: "new", Method: "fed"}
	s := newSite(t, func(w *walkin.Config, c *supabasewalkin.Config) {
		w.Store = open
		c.NoSignUp = true
		c.Providers = map[string]supabasewalkin.Provider{"idp": {Issuer: issuer, Handler: http.NotFoundHandler(), VerifyIDToken: func(context.Context, string, string) (walkin.Proof, error) { return proof, nil }}}
	})
	const idToken = `{"provider":"idp","id_token":"x"`
	s.post("/signup", "", `{}`).want(t, 422, "signup_disabled")
	s.post("/signup", "", `{"email":"new@example.com","password":"four words in a row"}`).want(t, 422, "signup_disabled")
	s.post("/otp", "", `{"email":"new@example.com"}`).want(t, 422, "otp_disabled")
	s.post("/token?grant_type=id_token", "", idToken+`}`).want(t, 422, "signup_disabled")
	s.post("/token?grant_type=id_token", anon.access, idToken+`,"link_identity":true}`).want(t, 422, "signup_disabled")
	sent := len(s.mail)
	s.put(anon.access, `{"email":"new@example.com"}`).want(t, 422, "signup_disabled")
	if len(s.mail) != sent {
		t.Error("a message was sent for nothing")
	}
	// One that was sent before the setting changed.
	before.put(anon.access, `{"email":"new@example.com"}`).want(t, 200, "")
	body := `{"email":"new@example.com","token":"` + before.last().Code + `","type":"email_change"}`
	s.post("/verify", "", body).want(t, 422, "signup_disabled")
	if !s.did(walkin.Refused, supabasewalkin.ReasonSignUpDisabled) {
		t.Error("the operator was not told")
	}
	s.get("/user", anon.access).want(t, 200, "")

	s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 200, "")
	ann := (&client{site: s}).take(s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"email"}`))
	s.put(ann.access, `{"email":"ann@new.example"}`).want(t, 200, "")
	ann.take(s.post("/verify", "", `{"email":"ann@new.example","token":"`+s.last().Code+`","type":"email_change"}`))
	s.post("/token?grant_type=id_token", ann.access, idToken+`,"link_identity":true}`).want(t, 200, "")
	s.post("/token?grant_type=id_token", "", idToken+`}`).want(t, 200, "")
	s.post("/invite", secretKey, `{"email":"ivy@example.com"}`).want(t, 200, "")
	(&client{site: s}).take(s.post("/verify", "", `{"email":"ivy@example.com","token":"`+s.last().Code+`","type":"invite"}`))

	s.get("/user/identities/authorize?provider=idp", anon.access).want(t, 422, "signup_disabled")

	// And without the setting, the code of before still works.
	anon.take(before.post("/verify", "", body))
}

// TestNoSignUpAtProvider holds the same for a flow that goes through a provider's page:
// who has an account signs in, who has none is told so, and a flow that began before
// the site was closed makes no user after.
func TestNoSignUpAtProvider(t *testing.T) {
	both := memstore.New()
	profiles := supabasewalkin.Memory()
	begun := map[string]begun{}
	at := func(closed bool) *site {
		idp := &provider{on: begun}
		s := newSite(t, func(w *walkin.Config, c *supabasewalkin.Config) {
			w.Store, c.Profiles, c.NoSignUp = both, profiles, closed
			c.Providers = map[string]supabasewalkin.Provider{"idp": {Issuer: issuer, Handler: idp}}
		})
		idp.wk = s.wk
		return s
	}
	open, closed := at(false), at(true)
	verifier := "a verifier that only the client knows, of 43 letters"
	code := func(begins, ends *site, who string) string {
		t.Helper()
		a := begins.do(request{method: "GET", path: "/authorize?provider=idp&redirect_to=https://app.example/back&code_challenge_method=s256&code_challenge=" + challengeOf(verifier)})
		to, err := a.Location()
		if err != nil {
			t.Fatalf("got %d %s", a.StatusCode, a.text)
		}
		b := ends.do(request{method: "GET", path: "/callback/idp?code=" + who + "&state=" + to.Query().Get("state")})
		if to, err = b.Location(); err != nil || to.Query().Get("code") == "" {
			t.Fatalf("got %d %s", b.StatusCode, b.text)
		}
		return to.Query().Get("code")
	}
	exchange := func(s *site, code string) answer {
		t.Helper()
		return s.post("/token?grant_type=pkce", "", fmt.Sprintf(`{"auth_code":%q,"code_verifier":%q}`, code, verifier))
	}
	ann := (&client{site: open}).take(exchange(open, code(open, open, "ann")))
	before := open.get("/admin/users", secretKey).Header.Get("X-Total-Count")

	if a := exchange(closed, code(closed, closed, "ann")).want(t, 200, ""); a.str("user", "id") != ann.id {
		t.Errorf("got the user %s, want %s", a.str("user", "id"), ann.id)
	}
	for name, path := range map[string][2]*site{"closed": {closed, closed}, "closed in between": {open, closed}, "opened in between": {closed, open}} {
		if a := exchange(path[1], code(path[0], path[1], "bea")); a.StatusCode != 422 || a.str("code") != "signup_disabled" {
			t.Errorf("%s: got %d %s", name, a.StatusCode, a.text)
		}
	}
	if !closed.did(walkin.Refused, "oidc_no_account") {
		t.Error("the operator was not told")
	}

	// Without PKCE the browser is led back with the code of the error.
	a := closed.do(request{method: "GET", path: "/authorize?provider=idp"})
	to, err := a.Location()
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	for _, c := range a.Cookies() {
		h.Add("Cookie", c.Name+"="+c.Value)
	}
	b := closed.do(request{method: "GET", path: "/callback/idp?code=bea&state=" + to.Query().Get("state"), header: h})
	if to, err = b.Location(); err != nil {
		t.Fatal(err)
	}
	if f, _ := url.ParseQuery(to.Fragment); f.Get("error_code") != "signup_disabled" || to.Query().Get("error_code") != "signup_disabled" || f.Get("access_token") != "" {
		t.Errorf("got %s", to)
	}
	if after := open.get("/admin/users", secretKey).Header.Get("X-Total-Count"); after != before {
		t.Errorf("there were %s users, and now there are %s", before, after)
	}
}
