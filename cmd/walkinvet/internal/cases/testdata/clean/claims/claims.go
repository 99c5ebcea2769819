package claims

import (
	"fmt"
	"net/http"

	"github.com/walkin-go/walkin"
)

func behind(w http.ResponseWriter, r *http.Request) {
	c, _ := walkin.FromContext(r.Context())
	fmt.Fprint(w, c.Anonymous, name(r))
}

func name(r *http.Request) string {
	if c, _ := walkin.FromContext(r.Context()); c.Anonymous {
		return "guest"
	}
	return "member"
}

func asked(w http.ResponseWriter, r *http.Request) {
	if c, ok := walkin.FromContext(r.Context()); ok && c.Anonymous {
		fmt.Fprint(w, "guest")
	}
}

func routes(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /behind", wk.RequireUser()(http.HandlerFunc(behind)))
	mux.HandleFunc("GET /asked", asked)
	return wk.Handler(mux)
}
