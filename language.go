package walkin

import (
	"context"
	"html"
	"net/http"
	"sync/atomic"

	"github.com/walkin-go/walkin/texts"
)

// Texts returns the texts of the language that Config.Texts chooses for a request.
// Packages that are made from the middleware use it. It is nil, which is English, if
// Config.Texts is nil.
func (m *Middleware) Texts(r *http.Request) *texts.Catalogue { return m.home.catalogue(r) }

// catalogue is Texts. Outside of a middleware, where h is nil, the texts are English.
func (h *home) catalogue(r *http.Request) *texts.Catalogue {
	if h == nil || h.texts == nil {
		return nil
	}
	return h.texts(r)
}

// say fills in the message of a refusal.
func (h *home) say(r *http.Request, e *Refusal) *Refusal {
	if e.Message == "" {
		e.Message = h.catalogue(r).Say(e.Text)
	}
	return e
}

// AttachFrame sets the function that shows walkin's own pages, such as refusals and
// challenges, in the site's design: title is plain text, body the HTML below its
// heading. pages.New calls it. Without one they are plain documents. Call it during
// setup, before the site is served.
func (m *Middleware) AttachFrame(show func(w http.ResponseWriter, r *http.Request, status int, title, body string)) {
	m.home.frame.Store(&show)
}

// ShowPage shows a page of a package that is made from the middleware, in the frame of
// [Middleware.AttachFrame]: title is plain text, body the HTML below its heading.
func (m *Middleware) ShowPage(w http.ResponseWriter, r *http.Request, status int, title, body string) {
	m.home.showPage(w, r, status, title, body)
}

func (h *home) showPage(w http.ResponseWriter, r *http.Request, status int, title, body string) {
	if h != nil {
		if show := h.frame.Load(); show != nil {
			(*show)(w, r, status, title, body)
			return
		}
	}
	c := h.catalogue(r)
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// The only error is a client that went away.
	_, _ = w.Write([]byte(`<!doctype html>
<html lang="` + c.Language() + `" dir="` + c.Direction() + `" class="walkin-plain">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="turbo-visit-control" content="reload">
<title>` + html.EscapeString(title) + `</title>
<h1>` + html.EscapeString(title) + `</h1>
` + body + `
</html>
`))
}

// AttachObserver adds a function that gets every event after Config.OnEvent, with the
// context of its request. Packages that are made from the middleware use it. Call it
// during setup, before the site is served.
func (m *Middleware) AttachObserver(observe func(ctx context.Context, e Event)) {
	for {
		before := m.observe.Load()
		after := observe
		if before != nil {
			after = func(ctx context.Context, e Event) {
				(*before)(ctx, e)
				observe(ctx, e)
			}
		}
		if m.observe.CompareAndSwap(before, &after) {
			return
		}
	}
}

// A home is the middleware that a visit belongs to, as far as the visit has to know it.
type home struct {
	basePath string
	texts    func(*http.Request) *texts.Catalogue // Config.Texts
	frame    atomic.Pointer[frame]                // of AttachFrame; nil for plain pages
}

// A frame shows a page of walkin's own in the site's design.
type frame = func(w http.ResponseWriter, r *http.Request, status int, title, body string)
