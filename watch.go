package walkin

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
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
	case errors.Is(err, ErrNotFound):
		return c.Provisional, nil
	case errors.Is(err, ErrSessionEnded), errors.Is(err, ErrBanned):
		return false, nil
	}
	return false, err
}

// watchers are those who hold something open.
type watchers struct {
	mu   sync.Mutex
	open map[uuid.UUID][]chan struct{}
}

func (w *watchers) add(id uuid.UUID, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = make(map[uuid.UUID][]chan struct{})
	}
	w.open[id] = append(w.open[id], c)
}

func (w *watchers) remove(id uuid.UUID, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[id] = slices.DeleteFunc(w.open[id], func(other chan struct{}) bool { return other == c })
	if len(w.open[id]) == 0 {
		delete(w.open, id)
	}
	close(c)
}

// changed tells those who watch a user, or all of them where it is uuid.Nil.
func (w *watchers) changed(id uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id != uuid.Nil {
		tellAll(w.open[id])
		return
	}
	for _, channels := range w.open {
		tellAll(channels)
	}
}

func tellAll(channels []chan struct{}) {
	for _, c := range channels {
		select {
		case c <- struct{}{}:
		default: // there is one already
		}
	}
}

// watched reports an event that changed a user's identity.
func (w *watchers) watched(e Event) {
	switch e.Outcome {
	case Merged:
		w.changed(e.AnonymousID)
	case Upgraded, SignedUp, SignedIn, Linked, Unlinked, SignedOut, Deleted, Revived, Banned, Unbanned:
	default:
		return
	}
	w.changed(e.UserID)
}
