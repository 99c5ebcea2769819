package walkin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// RunFeed reads the store's feed of changes once a second until ctx ends, and returns
// ctx's error. Run it in a goroutine of the app's, on every replica:
//
//	go wk.RunFeed(ctx)
//
// While it runs, reads see within two seconds that on another replica a session ended,
// a user was deleted or banned, or a user was upgraded; with package pgxstore at once,
// by a NOTIFY of PostgreSQL, for which it keeps a connection of its own. Returning visitors then cost no
// look-up: each is looked up again after ten minutes at most. Writes always look in the
// store. Without it, or while the store does not answer, such changes hold within
// Config.Sessions.RecheckAfter, since the feed vouches for nothing longer than that
// after it was last read. What ends in this process counts at once in any case.
//
// A lost feed, for example after a restore of the database, is an event, Failed with
// reason "feed"; all users are then looked up again. RunFeed needs a store that is a
// [store.FeedStore]; those of this project are.
func (m *Middleware) RunFeed(ctx context.Context) error {
	st, ok := ability[store.FeedStore](m.cfg.Store)
	if !ok {
		return fmt.Errorf("walkin: a store of type %T has no feed", m.cfg.Store.(bounded).inner)
	}
	if !m.feed.running.CompareAndSwap(false, true) {
		return errors.New("walkin: RunFeed is running already")
	}
	defer m.feed.running.Store(false)
	tick := time.NewTicker(feedEvery)
	defer tick.Stop()
	ears := &ears{news: make(chan struct{}, 1)}
	defer ears.close()
	var reader store.Feed
	for {
		begins := reader == nil
		err := m.readFeed(ctx, st, &reader)
		if err != nil && ctx.Err() == nil {
			m.sometimes(ctx, Event{Outcome: Failed, Reason: ReasonFeed, Err: err})
		}
		if reader == nil {
			ears.close()
		} else if begins {
			ears.listen(ctx, reader, m.shared)
		}
		select {
		case <-tick.C:
		case <-ears.news:
		case <-ctx.Done():
			// What it vouched for is over within RecheckAfter.
			return ctx.Err()
		}
	}
}

// ears listen for a Feed that can tell when it has something to report.
type ears struct {
	stop context.CancelFunc // nil while there is none
	done sync.WaitGroup
	news chan struct{}
}

func (e *ears) close() {
	if e.stop != nil {
		e.stop()
		e.done.Wait()
	}
	e.stop = nil
}

// listen has the ears listen for a reader. What they hear is only a reason to read:
// any client that can call a database's NOTIFY can send it.
func (e *ears) listen(ctx context.Context, reader store.Feed, s *shared) {
	alarm, ok := reader.(interface{ Wait(context.Context) error })
	if !ok {
		return
	}
	ctx, e.stop = context.WithCancel(ctx)
	e.done.Go(func() {
		for ctx.Err() == nil {
			pause := feedPause
			if err := alarm.Wait(ctx); err == nil {
				select {
				case e.news <- struct{}{}:
				default: // it is to be read already
				}
			} else if pause = feedDeaf; ctx.Err() == nil {
				s.sometimes(ctx, Event{Outcome: Failed, Reason: ReasonFeedAlarm, Err: err})
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	})
}

// readFeed reads once, beginning where there is no reader.
func (m *Middleware) readFeed(ctx context.Context, st store.FeedStore, reader *store.Feed) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	began := m.clock()
	if *reader == nil {
		opened, err := st.Feed(ctx)
		if err != nil {
			return err
		}
		// What happened before is not known. Fails closed: every user is looked up.
		m.feed.changed(uuid.Nil)
		*reader = opened
	}
	users, err := (*reader).Next(ctx)
	if errors.Is(err, store.ErrFeedLost) {
		m.feed.vouches.Store(0)
		m.feed.changed(uuid.Nil)
		m.watchers.changed(uuid.Nil)
		*reader = nil
	}
	if err != nil {
		return err
	}
	for _, user := range users {
		if user == uuid.Nil {
			m.health.asking.database.Store(nil) // what it says about all users may have changed
		}
		m.feed.changed(user)
		m.watchers.changed(user)
	}
	// From when the reading began: what committed later may not have been read.
	m.feed.vouches.Store(began + int64(m.cfg.Sessions.RecheckAfter))
	return nil
}
