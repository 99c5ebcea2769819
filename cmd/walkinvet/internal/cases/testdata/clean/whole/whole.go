package whole

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

func routes(wk *walkin.Middleware) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /a", save)
	mux.HandleFunc("PUT /b", save)
	return http.ListenAndServe(":8080", wk.Handler(wk.RequireUser()(mux)))
}
