package web

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

// Failed answers an error and reports whether there was one.
func Failed(w http.ResponseWriter, err error) bool {
	if err == nil {
		return false
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
	return true
}

func User(wk *walkin.Middleware, w http.ResponseWriter, r *http.Request) (walkin.Claims, error) {
	if c, ok := walkin.FromContext(r.Context()); ok {
		return c, nil
	}
	return wk.Ensure(w, r)
}

// Refused answers, and tells the caller.
func Refused(wk *walkin.Middleware, w http.ResponseWriter, r *http.Request, err error) bool {
	if err != nil {
		wk.Refuse(w, r, err)
	}
	return err != nil
}
