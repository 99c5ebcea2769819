// Package acting writes, refuses and signs out in the right order.
package acting

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"os"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
)

type app struct {
	wk    *walkin.Middleware
	pages *template.Template
}

func (a *app) save(w http.ResponseWriter, r *http.Request) {
	c, err := a.wk.Ensure(w, r)
	var refusal *walkin.Refusal
	switch {
	case errors.As(err, &refusal):
		a.wk.Refuse(w, r, err)
	case err != nil:
		http.Error(w, "failed", http.StatusInternalServerError)
	default:
		a.render(w, "saved", c)
	}
}

func (a *app) render(w http.ResponseWriter, name string, data any) {
	if err := a.pages.ExecuteTemplate(w, name, data); err != nil {
		http.Error(w, "failed", http.StatusInternalServerError)
	}
}

func (a *app) leave(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		a.render(w, "leave", nil)
		return
	}
	if err := a.wk.SignOut(w, r); err != nil {
		a.wk.Refuse(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *app) label(r *http.Request) string {
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		return "sign in"
	}
	if c.Anonymous {
		return "sign up"
	}
	return fmt.Sprint("user ", c.UserID)
}

func New(wk *walkin.Middleware) (http.Handler, error) {
	a := &app{wk: wk}
	sso, err := oidc.New(wk, oidc.Config{URL: "https://www.example.com/auth/", Providers: []oidc.Provider{
		oidc.GitHub(os.Getenv("GITHUB_ID"), os.Getenv("GITHUB_SECRET")),
	}})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/auth/", sso)
	mux.HandleFunc("POST /save", a.save)
	mux.HandleFunc("/leave", a.leave)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, a.label(r)) })
	return wk.Handler(mux), nil
}

func cookies() walkin.Cookies { return walkin.Cookies{Insecure: os.Getenv("DEV") != ""} }
