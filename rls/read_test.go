package rls_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/rls"
	"github.com/walkin-go/walkin/walkintest"
)

// TestRead holds that a query on trial sees what its user sees, changes nothing, leaves
// nothing on the connection, and shows nothing once it has left its user.
func TestRead(t *testing.T) {
	db := open(t)
	if _, err := db.ExecContext(t.Context(), `create table secrets (text text)`); err == nil {
		t.Fatal("the app's login may create tables")
	}
	anonymous, permanent := walkintest.Anonymous(t), walkintest.Permanent(t)
	for who, c := range map[string]walkin.Claims{"1": anonymous, "2": permanent} {
		got, err := rls.Read(t.Context(), db, c, `select count(*), jsonb_build_object('a', 1), 'text' from posts`)
		if err != nil || len(got.Rows) != 1 || len(got.Columns) != 3 || got.Rows[0][2] != "text" || got.Rows[0][1] != `{"a": 1}` {
			t.Fatalf("got %v, %v", got, err)
		}
		if n, _ := got.Rows[0][0].(int64); n != map[string]int64{"1": 1, "2": 2}[who] {
			t.Errorf("user %s: got %v posts, want what the policies let through", who, got.Rows[0][0])
		}
	}
	if _, err := rls.Read(t.Context(), db, walkin.Claims{}, `select * from posts`); !isDenied(err) {
		t.Errorf("a request without a user: got %v, want denied", err)
	}
	for _, query := range []string{
		`insert into posts (text) values ('x') returning id`,
		`with x as (insert into posts (text) values ('x') returning id) select * from x`,
		`select nextval(pg_get_serial_sequence('posts', 'id'))`,
		`reset role; select 1`,
		`select 1; commit; insert into posts (text) values ('x')`,
		`commit`, `rollback`, `reset role`, `set transaction read write`,
		`select set_config('role', 'none', true)`,
		`select set_config('role', 'none', false)`,
		`select set_config('request.jwt.claims', '{"sub":"` + uuid.NewString() + `"}', true)`,
		`select set_config('transaction_read_only', 'off', true)`,
	} {
		got, err := rls.Read(t.Context(), db, permanent, query)
		if err == nil || got.Rows != nil || got.Columns != nil {
			t.Errorf("%s: got %v, %v; want an error and nothing shown", query, got, err)
		}
		if strings.HasPrefix(query, "select set_config('r") && !errors.Is(err, rls.ErrLeft) {
			t.Errorf("%s: got %v, want ErrLeft", query, err)
		}
	}
	// What survives a rollback goes with the connection.
	if _, err := rls.Read(t.Context(), db, permanent, `select pg_advisory_lock(7)`); err != nil {
		t.Fatal(err)
	}
	var locks, posts int
	if err := db.QueryRowContext(t.Context(), `select count(*) from pg_locks where locktype = 'advisory'`).Scan(&locks); err != nil {
		t.Fatal(err)
	}
	err := rls.InTx(t.Context(), db, permanent, func(tx *sql.Tx) error {
		return tx.QueryRowContext(t.Context(), `select count(*) from posts`).Scan(&posts)
	})
	if err != nil || locks != 0 || posts != 2 {
		t.Errorf("got %d locks, %d posts, %v; want none left and nothing written", locks, posts, err)
	}
	for query, rows := range map[string]int{
		`select generate_series(1, 1000)`:                      1000,
		`select generate_series(1, 1001)`:                      1000,
		`select repeat('x', 300000) from generate_series(1,9)`: 4,
	} {
		got, err := rls.Read(t.Context(), db, permanent, query)
		if err != nil || len(got.Rows) != rows || got.More != (query != `select generate_series(1, 1000)`) {
			t.Errorf("%s: got %d rows, more %v, %v", query, len(got.Rows), got.More, err)
		}
	}
}
