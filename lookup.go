package walkin

import (
	"net/http"

	"github.com/walkin-go/walkin/store"
)

// ask looks for the session of a token, for all requests with it that come meanwhile
// and only read: a page and what it loads are one look-up. seen is what the feed's
// counter was when the look-up began. A request that writes looks for itself, since
// what it hears must be newer than the request.
func (vr *verifier) ask(r *http.Request, e *entry) (s store.Session, seen uint32, err error) {
	for isSafe(r) {
		mine := &inquiry{done: make(chan struct{}), seen: vr.feed.counters[e.slot].Load()}
		if e.asking.CompareAndSwap(nil, mine) {
			defer func() {
				e.asking.Store(nil)
				close(mine.done)
			}()
			mine.left = true // after a panic, too
			mine.session, mine.err = vr.health.lookup(r.Context(), e.claims)
			mine.left = r.Context().Err() != nil
			return mine.session, mine.seen, mine.err
		}
		other := e.asking.Load()
		if other == nil {
			continue // it has just ended
		}
		select {
		case <-other.done:
		case <-r.Context().Done():
			return store.Session{}, 0, r.Context().Err()
		}
		if !other.left && other.seen == mine.seen {
			return other.session, other.seen, other.err
		}
	}
	seen = vr.feed.counters[e.slot].Load()
	s, err = vr.health.lookup(r.Context(), e.claims)
	return s, seen, err
}
