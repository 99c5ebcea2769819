// Package response wraps a ResponseWriter that still has cookies to set. It knows
// nothing of tokens and users: the caller says which cookies, and whether a session is
// alive.
package response

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
)

//go:generate go run ./gen

// A Writer is a ResponseWriter that still has cookies to set. They go into the header
// when it is committed. That is after everything that the handler, a FileServer or a
// ReverseProxy had to say about caching.
type Writer struct {
	inside http.ResponseWriter
	Before func(status int) bool // unless nil, runs at commit; false: it has answered, and the handler's answer is dropped

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

// Begun reports whether the header has gone out.
func (p *Writer) Begun() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.committed
}

// New returns a Writer around w with cookies to set. Handlers get what Wrapped returns.
func New(w http.ResponseWriter, cookies ...*http.Cookie) *Writer {
	return &Writer{inside: w, cookies: cookies}
}

// Withheld reports whether the answer went out without the cookies, for good.
func (p *Writer) Withheld() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.withheld
}

// Set replaces what would be set for the same cookie, which a browser tells by
// name, domain and path.
func (p *Writer) Set(c *http.Cookie) {
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

// SetWhile sets cookies that renew a session, if that is alive when the header
// goes out. The last one carries it.
func (p *Writer) SetWhile(alive func() bool, cookies ...*http.Cookie) {
	for _, c := range cookies {
		p.Set(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.goesOn, p.alive = cookies, alive
}

// Commit runs once, before the header goes out with the given status.
func (p *Writer) Commit(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.committed {
		return
	}
	p.committed = true
	if p.Before != nil && !p.Before(status) {
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
		SetCookies(p.Header(), p.cookies)
	}
}

// SetCookies sets cookies and keeps the response out of every cache.
func SetCookies(h http.Header, cookies []*http.Cookie) {
	for _, c := range cookies {
		dropSetCookie(h, c.Name)
	}
	for _, c := range cookies {
		h.Add("Set-Cookie", line(c))
	}
	NoStore(h, "private, no-store") // shared caches and private ones
	addVary(h, "Cookie")
}

// inToken holds the letters of a token: three parts in base64url (RFC 7515 §3.1).
var inToken = func() (letters [256]bool) {
	for _, b := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") {
		letters[b] = true
	}
	return letters
}()

// line returns what c.String does. For the letters of a token it is quicker: net/http
// looks at each byte of a value through a function, twice.
func line(c *http.Cookie) string {
	for i := range len(c.Value) {
		if !inToken[c.Value[i]] {
			return c.String()
		}
	}
	rest := *c
	rest.Value = ""
	empty := rest.String()
	if c.Quoted || empty == "" { // in quotes, or no cookie at all
		return c.String()
	}
	at := len(c.Name) + len("=")
	return empty[:at] + c.Value + empty[at:]
}

// dropSetCookie removes an earlier Set-Cookie of that name. Of two in one response, the
// browser decides which one counts.
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

// Header returns the header of the writer inside.
func (p *Writer) Header() http.Header { return p.inside.Header() }

func (p *Writer) WriteHeader(status int) {
	// 1xx are not the answer yet: a 103 must not carry the cookie.
	if status >= 200 || status == http.StatusSwitchingProtocols {
		p.Commit(status)
	}
	if !p.dropped {
		p.inside.WriteHeader(status)
	}
}

func (p *Writer) Write(b []byte) (int, error) {
	if p.Commit(http.StatusOK); p.dropped {
		return len(b), nil
	}
	n, err := p.inside.Write(b)
	p.came(err)
	return n, err
}

// came checks whether what was written came too late for an http.TimeoutHandler, which
// has then answered without the cookies.
func (p *Writer) came(err error) {
	if errors.Is(err, http.ErrHandlerTimeout) {
		p.mu.Lock()
		p.withheld = true
		p.mu.Unlock()
	}
}

// Finish commits for a handler that wrote nothing. Only where the time of the request
// is up does it ask the writer whether that was too late: an empty write would make
// another handler outside believe that there is an answer.
func (p *Writer) Finish(ctx context.Context) {
	if p.Commit(http.StatusOK); !p.dropped && ctx.Err() != nil {
		_, err := p.inside.Write(nil) // writes nothing, and tells
		p.came(err)
	}
}

// FlushError is what http.ResponseController looks for. Without it, it would
// unwrap and flush the header past us.
func (p *Writer) FlushError() error {
	if !canFlush(p.inside) {
		return http.ErrNotSupported // and the header has not gone out
	}
	p.Commit(http.StatusOK)
	return http.NewResponseController(p.inside).Flush()
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
func (p *Writer) Unwrap() http.ResponseWriter { return p.inside }

// What follows is behind the optional interfaces. A handler that asks for one must get
// it exactly when the inner writer has it: some choose how to stream by that answer. Only
// FlushError and Unwrap are always there, since http.ResponseController would go past us
// otherwise. Wrapped, in writers.go, chooses.

// An http.CloseNotifier, which is deprecated and still asked for, by gin's c.Stream
// among others.
type hasCloseNotify interface{ CloseNotify() <-chan bool }

func (p *Writer) flush() {
	p.Commit(http.StatusOK)
	p.inside.(http.Flusher).Flush()
}

func (p *Writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if p.Commit(http.StatusSwitchingProtocols); p.dropped {
		return nil, nil, errDropped
	}
	return p.inside.(http.Hijacker).Hijack()
}

// readFrom keeps sendfile.
func (p *Writer) readFrom(src io.Reader) (int64, error) {
	if p.Commit(http.StatusOK); p.dropped {
		return io.Copy(io.Discard, src)
	}
	return p.inside.(io.ReaderFrom).ReadFrom(src)
}

func (p *Writer) push(target string, opts *http.PushOptions) error {
	return p.inside.(http.Pusher).Push(target, opts)
}

func (p *Writer) closeNotify() <-chan bool {
	return p.inside.(hasCloseNotify).CloseNotify()
}

func (p *Writer) writeString(text string) (int, error) {
	if p.Commit(http.StatusOK); p.dropped {
		return len(text), nil
	}
	n, err := p.inside.(io.StringWriter).WriteString(text)
	p.came(err)
	return n, err
}
