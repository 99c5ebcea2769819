// Package chiapi is nested routes with a guard at each level that writes.
package chiapi

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/walkin-go/walkin"
)

type articleKey struct{}

type handlers struct{ wk *walkin.Middleware }

func (h handlers) Routes() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.RequestID, middleware.RealIP, middleware.Logger, middleware.Recoverer)
	r.Use(h.wk.Handler)
	r.Get("/ping", h.read)
	r.Route("/articles", func(r chi.Router) {
		r.Get("/", h.read)
		r.With(h.wk.RequireUser()).Post("/", h.write)
		r.Route("/{id}", func(r chi.Router) {
			r.Use(withArticle)
			r.Get("/", h.read)
			r.Group(func(r chi.Router) {
				r.Use(onlyAuthors)
				r.Put("/", h.write)
				r.Delete("/", h.write)
			})
		})
	})
	r.Mount("/admin", h.admin())
	r.Mount("/debug", middleware.Profiler())
	r.NotFound(h.read)
	return r
}

func (h handlers) admin() chi.Router {
	r := chi.NewRouter()
	r.Use(h.adminOnly)
	r.Post("/users/{id}/ban", h.write)
	return r
}

func (h handlers) adminOnly(next http.Handler) http.Handler {
	return h.wk.Require(func(c walkin.Claims) error {
		if c.Anonymous {
			return &walkin.Refusal{Status: http.StatusForbidden}
		}
		return nil
	})(next)
}

func withArticle(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), articleKey{}, chi.URLParam(r, "id"))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func onlyAuthors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := walkin.FromContext(r.Context())
		if !ok || r.Context().Value(articleKey{}) != c.UserID.String() {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (handlers) read(http.ResponseWriter, *http.Request)  {}
func (handlers) write(http.ResponseWriter, *http.Request) {}
