package sqlstore

import (
	"context"
	"database/sql"
	"runtime"
	"sync/atomic"
)

// A prepared is a query that is made so often that it is prepared once, where that
// halves its time. pgx prepares by itself, and a pooler in front of PostgreSQL may not
// support it.
type prepared struct {
	text string
	stmt atomic.Pointer[sql.Stmt]
}

// on returns the statement on a pool, always the same one. It returns nil where the
// query is sent unprepared.
func (p *prepared) on(ctx context.Context, s *Store, db *sql.DB) (*sql.Stmt, error) {
	if !s.dialect.prepare {
		return nil, nil
	}
	if stmt := p.stmt.Load(); stmt != nil {
		return stmt, nil
	}
	stmt, err := db.PrepareContext(ctx, p.text)
	if err != nil {
		return nil, err
	}
	if !p.stmt.CompareAndSwap(nil, stmt) {
		_ = stmt.Close() // another call was first
		return p.stmt.Load(), nil
	}
	// The pool closes it when it is closed; a store may be gone before that.
	runtime.AddCleanup(s, func(stmt *sql.Stmt) { _ = stmt.Close() }, stmt)
	return stmt, nil
}

// exec and queryRow run it in a transaction, which began after it was prepared: on
// SQLite a transaction has the only connection.

func (p *prepared) exec(ctx context.Context, tx Transaction, args []any) (sql.Result, error) {
	if stmt := p.stmt.Load(); stmt != nil {
		return tx.(*sql.Tx).StmtContext(ctx, stmt).ExecContext(ctx, args...)
	}
	return tx.ExecContext(ctx, p.text, args...)
}

func (p *prepared) queryRow(ctx context.Context, tx Transaction, args []any) *sql.Row {
	if stmt := p.stmt.Load(); stmt != nil {
		return tx.(*sql.Tx).StmtContext(ctx, stmt).QueryRowContext(ctx, args...)
	}
	return tx.QueryRowContext(ctx, p.text, args...)
}
