package walkin

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/internal/tokencache"
)

// A tokenStatus is the status of a request's token.
type tokenStatus uint8

const (
	absent       tokenStatus = iota // there is none
	live                            // ours, and its session is alive
	sessionEnded                    // ours, and its session has ended
	invalid                         // forged, malformed, expired, or in the wrong cookie
	conflicting                     // two live users under one name, or more values than are verified
	foreign                         // a bearer token that is not a live one of ours
	unverifiable                    // perhaps ours, but this replica cannot tell
	lost                            // ours, and the store has never heard of its user
	unreachable                     // ours, but the store does not say whether its session is alive
	suspended                       // ours, its session is alive, and its user banned: not minted over, since a ban ends
)

const leeway = token.Leeway // how far the clocks of two replicas may differ

// An entry is a token that verified. Its claims never change; what is known
// about its session does.
type entry struct {
	token        string
	claims       Claims
	access       bool         // an access token: good as a bearer, never in a cookie
	checked      atomic.Int64 // unix nanoseconds of the last look-up that found the session alive; 0: none yet
	over         atomic.Int64 // until when, by Middleware.clock, the session is taken for ended; 0: it was never seen to be
	lost         atomic.Int64 // the same, of a user whom the store has never heard of
	renewing     atomic.Bool  // a request is re-issuing the token
	renewed      atomic.Int64 // unix nanoseconds of the session's RenewedAt, as last seen; 0: it has none
	trustedUntil atomic.Int64 // until when, by Middleware.clock, a safe request with it needs no judging

	slot       uint16        // of its user, see feed
	seen       atomic.Uint32 // the counter there when the last look-up began
	vouched    atomic.Int64  // until when, by Middleware.clock, the feed speaks for that look-up; 0: there was none
	shortUntil atomic.Int64  // trustedUntil, where the feed vouches
	asking     atomic.Pointer[inquiry]
}

// checkedWithin reports whether the session was found alive in the last d.
func (e *entry) checkedWithin(d time.Duration, now time.Time) bool {
	age := now.UnixNano() - e.checked.Load()
	return age >= 0 && age < int64(d)
}

// known remembers a token that verified.
func (vr *verifier) known(text string, c Claims, access bool) *entry {
	return vr.cache.Add(text, func(e *entry, text string) {
		e.token, e.claims, e.access, e.slot = text, c, access, vr.feed.slot(c.UserID)
		// Of a token that was just issued: the session is as new. One that came in is
		// looked up first.
		e.seen.Store(vr.feed.counters[e.slot].Load())
	})
}

// A verifier finds out whose request it is: whether a token is ours, and whether its
// session is alive. It writes nothing.
type verifier struct {
	*shared
	health      *storeHealth
	cache       *tokencache.Cache[entry]
	unknownKeys unknownKeys
}

// An authResult is the result of verifying a request: whose it is.
type authResult struct {
	status    tokenStatus
	reason    string // why not live, for the operator's events
	entry     *entry // of a token that verified
	bearer    bool
	lost      bool // a live token of an anonymous user whom the store has never heard of
	unsure    bool // live by the token alone: the store is not the one that knows its session
	nowStored bool // a provisional token whose user has become a row: time for a new one
	beside    beside
	former    *formerCookies // the token came in a cookie of before a change
	err       error
}

// What other values there are beside the one that counts.
type beside uint8

const (
	nothing   beside = iota
	remnants         // all are certainly over
	theirs           // one is another live token of the same user
	uncertain        // one may be a live token of another user
)

// The credentials in a request: a bearer token of ours, or our cookies. A bearer of
// another form is the app's own, and says nothing about whose cookies these are.
type requestCredentials struct {
	bearer               bool
	token                string
	permanent, anonymous carriedCookie
	former               *formerCookies // whose cookies they are; nil: those of today
}

func (b *requestCredentials) read(h http.Header, vr *verifier) {
	if text, ok := request.Bearer(h); ok && vr.keys.IsOurs(text) {
		b.token, b.bearer = text, true
		return
	}
	vr.cookies.find(h, vr.cache, &b.permanent, &b.anonymous)
	if vr.cookies.former != nil && b.nothing() {
		b.readFormer(h, vr)
	}
}

// readFormer looks for the cookies of before a change. It is called only where there is
// no current cookie: a sibling domain may plant an old __Secure- name for as long as
// browsers keep a cookie.
func (b *requestCredentials) readFormer(h http.Header, vr *verifier) {
	for i := range vr.cookies.former {
		f := &vr.cookies.former[i]
		if time.Since(f.changedAt) > vr.cfg.Tokens.Lifetime+leeway {
			continue // no token of then is alive
		}
		if f.find(h, nil, &b.permanent, &b.anonymous); !b.nothing() {
			b.former = f
			return
		}
	}
}

// both ranges over the two cookies.
func (b *requestCredentials) both(yield func(carrier, carriedCookie) bool) {
	_ = yield(asPermanent, b.permanent) && yield(asAnonymous, b.anonymous)
}

func (b *requestCredentials) nothing() bool {
	return !b.bearer && b.permanent.status == absent && b.anonymous.status == absent
}

// returning returns the entry of a visitor whose token was verified a moment ago, and
// whose request has nothing to write. It is a short cut past look and Handler to what
// they found then; nil leaves it to them.
func (vr *verifier) returning(r *http.Request, b *requestCredentials) *entry {
	e, as := b.permanent.entry, asPermanent
	if b.permanent.status == absent {
		e, as = b.anonymous.entry, asAnonymous
	}
	if e == nil || !as.fits(e) || !isSafe(r) {
		return nil
	}
	now := vr.clock()
	if !vr.feed.unchanged(e) || e.over.Load() > now {
		return nil
	}
	if left := e.trustedUntil.Load() - now; left > 0 && left <= int64(vr.cfg.Sessions.RecheckAfter) ||
		e.shortUntil.Load() > now && vr.feed.vouches.Load() > now {
		return e
	}
	return nil
}

// allowShortCut lets the requests that follow take the short cut: until the session must be
// looked up again, or the token has expired or is due for renewal.
func (vr *verifier) allowShortCut(f authResult, v *visit, now time.Time) {
	if f.status != live || f.bearer || f.nowStored || f.lost || f.unsure || v.claims.Load() != &f.entry.claims {
		return
	}
	e := f.entry
	if vr.cfg.NewUsers.Mint == MintOnDemand && e.claims.Provisional {
		return // their response may have to be wrapped, see mayDemand
	}
	at := vr.clock()
	most := int64(min(
		e.claims.ExpiresAt.Add(leeway).Sub(now),
		e.claims.IssuedAt.Add(vr.cfg.Tokens.Lifetime+leeway).Sub(now),
		e.claims.IssuedAt.Add(vr.cfg.Tokens.RenewAfter).Sub(vr.health.earlier(now))))
	if left := min(most, int64(vr.cfg.Sessions.RecheckAfter)-(now.UnixNano()-e.checked.Load())); left > 0 {
		e.trustedUntil.Store(at + left)
	}
	if left := min(most, e.vouched.Load()-at); left > 0 {
		e.shortUntil.Store(at + left)
	}
}

// over remembers that a token's session has ended, for RecheckAfter at most, also where
// this process has ended it. A database that was restored, or the wrong one, says so of
// sessions that are alive, and must not be believed for longer than the time until the
// next look-up.
func (vr *verifier) over(e *entry) { e.over.Store(vr.clock() + int64(vr.cfg.Sessions.RecheckAfter)) }

func (vr *verifier) isOver(e *entry) bool { return e.over.Load() > vr.clock() }

// alive remembers that a look-up, which began when the feed's counter was at seen,
// found the session of a token alive. If the session ended since the look-up began, the
// answer is an old one, and alive returns false.
func (vr *verifier) alive(e *entry, seen uint32, now time.Time) bool {
	if at := e.over.Load(); at > vr.clock() || !e.over.CompareAndSwap(at, 0) {
		return false
	}
	e.seen.Store(seen) // first: what was told since is not overlooked
	e.checked.Store(now.UnixNano())
	vr.vouch(e)
	return true
}

// look finds out whose request this is. Nothing is written.
//
// A bearer token counts alone: a client that sends one means that user, and a browser
// never sends one by itself. Of the cookies the permanent one wins. If its session has
// ended or it is invalid, the anonymous one counts. If it cannot be verified, the
// anonymous one does not: fails closed, since the visitor may well be that permanent
// user.
func (vr *verifier) authenticate(r *http.Request, b *requestCredentials, now time.Time) authResult {
	if b.bearer {
		f := vr.verifyToken(r, b.token, vr.cache.Get(b.token), now, asBearer)
		f.bearer = true
		if f.status != live && f.status != unreachable && f.status != suspended {
			f.status = foreign
		}
		return f
	}
	var f authResult
	if b.permanent.status != absent {
		f = vr.verifyCookie(r, b.permanent, b.former, now, asPermanent)
	}
	if b.anonymous.status != absent && (f.status == absent || f.status == sessionEnded || f.status == invalid) {
		f = vr.verifyCookie(r, b.anonymous, b.former, now, asAnonymous)
	}
	if f.former = b.former; f.former != nil && f.status == invalid {
		return authResult{} // not of the cookies of today, so as good as none
	}
	return f
}

// A carrier is what a token came in. The token's kind must agree with it.
type carrier uint8

const (
	asBearer carrier = iota
	asPermanent
	asAnonymous
)

func (k carrier) fits(e *entry) bool {
	return k == asBearer || !e.access && e.claims.Anonymous == (k == asAnonymous)
}

func (vr *verifier) verifyCookie(r *http.Request, c carriedCookie, former *formerCookies, now time.Time, as carrier) authResult {
	switch {
	case c.status == conflicting:
		return authResult{status: conflicting, reason: "duplicate_cookie"}
	case c.status != live:
		return authResult{status: c.status}
	case c.others == nil && former == nil:
		return vr.verifyToken(r, c.value, c.entry, now, as)
	}
	f := vr.verifyValues(r, c, former, now, as)
	if f.status == conflicting && isSafe(r) {
		// One of them may have ended since a look that still counts.
		for _, value := range c.values() {
			if e := vr.cache.Get(value); e != nil {
				e.distrust()
			}
		}
		f = vr.verifyValues(r, c, former, now, as)
	}
	return f
}

func (vr *verifier) verifyValues(r *http.Request, c carriedCookie, former *formerCookies, now time.Time, as carrier) authResult {
	f := vr.verifyToken(r, c.value, vr.cache.Get(c.value), now, as).before(former)
	for _, value := range c.others {
		if f = f.and(vr.verifyToken(r, value, vr.cache.Get(value), now, as).before(former)); f.status == conflicting {
			return f // the rest would change nothing, and costs
		}
	}
	return f
}

// before rejects a token that was issued after the change, since no such cookie is set
// any more: it was planted.
func (f authResult) before(former *formerCookies) authResult {
	if former != nil && f.entry != nil && !f.entry.claims.IssuedAt.Before(former.changedAt) {
		return authResult{status: invalid, reason: "former_cookie"}
	}
	return f
}

// and returns what two values of one name come to. A live one counts, since it verified
// and others can be planted; of one user the newest. Two live users give no user: fails
// closed, since either may have been planted. Without a live one, a value that cannot
// be verified takes precedence over one that has ended.
func (f authResult) and(other authResult) authResult {
	if other.counts() > f.counts() {
		f, other = other, f
	}
	if f.status == live && other.status == live {
		if f.entry.claims.UserID != other.entry.claims.UserID {
			return authResult{status: conflicting, reason: "duplicate_cookie"}
		}
		if other.entry.claims.IssuedAt.After(f.entry.claims.IssuedAt) {
			f, other = other, f
		}
		f.beside = max(f.beside, theirs)
	}
	at := remnants
	switch other.status {
	case live:
		at = theirs
	case unreachable, unverifiable, lost, suspended:
		at = uncertain
	}
	f.beside = max(f.beside, other.beside, at)
	return f
}

// counts orders results by how much they say about a visitor.
func (f authResult) counts() int {
	switch f.status {
	case live:
		return 4
	case unreachable:
		return 3
	case unverifiable, lost, suspended:
		return 2
	case sessionEnded:
		return 1
	}
	return 0
}

// judge returns what a token is worth on this request; e is its cache entry, if it has
// one.
func (vr *verifier) verifyToken(r *http.Request, text string, e *entry, now time.Time, as carrier) authResult {
	if e == nil {
		c, access, status, reason := vr.keys.Verify(text, as == asBearer, now)
		switch status {
		case token.Unverifiable:
			vr.unknownKeys.age(text, vr.clock())
			return authResult{status: unverifiable, reason: reason}
		case token.Invalid:
			return authResult{status: invalid, reason: reason}
		}
		e = vr.known(text, claimsOf(c), access)
	}
	switch {
	case now.After(e.claims.ExpiresAt.Add(leeway)), now.After(e.claims.IssuedAt.Add(vr.cfg.Tokens.Lifetime + leeway)):
		// The second says the same, unless Config.Tokens.Lifetime was longer when the
		// token was issued: tombstones and sweeps go by what it is now.
		return authResult{status: invalid, reason: "expired"}
	case !as.fits(e):
		return authResult{status: invalid, reason: "wrong_cookie"}
	case vr.outlived(mintedAt(e.claims), now):
		return authResult{status: invalid, reason: "expired"}
	case vr.isOver(e):
		return authResult{status: sessionEnded, reason: "session_ended", entry: e}
	case isSafe(r) && vr.fresh(e, now):
		return authResult{status: live, entry: e}
	case isSafe(r) && e.lost.Load() > vr.clock():
		return vr.lostOne(r, e)
	}
	if e.claims.Anonymous && isSafe(r) && vr.health.isDown(now) {
		return unasked(e) // as below, without the wait
	}
	return vr.askStore(r, e, now)
}

// askStore finds out whether the session of a token of ours is alive.
func (vr *verifier) askStore(r *http.Request, e *entry, now time.Time) authResult {
	vr.missFeed()
	s, seen, err := vr.ask(r, e)
	switch {
	case errors.Is(err, ErrBanned):
		e.distrust()
		e.over.CompareAndSwap(0, 1) // not believed while the store is down, see unasked
		return authResult{status: suspended, reason: reasonBanned, entry: e, err: err}
	case err == nil && (vr.outlived(s.CreatedAt, now) || now.After(s.ExpiresAt.Add(leeway))):
		return authResult{status: invalid, reason: "expired"}
	case err == nil && s.Anonymous != e.claims.Anonymous:
		// The row is right. Fails closed both ways: a permanent user's session is
		// never an anonymous one's, and a flag in a token opens no guard.
		vr.over(e)
		return authResult{status: sessionEnded, reason: "wrong_kind", entry: e}
	case err == nil && !vr.alive(e, seen, now):
		return authResult{status: sessionEnded, reason: "session_ended", entry: e}
	case err == nil:
		e.renewed.Store(s.RenewedAt.UnixNano())
		return authResult{status: live, entry: e, nowStored: e.claims.Provisional}
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrSessionEnded):
		return vr.unheard(r, e, seen, err)
	case e.claims.Anonymous && isSafe(r):
		// Fails open: a reader without an account is the user that their signed token
		// names, and a site whose store is down can still be read. Others need not wait
		// for a store that hangs.
		if r.Context().Err() == nil {
			vr.health.downUntil.Store(time.Now().Add(downPause).UnixNano())
		}
		return unasked(e)
	}
	return authResult{status: unreachable, reason: "store_down", entry: e, err: err}
}

// unasked is for an anonymous reader while the store is down. A token that was seen to
// be over before is not believed again: fails closed, and for this page alone.
func unasked(e *entry) authResult {
	if e.over.Load() != 0 {
		return authResult{status: unverifiable, reason: "store_down", entry: e}
	}
	return authResult{status: live, entry: e}
}

const downPause = time.Second // how long readers believe that the store is still down

// isDown reports whether a look-up failed just now.
func (h *storeHealth) isDown(now time.Time) bool { return now.UnixNano() < h.downUntil.Load() }

// lookup looks for the session of a token. One of a banned user is a *Refusal.
func (h *storeHealth) lookup(ctx context.Context, c Claims) (Session, error) {
	s, err := h.cfg.Store.LookupSession(ctx, c.UserID, c.SessionID)
	if refusal := banned(s.BannedUntil); err == nil && refusal != nil {
		return s, refusal
	}
	return s, err
}
