package pgxstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/pgxstore"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/store/storetest"
	"github.com/walkin-go/walkin/walkintest"
)

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var made atomic.Int64 // schemas

// A schema makes pools on an empty SCHEMA.
type schema func(conns int32) *pgxpool.Pool

// postgres returns what makes empty schemas on one server.
func postgres(t *testing.T) func(*testing.T) schema {
	t.Helper()
	address := testserver.PostgresURL(t)
	admin, err := pgx.Connect(t.Context(), address)
	ok(t, err)
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	return func(t *testing.T) schema {
		name := fmt.Sprintf("pgxstore_%d_%d", os.Getpid(), made.Add(1))
		_, err := admin.Exec(t.Context(), "CREATE SCHEMA "+name)
		ok(t, err)
		t.Cleanup(func() {
			if _, err := admin.Exec(context.WithoutCancel(t.Context()), "DROP SCHEMA "+name+" CASCADE"); err != nil {
				t.Error(err)
			}
		})
		return func(conns int32) *pgxpool.Pool {
			cfg, err := pgxpool.ParseConfig(address)
			ok(t, err)
			cfg.ConnConfig.RuntimeParams["search_path"] = name
			cfg.MaxConns = conns
			pool, err := pgxpool.NewWithConfig(context.WithoutCancel(t.Context()), cfg)
			ok(t, err)
			t.Cleanup(pool.Close)
			return pool
		}
	}
}

func newStore(t *testing.T, pool *pgxpool.Pool) *pgxstore.Store {
	t.Helper()
	s, err := pgxstore.New(pool)
	ok(t, err)
	ok(t, s.Migrate(t.Context()))
	return s
}

// TestStore is the public suite, over pools down to one connection: a call that took
// a second one, beside that of its transaction, would wait for itself.
func TestStore(t *testing.T) {
	schemas := postgres(t)
	for _, conns := range []int32{1, 8} {
		t.Run(fmt.Sprint(conns, " connections"), func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) func(*testing.T) store.Store {
				pools := schemas(t)
				return func(t *testing.T) store.Store { return newStore(t, pools(conns)) }
			})
		})
	}
	if _, err := pgxstore.New(nil); err == nil {
		t.Error("a nil pool: got no error")
	}
}

// An app is a site on pgx with notes, whose hooks are the test's.
type app struct {
	t    *testing.T
	pool *pgxpool.Pool
	wk   *walkin.Middleware
	who  uuid.UUID // of the last request

	onCreate, onUpgrade, onMerge func(ctx context.Context, tx pgx.Tx, user, guest uuid.UUID) error
}

func newApp(t *testing.T, in schema, conns int32) *app {
	t.Helper()
	a := &app{t: t, pool: in(conns)}
	s := newStore(t, a.pool)
	_, err := a.pool.Exec(t.Context(), `CREATE TABLE notes (n integer, user_id uuid NOT NULL REFERENCES walkin_users (id) ON DELETE CASCADE)`)
	ok(t, err)
	call := func(hook *func(context.Context, pgx.Tx, uuid.UUID, uuid.UUID) error, ctx context.Context, user, guest uuid.UUID) error {
		if *hook == nil {
			return nil
		}
		tx, is := pgxstore.Tx(ctx)
		if !is {
			return errors.New("no transaction")
		}
		if _, is := sqlstore.Tx(ctx); is {
			return errors.New("a transaction of database/sql, too")
		}
		return (*hook)(ctx, tx, user, guest)
	}
	a.wk, err = walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s,
		Hooks: walkin.Hooks{
			OnCreate:  func(ctx context.Context, c walkin.Claims) error { return call(&a.onCreate, ctx, c.UserID, uuid.Nil) },
			OnUpgrade: func(ctx context.Context, c walkin.Change) error { return call(&a.onUpgrade, ctx, c.UserID, uuid.Nil) },
			OnMerge: func(ctx context.Context, c walkin.Change) error {
				return call(&a.onMerge, ctx, c.UserID, c.AnonymousID)
			},
		},
	})
	ok(t, err)
	return a
}

func (a *app) browser() *walkintest.Client {
	return walkintest.NewClient(a.t, a.wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/prove" {
			if _, err := a.wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
				a.wk.Refuse(w, r, err)
			}
			return
		}
		c, _ := walkin.FromContext(r.Context())
		a.who = c.UserID
	})))
}

func (a *app) notes(user uuid.UUID) (n int) {
	a.t.Helper()
	ok(a.t, a.pool.QueryRow(a.t.Context(), "SELECT COUNT(*) FROM notes WHERE user_id = $1", user).Scan(&n))
	return n
}

func (a *app) stored(user uuid.UUID) (anonymous, is bool) {
	a.t.Helper()
	err := a.pool.QueryRow(a.t.Context(), "SELECT anonymous FROM walkin_users WHERE id = $1", user).Scan(&anonymous)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, false
	}
	ok(a.t, err)
	return anonymous, true
}

// copyNotes copies notes to a user, by the protocol that only pgx speaks.
func copyNotes(ctx context.Context, tx pgx.Tx, user uuid.UUID, n int) error {
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"notes"}, []string{"n", "user_id"},
		pgx.CopyFromSlice(n, func(i int) ([]any, error) { return []any{i, user}, nil }))
	return err
}

// batch adds notes to a user in one batch.
func batch(ctx context.Context, tx pgx.Tx, user uuid.UUID, n int) error {
	b := &pgx.Batch{}
	for i := range n {
		b.Queue("INSERT INTO notes VALUES ($1, $2)", i, user)
	}
	return tx.SendBatch(ctx, b).Close()
}

// savepoint adds notes in a savepoint that is rolled back, and more in one that is not.
func savepoint(ctx context.Context, tx pgx.Tx, user uuid.UUID, n int) error {
	_ = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		_ = copyNotes(ctx, tx, user, 7)
		return errors.New("on second thoughts")
	})
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return copyNotes(ctx, tx, user, n) })
}

var errBug = errors.New("a bug")

// TestHooks holds that what hooks do by pgx happens with the change, all of it, or
// not at all: with COPY, batches and savepoints, in a pool of one connection.
func TestHooks(t *testing.T) {
	schemas := postgres(t)
	for _, how := range []struct {
		name string
		add  func(context.Context, pgx.Tx, uuid.UUID, int) error
	}{{"COPY", copyNotes}, {"a batch", batch}, {"savepoints", savepoint}} {
		t.Run(how.name, func(t *testing.T) {
			a := newApp(t, schemas(t), 1)
			fails := true
			hook := func(n int) func(context.Context, pgx.Tx, uuid.UUID, uuid.UUID) error {
				return func(ctx context.Context, tx pgx.Tx, user, guest uuid.UUID) error {
					if guest != uuid.Nil {
						if _, err := tx.Exec(ctx, "UPDATE notes SET user_id = $1 WHERE user_id = $2", user, guest); err != nil {
							return err
						}
					}
					if err := how.add(ctx, tx, user, n); err != nil {
						return err
					}
					if a.who = user; fails {
						return errBug
					}
					return nil
				}
			}
			try := func(do func() *http.Response) {
				t.Helper()
				fails = true
				if r := do(); r.StatusCode != http.StatusInternalServerError {
					t.Errorf("with a bug: got %d, want 500", r.StatusCode)
				}
				fails = false
				if a.who == uuid.Nil {
					t.Error("the hook did not run")
				}
			}
			want := func(what string, user uuid.UUID, notes int) {
				t.Helper()
				if got := a.notes(user); got != notes {
					t.Errorf("%s: got %d notes, want %d", what, got, notes)
				}
			}
			a.onCreate, a.onUpgrade, a.onMerge = hook(100), hook(10), hook(1)

			c := a.browser()
			try(func() *http.Response { return c.Post("/", nil) })
			if _, is := a.stored(a.who); is {
				t.Error("a user is stored whose hook failed")
			}
			want("a user who is not stored", a.who, 0)
			c.Post("/", nil)
			ann := a.who
			want("a new user", ann, 100)

			try(func() *http.Response { return c.Post("/prove", map[string][]string{"name": {"ann"}}) })
			if anonymous, _ := a.stored(ann); !anonymous {
				t.Error("permanent, though the hook failed")
			}
			want("an upgrade that failed", ann, 100)
			c.Post("/prove", map[string][]string{"name": {"ann"}})
			want("an upgrade", ann, 110)

			second := a.browser()
			second.Post("/", nil)
			guest := a.who
			try(func() *http.Response { return second.Post("/prove", map[string][]string{"name": {"ann"}}) })
			want("a merge that failed", ann, 110)
			want("and its guest", guest, 100)
			second.Post("/prove", map[string][]string{"name": {"ann"}})
			want("a merge", ann, 211)
			if _, is := a.stored(guest); is {
				t.Error("the guest is still there")
			}
		})
	}
}

// TestHookEndsTransaction holds that a hook which commits or rolls back makes the
// change fail, whatever it returns, and that nothing is left half done.
func TestHookEndsTransaction(t *testing.T) {
	schemas := postgres(t)
	for name, end := range map[string]func(context.Context, pgx.Tx) error{
		"Commit":          func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
		"Commit, unseen":  func(ctx context.Context, tx pgx.Tx) error { _ = tx.Commit(ctx); return nil },
		"Rollback":        func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) },
		"Rollback, defer": func(ctx context.Context, tx pgx.Tx) error { defer func() { _ = tx.Rollback(ctx) }(); return nil },
		"a failed statement, unseen": func(ctx context.Context, tx pgx.Tx) error {
			_, _ = tx.Exec(ctx, "SELECT * FROM nothing")
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, schemas(t), 2)
			c := a.browser()
			c.Post("/", nil)
			user := a.who
			a.onUpgrade = func(ctx context.Context, tx pgx.Tx, user, _ uuid.UUID) error {
				if err := copyNotes(ctx, tx, user, 3); err != nil {
					return err
				}
				return end(ctx, tx)
			}
			if r := c.Post("/prove", map[string][]string{"name": {"ann"}}); r.StatusCode != http.StatusInternalServerError {
				t.Errorf("got %d, want 500", r.StatusCode)
			}
			if anonymous, is := a.stored(user); !anonymous || !is || a.notes(user) != 0 {
				t.Errorf("got anonymous %t, stored %t and %d notes; want the user as before", anonymous, is, a.notes(user))
			}
			a.onUpgrade = nil
			if r := c.Post("/prove", map[string][]string{"name": {"ann"}}); r.StatusCode != http.StatusOK {
				t.Errorf("afterwards: got %d, want 200", r.StatusCode)
			}
		})
	}
}

// TestHookIsCut has the visitor leave, or the connection break, in the middle of a
// hook's statement: nothing has happened, no connection is lost, and the next one goes on.
func TestHookIsCut(t *testing.T) {
	schemas := postgres(t)
	for _, tt := range []struct {
		name string
		do   func(ctx context.Context, tx pgx.Tx, leave context.CancelFunc) error
	}{
		{"the visitor leaves", func(ctx context.Context, tx pgx.Tx, leave context.CancelFunc) error {
			time.AfterFunc(50*time.Millisecond, leave)
			_, err := tx.Exec(ctx, "SELECT pg_sleep(60)")
			return err
		}},
		{"and the hook does not look", func(ctx context.Context, tx pgx.Tx, leave context.CancelFunc) error {
			leave()
			return nil
		}},
		{"the connection breaks", func(ctx context.Context, tx pgx.Tx, _ context.CancelFunc) error {
			_, _ = tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newApp(t, schemas(t), 1)
			c := a.browser()
			c.Post("/", nil)
			user := a.who
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			a.onUpgrade = func(ctx context.Context, tx pgx.Tx, user, _ uuid.UUID) error {
				if err := copyNotes(ctx, tx, user, 3); err != nil {
					return err
				}
				return tt.do(ctx, tx, leave)
			}
			r := c.NewRequest(http.MethodPost, "/prove?name=ann", nil).WithContext(ctx)
			c.Carry(r)
			if answer, err := c.Serve(r); err != nil || answer.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("got %v, %v; want 503", answer.StatusCode, err)
			}
			a.onUpgrade = nil
			if anonymous, is := a.stored(user); !anonymous || !is || a.notes(user) != 0 {
				t.Errorf("got anonymous %t, stored %t and %d notes; want the user as before", anonymous, is, a.notes(user))
			}
			if r := c.Post("/prove", map[string][]string{"name": {"ann"}}); r.StatusCode != http.StatusOK {
				t.Errorf("afterwards: got %d, want 200", r.StatusCode)
			}
			if n := a.pool.Stat().AcquiredConns(); n != 0 {
				t.Errorf("%d connections are still taken", n)
			}
		})
	}
}

// TestTx holds whose transaction it is, and that there is none outside.
func TestTx(t *testing.T) {
	if _, is := pgxstore.Tx(t.Context()); is {
		t.Error("there is a transaction outside of one")
	}
	schemas := postgres(t)
	s, other := newStore(t, schemas(t)(2)), newStore(t, schemas(t)(2))
	ok(t, s.InTx(t.Context(), func(ctx context.Context) error {
		outer, _ := pgxstore.Tx(ctx)
		return other.InTx(ctx, func(ctx context.Context) error {
			if inner, is := pgxstore.Tx(ctx); !is || inner.Conn() == outer.Conn() {
				t.Error("Tx is not the inner store's transaction")
			}
			return nil
		})
	}))
	// The app's statements and the store's are of one transaction, in both directions.
	user := store.User{ID: uuid.Must(uuid.NewV7()), Anonymous: true, CreatedAt: time.Now(), SeenAt: time.Now()}
	ok(t, s.InTx(t.Context(), func(ctx context.Context) error {
		ok(t, s.CreateUser(ctx, user))
		tx, _ := pgxstore.Tx(ctx)
		var n int
		ok(t, tx.QueryRow(ctx, "SELECT COUNT(*) FROM walkin_users WHERE id = $1", user.ID).Scan(&n))
		if n != 1 {
			t.Errorf("the app sees %d users, want one", n)
		}
		_, err := tx.Exec(ctx, "UPDATE walkin_users SET anonymous = FALSE WHERE id = $1", user.ID)
		ok(t, err)
		got, err := s.LockUser(ctx, user.ID)
		ok(t, err)
		if got.Anonymous {
			t.Error("the store does not see what the app did")
		}
		return nil
	}))
}
