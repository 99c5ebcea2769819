package shop

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

func api(wk *walkin.Middleware, a *app) error {
	mux := http.NewServeMux()
	mux.HandleFunc("DELETE /v1/orders", a.cancel) // want `every visitor can send DELETE /v1/orders`
	mux.Handle("PUT /v1/orders", wk.RequireUser()(http.HandlerFunc(a.cancel)))
	limited := wk.WithoutCookies
	return http.ListenAndServe(":8080", limited(mux))
}
