// Package chiwalkin puts walkin into chi. chi needs no adapter: its middleware and
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
// The package has the names that the other adapters have, and a guard whose rule sees
// the route's parameters. The package's tests hold chi itself to the suite of all
// adapters.
package chiwalkin

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/walkin-go/walkin"
)

// Claims returns the claims of the visitor, or false for a request without a user.
func Claims(r *http.Request) (walkin.Claims, bool) { return walkin.FromContext(r.Context()) }

// RequireUser is walkin's guard: it rejects requests without a user.
func RequireUser(m *walkin.Middleware) func(http.Handler) http.Handler { return m.RequireUser() }

// RequirePermanent rejects requests of all but permanent users.
func RequirePermanent(m *walkin.Middleware) func(http.Handler) http.Handler {
	return m.RequirePermanent()
}

// RequireRecent rejects requests of all but permanent users who proved who they are
// within the given time.
func RequireRecent(m *walkin.Middleware, within time.Duration) func(http.Handler) http.Handler {
	return m.RequireRecent(within)
}

// RequireRenderedFor rejects a post of a page that was shown to another user.
func RequireRenderedFor(m *walkin.Middleware) func(http.Handler) http.Handler {
	return m.RequireRenderedFor()
}

// Routes lists the routes of a router, for walkintest.Matrix.
func Routes(r chi.Routes) (all []string) {
	_ = chi.Walk(r, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		all = append(all, method+" "+path)
		return nil
	})
	return all
}

// Require is walkin's Require with a rule that also sees the request. The rule can ask,
// for example, whose note chi.URLParam(r, "id") is. Use it with r.With, or with r.Use
// in a group whose path has the parameter. On the root router nothing is matched yet.
func Require(m *walkin.Middleware, rule func(*http.Request, walkin.Claims) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			guard := m.Require(func(c walkin.Claims) error { return rule(r, c) })
			guard(next).ServeHTTP(w, r)
		})
	}
}
