package loops

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

type route struct {
	pattern string
	guard   func(http.Handler) http.Handler
	handler http.HandlerFunc
}

func chain(h http.Handler, mws ...func(http.Handler) http.Handler) http.Handler {
	for i := len(mws) - 1; i >= 0; i-- {
		h = mws[i](h)
	}
	return h
}

func nothing(next http.Handler) http.Handler { return next }

func routes(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	for _, r := range []route{
		{"GET /a", nothing, save},
		{"POST /a", wk.RequireUser(), save},
		{pattern: "PUT /a", guard: wk.RequirePermanent(), handler: save},
	} {
		mux.Handle(r.pattern, r.guard(r.handler))
	}
	mux.Handle("POST /b", chain(http.HandlerFunc(save), nothing, wk.RequireUser()))
	for _, pattern := range []string{"POST /c", "DELETE /c"} {
		mux.Handle(pattern, wk.RequireUser()(http.HandlerFunc(save)))
	}
	return chain(mux, wk.Handler)
}
