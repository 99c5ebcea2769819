package ormtest

import (
	"testing"

	"github.com/walkin-go/walkin"
)

// TestExistingTable runs what docs/users-table.md says of a table that exists already:
// its accounts stay, a visitor gets a row, and no user gets two.
func TestExistingTable(t *testing.T) {
	store, db := openSQLite(t)
	exec := func(query string, args ...any) error {
		_, err := db.ExecContext(t.Context(), query, args...)
		return err
	}
	ok(t, exec(`CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL, email text UNIQUE, password_hash text)`))
	ok(t, exec(`INSERT INTO users (name, email, password_hash) VALUES ('Ann', 'ann@example.com', 'x')`))
	ok(t, exec(`
ALTER TABLE users ADD COLUMN walkin_id blob REFERENCES walkin_users (id) ON DELETE CASCADE;
CREATE UNIQUE INDEX users_walkin_id ON users (walkin_id);
`))
	ok(t, exec(schema[len(usersOf(schema)):]))
	s, err := newSite(db, store, []walkin.Key{{Secret: []byte("a secret that is only of this test")}})
	ok(t, err)
	g := guide{s, t}
	c := g.browser()
	c.Visit("/notes")
	g.post(c, "/notes", 200, "body", "mine")
	if got := g.rows(`SELECT count(*), count(walkin_id) FROM users`); got != "2 1" {
		t.Errorf("got %q rows and those of walkin's users, want 2 1", got)
	}
	if exec(`INSERT INTO users (name, walkin_id) SELECT 'Guest', walkin_id FROM users WHERE walkin_id IS NOT NULL`) == nil {
		t.Error("a user has two rows")
	}
	ok(t, exec(`DELETE FROM walkin_users`))
	if got := g.rows(`SELECT count(*), count(walkin_id) FROM users`); got != "1 0" {
		t.Errorf("after the deletion: got %q, want 1 0", got)
	}
}

// usersOf returns the first statement of the guide's schema, which makes the table.
func usersOf(schema string) string {
	for i := range schema {
		if schema[i] == ';' {
			return schema[:i+1]
		}
	}
	return schema
}
