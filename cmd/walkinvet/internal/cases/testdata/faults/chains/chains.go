package chains

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

func byValue(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /a", save) // want `POST /a`
	users := wk.Handler
	return users(mux)
}

func chained(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /b", save) // want `POST /b`
	return chi.Chain(wk.Handler).Handler(mux)
}

func wrongOrder(wk *walkin.Middleware, mux *http.ServeMux) http.Handler {
	return chi.Chain(wk.RequireUser(), wk.Handler).Handler(mux) // want `RequireUser stands outside`
}

func inLoop(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /c", save) // want `POST /c`
	var h http.Handler = mux
	for _, mw := range []func(http.Handler) http.Handler{wk.Handler, http.NewCrossOriginProtection().Handler} {
		h = mw(h)
	}
	return h
}

// A handler that is made of a function without a check.
func typed[In any](do func(In) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := do(in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
}

func typedRoutes(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /d", typed(func(struct{}) error { return nil })) // want `POST /d`
	return wk.Handler(mux)
}

func redirected(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "www.example.com" {
			http.Redirect(w, r, "https://example.com", http.StatusMovedPermanently)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func oneHost(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /e", redirected(http.HandlerFunc(save))) // want `POST /e`
	return wk.Handler(mux)
}
