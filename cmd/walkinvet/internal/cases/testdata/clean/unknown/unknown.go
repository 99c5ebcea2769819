package unknown

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

// Whether these come to be inside of Handler, and what guards them, is elsewhere.
func register(mux *http.ServeMux, guard func(http.Handler) http.Handler) {
	mux.HandleFunc("POST /a", save)
	mux.Handle("POST /b", guard(http.HandlerFunc(save)))
}

type app struct {
	guard   func(http.Handler) http.Handler
	handler http.Handler
	chosen  map[string]http.Handler
}

func (a *app) routes(wk *walkin.Middleware, plugin http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /field", a.handler)
	mux.Handle("POST /guarded", a.guard(http.HandlerFunc(save)))
	mux.Handle("POST /plugin", plugin)
	mux.Handle("POST /chosen", a.chosen["x"])
	_ = wk.RequireUser()
	return wk.Handler(mux)
}
