package echo

import (
	"net/http"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/echowalkin"
)

func save(*echo.Context) error { return nil }

func routes(wk *walkin.Middleware) http.Handler {
	e := echo.New()
	e.POST("/post", save) // want `POST /post`
	e.Use(middleware.Recover(), echowalkin.Handler(wk))
	e.POST("/guarded", save, echowalkin.RequireUser(wk))
	e.Add("PUT", "/add", save)                         // want `PUT /add`
	e.Any("/any", save)                                // want `write to /any`
	e.DELETE("/limit", save, middleware.BodyLimit(10)) // want `DELETE /limit`
	g := e.Group("/g")
	g.POST("/early", save) // want `POST /g/early`
	g.Use(echowalkin.RequirePermanent(wk))
	g.POST("/late", save)
	_, _ = e.AddRoute(echo.Route{Method: "POST", Path: "/route", Handler: save}) // want `POST /route`
	return e
}
