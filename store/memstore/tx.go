package memstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// A tx is a transaction: what it takes to undo what was done.
type tx struct {
	mu    sync.Mutex // for a hook with goroutines of its own
	ended bool
	undo  []func()
}

type txKey struct{ *Store }

var errEnded = errors.New("memstore: the transaction of this context has ended")

// enter waits for the store and returns the transaction to work in: the one
// of ctx, or a new one that ends with leave.
func (s *Store) enter(ctx context.Context) (t *tx, leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("memstore: %w", err)
	}
	if t, ok := ctx.Value(txKey{s}).(*tx); ok {
		t.mu.Lock()
		if t.ended {
			t.mu.Unlock()
			return nil, nil, errEnded
		}
		return t, t.mu.Unlock, nil
	}
	select {
	case s.lock <- struct{}{}:
		return new(tx), func() { <-s.lock }, nil
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("memstore: %w", ctx.Err())
	}
}

// InTx implements store.Store.
func (s *Store) InTx(ctx context.Context, fn func(context.Context) error) error {
	if ctx.Value(txKey{s}) != nil {
		return fn(ctx)
	}
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	committed := false
	defer func() { t.end(committed) }() // also after a panic or runtime.Goexit
	if err := fn(context.WithValue(ctx, txKey{s}, t)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %w", err)
	}
	committed = true
	return nil
}

// end closes the transaction, and undoes it unless it is committed.
func (t *tx) end(committed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if committed {
		return
	}
	for _, undo := range slices.Backward(t.undo) {
		undo()
	}
}

// keep notes how to bring an entry back to what it is now.
func keep[K comparable, V any](t *tx, m map[K]V, k K) {
	old, had := m[k]
	t.undo = append(t.undo, func() {
		if had {
			m[k] = old
		} else {
			delete(m, k)
		}
	})
}

func put[K comparable, V any](t *tx, m map[K]V, k K, v V) {
	keep(t, m, k)
	m[k] = v
}

func remove[K comparable, V any](t *tx, m map[K]V, k K) {
	keep(t, m, k)
	delete(m, k)
}
