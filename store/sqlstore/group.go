package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A group is a group commit: the calls that come while another one is at the database
// share one statement or transaction. They wait for the calls that are there, and then
// go all at once. A call that comes alone does not wait. No call waits for a slow one
// where another can be made beside it, see patience.
type group[T any] struct {
	patience time.Duration
	answer   func([]*call[T]) // sends each of them its answer

	mu       sync.Mutex
	lanes    int // statements that run
	waiting  []*call[T]
	overtake *time.Timer // begins another batch for the waiters
}

// A call is one that may wait.
type call[T any] struct {
	of     T
	answer chan bool // false: go alone
	batch  *batch[T] // nil while it is in the queue, whose mutex guards this
}

// A batch is the calls of one statement.
type batch[T any] struct {
	all  []*call[T]
	here sync.WaitGroup // those who have not gone, with their answer or before it
}

const maxTogether = 64

func newCall[T any](of T) *call[T] { return &call[T]{of: of, answer: make(chan bool, 1)} }

// enter returns false when no call is at the database: then the caller goes alone, and
// calls leave.
func (g *group[T]) enter(c *call[T]) (waits bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lanes == 0 {
		g.lanes++
		return false
	}
	if g.waiting = append(g.waiting, c); len(g.waiting) == 1 {
		g.expect()
	}
	return true
}

// wait returns the answer to a call that entered and waits, or the error of its own
// context. If that context ends, the others go on without it.
func (g *group[T]) wait(ctx context.Context, c *call[T]) (answered bool, err error) {
	select {
	case answered = <-c.answer:
		c.batch.here.Done()
		return answered, nil
	case <-ctx.Done():
		g.abandon(c)
		return false, fmt.Errorf("sqlstore: %w", ctx.Err())
	}
}

// expect lets those who wait start a batch beside the one that runs. The more batches
// run, the longer they wait for one more, by the square: a database that is busy gets
// few large batches rather than many small ones, which cost it more, and one that hangs
// is not asked for a connection every millisecond. The group is locked.
func (g *group[T]) expect() {
	var timer *time.Timer
	timer = time.AfterFunc(time.Duration(g.lanes*g.lanes)*g.patience, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.overtake != timer { // too late
			return
		}
		g.lanes++
		go g.run(g.take())
	})
	g.overtake = timer
}

// take returns the next batch. The group is locked, and at least one call waits.
func (g *group[T]) take() *batch[T] {
	g.overtake.Stop()
	g.overtake = nil
	n := min(len(g.waiting), maxTogether)
	b := &batch[T]{all: slices.Clone(g.waiting[:n])}
	b.here.Add(n)
	for _, c := range b.all {
		c.batch = b
	}
	if g.waiting = slices.Delete(g.waiting, 0, n); len(g.waiting) > 0 {
		g.expect()
	}
	return b
}

// abandon is called by one that does not wait for its answer.
func (g *group[T]) abandon(c *call[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.batch != nil {
		c.batch.here.Done()
		return
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(other *call[T]) bool { return other == c })
	if len(g.waiting) == 0 {
		g.overtake.Stop()
		g.overtake = nil
	}
}

// run answers a batch, and then those who came meanwhile.
func (g *group[T]) run(b *batch[T]) {
	defer func() {
		b.here.Wait() // a caller that got an answer just now may bring the next call
		g.leave()
	}()
	g.answer(b.all)
}

// leave begins the next batch of waiters, or ends.
func (g *group[T]) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.lanes--
		return
	}
	go g.run(g.take())
}
