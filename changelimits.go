package walkin

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/texts"
)

// takeSignIn takes one sign-in of the proof's identity. The refusal is 429. It counts
// by identity and not by network: the visitor has proven it, so no other client can
// use it up.
func (l *newUserLimits) takeSignIn(r *http.Request, p Proof, now time.Time) (reservation, *Refusal) {
	limit := l.cfg.Sessions.SignInLimit
	if limit.Count < 0 {
		return reservation{}, nil
	}
	sum := sha256.Sum256([]byte(p.Provider + "\x00" + p.Subject)) // a limiter needs no addresses
	b := bucket{policy: "sign-ins", limit: limit}
	b.key = fmt.Sprintf("%s:%d/%v:%s", b.policy, limit.Count, limit.Per, base64.RawURLEncoding.EncodeToString(sum[:16]))
	taken, full, wait, err := l.takeSharedOrOwn(r, []bucket{b}, now)
	switch {
	case err != nil:
		return reservation{}, refusalOf(err)
	case full != nil:
		return reservation{}, &Refusal{Status: http.StatusTooManyRequests, Reason: ReasonSignInLimit,
			RetryAfter: max(wait, time.Second), Policy: full.policy, Limit: full.limit,
			Text: texts.Of("error.sign_in_limit", "minutes", texts.Minutes(wait))}
	}
	return taken, nil
}

// takeChange takes one change of identity of a permanent user: a new proof, one more
// identity, or one less. Each leaves a successor in the store for a quarter of an hour,
// and a client that holds one account could make them without end. It counts by user,
// so no other client can use it up.
func (l *newUserLimits) takeChange(r *http.Request, c Claims, now time.Time) (reservation, *Refusal) {
	b := bucket{policy: "identity-changes", limit: limit.Limit{Count: maxChangesAnHour, Per: time.Hour}}
	b.key = b.policy + ":" + c.UserID.String()
	taken, full, wait, err := l.takeSharedOrOwn(r, []bucket{b}, now)
	switch {
	case err != nil:
		return reservation{}, refusalOf(err)
	case full != nil:
		return reservation{}, &Refusal{Status: http.StatusTooManyRequests, Reason: ReasonIdentityChangeLimit,
			RetryAfter: max(wait, time.Second), Policy: full.policy, Limit: full.limit,
			Text: texts.Of("error.change_limit", "minutes", texts.Minutes(wait))}
	}
	return taken, nil
}

// The reservations of a change are what it takes from limits before it is decided. What
// is not used is given back.
type reservations struct{ user, signIn, change reservation }

// reserve takes what the limits ask of a change. It is done before the transaction,
// where no call should wait for a limiter.
func (l *newUserLimits) reserve(r *http.Request, v *visit, s *identityChange) (all reservations, refusal *Refusal) {
	// A self-asserted account is a stored user that any client can have, and one that
	// no sweep takes away. Whether there will be one is known in the transaction only,
	// and so it is refused there. A visitor who has proven who they are is never refused
	// for a crowd, also where they are new: to an app that has just put walkin in front
	// of its accounts, all of their owners are.
	if s.proof.Chosen && (s.visitor.UserID == uuid.Nil || s.visitor.Provisional) {
		if own := v.more(); own.reserved {
			all.user, own.taken, own.reserved = own.taken, reservation{}, false
		} else {
			all.user, s.full = l.takeNewUserOrChallenge(r, s.now)
		}
	}
	// So is every sign-in of a browser that is not signed in: a session is stored, and
	// an anonymous user leaves a tombstone. A browser that is signed in has a limit of
	// its own, which no other client can use up.
	if !s.proof.Chosen && (s.visitor.UserID == uuid.Nil || s.visitor.Anonymous) {
		all.signIn, refusal = l.takeSignIn(r, s.proof, s.now)
	}
	if s.visitor.UserID != uuid.Nil && !s.visitor.Anonymous {
		all.change, refusal = l.takeChange(r, s.visitor, s.now)
	}
	return all, refusal
}

// giveBackUnused gives back what a change did not use. Only what was certainly not made: a
// client that hangs up on the store every time gets nothing back.
func (l *newUserLimits) giveBackUnused(r *http.Request, s *identityChange, all reservations) {
	if !s.created {
		l.giveBack(r, all.user, s.now)
	}
	if !s.opened || !s.opensAnother() {
		l.giveBack(r, all.signIn, s.now)
	}
	if !s.opened {
		l.giveBack(r, all.change, s.now)
	}
}
