package token

import (
	"encoding/json"
	"fmt"
)

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
		Prov: c.Provisional, Database: c.Database, App: json.RawMessage(c.App),
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

func spelledFor(issuer, audience string) *Keyring {
	r, err := NewKeyring([]Key{{Secret: []byte("a secret that is only of this test")}}, nil, issuer, audience)
	if err != nil {
		panic(err)
	}
	return r
}
