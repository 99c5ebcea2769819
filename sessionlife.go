package walkin

import (
	"time"

	"github.com/walkin-go/walkin/store"
)

// mintedAt returns when an anonymous user was minted, which is when their session
// began whatever the store knows of it: their ID tells. It is the zero time for a
// permanent user, whose session began with a proof.
func mintedAt(c Claims) time.Time {
	if !c.Anonymous || c.UserID.Version() != 7 {
		return time.Time{}
	}
	return time.Unix(c.UserID.Time().UnixTime())
}

// beganAt returns when a session that the store knows began.
func beganAt(c Claims, s store.Session) time.Time {
	if at := mintedAt(c); s.CreatedAt.IsZero() || !at.IsZero() && at.Before(s.CreatedAt) {
		return at
	}
	return s.CreatedAt
}

// outlived reports whether a session that began then is over by
// Config.SessionLifetime.
func (vr *verifier) outlived(began, now time.Time) bool {
	return vr.cfg.Sessions.Lifetime > 0 && !began.IsZero() && now.Sub(began) > vr.cfg.Sessions.Lifetime
}
