package supabasewalkin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// getUser is GET /user.
func (h *Handler) getUser(c *call) (any, error) {
	claims, err := h.user(c)
	if err != nil {
		if before, ok := h.beforeChange(c); ok {
			return before, nil
		}
		return nil, err
	}
	return h.userOf(c.Context(), claims.UserID)
}

// changeUser is PUT /user: what a user says of themselves, their password, and their
// address. The answer has no room for tokens.
func (h *Handler) changeUser(c *call) (any, error) {
	claims, err := h.user(c)
	if err != nil {
		return nil, err
	}
	if c.gives("app_metadata") {
		return nil, fail(http.StatusForbidden, "not_admin", "Updating app_metadata requires admin privileges")
	}
	var data map[string]any
	if err := c.field("data", &data); err != nil {
		return nil, err
	}
	challenge, err := c.challenge()
	if err != nil {
		return nil, err
	}
	var provider, address string
	if c.has("email") || c.has("phone") {
		if provider, address, err = c.address(); err != nil {
			return nil, err
		}
	}
	current, err := h.userOf(c.Context(), claims.UserID)
	if err != nil {
		return nil, err
	}
	if current.Email == address && provider == byEmail || provider == byPhone && current.Phone == withoutPlus(address) {
		provider, address = "", "" // it is theirs
	}
	if err := h.mayChange(c, &claims, provider != ""); err != nil {
		return nil, err
	}
	if provider != "" {
		if h.cfg.NoSignUp && claims.Anonymous {
			return nil, errNoSignUp // before a message goes out
		}
		if err := h.notTaken(c, provider, address); err != nil {
			return nil, err // before anything has changed
		}
	}
	var secret []byte
	if c.gives("password") {
		if secret, err = h.changePassword(c, claims, current, address); err != nil {
			return nil, err
		}
	}
	if data != nil {
		if err := h.changeData(c, claims, current, data); err != nil {
			return nil, err
		}
	}
	if provider != "" {
		return h.changeAddress(c, claims, current, pending{Address: address, As: &claims, Secret: secret, Challenge: challenge}, provider)
	}
	return h.userOf(c.Context(), claims.UserID)
}

// mayChange requires a recent proof where a permanent user changes how they sign in: a
// tab that was left open must not be enough. A nonce of reauthenticate is such a proof.
func (h *Handler) mayChange(c *call, claims *walkin.Claims, address bool) error {
	if claims.Anonymous || !address && !c.gives("password") {
		return nil
	}
	if c.has("nonce") {
		p, err := h.byCode(c.Context(), "reauthentication", claims.UserID.String(), c.text("nonce"))
		if err == nil && p.As != nil && p.As.SessionID == claims.SessionID {
			err = h.store.InTx(c.Context(), h.spend(p))
		} else if err == nil {
			err = errExpired
		}
		if errors.Is(err, errExpired) {
			// With the event of a wrong code: whoever guesses a nonce has the session.
			return &failure{status: http.StatusUnprocessableEntity, code: "reauthentication_not_valid", message: "Nonce has expired or is invalid", cause: spent()}
		} else if err != nil {
			return err // the store's, at which the client may try again
		}
		claims.ProvenAt = time.Now()
		return nil
	}
	if time.Since(claims.ProvenAt) > h.wk.RecentProof() {
		return fail(http.StatusUnprocessableEntity, "reauthentication_needed", "Password update requires reauthentication")
	}
	return nil
}

// changePassword sets a password, or returns its hash where the address that it is for
// is still to be proven.
func (h *Handler) changePassword(c *call, claims walkin.Claims, current user, address string) ([]byte, error) {
	provider, name := byEmail, current.Email
	if name == "" && current.Phone != "" {
		provider, name = byPhone, "+"+current.Phone
	}
	switch {
	case name == "" && address == "":
		return nil, fail(http.StatusUnprocessableEntity, "validation_failed", "Updating password of an anonymous user without an email or phone is not allowed")
	case name == "":
		return h.newSecret(c, address, c.text("password"))
	}
	passwords, err := h.passwords(name)
	if err != nil {
		return nil, err
	}
	if stored, err := h.store.Identity(c.Context(), provider, name); err == nil && len(stored.Secret) > 0 {
		if _, err := passwords.SignIn(h.passwordForm(c, name, c.text("password"))); err == nil {
			return nil, fail(http.StatusUnprocessableEntity, "same_password", "New password should be different from the old password.")
		}
	}
	secret, err := h.newSecret(c, name, c.text("password"))
	if err != nil {
		return nil, err
	}
	return nil, h.store.InTx(c.Context(), func(ctx context.Context) error {
		if _, err := h.store.LockUser(ctx, claims.UserID); err != nil {
			return err
		}
		if _, err := h.setPassword(ctx, claims.UserID, secret); err != nil {
			return err
		}
		// Sessions that the old one let in end.
		return h.store.DeleteSessions(ctx, claims.UserID, claims.SessionID)
	})
}

// setPassword gives all addresses of a user one password, in the transaction of ctx. To
// these clients a user has one: with another at the phone number, the password before
// would go on signing in there. It reports whether there is an address.
func (h *Handler) setPassword(ctx context.Context, id uuid.UUID, secret []byte) (found bool, err error) {
	identities, err := h.store.Identities(ctx, id)
	for _, i := range identities {
		if i.Provider != byEmail && i.Provider != byPhone {
			continue
		}
		if err := h.store.SetSecret(ctx, i.Provider, i.Subject, secret); err != nil {
			return true, err
		}
		found = true
	}
	return found, err
}

// changeData saves what a user says of themselves, unless no token has room for it.
func (h *Handler) changeData(c *call, claims walkin.Claims, current user, data map[string]any) error {
	current.UserMetadata = merge(current.UserMetadata, data)
	if _, err := h.sign(c.Context(), claims, current); err != nil {
		return err
	}
	_, err := h.update(c.Context(), claims.UserID, func(p *Profile) { p.UserMetadata = merge(p.UserMetadata, data) })
	return err
}

func (h *Handler) changeAddress(c *call, claims walkin.Claims, current user, p pending, provider string) (any, error) {
	if h.cfg.Autoconfirm {
		return h.changeUnproven(c, claims, current, p, provider)
	}
	if p.Kind = "email_change"; provider == byPhone {
		p.Kind = "phone_change"
	}
	if err := h.send(c, p, c.URL.Query().Get("redirect_to")); err != nil {
		return nil, err
	}
	if _, err := h.update(c.Context(), claims.UserID, func(profile *Profile) {
		if provider == byEmail {
			profile.NewEmail, profile.EmailChangeSentAt = p.Address, time.Now()
		} else {
			profile.NewPhone = withoutPlus(p.Address)
		}
	}); err != nil {
		return nil, err
	}
	return h.userOf(c.Context(), claims.UserID)
}

// changeUnproven is for Config.Autoconfirm. The client keeps its old tokens, whose
// session has ended. So its refresh token is valid once more, for as long as its access
// token lives. Until then the access token reads the user as they were.
func (h *Handler) changeUnproven(c *call, claims walkin.Claims, before user, p pending, provider string) (any, error) {
	applied := func(ctx context.Context, change walkin.Change) error {
		if change.Outcome != walkin.Linked {
			return nil
		}
		return h.replaceAddress(ctx, change)
	}
	next, _, err := h.prove(c, claims, walkin.Proof{
		Provider: provider, Subject: p.Address, Method: "otp", Secret: p.Secret, Chosen: true, Applied: h.allowed(applied),
	})
	if errors.Is(err, store.ErrIdentityTaken) {
		return nil, taken(provider)
	} else if err != nil {
		return nil, err
	}
	if err := h.keepBefore(c, claims, next, before); err != nil {
		return nil, err
	}
	return h.userOf(c.Context(), next.UserID)
}

func beforeKey(token string) string { return hashed("supabase-before:", token) }

func (h *Handler) keepBefore(c *call, old, next walkin.Claims, before user) error {
	token, _ := bearerOf(c.Request)
	err := h.wk.RefreshOnceMore(c.Context(), old, next, old.ExpiresAt)
	if errors.Is(err, store.ErrNotFound) {
		return nil // a token that no refresh token stands behind
	} else if err != nil {
		return err
	}
	return h.put(c.Context(), beforeKey(token), &next, snapshot{before, next.SessionID}, old.ExpiresAt)
}

// A snapshot is a user as an old token reads them.
type snapshot struct {
	User user      `json:"user"`
	Next uuid.UUID `json:"next"`
}

// beforeChange is what the old access token reads after changeUnproven, by GET /user
// and nowhere else.
func (h *Handler) beforeChange(c *call) (user, bool) {
	token, ok := bearerOf(c.Request)
	if !ok || !h.cfg.Autoconfirm {
		return user{}, false
	}
	var s snapshot
	if h.ticket(c.Context(), beforeKey(token), &s) != nil {
		return user{}, false
	}
	// It ends with the session that took its place, as by a reuse.
	if _, err := h.store.LookupSession(c.Context(), s.User.ID, s.Next); err != nil {
		return user{}, false
	}
	return s.User, true
}

// reauthenticate is GET /reauthenticate: a nonce goes to the user's address, or to their
// number where they have no address.
func (h *Handler) reauthenticate(c *call) (any, error) {
	claims, err := h.user(c)
	if err != nil {
		return nil, err
	}
	current, err := h.userOf(c.Context(), claims.UserID)
	if err != nil {
		return nil, err
	}
	to := current.Email
	if to == "" && current.Phone != "" {
		to = "+" + current.Phone
	}
	if to == "" {
		return nil, fail(http.StatusBadRequest, "validation_failed", "Reauthentication requires the user to have an email or a phone number")
	}
	if h.sender(to) == nil {
		return nil, noSender(to)
	}
	if err := h.takeSend(c, to); err != nil {
		return nil, err
	}
	m, err := h.keep(c.Context(), pending{Kind: "reauthentication", Address: claims.UserID.String(), As: &claims})
	if err != nil {
		return nil, err
	}
	if err := h.deliver(c, Message{To: to, Kind: "reauthentication", Code: m.code}); err != nil {
		return nil, err
	}
	_, err = h.update(c.Context(), claims.UserID, func(p *Profile) { p.ReauthenticationSentAt = time.Now() })
	return empty{}, err
}

// logout is POST /logout.
func (h *Handler) logout(c *call) (any, error) {
	claims, err := h.user(c)
	if err != nil {
		return nil, err
	}
	token, _ := bearerOf(c.Request)
	switch scope := c.URL.Query().Get("scope"); scope {
	case "local":
		err = h.visit(c.Request, token, h.wk.SignOut)
	case "others":
		err = h.store.InTx(c.Context(), func(ctx context.Context) error {
			if _, err := h.store.LockUser(ctx, claims.UserID); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			return h.store.DeleteSessions(ctx, claims.UserID, claims.SessionID)
		})
	case "", "global":
		if err = h.visit(c.Request, token, h.wk.SignOut); err == nil {
			err = h.wk.SignOutEverywhere(c.Context(), claims.UserID)
		}
	default:
		return nil, fail(http.StatusBadRequest, "validation_failed", "Unsupported logout scope "+scope)
	}
	return nothing{}, err
}

// unlink is DELETE /user/identities/{id}.
func (h *Handler) unlink(c *call) (any, error) {
	claims, err := h.user(c)
	if err != nil {
		return nil, err
	}
	if !h.cfg.ManualLinking {
		return nil, errLinking
	}
	id, err := uuid.Parse(c.PathValue("id"))
	if err != nil {
		return nil, fail(http.StatusNotFound, "validation_failed", "identity_id must be an UUID")
	}
	identities, err := h.store.Identities(c.Context(), claims.UserID)
	if err != nil {
		return nil, err
	}
	profile := Profile{UserID: claims.UserID}
	for _, i := range identities {
		shown, ok := h.identityOf(i, profile)
		if !ok || shown.IdentityID != id {
			continue
		}
		if signIns(identities) == 1 {
			return nil, fail(http.StatusUnprocessableEntity, "single_identity_not_deletable", "User must have at least 1 identity after unlinking")
		}
		return h.unlinked(c, claims, i)
	}
	return nil, fail(http.StatusUnprocessableEntity, "identity_not_found", "Identity doesn't exist")
}

// signIns returns how many identities sign a user in: not a second factor.
func signIns(identities []store.Identity) (n int) {
	for _, i := range identities {
		if i.Provider != store.FactorProvider {
			n++
		}
	}
	return n
}

// unlinked removes an identity. Its answer has no room for tokens, so the session that
// asked goes on. The user's other sessions end: one of them may have been opened with
// the identity.
func (h *Handler) unlinked(c *call, claims walkin.Claims, i store.Identity) (any, error) {
	if time.Since(claims.ProvenAt) > h.wk.RecentProof() {
		return nil, fail(http.StatusUnprocessableEntity, "reauthentication_needed", "Unlinking requires reauthentication")
	}
	err := h.store.InTx(c.Context(), func(ctx context.Context) error {
		if _, err := h.store.LockUser(ctx, claims.UserID); err != nil {
			return err
		}
		left, err := h.store.Identities(ctx, claims.UserID)
		if err != nil {
			return err
		}
		if signIns(left) < 2 {
			return fail(http.StatusUnprocessableEntity, "single_identity_not_deletable", "User must have at least 1 identity after unlinking")
		}
		if err := h.store.DeleteIdentity(ctx, claims.UserID, i.Provider, i.Subject); err != nil {
			return err
		}
		return h.store.DeleteSessions(ctx, claims.UserID, claims.SessionID)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, fail(http.StatusUnprocessableEntity, "identity_not_found", "Identity doesn't exist")
	}
	return empty{}, err
}

var errLinking = fail(http.StatusNotFound, "manual_linking_disabled", "Manual linking is disabled")
