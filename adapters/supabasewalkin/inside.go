package supabasewalkin

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// The handlers of credential/oidc and credential/passkey do their own proving, bound to
// a browser by a cookie or to a session. These clients have no cookies here. So this
// endpoint keeps that cookie for them, in a ticket whose key only they have.

// A visitor is who such a handler sees.
type visitor struct {
	As     *walkin.Claims `json:"as,omitempty"`     // the session that asked, or nil
	Cookie string         `json:"cookie,omitempty"` // what the handler set at the beginning
}

// inner is one request to a handler.
type inner struct {
	method, target string // path and query
	kind, body     string
}

// through sends a request to a handler as a visitor. It returns who they are
// afterwards, and the handler's answer, or the refusal as the error.
func (h *Handler) through(c *call, to http.Handler, v *visitor, in inner) (walkin.Claims, *captured, error) {
	token := ""
	if v.As != nil {
		var err error
		if token, err = h.inward(c.Context(), *v.As); err != nil {
			return walkin.Claims{}, nil, err
		}
	}
	answer := &captured{header: http.Header{}}
	var after walkin.Claims
	// Without a user the flow is bound to a cookie, as a browser's is.
	outer, wrap := &captured{header: http.Header{}}, h.wk.WithoutCookies
	if v.As == nil {
		wrap = h.wk.Handler
	}
	err := h.visitAs(outer, c.Request, token, wrap, func(_ http.ResponseWriter, r *http.Request) error {
		u := *r.URL
		u.Path, u.RawQuery, _ = strings.Cut(in.target, "?")
		r.URL, r.RequestURI, r.Method = &u, in.target, in.method
		if v.Cookie != "" {
			r.Header.Set("Cookie", v.Cookie)
		}
		if in.kind != "" {
			r.Header.Set("Content-Type", in.kind)
		}
		r.Body, r.ContentLength = bodyOf(in.body)
		to.ServeHTTP(answer, r)
		after, _ = walkin.FromContext(r.Context())
		if answer.refusal != nil {
			return told{answer.refusal}
		}
		return nil
	})
	if err != nil {
		return walkin.Claims{}, answer, err
	}
	if answer.status >= 400 {
		return walkin.Claims{}, answer, errors.New("walkin: supabasewalkin: a handler answered " + http.StatusText(answer.status))
	}
	var set []string
	for _, header := range []http.Header{answer.header, outer.header} {
		for _, cookie := range (&http.Response{Header: header}).Cookies() {
			if cookie.Value != "" {
				set = append(set, cookie.Name+"="+cookie.Value)
			}
		}
	}
	if len(set) > 0 {
		v.Cookie = strings.Join(set, "; ")
	}
	return after, answer, nil
}

// keptOn revives the session that began a change which only added an identity. It takes
// the place of the session that walkin opened for the change. The answer has no room
// for tokens, and all that the old ones could do was proven a moment ago.
func (h *Handler) keptOn(c *call, old walkin.Claims, row store.Session, next uuid.UUID) error {
	return h.store.InTx(c.Context(), func(ctx context.Context) error {
		if _, err := h.store.LockUser(ctx, old.UserID); err != nil {
			return err
		}
		if _, err := h.store.LookupSession(ctx, old.UserID, next); err != nil {
			return err // a sign-out everywhere was faster
		}
		if err := h.store.DeleteSession(ctx, old.UserID, next); err != nil {
			return err
		}
		return h.store.CreateSession(ctx, row)
	})
}
