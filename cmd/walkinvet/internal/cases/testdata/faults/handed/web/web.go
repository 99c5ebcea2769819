package web

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

func Render(w http.ResponseWriter, s string) { _, _ = w.Write([]byte(s)) }

func Fail(wk *walkin.Middleware, w http.ResponseWriter, r *http.Request, err error) {
	wk.Refuse(w, r, err)
}

func User(wk *walkin.Middleware, w http.ResponseWriter, r *http.Request) (walkin.Claims, error) {
	c, err := wk.Ensure(w, r)
	if err != nil {
		return walkin.Claims{}, err
	}
	return c, nil
}
