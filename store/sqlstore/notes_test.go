package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// createNotes makes a table of the app's own, with a foreign key to the users.
func createNotes(t *testing.T, d database, db *sql.DB) {
	t.Helper()
	column := map[sqlstore.Dialect]string{
		sqlstore.SQLite: "blob", sqlstore.PostgreSQL: "uuid", sqlstore.MySQL: "binary(16)"}[d.dialect]
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE notes (n integer, user_id "+column+
		" NOT NULL, FOREIGN KEY (user_id) REFERENCES walkin_users (id) ON DELETE CASCADE)"); err != nil {
		t.Fatal(err)
	}
}

// notes counts a user's notes.
func (d database) notes(t *testing.T, db *sql.DB, id uuid.UUID) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), d.sql("SELECT COUNT(*) FROM notes WHERE user_id = ?"), d.bind(id)).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// moveNotes has an app with a foreign key to walkin_users: of a thousand notes
// all move with the merge, or none.
func moveNotes(t *testing.T, d database) {
	s, db := d.migrated(t)
	createNotes(t, d, db)

	var fail bool
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s,
		Hooks: walkin.Hooks{
			OnMerge: func(ctx context.Context, c walkin.Change) error {
				tx, ok := sqlstore.Tx(ctx)
				if !ok {
					return errors.New("no transaction")
				}
				_, err := tx.ExecContext(ctx, d.sql("UPDATE notes SET user_id = ? WHERE user_id = ?"), d.bind(c.UserID), d.bind(c.AnonymousID))
				if err == nil && fail {
					err = errors.New("the app has second thoughts")
				}
				return err
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var who uuid.UUID
	site := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/prove" {
			if _, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Method: "pwd"}); err != nil {
				wk.Refuse(w, r, err)
			}
			return
		}
		c, _ := walkin.FromContext(r.Context())
		who = c.UserID
	}))
	count := func(id uuid.UUID) int { return d.notes(t, db, id) }

	owner := walkintest.NewClient(t, site)
	owner.Post("/", nil)
	ownerID := who
	if r := owner.Post("/prove", nil); r.StatusCode != http.StatusOK {
		t.Fatalf("the upgrade: got %d", r.StatusCode)
	}
	guest := walkintest.NewClient(t, site)
	guest.Post("/", nil)
	guestID := who
	for i := range 1000 {
		if _, err := db.ExecContext(t.Context(), d.sql("INSERT INTO notes VALUES (?, ?)"), i, d.bind(guestID)); err != nil {
			t.Fatal(err)
		}
	}

	fail = true
	if r := guest.Post("/prove", nil); r.StatusCode != http.StatusInternalServerError {
		t.Errorf("a merge that fails: got %d", r.StatusCode)
	}
	if g, o := count(guestID), count(ownerID); g != 1000 || o != 0 {
		t.Errorf("after a merge that failed: got %d and %d notes, want all with the guest", g, o)
	}
	fail = false
	if r := guest.Post("/prove", nil); r.StatusCode != http.StatusOK {
		t.Errorf("the merge: got %d", r.StatusCode)
	}
	if g, o := count(guestID), count(ownerID); g != 0 || o != 1000 {
		t.Errorf("after the merge: got %d and %d notes, want all with the owner", g, o)
	}
	guest.Post("/", nil)
	if who != ownerID {
		t.Errorf("after the merge: got %v, want the owner", who)
	}
	if err := wk.DeleteUser(t.Context(), ownerID); err != nil {
		t.Fatal(err)
	}
	if o := count(ownerID); o != 0 {
		t.Errorf("got %d notes of a deleted user, want none", o)
	}
}
