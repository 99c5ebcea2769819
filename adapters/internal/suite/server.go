package suite

import (
	"bufio"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/walkintest"
)

// What follows needs a real server: a ResponseRecorder cannot stream.

// A line is a visitor's line to a server.
type line struct {
	t      *testing.T
	server *httptest.Server
	cookie string // what the visitor sends, kept by hand: the line has no TLS
}

// serve starts a server for the app; a visitor who has a user already comes with their
// cookies.
func (s Stack) serve(t *testing.T, a *App, known *walkintest.Client) *line {
	t.Helper()
	server := httptest.NewUnstartedServer(s.New(a))
	// echo forgets that a flush has sent the header, with walkin and without,
	// and net/http complains.
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	l := &line{t: t, server: server}
	if known != nil {
		for _, c := range known.Cookies() {
			l.cookie = c.Name + "=" + c.Value
		}
	}
	return l
}

// open opens a page and returns the response when its header is there.
func (l *line) open(path string, header ...string) *http.Response {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, l.server.URL+path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("User-Agent", walkintest.UserAgent)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if l.cookie != "" {
		r.Header.Set("Cookie", l.cookie)
	}
	response, err := l.server.Client().Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { response.Body.Close() })
	return response
}

// streams holds that a flush before the first byte sends the header, cookie
// included, and that every event arrives while the stream goes on.
func (s Stack) streams(t *testing.T) {
	for who, wantCookies := range map[string]string{"nobody": "anon", "anonymous": ""} {
		v := s.site(t)
		v.become(who)
		r := s.serve(t, v.App, v.client).open("/events")
		// The handler waits for an event; no byte has been written.
		if got := cookies(r); got != wantCookies {
			t.Errorf("%s: got cookies %q, want %q", who, got, wantCookies)
		}
		if got := r.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
			t.Errorf("%s: got Content-Type %q, want an event stream", who, got)
		}
		lines := bufio.NewScanner(r.Body)
		for _, event := range []string{"one", "two"} {
			v.Events <- event
			got := ""
			for got == "" && lines.Scan() {
				if data, ok := strings.CutPrefix(lines.Text(), "data:"); ok {
					got = strings.TrimSpace(data)
				}
			}
			if got != event {
				t.Errorf("%s: got event %q, want %q: %v", who, got, event, lines.Err())
			}
		}
		close(v.Events)
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Errorf("%s: the stream ended with %v", who, err)
		}
	}
}

func (s Stack) controller(t *testing.T) {
	for who, wantCookies := range map[string]string{"nobody": "anon", "anonymous": ""} {
		v := s.site(t)
		v.become(who)
		r := s.serve(t, v.App, v.client).open("/controller")
		if got, want := text(t, r), "<nil> <nil>"; got != want || cookies(r) != wantCookies {
			t.Errorf("%s: got %q and cookies %q, want %q and %q", who, got, cookies(r), want, wantCookies)
		}
	}
}

// sockets holds that WebSocket libraries get through, that a handshake makes no
// user, no row and no cookie, and that the claims of a live cookie are there.
func (s Stack) sockets(t *testing.T) {
	for _, path := range []string{"/gorilla", "/coder"} {
		for who, rows := range map[string]int64{"nobody": 0, "provisional": 0, "anonymous": 1, "permanent": 1} {
			v := s.site(t, renewing)
			id := v.become(who)
			l := s.serve(t, v.App, v.client)
			r := l.open(path, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
				"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Fetch-Mode", "websocket", "Sec-Fetch-Dest", "empty", "Origin", l.server.URL)
			if r.StatusCode != http.StatusSwitchingProtocols {
				t.Errorf("%s, %s: got %d, want 101", path, who, r.StatusCode)
				continue
			}
			if len(r.Header["Set-Cookie"]) > 0 || r.Header.Get("Cache-Control") != "" {
				t.Errorf("%s, %s: got %v, want nothing of ours", path, who, r.Header)
			}
			if got, want := message(t, r.Body), strings.TrimSpace(who+" "+id); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
			if got := v.store.rows.Load(); got != rows {
				t.Errorf("%s, %s: got %d rows, want %d", path, who, got, rows)
			}
		}
	}
}

// message reads one short text message, as a server sends it: RFC 6455 §5.2.
func message(t *testing.T, r io.Reader) string {
	t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatal(err)
	}
	if head[0] != 0x81 || head[1] > 125 {
		t.Fatalf("got a frame that starts with %x, want a short text", head)
	}
	payload := make([]byte, head[1])
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatal(err)
	}
	return string(payload)
}
