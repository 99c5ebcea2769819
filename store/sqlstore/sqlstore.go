// Package sqlstore keeps walkin's users in a SQL database: SQLite, PostgreSQL, MySQL or
// MariaDB. It uses database/sql and the driver that the app has.
//
// # Tables
//
// [Store.Migrate] makes the tables walkin_users, walkin_sessions, walkin_identities,
// walkin_tombstones, walkin_tickets, walkin_session_data, walkin_limits,
// walkin_database and walkin_feed. A trigger leaves the tombstone of a user who is
// deleted by SQL. The app's own tables may refer to walkin_users (id), ON DELETE
// CASCADE if their rows are to be deleted with the user. There is also walkin_persist,
// which stores new visitors in one call: a function in PostgreSQL and a procedure in
// MySQL, with the rights of their caller, and a view with a trigger in SQLite. Where it
// is missing or may not be called, new visitors are stored in several statements.
//
// IDs are uuid in PostgreSQL, binary(16) in MySQL and 16-byte blobs in SQLite. A
// uuid.UUID binds itself as text, which is right for PostgreSQL alone. In the other two
// bind id[:], or no row will match. Scanning into a uuid.UUID is right in all three.
// Times are timestamptz, datetime(6) in UTC, and integers of microseconds since 1970.
//
// # SQLite
//
// The app's pool works as it is. A store's own writers queue in the process. Its
// transactions begin as writers (BEGIN IMMEDIATE, whatever the DSN says). It waits for
// other users of the file until its context ends, which in walkin is after 3 seconds.
// Then the answer is ErrUnavailable. So a handler that calls walkin inside of a
// transaction of its own gets an error, and the site does not hang.
//
// The best setting for the app, walkin included, is WAL, in which readers wait for no
// writer, a busy time-out, foreign keys, and transactions that begin as writers:
//
//	modernc.org/sqlite: file:app.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_txlock=immediate
//	mattn/go-sqlite3:   file:app.db?_busy_timeout=5000&_journal_mode=WAL&_foreign_keys=1&_txlock=immediate
//
// A pool of one connection is not needed. A handler that holds a transaction in such a
// pool and asks it for more waits for itself for ever, with walkin and without. Leave
// synchronous at FULL, SQLite's default, unless a power cut may undo the last upgrades.
// NORMAL writes about ten times as fast, and the file survives either way.
//
// # Transactions
//
// Hooks share the transaction of the change: see [Tx].
package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/walkin-go/walkin/store"
)

// A Dialect is a kind of database. The zero value is none.
type Dialect uint8

// The databases that a [Store] speaks to.
const (
	SQLite Dialect = iota + 1
	PostgreSQL
	MySQL // and MariaDB; for the sweep, one that knows SKIP LOCKED
)

// Config says where the tables are. The pools are the caller's: the store uses them and
// never closes them.
type Config struct {
	Dialect Dialect // required

	// DB is the app's pool, however it is set up. Required.
	DB *sql.DB

	// Reader is a pool for reads outside of transactions. It is for SQLite, where DB
	// has one connection. If nil, DB is used. It must never be a replica that lags:
	// that would sign users out.
	Reader *sql.DB

	// Begin begins a transaction on a connection of DB. It is for a driver whose own
	// transactions hooks need, as in package pgxstore. If nil, DB.BeginTx is used.
	Begin func(context.Context) (Transaction, error)
}

// A Store is a store.Store in a SQL database. It is safe for concurrent use,
// in any number of processes.
type Store struct {
	dialect dialect
	db      *sql.DB
	reader  *sql.DB
	beginTx func(context.Context) (Transaction, error)
	file    chan struct{} // of SQLite: has room for one writer; otherwise nil
	q       queries

	lookup, findData prepared
	arrivals         group[*arrival] // calls of CreateAnonymous
	persistOnly      prepared        // one of them, see persistNew
	together         []multitude
	lookups          group[*lookup] // calls of LookupSession
	lookupAll        []prepared     // by how many of them
}

var _ store.Store = (*Store)(nil)

// New checks cfg and returns a store, or one error that names every setting that is
// wrong. It does
// not contact the database.
func New(cfg Config) (*Store, error) {
	var errs []error
	d, ok := dialects[cfg.Dialect]
	if !ok {
		errs = append(errs, errors.New("sqlstore: Config.Dialect is not SQLite, PostgreSQL or MySQL"))
	}
	if cfg.DB == nil {
		errs = append(errs, errors.New("sqlstore: Config.DB is nil"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	s := &Store{dialect: d, db: cfg.DB, reader: cfg.Reader, beginTx: cfg.Begin, q: newQueries(d)}
	if cfg.Dialect == SQLite {
		s.file = make(chan struct{}, 1)
	}
	s.arrivals.patience, s.arrivals.answer = d.patience, s.storeAll
	s.together = s.newMultitudes()
	s.lookups.patience, s.lookups.answer = d.patience, s.answerLookups
	s.lookupAll = s.newLookups()
	s.lookup.text, s.findData.text = d.sql(lookupQuery), d.sql(findDataQuery)
	s.persistOnly.text = d.persistNew
	if s.reader == nil {
		s.reader = s.db
	}
	return s, nil
}
