package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// TestTogether holds that of visitors who become rows at the same moment, on two
// replicas, each gets the answer that is theirs, whoever they share a
// transaction with.
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
			_, err := a.Persist(t.Context(), user, taken)
			ok(t, err)
			gone, cancel := context.WithCancel(t.Context())
			cancel()

			const fresh, others = 60, 10
			var wg sync.WaitGroup
			var created [fresh]atomic.Int32
			var refused []uuid.UUID
			for i := range fresh {
				user, session := visitor(time.Now())
				for _, s := range stores { // a double click
					wg.Go(func() {
						is, err := s.Persist(t.Context(), user, session)
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
				ok(t, a.DeleteUser(t.Context(), walkin.Tombstone{UserID: deleted.ID, DeletedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}))
				second, secondSession := visitor(time.Now())
				secondSession.ID = taken.ID
				away, awaySession := visitor(time.Now())
				refused = append(refused, deleted.ID, second.ID)
				for name, f := range map[string]func() error{
					"a deleted user": func() error { _, err := stores[i%2].Persist(t.Context(), deleted, session); return err },
					"a taken session": func() error {
						_, err := stores[i%2].Persist(t.Context(), second, secondSession)
						return err
					},
				} {
					wg.Go(func() {
						if err := f(); !errors.Is(err, walkin.ErrSuperseded) {
							t.Errorf("%s: got %v, want ErrSuperseded", name, err)
						}
					})
				}
				wg.Go(func() {
					if _, err := stores[i%2].Persist(gone, away, awaySession); !errors.Is(err, context.Canceled) {
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
				if _, err := b.User(t.Context(), id); !errors.Is(err, walkin.ErrNotFound) {
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

// TestTogetherNotHeldUp holds that a visitor whose row is locked by somebody
// else's transaction keeps nobody waiting but themselves, and that those behind
// them do go together.
func TestTogetherNotHeldUp(t *testing.T) {
	for _, server := range servers[1:] { // SQLite has one writer, and everybody waits for it
		t.Run(server.name, func(t *testing.T) {
			d := server.start(t)(t)
			a, db := d.migrated(t)
			b, _ := d.store(t)
			stuck, session := visitor(time.Now())
			var waiting sync.WaitGroup
			ok(t, b.InTx(t.Context(), func(ctx context.Context) error {
				ok(t, b.CreateUser(ctx, stuck))
				waiting.Go(func() {
					if _, err := a.Persist(t.Context(), stuck, session); !errors.Is(err, walkin.ErrSuperseded) {
						t.Errorf("the one who waits: got %v, want ErrSuperseded", err)
					}
				})
				var others sync.WaitGroup
				for range 200 {
					others.Go(func() {
						user, session := visitor(time.Now())
						created, err := a.Persist(t.Context(), user, session)
						if !created || err != nil {
							t.Errorf("another visitor: got %t, %v", created, err)
						}
					})
				}
				others.Wait() // before the lock goes
				return nil
			}))
			waiting.Wait()
			if d.dialect != sqlstore.PostgreSQL {
				return
			}
			var transactions int
			ok(t, db.QueryRowContext(t.Context(), `SELECT COUNT(DISTINCT xmin::text) FROM walkin_users`).Scan(&transactions))
			if transactions > 100 {
				t.Errorf("got %d transactions for 201 visitors, want far fewer", transactions)
			}
		})
	}
}

// TestPersistWaitsForDelete holds that a visitor whose deletion is being committed
// by somebody else does not come back, whatever isolation the app prefers.
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
				ok(t, b.DeleteUser(ctx, walkin.Tombstone{UserID: user.ID, DeletedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}))
				go func() {
					_, persist := a.Persist(t.Context(), user, session)
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
			if err := <-err; !errors.Is(err, walkin.ErrSuperseded) {
				t.Errorf("got %v, want ErrSuperseded", err)
			}
			if _, err := b.User(t.Context(), user.ID); !errors.Is(err, walkin.ErrNotFound) {
				t.Errorf("their row: got %v, want none", err)
			}
		})
	}
}

// TestTogetherButOne holds that on PostgreSQL whoever needs another answer, as with
// a double click, leaves the others together.
func TestTogetherButOne(t *testing.T) {
	s, db := postgres(t)(t).migrated(t)
	old, oldSession := visitor(time.Now())
	_, err := s.Persist(t.Context(), old, oldSession)
	ok(t, err)
	deleted, deletedSession := visitor(time.Now())
	ok(t, s.DeleteUser(t.Context(), walkin.Tombstone{UserID: deleted.ID, DeletedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}))
	const visitors = 400
	var wg sync.WaitGroup
	for i := range visitors {
		user, session := visitor(time.Now())
		second, secondSession := visitor(time.Now())
		secondSession.ID = oldSession.ID
		wg.Go(func() {
			if created, err := s.Persist(t.Context(), user, session); !created || err != nil {
				t.Errorf("a new visitor: got %t, %v", created, err)
			}
		})
		if i%10 > 0 {
			continue
		}
		wg.Go(func() {
			if created, err := s.Persist(t.Context(), old, oldSession); created || err != nil {
				t.Errorf("an old visitor: got %t, %v", created, err)
			}
		})
		wg.Go(func() {
			if _, err := s.Persist(t.Context(), deleted, deletedSession); !errors.Is(err, walkin.ErrSuperseded) {
				t.Errorf("a deleted visitor: got %v, want ErrSuperseded", err)
			}
		})
		wg.Go(func() {
			if _, err := s.Persist(t.Context(), second, secondSession); !errors.Is(err, walkin.ErrSuperseded) {
				t.Errorf("a taken session: got %v, want ErrSuperseded", err)
			}
		})
	}
	wg.Wait()
	var users, sessions, transactions int
	ok(t, db.QueryRowContext(t.Context(), `
		SELECT COUNT(*), (SELECT COUNT(*) FROM walkin_sessions), COUNT(DISTINCT xmin::text) FROM walkin_users`).
		Scan(&users, &sessions, &transactions))
	if users != visitors+1 || sessions != users {
		t.Errorf("got %d users with %d sessions, want %d of each", users, sessions, visitors+1)
	}
	if transactions > visitors/4 {
		t.Errorf("got %d transactions for %d visitors, want far fewer", transactions, users)
	}
}

// unsure is a PostgreSQL that stores nobody: it says whom it stores, and fails at
// the commit.
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

// TestPersistReadsToTheEnd holds that nobody is told they are stored by an answer
// whose end is an error, also when the request ends between the two.
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
		if created, err := s.Persist(ctx, user, session); created || err == nil {
			t.Fatalf("got %t, %v, want the error", created, err)
		}
	}
}

// TestPersistWithoutFunction holds that a visitor becomes a row also where
// PostgreSQL has not got the function, or keeps it from this user, alone or with
// others.
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
						if created, err := s.Persist(t.Context(), user, session); !created || err != nil {
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
			created, err := s.Persist(t.Context(), user, session)
			if created || err == nil || !strings.Contains(err.Error(), "closed") {
				t.Errorf("got %t, %v, want the database's error", created, err)
			}
		})
	}
	wg.Wait()
}
