package walkin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Mint says when a visitor without a user gets one. Minting is a signature and
// a cookie; it writes nothing to the store.
type Mint uint8

const (
	// MintOnVisit mints when somebody opens a page or acts.
	MintOnVisit Mint = iota

	// MintOnAct mints when somebody acts: a POST, PUT, PATCH or DELETE from
	// the site itself. Nothing is stored on a reader's device.
	MintOnAct

	// MintOnDemand mints only in [Middleware.Ensure].
	MintOnDemand

	// MintOff makes no new anonymous users. Those there are go on.
	MintOff
)

// Ensure makes sure that the visitor is somebody whom the store knows, and
// returns their claims: it mints a user when there is none and makes them a
// row, so that foreign keys to the users hold. Handlers behind
// [Middleware.Handler] need it only where Config.Mint has not done so before:
// on a GET, with MintOnDemand, or to serve programs that send no cookies.
//
// Call it before the response begins, from one goroutine, and, where Config.Mint
// is not MintOnDemand, leave Cache-Control alone after it. The error is a
// *[Refusal] for [Middleware.Refuse]: there can be no user for a cross-site post,
// a bot, a visitor whose token was superseded a moment ago, a new one where
// Config.RowLimit is reached, or while the store is down.
func (m *Middleware) Ensure(w http.ResponseWriter, r *http.Request) (Claims, error) {
	v := m.visit(w, r)
	if c := v.claims.Load(); c != nil {
		if !c.Provisional {
			return m.ensureAlive(r, v, *c)
		}
		if isAct(r) && m.cfg.CrossOrigin.Check(r) != nil {
			return Claims{}, crossOrigin()
		}
	} else if reason := m.whyNotMint(r, v.standing, true); reason != "" {
		return Claims{}, m.noUser(v, reason)
	}
	if v.response != nil && v.response.begun() {
		return Claims{}, errors.New("walkin: Ensure was called after the response began")
	}
	old := v.entry
	cookie, err := m.makeRow(r, v)
	if err != nil {
		return Claims{}, err
	}
	switch {
	case cookie == nil:
	case old != nil && v.response != nil:
		v.response.goOn(m.stillAlive(r, old, v.entry), cookie)
	default:
		m.setCookies(w, v, cookie)
	}
	return *v.claims.Load(), nil
}

// ensureAlive looks at the store before a handler acts as a user by a safe
// request, which Handler may have let pass on an earlier look.
func (m *Middleware) ensureAlive(r *http.Request, v *visit, c Claims) (Claims, error) {
	if !isSafe(r) {
		return c, nil
	}
	switch _, err := m.lookup(r.Context(), c); {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrSuperseded):
		v.become(superseded, "superseded")
		if v.entry != nil {
			m.over(v.entry)
		}
		return Claims{}, refusalOf(ErrSuperseded)
	case err != nil:
		return Claims{}, err
	}
	return c, nil
}

// noUser is the refusal of a visitor who is nobody and stays so.
func (m *Middleware) noUser(v *visit, reason string) *Refusal {
	switch {
	case v.standing == unreachable:
		return storeDown(nil)
	case v.standing == conflicting:
		return m.twoUsers()
	case reason == "cross_site":
		return crossOrigin()
	case v.reason != "":
		reason = v.reason
	}
	return &Refusal{Status: http.StatusUnauthorized, Reason: reason, Page: m.cfg.SignInURL}
}

// twoUsers is the refusal of a browser that has live cookies of two users, or
// more cookies than are looked at. Either user may have been planted, so neither
// counts, and only a sign-out leads on.
func (m *Middleware) twoUsers() *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Reason: "duplicate_cookie", SignOut: m.cfg.SignOutURL,
		Message: "Your browser holds two different users of this site. Please sign out, which ends both, and start again."}
}

func crossOrigin() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Reason: "cross_origin"}
}

// mint makes a provisional user for the visitor. Nobody but the visitor's
// browser knows of them until they act.
func (m *Middleware) mint(now time.Time) (Claims, error) {
	user, err := newUserID(now)
	if err != nil {
		return Claims{}, err
	}
	session, err := uuid.NewRandom()
	if err != nil {
		return Claims{}, err
	}
	return m.bounded(m.dated(Claims{UserID: user, SessionID: session, Anonymous: true, Provisional: true}, now), now), nil
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
func (m *Middleware) dated(c Claims, now time.Time) Claims {
	c.IssuedAt = time.Unix(now.Unix(), 0)
	c.ExpiresAt = c.IssuedAt.Add(m.cfg.Lifetime)
	return c
}

// bounded ends the token with its session, where Config.SessionLifetime does.
func (m *Middleware) bounded(c Claims, began time.Time) Claims {
	if end := began.Add(m.cfg.SessionLifetime); m.cfg.SessionLifetime > 0 && !began.IsZero() && end.Before(c.ExpiresAt) {
		c.ExpiresAt = time.Unix(end.Unix(), 0)
	}
	return c
}

// outlived reports whether a session that began then is over by
// Config.SessionLifetime.
func (m *Middleware) outlived(began, now time.Time) bool {
	return m.cfg.SessionLifetime > 0 && !began.IsZero() && now.Sub(began) > m.cfg.SessionLifetime
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

// makeRow turns the visitor into a user and a session in the store, minting
// them first when they are nobody, and returns the cookie for it, or nil for a
// bearer. Only when both are committed does a token claim them.
func (m *Middleware) makeRow(r *http.Request, v *visit) (*http.Cookie, error) {
	now := time.Now()
	fresh := v.claims.Load() == nil
	var c Claims
	if fresh {
		var err error
		if c, err = m.mint(now); err != nil {
			return nil, refusalOf(err)
		}
	} else {
		c = *v.claims.Load()
		c = m.bounded(m.dated(c, now), mintedAt(c))
	}
	c.Provisional = false
	taken, full := m.takeRowOrAsk(r, now)
	if full != nil {
		if fresh {
			return nil, full
		}
		// A visitor whose row is there, and whose new token got lost on its
		// way, makes none and goes on.
		if _, err := m.lookup(r.Context(), c); errors.Is(err, ErrNotFound) {
			return nil, full
		} else if err != nil && !errors.Is(err, ErrSuperseded) {
			return nil, err
		}
	}
	// The token comes before the row: one that cannot be issued must leave none.
	token, c, err := m.issue(r.Context(), c)
	if err != nil {
		m.returnRow(r, taken, now)
		return nil, refusalOf(err)
	}
	created, err := m.persist(r.Context(), c, now)
	if err == nil && !created || errors.Is(err, ErrSuperseded) {
		m.returnRow(r, taken, now)
	}
	switch {
	case errors.Is(err, ErrSuperseded):
		v.become(superseded, "superseded")
		if v.entry != nil {
			m.over(v.entry)
		}
		return nil, refusalOf(err)
	case err != nil:
		return nil, err
	}
	if fresh {
		m.emit(r, Event{Outcome: Minted, UserID: c.UserID, SessionID: c.SessionID})
	}
	if created {
		m.emit(r, Event{Outcome: Persisted, UserID: c.UserID, SessionID: c.SessionID})
	}
	if v.bearer {
		c.ExpiresAt = v.claims.Load().ExpiresAt // a bearer's token is not replaced
		v.claims.Store(&c)
		return nil, nil
	}
	m.remember(v, token, c, now)
	if v.handsOff {
		return nil, nil // the token they have goes on
	}
	return m.cookies.carry(token, c, now), nil
}

func (m *Middleware) persist(ctx context.Context, c Claims, now time.Time) (created bool, err error) {
	return m.cfg.Store.Persist(ctx,
		User{ID: c.UserID, Anonymous: true, CreatedAt: now, SeenAt: now},
		Session{ID: c.SessionID, UserID: c.UserID, CreatedAt: now, RenewedAt: now, ExpiresAt: c.ExpiresAt})
}

// issue signs a cookie's token for c, with the app's claims as they are now.
func (m *Middleware) issue(ctx context.Context, c Claims) (string, Claims, error) {
	app, err := m.appClaims(ctx, c)
	if err != nil {
		return "", c, err
	}
	c.App = app
	token, err := m.keys.issue(c, typeSession, m.cfg.Audience)
	if err != nil {
		return "", c, err
	}
	if n := len(m.cookies.name(c.Anonymous)) + 1 + len(token); n > maxToken {
		// A browser would drop the cookie without a word, and the next visit
		// would mint again, for ever.
		return "", c, &Refusal{Status: http.StatusInternalServerError, Reason: "token_too_large",
			Err: errors.New("walkin: the claims of Config.AppClaims make the cookie too large")}
	}
	return token, c, nil
}

// isAct reports whether the request does something, in the words of RFC 9110.
func isAct(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

// isSafe reports whether the request only looks. A method we do not know is
// not safe: it is treated with the care an act gets.
func isSafe(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// whyNotMint returns "" when this request may give its visitor, who was found
// to stand like s, a new user; and otherwise the reason it may not. demanded
// is true in Ensure: the app asks, so the shape of a page view is not needed.
//
// It fails closed: whatever is not known to be a person's own first step is
// not one yet. The visitor loses nothing by a no; the next page view asks anew.
func (m *Middleware) whyNotMint(r *http.Request, s standing, demanded bool) string {
	switch {
	case m.cfg.Mint == MintOff:
		return "mint_off"
	case s != absent && s != superseded && s != invalid:
		// There is a token that could not be judged, or two: to mint over it
		// could take a live user away.
		return "cookie_not_judged"
	case header(r, "Upgrade") != "":
		return "protocol_upgrade" // many WebSocket libraries drop the cookie
	case isPrefetch(r.Header):
		return "prefetch"
	case isMachinePath(r.URL.Path):
		return "machine_path"
	}
	var reason string
	switch {
	case isAct(r):
		reason = m.whyNotByAct(r, s, demanded)
	case r.Method == http.MethodGet:
		reason = m.whyNotByVisit(r, s, demanded)
	default:
		reason = "method"
	}
	if reason == "" && m.cfg.IsBot(r) {
		reason = "bot"
	}
	return reason
}

func (m *Middleware) whyNotByAct(r *http.Request, s standing, demanded bool) string {
	switch {
	case !isSameOrigin(r):
		// Also a top-level post from elsewhere: the browser withholds a Lax
		// cookie there, and there may be one.
		return "cross_site"
	case s != absent:
		// A click that raced an upgrade must not open a second user.
		return "stale_cookie"
	case demanded:
		return ""
	case m.cfg.Mint == MintOnDemand:
		return "on_demand"
	case m.isCredentialForm(r):
		return "credential_form"
	}
	return ""
}

func (m *Middleware) whyNotByVisit(r *http.Request, s standing, demanded bool) string {
	visit := m.whyNotVisit(r)
	switch {
	case demanded && s == absent:
		if header(r, "Sec-Fetch-Site") != "" && visit != "" && !isSameOrigin(r) {
			return "cross_site"
		}
		return ""
	case visit != "":
		return visit
	case m.cfg.Mint == MintOnVisit || demanded:
		return ""
	case s == absent:
		return "no_act"
	}
	// The device holds a cookie of ours already, and a dead one: without a
	// new one its owner could never act again.
	return ""
}

// whyNotVisit reports whether a person opens a page, by what browsers say
// themselves (Fetch Metadata) and else by what they accept.
func (m *Middleware) whyNotVisit(r *http.Request) string {
	mode, dest, site := header(r, "Sec-Fetch-Mode"), header(r, "Sec-Fetch-Dest"), header(r, "Sec-Fetch-Site")
	switch {
	case mode == "" && dest == "" && site == "":
		if !accepts(r, "text/html") {
			return "not_a_page"
		}
		return ""
	case mode != "navigate":
		return "not_a_page"
	case dest == "document":
		return ""
	case dest == "iframe" && m.cfg.Partitioned:
		return ""
	}
	return "embedded"
}

// isSameOrigin reports whether the request comes from a page of this very
// site, so that the browser sent all the cookies it has. Clients that say
// nothing of the kind are no browsers and carry no victim's cookies.
func isSameOrigin(r *http.Request) bool {
	switch header(r, "Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	origin := header(r, "Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == r.Host
}

// isPrefetch reports whether a browser or proxy asks ahead of a person who may
// never come.
func isPrefetch(h http.Header) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		values := h[name]
		if len(values) == 0 {
			continue
		}
		switch v := strings.ToLower(values[0]); {
		case strings.Contains(v, "prefetch"), strings.Contains(v, "prerender"), v == "preview":
			return true
		}
	}
	return false
}

// isMachinePath reports whether a path is one that machines ask for.
func isMachinePath(path string) bool {
	switch path {
	case "/healthz", "/health", "/livez", "/readyz", "/ready", "/live", "/ping", "/status", "/metrics",
		"/robots.txt", "/favicon.ico", "/sitemap.xml", "/ads.txt":
		return true
	}
	return strings.HasPrefix(path, "/.well-known/")
}

// isAsset reports whether a browser loads a piece of a page.
func isAsset(r *http.Request) bool {
	switch header(r, "Sec-Fetch-Dest") {
	case "", "document", "empty", "iframe", "frame":
		return false
	}
	return true
}

// header is r.Header.Get for a name that is spelt as net/http does, which a
// request without a user asks for by the dozen.
func header(r *http.Request, name string) string {
	if values := r.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
