package nousers

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

// A site that does not tell visitors apart has nothing to guard.
func serve(wk *walkin.Middleware) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /upload", save)
	return http.ListenAndServe(":8080", wk.Handler(mux))
}
