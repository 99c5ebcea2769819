package gin

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/ginwalkin"
)

func save(*gin.Context) {}

func member(c *gin.Context) {
	if claims, ok := ginwalkin.Claims(c); !ok || claims.Anonymous {
		c.AbortWithStatus(http.StatusForbidden)
		return
	}
	c.Next()
}

func routes(wk *walkin.Middleware) http.Handler {
	r := gin.Default()
	r.Use(ginwalkin.Handler(wk))
	r.GET("/", save)
	r.POST("/a", ginwalkin.RequireUser(wk), save)
	r.POST("/member", member, save)
	api := r.Group("/api", ginwalkin.RequirePermanent(wk))
	{
		api.DELETE("/b", save)
		api.Group("/more").Any("/c", save)
	}
	r.POST("/sign-out", ginwalkin.WrapH(wk.SignOutHandler()))
	admin := r.Group("/admin", gin.BasicAuth(gin.Accounts{"a": "b"}))
	admin.POST("/x", save)
	chain := []gin.HandlerFunc{ginwalkin.RequireUser(wk), save}
	r.POST("/chain", chain...)
	return r
}
