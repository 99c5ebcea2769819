package walkin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/walkin-go/walkin/internal/clientip"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/texts"
)

// The new-user limit is on what a visitor who is not stored makes the store keep: an anonymous
// user, the account of a self-asserted name (Proof.Chosen), the tombstone of an
// anonymous user who signs out before they were stored. Page views, minting, renewals,
// signing in and everything that stored users do are free. So a carrier's thousands
// of customers behind one address go on, and only a new visitor in a crowd waits.

const (
	neighbours = 4  // how many times the new-user limit of an IPv6 /64 its /48 has
	challenged = 20 // how many times the new-user limit there is for those who pass the challenge
)

// A newUserLimits counts new users and sign-ins.
type newUserLimits struct {
	*shared
	proxies   *clientip.Proxies
	own       limit.Limiter             // in memory; Config.Limiter, or in its place while it fails
	downUntil atomic.Int64              // unix nanoseconds; Config.Limiter failed and is not asked before
	challenge atomic.Pointer[Challenge] // of AttachChallenge

	proxySeen   atomic.Bool // one that is not trusted, and the operator was told
	addressSeen atomic.Bool // a request without one, and the operator was told
}

// newLimits checks the limits of a Config, with their defaults filled in.
func newLimits(s *shared) (*newUserLimits, error) {
	cfg := &s.cfg
	orDefault(&cfg.Sessions.Max, defaultSessions)
	orDefault(&cfg.Sessions.SignInLimit, limit.Limit{Count: 50, Per: time.Hour})
	orDefault(&cfg.NewUsers.Limit, limit.Limit{Count: defaultNewUsers, Per: time.Hour})
	var wrong configErrors
	proxies, err := clientip.New(cfg.Proxies.Trusted, cfg.Proxies.Header)
	if cfg.NewUsers.Limit.Count >= 0 {
		if err := checkNewUserLimit(cfg.NewUsers.Limit); err != nil {
			wrong.add("Config.NewUsers.Limit: %w", err)
		}
	}
	if cfg.Sessions.SignInLimit.Count >= 0 {
		if err := cfg.Sessions.SignInLimit.Check(); err != nil {
			wrong.add("Config.Sessions.SignInLimit: %w", err)
		}
	}
	l := &newUserLimits{shared: s, proxies: proxies, own: limit.New(0)}
	if cfg.Limiter == nil {
		cfg.Limiter = l.own
	}
	return l, errors.Join(err, errors.Join(wrong...))
}

// newUserBuckets returns the buckets that a new user of this request counts in, so
// many times as large as the limit says; none when new users are not limited.
func (l *newUserLimits) newUserBuckets(r *http.Request, times int) []bucket {
	most := l.cfg.NewUsers.Limit
	if l.cfg.NewUsers.LimitOf != nil {
		switch own := l.cfg.NewUsers.LimitOf(r); {
		case own == limit.Limit{}:
		case own.Count >= 0 && checkNewUserLimit(own) != nil:
			// Neither fails open nor locks the route: the site's limit holds.
			l.emit(r, Event{Outcome: Failed, Reason: ReasonNewUserLimitOf, Err: fmt.Errorf("walkin: Config.NewUsers.LimitOf: %w", checkNewUserLimit(own))})
		default:
			most = own
		}
	}
	if most.Count < 0 {
		return nil
	}
	name := "new-users"
	if most.Count *= times; times > 1 {
		name = "new-users-challenged"
	}
	var buckets []bucket
	for i, network := range clientip.Networks(l.proxies.Client(r)) {
		b := bucket{policy: name, limit: most}
		if i > 0 {
			b.policy, b.limit.Count = name+"-network", neighbours*most.Count
		}
		// A bucket has one limit; a route with another has its own bucket.
		b.key = fmt.Sprintf("%s:%d/%v:%s", b.policy, b.limit.Count, b.limit.Per, network)
		buckets = append(buckets, b)
	}
	return buckets
}

func checkNewUserLimit(l limit.Limit) error {
	if l.Count > 1_000_000 {
		return fmt.Errorf("a limit of %d is none; a negative Count says so", l.Count)
	}
	if err := l.Check(); err != nil {
		return err
	}
	return limit.Limit{Count: challenged * neighbours * l.Count, Per: l.Per}.Check()
}

// takeNewUser takes one new user from the visitor's networks, before storing: so many
// concurrent requests cannot all find room for one. The refusal is 429.
func (l *newUserLimits) takeNewUser(r *http.Request, now time.Time) (reservation, *Refusal) {
	return l.takeFrom(r, l.newUserBuckets(r, 1), now)
}

// takeNewUserOrChallenge is takeNewUser for a visitor who can pass a challenge where there is
// no room.
func (l *newUserLimits) takeNewUserOrChallenge(r *http.Request, now time.Time) (reservation, *Refusal) {
	taken, full := l.takeNewUser(r, now)
	if full == nil || full.Reason != ReasonNewUserLimit || !l.passedChallenge(r) {
		return taken, full
	}
	return l.takeFrom(r, l.newUserBuckets(r, challenged), now)
}

func (l *newUserLimits) takeFrom(r *http.Request, buckets []bucket, now time.Time) (reservation, *Refusal) {
	if len(buckets) == 0 {
		return reservation{}, nil
	}
	l.lookForProxy(r)
	taken, full, wait, err := l.takeSharedOrOwn(r, buckets, now)
	switch {
	case err != nil:
		return reservation{}, refusalOf(err)
	case full == nil:
		return taken, nil
	}
	return reservation{}, &Refusal{Status: http.StatusTooManyRequests, Reason: ReasonNewUserLimit,
		RetryAfter: max(wait, time.Second), Policy: full.policy, Limit: full.limit,
		Text: texts.Of("error.new_user_limit", "minutes", texts.Minutes(wait))}
}

// takeSharedOrOwn fails neither open nor closed while the shared limiter is down: every
// process then counts for itself. A site goes on taking new visitors, and a flood gets
// the limit once for each replica. A limiter in memory returns no error.
func (l *newUserLimits) takeSharedOrOwn(r *http.Request, buckets []bucket, now time.Time) (reservation, *bucket, time.Duration, error) {
	taken, full, wait, err := l.takeShared(r, buckets, now)
	if err != nil {
		taken, full, wait, err = take(r.Context(), l.own, buckets, now)
	}
	return taken, full, wait, err
}

// takeShared takes from Config.Limiter, unless it failed a moment ago: then it is not
// called, and no request waits for it.
func (l *newUserLimits) takeShared(r *http.Request, buckets []bucket, now time.Time) (reservation, *bucket, time.Duration, error) {
	if now.UnixNano() < l.downUntil.Load() {
		return reservation{}, nil, 0, errLimiterDown
	}
	ctx, cancel := context.WithTimeout(r.Context(), limiterTimeout)
	defer cancel()
	taken, full, wait, err := take(ctx, l.cfg.Limiter, buckets, now)
	if err != nil && r.Context().Err() == nil {
		l.downUntil.Store(time.Now().Add(downPause).UnixNano())
		l.emit(r, Event{Outcome: Failed, Reason: ReasonLimiter, Err: err})
	}
	return taken, full, wait, err
}

var errLimiterDown = errors.New("walkin: the limiter failed a moment ago")

// giveBack gives back what was taken, and tells the operator when that fails: the
// visitor's network is then one short for a while, and no more.
func (l *newUserLimits) giveBack(r *http.Request, taken reservation, now time.Time) {
	if err := taken.giveBack(r.Context(), now); err != nil {
		l.emit(r, Event{Outcome: Failed, Reason: ReasonLimiter, Err: err})
	}
}

// lookForProxy tells the operator, once, that visitors seem to come through a proxy
// which Config.Proxies.Trusted does not name: they all share its address, and its new-user
// limit. It cannot be fixed here: any client may have written the header.
func (l *newUserLimits) lookForProxy(r *http.Request) {
	if !clientip.HasPeer(r) && l.addressSeen.CompareAndSwap(false, true) {
		l.log.Warn("walkin: requests come without a client address: all visitors count as one for Config.NewUsers.Limit; set http.Request.RemoteAddr, or Config.NewUsers.LimitOf")
		l.emit(r, Event{Outcome: Failed, Reason: ReasonNoClientAddress})
	}
	if !l.proxySeen.Load() && l.proxies.Overlooks(r) && l.proxySeen.CompareAndSwap(false, true) {
		l.log.Warn("walkin: requests come through a proxy that Config.Proxies.Trusted does not name: all visitors count as one for Config.NewUsers.Limit")
		l.emit(r, Event{Outcome: Failed, Reason: ReasonProxyNotTrusted})
	}
}

// returnReserved gives back what ReserveAccount took and Continue did not use: no
// account was made, and a visitor who tries again must not be refused for that.
func (l *newUserLimits) returnReserved(r *http.Request, v *visit) {
	if own := v.rest.Load(); own != nil && own.reserved {
		l.giveBack(r, own.taken, time.Now())
		own.taken, own.reserved = reservation{}, false
	}
}
