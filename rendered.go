package walkin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/texts"
)

const (
	renderedField  = "walkin_rendered_for"
	renderedHeader = "Walkin-Rendered-For"
)

// RenderedFor returns a value that says for whom a page is rendered: a MAC of the
// visitor's ID, or of there being no user. A page that is still open after a sign-out
// in another tab carries the old value, and [Middleware.RequireRenderedFor] refuses
// what it posts. A script sends it in the header Walkin-Rendered-For; a form has it in
// a hidden field, see [Middleware.RenderedForField]. It is not secret and proves
// nothing else: it does not protect against posts from other sites.
func (m *Middleware) RenderedFor(r *http.Request) string {
	id := uuid.Nil
	if c := m.verifier.visit(nil, r).claims.Load(); c != nil {
		id = c.UserID
	}
	return base64.RawURLEncoding.EncodeToString(renderedMAC(m.renderedKeys[0], id))
}

// RenderedForField returns the value of [Middleware.RenderedFor] as the HTML of a hidden
// field. A template of html/template gets it as template.HTML(wk.RenderedForField(r)).
func (m *Middleware) RenderedForField(r *http.Request) string {
	// The value is of the base64url alphabet alone.
	return `<input type="hidden" name="` + renderedField + `" value="` + m.RenderedFor(r) + `">`
}

// RequireRenderedFor lets an unsafe request through if its header or its form says that
// its page was rendered for the visitor who sends it. Others get 409 and a link back. A
// request that says nothing gets 409 too: this fails closed, so that a form whose field
// was forgotten shows at the first try. A user who signed up since is the same user. A
// page without a user also passes for the user whom this very request has created.
//
// It reads the query, and the body of forms only, as r.FormValue does. Within package resume's
// guard it passes a kept form, which is sent as the visitor's current user.
func (m *Middleware) RequireRenderedFor() func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !isSafe(r) {
				if err := m.CheckRenderedFor(r); err != nil {
					m.Refuse(w, r, err)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

// CheckRenderedFor makes the decision of RequireRenderedFor, for a handler that answers
// by itself, for example with the text that it was sent. The error is a *[Refusal].
func (m *Middleware) CheckRenderedFor(r *http.Request) error {
	value := r.Header.Get(renderedHeader)
	if value == "" {
		value = r.FormValue(renderedField) // htmx puts the fields of a DELETE into the query
	}
	v := m.verifier.visit(nil, r)
	ids := []uuid.UUID{uuid.Nil}
	if c := v.claims.Load(); c != nil {
		if ids[0] = c.UserID; v.minted {
			ids = append(ids, uuid.Nil)
		}
	}
	mac, err := base64.RawURLEncoding.DecodeString(value)
	for _, key := range m.renderedKeys {
		for _, id := range ids {
			if err == nil && hmac.Equal(mac, renderedMAC(key, id)) {
				return nil
			}
		}
	}
	refusal := &Refusal{Status: http.StatusConflict, Reason: ReasonRenderedForAnother,
		Text: texts.Of("error.page_outdated")}
	if value == "" {
		refusal.Reason = ReasonRenderedForMissing
	}
	return refusal
}

func renderedMAC(key []byte, id uuid.UUID) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(id[:])
	return h.Sum(nil)
}
