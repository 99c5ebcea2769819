package walkin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"
)

// A sessionData is the scs.CtxStore in front of the app's own. The claims in the
// context, as they are at that moment, decide which session's data it reads and writes,
// and never the token that scs passes: scs may make up new tokens as it likes, and
// after an upgrade it goes on with the new session.
type sessionData struct {
	home  *home
	sm    *scs.SessionManager
	inner scs.Store
}

var _ scs.CtxStore = (*sessionData)(nil)

// loadedKey marks the context that holds a manager's data.
type loadedKey struct{ *sessionData }

// A loaded is what is known of the data of one request.
type loaded struct {
	session string // whose data it is; empty for a request without a user
	deleted bool   // by sm.Destroy or sm.RenewToken
}

// key returns the store's key of a session.
func (d *sessionData) key(session uuid.UUID) string {
	key := session.String()
	if d.sm.HashTokenInStore {
		sum := sha256.Sum256([]byte(key)) // as scs does
		key = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return key
}

// current returns the key of the visitor's session, or false without a user.
func (d *sessionData) current(ctx context.Context) (string, bool) {
	v := visitFrom(ctx)
	if v == nil || v.home != d.home {
		return "", false
	}
	c := v.claims.Load()
	if c == nil || c.Actor != uuid.Nil { // an operator sees an empty set, and leaves none
		return "", false
	}
	return d.key(c.SessionID), true
}

// FindCtx passes on a miss: scs then begins an empty session under a token of its own,
// which says nothing here.
func (d *sessionData) FindCtx(ctx context.Context, _ string) ([]byte, bool, error) {
	key, ok := d.current(ctx)
	if !ok {
		return nil, false, nil
	}
	return d.find(ctx, key)
}

func (d *sessionData) CommitCtx(ctx context.Context, _ string, b []byte, expiry time.Time) error {
	key, ok := d.current(ctx)
	if !ok {
		return nil
	}
	return d.commit(ctx, key, b, expiry)
}

func (d *sessionData) DeleteCtx(ctx context.Context, _ string) error {
	key, ok := d.current(ctx)
	if !ok {
		return nil
	}
	if l, ok := ctx.Value(loadedKey{d}).(*loaded); ok {
		l.deleted = true
	}
	return d.delete(ctx, key)
}

// scs's interface has the methods without a context, but scs never calls them when the
// others are there. They cannot know whose session it is.

func (d *sessionData) Find(string) ([]byte, bool, error)      { return nil, false, nil }
func (d *sessionData) Commit(string, []byte, time.Time) error { return nil }
func (d *sessionData) Delete(string) error                    { return nil }

// The app's own store, with a context where it takes one: such a store has the same
// time limit as any other, see boundedStore. Errors of the codec are returned as they are.

func (d *sessionData) find(ctx context.Context, key string) ([]byte, bool, error) {
	if s, ok := d.inner.(scs.CtxStore); ok {
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		b, found, err := s.FindCtx(ctx, key)
		return b, found, answered(err)
	}
	b, found, err := d.inner.Find(key)
	return b, found, answered(err)
}

func (d *sessionData) commit(ctx context.Context, key string, b []byte, expiry time.Time) error {
	if s, ok := d.inner.(scs.CtxStore); ok {
		return boundErr(ctx, func(ctx context.Context) error { return s.CommitCtx(ctx, key, b, expiry) })
	}
	return answered(d.inner.Commit(key, b, expiry))
}

func (d *sessionData) delete(ctx context.Context, key string) error {
	if s, ok := d.inner.(scs.CtxStore); ok {
		return boundErr(ctx, func(ctx context.Context) error { return s.DeleteCtx(ctx, key) })
	}
	return answered(d.inner.Delete(key))
}

// end deletes the data of a session that is over.
func (d *sessionData) end(ctx context.Context, c Claims) error {
	s, ok := d.inner.(interface {
		DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error
	})
	if ok {
		return s.DeleteSession(ctx, c.UserID, c.SessionID)
	}
	return d.delete(ctx, d.key(c.SessionID))
}

// endOthers deletes the data of a user's sessions but one, in a store that
// knows which they are.
func (d *sessionData) endOthers(ctx context.Context, userID, except uuid.UUID) error {
	s, ok := d.inner.(interface {
		DeleteSessions(ctx context.Context, userID, except uuid.UUID) error
	})
	if ok {
		return s.DeleteSessions(ctx, userID, except)
	}
	return nil
}

// A dataCarrier carries the data of sessions, by all managers that LoadAndSave was
// called with.
type dataCarrier struct {
	*shared
	mu      sync.Mutex
	managed []*sessionData
}

// manage puts itself in front of a manager's store.
func (dc *dataCarrier) manage(sm *scs.SessionManager) *sessionData {
	if already, ok := sm.Store.(*sessionData); ok && already.home == dc.home {
		return already
	}
	data := &sessionData{home: dc.home, sm: sm, inner: sm.Store}
	sm.Store = data
	dc.mu.Lock()
	defer dc.mu.Unlock()
	dc.managed = append(dc.managed, data)
	return data
}

// managers returns the session managers that LoadAndSave was called with.
func (dc *dataCarrier) managers() []*sessionData {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	return dc.managed
}

// A carried is the data of one manager on its way to a new session.
type savedData struct {
	data   *sessionData
	text   []byte
	expiry time.Time
	values map[string]any // what text says
}

// load reads the data of a session that is about to end.
func (dc *dataCarrier) load(ctx context.Context, c Claims) ([]savedData, error) {
	var all []savedData
	theirs := NewContext(ctx, c) // the request's may have no user, without Handler
	for _, d := range dc.managers() {
		text, found, err := d.find(theirs, d.key(c.SessionID))
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		expiry, values, err := d.sm.Codec.Decode(text)
		if err != nil {
			// A type that was renamed, for example. Fails open: the app cannot read the
			// data as it is, and that must not keep a user from signing in.
			dc.emitCtx(ctx, Event{Outcome: Failed, Reason: ReasonSessionData, SessionID: c.SessionID, Err: err})
			continue
		}
		all = append(all, savedData{d, text, expiry, values})
	}
	return all, nil
}

// save writes the data under the session's successor. The old copy is deleted after
// the commit, by deleteSessionData: a store outside of the transaction must not have lost it when
// the transaction fails.
func (dc *dataCarrier) save(ctx context.Context, all []savedData, c Claims) error {
	theirs := NewContext(ctx, c) // the request's is still the old session's
	for _, data := range all {
		if err := data.data.commit(theirs, data.data.key(c.SessionID), data.text, data.expiry); err != nil {
			return err
		}
	}
	return nil
}

// clear empties what a request has loaded, when its visitor turned out to be another
// user: it must not be saved as theirs.
func (dc *dataCarrier) clear(ctx context.Context) {
	for _, d := range dc.managers() {
		if ctx.Value(loadedKey{d}) != nil {
			_ = d.sm.Clear(ctx) // which asks no store, and has no error to return
		}
	}
}

// reload gives a request the data of another session of its visitor in place of what
// it has loaded, which is older and would otherwise be saved over it.
func (dc *dataCarrier) reload(ctx context.Context, c Claims) error {
	dc.clear(ctx)
	all, err := dc.load(ctx, c)
	for _, one := range all {
		sm := one.data.sm
		if ctx.Value(loadedKey{one.data}) == nil {
			continue
		}
		for key, value := range one.values {
			sm.Put(ctx, key, value)
		}
	}
	return err
}

// deleteSessionData deletes the data of a session that has ended, which need not be the one
// that the request came with. What cannot be deleted now expires by itself, and
// no token leads to it any more.
func (dc *dataCarrier) deleteSessionData(ctx context.Context, c Claims) {
	dc.cleanUp(NewContext(ctx, c), c, func(ctx context.Context, d *sessionData) error {
		return d.end(ctx, c)
	})
}

// deleteOtherSessionData deletes the data of all sessions of a user but one, which have
// ended; with uuid.Nil, all.
func (dc *dataCarrier) deleteOtherSessionData(ctx context.Context, userID, except uuid.UUID) {
	dc.cleanUp(ctx, Claims{UserID: userID}, func(ctx context.Context, d *sessionData) error {
		return d.endOthers(ctx, userID, except)
	})
}

// cleanUp does for each manager what follows from a change that is committed. So it
// neither waits for a store that hangs nor ends with a visitor who hangs up.
func (dc *dataCarrier) cleanUp(ctx context.Context, of Claims, do func(context.Context, *sessionData) error) {
	all := dc.managers()
	if len(all) == 0 {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	for _, d := range all {
		if err := do(bounded, d); err != nil {
			dc.emitCtx(ctx, Event{Outcome: Failed, Reason: ReasonSessionData, UserID: of.UserID, SessionID: of.SessionID, Err: err})
		}
	}
}
