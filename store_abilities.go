package walkin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A SweepStore is a [Store] that [Middleware.Sweep] can sweep.
type SweepStore interface {
	Store

	// InactiveUsers returns anonymous users without an identity who were last seen before a
	// time, ordered by SeenAt ascending, starting after the given user; at most limit
	// of them. The zero User starts at the beginning.
	//
	// It is called inside InTx and locks the users it returns until the end. It skips
	// users whom another transaction has locked, where the database can do that: that
	// transaction may be saving them.
	InactiveUsers(ctx context.Context, before time.Time, after User, limit int) ([]User, error)

	// DeleteInactive deletes users that InactiveUsers returned in this transaction, with
	// their sessions, and leaves no tombstones: no token of theirs can be
	// alive.
	DeleteInactive(ctx context.Context, users []User) error

	// DeleteExpired deletes what expired before a time: sessions, their data where the
	// store keeps it, tombstones and tickets. It uses transactions of about batch rows
	// and returns how many rows it deleted. It skips rows that the database refuses to
	// delete because a table of the app's refers to them; the error says how many
	// stayed.
	DeleteExpired(ctx context.Context, before time.Time, batch int) (int, error)
}

// A Clock is a [Store] that tells the time on which all replicas can agree: the
// database's. Two replicas with different clocks cannot see that by themselves, and
// what a wrong clock deletes is lost. The time is never that of the newest row, which
// the replica that is ahead has written.
type Clock interface {
	// Now returns the time of the database's own clock.
	Now(ctx context.Context) (time.Time, error)
}

// A Database says which database a store uses, and what holds for all of it.
type Database struct {
	// ID is 8 letters, made with the tables; every token names the database that its
	// session is in. Empty if the store has none.
	ID string

	// Adopted are the IDs of other databases whose tokens count as this one's.
	Adopted []string

	// Birth is when the database began: its creation, or that of its oldest user. No
	// older token can be of this database.
	Birth time.Time

	// TokenLife is how long a token can live after its user was last seen, by the
	// longest Config.Tokens.Lifetime that any replica announced. TokenLifeUntil is when
	// that may fall.
	TokenLife      time.Duration
	TokenLifeUntil time.Time

	// Sessions that began before EndedBefore have ended; those of anonymous users, if
	// they began before AnonymousEndedBefore.
	EndedBefore, AnonymousEndedBefore time.Time

	// Forgets says that all data is lost when the process ends, so that an unknown user
	// is one whom the store has lost.
	Forgets bool
}

// owns reports whether a token can be of this database. A token that names no database
// can.
func (db *Database) owns(c Claims) bool {
	return c.database == "" || c.database == db.ID || slices.Contains(db.Adopted, c.database)
}

// A DatabaseStore is a [Store] that knows which database it uses. Without it a
// restored, empty or wrong database cannot be told from the right one. A store without
// these methods counts as one that loses no data, and never as another database.
type DatabaseStore interface {
	Store

	// Database returns what is stored about the database, in one query.
	Database(ctx context.Context) (Database, error)

	// AnnounceTokenLife stores the longest life that replicas announce. It falls only
	// when now is past the end of the longer one.
	AnnounceTokenLife(ctx context.Context, life time.Duration, now time.Time) error

	// EndSessionsBefore moves EndedBefore to a time, and AnonymousEndedBefore with it
	// where anonymous is true; never back. From then on [Store.LookupSession] treats a session
	// with an earlier CreatedAt as ended.
	EndSessionsBefore(ctx context.Context, at time.Time, anonymous bool) error
}

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
