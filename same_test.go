package walkin_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/walkin-go/walkin"
)

// TestSameWithoutUs serves requests of many shapes with walkin and without, to a first
// visitor, to one who returns and to a bot, and holds that nothing differs but the
// cookie and what keeps it out of caches: not the answer, not what a handler finds, not
// what the request holds for a middleware outside, and not what is left on the disk.
func TestSameWithoutUs(t *testing.T) {
	wrappers := map[string]func(*walkin.Middleware, http.Handler) http.Handler{
		"Handler": func(wk *walkin.Middleware, h http.Handler) http.Handler { return wk.Handler(h) },
		"session data": func(wk *walkin.Middleware, h http.Handler) http.Handler {
			return wk.Handler(wk.LoadAndSave(scs.New())(h))
		},
		"on demand": nil,
	}
	for name, wrap := range wrappers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, proto := range protocols {
				for _, who := range []string{"first", "returning", "robot"} {
					s := newSite(t, func(c *walkin.Config) {
						if wrap == nil {
							c.NewUsers.Mint = walkin.MintOnDemand
						}
					})
					with, without := newWatched(t, proto, func(h http.Handler) http.Handler {
						if wrap == nil {
							return s.Handler(h)
						}
						return wrap(s.Middleware, h)
					}), newWatched(t, proto, func(h http.Handler) http.Handler { return h })
					for _, shape := range shapes(t) {
						if shape.not == proto {
							continue
						}
						want, got := without.see(shape, who), with.see(shape, who)
						if got != want {
							t.Errorf("%s, %s, %s: got\n%s\nwant\n%s", proto, who, shape.name, got, want)
						}
					}
				}
			}
		})
	}
}

// A shape is a request, and what it needs.
type shape struct {
	name, method, path string
	header             []string
	body               func() (io.Reader, string) // and its content type
	trailer            http.Header
	not                string // the protocol that does not know it
}

func shapes(t *testing.T) []shape {
	t.Helper()
	form := func() (io.Reader, string) {
		return strings.NewReader("name=ann&note=hello"), "application/x-www-form-urlencoded"
	}
	text := func() (io.Reader, string) { return strings.NewReader("some text"), "text/plain" }
	chunked := func() (io.Reader, string) {
		return io.MultiReader(strings.NewReader("some text")), "text/plain"
	}
	files := func() (io.Reader, string) {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		_ = m.WriteField("name", "ann")
		part, _ := m.CreateFormFile("file", "large.bin")
		_, _ = part.Write(make([]byte, 64<<10))
		_ = m.Close()
		return &b, m.FormDataContentType()
	}
	asset := []string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}
	script := []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "*/*"}
	elsewhere := []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://elsewhere.example"}
	return []shape{
		{name: "a page", method: "GET", path: "/page/7"},
		{name: "a page below", method: "GET", path: "/files/a/b/c"},
		{name: "a query", method: "GET", path: "/page/7?a=b&a=c"},
		{name: "a mux in a mux", method: "GET", path: "/nested/deep/9"},
		{name: "a rewritten request", method: "POST", path: "/rewrite/8", body: form},
		{name: "not found", method: "GET", path: "/no/such/page"},
		{name: "another method", method: "DELETE", path: "/page/7"},
		{name: "a redirect of the mux", method: "GET", path: "/nested"},
		{name: "HEAD", method: "HEAD", path: "/page/7"},
		{name: "OPTIONS", method: "OPTIONS", path: "/any"},
		{name: "TRACE", method: "TRACE", path: "/any"},
		{name: "PUT", method: "PUT", path: "/any", body: text},
		{name: "PATCH", method: "PATCH", path: "/any", body: text},
		{name: "DELETE", method: "DELETE", path: "/any"},
		{name: "another verb", method: "PROPFIND", path: "/any"},
		{name: "an asset", method: "GET", path: "/page/style.css", header: asset},
		{name: "a call", method: "GET", path: "/page/7", header: script},
		{name: "a prefetch", method: "GET", path: "/page/7", header: []string{"Sec-Purpose", "prefetch"}},
		{name: "a page from elsewhere", method: "GET", path: "/page/7", header: elsewhere},
		{name: "a post from elsewhere", method: "POST", path: "/form/1", header: elsewhere, body: form},
		{name: "a beacon", method: "POST", path: "/any", header: []string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "empty"}, body: text},
		{name: "a form", method: "POST", path: "/form/1", body: form},
		{name: "a form with a file", method: "POST", path: "/form/2", body: files},
		{name: "a form with a file, then a panic", method: "POST", path: "/form/panic", body: files},
		{name: "a form with a file, of a call", method: "POST", path: "/form/3", header: script, body: files},
		{name: "a form with a file, by parts", method: "POST", path: "/parts/3", body: files},
		{name: "a safe request with a body", method: "GET", path: "/form/4", body: files},
		{name: "chunks and a trailer", method: "POST", path: "/any", body: chunked, trailer: http.Header{"Checksum": {"1"}}},
		{name: "no body", method: "POST", path: "/form/5"},
		{name: "trailers", method: "GET", path: "/trailers"},
		{name: "a flush", method: "GET", path: "/flush"},
		{name: "a stream from a reader", method: "GET", path: "/copy"},
		{name: "early hints", method: "GET", path: "/early"},
		{name: "nothing written", method: "GET", path: "/nothing"},
		{name: "204", method: "GET", path: "/empty"},
		{name: "compressed", method: "GET", path: "/gzip", header: []string{"Accept-Encoding", "gzip"}},
		{name: "a file", method: "GET", path: "/content"},
		{name: "a part of a file", method: "GET", path: "/content", header: []string{"Range", "bytes=2-4"}},
		{name: "a file that did not change", method: "GET", path: "/content", header: []string{"If-Modified-Since", time.Unix(2e9, 0).UTC().Format(http.TimeFormat)}},
		{name: "a time-out", method: "GET", path: "/timeout"},
		{name: "a panic", method: "GET", path: "/panic"},
		{name: "a hijack", method: "GET", path: "/hijack", not: "HTTP/2.0"},
		{name: "a handshake", method: "GET", path: "/page/7", header: []string{"Connection", "Upgrade", "Upgrade", "websocket"}, not: "HTTP/2.0"},
	}
}

// A watched app has a middleware outside that looks at what becomes of a request.
type watched struct {
	t       *testing.T
	handler http.Handler
	proto   string
	outside chan string
}

func newWatched(t *testing.T, proto string, wrap func(http.Handler) http.Handler) *watched {
	t.Helper()
	a := &watched{t: t, proto: proto, outside: make(chan string, 64)}
	inner := wrap(http.HandlerFunc(watchedRoutes().ServeHTTP))
	a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			temporary := "no files"
			if f := r.MultipartForm; f != nil && len(f.File["file"]) > 0 {
				if file, err := f.File["file"][0].Open(); err == nil {
					temporary = fmt.Sprintf("%T", file)
					file.Close()
				}
			}
			a.outside <- fmt.Sprintf("outside: %s %s %q id=%q x=%q path=%q form=%v post=%v %s trailer=%v host=%t peer=%s %v", r.Method, r.URL,
				r.Pattern, r.PathValue("id"), r.PathValue("x"), r.PathValue("path"), r.Form, r.PostForm, temporary, r.Trailer, r.Host != "", strings.Split(r.RemoteAddr, ":")[0], p)
			if p != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		inner.ServeHTTP(w, r)
	})
	return a
}

// see sends one request and returns all that can be seen of what happens.
func (a *watched) see(s shape, who string) string {
	a.t.Helper()
	for len(a.outside) > 0 {
		<-a.outside
	}
	v := serve(a.t, a.handler, a.proto)
	get := func(path string) {
		v.visit(path)
		<-a.outside
	}
	if who == "returning" {
		for range 3 {
			get("/page/1")
		}
	}
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r := v.request(s.method, s.path, s.header...)
	if who == "robot" {
		r.Header.Set("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
	}
	if s.body != nil {
		b, kind := s.body()
		r.Body = io.NopCloser(b)
		r.ContentLength = -1
		if sized, ok := b.(interface{ Len() int }); ok {
			r.ContentLength = int64(sized.Len())
		}
		r.Header.Set("Content-Type", kind)
	}
	r.Trailer = s.trailer
	answer, err := v.client.Do(r)
	if err != nil {
		select {
		case text := <-a.outside:
			return "failed\n" + text
		case <-time.After(2 * time.Second):
			return "failed before it came"
		}
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return fmt.Sprint(answer.Status, "\n", <-a.outside)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		text = append(text, "\nand then an error"...)
	}
	h := answer.Header
	h.Del("Date")
	if slices.ContainsFunc(h["Set-Cookie"], func(line string) bool { return strings.Contains(line, "walkin") }) {
		// As the docs say: kept out of caches.
		for _, name := range append([]string{"Set-Cookie", "Cache-Control", "Vary"}, cacheFields...) {
			h.Del(name)
		}
	}
	names := slices.Sorted(maps.Keys(h))
	var lines []string
	for _, name := range names {
		lines = append(lines, fmt.Sprint(name, h[name]))
	}
	return fmt.Sprint(answer.Status, "\n", strings.Join(lines, "\n"), "\n", answer.Uncompressed, answer.TransferEncoding, answer.ContentLength,
		answer.Trailer, "\n", string(text), "\n", <-a.outside)
}

// watchedRoutes are handlers that tell what they find.
func watchedRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	tell := func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %q %d %v trailer=%v id=%q form=%v %v\n%s", r.Method, r.URL, r.Pattern, len(b), err, r.Trailer, r.PathValue("id"), r.Form, r.ContentLength, interfacesOf(w))
	}
	mux.HandleFunc("GET /page/{id}", tell)
	mux.HandleFunc("GET /files/{path...}", tell)
	mux.HandleFunc("/any", tell)
	inner := http.NewServeMux()
	inner.HandleFunc("GET /deep/{x}", tell)
	mux.Handle("/nested/", http.StripPrefix("/nested", inner))
	mux.HandleFunc("/rewrite/{id}", func(w http.ResponseWriter, r *http.Request) {
		r.Method = http.MethodPut
		r.RemoteAddr = "192.0.2.1:1"
		r.SetPathValue("id", "changed")
		tell(w, r)
	})
	mux.HandleFunc("/form/{id}", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseMultipartForm(1 << 10)
		if r.PathValue("id") == "panic" {
			panic("with a file")
		}
		tell(w, r)
	})
	mux.HandleFunc("/parts/{id}", func(w http.ResponseWriter, r *http.Request) {
		parts, err := r.MultipartReader()
		for err == nil {
			var part *multipart.Part
			if part, err = parts.NextPart(); err == nil {
				fmt.Fprint(w, part.FormName(), " ")
			}
		}
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Checksum")
		fmt.Fprint(w, "text")
		w.Header().Set("Checksum", "1")
		w.Header().Set(http.TrailerPrefix+"Unannounced", "2")
	})
	mux.HandleFunc("/flush", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, http.NewResponseController(w).Flush())
		w.Header().Set("Late", "1")
		fmt.Fprint(w, "text")
	})
	mux.HandleFunc("/copy", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, strings.NewReader(strings.Repeat("text ", 20_000)))
	})
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload; as=style")
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "text")
	})
	mux.HandleFunc("/nothing", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "text/plain")
		z := gzip.NewWriter(w)
		fmt.Fprint(z, "text")
		z.Close()
	})
	mux.HandleFunc("/content", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "page.html", time.Unix(1e9, 0), strings.NewReader("<p>content"))
	})
	mux.Handle("/timeout", http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}), time.Millisecond, "too late"))
	mux.HandleFunc("/panic", func(w http.ResponseWriter, _ *http.Request) { panic("as the test wants") })
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntext")
	})
	return mux
}

// interfacesOf returns what else a writer is.
func interfacesOf(w http.ResponseWriter) string {
	var has []string
	for name, ok := range map[string]bool{
		"Flusher":       is[http.Flusher](w),
		"FlushError":    is[interface{ FlushError() error }](w),
		"Hijacker":      is[http.Hijacker](w),
		"ReaderFrom":    is[io.ReaderFrom](w),
		"Pusher":        is[http.Pusher](w),
		"CloseNotifier": is[interface{ CloseNotify() <-chan bool }](w),
		"StringWriter":  is[io.StringWriter](w),
	} {
		if ok {
			has = append(has, name)
		}
	}
	slices.Sort(has)
	control := http.NewResponseController(w)
	return fmt.Sprint(has, control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{}))
}

func is[T any](w http.ResponseWriter) bool {
	_, ok := w.(T)
	return ok
}
