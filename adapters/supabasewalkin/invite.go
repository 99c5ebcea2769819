package supabasewalkin

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// invite mails a link to an address, for a user who is made with it. It can be repeated
// until the address is proven: a message may be lost, or not be sent at all.
func (h *Handler) invite(c *call) (any, error) {
	address, err := emailOf(c.text("email"))
	if err != nil {
		return nil, err
	}
	var data map[string]any
	if err := c.field("data", &data); err != nil {
		return nil, err
	}
	if h.cfg.Send == nil {
		return nil, fail(http.StatusUnprocessableEntity, "email_provider_disabled", "Messages cannot be sent here")
	}
	owned, err := h.store.Identity(c.Context(), byEmail, address)
	id := owned.UserID
	if errors.Is(err, store.ErrNotFound) || err == nil && !slices.Contains(h.unconfirmed(c, id), byEmail) {
		id, err = h.make(c.Context(), wish{email: address, userData: data}) // or says that the address is taken
	}
	if err != nil {
		return nil, err
	}
	h.told(c, "invite", id)
	if err := h.send(c, pending{Kind: "invite", Address: address}, c.URL.Query().Get("redirect_to")); err != nil {
		return nil, err
	}
	if _, err := h.update(c.Context(), id, func(p *Profile) {
		p.InvitedAt, p.ConfirmationSentAt = time.Now(), time.Now()
	}); err != nil {
		return nil, err
	}
	return h.userOf(c.Context(), id)
}

// A generated is the answer of generate_link.
type generated struct {
	user
	ActionLink       string `json:"action_link"`
	EmailOTP         string `json:"email_otp"`
	HashedToken      string `json:"hashed_token"`
	VerificationType string `json:"verification_type"`
	RedirectTo       string `json:"redirect_to"`
}

// generateLink returns a link to the operator instead of sending a message. It proves
// nothing: the visitor who opens it has what the operator gave them.
func (h *Handler) generateLink(c *call) (any, error) {
	address, err := emailOf(c.text("email"))
	if err != nil {
		return nil, err
	}
	p := pending{Kind: c.text("type"), Address: address}
	id, err := h.linkTarget(c, &p)
	if err != nil {
		return nil, err
	}
	m, err := h.keep(c.Context(), p)
	if err != nil {
		return nil, err
	}
	h.told(c, "generate_link", id)
	if _, err := h.update(c.Context(), id, func(profile *Profile) {
		switch p.Kind {
		case "signup":
			profile.ConfirmationSentAt = time.Now()
		case "invite":
			profile.InvitedAt, profile.ConfirmationSentAt = time.Now(), time.Now()
		case "magiclink", "recovery":
			profile.RecoverySentAt = time.Now()
		}
	}); err != nil {
		return nil, err
	}
	u, err := h.userOf(c.Context(), id)
	if err != nil {
		return nil, err
	}
	to := c.URL.Query().Get("redirect_to")
	if to == "" {
		to = c.text("redirect_to")
	}
	return generated{user: u, ActionLink: h.mailLink(m, p, to), EmailOTP: m.code, HashedToken: m.token, VerificationType: p.Kind,
		RedirectTo: h.redirect(to, false)}, nil
}

// linkTarget returns the user that a generated link is for, and makes them where the
// kind of link does.
func (h *Handler) linkTarget(c *call, p *pending) (uuid.UUID, error) {
	owned, err := h.store.Identity(c.Context(), byEmail, p.Address)
	known := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return uuid.Nil, err
	}
	switch p.Kind {
	case "signup", "invite":
		if p.Kind == "signup" && !c.has("password") {
			return uuid.Nil, fail(http.StatusBadRequest, "validation_failed", "Signup requires a valid password")
		}
		if known && !slices.Contains(h.unconfirmed(c, owned.UserID), byEmail) {
			return uuid.Nil, fail(http.StatusUnprocessableEntity, "email_exists", "A user with this email address has already been registered")
		}
	case "magiclink":
	case "recovery":
		if !known {
			return uuid.Nil, errNoSuchUser
		}
	case "email_change_current", "email_change_new":
		if !known {
			return uuid.Nil, errNoSuchUser
		}
		return owned.UserID, h.linkChange(c, p, owned.UserID)
	default:
		return uuid.Nil, fail(http.StatusBadRequest, "validation_failed", "Invalid email action link type requested: "+p.Kind)
	}
	if known {
		return owned.UserID, nil
	}
	w := wish{email: p.Address}
	if err := c.field("data", &w.userData); err != nil {
		return uuid.Nil, err
	}
	if c.has("password") {
		if w.secret, err = h.newSecret(c, p.Address, c.text("password")); err != nil {
			return uuid.Nil, err
		}
	}
	return h.make(c.Context(), w)
}

// linkChange is for the links of a change of address: one to each of the two.
func (h *Handler) linkChange(c *call, p *pending, id uuid.UUID) error {
	next, err := emailOf(c.text("new_email"))
	if err != nil {
		return err
	}
	if _, err := h.store.Identity(c.Context(), byEmail, next); err == nil {
		return fail(http.StatusUnprocessableEntity, "email_exists", "A user with this email address has already been registered")
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if p.Target = id; p.Kind == "email_change_new" {
		p.Address = next
	}
	_, err = h.update(c.Context(), id, func(profile *Profile) { profile.NewEmail, profile.EmailChangeSentAt = next, time.Now() })
	return err
}

func (h *Handler) unconfirmed(c *call, id uuid.UUID) []string {
	p, err := h.cfg.Profiles.Profile(c.Context(), id)
	if err != nil {
		return nil
	}
	return p.Unconfirmed
}
