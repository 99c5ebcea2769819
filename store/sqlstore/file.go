package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// SQLite has one writer at a time, and a driver answers "database is locked" to the
// second. It does so at once, or when the busy time-out of its DSN is over. A store
// does not depend on how the pool is set up for that. Its own writers queue here, where
// the next one goes on at once. They wait for all other users of the file. An app that
// does not release the file, as one that calls walkin inside of a transaction of its
// own, gets an error.

// fileBusyFor is how long to wait for the file where the context has no end.
const fileBusyFor = 3 * time.Second

// errFileBusy is what that ends with.
var errFileBusy = errors.New("another connection holds the SQLite file, perhaps a transaction around this call")

// onFile calls f when the store's other writers are done.
func (s *Store) onFile(ctx context.Context, f func() error) error {
	select {
	case s.file <- struct{}{}:
		defer func() { <-s.file }()
		return f()
	case <-ctx.Done():
		return wrap(ctx, errors.New("waiting for the writer before"))
	}
}

// beginOnFile begins with the lock of a writer, whatever the DSN says of _txlock. A
// transaction that has read before it writes is refused if another one wrote meanwhile,
// and no time-out helps there. A write that changes nothing takes the lock.
func (s *Store) beginOnFile(ctx context.Context) (Transaction, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, lockFile); err != nil {
		_ = tx.Rollback()
		return nil, err
	}
	return tx, nil
}

// patiently calls f again while another connection has the file.
func patiently(ctx context.Context, f func() error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, fileBusyFor)
		defer cancel()
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 10*time.Millisecond) {
		err := f()
		if err == nil || !isBusy(err) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return wrap(ctx, fmt.Errorf("%w: %w", errFileBusy, err))
		}
	}
}

// isBusy reports whether SQLite says that another connection has the file.
func isBusy(err error) bool {
	return !isElsewhere(err) && (strings.Contains(err.Error(), "database is locked") || strings.Contains(err.Error(), "database table is locked"))
}

// A patientReader reads outside of transactions. Without WAL a writer keeps readers
// out while it commits.
type patientReader struct{ runner }

func (r patientReader) QueryRowContext(ctx context.Context, query string, args ...any) (row *sql.Row) {
	_ = patiently(ctx, func() error {
		row = r.runner.QueryRowContext(ctx, query, args...)
		return row.Err()
	})
	return row
}

func (r patientReader) QueryContext(ctx context.Context, query string, args ...any) (rows *sql.Rows, err error) {
	err = patiently(ctx, func() error {
		rows, err = r.runner.QueryContext(ctx, query, args...)
		return err
	})
	return rows, err
}

// lockFile changes no row, and makes a transaction on SQLite a writer, see beginOnFile.
const lockFile = "UPDATE walkin_database SET one = one WHERE one = 0"
