// Package alice has chains of middlewares of its own.
package alice

import (
	"log"
	"net/http"
	"slices"

	"github.com/walkin-go/walkin"
)

type constructor func(http.Handler) http.Handler

type chain struct{ list []constructor }

func with(list ...constructor) chain { return chain{list: slices.Clone(list)} }

func (c chain) extend(list ...constructor) chain {
	all := make([]constructor, 0, len(c.list)+len(list))
	all = append(all, c.list...)
	all = append(all, list...)
	return chain{list: all}
}

func (c chain) then(h http.Handler) http.Handler {
	for i := range c.list {
		h = c.list[len(c.list)-1-i](h)
	}
	return h
}

type application struct {
	wk    *walkin.Middleware
	notes []string
}

func (app *application) logRequest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Print(r.Method, r.URL.Path)
		next.ServeHTTP(w, r)
	})
}

func (app *application) requireAccount(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !app.hasAccount(r) {
			http.Redirect(w, r, "/user/login", http.StatusSeeOther)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (app *application) hasAccount(r *http.Request) bool {
	c, ok := walkin.FromContext(r.Context())
	return ok && !c.Anonymous
}

func (app *application) routes() http.Handler {
	mux := http.NewServeMux()
	dynamic := with(app.wk.Handler)
	protected := dynamic.extend(app.requireAccount)
	users := dynamic.extend(app.wk.RequireUser())
	mux.Handle("GET /{$}", dynamic.then(http.HandlerFunc(app.home)))
	mux.Handle("POST /user/login", dynamic.then(http.HandlerFunc(app.create)))
	mux.Handle("POST /snippet/create", protected.then(http.HandlerFunc(app.create)))
	mux.Handle("DELETE /snippet", users.then(http.HandlerFunc(app.create)))
	return with(app.logRequest).then(mux)
}

func (app *application) home(w http.ResponseWriter, r *http.Request)   {}
func (app *application) create(w http.ResponseWriter, r *http.Request) { app.notes = nil }
