// Package pgxstore keeps walkin's users in PostgreSQL for an app that uses pgx itself.
// It works over the app's pgxpool, and hooks get a pgx.Tx.
//
//	store, err := pgxstore.New(pool)
//	// At start-up: store.Migrate(ctx)
//
//	wk, err := walkin.New(walkin.Config{Store: store, Hooks: walkin.Hooks{
//		OnUpgrade: func(ctx context.Context, c walkin.Change) error {
//			tx, _ := pgxstore.Tx(ctx)
//			return db.New(pool).WithTx(tx).NameUser(ctx, c.UserID) // sqlc's
//		}}})
//
// Tables, statements and promises are those of package sqlstore. A Store embeds an
// sqlstore.Store, and so has its methods, Migrate, Sessions and Limiter among them.
// Another process or tool may use the same tables through database/sql at the same
// time.
package pgxstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// A Store is a store.Store in PostgreSQL. It is safe for concurrent use, in any
// number of processes.
type Store struct {
	*sqlstore.Store
	pool *pgxpool.Pool
}

var _ store.FeedStore = (*Store)(nil)

// New returns a store over the app's pool, which it never closes. It does not contact
// the database. One connection is enough for it: it never takes a second one for the
// same call. [walkin.Middleware.RunFeed] opens one more, outside of the pool.
func New(pool *pgxpool.Pool) (*Store, error) {
	if pool == nil {
		return nil, errors.New("pgxstore: the pool is nil")
	}
	db := stdlib.OpenDBFromPool(pool)
	inner, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.PostgreSQL, DB: db,
		Begin: func(ctx context.Context) (sqlstore.Transaction, error) { return begin(ctx, db) }})
	if err != nil {
		return nil, fmt.Errorf("pgxstore: %w", err)
	}
	runtime.AddCleanup(inner, func(db *sql.DB) { _ = db.Close() }, db) // not the pool
	return &Store{inner, pool}, nil
}

// Tx returns the transaction that ctx belongs to, for the hooks of walkin.Config. What
// the app does in it, CopyFrom and batches included, happens with the identity change
// or not at all. Tx returns false outside of a transaction, and in a transaction of
// another store.
//
// The transaction ends with the change. Its Commit and Rollback are errors, and a hook
// that calls one of them rolls back the change. Begin makes a savepoint, which the app
// ends itself. A hook must use the transaction for all it does in that database: it
// locks the user's row, and a foreign key to that row waits for it.
func Tx(ctx context.Context) (pgx.Tx, bool) {
	t, ok := sqlstore.TxAs[*transaction](ctx)
	if !ok {
		return nil, false
	}
	return hookTx{t.tx, t}, true
}

// A transaction is pgx's. Its connection is lent to database/sql meanwhile, for the
// store's own statements.
type transaction struct {
	*sql.Conn
	ctx   context.Context
	tx    pgx.Tx
	ended atomic.Bool // by the app
	mu    sync.Mutex  // a rollback waits for a commit that is given up
}

func begin(ctx context.Context, db *sql.DB) (*transaction, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	t := &transaction{Conn: conn, ctx: ctx}
	err = conn.Raw(func(inner any) error {
		// READ COMMITTED, as sqlstore says.
		t.tx, err = inner.(*stdlib.Conn).Conn().BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		return err
	})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return t, nil
}

var errEnded = fmt.Errorf("pgxstore: a hook's transaction ends with the change, and not by its own Commit or Rollback: %w", store.ErrConstraint)

// Commit implements sqlstore.Transaction.
func (t *transaction) Commit() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended.Load() {
		return errEnded // and the store rolls back
	}
	if err := t.tx.Commit(t.ctx); err != nil {
		return err
	}
	return t.Close()
}

// rollbackTime is how long the server may take for a rollback. A connection that does
// not answer is closed then, and the pool makes another one.
const rollbackTime = 3 * time.Second

// Rollback implements sqlstore.Transaction. After a Commit it does nothing.
func (t *transaction) Rollback() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), rollbackTime)
	defer cancel()
	err := t.tx.Rollback(ctx)
	_ = t.Close()
	if errors.Is(err, pgx.ErrTxClosed) {
		return nil
	}
	return err
}

// A hookTx is what the app gets.
type hookTx struct {
	pgx.Tx
	of *transaction
}

func (t hookTx) Commit(context.Context) error {
	t.of.ended.Store(true)
	return errEnded
}

func (t hookTx) Rollback(context.Context) error {
	t.of.ended.Store(true)
	return errEnded
}
