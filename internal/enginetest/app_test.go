// Package enginetest tests walkin's promises in real browsers: Chromium, Firefox and
// WebKit.
package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/browser"
	"github.com/walkin-go/walkin/store/memstore"
)

// An app is a small site with walkin. What is in front of walkin creates no users.
type app struct {
	*testing.T
	wk    *walkin.Middleware
	url   string // http://localhost:…
	front *http.ServeMux
	mux   *http.ServeMux

	mu     sync.Mutex
	events []walkin.Event
	posts  []post
}

// A post is one that reached its handler.
type post struct{ path, user, text string }

var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Path}}</title><link rel="icon" href="data:,">{{.Head}}</head><body>
<p id="who">{{.Who.ID}}</p><p id="kind">{{.Who.Kind}}</p>
<form id="note" method="post" action="/note"><input name="text" value="a note"><button>Write</button></form>
<form id="blank" method="post" action="/note" target="_blank"><input name="text" value="in a new window"><button>Write</button></form>
<form id="signup" method="post" action="/signin"><input name="name" value="ann"><button>Sign up</button></form>
<form id="signout" method="post" action="/signout"><button>Sign out</button></form>
<form id="publish" method="post" action="/publish"><button>Publish</button></form>
<a href="/second">second page</a>
{{.More}}
</body></html>
`))

type who struct{ ID, Kind string }

func visitor(r *http.Request) who {
	c, ok := walkin.FromContext(r.Context())
	switch {
	case !ok:
		return who{"", "none"}
	case c.Anonymous:
		return who{c.UserID.String(), "anonymous"}
	}
	return who{c.UserID.String(), "permanent"}
}

// newApp serves an app, on the port of localhost that it gets.
func newApp(t *testing.T, set func(a *app, cfg *walkin.Config)) *app {
	t.Helper()
	return newAppOn(t, httptest.NewServer, set)
}

// newAppOn serves an app by [httptest.NewServer] or [httptest.NewTLSServer].
func newAppOn(t *testing.T, start func(http.Handler) *httptest.Server, set func(a *app, cfg *walkin.Config)) *app {
	t.Helper()
	a := &app{T: t, front: http.NewServeMux(), mux: http.NewServeMux()}
	server := start(a.front)
	t.Cleanup(server.Close)
	a.url = named(server, "localhost")
	cfg := walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("0123456789abcdefghijklmnopqrstuv")}},
		Store: memstore.New(), Cookies: walkin.Cookies{Insecure: strings.HasPrefix(a.url, "http:")}, Paths: walkin.Paths{Upgrade: "/upgrade", SignIn: "/upgrade"},
		OnEvent: func(_ context.Context, e walkin.Event) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.events = append(a.events, e)
		},
	}
	if set != nil {
		set(a, &cfg)
	}
	var err error
	if a.wk, err = walkin.New(cfg); err != nil {
		t.Fatal(err)
	}
	a.front.Handle("/", a.wk.Handler(a.mux))
	a.front.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	// Answering with fetch(event.request) is what most workers do. All that they
	// do not know of, they pass on.
	a.front.HandleFunc("GET /worker.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, `addEventListener("install", () => skipWaiting());
			addEventListener("activate", (e) => e.waitUntil(clients.claim()));
			addEventListener("fetch", (e) => e.respondWith(fetch(e.request)));`)
	})
	a.front.HandleFunc("GET /worker", func(w http.ResponseWriter, _ *http.Request) {
		a.show(w, `<!doctype html><title>worker</title><link rel="icon" href="data:,"><script>navigator.serviceWorker.register("/worker.js")</script>`)
	})
	a.mux.HandleFunc("GET /", a.page(""))
	a.mux.HandleFunc("GET /upgrade", a.page(`<p id="upgrade">an account is needed</p>`))
	a.mux.HandleFunc("POST /note", a.post)
	a.mux.Handle("POST /publish", a.wk.RequirePermanent()(http.HandlerFunc(a.post)))
	a.mux.HandleFunc("POST /signin", func(w http.ResponseWriter, r *http.Request) {
		_, err := a.wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"})
		if err != nil {
			a.wk.Refuse(w, r, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	a.mux.Handle("POST /signout", a.wk.SignOutHandler())
	return a
}

// serve serves a handler under a name of this machine. Another name is another
// site; another port of the same is another origin.
func serve(t *testing.T, name string, h http.Handler) (url string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return named(server, name)
}

func named(server *httptest.Server, name string) (url string) {
	scheme, _, _ := strings.Cut(server.URL, ":")
	return scheme + "://" + name + server.URL[strings.LastIndex(server.URL, ":"):]
}

// page shows who the visitor is, and more.
func (a *app) page(more template.HTML) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		var head template.HTML
		if r.URL.Path == "/upgrade" {
			head = `<meta name="turbo-visit-control" content="reload">` // out of a frame, as docs/requests.md has it
		}
		if err := page.Execute(&b, map[string]any{"Path": r.URL.Path, "Head": head, "Who": visitor(r), "More": more}); err != nil {
			a.Error(err)
		}
		w.Header().Set("Cache-Control", "no-store") // it shows who the visitor is
		a.show(w, b.String())
	}
}

func (a *app) show(w http.ResponseWriter, html string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, html)
}

func (a *app) post(w http.ResponseWriter, r *http.Request) {
	a.keep(r)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *app) keep(r *http.Request) {
	p := post{r.URL.Path, visitor(r).ID, r.FormValue("text")}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.posts = append(a.posts, p)
}

func (a *app) got() []post { a.mu.Lock(); defer a.mu.Unlock(); return slices.Clone(a.posts) }

// count says how often something happened.
func (a *app) count(outcomes ...walkin.Outcome) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if slices.Contains(outcomes, e.Outcome) {
			n++
		}
	}
	return n
}

// until waits for what a browser does in its own time.
func (a *app) until(what string, ok func() bool) {
	a.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			a.Fatalf("%s did not happen; posts %v", what, a.got())
		}
	}
}

// A tab is a page of a visitor's browser.
type tab struct{ *browser.Page }

func open(t *testing.T, engine browser.Engine) tab {
	t.Helper()
	p := browser.NewPage(t, engine)
	p.Quiet = true // the site refuses things
	return tab{p}
}

func (p tab) who() who {
	p.T.Helper()
	return who{p.Text("#who"), p.Text("#kind")}
}

// worked gives the visitor a browser in which a service worker answers for the site.
func (p tab) worked(a *app) {
	p.T.Helper()
	p.Open(a.url + "/worker")
	p.Wait(`navigator.serviceWorker.controller !== null`)
}

// elsewhere serves another site, with one page.
func elsewhere(t *testing.T, html string) (url string) {
	t.Helper()
	return serve(t, "127.0.0.1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><title>elsewhere</title><link rel="icon" href="data:,">`+html)
	}))
}

// fetched is what a script got.
type fetched struct {
	Status int
	Body   string
}

func (p tab) fetch(url, options string) fetched {
	p.T.Helper()
	return browser.Eval[fetched](p.Page, fmt.Sprintf(`fetch(%q, %s).then(async (r) => ({Status: r.status, Body: await r.text()}), (e) => ({Status: 0, Body: String(e)}))`, url, options))
}

func (f fetched) who(t *testing.T) (w who) {
	t.Helper()
	if err := json.Unmarshal([]byte(f.Body), &w); f.Status != http.StatusOK || err != nil {
		t.Fatalf("the answer is %+v", f)
	}
	return w
}
