package admin

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

func adminOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Admin") == "" {
			http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func routes(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /admin", adminOnly(http.HandlerFunc(save)))
	mux.Handle("POST /mine", wk.RequireUser()(http.HandlerFunc(save)))
	mux.HandleFunc("/readonly", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
	})
	return wk.Handler(mux)
}
