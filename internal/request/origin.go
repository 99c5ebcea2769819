package request

import (
	"net/http"
	"net/url"
	"strings"
)

// from returns where a request comes from: its own site, a trusted origin or another one.
func from(r *http.Request, s *Site, f Facts, site, origin string) From {
	switch site {
	case "same-origin", "none":
		return Own
	case "":
		if origin == "" {
			return Unsaid
		}
		if u, err := url.Parse(origin); err == nil && IsHost(u, r.Host) {
			return Own
		}
	}
	switch {
	case origin != "" && s.Trusts(origin):
		// To a same-site page the browser gives the cookies that it has, and
		// where it does not say, the app's word has to do. From another site it
		// may withhold a live one.
		if site == "same-site" || site == "" || s.Partitioned {
			return Trusted
		}
		return TrustedFar
	case !f.IsSafe() && s.IsExempt(r):
		return Exempt
	}
	return Foreign
}

// isSelf reports whether an Origin is exactly the site's own. Over http a stranger on
// the way may have written the page.
func isSelf(origin string, r *http.Request, s *Site) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "https" || s.Insecure && u.Scheme == "http") && IsHost(u, r.Host)
}

// IsHost reports whether a page is of the host that a request asks for. Some proxies
// write the default port into Host, which browsers leave out of Origin and Referer. The
// apps of phones have schemes of their own, and localhost for a host.
func IsHost(page *url.URL, host string) bool {
	port := ""
	switch page.Scheme {
	case "https":
		port = ":443"
	case "http":
		port = ":80"
	}
	if page.Hostname() == "" || page.User != nil || port == "" && page.Scheme != "" {
		return false
	}
	return page.Host == host || strings.EqualFold(strings.TrimSuffix(page.Host, port), strings.TrimSuffix(host, port))
}

// isOther reports whether an Origin or a Referer names another host.
func isOther(from string, r *http.Request, s *Site) bool {
	u, err := url.Parse(from)
	if err != nil || u.Host == "" || IsHost(u, r.Host) {
		return false // "null" says nothing
	}
	return !s.Trusts(u.Scheme + "://" + u.Host)
}
