package wrapped

import (
	"log"
	"net/http"
	"time"

	"github.com/walkin-go/walkin"
)

type site struct {
	wk    *walkin.Middleware
	mux   *http.ServeMux
	guard func(http.Handler) http.Handler
}

type failing func(w http.ResponseWriter, r *http.Request) error

func (f failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f(w, r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
	}
}

func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := walkin.FromContext(r.Context()); ok {
			log.Print(c.UserID)
		}
		next.ServeHTTP(w, r)
	})
}

func New(wk *walkin.Middleware) http.Handler {
	s := &site{wk: wk, mux: http.NewServeMux(), guard: wk.RequireUser()}
	s.routes()
	h := logged(http.TimeoutHandler(s.mux, time.Second, ""))
	h = wk.Handler(http.MaxBytesHandler(h, 1<<20))
	return h
}

func (s *site) routes() {
	s.mux.Handle("POST /guarded", s.guard(s.page(s.create)))
	s.mux.Handle("POST /page", s.page(s.create))           // want `POST /page, and its handler takes claims without looking`
	s.mux.Handle("POST /failing", failing(s.create))       // want `POST /failing`
	s.mux.Handle("POST /logged", logged(s.page(s.create))) // want `POST /logged`
	s.mux.Handle("POST /maker", s.maker("x"))              // want `POST /maker`
	api := http.NewServeMux()
	api.HandleFunc("POST /things", s.things) // want `POST /api/things`
	s.mux.Handle("/api/", http.StripPrefix("/api", api))
	for pattern, h := range map[string]http.HandlerFunc{
		"POST /table": s.things,
	} {
		s.mux.HandleFunc(pattern, h) // want `POST /table`
	}
	for _, route := range []struct {
		method, path string
		handler      http.Handler
	}{
		{"POST", "/rows", s.guard(http.HandlerFunc(s.things))},
		{"PUT", "/rows", http.HandlerFunc(s.things)},
	} {
		s.mux.Handle(route.method+" "+route.path, route.handler) // want `PUT /rows`
	}
}

func (s *site) page(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handle(w, r); err != nil {
			s.wk.Refuse(w, r, err)
		}
	})
}

func (s *site) create(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	log.Print(c.UserID)
	return nil
}

func (s *site) maker(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { log.Print(name) }
}

func (s *site) things(w http.ResponseWriter, r *http.Request) {}
