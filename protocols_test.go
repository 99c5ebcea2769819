package walkin_test

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/walkin-go/walkin/walkintest"
)

// protocols are what a visitor may speak.
var protocols = []string{"HTTP/1.1", "HTTP/2.0"}

// A visitor is a browser's worth of client in front of a real server.
type visitor struct {
	t      *testing.T
	client *http.Client
	url    string
	proto  string
}

// serve starts a server for h and returns a visitor with an empty jar.
func serve(t *testing.T, h http.Handler, proto string) *visitor {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = proto == "HTTP/2.0"
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	client.Jar = jar
	client.Timeout = 10 * time.Second
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &visitor{t, client, server.URL, proto}
}

// request returns a navigation, for the test to change.
func (v *visitor) request(method, path string, header ...string) *http.Request {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.url+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("User-Agent", walkintest.UserAgent)
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (v *visitor) act(path string) *http.Request { return v.request(http.MethodPost, path) }

// do sends a request and reads the whole answer.
func (v *visitor) do(r *http.Request) *http.Response {
	v.t.Helper()
	answer, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.Proto != v.proto {
		v.t.Errorf("got %s, want %s", answer.Proto, v.proto)
	}
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return answer
	}
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	answer.Body = io.NopCloser(bytes.NewReader(b))
	return answer
}

func (v *visitor) visit(path string, header ...string) *http.Response {
	v.t.Helper()
	return v.do(v.request(http.MethodGet, path, header...))
}

// abilities are the optional interfaces of a ResponseWriter.
type abilities int

const (
	canFlush abilities = 1 << iota
	canHijack
	canReadFrom
	canPush
	canCloseNotify
	canWriteString
)

// A fakeWriter records which of its methods were called, and whether our
// cookie was in the header by then.
type fakeWriter struct {
	header http.Header
	calls  []string
}

func newFake() *fakeWriter { return &fakeWriter{header: make(http.Header)} }

func (p *fakeWriter) Header() http.Header         { return p.header }
func (p *fakeWriter) WriteHeader(int)             {}
func (p *fakeWriter) Write(b []byte) (int, error) { return len(b), nil }

func (p *fakeWriter) called(name string) {
	if len(p.header["Set-Cookie"]) > 0 {
		name += " with cookie"
	}
	p.calls = append(p.calls, name)
}

type (
	flusher    struct{ p *fakeWriter }
	hijacker   struct{ p *fakeWriter }
	readerFrom struct{ p *fakeWriter }
	pusher     struct{ p *fakeWriter }

	closeNotifier struct{ p *fakeWriter }
	stringWriter  struct{ p *fakeWriter }
)

func (f flusher) Flush() { f.p.called("Flush") }

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.p.called("Hijack")
	return nil, nil, nil
}

func (f readerFrom) ReadFrom(r io.Reader) (int64, error) {
	f.p.called("ReadFrom")
	return io.Copy(io.Discard, r)
}

func (p pusher) Push(string, *http.PushOptions) error {
	p.p.called("Push")
	return nil
}

func (c closeNotifier) CloseNotify() <-chan bool {
	c.p.called("CloseNotify")
	return nil
}

func (s stringWriter) WriteString(text string) (int, error) {
	s.p.called("WriteString")
	return len(text), nil
}
