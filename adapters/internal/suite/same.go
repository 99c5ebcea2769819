package suite

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A Bare is what a framework's app needs to be served with walkin and without.
type Bare struct {
	// Walkin stands outside of the routes, and inside of what recovers from panics.
	// Nil is the same app without it.
	Walkin *walkin.Middleware

	// Sessions, unless nil, is for LoadAndSave, inside of Walkin.
	Sessions *scs.SessionManager

	// Routes are mounted for all methods, as the framework mounts net/http's handlers.
	// Beside them are the framework's own, by its own means. Those that are missing
	// are not found, with walkin and without:
	//
	//	GET  /page/{id}        [Tell] with the framework's writer, and the parameter
	//	GET  /native/text      a text
	//	GET  /native/json      a value as JSON
	//	GET  /native/nothing   nothing
	//	GET  /native/empty     204
	//	GET  /native/unchanged 304
	//	GET  /native/away      a redirect
	//	GET  /native/error     the framework's way of failing with 418
	//	GET  /native/late      a text, then another status, a field and a text
	//	GET  /native/stream    three texts, each flushed
	//	GET  /native/file      the file named [Bare.File]
	//	GET  /native/hijack    [Hijacked] with the framework's writer
	//	POST /native/form      the field "name" and the size of the file "file"
	//	GET  /native/panic     a panic
	Routes map[string]http.HandlerFunc
	File   string

	// Saw takes what a middleware of the framework's, outside of Walkin, sees when
	// all is done: the status, the size, the route, the form.
	Saw func(...any)
}

// Same serves requests of many shapes to an app that newApp makes with walkin and
// without, to a first visitor, to one who returns, to one whose token is due and to a
// robot. It holds that nothing differs but the cookie and what keeps it out of caches:
// not the answer, not what a handler finds, not what stands in the request for a
// middleware outside, and not what is left on the disk.
func Same(t *testing.T, newApp func(*Bare) http.Handler) {
	sites := map[string]func(*walkin.Config){
		"Handler":      func(*walkin.Config) {},
		"on demand":    func(c *walkin.Config) { c.NewUsers.Mint = walkin.MintOnDemand },
		"session data": func(*walkin.Config) {},
	}
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		want, leftWithout := seeAll(t, newApp, &Bare{}, proto, "robot")
		for name, change := range sites {
			for _, who := range []string{"first", "returning", "due", "robot"} {
				b := &Bare{Walkin: newWalkin(t, who, change)}
				if name == "session data" {
					b.Sessions = scs.New()
				}
				got, left := seeAll(t, newApp, b, proto, who)
				for i, shape := range shapes {
					if a, b := got[i].beside(want[i]); a != b {
						t.Errorf("%s, %s, %s, %s: got\n%s\nwant\n%s", proto, name, who, shape.name, a, b)
					}
				}
				if left != leftWithout {
					t.Errorf("%s, %s, %s: %d temporary files are left, want %d", proto, name, who, left, leftWithout)
				}
			}
		}
	}
}

func newWalkin(t *testing.T, who string, change func(*walkin.Config)) *walkin.Middleware {
	t.Helper()
	cfg := walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: memstore.New()}
	cfg.NewUsers.Limit.Count = -1
	if who == "due" {
		renewing(&cfg)
	}
	change(&cfg)
	wk, err := walkin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return wk
}

// seeAll sends all shapes to a server, and returns what is seen of each, and how many
// temporary files are left.
func seeAll(t *testing.T, newApp func(*Bare) http.Handler, b *Bare, proto, who string) (all []sight, left int) {
	t.Helper()
	dir := t.TempDir()
	b.File = dir + "/page.html"
	if err := os.WriteFile(b.File, []byte("<p>a file of the app's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(b.File, time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	w := watch(t, newApp, b, proto)
	jar := newJar(t)
	if who == "returning" || who == "due" {
		for range 2 {
			w.see(shape{method: http.MethodGet, path: "/any"}, jar, who)
		}
	}
	for _, shape := range shapes {
		if who == "first" {
			jar = newJar(t)
		}
		all = append(all, w.see(shape, jar, who))
	}
	w.server.Close() // when all requests are done
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return all, len(files) - 1
}

// A watched app has a middleware outside that looks at what becomes of a request.
type watched struct {
	t       *testing.T
	server  *httptest.Server
	proto   string
	outside chan string

	mu  sync.Mutex
	saw []string
}

type outsideKey struct{}

func watch(t *testing.T, newApp func(*Bare) http.Handler, b *Bare, proto string) *watched {
	t.Helper()
	a := &watched{t: t, proto: proto, outside: make(chan string, 64)}
	b.Routes = routes()
	b.Saw = func(all ...any) { a.note("the framework: " + fmt.Sprintln(all...)) }
	inner := newApp(b)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithValue(r.Context(), outsideKey{}, "a value"))
		defer func() {
			p := recover()
			a.mu.Lock()
			saw := strings.Join(a.saw, "")
			a.saw = nil
			a.mu.Unlock()
			a.outside <- fmt.Sprintf("outside: %s %s %q %q id=%q x=%q path=%q form=%v post=%v %s trailer=%v host=%t peer=%s %v\n%s", r.Method, r.URL, r.RequestURI,
				r.Pattern, r.PathValue("id"), r.PathValue("x"), r.PathValue("path"), r.Form, r.PostForm, temporary(r), r.Trailer, r.Host != "",
				strings.Split(r.RemoteAddr, ":")[0], p, saw)
			if p != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		inner.ServeHTTP(w, r)
	})
	a.server = httptest.NewUnstartedServer(h)
	a.server.EnableHTTP2 = proto == "HTTP/2.0"
	a.server.Config.ErrorLog = log.New(complaints{a}, "", 0)
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
	return a
}

func newJar(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return jar
}

func (a *watched) note(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.saw = append(a.saw, text)
}

// complaints are what net/http has to say about a handler.
type complaints struct{ a *watched }

func (c complaints) Write(b []byte) (int, error) {
	if what, _, ok := strings.Cut(string(b), " call from"); ok {
		c.a.note(what + "\n")
	}
	return len(b), nil
}

// temporary tells where a request's uploaded file is.
func temporary(r *http.Request) string {
	f := r.MultipartForm
	if f == nil || len(f.File["file"]) == 0 {
		return "no files"
	}
	file, err := f.File["file"][0].Open()
	if err != nil {
		return "a file that cannot be opened"
	}
	defer file.Close()
	return fmt.Sprintf("%T", file)
}

// A sight is what can be seen of one request.
type sight struct {
	text   string
	header http.Header
}

// beside returns got and want as texts, without what the docs say differs.
func (got sight) beside(want sight) (string, string) {
	a, b := got.header.Clone(), want.header.Clone()
	ours := func(line string) bool { return strings.HasPrefix(line, "__Host-walkin") }
	if slices.ContainsFunc(a["Set-Cookie"], ours) {
		if c, vary := a["Cache-Control"], strings.Join(a["Vary"], ","); !slices.Equal(c, []string{private}) || !strings.Contains(vary, "Cookie") {
			return fmt.Sprintf("a cookie with Cache-Control %q and Vary %q", c, vary), "one for no cache"
		}
		a["Set-Cookie"] = slices.DeleteFunc(a["Set-Cookie"], ours)
		a["Vary"] = slices.DeleteFunc(a["Vary"], func(line string) bool { return line == "Cookie" })
		for _, h := range []http.Header{a, b} {
			h.Del("Cache-Control") // and all that would tell a cache otherwise
			h.Del("Expires")
		}
	}
	return lines(a) + got.text, lines(b) + want.text
}

func lines(h http.Header) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if len(h[name]) > 0 {
			fmt.Fprintln(&b, name, h[name])
		}
	}
	return b.String()
}

// see sends one request and returns all that can be seen of what happens.
func (a *watched) see(s shape, jar http.CookieJar, who string) sight {
	a.t.Helper()
	client := a.server.Client()
	// A connection of its own: on one that was used before, a request that fails is
	// sent once more.
	transport := client.Transport.(*http.Transport).Clone()
	transport.ExpectContinueTimeout = time.Minute
	if a.proto == "HTTP/1.1" {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	defer transport.CloseIdleConnections()
	client = &http.Client{Transport: transport, Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for len(a.outside) > 0 {
		<-a.outside
	}
	r := a.request(s)
	if who == "robot" {
		r.Header.Set("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
	}
	hints := &bytes.Buffer{}
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		fmt.Fprintln(hints, code, h)
		return nil
	}}))
	answer, err := client.Do(r)
	if err != nil {
		return sight{text: "failed\n" + <-a.outside}
	}
	defer answer.Body.Close()
	answer.Header.Del("Date")
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return sight{answer.Status + "\n" + <-a.outside, answer.Header}
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		text = append(text, "\nand then an error"...)
	}
	sent := "all of it"
	// With HTTP/2 the client may begin to send it when the answer is there.
	if b, ok := r.Body.(*counted); ok && answer.ProtoMajor == 1 && !b.read.Load() && r.Header.Get("Expect") != "" {
		sent = "none of it"
	}
	return sight{fmt.Sprint(answer.Status, " ", answer.Proto, " ", answer.Uncompressed, answer.TransferEncoding, answer.ContentLength, answer.Close && !s.mayClose,
		answer.Trailer, "\nhints ", hints, "\nsent ", sent, "\n", string(text), "\n", <-a.outside), answer.Header}
}

func (a *watched) request(s shape) *http.Request {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), s.method, a.server.URL+s.path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("User-Agent", walkintest.UserAgent)
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(s.header); i += 2 {
		r.Header.Set(s.header[i], s.header[i+1])
	}
	if s.body != nil {
		b, kind := s.body()
		r.Body = &counted{Reader: b}
		r.ContentLength = -1
		if sized, ok := b.(interface{ Len() int }); ok {
			r.ContentLength = int64(sized.Len())
		}
		r.Header.Set("Content-Type", kind)
	}
	r.Trailer = s.trailer.Clone()
	return r
}

// counted is a body that knows whether it was sent.
type counted struct {
	io.Reader
	read atomic.Bool
}

func (c *counted) Read(b []byte) (int, error) { c.read.Store(true); return c.Reader.Read(b) }
func (c *counted) Close() error               { return nil }
