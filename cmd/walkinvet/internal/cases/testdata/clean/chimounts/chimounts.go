// Package chimounts collects sub-routers in a map and guards them where they are mounted.
package chimounts

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/walkin-go/walkin"
)

type notes struct{ all []string }

func (n *notes) Routes() chi.Router {
	r := chi.NewRouter()
	r.Post("/", n.add)
	r.Delete("/{id}", n.remove)
	return r
}

func (n *notes) add(w http.ResponseWriter, r *http.Request)    { n.all = append(n.all, r.FormValue("n")) }
func (n *notes) remove(w http.ResponseWriter, r *http.Request) { n.all = nil }

type routed interface{ Routes() chi.Router }

func New(wk *walkin.Middleware) http.Handler {
	r := chi.NewRouter()
	r.Use(wk.Handler)
	r.Group(func(r chi.Router) {
		r.Use(wk.RequirePermanent())
		for path, sub := range map[string]routed{"/notes": &notes{}, "/more": &notes{}} {
			r.Mount(path, sub.Routes())
		}
	})
	r.Handle("/static/*", http.StripPrefix("/static/", http.FileServer(http.Dir("static"))))
	return r
}
