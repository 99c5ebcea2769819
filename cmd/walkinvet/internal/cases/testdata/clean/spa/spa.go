// Package spa serves files, and takes calls behind one guard for all of them.
package spa

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"

	"github.com/walkin-go/walkin"
)

//go:embed spa.go
var files embed.FS

type rpc struct {
	methods map[string]func(*http.Request) (any, error)
}

func (s *rpc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	}
	fn, ok := s.methods[strings.TrimPrefix(r.URL.Path, "/rpc/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = fn(r)
}

func New(wk *walkin.Middleware) (http.Handler, error) {
	dist, err := fs.Sub(files, ".")
	if err != nil {
		return nil, err
	}
	api := http.NewServeMux()
	api.Handle("/rpc/", &rpc{methods: map[string]func(*http.Request) (any, error){}})
	mux := http.NewServeMux()
	mux.Handle("/rpc/", wk.RequireUser()(http.MaxBytesHandler(api, 1<<16)))
	mux.Handle("/", http.FileServerFS(dist))
	cop := http.NewCrossOriginProtection()
	return cop.Handler(wk.Handler(mux)), nil
}
