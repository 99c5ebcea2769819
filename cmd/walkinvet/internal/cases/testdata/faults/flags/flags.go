// Package flags guards by flags, levels and tables, and leaves one out of each.
package flags

import (
	"net/http"

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

func byFlag(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /on", protect(wk, true, save))
	mux.Handle("POST /off", protect(wk, false, save)) // want `send POST /off,`
	return wk.Handler(mux)
}

type route struct {
	pattern string
	guarded bool
	guard   func(http.Handler) http.Handler
}

func byTable(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	for _, r := range []route{
		{"POST /a", true, nil},
		{"POST /b", false, nil},
	} {
		var h http.Handler = http.HandlerFunc(save)
		if r.guarded {
			h = wk.RequirePermanent()(h)
		}
		mux.Handle(r.pattern, h) // want `send POST /b,`
	}
	return wk.Handler(mux)
}

func byField(wk *walkin.Middleware) http.Handler {
	mux := http.NewServeMux()
	for _, r := range []route{
		{pattern: "PUT /c", guard: wk.RequireUser()},
		{pattern: "PUT /d"},
	} {
		var h http.Handler = http.HandlerFunc(save)
		if r.guard != nil {
			h = r.guard(h)
		}
		mux.Handle(r.pattern, h) // want `send PUT /d,`
	}
	return wk.Handler(mux)
}

func byLevel(wk *walkin.Middleware, level string) http.Handler {
	mux := http.NewServeMux()
	for pattern, level := range map[string]string{"POST /e": "member", "POST /f": "everybody"} {
		var h http.Handler = http.HandlerFunc(save)
		switch level {
		case "member":
			h = wk.RequirePermanent()(h)
		}
		mux.Handle(pattern, h) // want `send POST /f,`
	}
	return wk.Handler(mux)
}

func private(wk *walkin.Middleware) []echo.MiddlewareFunc {
	return []echo.MiddlewareFunc{echowalkin.RequireUser(wk)}
}

func public() []echo.MiddlewareFunc { return nil }

func groups(wk *walkin.Middleware) http.Handler {
	e := echo.New()
	e.Group("/a", private(wk)...).POST("/x", saved)
	e.Group("/b", public()...).POST("/x", saved) // want `send POST /b/x,`
	return wk.Handler(e)
}
