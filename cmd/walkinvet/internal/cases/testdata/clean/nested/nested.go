package nested

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/walkin-go/walkin"
)

type guards struct {
	User, Member func(http.Handler) http.Handler
}

func newGuards(wk *walkin.Middleware) guards {
	return guards{User: wk.RequireUser(), Member: wk.RequirePermanent()}
}

type thing struct{ guards }

func (t thing) Routes() chi.Router {
	r := chi.NewRouter()
	r.Get("/", t.list)
	r.With(t.Member).Post("/", t.create)
	r.Route("/{id}", func(r chi.Router) {
		r.Use(t.User)
		r.Delete("/", t.create)
	})
	return r
}

func (t thing) list(http.ResponseWriter, *http.Request)   {}
func (t thing) create(http.ResponseWriter, *http.Request) {}

func site(wk *walkin.Middleware) http.Handler {
	root := chi.NewRouter()
	g := newGuards(wk)
	root.Mount("/things", thing{g}.Routes())
	outer := chi.NewRouter()
	outer.Use(wk.Handler)
	outer.Mount("/", root)
	return outer
}
