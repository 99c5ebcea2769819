package walkin

import (
	"net/http"
	"strings"
	"time"
)

// Two cookies, one for each kind of user. Code that handles anonymous users
// writes only the anonymous one, so a late response of an anonymous request
// can never sign anybody out. A third one, of Bind, says nothing about who the
// visitor is.
type cookies struct {
	anonymous, permanent string // names
	binding              string // the name of Bind's
	domain               string
	insecure             bool
	partitioned          bool
}

func newCookies(cfg Config) cookies {
	prefix, suffix := "__Host-", ""
	switch {
	case cfg.Insecure:
		prefix = ""
	case cfg.Domain != "":
		prefix = "__Secure-"
	}
	if cfg.Partitioned {
		// Another name, since a browser that has both kinds sends both.
		suffix = "-chips"
	}
	return cookies{
		anonymous: prefix + "walkin-anon" + suffix,
		permanent: prefix + "walkin" + suffix,
		binding:   prefix + "walkin-bind" + suffix,
		domain:    cfg.Domain, insecure: cfg.Insecure, partitioned: cfg.Partitioned,
	}
}

// carry returns the cookie that carries a token.
func (k cookies) carry(token string, c Claims, now time.Time) *http.Cookie {
	cookie := k.cookie(k.name(c.Anonymous), token)
	// Max-Age for browsers whose clock is wrong, Expires for the rest.
	cookie.MaxAge = int(c.ExpiresAt.Sub(now).Seconds())
	cookie.Expires = c.ExpiresAt
	return cookie
}

// clear returns the cookie that removes one of ours. A browser takes it for
// the same cookie only with the same attributes.
func (k cookies) clear(name string) *http.Cookie {
	cookie := k.cookie(name, "")
	cookie.MaxAge = -1
	cookie.Expires = time.Unix(1, 0)
	return cookie
}

func (k cookies) name(anonymous bool) string {
	if anonymous {
		return k.anonymous
	}
	return k.permanent
}

func (k cookies) cookie(name, value string) *http.Cookie {
	cookie := &http.Cookie{
		Name: name, Value: value, Path: "/", Domain: k.domain,
		HttpOnly: true, Secure: !k.insecure,
		// Always written out: a browser's own default lets a cross-site POST
		// carry a cookie for two minutes. Strict would withhold it when
		// somebody follows a link, and we would mint over a live user.
		SameSite: http.SameSiteLaxMode,
	}
	if k.partitioned {
		cookie.SameSite, cookie.Partitioned = http.SameSiteNoneMode, true
	}
	return cookie
}

// maxCookies is how many cookies net/http reads; with more it reads none.
const maxCookies = 3000

// A carried cookie is what a request brought under one name: absent when
// there is none, live for one value, and conflicting for two different ones,
// or for so many cookies that net/http would not look. No browser sends either.
type carriedCookie struct {
	standing standing
	value    string
	entry    *entry // of the value, when it is in the cache
}

// find returns our two cookies without parsing the others, with net/http's
// verdict on every header. It reads the header once: most of it is the token.
func (k *cookies) find(h http.Header, known *cache, permanent, anonymous *carriedCookie) {
	lines := h["Cookie"]
	size := 0
	for _, line := range lines {
		size += len(line) + 1
	}
	if size > maxCookies { // a cookie has a byte at least, so count only then
		count := 0
		for _, line := range lines {
			count += strings.Count(line, ";") + 1
		}
		if count > maxCookies {
			permanent.standing, anonymous.standing = conflicting, conflicting
			return
		}
	}
	for _, line := range lines {
		for more := true; more; {
			part := line
			end := strings.IndexByte(line, ';')
			if more = end >= 0; more {
				part, line = line[:end], line[end+1:]
			}
			part = trim(part)
			name, value := part, ""
			if end = strings.IndexByte(part, '='); end >= 0 {
				name, value = trim(part[:end]), part[end+1:]
			}
			switch name {
			case k.permanent:
				permanent.take(unquote(value), known)
			case k.anonymous:
				anonymous.take(unquote(value), known)
			}
		}
	}
}

// take adds a value of the name. One that is in the cache comes with its
// entry, and its bytes need no look: they were fine when it went in.
func (c *carriedCookie) take(value string, known *cache) {
	if c.standing == conflicting {
		return
	}
	e := known.get(value)
	switch {
	case e == nil && !validCookieValue(value):
		// net/http passes over it and takes the next one.
	case c.standing == absent:
		*c = carriedCookie{live, value, e}
	case value != c.value:
		*c = carriedCookie{standing: conflicting}
	}
}

func trim(s string) string {
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func unquote(s string) string {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

func validCookieValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == ';' || c == '\\' {
			return false
		}
	}
	return true
}
