// Package unasked has writes without a guard, where the path says that there should be one.
package unasked

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

func serve(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /contact", save)
	mux.HandleFunc("POST /admin/users/{id}/delete", save) // want `send POST /admin/users/\{id\}/delete,`
	return wk.Handler(mux)
}
