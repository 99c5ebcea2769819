package guards

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v5"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/echowalkin"
	"github.com/walkin-go/walkin/adapters/ginwalkin"
	"github.com/walkin-go/walkin/quota"
)

func save(http.ResponseWriter, *http.Request) {}

func around(wk *walkin.Middleware, mux *http.ServeMux) http.Handler {
	return wk.RequirePermanent()(wk.Handler(mux)) // want `RequirePermanent stands outside of Handler`
}

func held(wk *walkin.Middleware, mux *http.ServeMux) http.Handler {
	user := wk.RequireUser()
	h := wk.Handler(mux)
	return user(h) // want `RequireUser stands outside`
}

func used(wk *walkin.Middleware) http.Handler {
	r := chi.NewRouter()
	r.Use(wk.RequireUser()) // want `RequireUser stands outside`
	r.Use(wk.Handler)
	r.Post("/x", save)
	return r
}

func usedTogether(wk *walkin.Middleware) http.Handler {
	r := gin.New()
	r.Use(ginwalkin.RequireUser(wk), ginwalkin.Handler(wk)) // want `RequireUser stands outside`
	return r
}

func usedEcho(wk *walkin.Middleware, q *quota.Quota) http.Handler {
	e := echo.New()
	e.Use(echowalkin.RequirePermanent(wk)) // want `RequirePermanent stands outside`
	e.Use(echowalkin.Handler(wk))
	return e
}

func served(wk *walkin.Middleware) error {
	mux := http.NewServeMux()
	mux.Handle("POST /x", wk.RequireUser()(http.HandlerFunc(save))) // want `RequireUser is served without Handler`
	return http.ListenAndServe(":8080", mux)
}

func server(wk *walkin.Middleware, q *quota.Quota) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("/in/", wk.Handler(http.HandlerFunc(save)))
	mux.Handle("/out/", q.Require()(http.HandlerFunc(save))) // want `Require is served without Handler`
	return &http.Server{Handler: mux}
}
