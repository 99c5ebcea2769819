package supabasewalkin_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

// signed is a JWT of a head and a body, by HS256, or without a signature.
func signed(head, body, key string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString([]byte(body)) + "."
	if key == "" {
		return text
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text[:len(text)-1]))
	return text + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// TestBearers holds that every call of a user refuses every token but a living one, with
// the code for why, and that no such call has changed anything.
func TestBearers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		expired := s.upgraded("old@example.com")
		time.Sleep(time.Hour + 2*time.Minute) // clocks may differ by a minute
		ann, out, gone, banned := s.upgraded("ann@example.com"), s.upgraded("out@example.com"), s.upgraded("gone@example.com"), s.upgraded("banned@example.com")
		s.post("/logout", out.access, "").want(t, 204, "")
		s.do(request{method: "DELETE", path: "/admin/users/" + gone.id, token: secretKey}).want(t, 200, "")
		s.do(request{method: "PUT", path: "/admin/users/" + banned.id, token: secretKey, body: `{"ban_duration":"1h"}`}).want(t, 200, "")
		parts := strings.Split(ann.access, ".")
		head, _ := base64.RawURLEncoding.DecodeString(parts[0])
		body, _ := base64.RawURLEncoding.DecodeString(parts[1])
		const foreign = "another secret of thirty-two bytes, as is needed"
		tokens := map[string][2]string{
			"expired": {expired.access, "bad_jwt"}, "signed out": {out.access, "session_not_found"}, "deleted": {gone.access, "session_not_found"}, "banned": {banned.access, "user_banned"},
			"no algorithm": {signed(`{"alg":"none","typ":"JWT"}`, string(body), ""), "bad_jwt"}, "no algorithm, with our key's ID": {signed(strings.Replace(string(head), "HS256", "nOnE", 1), string(body), ""), "bad_jwt"},
			"another's key": {signed(string(head), string(body), foreign), "bad_jwt"}, "a key of no one": {signed(`{"alg":"HS256","typ":"JWT","kid":"x"}`, string(body), foreign), "bad_jwt"},
			"cut": {ann.access[:len(ann.access)-2], "bad_jwt"}, "no signature": {parts[0] + "." + parts[1] + ".", "bad_jwt"}, "in capitals": {strings.ToUpper(ann.access), "bad_jwt"}, "two": {ann.access + " " + ann.access, "bad_jwt"},
			"the refresh token": {ann.refresh, "bad_jwt"}, "the API key": {publishable, "bad_jwt"}, "the operator's key": {secretKey, "bad_jwt"},
		}
		calls := []request{
			{method: "GET", path: "/user"}, {method: "PUT", path: "/user", body: `{"data":{"a":1}}`}, {method: "PUT", path: "/user", body: `{"email":"eve@example.com"}`}, {method: "PUT", path: "/user", body: `{"password":"four words in a row"}`},
			{method: "GET", path: "/reauthenticate"}, {method: "POST", path: "/reauthenticate"}, {method: "GET", path: "/user/identities/authorize?provider=google"}, {method: "DELETE", path: "/user/identities/" + ann.id},
			{method: "POST", path: "/passkeys/registration/options", body: "{}"}, {method: "POST", path: "/passkeys/registration/verify", body: "{}"}, {method: "GET", path: "/passkeys"}, {method: "PATCH", path: "/passkeys/x", body: "{}"}, {method: "DELETE", path: "/passkeys/x"},
			{method: "POST", path: "/factors", body: "{}"}, {method: "POST", path: "/factors/x/challenge", body: "{}"}, {method: "DELETE", path: "/factors/x"},
			{method: "POST", path: "/logout"}, {method: "POST", path: "/logout?scope=others"}, {method: "POST", path: "/logout?scope=local"},
		}
		for name, token := range tokens {
			for _, call := range calls {
				call.token = token[0]
				if a := s.do(call); a.StatusCode != 403 || a.str("code") != token[1] {
					t.Errorf("%s, %s %s: got %d %s, want 403 %s", name, call.method, call.path, a.StatusCode, a.text, token[1])
				}
			}
			if token[0] == secretKey {
				continue
			}
			for _, path := range []string{"/admin/users", "/admin/users/" + ann.id, "/admin/users/" + ann.id + "/factors"} {
				s.get(path, token[0]).want(t, 403, "not_admin")
			}
			// The calls without a user go on: clients have nothing but their key for them.
			s.post("/token?grant_type=refresh_token", token[0], `{"refresh_token":"x"}`).want(t, 400, "validation_failed")
		}
		s.get("/user", ann.access).want(t, 200, "")
		for c, code := range map[*client]string{out: "refresh_token_not_found", gone: "refresh_token_not_found", banned: "user_banned"} {
			s.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+c.refresh+`"}`).want(t, 400, code)
		}
		expired.take(s.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+expired.refresh+`"}`))
	})
}

// TestForeignFields holds that a user gives themselves nothing that is the operator's to
// give, at the sign-up or later.
func TestForeignFields(t *testing.T) {
	const fields = `"role":"service_role","aud":"x","id":"83fd9e20-7a80-46e4-bf29-a86e3d6bbf66","is_anonymous":false,"banned_until":null,` +
		`"email_confirm":true,"phone_confirm":true,"ban_duration":"none","aal":"aal2","confirmed_at":"2026-01-01T00:00:00Z","identities":[],"raw_app_meta_data":{"a":1}`
	check := func(what string, a answer) {
		t.Helper()
		u := a.want(t, 200, "").body
		if inner, ok := u["user"].(map[string]any); ok {
			u = inner
		}
		meta, _ := u["app_metadata"].(map[string]any)
		if u["role"] != "authenticated" || u["aud"] != "authenticated" || u["id"] == "83fd9e20-7a80-46e4-bf29-a86e3d6bbf66" || meta["role"] != nil || u["confirmed_at"] != nil || u["raw_app_meta_data"] != nil {
			t.Errorf("%s: got %s", what, a.text)
		}
	}
	s := newSite(t)
	anon := (&client{site: s}).take(s.post("/signup", "", `{"data":{"a":1},`+fields+`}`))
	check("signInAnonymously", s.get("/user", anon.access))
	check("updateUser", s.put(anon.access, `{"data":{"a":2},`+fields+`}`))
	check("updateUser with an address", s.put(anon.access, `{"email":"ann@example.com",`+fields+`}`))
	check("signUp", s.post("/signup", "", `{"email":"bob@example.com","password":"four words in a row","app_metadata":{"role":"admin"},`+fields+`}`))
	s.put(anon.access, `{"data":{"a":3},"app_metadata":{"role":"admin"}}`).want(t, 403, "not_admin")
	anon.take(s.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+anon.refresh+`"}`))
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(anon.access, ".")[1])
	if err != nil || !strings.Contains(string(body), `"is_anonymous":true`) || !strings.Contains(string(body), `"role":"authenticated"`) || strings.Contains(string(body), "admin") || strings.Contains(string(body), "aal2") {
		t.Errorf("got the claims %s", body)
	}
}

// TestTwoAddresses holds that a call with an address and a number is refused, as the
// original does: one of them would be passed over, and the client would not know which.
func TestTwoAddresses(t *testing.T) {
	s := newSite(t)
	ann := s.upgraded("ann@example.com")
	const both = `{"email":"ann@new.example","phone":"4930123456","password":"four words in a row","type":"sms","token":"123456"}`
	sent := len(s.mail)
	for _, path := range []string{"/signup", "/otp", "/verify", "/resend", "/token?grant_type=password"} {
		s.post(path, "", both).want(t, 400, "validation_failed")
	}
	s.put(ann.access, both).want(t, 400, "validation_failed")
	s.post("/token?grant_type=password", "", `{"password":"four words in a row"}`).want(t, 400, "validation_failed")
	if len(s.mail) != sent {
		t.Error("a message was sent")
	}
}

// TestAsTyped holds that codes, numbers and addresses are read as visitors type and copy
// them, and stand for the same user.
func TestAsTyped(t *testing.T) {
	s := newSite(t)
	arabic := func(code string) string {
		return strings.Map(func(c rune) rune { return c - '0' + '\u0660' }, code)
	}
	for _, form := range []string{"%s", " %s ", "%s\\n", "\\u200e%s"} {
		s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 200, "")
		s.post("/verify", "", fmt.Sprintf(`{"email":"ANN@Example.com ","type":"email","token":"`+form+`"}`, s.last().Code)).want(t, 200, "")
	}
	s.post("/otp", "", `{"phone":"+49 30 123456"}`).want(t, 200, "")
	id := s.post("/verify", "", `{"phone":"`+arabic("4930123456")+`","type":"sms","token":"`+arabic(s.last().Code)+`"}`).want(t, 200, "").str("user", "id")
	s.post("/otp", "", `{"phone":"4930123456"}`).want(t, 200, "")
	if again := s.post("/verify", "", `{"phone":"+49-30-123456","type":"sms","token":"`+s.last().Code+`"}`).want(t, 200, "").str("user", "id"); again != id {
		t.Errorf("got the user %s, want %s", again, id)
	}
	c := s.anonymous()
	s.put(c.access, `{"email":" Ann@EXAMPLE.com"}`).want(t, 422, "email_exists")
	s.put(c.access, `{"email":"ann+x@example.com"}`).want(t, 200, "") // another mailbox, for all we know
	if total := s.get("/admin/users", secretKey).Header.Get("X-Total-Count"); total != "3" {
		t.Errorf("there are %s users, want 3", total)
	}
}

// TestOtherFlows holds that a code of one PKCE flow is good for its own verifier alone,
// and that a challenge is the whole of a hash.
func TestOtherFlows(t *testing.T) {
	s := newSite(t)
	ask := func(verifier string) (code string) {
		t.Helper()
		s.post("/otp", "", `{"email":"ann@example.com","code_challenge_method":"s256","code_challenge":"`+challengeOf(verifier)+`"}`).want(t, 200, "")
		_, link, _ := strings.Cut(s.last().Link, "/auth/v1")
		for range 3 { // a mail scanner opens it before
			a := s.do(request{method: "GET", path: link, header: http.Header{"Apikey": nil, "Authorization": nil}})
			to, err := a.Location()
			if err != nil {
				t.Fatalf("got %d %s", a.StatusCode, a.text)
			}
			code = to.Query().Get("code")
		}
		return code
	}
	exchange := func(code, verifier string) answer {
		return s.post("/token?grant_type=pkce", "", fmt.Sprintf(`{"auth_code":%q,"code_verifier":%q}`, code, verifier))
	}
	one := ask("the first verifier")
	two := ask("the second verifier")
	exchange(one, "the second verifier").want(t, 400, "bad_code_verifier")
	exchange(one, "the first verifier").want(t, 404, "flow_state_not_found") // there is no second guess
	exchange(two, challengeOf("the second verifier")).want(t, 400, "bad_code_verifier")
	two = ask("the second verifier")
	exchange(two, "").want(t, 400, "validation_failed")
	exchange(two, "the second verifier").want(t, 200, "")
	for _, challenge := range []string{"short", challengeOf("v")[1:], challengeOf("v") + "A", strings.Repeat("=", 43), challengeOf("v") + "\\n"} {
		s.post("/otp", "", `{"email":"ann@example.com","code_challenge_method":"s256","code_challenge":"`+challenge+`"}`).want(t, 400, "validation_failed")
	}
	s.post("/otp", "", `{"email":"ann@example.com","code_challenge_method":"s256"}`).want(t, 400, "validation_failed")
}

// A counted store counts what is kept in it.
type counted struct {
	store.Store
	put atomic.Int64
}

func (c *counted) PutTicket(ctx context.Context, t store.Ticket) error {
	c.put.Add(1)
	return c.Store.PutTicket(ctx, t)
}

// TestFillsNoStore holds that who has nothing but the API key, one link and one state
// cannot have values kept without end.
func TestFillsNoStore(t *testing.T) {
	kept, idp := &counted{Store: memstore.New()}, &provider{on: map[string]begun{}}
	s := newSite(t, func(w *walkin.Config, c *supabasewalkin.Config) {
		w.Store = kept
		c.Providers = map[string]supabasewalkin.Provider{"idp": {Issuer: issuer, Handler: idp}}
		c.Passkeys = supabasewalkin.Passkeys{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"publicKey":{}}`) })}
	})
	idp.wk = s.wk
	pkce := `"code_challenge_method":"s256","code_challenge":"` + challengeOf("v") + `"`
	s.post("/otp", "", `{"email":"ann@example.com",`+pkce+`}`).want(t, 200, "")
	_, link, _ := strings.Cut(s.last().Link, "/auth/v1")
	a := s.do(request{method: "GET", path: "/authorize?provider=idp&code_challenge_method=s256&code_challenge=" + challengeOf("v")})
	to, err := a.Location()
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]request{
		"a link":      {method: "GET", path: link},
		"a state":     {method: "GET", path: "/callback/idp?code=x&state=" + to.Query().Get("state")},
		"a challenge": {method: "POST", path: "/passkeys/authentication/options", body: "{}"},
	} {
		before := kept.put.Load()
		for range 1000 {
			s.do(r)
		}
		if n := kept.put.Load() - before; n == 0 || n > 300 {
			t.Errorf("%s: %d values were kept", name, n)
		}
	}
	s.post("/passkeys/authentication/options", "", "{}").want(t, 429, "over_request_rate_limit")
}
