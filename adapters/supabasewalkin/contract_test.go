package supabasewalkin_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
)

const (
	tokenKeys     = "access_token expires_at expires_in refresh_token token_type user"
	anonymousKeys = "app_metadata aud created_at email id identities is_anonymous last_sign_in_at phone role updated_at user_metadata"
	identityKeys  = "created_at email id identity_data identity_id last_sign_in_at provider updated_at user_id"
	madeKeys      = "app_metadata aud created_at email id identities is_anonymous phone role updated_at user_metadata"
)

// TestAnswers holds the members of good answers that TestWire has not: those of flows
// of several calls, and what is inside of them.
func TestAnswers(t *testing.T) {
	idp := &provider{on: map[string]begun{}}
	proof := walkin.Proof{Provider: issuer, Subject: "by token", Method: "fed"}
	s := newSite(t, func(_ *walkin.Config, c *supabasewalkin.Config) {
		c.Providers = map[string]supabasewalkin.Provider{"google": {Issuer: issuer, Handler: idp,
			VerifyIDToken: func(context.Context, string, string) (walkin.Proof, error) { return proof, nil }}}
	})
	idp.wk = s.wk
	has := func(what string, a answer, want string) answer {
		t.Helper()
		if a.StatusCode != 200 || keys(a.body) != want {
			t.Errorf("%s: got %d with %s\nwant %s", what, a.StatusCode, keys(a.body), want)
		}
		if strings.Contains(want, "access_token") {
			if a.str("token_type") != "bearer" || a.body["expires_in"] == 0.0 || a.body["expires_at"] == 0.0 {
				t.Errorf("%s: got %s", what, a.text)
			}
		}
		return a
	}
	member := func(list any, i int) map[string]any {
		t.Helper()
		all, _ := list.([]any)
		if len(all) <= i {
			t.Fatalf("got %v", list)
		}
		m, _ := all[i].(map[string]any)
		return m
	}

	anon := s.anonymous()
	refreshed := has("refresh_token", s.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+anon.refresh+`"}`), tokenKeys)
	if got := keys(refreshed.body["user"]); got != anonymousKeys {
		t.Errorf("its user: got %s\nwant %s", got, anonymousKeys)
	}
	has("a change of number", s.put(anon.access, `{"phone":"4930123456"}`), strings.Replace(anonymousKeys, "phone", "new_phone phone", 1))
	has("a change of address", s.put(anon.access, `{"email":"ann@example.com"}`), strings.NewReplacer("email id", "email email_change_sent_at id", " phone", " new_email new_phone phone").Replace(anonymousKeys))
	ann := &client{site: s}
	ann.take(has("verify", s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"email_change"}`), tokenKeys))
	u := s.get("/user", ann.access)
	i := member(u.body["identities"], 0)
	if keys(i) != identityKeys || keys(i["identity_data"]) != "email email_verified phone_verified sub" || i["id"] != ann.id || i["provider"] != "email" {
		t.Errorf("got the identity %v", i)
	}
	if len(i["identity_id"].(string)) != 36 || keys(u.body["app_metadata"]) != "provider providers" {
		t.Errorf("got %s", u.text)
	}

	has("linkIdentity", s.get("/user/identities/authorize?provider=google&skip_http_redirect=true", ann.access), "url")
	if a := s.get("/user/identities/authorize?provider=google", ann.access); a.StatusCode != http.StatusFound || a.Header.Get("Location") == "" {
		t.Errorf("linkIdentity in a browser: got %d %s", a.StatusCode, a.text)
	}
	ann.take(has("an ID token that is linked", s.post("/token?grant_type=id_token", ann.access, `{"provider":"google","id_token":"x","link_identity":true}`), tokenKeys))
	ann.take(has("an ID token", s.post("/token?grant_type=id_token", "", `{"provider":"google","id_token":"x"}`), tokenKeys))
	i = member(s.get("/user", ann.access).body["identities"], 1)
	if i["provider"] != "google" || i["id"] != "by token" {
		t.Errorf("got the identity %v", i)
	}
	anew := s.anonymous()
	s.post("/token?grant_type=id_token", anew.access, `{"provider":"google","id_token":"x","link_identity":true}`).want(t, 422, "identity_already_exists")
	if a := s.do(request{method: "DELETE", path: "/user/identities/" + i["identity_id"].(string), token: ann.access}).want(t, 200, ""); strings.TrimSpace(a.text) != "{}" {
		t.Errorf("unlink: got %s", a.text)
	}
	for path, body := range map[string]string{"/otp": `{"email":"ann@example.com"}`, "/magiclink": `{"email":"ann@example.com"}`, "/recover": `{"email":"ann@example.com"}`,
		"/resend": `{"type":"signup","email":"ann@example.com"}`} {
		if a := s.post(path, "", body).want(t, 200, ""); strings.TrimSpace(a.text) != "{}" {
			t.Errorf("%s: got %s", path, a.text)
		}
	}
	for _, scope := range []string{"others", "local", "global"} {
		in := s.anonymous()
		if a := s.post("/logout?scope="+scope, in.access, ""); a.StatusCode != 204 || a.text != "" {
			t.Errorf("%s: got %d %s", scope, a.StatusCode, a.text)
		}
	}
	settings := s.get("/settings", "").body["external"].(map[string]any)
	for name, want := range map[string]bool{"anonymous_users": true, "email": true, "phone": true, "google": true, "apple": false} {
		if settings[name] != want {
			t.Errorf("settings say %v of %s", settings[name], name)
		}
	}
	if s.get("/health", "").str("name") != "GoTrue" {
		t.Error("health has another name")
	}

	// The operator's.
	has("admin.createUser", s.post("/admin/users", secretKey, `{"email":"bob@example.com"}`), madeKeys)
	confirmed := has("confirmed", s.post("/admin/users", secretKey, `{"email":"eve@example.com","email_confirm":true,"phone":"4930123457","phone_confirm":true}`),
		strings.NewReplacer("aud ", "aud confirmed_at ", "email id", "email email_confirmed_at id", "phone role", "phone phone_confirmed_at role").Replace(madeKeys))
	id := confirmed.str("id")
	has("inviteUserByEmail", s.post("/invite", secretKey, `{"email":"ivy@example.com"}`), strings.NewReplacer("aud ", "aud confirmation_sent_at ", "identities ", "identities invited_at ").Replace(madeKeys))
	for kind, more := range map[string]string{"magiclink": "", "recovery": "", "invite": "", "signup": `,"password":"four words in a row"`, "email_change_current": `,"new_email":"bob@new.example"`, "email_change_new": `,"new_email":"bob@new.example"`} {
		address := "bob@example.com"
		a := s.post("/admin/generate_link", secretKey, `{"email":"`+address+`","type":"`+kind+`"`+more+`}`).want(t, 200, "")
		for _, name := range []string{"action_link", "email_otp", "hashed_token", "redirect_to", "verification_type", "id", "email", "aud", "role"} {
			if a.str(name) == "" {
				t.Errorf("generate_link %s: lacks %s: %s", kind, name, a.text)
			}
		}
		if a.str("verification_type") != kind || len(a.str("email_otp")) != 6 || !strings.Contains(a.str("action_link"), "token="+a.str("hashed_token")) {
			t.Errorf("generate_link %s: got %s", kind, a.text)
		}
		if kind == "invite" && a.str("invited_at") == "" {
			t.Errorf("generate_link invite: got %s", a.text)
		}
		if kind == "email_change_current" {
			has("the first of two confirmations", s.post("/verify", "", `{"token_hash":"`+a.str("hashed_token")+`","type":"email_change"}`), "code msg")
		}
	}
	banned := s.do(request{method: "PUT", path: "/admin/users/" + id, token: secretKey, body: `{"ban_duration":"24h"}`}).want(t, 200, "")
	if banned.str("banned_until") == "" {
		t.Errorf("got %s", banned.text)
	}
	list := s.get("/admin/users?page=1&per_page=2", secretKey)
	first := member(list.body["users"], 0)
	if value, there := first["identities"]; !there || value != nil || list.str("aud") != "authenticated" {
		t.Errorf("in a list identities is %v", value)
	}
	if a := s.get("/admin/users/"+id+"/factors", secretKey); a.StatusCode != 200 || strings.TrimSpace(a.text) != "[]" {
		t.Errorf("factors: got %d %s", a.StatusCode, a.text)
	}
	if a := s.do(request{method: "DELETE", path: "/admin/users/" + id, token: secretKey}).want(t, 200, ""); strings.TrimSpace(a.text) != "{}" {
		t.Errorf("delete: got %s", a.text)
	}
	for _, kind := range []string{"recovery", "email_change_current"} {
		s.post("/admin/generate_link", secretKey, `{"email":"nobody@example.com","type":"`+kind+`"}`).want(t, 404, "user_not_found")
	}
	s.post("/admin/generate_link", secretKey, `{"email":"ann@example.com","type":"signup","password":"four words in a row"}`).want(t, 422, "email_exists")
	s.do(request{method: "PUT", path: "/admin/users/" + ann.id, token: secretKey, body: `{"email":"bob@example.com"}`}).want(t, 422, "email_exists")

	// Switched off.
	none := newSite(t, func(_ *walkin.Config, c *supabasewalkin.Config) {
		c.ManualLinking, c.NoAnonymous, c.Send, c.SendSMS = false, true, nil, nil
	})
	none.post("/signup", "", `{}`).want(t, 422, "anonymous_provider_disabled")
	none.post("/otp", "", `{"phone":"4930123456"}`).want(t, 400, "phone_provider_disabled")
	none.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 400, "email_provider_disabled")
	none.post("/signup", "", `{"phone":"4930123456","password":"four words in a row"}`).want(t, 400, "phone_provider_disabled")
	none.post("/invite", secretKey, `{"email":"ann@example.com"}`).want(t, 422, "email_provider_disabled")
	made := none.post("/admin/users", secretKey, `{"email":"ann@example.com","email_confirm":true,"password":"four words in a row"}`).want(t, 200, "")
	in := none.post("/token?grant_type=password", "", `{"email":"ann@example.com","password":"four words in a row"}`).want(t, 200, "")
	none.get("/user/identities/authorize?provider=google&skip_http_redirect=true", in.str("access_token")).want(t, 404, "manual_linking_disabled")
	none.do(request{method: "DELETE", path: "/user/identities/" + made.str("id"), token: in.str("access_token")}).want(t, 404, "manual_linking_disabled")
	unlinked := newSite(t, func(_ *walkin.Config, c *supabasewalkin.Config) { c.ManualLinking = false })
	c := unlinked.anonymous()
	unlinked.get("/user/identities/authorize?provider=google&skip_http_redirect=true", c.access).want(t, 404, "manual_linking_disabled")

	// Autoconfirm.
	auto := newSite(t, autoconfirm)
	has("signUp", auto.post("/signup", "", `{"email":"ann@example.com","password":"four words in a row"}`), tokenKeys)
	auto.post("/signup", "", `{"email":"ann@example.com","password":"four words in a row"}`).want(t, 422, "user_already_exists")
	c = auto.anonymous()
	auto.put(c.access, `{"email":"ann@example.com"}`).want(t, 422, "email_exists")
	auto.put(c.access, `{"phone":"4930123456"}`).want(t, 200, "")
	auto.put(auto.anonymous().access, `{"phone":"4930123456"}`).want(t, 422, "phone_exists")
}
