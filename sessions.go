package walkin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// A sign-in stores a session, and any visitor with an account or a stolen password can
// sign in. An anonymous user who signs in leaves a tombstone, and may sign out and come
// again. So an identity signs in only so often from browsers that are not signed in as
// its user already. A user keeps Config.Sessions.Max, and new sessions cannot push out
// those that the owner uses.

const (
	// untouchable is how long a new session is never ended to make room: the
	// browser that has just signed in must not be out again.
	untouchable = time.Hour

	// maxEvicted is how many sessions one sign-in ends, where Sessions.Max was set
	// after there were thousands: it must end in time, and the next ends more.
	maxEvicted = 100

	// maxChangesAnHour is how often one user proves, adds or removes an identity: more
	// than one who adds as many as there is room for.
	maxChangesAnHour = maxIdentities * 3 / 2

	// maxIdentities is how many one user may have: far more than anyone needs.
	maxIdentities = 100
)

// opensAnother reports whether the session that a change opens is one more of its
// user: after an upgrade it is the only one, and a new proof replaces one.
func (s *identityChange) opensAnother() bool {
	return s.change.Outcome == Merged ||
		s.change.Outcome == SignedIn && (!s.endsOld || s.visitor.UserID != s.change.UserID)
}

// newcomers is how many sessions of the last hour may have taken the place of some
// that were in use: 20 of 50, so the other 30 are the owner's for sure.
func newcomers(most int) int { return max(most*2/5, min(most-1, 5), 1) }

// makeRoom ends sessions of the user who signs in, whom the transaction has locked,
// until there is room for one more. The expired ones end first, then those that were
// never seen after they were made, then those that were not seen for longest. Seen
// means renewed, so it is right to about Config.Tokens.RenewAfter. It never ends a
// session that is young or was proven a moment ago, which is the same, since each proof
// opens a session. When there are many newcomers, it ends no session that was seen.
func (s *identityChange) makeRoom(ctx context.Context) error {
	s.evicted = nil
	most := s.m.cfg.Sessions.Max
	if most < 0 {
		return nil
	}
	sessions, err := s.m.cfg.Store.UserSessions(ctx, s.change.UserID)
	tooMany := min(len(sessions)+1-most, maxEvicted)
	if err != nil || tooMany <= 0 {
		return err
	}
	expired := func(session store.Session) bool { return s.now.After(session.ExpiresAt.Add(leeway)) }
	young := max(untouchable, s.m.cfg.Sessions.RecentProof)
	slices.SortFunc(sessions, func(a, b store.Session) int { return a.CreatedAt.Compare(b.CreatedAt) })
	rank := func(session store.Session) int {
		switch {
		case expired(session):
			return 0
		case !session.RenewedAt.After(session.CreatedAt):
			return 1
		}
		return 2
	}
	var may, fresh []store.Session
	for _, session := range sessions {
		if expired(session) || s.now.Sub(session.CreatedAt) >= young {
			may = append(may, session)
		} else {
			fresh = append(fresh, session)
		}
	}
	if len(fresh) >= newcomers(most) {
		may = slices.DeleteFunc(may, func(session store.Session) bool { return rank(session) == 2 })
	}
	if len(may) < tooMany {
		// Fails closed for the newcomer: the owner's browsers stay signed in.
		wait := max(fresh[0].CreatedAt.Add(young).Sub(s.now), time.Second)
		return &Refusal{Status: http.StatusTooManyRequests, Reason: ReasonSessionLimit, RetryAfter: wait,
			Text: texts.Of("error.session_limit", "minutes", texts.Minutes(wait))}
	}
	slices.SortStableFunc(may, func(a, b store.Session) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.RenewedAt.Compare(b.RenewedAt))
	})
	for _, session := range may[:tooMany] {
		if err := s.m.cfg.Store.DeleteSession(ctx, session.UserID, session.ID); err != nil {
			return err
		}
		s.evicted = append(s.evicted, session.ID)
	}
	return nil
}

// emitEvicted says which sessions made room, once that is done.
func (s *identityChange) emitEvicted(r *http.Request) {
	for _, id := range s.evicted {
		s.m.data.deleteSessionData(r.Context(), Claims{UserID: s.change.UserID, SessionID: id})
		s.m.emit(r, Event{Outcome: SignedOut, Reason: ReasonSessionLimit, UserID: s.change.UserID, SessionID: id})
	}
}
