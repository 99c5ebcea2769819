package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// pgError is what pgx and pq return.
type pgError string

func (e pgError) Error() string    { return "the server is not amused" }
func (e pgError) SQLState() string { return string(e) }

// TestInTxTriesAgain holds which errors are worth another attempt, and that
// there is an end to it.
func TestInTxTriesAgain(t *testing.T) {
	s, _ := sqlite(t)(t).migrated(t)
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"PostgreSQL: serialization failure", pgError("40001"), true},
		{"PostgreSQL: deadlock", fmt.Errorf("app: %w", pgError("40P01")), true},
		{"PostgreSQL: unique violation", pgError("23505"), false},
		{"MySQL: deadlock", errors.New("Error 1213 (40001): Deadlock found when trying to get lock"), true},
		{"MySQL: lock wait timeout", errors.New("Error 1205 (HY000): Lock wait timeout exceeded"), true},
		{"MySQL: duplicate", errors.New("Error 1062 (23000): Duplicate entry"), false},
		{"SQLite: busy", errors.New("database is locked (5) (SQLITE_BUSY)"), true},
		{"the app's", errors.New("out of paper"), false},
		{"ours", store.ErrIdentityTaken, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			user, session := visitor(time.Now())
			calls := 0
			err := s.InTx(t.Context(), func(ctx context.Context) error {
				calls++
				created, err := s.CreateAnonymous(ctx, user, session)
				if err != nil || !created {
					t.Errorf("attempt %d: got %t, %v; want what the one before did undone", calls, created, err)
				}
				if calls == 3 {
					return nil
				}
				return c.err
			})
			if want := 3; c.want && (err != nil || calls != want) {
				t.Errorf("got %v after %d calls, want success after %d", err, calls, want)
			}
			if !c.want && (!errors.Is(err, c.err) || calls != 1) {
				t.Errorf("got %v after %d calls, want the error after one", err, calls)
			}
		})
	}
	t.Run("not for ever", func(t *testing.T) {
		calls := 0
		err := s.InTx(t.Context(), func(context.Context) error { calls++; return pgError("40001") })
		if !errors.Is(err, pgError("40001")) || calls < 3 || calls > 20 {
			t.Errorf("got %v after %d calls", err, calls)
		}
	})
	t.Run("not after the context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		err := s.InTx(ctx, func(context.Context) error { calls++; cancel(); return pgError("40001") })
		if !errors.Is(err, context.Canceled) || calls != 1 {
			t.Errorf("got %v after %d calls, want context.Canceled after one", err, calls)
		}
	})
}

// busy is a database that is busy a few times.
type busy struct{ left int }

func (b *busy) Connect(context.Context) (driver.Conn, error) { return b, nil }
func (b *busy) Driver() driver.Driver                        { return nil }
func (b *busy) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (b *busy) Close() error                                 { return nil }
func (b *busy) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (b *busy) CheckNamedValue(*driver.NamedValue) error     { return nil }
func (b *busy) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	if b.left--; b.left >= 0 {
		return nil, errors.New("database is locked (5) (SQLITE_BUSY)")
	}
	return driver.RowsAffected(1), nil
}

// TestStatementTriesAgain holds that a call of its own, without InTx, does not
// fail either because the database was busy once.
func TestStatementTriesAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		left int
		good bool
	}{
		{"a few times", 3, true},
		{"for ever", 1 << 30, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := sql.OpenDB(&busy{c.left})
			t.Cleanup(func() { db.Close() })
			db.SetMaxOpenConns(1)
			s, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: db})
			ok(t, err)
			if err := s.SetSecret(t.Context(), "test", "ann", nil); (err == nil) != c.good {
				t.Errorf("got %v, want success: %t", err, c.good)
			}
		})
	}
}
