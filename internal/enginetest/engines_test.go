package enginetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/browser"
)

// What each engine shows. All tests of one share a browser, since one takes longer
// to start than to use.
func TestEngines(t *testing.T) {
	browser.Each(t, func(t *testing.T, engine browser.Engine) {
		for _, test := range []struct {
			name string
			run  func(*testing.T, browser.Engine)
		}{
			{"visitor", visit},
			{"form in a new window", newWindow},
			{"back after a sign-out", back},
			{"service worker", worker},
			{"another site behind a service worker", workerElsewhere},
			{"two origins", origins},
			{"two origins with a bearer", bearer},
			{"beacons and reports", beacons},
			{"htmx", htmx},
			{"the first write by htmx", htmxFirst},
			{"turbo", turbo},
		} {
			t.Run(test.name, func(t *testing.T) { test.run(t, engine) })
		}
	})
}

// visit is the walk of one user, from the first page to the second sign-in.
func visit(t *testing.T, engine browser.Engine) {
	a := newApp(t, nil)
	ann := open(t, engine)
	ann.Open(a.url + "/")
	guest := ann.who()
	if guest.Kind != "anonymous" || a.count(walkin.Persisted) != 0 {
		t.Fatalf("a first page shows %v, and there are %d rows", guest, a.count(walkin.Persisted))
	}
	ann.Click("#note button")
	if got := ann.who(); got != guest || a.got()[0].user != guest.ID || a.count(walkin.Persisted) != 1 {
		t.Fatalf("after a note it is %v, want %v; posts %v", got, guest, a.got())
	}
	ann.Click("#signup button")
	member := ann.who()
	if member.ID != guest.ID || member.Kind != "permanent" {
		t.Fatalf("after the sign-up it is %v, want %s", member, guest.ID)
	}
	ann.Click("#signout button")
	if got := ann.who(); got.ID == member.ID {
		t.Fatalf("after the sign-out it is %v still", got)
	}
	ann.Click("#signup button")
	if got := ann.who(); got != member {
		t.Fatalf("after signing in again it is %v, want %v", got, member)
	}
}

// newWindow posts a form of the site's own into a new window, which WebKit calls
// cross-site.
func newWindow(t *testing.T, engine browser.Engine) {
	a := newApp(t, nil)
	ann := open(t, engine)
	ann.Open(a.url + "/")
	guest := ann.who()
	ann.Click("#note button")
	ann.Press("#blank button")
	a.until("the post into a new window", func() bool { return len(a.got()) == 2 || a.count(walkin.Refused) > 0 })
	if got := a.got(); len(got) != 2 || got[1].user != guest.ID {
		t.Errorf("the posts are %v, want both of %s", got, guest.ID)
	}
}

// back goes back to a member's page after they signed out. By https: over plain
// http WebKit brings back pages that are no-store.
func back(t *testing.T, engine browser.Engine) {
	a := newAppOn(t, httptest.NewTLSServer, nil)
	ann := open(t, engine)
	ann.Open(a.url + "/")
	ann.Click("#signup button")
	member := ann.who()
	ann.Open(a.url + "/second")
	ann.Click("#signout button")
	ann.Back()
	if got := ann.who(); got.ID == member.ID {
		t.Errorf("going back after the sign-out shows %v", got)
	}
	ann.Click("#publish button")
	if got := a.got(); len(got) != 0 {
		t.Errorf("after the sign-out a post of the page before went through: %v", got)
	}
}

// worker is the same site with a service worker that passes everything on.
func worker(t *testing.T, engine browser.Engine) {
	a := newApp(t, nil)
	ann := open(t, engine)
	ann.worked(a)
	ann.Open(a.url + "/")
	guest := ann.who()
	if guest.Kind != "anonymous" {
		t.Fatalf("a first page behind a worker shows %v", guest)
	}
	ann.Click("a[href='/second']")
	if got := ann.who(); got != guest {
		t.Errorf("a second page shows %v, want %v", got, guest)
	}
	ann.Click("#publish button")
	if u := ann.URL(); !strings.HasPrefix(u, a.url+"/upgrade?return_to=") {
		t.Errorf("a refused post led to %s, and says %q", u, ann.Says())
	}
	ann.Click("#note button")
	if got := a.got(); len(got) != 1 || got[0].user != guest.ID || a.count(walkin.Persisted) != 1 {
		t.Errorf("the posts are %v, want one of %s", got, guest.ID)
	}
	ann.Click("#signup button")
	if got := ann.who(); got.ID != guest.ID || got.Kind != "permanent" {
		t.Errorf("after the sign-up it is %v, want %s", got, guest.ID)
	}
	ann.Click("#signout button")
	if got := ann.who(); got.ID == guest.ID || got.Kind != "anonymous" {
		t.Errorf("after the sign-out it is %v", got)
	}
}

// workerElsewhere has another site post its forms to a site with a worker, which
// makes them look like its own.
func workerElsewhere(t *testing.T, engine browser.Engine) {
	a := newApp(t, nil)
	var forms strings.Builder
	for _, path := range []string{"note", "signin", "signout"} {
		forms.WriteString(fmt.Sprintf(`<form id=%s method=post action="%s/%[1]s"><input name=name value=mallory><button>%[1]s</button></form>`, path, a.url))
	}
	there := elsewhere(t, forms.String())

	nobody := open(t, engine)
	nobody.worked(a)
	for _, form := range []string{"note", "signin", "signout"} {
		nobody.Open(there)
		nobody.Click("#" + form + " button")
	}
	// The page that it may lead to is a page like any other.
	if n := a.count(walkin.Persisted, walkin.SignedUp, walkin.SignedIn); n != 0 {
		t.Errorf("forms of another site did something for a visitor without a user: %v", a.events)
	}
	for _, p := range a.got() {
		if p.user != "" {
			t.Errorf("another site's form acted for a new user: %v", p)
		}
	}

	ann := open(t, engine)
	ann.worked(a)
	ann.Open(a.url + "/")
	ann.Click("#note button")
	guest := ann.who()
	check := func(want who) {
		t.Helper()
		for _, form := range []string{"note", "signin", "signout"} {
			ann.Open(there)
			ann.Click("#" + form + " button")
			ann.Open(a.url + "/second")
			if got := ann.who(); got != want {
				t.Fatalf("after the form %s of another site it is %v, want %v", form, got, want)
			}
		}
		for _, p := range a.got() {
			if p.user != "" && p.text == "" {
				t.Errorf("another site's form acted for %s", p.user)
			}
		}
	}
	check(guest)
	ann.Click("#signup button")
	if got := ann.who(); got.ID != guest.ID || got.Kind != "permanent" {
		t.Fatalf("after the sign-up it is %v, want %s", got, guest.ID)
	}
	check(ann.who())
}

// api answers scripts of the origins that are allowed.
func (a *app) api(credentials bool, origins ...string) {
	allow := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for _, origin := range origins {
				if h := w.Header(); r.Header.Get("Origin") == origin {
					h.Set("Access-Control-Allow-Origin", origin)
					h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
					if credentials {
						h.Set("Access-Control-Allow-Credentials", "true")
					}
				}
			}
			next(w, r)
		}
	}
	answer := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			a.keep(r)
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(visitor(r)); err != nil {
			a.Error(err)
		}
	}
	// CORS stands in front of walkin, so that refusals can be read, too.
	inside := a.wk.Handler(a.wk.RequireUser()(http.HandlerFunc(answer)))
	a.front.HandleFunc("/api", allow(inside.ServeHTTP))
	a.front.HandleFunc("OPTIONS /api", allow(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
}

// origins is a page on one origin whose API is on another, of the same site.
func origins(t *testing.T, engine browser.Engine) {
	const blank = `<!doctype html><title>app</title><link rel="icon" href="data:,">`
	show := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, blank)
	})
	site, stranger := serve(t, "localhost", show), serve(t, "localhost", show)
	a := newApp(t, func(_ *app, cfg *walkin.Config) {
		cfg.CrossOrigin = http.NewCrossOriginProtection()
		if err := cfg.CrossOrigin.AddTrustedOrigin(site); err != nil {
			t.Fatal(err)
		}
	})
	a.api(true, site, stranger)
	const post = `{method: "POST", credentials: "include", headers: {"Content-Type": "application/json"}, body: "{}"}`

	ann := open(t, engine)
	ann.Open(site)
	guest := ann.fetch(a.url+"/api", post).who(t)
	if guest.Kind != "anonymous" || a.count(walkin.Persisted) != 1 {
		t.Fatalf("the first post was by %v, and there are %d rows", guest, a.count(walkin.Persisted))
	}
	if got := ann.fetch(a.url+"/api", post).who(t); got != guest {
		t.Errorf("the second post was by %v, want %v", got, guest)
	}
	if got := ann.fetch(a.url+"/api", `{credentials: "include"}`).who(t); got != guest {
		t.Errorf("a look was by %v, want %v", got, guest)
	}

	// An origin of the same site that is not trusted brings the same cookies.
	ann.Open(stranger)
	posts := len(a.got())
	if got := ann.fetch(a.url+"/api", post); got.Status != http.StatusForbidden || len(a.got()) != posts {
		t.Errorf("a post from an origin that is not trusted was answered with %+v", got)
	}
	bob := open(t, engine)
	bob.Open(stranger)
	if got := bob.fetch(a.url+"/api", post); got.Status < 400 || a.count(walkin.Minted) != 1 || a.count(walkin.Persisted) != 1 {
		t.Errorf("a first post from there was answered with %+v", got)
	}
}

// bearer is a page of another site that holds a token and sends no cookies.
func bearer(t *testing.T, engine browser.Engine) {
	a := newApp(t, nil)
	ann := open(t, engine)
	ann.Open(a.url + "/")
	ann.Click("#note button")
	guest := ann.who()
	if len(ann.Cookies()) != 1 {
		t.Fatalf("the cookies are %v", ann.Cookies())
	}
	token := ann.Cookies()[0].Value

	there := elsewhere(t, "")
	a.api(false, there)
	bob := open(t, engine)
	bob.Open(there)
	options := func(method, token string) string {
		return fmt.Sprintf(`{method: %q, headers: {Authorization: "Bearer " + %q}}`, method, token)
	}
	for _, method := range []string{"GET", "POST"} {
		if got := bob.fetch(a.url+"/api", options(method, token)).who(t); got != guest {
			t.Errorf("a %s with a bearer was by %v, want %v", method, got, guest)
		}
	}
	if got := bob.fetch(a.url+"/api", options("POST", token[:len(token)-4]+"AAAA")); got.Status != http.StatusUnauthorized {
		t.Errorf("a post with a forged bearer was answered with %+v", got)
	}
	if n := a.count(walkin.Minted); n != 1 {
		t.Errorf("%d users were made, want the one of the page", n)
	}
}

// beacons is what a page and a browser post by themselves.
func beacons(t *testing.T, engine browser.Engine) {
	for _, mode := range []walkin.Mint{walkin.MintOnVisit, walkin.MintOnWrite} {
		a := newApp(t, func(_ *app, cfg *walkin.Config) {
			cfg.NewUsers.Mint = mode
			// With this type a beacon is what fetch sends, header by header.
			cfg.NewUsers.IsAutomatic = func(r *http.Request) bool { return r.URL.Path == "/json" }
		})
		for _, path := range []string{"beacon", "json", "report"} {
			a.mux.HandleFunc("POST /"+path, func(w http.ResponseWriter, r *http.Request) { a.keep(r); w.WriteHeader(http.StatusNoContent) })
		}
		a.mux.HandleFunc("GET /watched", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Reporting-Endpoints", `csp="`+a.url+`/report"`)
			w.Header().Set("Content-Security-Policy-Report-Only", "style-src 'none'; report-uri /report")
			w.Header().Add("Content-Security-Policy-Report-Only", "style-src 'none'; report-to csp")
			a.page(`<p style="color: red">red</p>`)(w, r)
		})
		reader := open(t, engine)
		reader.Open(a.url + "/watched")
		reader.Run(`navigator.sendBeacon("/beacon", new URLSearchParams({text: "text"}));
			navigator.sendBeacon("/beacon", "text");
			navigator.sendBeacon("/beacon");
			navigator.sendBeacon("/json", new Blob(["{}"], {type: "application/json"}))`)
		a.until("beacons and reports", func() bool {
			n := map[string]int{}
			for _, p := range a.got() {
				n[p.path]++
			}
			return n["/beacon"] == 3 && n["/json"] == 1 && n["/report"] > 0
		})
		reader.Open(a.url + "/second") // after which no answer to one is on its way
		if n := a.count(walkin.Persisted); n != 0 {
			t.Errorf("mode %v: %d rows of a reader: %v", mode, n, a.got())
		}
		if mode == walkin.MintOnWrite && (a.count(walkin.Minted) != 0 || len(reader.Cookies()) != 0) {
			t.Errorf("mode %v: a reader has the cookies %v", mode, reader.Cookies())
		}
	}
}

// htmx posts a button to where an account is needed, and follows a link there.
func htmx(t *testing.T, engine browser.Engine) {
	scripted(t, engine, "htmx.org/dist/htmx.min.js", `<div id="into"></div>
		<button id="button" hx-post="/publish" hx-target="#into">Publish</button>
		<a id="link" hx-get="/members" hx-target="#into">Members</a>
		<div hx-boost="true"><a id="boosted" href="/members">Members</a></div>`, "#button", "#link", "#boosted")
}

// htmxFirst writes by htmx, which fetches in the mode same-origin, as no other script
// does: for a reader who has no cookie yet, and on a site whose cookies are Partitioned.
func htmxFirst(t *testing.T, engine browser.Engine) {
	file := library(t, "htmx.org/dist/htmx.min.js")
	for name, set := range map[string]func(*app, *walkin.Config){
		"MintOnWrite": func(_ *app, c *walkin.Config) { c.NewUsers.Mint = walkin.MintOnWrite },
		"Partitioned": func(_ *app, c *walkin.Config) { c.Cookies.Partitioned = true },
	} {
		a := newAppOn(t, httptest.NewTLSServer, set)
		a.front.Handle("GET /script.js", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }))
		a.mux.HandleFunc("GET /scripted", func(w http.ResponseWriter, r *http.Request) {
			a.show(w, `<!doctype html><html lang="en"><head><title>scripted</title><link rel="icon" href="data:,"><script src="/script.js"></script></head><body>
				<form id="form" hx-post="/note" hx-target="#into"><input name="text" value="by htmx"><button>Write</button></form><div id="into"></div></body></html>`)
		})
		ann := open(t, engine)
		ann.Open(a.url + "/scripted")
		ann.Press("#form button")
		a.until("the post of htmx", func() bool { return len(a.got()) == 1 || a.count(walkin.Refused) > 0 })
		if got := a.got(); len(got) != 1 || got[0].user == "" || a.count(walkin.Persisted) != 1 {
			t.Errorf("%s: the posts are %v, and %v", name, got, a.events)
		}
	}
}

// turbo submits a form to where an account is needed, and follows a link there.
func turbo(t *testing.T, engine browser.Engine) {
	scripted(t, engine, "@hotwired/turbo/dist/turbo.es2017-umd.js", `
		<form id="form" method="post" action="/publish"><button>Publish</button></form>
		<a id="link" href="/members">Members</a>
		<turbo-frame id="frame"><form id="framed" method="post" action="/publish"><button>Publish</button></form></turbo-frame>`,
		"#form button", "#link", "#framed button")
}

// scripted presses what a library handles, and wants the page on which the visitor
// makes an account.
func scripted(t *testing.T, engine browser.Engine, script, html string, presses ...string) {
	file := library(t, script) // skips the test, which a handler cannot
	a := newApp(t, nil)
	a.front.Handle("GET /script.js", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }))
	a.mux.Handle("GET /members", a.wk.RequirePermanent()(a.page("members")))
	a.mux.HandleFunc("GET /scripted", func(w http.ResponseWriter, r *http.Request) {
		a.show(w, `<!doctype html><html lang="en"><head><title>scripted</title><link rel="icon" href="data:,"><script src="/script.js"></script></head><body>`+html+`</body></html>`)
	})
	ann := open(t, engine)
	for _, press := range presses {
		ann.Open(a.url + "/scripted")
		ann.Press(press)
		ann.Wait(`document.querySelector("#upgrade") !== null || document.body.innerText.includes("problem") || location.pathname !== "/scripted"`)
		ann.Wait(`document.readyState === "complete"`)
		if u := ann.URL(); !strings.HasPrefix(u, a.url+"/upgrade?return_to=") {
			t.Errorf("%s led to %s, which says %q", press, u, ann.Says())
		}
	}
	if got := a.got(); len(got) != 0 {
		t.Errorf("a visitor without an account published: %v", got)
	}
}
