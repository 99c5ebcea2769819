package suite

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A shape is a request, and what it needs.
type shape struct {
	name, method, path string
	header             []string
	body               func() (io.Reader, string) // and its content type
	trailer            http.Header

	// mayClose says that net/http closes the connection afterwards, if its own writer
	// is asked. Through a writer of any middleware's it is not: docs/requests.md.
	mayClose bool
}

func form() (io.Reader, string) {
	return strings.NewReader("name=ann&note=hello"), "application/x-www-form-urlencoded"
}

func plain() (io.Reader, string) { return strings.NewReader("some text"), "text/plain" }

func chunked() (io.Reader, string) {
	return io.MultiReader(strings.NewReader("some text")), "text/plain"
}

func large() (io.Reader, string) { return bytes.NewReader(make([]byte, 64<<10)), "text/plain" }

func files() (io.Reader, string) {
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	_ = m.SetBoundary("the-same-each-time")
	_ = m.WriteField("name", "ann")
	part, _ := m.CreateFormFile("file", "large.bin")
	_, _ = part.Write(make([]byte, 64<<10))
	_ = m.Close()
	return &b, m.FormDataContentType()
}

var (
	script    = []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "*/*"}
	elsewhere = []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://elsewhere.example"}
	expects   = []string{"Expect", "100-continue"}
	unchanged = []string{"If-Modified-Since", time.Unix(2e9, 0).UTC().Format(http.TimeFormat)}
	handshake = []string{"Connection", "Upgrade", "Upgrade", "websocket"}
)

var shapes = []shape{
	// Who asks, and how.
	{name: "a page", method: "GET", path: "/any"},
	{name: "a page of the framework's", method: "GET", path: "/page/7"},
	{name: "a query", method: "GET", path: "/page/7?a=b&a=c"},
	{name: "a path below", method: "GET", path: "/files/a/b/c"},
	{name: "a mux in a mux", method: "GET", path: "/nested/deep/9"},
	{name: "a redirect of the mux", method: "GET", path: "/nested"},
	{name: "an escaped path", method: "GET", path: "/page/a%2Fb%20c"},
	{name: "a path that is not clean", method: "GET", path: "/page//7/../8"},
	{name: "a slash too many", method: "GET", path: "/any/"},
	{name: "not found", method: "GET", path: "/no/such/page"},
	{name: "another method", method: "DELETE", path: "/page/7"},
	{name: "HEAD", method: "HEAD", path: "/any"},
	{name: "OPTIONS", method: "OPTIONS", path: "/any"},
	{name: "TRACE", method: "TRACE", path: "/any"},
	{name: "PUT", method: "PUT", path: "/any", body: plain},
	{name: "PATCH", method: "PATCH", path: "/any", body: plain},
	{name: "DELETE", method: "DELETE", path: "/any"},
	{name: "another verb", method: "PROPFIND", path: "/any"},
	{name: "an asset", method: "GET", path: "/any", header: []string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}},
	{name: "a call", method: "GET", path: "/any", header: script},
	{name: "a prefetch", method: "GET", path: "/any", header: []string{"Sec-Purpose", "prefetch"}},
	{name: "a frame", method: "GET", path: "/any", header: []string{"Sec-Fetch-Dest", "iframe"}},
	{name: "a page behind a worker", method: "GET", path: "/any", header: []string{"Sec-Fetch-Dest", "empty"}},
	{name: "a page from elsewhere", method: "GET", path: "/any", header: elsewhere},
	{name: "a post from elsewhere", method: "POST", path: "/form", header: elsewhere, body: form},
	{name: "a beacon", method: "POST", path: "/any", header: []string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "empty"}, body: plain},
	{name: "a report", method: "POST", path: "/any", header: []string{"Sec-Fetch-Dest", "report", "Sec-Fetch-Mode", "no-cors"}, body: plain},
	{name: "another app's bearer", method: "GET", path: "/any", header: []string{"Authorization", "Bearer abc"}},
	{name: "another app's cookie", method: "GET", path: "/any", header: []string{"Cookie", "session=abc; theme=dark"}},
	{name: "a handshake", method: "GET", path: "/any", header: handshake},

	// What it brings.
	{name: "a form", method: "POST", path: "/form", body: form},
	{name: "a form with a file", method: "POST", path: "/form", body: files},
	{name: "a form with a file, then a panic", method: "POST", path: "/form-panic", body: files},
	{name: "a form with a file, of a call", method: "POST", path: "/form", header: script, body: files},
	{name: "a form with a file, by parts", method: "POST", path: "/parts", body: files},
	{name: "a form with a file, in chunks", method: "POST", path: "/form", body: func() (io.Reader, string) {
		b, kind := files()
		return io.MultiReader(b), kind
	}},
	{name: "a safe request with a body", method: "GET", path: "/form", body: files},
	{name: "a form cut short", method: "POST", path: "/form", body: func() (io.Reader, string) {
		b, kind := files()
		return io.LimitReader(b, 9000), kind
	}},
	{name: "no body", method: "POST", path: "/form"},
	{name: "chunks and a trailer", method: "POST", path: "/any", body: chunked, trailer: http.Header{"Checksum": {"1"}}},
	{name: "a body that is not read", method: "POST", path: "/nothing", body: large},
	{name: "a body that is not asked for", method: "POST", path: "/nothing", header: expects, body: large},
	{name: "a body that is asked for", method: "POST", path: "/any", header: expects, body: large},
	{name: "a body above its limit", method: "POST", path: "/limited", body: large, mayClose: true},
	{name: "a body read after the answer has begun", method: "POST", path: "/duplex", body: plain},
	{name: "a rewritten request", method: "POST", path: "/rewrite", body: form},
	{name: "a rewritten request, with a parameter", method: "POST", path: "/rewrite/8", body: form},
	{name: "a replaced body", method: "POST", path: "/replace", body: form},

	// What it gets.
	{name: "trailers", method: "GET", path: "/trailers"},
	{name: "a flush", method: "GET", path: "/flush"},
	{name: "a flush after a text", method: "GET", path: "/flush-late"},
	{name: "a stream from a reader", method: "GET", path: "/copy"},
	{name: "a stream from a reader, for HEAD", method: "HEAD", path: "/copy"},
	{name: "a text", method: "GET", path: "/string"},
	{name: "a text, for HEAD", method: "HEAD", path: "/string"},
	{name: "early hints", method: "GET", path: "/early"},
	{name: "deadlines", method: "GET", path: "/deadlines"},
	{name: "several hints", method: "GET", path: "/informed"},
	{name: "trailers that were not announced", method: "GET", path: "/late-trailers"},
	{name: "a push", method: "GET", path: "/pushed"},
	{name: "a status that is none", method: "GET", path: "/no-status"},
	{name: "a cloned request", method: "POST", path: "/cloned", body: form},
	{name: "a form that is changed", method: "POST", path: "/form-again", body: form},
	{name: "a form with a file that is changed", method: "POST", path: "/form-again", body: files},
	{name: "a panic of nothing", method: "GET", path: "/panic-nothing"},
	{name: "a text after a hijack", method: "GET", path: "/after-hijack"},
	{name: "nothing written", method: "GET", path: "/nothing"},
	{name: "an empty write", method: "GET", path: "/empty-write"},
	{name: "204", method: "GET", path: "/empty"},
	{name: "304", method: "GET", path: "/unchanged"},
	{name: "two statuses", method: "GET", path: "/twice"},
	{name: "a length", method: "GET", path: "/length"},
	{name: "more than the length", method: "GET", path: "/overlong"},
	{name: "less than the length", method: "GET", path: "/short"},
	{name: "cookies of the app's", method: "GET", path: "/cookies"},
	{name: "a page for caches", method: "GET", path: "/cached"},
	{name: "the end of the connection", method: "GET", path: "/close"},
	{name: "compressed", method: "GET", path: "/gzip", header: []string{"Accept-Encoding", "gzip"}},
	{name: "a file", method: "GET", path: "/content"},
	{name: "a part of a file", method: "GET", path: "/content", header: []string{"Range", "bytes=2-4"}},
	{name: "a file that did not change", method: "GET", path: "/content", header: unchanged},
	{name: "a time-out", method: "GET", path: "/timeout"},
	{name: "a panic", method: "GET", path: "/panic"},
	{name: "a panic after a text", method: "GET", path: "/panic-late"},
	{name: "an abort", method: "GET", path: "/abort"},
	{name: "a hijack", method: "GET", path: "/hijack"},
	{name: "a hijack by the controller", method: "GET", path: "/hijack-controller"},

	// The framework's own.
	{name: "a text, natively", method: "GET", path: "/native/text"},
	{name: "JSON, natively", method: "GET", path: "/native/json"},
	{name: "nothing, natively", method: "GET", path: "/native/nothing"},
	{name: "204, natively", method: "GET", path: "/native/empty"},
	{name: "304, natively", method: "GET", path: "/native/unchanged"},
	{name: "a redirect, natively", method: "GET", path: "/native/away"},
	{name: "an error, natively", method: "GET", path: "/native/error"},
	{name: "an error, natively, of a call", method: "GET", path: "/native/error", header: script},
	{name: "a late status, natively", method: "GET", path: "/native/late"},
	{name: "a stream, natively", method: "GET", path: "/native/stream"},
	{name: "a file, natively", method: "GET", path: "/native/file"},
	{name: "a file that did not change, natively", method: "GET", path: "/native/file", header: unchanged},
	{name: "a hijack, natively", method: "GET", path: "/native/hijack"},
	{name: "a form with a file, natively", method: "POST", path: "/native/form", body: files},
	{name: "a form, natively", method: "POST", path: "/native/form", body: form},
	{name: "a panic, natively", method: "GET", path: "/native/panic"},
}

// Tell writes what a handler finds, in its request and in its writer.
func Tell(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	ctx := r.Context()
	_, timed := ctx.Deadline()
	fmt.Fprintf(w, "%s %s %q %q %d %v trailer=%v id=%q form=%v %v %s tls=%t close=%t %v\n", r.Method, r.URL, r.RequestURI, r.Pattern, len(b), err, r.Trailer,
		r.PathValue("id"), r.Form, r.ContentLength, r.Proto, r.TLS != nil, r.Close, r.TransferEncoding)
	fmt.Fprintln(w, ctx.Value(outsideKey{}), ctx.Value(http.ServerContextKey) != nil, ctx.Value(http.LocalAddrContextKey) != nil, ctx.Err(), timed)
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-walkin") {
			fmt.Fprintln(w, c)
		}
	}
	fmt.Fprintln(w, interfacesOf(w))
}

// interfacesOf returns what else a writer is.
func interfacesOf(w http.ResponseWriter) string {
	var has []string
	for name, ok := range map[string]bool{
		"Flusher":       is[http.Flusher](w),
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
	return fmt.Sprint(has, control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{}), errors.Is(control.EnableFullDuplex(), http.ErrNotSupported))
}

func is[T any](w http.ResponseWriter) bool {
	_, ok := w.(T)
	return ok
}

// Hijacked takes the connection of w and answers by itself.
func Hijacked(w http.ResponseWriter) {
	h, ok := w.(http.Hijacker)
	if !ok {
		fmt.Fprint(w, "no Hijacker")
		return
	}
	hijacked(h.Hijack, w)
}

func hijacked(hijack func() (net.Conn, *bufio.ReadWriter, error), w http.ResponseWriter) {
	conn, _, err := hijack()
	if err != nil {
		fmt.Fprint(w, "no hijack: ", errors.Is(err, http.ErrNotSupported))
		return
	}
	defer conn.Close()
	_, err = w.Write([]byte("too late"))
	text := fmt.Sprint("text, then ", errors.Is(err, http.ErrHijacked))
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
}
