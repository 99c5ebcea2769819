// Package session asks in the handlers, each in another way.
package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
)

type store interface {
	Delete(ctx context.Context, owner uuid.UUID, id string) error
}

type app struct {
	wk *walkin.Middleware
	db store
}

func userID(ctx context.Context) uuid.UUID {
	c, ok := walkin.FromContext(ctx)
	if !ok {
		return uuid.Nil
	}
	return c.UserID
}

func (a *app) remove(w http.ResponseWriter, r *http.Request) {
	id := userID(r.Context())
	if id == uuid.Nil {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if err := a.db.Delete(r.Context(), id, r.PathValue("id")); err != nil {
		http.Error(w, "failed", http.StatusInternalServerError)
	}
}

var errGuest = errors.New("sign up first")

func (a *app) member(r *http.Request) error {
	if c, ok := walkin.FromContext(r.Context()); !ok || c.Anonymous {
		return errGuest
	}
	return nil
}

func (a *app) invite(w http.ResponseWriter, r *http.Request) {
	if err := a.member(r); err != nil {
		a.fail(w, err)
		return
	}
	fmt.Fprintln(w, "invited")
}

func (a *app) fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, errGuest) {
		status = http.StatusForbidden
	}
	http.Error(w, err.Error(), status)
}

func (a *app) first(w http.ResponseWriter, r *http.Request) {
	c, err := a.wk.Ensure(w, r)
	if err != nil {
		a.wk.Refuse(w, r, err)
		return
	}
	fmt.Fprintln(w, c.UserID)
}

func (a *app) greet(w http.ResponseWriter, r *http.Request) {
	c, ok := walkin.FromContext(r.Context())
	switch {
	case !ok:
		fmt.Fprintln(w, "hello, stranger")
	case c.Anonymous:
		fmt.Fprintln(w, "hello, guest")
	default:
		fmt.Fprintln(w, "hello")
	}
}

func (a *app) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("DELETE /things/{id}", a.remove)
	mux.HandleFunc("POST /invitations", a.invite)
	mux.HandleFunc("POST /first", a.first)
	mux.HandleFunc("GET /", a.greet)
	return a.wk.Handler(mux)
}
