package gin

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/ginwalkin"
)

func save(*gin.Context) {}

func timed(c *gin.Context) { c.Next() }

func routes(wk *walkin.Middleware) http.Handler {
	r := gin.New()
	r.POST("/before", save) // outside of Handler: no user
	r.Use(gin.Logger(), ginwalkin.Handler(wk))
	r.POST("/guarded", ginwalkin.RequireUser(wk), save)
	r.POST("/post", save)                             // want `POST /post`
	r.Handle("PUT", "/handle", timed, save)           // want `PUT /handle`
	r.Any("/any", save)                               // want `write to /any`
	r.Match([]string{"GET", "PATCH"}, "/match", save) // want `PATCH /match`
	api := r.Group("/api", timed)
	api.DELETE("/early", save) // want `DELETE /api/early`
	api.Use(ginwalkin.RequirePermanent(wk))
	api.DELETE("/late", save)
	v1 := r.Group("/v1")
	{
		v1.POST("/things", save) // want `POST /v1/things`
	}
	r.POST("/wrapped", gin.WrapF(func(http.ResponseWriter, *http.Request) {})) // want `POST /wrapped`
	return r
}
