package servemux

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

func save(http.ResponseWriter, *http.Request) {}

func routes(wk *walkin.Middleware) http.Handler {
	user, permanent := wk.RequireUser(), wk.RequirePermanent()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", save)
	mux.HandleFunc("/page", save)
	mux.Handle("POST /a", user(http.HandlerFunc(save)))
	mux.Handle("DELETE /b", permanent(http.HandlerFunc(save)))
	mux.Handle("/c", wk.RequireRecent(0)(http.HandlerFunc(save)))
	mux.Handle("POST /rule", wk.Require(func(walkin.Claims) error { return nil })(http.HandlerFunc(save)))
	mux.Handle("POST /rendered", wk.RequireRenderedFor()(http.HandlerFunc(save)))
	mux.Handle("POST /sign-out", wk.SignOutHandler())
	mux.HandleFunc("POST /login", save)
	mux.HandleFunc("POST /webhooks/stripe", save)
	return wk.Handler(mux)
}
