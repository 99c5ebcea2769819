package walkin

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/walkin-go/walkin/internal/localurl"
	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
)

func writeProblem(w http.ResponseWriter, e *Refusal) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(e.Status)
	// The only error is a client that went away.
	_ = json.NewEncoder(w).Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Code   string `json:"code"`
	}{"about:blank", http.StatusText(e.Status), e.Status, e.Message, e.Code})
}

// Refuse answers a request with an error of [Middleware.Ensure] or
// [Middleware.Continue], or with a *[Refusal] of the app's own, as the guards do. API
// clients get a problem document. Browsers get a page, or a redirect to
// Config.Paths.Upgrade or SignIn. store.ErrUnavailable is 503 with Retry-After. Any other
// error, store.ErrConstraint among them, is a 500 that tells the visitor nothing and is
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

// RefuseMethod refuses a method that a handler does not have, with the ones it has,
// such as "GET, POST", in the header Allow.
func (m *Middleware) RefuseMethod(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	m.Refuse(w, r, &Refusal{Status: http.StatusMethodNotAllowed, Reason: ReasonMethod})
}

// refused tells the operator, and sets the header fields that every refusal has.
func (m *Middleware) refused(w http.ResponseWriter, r *http.Request, refusal *Refusal) {
	m.emit(r, Event{Outcome: Refused, Reason: refusal.Reason, Err: refusal.Err})
	response.NoStore(w.Header(), "no-store")
	if refusal.Reason == ReasonNoCookie {
		m.admission.refusedNoCookie(w, r)
	}
	if refusal.Reason == ReasonSafeMethod {
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

// showRefusal shows a refusal to a visitor, with what they can do.
func showRefusal(w http.ResponseWriter, r *http.Request, e *Refusal) {
	h := homeOf(r)
	c := h.catalogue(r)
	link := func(to, key string) string {
		return `<p><a href="` + html.EscapeString(to) + `">` + html.EscapeString(c.Text(key)) + "</a></p>\n"
	}
	body := "<p>" + html.EscapeString(e.Message) + "</p>\n"
	if e.SignOut != "" {
		body += `<form method="post" action="` + html.EscapeString(e.SignOut) + `"><button>` + html.EscapeString(c.Text("error.signout")) + "</button></form>\n"
	}
	if back := localurl.Path(wayBack(r), ""); back != "" && !isSafe(r) {
		body += link(back, "error.back")
	}
	h.showPage(w, r, e.Status, c.Text("error.title"), body+link(start(r), "error.start"))
}

// wholeSeconds rounds up: a client that comes back then must not be too early.
func wholeSeconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }
