// Package handed has the faults that go through helpers, variables and fields.
package handed

import (
	"context"
	"fmt"
	"html/template"
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/cmd/walkinvet/internal/cases/testdata/faults/handed/web"
)

type app struct {
	wk   *walkin.Middleware
	page *template.Template
}

type view struct{ c walkin.Claims }

func must[T any](v T, _ bool) T { return v }

func member(c walkin.Claims) bool { return !c.Anonymous }

func (a *app) claims(w http.ResponseWriter, r *http.Request) {
	if must(walkin.FromContext(r.Context())).Anonymous { // want `drops the ok`
		return
	}
	var v view
	v.c, _ = walkin.FromContext(r.Context())
	fmt.Fprint(w, v.c.Anonymous) // want `Anonymous is false without a user`
}

func (a *app) passed(w http.ResponseWriter, r *http.Request) {
	c, _ := walkin.FromContext(r.Context())
	fmt.Fprint(w, member(c)) // want `Anonymous is false without a user`
}

func (a *app) unread(w http.ResponseWriter, r *http.Request) {
	c, ok := walkin.FromContext(r.Context())
	_ = ok
	fmt.Fprint(w, c.Anonymous) // want `Anonymous is false without a user`
}

func lookup(context.Context, walkin.Claims) (string, error) { return "", nil }

func (a *app) overwritten(w http.ResponseWriter, r *http.Request) {
	c, err := a.wk.Ensure(w, r) // want `error of Ensure is dropped`
	name, err := lookup(r.Context(), c)
	if err != nil {
		return
	}
	fmt.Fprint(w, name)
}

func (a *app) dropped(w http.ResponseWriter, r *http.Request) {
	_, _ = 1, a.wk.SignOut(w, r) // want `error of SignOut is dropped`
	out := a.wk.SignOut
	_ = out(w, r)             // want `error of SignOut is dropped`
	err := a.wk.SignOut(w, r) // want `error of SignOut is dropped`
	_ = err
	c, _ := web.User(a.wk, w, r) // want `error of User, which is that of Ensure, is dropped`
	fmt.Fprint(w, c.UserID)
}

func (a *app) fail(w http.ResponseWriter, r *http.Request, err error) { a.wk.Refuse(w, r, err) }

func (a *app) refused(w http.ResponseWriter, r *http.Request) {
	_, err := a.wk.Ensure(w, r)
	switch {
	case err != nil && r.Method == http.MethodPut:
		web.Fail(a.wk, w, r, err) // want `goes on after Fail`
	case err != nil && r.Method == http.MethodPost:
		a.fail(w, r, err) // want `goes on after fail`
	case err != nil:
		refuse := a.wk.Refuse
		refuse(w, r, err) // want `goes on after Refuse`
	}
	fmt.Fprint(w, "saved")
}

func (a *app) head(w http.ResponseWriter) {
	if a.page == nil {
		fmt.Fprint(w, "<h1>")
	} else {
		_ = a.page.Execute(w, nil)
	}
}

func (a *app) late(w http.ResponseWriter, r *http.Request) error {
	web.Render(w, "<html>")
	_, err := a.wk.Ensure(w, r) // want `the response has begun`
	return err
}

func (a *app) branches(w http.ResponseWriter, r *http.Request) error {
	a.head(w)
	return a.wk.SignOut(w, r) // want `the response has begun`
}

func (a *app) inHelper(w http.ResponseWriter, r *http.Request) error {
	w.WriteHeader(http.StatusAccepted)
	_, err := web.User(a.wk, w, r) // want `Ensure sets a cookie, but the response has begun`
	return err
}

func (a *app) otherName(w http.ResponseWriter, r *http.Request) error {
	out := w
	fmt.Fprintln(out, "x")
	return a.wk.SignOut(w, r) // want `the response has begun`
}

func (a *app) madeUp() func(context.Context, walkin.Claims) context.Context {
	return walkin.NewContext // want `NewContext makes claims up`
}
