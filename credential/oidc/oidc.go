// Package oidc lets visitors prove who they are by an account elsewhere: at any OpenID
// provider, named by its issuer, or at a provider with OAuth but without OpenID, such
// as [GitHub].
//
//	sso, err := oidc.New(wk, oidc.Config{ // wk with "/auth/" in its Paths.Credentials
//		URL: "https://www.example.com/auth/",
//		Providers: []oidc.Provider{{
//			Name:         "google",
//			Issuer:       "https://accounts.google.com",
//			ClientID:     id,
//			ClientSecret: secret,
//		}},
//	})
//	…
//	mux.Handle("/auth/", sso)
//
// A form starts it, and the callback to register at the provider is
// https://www.example.com/auth/callback/google:
//
//	<form method="post" action="/auth/start">
//		<input type="hidden" name="return_to" value="{{.ReturnTo}}">
//		<button name="provider" value="google">Go on with Google</button>
//	</form>
//
// [walkin.Middleware.Continue] decides whether that signs up, upgrades an anonymous
// user, signs in, links one more identity or proves again. If any step fails, the
// visitor stays who they were.
//
// # What is believed
//
// An identity is the issuer and the subject it gives. The ID token is signed by one of
// the issuer's keys, is for this client, and answers this very request. State, nonce
// and PKCE verifier are used once, are kept in the store, and are bound to the browser
// that pressed the button. Another browser cannot complete the sign-in, nor can this
// one once its visitor is another user.
//
// An e-mail address is never an identity and matches nothing. [Profile] hands it to the
// app, as verified only if [Provider.VerifiesEmail] says that this provider's word
// counts.
//
// # What it does not do
//
// It keeps no access token and calls no API later. It ends no session at the provider,
// and does not hear of sessions that ended there.
package oidc

import (
	"cmp"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/limits"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
)

// A Handler sends visitors to providers and completes their sign-ins. Make one with
// [New]. It may serve concurrently; what one replica starts, another completes.
type Handler struct {
	middleware *walkin.Middleware
	store      store.Store
	providers  map[string]*provider
	names      []string // in the order of Config.Providers
	page       walkin.Page
	perNetwork limit.Limit
	limits     limits.Limits
	inside     http.Handler // what needs to know the visitor, inside of the middleware
}

var _ http.Handler = (*Handler)(nil)

// ServeHTTP serves, by the last parts of the path, whatever stands before them:
//
//   - POST start, a form: provider is a [Provider.Name], return_to the local
//     path to go to afterwards, and reproof, when not empty, asks the provider
//     to have the visitor sign in there again; with link, when not empty, an
//     identity of another user's is refused, and an anonymous user is not signed
//     in to that user; with existing, when not empty, an identity that no user
//     has signs in no one and makes no user permanent
//   - GET callback/NAME: the provider sends the visitor back
//   - POST callback/NAME: the same, for [Provider.FormPost]
//
// No answer may be cached, and none tells its URL to another site.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	response.NoStore(w.Header(), "no-store")
	// A callback's URL has a code in it. Not "no-referrer", with which browsers
	// hide the origin of the forms on the page.
	w.Header().Set("Referrer-Policy", "strict-origin")
	if _, ok := callbackOf(r); ok && r.Method == http.MethodPost {
		// From another site, so the browser withholds the visitor's cookies.
		// Nothing here depends on who they are, and nothing gives them one.
		h.formPost(w, r)
		return
	}
	h.inside.ServeHTTP(w, r)
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	name, isCallback := callbackOf(r)
	switch {
	case isCallback && r.Method == http.MethodGet:
		h.callback(w, r, name)
	case isCallback:
		allow := "GET"
		if p := h.providers[name]; p != nil && p.FormPost {
			allow = "GET, POST"
		}
		h.middleware.RefuseMethod(w, r, allow)
	case path.Base(r.URL.Path) == "start":
		h.middleware.FormHandler(h.page, h.start).ServeHTTP(w, r)
	default:
		h.middleware.Refuse(w, r, &walkin.Refusal{Status: http.StatusNotFound, Reason: walkin.ReasonNoRoute})
	}
}

// WithPage returns the handler with another Config.Page, for package pages, which shows
// refusals where the buttons are.
func (h *Handler) WithPage(page walkin.Page) http.Handler {
	own := *h
	own.page = page
	own.inside = own.middleware.Handler(http.HandlerFunc(own.serve))
	return &own
}

// Names returns the names of the providers, in the order of Config.Providers.
func (h *Handler) Names() []string { return slices.Clone(h.names) }

// Title returns what visitors call a provider.
func (h *Handler) Title(name string) string {
	p := h.providers[name]
	if p == nil {
		return ""
	}
	return cmp.Or(p.Title, strings.ToUpper(name[:1])+name[1:])
}

// Issuer returns the provider of the identities that a provider vouches for.
func (h *Handler) Issuer(name string) string {
	if p := h.providers[name]; p != nil {
		return p.Issuer
	}
	return ""
}

// callbackOf returns the name of the provider whose callback this is.
func callbackOf(r *http.Request) (name string, ok bool) {
	dir, name := path.Split(r.URL.Path)
	return name, path.Base(dir) == "callback"
}
