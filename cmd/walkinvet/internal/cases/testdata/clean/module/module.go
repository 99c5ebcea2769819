// Package module puts a site together of packages.
package module

import (
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/cmd/walkinvet/internal/cases/testdata/clean/module/guards"
	"github.com/walkin-go/walkin/cmd/walkinvet/internal/cases/testdata/clean/module/pages"
)

func New(wk *walkin.Middleware) http.Handler {
	g, p := guards.New(wk), &pages.Pages{}
	mux := http.NewServeMux()
	p.Mount(mux, g.Member)
	mux.Handle("POST /save", g.User(http.HandlerFunc(p.Save)))
	mux.Handle("PUT /things/{owner}", guards.Owner(func(r *http.Request) string { return r.PathValue("owner") })(http.HandlerFunc(p.Save)))
	return wk.Handler(mux)
}
