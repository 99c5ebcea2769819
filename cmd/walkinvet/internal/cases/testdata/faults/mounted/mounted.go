package mounted

import (
	"log"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	chimw "github.com/go-chi/chi/v5/middleware"

	"github.com/walkin-go/walkin"
)

type server struct {
	wk     *walkin.Middleware
	router chi.Router
}

type todos struct{}

func (t todos) Routes() chi.Router {
	r := chi.NewRouter()
	r.Get("/", t.list)
	r.Post("/", t.create) // want `every visitor can`
	r.Route("/{id}", func(r chi.Router) {
		r.Use(withTodo)
		r.Put("/", t.update)    // want `every visitor can`
		r.Delete("/", t.remove) // want `every visitor can`
	})
	return r
}

func (todos) list(w http.ResponseWriter, r *http.Request)   {}
func (todos) create(w http.ResponseWriter, r *http.Request) {}
func (todos) update(w http.ResponseWriter, r *http.Request) {}
func (todos) remove(w http.ResponseWriter, r *http.Request) {}

func withTodo(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if chi.URLParam(r, "id") == "" {
			http.Error(w, http.StatusText(http.StatusNotFound), http.StatusNotFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func New(wk *walkin.Middleware) *server {
	s := &server{wk: wk, router: chi.NewRouter()}
	s.router.Use(chimw.RequestID, chimw.Logger, chimw.Recoverer, chimw.Timeout(time.Minute))
	s.router.Use(wk.Handler)
	s.router.Mount("/todos", todos{}.Routes())
	s.router.Mount("/admin", s.admin())
	s.router.Group(func(r chi.Router) {
		r.Use(wk.RequirePermanent())
		r.Post("/billing", s.billing)
	})
	s.router.Group(func(r chi.Router) {
		r.Use(chimw.NoCache)
		r.Post("/comments", s.billing) // want `every visitor can`
	})
	s.router.With(chimw.AllowContentType("application/json")).Post("/feedback", s.billing) // want `every visitor can`
	s.router.Method(http.MethodPut, "/state", handlerFunc(s.state))                        // want `every visitor can`
	return s
}

func (s *server) admin() http.Handler {
	r := chi.NewRouter()
	r.Post("/reset", s.billing) // want `every visitor can`
	r.With(s.wk.RequirePermanent()).Post("/purge", s.billing)
	return r
}

type handlerFunc func(w http.ResponseWriter, r *http.Request) error

func (f handlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f(w, r); err != nil {
		log.Print(err)
	}
}

func (s *server) billing(w http.ResponseWriter, r *http.Request)     {}
func (s *server) state(w http.ResponseWriter, r *http.Request) error { return nil }

func (s *server) Start() error { return http.ListenAndServe(":3000", s.router) }
