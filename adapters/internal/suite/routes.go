package suite

import (
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"runtime"
	"strings"
	"time"
)

// routes are handlers of net/http that use all that it has.
func routes() map[string]http.HandlerFunc {
	all := map[string]http.HandlerFunc{
		"/any":     Tell,
		"/nothing": func(http.ResponseWriter, *http.Request) {},
	}
	for _, more := range []map[string]http.HandlerFunc{reading, writing, streaming, ending, awkward} {
		maps.Copy(all, more)
	}
	return all
}

// reading are those that do something to their request.
var reading = map[string]http.HandlerFunc{
	"/form": func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseMultipartForm(1 << 10)
		Tell(w, r)
	},
	"/form-panic": func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseMultipartForm(1 << 10)
		panic("with a file")
	},
	"/parts": func(w http.ResponseWriter, r *http.Request) {
		parts, err := r.MultipartReader()
		for err == nil {
			var part *multipart.Part
			if part, err = parts.NextPart(); err == nil {
				fmt.Fprint(w, part.FormName(), " ")
			}
		}
	},
	"/limited": func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 8)
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, len(b), err)
	},
	"/duplex": func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		fmt.Fprint(w, "begun")
		fmt.Fprint(w, control.Flush())
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, string(b), err)
	},
	"/rewrite": func(w http.ResponseWriter, r *http.Request) {
		r.Method = http.MethodPut
		r.RemoteAddr = "192.0.2.1:1"
		if r.PathValue("id") != "" {
			r.SetPathValue("id", "changed")
		}
		Tell(w, r)
	},
	"/replace": func(w http.ResponseWriter, r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader("another"))
		r.Header = http.Header{"X-Mine": {"1"}}
		r.ContentLength, r.Close = 7, true
		Tell(w, r)
	},
}

// awkward are those that few handlers do, and some do.
var awkward = map[string]http.HandlerFunc{
	"/deadlines": func(w http.ResponseWriter, r *http.Request) {
		control, soon := http.NewResponseController(w), time.Now().Add(time.Minute)
		fmt.Fprint(w, control.SetReadDeadline(soon), control.SetWriteDeadline(soon), control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{}))
	},
	"/informed": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Step", "1")
		w.WriteHeader(http.StatusProcessing)
		w.Header().Set("X-Step", "2")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("X-Step")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "a text")
	},
	"/late-trailers": func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "a text")
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
		w.Header().Set("X-Too-Late", "1")
	},
	"/pushed": func(w http.ResponseWriter, _ *http.Request) {
		p, ok := w.(http.Pusher)
		fmt.Fprint(w, ok)
		if ok {
			fmt.Fprint(w, p.Push("/any", nil))
		}
	},
	"/no-status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) },
	"/cloned": func(w http.ResponseWriter, r *http.Request) {
		Tell(w, r.Clone(r.Context()))
		r.SetPathValue("mine", "1")
		fmt.Fprint(w, r.PathValue("mine"), r.Clone(r.Context()).PathValue("mine"))
	},
	"/form-again": func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseMultipartForm(1 << 10)
		r.Form.Set("name", "changed")
		r.PostForm.Add("note", "more")
		fmt.Fprint(w, r.FormValue("name"), r.PostFormValue("note"), r.ParseForm())
	},
	"/panic-nothing": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Lost", "1")
		panic(nil)
	},
	"/after-hijack": func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			fmt.Fprint(w, "no hijack")
			return
		}
		defer conn.Close()
		_, err = fmt.Fprint(w, "too late")
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%v", err)
	},
}

// writing are those that answer at once.
var writing = map[string]http.HandlerFunc{
	"/trailers": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Checksum")
		fmt.Fprint(w, "text")
		w.Header().Set("Checksum", "1")
		w.Header().Set(http.TrailerPrefix+"Unannounced", "2")
	},
	"/string": func(w http.ResponseWriter, _ *http.Request) {
		n, err := io.WriteString(w, "<!doctype html><title>a page</title>")
		fmt.Fprint(w, n, err)
	},
	"/early": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload; as=style")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		fmt.Fprint(w, "text")
	},
	"/empty-write": func(w http.ResponseWriter, _ *http.Request) {
		n, err := w.Write(nil)
		w.Header().Set("Late", "1")
		fmt.Fprint(w, n, err)
	},
	"/empty": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		_, err := fmt.Fprint(w, "text")
		w.Header().Set(http.TrailerPrefix+"Error", fmt.Sprint(err))
	},
	"/unchanged": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Cache-Control", "public, max-age=600")
		w.WriteHeader(http.StatusNotModified)
		_, _ = fmt.Fprint(w, "text")
	},
	"/twice": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "text")
	},
	"/length": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		fmt.Fprint(w, "text")
	},
	"/overlong": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		_, _ = w.Write([]byte("text"))
		_, _ = w.Write([]byte("and more"))
	},
	"/short": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "40")
		fmt.Fprint(w, "text")
	},
	"/cookies": func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "abc", HttpOnly: true})
		w.Header().Add("Vary", "Accept-Encoding")
		fmt.Fprint(w, "text")
	},
	"/cached": func(w http.ResponseWriter, _ *http.Request) {
		Public(w.Header())
		w.Header().Add("Vary", "Accept-Language")
		fmt.Fprint(w, "text")
	},
	"/close": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, "text")
	},
	"/gzip": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "text/plain")
		z := gzip.NewWriter(w)
		fmt.Fprint(z, "text")
		z.Close()
	},
	"/content": func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "page.html", time.Unix(1e9, 0), strings.NewReader("<p>content"))
	},
}

// streaming are those that flush, or copy.
var streaming = map[string]http.HandlerFunc{
	"/flush": func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, http.NewResponseController(w).Flush())
		w.Header().Set("Late", "1")
		fmt.Fprint(w, "text")
	},
	"/flush-late": func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "text")
		w.(http.Flusher).Flush()
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "and more")
	},
	"/copy": func(w http.ResponseWriter, r *http.Request) {
		words := 20_000
		if r.Method == http.MethodHead {
			words = 200 // over HTTP/2 a client that has its header hangs up
		}
		n, err := io.Copy(w, strings.NewReader(strings.Repeat("text ", words)))
		fmt.Fprint(w, n, err)
	},
}

// ending are those that do not end as they should.
var ending = map[string]http.HandlerFunc{
	"/timeout": http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		for { // one that returned now might still be in time
			if _, err := w.Write(nil); err != nil {
				return
			}
			runtime.Gosched()
		}
	}), time.Millisecond, "too late").ServeHTTP,
	"/panic": func(http.ResponseWriter, *http.Request) { panic("as the test wants") },
	"/panic-late": func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "text")
		w.(http.Flusher).Flush()
		panic("as the test wants")
	},
	"/abort":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"/hijack": func(w http.ResponseWriter, _ *http.Request) { Hijacked(w) },
	"/hijack-controller": func(w http.ResponseWriter, _ *http.Request) {
		hijacked(http.NewResponseController(w).Hijack, w)
	},
}

// BareNetHTTP is the app over net/http alone.
func BareNetHTTP(b *Bare) http.Handler {
	mux := http.NewServeMux()
	for path, h := range b.Routes {
		mux.Handle(path, h)
	}
	mux.HandleFunc("GET /page/{id}", Tell)
	mux.HandleFunc("GET /files/{path...}", Tell)
	mux.HandleFunc("/rewrite/{id}", b.Routes["/rewrite"])
	inner := http.NewServeMux()
	inner.HandleFunc("GET /deep/{x}", Tell)
	mux.Handle("/nested/", http.StripPrefix("/nested", inner))
	return b.Wrap(mux)
}

// Wrap puts walkin around the handlers of an app whose middleware is net/http's.
func (b *Bare) Wrap(h http.Handler) http.Handler {
	if b.Walkin == nil {
		return h
	}
	if b.Sessions != nil {
		h = b.Walkin.LoadAndSave(b.Sessions)(h)
	}
	return b.Walkin.Handler(h)
}
