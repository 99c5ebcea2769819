// Package options gets its guard by a functional option, or by a setter.
package options

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

type site struct {
	mux   *http.ServeMux
	guard func(http.Handler) http.Handler
	outer []func(http.Handler) http.Handler
}

type option func(*site)

func withGuard(g func(http.Handler) http.Handler) option { return func(s *site) { s.guard = g } }

func withOuter(mws ...func(http.Handler) http.Handler) option {
	return func(s *site) { s.outer = append(s.outer, mws...) }
}

func newSite(opts ...option) *site {
	s := &site{mux: http.NewServeMux()}
	for _, o := range opts {
		o(s)
	}
	s.mux.Handle("POST /guarded", s.guard(http.HandlerFunc(s.save)))
	return s
}

func (s *site) handler() http.Handler {
	var h http.Handler = s.mux
	for _, mw := range s.outer {
		h = mw(h)
	}
	return h
}

func (s *site) save(w http.ResponseWriter, r *http.Request) {}

func Run(wk *walkin.Middleware) error {
	s := newSite(withGuard(wk.RequirePermanent()), withOuter(wk.Handler))
	inner := http.NewServeMux()
	inner.HandleFunc("POST /inner", s.save)
	all := newSite(withGuard(wk.RequireUser()), withOuter(wk.RequireUser(), wk.Handler))
	all.mux.Handle("/x/", http.StripPrefix("/x", inner))
	go http.ListenAndServe(":8081", all.handler())
	return http.ListenAndServe(":8080", s.handler())
}
