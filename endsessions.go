package walkin

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// EndSession ends one session of a user, such as one of a list that they see. It
// ignores a session that does not exist or is another user's.
func (m *Middleware) EndSession(ctx context.Context, userID, sessionID uuid.UUID) error {
	if err := m.cfg.Store.DeleteSession(ctx, userID, sessionID); err != nil {
		return err
	}
	m.data.deleteSessionData(ctx, Claims{UserID: userID, SessionID: sessionID})
	m.emitCtx(ctx, Event{Outcome: SignedOut, UserID: userID, SessionID: sessionID})
	return nil
}

// EndOtherSessions ends all sessions of a user except one, such as that of the browser
// in which they ask for it or have set a new password.
func (m *Middleware) EndOtherSessions(ctx context.Context, userID, except uuid.UUID) error {
	err := m.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		// The lock: a sign-in that has begun ends first, and its session too.
		if _, err := m.cfg.Store.LockUser(ctx, userID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return m.cfg.Store.DeleteSessions(ctx, userID, except)
	})
	if err != nil {
		return err
	}
	m.data.deleteOtherSessionData(ctx, userID, except)
	m.emitCtx(ctx, Event{Outcome: SignedOut, UserID: userID})
	return nil
}
