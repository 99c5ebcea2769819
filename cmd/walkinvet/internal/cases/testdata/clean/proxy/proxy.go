// Package proxy stands before another server, which asks by itself.
package proxy

import (
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/walkin-go/walkin"
)

func New(wk *walkin.Middleware, to *url.URL) http.Handler {
	rp := &httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) {
		pr.SetURL(to)
		if c, ok := walkin.FromContext(pr.In.Context()); ok {
			pr.Out.Header.Set("X-User", c.UserID.String())
		}
	}}
	mux := http.NewServeMux()
	mux.Handle("/", rp)
	mux.Handle("POST /upload", rp)
	mux.Handle("POST /own", wk.RequireUser()(rp))
	return wk.Handler(mux)
}
