package localurl_test

import (
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
