package asks

import (
	"errors"
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/quota"
)

type app struct {
	wk *walkin.Middleware
	q  *quota.Quota
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ensure", a.ensure)
	mux.HandleFunc("POST /take", func(w http.ResponseWriter, r *http.Request) {
		if _, err := a.q.Take(w, r); err != nil {
			a.wk.Refuse(w, r, err)
			return
		}
	})
	mux.HandleFunc("POST /quota", a.q.Require()(http.HandlerFunc(a.ensure)).ServeHTTP)
	mux.HandleFunc("POST /ok", func(w http.ResponseWriter, r *http.Request) {
		if c, ok := walkin.FromContext(r.Context()); !ok || c.Anonymous {
			http.Error(w, "sign in first", http.StatusTeapot)
			return
		}
	})
	mux.HandleFunc("POST /helped", a.helped)
	mux.HandleFunc("POST /continue", func(w http.ResponseWriter, r *http.Request) {
		if _, err := a.wk.Continue(w, r, walkin.Proof{}); err != nil {
			a.wk.Refuse(w, r, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.Handle("POST /member", a.member(a.ensure))
	mux.HandleFunc("POST /origin", func(w http.ResponseWriter, r *http.Request) {
		if err := a.wk.CheckOrigin(r); err != nil {
			a.wk.Refuse(w, r, err)
			return
		}
	})
	mux.HandleFunc("POST /zero", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		if c.Method == "" {
			return
		}
		if c.Anonymous {
			return
		}
	})
	return a.wk.Handler(mux)
}

func (a *app) ensure(w http.ResponseWriter, r *http.Request) {
	c, err := a.wk.Ensure(w, r)
	if err != nil {
		a.wk.Refuse(w, r, err)
		return
	}
	_, _ = w.Write([]byte(c.UserID.String()))
}

func (a *app) helped(w http.ResponseWriter, r *http.Request) {
	c, err := a.current(r)
	if err != nil {
		a.wk.Refuse(w, r, err)
		return
	}
	_, _ = w.Write(c.UserID[:])
}

func (a *app) current(r *http.Request) (walkin.Claims, error) {
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		return c, errors.New("no user")
	}
	return c, nil
}

func (a *app) member(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, ok := walkin.FromContext(r.Context())
		if !ok || c.Anonymous {
			http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
			return
		}
		next(w, r)
	}
}
