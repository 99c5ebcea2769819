package walkin

import (
	"errors"
	"net/http"
	"time"
)

// LocalPath is localPath, for its fuzz test.
var LocalPath = localPath

// FindCookie is findCookie without a cache, in words.
func FindCookie(h http.Header, name string) (value string, one, conflict bool) {
	value, _, found := findCookie(h, name, nil)
	return value, found == live, found == conflicting
}

// FindKnownCookie is FindCookie with a cache that knows a token.
func FindKnownCookie(h http.Header, name, known string) (value string, hit, one, conflict bool) {
	c := newCache(0)
	c.add(known, Claims{}, false)
	value, e, found := findCookie(h, name, c)
	return value, e != nil, found == live, found == conflicting
}

// Verify returns the claims that a token alone is good for, whatever became of
// its session, or the reason why it is good for none.
func (m *Middleware) Verify(token string, bearer bool, now time.Time) (Claims, error) {
	c, _, s, reason := m.keys.verify(token, bearer, now)
	if s != live {
		return c, errors.New(reason)
	}
	return c, nil
}

// Remembers reports whether a token is in the cache.
func (m *Middleware) Remembers(token string) bool {
	e, _ := m.cache.shard(token).find(token)
	return e != nil
}
