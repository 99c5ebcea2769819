package store

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

// A FeedStore is a [Store] that tells its replicas what changed, for Middleware.RunFeed.
// In the transaction of the change it records whose sessions ended, who was deleted or
// banned, and who became permanent or anonymous; not who was created.
type FeedStore interface {
	Store

	// Feed returns a reader that starts now: every change that commits later is
	// reported.
	Feed(ctx context.Context) (Feed, error)
}

// A Feed is one reader's position. Do not use it from several goroutines at once.
//
// A Feed whose database can say that something changed also has a method
//
//	Wait(ctx context.Context) error
//
// which returns nil when Next may have something to report, and an error when it cannot
// listen. It is called from one goroutine of its own, again and again, also after an
// error, and must free what it holds when ctx ends. It is a hint to read now: Next is
// called every second, whatever Wait says.
type Feed interface {
	// Next returns the users who changed since the previous call, in one query on the
	// primary; uuid.Nil stands for all users. A change is reported after its commit,
	// whatever the order of commits. A reported user means "look again", never "has
	// ended", and may be reported without a reason.
	//
	// ErrFeedLost says that changes may have been missed: the reader must begin again
	// with another Feed. After any other error the call can be made again.
	Next(ctx context.Context) ([]uuid.UUID, error)
}

// ErrFeedLost: what a feed has read before is no longer there, or it has too much left
// to read.
var ErrFeedLost = errors.New("walkin: feed lost")
