package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// A site on SQLite. The app's notes move with a merge in the merge's own
// transaction, all of them or none.
func Example() {
	const dsn = "file:site.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: db})
	if err != nil {
		fmt.Println(err)
		return
	}
	// At start-up: store.Migrate(ctx)

	_, err = walkin.New(walkin.Config{
		Keys:  []walkin.Key{{Secret: []byte("32 random bytes, not these words")}},
		Store: store,
		Hooks: walkin.Hooks{
			OnMerge: func(ctx context.Context, c walkin.Change) error {
				tx, _ := sqlstore.Tx(ctx)
				_, err := tx.ExecContext(ctx, `UPDATE notes SET user_id = ? WHERE user_id = ?`, c.UserID[:], c.AnonymousID[:])
				return err
			},
		},
	})
	fmt.Println(err)
	// Output: <nil>
}
