package walkin

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/localurl"
	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// A Credential is a sign-in method that a form can carry, such as a name and a
// password. Its errors are *[Refusal] for what the visitor can fix; any other error is
// a failure of the app. Both methods are called with a POST whose body is not larger
// than 64 KB, and may be called for the same request.
type Credential interface {
	// SignUp reads a form that makes a new identity. It sets Proof.Chosen when
	// nothing about an existing one was proven.
	SignUp(r *http.Request) (Proof, error)

	// SignIn reads a form that proves an existing identity.
	SignIn(r *http.Request) (Proof, error)
}

// A Form is what a page with a form needs to be shown, for the first time or
// again. What the visitor typed is in the request: r.PostFormValue.
type Form struct {
	// Status is what the page passes to WriteHeader: 200, or the refusal's.
	Status int

	// Refusal says what was wrong; nil the first time. Show its Message.
	Refusal *Refusal

	// ReturnTo is where the visitor goes afterwards, a safe local path. Put it into a
	// hidden field return_to.
	ReturnTo string
}

// A Page shows a form: it writes the Form's Status and the page. Nil shows no form:
// visitors get a problem document or a plain page instead.
type Page func(w http.ResponseWriter, r *http.Request, f Form)

const maxForm = 64 << 10 // bytes

// UpgradeHandler serves a sign-up form. On GET it shows page. On POST it lets the
// credential prove an identity and calls [Middleware.Continue]. Then the visitor is
// sent to the form's return_to, or to "/", as a permanent user with the ID they had. A
// client that sent a bearer token gets the new [Token] instead, since the old one has
// ended. On a refusal page shows the form again, with the reason and the status. API
// clients get a problem document, and so does every client when page is nil.
//
// If the identity is taken, the form signs in to it, provided that it proves the
// identity and the visitor is its owner or has no user. So a second click works, and so
// does a sign-up by a visitor who forgot that they had signed up. An anonymous visitor
// gets 409 and a link to the sign-in page, which says what becomes of their anonymous
// user.
func (m *Middleware) UpgradeHandler(credential Credential, page Page) http.Handler {
	return m.FormHandler(page, func(w http.ResponseWriter, r *http.Request) (string, error) {
		proof, err := credential.SignUp(r)
		if err != nil {
			return "", err
		}
		_, err = m.Continue(w, r, proof)
		if _, refused := errors.AsType[*Refusal](err); refused || !errors.Is(err, store.ErrIdentityTaken) || !proof.Chosen {
			return "", err
		}
		known, signInErr := credential.SignIn(r)
		if signInErr != nil {
			return "", err // a wrong password, or one guess too many, says no more than that the name is taken
		}
		c := m.verifier.visit(w, r).claims.Load()
		if c != nil {
			owned, ownerErr := m.cfg.Store.Identity(r.Context(), known.Provider, known.Subject)
			if ownerErr != nil || owned.UserID != c.UserID {
				return "", err
			}
		}
		_, err = m.Continue(w, r, known)
		return "", err
	})
}

// SignInHandler serves a sign-in form, as [Middleware.UpgradeHandler] serves a sign-up
// form. Config.Conflict decides what becomes of an anonymous visitor's data.
func (m *Middleware) SignInHandler(c Credential, page Page) http.Handler {
	return m.FormHandler(page, func(w http.ResponseWriter, r *http.Request) (string, error) {
		proof, err := c.SignIn(r)
		if err != nil {
			return "", err
		}
		_, err = m.Continue(w, r, proof)
		return "", err
	})
}

// FormHandler serves any other form of a credential, such as one that asks for an
// address to send a code to. On GET it shows page. On a same-origin POST it calls post,
// which returns the local path to go on to, or empty for the form's return_to. Its
// errors are as those of a [Credential].
//
// A page's own script may send the fields as one JSON object; post reads them as a form.
// A client that sends or asks for JSON is not redirected: it gets 200 and an object with
// "location", "user_id" and "is_anonymous", or a problem document.
//
// A refusal is answered as [Middleware.UpgradeHandler] does, and reported to OnEvent.
// The body is not larger than 64 KB.
func (m *Middleware) FormHandler(page Page, post func(http.ResponseWriter, *http.Request) (to string, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outer := r
		r = m.verifier.withVisit(w, r)
		// What the form was parsed into, and with it the files that net/http removes.
		defer func() { request.GiveBack(outer, r) }()
		limitBody(w, r)
		form := Form{Status: http.StatusOK}
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodPost:
			// Before anything is read or hashed for a page from elsewhere.
			if refusal := m.admission.writeRefusal(m.verifier.visit(w, r), r); refusal != nil {
				m.Refuse(w, r, refusal)
				return
			}
			var unread error
			r, unread = formOf(r)
			if refusal := m.admission.noCookie(m.verifier.visit(w, r), r); refusal != nil {
				m.RefuseForm(w, r, refusal, page)
				return
			}
			if unread != nil {
				m.RefuseForm(w, r, unread, page)
				return
			}
			if v := m.verifier.visit(w, r); visitFrom(r.Context()) != v {
				r = request.With(v, r) // for the credential, outside of Handler, and for IssuedToken
				defer v.end()
			}
			defer m.limits.returnReserved(r, m.verifier.visit(w, r))
			to, err := post(w, r)
			if token, ok := IssuedToken(r.Context()); ok && err == nil {
				token.ServeHTTP(w, r)
				return
			}
			if err == nil {
				if to == "" {
					to = ReturnTo(r)
				}
				goOn(w, r, to, m.verifier.visit(w, r).claims.Load())
				return
			}
			m.RefuseForm(w, r, err, page)
			return
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			m.Refuse(w, r, &Refusal{Status: http.StatusMethodNotAllowed, Reason: ReasonMethod})
			return
		}
		if page == nil {
			w.Header().Set("Allow", "POST")
			m.Refuse(w, r, &Refusal{Status: http.StatusMethodNotAllowed, Reason: ReasonMethod})
			return
		}
		form.ReturnTo = ReturnTo(r)
		m.showForm(w, r, func(w http.ResponseWriter) { page(w, r, form) })
	})
}

// formOf returns the request that a form is read from: its own, or one whose JSON is
// turned into a form.
func formOf(r *http.Request) (*http.Request, error) {
	form, err := request.FormOfJSON(r)
	if err == nil {
		return form, nil
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return form, &Refusal{Status: http.StatusRequestEntityTooLarge, Reason: ReasonFormLarge, Text: texts.Of("form.large")}
	}
	// The error may quote what the visitor typed.
	return form, &Refusal{Status: http.StatusBadRequest, Reason: ReasonFormMalformed, Text: texts.Of("form.malformed")}
}

// goOn sends a visitor on after a form. A client that asks for JSON is told where to,
// and who the visitor is now.
func goOn(w http.ResponseWriter, r *http.Request, to string, c *Claims) {
	if wantsForm(r) {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	answer := struct {
		Location  string     `json:"location"`
		UserID    *uuid.UUID `json:"user_id,omitempty"`
		Anonymous *bool      `json:"is_anonymous,omitempty"`
	}{Location: to}
	if c != nil {
		answer.UserID, answer.Anonymous = &c.UserID, &c.Anonymous
	}
	w.Header().Set("Content-Type", "application/json")
	response.NoStore(w.Header(), "no-store")
	_ = json.NewEncoder(w).Encode(answer) // the client may have gone
}

// limitBody bounds the body of a form. A request that was made by hand may have none.
func limitBody(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	}
}

// RefuseForm answers a refused form, or a login flow that began with one: page shows
// the form again, with the reason, the status, and the request's return_to. API clients
// get what [Middleware.Refuse] says, and so does every client when page is nil. The refusal
// is reported to OnEvent either way.
func (m *Middleware) RefuseForm(w http.ResponseWriter, r *http.Request, err error, page Page) {
	refusal := m.home.say(r, refusalOf(err))
	if page == nil || !wantsForm(r) {
		m.Refuse(w, r, refusal)
		return
	}
	m.refused(w, r, refusal)
	if refusal.Reason == ReasonHalfProven {
		http.Redirect(w, r, localurl.WithReturnTo(refusal.Page, ReturnTo(r)), http.StatusSeeOther)
		return
	}
	page(w, r, Form{Status: refusal.Status, Refusal: refusal, ReturnTo: ReturnTo(r)})
}

// wantsForm reports whether a refused form is to be shown again: to every client but
// one that asks for JSON.
func wantsForm(r *http.Request) bool {
	return request.WantsPage(r.Header) || !request.Accepts(r.Header, "json")
}
