package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"
)

// txKey is the context key of a store's transaction.
type txKey struct{ *Store }

// lastTx is the context key of the innermost transaction, whosever it is.
type lastTx struct{}

// A Transaction is one of database/sql, or of Config.Begin.
type Transaction interface {
	runner
	Commit() error
	Rollback() error
}

// Tx returns the transaction that ctx belongs to, for the hooks of walkin.Config. What
// the app does in it happens with the identity change or not at all. Tx returns false
// outside of a transaction, and in a transaction of package pgxstore.
//
// A hook must use it for all it does in that database. The transaction locks the user's
// row, for which a foreign key to it waits, and on SQLite the whole file. A hook that
// asks the pool for another connection waits for itself, until the transaction's time
// is up.
func Tx(ctx context.Context) (*sql.Tx, bool) { return TxAs[*sql.Tx](ctx) }

// TxAs is Tx for a transaction of Config.Begin. With [Transaction] it returns any kind.
func TxAs[T Transaction](ctx context.Context) (T, bool) {
	tx, ok := ctx.Value(lastTx{}).(T)
	return tx, ok
}

// tx returns the transaction of this very store that ctx belongs to, or nil.
func (s *Store) tx(ctx context.Context) Transaction {
	tx, _ := ctx.Value(txKey{s}).(Transaction)
	return tx
}

// InTx implements store.Store. The transaction is READ COMMITTED, so that a statement
// that waited for a lock sees what the other transaction did.
func (s *Store) InTx(ctx context.Context, fn func(context.Context) error) error {
	if s.tx(ctx) != nil {
		return fn(ctx)
	}
	return s.again(ctx, func() error { return s.try(ctx, fn) })
}

func (s *Store) try(ctx context.Context, fn func(context.Context) error) error {
	tx, err := s.begin(ctx)
	if err != nil {
		return wrap(ctx, err)
	}
	// After a commit this does nothing. After an error or a panic it rolls back. When
	// ctx has ended it may have to wait for a connection that hangs.
	defer func() {
		if ctx.Err() == nil {
			_ = tx.Rollback()
		} else {
			go func() { _ = tx.Rollback() }()
		}
	}()
	inside := context.WithValue(context.WithValue(ctx, txKey{s}, tx), lastTx{}, tx)
	if err := fn(inside); err != nil {
		if isNetwork(err) && answers(ctx, tx) {
			return err // of a hook that talked to somewhere else, which is the app's to fix
		}
		return explain(ctx, err)
	}
	if err := commit(ctx, tx); err != nil {
		return wrap(ctx, err)
	}
	return nil
}

// answers reports whether a transaction's connection still works.
func answers(ctx context.Context, tx Transaction) bool {
	_, err := tx.ExecContext(ctx, "SELECT 1")
	return err == nil
}

func (s *Store) begin(ctx context.Context) (Transaction, error) {
	switch {
	case s.beginTx != nil:
		return s.beginTx(ctx)
	case s.file != nil:
		return s.beginOnFile(ctx)
	}
	return s.db.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.isolation})
}

// commit waits no longer than ctx. Some drivers wait longer, at a connection that no
// longer answers. Then it is unknown whether the transaction was committed, as with
// every commit whose answer is lost on the way.
func commit(ctx context.Context, tx Transaction) error {
	done := make(chan error, 1)
	go func() { done <- tx.Commit() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done: // it was quick enough after all
		return err
	default:
		return ctx.Err()
	}
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

// again is the function again, and on SQLite waits for the file.
func (s *Store) again(ctx context.Context, f func() error) error {
	if s.file == nil {
		return again(ctx, f)
	}
	return s.onFile(ctx, func() error { return again(ctx, func() error { return patiently(ctx, f) }) })
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
	if s.file != nil {
		return patientReader{s.reader}
	}
	return s.reader
}

// exec runs a statement and returns how many rows it touched. Outside of a transaction
// it is retried like one. Inside of one, InTx retries.
func (s *Store) exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	return s.execFor(ctx, sql.Result.RowsAffected, query, args)
}

// insert runs an INSERT of one row that ends in {{unless}}, and reports whether it
// made the row.
func (s *Store) insert(ctx context.Context, query string, args ...any) (made bool, err error) {
	if s.dialect.name != "mysql" {
		n, err := s.exec(ctx, query, args...)
		return n > 0, err
	}
	n, err := s.execFor(ctx, func(r sql.Result) (int64, error) {
		// For a row that is there, the number of touched rows depends on a setting of
		// the driver's.
		if was, err := r.LastInsertId(); was != 0 || err != nil {
			return 0, err
		}
		return r.RowsAffected()
	}, query, args)
	return n > 0, err
}

func (s *Store) execFor(ctx context.Context, answer func(sql.Result) (int64, error), query string, args []any) (n int64, err error) {
	if tx := s.tx(ctx); tx != nil {
		return execIn(ctx, tx, answer, query, args)
	}
	err = s.again(ctx, func() error {
		n, err = execIn(ctx, s.db, answer, query, args)
		return err
	})
	return n, err
}

func execIn(ctx context.Context, r runner, answer func(sql.Result) (int64, error), query string, args []any) (int64, error) {
	result, err := r.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, wrap(ctx, err)
	}
	n, err := answer(result)
	if err != nil {
		return 0, wrap(ctx, err)
	}
	return n, nil
}
