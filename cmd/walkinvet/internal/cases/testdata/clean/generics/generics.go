// Package generics makes handlers of functions that get the user.
package generics

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/walkin-go/walkin"
)

type server struct {
	wk   *walkin.Middleware
	rows map[string]string
}

type request[T any] struct {
	User walkin.Claims
	Body T
}

func endpoint[In, Out any](s *server, fn func(context.Context, request[In]) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := s.wk.Ensure(w, r)
		if err != nil {
			s.wk.Refuse(w, r, err)
			return
		}
		in := request[In]{User: c}
		if err := json.NewDecoder(r.Body).Decode(&in.Body); err != nil {
			http.Error(w, "not JSON", http.StatusBadRequest)
			return
		}
		out, err := fn(r.Context(), in)
		if err != nil {
			http.Error(w, "failed", http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(out)
	}
}

// asUser hands claims to a handler that has a parameter for them.
func asUser(fn func(http.ResponseWriter, *http.Request, walkin.Claims)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := current(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		fn(w, r, c)
	})
}

var errNoUser = errors.New("no user")

func current(r *http.Request) (walkin.Claims, error) {
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		return walkin.Claims{}, errNoUser
	}
	return c, nil
}

func (s *server) rename(ctx context.Context, in request[string]) (string, error) {
	s.rows[in.User.UserID.String()] = in.Body
	return in.Body, nil
}

func (s *server) clear(w http.ResponseWriter, r *http.Request, c walkin.Claims) {
	delete(s.rows, c.UserID.String())
}

func (s *server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /name", endpoint(s, s.rename))
	mux.Handle("DELETE /name", asUser(s.clear))
	return s.wk.Handler(mux)
}
