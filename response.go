package walkin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/walkin-go/walkin/internal/nostore"
)

//go:generate go run ./internal/writers

// A response is a ResponseWriter that still has cookies to set. They go into
// the header when it is committed, after everything the handler, a FileServer
// or a ReverseProxy had to say about caching.
type response struct {
	http.ResponseWriter
	before func(status int) bool // runs at commit; false: it has answered, and the handler's answer is dropped

	// A handler behind an http.TimeoutHandler may still ask for a cookie
	// while the answer goes out without it.
	mu        sync.Mutex
	cookies   []*http.Cookie // set at commit
	committed bool
	withheld  bool // it was committed with a status that must not carry the cookies, or after an http.TimeoutHandler had answered

	goesOn []*http.Cookie // those of cookies that go on with a session; the last one carries it
	alive  func() bool    // whether that session is; asked at commit

	dropped bool
}

// begun reports whether the header has gone out.
func (p *response) begun() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.committed
}

// set replaces what would be set for the same cookie, which a browser tells by
// name, domain and path.
func (p *response) set(c *http.Cookie) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, old := range p.cookies {
		if old.Name == c.Name && old.Domain == c.Domain && old.Path == c.Path {
			p.cookies[i] = c
			return
		}
	}
	p.cookies = append(p.cookies, c)
}

// goOn sets cookies that go on with a session, if that is alive when the header
// goes out. The last one carries it.
func (p *response) goOn(alive func() bool, cookies ...*http.Cookie) {
	for _, c := range cookies {
		p.set(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.goesOn, p.alive = cookies, alive
}

// commit runs once, before the header goes out with the given status.
func (p *response) commit(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.committed {
		return
	}
	p.committed = true
	if p.before != nil && !p.before(status) {
		p.dropped = true
		return
	}
	switch status {
	case http.StatusNotModified:
		// A cache merges the header of a 304 into what it has stored (RFC
		// 9111 §4.3.4), and would hand the cookie on.
		p.withheld = true
		return
	case http.StatusSwitchingProtocols:
		p.withheld = true
		return
	}
	if n := len(p.goesOn); n > 0 && slices.Contains(p.cookies, p.goesOn[n-1]) && !p.alive() {
		p.cookies = slices.DeleteFunc(slices.Clone(p.cookies), func(c *http.Cookie) bool { return slices.Contains(p.goesOn, c) })
	}
	if len(p.cookies) > 0 {
		writeCookies(p.Header(), p.cookies)
	}
}

// writeCookies sets cookies and keeps the response out of every cache.
func writeCookies(h http.Header, cookies []*http.Cookie) {
	for _, c := range cookies {
		dropSetCookie(h, c.Name)
	}
	for _, c := range cookies {
		h.Add("Set-Cookie", c.String())
	}
	nostore.Set(h, "private, no-store") // shared caches and private ones
	addVary(h, "Cookie")
}

// dropSetCookie removes an earlier Set-Cookie of that name: of two in one
// response, which one counts is up to the browser.
func dropSetCookie(h http.Header, name string) {
	lines := h["Set-Cookie"]
	kept := lines[:0:0]
	for _, line := range lines {
		if !strings.HasPrefix(line, name+"=") {
			kept = append(kept, line)
		}
	}
	if len(kept) < len(lines) {
		h["Set-Cookie"] = kept
	}
}

func addVary(h http.Header, field string) {
	for _, line := range h["Vary"] {
		for part := range strings.SplitSeq(line, ",") {
			if part = strings.TrimSpace(part); part == "*" || strings.EqualFold(part, field) {
				return
			}
		}
	}
	h.Add("Vary", field)
}

func (p *response) WriteHeader(status int) {
	// 1xx are not the answer yet: a 103 must not carry the cookie.
	if status >= 200 || status == http.StatusSwitchingProtocols {
		p.commit(status)
	}
	if !p.dropped {
		p.ResponseWriter.WriteHeader(status)
	}
}

func (p *response) Write(b []byte) (int, error) {
	if p.commit(http.StatusOK); p.dropped {
		return len(b), nil
	}
	n, err := p.ResponseWriter.Write(b)
	p.came(err)
	return n, err
}

// came looks whether what was written came too late for an http.TimeoutHandler,
// which has answered without the cookies then.
func (p *response) came(err error) {
	if errors.Is(err, http.ErrHandlerTimeout) {
		p.mu.Lock()
		p.withheld = true
		p.mu.Unlock()
	}
}

// finish commits for a handler that wrote nothing. Only where the time of the
// request is up it asks the writer whether that was too late: an empty write
// would have another handler outside believe that there is an answer.
func (p *response) finish(ctx context.Context) {
	if p.commit(http.StatusOK); !p.dropped && ctx.Err() != nil {
		_, err := p.ResponseWriter.Write(nil) // writes nothing, and tells
		p.came(err)
	}
}

// FlushError is what http.ResponseController looks for. Without it, it would
// unwrap and flush the header past us.
func (p *response) FlushError() error {
	if !canFlush(p.ResponseWriter) {
		return http.ErrNotSupported // and the header has not gone out
	}
	p.commit(http.StatusOK)
	return http.NewResponseController(p.ResponseWriter).Flush()
}

// canFlush reports whether http.ResponseController could flush w.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch inner := w.(type) {
		case interface{ FlushError() error }, http.Flusher:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = inner.Unwrap()
		default:
			return false
		}
	}
}

var errDropped = errors.New("walkin: the session data could not be saved")

// Unwrap lets http.ResponseController find deadlines, full duplex and Hijack.
func (p *response) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// The optional interfaces. A handler that asks for one must get it exactly
// when the inner writer has it: some choose how to stream by that answer. Only
// FlushError and Unwrap are always there, since http.ResponseController would go
// past us otherwise. writer, in writers.go, puts them together.
type (
	flusher       struct{ p *response }
	hijacker      struct{ p *response }
	readerFrom    struct{ p *response }
	pusher        struct{ p *response }
	closeNotifier struct{ p *response }
	stringWriter  struct{ p *response }
)

// An http.CloseNotifier, which is deprecated and still asked for, by gin's c.Stream
// among others.
type hasCloseNotify interface{ CloseNotify() <-chan bool }

func (f flusher) Flush() {
	f.p.commit(http.StatusOK)
	f.p.ResponseWriter.(http.Flusher).Flush()
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if h.p.commit(http.StatusSwitchingProtocols); h.p.dropped {
		return nil, nil, errDropped
	}
	return h.p.ResponseWriter.(http.Hijacker).Hijack()
}

// ReadFrom keeps sendfile.
func (r readerFrom) ReadFrom(src io.Reader) (int64, error) {
	if r.p.commit(http.StatusOK); r.p.dropped {
		return io.Copy(io.Discard, src)
	}
	return r.p.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
}

func (p pusher) Push(target string, opts *http.PushOptions) error {
	return p.p.ResponseWriter.(http.Pusher).Push(target, opts)
}

func (c closeNotifier) CloseNotify() <-chan bool {
	return c.p.ResponseWriter.(hasCloseNotify).CloseNotify()
}

func (s stringWriter) WriteString(text string) (int, error) {
	if s.p.commit(http.StatusOK); s.p.dropped {
		return len(text), nil
	}
	n, err := s.p.ResponseWriter.(io.StringWriter).WriteString(text)
	s.p.came(err)
	return n, err
}
