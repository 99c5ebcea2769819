package walkin_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/texts"
	"github.com/walkin-go/walkin/walkintest"
)

// A noJar is a browser with cookies blocked. It opens a page and sends its form.
type noJar struct {
	t *testing.T
	s *site
	c *walkintest.Client
}

func (b noJar) serve(r *http.Request) *http.Response {
	b.t.Helper()
	answer, err := b.c.Serve(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer
}

func (b noJar) open(path string) *http.Response {
	r := b.c.NewRequest(http.MethodGet, path, nil)
	return b.serve(with(r, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none", "Accept", "text/html"))
}

func (b noJar) form(page, path string, fields ...string) *http.Request {
	r := b.s.form(path, words(fields...))
	if link, ok := strings.CutPrefix(path, "GET "); ok {
		r = with(b.c.NewRequest(http.MethodGet, link, nil), "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", "text/html")
	}
	if call, ok := strings.CutPrefix(path, "fetch "); ok {
		r = script(b.s.form(call, words(fields...)))
	}
	r.RemoteAddr = b.c.NewRequest(http.MethodGet, "/", nil).RemoteAddr
	return with(r, "Referer", "https://app.example"+page, "User-Agent", walkintest.UserAgent)
}

// TestCookiesBlocked holds that a browser which keeps no cookies makes no user with each
// try, is told why, and that the operator is, once.
func TestCookiesBlocked(t *testing.T) {
	for name, tt := range map[string]struct {
		mode       walkin.Mint
		page, path string
		fields     []string
		want       int
	}{
		"a form of the app's":                {walkin.MintOnVisit, "/", "/ensure", nil, 403},
		"a form on another page":             {walkin.MintOnVisit, "/other", "/ensure", nil, 403},
		"a link to a page that stores users": {walkin.MintOnVisit, "/", "GET /ensure", nil, 403},
		"behind a guard":                     {walkin.MintOnVisit, "/", "/user", nil, 403},
		"behind a guard for accounts":        {walkin.MintOnVisit, "/", "/permanent", nil, 403},
		"a sign-up":                          {walkin.MintOnVisit, "/sign-up", "/sign-up", []string{"name", "ann", "word", "long enough"}, 403},
		"a sign-up, without users of pages":  {walkin.MintOnWrite, "/sign-up", "/sign-up", []string{"name", "ann", "word", "long enough"}, 403},
		"a sign-in, without users":           {walkin.MintOff, "/sign-in", "/sign-in", []string{"name", "ann", "word", "long enough"}, 403},
		"a change of identity":               {walkin.MintOnVisit, "/", "/prove?name=ann&new=1", nil, 403},
		"a flow":                             {walkin.MintOnVisit, "/", "/bind", nil, 403},
		"a call of a script":                 {walkin.MintOnVisit, "/", "fetch /ensure", nil, 403},
		"a call behind a guard":              {walkin.MintOnVisit, "/", "fetch /user", nil, 403},
		"a sign-up by a script":              {walkin.MintOnWrite, "/sign-up", "fetch /sign-up", []string{"name", "ann", "word", "long enough"}, 403},
		"a call that needs no user":          {walkin.MintOnVisit, "/", "fetch /plain", nil, 200},
		"a form that needs no user":          {walkin.MintOnVisit, "/", "/plain", nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			s := newSite(t, minting(tt.mode), func(c *walkin.Config) {
				c.Paths.Upgrade, c.Paths.SignIn = "/sign-up", "/sign-in"
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			h := noCookieRoutes(s)
			b := noJar{t, s, walkintest.NewClient(t, h)}
			for range 3 {
				b.open(tt.page)
				answer := b.serve(b.form(tt.page, tt.path, tt.fields...))
				if answer.StatusCode != tt.want {
					t.Fatalf("got %d, want %d", answer.StatusCode, tt.want)
				}
				if text := body(t, answer); tt.want == 403 && !strings.Contains(text, texts.English().Text("error.no_cookie")) && !strings.Contains(text, "the form") {
					t.Errorf("the page says %q, and nothing of cookies", text)
				}
			}
			s.wantRows(0)
			if got := strings.Count(log.String(), "cookies"); tt.want == 403 && got == 0 || strings.Count(log.String(), "does not send back the cookies") > 1 {
				t.Errorf("the operator reads %s", log.String())
			}
			told := 0
			for _, e := range s.events {
				if e.Reason == "cookies_blocked" {
					told++
				}
			}
			if want := map[int]int{403: 1}[tt.want]; told != want {
				t.Errorf("got %d events of it, want %d", told, want)
			}
		})
	}
}

func noCookieRoutes(s *site) http.Handler {
	forms, _ := s.forms(&nameCredential{store: s.store})
	mux := http.NewServeMux()
	mux.Handle("/", forms)
	mux.Handle("/user", s.RequireUser()(http.HandlerFunc(who)))
	mux.Handle("/permanent", s.RequirePermanent()(http.HandlerFunc(who)))
	mux.HandleFunc("/plain", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/bind", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.StartFlow(w, r); err != nil {
			s.Refuse(w, r, err)
		}
	})
	return s.Handler(mux)
}

// TestCookiesNotBlocked holds that whoever is not known to block cookies is let in: at
// once, or with the cookie of the answer that asks them to try again.
func TestCookiesNotBlocked(t *testing.T) {
	const page = "/page"
	for name, tt := range map[string]struct {
		change func(b noJar, r *http.Request)
		wait   time.Duration
		want   int
	}{
		"blocked":                   {nil, 0, 403},
		"any other cookie":          {func(_ noJar, r *http.Request) { r.Header.Set("Cookie", "theme=dark") }, 0, 200},
		"from another address":      {func(_ noJar, r *http.Request) { r.RemoteAddr = "203.0.113.9:1" }, 0, 200},
		"another browser":           {func(_ noJar, r *http.Request) { r.Header.Set("User-Agent", "Mozilla/5.0 Another") }, 0, 200},
		"a page of another cache's": {func(_ noJar, r *http.Request) { r.Header.Set("Referer", "https://app.example/cached") }, 0, 200},
		"without a Referer":         {func(_ noJar, r *http.Request) { r.Header.Del("Referer") }, 0, 200},
		"a Referer of another host": {func(_ noJar, r *http.Request) { r.Header.Set("Referer", "https://other.example"+page) }, 0, 200},
		"a call of a script":        {func(_ noJar, r *http.Request) { script(r) }, 0, 403},
		"a link to another page": {func(b noJar, r *http.Request) {
			r.Method, r.URL.Path = http.MethodGet, "/other" // which needs no user, and may have one
		}, 0, 200},
		"over plain http": {func(_ noJar, r *http.Request) { with(r, noSFS...) }, 0, 403},
		"a part of the page": {func(_ noJar, r *http.Request) {
			r.Method = http.MethodGet
			with(r, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "manifest") // which comes without cookies
		}, 0, 200},
		"with a token":                  {func(_ noJar, r *http.Request) { script(r).Header.Set("Authorization", "Basic dTpw") }, 0, 200},
		"after a sign-out":              {func(b noJar, r *http.Request) { b.signOut(page); script(r) }, 0, 200},
		"after a sign-out of no one":    {func(b noJar, r *http.Request) { b.c.Post("/out", nil); script(r) }, 0, 403},
		"a quarter of an hour later":    {nil, 15 * time.Minute, 200},
		"a moment before":               {nil, 15*time.Minute - time.Second, 403},
		"many others came in between":   {func(b noJar, _ *http.Request) { b.crowd(2047) }, 0, 403},
		"very many others have come":    {func(b noJar, _ *http.Request) { b.crowd(2 * 2048) }, 0, 200},
		"with the cookie of the answer": {func(b noJar, r *http.Request) { b.again(r, page) }, 0, 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				b := noJar{t, s, walkintest.NewClient(t, noCookieRoutes(s))}
				b.open(page + "?a=b")
				time.Sleep(tt.wait)
				r := b.form(page, "/ensure")
				if tt.change != nil {
					tt.change(b, r)
				}
				answer := b.serve(r)
				if got := answer.StatusCode; got != tt.want {
					t.Errorf("got %d, want %d", got, tt.want)
				}
				if r.URL.Path == "/other" && len(named(answer, anonName)) != 1 {
					t.Errorf("got %v, want a user who is not stored", answer.Cookies())
				}
			})
		})
	}
}

func script(r *http.Request) *http.Request {
	return with(r, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "*/*")
}

// signOut signs a visitor with a cookie in and out, by calls of a page that stays open.
func (b noJar) signOut(page string) {
	c := b.c.On(b.s.Handler(b.s.routes()))
	c.Visit(page)
	if c.Post("/out", nil); len(b.s.told()) == 0 || c.Cookie(anonName) != "" {
		b.t.Fatal("the visitor is not signed out")
	}
}

// again sends the form once, and puts the cookies of the answer into r.
func (b noJar) again(r *http.Request, page string) {
	refused := b.serve(b.form(page, "/ensure"))
	if refused.StatusCode != 403 {
		b.t.Fatalf("got %d at first, want 403", refused.StatusCode)
	}
	for _, c := range refused.Cookies() {
		r.AddCookie(c)
	}
}

// crowd opens a page from so many addresses.
func (b noJar) crowd(n int) {
	for i := range n {
		r := b.c.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "10.0." + string(rune('0'+i%8)) + ".1:1"
		r.Header.Set("User-Agent", walkintest.UserAgent+strings.Repeat("x", i%700)+string(rune('a'+i/700)))
		b.serve(with(r, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none", "Accept", "text/html"))
	}
}

// TestFirstCookieOn304 holds that a page whose answer could not carry a cookie proves
// nothing.
func TestFirstCookieOn304(t *testing.T) {
	s := newSite(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })
	mux.Handle("/", noCookieRoutes(s))
	b := noJar{t, s, walkintest.NewClient(t, s.Handler(mux))}
	b.open("/page")
	if got := b.serve(b.form("/page", "/ensure")).StatusCode; got != http.StatusOK {
		t.Errorf("got %d, want 200", got)
	}
}

// TestNoneAreAskedFor holds that a client for which no cookie counts gets its user,
// though the page that it is on came with one.
func TestNoneAreAskedFor(t *testing.T) {
	s := newSite(t)
	mux := http.NewServeMux()
	mux.Handle("/", noCookieRoutes(s))
	mux.Handle("/api/", http.StripPrefix("/api", s.WithoutCookies(s.routes())))
	b := noJar{t, s, walkintest.NewClient(t, mux)}
	b.open("/")
	if got := b.serve(b.form("/", "fetch /api/ensure")).StatusCode; got != http.StatusOK {
		t.Errorf("got %d, want 200", got)
	}
	if got := b.serve(b.form("/", "fetch /ensure")).StatusCode; got != http.StatusForbidden {
		t.Errorf("beside it: got %d, want 403", got)
	}
}
