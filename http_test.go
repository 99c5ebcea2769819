package walkin_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// cacheFields speak to one cache each, which then takes no notice of Cache-Control.
var cacheFields = []string{"Cdn-Cache-Control", "Cloudflare-Cdn-Cache-Control", "Vercel-Cdn-Cache-Control", "Netlify-Cdn-Cache-Control",
	"Fastly-Cache-Control", "Surrogate-Control", "Edge-Control", "X-Accel-Expires", "Expires"}

// TestSharedCache holds that a response with a cookie of ours is kept out of
// every cache, whatever the handler said, and says so once.
func TestSharedCache(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file.txt"), []byte("some text"), 0o600); err != nil {
		t.Fatal(err)
	}
	public := func(h http.Header) {
		h.Set("Cache-Control", "public, max-age=600")
		for _, name := range cacheFields {
			h.Set(name, "max-age=600")
		}
		h.Set("Vary", "Accept-Encoding")
	}
	behind := func(next http.Handler) http.Handler { // as a file server with a cache policy in front
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			public(w.Header())
			next.ServeHTTP(w, r)
		})
	}
	upstream := httptest.NewServer(behind(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "upstream", Value: "1"})
		fmt.Fprint(w, "from upstream")
	})))
	defer upstream.Close()
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	content := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "page.html", time.Unix(1e9, 0), strings.NewReader("<p>content"))
	}
	tests := []struct {
		name    string
		handler http.Handler
		path    string
		ranges  string
		status  int
	}{
		{"write", behind(http.HandlerFunc(who)), "/", "", 200},
		{"nothing written", behind(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), "/", "", 200},
		{"two lines of Cache-Control", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Cache-Control"] = []string{"public", "s-maxage=600"}
			w.Header().Set("Vary", "Accept-Encoding")
			w.WriteHeader(http.StatusOK)
		}), "/", "", 200},
		{"FileServer", behind(http.FileServer(http.Dir(dir))), "/file.txt", "", 200},
		{"FileServer 404", behind(http.FileServer(http.Dir(dir))), "/missing.txt", "", 404},
		{"FileServer 416", behind(http.FileServer(http.Dir(dir))), "/file.txt", "bytes=9999-", 416},
		{"ReverseProxy", httputil.NewSingleHostReverseProxy(target), "/", "", 200},
		{"ReverseProxy behind a policy", behind(httputil.NewSingleHostReverseProxy(target)), "/", "", 200},
		{"ServeContent", behind(http.HandlerFunc(content)), "/", "", 200},
		{"ServeContent 206", behind(http.HandlerFunc(content)), "/", "bytes=0-2", 206},
		{"http.Error 404", behind(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no", http.StatusNotFound)
		})), "/", "", 404},
		{"http.Error 500", behind(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no", http.StatusInternalServerError)
		})), "/", "", 500},
		{"redirect 301", behind(http.RedirectHandler("/elsewhere", http.StatusMovedPermanently)), "/", "", 301},
		{"redirect 308", behind(http.RedirectHandler("/elsewhere", http.StatusPermanentRedirect)), "/", "", 308},
		{"redirect 303", behind(http.RedirectHandler("/elsewhere", http.StatusSeeOther)), "/", "", 303},
		{"204", behind(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		})), "/", "", 204},
	}
	for _, proto := range protocols {
		for _, tt := range tests {
			t.Run(proto+" "+tt.name, func(t *testing.T) {
				s := newSite(t, renewAlways)
				v := serve(t, s.Handler(tt.handler), proto)
				for _, moment := range []string{"mint", "renewal"} {
					var extra []string
					if tt.ranges != "" {
						extra = []string{"Range", tt.ranges}
					}
					r := v.visit(tt.path, extra...)
					if r.StatusCode != tt.status {
						t.Errorf("%s: got status %d, want %d", moment, r.StatusCode, tt.status)
					}
					if got := len(named(r, anonName)); got != 1 {
						t.Errorf("%s: got %d cookies of ours, want 1: %q", moment, got, r.Header["Set-Cookie"])
					}
					if got := r.Header["Cache-Control"]; !slices.Equal(got, []string{"private, no-store"}) {
						t.Errorf("%s: got Cache-Control %q, want one: private, no-store", moment, got)
					}
					for _, name := range cacheFields {
						if got := r.Header.Values(name); len(got) > 0 {
							t.Errorf("%s: got %s %q, want none", moment, name, got)
						}
					}
					vary := strings.Join(r.Header["Vary"], ", ")
					if strings.Count(vary, "Cookie") != 1 || !strings.Contains(vary, "Accept-Encoding") {
						t.Errorf("%s: got Vary %q, want Cookie added to Accept-Encoding", moment, vary)
					}
				}
				if got, want := s.outcomes(), "minted renewed"; got != want {
					t.Errorf("got events %q, want %q", got, want)
				}
			})
		}
	}
}

func TestVaryIsNotRepeated(t *testing.T) {
	for _, tt := range []struct{ given, want string }{
		{"", "Cookie"},
		{"*", "*"},
		{"Cookie", "Cookie"},
		{"accept, cookie", "accept, cookie"},
		{"Accept-Cookies", "Accept-Cookies|Cookie"},
	} {
		c := newSite(t).browser(func(w http.ResponseWriter, _ *http.Request) {
			if tt.given != "" {
				w.Header().Set("Vary", tt.given)
			}
		})
		if got := strings.Join(c.Visit("/").Header["Vary"], "|"); got != tt.want {
			t.Errorf("%q: got Vary %q, want %q", tt.given, got, tt.want)
		}
	}
}

// TestStreaming holds that a handler streams as it would without us, with the
// cookie in the header block.
func TestStreaming(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto+" Flush before Write", func(t *testing.T) {
			for name, flush := range map[string]func(http.ResponseWriter) error{
				"Flusher":    func(w http.ResponseWriter) error { w.(http.Flusher).Flush(); return nil },
				"controller": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
			} {
				read := make(chan bool)
				s := newSite(t)
				v := serve(t, s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					if err := flush(w); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					select {
					case <-read: // the client has the header, and no byte was written
					case <-r.Context().Done():
					}
					fmt.Fprint(w, "data: 1\n\n")
				})), proto)
				r, err := v.client.Do(v.request(http.MethodGet, "/"))
				if err != nil {
					t.Fatal(err)
				}
				if len(named(r, anonName)) != 1 || r.Header.Get("Cache-Control") != "private, no-store" {
					t.Errorf("%s: got header %v, want the cookie in it", name, r.Header)
				}
				close(read)
				if b, err := io.ReadAll(r.Body); string(b) != "data: 1\n\n" || err != nil {
					t.Errorf("%s: got %q, %v, want the event", name, b, err)
				}
				r.Body.Close()
			}
		})
		t.Run(proto+" ResponseController", func(t *testing.T) {
			control := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				soon := time.Now().Add(time.Minute)
				fmt.Fprint(w, rc.SetReadDeadline(soon), rc.SetWriteDeadline(soon), rc.EnableFullDuplex(), rc.Flush())
			})
			got := body(t, serve(t, newSite(t).Handler(control), proto).visit("/"))
			want := body(t, serve(t, control, proto).visit("/"))
			if got != want {
				t.Errorf("got %q, want %q as without us", got, want)
			}
		})
	}
	t.Run("Hijack", func(t *testing.T) {
		for name, hijack := range map[string]func(http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error){
			"Hijacker": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) { return w.(http.Hijacker).Hijack() },
			"controller": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
				return http.NewResponseController(w).Hijack()
			},
		} {
			v := serve(t, newSite(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, rw, err := hijack(w)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				defer conn.Close()
				fmt.Fprint(rw, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				_ = rw.Flush()
			})), protocols[0])
			if got := body(t, v.visit("/")); got != "ok" {
				t.Errorf("%s: got %q, want what the handler wrote", name, got)
			}
		}
	})
	t.Run("the cookie is there before ReadFrom", func(t *testing.T) {
		file, err := os.Open("go.mod")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for name, send := range map[string]func(http.ResponseWriter, *http.Request){
			"io.Copy":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, file) },
			"ServeContent": func(w http.ResponseWriter, r *http.Request) { http.ServeContent(w, r, "go.mod", time.Time{}, file) },
		} {
			p := newFake()
			s := newSite(t)
			s.Handler(http.HandlerFunc(send)).ServeHTTP(p.with(canReadFrom), s.navigation("/"))
			if !slices.Contains(p.calls, "ReadFrom with cookie") {
				t.Errorf("%s: got calls %q, want ReadFrom with cookie", name, p.calls)
			}
		}
	})
	t.Run("TimeoutHandler", func(t *testing.T) {
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-r.Context().Done()
			}
			who(w, r)
		})
		timeout := func(h http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/", http.TimeoutHandler(h, time.Minute, "late"))
			mux.Handle("/slow", http.TimeoutHandler(h, time.Millisecond, "late"))
			return mux
		}
		s := newSite(t)
		for name, h := range map[string]http.Handler{
			"inside":  s.Handler(timeout(slow)),
			"outside": timeout(s.Handler(slow)),
		} {
			v := serve(t, h, protocols[0])
			if r := v.visit("/slow"); r.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%s: got %d, want 503", name, r.StatusCode)
			}
			v.client.Jar, _ = cookiejar.New(nil)
			r := v.visit("/")
			if got := body(t, r); r.StatusCode != http.StatusOK || !strings.HasSuffix(got, "anonymous=true") || len(named(r, anonName)) != 1 {
				t.Errorf("%s: got %d %q %v, want a visitor with a cookie", name, r.StatusCode, got, r.Header)
			}
		}
		if n := s.store.rows(t); n != 0 {
			t.Errorf("got %d rows, want none", n)
		}
	})
}

// TestOptionalInterfaces holds that a handler finds exactly the interfaces of
// the writer inside, for all 64 combinations, and that each works.
func TestOptionalInterfaces(t *testing.T) {
	wrappers := map[string]func(*site, http.Handler) http.Handler{
		"a cookie to set":                   func(s *site, h http.Handler) http.Handler { return s.Handler(h) },
		"session data":                      func(s *site, h http.Handler) http.Handler { return s.LoadAndSave(scs.New())(h) },
		"a cookie to set, and session data": func(s *site, h http.Handler) http.Handler { return s.Handler(s.LoadAndSave(scs.New())(h)) },
	}
	for name, wrap := range wrappers {
		for has := range abilities(64) {
			s := newSite(t)
			withCookie := ""
			if strings.Contains(name, "cookie") {
				withCookie = " with cookie"
			}
			p := newFake()
			// Each ability on a request of its own, since each commits.
			for _, ask := range []abilities{0, canFlush, canHijack, canReadFrom, canPush, canCloseNotify, canWriteString} {
				*p = *newFake()
				wrap(s, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					f, flusher := w.(http.Flusher)
					h, hijacker := w.(http.Hijacker)
					rf, readerFrom := w.(io.ReaderFrom)
					pu, pusher := w.(http.Pusher)
					cn, closeNotifier := w.(interface{ CloseNotify() <-chan bool })
					sw, stringWriter := w.(io.StringWriter)
					for i, got := range []bool{flusher, hijacker, readerFrom, pusher, closeNotifier, stringWriter} {
						if want := has&(1<<i) != 0; got != want {
							t.Errorf("%s: writer %06b: ability %d: got %t, want %t", name, has, i, got, want)
						}
					}
					switch {
					case has&ask == 0:
					case ask == canFlush:
						f.Flush()
					case ask == canHijack:
						_, _, _ = h.Hijack()
					case ask == canReadFrom:
						_, _ = rf.ReadFrom(strings.NewReader("text"))
					case ask == canPush:
						_ = pu.Push("/style.css", nil)
					case ask == canCloseNotify:
						cn.CloseNotify()
					case ask == canWriteString:
						_, _ = sw.WriteString("text")
					}
				})).ServeHTTP(p.with(has), s.navigation("/"))
				want := map[abilities]string{canFlush: "Flush" + withCookie, canHijack: "Hijack", canReadFrom: "ReadFrom" + withCookie, canPush: "Push",
					canCloseNotify: "CloseNotify", canWriteString: "WriteString" + withCookie}[ask]
				if has&ask != 0 && !slices.Equal(p.calls, []string{want}) {
					t.Errorf("%s: writer %06b: got calls %q, want %q", name, has, p.calls, want)
				}
			}
		}
	}
}

// TestFailedFlush holds that a flush which the writer does not know is not yet
// the moment at which the header goes out.
func TestFailedFlush(t *testing.T) {
	p := newFake()
	s := newSite(t)
	s.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("got %v, want ErrNotSupported", err)
		}
		w.Header().Set("Cache-Control", "public, max-age=600")
		w.WriteHeader(http.StatusOK)
	})).ServeHTTP(p.with(0), s.navigation("/"))
	if got := p.header["Cache-Control"]; !slices.Equal(got, []string{"private, no-store"}) {
		t.Errorf("got Cache-Control %q beside %q, want private, no-store", got, p.header["Set-Cookie"])
	}
}

// TestEarlyHints holds that a 103 carries nothing of ours and the answer
// carries the cookie once.
func TestEarlyHints(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			s := newSite(t, renewAlways)
			v := serve(t, s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", "</style.css>; rel=preload; as=style")
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(http.StatusProcessing)
				w.Header().Set("Cache-Control", "public, max-age=600")
				who(w, r)
			})), proto)
			for _, moment := range []string{"mint", "renewal"} {
				var hints []int
				trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					hints = append(hints, code)
					if h.Get("Link") == "" {
						t.Errorf("%s: got a %d without the handler's Link", moment, code)
					}
					for _, name := range []string{"Set-Cookie", "Cache-Control", "Vary"} {
						if got := h.Values(name); len(got) > 0 {
							t.Errorf("%s: got %s %q in a %d, want none", moment, name, got, code)
						}
					}
					return nil
				}}
				r := v.request(http.MethodGet, "/")
				answer := v.do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
				if !slices.Equal(hints, []int{103, 102}) {
					t.Errorf("%s: got hints %v, want 103 and 102", moment, hints)
				}
				if n := len(named(answer, anonName)); answer.StatusCode != 200 || n != 1 || answer.Header.Get("Cache-Control") != "private, no-store" {
					t.Errorf("%s: got %d with %d cookies and %v, want 200 with one", moment, answer.StatusCode, n, answer.Header)
				}
			}
		})
	}
}

// TestNotModified holds that a 304 and a HEAD carry no cookie, and that the
// next 200 does.
func TestNotModified(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			s := newSite(t, renewAlways)
			v := serve(t, s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"1"`)
				w.Header().Set("Cache-Control", "public, max-age=60")
				http.ServeContent(w, r, "page.html", time.Time{}, strings.NewReader("page"))
			})), proto)
			untouched := func(what string, r *http.Response, status int) {
				t.Helper()
				if r.StatusCode != status || len(r.Header["Set-Cookie"]) > 0 || r.Header.Get("Cache-Control") != "public, max-age=60" || r.Header.Get("Vary") != "" {
					t.Errorf("%s: got %d %v, want %d and nothing of ours", what, r.StatusCode, r.Header, status)
				}
			}
			untouched("304 to nobody", v.visit("/", "If-None-Match", `"1"`), http.StatusNotModified)
			untouched("HEAD of nobody", v.do(v.request(http.MethodHead, "/")), http.StatusOK)
			if n := len(named(v.visit("/"), anonName)); n != 1 {
				t.Fatalf("the first 200: got %d cookies, want 1", n)
			}
			untouched("304", v.visit("/", "If-None-Match", `"1"`), http.StatusNotModified)
			untouched("HEAD", v.do(v.request(http.MethodHead, "/")), http.StatusOK)
			if n := len(named(v.visit("/"), anonName)); n != 1 {
				t.Errorf("the 200 after the 304: got %d cookies, want a renewal", n)
			}
		})
	}
}

// TestAssetsUntouched holds that the answer to a browser that loads a piece of
// a page is, byte for byte, what it would be without us.
func TestAssetsUntouched(t *testing.T) {
	asset := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "logo.svg", time.Unix(1e9, 0), strings.NewReader("<svg/>"))
	})
	insecure := func(c *walkin.Config) { c.Cookies.Insecure, c.Cookies.Name = true, "walkin" }
	var store *faultyStore
	fresh := newSite(t, insecure)
	store = fresh.store
	due := newSite(t, insecure, renewAlways, func(c *walkin.Config) { c.Store = store })
	servers := map[string]*httptest.Server{
		"fresh": httptest.NewServer(fresh.Handler(asset)),
		"due":   httptest.NewServer(due.Handler(asset)),
	}
	without := httptest.NewServer(asset)
	defer without.Close()

	cookies := map[string]string{"nobody": "", "another app's": "theme=dark", "forged": "walkin-anon=a.b.c"}
	c := fresh.browser(fresh.routes().ServeHTTP)
	c.Visit("/")
	cookies["provisional"] = "walkin-anon=" + c.Cookie("walkin-anon")
	c.Post("/note", nil)
	cookies["anonymous"] = "walkin-anon=" + c.Cookie("walkin-anon")
	other := fresh.browser(fresh.routes().ServeHTTP)
	other.Post("/note", nil)
	old := other.Cookie("walkin-anon")
	fresh.prove(other, "ann")
	cookies["session_ended"] = "walkin-anon=" + old
	cookies["permanent"] = "walkin=" + other.Cookie("walkin")
	cookies["both kinds"] = cookies["permanent"] + "; " + cookies["anonymous"]

	dests := []string{"image", "style", "script", "font", "audio", "video", "track", "manifest", "worker", "serviceworker", "sharedworker", "report", "xslt", "json"}
	for age, server := range servers {
		defer server.Close()
		for visitor, cookie := range cookies {
			for _, dest := range dests {
				got := rawResponse(t, server, dest, "no-cors", cookie)
				if want := rawResponse(t, without, dest, "no-cors", cookie); got != want {
					t.Errorf("%s, %s cookie, %s: got\n%s\nwant\n%s", dest, visitor, age, got, want)
				}
			}
		}
	}
	// Nor is a page touched when there is nothing to write.
	for _, visitor := range []string{"provisional", "anonymous", "permanent", "both kinds"} {
		got := rawResponse(t, servers["fresh"], "document", "navigate", cookies[visitor])
		if want := rawResponse(t, without, "document", "navigate", cookies[visitor]); got != want {
			t.Errorf("a page, %s cookie: got\n%s\nwant\n%s", visitor, got, want)
		}
	}
}

var dateLine = regexp.MustCompile(`(?m)^Date: .*\r\n`)

// rawResponse returns the bytes that come over the wire, but the date.
func rawResponse(t *testing.T, server *httptest.Server, dest, mode, cookie string) string {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := "GET /logo.svg HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\nUser-Agent: " + walkintest.UserAgent +
		"\r\nAccept: text/html,*/*\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: " + mode + "\r\nSec-Fetch-Dest: " + dest + "\r\n"
	if cookie != "" {
		lines += "Cookie: " + cookie + "\r\n"
	}
	if _, err := io.WriteString(conn, lines+"\r\n"); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return dateLine.ReplaceAllString(string(b), "")
}

// TestWriterPassedThrough holds that the handler gets the very same writer when
// there is nothing to write.
func TestWriterPassedThrough(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Paths.SignIn = "/sign-in" })
	c := s.browser(s.routes().ServeHTTP)
	c.Visit("/")
	provisional := c.Cookie(anonName)
	c.Post("/note", nil)
	anonymous := c.Cookie(anonName)
	p := s.browser(s.routes().ServeHTTP)
	s.prove(p, "ann")
	permanent := p.Cookie(permName)
	other := resident(s, "anonymous").Cookie(anonName)

	page := func(r *http.Request) { *r = *s.navigation(r.URL.Path) }
	tests := []struct {
		name    string
		method  string
		path    string
		change  func(*http.Request)
		same    bool
		visitor string
	}{
		{"fetch of nobody", "GET", "/", nil, true, ""},
		{"page of nobody", "GET", "/", page, false, ""},
		{"act of nobody", "POST", "/", nil, false, ""},
		{"act of nobody at the sign-in form", "POST", "/sign-in", nil, true, ""},
		{"post of nobody from elsewhere", "POST", "/", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, true, ""},
		{"page of a provisional user", "GET", "/", page, true, anonName + "=" + provisional},
		{"page of an anonymous user", "GET", "/", page, true, anonName + "=" + anonymous},
		{"act of an anonymous user", "POST", "/", nil, true, anonName + "=" + anonymous},
		{"page of a permanent user", "GET", "/", page, true, permName + "=" + permanent},
		{"act of a permanent user", "POST", "/", nil, true, permName + "=" + permanent},
		{"bearer", "POST", "/", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+anonymous) }, true, ""},
		{"bearer of a provisional user", "GET", "/", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+provisional) }, true, ""},
		{"bearer that is not ours", "POST", "/", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, true, ""},
		{"two users under one name", "GET", "/", page, true, anonName + "=" + anonymous + "; " + anonName + "=" + other},
	}
	for _, tt := range tests {
		r := s.request(tt.method, tt.path)
		if tt.change != nil {
			tt.change(r)
		}
		if tt.visitor != "" {
			r.Header.Set("Cookie", tt.visitor)
		}
		rec := httptest.NewRecorder()
		called := false
		s.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			called = true
			if got := w == http.ResponseWriter(rec); got != tt.same {
				t.Errorf("%s: got the same writer %t, want %t", tt.name, got, tt.same)
			}
		})).ServeHTTP(rec, r)
		if !called {
			t.Errorf("%s: the handler was not called", tt.name)
		}
	}
}

// TestPanicAfterMint holds that a panic drops the connection as it would without us,
// and leaves no row that no browser can come back to.
func TestPanicAfterMint(t *testing.T) {
	crash := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/crash":
			panic("a bug of the app")
		case "/late":
			w.(http.Flusher).Flush()
			panic("a bug of the app, after the header")
		}
		who(w, r)
	}
	persist := func(c *walkin.Config) { c.NewUsers.PersistOnMint = true }
	dropped := func(t *testing.T, v *visitor, r *http.Request) {
		t.Helper()
		answer, err := v.client.Do(r)
		if err == nil {
			answer.Body.Close()
			t.Errorf("%s %s: got %d, want a dropped connection", r.Method, r.URL.Path, answer.StatusCode)
		}
	}
	for _, proto := range protocols {
		for _, path := range []string{"/abort", "/crash"} {
			t.Run(proto+" a visit that makes a row "+path, func(t *testing.T) {
				s := newSite(t, persist)
				v := serve(t, s.Handler(http.HandlerFunc(crash)), proto)
				dropped(t, v, v.request(http.MethodGet, path))
				s.wantRows(0)
			})
			t.Run(proto+" an act "+path, func(t *testing.T) {
				s := newSite(t)
				v := serve(t, s.Handler(http.HandlerFunc(crash)), proto)
				dropped(t, v, v.act(path))
				s.wantRows(0)
				if got := body(t, v.do(v.act("/"))); !strings.HasSuffix(got, "anonymous=true") {
					t.Errorf("the next act: got %q, want a new user", got)
				}
				s.wantRows(1)
			})
		}
		t.Run(proto+" the first act of a user who has a cookie", func(t *testing.T) {
			s := newSite(t)
			v := serve(t, s.Handler(http.HandlerFunc(crash)), proto)
			before := body(t, v.visit("/"))
			dropped(t, v, v.act("/crash"))
			if got := body(t, v.do(v.act("/"))); got != before {
				t.Errorf("the next act: got %q, want %q still", got, before)
			}
			s.wantRows(1)
		})
	}
	t.Run("after the header the visitor has the cookie, and stays", func(t *testing.T) {
		s := newSite(t, persist)
		v := serve(t, s.Handler(http.HandlerFunc(crash)), protocols[0])
		r, err := v.client.Do(v.request(http.MethodGet, "/late"))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		s.wantRows(1)
		if got := body(t, v.do(v.act("/"))); !strings.HasSuffix(got, "anonymous=true") {
			t.Errorf("got %q, want the same user to go on", got)
		}
		s.wantRows(1)
	})
}

// TestPanicAfterSignIn holds that a panic undoes what was minted for the
// request, and never who the visitor has become since.
func TestPanicAfterSignIn(t *testing.T) {
	for _, conflict := range []walkin.Conflict{walkin.ConflictSignIn, walkin.ConflictMerge} {
		s := newSite(t, merging)
		owner := s.browser(s.routes().ServeHTTP)
		s.prove(owner, "ann")
		r := s.form("/sign-in", url.Values{})
		_, err := walkintest.NewClient(t, s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Method: "pwd", Conflict: conflict}); err != nil {
				t.Error(err)
			}
			panic("the template is broken")
		}))).Serve(r)
		if err == nil || !strings.Contains(err.Error(), "the template is broken") {
			t.Errorf("conflict %d: got %v, want the handler's panic", conflict, err)
		}
		if r := owner.Post("/members", nil); r.StatusCode != http.StatusOK {
			t.Errorf("conflict %d: the owner of the account afterwards: got %d, want 200", conflict, r.StatusCode)
		}
		if _, err := s.store.Identity(t.Context(), "test", "ann"); err != nil {
			t.Errorf("conflict %d: the owner's identity: %v", conflict, err)
		}
	}
	t.Run("an upgrade", func(t *testing.T) {
		s := newSite(t)
		c := s.browser(func(w http.ResponseWriter, r *http.Request) {
			if _, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Method: "pwd"}); err != nil {
				t.Error(err)
			}
			panic("the template is broken")
		})
		if _, err := c.Serve(s.form("/sign-up", nil)); err == nil {
			t.Error("got no panic, want the handler's")
		}
		if got := s.prove(s.browser(who), "ann"); got != "signed_in" {
			t.Errorf("proving it again: got %q, want signed_in, to who they became", got)
		}
	})
	t.Run("a sign-out", func(t *testing.T) {
		s := newSite(t)
		_, err := walkintest.NewClient(t, s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := s.SignOut(w, r); err != nil {
				t.Error(err)
			}
			panic("the template is broken")
		}))).Serve(s.form("/out", nil))
		if err == nil || !strings.Contains(err.Error(), "the template is broken") {
			t.Errorf("got %v, want the handler's panic", err)
		}
	})
}

// TestHandlersCookies holds that a handler's own cookies stay, and that two of
// our name never occur.
func TestHandlersCookies(t *testing.T) {
	s := newSite(t, renewAlways)
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    []string // names in order
	}{
		{"nothing written", func(http.ResponseWriter, *http.Request) {}, []string{anonName}},
		{"cookies of its own", func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
			http.SetCookie(w, &http.Cookie{Name: anonName + "-of-mine", Value: "1"})
			http.SetCookie(w, &http.Cookie{Name: "a", Value: anonName + "=x"})
		}, []string{"theme", anonName + "-of-mine", "a", anonName}},
		{"one of our name", func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: anonName, Value: "planted"})
			http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
			w.WriteHeader(http.StatusOK)
		}, []string{"theme", anonName}},
		{"Ensure after the mint", func(w http.ResponseWriter, r *http.Request) {
			for range 2 {
				if _, err := s.Ensure(w, r); err != nil {
					t.Error(err)
				}
			}
		}, []string{anonName}},
		{"Continue after the mint", func(w http.ResponseWriter, r *http.Request) {
			for _, subject := range []string{"cookies-1", "cookies-2"} {
				if _, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: subject, StateChecked: true}); err != nil {
					t.Error(err)
				}
			}
		}, []string{anonName, permName}},
	}
	for _, tt := range tests {
		for _, moment := range []string{"mint", "renewal"} {
			c := s.browser(who)
			if moment == "renewal" {
				c.Visit("/")
			}
			if tt.name == "Continue after the mint" {
				s.forget("test", "cookies-1", "cookies-2")
			}
			var got []string
			r := c.On(s.Handler(tt.handler)).Visit("/")
			for _, cookie := range r.Cookies() {
				got = append(got, cookie.Name)
			}
			slices.Sort(got)
			slices.Sort(tt.want)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s, %s: got cookies %q, want %q", tt.name, moment, got, tt.want)
			}
			for _, cookie := range named(r, anonName) {
				if cookie.Value == "planted" {
					t.Errorf("%s, %s: the handler's cookie won over ours", tt.name, moment)
				}
			}
		}
	}
}

// TestWebSocket holds, as far as net/http alone can, that a handshake reads
// the claims and writes nothing.
func TestWebSocket(t *testing.T) {
	s := newSite(t, renewAlways)
	handshake := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			s.routes().ServeHTTP(w, r)
			return
		}
		// As coder/websocket does: the status first, then the connection.
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		c, ok := walkin.FromContext(r.Context())
		w.Header().Set("X-Who", fmt.Sprint(ok, c.Anonymous))
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	})
	connect := func(v *visitor) *http.Response {
		return v.visit("/", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
			"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Fetch-Mode", "websocket", "Sec-Fetch-Dest", "websocket")
	}
	check := func(what string, r *http.Response, who string) {
		t.Helper()
		if r.StatusCode != http.StatusSwitchingProtocols || len(r.Header["Set-Cookie"]) > 0 || r.Header.Get("Cache-Control") != "" || r.Header.Get("X-Who") != who {
			t.Errorf("%s: got %d %v, want 101 for %q and no cookie", what, r.StatusCode, r.Header, who)
		}
	}
	v := serve(t, s.Handler(handshake), protocols[0])
	check("nobody", connect(v), "false false")
	v.visit("/")
	check("a provisional user", connect(v), "true true")
	s.wantRows(0)
	v.do(v.act("/note"))
	check("an anonymous user", connect(v), "true true")
	s.wantRows(1)
	v.do(v.act("/prove?name=ann"))
	check("a permanent user", connect(v), "true false")
}

// TestEnsureBeforeFiles holds that a cookie which a handler asked for is kept
// out of caches and off a 304, whatever a file server does after it.
func TestEnsureBeforeFiles(t *testing.T) {
	s := newSite(t, minting(walkin.MintOnDemand))
	files := http.FileServerFS(fstest.MapFS{"a.txt": {Data: []byte("a"), ModTime: time.Unix(1e9, 0)}})
	h := s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.Ensure(w, r); err != nil {
			t.Error(err)
		}
		w.Header().Set("Cache-Control", "public, max-age=600")
		files.ServeHTTP(w, r)
	}))
	for _, tt := range []struct {
		path, since string
		status      int
		cookies     int
	}{
		{"/a.txt", "", http.StatusOK, 1},
		{"/none", "", http.StatusNotFound, 1},
		{"/a.txt", time.Now().UTC().Format(http.TimeFormat), http.StatusNotModified, 0},
	} {
		r := s.navigation(tt.path)
		if tt.since != "" {
			r.Header.Set("If-Modified-Since", tt.since)
		}
		answer, err := walkintest.NewClient(t, h).Serve(r)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != tt.status || len(answer.Cookies()) != tt.cookies {
			t.Errorf("%s: got %d and %d cookies, want %d and %d", tt.path, answer.StatusCode, len(answer.Cookies()), tt.status, tt.cookies)
		}
		if got := answer.Header["Cache-Control"]; tt.cookies > 0 && !slices.Equal(got, []string{"private, no-store"}) {
			t.Errorf("%s: got Cache-Control %q, want private, no-store", tt.path, got)
		}
	}
}

// TestWithheldCookie holds that a row whose cookie a 304 could not carry does
// not stay.
func TestWithheldCookie(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.NewUsers.PersistOnMint = true })
	r := s.browser(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }).Visit("/")
	if len(r.Cookies()) > 0 {
		t.Errorf("got cookies %v on a 304", r.Cookies())
	}
	s.forgotten(t)
}

// forgotten holds that no user is left whom a mint has made.
func (s *site) forgotten(t *testing.T) {
	t.Helper()
	for _, e := range s.told() {
		if _, err := s.store.LockUser(t.Context(), e.UserID); e.Outcome == walkin.Minted && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("user %v: got %v, want ErrNotFound", e.UserID, err)
		}
	}
}

// TestTimeoutHandler holds that a handler which goes on after its time is up
// shares nothing with the answer that went out without it.
func TestTimeoutHandler(t *testing.T) {
	s := newSite(t)
	entered, over := make(chan struct{}), make(chan struct{})
	h := s.Handler(http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		close(entered)
		for range 100 {
			_, _ = s.Continue(w, r.WithContext(context.WithoutCancel(r.Context())), walkin.Proof{Provider: "test", Subject: "ann", Method: "pwd"})
		}
	}), time.Nanosecond, "too late"))
	r := s.browser(h.ServeHTTP).Post("/", nil)
	<-entered
	<-over
	if r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %d, want 503", r.StatusCode)
	}
}

// TestTimedOutFirstPost holds that a first post leaves no row when an
// http.TimeoutHandler outside has answered before its handler was done: that
// answer has no cookie, and its visitor can never come back to the user.
func TestTimedOutFirstPost(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write func(w http.ResponseWriter, r *http.Request)
	}{
		{"Write", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("late")) }},
		{"WriteString", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "late") }},
		{"WriteHeader", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusSeeOther) }},
		{"nothing", func(http.ResponseWriter, *http.Request) {}},
		{"panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				late, answered, over := false, make(chan struct{}), make(chan struct{})
				inside := s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if s.wantRows(1); late {
						<-answered
					}
					tt.write(w, r)
				}))
				h := http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer close(over)
					defer func() { _ = recover() }() // which TimeoutHandler passes on after the client has left
					inside.ServeHTTP(w, r)
				}), time.Second, "too late")

				late = true
				w := httptest.NewRecorder()
				h.ServeHTTP(w, s.form("/", nil))
				close(answered)
				<-over
				if w.Code != http.StatusServiceUnavailable || len(w.Header()["Set-Cookie"]) > 0 {
					t.Fatalf("got %d and %q, want 503 without a cookie", w.Code, w.Header()["Set-Cookie"])
				}
				s.wantRows(0)
				if tt.name == "panic" {
					return
				}
				late, over = false, make(chan struct{}) // in time
				w = httptest.NewRecorder()
				h.ServeHTTP(w, s.form("/", nil))
				if len(w.Header()["Set-Cookie"]) != 1 {
					t.Errorf("in time: got cookies %q, want one", w.Header()["Set-Cookie"])
				}
				s.wantRows(1)
			})
		})
	}
}

// The pieces that the tests of this package share.

const (
	anonName = "__Host-walkin-anon"
	permName = "__Host-walkin"
)
