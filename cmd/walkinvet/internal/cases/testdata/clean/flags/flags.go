// Package flags guards by flags, levels, tables, options and paths.
package flags

import (
	"net/http"
	"os"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/echowalkin"
)

func save(http.ResponseWriter, *http.Request) {}

func saved(*echo.Context) error { return nil }

func protect(wk *walkin.Middleware, on bool, h http.HandlerFunc) http.Handler {
	if on {
		return wk.RequirePermanent()(h)
	}
	return h
}

type level int

const (
	everybody level = iota
	user
	member
)

type route struct {
	pattern string
	level   level
	guard   func(http.Handler) http.Handler
	handler http.HandlerFunc
}

func serve(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /on", protect(wk, true, save))
	mux.Handle("GET /off", protect(wk, false, save))
	for _, r := range []route{
		{"GET /{$}", everybody, nil, save},
		{"POST /notes", user, nil, save},
		{"POST /publish", member, nil, save},
		{pattern: "GET /about", handler: save},
		{pattern: "POST /guarded", guard: wk.RequireUser(), handler: save},
	} {
		var h http.Handler = r.handler
		switch r.level {
		case user:
			h = wk.RequireUser()(h)
		case member:
			h = wk.RequirePermanent()(h)
		}
		if r.guard != nil {
			h = r.guard(h)
		}
		mux.Handle(r.pattern, h)
	}
	return wk.Handler(mux)
}

// A flag that the environment may have cleared says nothing.
func fromEnvironment(wk *walkin.Middleware) http.Handler {
	guarded := true
	if os.Getenv("DEMO") != "" {
		guarded = false
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /x", save)
	if guarded {
		return wk.Handler(wk.RequireUser()(mux))
	}
	return nil
}

type config struct {
	around []func(http.Handler) http.Handler
}

type option func(*config)

func with(mw func(http.Handler) http.Handler) option {
	return func(c *config) { c.around = append(c.around, mw) }
}

func build(wk *walkin.Middleware, mux *http.ServeMux, options ...option) http.Handler {
	var c config
	for _, o := range options {
		o(&c)
	}
	var h http.Handler = mux
	for _, mw := range c.around {
		h = mw(h)
	}
	return wk.Handler(h)
}

func byOption(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /x", save)
	return build(wk, mux, with(wk.RequireUser()))
}

// Some paths are guarded by a middleware that looks at them.
func byPath(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /private/a", save)
	guard := func(next http.Handler) http.Handler {
		private := wk.RequirePermanent()(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/private/") {
				private.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	return wk.Handler(guard(mux))
}

func private(wk *walkin.Middleware) []echo.MiddlewareFunc {
	return []echo.MiddlewareFunc{echowalkin.RequireUser(wk)}
}

func public() []echo.MiddlewareFunc { return nil }

func groups(wk *walkin.Middleware) http.Handler {
	e := echo.New()
	e.Group("/a", private(wk)...).POST("/x", saved)
	e.Group("/b", public()...).GET("/x", saved)
	return wk.Handler(e)
}
