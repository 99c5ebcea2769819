// Package echoapi registers its modules on groups that have guards.
package echoapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/echov4walkin"
)

type module interface{ Register(g *echo.Group) }

type tasks struct{ all []string }

func (t *tasks) Register(g *echo.Group) {
	g.GET("", t.list)
	g.POST("", t.add)
	g.DELETE("/:id", t.remove)
}

func (t *tasks) list(c echo.Context) error   { return c.JSON(http.StatusOK, t.all) }
func (t *tasks) add(c echo.Context) error    { t.all = append(t.all, c.FormValue("t")); return nil }
func (t *tasks) remove(c echo.Context) error { t.all = nil; return c.NoContent(http.StatusNoContent) }

type users struct{}

func (users) Register(g *echo.Group) { g.PUT("/me", users{}.update) }

func (users) update(c echo.Context) error {
	claims, ok := echov4walkin.Claims(c)
	if !ok {
		return echo.ErrUnauthorized
	}
	return c.JSON(http.StatusOK, claims.UserID)
}

func New(wk *walkin.Middleware) *echo.Echo {
	e := echo.New()
	e.Use(middleware.Recover(), middleware.CORS(), echov4walkin.Handler(wk))
	api := e.Group("/api", echov4walkin.RequireUser(wk))
	for name, m := range map[string]module{"/tasks": &tasks{}, "/users": users{}} {
		m.Register(api.Group(name))
	}
	open := e.Group("/open")
	users{}.Register(open)
	open.POST("/x", func(c echo.Context) error { return nil }, allow("member"))
	return e
}

func allow(role string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if claims, ok := echov4walkin.Claims(c); !ok || claims.Anonymous {
				return echo.NewHTTPError(http.StatusForbidden, role)
			}
			return next(c)
		}
	}
}
