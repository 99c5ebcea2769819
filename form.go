package walkin

import (
	"errors"
	"net/http"

	"github.com/walkin-go/walkin/internal/request"
)

// A Credential is a way to prove an identity that a form can carry, such as a
// name and a password. Its errors are *[Refusal] for what the visitor can
// mend; any other is a failure of ours. Both methods are called with a POST
// whose body is not larger than 64 KB, and may be called for the same request.
type Credential interface {
	// SignUp reads a form that makes a new identity. It sets Proof.New when
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

	// ReturnTo is where the visitor goes afterwards, a safe local path; it
	// belongs into a hidden field return_to.
	ReturnTo string
}

// A Page shows a form: it writes the Form's Status and the page. Nil shows no form:
// visitors get a problem document or a plain page instead.
type Page func(w http.ResponseWriter, r *http.Request, f Form)

const maxForm = 64 << 10 // bytes

// UpgradeHandler serves a sign-up form: it shows page on GET, and on POST lets
// the credential prove an identity and calls [Middleware.Continue]. Then the
// visitor is sent to the form's return_to, or to "/", as a permanent user with
// the ID they had. A client that sent a bearer token is answered with the new [Token]
// instead, since the old one has ended. On a refusal page shows the form again, with the reason and
// the status; programs, and a nil page, get a problem document.
//
// An identity that is taken is signed in to when the form proves it after all
// and the visitor is its owner or nobody: so a second click, and somebody who
// forgot that they had signed up, both arrive. An anonymous visitor gets 409,
// and the way to sign in, which says what becomes of their guest.
func (m *Middleware) UpgradeHandler(credential Credential, page Page) http.Handler {
	return m.FormHandler(page, func(w http.ResponseWriter, r *http.Request) (string, error) {
		proof, err := credential.SignUp(r)
		if err != nil {
			return "", err
		}
		_, err = m.Continue(w, r, proof)
		if _, refused := errors.AsType[*Refusal](err); refused || !errors.Is(err, ErrIdentityTaken) || !proof.New {
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

// SignInHandler serves a sign-in form, as [Middleware.UpgradeHandler] does a
// sign-up form. What becomes of an anonymous visitor's data is for
// Config.Conflict to say.
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

// FormHandler serves any other form of a credential, such as one that asks for
// an address to send a code to. It shows page on GET, and on a POST of the site
// itself calls post, which returns the local path to go on to, empty for the
// form's return_to, or an error as those of a [Credential]. A refusal is answered
// as [Middleware.UpgradeHandler] does, and told to the owner. The body is not
// larger than 64 KB.
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
			if refusal := m.admission.whyNotAct(m.verifier.visit(w, r), r); refusal != nil {
				m.Refuse(w, r, refusal)
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
				http.Redirect(w, r, to, http.StatusSeeOther)
				return
			}
			m.RefuseForm(w, r, err, page)
			return
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			m.Refuse(w, r, &Refusal{Status: http.StatusMethodNotAllowed, Reason: "method"})
			return
		}
		if page == nil {
			w.Header().Set("Allow", "POST")
			m.Refuse(w, r, &Refusal{Status: http.StatusMethodNotAllowed, Reason: "method"})
			return
		}
		form.ReturnTo = ReturnTo(r)
		m.showForm(w, r, func(w http.ResponseWriter) { page(w, r, form) })
	})
}

// limitBody bounds the body of a form. A request that was made by hand may have none.
func limitBody(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	}
}

// RefuseForm answers a refused form, or a round trip that began with one: page
// shows the form again, with the reason, the status, and the request's return_to.
// Programs, and a nil page, get what [Middleware.Refuse] says. The owner is told
// either way.
func (m *Middleware) RefuseForm(w http.ResponseWriter, r *http.Request, err error, page Page) {
	refusal := said(r, m, refusalOf(err))
	if page == nil || !wantsForm(r) {
		m.Refuse(w, r, refusal)
		return
	}
	m.refused(w, r, refusal)
	page(w, r, Form{Status: refusal.Status, Refusal: refusal, ReturnTo: ReturnTo(r)})
}

// wantsForm reports whether a refused form is to be shown again: to everyone
// but a program that asks for JSON.
func wantsForm(r *http.Request) bool {
	return request.WantsPage(r.Header) || !request.Accepts(r.Header, "json")
}
