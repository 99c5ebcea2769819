package request

import (
	"context"
	"net/http"
	"strings"
)

// With returns a copy of r with another context. Call [GiveBack] when the handlers
// inside are done.
func With(ctx context.Context, r *http.Request) *http.Request {
	if r.Trailer == nil && r.ContentLength < 0 && r.ProtoMajor == 1 {
		// Trailers that were not announced net/http adds to its own request. In a
		// map that is there already the copy sees them too.
		r.Trailer = http.Header{}
	}
	return r.WithContext(ctx)
}

// GiveBack writes what handlers did to a copy of a request into the original request.
// So code outside sees what it would see without the copy. net/http removes the
// temporary files of its own request alone, and a log or a metric outside asks that
// request for its route.
//
// It writes only what has changed, and what handlers do change: code outside may be
// reading the rest at this moment.
func GiveBack(to, from *http.Request) {
	if to == from {
		return
	}
	if from.Pattern != "" {
		giveValues(to, from, from.Pattern)
	}
	if to.Pattern != from.Pattern {
		giveValues(to, from, to.Pattern)
		to.Pattern = from.Pattern
	}
	if to.MultipartForm != from.MultipartForm {
		to.MultipartForm = from.MultipartForm
	}
	if to.Form == nil && from.Form != nil {
		to.Form = from.Form
	}
	if to.PostForm == nil && from.PostForm != nil {
		to.PostForm = from.PostForm
	}
	// What rewrites a method, a path or an address writes into its request.
	if to.URL != from.URL {
		to.URL = from.URL
	}
	giveText(&to.Method, from.Method)
	giveText(&to.Host, from.Host)
	giveText(&to.RemoteAddr, from.RemoteAddr)
	giveText(&to.RequestURI, from.RequestURI)
}

func giveText(to *string, from string) {
	if *to != from {
		*to = from
	}
}

// giveValues writes the values of a pattern's wildcards, of a ServeMux or of chi.
func giveValues(to, from *http.Request, pattern string) {
	for {
		_, rest, ok := strings.Cut(pattern, "{")
		if !ok {
			break
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			break
		}
		name, _, _ = strings.Cut(name, ":") // chi's regular expressions
		giveValue(to, from, strings.TrimSuffix(name, "..."))
		pattern = after
	}
	if strings.HasSuffix(pattern, "*") {
		giveValue(to, from, "*")
	}
}

func giveValue(to, from *http.Request, name string) {
	if value := from.PathValue(name); to.PathValue(name) != value {
		to.SetPathValue(name, value)
	}
}
