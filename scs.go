package walkin

import (
	"context"
	"maps"
	"net/http"

	"github.com/alexedwards/scs/v2"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
)

// LoadAndSave is scs's middleware on walkin's session, for the routes that keep data on
// the server: handlers use sm as they always did, and there is no second cookie. Put it
// inside [Middleware.Handler].
//
// A handler's sm.Destroy ends the data and not the visitor's session: they stay signed
// in, and OnEvent gets Failed with session_destroyed, unless Config.Sessions.DestroySignsOut
// makes it a [Middleware.SignOut].
//
// The data belongs to the session in the visitor's token. An upgrade carries it over,
// in the same transaction when sm.Store takes part in it, and so does every change of
// identity that keeps the user. Signing in to another user's account does not, unless
// the anonymous user is merged. A sign-out destroys it.
//
// A store that needs to know whose data it keeps calls [FromContext]. It returns the
// claims of the session that the data belongs to, also while walkin carries the data
// over or deletes it. Such a store may have one or both of these methods, which do for
// the data what they do in [store.Store] for the sessions:
//
//	DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error
//	DeleteSessions(ctx context.Context, userID, except uuid.UUID) error
//
// The first replaces Delete for a session that has ended; a handler's sm.Destroy does
// not end one. The second is called where a user's other sessions end: when they
// upgrade, unlink, are merged or deleted, or sign out everywhere. Both are called after
// the commit. A failure is reported as a Failed event with reason session_data; it is
// not returned. The data expires by itself, and no token leads to it.
//
// Data is saved before the response's header goes out, as scs does. What a handler puts
// after its first byte, or before a panic, is lost. A save that fails is a 503 instead
// of the handler's answer. The first data that a provisional user saves makes them a
// stored user. Where Config.NewUsers.Limit is reached, the data is not kept on a GET,
// and an unsafe request is refused with 429. A request without a user has no session:
// what its handlers put is not kept, so use a guard or [Middleware.Ensure] first.
//
// Call it during setup, before the site is served: it replaces sm.Store with a store
// that wraps it. sm's own Lifetime, IdleTimeout and Codec apply; sm.Cookie and
// sm.Iterate do not. If two requests of one session save at once, the last one wins.
func (m *Middleware) LoadAndSave(sm *scs.SessionManager) func(http.Handler) http.Handler {
	data := m.data.manage(sm)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			outer, v := r, m.verifier.visit(w, r)
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
				err := m.destroyed(data, w, r, v, l)
				if err == nil {
					err = m.save(data, w, r, v, status)
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

// destroyed deals with a handler's sm.Destroy. To scs it was a sign-out. To walkin it
// is the end of some data, and the visitor stays signed in, unless Config.Sessions.DestroySignsOut
// says otherwise: so the operator is told.
func (m *Middleware) destroyed(d *sessionData, w http.ResponseWriter, r *http.Request, v *visit, l *loaded) error {
	c := v.claims.Load()
	// RenewToken deletes as well, and leaves a token. A visitor who signed in meanwhile
	// has another session than the one whose data was destroyed.
	if !l.deleted || c == nil || c.SessionID.String() != l.session || d.sm.Token(r.Context()) != "" {
		return nil
	}
	if m.cfg.Sessions.DestroySignsOut {
		return m.SignOut(w, r)
	}
	m.emit(r, Event{Outcome: Failed, Reason: ReasonSessionDestroyed, UserID: c.UserID, SessionID: c.SessionID})
	return nil
}

// save keeps what the handlers of a request changed.
func (m *Middleware) save(d *sessionData, w http.ResponseWriter, r *http.Request, v *visit, status int) error {
	if d.sm.Status(r.Context()) != scs.Modified {
		return nil
	}
	c := v.claims.Load()
	if c == nil {
		if v.reason() != ReasonSignedOut {
			m.emit(r, Event{Outcome: Failed, Reason: ReasonSessionWithoutUser})
		}
		return nil
	}
	if c.Provisional {
		if len(d.sm.Keys(r.Context())) == 0 {
			return nil // an idle timeout calls every session modified; a reader stays one
		}
		cookie, err := m.storeUser(r, v)
		if err != nil {
			if !isSafe(r) || refusalOf(err).Reason != ReasonNewUserLimit {
				return err
			}
			// Fails open: a crowd must not keep a visitor from reading. What
			// the page would have remembered of them is not kept.
			m.emit(r, Event{Outcome: Skipped, Reason: ReasonNewUserLimit, UserID: c.UserID, SessionID: c.SessionID})
			return nil
		}
		if cookie != nil && status != http.StatusNotModified { // see response.Writer.Commit; the next answer brings it
			setCookies(w, v, cookie)
		}
	}
	_, _, err := d.sm.Commit(r.Context())
	return err
}
