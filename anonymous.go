package walkin

import (
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/store"
)

// Ensure makes sure that the visitor has a stored user, and returns their claims. It
// mints a user when there is none and stores them, so that foreign keys to the users
// hold. Handlers behind [Middleware.Handler] need it only where Config.NewUsers.Mint
// has not done so before: on a GET, with MintOnDemand, or to serve API clients that
// send no cookies.
//
// Call it before the response begins. Where Config.NewUsers.Mint is not MintOnDemand,
// do not change Cache-Control after it. Goroutines that call it for one request, with
// the same w, get the same user. The error is a *[Refusal] for [Middleware.Refuse].
// There can be no user for a cross-site post, a bot, a visitor whose session has just
// ended, a new visitor when Config.NewUsers.Limit is reached, or while the store is
// down.
func (m *Middleware) Ensure(w http.ResponseWriter, r *http.Request) (Claims, error) {
	return m.ensure(w, r, byApp)
}

func (m *Middleware) ensure(w http.ResponseWriter, r *http.Request, by demand) (Claims, error) {
	v := visitFrom(r.Context())
	if v != nil && v.home == m.home {
		v.more().ensuring.Lock()
		defer v.more().ensuring.Unlock()
	} else {
		// Handler left nothing in the context. What the first call sets in the
		// response, the next one finds there.
		defer m.turns.take(w)()
		v = m.verifier.visit(w, r)
	}
	if c := v.claims.Load(); c != nil {
		if c.Actor != uuid.Nil {
			return *c, nil // the user is stored, and stays as they are
		}
		if !c.Provisional {
			return m.ensureAlive(r, v, *c)
		}
		if refusal := m.admission.writeRefusal(v, r); refusal != nil {
			return Claims{}, refusal
		}
		if refusal := m.admission.noCookie(v, r); refusal != nil {
			return Claims{}, refusal
		}
	} else if reason := m.admission.mintRefusal(r, m.admission.facts(v, r), v.status, by); reason != "" {
		return Claims{}, m.admission.noUser(v, reason)
	} else if v.reason() == ReasonExpired && !m.health.isExpired(r) {
		m.skipped(r, ReasonExpired, ReasonClock)
		return Claims{}, m.admission.noUser(v, ReasonClock)
	} else if f, reason := m.health.withAccount(r.Context(), authResult{status: v.status, entry: v.entry}); reason == ReasonHasAccount {
		v.status = f.status // they sign in, and get no new user
		return Claims{}, m.admission.noUser(v, reason)
	} else if reason != "" {
		return Claims{}, storeDown(nil)
	}
	if v.begun() {
		return Claims{}, errors.New("walkin: Ensure was called after the response began")
	}
	old := v.entry
	if v.claims.Load() == nil {
		old = nil // a token that has ended
	}
	cookie, err := m.storeUser(r, v)
	if err != nil {
		return Claims{}, err
	}
	switch {
	case v.more().issued != nil:
		response.NoStore(w.Header(), "no-store")
	case cookie == nil:
	case old != nil && v.writer() != nil:
		v.writer().SetWhile(m.issuer.stillAlive(r, old, v.entry), cookie)
	default:
		setCookies(w, v, cookie)
	}
	return *v.claims.Load(), nil
}

// ensureAlive looks at the store before a handler writes as a user in a safe request,
// which Handler may have let pass on an earlier look.
func (m *Middleware) ensureAlive(r *http.Request, v *visit, c Claims) (Claims, error) {
	if !isSafe(r) {
		return c, nil
	}
	switch _, err := m.health.lookup(r.Context(), c); {
	case errors.Is(err, store.ErrNotFound):
		// Lost a moment ago, perhaps: the next request looks more closely.
		return Claims{}, storeDown(err)
	case errors.Is(err, store.ErrSessionEnded):
		m.verifier.end(v)
		return Claims{}, refusalOf(store.ErrSessionEnded)
	case err != nil:
		return Claims{}, err
	}
	return c, nil
}

// storeUser turns the visitor into a user and a session in the store. It mints them first
// when there is no user. It returns the cookie for it, or nil for a bearer. A token
// claims them only when both are committed.
func (m *Middleware) storeUser(r *http.Request, v *visit) (*http.Cookie, error) {
	if v.unsure {
		return nil, storeDown(nil)
	}
	m.health.prepare(r.Context())
	now := m.health.earlier(time.Now())
	c := m.issuer.toStore(v, now)
	fresh := v.claims.Load() == nil
	taken, full := m.limits.takeNewUserOrChallenge(r, now)
	if full != nil {
		if fresh {
			return nil, full
		}
		// A visitor who is stored, and whose new token got lost in transit, adds none
		// and goes on.
		if _, err := m.health.lookup(r.Context(), c); errors.Is(err, store.ErrNotFound) {
			return nil, full
		} else if err != nil && !errors.Is(err, store.ErrSessionEnded) {
			return nil, err
		}
	}
	token, c, created, err := m.issuer.storeAnonymous(r.Context(), c, now)
	if !created && !errors.Is(err, store.ErrUnavailable) { // which may have committed
		m.limits.giveBack(r, taken, now)
	}
	switch {
	case isHook(err):
		return nil, refusalOf(err) // whatever it is called in there
	case errors.Is(err, store.ErrSessionEnded):
		m.verifier.end(v)
		return nil, refusalOf(err)
	case err != nil:
		return nil, err
	}
	v.minted = v.minted || fresh
	for _, told := range []struct {
		is    bool
		event Event
	}{{fresh, Event{Outcome: Minted, Token: v.reason()}}, {created && v.lost, Event{Outcome: Revived}}, {created, Event{Outcome: Persisted}}} {
		if told.is {
			told.event.UserID, told.event.SessionID = c.UserID, c.SessionID
			m.emit(r, told.event)
		}
	}
	return m.issuer.give(v, token, c, now), nil
}

// CheckOrigin returns nil when an unsafe request may change something for its visitor.
// Otherwise it returns a *[Refusal]: another site may have sent the request, or it is a
// report or a ping that browsers send by themselves. Safe requests pass. Ensure,
// Continue, the guards and everything else in walkin call it themselves; it is for
// handlers without a guard. [Config].CrossOrigin trusts more origins.
func (m *Middleware) CheckOrigin(r *http.Request) error {
	if refusal := m.admission.writeRefusal(m.verifier.visit(nil, r), r); refusal != nil {
		return refusal
	}
	return nil
}
