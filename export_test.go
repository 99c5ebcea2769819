package walkin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Codes are the words for API clients by a refusal's Reason.
var Codes = codes

// CodeOf is code.
var CodeOf = code

// FindCookie finds one cookie without a cache, in words.
func FindCookie(h http.Header, name string) (values []string, conflict bool) {
	k := cookies{permanent: name}
	var it, other carriedCookie
	k.find(h, nil, &it, &other)
	return it.values(), it.standing == conflicting
}

// FindKnownCookie is FindCookie with a cache that knows a token.
func FindKnownCookie(h http.Header, name, known string) (values []string, hit, conflict bool) {
	c := newCache(0)
	c.add(known, Claims{}, false)
	k := cookies{permanent: name}
	var it, other carriedCookie
	k.find(h, c, &it, &other)
	return it.values(), it.entry != nil && it.standing == live, it.standing == conflicting
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

// InDatabase returns c in a database of that ID.
func (c Claims) InDatabase(id string) Claims {
	c.database = id
	return c
}

// Remembers reports whether a token is in the cache.
func (m *Middleware) Remembers(token string) bool {
	s, tag := m.cache.find(token)
	e, _ := s.get(token, tag)
	return e != nil
}

// Payload is what a keyring with these names writes for c, and what
// encoding/json does.
func Payload(c Claims, issuer, audience string) (got, want []byte, err error) {
	r := spelledFor(issuer, audience)
	if got, err = r.appendPayload(nil, c, audience); err != nil {
		return nil, nil, err
	}
	method, at := c.Method, c.ProvenAt
	if c.Anonymous {
		method, at = "anonymous", c.IssuedAt
	}
	want, err = json.Marshal(payload{
		Issuer: issuer, Subject: c.UserID, Audience: audience, ExpiresAt: c.ExpiresAt.Unix(), IssuedAt: c.IssuedAt.Unix(),
		SessionID: c.SessionID, Role: roleClaim, Anonymous: &c.Anonymous, AMR: []proven{{method, at.Unix()}},
		Prov: c.Provisional, Database: c.database, App: json.RawMessage(c.App),
	})
	return got, want, err
}

// ParsePayload reads a payload in our spelling, and again by encoding/json.
func ParsePayload(text []byte, issuer, audience string) (ours bool, got, want string) {
	var p payload
	if !spelledFor(issuer, audience).parse(&p, text) {
		return false, "", ""
	}
	other, err := unmarshal(text)
	if err != nil {
		return true, fmt.Sprint(p.words()), err.Error()
	}
	return true, p.words(), other.words()
}

func (p *payload) words() string {
	return fmt.Sprintf("%q %v %q %d %d %v %q %t %+v %t %q %s", p.Issuer, p.Subject, p.Audience, p.ExpiresAt, p.IssuedAt,
		p.SessionID, p.Role, *p.Anonymous, p.AMR, p.Prov, p.Database, p.App)
}

func spelledFor(issuer, audience string) *keyring {
	r, err := newKeyring([]Key{{Secret: []byte("a secret that is only of this test")}}, issuer, audience)
	if err != nil {
		panic(err)
	}
	return r
}
