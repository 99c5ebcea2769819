package walkin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
)

// LoadAndSave is scs's middleware on walkin's session, for the routes that keep
// data on the server: handlers use sm as they always did, and there is no
// second cookie. It stands inside [Middleware.Handler].
//
// A handler's sm.Destroy ends the data and not the visitor's session: they stay signed
// in, and OnEvent gets Failed with session_destroyed, unless Config.Sessions.DestroySignsOut
// makes it a [Middleware.SignOut].
//
// The data belongs to the session in the visitor's token. An upgrade carries it
// over, in the same transaction when sm.Store takes part in it, and so does
// every change of identity that keeps the user; signing in to another user's
// account does not, unless the guest is merged. A sign-out destroys it.
//
// A store that wants to know whose data it keeps asks [FromContext], which
// answers for the session that the data is of, also while walkin carries it
// over or deletes it. Such a store may have one or both of two methods more,
// which mean for the data what they mean in [Store] for the sessions:
//
//	DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error
//	DeleteSessions(ctx context.Context, userID, except uuid.UUID) error
//
// The first takes the place of Delete for a session that is over, which a
// handler's sm.Destroy is not. The second is called where a user's other
// sessions end: when they upgrade, unlink, are merged or deleted, or sign out
// everywhere. Both are called after the commit. That one failed is an event,
// Failed with session_data, and no error: the data expires by itself, and no
// token leads to it.
//
// Data is saved before the response's header goes out, as scs does; what a
// handler puts after its first byte, or before a panic, is lost. A save that
// fails is a 503 instead of the handler's answer. The first thing a provisional
// user saves makes them a row; where Config.NewUsers.Limit is reached, it is not kept
// on a GET and a 429 on an act. Nobody has no session: what their handlers put
// is not kept, so use a guard or [Middleware.Ensure] first.
//
// Call it while setting up, before the site is served: it puts itself in front
// of sm.Store. sm's own Lifetime, IdleTimeout and Codec hold; sm.Cookie and
// sm.Iterate do not. Of two requests of one session that save at once, the last
// one wins.
func (m *Middleware) LoadAndSave(sm *scs.SessionManager) func(http.Handler) http.Handler {
	data := &sessionData{m: m, sm: sm, inner: sm.Store}
	if already, ok := sm.Store.(*sessionData); ok && already.m == m {
		data = already
	} else {
		sm.Store = data
		m.mu.Lock()
		m.data = append(m.data, data)
		m.mu.Unlock()
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			outer, v := r, m.visit(w, r)
			if visitFrom(r.Context()) != v {
				r = request.With(v, r) // what Ensure finds out must be known when we save
				defer v.end()
			}
			id := ""
			if c := v.claims.Load(); c != nil {
				id = c.SessionID.String()
			}
			l := &loaded{session: id}
			ctx, err := sm.Load(context.WithValue(r.Context(), loadedKey{data}, l), id)
			if err != nil {
				m.Refuse(w, r, err)
				return
			}
			r = request.With(ctx, r)
			defer func() { request.GiveBack(outer, r) }()
			p := response.New(w)
			header := w.Header().Clone()
			p.Before = func(status int) bool {
				err := data.destroyed(w, r, v, l)
				if err == nil {
					err = data.save(w, r, v, status)
				}
				if err == nil {
					return true
				}
				// Nothing that was said about the answer holds for this one,
				// but who the visitor has become does.
				set := w.Header()["Set-Cookie"]
				clear(w.Header())
				maps.Copy(w.Header(), header)
				if len(set) > 0 {
					w.Header()["Set-Cookie"] = set
				}
				m.Refuse(w, r, err)
				return false
			}
			next.ServeHTTP(p.Wrapped(), r)
			p.Commit(http.StatusOK)
		})
	}
}

// A sessionData is the scs.CtxStore in front of the app's own. Which session's
// data it reads and writes is never up to the token that scs hands it, but to
// the claims in the context, as they are at that moment: scs may make up new
// tokens as it likes, and after an upgrade it goes on with the new session.
type sessionData struct {
	m     *Middleware
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

// destroyed deals with a handler's sm.Destroy. To scs it was a sign-out. To walkin it
// is the end of some data, and the visitor stays signed in, unless Config.Sessions.DestroySignsOut
// says otherwise: so the operator is told.
func (d *sessionData) destroyed(w http.ResponseWriter, r *http.Request, v *visit, l *loaded) error {
	c := v.claims.Load()
	// RenewToken deletes as well, and leaves a token. Whoever signed in meanwhile
	// has another session than the one whose data was destroyed.
	if !l.deleted || c == nil || c.SessionID.String() != l.session || d.sm.Token(r.Context()) != "" {
		return nil
	}
	if d.m.cfg.Sessions.DestroySignsOut {
		return d.m.SignOut(w, r)
	}
	d.m.emit(r, Event{Outcome: Failed, Reason: "session_destroyed", UserID: c.UserID, SessionID: c.SessionID})
	return nil
}

// save keeps what the handlers of a request changed.
func (d *sessionData) save(w http.ResponseWriter, r *http.Request, v *visit, status int) error {
	if d.sm.Status(r.Context()) != scs.Modified {
		return nil
	}
	c := v.claims.Load()
	if c == nil {
		if v.reason() != "signed_out" {
			d.m.emit(r, Event{Outcome: Failed, Reason: "session_of_nobody"})
		}
		return nil
	}
	if c.Provisional {
		if len(d.sm.Keys(r.Context())) == 0 {
			return nil // an idle timeout calls every session modified; a reader stays one
		}
		cookie, err := d.m.makeRow(r, v)
		if err != nil && isSafe(r) && refusalOf(err).Reason == reasonRowLimit {
			// Fails open: a crowd must not keep anybody from reading. What
			// the page would have remembered of them is not kept.
			d.m.emit(r, Event{Outcome: Skipped, Reason: reasonRowLimit, UserID: c.UserID, SessionID: c.SessionID})
			return nil
		}
		if err != nil {
			return err
		}
		if cookie != nil && status != http.StatusNotModified { // see response.Writer.Commit; the next answer brings it
			d.m.setCookies(w, v, cookie)
		}
	}
	_, _, err := d.sm.Commit(r.Context())
	return err
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

// current returns the key of the visitor's session, or false for nobody.
func (d *sessionData) current(ctx context.Context) (string, bool) {
	v := visitFrom(ctx)
	if v == nil || v.m != d.m {
		return "", false
	}
	c := v.claims.Load()
	if c == nil || c.Actor != uuid.Nil { // an operator sees an empty set, and leaves none
		return "", false
	}
	return d.key(c.SessionID), true
}

// FindCtx answers a miss with an empty session: scs drops an ID that is not in
// the store and makes up its own. This one came out of a verified token.
func (d *sessionData) FindCtx(ctx context.Context, _ string) ([]byte, bool, error) {
	key, ok := d.current(ctx)
	if !ok {
		return nil, false, nil
	}
	b, found, err := d.find(ctx, key)
	if err != nil || found {
		return b, found, err
	}
	b, err = d.sm.Codec.Encode(time.Now().Add(d.sm.Lifetime).UTC(), map[string]any{})
	return b, true, err
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

// The methods without a context are of scs's interface and never called by it
// when the others are there. They cannot know whose session it is.

func (d *sessionData) Find(string) ([]byte, bool, error)      { return nil, false, nil }
func (d *sessionData) Commit(string, []byte, time.Time) error { return nil }
func (d *sessionData) Delete(string) error                    { return nil }

// The app's own store, with a context where it takes one: such a store is waited for
// as long as for any other, see Bounded. Errors of the codec stay what they are.

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

// managers returns the session managers that LoadAndSave was called with.
func (m *Middleware) managers() []*sessionData {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data
}

// A carried is the data of one manager on its way to a new session.
type carried struct {
	data   *sessionData
	text   []byte
	expiry time.Time
}

// pickUp reads the data of a session that is about to end.
func (m *Middleware) pickUp(ctx context.Context, c Claims) ([]carried, error) {
	var all []carried
	theirs := NewContext(ctx, c) // the request's may know of nobody, without Handler
	for _, d := range m.managers() {
		text, found, err := d.find(theirs, d.key(c.SessionID))
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		expiry, _, err := d.sm.Codec.Decode(text)
		if err != nil {
			// A type that was renamed, for example. Fails open: the data is
			// lost to the app as it is, and must not keep anybody from
			// signing in.
			m.tell(ctx, Event{Outcome: Failed, Reason: "session_data", SessionID: c.SessionID, Err: err})
			continue
		}
		all = append(all, carried{d, text, expiry})
	}
	return all, nil
}

// putDown writes the data under the session's successor. The old copy goes
// after the commit, by drop: a store outside of the transaction must not have
// lost it when the transaction fails.
func (m *Middleware) putDown(ctx context.Context, all []carried, c Claims) error {
	theirs := NewContext(ctx, c) // the request's is still the old session's
	for _, data := range all {
		if err := data.data.commit(theirs, data.data.key(c.SessionID), data.text, data.expiry); err != nil {
			return err
		}
	}
	return nil
}

// forget empties what a request has loaded, when its visitor turned out to be
// somebody else: it must not be saved as theirs.
func (m *Middleware) forget(ctx context.Context) error {
	for _, d := range m.managers() {
		if ctx.Value(loadedKey{d}) == nil {
			continue
		}
		if err := d.sm.Clear(ctx); err != nil {
			return err
		}
	}
	return nil
}

// reload gives a request the data of another session of its visitor in place of what
// it has loaded, which is older and would otherwise be saved over it.
func (m *Middleware) reload(ctx context.Context, c Claims) error {
	if err := m.forget(ctx); err != nil {
		return err
	}
	all, err := m.pickUp(ctx, c)
	for _, one := range all {
		sm := one.data.sm
		if ctx.Value(loadedKey{one.data}) == nil {
			continue
		}
		_, values, err := sm.Codec.Decode(one.text)
		if err != nil {
			return err
		}
		for key, value := range values {
			sm.Put(ctx, key, value)
		}
	}
	return err
}

// drop deletes the data of a session that has ended, which need not be the one
// that the request came with. What cannot be deleted now expires by itself, and
// no token leads to it any more.
func (m *Middleware) drop(ctx context.Context, c Claims) {
	m.cleanUp(NewContext(ctx, c), Event{UserID: c.UserID, SessionID: c.SessionID}, func(ctx context.Context, d *sessionData) error {
		return d.end(ctx, c)
	})
}

// dropOthers deletes the data of all sessions of a user but one, which have
// ended; with uuid.Nil, all.
func (m *Middleware) dropOthers(ctx context.Context, userID, except uuid.UUID) {
	m.cleanUp(ctx, Event{UserID: userID}, func(ctx context.Context, d *sessionData) error {
		return d.endOthers(ctx, userID, except)
	})
}

// cleanUp does for each manager what follows from something that is done, and
// so neither waits for a store that hangs nor ends with a visitor who hangs up.
func (m *Middleware) cleanUp(ctx context.Context, failed Event, do func(context.Context, *sessionData) error) {
	all := m.managers()
	if len(all) == 0 {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	for _, d := range all {
		if err := do(bounded, d); err != nil {
			failed.Outcome, failed.Reason, failed.Err = Failed, "session_data", err
			m.tell(ctx, failed)
		}
	}
}
