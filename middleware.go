package walkin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walkin-go/walkin/internal/clientip"
	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/internal/tokencache"
	"github.com/walkin-go/walkin/limit"
)

// Middleware gives the visitors of a site their users. It is safe for
// concurrent use; replicas of an app each have their own over one store.
type Middleware struct {
	cfg     Config // with all defaults filled in
	log     *slog.Logger
	keys    *token.Keyring
	cookies cookies
	site    request.Site
	cache   *tokencache.Cache[entry]
	proxies *clientip.Proxies
	began   time.Time

	strangers strangers

	deviceKeys [][]byte // the first signs, all verify

	downUntil atomic.Int64 // unix nanoseconds; a store that failed is not asked again by readers before

	ownLimiter       limit.Limiter // in memory; Config.Limiter, or in its place while it fails
	limiterDownUntil atomic.Int64  // as downUntil
	proxySeen        atomic.Bool   // one that is not trusted, and the owner was told
	addressSeen      atomic.Bool   // a request without one, and the owner was told
	plainSeen        atomic.Bool   // a page over plain http that keeps no Secure cookie, and the owner was told

	feed    feed
	observe atomic.Pointer[func(ctx context.Context, e Event)]                                           // of AttachObserver, or nil
	frame   atomic.Pointer[func(w http.ResponseWriter, r *http.Request, status int, title, body string)] // of AttachFrame; nil for plain pages

	asking asking
	clocks struct {
		mu         sync.Mutex
		at, failed int64        // when the two were last compared, or could not be, by clock
		ahead      atomic.Int64 // nanoseconds that this process was ahead of the store
	}

	refreshSecrets refreshSecrets

	renderedKeys [][]byte                  // of RenderedFor
	challenge    atomic.Pointer[Challenge] // of AttachChallenge
	turns        turns                     // of Ensure

	mu        sync.Mutex
	data      []*sessionData   // of LoadAndSave
	told      map[string]int64 // when the owner was told what goes on, by clock
	atSignOut []*http.Cookie   // of ClearAtSignOut

	watchers watchers // of Watch
}

// Handler wraps a site: next sees every visitor's claims in the request's
// context, see [FromContext]. It looks once, decides once, and then calls next.
//
// Wrap the whole site, outside of what compresses or caches. A request without
// a user and without the right to one passes through untouched; a returning
// visitor costs a look-up in memory; only when there is a cookie to set is w wrapped.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.isActing(r) && m.serveActing(w, r, next) {
			return
		}
		var b brought
		b.read(r.Header, m)
		if e := m.returning(r, &b); e != nil {
			inner := m.returned(r, e) // what nearly every request is, and all there is to it
			defer request.GiveBack(r, inner)
			next.ServeHTTP(w, inner)
			return
		}
		m.serve(w, r, next, &b)
	})
}

// serve is Handler for all requests but those of visitors who were here a moment ago.
func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler, b *brought) {
	if v := visitFrom(r.Context()); v != nil && v.m == m && v.handled {
		next.ServeHTTP(w, r) // wrapped twice
		return
	}
	var f finding // absent
	if !b.nothing() {
		f = m.look(r, b, time.Now())
	}

	facts := m.readFacts(r, b)
	if !m.cfg.Cookies.Insecure && !facts.HasCookie() && f.standing == absent {
		m.lookForPlainHTTP(r)
	}
	var whyNot string
	if f.standing != live && f.standing != unreachable {
		if whyNot = m.mintRefusal(r, facts, f.standing, byShape); whyNot != "" {
			m.skipped(r, f, whyNot)
		}
		if f.standing == absent && whyNot != "" && facts.IsSafe() && m.cfg.NewUsers.Mint != MintOnDemand {
			next.ServeHTTP(w, r)
			return
		}
	}
	v := m.newVisit(r, f)
	v.handled, v.facts, v.url = true, facts, r.URL
	outer := r
	r = request.With(v, r)
	// Also after a panic, for who recovers outside. A context that somebody
	// keeps must not keep the request and its connection.
	defer func() {
		m.returnReserved(r, v)
		request.GiveBack(outer, r)
		v.end()
	}()
	if f.standing == unreachable {
		// Fails closed: an unsafe request, or one of a permanent user whose
		// session was not seen alive lately. The cookie stays as it is.
		refusal := storeFailed(f.err)
		if f.reason == "other_database" {
			refusal.Reason = f.reason
		}
		m.Refuse(w, r, refusal)
		return
	}
	now := time.Now()
	cookies, rowMade, err := m.decide(r, v, f, whyNot == "", now)
	if err != nil {
		m.Refuse(w, r, err)
		return
	}
	if cookies == nil && !m.mayDemand(r, v) {
		m.settle(f, v, now)
		next.ServeHTTP(w, r)
		return
	}
	var p *response.Writer
	if f.standing == live && cookies != nil {
		p = response.New(w)
		p.SetWhile(m.stillAlive(r, f.entry, v.entry), cookies...)
	} else {
		p = response.New(w, cookies...)
	}
	v.more().response.Store(p)
	minted, done := v.claims.Load(), false
	defer func() {
		// Only who was minted for this request, and is nobody else yet.
		lost := !done && !p.Begun() || p.Withheld()
		if rowMade && lost && v.claims.Load() == minted {
			m.undo(r.Context(), *minted)
		}
	}()
	next.ServeHTTP(p.Wrapped(), r)
	p.Finish(r.Context())
	done = true
}

// returned returns the request of a visitor whose token is known, with their
// claims. The two parts are allocated together.
func (m *Middleware) returned(r *http.Request, e *entry) *http.Request {
	one := &struct {
		request http.Request
		visit   visit
	}{visit: visit{Context: r.Context(), m: m, handled: true, standing: live, url: r.URL, entry: e}}
	one.visit.claims.Store(&e.claims)
	one.request = *request.With(&one.visit, r)
	return &one.request
}

// decide returns the cookies that this response is to carry, or nil, and
// whether a new user was made a row for it. An error ends the request.
func (m *Middleware) decide(r *http.Request, v *visit, f finding, mayMint bool, now time.Time) ([]*http.Cookie, bool, error) {
	if v.standing == live {
		cookies, err := m.decideLive(r, v, f, now)
		if f.former != nil && cookies != nil && !now.Before(f.former.changedAt) {
			cookies = append(one(f.former.clear(f.former.name(v.claims.Load().Anonymous))), cookies...)
		}
		return cookies, false, err
	}
	if !mayMint || f.reason == "expired" && !m.isExpired(r) {
		return nil, false, nil
	}
	if act := v.facts.Method == request.Act; act || m.cfg.NewUsers.PersistOnMint {
		cookie, err := m.makeRow(r, v)
		if err == nil || act {
			return one(cookie), err == nil, err
		}
		return nil, false, m.unminted(r, err)
	}
	m.prepareMint(r.Context())
	now = m.earlier(now)
	c, err := m.mint(now)
	if err != nil {
		return nil, false, m.unminted(r, err)
	}
	text, c, err := m.issue(r.Context(), c)
	if err != nil {
		return nil, false, m.unminted(r, err)
	}
	m.remember(v, text, c)
	m.emit(r, Event{Outcome: Minted, UserID: c.UserID, SessionID: c.SessionID})
	return one(m.cookies.carry(text, c, now)), false, nil
}

// decideLive is decide for a visitor who has a user. The cookie that goes on with
// their session is the last one.
func (m *Middleware) decideLive(r *http.Request, v *visit, f finding, now time.Time) ([]*http.Cookie, error) {
	c := v.claims.Load()
	switch {
	case c.Provisional && m.makesRow(r, v):
		// The first act: the row is there before the handler runs.
		cookie, err := m.makeRow(r, v)
		if v.standing == superseded {
			return nil, nil // nobody; the handler and its guards say what that means
		}
		return one(cookie), err
	case v.bearer:
		if !f.lost && !f.unsure {
			m.touch(r, v, now)
		}
		return nil, nil
	case v.handsOff || f.lost || f.unsure || !isRenewable(v.facts):
		return nil, nil
	case f.beside == remnants && f.former == nil && v.facts.Method == request.Get && m.notAPage(v.facts) == "":
		// Of all values one is live, and the others are over: the page leaves
		// that one alone. On a page view only, where a browser sends all it has.
		cookie := m.renew(r, v, now)
		if cookie == nil {
			return nil, nil
		}
		// The live one comes last: to some browsers a cookie for this host
		// alone is the same as one for a domain of its name.
		return append(fit(m.cookies.clearOthers(r, cookie.Name)), cookie), nil
	case f.settled, f.former != nil, m.earlier(now).Sub(c.IssuedAt) >= m.cfg.Tokens.RenewAfter:
		return one(m.renew(r, v, now)), nil
	}
	return nil, nil
}

func one(c *http.Cookie) []*http.Cookie {
	if c == nil {
		return nil
	}
	return []*http.Cookie{c}
}

// isExpired reports whether a token that this process takes for expired is so by
// the store's clock too. Fails closed: a visitor who is not sure to be over is not
// minted over, and the next page asks again.
func (m *Middleware) isExpired(r *http.Request) bool {
	if err := m.askClock(r.Context(), askUnknown); err != nil {
		m.skipped(r, finding{reason: "expired"}, "clock")
		return false
	}
	return true
}

// unminted lets a page be served to nobody when its visitor could not get a
// user. Fails open: there is nothing to lose yet, and the next page asks anew.
func (m *Middleware) unminted(r *http.Request, err error) error {
	if refusal := refusalOf(err); refusal.Reason == reasonRowLimit {
		m.emit(r, Event{Outcome: Skipped, Reason: reasonRowLimit})
		return nil
	}
	m.emit(r, Event{Outcome: Failed, Reason: refusalOf(err).Reason, Err: err})
	return nil
}

// mayDemand reports whether the handler is likely to call Ensure on a visitor
// whom the store does not know. Then the response is wrapped in advance, so that
// the cookie is kept off a 304, and out of caches whatever a FileServer says.
func (m *Middleware) mayDemand(r *http.Request, v *visit) bool {
	if m.cfg.NewUsers.Mint != MintOnDemand || v.facts.IsAsset() || v.facts.IsUpgrade() || v.bearer {
		return false
	}
	if v.facts.Method != request.Get && v.facts.Method != request.Act {
		return false // a CONNECT, an OPTIONS, a HEAD: no one's first step
	}
	c := v.claims.Load()
	return c == nil || c.Provisional
}

// makesRow reports whether a provisional visitor becomes a row by this request:
// when they write something themselves, outside of the forms that decide who they
// become.
func (m *Middleware) makesRow(r *http.Request, v *visit) bool {
	return v.facts.Method == request.Act && m.whyNotAct(v, r) == nil &&
		(v.bearer || m.automatic(r, v.facts) == "") && !m.isCredentialForm(r)
}

// lookForPlainHTTP tells the owner, once, that a page which browsers load over plain
// http sends none of our cookies: they are Secure, so that each click would be a new
// user. Only the browser knows, and says so with a page's second request. On
// localhost Chromium and Firefox keep such cookies, and WebKit does not.
func (m *Middleware) lookForPlainHTTP(r *http.Request) {
	if m.plainSeen.Load() {
		return
	}
	from := header(r, "Origin")
	if from == "" || from == "null" {
		from = header(r, "Referer")
	}
	rest, ok := strings.CutPrefix(from, "http://")
	host, _, _ := strings.Cut(rest, "/")
	if !ok || host != r.Host {
		return
	}
	name := strings.Trim(host, "[]")
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	agent := r.UserAgent()
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || net.ParseIP(name).IsLoopback() {
		if !strings.Contains(agent, "AppleWebKit") || strings.Contains(agent, "Chrom") {
			return
		}
	}
	if m.plainSeen.CompareAndSwap(false, true) {
		m.log.Warn("walkin: a page is loaded over plain http, where browsers keep no Secure cookie: every request is a new visitor's. Serve it over https, or set Config.Cookies.Insecure in development")
		m.emit(r, Event{Outcome: Failed, Reason: "secure_cookie_over_http"})
	}
}

// isCredentialForm reports whether the request goes to a form that decides by
// itself who the visitor becomes. A sign-out is one: a user who is made for a request
// to leave is one too many, and where Config.NewUsers.Limit is reached it would be a 429.
func (m *Middleware) isCredentialForm(r *http.Request) bool {
	if isSignOutPath(r.URL.Path) {
		return true
	}
	signOut, _, _ := strings.Cut(m.cfg.Paths.SignOut, "?")
	upgrade, _, _ := strings.Cut(m.cfg.Paths.Upgrade, "?")
	signIn, _, _ := strings.Cut(m.cfg.Paths.SignIn, "?")
	path := m.asked(r).Path
	return path == signOut || path == upgrade || path == signIn ||
		slices.ContainsFunc(m.cfg.Paths.Credentials, func(at string) bool {
			at = strings.TrimSuffix(at, "/")
			below, ok := strings.CutPrefix(path, at)
			return ok && (below == "" || below[0] == '/')
		})
}

// isSignOutPath reports whether a path is called like one to sign out: /sign-out,
// /users/sign_out, /logout/. Others are for Config.Paths.Credentials to name.
func isSignOutPath(at string) bool {
	at = strings.ToLower(strings.TrimSuffix(at, "/"))
	switch strings.NewReplacer("-", "", "_", "").Replace(path.Base(at)) {
	case "signout", "signoff", "logout", "logoff":
		return true
	}
	return at == "/out" // and not /clock/out, where somebody does something
}

// undo removes the user that was made for a request whose visitor did not get
// the cookie, since the handler panicked before or answered with a 304: nobody
// can ever come back to them.
func (m *Middleware) undo(ctx context.Context, c Claims) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	now := time.Now()
	if err := m.cfg.Store.DeleteUser(ctx, Tombstone{UserID: c.UserID, DeletedAt: now, ExpiresAt: now}); err != nil {
		m.tell(ctx, Event{Outcome: Failed, Reason: "undo_mint", UserID: c.UserID, Err: err})
		return
	}
	m.drop(ctx, c) // saved before a 304
}

// setCookies puts cookies on a response that may or may not be wrapped.
func (m *Middleware) setCookies(w http.ResponseWriter, v *visit, set ...*http.Cookie) {
	p := v.writer()
	if p == nil {
		response.SetCookies(w.Header(), set)
		return
	}
	for _, c := range set {
		p.Set(c)
	}
}

// skipped tells the owner why a visitor without a user got none.
func (m *Middleware) skipped(r *http.Request, f finding, reason string) {
	if m.cfg.OnEvent == nil {
		return
	}
	if f.reason != "" {
		reason = f.reason + "," + reason
	}
	m.emit(r, Event{Outcome: Skipped, Reason: reason})
}
