// Package groups2 has groups of its own, each with a guard, and a guard for all that is
// set later.
package groups2

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

type router struct {
	mux    *http.ServeMux
	base   string
	chain  []func(http.Handler) http.Handler
	guards map[string]func(http.Handler) http.Handler
}

func newRouter() *router {
	return &router{mux: http.NewServeMux(), guards: map[string]func(http.Handler) http.Handler{}}
}

func (rt *router) Use(mws ...func(http.Handler) http.Handler) { rt.chain = append(rt.chain, mws...) }

func (rt *router) Group(base string, fn func(*router)) {
	sub := &router{mux: rt.mux, base: rt.base + base, guards: rt.guards}
	sub.chain = append(sub.chain, rt.chain...)
	fn(sub)
}

func (rt *router) Post(path string, fn http.HandlerFunc) { rt.handle(http.MethodPost, path, fn) }

func (rt *router) handle(method, path string, h http.Handler) {
	for i := len(rt.chain) - 1; i >= 0; i-- {
		h = rt.chain[i](h)
	}
	rt.mux.Handle(method+" "+rt.base+path, h)
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) { rt.mux.ServeHTTP(w, r) }

func Site(wk *walkin.Middleware) http.Handler {
	rt := newRouter()
	rt.guards["account"] = wk.RequirePermanent()
	rt.Use(noop)
	rt.Group("/account", func(rt *router) {
		rt.Use(rt.guards["account"])
		rt.Post("/name", save)
		rt.Group("/deep", func(rt *router) { rt.Post("/name", save) })
	})
	rt.Group("/user", func(rt *router) {
		rt.Use(wk.RequireUser())
		rt.Post("/name", save)
	})
	return wk.Handler(rt)
}

func noop(next http.Handler) http.Handler { return next }

var name string

func save(w http.ResponseWriter, r *http.Request) { name = r.FormValue("name") }
