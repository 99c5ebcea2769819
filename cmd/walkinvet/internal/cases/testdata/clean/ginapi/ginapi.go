// Package ginapi has groups with guards of walkin's and of its own.
package ginapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/ginwalkin"
)

type todo struct{ Title string }

type controller struct {
	wk    *walkin.Middleware
	todos map[string][]todo
}

// current answers 401 by itself and returns false.
func (ct *controller) current(c *gin.Context) (walkin.Claims, bool) {
	claims, ok := ginwalkin.Claims(c)
	if !ok {
		c.AbortWithStatusJSON(http.StatusUnauthorized, gin.H{"error": "unauthorized"})
	}
	return claims, ok
}

func (ct *controller) create(c *gin.Context) {
	claims, ok := ct.current(c)
	if !ok {
		return
	}
	var t todo
	if err := c.ShouldBindJSON(&t); err != nil {
		c.JSON(http.StatusBadRequest, gin.H{"error": err.Error()})
		return
	}
	ct.todos[claims.UserID.String()] = append(ct.todos[claims.UserID.String()], t)
	c.JSON(http.StatusCreated, t)
}

func (ct *controller) wipe(c *gin.Context) { clear(ct.todos); c.Status(http.StatusNoContent) }

// mustBe lets users of a kind through.
func mustBe(permanent bool) gin.HandlerFunc {
	return func(c *gin.Context) {
		claims, ok := ginwalkin.Claims(c)
		if !ok || permanent && claims.Anonymous {
			c.AbortWithStatus(http.StatusForbidden)
			return
		}
		c.Set("user", claims)
		c.Next()
	}
}

func Setup(wk *walkin.Middleware) *gin.Engine {
	ct := &controller{wk: wk, todos: map[string][]todo{}}
	r := gin.New()
	r.Use(gin.Logger(), gin.Recovery(), ginwalkin.Handler(wk))
	r.GET("/health", func(c *gin.Context) { c.String(http.StatusOK, "ok") })
	r.POST("/login", ct.wipe)
	api := r.Group("/api")
	api.POST("/todos", ct.create)
	admin := api.Group("/admin", mustBe(true))
	admin.DELETE("/todos", ct.wipe)
	members := api.Group("/members")
	members.Use(ginwalkin.RequirePermanent(wk))
	{
		members.PUT("/todos", ct.wipe)
		members.Group("/deep").PATCH("/todos", ct.wipe)
	}
	api.DELETE("/one", mustBe(false), ct.wipe)
	r.NoRoute(func(c *gin.Context) { c.Status(http.StatusNotFound) })
	return r
}
