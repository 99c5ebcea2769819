package rls_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/rls"
	"github.com/walkin-go/walkin/walkintest"
)

// TestActorReadsOnly holds that the database accepts no write of an operator who sees
// the site as a user, whatever the function does. Policies can tell that it is an
// operator.
func TestActorReadsOnly(t *testing.T) {
	db := open(t)
	member := walkintest.Permanent(t)
	acting := member
	acting.Actor = uuid.New()
	if _, err := do(t, db, member, `insert into posts (text) values ('by the member') returning id`); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		`insert into posts (text) values ('by the operator') returning id`,
		`set transaction read write`,
		`select set_config('transaction_read_only', 'off', true)`,
		`with x as (insert into posts (text) values ('by the operator') returning id) select * from x`,
	} {
		if _, err := do(t, db, acting, query); err == nil || !strings.Contains(err.Error(), "read") {
			t.Errorf("%s: got %v, want that it reads only", query, err)
		}
	}
	if n, err := do(t, db, acting, `select * from posts`); err != nil || n != 3 {
		t.Errorf("got %d rows, %v; want what the member sees", n, err)
	}
	for c, want := range map[walkin.Claims]string{member: "", acting: acting.Actor.String()} {
		err := rls.InTx(t.Context(), db, c, func(tx *sql.Tx) error {
			var got string
			err := tx.QueryRowContext(t.Context(), `select coalesce(auth.jwt() -> 'act' ->> 'sub', '')`).Scan(&got)
			if got != want {
				t.Errorf("act.sub: got %q, want %q", got, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := do(t, db, member, `insert into posts (text) values ('and again') returning id`); err != nil {
		t.Errorf("after the operator: %v", err)
	}
}
