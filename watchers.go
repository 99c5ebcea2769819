package walkin

import (
	"slices"
	"sync"

	"github.com/google/uuid"
)

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

func tellAll(channels []chan struct{}) {
	for _, c := range channels {
		select {
		case c <- struct{}{}:
		default: // there is one already
		}
	}
}
