package supabasewalkin

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
)

// A Handler is the endpoint. Make one with [New], and mount it with http.StripPrefix:
//
//	mux.Handle("/auth/v1/", http.StripPrefix("/auth/v1", handler))
//
// It stands outside of the middleware: it reads no cookie of a visitor's and sets none.
type Handler struct {
	wk      *walkin.Middleware
	store   store.Store
	limiter limit.Limiter
	cfg     Config
	keys    [][]byte // of codes: the first makes, all check
	jwks    []byte
	mux     *http.ServeMux

	patterns []string // of the mux, for the test that compares them with openapi.json
}

// version is that of the API, which clients name in a header.
const version = "2024-01-01"

const versionHeader = "X-Supabase-Api-Version"

const maxBody = 64 << 10

// ServeHTTP answers one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	h.cors(head, r)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	head.Set("Cache-Control", "private, no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	h.mux.ServeHTTP(w, r)
}

// cors lets pages of other origins read the answers. They send no cookies, so
// Access-Control-Allow-Credentials is never set.
func (h *Handler) cors(head http.Header, r *http.Request) {
	origin := r.Header.Get("Origin")
	switch {
	case h.cfg.Origins == nil:
		head.Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(h.cfg.Origins, origin):
		head.Set("Access-Control-Allow-Origin", origin)
		fallthrough
	default:
		head.Add("Vary", "Origin")
	}
	head.Set("Access-Control-Expose-Headers", "X-Supabase-Api-Version, X-Total-Count, Link, Retry-After")
	if r.Method == http.MethodOptions {
		head.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
		head.Set("Access-Control-Allow-Headers", "authorization, apikey, content-type, x-client-info, x-supabase-api-version")
		head.Set("Access-Control-Max-Age", "600")
	}
}

// A call is one request on its way to its answer.
type call struct {
	*http.Request
	w    http.ResponseWriter
	form map[string]json.RawMessage
}

// A route answers with a value, which becomes JSON, or an error.
type route func(c *call) (any, error)

// nothing is the answer without a body.
type nothing struct{}

// An elsewhere is the answer that leads a browser on.
type elsewhere struct {
	to     string
	status int // 0 is 303
}

// api is a route of clients, which send an API key. A browser that opens a link sends
// none.
func (h *Handler) api(pattern string, do route) {
	h.open(pattern, func(c *call) (any, error) {
		if h.cfg.PublishableKeys != nil && !h.hasKey(c.Request) {
			return nil, fail(http.StatusUnauthorized, "no_authorization", "No API key found in request, or one that is not known")
		}
		return do(c)
	})
}

func (h *Handler) open(pattern string, do route) {
	h.patterns = append(h.patterns, pattern)
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r, w: w}
		answer, err := h.read(c), error(nil)
		var body any
		if err = answer; err == nil {
			body, err = do(c)
		}
		if err != nil {
			h.refuse(c, err)
			return
		}
		switch body := body.(type) {
		case nothing:
			w.WriteHeader(http.StatusNoContent)
		case elsewhere:
			w.Header().Set("Referrer-Policy", "no-referrer")
			http.Redirect(w, r, body.to, cmp.Or(body.status, http.StatusSeeOther))
		default:
			writeJSON(w, http.StatusOK, body)
		}
	})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // the only error is a client that went away
}

// hasKey reports whether a request has one of the API keys, in its own header or as
// the bearer.
func (h *Handler) hasKey(r *http.Request) bool {
	key := r.Header.Get("Apikey")
	bearer, _ := bearerOf(r)
	return isAny(h.cfg.PublishableKeys, key) || isAny(h.cfg.SecretKeys, key) ||
		isAny(h.cfg.PublishableKeys, bearer) || isAny(h.cfg.SecretKeys, bearer)
}

func bearerOf(r *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "bearer") && token != ""
}

// read reads the body of a call: a JSON object, or nothing.
func (h *Handler) read(c *call) error {
	if c.Method == http.MethodGet || c.Method == http.MethodDelete {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.Body, maxBody))
	if err != nil {
		return fail(http.StatusRequestEntityTooLarge, "bad_json", "The body is too large")
	}
	if len(body) == 0 {
		return nil
	}
	// No form of another page can send this type without a preflight.
	if kind, _, err := mime.ParseMediaType(c.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fail(http.StatusUnsupportedMediaType, "bad_json", "The body has to be application/json")
	}
	if json.Unmarshal(body, &c.form) != nil {
		return fail(http.StatusBadRequest, "bad_json", "Could not parse request body as JSON")
	}
	return nil
}

// field reads one field of the body. If the field is missing, it does not change into.
func (c *call) field(name string, into any) error {
	text, ok := c.form[name]
	if !ok || string(text) == "null" {
		return nil
	}
	if json.Unmarshal(text, into) != nil {
		return fail(http.StatusBadRequest, "bad_json", "Could not parse "+name)
	}
	return nil
}

// text reads a field that is a string, or "".
func (c *call) text(name string) string {
	var s string
	_ = json.Unmarshal(c.form[name], &s)
	return s
}

func (c *call) has(name string) bool { return c.text(name) != "" }

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

func fail(status int, code, message string) *failure {
	return &failure{status: status, code: code, message: message}
}

// refuse answers with an error. It reports a failure of the app or the store to the
// operator. Only such failures are a 5xx, since clients try those again.
func (h *Handler) refuse(c *call, err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = h.translate(c, err)
	}
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

// translate puts an error of walkin's into the words of the original.
func (h *Handler) translate(c *call, err error) *failure {
	told := &captured{header: http.Header{}}
	h.wk.Refuse(told, c.Request, err) // the event
	refusal := told.refusal
	for name, values := range told.header {
		if name == "Retry-After" {
			c.w.Header()[name] = values
		}
	}
	switch {
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
	case errors.Is(err, store.ErrSessionEnded), refusal.Reason == walkin.ReasonSessionEnded:
		return fail(http.StatusForbidden, "session_not_found", "Session from session_id claim in JWT does not exist")
	case refusal.Status >= 500:
		return fail(refusal.Status, "unexpected_failure", refusal.Message)
	}
	return fail(refusal.Status, "validation_failed", refusal.Message)
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

// redirect returns where a flow leads in the end. Another site that sends a browser
// through this endpoint must not choose whose server gets the tokens. Fails closed, to
// the site.
func (h *Handler) redirect(to string, pkce bool) string {
	if to == "" {
		return h.cfg.SiteURL
	}
	u, err := url.Parse(to)
	if err != nil || u.User != nil || strings.ContainsAny(to, "\\\r\n\t") {
		return h.cfg.SiteURL
	}
	plain := *u
	plain.RawQuery, plain.Fragment, plain.ForceQuery = "", "", false
	for _, allowed := range append([]string{h.cfg.SiteURL}, h.cfg.RedirectURLs...) {
		isPattern := strings.Contains(allowed, "*")
		if !isPattern && (to == allowed || strings.TrimSuffix(plain.String(), "/") == strings.TrimSuffix(allowed, "/")) {
			return to
		}
		if isPattern && pkce && matches(allowed, plain.String()) {
			return to
		}
	}
	return h.cfg.SiteURL
}

// matches reports whether text is one that pattern stands for.
func matches(pattern, text string) bool {
	before, after, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, before)
	if !ok {
		return false
	}
	after, any := strings.CutPrefix(after, "*")
	for i := 0; i <= len(rest); i++ {
		if matches(after, rest[i:]) {
			return true
		}
		// A wildcard must not run past the end of a host, nor into a port or a name
		// before an @.
		if i < len(rest) && (!any && rest[i] == '/' || strings.IndexByte("@:?#", rest[i]) >= 0) {
			return false
		}
	}
	return false
}
