package supabasewalkin

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"path"
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
	// The mux would lead on to the clean path, which is not the one behind StripPrefix.
	if clean := path.Clean("/" + r.URL.Path); r.URL.Path != clean && (clean == "/" || r.URL.Path != clean+"/") {
		h.refuse(&call{Request: r, w: w}, errPath)
		return
	}
	h.mux.ServeHTTP(w, r)
}

// unknown is for what no other route serves.
func (h *Handler) unknown(c *call) error {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if _, pattern := h.mux.Handler(&http.Request{Method: method, URL: c.URL, Host: c.Host}); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		return errPath
	}
	c.w.Header().Set("Allow", strings.Join(allowed, ", "))
	return errMethod
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
	w      http.ResponseWriter
	form   map[string]json.RawMessage
	claims *walkin.Claims // of the caller, once they were looked up
}

// A route answers with a value, which becomes JSON, or an error.
type route func(c *call) (any, error)

// A check refuses a call before its body is read.
type check func(c *call) error

// nothing is the answer without a body.
type nothing struct{}

// An elsewhere is the answer that leads a browser on.
type elsewhere struct {
	to     string
	status int // 0 is 303
}

// open is a route of browsers, which send no API key when they open a link.
func (h *Handler) open(pattern string, do route, checks ...check) {
	h.patterns = append(h.patterns, pattern)
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r, w: w}
		var body any
		err := h.admit(c, checks)
		if err == nil {
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

// api is a route of clients, which send an API key, and member is one of those with a
// user. Who calls is looked at before what they say.
func (h *Handler) api(pattern string, do route) { h.open(pattern, do, h.keyed) }

func (h *Handler) member(pattern string, do route) {
	h.open(pattern, do, h.keyed, func(c *call) error {
		_, err := h.user(c)
		return err
	})
}

func (h *Handler) keyed(c *call) error {
	if h.cfg.PublishableKeys != nil && !h.hasKey(c.Request) {
		return fail(http.StatusUnauthorized, "no_authorization", "No API key found in request, or one that is not known")
	}
	return nil
}

// isGet refuses the HEAD that comes to a route for GET which changes something: mail
// scanners and link checkers send it.
func isGet(c *call) error {
	if c.Method != http.MethodHead {
		return nil
	}
	c.w.Header().Set("Allow", http.MethodGet)
	return errMethod
}

func (h *Handler) admit(c *call, checks []check) error {
	for _, check := range checks {
		if err := check(c); err != nil {
			return err
		}
	}
	return h.read(c)
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
