package walkin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/walkin-go/walkin/internal/tokencache"
)

// maxCookies is how many cookies net/http reads; with more it reads none.
const maxCookies = 3000

// maxValues is how many values of one name are verified: more than a site's own changes
// leave behind, and too few to make a request expensive.
const maxValues = 32

// A carried cookie is what a request has under one name: absent without a value, live
// when there is a value to verify, and conflicting for more than maxValues, or for so
// many cookies that net/http would not look.
//
// A browser sends several values of a name that were set for several domains or
// paths: before and after a change of Config.Cookies.Domain, through a proxy that
// rewrites cookies, or since a sibling domain planted one.
type carriedCookie struct {
	status tokenStatus
	value  string
	entry  *entry   // of the value, when it is the only one and in the cache
	others []string // further values, each another one
}

// values returns all of them that were read.
func (c *carriedCookie) values() []string {
	if c.status == absent || c.status == conflicting && c.others == nil {
		return nil
	}
	return append([]string{c.value}, c.others...)
}

// find returns our two cookies without parsing the others, with net/http's
// verdict on every header. It reads the header once: most of it is the token.
func (k *cookies) find(h http.Header, known *tokencache.Cache[entry], permanent, anonymous *carriedCookie) {
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
			permanent.status, anonymous.status = conflicting, conflicting
			return
		}
	}
	for _, line := range lines {
		k.findIn(line, known, permanent, anonymous)
	}
}

// findIn looks for the rarest letter that both names begin with, since a line is long
// and mostly other cookies.
func (k *cookies) findIn(line string, known *tokencache.Cache[entry], permanent, anonymous *carriedCookie) {
	for from := 0; ; {
		at := strings.IndexByte(line[from:], k.stem[k.rare])
		if at < 0 {
			return
		}
		from += at + 1
		start := from - 1 - k.rare
		if start < 0 || !strings.HasPrefix(line[start:], k.stem) || !beginsCookie(line[:start]) {
			continue
		}
		part := line[start+len(k.stem):]
		if end := strings.IndexByte(part, ';'); end >= 0 {
			from, part = start+len(k.stem)+end, part[:end]
		} else {
			from = len(line)
		}
		name, value := trimEnd(part), ""
		if before, after, ok := strings.Cut(part, "="); ok {
			name, value = trimEnd(before), trimEnd(after)
		}
		switch name {
		case k.permanent[len(k.stem):]:
			permanent.take(unquote(value), known)
		case k.anonymous[len(k.stem):]:
			anonymous.take(unquote(value), known)
		}
	}
}

// take adds a value of the name. One that is in the cache comes with its
// entry, and its bytes need no look: they were fine when it went in.
func (c *carriedCookie) take(value string, known *tokencache.Cache[entry]) {
	if c.status == conflicting {
		return
	}
	e := known.Get(value)
	switch {
	case e == nil && !validCookieValue(value):
		// net/http passes over it and takes the next one.
	case c.status == absent:
		c.status, c.value, c.entry = live, value, e
	case value == c.value || slices.Contains(c.others, value):
	case len(c.others) == maxValues-1:
		c.status = conflicting
	default:
		c.others, c.entry = append(c.others, value), nil
	}
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
