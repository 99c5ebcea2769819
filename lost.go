package walkin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// unheard is for a token whose session is not in the store: it has ended, or the store
// has lost it. A healthy store knows all users but provisional ones: it keeps a
// tombstone of a deleted user for as long as a token can live, and sweeps later than
// that. So an unknown user was lost, by a restore for example, and nothing is done that
// could not be undone.
func (vr *verifier) unheard(r *http.Request, e *entry, seen uint32, err error) authResult {
	c, never := e.claims, errors.Is(err, store.ErrNotFound)
	age := askAgain
	if seen := vr.health.asking.database.Load(); seen != nil && !isFrom(c, &seen.Database) {
		age = askUnknown
	}
	db, known, dbErr := vr.health.database(r.Context(), age)
	if dbErr != nil {
		return unreached(r, e, ReasonStoreDown, dbErr)
	}
	if err := otherDatabase(c, db, known, never); err != nil {
		vr.sometimes(r.Context(), Event{Outcome: Failed, Reason: ReasonOtherDatabase, Err: err})
		return unreached(r, e, ReasonOtherDatabase, err)
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
			return unreached(r, e, ReasonStoreDown, err)
		}
		if lost {
			return vr.lose(r, e)
		}
	}
	vr.over(e)
	return authResult{status: sessionEnded, reason: ReasonSessionEnded, entry: e}
}

// otherDatabase returns an error when a token says that the store is over another
// database than the one that knows its session.
func otherDatabase(c Claims, db store.Database, known, never bool) error {
	switch {
	case db.Forgets || !known:
		return nil
	case !isFrom(c, &db):
		return fmt.Errorf("walkin: a token is of the database %.8q and the store is over %q: "+
			"either the store is over the wrong database, or it was made again and is to adopt the other's tokens", c.database, db.ID)
	case never && c.IssuedAt.Add(leeway).Before(db.Birth):
		return errors.New("walkin: a token is older than the database that the store is over: " +
			"either it is the wrong one, or it was made again and is to adopt older tokens")
	}
	return nil
}

// isFrom reports whether a token can be of a database. A token that names no database
// can.
func isFrom(c Claims, db *store.Database) bool {
	return c.database == "" || c.database == db.ID || slices.Contains(db.Adopted, c.database)
}

// unreached is for a token about which the store cannot answer now.
func unreached(r *http.Request, e *entry, reason Reason, err error) authResult {
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
	vr.sometimes(r.Context(), Event{Outcome: Failed, Reason: ReasonUserLost, UserID: e.claims.UserID, SessionID: e.claims.SessionID,
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
	return authResult{status: lost, reason: ReasonUnknownUser, entry: e}
}

// isLost reports whether the store has lost a permanent user. Their token proves that
// the ID is permanent: an anonymous user of that ID, revived by an older token, is
// signed out at once, and the ID is kept for its owner.
//
// The stored user that keeps it was never seen. It makes the ID one that the store
// knows, so no anonymous token revives it from then on.
func (h *storeHealth) isLost(ctx context.Context, c Claims, never bool) (lost bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if !never {
		user, err := h.cfg.Store.LockUser(ctx, c.UserID)
		if errors.Is(err, store.ErrNotFound) {
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
		err := h.cfg.Store.CreateUser(ctx, store.User{ID: c.UserID, CreatedAt: time.Now(), SeenAt: neverSeen})
		if !errors.Is(err, store.ErrSessionEnded) {
			return err
		}
		user, err := h.cfg.Store.LockUser(ctx, c.UserID)
		switch {
		case errors.Is(err, store.ErrNotFound):
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

// neverSeen is the SeenAt of a stored user that keeps an ID for its lost owner.
var neverSeen = time.Unix(0, 0).UTC()

// isReserved reports whether a user, as the store has them, is less than what a
// permanent token of theirs proves: it knows them as anonymous, from before their
// upgrade, or keeps their ID.
func isReserved(user store.User) bool { return user.Anonymous || user.SeenAt.Equal(neverSeen) }

// unasked is for an anonymous reader while the store is down. A token that was seen to
// be over before is not believed again: fails closed, and for this page alone.
func unasked(e *entry) authResult {
	if e.over.Load() != 0 {
		return authResult{status: unverifiable, reason: ReasonStoreDown, entry: e}
	}
	return authResult{status: live, entry: e}
}

// withAccount finds out whether the user of an anonymous token that has ended has an
// account by now, made in another browser. Then a new anonymous user in this one would
// look like a loss of all they have: they are asked to sign in instead. The reason is
// why nothing is minted, or empty. It fails closed: while the store does not answer, the
// visitor is served without a user, and the next page asks again.
//
// Whoever holds such a token learns that its user has signed up, and nothing else.
func (h *storeHealth) withAccount(ctx context.Context, f authResult) (authResult, Reason) {
	if f.status != sessionEnded || f.entry == nil || !f.entry.claims.Anonymous {
		return f, ""
	}
	switch user, err := h.cfg.Store.LockUser(ctx, f.entry.claims.UserID); {
	case errors.Is(err, store.ErrNotFound), err == nil && user.Anonymous: // deleted or merged; signed out here
		return f, ""
	case err != nil:
		return f, ReasonStoreDown
	}
	f.status = hasAccount
	return f, ReasonHasAccount
}
