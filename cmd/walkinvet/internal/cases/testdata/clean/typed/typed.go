package typed

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/walkin-go/walkin"
)

// guards is what a test puts something else for.
type guards interface {
	Members() func(http.Handler) http.Handler
}

type input struct{ Text string }

func handle[In any](do func(context.Context, In) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, "no JSON", http.StatusBadRequest)
			return
		}
		if err := do(r.Context(), in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
}

func create(ctx context.Context, in input) error {
	c, ok := walkin.FromContext(ctx)
	if !ok {
		return errors.New("no user")
	}
	_ = c
	return nil
}

func signedIn(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("theirs"); err != nil {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		next(w, r)
	}
}

func routes(wk *walkin.Middleware, g guards) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /typed", handle(create))
	mux.Handle("POST /members", g.Members()(handle(func(context.Context, input) error { return nil })))
	mux.HandleFunc("POST /own", signedIn(func(http.ResponseWriter, *http.Request) {}))
	//walkin:allow feedback is for all
	// and goes to a mailbox.
	mux.HandleFunc("POST /feedback", func(http.ResponseWriter, *http.Request) {})
	return wk.Handler(mux)
}
