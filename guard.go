package walkin

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/walkin-go/walkin/internal/localurl"
	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/texts"
)

// A Refusal says why a visitor was refused. It is the error of [Middleware.Ensure],
// [Middleware.Continue] and credentials, and what guards answer with. It keeps what the
// operator learns apart from what the visitor sees.
type Refusal struct {
	// Status is the HTTP status; 0 is 403.
	Status int

	// Reason is for the operator, in events: "no_user", "anonymous", "cross_origin". It
	// is never shown to the visitor.
	Reason string

	// Text is for the visitor: what happened and what they can do, by its key in
	// package texts. Zero is a general text for the status.
	Text texts.Text

	// Message is Text in the visitor's language. It is filled in before a page or
	// Config.OnRefuse sees the refusal; one that is set already stays as it is.
	Message string

	// RetryAfter, when above zero, is sent as Retry-After in whole seconds.
	RetryAfter time.Duration

	// Limit, when not zero, is the limit that was reached, and Policy what
	// it is called, in letters, digits, "_" and "-". They are sent, with
	// RetryAfter, as RateLimit-Policy and RateLimit, in the form of
	// draft-ietf-httpapi-ratelimit-headers-11.
	Limit  limit.Limit
	Policy string

	// Code is for API clients: a stable word, in the member "code" of the problem
	// document. Empty is walkin's own for the Reason, see docs/requests.md.
	Code string

	// Err is the cause, for the operator alone; may be nil.
	Err error

	// Page is the local path that a browser is redirected to instead of being shown the
	// message, such as Config.Paths.Upgrade. Empty is no redirect.
	Page string

	// SignOut is Config.Paths.SignOut where only a sign-out leads on: the page
	// with the message needs a button that posts there. Otherwise empty.
	SignOut string
}

// Error tells status and reason. It is for logs, not for visitors.
func (e *Refusal) Error() string {
	text := "walkin: refused: " + e.Reason
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns Err.
func (e *Refusal) Unwrap() error { return e.Err }

// refusalOf turns any error into the refusal that a visitor is answered with,
// status and message filled in.
func refusalOf(err error) *Refusal {
	var e Refusal
	refusal, ok := errors.AsType[*Refusal](err)
	_, isHook := errors.AsType[*hookError](err)
	switch {
	case ok:
		e = *refusal
	case errors.Is(err, ErrIdentityTaken):
		e = Refusal{Status: http.StatusConflict, Reason: "identity_taken", Err: err,
			Text: texts.Of("error.identity_taken")}
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrConstraint):
		e = *storeFailed(err)
	case isHook:
		// Whatever it is called in there, it is the app that failed.
		e = Refusal{Status: http.StatusInternalServerError, Reason: "internal", Err: err}
	case errors.Is(err, ErrSessionEnded), errors.Is(err, ErrNotFound):
		e = Refusal{Status: http.StatusUnauthorized, Reason: "session_ended", Err: err}
	default:
		e = Refusal{Status: http.StatusInternalServerError, Reason: "internal", Err: err}
	}
	if e.Status == 0 {
		e.Status = http.StatusForbidden
	}
	if e.Text.Key == "" {
		e.Text = generalText(e.Status)
	}
	if e.Code == "" {
		e.Code = code(e.Status, e.Reason)
	}
	return &e
}

func generalText(status int) texts.Text {
	switch status {
	case http.StatusUnauthorized:
		return texts.Of("error.unauthorized")
	case http.StatusForbidden:
		return texts.Of("error.forbidden")
	case http.StatusNotFound:
		return texts.Of("error.not_found")
	case http.StatusTooManyRequests:
		return texts.Of("error.too_many")
	case http.StatusServiceUnavailable:
		return texts.Of("error.unavailable")
	}
	return texts.Of("error.general")
}

// RequireUser rejects requests without a user with 401. Anonymous and permanent users
// pass. Browsers are redirected to Config.Paths.SignIn when it is set.
func (m *Middleware) RequireUser() func(http.Handler) http.Handler {
	return m.guard(func(Claims) error { return nil })
}

// RequirePermanent lets permanent users through. An anonymous user gets 403 and a
// request without a user 401, as [Refusal.ServeHTTP] says. API clients get a problem
// document. Browsers are redirected to Config.Paths.Upgrade when it is set, with the
// way back in return_to.
//
// As every guard, it refuses with 403 an unsafe request that another site may have
// sent, see Config.CrossOrigin.
//
// On an unsafe request the claims are as fresh as the store: [Middleware.Handler]
// looked before the guard. On a safe one they may be Config.Sessions.RecheckAfter old.
func (m *Middleware) RequirePermanent() func(http.Handler) http.Handler {
	return m.guard(func(c Claims) error {
		if c.Anonymous {
			return m.admission.anonymous()
		}
		return nil
	})
}

func (a *admission) anonymous() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Reason: "anonymous", Page: a.cfg.Paths.Upgrade,
		Text: texts.Of("error.account_needed")}
}

// RequireRecent lets permanent users through whose last proof is not older than the
// time given. It is for what must not be done from a browser that a user left open.
// Others get 403 and are redirected to Config.Paths.SignIn when it is set; a sign-in to
// the same account is the proof. Anonymous users and requests without a user are
// refused as by RequirePermanent.
func (m *Middleware) RequireRecent(within time.Duration) func(http.Handler) http.Handler {
	return m.guard(func(c Claims) error {
		switch {
		case c.Anonymous:
			return m.admission.anonymous()
		case time.Since(c.ProvenAt) > within:
			refusal := notRecent()
			refusal.Page = m.cfg.Paths.SignIn
			return refusal
		}
		return nil
	})
}

// Require lets a visitor through for whom rule returns nil. The rule is the app's own,
// such as "anonymous users see what was posted today". It is called only for requests
// with a user; others are refused with 401. An error refuses with 403, or as it says
// when it is a *[Refusal]. Its text is reported to OnEvent and not shown to the
// visitor.
func (m *Middleware) Require(rule func(Claims) error) func(http.Handler) http.Handler {
	return m.guard(func(c Claims) error {
		err := rule(c)
		if _, ok := errors.AsType[*Refusal](err); err == nil || ok {
			return err
		}
		return &Refusal{Status: http.StatusForbidden, Reason: "rule", Err: err}
	})
}

func (m *Middleware) guard(rule func(Claims) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := m.check(r, rule); err != nil {
				m.Refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// check is the decision of a guard, without the answer. It fails closed: a request that
// did not pass Handler carries no claims, and counts as one without a user.
func (m *Middleware) check(r *http.Request, rule func(Claims) error) error {
	v := visitFrom(r.Context())
	c, ok := FromContext(r.Context())
	switch {
	case ok && v.home != nil && !isSafe(r):
		if refusal := m.admission.writeRefusal(v, r); refusal != nil {
			return refusal
		}
		fallthrough
	case ok:
		return rule(c)
	}
	refusal := &Refusal{Status: http.StatusUnauthorized, Reason: "no_user", Page: m.cfg.Paths.SignIn}
	if v != nil && v.status == conflicting {
		return m.admission.twoUsers()
	} else if v != nil && m.admission.noCookie(v, r) != nil {
		return m.admission.noCookie(v, r)
	} else if v != nil && v.status == suspended {
		return refusalOf(v.more().err)
	} else if v != nil && v.reason() != "" {
		refusal.Reason = v.reason()
	}
	if refusal.Page == "" {
		refusal.Page = m.cfg.Paths.Upgrade
	}
	return refusal
}

// Refuse answers a request with an error of [Middleware.Ensure] or
// [Middleware.Continue], or with a *[Refusal] of the app's own, as the guards do. API
// clients get a problem document. Browsers get a page, or a redirect to
// Config.Paths.Upgrade or SignIn. ErrUnavailable is 503 with Retry-After. Any other
// error, ErrConstraint among them, is a 500 that tells the visitor nothing and is
// logged with what the driver says.
//
// If w has a method Refuse(*Refusal), or unwraps to a w that has it, that method gets
// the refusal, filled in, and nothing is written. Config.OnRefuse is then not called.
// It is for transports other than HTTP, as in adapters/grpcwalkin.
func (m *Middleware) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal := m.home.say(r, refusalOf(err))
	r = m.verifier.withVisit(w, r)
	m.refused(w, r, refusal)
	for inner := w; inner != nil; {
		switch t := inner.(type) {
		case interface{ Refuse(*Refusal) }:
			t.Refuse(refusal)
			return
		case interface{ Unwrap() http.ResponseWriter }:
			inner = t.Unwrap()
		default:
			inner = nil
		}
	}
	if m.limits.showChallenge(w, r, refusal) {
		return
	}
	if m.cfg.OnRefuse != nil {
		m.cfg.OnRefuse(w, r, refusal)
		return
	}
	refusal.ServeHTTP(w, r)
}

// ServeHTTP is the default answer. A browser is redirected to Page, or gets a plain
// page with the message; an API client gets a problem document (RFC 9457). A request
// counts as a browser's when it opens a page, accepts text/html, or is a click that
// htmx, Inertia or Datastar sends. A Config.OnRefuse that wants another page for some
// requests can call it for the rest.
func (e *Refusal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e = homeOf(r).say(r, refusalOf(e))
	person, to := request.WantsPage(r.Header), e.Location(r)
	if e.Status == http.StatusUnauthorized && (!person || to == "" || request.Library(r.Header) == request.HTMX) {
		w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110 §11.6.1 wants one
	}
	switch {
	case !person:
		writeProblem(w, e)
	case to == "":
		showRefusal(w, r, e)
	default:
		e.redirect(w, r, to)
	}
}

// redirect sends a browser to another page, however the click was sent.
func (e *Refusal) redirect(w http.ResponseWriter, r *http.Request, to string) {
	switch request.Library(r.Header) {
	case request.HTMX:
		w.Header().Set("HX-Redirect", to) // whatever the status
		showRefusal(w, r, e)
	case request.Inertia:
		w.Header().Set("X-Inertia-Location", to)
		w.WriteHeader(http.StatusConflict) // the one status with which it follows
	case request.Datastar:
		// It runs a script of an answer that is 200, and passes over any other.
		quoted, _ := json.Marshal(to) // escapes what HTML could take for its own
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = fmt.Fprintf(w, "location.href = %s", quoted)
	default:
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}

// Location returns where a browser is redirected: the local path Page, with the way
// back to what was requested in return_to. It is empty where there is no Page, or where
// the request is for that page already. A Config.OnRefuse of the app's own uses it.
func (e *Refusal) Location(r *http.Request) string {
	page, _, _ := strings.Cut(e.Page, "?")
	if page == "" || page == asked(r).Path {
		return ""
	}
	return localurl.WithReturnTo(e.Page, wayBack(r))
}

// refused tells the operator, and sets the header fields that every refusal has.
func (m *Middleware) refused(w http.ResponseWriter, r *http.Request, refusal *Refusal) {
	m.emit(r, Event{Outcome: Refused, Reason: refusal.Reason, Err: refusal.Err})
	response.NoStore(w.Header(), "no-store")
	if refusal.Reason == reasonNoCookie {
		m.refusedNoCookie(w, r)
	}
	if refusal.Reason == reasonSafeMethod {
		w.Header().Set("Allow", http.MethodPost) // RFC 9110 §15.5.6 wants one
	}
	if refusal.RetryAfter > 0 {
		w.Header().Set("Retry-After", wholeSeconds(refusal.RetryAfter))
	}
	if refusal.Limit.Count > 0 {
		w.Header().Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%s", refusal.Policy, refusal.Limit.Count, wholeSeconds(refusal.Limit.Per)))
		w.Header().Set("RateLimit", fmt.Sprintf("%q;r=0;t=%s", refusal.Policy, wholeSeconds(refusal.RetryAfter)))
	}
}

// wholeSeconds rounds up: a client that comes back then must not be too early.
func wholeSeconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

// ReturnTo returns where a form leads when it is done: the local path in its return_to.
// It returns the app's own start when return_to is not a local path, or is one that a
// browser could take for another site. The start is "/", or where the app is mounted.
func ReturnTo(r *http.Request) string {
	return localurl.Path(r.FormValue("return_to"), start(r))
}
