package late

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/ginwalkin"
)

type app struct{ wk *walkin.Middleware }

func (a *app) printed(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, "hello")
	if _, err := a.wk.Ensure(w, r); err != nil { // want `Ensure sets a cookie, but the response has begun on line [0-9]+`
		return
	}
}

func (a *app) status(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusCreated)
	c, err := a.wk.Ensure(w, r) // want `the response has begun on line [0-9]+`
	if err != nil {
		a.wk.Refuse(w, r, err)
		return
	}
	json.NewEncoder(w).Encode(c)
}

func (a *app) branch(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("slow") {
		io.WriteString(w, "…")
	}
	if err := a.wk.SignOut(w, r); err != nil { // want `SignOut sets a cookie`
		return
	}
}

func (a *app) helped(w http.ResponseWriter, r *http.Request) {
	header(w, "title")
	_, err := a.wk.Continue(w, r, walkin.Proof{}) // want `Continue sets a cookie`
	if err != nil {
		return
	}
}

func header(w http.ResponseWriter, title string) {
	fmt.Fprint(w, "<h1>", title)
}

func (a *app) gin(c *gin.Context) {
	c.String(200, "hello")
	_, err := ginwalkin.Ensure(a.wk, c) // want `Ensure sets a cookie`
	if err != nil {
		ginwalkin.Refuse(a.wk, c, err)
	}
}
