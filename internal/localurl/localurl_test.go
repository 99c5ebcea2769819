package localurl_test

import (
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/localurl"
)

// TestPath holds the kinds of text that are a path of this site, and those that a
// browser, or a server in between, could take for another one; the root's
// TestReturnPaths has all that were ever tried.
func TestPath(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		local      bool
	}{
		{"the root", "/", true},
		{"a query", "/a?b=c#d", true},
		{"a whole address in the query", "/a?u=https://evil.example", true},
		{"a percent sign", "/100%25", true},
		{"a percent sign before a letter", "/100%25zz", true},
		{"a percent sign before one digit", "/100%254", true},
		{"a blank, encoded", "/a%20b", true},
		{"all of ASCII that is seen", "/!#$&'()*+,-.:;<=>?@[]^_`{|}~", true},
		{"2,048 bytes", "/" + strings.Repeat("a", 2047), true},
		{"2,049 bytes", "/" + strings.Repeat("a", 2048), false},
		{"a blank", "/a b", false},
		{"a blank in the query", "/a?b=c d", false},
		{"a backslash in the query", `/a?b=\c`, false},
		{"what is no ASCII", "/caf\u00e9", false},
		{"a delete", "/a\x7f", false},
		{"a delete, encoded", "/a%7f", false},
		{"a unit separator, encoded", "/a%1f", false},
		{"a percent sign alone", "/100%", false},
		{"two slashes alone", "//", false},
		{"two slashes and a query", "//?a", false},
		{"two slashes within, encoded twice", "/a%252f%252fb", false},
		{"nothing", "", false},
		{"relative", "a", false},
		{"a host", "//evil.example", false},
		{"a host by a backslash", `/\evil.example`, false},
		{"a host, encoded", "/%2fevil.example", false},
		{"a host, encoded twice", "/%252fevil.example", false},
		{"a host behind dots", "/a/..//evil.example", false},
		{"a tab", "/\t/evil.example", false},
		{"a line break", "/a%0d%0aLocation:x", false},
		{"a scheme", "https://evil.example", false},
		{"a stray percent sign beside a backslash", "/%255cevil.example/%25zz", false},
	} {
		if got := localurl.Path(tt.path, "none") == tt.path; got != tt.local {
			t.Errorf("%s: %q: got %t, want %t", tt.name, tt.path, got, tt.local)
		}
	}
}

func TestWithReturnTo(t *testing.T) {
	for _, tt := range []struct{ page, path, want string }{
		{"/sign-up", "/notes?page=2", "/sign-up?return_to=%2Fnotes%3Fpage%3D2"},
		{"/sign-up?from=guard", "/notes", "/sign-up?from=guard&return_to=%2Fnotes"},
		{"/sign-up", "//evil.example", "/sign-up"},
		{"/sign-up", "", "/sign-up"},
	} {
		if got := localurl.WithReturnTo(tt.page, tt.path); got != tt.want {
			t.Errorf("%s and %s: got %s, want %s", tt.page, tt.path, got, tt.want)
		}
	}
}
