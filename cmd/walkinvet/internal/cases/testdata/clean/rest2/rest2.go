// Package rest2 has resources behind an interface, mounted in a loop behind a guard.
package rest2

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

type resource interface {
	Path() string
	List(http.ResponseWriter, *http.Request)
	Create(http.ResponseWriter, *http.Request)
}

type books struct{ all []string }

func (*books) Path() string                            { return "/books" }
func (*books) List(http.ResponseWriter, *http.Request) {}
func (b *books) Create(w http.ResponseWriter, r *http.Request) {
	b.all = append(b.all, r.FormValue("t"))
}

type films struct{ all []string }

func (*films) Path() string                            { return "/films" }
func (*films) List(http.ResponseWriter, *http.Request) {}
func (f *films) Create(w http.ResponseWriter, r *http.Request) {
	f.all = append(f.all, r.FormValue("t"))
}

type api struct {
	wk        *walkin.Middleware
	auth      func(http.Handler) http.Handler
	resources []resource
}

func New(wk *walkin.Middleware) *api {
	a := &api{wk: wk, resources: []resource{&books{}, &films{}}}
	a.auth = wk.RequireUser()
	return a
}

func (a *api) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, res := range a.resources {
		mux.HandleFunc("GET "+res.Path(), res.List)
		mux.Handle("POST "+res.Path(), a.auth(http.HandlerFunc(res.Create)))
	}
	return a.wk.Handler(mux)
}
