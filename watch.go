package walkin

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// Watch returns a channel that gets a value when the identity of a user may have
// changed: they upgraded, signed in or out in any browser, added or removed an
// identity, were banned or deleted. The value says only "look again": code that keeps a
// connection open for a session, such as a WebSocket, then calls [Middleware.IsAlive],
// and closes the connection on false. Values that are not received are merged into one.
// The channel is closed when ctx ends.
//
// It reports what this process did. Where [Middleware.RunFeed] runs it also reports
// what other replicas did, as fast as the feed does.
func (m *Middleware) Watch(ctx context.Context, userID uuid.UUID) <-chan struct{} {
	c := make(chan struct{}, 1)
	m.watchers.add(userID, c)
	context.AfterFunc(ctx, func() { m.watchers.remove(userID, c) })
	return c
}

// IsAlive asks the store whether a session is alive. A banned user has no live session.
// A provisional session, which the store does not know, is alive until its user is
// stored under another session, or deleted.
func (m *Middleware) IsAlive(ctx context.Context, c Claims) (bool, error) {
	s, err := m.health.lookup(ctx, c)
	now := time.Now()
	switch {
	case err == nil:
		return !now.After(s.ExpiresAt.Add(leeway)) && !m.verifier.outlived(s.CreatedAt, now) && s.Anonymous == c.Anonymous, nil
	case errors.Is(err, store.ErrNotFound):
		return c.Provisional, nil
	case errors.Is(err, store.ErrSessionEnded), errors.Is(err, ErrBanned):
		return false, nil
	}
	return false, err
}
