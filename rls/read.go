package rls

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/walkin-go/walkin"
)

// A Result is what a query returned.
type Result struct {
	Columns []string
	Rows    [][]any // text and JSON are strings
	More    bool    // there were more rows than Rows has
}

// What a Result holds at most.
const (
	mostRows  = 1000
	mostBytes = 1 << 20 // of text
)

// Read runs one query as the user of c, as [InTx] does, and returns what the policies let
// through. It is for an operator who tries the policies out. The transaction is READ ONLY
// and rolled back, and its connection is closed, so that no setting and no lock of the
// query stays. A query that changes its role or its claims returns [ErrLeft] and no row.
//
// Read does not make the query harmless. A SELECT can call functions, can take time until
// ctx ends, and can become the login of db again within its own statement. So db must be a
// login of its own, which owns nothing and may do nothing but become anon and
// authenticated.
func Read(ctx context.Context, db *sql.DB, c walkin.Claims, query string) (Result, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("rls: %w", err)
	}
	defer func() { _ = conn.Raw(func(any) error { return driver.ErrBadConn }) }() // closes it
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return Result{}, fmt.Errorf("rls: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	var result Result
	if err := run(ctx, tx, c, func(tx *sql.Tx) error { return result.read(ctx, tx, query) }); err != nil {
		return Result{}, err
	}
	return result, nil
}

func (r *Result) read(ctx context.Context, tx *sql.Tx, query string) error {
	// PostgreSQL prepares one statement and no more. Of several, one could reset the role
	// and another restore it.
	statement, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer statement.Close()
	rows, err := statement.QueryContext(ctx)
	if err != nil {
		return err
	}
	defer rows.Close()
	if r.Columns, err = rows.Columns(); err != nil {
		return err
	}
	r.Rows = [][]any{}
	size := 0
	for rows.Next() {
		if len(r.Rows) == mostRows || size > mostBytes {
			r.More = true
			break
		}
		row := make([]any, len(r.Columns))
		for i := range row {
			row[i] = &row[i]
		}
		if err := rows.Scan(row...); err != nil {
			return err
		}
		for i, value := range row {
			if b, is := value.([]byte); is {
				row[i] = string(b)
			}
			if text, is := row[i].(string); is {
				size += len(text)
			}
		}
		r.Rows = append(r.Rows, row)
	}
	// Before the check that the query stayed: it needs the connection.
	if err := rows.Close(); err != nil {
		return err
	}
	return rows.Err()
}
