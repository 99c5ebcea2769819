// Package tables lists its routes with what each requires.
package tables

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

type level int

const (
	open level = iota
	user
	account
)

type route struct {
	pattern string
	needs   level
	handler http.HandlerFunc
}

type web struct{ wk *walkin.Middleware }

func (s *web) routes() []route {
	return []route{
		{"GET /{$}", open, s.page},
		{"POST /draft", user, s.save},
		{"POST /publish", account, s.save},
	}
}

func (s *web) Handler() http.Handler {
	guards := [...]func(http.Handler) http.Handler{user: s.wk.RequireUser(), account: s.wk.RequirePermanent()}
	mux := http.NewServeMux()
	for _, rt := range s.routes() {
		var h http.Handler = rt.handler
		if g := guards[rt.needs]; g != nil {
			h = g(h)
		}
		mux.Handle(rt.pattern, h)
	}
	return s.wk.Handler(mux)
}

func (s *web) page(http.ResponseWriter, *http.Request) {}
func (s *web) save(http.ResponseWriter, *http.Request) {}
