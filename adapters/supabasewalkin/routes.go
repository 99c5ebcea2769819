package supabasewalkin

import (
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// routes says what answers what. openapi.json says the same; a test compares them.
func (h *Handler) routes() {
	// A browser opens these, and sends no API key.
	h.open("GET /verify", h.verifyLink, isGet)
	h.open("GET /authorize", h.authorize, isGet)
	h.open("GET /callback/{provider}", h.callback, isGet)
	h.patterns = append(h.patterns, "POST /callback/{provider}")
	h.mux.HandleFunc("POST /callback/{provider}", h.posted)
	h.open("GET /.well-known/jwks.json", h.jsonWebKeys)
	h.open("GET /health", h.health)
	h.open("GET /settings", h.settings)

	h.api("POST /signup", h.signUp)
	h.api("POST /token", h.token)
	h.api("POST /otp", h.otp)
	h.api("POST /magiclink", h.otp)
	h.api("POST /verify", h.verify)
	h.api("POST /resend", h.resend)
	h.api("POST /recover", h.recover)
	h.api("GET /user", h.getUser)
	h.member("PUT /user", h.changeUser)
	h.open("GET /reauthenticate", h.reauthenticate, isGet, h.keyed)
	h.member("POST /reauthenticate", h.reauthenticate)
	h.member("POST /logout", h.logout)
	h.open("GET /user/identities/authorize", h.linkIdentity, isGet, h.keyed)
	h.member("DELETE /user/identities/{id}", h.unlink)

	h.member("POST /passkeys/registration/options", h.beginPasskey)
	h.member("POST /passkeys/registration/verify", h.finishPasskey)
	h.api("POST /passkeys/authentication/options", h.beginPasskeySignIn)
	h.api("POST /passkeys/authentication/verify", h.finishPasskeySignIn)
	h.member("GET /passkeys", h.listPasskeys)
	h.member("PATCH /passkeys/{id}", h.renamePasskey)
	h.member("DELETE /passkeys/{id}", h.deletePasskey)

	h.admin("POST /invite", h.invite)
	h.admin("POST /admin/invite", h.invite)
	h.admin("POST /admin/generate_link", h.generateLink)
	h.admin("GET /admin/users", h.listUsers)
	h.admin("POST /admin/users", h.createUser)
	h.admin("GET /admin/users/{id}", h.adminUser)
	h.admin("PUT /admin/users/{id}", h.changeAny)
	h.admin("DELETE /admin/users/{id}", h.deleteUser)
	h.admin("GET /admin/users/{id}/passkeys", h.adminPasskeys)
	h.admin("DELETE /admin/users/{id}/passkeys/{key}", h.adminDeletePasskey)
	h.admin("GET /admin/users/{id}/factors", h.factors)
	h.admin("PUT /admin/users/{id}/factors/{factor}", h.noFactor)
	h.admin("DELETE /admin/users/{id}/factors/{factor}", h.noFactor)

	for _, refused := range refusals {
		h.refuses(refused.pattern, refused)
		if all, ok := strings.CutSuffix(refused.pattern, "/"); ok {
			h.refuses(all, refused) // or the mux leads on to the slash
		}
	}
	h.open("/", nil, h.unknown)
}

// A refusal is for what walkin does not do, in the words that clients know.
type refusal struct {
	pattern string
	status  int
	code    string
	message string
	user    bool // asks who calls first, as the original does
}

var refusals = []refusal{
	{"POST /factors", http.StatusUnprocessableEntity, "mfa_totp_enroll_not_enabled", "MFA enroll is disabled", true},
	{"POST /factors/{id}/challenge", http.StatusUnprocessableEntity, "mfa_totp_verify_not_enabled", "MFA verification is disabled", true},
	{"POST /factors/{id}/verify", http.StatusUnprocessableEntity, "mfa_totp_verify_not_enabled", "MFA verification is disabled", true},
	{"DELETE /factors/{id}", http.StatusNotFound, "mfa_factor_not_found", "Factor not found", true},
	{"POST /sso", http.StatusNotFound, "saml_provider_disabled", "SAML 2.0 is disabled", false},
	{"/sso/", http.StatusNotFound, "saml_provider_disabled", "SAML 2.0 is disabled", false},
	{"/oauth/", http.StatusNotFound, "feature_disabled", "OAuth server is disabled", false},
	{"/admin/oauth/", http.StatusNotFound, "feature_disabled", "OAuth server is disabled", false},
	{"/admin/sso/", http.StatusNotFound, "saml_provider_disabled", "SAML 2.0 is disabled", false},
	{"/admin/custom-providers/", http.StatusNotFound, "feature_disabled", "Custom providers are disabled", false},
	{"/scim/", http.StatusNotFound, "feature_disabled", "SCIM is disabled", false},
}

func (h *Handler) refuses(pattern string, r refusal) {
	switch {
	case r.user:
		h.member(pattern, func(c *call) (any, error) { return nil, h.noSecondFactor(c, r) })
	case strings.HasPrefix(pattern, "/admin/"):
		h.open(pattern, nil, h.keyed, h.isAdmin, r.check)
	default:
		h.open(pattern, nil, h.keyed, r.check)
	}
}

// check refuses, whatever the body says.
func (r refusal) check(*call) error { return fail(r.status, r.code, r.message) }

func (h *Handler) noSecondFactor(c *call, r refusal) error {
	claims, err := h.user(c)
	if err != nil {
		return err
	}
	if claims.Anonymous {
		return fail(http.StatusForbidden, "no_authorization", "Anonymous user not allowed to perform these actions")
	}
	if kind := c.text("factor_type"); kind == "phone" || kind == "webauthn" {
		r.code = strings.Replace(r.code, "_totp_", "_"+kind+"_", 1)
	}
	return r.check(c)
}

// factors is the list of a user's second factors: none.
func (h *Handler) factors(c *call) (any, error) {
	_, err := h.target(c)
	return []string{}, err
}

// noFactor is for one of a user's second factors, of which there are none.
func (h *Handler) noFactor(c *call) (any, error) {
	if _, err := h.target(c); err != nil {
		return nil, err
	}
	if _, err := uuid.Parse(c.PathValue("factor")); err != nil {
		return nil, fail(http.StatusNotFound, "validation_failed", "factor_id must be an UUID")
	}
	return nil, fail(http.StatusNotFound, "mfa_factor_not_found", "Factor not found")
}
