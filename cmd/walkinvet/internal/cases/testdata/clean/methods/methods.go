package methods

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

// methods is a handler for each method.
type methods map[string]http.Handler

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, ok := m[r.Method]
	if !ok {
		http.Error(w, "no", http.StatusMethodNotAllowed)
		return
	}
	h.ServeHTTP(w, r)
}

func show(http.ResponseWriter, *http.Request) {}

func routes(wk *walkin.Middleware) http.Handler {
	user := wk.RequireUser()
	mux := http.NewServeMux()
	mux.Handle("/things", methods{"GET": http.HandlerFunc(show), "POST": user(http.HandlerFunc(show))})
	mux.HandleFunc("/search", func(w http.ResponseWriter, r *http.Request) { _ = r.FormValue("q") })
	return wk.Handler(wk.WithoutCookies(mux))
}
