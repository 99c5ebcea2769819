// Package pages has handlers; who may reach them is decided elsewhere.
package pages

import "net/http"

type Pages struct{ saved []string }

func (p *Pages) Save(w http.ResponseWriter, r *http.Request) {
	p.saved = append(p.saved, r.FormValue("x"))
}

func (p *Pages) Mount(mux *http.ServeMux, guard func(http.Handler) http.Handler) {
	mux.Handle("POST /pages/save", guard(http.HandlerFunc(p.Save)))
}
