package fields

import (
	"net/http"

	"github.com/walkin-go/walkin"
)

type server struct {
	*http.ServeMux
	wk   *walkin.Middleware
	user func(http.Handler) http.Handler
}

func (s *server) save(http.ResponseWriter, *http.Request) {}

func (s *server) handler() http.Handler { return s.wk.Handler(s) }

func newServer(wk *walkin.Middleware) *server {
	s := &server{ServeMux: http.NewServeMux(), wk: wk}
	s.user = wk.RequireUser()
	s.Handle("POST /a", s.user(http.HandlerFunc(s.save)))
	s.Handle("POST /b", s.members(s.save))
	return s
}

func (s *server) members(h http.HandlerFunc) http.Handler { return s.wk.RequirePermanent()(h) }
