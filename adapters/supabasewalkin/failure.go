package supabasewalkin

import (
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// A failure is an error in the words of the original.
type failure struct {
	status  int
	code    string
	message string
	reasons []string // of a weak password
	cause   error
}

func (f *failure) Error() string { return "walkin: supabasewalkin: " + f.code + ": " + f.message }

func (f *failure) Unwrap() error { return f.cause }

var (
	errBody   = fail(http.StatusBadRequest, "bad_json", "Could not parse request body as JSON")
	errPath   = fail(http.StatusNotFound, "not_found", "Not found")
	errMethod = fail(http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed")
)

func fail(status int, code, message string) *failure {
	return &failure{status: status, code: code, message: message}
}

// refuse answers with an error. It reports a failure of the app or the store to the
// operator. Only such failures are a 5xx, since clients try those again.
func (h *Handler) refuse(c *call, err error) {
	f := h.failure(c, err)
	body := map[string]any{"code": f.code, "message": f.message}
	if c.Header.Get(versionHeader) != "" {
		c.w.Header().Set(versionHeader, version)
	} else {
		body = map[string]any{"code": f.status, "error_code": f.code, "msg": f.message}
	}
	if f.reasons != nil {
		body["weak_password"] = map[string]any{"reasons": f.reasons}
	}
	c.w.Header().Set("X-Sb-Error-Code", f.code)
	writeJSON(c.w, f.status, body)
}

// failure returns what a client is told of an error, and tells the operator.
func (h *Handler) failure(c *call, err error) *failure {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		return h.translate(c, err)
	}
	if f == errExpired {
		err = spent() // also a code that was guessed
	}
	_, isTold := errors.AsType[told](err)
	if _, ok := errors.AsType[*walkin.Refusal](err); ok && !isTold {
		h.wk.Refuse(&captured{header: http.Header{}}, c.Request, err) // the event
	}
	return f
}

// translate puts an error of walkin's into the words of the original.
func (h *Handler) translate(c *call, err error) *failure {
	var refusal *walkin.Refusal
	if before, ok := errors.AsType[told](err); ok {
		refusal = before.Refusal
	} else {
		w := &captured{header: http.Header{}}
		h.wk.Refuse(w, c.Request, err) // the event
		refusal = w.refusal
	}
	if refusal.RetryAfter > 0 {
		c.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(refusal.RetryAfter.Seconds()))))
	}
	switch {
	case refusal.Code == "no_account": // a provider's handler, see Config.NoSignUp
		return errNoSignUp
	case refusal.Reason == walkin.ReasonTokenTooLarge && refusal.Status < 500: // the profile, not the app's claims
		return fail(http.StatusUnprocessableEntity, "validation_failed", "The user's data does not fit into a token")
	case refusal.Status == http.StatusTooManyRequests:
		return fail(http.StatusTooManyRequests, "over_request_rate_limit", "Request rate limit reached")
	case errors.Is(refusal, walkin.ErrNotRecent):
		return fail(http.StatusUnprocessableEntity, "reauthentication_needed", "This needs a recent sign-in")
	case errors.Is(err, store.ErrIdentityTaken):
		return fail(http.StatusUnprocessableEntity, "identity_already_exists", "Identity is already linked to another user")
	case refusal.Status == http.StatusConflict:
		return fail(http.StatusConflict, "conflict", refusal.Message)
	case hasEnded(refusal):
		return fail(http.StatusForbidden, "session_not_found", "Session from session_id claim in JWT does not exist")
	case refusal.Status >= 500:
		return fail(refusal.Status, "unexpected_failure", refusal.Message)
	}
	return fail(refusal.Status, "validation_failed", refusal.Message)
}

// told is a refusal that the operator has heard of already, by the handler or the
// middleware that refused.
type told struct{ *walkin.Refusal }

func (t told) Error() string { return t.Refusal.Error() }

func (t told) Unwrap() error { return t.Refusal }

// hasEnded reports whether an error says that the session of a request is over.
func hasEnded(err error) bool {
	refusal, ok := errors.AsType[*walkin.Refusal](err)
	return errors.Is(err, store.ErrSessionEnded) || ok && (refusal.Reason == walkin.ReasonSessionEnded || refusal.Reason == walkin.ReasonWrongKind)
}

// captured is the writer for calls into walkin that must not answer by themselves: a
// refusal comes back as an error.
type captured struct {
	header  http.Header
	refusal *walkin.Refusal
	status  int
	body    []byte
}

func (c *captured) Header() http.Header { return c.header }

func (c *captured) Write(b []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	c.body = append(c.body, b...)
	return len(b), nil
}

func (c *captured) WriteHeader(status int) { c.status = status }

// Refuse implements what [walkin.Middleware.Refuse] asks for.
func (c *captured) Refuse(refusal *walkin.Refusal) { c.refusal = refusal }
