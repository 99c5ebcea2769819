package slips

import (
	"context"
	"errors"
	"html/template"
	"io"
	"net/http"
	"os"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
)

type app struct {
	wk    *walkin.Middleware
	pages *template.Template
}

func (a *app) render(w http.ResponseWriter, name string, data any) {
	if err := a.pages.ExecuteTemplate(w, name, data); err != nil {
		http.Error(w, "failed", http.StatusInternalServerError)
	}
}

func (a *app) late(w http.ResponseWriter, r *http.Request) {
	a.render(w, "thanks", nil)
	if _, err := a.wk.Ensure(w, r); err != nil { // want `the response has begun`
		return
	}
}

func (a *app) copied(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(w, r.Body); err != nil {
		return
	}
	if err := a.wk.SignOut(w, r); err != nil { // want `the response has begun`
		return
	}
}

func (a *app) flushed(w http.ResponseWriter, r *http.Request) {
	http.NewResponseController(w).Flush()
	out, err := a.wk.Continue(w, r, walkin.Proof{}) // want `the response has begun`
	if err != nil {
		return
	}
	_ = out
}

func (a *app) greet(r *http.Request) string {
	who, _ := walkin.FromContext(r.Context())
	if !who.Anonymous { // want `false without a user`
		return "dear member"
	}
	return "hello"
}

func (a *app) menu(ctx context.Context) map[string]any {
	claims, _ := walkin.FromContext(ctx)
	return map[string]any{"IsGuest": claims.Anonymous} // want `false without a user`
}

func (a *app) background(id uuid.UUID) context.Context {
	return walkin.NewContext(context.Background(), walkin.Claims{UserID: id}) // want `NewContext`
}

func (a *app) leave(w http.ResponseWriter, r *http.Request) {
	go a.wk.SignOutEverywhere(r.Context(), uuid.Nil) // want `error of SignOutEverywhere is dropped`
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *app) save(w http.ResponseWriter, r *http.Request) {
	_, err := a.wk.Ensure(w, r)
	var refusal *walkin.Refusal
	if errors.As(err, &refusal) {
		a.wk.Refuse(w, r, err) // want `goes on after Refuse`
	} else if err != nil {
		http.Error(w, "failed", http.StatusInternalServerError)
		return
	}
	a.render(w, "saved", nil)
}

const production = false

func cookies() walkin.Cookies {
	return walkin.Cookies{
		Insecure: !production, // want `Insecure is a constant`
	}
}

func providers() []oidc.Provider {
	const githubSecret = "0123456789012345678901234567890123456789"
	return []oidc.Provider{
		oidc.GitHub("Iv1.0123456789abcdef", githubSecret), // want `a secret is in the source`
		oidc.GitHub(os.Getenv("GITHUB_ID"), os.Getenv("GITHUB_SECRET")),
		{Name: "x", ClientID: "id", ClientSecret: "GOCSPX-0123456789"}, // want `a secret is in the source`
	}
}

func outside(wk *walkin.Middleware, mux *http.ServeMux) error {
	recent := wk.RequireUser()
	var h http.Handler = mux
	h = wk.Handler(h)
	h = recent(h) // want `RequireUser stands outside`
	return http.ListenAndServe(":8080", h)
}
