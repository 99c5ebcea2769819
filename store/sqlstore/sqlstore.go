// Package sqlstore keeps walkin's users in a SQL database: SQLite, PostgreSQL,
// MySQL or MariaDB, through database/sql and whichever driver the app has.
//
// The tables are walkin_users, walkin_sessions, walkin_identities and
// walkin_tombstones, made by [Store.Migrate]. The app's own tables may refer to
// walkin_users (id), ON DELETE CASCADE if their rows are to go with the user.
// IDs are uuid in PostgreSQL, binary(16) in MySQL and 16-byte blobs in SQLite;
// there, bind a uuid.UUID as id[:].
//
// Hooks share the transaction of the change: see [Tx].
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
)

// A Dialect is a kind of database.
type Dialect uint8

const (
	SQLite Dialect = iota + 1
	PostgreSQL
	MySQL // and MariaDB
)

// Config says where the tables are. The pools are the caller's: they are used
// and never closed.
type Config struct {
	Dialect Dialect // required

	// DB is the pool for everything that writes. Required. On SQLite it must
	// have one connection, db.SetMaxOpenConns(1), with foreign keys on and
	// _txlock=immediate: writers that queue in the process wait for
	// microseconds, those that meet at the file's lock for whole seconds.
	DB *sql.DB

	// Reader is a pool for what only reads, outside of transactions. It is
	// for SQLite in WAL mode, whose readers wait for no writer. Nil is DB.
	// It must never be a replica that lags: that would sign people out.
	Reader *sql.DB
}

// A Store is a walkin.Store in a SQL database. It is safe for concurrent use,
// in any number of processes.
type Store struct {
	dialect dialect
	db      *sql.DB
	reader  *sql.DB
	q       queries
}

var _ walkin.Store = (*Store)(nil)

// New checks cfg and returns a store, or one error that names every mistake. It
// does not touch the database.
func New(cfg Config) (*Store, error) {
	var errs []error
	d, ok := dialects[cfg.Dialect]
	if !ok {
		errs = append(errs, errors.New("sqlstore: Config.Dialect is not SQLite, PostgreSQL or MySQL"))
	}
	switch {
	case cfg.DB == nil:
		errs = append(errs, errors.New("sqlstore: Config.DB is nil"))
	case cfg.Dialect == SQLite && cfg.DB.Stats().MaxOpenConnections != 1:
		errs = append(errs, errors.New("sqlstore: Config.DB needs SetMaxOpenConns(1) on SQLite"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	s := &Store{dialect: d, db: cfg.DB, reader: cfg.Reader, q: newQueries(d)}
	if s.reader == nil {
		s.reader = s.db
	}
	return s, nil
}

// txKey is the context key of a store's transaction.
type txKey struct{ *Store }

// lastTx is the context key of the innermost transaction, whosever it is.
type lastTx struct{}

// Tx returns the transaction that ctx belongs to, for the hooks of
// walkin.Config: what the app does in it happens with the change of identity or
// not at all. False outside of one.
//
// A hook must use it for all it does in that database. On SQLite there is one
// connection for writing, and this transaction has it: a hook that asks the
// pool for another one waits for itself.
func Tx(ctx context.Context) (*sql.Tx, bool) {
	tx, ok := ctx.Value(lastTx{}).(*sql.Tx)
	return tx, ok
}

const (
	maxAttempts = 8
	maxPause    = 100 * time.Millisecond
)

// InTx implements walkin.Store. The transaction is READ COMMITTED, so that a
// statement after a wait for a lock sees what the other one did.
func (s *Store) InTx(ctx context.Context, fn func(context.Context) error) error {
	if ctx.Value(txKey{s}) != nil {
		return fn(ctx)
	}
	pause := time.Millisecond
	for attempt := 1; ; attempt++ {
		err := s.try(ctx, fn)
		if err == nil || attempt == maxAttempts || !isRetryable(err) {
			return err
		}
		timer := time.NewTimer(rand.N(pause) + pause/2)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("sqlstore: %w", ctx.Err())
		}
		pause = min(2*pause, maxPause)
	}
}

func (s *Store) try(ctx context.Context, fn func(context.Context) error) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.isolation})
	if err != nil {
		return fmt.Errorf("sqlstore: begin: %w", err)
	}
	// After a commit this does nothing; after an error or a panic it undoes.
	defer func() { _ = tx.Rollback() }()
	inside := context.WithValue(context.WithValue(ctx, txKey{s}, tx), lastTx{}, tx)
	if err := fn(inside); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqlstore: commit: %w", errors.Join(err, ctx.Err()))
	}
	return nil
}

// isRetryable reports whether the database asks for the transaction again. The
// drivers are the app's, so their errors are told by what they all have: an
// SQLSTATE method (pgx), or a text that begins with the code.
func isRetryable(err error) bool {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState() == "40001" || state.SQLState() == "40P01"
	}
	text := err.Error()
	for _, part := range []string{
		"Error 1213", "Error 1205", // MySQL: deadlock, lock wait timeout
		"SQLITE_BUSY", "database is locked", "database table is locked",
	} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// A runner is a pool or a transaction.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// writer returns what ctx writes with, reader what it reads with.
func (s *Store) writer(ctx context.Context) runner {
	if tx, ok := ctx.Value(txKey{s}).(*sql.Tx); ok {
		return tx
	}
	return s.db
}

func (s *Store) readerOf(ctx context.Context) runner {
	if tx, ok := ctx.Value(txKey{s}).(*sql.Tx); ok {
		return tx
	}
	return s.reader
}

// exec runs a statement and returns how many rows it touched.
func (s *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := s.writer(ctx).ExecContext(ctx, query, args...)
	if err != nil {
		return 0, wrap(ctx, err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, wrap(ctx, err)
	}
	return n, nil
}

// wrap makes a driver's error ours. Some drivers answer a context that ended
// with an error of their own; the context's is added.
func wrap(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	return fmt.Errorf("sqlstore: %w", err)
}
