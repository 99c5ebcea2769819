package shop

import (
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/walkin-go/walkin"
)

type middleware = func(http.Handler) http.Handler

// chain is a list of middlewares, the outermost first.
type chain []middleware

func newChain(mws ...middleware) chain { return mws }

func (c chain) append(mws ...middleware) chain { return append(append(chain{}, c...), mws...) }

func (c chain) then(h http.Handler) http.Handler {
	for i := len(c) - 1; i >= 0; i-- {
		h = c[i](h)
	}
	return h
}

func (c chain) thenFunc(fn http.HandlerFunc) http.Handler { return c.then(fn) }

type app struct {
	log  *slog.Logger
	mux  *http.ServeMux
	wk   *walkin.Middleware
	cart map[string]int
}

func (a *app) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.log.Info("request", "path", r.URL.Path)
		next.ServeHTTP(w, r)
	})
}

func (a *app) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (a *app) handle(pattern string, fn http.HandlerFunc) {
	a.mux.HandleFunc(pattern, fn) // want `every visitor can`
}

func (a *app) handler() http.Handler {
	standard := newChain(a.recovered, a.logged)
	members := standard.append(a.wk.RequirePermanent())

	a.handle("GET /{$}", a.home)
	a.handle("POST /cart/items", a.addItem)
	a.mux.Handle("POST /orders", members.thenFunc(a.order))
	a.mux.Handle("DELETE /orders/{id}", standard.thenFunc(a.cancel))    // want `every visitor can`
	a.mux.Handle("PUT /prices/{id}", standard.then(decode(a.setPrice))) // want `every visitor can`
	a.mux.Handle("PATCH /prices/{id}", members.then(decode(a.setPrice)))
	return standard.then(a.wk.Handler(a.mux))
}

// decode makes a handler of a function of what the body holds.
func decode[T any](fn func(r *http.Request, in T) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in T
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, "not JSON", http.StatusBadRequest)
			return
		}
		if err := fn(r, in); err != nil {
			http.Error(w, "failed", http.StatusInternalServerError)
		}
	})
}

type price struct{ Cents int }

func (a *app) home(w http.ResponseWriter, r *http.Request)    {}
func (a *app) addItem(w http.ResponseWriter, r *http.Request) { a.cart[r.PathValue("id")]++ }
func (a *app) order(w http.ResponseWriter, r *http.Request)   {}
func (a *app) cancel(w http.ResponseWriter, r *http.Request)  { delete(a.cart, r.PathValue("id")) }
func (a *app) setPrice(r *http.Request, p price) error {
	a.cart["price"] = p.Cents
	return nil
}
