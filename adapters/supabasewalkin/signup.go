package supabasewalkin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

var errNoSignUp = fail(http.StatusUnprocessableEntity, "signup_disabled", "Signups not allowed for this instance")

// signUp is POST /signup: anonymous, or with an address and a password.
func (h *Handler) signUp(c *call) (any, error) {
	var data map[string]any
	if err := c.field("data", &data); err != nil {
		return nil, err
	}
	if !c.has("email") && !c.has("phone") {
		if c.has("password") {
			return nil, fail(http.StatusBadRequest, "validation_failed", "To sign up with a password an email or a phone is needed")
		}
		return h.signUpAnonymous(c, data)
	}
	if h.cfg.NoSignUp {
		return nil, errNoSignUp
	}
	provider, address, err := c.address()
	if err != nil {
		return nil, err
	}
	if provider == byPhone && h.cfg.SendSMS == nil && !h.cfg.Autoconfirm {
		return nil, fail(http.StatusBadRequest, "phone_provider_disabled", "Phone signups are disabled")
	}
	challenge, err := c.challenge()
	if err != nil {
		return nil, err
	}
	if !c.has("password") {
		return nil, fail(http.StatusBadRequest, "validation_failed", "Signup requires a valid password")
	}
	secret, err := h.newSecret(c, address, c.text("password"))
	if err != nil {
		return nil, err
	}
	if h.cfg.Autoconfirm {
		return h.signUpUnproven(c, provider, address, secret, data)
	}
	kind := "signup"
	if provider == byPhone {
		kind = "sms"
	}
	err = h.send(c, pending{Kind: kind, Address: address, Secret: secret, Metadata: data, Challenge: challenge,
		Asker: h.mac(h.keys[0], pending{Kind: "asker", Address: address}, c.text("password"))}, c.URL.Query().Get("redirect_to"))
	if err != nil {
		return nil, err
	}
	// The same for an address that has an account, so that the answer does not tell who
	// has one. There is no user yet, so the ID is made up, the same each time. The real
	// one comes with the tokens.
	now := time.Now()
	id := uuid.UUID(h.mac(h.keys[0], pending{Kind: "made up", Address: address}, "")[:16])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // in the form of a random one
	made := user{ID: id, Aud: role, Role: role, AppMetadata: map[string]any{"provider": provider, "providers": []string{provider}},
		UserMetadata: merge(nil, data), Identities: []identity{}, CreatedAt: now.UTC(), UpdatedAt: now.UTC(), ConfirmationSentAt: at(now)}
	if made.Email = address; provider == byPhone {
		made.Email, made.Phone = "", withoutPlus(address)
	}
	return made, nil
}

func (h *Handler) signUpAnonymous(c *call, data map[string]any) (any, error) {
	if h.cfg.NoAnonymous {
		return nil, fail(http.StatusUnprocessableEntity, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
	}
	if h.cfg.NoSignUp {
		return nil, errNoSignUp
	}
	var claims walkin.Claims
	err := h.visit(c.Request, "", func(w http.ResponseWriter, r *http.Request) (err error) {
		claims, err = h.wk.Ensure(w, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := h.update(c.Context(), claims.UserID, func(p *Profile) {
		p.UserMetadata, p.LastSignInAt = merge(nil, data), time.Now()
	}); err != nil {
		return nil, err
	}
	return h.opened(c, claims)
}

// signUpUnproven is for Config.Autoconfirm.
func (h *Handler) signUpUnproven(c *call, provider, address string, secret []byte, data map[string]any) (any, error) {
	claims, _, err := h.prove(c, walkin.Claims{}, walkin.Proof{
		Provider: provider, Subject: address, Method: "pwd", Secret: secret, Chosen: true,
		Applied: h.allowed(func(ctx context.Context, change walkin.Change) error {
			return h.saveMetadata(ctx, change.UserID, h.described(change.UserID, provider, address, data))
		}),
	})
	if errors.Is(err, store.ErrIdentityTaken) {
		return nil, fail(http.StatusUnprocessableEntity, "user_already_exists", "User already registered")
	} else if err != nil {
		return nil, err
	}
	return h.opened(c, claims)
}

// described is what the original writes into user_metadata at a sign-up.
func (h *Handler) described(id uuid.UUID, provider, address string, data map[string]any) map[string]any {
	data = merge(nil, data)
	data["sub"], data["email_verified"], data["phone_verified"] = id.String(), provider == byEmail, provider == byPhone
	if provider == byEmail {
		data["email"] = address
	}
	return data
}

func (h *Handler) saveMetadata(ctx context.Context, id uuid.UUID, data map[string]any) error {
	profile, err := h.cfg.Profiles.Profile(ctx, id)
	if err != nil {
		return err
	}
	profile.UserMetadata = merge(profile.UserMetadata, data)
	return h.cfg.Profiles.Save(ctx, profile)
}

// newSecret returns the hash of a password that was chosen for an address.
func (h *Handler) newSecret(c *call, address, typed string) ([]byte, error) {
	passwords, err := h.passwords(address)
	if err != nil {
		return nil, err
	}
	secret, err := passwords.NewSecret(h.passwordForm(c, address, typed))
	refusal, ok := errors.AsType[*walkin.Refusal](err)
	if !ok || refusal.Status != http.StatusUnprocessableEntity {
		return secret, err
	}
	weak := fail(http.StatusUnprocessableEntity, "weak_password", texts.English().Say(refusal.Text)) // the protocol is in English
	weak.reasons = []string{"characters"}
	switch refusal.Code {
	case "password_short":
		weak.reasons = []string{"length"}
	case "password_common", "password_breached":
		weak.reasons = []string{"pwned"} // the word that clients know for it
	}
	return nil, weak
}

// passwords returns what makes and checks the passwords of an address.
func (h *Handler) passwords(address string) (Passwords, error) {
	if strings.HasPrefix(address, "+") {
		if h.cfg.PhonePasswords == nil {
			return nil, fail(http.StatusUnprocessableEntity, "phone_provider_disabled", "Passwords of phone numbers are disabled")
		}
		return h.cfg.PhonePasswords, nil
	}
	if h.cfg.Passwords == nil {
		return nil, fail(http.StatusUnprocessableEntity, "email_provider_disabled", "Passwords are disabled")
	}
	return h.cfg.Passwords, nil
}

// passwordForm is the form that a package for passwords reads.
func (h *Handler) passwordForm(c *call, address, password string) *http.Request {
	r := h.as(c.Request, "")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	form := url.Values{"email": {address}, "password": {password}}
	r.Body, r.ContentLength = bodyOf(form.Encode())
	return r
}
