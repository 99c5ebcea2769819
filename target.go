package walkin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/walkin-go/walkin/internal/localurl"
	"github.com/walkin-go/walkin/internal/request"
)

// Target returns the path and query that the browser requested: those of the request
// line, which http.StripPrefix leaves alone, with Config.Paths.Base in front. Use it
// for what goes back to the browser, such as the action of a form.
func Target(r *http.Request) string {
	u := asked(r)
	return strings.TrimSuffix((&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, ForceQuery: u.ForceQuery}).RequestURI(), "?")
}

// asked returns the URL that the browser asked for, as far as path and query go.
func asked(r *http.Request) *url.URL {
	return askedBelow(basePath(r), r)
}

func basePath(r *http.Request) string {
	if v := visitFrom(r.Context()); v != nil && v.home != nil {
		return v.home.basePath
	}
	return ""
}

// start returns the path of the app's own start page, as browsers see it: "/", or
// where the app is mounted by http.StripPrefix around Handler, or by a proxy.
func start(r *http.Request) string {
	seen := r.URL
	if v := visitFrom(r.Context()); v != nil && v.url != nil {
		seen = v.url
	}
	mount, ok := strings.CutSuffix(asked(r).Path, seen.Path)
	if !ok {
		mount = basePath(r)
	}
	return localurl.Path((&url.URL{Path: strings.TrimSuffix(mount, "/") + "/"}).EscapedPath(), "/")
}

// withVisit returns the request with what walkin knows about it, for answers that
// have to know where the app is mounted.
func (vr *verifier) withVisit(w http.ResponseWriter, r *http.Request) *http.Request {
	if vr.cfg.Paths.Base == "" || visitFrom(r.Context()) != nil {
		return r
	}
	return r.WithContext(vr.visit(w, r))
}

// wayBack returns the local path to return to: the page itself, or the page that
// a post or a piece of a page was asked for from.
func wayBack(r *http.Request) string {
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && !isPart(r) {
		return Target(r)
	}
	from := header(r, "Hx-Current-Url")
	if from == "" {
		from = header(r, "Referer")
	}
	u, err := url.Parse(from)
	if err != nil || !request.IsHost(u, r.Host) {
		return ""
	}
	return u.RequestURI()
}

// isPart reports whether a library asks for a part of a page, which is none by
// itself.
func isPart(r *http.Request) bool {
	switch request.Library(r.Header) {
	case request.HTMX:
		return header(r, "Hx-Boosted") != "true"
	case request.Datastar:
		return true
	}
	return header(r, "Turbo-Frame") != ""
}

// ReturnTo returns where a form leads when it is done: the local path in its return_to.
// It returns the app's own start when return_to is not a local path, or is one that a
// browser could take for another site. The start is "/", or where the app is mounted.
func ReturnTo(r *http.Request) string {
	return localurl.Path(r.FormValue("return_to"), start(r))
}
