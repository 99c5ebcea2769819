package walkin

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
)

// What the middleware knows is told once, to it. These methods hand it to the
// packages that are made from it: credentials, quotas, challenges, kept forms.

// Store returns Config.Store for packages that are made from the middleware. Each of
// its calls ends after 3 seconds, and a transaction, hooks included, after 10. Its
// errors are the sentinels of [store.Store] or a *[Refusal] for [Middleware.Refuse]: 503
// when the store did not answer, 500 when a rule of the app's own tables was broken.
// It has no more methods than [store.Store].
func (m *Middleware) Store() store.Store { return m.cfg.Store }

// DeriveKeys returns a secret of 32 bytes for one purpose from each of Config.Keys:
// the first signs, all verify. So they rotate with the keys. Apps that share keys and
// differ in Issuer or Audience get different ones. See [Key.Derive].
func (m *Middleware) DeriveKeys(purpose string) ([][]byte, error) { return m.deriveKeys(purpose) }

// Cookie returns a cookie for one purpose of a package that is made from the
// middleware. Its name and attributes follow Config; the caller sets Value and MaxAge.
// It belongs to this very host whatever Config.Cookies.Domain says, since a sibling
// domain must not be able to plant one. The purpose consists of lower-case letters and
// "-". See also [Middleware.ClearAtSignOut].
func (m *Middleware) Cookie(purpose string) http.Cookie {
	return *m.cookies.forPurpose(purpose)
}

// Limiter returns a limit.Limiter that counts in Config.Limiter. If that is nil or
// fails, it counts in the memory of this process, so it fails neither open nor closed.
// Each call returns a limiter with its own memory, so that a flood of one kind of key
// evicts no other kind. Call it once, during setup. A failure is reported as a Failed
// event with reason limiter.
func (m *Middleware) Limiter() limit.Limiter { return &fallbackLimiter{m.limits, limit.New(0)} }

type fallbackLimiter struct {
	limits *newUserLimits
	own    limit.Limiter
}

func (l *fallbackLimiter) Take(ctx context.Context, key string, limit limit.Limit, n int, now time.Time) (limit.Verdict, error) {
	shared := l.limits.cfg.Limiter
	if shared == l.limits.own || time.Now().UnixNano() < l.limits.downUntil.Load() {
		return l.own.Take(ctx, key, limit, n, now)
	}
	within, cancel := context.WithTimeout(ctx, limiterTimeout)
	defer cancel()
	verdict, err := shared.Take(within, key, limit, n, now)
	if err == nil {
		return verdict, nil
	}
	if ctx.Err() == nil { // a client that went away says nothing about the limiter
		l.limits.downUntil.Store(time.Now().Add(downPause).UnixNano())
		l.limits.emitCtx(ctx, Event{Outcome: Failed, Reason: ReasonLimiter, Err: err})
	}
	return l.own.Take(ctx, key, limit, n, now)
}

// RecentProof returns Config.Sessions.RecentProof, with its default filled in.
func (m *Middleware) RecentProof() time.Duration { return m.cfg.Sessions.RecentProof }

// Report tells Config.OnEvent and Config.Logger that something failed while the
// request went on: an event Failed with a reason. A client that went away is not
// reported.
func (m *Middleware) Report(ctx context.Context, reason Reason, err error) {
	if ctx.Err() == nil {
		m.emitCtx(ctx, Event{Outcome: Failed, Reason: reason, Err: err})
	}
}

// ReserveAccount takes from Config.NewUsers.Limit what [Middleware.Continue] would take
// for a proof with Proof.Chosen of this request, and returns the refusal if the limit is
// reached. It is for credentials whose proof is expensive, such as the hash of a new
// password: call it before that, when nothing else is left to refuse. The request must
// be one behind [Middleware.Handler]; otherwise it does nothing, and Continue takes.
// What Continue does not use is given back at the end of the request.
func (m *Middleware) ReserveAccount(r *http.Request) error {
	v := visitFrom(r.Context())
	if v == nil || v.home != m.home || v.more().reserved {
		return nil
	}
	c := v.claims.Load()
	if c != nil && !c.Provisional {
		return nil
	}
	taken, full := m.limits.takeNewUserOrChallenge(r, time.Now())
	if full != nil {
		return full
	}
	v.more().taken, v.more().reserved = taken, true
	return nil
}

// AttachSecondFactor has [Middleware.Continue] ask f before a proof of an identity with
// an owner opens a session, and before a user adds an identity. totp.New calls it. Call
// it during setup, before the site is served.
//
// Lacks reports whether a proof by a method (RFC 8176) is not enough for a user: to sign
// in, or, with adds, to add an identity in a session that it opened. It is called in the
// transaction of the change, with the user locked.
//
// Hold keeps a proof that was not enough, for the browser of the request. It calls
// p.Redeem in the transaction in which it stores the proof, and opens no session. Its
// error is never nil; if all went well it is a *[Refusal] with the Reason "half_proven"
// and a Page that asks for the factor.
func (m *Middleware) AttachSecondFactor(f interface {
	Lacks(ctx context.Context, userID uuid.UUID, method string, adds bool) (bool, error)
	Hold(w http.ResponseWriter, r *http.Request, p Proof) error
}) {
	attached := secondFactor(f)
	m.factor.Store(&attached)
}
