package supabasewalkin_test

import (
	"context"
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
		c.Providers = map[string]supabasewalkin.Provider{"idp": {Issuer: issuer, VerifyIDToken: func(context.Context, string, string) (walkin.Proof, error) { return proof, nil }}}
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

	// And without the setting, the code of before still works.
	anon.take(before.post("/verify", "", body))
}
