package returns

import (
	"fmt"
	"log"
	"net/http"

	"github.com/walkin-go/walkin"
)

type app struct{ wk *walkin.Middleware }

func (a *app) plain(w http.ResponseWriter, r *http.Request) {
	c, err := a.wk.Ensure(w, r)
	if err != nil {
		a.wk.Refuse(w, r, err)
		log.Print(err)
		return
	}
	fmt.Fprint(w, c.UserID)
}

func (a *app) either(w http.ResponseWriter, r *http.Request) {
	if c, err := a.wk.Ensure(w, r); err != nil {
		a.wk.Refuse(w, r, err)
	} else {
		fmt.Fprint(w, c.UserID)
	}
}

func (a *app) chosen(w http.ResponseWriter, r *http.Request) {
	switch err := a.wk.SignOut(w, r); {
	case err != nil:
		a.wk.Refuse(w, r, err)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func (a *app) last(w http.ResponseWriter, r *http.Request) {
	fail := func(err error) { a.wk.Refuse(w, r, err) }
	if _, err := a.wk.Continue(w, r, walkin.Proof{}); err != nil {
		fail(err)
		return
	}
	fmt.Fprint(w, "hello")
}

func (a *app) answered(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		fmt.Fprint(w, "<form>")
		return
	}
	if err := a.wk.SignOut(w, r); err != nil {
		http.Error(w, "no", http.StatusInternalServerError)
		return
	}
	w.Header().Set("X-Done", "1")
}
