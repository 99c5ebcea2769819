package walkin

import (
	"errors"
	"net/http"
	"time"

	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/internal/tokencache"
	"github.com/walkin-go/walkin/store"
)

// A verifier finds out whose request it is: whether a token is ours, and whether its
// session is alive. It writes nothing.
type verifier struct {
	*shared
	health      *storeHealth
	cache       *tokencache.Cache[entry]
	unknownKeys unknownKeys
}

// returning returns the entry of a visitor whose token was verified a moment ago, and
// whose request has nothing to write. It is a short cut past authenticate and Handler to what
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

// authenticate finds out whose request this is. Nothing is written.
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

func (vr *verifier) verifyCookie(r *http.Request, c carriedCookie, former *formerCookies, now time.Time, as carrier) authResult {
	switch {
	case c.status == conflicting:
		return authResult{status: conflicting, reason: ReasonDuplicateCookie}
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

// verifyToken returns what a token is worth on this request; e is its cache entry, if it has
// one.
func (vr *verifier) verifyToken(r *http.Request, text string, e *entry, now time.Time, as carrier) authResult {
	if e == nil {
		c, access, status, reason := vr.keys.Verify(text, as == asBearer, now)
		switch status {
		case token.Unverifiable:
			vr.unknownKeys.age(text, vr.clock())
			return authResult{status: unverifiable, reason: Reason(reason)}
		case token.Invalid:
			return authResult{status: invalid, reason: Reason(reason)}
		}
		e = vr.known(text, claimsOf(c), access)
	}
	switch {
	case now.After(e.claims.ExpiresAt.Add(leeway)), now.After(e.claims.IssuedAt.Add(vr.cfg.Tokens.Lifetime + leeway)):
		// The second says the same, unless Config.Tokens.Lifetime was longer when the
		// token was issued: tombstones and sweeps go by what it is now.
		return authResult{status: invalid, reason: ReasonExpired}
	case !as.fits(e):
		return authResult{status: invalid, reason: ReasonWrongCookie}
	case vr.outlived(mintedAt(e.claims), now):
		return authResult{status: invalid, reason: ReasonExpired}
	case vr.isOver(e):
		return authResult{status: sessionEnded, reason: ReasonSessionEnded, entry: e}
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
		return authResult{status: suspended, reason: ReasonBanned, entry: e, err: err}
	case err == nil && (vr.outlived(s.CreatedAt, now) || now.After(s.ExpiresAt.Add(leeway))):
		return authResult{status: invalid, reason: ReasonExpired}
	case err == nil && s.Anonymous != e.claims.Anonymous:
		// The store is right. Fails closed both ways: a permanent user's session is
		// never an anonymous one's, and a flag in a token opens no guard.
		vr.over(e)
		return authResult{status: sessionEnded, reason: ReasonWrongKind, entry: e}
	case err == nil && !vr.alive(e, seen, now):
		return authResult{status: sessionEnded, reason: ReasonSessionEnded, entry: e}
	case err == nil:
		e.renewed.Store(s.RenewedAt.UnixNano())
		return authResult{status: live, entry: e, nowStored: e.claims.Provisional}
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrSessionEnded):
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
	return authResult{status: unreachable, reason: ReasonStoreDown, entry: e, err: err}
}

// visit returns what Handler found about the request. When Handler left nothing in the
// context, or the request did not come through it, visit looks now: first at what this
// very response sets already, by an earlier Ensure or Continue, and then at the
// request.
func (vr *verifier) visit(w http.ResponseWriter, r *http.Request) *visit {
	if v := visitFrom(r.Context()); v != nil && v.home == vr.home {
		return v
	}
	if vr.isActing(r) {
		// Outside of Handler nothing restricts an impersonation: fails closed.
		return vr.home.newVisit(r, authResult{status: foreign, reason: ReasonImpersonation})
	}
	now := time.Now()
	if w != nil {
		set := http.Response{Header: w.Header()}
		for _, as := range [...]carrier{asPermanent, asAnonymous} {
			for _, c := range set.Cookies() {
				if c.Name != vr.cookies.name(as == asAnonymous) || c.Value == "" {
					continue
				}
				if f := vr.verifyToken(r, c.Value, vr.cache.Get(c.Value), now, as); f.status == live {
					return vr.home.newVisit(r, f)
				}
			}
		}
	}
	var b requestCredentials
	b.read(r.Header, vr)
	return vr.home.newVisit(r, vr.authenticate(r, &b, now))
}

// end takes the user away from a visit whose session was found to have ended.
func (vr *verifier) end(v *visit) {
	v.become(sessionEnded, ReasonSessionEnded)
	if v.entry != nil {
		vr.over(v.entry)
	}
}
