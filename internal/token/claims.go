package token

import (
	"time"

	"github.com/google/uuid"
)

// Claims are what a token says. walkin.Claims have the same fields, and say what they
// mean; Database is the ID of the database that the session is in, or empty.
type Claims struct {
	UserID      uuid.UUID
	SessionID   uuid.UUID
	Anonymous   bool
	Provisional bool
	Method      string
	ProvenAt    time.Time
	IssuedAt    time.Time
	ExpiresAt   time.Time
	App         string
	Database    string
}

// IsReserved reports whether a name is one that the app cannot give its own claims.
func IsReserved(name string) bool {
	switch name {
	case "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "session_id", "role", "is_anonymous", "amr", "prov", "db", "app", "act":
		return true
	}
	return false
}

// check checks claims that were signed by one of our keys. Another service may share
// the key, so nothing about the claims is taken for granted.
func (r *Keyring) check(p *payload, now time.Time) (Claims, Status, Reason) {
	issued, expires := time.Unix(p.IssuedAt, 0), time.Unix(p.ExpiresAt, 0)
	switch {
	case p.Issuer != r.issuer, p.Audience != r.audience:
		return Claims{}, Invalid, ReasonForeign
	case p.Role != roleClaim, len(p.App) > 0 && p.App[0] != '{':
		return Claims{}, Invalid, ReasonForeign
	case p.Subject == uuid.Nil, p.SessionID == uuid.Nil, p.Anonymous == nil, p.IssuedAt == 0, p.ExpiresAt == 0,
		len(p.AMR) != 1, p.Prov && !*p.Anonymous:
		return Claims{}, Invalid, ReasonIncomplete
	case now.After(expires.Add(Leeway)):
		return Claims{}, Invalid, ReasonExpired
	case issued.After(now.Add(Leeway)):
		// Ours, and from a clock ahead of this one: to mint over it would
		// take the visitor's identity away.
		return Claims{}, Unverifiable, ReasonClockSkew
	}
	c := Claims{
		UserID: p.Subject, SessionID: p.SessionID,
		Anonymous: *p.Anonymous, Provisional: p.Prov,
		IssuedAt: issued, ExpiresAt: expires, App: string(p.App), Database: p.Database,
	}
	if !c.Anonymous {
		c.Method, c.ProvenAt = p.AMR[0].Method, time.Unix(p.AMR[0].At, 0)
	}
	return c, Valid, ""
}
