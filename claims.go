package walkin

import (
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/token"
)

// Claims say who the visitor is. They are a plain value, comparable with ==;
// changing a copy changes nothing else.
//
// The zero Claims mean no user; [FromContext] never returns them with true.
type Claims struct {
	// UserID is the user's ID ("sub"). It is the same before and after an upgrade, so
	// data that the app stores under it stays theirs. It is a UUIDv7: anyone who sees
	// it also sees when it was minted.
	UserID uuid.UUID

	// SessionID names this browser's session ("session_id"); it changes at
	// every change of identity.
	SessionID uuid.UUID

	// Anonymous is true until the user has an identity ("is_anonymous").
	Anonymous bool

	// Provisional is true while the user is not stored ("prov"). It ends with their
	// first write.
	Provisional bool

	// Method says how the user last proved who they are, in the words of
	// RFC 8176 ("amr"): "pwd", "otp", "hwk". Empty for an anonymous user.
	Method string

	// ProvenAt says when that was, to the second. Zero for an anonymous user.
	ProvenAt time.Time

	// IssuedAt and ExpiresAt are the token's own times, to the second
	// ("iat", "exp").
	IssuedAt  time.Time
	ExpiresAt time.Time

	// App holds what Config.Tokens.AppClaims returned when the token was issued, as
	// the text of a JSON object ("app"); empty when there was nothing.
	App string

	// Actor is the operator who sees the site as the user ("act"), and zero in
	// every request of the user's own. See [Middleware.Impersonate].
	Actor uuid.UUID

	database string // that the session is in; empty where the store has no ID
}

// claimsOf returns what a token says.
func claimsOf(t token.Claims) Claims {
	return Claims{UserID: t.UserID, SessionID: t.SessionID, Anonymous: t.Anonymous, Provisional: t.Provisional, Method: t.Method,
		ProvenAt: t.ProvenAt, IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt, App: t.App, database: t.Database}
}

// forToken returns what a token for c says.
func (c Claims) forToken() token.Claims {
	return token.Claims{UserID: c.UserID, SessionID: c.SessionID, Anonymous: c.Anonymous, Provisional: c.Provisional, Method: c.Method,
		ProvenAt: c.ProvenAt, IssuedAt: c.IssuedAt, ExpiresAt: c.ExpiresAt, App: c.App, Database: c.database}
}
