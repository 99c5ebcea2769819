package store

import (
	"context"
	"time"
)

// A SweepStore is a [Store] that walkin can sweep, by Middleware.Sweep.
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
