package errors

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/labstack/echo/v5"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/echowalkin"
	"github.com/walkin-go/walkin/adapters/ginwalkin"
)

type app struct{ wk *walkin.Middleware }

func (a *app) dropped(w http.ResponseWriter, r *http.Request) {
	c, _ := a.wk.Ensure(w, r) // want `the error of Ensure is dropped`
	fmt.Fprint(w, c.UserID)
}

func (a *app) statement(w http.ResponseWriter, r *http.Request) {
	a.wk.Continue(w, r, walkin.Proof{}) // want `the error of Continue is dropped`
	a.wk.SignOut(w, r)                  // want `the error of SignOut is dropped`
	_ = a.wk.SignOut(w, r)              // want `the error of SignOut is dropped`
	defer a.wk.SignOut(w, r)            // want `the error of SignOut is dropped`
}

func (a *app) gin(c *gin.Context) {
	_, _ = ginwalkin.Continue(a.wk, c, walkin.Proof{}) // want `the error of Continue is dropped`
	if _, err := ginwalkin.Ensure(a.wk, c); err != nil {
		ginwalkin.Refuse(a.wk, c, err) // want `goes on after Refuse`
	}
	c.String(200, "saved")
}

func (a *app) echo(c *echo.Context) error {
	claims, _ := echowalkin.Ensure(a.wk, c) // want `the error of Ensure is dropped`
	return c.String(200, claims.UserID.String())
}

func (a *app) goesOn(w http.ResponseWriter, r *http.Request) {
	c, err := a.wk.Ensure(w, r)
	if err != nil {
		a.wk.Refuse(w, r, err) // want `goes on after Refuse`
	}
	fmt.Fprint(w, c.UserID)
}

func (a *app) nested(w http.ResponseWriter, r *http.Request) {
	switch err := a.wk.SignOut(w, r); {
	case err != nil:
		if r.Method != "" {
			a.wk.Refuse(w, r, err) // want `goes on after Refuse`
		}
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *app) writes(w http.ResponseWriter, r *http.Request, err error) {
	a.wk.Refuse(w, r, err) // want `goes on after Refuse`
	fmt.Fprintln(w, "saved")
}

func (a *app) next(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := walkin.FromContext(r.Context()); !ok {
			a.wk.Refuse(w, r, &walkin.Refusal{Status: 401}) // want `goes on after Refuse`
		}
		next.ServeHTTP(w, r)
	})
}
