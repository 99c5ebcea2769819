package bridge_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/internal/bridge"
)

// TestLateAnswer holds that an answer given after the middleware has set its
// cookie is kept out of caches, however it begins.
func TestLateAnswer(t *testing.T) {
	const private = "private, no-store"
	for _, tt := range []struct {
		name    string
		pause   bool // the handlers left the answer to the framework
		cookie  bool // the middleware then set one
		answer  func(*bridge.Writer)
		cache   string
		cookies []string
	}{
		{"WriteHeader", true, true, func(w *bridge.Writer) { w.WriteHeader(http.StatusNotFound) }, private, []string{"app=1", "ours=1"}},
		{"Write", true, true, func(w *bridge.Writer) { _, _ = io.WriteString(w, "text") }, private, []string{"app=1", "ours=1"}},
		{"Flush", true, true, func(w *bridge.Writer) { w.Flush() }, private, []string{"app=1", "ours=1"}},
		{"a 304", true, true, func(w *bridge.Writer) { w.WriteHeader(http.StatusNotModified) }, "public", []string{"app=1"}},
		{"early hints first", true, true, func(w *bridge.Writer) {
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Cache-Control", "public")
			w.WriteHeader(http.StatusNotFound)
		}, private, []string{"app=1", "ours=1"}},
		{"no cookie", true, false, func(w *bridge.Writer) { w.WriteHeader(http.StatusNotFound) }, "public", []string{"app=1"}},
		{"no pause", false, true, func(w *bridge.Writer) { w.WriteHeader(http.StatusNotFound) }, "public", []string{"app=1", "ours=1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			recorder.Header().Set("Set-Cookie", "app=1")
			w := bridge.New(finalStatus{recorder})
			if tt.pause {
				w.Pause()
			}
			if tt.cookie {
				w.Header().Add("Set-Cookie", "ours=1")
			}
			if got, want := w.Late(), tt.pause && tt.cookie; got != want {
				t.Errorf("got Late %t, want %t", got, want)
			}
			h := w.Header()
			h.Set("Cache-Control", "public")
			h.Set("CDN-Cache-Control", "max-age=600")
			h.Set("Surrogate-Control", "max-age=600")
			h.Set("Expires", "Fri, 01 Jan 2100 00:00:00 GMT")
			tt.answer(w)

			got := recorder.Result().Header
			if got.Get("Cache-Control") != tt.cache {
				t.Errorf("got Cache-Control %q, want %q", got.Get("Cache-Control"), tt.cache)
			}
			for _, name := range []string{"CDN-Cache-Control", "Surrogate-Control", "Expires"} {
				if has := got.Get(name) != ""; has != (tt.cache == "public") {
					t.Errorf("got %s %q beside Cache-Control %q", name, got.Get(name), tt.cache)
				}
			}
			if !slices.Equal(got["Set-Cookie"], tt.cookies) {
				t.Errorf("got cookies %q, want %q", got["Set-Cookie"], tt.cookies)
			}
		})
	}
}

// finalStatus keeps 1xx from a recorder, which takes the first status for the
// last.
type finalStatus struct{ *httptest.ResponseRecorder }

func (w finalStatus) WriteHeader(status int) {
	if status >= 200 {
		w.ResponseRecorder.WriteHeader(status)
	}
}

// layer is any middleware's writer between walkin's and the adapter's.
type layer struct{ http.ResponseWriter }

func (l layer) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// TestOnRefuse holds that a refusal reaches the adapter through all writers in between,
// and that walkin answers where there is no adapter.
func TestOnRefuse(t *testing.T) {
	refusal := &walkin.Refusal{Status: http.StatusForbidden, Reason: "test", Message: "No."}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)

	recorder := httptest.NewRecorder()
	w := bridge.New(recorder)
	bridge.OnRefuse(layer{layer{w}}, r, refusal)
	if w.Refusal() != refusal || recorder.Body.Len() > 0 {
		t.Errorf("got refusal %v and text %q, want it handed over and nothing written", w.Refusal(), recorder.Body)
	}
	bridge.OnRefuse(layer{recorder}, r, refusal)
	if recorder.Code != http.StatusForbidden || recorder.Body.Len() == 0 {
		t.Errorf("got %d %q without an adapter, want walkin's answer", recorder.Code, recorder.Body)
	}
}

// plain is a writer that can do nothing more.
type plain struct{ http.ResponseWriter }

func TestWriterWithoutMore(t *testing.T) {
	w := bridge.New(plain{httptest.NewRecorder()})
	if err := w.FlushError(); !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("got %v from Flush, want that it is not supported", err)
	}
	if _, _, err := w.Hijack(); !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("got %v from Hijack, want that it is not supported", err)
	}
}
