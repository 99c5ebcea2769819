package walkin

import (
	"errors"
	"net/http"
	"time"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/store"
)

// isRenewable reports whether a response to a request is one that may carry a
// cookie for which no client waits.
func isRenewable(f request.Facts) bool {
	switch {
	case f.Method == request.Get:
	case f.Method != request.Write || f.From == request.Foreign || f.From == request.TrustedFar || f.From == request.Exempt || f.WriteRefusal(true) != "":
		return false
	}
	return !f.IsAsset() && !f.IsPrefetch() && !f.IsUpgrade()
}

// renew re-issues the visitor's token and returns its cookie, or nil when that cannot
// be done now: then they go on with the one they have.
func (is *issuer) renew(r *http.Request, v *visit, now time.Time) *http.Cookie {
	// Of requests that come together, as the pieces of a page do, one renews.
	old := v.entry
	if is.health.isDown(now) || !old.renewing.CompareAndSwap(false, true) {
		return nil
	}
	defer old.renewing.Store(false)
	c, err := is.extend(r, v, now)
	if errors.Is(err, store.ErrNotFound) {
		return nil // lost since the last look; the next one tells what that means
	}
	if errors.Is(err, store.ErrSessionEnded) {
		is.verifier.over(v.entry)
		v.become(sessionEnded, ReasonSessionEnded)
		return nil
	}
	var token string
	if err == nil {
		token, c, err = is.issue(r.Context(), c)
	}
	if err != nil {
		// Fails open: the token they have is still good.
		is.emit(r, Event{Outcome: Failed, Reason: ReasonRenewal, UserID: c.UserID, SessionID: c.SessionID, Err: err})
		return nil
	}
	is.remember(v, token, c)
	return is.cookies.carry(token, c, is.health.earlier(now))
}

// extend moves the end of the visitor's session, and returns the claims of a token
// that lives as long.
func (is *issuer) extend(r *http.Request, v *visit, now time.Time) (Claims, error) {
	is.health.prepare(r.Context())
	now = is.health.earlier(now)
	c := is.dated(*v.claims.Load(), now)
	s, err := is.health.lookup(r.Context(), c)
	switch {
	case errors.Is(err, store.ErrNotFound) && c.Provisional:
		// No write yet, so there is no user to write to.
		c, err = is.bounded(c, mintedAt(c)), nil
	case err == nil:
		c.Provisional = false
		c = is.bounded(c, beganAt(c, s))
		// One write a day is enough: a parallel request may have been faster,
		// or its cookie not have arrived. Tokens have whole seconds.
		if now.Sub(s.RenewedAt) < is.cfg.Tokens.RenewAfter-time.Second {
			break
		}
		s.RenewedAt, s.ExpiresAt = now, c.ExpiresAt
		err = is.cfg.Store.RenewSession(r.Context(), s)
	}
	return c, err
}

// touch notes that a bearer was here, at most once in RenewAfter: it moves their
// session's end and the user's SeenAt, as a renewal does. The response carries no
// token, since the client does not expect one.
func (is *issuer) touch(r *http.Request, v *visit, now time.Time) {
	e := v.entry
	renewed := e.renewed.Load()
	if renewed == 0 || now.Sub(time.Unix(0, renewed)) < is.cfg.Tokens.RenewAfter ||
		is.health.isDown(now) || !e.renewing.CompareAndSwap(false, true) {
		return
	}
	defer e.renewing.Store(false)
	switch _, err := is.extend(r, v, now); {
	case err == nil:
		e.renewed.Store(now.UnixNano())
	case errors.Is(err, store.ErrNotFound):
		// Lost since the last look; the next one tells what that means.
	case errors.Is(err, store.ErrSessionEnded):
		is.verifier.over(e)
		v.become(sessionEnded, ReasonSessionEnded)
	default:
		// Fails open: the token they have is still good.
		is.emit(r, Event{Outcome: Failed, Reason: ReasonRenewal, UserID: e.claims.UserID, SessionID: e.claims.SessionID, Err: err})
	}
}
