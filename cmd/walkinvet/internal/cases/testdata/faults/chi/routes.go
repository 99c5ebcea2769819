package chi

import (
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/chiwalkin"
)

func save(http.ResponseWriter, *http.Request) {}

func routes(wk *walkin.Middleware) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Logger, wk.Handler)
	r.With(wk.RequireUser()).Post("/guarded", save)
	r.Post("/post", save)                                       // want `POST /post`
	r.Method(http.MethodPut, "/method", http.HandlerFunc(save)) // want `PUT /method`
	r.MethodFunc("DELETE", "/func", save)                       // want `DELETE /func`
	r.With(middleware.NoCache).Patch("/with", save)             // want `PATCH /with`
	r.HandleFunc("POST /pattern", save)                         // want `POST /pattern`
	r.Group(func(r chi.Router) {
		r.Use(chiwalkin.RequirePermanent(wk))
		r.Post("/group", save)
	})
	r.Group(func(r chi.Router) {
		r.Post("/open", save) // want `POST /open`
	})
	r.Route("/notes", func(r chi.Router) {
		r.Get("/", save)
		r.Post("/", save) // want `POST /notes/`
		r.Route("/{id}", func(r chi.Router) {
			r.With(wk.RequireRecent(0)).Delete("/", save)
			r.Put("/", save) // want `PUT /notes/\{id\}/`
		})
	})
	r.Mount("/admin", admin())
	return r
}

func admin() http.Handler {
	r := chi.NewRouter()
	r.Post("/users", save) // want `POST /admin/users`
	return r
}
