package echoapp

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/echov4walkin"
)

type service interface{ Save(id string) error }

type controller struct{ svc service }

func (ct *controller) Save(c echo.Context) error {
	if err := ct.svc.Save(c.Param("id")); err != nil {
		return echo.NewHTTPError(http.StatusInternalServerError)
	}
	return c.NoContent(http.StatusNoContent)
}

func (ct *controller) Register(g *echo.Group) {
	g.PUT("/:id", ct.Save) // want `every visitor can`
}

func New(wk *walkin.Middleware, svc service) *echo.Echo {
	ct := &controller{svc}
	e := echo.New()
	e.Use(middleware.Logger(), middleware.Recover(), echov4walkin.Handler(wk))
	ct.Register(e.Group("/things"))
	g := e.Group("/late")
	g.POST("/x", ct.Save) // want `every visitor can`
	g.Use(echov4walkin.RequirePermanent(wk))
	g.POST("/y", ct.Save)
	e.POST("/one", ct.Save, timed) // want `every visitor can`
	e.POST("/two", ct.Save, timed, echov4walkin.RequireUser(wk))
	e.Add(http.MethodDelete, "/three", ct.Save) // want `every visitor can`
	return e
}

func timed(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Before(func() {})
		return next(c)
	}
}
