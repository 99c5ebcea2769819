package walkintest_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// board is a site with a route for each kind of visitor.
func board(wk *walkin.Middleware, publish func(http.Handler) http.Handler) http.Handler {
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", ok)
	mux.Handle("GET /notes/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "42" {
			http.NotFound(w, r)
		}
	}))
	mux.Handle("POST /notes", wk.RequireUser()(http.RedirectHandler("/notes/42", http.StatusSeeOther)))
	mux.Handle("POST /publish", publish(ok))
	mux.Handle("/account", wk.RequirePermanent()(ok))
	mux.Handle("DELETE /account", wk.RequireRecent(1e9*60)(ok))
	mux.Handle("GET /broken", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken") }))
	return wk.Handler(mux)
}

var boardRoutes = []string{"GET /{$}", "GET /notes/{id}", "POST /notes", "POST /publish", "/account", "DELETE /account", "GET /broken"}

func newMiddleware() *walkin.Middleware {
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("32 random bytes, not these words")}},
		Store: memstore.New(), Paths: walkin.Paths{Upgrade: "/upgrade", SignIn: "/sign-in"}})
	if err != nil {
		panic(err)
	}
	return wk
}

func ExampleMatrix() {
	t := new(testing.T) // the test's own
	wk := newMiddleware()
	walkintest.Matrix{
		Middleware: wk, Handler: board(wk, wk.RequirePermanent()),
		Routes: boardRoutes, Values: map[string]string{"id": "42"},
		File: "testdata/matrix.txt",
	}.Test(t)
	fmt.Println("changed:", t.Failed())
	// Output:
	// changed: false
}

// recorder is a test that goes on when it has failed.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper()                        {}
func (r *recorder) Errorf(format string, a ...any) { r.said += fmt.Sprintf(format, a...) }

// TestMatrix holds that a missing guard shows, and which visitors it lets in.
func TestMatrix(t *testing.T) {
	wk := newMiddleware()
	m := walkintest.Matrix{Middleware: wk, Routes: boardRoutes, Values: map[string]string{"id": "42"}, File: "testdata/matrix.txt"}
	open := func(next http.Handler) http.Handler { return next }
	t.Setenv("WALKIN_TEST_UPDATE", "")
	for name, c := range map[string]struct {
		handler http.Handler
		routes  []string
		want    []string
		lacks   string
	}{
		"the same":     {handler: board(wk, wk.RequirePermanent())},
		"open":         {board(wk, open), nil, []string{"! POST /publish is now open: no user", "! POST /publish is now open: anonymous", "- POST /publish  401", "+ POST /publish  200  200  200  200", "WALKIN_TEST_UPDATE"}, "GET /{$}"},
		"for users":    {board(wk, wk.RequireUser()), nil, []string{"! POST /publish is now open: anonymous"}, "open: no user"},
		"closed":       {board(wk, wk.RequireRecent(1e9)), nil, []string{"+ POST /publish  401"}, "!"},
		"a new route":  {board(wk, wk.RequirePermanent()), append([]string{"GET /new"}, boardRoutes...), []string{"+ GET /new  404", "! GET /new is now open: anonymous"}, "publish"},
		"a route less": {board(wk, wk.RequirePermanent()), boardRoutes[1:], []string{"- GET /{$}"}, "+"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{TB: t}
			m := m
			m.Handler = c.handler
			if c.routes != nil {
				m.Routes = c.routes
			}
			m.Test(r)
			if (r.said == "") != (c.want == nil) {
				t.Errorf("got %q, want %q", r.said, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(r.said, want) {
					t.Errorf("got %q, want %q in it", r.said, want)
				}
			}
			if c.lacks != "" && strings.Contains(r.said, c.lacks) {
				t.Errorf("got %q, want it without %q", r.said, c.lacks)
			}
		})
	}
}

// TestMatrixFile holds what happens before there is a file, and that it is written.
func TestMatrixFile(t *testing.T) {
	wk := newMiddleware()
	m := walkintest.Matrix{Middleware: wk, Handler: board(wk, wk.RequirePermanent()), Routes: boardRoutes,
		File: filepath.Join(t.TempDir(), "new", "matrix.txt")}
	t.Setenv("WALKIN_TEST_UPDATE", "")
	r := &recorder{TB: t}
	if m.Test(r); !strings.Contains(r.said, "+ POST /publish") {
		t.Errorf("got %q without a file", r.said)
	}
	t.Setenv("WALKIN_TEST_UPDATE", "1")
	m.Test(t)
	written, err := os.ReadFile(m.File)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(written), "\n"); got != 9 {
		t.Errorf("got %d lines, want one for each route and a heading: %s", got, written)
	}
	t.Setenv("WALKIN_TEST_UPDATE", "")
	m.Test(t)
}

// TestMatrixPaths holds how the parameters of each router are filled.
func TestMatrixPaths(t *testing.T) {
	wk := newMiddleware()
	asked := map[string]bool{}
	site := wk.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked[r.URL.Path] = true }))
	m := walkintest.Matrix{Middleware: wk, Handler: site, File: filepath.Join(t.TempDir(), "matrix.txt"),
		Values: map[string]string{"id": "42", "*": "a/b"},
		Routes: []string{"GET /a/{id}", "GET /b/{id...}", "GET /c/{$}", "GET /d/{id:[0-9]{2}}/x", "GET /e/:id/x", "GET /f/*id", "GET /g/*", "GET /h/{other}.txt"}}
	t.Setenv("WALKIN_TEST_UPDATE", "1")
	m.Test(t)
	for _, want := range []string{"/a/42", "/b/42", "/c/", "/d/42/x", "/e/42/x", "/f/42", "/g/a/b", "/h/1.txt"} {
		if !asked[want] {
			t.Errorf("%s was not asked for: %v", want, asked)
		}
	}
}
