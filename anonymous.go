package walkin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/texts"
)

// Mint says when a visitor without a user gets one. Minting signs a token and sets a
// cookie; it writes nothing to the store.
type Mint uint8

const (
	// MintOnVisit mints when a visitor opens a page or sends an unsafe request.
	MintOnVisit Mint = iota

	// MintOnWrite mints when a visitor sends an unsafe request: a POST, PUT, PATCH or
	// DELETE from the site itself, see docs/requests.md. Nothing is stored on the
	// device of a visitor who only reads.
	MintOnWrite

	// MintOnDemand mints only in [Middleware.Ensure].
	MintOnDemand

	// MintOff mints no new anonymous users. Existing ones go on.
	MintOff
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
	if v := visitFrom(r.Context()); v != nil && v.home == m.home {
		v.more().ensuring.Lock()
		defer v.more().ensuring.Unlock()
		return m.ensure(w, r, v)
	}
	// Handler left nothing in the context. What the first call sets in the
	// response, the next one finds there.
	defer m.turns.take(w)()
	return m.ensure(w, r, m.verifier.visit(w, r))
}

func (m *Middleware) ensure(w http.ResponseWriter, r *http.Request, v *visit) (Claims, error) {
	if c := v.claims.Load(); c != nil {
		if c.Actor != uuid.Nil {
			return *c, nil // the user's row is there, and stays as it is
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
	} else if reason := m.admission.mintRefusal(r, m.admission.facts(v, r), v.status, byApp); reason != "" {
		return Claims{}, m.admission.noUser(v, reason)
	} else if v.reason() == "expired" && !m.health.isExpired(r) {
		return Claims{}, m.admission.noUser(v, "clock")
	}
	if v.begun() {
		return Claims{}, errors.New("walkin: Ensure was called after the response began")
	}
	old := v.entry
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
	case errors.Is(err, ErrNotFound):
		// Lost a moment ago, perhaps: the next request looks more closely.
		return Claims{}, storeDown(err)
	case errors.Is(err, ErrSessionEnded):
		m.verifier.end(v)
		return Claims{}, refusalOf(ErrSessionEnded)
	case err != nil:
		return Claims{}, err
	}
	return c, nil
}

// noUser is the refusal of a request without a user that gets none.
func (a *admission) noUser(v *visit, reason string) *Refusal {
	switch {
	case v.status == unreachable:
		return storeDown(nil)
	case v.status == conflicting:
		return a.twoUsers()
	case v.status == suspended:
		return refusalOf(v.more().err)
	case reason == "cross_site", reason == "report", reason == "worker_without_cookie":
		return foreignRequest(reason)
	case reason == reasonNoCookie:
		return withoutCookie()
	case v.reason() != "":
		reason = v.reason()
	}
	return &Refusal{Status: http.StatusUnauthorized, Reason: reason, Page: a.cfg.Paths.SignIn}
}

// twoUsers is the refusal of a browser that has live cookies of two users, or more
// cookies than are verified. Either user may have been planted, so neither counts, and
// only a sign-out helps.
func (a *admission) twoUsers() *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Reason: "duplicate_cookie", SignOut: a.cfg.Paths.SignOut,
		Text: texts.Of("error.two_users")}
}

// mint makes a provisional user for the visitor. Only the visitor's browser knows of
// them until their first write.
func (is *issuer) mint(now time.Time) (Claims, error) {
	user, err := newUserID(now)
	if err != nil {
		return Claims{}, err
	}
	session, err := uuid.NewRandom()
	if err != nil {
		return Claims{}, err
	}
	return is.bounded(is.dated(Claims{UserID: user, SessionID: session, Anonymous: true, Provisional: true}, now), now), nil
}

// newUserID returns a UUIDv7 of that moment. uuid.NewV7 runs ahead of a clock that
// was set back, and an anonymous user's ID says when their session began.
func newUserID(now time.Time) (uuid.UUID, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return id, err
	}
	ms := now.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = 0x70 | id[6]&0x0f
	return id, nil
}

// dated sets the token's times, to the second as the token has them.
func (is *issuer) dated(c Claims, now time.Time) Claims {
	c.IssuedAt = time.Unix(now.Unix(), 0)
	c.ExpiresAt = c.IssuedAt.Add(is.cfg.Tokens.Lifetime)
	return c
}

// bounded ends the token with its session, where Config.Sessions.Lifetime does.
func (is *issuer) bounded(c Claims, began time.Time) Claims {
	if end := began.Add(is.cfg.Sessions.Lifetime); is.cfg.Sessions.Lifetime > 0 && !began.IsZero() && end.Before(c.ExpiresAt) {
		c.ExpiresAt = time.Unix(end.Unix(), 0)
	}
	return c
}

// outlived reports whether a session that began then is over by
// Config.SessionLifetime.
func (vr *verifier) outlived(began, now time.Time) bool {
	return vr.cfg.Sessions.Lifetime > 0 && !began.IsZero() && now.Sub(began) > vr.cfg.Sessions.Lifetime
}

// mintedAt returns when an anonymous user was minted, which is when their session
// began whatever the store knows of it: their ID tells. It is the zero time for a
// permanent user, whose session began with a proof.
func mintedAt(c Claims) time.Time {
	if !c.Anonymous || c.UserID.Version() != 7 {
		return time.Time{}
	}
	return time.Unix(c.UserID.Time().UnixTime())
}

// beganAt returns when a session that the store knows began.
func beganAt(c Claims, s Session) time.Time {
	if at := mintedAt(c); s.CreatedAt.IsZero() || !at.IsZero() && at.Before(s.CreatedAt) {
		return at
	}
	return s.CreatedAt
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
	c, err := m.issuer.toStore(v, now)
	if err != nil {
		return nil, refusalOf(err)
	}
	fresh := v.claims.Load() == nil
	taken, full := m.limits.takeNewUserOrChallenge(r, now)
	if full != nil {
		if fresh {
			return nil, full
		}
		// A visitor who is stored, and whose new token got lost in transit, adds none
		// and goes on.
		if _, err := m.health.lookup(r.Context(), c); errors.Is(err, ErrNotFound) {
			return nil, full
		} else if err != nil && !errors.Is(err, ErrSessionEnded) {
			return nil, err
		}
	}
	token, c, created, err := m.issuer.storeAnonymous(r.Context(), c, now)
	if !created && !errors.Is(err, ErrUnavailable) { // which may have committed
		m.limits.giveBack(r, taken, now)
	}
	switch {
	case isHook(err):
		return nil, refusalOf(err) // whatever it is called in there
	case errors.Is(err, ErrSessionEnded):
		m.verifier.end(v)
		return nil, refusalOf(err)
	case err != nil:
		return nil, err
	}
	v.minted = v.minted || fresh
	for _, event := range []struct {
		is      bool
		outcome Outcome
	}{{fresh, Minted}, {created && v.lost, Revived}, {created, Persisted}} {
		if event.is {
			m.emit(r, Event{Outcome: event.outcome, UserID: c.UserID, SessionID: c.SessionID})
		}
	}
	return m.issuer.give(v, token, c, now), nil
}

// toStore returns the visitor's claims as they will be once they are stored. It mints a
// user when there is none.
func (is *issuer) toStore(v *visit, now time.Time) (c Claims, err error) {
	if have := v.claims.Load(); have != nil {
		c = is.bounded(is.dated(*have, now), mintedAt(*have))
	} else if c, err = is.mint(now); err != nil {
		return c, err
	}
	c.Provisional = false
	return c, nil
}

// give makes the token of a user who was just stored the visitor's, and returns the
// cookie for it; nil where they have what goes on.
func (is *issuer) give(v *visit, token string, c Claims, now time.Time) *http.Cookie {
	switch {
	case v.bearer && v.claims.Load() == nil:
		is.remember(v, token, c)
		is.hand(v, token, c)
		return nil
	case v.bearer:
		c.ExpiresAt = v.claims.Load().ExpiresAt // a bearer's token is not replaced
		v.claims.Store(&c)
		return nil
	}
	is.remember(v, token, c)
	if v.keepCookie {
		return nil // the token they have goes on
	}
	return is.cookies.carry(token, c, now)
}

// end takes the user away from a visit whose session was found to have ended.
func (vr *verifier) end(v *visit) {
	v.become(sessionEnded, "session_ended")
	if v.entry != nil {
		vr.over(v.entry)
	}
}

func (is *issuer) persist(ctx context.Context, c Claims, now time.Time) (created bool, err error) {
	return is.cfg.Store.CreateAnonymous(ctx,
		User{ID: c.UserID, Anonymous: true, CreatedAt: now, SeenAt: now},
		Session{ID: c.SessionID, UserID: c.UserID, CreatedAt: now, RenewedAt: now, ExpiresAt: c.ExpiresAt})
}

// issue signs a cookie's token for c, with the app's claims as they are now.
func (is *issuer) issue(ctx context.Context, c Claims) (string, Claims, error) {
	app, err := is.appClaims(ctx, c)
	if err != nil {
		return "", c, err
	}
	c.App, c.database = app, is.health.databaseID()
	text, err := is.keys.Issue(c.forToken(), token.Session, is.cfg.Tokens.Audience)
	if err != nil {
		return "", c, err
	}
	if n := len(is.cookies.name(c.Anonymous)) + 1 + len(text); n > token.MaxSize {
		// A browser would drop the cookie without an error, and every later visit would
		// mint again.
		return "", c, &Refusal{Status: http.StatusInternalServerError, Reason: "token_too_large",
			Err: errors.New("walkin: the claims of Config.Tokens.AppClaims make the cookie too large")}
	}
	return text, c, nil
}

// isSafe reports whether the request only reads. An unknown method is not safe: it is
// treated as a write.
func isSafe(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// facts returns what is known about the sender of a request: what Handler read, or else
// what r itself says.
func (a *admission) facts(v *visit, r *http.Request) request.Facts {
	if v.facts.IsRead() {
		return v.facts
	}
	var b requestCredentials
	b.read(r.Header, a.verifier)
	return a.readFacts(r, &b)
}

func (a *admission) readFacts(r *http.Request, b *requestCredentials) request.Facts {
	some, lax := !b.bearer && !b.nothing(), false
	if !isSafe(r) {
		if b.bearer { // cookies were not read yet
			var permanent, anonymous carriedCookie
			a.cookies.find(r.Header, nil, &permanent, &anonymous)
			some = permanent.status != absent || anonymous.status != absent
		}
		_, flow := a.cookies.flowValue(r)
		some = some || flow
		lax = some && !a.cfg.Cookies.Partitioned
	}
	return request.Read(r, &a.site, some, lax)
}

// newSite returns what package request has to be told about a site.
func newSite(cfg Config, keys *token.Keyring) request.Site {
	return request.Site{
		Insecure: cfg.Cookies.Insecure, Partitioned: cfg.Cookies.Partitioned, IsOurs: keys.IsOurs,
		// CrossOriginProtection does not say which origins it trusts, nor why it
		// lets a request pass. It is asked about one from elsewhere that is
		// nothing but its origin: what it passes then is trusted wherever it goes.
		Trusts: func(origin string) bool {
			return cfg.CrossOrigin.Check(&http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/.walkin/trusted-origin"},
				Header: http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {origin}}}) == nil
		},
		IsExempt: func(r *http.Request) bool { return cfg.CrossOrigin.Check(r) == nil },
	}
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

// writeRefusal returns nil when an unsafe request may change something for its visitor,
// and the refusal otherwise. Every part of walkin that changes something asks it.
func (a *admission) writeRefusal(v *visit, r *http.Request) *Refusal {
	f := a.facts(v, r)
	if reason := f.WriteRefusal(v.status == live && !v.bearer); reason != "" {
		return foreignRequest(reason)
	}
	return nil
}

func foreignRequest(reason string) *Refusal {
	refusal := &Refusal{Status: http.StatusForbidden, Reason: "cross_origin"}
	if reason == "worker_without_cookie" {
		refusal.Reason, refusal.Message = reason, "We could not tell that this came from our own page. Please reload the page and try again."
	}
	return refusal
}

// A demand says who wants a new user: the shape of the request, or the app.
type demand bool

const (
	byShape demand = false
	byApp   demand = true // in Ensure
)

// mintRefusal returns "" when this request may give its visitor, whose token status is
// s, a new user; and otherwise the reason why not.
//
// It fails closed: a request gets no user unless it is known to be a visitor's own
// first step. A refusal costs the visitor nothing; the next page view asks again.
func (a *admission) mintRefusal(r *http.Request, f request.Facts, s tokenStatus, by demand) string {
	switch {
	case a.cfg.NewUsers.Mint == MintOff:
		return "mint_off"
	case s != absent && s != sessionEnded && s != invalid:
		// There is a token that could not be verified, or two: to mint over it could
		// take a live user away.
		return "cookie_not_verified"
	case f.IsUpgrade():
		return "protocol_upgrade" // many WebSocket libraries drop the cookie
	case f.IsPrefetch():
		return "prefetch"
	case request.IsMachinePath(r.URL.Path, f.SaysBrowser()):
		return "machine_path"
	}
	var reason string
	switch f.Method {
	case request.Write:
		reason = a.writeMintRefusal(r, f, s, by)
	case request.Get:
		reason = a.visitMintRefusal(f, s, by)
	default:
		reason = "method"
	}
	stores := f.Method == request.Write || by == byApp || a.cfg.NewUsers.PersistOnMint
	if reason == "" && s == absent && stores && a.keepsNoCookie(r, f) {
		reason = reasonNoCookie
	}
	if reason == "" && a.cfg.NewUsers.IsBot(r) {
		reason = "bot"
	}
	return reason
}

func (a *admission) writeMintRefusal(r *http.Request, f request.Facts, s tokenStatus, by demand) string {
	if reason := f.WriteRefusal(false); reason != "" {
		return reason
	}
	switch {
	case f.From == request.TrustedFar, f.From == request.Exempt:
		// Also a top-level post from elsewhere: the browser withholds a Lax
		// cookie there, and there may be one.
		return "cross_site"
	case s != absent:
		// A click that raced an upgrade must not open a second user.
		return "stale_cookie"
	case f.Auth == request.AppBearer, f.Auth == request.AppAuth:
		return "authorization" // an API client sent it, and the app knows it by that
	case by == byApp:
		return ""
	case a.cfg.NewUsers.Mint == MintOnDemand:
		return "on_demand"
	case a.isCredentialForm(r):
		return "credential_form"
	}
	return a.automatic(r, f)
}

// automatic returns why an unsafe request that is allowed was still not sent by a
// visitor, or "". Such a request creates and stores no user by itself.
func (a *admission) automatic(r *http.Request, f request.Facts) string {
	switch {
	case !f.IsBrowser():
		return "no_browser" // a webhook, or another API client
	case f.Shape == request.Beacon:
		return "beacon"
	case a.cfg.NewUsers.IsAutomatic != nil && a.cfg.NewUsers.IsAutomatic(r):
		return "automatic"
	}
	return ""
}

func (a *admission) visitMintRefusal(f request.Facts, s tokenStatus, by demand) string {
	visit := a.notAPage(f)
	switch {
	case f.Auth == request.AppBearer:
		return "authorization"
	case by == byApp && s == absent:
		if visit != "" && f.SaysBrowser() && f.From != request.Own && f.From != request.Trusted {
			return "cross_site"
		}
		return ""
	case visit != "":
		return visit
	case a.cfg.NewUsers.Mint == MintOnVisit || by == byApp:
		return ""
	case s == absent:
		return "no_act"
	}
	// The device already holds a cookie of ours, and an invalid one. Without a new one
	// its visitor could never write again.
	return ""
}

// notAPage returns "" when a visitor opens a page, and otherwise what else it is.
func (a *admission) notAPage(f request.Facts) string {
	switch f.Shape {
	case request.Page:
		return ""
	case request.Frame:
		if a.cfg.Cookies.Partitioned {
			return ""
		}
		return "embedded"
	case request.Frameset, request.Plugin:
		return "embedded"
	}
	return "not_a_page"
}

// header is r.Header.Get for a name that is spelt as net/http does.
func header(r *http.Request, name string) string { return request.First(r.Header, name) }
