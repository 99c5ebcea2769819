package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

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
// pool for another one waits for itself. The other databases hold the user's
// row, for which a foreign key to it waits.
func Tx(ctx context.Context) (*sql.Tx, bool) {
	tx, ok := ctx.Value(lastTx{}).(*sql.Tx)
	return tx, ok
}

// tx returns the transaction of this very store that ctx belongs to, or nil.
func (s *Store) tx(ctx context.Context) *sql.Tx {
	tx, _ := ctx.Value(txKey{s}).(*sql.Tx)
	return tx
}

// InTx implements walkin.Store. The transaction is READ COMMITTED, so that a
// statement after a wait for a lock sees what the other one did.
func (s *Store) InTx(ctx context.Context, fn func(context.Context) error) error {
	if s.tx(ctx) != nil {
		return fn(ctx)
	}
	return again(ctx, func() error { return s.try(ctx, fn) })
}

func (s *Store) try(ctx context.Context, fn func(context.Context) error) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.isolation})
	if err != nil {
		return wrap(ctx, err)
	}
	// After a commit this does nothing; after an error or a panic it undoes.
	defer func() { _ = tx.Rollback() }()
	inside := context.WithValue(context.WithValue(ctx, txKey{s}, tx), lastTx{}, tx)
	if err := fn(inside); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return wrap(ctx, err)
	}
	return nil
}

const (
	maxAttempts = 8
	maxPause    = 100 * time.Millisecond
)

// again calls f until the database no longer asks for another attempt.
func again(ctx context.Context, f func() error) error {
	pause := time.Millisecond
	for attempt := 1; ; attempt++ {
		err := f()
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

// isRetryable reports whether the database asks for the transaction again. The
// drivers are the app's, so their errors are told by what they all have: an
// SQLSTATE method (pgx, pq), or a text that holds the code.
func isRetryable(err error) bool {
	if state := sqlState(err); state != "" {
		return state == "40001" || state == "40P01"
	}
	text := err.Error()
	for _, part := range []string{
		"Error 1213", "Error 1205", // MySQL: deadlock, lock wait timeout
		"database is locked", "database table is locked", // SQLite: busy, locked
	} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// isNoFunction reports whether PostgreSQL has no such function, or not for this
// user: whoever made the tables by hand, or takes from PUBLIC what it is given,
// may have left it out.
func isNoFunction(err error) bool {
	state := sqlState(err)
	return state == "42883" || state == "42501"
}

// sqlState returns PostgreSQL's code of an error, or nothing.
func sqlState(err error) string {
	pg, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	if !ok {
		return ""
	}
	return pg.SQLState()
}

// A runner is a pool or a transaction.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// from returns what ctx reads from: its transaction, or the pool for readers.
func (s *Store) from(ctx context.Context) runner {
	if tx := s.tx(ctx); tx != nil {
		return tx
	}
	return s.reader
}

// exec runs a statement and returns how many rows it touched. On its own it is
// tried again like a transaction; inside one, that is up to InTx.
func (s *Store) exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	if tx := s.tx(ctx); tx != nil {
		return execIn(ctx, tx, query, args)
	}
	err = again(ctx, func() error {
		n, err = execIn(ctx, s.db, query, args)
		return err
	})
	return n, err
}

func execIn(ctx context.Context, r runner, query string, args []any) (int64, error) {
	result, err := r.ExecContext(ctx, query, args...)
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
