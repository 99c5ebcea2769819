package main

import (
	"context"
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
		result, err := rls.Read(ctx, t.db, c, args[0])
		if err != nil {
			return err
		}
		err = t.print(map[string]any{"columns": result.Columns, "rows": result.Rows, "more": result.More}, func(w io.Writer) {
			fmt.Fprintln(w, strings.Join(result.Columns, "\t"))
			for _, row := range result.Rows {
				for i, value := range row {
					if i > 0 {
						fmt.Fprint(w, "\t")
					}
					fmt.Fprint(w, printable(fmt.Sprint(value)))
				}
				fmt.Fprintln(w)
			}
		})
		if result.More {
			t.say("only the first %d rows are shown", len(result.Rows))
		}
		t.say("%d rows as %s", len(result.Rows), as)
		return err
	})
	c.Flags().StringVar(&as, "as", "", "anonymous, none or a user's ID")
	return c
}

// claims are those of the user that a query runs as.
func (t *tool) claims(ctx context.Context, as string) (walkin.Claims, error) {
	var c walkin.Claims
	switch as {
	case "none":
		return c, nil
	case "anonymous":
		c.UserID, c.SessionID, c.Anonymous = uuid.Must(uuid.NewV7()), uuid.New(), true
		return c, nil
	}
	id, err := userID([]string{as})
	if err != nil {
		return c, errors.New("--as is anonymous, none or a user's ID")
	}
	user, err := t.store.LockUser(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return c, errors.New("there is no such user")
	}
	c.UserID, c.SessionID, c.Anonymous = id, uuid.New(), user.Anonymous
	return c, err
}
