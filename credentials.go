package walkin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/walkin-go/walkin/limit"
)

// What the middleware knows is told once, to it. These methods hand it to the
// packages that are made from it: credentials, quotas, challenges, kept forms.

// Store returns Config.Store for packages that are made from the middleware. Each of
// its calls ends after 3 seconds, and a transaction, hooks included, after 10. Its
// errors are the sentinels of [Store] or a *[Refusal] for [Middleware.Refuse]: 503
// when the store did not answer, 500 when a rule of the app's own tables was broken.
// It has no more methods than [Store].
func (m *Middleware) Store() Store { return m.cfg.Store }

// DeriveKeys returns a secret of 32 bytes for one purpose from each of Config.Keys:
// the first signs, all verify. So they rotate with the keys. Apps that share keys and
// differ in Issuer or Audience get different ones. See [Key.Derive].
func (m *Middleware) DeriveKeys(purpose string) ([][]byte, error) { return m.deriveKeys(purpose) }

func (s *shared) deriveKeys(purpose string) ([][]byte, error) {
	if purpose == "" || strings.Contains(purpose, "\x00") {
		return nil, errors.New("walkin: DeriveKeys needs a purpose, without a NUL")
	}
	var all [][]byte
	for _, key := range s.cfg.Keys {
		secret, err := key.Derive(strings.Join([]string{purpose, s.cfg.Tokens.Issuer, s.cfg.Tokens.Audience}, "\x00"))
		if err != nil {
			return nil, err
		}
		all = append(all, secret)
	}
	return all, nil
}

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
		l.limits.emitCtx(ctx, Event{Outcome: Failed, Reason: "limiter", Err: err})
	}
	return l.own.Take(ctx, key, limit, n, now)
}

// RecentProof returns Config.Sessions.RecentProof, with its default filled in.
func (m *Middleware) RecentProof() time.Duration { return m.cfg.Sessions.RecentProof }

// Report tells Config.OnEvent and Config.Logger that something failed while the
// request went on: an event Failed with a reason. A client that went away is not
// reported.
func (m *Middleware) Report(ctx context.Context, reason string, err error) {
	if ctx.Err() == nil {
		m.emitCtx(ctx, Event{Outcome: Failed, Reason: reason, Err: err})
	}
}

// A Challenge lets visitors past the limit on new users of their network.
// [Middleware.AttachChallenge] takes one; package challenge has one.
type Challenge interface {
	// Passed reports whether the visitor has just passed a challenge. It is called when
	// the limit is reached, before the answer is 429. If it returns true the user is
	// created anyway, up to 20 times the limit. Each pass is consumed. An error counts
	// as false and is reported to Config.OnEvent.
	Passed(r *http.Request) (bool, error)

	// Show answers a visitor whom the limit stopped with the challenge, and reports
	// whether it did. False, with nothing written, leaves the answer to
	// Config.OnRefuse. Headers such as Retry-After are set already.
	Show(w http.ResponseWriter, r *http.Request, refusal *Refusal) bool
}

// AttachChallenge sets the challenge that is used when the limit on new users is
// reached. challenge.New calls it. Without one the answer there is 429, so a forgotten
// call fails closed. There can be one: a second is an error. Call it during setup,
// before the site is served.
func (m *Middleware) AttachChallenge(c Challenge) error {
	if c == nil {
		return errors.New("walkin: AttachChallenge needs a Challenge")
	}
	if !m.limits.challenge.CompareAndSwap(nil, &c) {
		return errors.New("walkin: there is a challenge already")
	}
	return nil
}

// passedChallenge reports whether the visitor has passed the challenge, if there is
// one. Fails closed: while it fails, visitors are told to wait, as without it.
func (l *newUserLimits) passedChallenge(r *http.Request) bool {
	c := l.challenge.Load()
	if c == nil {
		return false
	}
	passed, err := (*c).Passed(r)
	if err != nil {
		l.emit(r, Event{Outcome: Failed, Reason: "challenge", Err: err})
	}
	return passed && err == nil
}

// showChallenge answers with the challenge, if there is one and it is for this visitor.
func (l *newUserLimits) showChallenge(w http.ResponseWriter, r *http.Request, refusal *Refusal) bool {
	c := l.challenge.Load()
	return c != nil && refusal.Reason == reasonNewUserLimit && (*c).Show(w, r, refusal)
}
