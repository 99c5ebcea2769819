package walkin

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
)

// A visit is what walkin knows about one request. It is itself the request's context,
// which saves an allocation on every request of the site. Together with the request it
// is one allocation, and its size decides the size class: TestVisitIsSmall.
type visit struct {
	context.Context
	claims         atomic.Pointer[Claims]       // nil: no user; what it points to never changes
	home           *home                        // whose visit it is; nil when made by NewContext
	request        atomic.Pointer[http.Request] // nil when made by NewContext, on a returning visitor's short way, and after the request
	entry          *entry                       // the cache entry of a token that verified, or nil
	url            *url.URL                     // as Handler saw it; nil outside of it
	rest           atomic.Pointer[rare]         // nil on a returning visitor's short way, until it is needed: see more
	handled        bool                         // by Handler: what was to be decided is
	status         tokenStatus                  // how the visitor's token was found
	lost           bool                         // the store has never heard of the user, who is anonymous
	unsure         bool                         // the store is not the one that knows the session: nothing is written
	bearer         bool                         // the token came in the Authorization header, and a new one goes into the answer
	minted         bool                         // the visitor's user was made by this very request
	withoutCookies bool                         // WithoutCookies: a cookie that is set would not come back
	keepCookie     bool                         // another value of the cookie's name cannot be verified: it is not overwritten
	facts          request.Facts                // who sent the request; not read on a returning visitor's short way
}

// What the request of a returning visitor does not have.
type rare struct {
	reason   Reason                          // why the visitor has no user, for the operator's events
	err      error                           // what caused it, where there is a cause
	response atomic.Pointer[response.Writer] // the wrapped writer, nil when w was passed through, and after the request
	issued   *Token                          // for the answer to a bearer
	ensuring sync.Mutex                      // one Ensure after another
	taken    reservation                     // of ReserveAccount
	reserved bool                            // whether there was one
	ended    atomic.Bool                     // Handler has returned
	acting   *acting                         // an operator sees the site as the visitor; or nil
}

// more returns the rest of a visit.
func (v *visit) more() *rare {
	if v.rest.Load() == nil {
		v.rest.CompareAndSwap(nil, new(rare))
	}
	return v.rest.Load()
}

// reason says why the visitor has no user; it is empty where they have one.
func (v *visit) reason() Reason {
	if rest := v.rest.Load(); rest != nil {
		return rest.reason
	}
	return ""
}

// writer returns the wrapped writer, or nil.
func (v *visit) writer() *response.Writer {
	if rest := v.rest.Load(); rest != nil {
		return rest.response.Load()
	}
	return nil
}

// begun reports whether the response has begun, as far as walkin sees it.
func (v *visit) begun() bool {
	rest := v.rest.Load()
	if rest == nil {
		return false
	}
	p := rest.response.Load()
	return rest.ended.Load() || p != nil && p.Begun()
}

// end releases the request and the response: the visit is the request's context, and a
// context may be kept for long.
func (v *visit) end() {
	v.more().ended.Store(true)
	v.request.Store(nil)
	v.more().response.Store(nil)
}

type visitKey struct{}

// Value answers for the visit and passes everything else on.
func (v *visit) Value(key any) any {
	if _, ok := key.(visitKey); ok {
		return v
	}
	return v.Context.Value(key)
}

func visitFrom(ctx context.Context) *visit {
	if v, ok := ctx.(*visit); ok {
		return v // nothing wrapped it in between
	}
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

func (h *home) newVisit(r *http.Request, f authResult) *visit {
	one := &struct { // allocated together
		visit
		rare
	}{visit{Context: r.Context(), home: h, status: f.status, bearer: f.bearer,
		lost: f.lost, unsure: f.unsure, keepCookie: f.beside == uncertain, entry: f.entry}, rare{reason: f.reason, err: f.err}}
	v := &one.visit
	v.rest.Store(&one.rare)
	v.request.Store(r)
	switch {
	case f.status != live:
	case f.lost:
		// To the store they are as new as a provisional user; and as with one,
		// their next write stores them.
		c := f.entry.claims
		c.Provisional = true
		v.claims.Store(&c)
	case f.nowStored:
		// The token is from before the user was stored. What the store just said is newer.
		c := f.entry.claims
		c.Provisional = false
		v.claims.Store(&c)
	default:
		v.claims.Store(&f.entry.claims)
	}
	return v
}

// become takes the visitor's user away.
func (v *visit) become(s tokenStatus, reason Reason) {
	v.status, v.more().reason = s, reason
	v.claims.Store(nil)
}

// homeOf returns the home of the middleware that a request passed, or nil.
func homeOf(r *http.Request) *home {
	if v := visitFrom(r.Context()); v != nil {
		return v.home
	}
	return nil
}

// acting is an impersonation, as the store keeps it in a ticket. So it is not in the
// list of the user's sessions and moves no SeenAt.
type acting struct {
	UserID          uuid.UUID `json:"user_id"`
	Operator        uuid.UUID `json:"operator"`
	OperatorSession uuid.UUID `json:"operator_session"`
	Reason          string    `json:"reason"`
	EndsAt          time.Time `json:"ends_at"`

	sessionID uuid.UUID
}

// actor returns the impersonation of a visit, or nil.
func (v *visit) actor() *acting {
	if rest := v.rest.Load(); rest != nil {
		return rest.acting
	}
	return nil
}

// setCookies puts cookies on a response that may or may not be wrapped.
func setCookies(w http.ResponseWriter, v *visit, set ...*http.Cookie) {
	if len(set) == 0 {
		return
	}
	p := v.writer()
	if p == nil {
		response.SetCookies(w.Header(), set)
		return
	}
	for _, c := range set {
		p.Set(c)
	}
}

// returned returns the request of a visitor whose token is known, with their
// claims. The two parts are allocated together.
func (h *home) returned(r *http.Request, e *entry) *http.Request {
	one := &struct {
		request http.Request
		visit   visit
	}{visit: visit{Context: r.Context(), home: h, handled: true, status: live, url: r.URL, entry: e}}
	one.visit.claims.Store(&e.claims)
	one.request = *request.With(&one.visit, r)
	return &one.request
}
