package walkin_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"sync"
	"testing"
	"weak"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// TestTemporaryFiles holds that the files of a form are gone when it has been
// served, on each way through Handler, and behind LoadAndSave and a form of ours.
func TestTemporaryFiles(t *testing.T) {
	parse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 10); err != nil {
			t.Error(err)
		}
	})
	s := newSite(t)
	mux := http.NewServeMux()
	mux.Handle("/plain", parse)
	mux.Handle("/data", s.LoadAndSave(scs.New())(parse))
	mux.Handle("/ours", s.FormHandler(nil, func(w http.ResponseWriter, r *http.Request) (string, error) {
		parse(w, r)
		return "/", nil
	}))
	for name, h := range map[string]http.Handler{"behind Handler": s.Handler(mux), "without": mux} {
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		for _, path := range []string{"/plain", "/data", "/ours"} {
			for _, method := range []string{http.MethodPost, http.MethodGet} {
				if path == "/ours" && method == http.MethodGet {
					continue
				}
				server := httptest.NewTLSServer(h)
				v := &visitor{t: t, client: server.Client(), url: server.URL}
				cookies := ""
				for range 3 { // the last one goes the short way
					var b bytes.Buffer
					m := multipart.NewWriter(&b)
					part, _ := m.CreateFormFile("file", "large.bin")
					_, _ = part.Write(make([]byte, 32<<10))
					_ = m.Close()
					r := v.request(method, path, "Content-Type", m.FormDataContentType(), "Cookie", cookies)
					r.Body, r.ContentLength = io.NopCloser(&b), int64(b.Len())
					response, err := v.client.Transport.RoundTrip(r)
					if err == nil {
						for _, c := range response.Cookies() {
							cookies = c.Name + "=" + c.Value
						}
						response.Body.Close()
					}
				}
				server.Close() // and wait for what net/http does at the end
				left, err := os.ReadDir(dir)
				if err != nil || len(left) > 0 {
					t.Errorf("%s, %s %s: %d files are left, %v", name, method, path, len(left), err)
				}
				for _, file := range left {
					os.Remove(dir + "/" + file.Name())
				}
			}
		}
	}
}

// TestUnannouncedTrailer holds that a handler sees the trailers that net/http adds
// to its own request at the end of the body.
func TestUnannouncedTrailer(t *testing.T) {
	s := newSite(t)
	got := make(chan string, 1)
	server := httptest.NewServer(s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Trailer.Get("Checksum")
	})))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nSec-Fetch-Site: same-origin\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntext\r\n0\r\nChecksum: 1\r\n\r\n", server.Listener.Addr())
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	if checksum := <-got; checksum != "1" {
		t.Errorf("got trailer %q, want 1", checksum)
	}
}

// TestKeptContext holds that a context that a handler keeps keeps neither the
// request nor the response.
func TestKeptContext(t *testing.T) {
	s := newSite(t)
	var kept []context.Context
	var writers []weak.Pointer[httptest.ResponseRecorder]
	var requests []weak.Pointer[http.Request]
	c := walkintest.NewClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		own := r.Clone(r.Context())
		s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			kept = append(kept, r.Context())
		})).ServeHTTP(rec, own)
		writers, requests = append(writers, weak.Make(rec)), append(requests, weak.Make(own))
		maps.Copy(w.Header(), rec.Header())
	}))
	c.Visit("/")
	c.Post("/note", nil)
	c.Post("/note", nil)
	c.Visit("/")
	c.Visit("/")
	as := newOffice(t)
	as.begin()
	c = as.operator.On(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		own := r.Clone(r.Context())
		as.m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			kept = append(kept, r.Context())
		})).ServeHTTP(rec, own)
		writers, requests = append(writers, weak.Make(rec)), append(requests, weak.Make(own))
	}))
	c.Visit("/")
	for range 3 {
		runtime.GC()
	}
	if n := len(writers); n != 6 || len(kept) != n {
		t.Fatalf("got %d answers and %d contexts, want 6, that of an impersonation too", n, len(kept))
	}
	for i := range writers {
		if writers[i].Value() != nil || requests[i].Value() != nil {
			t.Errorf("request %d: the context keeps the response (%t) or the request (%t)", i, writers[i].Value() != nil, requests[i].Value() != nil)
		}
	}
	if _, ok := walkin.FromContext(kept[1]); !ok {
		t.Error("a kept context no longer tells who it was")
	}
	runtime.KeepAlive(kept)
}

// TestDeleteUserAfterTheRequest holds that a context that outlives its request is no
// way around Config.NewUsers.Limit.
func TestDeleteUserAfterTheRequest(t *testing.T) {
	s := newSite(t)
	var kept context.Context
	s.browser(func(_ http.ResponseWriter, r *http.Request) { kept = r.Context() }).Visit("/")
	c, ok := walkin.FromContext(kept)
	if !ok || !c.Provisional {
		t.Fatalf("got %v %t, want a provisional user", c, ok)
	}
	if err := s.DeleteUser(context.WithoutCancel(kept), c.UserID); err == nil {
		t.Error("got no error, and no limit")
	}
}

// TestParallelEnsure holds that goroutines of one request, as a GraphQL server's
// resolvers are, get one user, wherever they ask.
func TestParallelEnsure(t *testing.T) {
	for name, mint := range map[string]walkin.Mint{"on visit": walkin.MintOnVisit, "on act": walkin.MintOnWrite, "on demand": walkin.MintOnDemand} {
		for _, request := range []string{"a page", "a call", "a post", "outside of Handler"} {
			t.Run(name+" "+request, func(t *testing.T) {
				s := newSite(t, func(c *walkin.Config) { c.NewUsers.Mint = mint })
				h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					var mu sync.Mutex
					users := map[uuid.UUID]bool{}
					var wg sync.WaitGroup
					for range 8 {
						wg.Go(func() {
							c, err := s.Ensure(w, r)
							if err != nil {
								t.Error(err)
							}
							mu.Lock()
							defer mu.Unlock()
							users[c.UserID] = true
						})
					}
					wg.Wait()
					if len(users) != 1 {
						t.Errorf("got %d users, want 1", len(users))
					}
				})
				site := s.Handler(h)
				if request == "outside of Handler" {
					site = h
				}
				c := walkintest.NewClient(t, site)
				var r *http.Response
				switch request {
				case "a page", "outside of Handler":
					r = c.Visit("/")
				case "a call":
					r = c.Fetch("/")
				case "a post":
					r = c.Post("/", nil)
				}
				if n := len(r.Cookies()); n != 1 {
					t.Errorf("got %d cookies, want 1", n)
				}
				s.wantRows(1)
			})
		}
	}
}

// TestFormWithoutBody holds that a form is refused, and nothing panics, where a
// request was made by hand, as adapters of functions in a cloud do.
func TestFormWithoutBody(t *testing.T) {
	s := newSite(t)
	post := s.FormHandler(nil, func(_ http.ResponseWriter, r *http.Request) (string, error) {
		_ = r.PostFormValue("name")
		return "/", nil
	})
	for name, h := range map[string]http.Handler{"form": post, "sign-out": s.SignOutHandler()} {
		for _, h := range []http.Handler{h, s.Handler(h)} {
			r := s.form("/sign-up", nil)
			r.Body = nil
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusSeeOther {
				t.Errorf("%s: got %d, want 303", name, w.Code)
			}
		}
	}
}

// TestDemandPassesThrough holds that where Ensure can make no user the writer is the
// server's own.
func TestDemandPassesThrough(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.NewUsers.Mint = walkin.MintOnDemand })
	for method, want := range map[string]bool{"GET": false, "POST": false, "CONNECT": true, "HEAD": true, "OPTIONS": true, "TRACE": true, "PROPFIND": true} {
		rec := httptest.NewRecorder()
		r := s.navigation("/")
		r.Method = method
		s.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if own := w == http.ResponseWriter(rec); own != want {
				t.Errorf("%s: own writer: got %t, want %t", method, own, want)
			}
		})).ServeHTTP(rec, r)
	}
}
