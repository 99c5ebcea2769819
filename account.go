package walkin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// SignOutHandler ends the visitor's session on POST and redirects them to the form's
// return_to, or to "/". Both cookies are removed. An anonymous visitor who signs out
// cannot come back: warn them first.
func (m *Middleware) SignOutHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", "POST")
			refusal := &Refusal{Status: http.StatusMethodNotAllowed, Reason: ReasonMethod}
			if isSafe(r) {
				refusal = safeMethod()
			}
			m.Refuse(w, r, refusal)
			return
		}
		limitBody(w, r)
		if err := m.SignOut(w, r); err != nil {
			m.Refuse(w, r, err)
			return
		}
		http.Redirect(w, r, ReturnTo(r), http.StatusSeeOther)
	})
}

// SignOut ends all that this browser holds: the session of each cookie and of a
// bearer token, and with the sessions whatever hangs on them, such as codes that
// were sent, login flows and kept forms; the cookie of [Middleware.StartFlow] and those
// of [Middleware.ClearAtSignOut] are removed with the others. Where it could not
// end a session, the error says so. Where the browser has several cookies of a
// name, it ends the sessions of all, and removes them for this host, its parent
// domains and the prefixes of the path. Signing out without a session is not an error.
//
// It refuses cross-origin requests, and safe methods with 405: a link that signs out
// can be followed by any site, a prefetch or a mail scanner, so it becomes a form, see
// docs/adding-walkin.md. Call it before the response begins.
func (m *Middleware) SignOut(w http.ResponseWriter, r *http.Request) error {
	v := m.verifier.visit(w, r)
	if err := m.admission.admit(v, r, call{name: "SignOut", needs: needsNothing}); err != nil {
		return err
	}
	if v.actor() != nil { // it stops, and nothing of the user's ends
		operators{m}.stopActing(w, r, v)
		v.become(sessionEnded, ReasonSignedOut)
		return nil
	}
	now := time.Now()
	held := m.verifier.allOf(r, v, now)
	reason, err := m.endAll(r, held, now)
	if err != nil {
		return err
	}
	v.become(sessionEnded, ReasonSignedOut)
	if !held.bearer && !v.bearer || held.cookies {
		setCookies(w, v, held.clearing...)
	}
	if held.cookies {
		m.admission.firstCookies.returned(r, m.clock())
	}
	setCookies(w, v, m.flows.clearing(r, m.cookies.clear(m.cookies.binding))...)
	if reason != "" {
		return &Refusal{Status: http.StatusServiceUnavailable, Reason: reason, RetryAfter: 5 * time.Second,
			Text: texts.Of("error.signed_out_here")}
	}
	return nil
}

// endAll ends the sessions of all that a browser holds. The reason says which of them
// may go on all the same: that is no success, though the browser has forgotten them.
func (m *Middleware) endAll(r *http.Request, held holdings, now time.Time) (reason Reason, err error) {
	unverified, unknown := held.tooMany, false
	for _, f := range held.tokens {
		switch f.status {
		case unverifiable:
			// A bearer under a key that is not ours may well be the app's own: it is no
			// failure where there is a cookie of ours.
			unverified = unverified || !f.bearer || !held.cookies
		case unreachable:
			return "", storeFailed(f.err) // fails closed: the session would still be alive
		case lost:
			unknown = true
		case live, suspended:
			unknown = unknown || f.lost
			if err := m.end(r, f.entry, f.lost, now); err != nil {
				return "", err
			}
		}
	}
	switch {
	case unknown:
		return ReasonUnknownUser, nil // a database that knows the session may be back tomorrow
	case unverified:
		return ReasonUnknownKey, nil // only another replica can name the session
	}
	return "", nil
}

// The holdings of a browser are all that a sign-out ends and removes.
type holdings struct {
	tokens          []authResult
	clearing        []*http.Cookie
	bearer, cookies bool
	tooMany         bool // there are more values of a name than are verified
}

// allOf verifies each token of a request, whichever of them the visitor is by: a bearer
// that is the app's own or broken must not hide the cookie's session, and an anonymous
// user left behind in the other cookie must not be found by the next user of this
// computer.
func (vr *verifier) allOf(r *http.Request, v *visit, now time.Time) (h holdings) {
	if v.status == live {
		h.tokens = append(h.tokens, authResult{status: live, entry: v.entry, lost: v.lost}) // or one that this very response opened
	}
	var token string
	if token, h.bearer = request.Bearer(r.Header); h.bearer {
		f := vr.verifyToken(r, token, vr.cache.Get(token), now, asBearer)
		f.bearer = true
		h.tokens = append(h.tokens, f)
	}
	var variants []*http.Cookie
	for i, k := range vr.cookies.scopes() {
		var b requestCredentials
		k.find(r.Header, nil, &b.permanent, &b.anonymous)
		for as, c := range b.both {
			name := k.name(as == asAnonymous)
			if i == 0 || c.status != absent {
				h.clearing = append(h.clearing, k.clear(name))
			}
			if c.status == absent {
				continue
			}
			h.cookies = true
			h.tooMany = h.tooMany || c.status == conflicting
			if k.mayVary(name, c) {
				variants = append(variants, k.clearOthers(r, name)...)
			}
			for _, value := range c.values() {
				h.tokens = append(h.tokens, vr.verifyToken(r, value, vr.cache.Get(value), now, as))
			}
		}
	}
	h.clearing = append(h.clearing, fit(variants)...)
	return h
}

// end ends the session of a token.
func (m *Middleware) end(r *http.Request, e *entry, lost bool, now time.Time) error {
	if m.verifier.isOver(e) {
		return nil
	}
	c := e.claims
	c.Provisional = c.Provisional || lost // a tombstone keeps them from coming back here
	// For a client that wants to fill a store, with a new cookie for each, a tombstone
	// is as good as a stored user.
	var taken reservation
	var full *Refusal
	if c.Provisional {
		taken, full = m.limits.takeNewUser(r, now)
		m.health.prepare(r.Context()) // for the tombstone: a replica may let tokens live longer
	}
	buried := false
	err := m.cfg.Store.InTx(r.Context(), func(ctx context.Context) error {
		buried = false
		if c.Provisional && full == nil {
			// There is no session to delete; the tombstone ends the token. Only
			// of a user who is not there: they may upgrade at this moment on
			// another replica, and the replica that stores them first decides.
			err := m.cfg.Store.CreateUser(ctx, store.User{ID: c.UserID, Anonymous: true, CreatedAt: now, SeenAt: now})
			if err == nil {
				buried = true
				return m.cfg.Store.DeleteUser(ctx, *m.health.tombstone(c.UserID, uuid.Nil, now))
			}
			if !errors.Is(err, store.ErrSessionEnded) {
				return err
			}
		}
		if _, err := m.cfg.Store.LockUser(ctx, c.UserID); c.Provisional && errors.Is(err, store.ErrNotFound) {
			// Without room for a tombstone it ends in this browser and on this replica
			// alone. A copy of the token is then that of an anonymous user who has
			// stored nothing, and no visitor is kept from signing out.
			return nil
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return m.cfg.Store.DeleteSession(ctx, c.UserID, c.SessionID)
	})
	if !buried {
		m.limits.giveBack(r, taken, now)
	}
	if full != nil {
		m.emit(r, Event{Outcome: Skipped, Reason: ReasonNewUserLimit, UserID: c.UserID, SessionID: c.SessionID})
	}
	if err != nil {
		return err
	}
	m.verifier.over(e)
	m.data.deleteSessionData(r.Context(), c)
	m.emit(r, Event{Outcome: SignedOut, UserID: c.UserID, SessionID: c.SessionID})
	return nil
}

// SignOutEverywhere ends all sessions of a user. From then on their tokens are rejected
// at once; for reads on other replicas, within two seconds with [Middleware.RunFeed]
// and within Config.Sessions.RecheckAfter without it. Where the user asks for it, call
// [Middleware.SignOut] as well, so that their own browser forgets them now.
func (m *Middleware) SignOutEverywhere(ctx context.Context, userID uuid.UUID) error {
	if err := CheckActor(ctx); err != nil {
		return err
	}
	err := m.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		// The lock: a sign-in that has begun ends first, and its session too.
		if _, err := m.cfg.Store.LockUser(ctx, userID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return m.cfg.Store.DeleteSessions(ctx, userID, uuid.Nil)
	})
	if err != nil {
		return err
	}
	m.data.deleteOtherSessionData(ctx, userID, uuid.Nil)
	m.emitCtx(ctx, Event{Outcome: SignedOut, UserID: userID})
	return nil
}

// DeleteUser deletes a user, anonymous or permanent, with their sessions and
// identities, for ever: no token of theirs brings them back. What the app stored about
// them is deleted by its foreign keys, or by Config.Hooks.OnDelete in the same
// transaction.
//
// Their tokens end as those of SignOutEverywhere do. Where visitors delete themselves,
// use an unsafe method such as POST, and call [Middleware.SignOut] afterwards, so that
// their own browser forgets them now.
//
// Deleting a visitor who is not stored writes a tombstone, and a bot could cause that
// at will. So with the context of such a visitor's request, DeleteUser takes from
// Config.NewUsers.Limit. It returns a *[Refusal] with 429 when that limit is reached.
func (m *Middleware) DeleteUser(ctx context.Context, userID uuid.UUID) error {
	if err := CheckActor(ctx); err != nil {
		return err
	}
	if v := visitFrom(ctx); v != nil && v.home != nil {
		// Also where they delete another user: a visitor who is not stored decides about no one.
		if c := v.claims.Load(); c != nil && c.Provisional {
			r := v.request.Load()
			if r == nil {
				// Fails closed: without the request nothing says whose limit it is.
				return errors.New("walkin: DeleteUser was called with the context of a request that has ended")
			}
			if _, full := m.limits.takeNewUser(r, time.Now()); full != nil {
				return full
			}
		}
	}
	m.health.prepare(ctx) // for the tombstone: a replica may let tokens live longer
	tombstone := m.health.tombstone(userID, uuid.Nil, time.Now())
	err := m.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		if m.cfg.Hooks.OnDelete != nil {
			if err := m.cfg.Hooks.OnDelete(ctx, userID); err != nil {
				return &hookError{Deleted, err}
			}
		}
		return m.cfg.Store.DeleteUser(ctx, *tombstone)
	})
	if err != nil {
		return err
	}
	m.data.deleteOtherSessionData(ctx, userID, uuid.Nil)
	m.emitCtx(ctx, Event{Outcome: Deleted, UserID: userID})
	return nil
}

// Identities returns the identities of a user, oldest first, without their
// secrets.
func (m *Middleware) Identities(ctx context.Context, userID uuid.UUID) ([]store.Identity, error) {
	identities, err := m.cfg.Store.Identities(ctx, userID)
	for i := range identities {
		identities[i].Secret = nil
	}
	return identities, err
}

// Unlink removes an identity of the visitor and ends all their sessions, since one of
// them may have been opened with it. This browser goes on with a new session. It needs
// a permanent visitor with a proof within Config.Sessions.RecentProof, and refuses
// cross-origin requests. The last identity cannot be removed (409): without one the
// user could not sign in again. Call it as [Middleware.Continue].
func (m *Middleware) Unlink(w http.ResponseWriter, r *http.Request, provider, subject string) error {
	v := m.verifier.visit(w, r)
	if err := m.admission.admit(v, r, call{name: "Unlink", needs: needsRecentProof}); err != nil {
		return err
	}
	c := v.claims.Load()
	m.health.prepare(r.Context())
	s := &identityChange{m: &m.parts, proof: Proof{Provider: provider, Subject: subject, Method: c.Method}, visitor: *c, now: m.health.earlier(time.Now())}
	taken, refusal := m.limits.takeChange(r, *c, s.now)
	if refusal != nil {
		return refusal
	}
	if err := m.cfg.Store.InTx(r.Context(), s.unlink); err != nil {
		if !s.opened {
			m.limits.giveBack(r, taken, s.now)
		}
		return err
	}
	m.finish(w, r, v, s)
	return nil
}

// unlink does it, in the transaction of ctx.
func (s *identityChange) unlink(ctx context.Context) error {
	st, c := s.m.cfg.Store, s.visitor
	// The lock: two requests must not each remove what the other left.
	if _, err := st.LockUser(ctx, c.UserID); err != nil {
		return err
	}
	// The session is looked at again under it: it may have just ended.
	session, err := st.LookupSession(ctx, c.UserID, c.SessionID)
	if err != nil {
		return err
	}
	s.began = session.CreatedAt // nothing was proven, so the new session is no younger
	identities, err := st.Identities(ctx, c.UserID)
	if err != nil {
		return err
	}
	identities = signInMethods(identities)
	i := slices.IndexFunc(identities, func(identity store.Identity) bool {
		return identity.Provider == s.proof.Provider && identity.Subject == s.proof.Subject
	})
	switch {
	case i < 0:
		return &Refusal{Status: http.StatusNotFound, Reason: ReasonNoIdentity}
	case len(identities) == 1:
		return &Refusal{Status: http.StatusConflict, Reason: ReasonLastIdentity,
			Text: texts.Of("error.last_identity")}
	}
	if err := st.DeleteIdentity(ctx, c.UserID, s.proof.Provider, s.proof.Subject); err != nil {
		return err
	}
	s.change, s.endsOld = Change{Outcome: Unlinked, UserID: c.UserID}, true
	if s.data, err = s.m.data.load(ctx, c); err != nil {
		return err
	}
	if err := st.DeleteSessions(ctx, c.UserID, uuid.Nil); err != nil {
		return err
	}
	s.session = uuid.New()
	return s.open(ctx)
}
