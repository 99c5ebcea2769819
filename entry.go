package walkin

import (
	"sync/atomic"
	"time"

	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/store"
)

// A tokenStatus is the status of a request's token.
type tokenStatus uint8

const (
	absent       tokenStatus = iota // there is none
	live                            // ours, and its session is alive
	sessionEnded                    // ours, and its session has ended
	invalid                         // forged, malformed, expired, or in the wrong cookie
	conflicting                     // two live users under one name, or more values than are verified
	foreign                         // a bearer token that is not a live one of ours
	unverifiable                    // perhaps ours, but this replica cannot tell
	lost                            // ours, and the store has never heard of its user
	unreachable                     // ours, but the store does not say whether its session is alive
	hasAccount                      // ours, anonymous, and its session has ended since its user has an account by now
	suspended                       // ours, its session is alive, and its user banned: not minted over, since a ban ends
)

const leeway = token.Leeway // how far the clocks of two replicas may differ

// An entry is a token that verified. Its claims never change; what is known
// about its session does.
type entry struct {
	token        string
	claims       Claims
	access       bool         // an access token: good as a bearer, never in a cookie
	checked      atomic.Int64 // unix nanoseconds of the last look-up that found the session alive; 0: none yet
	over         atomic.Int64 // until when, by Middleware.clock, the session is taken for ended; 0: it was never seen to be
	lost         atomic.Int64 // the same, of a user whom the store has never heard of
	renewing     atomic.Bool  // a request is re-issuing the token
	renewed      atomic.Int64 // unix nanoseconds of the session's RenewedAt, as last seen; 0: it has none
	trustedUntil atomic.Int64 // until when, by Middleware.clock, a safe request with it needs no judging

	slot       uint16        // of its user, see feed
	seen       atomic.Uint32 // the counter there when the last look-up began
	vouched    atomic.Int64  // until when, by Middleware.clock, the feed speaks for that look-up; 0: there was none
	shortUntil atomic.Int64  // trustedUntil, where the feed vouches
	asking     atomic.Pointer[inquiry]
}

// checkedWithin reports whether the session was found alive in the last d.
func (e *entry) checkedWithin(d time.Duration, now time.Time) bool {
	age := now.UnixNano() - e.checked.Load()
	return age >= 0 && age < int64(d)
}

// distrust makes the next request with a token look again.
func (e *entry) distrust() {
	e.trustedUntil.Store(0)
	e.shortUntil.Store(0)
	e.checked.Store(0)
	e.vouched.Store(0)
}

// An inquiry is a look-up that is under way, and then its answer.
type inquiry struct {
	done    chan struct{}
	seen    uint32
	session store.Session
	err     error
	left    bool // the request whose look-up it was has ended: this says nothing
}

// A carrier is what a token came in. The token's kind must agree with it.
type carrier uint8

const (
	asBearer carrier = iota
	asPermanent
	asAnonymous
)

func (k carrier) fits(e *entry) bool {
	return k == asBearer || !e.access && e.claims.Anonymous == (k == asAnonymous)
}
