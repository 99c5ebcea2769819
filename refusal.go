package walkin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// A Refusal says why a visitor was refused. It is the error of [Middleware.Ensure],
// [Middleware.Continue] and credentials, and what guards answer with. It keeps what the
// operator learns apart from what the visitor sees.
type Refusal struct {
	// Status is the HTTP status; 0 is 403.
	Status int

	// Reason is for the operator, in events. It is never shown to the visitor.
	Reason Reason

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
	text := "walkin: refused: " + string(e.Reason)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns Err.
func (e *Refusal) Unwrap() error { return e.Err }

// Is reports whether target is a *[Refusal] with the same code for API clients.
func (e *Refusal) Is(target error) bool {
	t, ok := target.(*Refusal)
	return ok && e.code() == t.code()
}

func (e *Refusal) code() string {
	if e.Code != "" {
		return e.Code
	}
	status := e.Status
	if status == 0 {
		status = http.StatusForbidden
	}
	return code(status, e.Reason)
}

// codes are the codes for API clients, by the Reason of a refusal, of those that are
// safe to tell. Any other reason gets the code of its status: why a token was rejected is
// for the operator. A package with reasons of its own sets Code.
var codes = map[Reason]string{
	ReasonAnonymous:             "account_required",
	ReasonNotRecent:             "recent_proof_required",
	ReasonCrossOrigin:           "cross_origin",
	ReasonWorkerWithoutCookie:   "cross_origin",
	ReasonIdentityTaken:         "identity_taken",
	ReasonLastIdentity:          "last_identity",
	ReasonTooManyIdentities:     "too_many_identities",
	ReasonRaced:                 "raced",
	ReasonNewUserLimit:          "new_user_limit",
	ReasonNoCookie:              "no_cookie",
	ReasonBanned:                "banned",
	ReasonFactorNotProven:       "recent_proof_required",
	ReasonHalfProven:            "second_factor_required",
	ReasonImpersonation:         "impersonation",
	ReasonImpersonationReadOnly: "impersonation",
	ReasonImpersonationUpgrade:  "impersonation",
	ReasonImpersonationBearer:   "impersonation",
	ReasonImpersonationOver:     "impersonation_over",
	ReasonFormType:              "form_type",
	ReasonFormLarge:             "form_large",
	ReasonFormMalformed:         "form_malformed",
	ReasonFormRepeated:          "form_malformed",
}

// code returns the word for a refusal that has none of its own.
func code(status int, reason Reason) string {
	if c, ok := codes[reason]; ok {
		return c
	}
	switch {
	case status == http.StatusUnauthorized:
		return "user_required"
	case status >= 500 && status != http.StatusServiceUnavailable:
		return "internal_error"
	}
	return strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "_")
}

// The common refusals, for errors.Is. A refusal matches one of them if API clients get
// the same code in the problem document, whatever its Reason.
var (
	// ErrAnonymous refuses an anonymous user where an account is needed.
	ErrAnonymous error = &Refusal{Status: http.StatusForbidden, Reason: ReasonAnonymous,
		Text: texts.Of("error.account_needed")}

	// ErrNotRecent refuses a permanent user whose last proof is too old.
	ErrNotRecent error = &Refusal{Status: http.StatusForbidden, Reason: ReasonNotRecent,
		Text: texts.Of("error.not_recent")}

	// ErrCrossOrigin refuses an unsafe request that another site may have sent.
	ErrCrossOrigin error = &Refusal{Status: http.StatusForbidden, Reason: ReasonCrossOrigin}

	// ErrNewUserLimit refuses a new user because their network has created too many,
	// see NewUsers.Limit.
	ErrNewUserLimit error = &Refusal{Status: http.StatusTooManyRequests, Reason: ReasonNewUserLimit}
)

// refusalOf turns any error into the refusal that a visitor is answered with,
// status and message filled in.
func refusalOf(err error) *Refusal {
	var e Refusal
	refusal, ok := errors.AsType[*Refusal](err)
	_, isHook := errors.AsType[*hookError](err)
	switch {
	case ok:
		e = *refusal
	case errors.Is(err, store.ErrIdentityTaken):
		e = Refusal{Status: http.StatusConflict, Reason: ReasonIdentityTaken, Err: err,
			Text: texts.Of("error.identity_taken")}
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrConstraint):
		e = *storeFailed(err)
	case isHook:
		// Whatever it is called in there, it is the app that failed.
		e = Refusal{Status: http.StatusInternalServerError, Reason: ReasonInternal, Err: err}
	case errors.Is(err, store.ErrSessionEnded), errors.Is(err, store.ErrNotFound):
		e = Refusal{Status: http.StatusUnauthorized, Reason: ReasonSessionEnded, Err: err}
	default:
		e = Refusal{Status: http.StatusInternalServerError, Reason: ReasonInternal, Err: err}
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

// storeFailed returns the refusal for an error of a store.
func storeFailed(err error) *Refusal {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return refusal
	}
	if errors.Is(err, store.ErrConstraint) {
		return &Refusal{Status: http.StatusInternalServerError, Reason: ReasonConstraint, Err: err,
			Text: generalText(http.StatusInternalServerError)}
	}
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return storeDown(err)
}

func storeDown(err error) *Refusal {
	return &Refusal{Status: http.StatusServiceUnavailable, Reason: ReasonStoreDown, Err: err, RetryAfter: 5 * time.Second,
		Text: generalText(http.StatusServiceUnavailable)}
}

func notRecent() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Reason: ReasonNotRecent,
		Text: texts.Of("error.not_recent")}
}

// safeMethod is the refusal of a GET that was to change something.
func safeMethod() *Refusal {
	return &Refusal{Status: http.StatusMethodNotAllowed, Reason: ReasonSafeMethod}
}

func foreignRequest(reason Reason) *Refusal {
	refusal := &Refusal{Status: http.StatusForbidden, Reason: ReasonCrossOrigin}
	if reason == ReasonWorkerWithoutCookie {
		refusal.Reason, refusal.Message = reason, "We could not tell that this came from our own page. Please reload the page and try again."
	}
	return refusal
}

// A hookError is an error that a function of the app returned.
type hookError struct {
	outcome Outcome
	err     error
}

func (e *hookError) Error() string {
	return "walkin: the " + string(e.outcome) + " hook: " + e.err.Error()
}

func (e *hookError) Unwrap() error { return e.err }

// isHook reports whether a function of the app's returned the error.
func isHook(err error) bool {
	_, ok := errors.AsType[*hookError](err)
	return ok
}

// banned returns the refusal of a user who is banned until then, or nil. The time is
// compared with this process's clock, as all of a store's are.
func banned(until time.Time) *Refusal {
	if !time.Now().Before(until) {
		return nil
	}
	text := texts.Of("error.banned")
	if until.Before(forever) {
		text = texts.Of("error.banned_until", "time", until.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return &Refusal{Status: http.StatusForbidden, Reason: ReasonBanned, Err: ErrBanned, Text: text}
}

// forever is the end of a ban without one.
var forever = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// ErrBanned is wrapped by the *[Refusal] of a banned user, 403.
var ErrBanned = errors.New("walkin: user is banned")

// actingRefusal has no text of its own where key is empty.
func actingRefusal(reason Reason, key string) *Refusal {
	refusal := &Refusal{Status: http.StatusForbidden, Reason: reason}
	if key != "" {
		refusal.Text = texts.Of(key)
	}
	return refusal
}

func withoutCookie() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Reason: ReasonNoCookie, Text: texts.Of("error.no_cookie")}
}

// signInAgain is for a visitor who has made their account in another browser.
func signInAgain(page string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Reason: ReasonHasAccount, Page: page, Text: texts.Of("error.has_account")}
}
