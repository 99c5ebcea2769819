package outside

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

func routes(wk *walkin.Middleware) http.Handler {
	inside, outside := http.NewServeMux(), http.NewServeMux()
	inside.Handle("POST /a", wk.RequireUser()(http.HandlerFunc(save)))
	outside.HandleFunc("POST /metrics", save)
	outside.Handle("/", wk.Handler(inside))
	return outside
}
