package walkin

import (
	"errors"
	"net/http"
	"time"

	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/internal/tokencache"
)

// Codes are the words for API clients by a refusal's Reason.
var Codes = codes

// CodeOf is code.
var CodeOf = code

// FindCookie finds one cookie without a cache, in words. The names are those of a
// Config with these settings.
func FindCookie(h http.Header, names Cookies, anonymous bool) (name string, values []string, conflict bool) {
	k := newCookies(names.Name, names.Domain, names.Insecure, names.Partitioned)
	var found [2]carriedCookie
	k.find(h, nil, &found[0], &found[1])
	it := found[0]
	if anonymous {
		it = found[1]
	}
	return k.name(anonymous), it.values(), it.status == conflicting
}

// FindKnownCookie is FindCookie with a cache that knows a token.
func FindKnownCookie(h http.Header, names Cookies, anonymous bool, known string) (values []string, hit, conflict bool) {
	c := tokencache.New[entry](0)
	c.Add(known, func(*entry, string) {})
	k := newCookies(names.Name, names.Domain, names.Insecure, names.Partitioned)
	var found [2]carriedCookie
	k.find(h, c, &found[0], &found[1])
	it := found[0]
	if anonymous {
		it = found[1]
	}
	return it.values(), it.entry != nil && it.status == live, it.status == conflicting
}

// Verify returns the claims that a token alone is good for, whatever became of
// its session, or the reason why it is good for none.
func (m *Middleware) Verify(text string, bearer bool, now time.Time) (Claims, error) {
	c, _, s, reason := m.keys.Verify(text, bearer, now)
	if s != token.Valid {
		return claimsOf(c), errors.New(string(reason))
	}
	return claimsOf(c), nil
}

// Remembers reports whether a token is in the cache.
func (m *Middleware) Remembers(token string) bool {
	return m.verifier.cache.Get(token) != nil
}

// Turns returns how many responses Ensure knows of outside of Handler.
func (m *Middleware) Turns() int {
	m.turns.mu.Lock()
	defer m.turns.mu.Unlock()
	return len(m.turns.of)
}
