package echov4

import (
	"github.com/labstack/echo/v4"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/echov4walkin"
)

func save(echo.Context) error { return nil }

func serve(wk *walkin.Middleware) error {
	e := echo.New()
	e.Use(echov4walkin.Handler(wk))
	things := e.Group("/things", echov4walkin.RequireRenderedFor(wk))
	things.PUT("/:id", save)
	e.PATCH("/open", save) // want `PATCH /open`
	mount(e.Group("/more"))
	return e.Start(":8080")
}

func mount(g *echo.Group) {
	g.POST("/mounted", save) // want `POST /more/mounted`
}
