package walkin

import (
	"net/http"

	"github.com/walkin-go/walkin/texts"
)

// The common refusals, for errors.Is. A refusal matches one of them if API clients get
// the same code in the problem document, whatever its Reason. ErrMethod is the one that
// handlers return by themselves, see [Middleware.RefuseMethod].
var (
	// ErrAnonymous refuses an anonymous user where an account is needed.
	ErrAnonymous error = &Refusal{Status: http.StatusForbidden, Reason: "anonymous",
		Text: texts.Of("error.account_needed")}

	// ErrNotRecent refuses a permanent user whose last proof is too old.
	ErrNotRecent error = &Refusal{Status: http.StatusForbidden, Reason: "not_recent",
		Text: texts.Of("error.not_recent")}

	// ErrCrossOrigin refuses an unsafe request that another site may have sent.
	ErrCrossOrigin error = &Refusal{Status: http.StatusForbidden, Reason: "cross_origin"}

	// ErrNewUserLimit refuses a new user because their network has created too many,
	// see NewUsers.Limit.
	ErrNewUserLimit error = &Refusal{Status: http.StatusTooManyRequests, Reason: reasonNewUserLimit}

	// ErrMethod refuses a method that a handler does not have.
	ErrMethod error = &Refusal{Status: http.StatusMethodNotAllowed, Reason: "method"}
)

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

// RefuseMethod refuses a method that a handler does not have, with the ones it has,
// such as "GET, POST", in the header Allow.
func (m *Middleware) RefuseMethod(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	m.Refuse(w, r, ErrMethod)
}
