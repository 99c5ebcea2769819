package walkin

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

const (
	askAgain   = time.Minute // how old what is known about the database may be
	askUnknown = time.Second // and where something unknown shows up
)

// A storeHealth is what is known about the store as a whole: whether it is down, which
// database it is over, and how far its clock is from this process's.
type storeHealth struct {
	*shared
	asking asking
	clocks struct {
		mu         sync.Mutex
		at, failed int64        // when the two were last compared, or could not be, by clock
		ahead      atomic.Int64 // nanoseconds that this process was ahead of the store
	}
	downUntil atomic.Int64 // unix nanoseconds; a store that failed is not asked again by readers before
}

// database returns what is known about the database, asking again when that is
// older than maxAge. It must not be called in a transaction, which may have the
// only connection. known is false for a store that has no such methods.
func (h *storeHealth) database(ctx context.Context, maxAge time.Duration) (db store.Database, known bool, err error) {
	st, ok := ability[store.DatabaseStore](h.cfg.Store)
	if !ok {
		return store.Database{}, false, nil
	}
	fresh := func() *seenDatabase {
		if seen := h.asking.database.Load(); seen != nil && h.clock()-seen.at < int64(maxAge) {
			return seen
		}
		return nil
	}
	if seen := fresh(); seen != nil {
		return seen.Database, true, nil
	}
	h.asking.mu.Lock()
	defer h.asking.mu.Unlock()
	if seen := fresh(); seen != nil {
		return seen.Database, true, nil // another request was faster
	}
	if h.asking.failed != 0 && h.clock()-h.asking.failed < int64(downPause) {
		return store.Database{}, true, errNotAsked
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if db, err = st.Database(ctx); err != nil {
		h.asking.failed = max(h.clock(), 1)
		return store.Database{}, true, err
	}
	h.asking.failed = 0
	h.asking.database.Store(&seenDatabase{db, h.clock()})
	if now := time.Now(); !db.Forgets && h.mustAnnounce(db, now) {
		if err := st.AnnounceTokenLife(ctx, h.tokenLife(), now); err != nil {
			h.sometimes(ctx, Event{Outcome: Failed, Reason: ReasonAnnounce, Err: err})
		}
	}
	return db, true, nil
}

// A seenDatabase is a Database, and when it was asked for.
type seenDatabase struct {
	store.Database
	at int64 // by Middleware.clock
}

// asking is what a Middleware knows about the store as a whole.
type asking struct {
	mu       sync.Mutex // held while asking
	database atomic.Pointer[seenDatabase]
	failed   int64 // by Middleware.clock; under mu
	minting  atomic.Bool
}

var errNotAsked = errors.New("walkin: the store failed a moment ago")

// tokenLife is how long a token can live after its user was last seen: a renewal is
// written when the token before is older than RenewAfter.
func (h *storeHealth) tokenLife() time.Duration {
	return h.cfg.Tokens.Lifetime + h.cfg.Tokens.RenewAfter + 2*leeway
}

// mustAnnounce is true about once a day on one replica, so that requests that read
// write nothing.
func (h *storeHealth) mustAnnounce(db store.Database, now time.Time) bool {
	switch life := h.tokenLife(); {
	case db.TokenLife < life:
		return true
	case db.TokenLife == life:
		return db.TokenLifeUntil.Before(now.Add(life - 24*time.Hour))
	}
	return db.TokenLifeUntil.Before(now)
}

// longestTokenLife is that of all replicas, as far as this one has heard.
func (h *storeHealth) longestTokenLife() time.Duration {
	life := h.tokenLife()
	if seen := h.asking.database.Load(); seen != nil {
		life = max(life, seen.TokenLife)
	}
	return life
}

// prepare refreshes what is known about the store before a token is issued. Fails open:
// a token that names no database is valid all the same.
func (h *storeHealth) prepare(ctx context.Context) {
	if h.isDown(time.Now()) {
		return
	}
	_, _, err := h.database(ctx, askAgain)
	if err == nil {
		_ = h.askClock(ctx, askAgain) // which tells the operator itself
	} else if ctx.Err() == nil {
		h.downUntil.Store(time.Now().Add(downPause).UnixNano())
	}
}

// prepareMint is prepare for a page view, which needs nothing from the store and so
// does not wait while another request asks.
func (h *storeHealth) prepareMint(ctx context.Context) {
	if h.asking.minting.CompareAndSwap(false, true) {
		h.prepare(ctx)
		h.asking.minting.Store(false)
	}
}

// databaseID names the database in a token.
func (h *storeHealth) databaseID() string {
	if seen := h.asking.database.Load(); seen != nil {
		return seen.ID
	}
	return ""
}

// isExpired reports whether a token that this process takes for expired is so by the
// store's clock too. Fails closed: a visitor whose session may still be alive is not
// minted over, and the next page asks again.
func (h *storeHealth) isExpired(r *http.Request) bool {
	return h.askClock(r.Context(), askUnknown) == nil
}

// isDown reports whether a look-up failed just now.
func (h *storeHealth) isDown(now time.Time) bool { return now.UnixNano() < h.downUntil.Load() }

// lookup looks for the session of a token. One of a banned user is a *Refusal.
func (h *storeHealth) lookup(ctx context.Context, c Claims) (store.Session, error) {
	s, err := h.cfg.Store.LookupSession(ctx, c.UserID, c.SessionID)
	if refusal := banned(s.BannedUntil); err == nil && refusal != nil {
		return s, refusal
	}
	return s, err
}

// tombstone remembers a deleted user until no token of theirs can be alive.
func (h *storeHealth) tombstone(id, mergedInto uuid.UUID, now time.Time) *store.Tombstone {
	return &store.Tombstone{UserID: id, MergedInto: mergedInto, DeletedAt: now, ExpiresAt: now.Add(h.longestTokenLife())}
}

const downPause = time.Second // how long readers believe that the store is still down
