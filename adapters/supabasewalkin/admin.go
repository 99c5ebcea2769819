package supabasewalkin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// admin is a route for who has a secret key.
func (h *Handler) admin(pattern string, do route) {
	h.open(pattern, func(c *call) (any, error) {
		body, err := do(c)
		if f, ok := errors.AsType[*failure](err); ok && f.code == errNoSuchUser.code {
			err = errNoSuchUser // and not in the words for a user whose own account is gone
		}
		return body, err
	}, h.keyed, h.isAdmin)
}

func (h *Handler) isAdmin(c *call) error {
	token, ok := bearerOf(c.Request)
	switch {
	case !ok:
		return fail(http.StatusUnauthorized, "no_authorization", "This endpoint requires a valid Bearer token")
	case !isAny(h.cfg.SecretKeys, token):
		return fail(http.StatusForbidden, "not_admin", "User not allowed")
	}
	return nil
}

// told tells the operator who did what.
func (h *Handler) told(c *call, action string, id uuid.UUID) {
	if h.cfg.OnAdmin != nil {
		h.cfg.OnAdmin(c.Context(), action, id, c.Request)
	}
}

var errNoSuchUser = fail(http.StatusNotFound, "user_not_found", "User not found")

// target returns the user that an admin call names.
func (h *Handler) target(c *call) (uuid.UUID, error) {
	id, err := uuid.Parse(c.PathValue("id"))
	if err != nil {
		return id, fail(http.StatusNotFound, "validation_failed", "user_id must be an UUID")
	}
	_, err = h.store.LockUser(c.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return id, errNoSuchUser
	}
	return id, err
}

func (h *Handler) adminUser(c *call) (any, error) {
	id, err := h.target(c)
	if err != nil {
		return nil, err
	}
	return h.userOf(c.Context(), id)
}

func (h *Handler) listUsers(c *call) (any, error) {
	number := func(name string, otherwise int) (int, error) {
		text := c.URL.Query().Get(name)
		if text == "" || text == "0" {
			return otherwise, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1_000_000 {
			return 0, fail(http.StatusBadRequest, "validation_failed", "Bad Pagination Parameters: "+name)
		}
		return n, nil
	}
	page, err := number("page", 1)
	if err != nil {
		return nil, err
	}
	per, err := number("per_page", 50)
	if err != nil {
		return nil, err
	}
	per = min(per, 1000)
	ids, total, err := h.cfg.Profiles.List(c.Context(), (page-1)*per, per)
	if err != nil {
		return nil, err
	}
	type listed struct {
		user
		Identities []identity `json:"identities"` // null in lists
	}
	users := []listed{}
	for _, id := range ids {
		u, err := h.userOf(c.Context(), id)
		if f, ok := errors.AsType[*failure](err); ok && f.code == "user_not_found" {
			continue // swept, and of a store that does not delete profiles itself
		} else if err != nil {
			return nil, err
		}
		users = append(users, listed{user: u})
	}
	last := max(1, (total+per-1)/per)
	link := ""
	if page < last {
		link = fmt.Sprintf(`</admin/users?page=%d&per_page=%d>; rel="next", `, page+1, per)
	}
	c.w.Header().Set("Link", link+fmt.Sprintf(`</admin/users?page=%d&per_page=%d>; rel="last"`, last, per))
	c.w.Header().Set("X-Total-Count", strconv.Itoa(total))
	return map[string]any{"users": users, "aud": role}, nil
}

// A wish is what an admin wants of a user.
type wish struct {
	email, phone               string
	secret                     []byte
	confirmEmail, confirmPhone bool
	userData, appData          map[string]any
	ban                        *time.Duration
	role                       string
}

func (h *Handler) wishOf(c *call) (w wish, err error) {
	if c.has("email") {
		if w.email, err = emailOf(c.text("email")); err != nil {
			return w, err
		}
	}
	if c.has("phone") {
		if w.phone, err = phoneOf(c.text("phone")); err != nil {
			return w, err
		}
	}
	if w.role = c.text("role"); len(w.role) > 100 {
		return w, fail(http.StatusBadRequest, "validation_failed", "The role is too long")
	}
	if c.has("password") {
		name := w.email
		if name == "" {
			name = w.phone
		}
		if name == "" {
			if name, err = h.nameOf(c); err != nil {
				return w, err
			}
		}
		if w.secret, err = h.newSecret(c, name, c.text("password")); err != nil {
			return w, err
		}
	}
	if text := c.text("ban_duration"); text == "none" {
		w.ban = new(time.Duration)
	} else if text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return w, fail(http.StatusBadRequest, "validation_failed", "invalid format for ban duration")
		}
		w.ban = &d
	}
	return w, errors.Join(c.field("email_confirm", &w.confirmEmail), c.field("phone_confirm", &w.confirmPhone),
		c.field("user_metadata", &w.userData), c.field("app_metadata", &w.appData))
}

// createUser makes a user whose addresses the operator vouches for. An unconfirmed
// address does not sign in until its owner proves it.
func (h *Handler) createUser(c *call) (any, error) {
	w, err := h.wishOf(c)
	if err != nil {
		return nil, err
	}
	// A user with another ID, or without the password that came along, would be found out
	// late: at an import of many.
	for _, name := range []string{"id", "password_hash"} {
		if c.has(name) {
			return nil, fail(http.StatusBadRequest, "validation_failed", name+" is not supported here")
		}
	}
	if w.email == "" && w.phone == "" {
		return nil, fail(http.StatusBadRequest, "validation_failed", "Cannot create a user without either an email or phone")
	}
	id, err := h.make(c.Context(), w)
	if err != nil {
		return nil, err
	}
	h.told(c, "create_user", id)
	return h.userOf(c.Context(), id)
}

// make stores a permanent user.
func (h *Handler) make(ctx context.Context, w wish) (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return id, err
	}
	now := time.Now()
	err = h.store.InTx(ctx, func(ctx context.Context) error {
		if err := h.store.CreateUser(ctx, store.User{ID: id, CreatedAt: now, SeenAt: now}); err != nil {
			return err
		}
		return h.grant(ctx, id, w, now)
	})
	return id, err
}

// grant gives a user what an admin wants of them, in the transaction of ctx.
func (h *Handler) grant(ctx context.Context, id uuid.UUID, w wish, now time.Time) error {
	p, err := h.cfg.Profiles.Profile(ctx, id)
	if err != nil {
		return err
	}
	if w.userData != nil {
		p.UserMetadata = merge(p.UserMetadata, w.userData)
	}
	if w.appData != nil {
		p.AppMetadata = merge(p.AppMetadata, w.appData)
	}
	if w.role != "" {
		p.Role = w.role
	}
	if w.ban != nil {
		p.BannedUntil = time.Time{}
		if *w.ban > 0 {
			p.BannedUntil = now.Add(*w.ban)
		}
	}
	for _, address := range []struct{ provider, subject string }{{byEmail, w.email}, {byPhone, w.phone}} {
		if address.subject == "" {
			continue
		}
		isNew, err := h.grantAddress(ctx, id, address.provider, address.subject, now)
		if err != nil {
			return err
		}
		if isNew && !slices.Contains(p.Unconfirmed, address.provider) {
			p.Unconfirmed = append(p.Unconfirmed, address.provider)
		}
	}
	if w.confirmEmail {
		p.Unconfirmed = without(p.Unconfirmed, byEmail)
	}
	if w.confirmPhone {
		p.Unconfirmed = without(p.Unconfirmed, byPhone)
	}
	if w.secret != nil {
		if err := h.grantSecret(ctx, id, w.secret); err != nil {
			return err
		}
	}
	p.UpdatedAt = now
	return h.cfg.Profiles.Save(ctx, p)
}

func without(all []string, one string) []string {
	var left []string
	for _, s := range all {
		if s != one {
			left = append(left, s)
		}
	}
	return left
}

// grantAddress makes an address the one of its kind that a user has. It reports whether
// the user did not have it before: what they have proven stays proven.
func (h *Handler) grantAddress(ctx context.Context, id uuid.UUID, provider, subject string, now time.Time) (isNew bool, err error) {
	owned, err := h.store.Identity(ctx, provider, subject)
	switch {
	case err == nil && owned.UserID == id:
		return false, nil
	case err == nil:
		return false, fail(http.StatusUnprocessableEntity, provider+"_exists", "A user with this "+provider+" address has already been registered")
	case !errors.Is(err, store.ErrNotFound):
		return false, err
	}
	i := store.Identity{Provider: provider, Subject: subject, UserID: id, CreatedAt: now}
	if err := h.store.CreateIdentity(ctx, i); errors.Is(err, store.ErrIdentityTaken) {
		return false, fail(http.StatusUnprocessableEntity, provider+"_exists", "A user with this "+provider+" address has already been registered")
	} else if err != nil {
		return false, err
	}
	user, err := h.store.LockUser(ctx, id)
	if err != nil {
		return false, err
	}
	if user.Anonymous {
		if err := h.store.SetAnonymous(ctx, id, false); err != nil {
			return false, err
		}
		// As at every upgrade: the holder of the anonymous token is not the one whom
		// the operator vouches for.
		if err := h.store.DeleteSessions(ctx, id, uuid.Nil); err != nil {
			return false, err
		}
	}
	return true, h.replaceAddress(ctx, walkin.Change{UserID: id, Identity: i})
}

func (h *Handler) grantSecret(ctx context.Context, id uuid.UUID, secret []byte) error {
	found, err := h.setPassword(ctx, id, secret)
	switch {
	case err != nil:
		return err
	case !found:
		return fail(http.StatusUnprocessableEntity, "validation_failed", "A password needs an email or a phone to sign in with")
	}
	return h.store.DeleteSessions(ctx, id, uuid.Nil)
}

// nameOf returns the address by which the user that an admin call names signs in.
func (h *Handler) nameOf(c *call) (string, error) {
	id, err := h.target(c)
	if err != nil {
		return "", err
	}
	identities, err := h.store.Identities(c.Context(), id)
	for _, i := range identities {
		if i.Provider == byEmail || i.Provider == byPhone {
			return i.Subject, nil
		}
	}
	return "", err
}

func (h *Handler) changeAny(c *call) (any, error) {
	id, err := h.target(c)
	if err != nil {
		return nil, err
	}
	w, err := h.wishOf(c)
	if err != nil {
		return nil, err
	}
	err = h.store.InTx(c.Context(), func(ctx context.Context) error {
		if _, err := h.store.LockUser(ctx, id); err != nil {
			return err
		}
		return h.grant(ctx, id, w, time.Now())
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoSuchUser
	} else if err != nil {
		return nil, err
	}
	h.told(c, "update_user", id)
	return h.userOf(c.Context(), id)
}

func (h *Handler) deleteUser(c *call) (any, error) {
	id, err := h.target(c)
	if err != nil {
		return nil, err
	}
	var soft bool
	if err := c.field("should_soft_delete", &soft); err != nil {
		return nil, err
	}
	if soft {
		// Who asks for it wants the user's rows kept. To delete them is not to be undone.
		return nil, fail(http.StatusBadRequest, "validation_failed", "should_soft_delete is not supported here")
	}
	if err := h.wk.DeleteUser(c.Context(), id); err != nil {
		return nil, err
	}
	if err := h.cfg.Profiles.Delete(c.Context(), id); err != nil {
		return nil, err
	}
	h.told(c, "delete_user", id)
	return empty{}, nil
}

func (h *Handler) adminPasskeys(c *call) (any, error) {
	id, err := h.target(c)
	if err != nil {
		return nil, err
	}
	if h.cfg.Passkeys.Handler == nil {
		return nil, errPasskeys
	}
	return h.passkeysOf(c.Context(), id)
}

func (h *Handler) adminDeletePasskey(c *call) (any, error) {
	id, err := h.target(c)
	if err != nil {
		return nil, err
	}
	if h.cfg.Passkeys.Handler == nil {
		return nil, errPasskeys
	}
	key, err := h.passkey(c.Context(), id, c.PathValue("key"))
	if err != nil {
		return nil, err
	}
	err = h.store.DeleteIdentity(c.Context(), id, providerPasskey, key.subject)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoPasskey // another call was faster
	} else if err != nil {
		return nil, err
	}
	h.told(c, "delete_passkey", id)
	return nothing{}, nil
}
