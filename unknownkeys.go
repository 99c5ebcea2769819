package walkin

import (
	"hash/maphash"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/texts"
)

// newKeyFor is how long a key that this replica lacks may still be one that a rotation
// is about to bring to all replicas.
const newKeyFor = 10 * time.Minute

// refuseUnverified returns the refusal of a new account for a visitor whose cookie cannot
// be verified, or nil where they get one all the same.
//
// Behind a permanent cookie there may be an account already: fails closed. An anonymous
// one may be another app's on the same host, or of a key that was lost, and its visitor
// could not sign up until it expires. So they wait while a rotation may be under way,
// and may sign up afterwards; the cookie stays.
func (vr *verifier) refuseUnverified(r *http.Request) *Refusal {
	var b requestCredentials
	b.read(r.Header, vr)
	wait := time.Duration(0)
	for as, c := range b.both {
		for _, value := range c.values() {
			_, _, s, _ := vr.keys.Verify(value, false, time.Now())
			switch {
			case s != token.Unverifiable:
			case as == asPermanent:
				return &Refusal{Status: http.StatusUnauthorized, Reason: ReasonUnknownKey}
			default:
				wait = max(wait, newKeyFor-vr.unknownKeys.age(value, vr.clock()))
			}
		}
	}
	if wait > 0 {
		return &Refusal{Status: http.StatusServiceUnavailable, Reason: ReasonUnknownKey, RetryAfter: wait,
			Text: texts.Of("error.cannot_tell")}
	}
	return nil
}

// unknownKeys remember when a key that is not ours was first seen here, by the first
// segment of its tokens. Their number is fixed, since any client can make up keys.
// Filling it makes new keys look old, and that lets visitors in.
type unknownKeys struct {
	seed  maphash.Seed
	first [1024]atomic.Int64 // by Middleware.clock, one more; 0: none yet
}

// age returns how long ago the key of a token was first seen, which may be now.
func (s *unknownKeys) age(token string, now int64) time.Duration {
	header, _, _ := strings.Cut(token, ".")
	first := &s.first[maphash.String(s.seed, header)%uint64(len(s.first))]
	first.CompareAndSwap(0, now+1)
	return time.Duration(now + 1 - first.Load())
}
