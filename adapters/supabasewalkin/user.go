package supabasewalkin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// The providers of identities that are addresses, as credential/code names them.
const (
	byEmail = "email"
	byPhone = "phone"
)

const role = "authenticated" // and the audience that clients see

// A user is one as clients see them.
type user struct {
	ID                     uuid.UUID      `json:"id"`
	Aud                    string         `json:"aud"`
	Role                   string         `json:"role"`
	Email                  string         `json:"email"`
	EmailConfirmedAt       *time.Time     `json:"email_confirmed_at,omitempty"`
	InvitedAt              *time.Time     `json:"invited_at,omitempty"`
	Phone                  string         `json:"phone"`
	PhoneConfirmedAt       *time.Time     `json:"phone_confirmed_at,omitempty"`
	ConfirmationSentAt     *time.Time     `json:"confirmation_sent_at,omitempty"`
	ConfirmedAt            *time.Time     `json:"confirmed_at,omitempty"`
	RecoverySentAt         *time.Time     `json:"recovery_sent_at,omitempty"`
	NewEmail               string         `json:"new_email,omitempty"`
	EmailChangeSentAt      *time.Time     `json:"email_change_sent_at,omitempty"`
	NewPhone               string         `json:"new_phone,omitempty"`
	ReauthenticationSentAt *time.Time     `json:"reauthentication_sent_at,omitempty"`
	LastSignInAt           *time.Time     `json:"last_sign_in_at,omitempty"`
	AppMetadata            map[string]any `json:"app_metadata"`
	UserMetadata           map[string]any `json:"user_metadata"`
	Identities             []identity     `json:"identities"`
	CreatedAt              time.Time      `json:"created_at"`
	UpdatedAt              time.Time      `json:"updated_at"`
	BannedUntil            *time.Time     `json:"banned_until,omitempty"`
	IsAnonymous            bool           `json:"is_anonymous"`
}

type identity struct {
	IdentityID   uuid.UUID      `json:"identity_id"`
	ID           string         `json:"id"`
	UserID       uuid.UUID      `json:"user_id"`
	IdentityData map[string]any `json:"identity_data"`
	Provider     string         `json:"provider"`
	LastSignInAt time.Time      `json:"last_sign_in_at"`
	CreatedAt    time.Time      `json:"created_at"`
	UpdatedAt    time.Time      `json:"updated_at"`
	Email        string         `json:"email,omitempty"`

	subject store.Identity
}

// identitySpace makes IDs of identities, which walkin knows by provider and subject.
var identitySpace = uuid.MustParse("8f0c62f5-6d5b-5a55-9f0c-0d8a7d2f9b11")

func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// userOf returns a user as clients see them. A user who is not there is user_not_found.
func (h *Handler) userOf(ctx context.Context, id uuid.UUID) (user, error) {
	known, err := h.store.LockUser(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return user{}, fail(http.StatusForbidden, "user_not_found", "User from sub claim in JWT does not exist")
	} else if err != nil {
		return user{}, err
	}
	profile, err := h.cfg.Profiles.Profile(ctx, id)
	if err != nil {
		return user{}, err
	}
	identities, err := h.store.Identities(ctx, id)
	if err != nil {
		return user{}, err
	}
	return h.shown(known, profile, identities), nil
}

func (h *Handler) shown(known store.User, p Profile, identities []store.Identity) user {
	u := user{
		ID: known.ID, Aud: role, Role: cmp.Or(p.Role, role), IsAnonymous: known.Anonymous,
		InvitedAt: at(p.InvitedAt), ConfirmationSentAt: at(p.ConfirmationSentAt), RecoverySentAt: at(p.RecoverySentAt),
		EmailChangeSentAt: at(p.EmailChangeSentAt), ReauthenticationSentAt: at(p.ReauthenticationSentAt),
		LastSignInAt: at(p.LastSignInAt), BannedUntil: at(p.BannedUntil),
		NewEmail: p.NewEmail, NewPhone: p.NewPhone,
		AppMetadata: map[string]any{}, UserMetadata: map[string]any{},
		Identities: []identity{}, CreatedAt: known.CreatedAt.UTC(), UpdatedAt: known.CreatedAt.UTC(),
	}
	if p.UpdatedAt.After(u.UpdatedAt) {
		u.UpdatedAt = p.UpdatedAt.UTC()
	}
	var providers []string
	for _, i := range identities {
		shown, ok := h.identityOf(i, p)
		if !ok {
			continue
		}
		confirmed := at(i.CreatedAt)
		if slices.Contains(p.Unconfirmed, shown.Provider) {
			confirmed = nil
		}
		switch shown.Provider {
		case byEmail:
			u.Email, u.EmailConfirmedAt = i.Subject, confirmed
		case byPhone:
			u.Phone, u.PhoneConfirmedAt = withoutPlus(i.Subject), confirmed
		}
		if u.ConfirmedAt == nil {
			u.ConfirmedAt = confirmed
		}
		if !slices.Contains(providers, shown.Provider) {
			providers = append(providers, shown.Provider)
		}
		u.Identities = append(u.Identities, shown)
	}
	if len(providers) > 0 {
		u.AppMetadata["provider"], u.AppMetadata["providers"] = providers[0], providers
	}
	maps.Copy(u.AppMetadata, p.AppMetadata)
	maps.Copy(u.UserMetadata, p.UserMetadata)
	// What is proven is shown as it is now, whatever was written at the sign-up.
	if _, written := u.UserMetadata["email_verified"]; written || u.EmailConfirmedAt != nil {
		u.UserMetadata["email_verified"] = u.EmailConfirmedAt != nil
	}
	if _, written := u.UserMetadata["phone_verified"]; written {
		u.UserMetadata["phone_verified"] = u.PhoneConfirmedAt != nil
	}
	return u
}

// identityOf returns an identity as clients see it. It returns false for an identity
// that they do not know, such as a passkey.
func (h *Handler) identityOf(i store.Identity, p Profile) (identity, bool) {
	shown := identity{
		IdentityID: uuid.NewSHA1(identitySpace, []byte(i.Provider+"\x00"+i.Subject)),
		ID:         i.UserID.String(), UserID: i.UserID, Provider: i.Provider,
		CreatedAt: i.CreatedAt.UTC(), UpdatedAt: i.CreatedAt.UTC(), LastSignInAt: i.CreatedAt.UTC(), subject: i,
	}
	if p.LastSignInAt.After(shown.LastSignInAt) {
		shown.LastSignInAt = p.LastSignInAt.UTC()
	}
	proven := !slices.Contains(p.Unconfirmed, i.Provider)
	switch i.Provider {
	case byEmail:
		shown.Email = i.Subject
		shown.IdentityData = map[string]any{"sub": i.UserID, "email": i.Subject, "email_verified": proven, "phone_verified": false}
		return shown, true
	case byPhone:
		shown.IdentityData = map[string]any{"sub": i.UserID, "phone": withoutPlus(i.Subject), "email_verified": false, "phone_verified": proven}
		return shown, true
	}
	for name, provider := range h.cfg.Providers {
		if provider.Issuer == i.Provider {
			shown.Provider, shown.ID = name, i.Subject
			shown.IdentityData = map[string]any{"sub": i.Subject, "provider_id": i.Subject, "iss": i.Provider}
			return shown, true
		}
	}
	return identity{}, false
}

// withoutPlus is how the original shows a number that it keeps as E.164.
func withoutPlus(phone string) string {
	if phone != "" && phone[0] == '+' {
		return phone[1:]
	}
	return phone
}

// A session is the answer that carries tokens.
type session struct {
	AccessToken          string  `json:"access_token"`
	TokenType            string  `json:"token_type"`
	ExpiresIn            int64   `json:"expires_in"`
	ExpiresAt            int64   `json:"expires_at"`
	RefreshToken         string  `json:"refresh_token"`
	User                 user    `json:"user"`
	ProviderToken        *string `json:"provider_token,omitempty"`
	ProviderRefreshToken *string `json:"provider_refresh_token,omitempty"`
}

// opened answers with the tokens of a session that was just opened.
func (h *Handler) opened(c *call, claims walkin.Claims) (session, error) {
	refresh, err := h.wk.StartRefresh(c.Context(), claims)
	if err != nil {
		return session{}, err
	}
	return h.tokens(c, claims, refresh)
}

func (h *Handler) tokens(c *call, claims walkin.Claims, refresh string) (session, error) {
	u, err := h.userOf(c.Context(), claims.UserID)
	if err != nil {
		return session{}, err
	}
	token, err := h.sign(c.Context(), claims, u)
	if err != nil {
		return session{}, err
	}
	return session{
		AccessToken: token.Text, TokenType: "bearer", RefreshToken: refresh, User: u,
		ExpiresAt: token.ExpiresAt.Unix(), ExpiresIn: max(1, int64(math.Ceil(time.Until(token.ExpiresAt).Seconds()))),
	}, nil
}

// sign makes the access token of a session.
func (h *Handler) sign(ctx context.Context, claims walkin.Claims, u user) (walkin.Token, error) {
	life := h.cfg.TokenLife
	if u.IsAnonymous {
		life = h.cfg.AnonymousTokenLife
	}
	app, err := json.Marshal(u.AppMetadata)
	if err != nil {
		return walkin.Token{}, err
	}
	own, err := json.Marshal(u.UserMetadata)
	if err != nil {
		return walkin.Token{}, err
	}
	return h.wk.ClientToken(ctx, claims, walkin.ProfileClaims{
		Email: u.Email, Phone: u.Phone, AppMetadata: app, UserMetadata: own,
	}, life)
}
