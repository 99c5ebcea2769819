// Package bridge holds what the adapters share: the writer that stands between walkin
// and a framework's own.
package bridge

import (
	"bufio"
	"net"
	"net/http"
	"slices"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/response"
)

// A Writer is what an adapter passes to a middleware of walkin's in place of the
// framework's writer. The handlers see it only below a writer of walkin's, when there
// is a cookie to set. A middleware that passes it on unchanged has passed the
// framework's writer through.
type Writer struct {
	http.ResponseWriter // where it writes to; the adapter may change it

	refusal *walkin.Refusal
	paused  bool
	cookies []string // Set-Cookie when the handlers were done
	late    bool
}

// New returns a Writer for one call of a middleware.
func New(w http.ResponseWriter) *Writer { return &Writer{ResponseWriter: w} }

// OnRefuse is for walkin.Config: it leaves the answer to the framework. The adapter
// that called the middleware finds the refusal with [Writer.Refusal]. Where no adapter
// did, walkin answers.
func OnRefuse(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) {
	for inner := w; ; {
		switch t := inner.(type) {
		case *Writer:
			t.refusal = refusal
			return
		case interface{ Unwrap() http.ResponseWriter }:
			inner = t.Unwrap()
		default:
			refusal.ServeHTTP(w, r)
			return
		}
	}
}

// Refusal returns what [OnRefuse] was called with, or nil.
func (w *Writer) Refusal() *walkin.Refusal { return w.refusal }

// Pause says that the handlers are done and have left the answer to the framework. The
// framework answers after the middleware has returned: with a page for an error, or for
// what was not found.
func (w *Writer) Pause() {
	w.paused = true
	w.cookies = slices.Clone(w.Header()["Set-Cookie"])
}

// Late reports whether the middleware has set a cookie after Pause. Then the
// framework's answer must still go through w. Otherwise an answer that a cache may keep
// could carry the cookie.
func (w *Writer) Late() bool {
	w.late = w.paused && !slices.Equal(w.cookies, w.Header()["Set-Cookie"])
	return w.late
}

// commit has the last word on the header of a late answer, as walkin has on all
// others.
func (w *Writer) commit(status int) {
	if !w.late || status < 200 {
		return
	}
	w.late = false
	h := w.Header()
	if status == http.StatusNotModified {
		h["Set-Cookie"] = w.cookies
		return
	}
	response.NoStore(h, "private, no-store")
}

func (w *Writer) WriteHeader(status int) {
	w.commit(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *Writer) Write(b []byte) (int, error) {
	w.commit(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// FlushError is what http.ResponseController looks for first. After a refusal there is
// nothing to flush: the answer is still to come.
func (w *Writer) FlushError() error {
	if w.refusal != nil {
		return nil
	}
	w.commit(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush makes w an http.Flusher, as the writers of all frameworks are, whatever the one
// inside can do.
func (w *Writer) Flush() { _ = w.FlushError() }

// Hijack makes w an http.Hijacker, for the same reason.
func (w *Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap lets http.ResponseController find deadlines and full duplex.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
