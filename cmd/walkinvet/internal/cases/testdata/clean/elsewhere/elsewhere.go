package elsewhere

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

type auth struct{ wk *walkin.Middleware }

// A group of the app's own, with guards in it.
type group struct {
	mux *http.ServeMux
	mws []func(http.Handler) http.Handler
}

func (g *group) with(mw func(http.Handler) http.Handler) *group {
	return &group{g.mux, append(g.mws, mw)}
}

func (g *group) post(path string, h http.HandlerFunc) {
	var handler http.Handler = h
	for _, mw := range g.mws {
		handler = mw(handler)
	}
	g.mux.Handle("POST "+path, handler)
}

func save(http.ResponseWriter, *http.Request) {}

func routes(a *auth) http.Handler {
	g := &group{mux: http.NewServeMux()}
	g.with(a.wk.RequireUser()).post("/a", save)
	return a.wk.Handler(g.mux)
}
