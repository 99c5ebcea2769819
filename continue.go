package walkin

import (
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/internal/token"
)

// Continue completes every credential: the visitor has proven an identity, and goes on
// as its user. It returns
//
//   - Upgraded: an anonymous visitor, a free identity: the same user ID, permanent
//   - Merged or SignedIn: an anonymous visitor, another user's identity, see Conflict
//   - SignedUp: no user, a free identity: a new permanent user
//   - SignedIn: no user, an identity with an owner; or a permanent user, their own: a fresh proof
//   - Linked: a permanent user, a free identity; needs a proof within Config.Sessions.RecentProof,
//     and fails once the user has 100 identities
//
// Otherwise the error is store.ErrIdentityTaken or a *[Refusal], both for
// [Middleware.Refuse]. Within a minute after a session was replaced by one of these,
// its old token gets store.ErrIdentityTaken in place of SignedUp: it is a late click from
// another tab. With Proof.Chosen, a visitor who is not stored yet counts for
// Config.NewUsers.Limit.
//
// Everything happens in one transaction or not at all, hooks included. The visitor gets
// a new session and its cookie. From then on the old token is invalid, and after an
// upgrade so is every other token of the user. A bearer gets no cookie: answer with
// what [IssuedToken] returns.
//
// Continue refuses cross-origin requests by itself. Call it before the response begins,
// from one goroutine. Do not change Cache-Control after it, and answer with a redirect.
func (m *Middleware) Continue(w http.ResponseWriter, r *http.Request, p Proof) (Outcome, error) {
	v := m.verifier.visit(w, r)
	if err := m.admission.admit(v, r, call{name: "Continue", needs: needsStore, stateChecked: p.StateChecked}); err != nil {
		return "", err
	}
	if !p.isValid() {
		return "", &Refusal{Status: http.StatusUnprocessableEntity, Reason: ReasonBadIdentity}
	}
	m.health.prepare(r.Context())
	s := newIdentityChange(&m.parts, r, v, p)
	taken, refusal := m.limits.reserve(r, v, s)
	if refusal != nil {
		return "", refusal
	}
	err := s.run(r.Context())
	m.limits.giveBackUnused(r, s, taken)
	switch {
	case errors.Is(err, halfProven{}):
		return "", (*m.factor.Load()).Hold(w, r, p)
	case errors.Is(err, ErrRedeemed):
		return m.again(w, r, v, p, err)
	case err != nil:
		return "", translate(err)
	}
	if s.visitor.UserID != s.claims.UserID && s.change.Outcome != Merged {
		m.data.clear(r.Context())
	}
	m.finish(w, r, v, s)
	return s.change.Outcome, nil
}

// newIdentityChange returns the change that a proof asks for, with what is known of the
// visitor.
func newIdentityChange(m *parts, r *http.Request, v *visit, p Proof) *identityChange {
	s := &identityChange{m: m, proof: p, now: m.health.earlier(time.Now()), unverified: v.status == unverifiable || v.status == suspended}
	if s.unverified {
		s.unknown = m.verifier.refuseUnverified(r)
	}
	if c := v.claims.Load(); c != nil && !(v.lost && m.cfg.Sessions.NoRevival) {
		s.visitor, s.lost = *c, v.lost
	} else if v.status == lost && !v.entry.claims.Anonymous && !m.cfg.Sessions.NoRevival {
		s.owner = v.entry.claims.UserID
	} else if v.entry != nil {
		s.ended = v.entry.claims // if it has not ended, nothing has replaced it
	}
	return s
}

// finish gives the visitor the session that an identity change has opened.
func (m *Middleware) finish(w http.ResponseWriter, r *http.Request, v *visit, s *identityChange) {
	if v.entry != nil && s.endsOld {
		m.verifier.over(v.entry)
		m.data.deleteSessionData(r.Context(), s.visitor)
	}
	switch s.change.Outcome {
	case Upgraded, Unlinked:
		m.data.deleteOtherSessionData(r.Context(), s.change.UserID, s.claims.SessionID)
	case Merged:
		m.data.deleteOtherSessionData(r.Context(), s.change.AnonymousID, uuid.Nil)
	}
	access := time.Duration(0)
	if v.entry != nil && v.entry.access && s.change.Outcome == Unlinked {
		access = v.entry.claims.ExpiresAt.Sub(v.entry.claims.IssuedAt)
	}
	s.emitEvicted(r)
	m.issuer.remember(v, s.token, s.claims)
	if v.bearer {
		response.NoStore(w.Header(), "no-store")
		m.issuer.handAfter(r, v, s, access)
	} else {
		m.cookies.setPermanent(w, r, v, s.token, s.claims, s.now, s.unverified)
		if s.proof.Device {
			setCookies(w, v, m.devices.mark(r, s.identity))
		}
	}
	if s.revived {
		m.emit(r, Event{Outcome: Revived, UserID: s.change.UserID, SessionID: s.claims.SessionID})
	}
	m.emit(r, Event{Outcome: s.change.Outcome, UserID: s.change.UserID, AnonymousID: s.change.AnonymousID,
		SessionID: s.claims.SessionID, Provider: s.proof.Provider})
}

// setPermanent gives a browser the token of a permanent user, in place of all that it
// had. An anonymous cookie that could not be verified stays.
func (k *cookies) setPermanent(w http.ResponseWriter, r *http.Request, v *visit, token string, c Claims, now time.Time, unverified bool) {
	setCookies(w, v, k.carry(token, c, now))
	if !unverified {
		setCookies(w, v, k.clear(k.anonymous))
	}
	if len(r.CookiesNamed(k.binding)) > 0 {
		// What was begun without a user ends with this sign-in, and stays so when
		// this session ends in its turn.
		setCookies(w, v, k.clear(k.binding))
	}
}

// handAfter hands the token of a change to a bearer. Where nothing was proven, a token
// with a short life stays one: access is that life, or zero.
func (is *issuer) handAfter(r *http.Request, v *visit, s *identityChange, access time.Duration) {
	text, c := s.token, s.claims
	if access > 0 {
		c.ExpiresAt = c.IssuedAt.Add(access)
		var err error
		if text, err = is.keys.Issue(c.forToken(), token.Access, is.cfg.Tokens.Audience); err != nil {
			is.emit(r, Event{Outcome: Failed, Reason: ReasonAccessToken, UserID: c.UserID, SessionID: c.SessionID, Err: err})
		}
	}
	if text != "" {
		is.hand(v, text, c)
	}
}
