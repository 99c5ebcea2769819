package ormtest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// A guide is the site of docs/users-table.md with visitors.
type guide struct {
	*site
	t *testing.T
}

func newGuide(t *testing.T) guide {
	t.Helper()
	store, db := openSQLite(t)
	_, err := db.ExecContext(t.Context(), schema)
	ok(t, err)
	s, err := newSite(db, store, []walkin.Key{{Secret: []byte("a secret that is only of this test")}})
	ok(t, err)
	return guide{s, t}
}

func (g guide) browser() *walkintest.Client { return walkintest.NewClient(g.t, g.routes()) }

// post sends a form, of "key value" pairs, and holds its status.
func (g guide) post(c *walkintest.Client, path string, status int, form ...string) *http.Response {
	g.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	r := c.Post(path, values)
	if r.StatusCode != status {
		g.t.Fatalf("POST %s %v: got %d, want %d", path, form, r.StatusCode, status)
	}
	return r
}

// rows tells what a query finds, one row to a line.
func (g guide) rows(query string, args ...any) string {
	g.t.Helper()
	rows, err := g.db.QueryContext(g.t.Context(), query, args...)
	ok(g.t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	ok(g.t, err)
	var all []string
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		ok(g.t, rows.Scan(values...))
		var line []string
		for _, v := range values {
			line = append(line, fmt.Sprint(*v.(*any)))
		}
		all = append(all, strings.Join(line, " "))
	}
	ok(g.t, rows.Err())
	return strings.Join(all, ", ")
}

func (g guide) want(what, query, want string) {
	g.t.Helper()
	if got := g.rows(query); got != want {
		g.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

var ann = []string{"name", "Ann", "email", "ann@example.com", "password", "pw"}

// TestUsersTable is docs/users-table.md from the first write to the sign-out.
func TestUsersTable(t *testing.T) {
	const users, notes = `SELECT id, name, email FROM users ORDER BY id`, `SELECT user_id, body FROM notes ORDER BY id`
	g := newGuide(t)
	c := g.browser()
	c.Visit("/")
	g.want("a reader", users, "")
	g.post(c, "/notes", 200, "body", "one")
	g.want("a guest", users, "1 Guest <nil>")
	g.post(c, "/publish", 303, "body", "one") // a person is sent to the sign-up
	if r := c.Do(c.NewRequest(http.MethodPost, "/publish", nil)); r.StatusCode != http.StatusForbidden {
		t.Errorf("a guest publishes: got %d, want 403", r.StatusCode)
	}

	g.post(c, "/sign-up", 303, ann...)
	g.want("a sign-up", users, "1 Ann ann@example.com")
	g.post(c, "/publish", 200)
	g.post(c, "/notes", 200, "body", "two")
	g.want("what she wrote, before and after", notes, "1 one, 1 two")

	// A user who registers while signed in.
	if to := g.post(c, "/sign-up", 303, "name", "Bea", "email", "bea@example.com", "password", "pw").Header.Get("Location"); to != "/account" {
		t.Errorf("signing up again: sent to %q", to)
	}
	g.want("and nothing has changed", `SELECT subject FROM walkin_identities`, "1")

	// A second device, with the same tags and likes.
	_, err := g.db.ExecContext(t.Context(), `INSERT INTO tags VALUES (1, 'go'); INSERT INTO likes VALUES (1, 7, 2)`)
	ok(t, err)
	second := g.browser()
	g.post(second, "/notes", 200, "body", "three")
	_, err = g.db.ExecContext(t.Context(), `INSERT INTO tags VALUES (2, 'go'), (2, 'sql'); INSERT INTO likes VALUES (2, 7, 1), (2, 8, 1)`)
	ok(t, err)
	g.post(second, "/sign-in", 401, "email", "ann@example.com", "password", "wrong")
	g.post(second, "/sign-in", 303, "email", "ann@example.com", "password", "pw")
	g.want("the guest's row has gone", users, "1 Ann ann@example.com")
	g.want("all notes are hers", notes, "1 one, 1 two, 1 three")
	g.want("tags once", `SELECT * FROM tags ORDER BY name`, "1 go, 1 sql")
	g.want("likes together", `SELECT * FROM likes ORDER BY post_id`, "1 7 3, 1 8 1")
	g.post(second, "/notes", 200, "body", "four")
	g.want("the token has her number", `SELECT user_id FROM notes WHERE body = 'four'`, "1")

	g.post(second, "/sign-out", 303)
	if r := second.Do(second.NewRequest(http.MethodPost, "/publish", nil)); r.StatusCode == http.StatusOK {
		t.Error("signed out, and still published")
	}
	user := g.rows(`SELECT lower(hex(walkin_id)) FROM users WHERE id = 1`)
	id := user[:8] + "-" + user[8:12] + "-" + user[12:16] + "-" + user[16:20] + "-" + user[20:]
	_, err = g.db.ExecContext(t.Context(), `DELETE FROM walkin_users WHERE lower(hex(id)) = ?`, user)
	ok(t, err)
	g.want(id+" is deleted", `SELECT id FROM users WHERE email IS NOT NULL`, "")
}

// TestSignUpWithoutGuest holds that a visitor who signs up before they have written
// anything, or without a cookie, has one row as well.
func TestSignUpWithoutGuest(t *testing.T) {
	for _, visits := range []bool{true, false} {
		g := newGuide(t)
		c := g.browser()
		if visits {
			c.Visit("/")
		}
		g.post(c, "/sign-up", 303, ann...)
		g.want("the row", `SELECT id, name, email FROM users`, "1 Ann ann@example.com")
		g.post(c, "/notes", 200, "body", "one")
		g.want("the note", `SELECT user_id FROM notes`, "1")
	}
}

// TestSignUpRefused holds that a sign-up which is refused leaves nothing behind, no
// matter what refuses it, and that the anonymous user keeps what they made.
func TestSignUpRefused(t *testing.T) {
	const users = `SELECT id, name, email FROM users ORDER BY id`
	for name, tt := range map[string]struct {
		form   []string
		status int
	}{
		"an address that has an account": {ann, 409},
		"one from before walkin":         {[]string{"name", "Old", "email", "old@example.com", "password", "pw"}, 409},
		"a CHECK of the app's":           {[]string{"name", "", "email", "new@example.com", "password", "pw"}, 500},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuide(t)
			_, err := g.db.ExecContext(t.Context(), `INSERT INTO users VALUES (40, NULL, 'Old', 'old@example.com', 'hash of pw')`)
			ok(t, err)
			g.post(g.browser(), "/sign-up", 303, ann...)
			c := g.browser()
			g.post(c, "/notes", 200, "body", "one")
			before := g.rows(users)
			g.post(c, "/sign-up", tt.status, tt.form...)
			g.want("nothing stays", users, before)
			g.want("no identity either", `SELECT subject FROM walkin_identities`, "41")
			g.post(c, "/sign-up", 303, "name", "Cy", "email", "cy@example.com", "password", "pw")
			g.want("and the guest signs up", `SELECT name FROM notes JOIN users ON users.id = user_id`, "Cy")
		})
	}
}

// TestAdopt holds that an account from before walkin keeps its number, and gets what
// its owner made before.
func TestAdopt(t *testing.T) {
	for _, guest := range []bool{true, false} {
		g := newGuide(t)
		_, err := g.db.ExecContext(t.Context(), `INSERT INTO users VALUES (40, NULL, 'Old', 'old@example.com', 'hash of pw');
			INSERT INTO notes VALUES (1, 40, 'of old')`)
		ok(t, err)
		c := g.browser()
		want := "40 of old"
		if guest {
			g.post(c, "/notes", 200, "body", "one")
			want += ", 40 one"
		}
		g.post(c, "/sign-in", 303, "email", "old@example.com", "password", "pw")
		g.want("the account", `SELECT id, name FROM users`, "40 Old")
		g.want("its notes", `SELECT user_id, body FROM notes ORDER BY id`, want)
		g.post(c, "/notes", 200, "body", "two")
		g.want("the token has its number", `SELECT user_id FROM notes WHERE body = 'two'`, "40")
	}
}

// TestAddressChange holds that an account is the same after its owner has changed the
// address, and that whoever takes the address next gets their own account.
func TestAddressChange(t *testing.T) {
	g := newGuide(t)
	first := g.browser()
	g.post(first, "/sign-up", 303, ann...)
	g.post(g.browser(), "/sign-up", 303, "name", "Bob", "email", "bob@example.com", "password", "bobs")
	_, err := g.db.ExecContext(t.Context(), `UPDATE users SET email = 'new@example.com' WHERE name = 'Ann';
		UPDATE users SET email = 'ann@example.com' WHERE name = 'Bob'`)
	ok(t, err)
	publish := func(c *walkintest.Client) string {
		body, err := io.ReadAll(g.post(c, "/publish", 200).Body)
		ok(t, err)
		return string(body)
	}
	bob, second := g.browser(), g.browser()
	g.post(bob, "/sign-in", 303, "email", "ann@example.com", "password", "bobs")
	g.post(second, "/sign-in", 303, "email", "new@example.com", "password", "pw")
	if b, a, f := publish(bob), publish(second), publish(first); b != "2" || a != "1" || f != "1" {
		t.Errorf("Bob is %s, Ann on her second device %s and on her first %s: want 2, 1, 1", b, a, f)
	}
	g.want("users", `SELECT count(*) FROM walkin_users`, "2")
}
