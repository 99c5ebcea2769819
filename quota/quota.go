// Package quota counts what a visitor may do before they sign up: three exports,
// ten questions a day.
//
//	exports, err := quota.New(wk, quota.Config{
//		Name: "export", Limit: 3, Within: 24 * time.Hour, UpgradeURL: "/sign-up",
//	})
//	…
//	mux.Handle("POST /export", exports.Require()(export))
//
// Counts are in the store, so replicas count together: of twenty concurrent requests,
// on any number of replicas, three go through. Permanent users are not counted, unless
// [Config] says so. Then what a user took while anonymous stays taken, since their user
// ID stays the same.
//
// # What it cannot do
//
// A user is a cookie, and cookies can be thrown away. [PerNetwork] counts the address
// too, and with it every user who shares it: an office, a school, the customers of a
// mobile carrier. If that is too harsh, give the network more with Config.NetworkLimit,
// or ask for an account in the first place. With PerNetwork the store has the addresses
// themselves, for as long as Config.Within: set that, and say so where you say what you
// store.
package quota

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// By says what is counted: users, networks, or both.
type By uint8

// They can be combined: PerUser|PerNetwork counts both, and both must have some
// left.
const (
	// PerUser counts what a user takes. It is the zero Config's choice.
	PerUser By = 1 << iota

	// PerNetwork counts what comes from an IPv4 address or an IPv6 /64, and
	// four times as much from a /48; see walkin.Middleware.ClientNetworks.
	PerNetwork
)

// Config says what is counted. Name and Limit are required.
type Config struct {
	// Name tells one quota from another: 1 to 64 of a–z 0–9 _ -
	Name string

	// Limit is how many may be taken within Within, 1 to 1,000. Within begins with the
	// first; zero is 400 days.
	Limit  int
	Within time.Duration

	// By is PerUser when zero.
	By By

	// NetworkLimit is the limit of a network; zero is Limit.
	NetworkLimit int

	// PermanentLimit is how many a permanent user may take, counted by user whatever By
	// says. Zero is any number, uncounted. What they took while anonymous counts
	// against it, if anonymous users are counted by user, unless Forgive is set.
	PermanentLimit int
	Forgive        bool

	// UpgradeURL is the local path of the page that anonymous visitors are sent
	// to at the limit; empty shows a plain page.
	UpgradeURL string

	// Message is what they read there and in problem documents; empty is
	// general words.
	Message string
}

// A Quota counts one thing. Make one with [New]. Its methods may be called
// concurrently; it starts no goroutine.
type Quota struct {
	cfg   Config
	wk    *walkin.Middleware
	store store.Store
}

// A Left is what a visitor has left.
type Left struct {
	// Count is how many more they may take, and Limit of how many. Count is math.MaxInt
	// for a visitor who is not counted.
	Count, Limit int

	// Until is when the counting begins again; zero for a visitor who has taken nothing
	// yet, or is not counted.
	Until time.Time
}

// New returns a Quota, or an error that lists everything wrong in cfg.
func New(wk *walkin.Middleware, cfg Config) (*Quota, error) {
	if wk == nil {
		return nil, errors.New("walkin: quota: New needs a middleware")
	}
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("walkin: quota: "+format, args...))
	}
	if cfg.Name == "" || len(cfg.Name) > 64 || strings.Trim(cfg.Name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		mistake("Config.Name %.70q is not 1 to 64 of a–z 0–9 _ -", cfg.Name)
	}
	cfg.Within = cmp.Or(cfg.Within, 400*24*time.Hour)
	cfg.By = cmp.Or(cfg.By, PerUser)
	cfg.NetworkLimit = cmp.Or(cfg.NetworkLimit, cfg.Limit)
	for name, n := range map[string]int{"Limit": cfg.Limit, "NetworkLimit": cfg.NetworkLimit, "PermanentLimit": max(cfg.PermanentLimit, 1)} {
		if n < 1 || n > maxLimit {
			mistake("Config.%s is %d, not 1 to %d", name, n, maxLimit)
		}
	}
	if cfg.PermanentLimit < 0 {
		mistake("Config.PermanentLimit is %d, which is negative", cfg.PermanentLimit)
	}
	if cfg.Within < time.Second {
		mistake("Config.Within is %v, which is less than a second", cfg.Within)
	}
	if cfg.By > PerUser|PerNetwork {
		mistake("Config.By is %d, which is none of the constants", cfg.By)
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return &Quota{cfg, wk, wk.Store()}, nil
}

const maxLimit = 1000

// Require takes one for each request before its handler runs, and refuses visitors who
// have none left: see [Quota.Take]. It refuses HEAD, OPTIONS and prefetches, and takes
// nothing for them: so visitors do not pay for what they may never look at, and such
// requests do not reach a handler that works for any method. Answer the preflights of
// CORS before it. Put it on a POST: on a GET, a link on another site can use up what a
// visitor has.
func (q *Quota) Require() func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodHead, r.Method == http.MethodOptions:
				q.wk.RefuseMethod(w, r, "GET, POST, PUT, PATCH, DELETE") // as far as we are asked
				return
			case isPrefetch(r.Header):
				q.wk.Refuse(w, r, &walkin.Refusal{Status: http.StatusServiceUnavailable, Reason: walkin.ReasonPrefetch})
				return
			default:
				if _, err := q.Take(w, r); err != nil {
					q.wk.Refuse(w, r, err)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

func isPrefetch(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		v := strings.ToLower(h.Get(name))
		if strings.Contains(v, "prefetch") || strings.Contains(v, "prerender") || v == "preview" {
			return true
		}
	}
	return false
}

// Take takes one and returns what is left. The error is a *walkin.Refusal for
// walkin.Middleware.Refuse: 429 with Retry-After at the limit, and otherwise what
// walkin.Middleware.Ensure says. Take calls Ensure first: a visitor who is counted is a
// stored user. What was taken is not given back when the handler fails.
//
// While the store is down nothing can be taken: it fails closed.
func (q *Quota) Take(w http.ResponseWriter, r *http.Request) (Left, error) {
	if err := walkin.CheckActor(r.Context()); err != nil {
		return Left{}, err
	}
	c, err := q.wk.Ensure(w, r)
	if err != nil {
		return Left{}, err
	}
	counts, limit := q.counts(r, c)
	if limit == 0 {
		return unlimited(), nil
	}
	now := time.Now()
	var left Left
	// In one transaction: a visitor who has none left by one count must lose none by
	// another.
	err = q.store.InTx(r.Context(), func(ctx context.Context) error {
		left = Left{Count: limit, Limit: limit} // a store may run this more than once
		for _, count := range counts {
			remaining, until, err := q.take(ctx, count, now)
			if err != nil {
				return err
			}
			left.narrow(remaining, until)
		}
		return nil
	})
	switch spent, ok := errors.AsType[errSpent](err); {
	case ok:
		return Left{Limit: limit, Until: spent.until}, q.refusal(c, spent.until.Sub(now))
	case err != nil:
		return Left{}, err
	}
	return left, nil
}

// A count is a ticket. Its tries begin at budget, so that what is gone of them is
// what was taken, whatever the limit was then and is now.
type count struct {
	key   string
	user  uuid.UUID // whose it is, or zero
	limit int
}

const budget = maxLimit

// errSpent undoes what was taken, by this count and by those before it.
type errSpent struct{ until time.Time }

func (errSpent) Error() string { return "walkin: quota: none left" }

// take takes one in the transaction of ctx, which holds the ticket until its end.
func (q *Quota) take(ctx context.Context, c count, now time.Time) (remaining int, until time.Time, err error) {
	st := q.store
	ticket, err := st.TryTicket(ctx, c.key, now)
	if errors.Is(err, store.ErrNotFound) {
		// There is none yet, or all of its tries are gone.
		ticket = store.Ticket{Key: c.key, Tries: budget - 1, ExpiresAt: now.Add(q.cfg.Within), UserID: c.user}
		var added bool
		if added, err = st.AddTicket(ctx, ticket, now); err == nil && !added {
			// Unless another request has just added it.
			ticket, err = st.TryTicket(ctx, c.key, now)
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		if ticket, err = st.Ticket(ctx, c.key, now); err == nil {
			err = errSpent{ticket.ExpiresAt}
		}
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	if ticket.Tries < budget-c.limit {
		return 0, time.Time{}, errSpent{ticket.ExpiresAt}
	}
	return c.left(ticket), ticket.ExpiresAt, nil
}

func (c count) left(t store.Ticket) int { return max(c.limit-(budget-t.Tries), 0) }

// Remaining returns what the visitor has left, and takes nothing: for the page that
// shows it. A request without a user has what a new visitor from its network would
// have. The error is a *walkin.Refusal: the store is down.
func (q *Quota) Remaining(r *http.Request) (Left, error) {
	c, _ := walkin.FromContext(r.Context())
	counts, limit := q.counts(r, c)
	if limit == 0 {
		return unlimited(), nil
	}
	left := Left{Count: limit, Limit: limit}
	for _, count := range counts {
		ticket, err := q.store.Ticket(r.Context(), count.key, time.Now())
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return Left{}, err
		default:
			left.narrow(count.left(ticket), ticket.ExpiresAt)
		}
	}
	return left, nil
}

// narrow takes another count into account, of which remaining are left. Of two counts
// with as few left, the one that begins again last decides.
func (l *Left) narrow(remaining int, until time.Time) {
	if remaining < l.Count || remaining == l.Count && remaining < l.Limit && until.After(l.Until) {
		l.Count, l.Until = remaining, until
	}
}

// counts returns what a visitor's request counts against, in the order in which all
// requests lock them, the user before the network and a small network before a large
// one, and the limit that the visitor sees; zero for a visitor who is not counted, of
// whom the counts mean nothing.
func (q *Quota) counts(r *http.Request, c walkin.Claims) (counts []count, limit int) {
	nobody := c == walkin.Claims{}
	permanent := !nobody && !c.Anonymous
	own := q.cfg.Limit
	if permanent {
		own = q.cfg.PermanentLimit
	}
	key := func(kind, name string) string { return "quota:" + q.cfg.Name + ":" + kind + ":" + name }
	if q.cfg.By&PerUser != 0 && !nobody || permanent { // an account is not thrown away as a cookie is
		kind := "user"
		if permanent && q.cfg.Forgive {
			kind = "member"
		}
		counts = append(counts, count{key(kind, c.UserID.String()), c.UserID, own})
	}
	if q.cfg.By&PerNetwork != 0 && !permanent {
		for i, network := range q.wk.ClientNetworks(r) {
			n := q.cfg.NetworkLimit
			if i > 0 {
				n = min(4*n, maxLimit)
			}
			counts = append(counts, count{key("network", network), uuid.Nil, n})
		}
	}
	switch {
	case permanent, q.cfg.By == PerUser:
		return counts, own
	case q.cfg.By == PerNetwork:
		return counts, q.cfg.NetworkLimit
	}
	return counts, min(own, q.cfg.NetworkLimit)
}

func unlimited() Left { return Left{Count: math.MaxInt, Limit: math.MaxInt} }

func (q *Quota) refusal(c walkin.Claims, wait time.Duration) *walkin.Refusal {
	refusal := &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: ReasonQuota, Code: "quota", Message: q.cfg.Message, RetryAfter: wait}
	if c.Anonymous {
		refusal.Page = q.cfg.UpgradeURL
	}
	if refusal.Message == "" {
		refusal.Message = "You have used up what there is for now."
		if c.Anonymous {
			refusal.Message = "You have used up what there is without an account. Sign up to go on; what you made stays yours."
		}
	}
	return refusal
}
