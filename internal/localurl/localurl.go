// Package localurl distinguishes the paths of a site from URLs that a browser could
// take for another site. It knows nothing of requests.
package localurl

import (
	"net/url"
	"strconv"
	"strings"
)

// WithReturnTo returns the URL of a page with a return path in its query. A path that
// is not one of this site is left out.
func WithReturnTo(page, path string) string {
	path = Path(path, "")
	if path == "" {
		return page
	}
	separator := "?"
	if strings.Contains(page, "?") {
		separator = "&"
	}
	return page + separator + "return_to=" + url.QueryEscape(path)
}

// Path returns s when it is a path of this site that no browser takes for anything
// else, and fallback otherwise. Browsers read \ as /, drop tabs and line breaks, and
// resolve dots. Servers in between may decode once more.
func Path(s, fallback string) string {
	if len(s) > 2048 || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") {
		return fallback
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '\\' {
			return fallback
		}
	}
	// With one slash at the start it is a path. The parser is asked as well: a wrong answer
	// here sends visitors to another site.
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return fallback
	}
	// The decoded path must be as harmless as the text, also after another
	// round: no second slash at the start, no backslash, no control byte.
	for range 2 {
		for i := range len(u.Path) {
			if u.Path[i] < ' ' || u.Path[i] == 0x7f || u.Path[i] == '\\' {
				return fallback
			}
		}
		if strings.Contains(u.Path, "//") {
			return fallback
		}
		u.Path = unescape(u.Path)
	}
	return s
}

// unescape decodes what is percent-encoded and leaves the rest, as many servers
// do where url.PathUnescape gives up: one stray % must not hide the others.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if i+2 < len(s) && s[i] == '%' {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
