// Package request reads from a request who sent it and what for. It does so once, into
// a small value that decisions are made from. It knows nothing of users, cookies or
// tokens: the caller passes in what it cannot see for itself.
package request

import (
	"mime"
	"net/http"
	"strings"
)

// A Method is a kind of method, in the words of RFC 9110.
type Method uint8

const (
	Get       Method = 1 + iota
	OtherSafe        // HEAD, OPTIONS, TRACE: safe, and not a page view
	Write            // POST, PUT, PATCH, DELETE
	Unknown          // unknown, and so not safe
)

// A From says which page sent the request.
type From uint8

const (
	Unsaid     From = iota // neither Sec-Fetch-Site nor Origin: no browser of today, unless a person opens a page
	Own                    // the site's own, or the person themselves
	Trusted                // an origin that the app trusts, and whose requests bring the visitor's cookies
	TrustedFar             // one that the app trusts, but on another site: browsers withhold Lax cookies
	Exempt                 // elsewhere, but the app said that this path may be asked from anywhere
	Foreign                // elsewhere
)

// A Shape is what a request is for, by what browsers say themselves.
type Shape uint8

const (
	Call     Shape = iota // of a script, or of a program
	Page                  // a person opens a page
	Frame                 // an iframe is opened
	Frameset              // a frame of old is
	Plugin                // an embed or an object is
	Piece                 // of a page: an image, a style, a font
	Beacon                // an unsafe request whose answer no page can read: navigator.sendBeacon
	Report                // a report or a ping, which a browser sends by itself
	Worker                // an unsafe navigation that a service worker sent on
)

// An Auth is what an Authorization header means.
type Auth uint8

const (
	NoAuth Auth = iota // there is none, or it is for a proxy in front of the site
	OurBearer
	AppBearer // a bearer that is none of ours
	AppAuth   // another scheme
)

// A Reason says why a request may not write for its visitor.
type Reason string

const (
	ReasonReport              Reason = "report"
	ReasonCrossSite           Reason = "cross_site"
	ReasonWorkerWithoutCookie Reason = "worker_without_cookie"
)

// Facts are what is known about the sender of a request. The zero Facts were not read.
type Facts struct {
	Method Method
	From   From
	Shape  Shape
	Auth   Auth
	marks  marks
}

type marks uint8

const (
	prefetch    marks = 1 << iota
	upgrade           // to another protocol
	browser           // a Sec-Fetch-Site or an Origin
	selfOrigin        // a form that calls itself another site's, with an Origin that is exactly ours
	otherOrigin       // an Origin or a Referer that names another host, which is not trusted
	cookie            // one of ours
	lax               // one of ours that browsers send with no other site's unsafe request
)

func (f Facts) has(m marks) bool { return f.marks&m != 0 }

// IsRead reports whether f was read from a request.
func (f Facts) IsRead() bool { return f.Method != 0 }

// IsSafe reports whether the request only looks.
func (f Facts) IsSafe() bool { return f.Method == Get || f.Method == OtherSafe }

// IsPrefetch reports whether a browser or proxy asks ahead of a person who may
// never come.
func (f Facts) IsPrefetch() bool { return f.has(prefetch) }

// IsUpgrade reports whether another protocol than HTTP is to be spoken.
func (f Facts) IsUpgrade() bool { return f.has(upgrade) }

// IsBrowser reports whether the request has any sign of a browser: a header that only
// browsers send, or a cookie of ours.
func (f Facts) IsBrowser() bool { return f.has(browser | cookie) }

// SaysBrowser reports whether the request itself says that a browser sent it.
func (f Facts) SaysBrowser() bool { return f.has(browser) }

// HasCookie reports whether there is a cookie of ours.
func (f Facts) HasCookie() bool { return f.has(cookie) }

// IsAsset reports whether a browser loads a piece of a page.
func (f Facts) IsAsset() bool { return f.Shape == Piece || f.Shape == Plugin }

// WriteRefusal returns "" when an unsafe request may write for its visitor, and otherwise
// the reason why not. live says that the visitor is known by a live cookie. It fails
// closed: a request that another site may have sent writes for no visitor.
func (f Facts) WriteRefusal(live bool) Reason {
	switch {
	case f.IsSafe():
		return ""
	case f.Auth == OurBearer && !f.has(cookie):
		return "" // no browser sends one by itself, so no other site can make it
	case f.Shape == Report:
		return ReasonReport // browsers send them unasked, some to wherever a link in a page's text says
	case f.From == Foreign && f.has(selfOrigin) && f.has(lax) && live:
		// WebKit calls a form of the site itself with target=_blank cross-site.
		// A browser writes our Origin for our pages alone, and leaves a Lax
		// cookie out where another site began.
		return ""
	case f.From == Foreign:
		return ReasonCrossSite
	case f.Shape == Worker && (!f.has(lax) || f.has(otherOrigin)):
		// A service worker that answers with fetch(event.request) makes another
		// site's form look like its own: Firefox and WebKit then say same-origin.
		// What it cannot add is a cookie that the browser withheld.
		return ReasonWorkerWithoutCookie
	}
	return ""
}

// A Site is what [Read] needs to know of the site.
type Site struct {
	// Trusts reports whether the app trusts an origin. IsExempt reports whether the app
	// lets other sites send this very request. Both are asked about unsafe requests
	// from elsewhere, and Trusts about others with an Origin as well.
	Trusts   func(origin string) bool
	IsExempt func(*http.Request) bool

	// IsOurs reports whether a bearer's token has a form that we write.
	IsOurs func(token string) bool

	Insecure    bool // the site may be served over plain http
	Partitioned bool // cookies come along from every site that embeds this one
}

// Read reads r. hasCookie says that r has a cookie of ours. hasLax says that r has one
// that browsers do not send along with another site's unsafe request.
func Read(r *http.Request, s *Site, hasCookie, hasLax bool) Facts {
	f := Facts{Method: method(r.Method)}
	h := r.Header
	mode, dest, site, origin := First(h, "Sec-Fetch-Mode"), First(h, "Sec-Fetch-Dest"), First(h, "Sec-Fetch-Site"), First(h, "Origin")
	set := func(m marks, on bool) {
		if on {
			f.marks |= m
		}
	}
	set(browser, site != "" || origin != "") // fetch of Node sends a Mode, and neither of these
	set(prefetch, IsPrefetch(h))
	set(upgrade, First(h, "Upgrade") != "")
	set(cookie, hasCookie)
	set(lax, hasLax)
	f.Auth = auth(h, s, f.has(browser))
	f.From = from(r, s, f, site, origin)
	f.Shape = shape(h, f, mode, dest, site, origin)
	if !f.IsSafe() {
		set(selfOrigin, site == "cross-site" && mode == "navigate" && dest == "document" && isSelf(origin, r, s))
		if f.Shape == Worker {
			set(otherOrigin, isOther(origin, r, s) || isOther(First(h, "Referer"), r, s))
		}
	}
	return f
}

func method(m string) Method {
	switch m {
	case http.MethodGet:
		return Get
	case http.MethodHead, http.MethodOptions, http.MethodTrace:
		return OtherSafe
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return Write
	}
	return Unknown
}

func auth(h http.Header, s *Site, browser bool) Auth {
	values := h["Authorization"]
	if len(values) == 0 {
		return NoAuth
	}
	if token, ok := Bearer(h); ok {
		if s.IsOurs(token) {
			return OurBearer
		}
		return AppBearer
	}
	if len(values) > 1 {
		return AppAuth // a browser sends one at most
	}
	scheme, _, _ := strings.Cut(values[0], " ")
	switch strings.ToLower(scheme) {
	case "basic", "digest", "negotiate", "ntlm":
		// A browser sends these by itself, to a site behind a password or an
		// identity-aware proxy. An API client sends them on purpose.
		if browser {
			return NoAuth
		}
	}
	return AppAuth
}

// Bearer returns the token of an Authorization header with that scheme (RFC 6750 §2.1).
// walkin does not read other schemes, such as the Basic of a staging site.
func Bearer(h http.Header) (string, bool) {
	values := h["Authorization"]
	if len(values) == 0 {
		return "", false
	}
	// The blank behind a scheme without a token does not survive the way.
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	return strings.TrimLeft(token, " "), true
}

func shape(h http.Header, f Facts, mode, dest, site, origin string) Shape {
	if f.Method != Get {
		switch {
		case f.IsSafe():
		case dest == "report", isReport(h):
			return Report
		case mode == "no-cors":
			return Beacon
		case dest == "empty" && (mode == "navigate" || mode == "same-origin" && !isScript(h)):
			return Worker
		}
	}
	switch {
	case mode == "" && dest == "" && site == "":
		// Over plain http, where there is no Sec-Fetch, an Origin tells the GET of a
		// script of another site: no browser sends one when a page is opened.
		if Accepts(h, "text/html") && (f.Method != Get || origin == "") {
			return Page
		}
		return Call
	case dest != "" && dest != "empty":
		switch {
		case mode == "navigate" && dest == "document":
			return Page
		case dest == "document":
			return Call // no browser says so
		case dest == "iframe":
			return Frame
		case dest == "frame":
			return Frameset
		case mode == "navigate":
			return Plugin
		}
		return Piece
	case mode == "navigate" || mode == "same-origin":
		// Behind a service worker that answers with fetch(event.request), or from
		// Chrome 76 to 79. From elsewhere it may be a frame.
		if (site == "same-origin" || site == "none" || site == "") && Accepts(h, "text/html") {
			return Page
		}
	}
	return Call
}

// isScript reports whether a script sent an unsafe request, which may fetch in the mode
// same-origin, as htmx 4 does. A form has no field of a library's, and one of three
// content types.
func isScript(h http.Header) bool {
	if Library(h) != NoLibrary {
		return true
	}
	switch kind, _, _ := mime.ParseMediaType(First(h, "Content-Type")); kind {
	case "", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
		return false
	}
	return true
}

// isReport reports whether the body is one that browsers send by themselves.
// Firefox and WebKit send reports that look like any fetch but for this.
func isReport(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(First(h, "Content-Type"))
	switch kind {
	case "text/ping":
		return true
	case "application/csp-report", "application/reports+json", "application/expect-ct-report+json", "application/expect-staple-report+json":
		return true
	}
	return false
}

// IsPrefetch reports whether a browser or proxy asks ahead of a person who may
// never come.
func IsPrefetch(h http.Header) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		values := h[name]
		if len(values) == 0 {
			continue
		}
		switch v := strings.ToLower(values[0]); {
		case strings.Contains(v, "prefetch"), strings.Contains(v, "prerender"), v == "preview":
			return true
		}
	}
	return false
}

// Accepts reports whether a media type is among those that the client takes.
func Accepts(h http.Header, mediaType string) bool {
	for _, line := range h["Accept"] {
		for line != "" {
			var one string
			one, line, _ = strings.Cut(line, ",")
			if !strings.Contains(one, mediaType) {
				continue
			}
			_, q, weighed := strings.Cut(strings.ReplaceAll(one, " ", ""), ";q=")
			if !weighed || strings.Trim(q, "0.") != "" {
				return true
			}
		}
	}
	return false
}

// First is h.Get for a name in the canonical spelling of net/http. A request without a
// user asks for dozens of such names.
func First(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// WantsPage reports whether a person sees the answer. That is so if a browser opens it,
// if the client accepts HTML, or if a library asks that puts HTML into the page. Most
// of those say text/html as well.
func WantsPage(h http.Header) bool {
	return First(h, "Sec-Fetch-Mode") == "navigate" || Accepts(h, "text/html") || Library(h) != NoLibrary
}

// A HypermediaLibrary is a script that follows links and sends forms by fetch.
type HypermediaLibrary uint8

const (
	NoLibrary HypermediaLibrary = iota
	HTMX
	Inertia
	Datastar
	Other // follows a redirect as a browser does: Turbo, Unpoly
)

// Library returns the library that sent a request, by the field that each sends
// along.
func Library(h http.Header) HypermediaLibrary {
	switch {
	case First(h, "Hx-Request") == "true":
		return HTMX
	case First(h, "X-Inertia") == "true":
		return Inertia
	case First(h, "Datastar-Request") == "true":
		return Datastar
	case First(h, "Turbo-Frame") != "", First(h, "X-Up-Version") != "", First(h, "X-Turbo-Request-Id") != "":
		return Other
	}
	return NoLibrary
}

// HasNoCookies reports whether there is no cookie at all, whosever, and no bearer.
func HasNoCookies(h http.Header) bool {
	return len(h["Cookie"]) == 0 && len(h["Authorization"]) == 0
}

// IsMachinePath reports whether machines ask for a path. Health checks have names that
// people's pages have as well. So where a browser asks, they are ordinary pages.
func IsMachinePath(path string, browser bool) bool {
	switch path {
	case "/robots.txt", "/favicon.ico", "/sitemap.xml", "/ads.txt":
		return true
	case "/healthz", "/health", "/livez", "/readyz", "/ready", "/live", "/ping", "/status", "/metrics":
		return !browser
	}
	return strings.HasPrefix(path, "/.well-known/")
}
