// Package chiwalkin is for chi, which needs no adapter: its middleware and
// handlers are net/http's, and so are walkin's.
//
//	r := chi.NewRouter()
//	r.Use(wk.Handler)
//	r.With(wk.RequireUser()).Post("/notes", addNote)
//	r.Handle("/sign-up", wk.UpgradeHandler(passwords, page))
//	r.Group(func(r chi.Router) {
//		r.Use(wk.RequirePermanent())
//		r.Post("/publish", publish)
//	})
//
// What is here is what a router adds: a guard whose rule sees the route's
// parameters. The package's tests hold chi itself to the suite of all adapters.
package chiwalkin

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

// Claims returns the claims of the visitor, or false for nobody.
func Claims(r *http.Request) (walkin.Claims, bool) { return walkin.FromContext(r.Context()) }

// Require is walkin's Require with a rule that also sees the request: whose
// note chi.URLParam(r, "id") is, for one. Use it with r.With, or with r.Use in
// a group whose path has the parameter; on the root router nothing is matched
// yet.
func Require(m *walkin.Middleware, rule func(*http.Request, walkin.Claims) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			guard := m.Require(func(c walkin.Claims) error { return rule(r, c) })
			guard(next).ServeHTTP(w, r)
		})
	}
}
