package token

import (
	"time"

	"github.com/google/uuid"
)

// Acting is the type of a token with which an operator sees a site as a user. Where
// such a token is accepted, no other kind is. It is accepted nowhere else.
const Acting Kind = "act+jwt"

// An Actor is the operator who sees the site as the subject of a token, RFC 8693 §4.1.
type Actor struct {
	UserID    uuid.UUID `json:"sub"`
	SessionID uuid.UUID `json:"session_id"`
}

// IssueActing signs a token for c with an actor.
func (r *Keyring) IssueActing(c Claims, actor Actor, audience string) (string, error) {
	body, err := r.appendPayload(nil, c, audience)
	if err != nil {
		return "", err
	}
	body = append(body[:len(body)-1], `,"act":{"sub":"`...)
	body = append(appendUUID(body, actor.UserID), `","session_id":"`...)
	body = append(appendUUID(body, actor.SessionID), `"}}`...)
	return r.signing.sign(r.signing.header(Acting), body)
}

// VerifyActing returns the claims and the actor of a token of IssueActing.
func (r *Keyring) VerifyActing(text string, now time.Time) (c Claims, actor Actor, s Status) {
	header, reason := headerOf(text)
	key := r.acting[header]
	switch {
	case reason != "":
		return Claims{}, Actor{}, Invalid
	case key == nil && r.foreign(header, Acting):
		return Claims{}, Actor{}, Unverifiable
	case key == nil:
		return Claims{}, Actor{}, Invalid
	}
	body, reason := key.open(text)
	if reason != "" {
		return Claims{}, Actor{}, Invalid
	}
	p, err := unmarshal(body)
	if err != nil || p.Actor == nil || p.Actor.UserID == uuid.Nil || p.Actor.SessionID == uuid.Nil {
		return Claims{}, Actor{}, Invalid
	}
	c, s, _ = r.check(p, now)
	return c, *p.Actor, s
}
