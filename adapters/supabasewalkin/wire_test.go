package supabasewalkin_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
)

// TestWire holds status, code and members of the answers that clients look at, as the
// original gives them.
func TestWire(t *testing.T) {
	s := newSite(t)
	anon, ann := s.anonymous(), s.upgraded("ann@example.com")
	s.put(ann.access, `{"password":"four words in a row"}`).want(t, http.StatusOK, "")
	const uid = "83fd9e20-7a80-46e4-bf29-a86e3d6bbf66"
	none := http.Header{"Authorization": nil}
	for _, tt := range []struct {
		name string
		request
		status int
		code   string
		keys   string // of the answer, where it is no error
	}{
		{"no bearer", request{"GET", "/user", "", "", none}, 401, "no_authorization", ""},
		{"a broken bearer", request{"GET", "/user", "garbage", "", nil}, 403, "bad_jwt", ""},
		{"the API key as a bearer", request{"GET", "/user", "", "", nil}, 403, "bad_jwt", ""},
		{"no API key", request{"POST", "/signup", "", "{}", http.Header{"Apikey": nil, "Authorization": nil}}, 401, "no_authorization", ""},
		{"another API key", request{"POST", "/signup", "", "{}", http.Header{"Apikey": {"other"}, "Authorization": nil}}, 401, "no_authorization", ""},
		{"a body that is no JSON", request{"POST", "/signup", "", "{", nil}, 400, "bad_json", ""},
		{"a body without end", request{"POST", "/signup", "", `{"data":{"k":"` + strings.Repeat("x", 1<<20) + `"}}`, nil}, 413, "request_entity_too_large", ""},
		{"a form", request{"POST", "/signup", "", "email=a", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}, 415, "bad_json", ""},
		{"anonymous", request{"POST", "/signup", "", `{"data":{"k":1}}`, nil}, 200, "", "access_token expires_at expires_in refresh_token token_type user"},
		{"the user", request{"GET", "/user", anon.access, "", nil}, 200, "", "app_metadata aud created_at email id identities is_anonymous last_sign_in_at phone role updated_at user_metadata"},
		{"a permanent user", request{"GET", "/user", ann.access, "", nil}, 200, "", "app_metadata aud confirmed_at created_at email email_change_sent_at email_confirmed_at id identities is_anonymous last_sign_in_at phone role updated_at user_metadata"},
		{"a password alone", request{"PUT", "/user", anon.access, `{"password":"four words in a row"}`, nil}, 422, "validation_failed", ""},
		{"a bad address", request{"PUT", "/user", anon.access, `{"email":"nope"}`, nil}, 400, "validation_failed", ""},
		{"a taken address", request{"PUT", "/user", anon.access, `{"email":"ANN@example.com"}`, nil}, 422, "email_exists", ""},
		{"a bad number", request{"PUT", "/user", anon.access, `{"phone":"+1-nope"}`, nil}, 400, "validation_failed", ""},
		{"data", request{"PUT", "/user", anon.access, `{"data":{"k":1}}`, nil}, 200, "", "app_metadata aud created_at email id identities is_anonymous last_sign_in_at phone role updated_at user_metadata"},
		{"the same password", request{"PUT", "/user", ann.access, `{"password":"four words in a row"}`, nil}, 422, "same_password", ""},
		{"a weak password", request{"PUT", "/user", ann.access, `{"password":"12345"}`, nil}, 422, "weak_password", ""},
		{"sign-up with a weak one", request{"POST", "/signup", "", `{"email":"bob@example.com","password":"12345"}`, nil}, 422, "weak_password", ""},
		{"sign-up without one", request{"POST", "/signup", "", `{"email":"bob@example.com"}`, nil}, 400, "validation_failed", ""},
		{"sign-up", request{"POST", "/signup", "", `{"email":"bob@example.com","password":"four words in a row"}`, nil}, 200, "", "app_metadata aud confirmation_sent_at created_at email id identities is_anonymous phone role updated_at user_metadata"},
		{"sign-up with a taken address", request{"POST", "/signup", "", `{"email":"ann@example.com","password":"four words in a row"}`, nil}, 200, "", "app_metadata aud confirmation_sent_at created_at email id identities is_anonymous phone role updated_at user_metadata"},
		{"an unknown address", request{"POST", "/token?grant_type=password", "", `{"email":"no@example.com","password":"x"}`, nil}, 400, "invalid_credentials", ""},
		{"a wrong password", request{"POST", "/token?grant_type=password", "", `{"email":"ann@example.com","password":"x"}`, nil}, 400, "invalid_credentials", ""},
		{"a password", request{"POST", "/token?grant_type=password", "", `{"email":"ann@example.com","password":"four words in a row"}`, nil}, 200, "", "access_token expires_at expires_in refresh_token token_type user weak_password"},
		{"a wrong grant", request{"POST", "/token?grant_type=wrong", "", "{}", nil}, 400, "invalid_credentials", ""},
		{"a bad refresh token", request{"POST", "/token?grant_type=refresh_token", "", `{"refresh_token":"nope"}`, nil}, 400, "validation_failed", ""},
		{"no refresh token", request{"POST", "/token?grant_type=refresh_token", "", `{}`, nil}, 400, "validation_failed", ""},
		{"an unknown auth code", request{"POST", "/token?grant_type=pkce", "", `{"auth_code":"` + uid + `","code_verifier":"x"}`, nil}, 404, "flow_state_not_found", ""},
		{"no auth code", request{"POST", "/token?grant_type=pkce", "", `{}`, nil}, 400, "validation_failed", ""},
		{"an ID token", request{"POST", "/token?grant_type=id_token", "", `{"provider":"google","id_token":"x"}`, nil}, 400, "provider_disabled", ""},
		{"web3", request{"POST", "/token?grant_type=web3", "", `{}`, nil}, 422, "web3_provider_disabled", ""},
		{"a code", request{"POST", "/otp", "", `{"email":"ann@example.com","create_user":false}`, nil}, 200, "", ""},
		{"a code for no one", request{"POST", "/otp", "", `{"email":"new@example.com","create_user":false}`, nil}, 422, "otp_disabled", ""},
		{"a code by phone", request{"POST", "/otp", "", `{"phone":"+4930123456"}`, nil}, 200, "", "message_id"},
		{"a wrong code", request{"POST", "/verify", "", `{"email":"ann@example.com","token":"000000","type":"email"}`, nil}, 403, "otp_expired", ""},
		{"no type", request{"POST", "/verify", "", `{"email":"ann@example.com","token":"000000"}`, nil}, 400, "validation_failed", ""},
		{"a number that is none", request{"POST", "/verify", "", `{"phone":"1-invalid","token":"000000","type":"sms"}`, nil}, 400, "validation_failed", ""},
		{"recovery of no one", request{"POST", "/recover", "", `{"email":"nobody@example.com"}`, nil}, 200, "", ""},
		{"recovery", request{"POST", "/recover", "", `{"email":"ann@example.com"}`, nil}, 200, "", ""},
		{"resend to no one", request{"POST", "/resend", "", `{"type":"signup","email":"nobody@example.com"}`, nil}, 200, "", ""},
		{"resend of what is none", request{"POST", "/resend", "", `{"type":"x","email":"nobody@example.com"}`, nil}, 400, "validation_failed", ""},
		{"reauthenticate", request{"GET", "/reauthenticate", ann.access, "", nil}, 200, "", ""},
		{"reauthenticate without an address", request{"GET", "/reauthenticate", anon.access, "", nil}, 400, "validation_failed", ""},
		{"authorize with no provider", request{"GET", "/authorize?provider=nosuch", "", "", none}, 400, "validation_failed", ""},
		{"a form of no provider", request{"POST", "/callback/nosuch", "", "code=x&state=y", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": nil, "Apikey": nil}}, 400, "bad_oauth_callback", ""},
		{"link with no provider", request{"GET", "/user/identities/authorize?provider=nosuch", anon.access, "", nil}, 400, "validation_failed", ""},
		{"unlink what is not there", request{"DELETE", "/user/identities/" + uid, ann.access, "", nil}, 422, "identity_not_found", ""},
		{"plain PKCE", request{"POST", "/otp", "", `{"email":"ann@example.com","code_challenge":"x","code_challenge_method":"plain"}`, nil}, 400, "validation_failed", ""},
		{"a link without a type", request{"GET", "/verify?token=x", "", "", none}, 400, "validation_failed", ""},
		{"a link without a token", request{"GET", "/verify?type=magiclink", "", "", none}, 400, "validation_failed", ""},
		{"a hash and an address", request{"POST", "/verify", "", `{"token_hash":"x","type":"email","email":"ann@example.com"}`, nil}, 400, "validation_failed", ""},
		{"a hash and a code", request{"POST", "/verify", "", `{"token_hash":"x","type":"email","token":"000000"}`, nil}, 400, "validation_failed", ""},
		{"resend by SMS to an address", request{"POST", "/resend", "", `{"type":"sms","email":"ann@example.com"}`, nil}, 400, "validation_failed", ""},
		{"resend by mail to a number", request{"POST", "/resend", "", `{"type":"signup","phone":"4930123456"}`, nil}, 400, "validation_failed", ""},
		{"app_metadata by a user", request{"PUT", "/user", ann.access, `{"app_metadata":{"a":1}}`, nil}, 403, "not_admin", ""},
		{"an empty password", request{"PUT", "/user", ann.access, `{"password":""}`, nil}, 422, "weak_password", ""},
		{"admin without a bearer", request{"GET", "/admin/users", "", "", none}, 401, "no_authorization", ""},
		{"admin as a user", request{"GET", "/admin/users", ann.access, "", nil}, 403, "not_admin", ""},
		{"admin with the other key", request{"GET", "/admin/users", "", "", nil}, 403, "not_admin", ""},
		{"the list", request{"GET", "/admin/users?page=1&per_page=1", secretKey, "", nil}, 200, "", "aud users"},
		{"a bad page", request{"GET", "/admin/users?page=-1", secretKey, "", nil}, 400, "validation_failed", ""},
		{"one", request{"GET", "/admin/users/" + ann.id, secretKey, "", nil}, 200, "", "app_metadata aud confirmed_at created_at email email_change_sent_at email_confirmed_at id identities is_anonymous last_sign_in_at phone reauthentication_sent_at recovery_sent_at role updated_at user_metadata"},
		{"no one", request{"GET", "/admin/users/" + uid, secretKey, "", nil}, 404, "user_not_found", ""},
		{"no ID", request{"GET", "/admin/users/x", secretKey, "", nil}, 404, "validation_failed", ""},
		{"delete no one", request{"DELETE", "/admin/users/" + uid, secretKey, "", nil}, 404, "user_not_found", ""},
		{"make a taken one", request{"POST", "/admin/users", secretKey, `{"email":"ann@example.com"}`, nil}, 422, "email_exists", ""},
		{"make one of nothing", request{"POST", "/admin/users", secretKey, `{}`, nil}, 400, "validation_failed", ""},
		{"make one with an ID", request{"POST", "/admin/users", secretKey, `{"email":"new@example.com","id":"` + uid + `"}`, nil}, 400, "validation_failed", ""},
		{"make one with a hash", request{"POST", "/admin/users", secretKey, `{"email":"new@example.com","password_hash":"$2y$10$"}`, nil}, 400, "validation_failed", ""},
		{"a link of no kind", request{"POST", "/admin/generate_link", secretKey, `{"email":"ann@example.com","type":"x"}`, nil}, 400, "validation_failed", ""},
		{"passkeys of an anonymous user", request{"POST", "/passkeys/registration/options", anon.access, "{}", nil}, 403, "no_authorization", ""},
		{"passkeys where there are none", request{"POST", "/passkeys/authentication/options", "", "{}", nil}, 404, "passkey_disabled", ""},
		{"MFA of an anonymous user", request{"POST", "/factors", anon.access, "{}", nil}, 403, "no_authorization", ""},
		{"MFA", request{"POST", "/factors", ann.access, "{}", nil}, 422, "mfa_totp_enroll_not_enabled", ""},
		{"MFA by SMS", request{"POST", "/factors", ann.access, `{"factor_type":"phone"}`, nil}, 422, "mfa_phone_enroll_not_enabled", ""},
		{"MFA by a key", request{"POST", "/factors", ann.access, `{"factor_type":"webauthn"}`, nil}, 422, "mfa_webauthn_enroll_not_enabled", ""},
		{"a challenge of MFA", request{"POST", "/factors/" + uid + "/challenge", ann.access, "{}", nil}, 422, "mfa_totp_verify_not_enabled", ""},
		{"a code of MFA", request{"POST", "/factors/" + uid + "/verify", ann.access, `{"code":"000000"}`, nil}, 422, "mfa_totp_verify_not_enabled", ""},
		{"an admin's look at factors", request{"GET", "/admin/users/" + ann.id + "/factors", secretKey, "", nil}, 200, "", ""},
		{"an admin removes a factor", request{"DELETE", "/admin/users/" + ann.id + "/factors/" + uid, secretKey, "", nil}, 404, "mfa_factor_not_found", ""},
		{"an admin changes a factor", request{"PUT", "/admin/users/" + ann.id + "/factors/" + uid, secretKey, "{}", nil}, 404, "mfa_factor_not_found", ""},
		{"a factor without an ID", request{"DELETE", "/admin/users/" + ann.id + "/factors/x", secretKey, "", nil}, 404, "validation_failed", ""},
		{"a factor of no one", request{"DELETE", "/admin/users/" + uid + "/factors/" + uid, secretKey, "", nil}, 404, "user_not_found", ""},
		{"a factor, without the key", request{"DELETE", "/admin/users/" + ann.id + "/factors/" + uid, ann.access, "", nil}, 403, "not_admin", ""},
		{"SSO", request{"POST", "/sso", "", `{"domain":"x.com"}`, nil}, 404, "saml_provider_disabled", ""},
		{"the OAuth server", request{"GET", "/oauth/authorizations/x", ann.access, "", nil}, 404, "feature_disabled", ""},
		{"settings", request{"GET", "/settings", "", "", nil}, 200, "", "disable_signup external mailer_autoconfirm passkeys_enabled phone_autoconfirm saml_enabled sms_provider"},
		{"health", request{"GET", "/health", "", "", nil}, 200, "", "description name version"},
		{"keys", request{"GET", "/.well-known/jwks.json", "", "", nil}, 200, "", "keys"},
		{"nothing there", request{"GET", "/nothing", "", "", nil}, 404, "not_found", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := s.do(tt.request).want(t, tt.status, tt.code)
			h := a.Header
			if tt.code == "" {
				if got := keys(a.body); got != tt.keys {
					t.Errorf("got the members %s\nwant %s", got, tt.keys)
				}
				if h.Get("X-Supabase-Api-Version") != "" {
					t.Error("a good answer has the version header")
				}
			} else if h.Get("X-Sb-Error-Code") != tt.code || h.Get("X-Supabase-Api-Version") != "2024-01-01" || a.str("message") == "" {
				t.Errorf("got %v %s", h, a.text)
			}
			for _, c := range a.Cookies() {
				if c.Name != "__Host-walkin-supabase" {
					t.Errorf("got the cookie %s", c.Name)
				}
			}
			if !strings.HasPrefix(h.Get("Cache-Control"), "private, no-store") && !strings.Contains(tt.path, "jwks") {
				t.Errorf("got Cache-Control %q", h.Get("Cache-Control"))
			}
		})
	}
	t.Run("weak_password says why", func(t *testing.T) {
		a := s.put(ann.access, `{"password":"12345"}`)
		reasons, _ := a.body["weak_password"].(map[string]any)["reasons"].([]any)
		if len(reasons) != 1 || reasons[0] != "length" {
			t.Errorf("got %s", a.text)
		}
	})
	t.Run("without the version header", func(t *testing.T) {
		a := s.do(request{method: "GET", path: "/user", token: "garbage", header: http.Header{"X-Supabase-Api-Version": nil}})
		if a.StatusCode != 403 || a.body["code"] != 403.0 || a.str("error_code") != "bad_jwt" || a.str("msg") == "" || a.Header.Get("X-Supabase-Api-Version") != "" {
			t.Errorf("got %d %v %s", a.StatusCode, a.Header, a.text)
		}
	})
	t.Run("the list says where there is more", func(t *testing.T) {
		a := s.get("/admin/users?page=1&per_page=1", secretKey)
		if link := a.Header.Get("Link"); !strings.HasPrefix(link, `</admin/users?page=2&per_page=1>; rel="next", </admin/users?page=`) || a.Header.Get("X-Total-Count") == "" {
			t.Errorf("got %q", link)
		}
	})
}

// TestTokenClaims holds the claims that policies read.
func TestTokenClaims(t *testing.T) {
	s := newSite(t)
	c := s.upgraded("ann@example.com")
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(c.access, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	if got, want := keys(claims), "aal amr app_metadata aud email exp iat is_anonymous iss phone role session_id sub user_metadata"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if claims["email"] != "ann@example.com" || claims["is_anonymous"] != false || claims["role"] != "authenticated" || claims["aud"] != "authenticated" {
		t.Errorf("got %v", claims)
	}
}

func TestCORS(t *testing.T) {
	s := newSite(t)
	a := s.do(request{method: http.MethodOptions, path: "/user", header: http.Header{"Access-Control-Request-Headers": {"apikey"}, "Apikey": nil, "Authorization": nil}})
	h := a.Header
	if a.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "apikey") ||
		!strings.Contains(h.Get("Access-Control-Allow-Methods"), "PUT") || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("got %d %v", a.StatusCode, h)
	}
	some := newSite(t, func(_ *walkin.Config, c *supabasewalkin.Config) { c.Origins = []string{"https://app.example"} })
	if got := some.get("/health", "").Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("an origin that is not named: got %q", got)
	}
}

// TestNewRefuses holds that mistakes are told when the app starts.
func TestNewRefuses(t *testing.T) {
	ed, err := walkin.KeyFile(t.TempDir() + "/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	wk, err := walkin.New(walkin.Config{Keys: ed, Store: s.store})
	if err != nil {
		t.Fatal(err)
	}
	good := supabasewalkin.Config{URL: "https://app.example/auth/v1", SiteURL: siteURL, Profiles: supabasewalkin.Memory()}
	for name, tt := range map[string]struct {
		wk     *walkin.Middleware
		change func(*supabasewalkin.Config)
		want   string
	}{
		"no middleware":           {nil, nil, "middleware"},
		"an Ed25519 key":          {wk, nil, "Ed25519"},
		"no URL":                  {s.wk, func(c *supabasewalkin.Config) { c.URL = "" }, "Config.URL"},
		"no profiles":             {s.wk, func(c *supabasewalkin.Config) { c.Profiles = nil }, "Config.Profiles"},
		"a short secret key":      {s.wk, func(c *supabasewalkin.Config) { c.SecretKeys = []string{"short"} }, "32"},
		"a secret that is public": {s.wk, func(c *supabasewalkin.Config) { c.SecretKeys = []string{secretKey}; c.PublishableKeys = c.SecretKeys }, "publishable"},
		"a long life":             {s.wk, func(c *supabasewalkin.Config) { c.TokenLife = 1 << 60 }, "TokenLife"},
	} {
		cfg := good
		if tt.change != nil {
			tt.change(&cfg)
		}
		if _, err := supabasewalkin.New(tt.wk, cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, tt.want)
		}
	}
	if _, err := supabasewalkin.New(s.wk, good); err != nil {
		t.Error(err)
	}
}
