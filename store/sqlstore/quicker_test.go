package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin/store/sqlstore"
)

// TestPersistStatements holds what a new visitor costs who comes alone: one statement.
// Who is there already costs more, and a store whose database lacks the view or the
// procedure stores visitors all the same.
func TestPersistStatements(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			d := server.start(t)(t)
			_, plain := d.migrated(t)
			counter := &counter{driver: plain.Driver(), dsn: d.dsn}
			db := sql.OpenDB(counter)
			t.Cleanup(func() { db.Close() })
			s, err := sqlstore.New(sqlstore.Config{Dialect: d.dialect, DB: db})
			ok(t, err)
			persist := func(want bool, most int) {
				t.Helper()
				user, session := visitor(time.Now())
				if !want {
					_, err := plain.ExecContext(t.Context(), d.sql("INSERT INTO walkin_tombstones (user_id, deleted_at, expires_at) SELECT ?, MAX(created_at), MAX(created_at) FROM walkin_users"), d.bind(user.ID))
					ok(t, err)
				}
				counter.reset()
				created, err := s.CreateAnonymous(t.Context(), user, session)
				if created != want || (err == nil) != want {
					t.Errorf("got %t, %v, want %t", created, err, want)
				}
				if got := counter.reset(); len(got) > most {
					t.Errorf("got %q, want %d statements", got, most)
				}
			}
			persist(true, 9) // prepares
			persist(true, 1)
			persist(false, 9)
			wantRows(t, plain, "walkin_users", 2)
			wantRows(t, plain, "walkin_sessions", 2)
			without := map[sqlstore.Dialect]string{sqlstore.SQLite: "DROP VIEW walkin_persist",
				sqlstore.PostgreSQL: "DROP FUNCTION walkin_persist", sqlstore.MySQL: "DROP PROCEDURE walkin_persist"}
			run(t, plain, without[d.dialect])
			persist(true, 9)
			persist(false, 9)
			wantRows(t, plain, "walkin_sessions", 3)
		})
	}
}

// A counter notes what a pool sends to its database, preparing apart.
type counter struct {
	driver driver.Driver
	dsn    string
	mu     sync.Mutex
	sent   []string
}

func (c *counter) Driver() driver.Driver { return c.driver }

func (c *counter) note(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, text)
}

func (c *counter) reset() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	sent := slices.Clone(c.sent)
	c.sent = nil
	return sent
}

func (c *counter) Connect(context.Context) (driver.Conn, error) {
	inner, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return &countedConn{inner.(conn), c}, nil
}

type countedConn struct {
	conn
	c *counter
}

func (c *countedConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *countedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.conn.PrepareContext(ctx, query)
	return &countedStmt{stmt, query, c.c}, err
}

func (c *countedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.conn.ExecContext(ctx, query, args)
	if err != driver.ErrSkip { // which sends it another way
		c.c.note(query)
	}
	return result, err
}

func (c *countedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.conn.QueryContext(ctx, query, args)
	if err != driver.ErrSkip {
		c.c.note(query)
	}
	return rows, err
}

func (c *countedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.c.note("BEGIN")
	tx, err := c.conn.BeginTx(ctx, opts)
	return &countedTx{tx, c.c}, err
}

type countedTx struct {
	driver.Tx
	c *counter
}

func (tx *countedTx) Commit() error {
	tx.c.note("COMMIT")
	return tx.Tx.Commit()
}

type countedStmt struct {
	driver.Stmt
	query string
	c     *counter
}

func (s *countedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.c.note(s.query)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *countedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.c.note(s.query)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}
