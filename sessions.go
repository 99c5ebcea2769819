package walkin

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"
)

// A sign-in is a session in the store, for the asking, to whoever has an account or
// somebody's password; and a guest who signs in leaves a tombstone, and may sign out
// and come again. So an identity signs in only so often from browsers that are not
// signed in as its user already.

// takeSignIn takes one sign-in of the proof's identity. The refusal is 429. It goes
// by the identity and not by the network: whoever gets here has proven it, so a
// stranger takes nothing from anybody.
func (m *Middleware) takeSignIn(r *http.Request, p Proof, now time.Time) (takenRows, *Refusal) {
	limit := m.cfg.SignInLimit
	if limit.Count < 0 {
		return takenRows{}, nil
	}
	sum := sha256.Sum256([]byte(p.Provider + "\x00" + p.Subject)) // a limiter needs no addresses
	b := bucket{policy: "sign-ins", limit: limit}
	b.key = fmt.Sprintf("%s:%d/%v:%s", b.policy, limit.Count, limit.Per, base64.RawURLEncoding.EncodeToString(sum[:16]))
	taken, full, wait, err := m.takeSharedOrOwn(r, []bucket{b}, now)
	switch {
	case err != nil:
		return takenRows{}, refusalOf(err)
	case full != nil:
		return takenRows{}, &Refusal{Status: http.StatusTooManyRequests, Reason: "sign_in_limit",
			RetryAfter: max(wait, time.Second), Policy: full.policy, Limit: full.limit,
			Message: "There were many sign-ins to this account just now. Please wait " + minutes(wait) + " and try again."}
	}
	return taken, nil
}

// opensAnother reports whether the session that a change opens is one more of its
// user: after an upgrade it is the only one, and a new proof replaces one.
func (s *settlement) opensAnother() bool {
	return (s.change.Outcome == SignedIn || s.change.Outcome == Merged) && s.visitor.UserID != s.change.UserID ||
		s.change.Outcome == SignedIn && !s.endsOld
}

// minutes says in words how long to wait.
func minutes(wait time.Duration) string {
	if n := int((wait + time.Minute - 1) / time.Minute); n > 1 {
		return fmt.Sprintf("%d minutes", n)
	}
	return "a minute"
}
