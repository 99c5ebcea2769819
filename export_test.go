package walkin

import "net/http"

// LocalPath is localPath, for its fuzz test.
var LocalPath = localPath

// FindCookie is findCookie without a cache, in words.
func FindCookie(h http.Header, name string) (value string, one, conflict bool) {
	value, _, found := findCookie(h, name, nil)
	return value, found == live, found == conflicting
}
