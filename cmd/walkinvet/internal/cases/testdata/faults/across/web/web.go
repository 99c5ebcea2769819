// Package web is what another package mounts.
package web

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/walkin-go/walkin"
)

type API struct{ wk *walkin.Middleware }

func New(wk *walkin.Middleware) *API { return &API{wk} }

// Create does not check who calls.
func (a *API) Create(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) }

// Mine asks by itself.
func (a *API) Mine(w http.ResponseWriter, r *http.Request) {
	if _, err := a.wk.Ensure(w, r); err != nil {
		a.wk.Refuse(w, r, err)
	}
}

func Register(mux *http.ServeMux, guard func(http.Handler) http.Handler) {
	mux.Handle("POST /guarded", guard(http.HandlerFunc(nothing)))
	mux.HandleFunc("POST /open", nothing)
	//walkin:allow the newsletter is for all
	mux.HandleFunc("POST /newsletter", nothing)
}

func Router() http.Handler {
	r := chi.NewRouter()
	r.Delete("/thing", nothing)
	return r
}

func Members(wk *walkin.Middleware) func(http.Handler) http.Handler { return wk.RequirePermanent() }

func Logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
}

func nothing(http.ResponseWriter, *http.Request) {}
