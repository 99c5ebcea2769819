package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// TestTogether holds that visitors who are stored at the same moment, on two replicas,
// each get the answer that is theirs, no matter who shares their transaction.
func TestTogether(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			d := server.start(t)(t)
			a, db := d.migrated(t)
			b, _ := d.store(t)
			stores := []*sqlstore.Store{a, b}

			_, taken := visitor(time.Now())
			user, _ := visitor(time.Now())
			taken.UserID = user.ID
			_, err := a.CreateAnonymous(t.Context(), user, taken)
			ok(t, err)
			gone, cancel := context.WithCancel(t.Context())
			cancel()

			const fresh, others = 60, 10
			var wg sync.WaitGroup
			var created [fresh]atomic.Int32
			var refused []uuid.UUID
			for i := range fresh {
				user, session := visitor(time.Now())
				for later, s := range stores { // a double click
					wg.Go(func() {
						user, session := user, session
						user.CreatedAt = user.CreatedAt.Add(time.Duration(later) * time.Microsecond)
						user.SeenAt, session.CreatedAt, session.RenewedAt = user.CreatedAt, user.CreatedAt, user.CreatedAt
						is, err := s.CreateAnonymous(t.Context(), user, session)
						if err != nil {
							t.Errorf("a new visitor: got %v", err)
						}
						if is {
							created[i].Add(1)
						}
					})
				}
			}
			for i := range others {
				deleted, session := visitor(time.Now())
				ok(t, a.DeleteUser(t.Context(), store.Tombstone{UserID: deleted.ID, DeletedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}))
				second, secondSession := visitor(time.Now())
				secondSession.ID = taken.ID
				away, awaySession := visitor(time.Now())
				refused = append(refused, deleted.ID, second.ID)
				for name, f := range map[string]func() error{
					"a deleted user": func() error { _, err := stores[i%2].CreateAnonymous(t.Context(), deleted, session); return err },
					"a taken session": func() error {
						_, err := stores[i%2].CreateAnonymous(t.Context(), second, secondSession)
						return err
					},
				} {
					wg.Go(func() {
						if err := f(); !errors.Is(err, store.ErrSessionEnded) {
							t.Errorf("%s: got %v, want ErrSessionEnded", name, err)
						}
					})
				}
				wg.Go(func() {
					if _, err := stores[i%2].CreateAnonymous(gone, away, awaySession); !errors.Is(err, context.Canceled) {
						t.Errorf("a visitor who left: got %v, want context.Canceled", err)
					}
				})
			}
			wg.Wait()
			for i := range created {
				if n := created[i].Load(); n != 1 {
					t.Errorf("visitor %d was created %d times, want once", i, n)
				}
			}
			for _, id := range refused {
				if _, err := b.LockUser(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("a refused visitor: got %v, want no row", err)
				}
			}
			var sessions, users int
			ok(t, db.QueryRowContext(t.Context(), `SELECT COUNT(*), COUNT(DISTINCT user_id) FROM walkin_sessions`).Scan(&sessions, &users))
			if most := fresh + 1 + others; sessions < fresh+1 || sessions > most || users != sessions {
				t.Errorf("got %d sessions of %d users, want %d to %d of as many", sessions, users, fresh+1, most)
			}
		})
	}
}

// TestTogetherNotHeldUp holds that a visitor whose row is locked by another transaction
// keeps no one waiting but themselves.
func TestTogetherNotHeldUp(t *testing.T) {
	for _, server := range servers[1:] { // SQLite has one writer, and everybody waits for it
		t.Run(server.name, func(t *testing.T) {
			d := server.start(t)(t)
			a, _ := d.migrated(t)
			b, _ := d.store(t)
			stuck, session := visitor(time.Now())
			var waiting sync.WaitGroup
			ok(t, b.InTx(t.Context(), func(ctx context.Context) error {
				ok(t, b.CreateUser(ctx, stuck))
				waiting.Go(func() {
					if _, err := a.CreateAnonymous(t.Context(), stuck, session); !errors.Is(err, store.ErrSessionEnded) {
						t.Errorf("the one who waits: got %v, want ErrSessionEnded", err)
					}
				})
				var others sync.WaitGroup
				for range 200 {
					others.Go(func() {
						user, session := visitor(time.Now())
						created, err := a.CreateAnonymous(t.Context(), user, session)
						if !created || err != nil {
							t.Errorf("another visitor: got %t, %v", created, err)
						}
					})
				}
				others.Wait() // before the lock goes
				return nil
			}))
			waiting.Wait()
		})
	}
}

// TestPersistWaitsForDelete holds that a visitor whose deletion is being committed by
// another process does not come back, whatever isolation the app prefers.
func TestPersistWaitsForDelete(t *testing.T) {
	for _, test := range []struct {
		start   func(testing.TB) server
		name    string
		setting string
		waiting string // how many transactions wait for a lock
	}{
		{postgres, "PostgreSQL", "", `SELECT COUNT(*) FROM pg_locks WHERE NOT granted`},
		{postgres, "PostgreSQL, serializable", "&default_transaction_isolation=serializable", `SELECT COUNT(*) FROM pg_locks WHERE NOT granted`},
		{mariadb, "MariaDB", "", `SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'`},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := test.start(t)(t)
			d.dsn += test.setting
			a, db := d.migrated(t)
			b, _ := d.store(t)
			user, session := visitor(time.Now())
			err := make(chan error, 1)
			ok(t, b.InTx(t.Context(), func(ctx context.Context) error {
				ok(t, b.DeleteUser(ctx, store.Tombstone{UserID: user.ID, DeletedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}))
				go func() {
					_, persist := a.CreateAnonymous(t.Context(), user, session)
					err <- persist
				}()
				for range 50 { // not often: InnoDB answers from a cache while it is asked
					time.Sleep(200 * time.Millisecond)
					var n int
					ok(t, db.QueryRowContext(t.Context(), test.waiting).Scan(&n))
					if n > 0 {
						return nil
					}
				}
				t.Fatal("nobody waits")
				return nil
			}))
			if err := <-err; !errors.Is(err, store.ErrSessionEnded) {
				t.Errorf("got %v, want ErrSessionEnded", err)
			}
			if _, err := b.LockUser(t.Context(), user.ID); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("their row: got %v, want none", err)
			}
		})
	}
}

// TestTogetherButOne holds that on PostgreSQL a visitor who needs another answer, as
// with a double click, leaves the others together.
func TestTogetherButOne(t *testing.T) {
	s, db := postgres(t)(t).migrated(t)
	old, oldSession := visitor(time.Now())
	_, err := s.CreateAnonymous(t.Context(), old, oldSession)
	ok(t, err)
	deleted, deletedSession := visitor(time.Now())
	ok(t, s.DeleteUser(t.Context(), store.Tombstone{UserID: deleted.ID, DeletedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}))
	const visitors = 400
	var wg sync.WaitGroup
	for i := range visitors {
		user, session := visitor(time.Now())
		second, secondSession := visitor(time.Now())
		secondSession.ID = oldSession.ID
		wg.Go(func() {
			if created, err := s.CreateAnonymous(t.Context(), user, session); !created || err != nil {
				t.Errorf("a new visitor: got %t, %v", created, err)
			}
		})
		if i%10 > 0 {
			continue
		}
		wg.Go(func() {
			user, session := visitor(time.Now().Add(time.Millisecond)) // a request has a time of its own
			user.ID, session.ID, session.UserID = old.ID, oldSession.ID, old.ID
			if created, err := s.CreateAnonymous(t.Context(), user, session); created || err != nil {
				t.Errorf("an old visitor: got %t, %v", created, err)
			}
		})
		wg.Go(func() {
			if _, err := s.CreateAnonymous(t.Context(), deleted, deletedSession); !errors.Is(err, store.ErrSessionEnded) {
				t.Errorf("a deleted visitor: got %v, want ErrSessionEnded", err)
			}
		})
		wg.Go(func() {
			if _, err := s.CreateAnonymous(t.Context(), second, secondSession); !errors.Is(err, store.ErrSessionEnded) {
				t.Errorf("a taken session: got %v, want ErrSessionEnded", err)
			}
		})
	}
	wg.Wait()
	var users, sessions int
	ok(t, db.QueryRowContext(t.Context(), `SELECT COUNT(*), (SELECT COUNT(*) FROM walkin_sessions) FROM walkin_users`).Scan(&users, &sessions))
	if users != visitors+1 || sessions != users {
		t.Errorf("got %d users with %d sessions, want %d of each", users, sessions, visitors+1)
	}
	// The load decides into how many batches they fall. What one batch does is always
	// the same.
	var made, transactions int
	ok(t, db.QueryRowContext(t.Context(), `
		SELECT COUNT(*) FROM walkin_persist(
			ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 60)) || CAST($1 AS uuid) || CAST($2 AS uuid),
			ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 62)),
			ARRAY(SELECT CAST('1999-01-01' AS timestamptz) FROM generate_series(1, 62)), ARRAY(SELECT now() FROM generate_series(1, 62)))`,
		old.ID, deleted.ID).Scan(&made))
	ok(t, db.QueryRowContext(t.Context(), `SELECT COUNT(DISTINCT xmin::text) FROM walkin_users WHERE created_at = '1999-01-01'`).Scan(&transactions))
	if made != 60 || transactions != 1 {
		t.Errorf("got %d of 60 in %d transactions, want all in one", made, transactions)
	}
}

// A crowded is a PostgreSQL that only has its function, for all visitors but old. The
// first call of the function does not end before release.
type crowded struct {
	unsure
	old     string
	release chan bool
	batches []int // how many came in each call
	alone   int   // how many went without it
}

func (c *crowded) Connect(context.Context) (driver.Conn, error) { return &crowdedConn{c}, nil }

type crowdedConn struct{ *crowded }

func (c *crowdedConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	c.alone++
	return nil, errors.ErrUnsupported
}

func (c *crowdedConn) QueryContext(_ context.Context, _ string, args []driver.NamedValue) (driver.Rows, error) {
	ids := strings.Split(strings.Trim(args[0].Value.(string), "{}"), ",")
	c.batches = append(c.batches, len(ids))
	if len(c.batches) == 1 {
		<-c.release
	}
	return &crowdedRows{ids: slices.DeleteFunc(ids, func(id string) bool { return id == c.old })}, nil
}

type crowdedRows struct{ ids []string }

func (r *crowdedRows) Columns() []string { return []string{"id"} }
func (r *crowdedRows) Close() error      { return nil }
func (r *crowdedRows) Next(row []driver.Value) error {
	if len(r.ids) == 0 {
		return io.EOF
	}
	row[0], r.ids = r.ids[0], r.ids[1:]
	return nil
}

// TestTogetherByTheDozen holds that visitors who come while one call hangs go in as few
// calls as possible. Of these, only the one who is not new goes alone.
func TestTogetherByTheDozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, oldSession := visitor(time.Now())
		c := &crowded{old: strings.ReplaceAll(old.ID.String(), "-", ""), release: make(chan bool)}
		db := sql.OpenDB(c)
		defer db.Close()
		s, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.PostgreSQL, DB: db})
		ok(t, err)
		var wg sync.WaitGroup
		persist := func(user store.User, session store.Session) {
			wg.Go(func() {
				created, err := s.CreateAnonymous(t.Context(), user, session)
				if isOld := user.ID == old.ID; created == isOld || isOld != errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("got %t, %v of the one who is not new: %t", created, err, isOld)
				}
			})
		}
		persist(visitor(time.Now()))
		synctest.Wait()
		for range 199 {
			persist(visitor(time.Now()))
		}
		persist(old, oldSession)
		time.Sleep(time.Second)
		close(c.release)
		wg.Wait()
		if want := []int{1, 64, 64, 64, 8}; !slices.Equal(c.batches, want) || c.alone != 1 {
			t.Errorf("got batches of %d and %d alone, want %d and 1", c.batches, c.alone, want)
		}
	})
}

// alone marks the context of a call of CreateAnonymous. A batch has the context of no single
// call.
type alone struct{}

// A lossy is a database that loses the answers to batches after the commit, or, with
// instead, does that and not the batch. The first call waits for that.
type lossy struct {
	driver.Connector
	first   atomic.Bool
	inside  chan bool // closed when the first is there
	lost    chan bool // closed when an answer is
	once    sync.Once
	instead func()
}

var errLost = errors.New("the answer was lost")

type conn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

func (l *lossy) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := l.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &lossyConn{c.(conn), l}, nil
}

// came reports whether this is a batch. Those who come alone wait until one was lost:
// the first, and any other for whom a batch of one began.
func (l *lossy) came(ctx context.Context) bool {
	if ctx.Value(alone{}) == nil {
		return true
	}
	if l.first.CompareAndSwap(false, true) {
		close(l.inside)
	}
	<-l.lost
	return false
}

// lose does what is done instead.
func (l *lossy) lose() error {
	l.once.Do(func() {
		if l.instead != nil {
			l.instead()
		}
		close(l.lost)
	})
	return errLost
}

type lossyConn struct {
	conn
	l *lossy
}

func (c *lossyConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *lossyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if !strings.Contains(query, "walkin_persist") || !c.l.came(ctx) {
		return c.conn.QueryContext(ctx, query, args)
	}
	if c.l.instead == nil {
		rows, err := c.conn.QueryContext(ctx, query, args)
		if err != nil {
			return nil, err
		}
		row := make([]driver.Value, len(rows.Columns()))
		for err == nil {
			err = rows.Next(row)
		}
		if err := rows.Close(); err != nil {
			return nil, err
		}
	}
	return nil, c.l.lose()
}

// PrepareContext is how the procedure for one visitor is called.
func (c *lossyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if strings.Contains(query, "walkin_persist") {
		c.l.came(ctx)
	}
	return c.conn.PrepareContext(ctx, query)
}

func (c *lossyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	batch := c.l.came(ctx)
	tx, err := c.conn.BeginTx(ctx, opts)
	if batch && err == nil {
		tx = &lossyTx{tx, c.l}
	}
	return tx, err
}

type lossyTx struct {
	driver.Tx
	l *lossy
}

func (tx *lossyTx) Commit() error {
	end := tx.Tx.Commit
	if tx.l.instead != nil {
		end = tx.Rollback
	}
	if err := end(); err != nil {
		return err
	}
	return tx.l.lose()
}

// TestTogetherAnswerLost holds what visitors are told whose batch was committed without
// an answer. They are told that they were stored, as they were. Those whom another
// replica stored meanwhile are not told so. Otherwise their rows would count for no
// limit.
func TestTogetherAnswerLost(t *testing.T) {
	for _, server := range servers[1:] { // SQLite has one writer, for whom the batch would wait
		for _, elsewhere := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, made elsewhere %t", server.name, elsewhere), func(t *testing.T) {
				d := server.start(t)(t)
				other, db := d.migrated(t)
				driver := db.Driver().(driver.DriverContext)
				connector, err := driver.OpenConnector(d.dsn)
				ok(t, err)
				l := &lossy{Connector: connector, inside: make(chan bool), lost: make(chan bool)}
				pool := sql.OpenDB(l)
				t.Cleanup(func() { pool.Close() })
				s, err := sqlstore.New(sqlstore.Config{Dialect: d.dialect, DB: pool})
				ok(t, err)

				const crowd = 40
				var users [1 + crowd]store.User
				var sessions [1 + crowd]store.Session
				for i := range users {
					users[i], sessions[i] = visitor(time.Now())
				}
				if elsewhere {
					l.instead = func() {
						for i := range users[1:] {
							user, session := users[1+i], sessions[1+i]
							at := user.CreatedAt.Add(time.Millisecond)
							user.CreatedAt, user.SeenAt, session.CreatedAt, session.RenewedAt = at, at, at, at
							if created, err := other.CreateAnonymous(t.Context(), user, session); !created || err != nil {
								t.Errorf("elsewhere: got %t, %v", created, err)
							}
						}
					}
				}
				pool.SetMaxIdleConns(16)
				var conns []*sql.Conn
				for range 4 { // open connections: a batch waits a second for all it does
					c, err := pool.Conn(t.Context())
					ok(t, err)
					conns = append(conns, c)
				}
				for _, c := range conns {
					ok(t, c.Close())
				}
				var first, wg sync.WaitGroup
				ctx := context.WithValue(t.Context(), alone{}, true)
				persist := func(wg *sync.WaitGroup, i int, want bool) {
					wg.Go(func() {
						if created, err := s.CreateAnonymous(ctx, users[i], sessions[i]); created != want || err != nil {
							t.Errorf("visitor %d: got %t, %v, want %t", i, created, err, want)
						}
					})
				}
				persist(&first, 0, true)
				<-l.inside
				for i := range crowd {
					persist(&wg, 1+i, !elsewhere)
				}
				wg.Wait()
				l.once.Do(func() {
					t.Error("no answer was lost")
					close(l.lost)
				})
				first.Wait()
			})
		}
	}
}

// unsure is a PostgreSQL that stores no one: it says whom it stores, and fails at the
// commit.
type unsure struct{ rowSent func() }

func (u *unsure) Connect(context.Context) (driver.Conn, error) { return u, nil }
func (u *unsure) Driver() driver.Driver                        { return nil }
func (u *unsure) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (u *unsure) Close() error                                 { return nil }
func (u *unsure) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (u *unsure) QueryContext(_ context.Context, _ string, args []driver.NamedValue) (driver.Rows, error) {
	return &unsureRows{u, strings.Trim(args[0].Value.(string), "{}")}, nil
}

type unsureRows struct {
	*unsure
	id string
}

func (r *unsureRows) Columns() []string { return []string{"id"} }
func (r *unsureRows) Close() error      { return errors.New("the commit failed") }
func (r *unsureRows) Next(row []driver.Value) error {
	if r.id == "" {
		return io.EOF
	}
	row[0], r.id = r.id, ""
	r.rowSent()
	return nil
}

// TestPersistReadsToTheEnd holds that an answer whose end is an error tells no visitor
// that they are stored, also when the request ends between the two.
func TestPersistReadsToTheEnd(t *testing.T) {
	u := &unsure{}
	db := sql.OpenDB(u)
	t.Cleanup(func() { db.Close() })
	s, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.PostgreSQL, DB: db})
	ok(t, err)
	for range 50_000 { // it is a matter of microseconds
		ctx, cancel := context.WithCancel(t.Context())
		u.rowSent = cancel
		user, session := visitor(time.Now())
		if created, err := s.CreateAnonymous(ctx, user, session); created || err == nil {
			t.Fatalf("got %t, %v, want the error", created, err)
		}
	}
}

// TestPersistWithoutFunction holds that a visitor is stored, alone or with others, also
// where PostgreSQL does not have the function, or denies it to this user.
func TestPersistWithoutFunction(t *testing.T) {
	server := postgres(t)
	for _, test := range []struct{ name, statement string }{
		{"not made", `DROP FUNCTION walkin_persist`},
		{"not granted", `
			CREATE OR REPLACE FUNCTION walkin_persist(users uuid[], sessions uuid[], times timestamptz[], ends timestamptz[])
			RETURNS SETOF uuid LANGUAGE plpgsql AS $$ BEGIN RAISE insufficient_privilege; END $$`}, // a superuser may call all
	} {
		t.Run(test.name, func(t *testing.T) {
			s, db := server(t).migrated(t)
			_, err := db.ExecContext(t.Context(), test.statement)
			ok(t, err)
			for _, crowd := range []int{1, 40} {
				var wg sync.WaitGroup
				for range crowd {
					wg.Go(func() {
						user, session := visitor(time.Now())
						if created, err := s.CreateAnonymous(t.Context(), user, session); !created || err != nil {
							t.Errorf("one of %d: got %t, %v", crowd, created, err)
						}
					})
				}
				wg.Wait()
			}
		})
	}
}

// TestTogetherFails holds that a database that is gone is an error for each.
func TestTogetherFails(t *testing.T) {
	s, db := sqlite(t)(t).migrated(t)
	db.Close()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			user, session := visitor(time.Now())
			created, err := s.CreateAnonymous(t.Context(), user, session)
			if created || err == nil || !strings.Contains(err.Error(), "closed") {
				t.Errorf("got %t, %v, want the database's error", created, err)
			}
		})
	}
	wg.Wait()
}
