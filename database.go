package walkin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// A Database says which database a store uses, and what holds for all of it.
type Database struct {
	// ID is 8 letters, made with the tables; every token names the database that its
	// session is in. Empty if the store has none.
	ID string

	// Adopted are the IDs of other databases whose tokens count as this one's.
	Adopted []string

	// Birth is when the database began: its creation, or that of its oldest user. No
	// older token can be of this database.
	Birth time.Time

	// TokenLife is how long a token can live after its user was last seen, by the
	// longest Config.Tokens.Lifetime that any replica announced. TokenLifeUntil is when
	// that may fall.
	TokenLife      time.Duration
	TokenLifeUntil time.Time

	// Sessions that began before EndedBefore have ended; those of anonymous users, if
	// they began before AnonymousEndedBefore.
	EndedBefore, AnonymousEndedBefore time.Time

	// Forgets says that all data is lost when the process ends, so that an unknown user
	// is one whom the store has lost.
	Forgets bool
}

// A DatabaseStore is a [Store] that knows which database it uses. Without it a
// restored, empty or wrong database cannot be told from the right one. A store without
// these methods counts as one that loses no data, and never as another database.
type DatabaseStore interface {
	Store

	// Database returns what is stored about the database, in one query.
	Database(ctx context.Context) (Database, error)

	// AnnounceTokenLife stores the longest life that replicas announce. It falls only
	// when now is past the end of the longer one.
	AnnounceTokenLife(ctx context.Context, life time.Duration, now time.Time) error

	// EndSessionsBefore moves EndedBefore to a time, and AnonymousEndedBefore with it
	// where anonymous is true; never back. From then on [Store.LookupSession] treats a session
	// with an earlier CreatedAt as ended.
	EndSessionsBefore(ctx context.Context, at time.Time, anonymous bool) error
}

// owns reports whether a token can be of this database. A token that names no database
// can.
func (db *Database) owns(c Claims) bool {
	return c.database == "" || c.database == db.ID || slices.Contains(db.Adopted, c.database)
}

// A seenDatabase is a Database, and when it was asked for.
type seenDatabase struct {
	Database
	at int64 // by Middleware.clock
}

// asking is what a Middleware knows about the store as a whole.
type asking struct {
	mu       sync.Mutex // held while asking
	database atomic.Pointer[seenDatabase]
	failed   int64 // by Middleware.clock; under mu
	minting  atomic.Bool
}

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
func (h *storeHealth) database(ctx context.Context, maxAge time.Duration) (db Database, known bool, err error) {
	store, ok := ability[DatabaseStore](h.cfg.Store)
	if !ok {
		return Database{}, false, nil
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
		return Database{}, true, errNotAsked
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if db, err = store.Database(ctx); err != nil {
		h.asking.failed = max(h.clock(), 1)
		return Database{}, true, err
	}
	h.asking.failed = 0
	h.asking.database.Store(&seenDatabase{db, h.clock()})
	if now := time.Now(); !db.Forgets && h.mustAnnounce(db, now) {
		if err := store.AnnounceTokenLife(ctx, h.tokenLife(), now); err != nil {
			h.sometimes(ctx, Event{Outcome: Failed, Reason: "announce", Err: err})
		}
	}
	return db, true, nil
}

var errNotAsked = errors.New("walkin: the store failed a moment ago")

// tokenLife is how long a token can live after its user was last seen: a renewal is
// written when the token before is older than RenewAfter.
func (h *storeHealth) tokenLife() time.Duration {
	return h.cfg.Tokens.Lifetime + h.cfg.Tokens.RenewAfter + 2*leeway
}

// mustAnnounce is true about once a day on one replica, so that requests that read
// write nothing.
func (h *storeHealth) mustAnnounce(db Database, now time.Time) bool {
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

// EndSessionsBefore ends every session of permanent users that was opened before a
// time. Where anonymous is true it also ends those of anonymous users, who then cannot
// come back. Call it as the last step of a restore from a backup, since the backup has
// sessions that ended after it was made; docs/restore.md has the other steps. From then
// on their tokens are rejected for writes at once. For reads on other replicas they are
// rejected within two seconds with [Middleware.RunFeed], and within
// Config.Sessions.RecheckAfter without it; those of anonymous users who are not stored
// yet within a minute.
//
// It needs a store that is a [DatabaseStore]; those of this project are.
func (m *Middleware) EndSessionsBefore(ctx context.Context, at time.Time, anonymous bool) error {
	store, ok := ability[DatabaseStore](m.cfg.Store)
	switch {
	case !ok:
		return fmt.Errorf("walkin: a store of type %T cannot end all sessions", m.cfg.Store.(bounded).inner)
	case at.After(time.Now().Add(leeway)):
		// A user who signed in again would be signed out at once.
		return errors.New("walkin: EndSessionsBefore was called with a time to come")
	}
	if err := store.EndSessionsBefore(ctx, at, anonymous); err != nil {
		return err
	}
	m.health.asking.database.Store(nil)
	m.feed.changed(uuid.Nil)
	m.emitCtx(ctx, Event{Outcome: SignedOut, Reason: "all_before"})
	return nil
}

// unheard is for a token whose session is not in the store: it has ended, or the store
// has lost it. A healthy store knows all users but provisional ones: it keeps a
// tombstone of a deleted user for as long as a token can live, and sweeps later than
// that. So an unknown user was lost, by a restore for example, and nothing is done that
// could not be undone.
func (vr *verifier) unheard(r *http.Request, e *entry, seen uint32, err error) authResult {
	c, never := e.claims, errors.Is(err, ErrNotFound)
	age := askAgain
	if seen := vr.health.asking.database.Load(); seen != nil && !seen.Forgets && !seen.owns(c) {
		age = askUnknown
	}
	db, known, dbErr := vr.health.database(r.Context(), age)
	if dbErr != nil {
		return unreached(r, e, "store_down", dbErr)
	}
	if err := otherDatabase(c, db, known, never); err != nil {
		vr.sometimes(r.Context(), Event{Outcome: Failed, Reason: "other_database", Err: err})
		return unreached(r, e, "other_database", err)
	}
	endedBefore := db.EndedBefore
	if c.Anonymous {
		endedBefore = db.AnonymousEndedBefore
	}
	switch {
	case c.IssuedAt.Before(endedBefore):
	case never && c.Provisional:
		if vr.alive(e, seen, time.Now()) {
			return authResult{status: live, entry: e}
		}
	case db.Forgets:
	case c.Anonymous && never:
		return vr.lose(r, e)
	case !c.Anonymous:
		if !known && never {
			return vr.lose(r, e) // and nothing is written where the database has no name
		}
		lost, err := vr.health.isLost(r.Context(), c, never)
		if err != nil {
			return unreached(r, e, "store_down", err)
		}
		if lost {
			return vr.lose(r, e)
		}
	}
	vr.over(e)
	return authResult{status: sessionEnded, reason: "session_ended", entry: e}
}

// otherDatabase returns an error when a token says that the store is over another
// database than the one that knows its session.
func otherDatabase(c Claims, db Database, known, never bool) error {
	switch {
	case db.Forgets || !known:
		return nil
	case !db.owns(c):
		return fmt.Errorf("walkin: a token is of the database %.8q and the store is over %q: "+
			"either the store is over the wrong database, or it was made again and is to adopt the other's tokens", c.database, db.ID)
	case never && c.IssuedAt.Add(leeway).Before(db.Birth):
		return errors.New("walkin: a token is older than the database that the store is over: " +
			"either it is the wrong one, or it was made again and is to adopt older tokens")
	}
	return nil
}

// unreached is for a token about which the store cannot answer now.
func unreached(r *http.Request, e *entry, reason string, err error) authResult {
	if e.claims.Anonymous && isSafe(r) {
		f := unasked(e)
		f.unsure = true
		return f
	}
	return authResult{status: unreachable, reason: reason, entry: e, err: err}
}

// lose is for a user whom the store has lost, and remembers it for safe requests as
// long as any look-up.
func (vr *verifier) lose(r *http.Request, e *entry) authResult {
	e.lost.Store(vr.clock() + int64(vr.cfg.Sessions.RecheckAfter))
	vr.sometimes(r.Context(), Event{Outcome: Failed, Reason: "user_lost", UserID: e.claims.UserID, SessionID: e.claims.SessionID,
		Err: errors.New("walkin: the store has never heard of the user of a token: it was restored, or is over the wrong database")})
	return vr.lostOne(r, e)
}

// lostOne tells what a lost user may do. An anonymous one is served as the signature of
// their token says, and comes back with their next write; a permanent one is without a
// user until they sign in, or the store knows them again.
func (vr *verifier) lostOne(r *http.Request, e *entry) authResult {
	if e.claims.Anonymous && (isSafe(r) || !vr.cfg.Sessions.NoRevival) {
		return authResult{status: live, entry: e, lost: true}
	}
	return authResult{status: lost, reason: "unknown_user", entry: e}
}

// isLost reports whether the store has lost a permanent user. Their token proves that
// the ID is permanent: an anonymous user of that ID, brought back by an older token, is
// signed out at once, and the ID is kept for its owner.
//
// The row that keeps it is of a user who was never seen. It makes the ID one that
// the store knows, so no anonymous token brings it back from then on.
func (h *storeHealth) isLost(ctx context.Context, c Claims, never bool) (lost bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if !never {
		user, err := h.cfg.Store.LockUser(ctx, c.UserID)
		if errors.Is(err, ErrNotFound) {
			return false, nil // deleted
		}
		if err != nil || !isReserved(user) {
			return false, err
		}
		if !user.Anonymous {
			return true, nil
		}
	}
	err = h.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		lost = true
		err := h.cfg.Store.CreateUser(ctx, User{ID: c.UserID, CreatedAt: time.Now(), SeenAt: neverSeen})
		if !errors.Is(err, ErrSessionEnded) {
			return err
		}
		user, err := h.cfg.Store.LockUser(ctx, c.UserID)
		switch {
		case errors.Is(err, ErrNotFound):
			lost = false // deleted meanwhile
			return nil
		case err != nil:
			return err
		case !user.Anonymous:
			lost = isReserved(user)
			return nil
		}
		return h.cfg.Store.DeleteSessions(ctx, c.UserID, uuid.Nil)
	})
	return lost, err
}

// neverSeen is the SeenAt of a row that keeps an ID for its lost owner.
var neverSeen = time.Unix(0, 0).UTC()

// isReserved reports whether a user, as the store has them, is less than what a
// permanent token of theirs proves: it knows them as anonymous, from before their
// upgrade, or keeps their ID.
func isReserved(user User) bool { return user.Anonymous || user.SeenAt.Equal(neverSeen) }
