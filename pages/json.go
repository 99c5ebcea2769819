package pages

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/texts"
)

// takesJSON lets a page's own script send a form as one JSON object, as
// walkin.Middleware.FormHandler does. The origin is checked before anything is read.
func (p *Pages) takesJSON(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !request.SentJSON(r.Header) {
			next.ServeHTTP(w, r)
			return
		}
		if err := p.wk.CheckOrigin(r); err != nil {
			p.wk.Refuse(w, r, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		form, err := request.FormOfJSON(r)
		if err != nil {
			// The error may quote what the visitor typed.
			refusal := &walkin.Refusal{Status: http.StatusBadRequest, Reason: walkin.ReasonFormMalformed, Text: texts.Of("form.malformed")}
			if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
				refusal = &walkin.Refusal{Status: http.StatusRequestEntityTooLarge, Reason: walkin.ReasonFormLarge, Text: texts.Of("form.large")}
			}
			p.wk.Refuse(w, form, refusal)
			return
		}
		if err := form.ParseForm(); err == nil && repeats(form.PostForm) {
			p.wk.Refuse(w, form, &walkin.Refusal{Status: http.StatusBadRequest, Reason: walkin.ReasonFormRepeated, Text: texts.Of("form.repeated")})
			return
		}
		next.ServeHTTP(w, form)
	})
}

// repeats reports whether a name is there twice: JSON readers differ in which of two
// they take.
func repeats(form map[string][]string) bool {
	for _, values := range form {
		if len(values) > 1 {
			return true
		}
	}
	return false
}

// wantsPage reports whether a client is to be answered with a page: as for a form, all
// but those that ask for JSON.
func wantsPage(r *http.Request) bool {
	return request.WantsPage(r.Header) || !request.Accepts(r.Header, "json")
}

// leadTo sends a visitor on after a form. A client that asks for JSON is told where to,
// and who the visitor is now.
func (p *Pages) leadTo(w http.ResponseWriter, r *http.Request, to string) {
	if wantsPage(r) {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	answer := struct {
		Location  string     `json:"location"`
		UserID    *uuid.UUID `json:"user_id,omitempty"`
		Anonymous *bool      `json:"is_anonymous,omitempty"`
	}{Location: to}
	if c, ok := walkin.FromContext(r.Context()); ok {
		answer.UserID, answer.Anonymous = &c.UserID, &c.Anonymous
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the only error is a client that went away
}
