package walkin

import (
	"math/rand/v2"
	"time"

	"github.com/walkin-go/walkin/store"
)

// fresh reports whether a safe request may believe what the last look-up found: for
// RecheckAfter, and for longer while the feed says that nothing changed.
func (vr *verifier) fresh(e *entry, now time.Time) bool {
	if !vr.feed.unchanged(e) {
		return false
	}
	if e.checkedWithin(vr.cfg.Sessions.RecheckAfter, now) {
		return true
	}
	at := vr.clock()
	return vr.feed.vouches.Load() > at && e.vouched.Load() > at
}

// vouch lets the feed speak for an entry whose session was just looked up. The jitter
// keeps visitors who came at the same time from being looked up at the same time ten
// minutes later.
func (vr *verifier) vouch(e *entry) {
	e.vouched.Store(vr.clock() + int64(feedTrust-rand.N(feedTrust/5)))
}

// missFeed warns once where a store has a feed that is not read.
func (vr *verifier) missFeed() {
	if vr.feed.warned.Load() || vr.feed.running.Load() || vr.clock() < int64(feedSilent) {
		return
	}
	if seen := vr.health.asking.database.Load(); seen != nil && seen.Forgets {
		return // there is one process, and asking it is cheap
	}
	if _, ok := ability[store.FeedStore](vr.cfg.Store); ok && vr.feed.warned.CompareAndSwap(false, true) {
		vr.log.Warn("walkin: nothing runs RunFeed: what ends on another replica is heard of within Config.Sessions.RecheckAfter, and returning visitors are looked up as often")
	}
}

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

// over remembers that a token's session has ended, for RecheckAfter at most, also where
// this process has ended it. A database that was restored, or the wrong one, says so of
// sessions that are alive, and must not be believed for longer than the time until the
// next look-up.
func (vr *verifier) over(e *entry) { e.over.Store(vr.clock() + int64(vr.cfg.Sessions.RecheckAfter)) }

func (vr *verifier) isOver(e *entry) bool { return e.over.Load() > vr.clock() }

// known remembers a token that verified.
func (vr *verifier) known(text string, c Claims, access bool) *entry {
	return vr.cache.Add(text, func(e *entry, text string) {
		e.token, e.claims, e.access, e.slot = text, c, access, vr.feed.slot(c.UserID)
		// Of a token that was just issued: the session is as new. One that came in is
		// looked up first.
		e.seen.Store(vr.feed.counters[e.slot].Load())
	})
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
