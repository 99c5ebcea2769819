// Package clothes has routes that are registered in a way of their own.
package clothes

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/ginwalkin"
)

func save(http.ResponseWriter, *http.Request) {}

func byMethodValue(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	register := mux.HandleFunc
	register("POST /a", save) // want `POST /a`
	handle := mux.Handle
	handle("POST /b", wk.RequireUser()(http.HandlerFunc(save)))
	return wk.Handler(mux)
}

func groups(e *gin.Engine, wk *walkin.Middleware) (open, members *gin.RouterGroup) {
	open = e.Group("/open")
	members = e.Group("/members", ginwalkin.RequireUser(wk))
	return
}

func byNamedResult(wk *walkin.Middleware) http.Handler {
	e := gin.New()
	e.Use(ginwalkin.Handler(wk))
	open, members := groups(e, wk)
	open.POST("/c", func(*gin.Context) {}) // want `POST /open/c`
	members.POST("/d", func(*gin.Context) {})
	return e
}
