package walkin

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const (
	feedEvery  = time.Second           // how often a replica reads
	feedTrust  = 10 * time.Minute      // how long an entry is believed without a look-up, see RunFeed
	feedSilent = time.Minute           // how long a Middleware waits for RunFeed before it warns
	feedPause  = 50 * time.Millisecond // between two reads that Wait asks for
	feedDeaf   = 10 * time.Second      // from an error of Wait to the next call
	feedSlots  = 1 << 14
)

// A feed is what a Middleware knows about changes: a counter for each group of users. A
// look-up notes the counter before it begins, and its result is valid while the counter
// is unchanged. So a change that is told at any time before, during or after a look-up
// is never lost, and no list of ended sessions is kept. Two users of one group only
// cause each other more look-ups.
type feed struct {
	seed     maphash.Seed // so that no client can choose its group
	counters [feedSlots]atomic.Uint32
	vouches  atomic.Int64 // until when, by Middleware.clock, what was found before is believed without a look-up
	running  atomic.Bool
	warned   atomic.Bool
}

func (f *feed) slot(user uuid.UUID) uint16 {
	return uint16(maphash.Bytes(f.seed, user[:]) % feedSlots)
}

// changed is called after a commit, or for a row of the store's feed.
func (f *feed) changed(user uuid.UUID) {
	if user != uuid.Nil {
		f.counters[f.slot(user)].Add(1)
		return
	}
	for i := range f.counters {
		f.counters[i].Add(1)
	}
}

// unchanged reports whether nothing was told about the user of an entry since the
// look-up that it is from.
func (f *feed) unchanged(e *entry) bool { return f.counters[e.slot].Load() == e.seen.Load() }
