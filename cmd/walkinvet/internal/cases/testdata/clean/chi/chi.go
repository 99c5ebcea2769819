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
	r.Use(middleware.Logger)
	r.Use(wk.Handler)
	r.Get("/", save)
	r.Handle("/all", http.HandlerFunc(save))
	r.With(wk.RequireUser()).Post("/a", save)
	r.Group(func(r chi.Router) {
		r.Use(wk.RequirePermanent())
		r.Post("/b", save)
		r.Mount("/c", sub())
		r.Route("/d", func(r chi.Router) { r.Put("/", save) })
		r.Group(more)
	})
	r.Method("POST", "/sign-out", wk.SignOutHandler())
	r.MethodFunc("LINK", "/link", save)
	chain := chi.Chain(chiwalkin.RequireUser(wk), middleware.NoCache)
	r.Method("POST", "/chained", chain.HandlerFunc(save))
	r.With(middleware.BasicAuth("admin", nil)).Delete("/basic", save)
	return r
}

func sub() chi.Router {
	r := chi.NewRouter()
	r.Post("/", save)
	return r
}

func more(r chi.Router) { r.Delete("/more", save) }
