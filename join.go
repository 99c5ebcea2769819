package walkin

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// A Handover says which anonymous user the visitor goes on as, see [Middleware.Join].
// Join believes it: whoever makes one has asked the browser that hands over.
type Handover struct {
	// UserID and SessionID are of the browser that hands over. The handover ends with
	// that session.
	UserID, SessionID uuid.UUID

	// Leave says that the visitor, who has stored something as another anonymous user
	// in this browser, agreed to leave that user behind. Without it they are refused:
	// nothing is replaced unasked.
	Leave bool

	// Redeem, unless nil, uses up what the handover relies on, such as a ticket. It is
	// called in the transaction, with both users locked and before anything else
	// happens. An error refuses the handover. It may run more than once, see
	// store.Store.InTx.
	Redeem func(ctx context.Context) error
}

// maxAnonymousSessions is in how many browsers one anonymous user can be: what a person
// uses at a time. More would be a way to pass an account around without one.
const maxAnonymousSessions = 5

// Join gives the visitor a session of an anonymous user who is in another browser: from
// then on both are that user, until one of them signs up or signs out. It is how an
// anonymous user goes on on a second device. Package credential/handover decides
// when, and needs the consent of the first browser for it.
//
// It refuses to replace a permanent user, and an anonymous user who is stored unless
// Handover.Leave is set. An anonymous user who is left keeps their data, out of reach,
// until they are swept. The user that the handover names must be anonymous and in at
// most 4 browsers, and the session alive.
//
// Everything happens in one transaction. Join refuses cross-origin requests. Call it
// before the response begins, and answer with a redirect. The error is a *[Refusal] for
// [Middleware.Refuse], or that of Redeem.
func (m *Middleware) Join(w http.ResponseWriter, r *http.Request, h Handover) error {
	v := m.verifier.visit(w, r)
	if err := m.admission.admit(v, r, call{name: "Join", needs: needsStore}); err != nil {
		return err
	}
	m.health.prepare(r.Context())
	j := &joining{parts: &m.parts, h: h, now: m.health.earlier(time.Now())}
	switch c := v.claims.Load(); {
	case c != nil && !c.Anonymous:
		return &Refusal{Status: http.StatusConflict, Reason: ReasonHandoverPermanent, Text: texts.Of("handover.permanent")}
	case c != nil:
		j.visitor = *c
	case v.status != absent && v.status != sessionEnded && v.status != invalid && v.status != hasAccount:
		// Fails closed, as for a visitor of two cookies below: a user of theirs whom this
		// replica cannot see now would be replaced.
		return &Refusal{Status: http.StatusUnauthorized, Reason: v.reason()}
	}
	if v.keepCookie || v.lost {
		return &Refusal{Status: http.StatusConflict, Reason: ReasonHandoverUnverified, Text: texts.Of("error.cannot_tell")}
	}
	if err := m.cfg.Store.InTx(r.Context(), j.apply); err != nil {
		if errors.Is(err, store.ErrSessionEnded) || errors.Is(err, store.ErrNotFound) {
			return handoverOver()
		}
		return translate(err)
	}
	if v.status == live {
		m.verifier.over(v.entry)
		m.data.deleteSessionData(r.Context(), j.visitor)
	}
	m.data.clear(r.Context())
	m.issuer.remember(v, j.token, j.claims)
	if v.bearer {
		response.NoStore(w.Header(), "no-store")
		m.issuer.hand(v, j.token, j.claims)
	} else {
		setCookies(w, v, m.cookies.carry(j.token, j.claims, j.now))
	}
	m.emit(r, Event{Outcome: Joined, UserID: j.claims.UserID, SessionID: j.claims.SessionID, AnonymousID: j.left})
	return nil
}

// A joining is one run of Join. apply may run more than once.
type joining struct {
	*parts
	h       Handover
	visitor Claims // zero without a user
	now     time.Time

	claims Claims // of the new session
	token  string
	buried bool      // the visitor was not stored; a tombstone ends their token
	left   uuid.UUID // the anonymous user who was left, or zero
}

// apply decides and applies it, in the transaction of ctx.
func (j *joining) apply(ctx context.Context) error {
	j.buried, j.left = false, uuid.Nil
	if err := j.lock(ctx); err != nil {
		return err
	}
	if j.h.Redeem != nil {
		if err := j.h.Redeem(ctx); err != nil {
			return err
		}
	}
	if err := j.checkGiver(ctx); err != nil {
		return err
	}
	if err := j.leave(ctx); err != nil {
		return err
	}
	if err := j.open(ctx); err != nil {
		return err
	}
	if j.buried {
		return j.cfg.Store.DeleteUser(ctx, *j.health.tombstone(j.visitor.UserID, uuid.Nil, j.now))
	}
	return nil
}

// lock locks both users in the order of their IDs, as every change of two users does. A
// visitor who is not stored is stored for a moment: so the store decides that they have
// nothing to lose, and not a look-up before.
func (j *joining) lock(ctx context.Context) error {
	ids := []uuid.UUID{j.visitor.UserID, j.h.UserID}
	if bytes.Compare(ids[0][:], ids[1][:]) > 0 {
		ids[0], ids[1] = ids[1], ids[0]
	}
	for i, id := range ids {
		if id == uuid.Nil || i == 1 && id == ids[0] {
			continue
		}
		user, err := j.cfg.Store.LockUser(ctx, id)
		switch refusal := banned(user.Ban.Until); {
		case err == nil && refusal != nil:
			return refusal
		case errors.Is(err, store.ErrNotFound) && id == j.visitor.UserID && id != j.h.UserID && j.visitor.Provisional:
			err = j.cfg.Store.CreateUser(ctx, store.User{ID: id, Anonymous: true, CreatedAt: j.now, SeenAt: j.now})
			j.buried = err == nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkGiver refuses a handover whose session has ended, or whose user has an account
// by now: who signs up is the only one that goes on.
func (j *joining) checkGiver(ctx context.Context) error {
	session, err := j.cfg.Store.LookupSession(ctx, j.h.UserID, j.h.SessionID)
	switch {
	case err != nil:
		return err
	case !session.Anonymous, j.now.After(session.ExpiresAt.Add(leeway)), j.verifier.outlived(session.CreatedAt, j.now):
		return store.ErrSessionEnded
	case j.h.UserID == j.visitor.UserID:
		return &Refusal{Status: http.StatusConflict, Reason: ReasonHandoverSame, Text: texts.Of("handover.same")}
	}
	sessions, err := j.cfg.Store.UserSessions(ctx, j.h.UserID)
	alive := 0
	for _, s := range sessions {
		if !j.now.After(s.ExpiresAt.Add(leeway)) {
			alive++
		}
	}
	if err == nil && alive >= maxAnonymousSessions {
		return &Refusal{Status: http.StatusConflict, Reason: ReasonHandoverFull, Text: texts.Of("handover.full")}
	}
	return err
}

// leave ends what the visitor was in this browser before.
func (j *joining) leave(ctx context.Context) error {
	if j.visitor.UserID == uuid.Nil || j.buried {
		return nil
	}
	session, err := j.cfg.Store.LookupSession(ctx, j.visitor.UserID, j.visitor.SessionID)
	switch {
	case err != nil:
		return err // they signed out a moment ago, or up
	case !session.Anonymous:
		return &Refusal{Status: http.StatusConflict, Reason: ReasonHandoverPermanent, Text: texts.Of("handover.permanent")}
	case !j.h.Leave:
		return &Refusal{Status: http.StatusConflict, Reason: ReasonHandoverOccupied, Text: texts.Of("handover.occupied")}
	}
	j.left = j.visitor.UserID
	return j.cfg.Store.DeleteSession(ctx, j.visitor.UserID, j.visitor.SessionID)
}

// open makes the new session and its token.
func (j *joining) open(ctx context.Context) error {
	c := Claims{UserID: j.h.UserID, SessionID: uuid.New(), Anonymous: true}
	c = j.issuer.bounded(j.issuer.dated(c, j.now), mintedAt(c))
	var err error
	if j.token, j.claims, err = j.issuer.issue(ctx, c); err != nil {
		return &hookError{Joined, err}
	}
	return j.cfg.Store.CreateSession(ctx, store.Session{ID: c.SessionID, UserID: c.UserID, CreatedAt: j.now, RenewedAt: j.now, ExpiresAt: j.claims.ExpiresAt})
}

// handoverOver says nothing about why: the receiving browser learns nothing about the
// user.
func handoverOver() *Refusal {
	return &Refusal{Status: http.StatusConflict, Reason: ReasonHandoverOver, Text: texts.Of("handover.over")}
}

// HasAccount reports whether the visitor has no user here because the one of their
// cookie has an account by now, made in another browser: the sign-in page tells them. It
// is known where a browser opens a page behind [Middleware.Handler].
func (m *Middleware) HasAccount(r *http.Request) bool {
	v := visitFrom(r.Context())
	return v != nil && v.home == m.home && v.status == hasAccount
}
