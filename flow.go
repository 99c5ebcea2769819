package walkin

import (
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/texts"
)

// StartFlow returns a name for the browser that a login flow is bound to. The request that
// starts the flow calls it, as when a code is sent or a provider is asked. In the
// request that completes the flow, the name is among those of [Middleware.FlowIDs]. The
// name goes into the key or the data of a [store.Ticket]; it may be logged.
//
// The name stands for the visitor's session and ends with it: a flow that was started
// before an upgrade cannot be completed after it. Without a user it stands for a cookie
// of 15 minutes, which is set on w, so that no user is needed to sign in.
//
// Only a same-origin unsafe request can start a flow. A safe method is refused with
// 405, a cross-origin request with 403, and below [Middleware.WithoutCookies] a request
// without a user with 401. Call it before the response begins. The error is a
// *[Refusal] for [Middleware.Refuse].
func (m *Middleware) StartFlow(w http.ResponseWriter, r *http.Request) (string, error) {
	v := m.verifier.visit(w, r)
	if err := m.admission.admit(v, r, call{name: "StartFlow", needs: needsCertainty}); err != nil {
		return "", err
	}
	if c := v.claims.Load(); c != nil {
		return sessionFlowID(*c), nil
	}
	if v.withoutCookies {
		// Fails closed: a flow bound to a cookie that cannot come back would never
		// complete, and one bound to nothing would complete for any browser.
		return "", &Refusal{Status: http.StatusUnauthorized, Reason: ReasonFlowWithoutToken, Text: texts.Of("error.token_needed")}
	}
	value, ok := m.cookies.flowValue(r)
	if !ok {
		value = rand.Text()
	}
	// Set again each time: the login flow that was started last gets its full time, and
	// an earlier one in another tab still completes.
	setCookies(w, v, m.cookies.flow(value))
	return cookieFlowID(value), nil
}

// showForm gives a visitor without a user the cookie of StartFlow with a form of a
// credential. Behind a service worker it tells their post from another site's, see
// request.Facts.WriteRefusal. Only a browser that opens the page gets it, since other
// sites can fetch and frame it. A cookie that is there stays as it is. The page is
// shown by show. Whatever it says about caching, no cache keeps it with a cookie, since
// two visitors of one name would complete each other's login flows.
func (m *Middleware) showForm(w http.ResponseWriter, r *http.Request, show func(http.ResponseWriter)) {
	v := m.verifier.visit(w, r)
	f := m.admission.facts(v, r)
	_, has := m.cookies.flowValue(r)
	if has || v.withoutCookies || v.claims.Load() != nil || f.Method != request.Get || f.Shape != request.Page || f.IsPrefetch() || v.begun() {
		show(w)
		return
	}
	m.admission.firstCookies.gave(r, f, m.admission.asked(r).Path, m.clock())
	switch {
	case v.writer() != nil:
		v.writer().Set(m.cookies.flow(rand.Text()))
		show(w)
	default:
		p := response.New(w, m.cookies.flow(rand.Text()))
		show(p.Wrapped())
		p.Finish(r.Context())
	}
}

// FlowIDs returns the names that [Middleware.StartFlow] may have given the visitor's browser,
// at most two. It returns none if the browser started no flow. A visitor without a user
// at the start may have become an anonymous user since, by a page view in between, but
// nothing more: a sign-in ends the flows that were started without a user.
func (m *Middleware) FlowIDs(r *http.Request) []string {
	var names []string
	c := m.verifier.visit(nil, r).claims.Load()
	if c != nil {
		names = append(names, sessionFlowID(*c))
	}
	if c == nil || c.Anonymous {
		if value, ok := m.cookies.flowValue(r); ok {
			names = append(names, cookieFlowID(value))
		}
	}
	return names
}

// ClearAtSignOut names a cookie, by its name and attributes, that [Middleware.SignOut]
// removes with walkin's own, from browsers that send it. Credentials name those of
// their login flows; an app may name its own, such as that of a draft. Call it while
// setting up, before the site is served.
func (m *Middleware) ClearAtSignOut(cookie http.Cookie) { m.flows.add(cookie) }

// flowCookies are the cookies that a sign-out removes with walkin's own.
type flowCookies struct {
	mu  sync.Mutex
	all []*http.Cookie
}

func (f *flowCookies) add(cookie http.Cookie) {
	cookie.Value, cookie.MaxAge, cookie.Expires = "", -1, time.Unix(1, 0)
	f.mu.Lock()
	defer f.mu.Unlock()
	// Several credentials may share one.
	f.all = slices.DeleteFunc(f.all, func(c *http.Cookie) bool {
		return c.Name == cookie.Name && c.Domain == cookie.Domain && c.Path == cookie.Path
	})
	f.all = append(f.all, &cookie)
}

// clearing returns what removes the cookies of what the browser has begun: own, and
// those that it sends of the others.
func (f *flowCookies) clearing(r *http.Request, own *http.Cookie) []*http.Cookie {
	f.mu.Lock()
	all := append([]*http.Cookie{own}, f.all...)
	f.mu.Unlock()
	return slices.DeleteFunc(all, func(c *http.Cookie) bool { return len(r.CookiesNamed(c.Name)) == 0 })
}
