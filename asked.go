package walkin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/walkin-go/walkin/internal/request"
)

// isSafe reports whether the request only reads. An unknown method is not safe: it is
// treated as a write.
func isSafe(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// header is r.Header.Get for a name that is spelt as net/http does.
func header(r *http.Request, name string) string { return request.First(r.Header, name) }

func askedBelow(base string, r *http.Request) *url.URL {
	u := r.URL
	// A client asks a proxy, and httptest a handler, by the whole address.
	if line, err := url.ParseRequestURI(r.RequestURI); err == nil && strings.HasPrefix(line.Path, "/") {
		u = line
	}
	if base == "" || u.Path == base || strings.HasPrefix(u.Path, base+"/") {
		return u // some proxies take it off and others do not
	}
	below := *u
	below.Path = base + u.Path
	if u.RawPath != "" {
		below.RawPath = base + u.RawPath
	}
	return &below
}
