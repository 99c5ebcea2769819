package walkin

import (
	"errors"
	"net/http"
)

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
		l.emit(r, Event{Outcome: Failed, Reason: ReasonChallenge, Err: err})
	}
	return passed && err == nil
}

// showChallenge answers with the challenge, if there is one and it is for this visitor.
func (l *newUserLimits) showChallenge(w http.ResponseWriter, r *http.Request, refusal *Refusal) bool {
	c := l.challenge.Load()
	return c != nil && refusal.Reason == ReasonNewUserLimit && (*c).Show(w, r, refusal)
}
