package ginapp

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/ginwalkin"
)

type book struct{ Title string }

type handlers struct{ books []book }

func (h *handlers) create(c *gin.Context) {
	var b book
	if err := c.ShouldBindJSON(&b); err != nil {
		c.JSON(http.StatusBadRequest, gin.H{"error": err.Error()})
		return
	}
	h.books = append(h.books, b)
	c.JSON(http.StatusCreated, b)
}

func (h *handlers) remove(c *gin.Context) { c.Status(http.StatusNoContent) }

func New(wk *walkin.Middleware) *gin.Engine {
	h := &handlers{}
	r := gin.Default()
	r.Use(ginwalkin.Handler(wk))
	v1 := r.Group("/api/v1")
	{
		v1.POST("/books", h.create) // want `every visitor can`
		private := v1.Group("", ginwalkin.RequireUser(wk))
		private.DELETE("/books/:id", h.remove)
	}
	early(r.Group("/early"), h, wk)
	for _, route := range []struct {
		method, path string
		handler      gin.HandlerFunc
	}{
		{http.MethodPost, "/loop", h.create},
	} {
		r.Handle(route.method, route.path, route.handler) // want `every visitor can`
	}
	r.POST("/wrapped", gin.WrapF(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })) // want `every visitor can`
	r.Any("/any", softly(), h.create)                                                                  // want `every visitor can`
	return r
}

// early adds the guard after the route, which it then does not hold.
func early(g *gin.RouterGroup, h *handlers, wk *walkin.Middleware) {
	g.PUT("/books", h.create) // want `every visitor can`
	g.Use(ginwalkin.RequirePermanent(wk))
	g.POST("/books", h.create)
}

// softly looks who it is, and lets everybody through.
func softly() gin.HandlerFunc {
	return func(c *gin.Context) {
		if claims, ok := ginwalkin.Claims(c); ok {
			c.Set("user", claims.UserID)
		}
		c.Next()
	}
}
