package acting

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

// api is for clients without cookies, which never pass Handler.
func api(wk *walkin.Middleware) error {
	mux := http.NewServeMux()
	mux.Handle("POST /things", wk.RequireUser()(http.NotFoundHandler()))
	mux.Handle("PUT /things", wk.RequireUser()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	return http.ListenAndServe(":8080", wk.WithoutCookies(mux))
}
