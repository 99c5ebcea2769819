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
// changed: they upgraded, signed in or out somewhere, added or removed an identity,
// were banned or deleted. It says no more than "look again": whoever holds something
// open for a session, such as a WebSocket, asks [Middleware.IsAlive] then, and closes it
// on a false. Values that are not received are one. The channel is closed when ctx ends.
//
// It hears of what this process did, and where [Middleware.RunFeed] runs of what other
// replicas did, within its time.
func (m *Middleware) Watch(ctx context.Context, userID uuid.UUID) <-chan struct{} {
	c := make(chan struct{}, 1)
	m.watchers.add(userID, c)
	context.AfterFunc(ctx, func() { m.watchers.remove(userID, c) })
	return c
}

// IsAlive reports whether a session goes on, by the store. A user who is banned has
// none. A provisional session, which the store does not know, goes on until its user is
// stored under another one, or deleted.
func (m *Middleware) IsAlive(ctx context.Context, c Claims) (bool, error) {
	s, err := m.health.lookup(ctx, c)
	now := time.Now()
	switch {
	case err == nil:
		return !now.After(s.ExpiresAt.Add(leeway)) && !m.verifier.outlived(s.CreatedAt, now) && s.Anonymous == c.Anonymous, nil
	case errors.Is(err, ErrNotFound):
		return c.Provisional, nil
	case errors.Is(err, ErrSuperseded), errors.Is(err, ErrBanned):
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

// watched tells of an event that changed who somebody is.
func (w *watchers) watched(e Event) {
	switch e.Outcome {
	case Merged:
		w.changed(e.GuestID)
	case Upgraded, SignedUp, SignedIn, Linked, Unlinked, SignedOut, Deleted, Revived, Banned, Unbanned:
	default:
		return
	}
	w.changed(e.UserID)
}
