package claims

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/ginwalkin"
)

func Page(w http.ResponseWriter, r *http.Request) {
	c, _ := walkin.FromContext(r.Context())
	if !c.Anonymous { // want `c.Anonymous is false without a user, too`
		fmt.Fprint(w, "the members' page")
	}
}

func short(r *http.Request) string {
	if c, _ := walkin.FromContext(r.Context()); c.Anonymous { // want `c.Anonymous is false`
		return "guest"
	}
	return "member"
}

func ginPage(c *gin.Context) {
	claims, _ := ginwalkin.Claims(c)
	c.JSON(200, gin.H{"member": !claims.Anonymous}) // want `claims.Anonymous is false`
}

func current(ctx context.Context) (walkin.Claims, bool) { return walkin.FromContext(ctx) }

func mine(ctx context.Context) bool {
	me, _ := current(ctx)
	return !me.Anonymous // want `me.Anonymous is false`
}

func claimsOf(r *http.Request) walkin.Claims {
	c, _ := walkin.FromContext(r.Context())
	return c
}

func lost(r *http.Request) bool {
	if claimsOf(r).Anonymous { // want `this function drops the ok`
		return false
	}
	c := claimsOf(r)
	return !c.Anonymous // want `c.Anonymous is false`
}

func routes(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", Page)
	mux.Handle("GET /lit", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		fmt.Fprint(w, c.Anonymous) // want `c.Anonymous is false`
	}))
	_ = short
	return wk.Handler(mux)
}

func signIn(r *http.Request, c walkin.Claims) *http.Request {
	return r.WithContext(walkin.NewContext(r.Context(), c)) // want `NewContext makes claims up`
}
