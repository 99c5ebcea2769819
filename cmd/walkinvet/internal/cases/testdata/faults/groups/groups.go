package groups

import (
	"net/http"
	"strings"

	"github.com/walkin-go/walkin"
)

// A group is routes below a prefix, with middlewares of their own.
type group struct {
	mux    *http.ServeMux
	prefix string
	within []func(http.Handler) http.Handler
}

func (g *group) use(mw ...func(http.Handler) http.Handler) { g.within = append(g.within, mw...) }

func (g *group) sub(prefix string) *group {
	return &group{mux: g.mux, prefix: g.prefix + prefix, within: g.within}
}

func (g *group) post(path string, h http.HandlerFunc) {
	var handler http.Handler = h
	for i := range g.within {
		handler = g.within[len(g.within)-1-i](handler)
	}
	g.mux.Handle("POST "+g.prefix+path, handler) // want `every visitor can`
}

func plain(next http.Handler) http.Handler { return next }

func New(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	root := &group{mux: mux}
	public := root.sub("/public")
	public.post("/vote", vote)
	private := root.sub("/private")
	private.use(wk.RequirePermanent())
	private.post("/vote", vote)

	guards := map[string]func(http.Handler) http.Handler{"none": plain, "user": wk.RequireUser()}
	mux.Handle("POST /a", guards["none"](http.HandlerFunc(vote))) // want `every visitor can`
	mux.Handle("POST /b", guards["user"](http.HandlerFunc(vote)))

	list := []func(http.Handler) http.Handler{plain, trimmed}
	var h http.Handler = http.HandlerFunc(vote)
	for _, mw := range list {
		h = mw(h)
	}
	mux.Handle("POST /c", h) // want `every visitor can`
	return wk.Handler(mux)
}

func trimmed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" && strings.HasSuffix(r.URL.Path, "/") {
			http.Redirect(w, r, strings.TrimSuffix(r.URL.Path, "/"), http.StatusPermanentRedirect)
			return
		}
		next.ServeHTTP(w, r)
	})
}

var votes int

func vote(w http.ResponseWriter, r *http.Request) { votes++ }
