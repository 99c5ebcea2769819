package walkin

import (
	"errors"
	"net/http"
	"time"
)

// LocalPath is localPath, for its fuzz test.
var LocalPath = localPath

// FindCookie finds one cookie without a cache, in words.
func FindCookie(h http.Header, name string) (value string, one, conflict bool) {
	k := cookies{permanent: name}
	it, _ := k.find(h, nil)
	return it.value, it.standing == live, it.standing == conflicting
}

// FindKnownCookie is FindCookie with a cache that knows a token.
func FindKnownCookie(h http.Header, name, known string) (value string, hit, one, conflict bool) {
	c := newCache(0)
	c.add(known, Claims{}, false)
	k := cookies{permanent: name}
	it, _ := k.find(h, c)
	return it.value, it.entry != nil, it.standing == live, it.standing == conflicting
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
