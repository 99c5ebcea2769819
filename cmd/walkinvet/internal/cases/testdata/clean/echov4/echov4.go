package echov4

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/echov4walkin"
)

func save(echo.Context) error { return nil }

func routes(wk *walkin.Middleware) http.Handler {
	e := echo.New()
	e.GET("/", save)
	e.POST("/a", save, echov4walkin.RequireUser(wk))
	g := e.Group("/g", echov4walkin.RequirePermanent(wk))
	g.PUT("/b", save)
	g.Any("/any", save)
	h := e.Group("/h")
	h.Use(echov4walkin.Require(wk, func(walkin.Claims) error { return nil }))
	h.Group("/i").DELETE("/c", save)
	e.POST("/upgrade", echov4walkin.WrapHandler(wk.UpgradeHandler(nil, nil)))
	e.POST("/key", save, middleware.KeyAuth(nil))
	e.POST("/own", func(c echo.Context) error {
		_, err := echov4walkin.Ensure(wk, c)
		return err
	})
	e.POST("/unauthorized", func(c echo.Context) error { return echo.ErrUnauthorized })
	e.Use(echov4walkin.Handler(wk))
	return e
}
