package walkin

import (
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/store"
)

// CameFrom reports whether the visitor's session is the given one, or replaced it by
// changes of identity of the last 15 minutes: an upgrade, a merge, a sign-in. After a
// sign-out it is false for the next user who signs in, the same user included. The
// error is the store's.
func (m *Middleware) CameFrom(r *http.Request, session uuid.UUID) (bool, error) {
	c := m.verifier.visit(nil, r).claims.Load()
	if c == nil {
		return false, nil
	}
	for range maxChanges {
		if c.SessionID == session {
			return true, nil
		}
		next, err := m.health.successor(r.Context(), sessionFlowID(Claims{SessionID: session}))
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		session = next.SessionID
	}
	return false, nil
}

// maxChanges is how many changes of identity [Middleware.CameFrom] follows: more
// than any visitor makes in the 15 minutes that they are remembered for.
const maxChanges = 8

// again answers the second half of a double click: a proof whose Redeem says that it
// was redeemed a moment ago. It gives the token of the session that the first half
// opened, while that is alive, to a browser that still has what the flow was bound to.
// It opens no session. It fails closed, with the refusal that Redeem returned: after a
// sign-out, here or anywhere, a deletion or an unlinking that session has ended.
func (m *Middleware) again(w http.ResponseWriter, r *http.Request, v *visit, p Proof, refusal error) (Outcome, error) {
	if p.FlowID == "" {
		return "", refusal
	}
	first, err := m.health.successor(r.Context(), p.FlowID)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && (first.Provider != p.Provider || first.Subject != p.Subject):
		return "", refusal
	case err != nil:
		return "", storeFailed(err)
	}
	has := v.claims.Load() != nil && v.claims.Load().SessionID == first.SessionID
	if !has {
		if ok, err := m.verifier.shows(r, v, p.FlowID, first); err != nil {
			return "", storeFailed(err)
		} else if !ok {
			return "", refusal
		}
	}
	claims := Claims{UserID: first.UserID, SessionID: first.SessionID, Method: first.Method,
		ProvenAt: first.ProvenAt, IssuedAt: first.IssuedAt, ExpiresAt: first.ExpiresAt}
	now := time.Now()
	session, err := m.health.lookup(r.Context(), claims)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrSessionEnded), err == nil && now.After(session.ExpiresAt.Add(leeway)):
		return "", refusal
	case err != nil:
		return "", storeFailed(err)
	case has:
		return first.Outcome, nil
	}
	token, claims, err := m.issuer.issue(r.Context(), claims)
	if err != nil {
		return "", refusalOf(err)
	}
	if err := m.data.reload(r.Context(), claims); err != nil {
		return "", storeFailed(err)
	}
	unverified := v.status == unverifiable
	m.issuer.remember(v, token, claims)
	if v.bearer {
		response.NoStore(w.Header(), "no-store")
		m.issuer.hand(v, token, claims)
		return first.Outcome, nil
	}
	m.cookies.setPermanent(w, r, v, token, claims, now, unverified)
	return first.Outcome, nil
}

// shows reports whether a request is from the browser of a flow's first half: it has
// the session that this one has ended, or what the flow was bound to. A sign-out takes
// both. A browser that has another user by now keeps that session.
func (vr *verifier) shows(r *http.Request, v *visit, bound string, first successor) (bool, error) {
	if c := v.claims.Load(); c != nil && !c.Provisional {
		next, err := vr.health.successor(r.Context(), sessionFlowID(*c)) // it was alive when the request came in
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		return next.SessionID == first.SessionID, err // first has a session: never with an error
	}
	if v.entry != nil && sessionFlowID(v.entry.claims) == bound {
		return true, nil
	}
	value, ok := vr.cookies.flowValue(r)
	return ok && cookieFlowID(value) == bound, nil
}
