package walkin

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// A FeedStore is a [Store] that tells its replicas what changed, for
// [Middleware.RunFeed]. In the transaction of the change it records whose sessions
// ended, who was deleted or banned, and who became permanent or anonymous; not who was
// created.
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

const (
	feedEvery  = time.Second           // how often a replica reads
	feedTrust  = 10 * time.Minute      // how long an entry is believed without a look-up, see RunFeed
	feedSilent = time.Minute           // how long a Middleware waits for RunFeed before it warns
	feedPause  = 50 * time.Millisecond // between two reads that Wait asks for
	feedDeaf   = 10 * time.Second      // from an error of Wait to the next call
	feedSlots  = 1 << 14
)

// A feed is what a Middleware knows about changes: a counter for each group of users. A
// look-up notes the counter before it begins, and its result is valid while the counter
// is unchanged. So a change that is told at any time before, during or after a look-up
// is never lost, and no list of ended sessions is kept. Two users of one group only
// cause each other more look-ups.
type feed struct {
	seed     maphash.Seed // so that no client can choose its group
	counters [feedSlots]atomic.Uint32
	vouches  atomic.Int64 // until when, by Middleware.clock, what was found before is believed without a look-up
	running  atomic.Bool
	warned   atomic.Bool
}

func (f *feed) slot(user uuid.UUID) uint16 {
	return uint16(maphash.Bytes(f.seed, user[:]) % feedSlots)
}

// changed is called after a commit, or for a row of the store's feed.
func (f *feed) changed(user uuid.UUID) {
	if user != uuid.Nil {
		f.counters[f.slot(user)].Add(1)
		return
	}
	for i := range f.counters {
		f.counters[i].Add(1)
	}
}

// unchanged reports whether nothing was told about the user of an entry since the
// look-up that it is from.
func (f *feed) unchanged(e *entry) bool { return f.counters[e.slot].Load() == e.seen.Load() }

// fresh reports whether a safe request may believe what the last look-up found: for
// RecheckAfter, and for longer while the feed says that nothing changed.
func (vr *verifier) fresh(e *entry, now time.Time) bool {
	if !vr.feed.unchanged(e) {
		return false
	}
	if e.checkedWithin(vr.cfg.Sessions.RecheckAfter, now) {
		return true
	}
	at := vr.clock()
	return vr.feed.vouches.Load() > at && e.vouched.Load() > at
}

// vouch lets the feed speak for an entry whose session was just looked up. The jitter
// keeps visitors who came at the same time from being looked up at the same time ten
// minutes later.
func (vr *verifier) vouch(e *entry) {
	e.vouched.Store(vr.clock() + int64(feedTrust-rand.N(feedTrust/5)))
}

// distrust makes the next request with a token look again.
func (e *entry) distrust() {
	e.trustedUntil.Store(0)
	e.shortUntil.Store(0)
	e.checked.Store(0)
	e.vouched.Store(0)
}

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
// [FeedStore]; those of this project are.
func (m *Middleware) RunFeed(ctx context.Context) error {
	store, ok := ability[FeedStore](m.cfg.Store)
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
	var reader Feed
	for {
		begins := reader == nil
		err := m.readFeed(ctx, store, &reader)
		if err != nil && ctx.Err() == nil {
			m.sometimes(ctx, Event{Outcome: Failed, Reason: "feed", Err: err})
		}
		if reader == nil {
			ears.close()
		} else if begins {
			m.listen(ctx, ears, reader)
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
// whoever can call a database's NOTIFY can send it.
func (m *Middleware) listen(ctx context.Context, e *ears, reader Feed) {
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
				m.sometimes(ctx, Event{Outcome: Failed, Reason: "feed_alarm", Err: err})
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	})
}

// readFeed reads once, beginning where there is no reader.
func (m *Middleware) readFeed(ctx context.Context, store FeedStore, reader *Feed) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	began := m.clock()
	if *reader == nil {
		opened, err := store.Feed(ctx)
		if err != nil {
			return err
		}
		// What happened before is not known. Fails closed: everybody is looked up.
		m.feed.changed(uuid.Nil)
		*reader = opened
	}
	users, err := (*reader).Next(ctx)
	if errors.Is(err, ErrFeedLost) {
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

// missFeed warns once where a store has a feed that is not read.
func (vr *verifier) missFeed() {
	if vr.feed.warned.Load() || vr.feed.running.Load() || vr.clock() < int64(feedSilent) {
		return
	}
	if seen := vr.health.asking.database.Load(); seen != nil && seen.Forgets {
		return // there is one process, and asking it is cheap
	}
	if _, ok := ability[FeedStore](vr.cfg.Store); ok && vr.feed.warned.CompareAndSwap(false, true) {
		vr.log.Warn("walkin: nothing runs RunFeed: what ends on another replica is heard of within Config.Sessions.RecheckAfter, and returning visitors are looked up as often")
	}
}

// changes are the users that a transaction changes, through the store of Config.
type changes struct {
	mu    sync.Mutex
	users []uuid.UUID
}

type changesKey struct{ *feed }

// change counts a change of a user: at the end of the transaction of ctx, or now. Also
// where the store answered an error, since it may have committed.
func (b bounded) change(ctx context.Context, user uuid.UUID) {
	if b.feed == nil {
		return
	}
	if c, ok := ctx.Value(changesKey{b.feed}).(*changes); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.users = append(c.users, user)
		return
	}
	b.feed.changed(user)
}

// gather returns a context for a transaction, and what is to be called when it is over.
func (b bounded) gather(ctx context.Context) (context.Context, func()) {
	if b.feed == nil || ctx.Value(changesKey{b.feed}) != nil {
		return ctx, func() {}
	}
	c := &changes{}
	return context.WithValue(ctx, changesKey{b.feed}, c), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, user := range c.users {
			b.feed.changed(user)
		}
	}
}
