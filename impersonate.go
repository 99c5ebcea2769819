package walkin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

const (
	actingFor = 30 * time.Minute

	// actingKnown is how long the browser keeps the cookie, and the store the record. A
	// form of the user's that an operator sends after the end must be refused, and not
	// stored as the operator's own.
	actingKnown = 24 * time.Hour

	// stopPath ends an impersonation, whatever the app has there.
	stopPath = "/.walkin/stop"

	actingHeader = "Walkin-Impersonation"
)

func actingKey(session uuid.UUID) string { return "impersonation:" + session.String() }

// actingEndKey is of the record that an end was reported.
func actingEndKey(session uuid.UUID) string { return "impersonation-end:" + session.String() }

// Impersonate lets the visitor, an operator, see the site as a user: with the user's
// claims, and with Claims.Actor naming the operator. The session is separate, ends
// after 30 minutes and is not renewed. The operator's own cookies stay as they are; a
// third cookie takes precedence over them. The impersonation also ends with the
// operator's session, when they sign out or are no longer an operator, when the user
// becomes one, and by "stop" in the banner. The reason is for the events at the start
// and the end.
//
// It needs a proof within Config.Sessions.RecentProof, and refuses bearers and requests
// of other sites. Operators cannot impersonate themselves or another operator. The
// error is for [Middleware.Refuse]. Call it before the response begins, and answer with
// a redirect.
func (m *Middleware) Impersonate(w http.ResponseWriter, r *http.Request, userID uuid.UUID, reason string) error {
	v := m.verifier.visit(w, r)
	c := v.claims.Load()
	reason = strings.TrimSpace(reason)
	if m.cfg.Impersonation.IsOperator == nil {
		return errors.New("walkin: Impersonate was called without Config.Impersonation")
	}
	err := m.admission.admit(v, r, call{name: "Impersonate", needs: needsRecentProof})
	if errors.Is(err, ErrNotRecent) {
		refusal := notRecent()
		refusal.Page = m.cfg.Paths.SignIn
		err = refusal
	}
	switch {
	case err != nil:
		return err
	case v.bearer:
		return actingRefusal(ReasonImpersonationBearer, "")
	case c.UserID == userID:
		return actingRefusal(ReasonImpersonationSelf, "impersonation.self")
	case reason == "", len(reason) > 500, !utf8.ValidString(reason):
		return &Refusal{Status: http.StatusUnprocessableEntity, Reason: ReasonImpersonationReason, Text: texts.Of("impersonation.reason")}
	}
	a := acting{UserID: userID, Operator: c.UserID, OperatorSession: c.SessionID, Reason: reason, EndsAt: time.Now().Add(actingFor), sessionID: uuid.New()}
	user, err := operators{m}.mayActAs(r.Context(), a)
	if err != nil {
		return err
	}
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	text, err := operators{m}.actingToken(a, user)
	if err != nil {
		return err
	}
	if err := m.cfg.Store.PutTicket(r.Context(), store.Ticket{Key: actingKey(a.sessionID), Data: data, ExpiresAt: time.Now().Add(actingKnown), UserID: userID}); err != nil {
		return err
	}
	setCookies(w, v, m.cookies.act(text))
	response.NoStore(w.Header(), "no-store")
	m.emit(r, a.event(Impersonated))
	return nil
}

func (a *acting) event(o Outcome) Event {
	return Event{Outcome: o, UserID: a.UserID, ActorID: a.Operator, SessionID: a.sessionID, Note: a.Reason}
}

// mayActAs asks the app about both users, and returns the one who is seen. A user who
// is not there is a *Refusal.
func (m operators) mayActAs(ctx context.Context, a acting) (store.User, error) {
	for id, want := range map[uuid.UUID]bool{a.Operator: true, a.UserID: false} {
		is, err := m.cfg.Impersonation.IsOperator(ctx, id)
		if err != nil {
			return store.User{}, err // fails closed: a 500
		}
		if is != want {
			return store.User{}, actingRefusal(ReasonImpersonationForbidden, "")
		}
	}
	user, err := m.cfg.Store.LockUser(ctx, a.UserID)
	if errors.Is(err, store.ErrNotFound) {
		return store.User{}, &Refusal{Status: http.StatusNotFound, Reason: ReasonImpersonationNoUser, Text: texts.Of("impersonation.no_user")}
	}
	return user, err
}

func (m operators) actingToken(a acting, user store.User) (string, error) {
	c := Claims{UserID: user.ID, SessionID: a.sessionID, Anonymous: user.Anonymous, IssuedAt: time.Now(), ExpiresAt: a.EndsAt}
	return m.keys.IssueActing(c.forToken(), token.Actor{UserID: a.Operator, SessionID: a.OperatorSession}, m.cfg.Tokens.Audience)
}

// act returns the cookie of an impersonation, for this host alone.
func (k *cookies) act(value string) *http.Cookie {
	cookie := k.cookie(k.acting, value)
	cookie.Domain, cookie.MaxAge = "", int(actingKnown.Seconds())
	if value == "" {
		cookie.MaxAge = -1
	}
	return cookie
}

// actingOf returns the impersonation of a request, or false if it has ended. Every
// request asks the store for the record, the operator's session and the user, and the
// app about both users. An error says that the store or the app did not answer: fails
// closed, as neither of the two users.
func (m operators) actingOf(r *http.Request) (a acting, user store.User, alive bool, err error) {
	values := r.CookiesNamed(m.cookies.acting)
	if len(values) != 1 {
		return a, user, false, nil // no browser sends two of a __Host- cookie
	}
	now := time.Now()
	c, actor, status := m.keys.VerifyActing(values[0].Value, now)
	if status == token.Unverifiable {
		return a, user, false, storeDown(nil)
	}
	if status != token.Valid {
		return a, user, false, nil
	}
	ticket, err := m.cfg.Store.Ticket(r.Context(), actingKey(c.SessionID), now)
	switch {
	case errors.Is(err, store.ErrNotFound): // the user was deleted, or it was ended before
		a = acting{UserID: c.UserID, Operator: actor.UserID, OperatorSession: actor.SessionID, sessionID: c.SessionID}
		if !m.brings(r, a, now) {
			a = acting{}
		}
		return a, user, false, nil
	case err != nil:
		return a, user, false, err
	}
	if err := json.Unmarshal(ticket.Data, &a); err != nil {
		return a, user, false, err
	}
	a.sessionID = c.SessionID
	if a.UserID != c.UserID || a.Operator != actor.UserID || a.OperatorSession != actor.SessionID || !now.Before(a.EndsAt) {
		return a, user, false, nil
	}
	if !m.brings(r, a, now) {
		return acting{}, user, false, nil // a thief of the cookie does not end it either
	}
	s, err := m.health.lookup(r.Context(), Claims{UserID: a.Operator, SessionID: a.OperatorSession})
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrSessionEnded), errors.Is(err, ErrBanned):
		return a, user, false, nil
	case err != nil:
		return a, user, false, err
	case s.Anonymous, now.After(s.ExpiresAt.Add(leeway)), m.verifier.outlived(s.CreatedAt, now):
		return a, user, false, nil
	}
	user, err = m.mayActAs(r.Context(), a)
	if refusal, ok := errors.AsType[*Refusal](err); ok && refusal.Status < 500 {
		return a, user, false, nil
	}
	return a, user, err == nil, err
}

// brings reports whether a request has the operator's own cookie too: the third one is
// worthless in another browser.
func (m operators) brings(r *http.Request, a acting, now time.Time) bool {
	var permanent, anonymous carriedCookie
	m.cookies.find(r.Header, nil, &permanent, &anonymous)
	for _, value := range permanent.values() {
		c, _, status, _ := m.keys.Verify(value, false, now)
		if status == token.Valid && c.SessionID == a.OperatorSession {
			return true
		}
	}
	return false
}

// operators serves the requests of operators who see the site as a user does.
type operators struct{ *Middleware }

type actingOver struct{ *Middleware }

// serveActing answers a request with the cookie of an impersonation, and returns false
// where it is served as any other. handler is Middleware.Handler around next.
func (m operators) serveActing(w http.ResponseWriter, r *http.Request, next, handler http.Handler) bool {
	if v := visitFrom(r.Context()); v != nil && v.home == m.home && v.handled || r.Context().Value(actingOver(m)) != nil {
		return false
	}
	a, user, alive, err := m.actingOf(r)
	switch {
	case err != nil:
		m.Refuse(w, r, err)
		return true
	case !alive:
		m.serveAfterActing(w, r, handler, a)
		return true
	}
	var b requestCredentials
	b.read(r.Header, m.verifier)
	facts := m.admission.readFacts(r, &b)
	v := &visit{Context: r.Context(), home: m.home, status: live, handled: true, facts: facts, url: r.URL}
	v.more().acting = &a
	v.claims.Store(&Claims{UserID: user.ID, SessionID: a.sessionID, Anonymous: user.Anonymous, Actor: a.Operator,
		IssuedAt: a.EndsAt.Add(-actingFor), ExpiresAt: a.EndsAt})
	outer := r
	r = request.With(v, r)
	v.request.Store(r)
	defer func() {
		request.GiveBack(outer, r)
		v.end()
	}()
	p := response.New(w)
	p.Before = func(int) bool {
		response.NoStore(w.Header(), "private, no-store")
		w.Header().Set(actingHeader, a.UserID.String())
		return true
	}
	v.more().response.Store(p)
	if refusal := m.actingMay(r, facts); refusal != nil {
		m.Refuse(p.Wrapped(), r, refusal)
	} else if m.isStop(r) {
		m.stopActing(p.Wrapped(), r, v)
		http.Redirect(p.Wrapped(), r, ReturnTo(r), http.StatusSeeOther)
	} else {
		next.ServeHTTP(p.Wrapped(), r)
	}
	p.Finish(r.Context())
	return true
}

// actingMay returns why an operator who sees the site as a user may not send a request.
func (m operators) actingMay(r *http.Request, f request.Facts) *Refusal {
	switch {
	case r.Header.Get("Authorization") != "":
		return actingRefusal(ReasonImpersonationBearer, "") // whose request it is must be beyond doubt
	case r.Method == http.MethodConnect, f.IsUpgrade():
		return actingRefusal(ReasonImpersonationUpgrade, "") // what follows is no request that could be refused
	case isSafe(r):
		return nil
	case f.WriteRefusal(true) != "":
		return foreignRequest(Reason(f.WriteRefusal(true)))
	case m.isStop(r), m.cfg.Impersonation.OnlyReads != nil && m.cfg.Impersonation.OnlyReads(r):
		return nil
	}
	return actingRefusal(ReasonImpersonationReadOnly, "impersonation.read_only")
}

// isStop reports whether a request ends the impersonation. A sign-out does, and does
// not reach the app, which would not know whose session to end.
func (m operators) isStop(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	signOut, _, _ := strings.Cut(m.cfg.Paths.SignOut, "?")
	at := m.admission.asked(r).Path
	return strings.HasSuffix(r.URL.Path, stopPath) || isSignOutPath(r.URL.Path) || signOut != "" && at == signOut
}

// stopActing ends the impersonation of a visit.
func (m operators) stopActing(w http.ResponseWriter, r *http.Request, v *visit) {
	limitBody(w, r)
	m.endActing(r, *v.actor())
	setCookies(w, v, m.cookies.act(""))
}

// endActing deletes an impersonation, and reports it once. Its record is gone already
// where the user was deleted, and with it the reason. It is deleted first: an end that
// was reported must be one.
func (m operators) endActing(r *http.Request, a acting) {
	now := time.Now()
	_, err := m.cfg.Store.TakeTicket(r.Context(), actingKey(a.sessionID), now)
	taken := err == nil
	first := false
	if taken || errors.Is(err, store.ErrNotFound) {
		first, err = m.cfg.Store.AddTicket(r.Context(), store.Ticket{Key: actingEndKey(a.sessionID), ExpiresAt: now.Add(actingKnown)}, now)
	}
	if err != nil {
		// The cookie goes all the same, and the record ends by itself.
		m.emit(r, Event{Outcome: Failed, Reason: ReasonImpersonation, UserID: a.UserID, ActorID: a.Operator, Err: err})
	}
	if first || taken && err != nil { // twice is better than never
		m.emit(r, a.event(ImpersonationEnded))
	}
}

// serveAfterActing answers a request with the cookie of an impersonation that has
// ended: pages are served as if it were not there, and it is removed. What was typed
// into a page of the user's is refused: fails closed, or it would be stored as the
// operator's.
func (m operators) serveAfterActing(w http.ResponseWriter, r *http.Request, handler http.Handler, a acting) {
	if a.sessionID != uuid.Nil {
		m.endActing(r, a)
	}
	if !isSafe(r) {
		m.Refuse(w, r, actingRefusal(ReasonImpersonationOver, "impersonation.over"))
		return
	}
	var b requestCredentials
	b.read(r.Header, m.verifier)
	p := response.New(w)
	if f := m.admission.readFacts(r, &b); f.Method == request.Get && m.admission.notAPage(f) == "" {
		p.Set(m.cookies.act(""))
	}
	inner := request.With(context.WithValue(r.Context(), actingOver(m), true), r)
	defer func() { request.GiveBack(r, inner) }()
	handler.ServeHTTP(p.Wrapped(), inner)
	p.Finish(r.Context())
}
