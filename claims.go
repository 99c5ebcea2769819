package walkin

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Claims say who the visitor is. They are a plain value, comparable with ==;
// changing a copy changes nothing else.
//
// The zero Claims are nobody; [FromContext] never returns them with true.
type Claims struct {
	// UserID is the user's ID ("sub"). It is the same before and after an
	// upgrade: what the app stores under it stays theirs. It is a UUIDv7,
	// so whoever sees it also sees when it was minted.
	UserID uuid.UUID

	// SessionID names this browser's session ("session_id"); it changes at
	// every change of identity.
	SessionID uuid.UUID

	// Anonymous is true until the user has an identity ("is_anonymous").
	Anonymous bool

	// Provisional is true while the store knows nothing of the user
	// ("prov"). It ends with their first act.
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

	// App holds what Config.AppClaims returned when the token was issued, as
	// the text of a JSON object ("app"); empty when there was nothing.
	App string
}

// FromContext returns the claims of the visitor, or false for nobody. It looks
// at the context and nothing else: it never creates a user and never asks the
// store. After [Middleware.Ensure] or [Middleware.Continue] use what they
// return.
func FromContext(ctx context.Context) (Claims, bool) {
	v := visitFrom(ctx)
	if v == nil {
		return Claims{}, false
	}
	c := v.claims.Load()
	if c == nil {
		return Claims{}, false
	}
	return *c, true
}

// NewContext returns a context that carries claims, for the tests of handlers
// that call [FromContext] or stand behind a guard. [Middleware.Ensure] and
// [Middleware.Continue] take no notice of it: they believe only what came with
// the request.
func NewContext(ctx context.Context, c Claims) context.Context {
	v := &visit{Context: ctx}
	v.claims.Store(&c)
	return v
}

// A visit is what walkin knows about one request. It is itself the request's
// context, which saves an allocation on every request of the site.
type visit struct {
	context.Context
	claims atomic.Pointer[Claims] // nil: nobody; what it points to never changes

	m        *Middleware // nil when made by NewContext
	standing standing    // how the visitor's token was found
	reason   string      // why, for the owner's events
	bearer   bool        // the token came in the Authorization header
	entry    *entry      // the cache entry of a token that verified, or nil
	response *response   // the wrapped writer, nil when w was passed through
}

type visitKey struct{}

// Value answers for the visit and passes everything else on.
func (v *visit) Value(key any) any {
	if _, ok := key.(visitKey); ok {
		return v
	}
	return v.Context.Value(key)
}

func visitFrom(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}
