// Package guards is where a site keeps its guards.
package guards

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

type Guards struct {
	User, Member func(http.Handler) http.Handler
}

func New(wk *walkin.Middleware) *Guards {
	return &Guards{User: wk.RequireUser(), Member: wk.RequirePermanent()}
}

// Owner lets the owner of a thing through.
func Owner(of func(*http.Request) string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, ok := walkin.FromContext(r.Context())
			if !ok || c.UserID.String() != of(r) {
				http.Error(w, "not yours", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}
