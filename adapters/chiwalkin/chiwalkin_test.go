package chiwalkin_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/chiwalkin"
	"github.com/walkin-go/walkin/adapters/internal/suite"
	"github.com/walkin-go/walkin/walkintest"
)

// TestNetHTTP runs the suite over net/http, with the WebSocket libraries that
// are not in the root module.
func TestNetHTTP(t *testing.T) { suite.Run(t, suite.NetHTTP(gorilla, coder)) }

func TestSuite(t *testing.T) {
	suite.Run(t, suite.Stack{New: app, OnRefuse: onRefuse, Logs: true, Sockets: true})
}

func app(a *suite.App) http.Handler {
	wk := a.Walkin
	who := func(w http.ResponseWriter, r *http.Request) {
		a.Ran()
		fmt.Fprint(w, suite.Who(chiwalkin.Claims(r)))
	}
	r := chi.NewRouter()
	r.Use(middleware.RequestLogger(log{a, "outside"}), middleware.Recoverer, wk.Handler,
		middleware.RequestLogger(log{a, "inside"}))

	r.HandleFunc("/", who)
	r.Handle("/std", suite.Handler(a))
	r.With(wk.RequireUser()).HandleFunc("/user", who)
	r.With(wk.RequirePermanent()).HandleFunc("/permanent", who)
	r.With(chiwalkin.Require(wk, func(_ *http.Request, c walkin.Claims) error { return a.Rule(c) })).Get("/rule", who)
	r.Route("/group", func(r chi.Router) {
		r.Use(wk.RequirePermanent())
		r.Get("/page", who)
	})
	r.HandleFunc("/ensure", func(w http.ResponseWriter, r *http.Request) {
		c, err := wk.Ensure(w, r)
		if err != nil {
			wk.Refuse(w, r, err)
			return
		}
		a.Ran()
		fmt.Fprint(w, suite.Who(c, true))
	})
	r.HandleFunc("/continue", func(w http.ResponseWriter, r *http.Request) {
		outcome, err := wk.Continue(w, r, a.Proof(r))
		if err != nil {
			wk.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, outcome)
	})
	r.Get("/refuse", func(w http.ResponseWriter, r *http.Request) { wk.Refuse(w, r, suite.Gone) })
	r.Handle("/sign-up", wk.UpgradeHandler(a.Credential(), a.Page))
	r.Handle("/sign-out", wk.SignOutHandler())
	r.With(wk.LoadAndSave(a.Sessions)).Get("/count-flush", func(w http.ResponseWriter, r *http.Request) {
		text := a.Count(r.Context())
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, text)
	})
	r.With(wk.LoadAndSave(a.Sessions)).Get("/count", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, a.Count(r.Context()))
	})

	r.Group(func(r chi.Router) {
		r.Use(public)
		r.Get("/public", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "for everyone") })
		r.Get("/nothing", func(http.ResponseWriter, *http.Request) {})
		r.Get("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		r.Get("/unchanged", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })
		r.Get("/error", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, suite.ErrorPage)
		})
	})
	r.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { a.Ran(); panic("as the suite wants") })

	r.Get("/events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flusher := w.(http.Flusher)
		flusher.Flush()
		for event := range a.Events {
			fmt.Fprintf(w, "data: %s\n\n", event)
			flusher.Flush()
		}
	})
	r.Get("/controller", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, suite.Control(w)) })
	r.Get("/gorilla", suite.Socket(gorilla))
	r.Get("/coder", suite.Socket(coder))
	return r
}

func public(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		suite.Public(w.Header())
		next.ServeHTTP(w, r)
	})
}

func onRefuse(w http.ResponseWriter, _ *http.Request, refusal *walkin.Refusal) {
	w.WriteHeader(refusal.Status)
	fmt.Fprint(w, suite.OwnPage(refusal))
}

// A log is chi's access log, over chi's own writer.
type log struct {
	app   *suite.App
	where string
}

func (l log) NewLogEntry(*http.Request) middleware.LogEntry { return l }

func (l log) Write(status, bytes int, _ http.Header, _ time.Duration, _ any) {
	l.app.Log(l.where, status, bytes)
}

func (l log) Panic(any, []byte) {}

// TestRequire holds that a rule sees the parameters of the route, and that
// what it refuses stays closed.
func TestRequire(t *testing.T) {
	a := suite.NewApp(t)
	own := func(r *http.Request, c walkin.Claims) error {
		if chi.URLParam(r, "id") != c.UserID.String() {
			return &walkin.Refusal{Status: http.StatusNotFound, Reason: "not_theirs"}
		}
		return nil
	}
	r := chi.NewRouter()
	r.Use(a.Walkin.Handler)
	r.Handle("/", suite.Handler(a))
	r.With(chiwalkin.Require(a.Walkin, own)).Handle("/of/{id}", suite.Handler(a))
	client := walkintest.NewClient(t, r)
	if got := client.Fetch("/of/somebody"); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("nobody: got %d, want 401", got.StatusCode)
	}
	who := read(t, client.Visit("/")) // "provisional", and their ID
	_, id, _ := strings.Cut(who, " ")
	if got := client.Fetch("/of/somebody"); got.StatusCode != http.StatusNotFound {
		t.Errorf("another's: got %d, want 404", got.StatusCode)
	}
	if got := read(t, client.Fetch("/of/"+id)); got != who {
		t.Errorf("their own: got %q, want %q", got, who)
	}
}

func read(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSameWithoutUs holds that chi behaves with walkin as without.
func TestSameWithoutUs(t *testing.T) {
	suite.Same(t, func(b *suite.Bare) http.Handler {
		r := chi.NewRouter()
		r.Use(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				wrapped := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
				defer func() {
					b.Saw(wrapped.Status(), wrapped.BytesWritten(), chi.RouteContext(r.Context()).RoutePattern(), chi.URLParam(r, "id"), r.Form, r.MultipartForm != nil)
				}()
				next.ServeHTTP(wrapped, r)
			})
		}, b.Wrap)
		for path, h := range b.Routes {
			r.HandleFunc(path, h)
		}
		r.HandleFunc("/rewrite/{id}", b.Routes["/rewrite"])
		r.Get("/page/{id}", func(w http.ResponseWriter, r *http.Request) {
			suite.Tell(w, r)
			fmt.Fprintln(w, chi.URLParam(r, "id"), chi.RouteContext(r.Context()).RoutePattern())
		})
		r.Get("/files/*", suite.Tell)
		r.Route("/nested", func(r chi.Router) { r.Get("/deep/{x:[0-9]+}", suite.Tell) })
		return r
	})
}
