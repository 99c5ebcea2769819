// Package handed has helpers, variables and fields that are used as they should be.
package handed

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/cmd/walkinvet/internal/cases/testdata/clean/handed/web"
)

type view struct {
	Claims   walkin.Claims
	SignedIn bool
}

func viewOf(r *http.Request) (v view) {
	var ok bool
	v.Claims, ok = walkin.FromContext(r.Context())
	v.SignedIn = ok && !v.Claims.Anonymous
	return v
}

func must[T any](v T, ok bool) T {
	if !ok {
		panic("no value")
	}
	return v
}

type app struct{ wk *walkin.Middleware }

func (a *app) fail(w http.ResponseWriter, r *http.Request, err error) {
	if refusal, ok := errors.AsType[*walkin.Refusal](err); ok {
		a.wk.Refuse(w, r, refusal)
		return
	}
	http.Error(w, "internal error", http.StatusInternalServerError)
}

func (a *app) save(w http.ResponseWriter, r *http.Request) {
	if web.Failed(w, r.ParseForm()) {
		return
	}
	if _, err := web.User(a.wk, w, r); web.Refused(a.wk, w, r, err) {
		return
	}
	fmt.Fprint(w, viewOf(r).SignedIn, must(walkin.FromContext(r.Context())).Anonymous)
}

func (a *app) later(w http.ResponseWriter, r *http.Request) {
	var err error
	defer func() {
		if err != nil {
			a.wk.Refuse(w, r, err)
		}
	}()
	var c walkin.Claims
	if c, err = a.wk.Ensure(w, r); err != nil {
		return
	}
	fmt.Fprint(w, c.UserID)
}

func (a *app) named(w http.ResponseWriter, r *http.Request) (c walkin.Claims, err error) {
	c, err = a.wk.Ensure(w, r)
	return
}

func (a *app) either(w http.ResponseWriter, r *http.Request) {
	var err error
	if r.FormValue("name") != "" {
		_, err = a.named(w, r)
	} else {
		err = a.wk.SignOut(w, r)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *app) again(w http.ResponseWriter, r *http.Request) {
	err := a.wk.SignOut(w, r)
	if err == nil {
		err = r.ParseForm()
	}
	if err != nil {
		a.fail(w, r, err)
	}
}

func routes(wk *walkin.Middleware) http.Handler {
	a := &app{wk}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /save", a.save)
	mux.HandleFunc("POST /later", a.later)
	mux.HandleFunc("POST /either", a.either)
	mux.HandleFunc("POST /again", a.again)
	return wk.Handler(mux)
}
