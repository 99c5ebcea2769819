package walkin

import (
	"context"

	"github.com/google/uuid"
)

// FromContext returns the claims of the visitor, or false without a user. It reads the
// context only: it never creates a user and never asks the store. After
// [Middleware.Ensure], [Middleware.Continue] or [Middleware.SignOut] it returns what is
// true since then.
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

// NewContext returns a context that carries claims, for tests of handlers that call
// [FromContext] or are behind a guard. [Middleware.Ensure] and [Middleware.Continue]
// ignore it: they believe only what came with the request.
func NewContext(ctx context.Context, c Claims) context.Context {
	v := &visit{Context: ctx}
	v.claims.Store(&c)
	return v
}

// CheckActor returns a *[Refusal] when an operator sees the site as the visitor of ctx,
// and nil otherwise. Everything in this package that changes something calls it. Call
// it in functions of the app that must not run then, whatever the method of the
// request.
func CheckActor(ctx context.Context) error {
	if c, ok := FromContext(ctx); ok && c.Actor != uuid.Nil {
		return actingRefusal(ReasonImpersonation, "impersonation.read_only")
	}
	return nil
}

// IssuedToken returns the token that [Middleware.Continue], [Middleware.Unlink] or
// [Middleware.Ensure] issued during this request. It does so for a client that sent a
// bearer token, or whose path is below [Middleware.WithoutCookies]. Put it into the
// response: the token that the client sent may have ended. It returns false for all
// others, whose token is in their cookie.
func IssuedToken(ctx context.Context) (Token, bool) {
	v := visitFrom(ctx)
	if v == nil || v.more().issued == nil {
		return Token{}, false
	}
	return *v.more().issued, true
}
