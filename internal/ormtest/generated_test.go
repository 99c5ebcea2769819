package ormtest

import (
	"context"
	"database/sql"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What generators write for an app, as far as the hooks need it.

// DBTX is sqlc's.
type DBTX interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// Queries are sqlc's.
type Queries struct{ db DBTX }

// WithTx is sqlc's.
func (q *Queries) WithTx(tx *sql.Tx) *Queries { return &Queries{db: tx} }

// NameAccountParams are sqlc's.
type NameAccountParams struct {
	Name     string
	WalkinID []byte
}

// NameAccount is sqlc's.
func (q *Queries) NameAccount(ctx context.Context, arg NameAccountParams) error {
	_, err := q.db.ExecContext(ctx, `UPDATE accounts SET name = ? WHERE walkin_id = ?`, arg.Name, arg.WalkinID)
	return err
}

// PgxDBTX is sqlc's for pgx.
type PgxDBTX interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	Query(context.Context, string, ...any) (pgx.Rows, error)
	QueryRow(context.Context, string, ...any) pgx.Row
}

// PgxQueries are sqlc's for pgx.
type PgxQueries struct{ db PgxDBTX }

// WithTx is sqlc's for pgx.
func (q *PgxQueries) WithTx(tx pgx.Tx) *PgxQueries { return &PgxQueries{db: tx} }

// NameAccount is sqlc's for pgx.
func (q *PgxQueries) NameAccount(ctx context.Context, name string, id uuid.UUID) error {
	_, err := q.db.Exec(ctx, `UPDATE accounts SET name = $1 WHERE walkin_id = $2`, name, id)
	return err
}

// A client does what one of ent's does, by its driver alone.
type client struct{ driver dialect.Driver }

func newClient(d dialect.Driver) client { return client{d} }

// nameAccount begins a transaction of its own, as ent does for a mutation with edges.
func (c client) nameAccount(ctx context.Context, name string, id []byte) error {
	tx, err := c.driver.Tx(ctx)
	if err != nil {
		return err
	}
	var bound any = id
	if c.driver.Dialect() == dialect.Postgres {
		bound = uuid.UUID(id)
	}
	query, args := entsql.Dialect(c.driver.Dialect()).Update("accounts").Set("name", name).Where(entsql.EQ("walkin_id", bound)).Query()
	var result sql.Result
	if err := tx.Exec(ctx, query, args, &result); err != nil {
		return err
	}
	return tx.Commit()
}
