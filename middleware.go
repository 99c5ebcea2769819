package walkin

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/internal/tokencache"
	"github.com/walkin-go/walkin/store"
)

// Middleware gives the visitors of a site their users. It is safe for concurrent use.
// Each replica of an app has its own, over one store.
type Middleware struct {
	parts
	devices      devices     // that have proven an identity
	renderedKeys [][]byte    // of RenderedFor
	turns        turns       // of Ensure
	refresher    refresher   // of Refresh
	flows        flowCookies // of ClearAtSignOut
	plainSeen    atomic.Bool // a page over plain http that keeps no Secure cookie, and the operator was told
}

// New checks cfg and returns a Middleware, or one error that names every error in cfg.
// It starts nothing and changes nothing.
func New(cfg Config) (*Middleware, error) {
	cfg.fillIn()
	err := cfg.check()
	cfg.Store = boundedStore(cfg.Store)
	keys, keysErr := token.NewKeyring(keysOf(cfg.Keys), keysOf(cfg.Tokens.AnonymousKeys), cfg.Tokens.Issuer, cfg.Tokens.Audience)
	names, cookiesErr := cookiesOf(&cfg)
	s := newShared(cfg, keys, names)
	limits, limitsErr := newLimits(s)
	devices, devicesErr := newDevices(s)
	if err := errors.Join(keysErr, err, cookiesErr, limitsErr, devicesErr); err != nil {
		return nil, err
	}
	rendered, err := s.derive("walkin rendered for")
	if err != nil {
		return nil, err
	}
	s.cfg.Store = bounded{cfg.Store.(bounded).inner, &s.feed}
	if cfg.Cookies.Insecure {
		s.log.Warn("walkin: Config.Cookies.Insecure is set: cookies travel without encryption; never use it outside localhost",
			slog.String("cookie", names.permanent))
	}
	m := &Middleware{parts: parts{shared: s, limits: limits}, devices: devices, renderedKeys: rendered}
	m.refresher.parts = &m.parts
	m.health = &storeHealth{shared: s}
	m.verifier = &verifier{shared: s, health: m.health, cache: tokencache.New[entry](cfg.CacheSize), unknownKeys: unknownKeys{seed: maphash.MakeSeed()}}
	m.issuer = &issuer{shared: s, health: m.health, verifier: m.verifier}
	m.data = &dataCarrier{shared: s}
	m.admission = &admission{shared: s, verifier: m.verifier, site: newSite(cfg, keys), firstCookies: newFirstCookies(m.ClientAddr)}
	return m, nil
}

// Handler wraps a site: next finds the visitor's claims in the request's context, see
// [FromContext]. It decides once per request, and then calls next.
//
// Wrap the whole site, outside of what compresses or caches. A request that has no user
// and gets none passes through untouched, unless there is a Config.Paths.Base. A returning visitor costs a look-up in
// memory. It wraps w only when there is a cookie to set.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	var handler http.HandlerFunc
	handler = func(w http.ResponseWriter, r *http.Request) {
		if m.isActing(r) && (operators{m}).serveActing(w, r, next, handler) {
			return
		}
		var b requestCredentials
		b.read(r.Header, m.verifier)
		if e := m.verifier.returning(r, &b); e != nil {
			inner := m.home.returned(r, e) // what nearly every request is, and all there is to it
			defer request.GiveBack(r, inner)
			next.ServeHTTP(w, inner)
			return
		}
		m.serve(w, r, next, &b)
	}
	return handler
}

// serve is Handler for all requests except those of visitors who were here a moment
// ago.
func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler, b *requestCredentials) {
	if v := visitFrom(r.Context()); v != nil && v.home == m.home && v.handled {
		next.ServeHTTP(w, r) // wrapped twice
		return
	}
	var f authResult // absent
	if !b.nothing() {
		f = m.verifier.authenticate(r, b, time.Now())
	}

	facts := m.admission.readFacts(r, b)
	if !m.cfg.Cookies.Insecure && !facts.HasCookie() && f.status == absent {
		m.lookForPlainHTTP(r)
	}
	mayMint := false
	if f.status != live && f.status != unreachable {
		why := m.admission.mintRefusal(r, facts, f.status, byShape)
		if mayMint = why == ""; mayMint {
			f, why = m.health.withAccount(r.Context(), f)
			mayMint = why == ""
		}
		if !mayMint {
			m.skipped(r, f.reason, why)
		}
		if f.status == absent && !mayMint && facts.IsSafe() && m.cfg.NewUsers.Mint != MintOnDemand && m.cfg.Paths.Base == "" {
			next.ServeHTTP(w, r)
			return // with Base, Target needs the visit
		}
	}
	v := m.home.newVisit(r, f)
	v.handled, v.facts, v.url = true, facts, r.URL
	outer := r
	r = request.With(v, r)
	// Also after a panic, for code that recovers outside. A context that is kept must
	// not keep the request and its connection.
	defer func() {
		m.limits.returnReserved(r, v)
		request.GiveBack(outer, r)
		v.end()
	}()
	if f.status == unreachable {
		// Fails closed: an unsafe request, or one of a permanent user whose
		// session was not seen alive lately. The cookie stays as it is.
		refusal := storeFailed(f.err)
		if f.reason == ReasonOtherDatabase {
			refusal.Reason = f.reason
		}
		m.Refuse(w, r, refusal)
		return
	}
	now := time.Now()
	cookies, stored, err := m.decide(r, v, f, mayMint, now)
	if err != nil {
		m.Refuse(w, r, err)
		return
	}
	if cookies == nil && !m.admission.mayDemand(r, v) {
		m.verifier.allowShortCut(f, v, now)
		next.ServeHTTP(w, r)
		return
	}
	p := m.issuer.writerFor(w, r, v, f, cookies)
	m.serveWrapped(r, next, p, stored)
	if f.status == absent && cookies != nil && !p.Withheld() {
		m.admission.firstCookies.gave(outer, facts, m.admission.asked(outer).Path, m.clock())
	}
}

// serveWrapped calls the site. stored says that a user was stored for this request: one
// whose cookie the visitor does not get is removed again.
func (m *Middleware) serveWrapped(r *http.Request, next http.Handler, p *response.Writer, stored bool) {
	v := visitFrom(r.Context())
	minted, done := v.claims.Load(), false
	defer func() {
		// Only a user minted for this request, and not one who is another user by now.
		lost := !done && !p.Begun() || p.Withheld()
		if stored && lost && v.claims.Load() == minted {
			m.rollback(r.Context(), *minted)
		}
	}()
	next.ServeHTTP(p.Wrapped(), r)
	p.Finish(r.Context())
	done = true
}

// decide returns the cookies that this response is to carry, or nil, and whether a new
// user was stored for it. An error ends the request.
func (m *Middleware) decide(r *http.Request, v *visit, f authResult, mayMint bool, now time.Time) ([]*http.Cookie, bool, error) {
	if v.status == live {
		cookies, err := m.decideLive(r, v, f, now)
		if f.former != nil && cookies != nil && !now.Before(f.former.changedAt) {
			cookies = append(one(f.former.clear(f.former.name(v.claims.Load().Anonymous))), cookies...)
		}
		return cookies, false, err
	}
	if !mayMint {
		return nil, false, nil
	}
	if f.reason == ReasonExpired && !m.health.isExpired(r) {
		m.skipped(r, ReasonExpired, ReasonClock)
		return nil, false, nil
	}
	if act := v.facts.Method == request.Write; act || m.cfg.NewUsers.PersistOnMint {
		cookie, err := m.storeUser(r, v)
		if err == nil || act {
			return one(cookie), err == nil, err
		}
		m.unminted(r, err)
		return nil, false, nil
	}
	m.health.prepareMint(r.Context())
	now = m.health.earlier(now)
	text, c, err := m.issuer.issue(r.Context(), m.issuer.mint(now))
	if err != nil {
		m.unminted(r, err)
		return nil, false, nil
	}
	m.issuer.remember(v, text, c)
	m.emit(r, Event{Outcome: Minted, Token: f.reason, UserID: c.UserID, SessionID: c.SessionID})
	return one(m.cookies.carry(text, c, now)), false, nil
}

// decideLive is decide for a visitor who has a user. The cookie that goes on with
// their session is the last one.
func (m *Middleware) decideLive(r *http.Request, v *visit, f authResult, now time.Time) ([]*http.Cookie, error) {
	c := v.claims.Load()
	switch {
	case c.Provisional && m.admission.storesUser(r, v):
		// The first write: the user is stored before the handler runs.
		cookie, err := m.storeUser(r, v)
		if v.status == sessionEnded {
			return nil, nil // no user; the handler and its guards say what that means
		}
		return one(cookie), err
	case v.bearer:
		if !f.lost && !f.unsure {
			m.issuer.touch(r, v, now)
		}
		return nil, nil
	case v.keepCookie || f.lost || f.unsure || !isRenewable(v.facts):
		return nil, nil
	case f.beside == remnants && f.former == nil && v.facts.Method == request.Get && m.admission.notAPage(v.facts) == "":
		// Of all values one is live, and the others have ended: the page leaves the
		// live one alone. On a page view only, where a browser sends all it has.
		cookie := m.renew(r, v, now)
		if cookie == nil {
			return nil, nil
		}
		// The live one comes last: to some browsers a cookie for this host
		// alone is the same as one for a domain of its name.
		return append(fit(m.cookies.clearOthers(r, cookie.Name)), cookie), nil
	case f.nowStored, f.former != nil, m.health.earlier(now).Sub(c.IssuedAt) >= m.cfg.Tokens.RenewAfter:
		return one(m.renew(r, v, now)), nil
	}
	return nil, nil
}

// renew re-issues the visitor's token, where that can be done now.
func (m *Middleware) renew(r *http.Request, v *visit, now time.Time) *http.Cookie {
	cookie := m.issuer.renew(r, v, now)
	if cookie != nil {
		c := v.claims.Load()
		m.emit(r, Event{Outcome: Renewed, UserID: c.UserID, SessionID: c.SessionID})
	}
	return cookie
}

func one(c *http.Cookie) []*http.Cookie {
	if c == nil {
		return nil
	}
	return []*http.Cookie{c}
}

// unminted tells the operator of a page that is served without a user, since its visitor
// could not get one. Fails open: there is nothing to lose yet, and the next page asks again.
func (m *Middleware) unminted(r *http.Request, err error) {
	if refusal := refusalOf(err); refusal.Reason == ReasonNewUserLimit {
		m.emit(r, Event{Outcome: Skipped, Reason: ReasonNewUserLimit})
	} else {
		m.emit(r, Event{Outcome: Failed, Reason: refusal.Reason, Err: err})
	}
}

// lookForPlainHTTP tells the operator, once, that a page which browsers load over plain
// http sends none of our cookies: they are Secure, so that each click would be a new
// user. Only the browser knows, and says so with a page's second request. On localhost
// Chromium and Firefox keep such cookies, and WebKit does not.
func (m *Middleware) lookForPlainHTTP(r *http.Request) {
	if m.plainSeen.Load() {
		return
	}
	from := header(r, "Origin")
	if from == "" || from == "null" {
		from = header(r, "Referer")
	}
	if !strings.HasPrefix(from, "http://") {
		return // most requests, and Parse allocates
	}
	page, err := url.Parse(from)
	if err != nil || !request.IsHost(page, r.Host) {
		return
	}
	name := page.Hostname()
	agent := r.UserAgent()
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || net.ParseIP(name).IsLoopback() {
		if !strings.Contains(agent, "AppleWebKit") || strings.Contains(agent, "Chrom") {
			return
		}
	}
	if m.plainSeen.CompareAndSwap(false, true) {
		m.log.Warn("walkin: a page is loaded over plain http, where browsers keep no Secure cookie: every request is a new visitor's. Serve it over https, or set Config.Cookies.Insecure in development")
		m.emit(r, Event{Outcome: Failed, Reason: ReasonSecureCookieOverHTTP})
	}
}

// rollback removes the user that was made for a request whose visitor did not get the
// cookie, since the handler panicked before or answered with a 304: no browser can ever
// come back to them.
func (m *Middleware) rollback(ctx context.Context, c Claims) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	now := time.Now()
	if err := m.cfg.Store.DeleteUser(ctx, store.Tombstone{UserID: c.UserID, DeletedAt: now, ExpiresAt: now}); err != nil {
		m.emitCtx(ctx, Event{Outcome: Failed, Reason: ReasonRollbackMint, UserID: c.UserID, Err: err})
		return
	}
	m.data.deleteSessionData(ctx, c) // saved before a 304
}
