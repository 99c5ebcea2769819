package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/rls"
	"github.com/walkin-go/walkin/store"
)

// errRead undoes what a query did: it was to read.
var errRead = errors.New("read")

// maxRows is how many rows are shown.
const maxRows = 1000

func sqlCommand() *cobra.Command {
	var as string
	c := onStore("sql QUERY", "Run a query as a user, under row-level security, and undo it", true, cobra.ExactArgs(1), func(ctx context.Context, t *tool, args []string) error {
		if !strings.HasPrefix(t.dsn, "postgres") {
			return errors.New("row-level security is PostgreSQL's; --store postgres://…")
		}
		c, err := t.claims(ctx, as)
		if err != nil {
			return err
		}
		var columns []string
		rows := [][]any{}
		err = rls.InTx(ctx, t.db, c, func(tx *sql.Tx) error {
			if columns, rows, err = read(ctx, tx, args[0]); err != nil {
				return err
			}
			return errRead
		})
		if !errors.Is(err, errRead) {
			return err
		}
		err = t.print(map[string]any{"columns": columns, "rows": rows}, func(w io.Writer) {
			fmt.Fprintln(w, strings.Join(columns, "\t"))
			for _, row := range rows {
				for i, value := range row {
					if i > 0 {
						fmt.Fprint(w, "\t")
					}
					fmt.Fprint(w, printable(fmt.Sprint(value)))
				}
				fmt.Fprintln(w)
			}
		})
		t.say("%d rows as %s", len(rows), as)
		return err
	})
	c.Flags().StringVar(&as, "as", "", "anonymous, nobody or a user's ID")
	return c
}

// claims are those of the user that a query runs as. The actor makes the transaction
// read-only, whatever the query says.
func (t *tool) claims(ctx context.Context, as string) (walkin.Claims, error) {
	c := walkin.Claims{Actor: uuid.New()}
	switch as {
	case "nobody":
		return c, nil
	case "anonymous":
		c.UserID, c.SessionID, c.Anonymous = uuid.Must(uuid.NewV7()), uuid.New(), true
		return c, nil
	}
	id, err := userID([]string{as})
	if err != nil {
		return c, errors.New("--as is anonymous, nobody or a user's ID")
	}
	user, err := t.store.LockUser(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return c, errors.New("there is no such user")
	}
	c.UserID, c.SessionID, c.Anonymous = id, uuid.New(), user.Anonymous
	return c, err
}

func read(ctx context.Context, tx *sql.Tx, query string) (columns []string, rows [][]any, err error) {
	result, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	defer result.Close()
	if columns, err = result.Columns(); err != nil {
		return nil, nil, err
	}
	rows = [][]any{}
	for result.Next() && len(rows) < maxRows {
		row := make([]any, len(columns))
		for i := range row {
			row[i] = new(any)
		}
		if err := result.Scan(row...); err != nil {
			return nil, nil, err
		}
		for i, value := range row {
			row[i] = *value.(*any)
			if b, is := row[i].([]byte); is {
				row[i] = string(b)
			}
		}
		rows = append(rows, row)
	}
	return columns, rows, result.Err()
}
