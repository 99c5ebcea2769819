package echov5

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
	e.GET("/", save)
	e.POST("/a", save, echowalkin.RequireUser(wk))
	g := e.Group("/g", echowalkin.RequirePermanent(wk))
	g.PUT("/b", save)
	g.Any("/any", save)
	h := e.Group("/h")
	h.Use(echowalkin.Require(wk, func(walkin.Claims) error { return nil }))
	h.Group("/i").DELETE("/c", save)
	e.POST("/upgrade", echowalkin.WrapHandler(wk.UpgradeHandler(nil, nil)))
	e.POST("/key", save, middleware.KeyAuth(nil))
	e.POST("/own", func(c *echo.Context) error {
		_, err := echowalkin.Ensure(wk, c)
		return err
	})
	e.POST("/unauthorized", func(c *echo.Context) error { return echo.ErrUnauthorized })
	e.Use(echowalkin.Handler(wk))
	return e
}
