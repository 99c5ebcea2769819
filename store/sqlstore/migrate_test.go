package sqlstore_test

import (
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/walkin-go/walkin/store/sqlstore"
)

func migrateTogether(t *testing.T, d database) {
	if d.dialect == sqlstore.PostgreSQL {
		// An app may have set this; who waited for the lock must see what
		// was done meanwhile all the same.
		d.dsn += "&default_transaction_isolation=repeatable%20read"
	}
	var wg sync.WaitGroup
	for range 8 {
		s, _ := d.store(t)
		wg.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	s, db := d.store(t)
	if err := s.Migrate(t.Context()); err != nil {
		t.Errorf("migrating again: got %v", err)
	}
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM walkin_migrations").Scan(&n); err != nil || n == 0 {
		t.Errorf("got %d migrations, %v", n, err)
	}
}

// TestMigrateWithoutForeignKeys holds that walkin accepts SQLite's default, unless it
// would leave the app's rows behind when their user is deleted.
func TestMigrateWithoutForeignKeys(t *testing.T) {
	d := sqlite(t)(t)
	d.dsn = strings.Replace(d.dsn, "foreign_keys(1)", "foreign_keys(0)", 1)
	s, db := d.migrated(t)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE own (id integer PRIMARY KEY, walkin_id blob UNIQUE)")
	ok(t, err)
	ok(t, s.Migrate(t.Context()))
	createNotes(t, d, db)
	err = s.Migrate(t.Context())
	for _, want := range []string{`"notes"`, "_pragma=foreign_keys(1)", "_foreign_keys=1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %s in it", err, want)
		}
	}
}

// TestMigrateDeferred holds that replicas whose transactions lock late, because
// _txlock=immediate is missing, can start at the same time all the same.
func TestMigrateDeferred(t *testing.T) {
	d := sqlite(t)(t)
	d.dsn = strings.Replace(d.dsn, "&_txlock=immediate", "", 1)
	migrateTogether(t, d)
}

// TestMigrations holds what other tools count on: numbered files, the same ones
// for every dialect, that goose reads, with no way down that a plain runner
// would take.
func TestMigrations(t *testing.T) {
	var want []string
	for i, folder := range []string{"sqlite", "postgres", "mysql"} {
		files, err := fs.ReadDir(sqlstore.Migrations, "migrations/"+folder)
		ok(t, err)
		var names []string
		for n, file := range files {
			// The trigger, which the others have in 0005: MySQL may refuse it.
			if name := file.Name()[len("0001_"):]; folder != "mysql" || name != "bury.sql" {
				names = append(names, name)
			}
			if !strings.HasPrefix(file.Name(), fmt.Sprintf("%04d_", n+1)) {
				t.Errorf("%s/%s is the %d. file", folder, file.Name(), n+1)
			}
			text, err := fs.ReadFile(sqlstore.Migrations, "migrations/"+folder+"/"+file.Name())
			ok(t, err)
			if !strings.HasPrefix(string(text), "-- +goose Up\n") || strings.Contains(string(text), "-- +goose Down") {
				t.Errorf("%s/%s does not begin with goose's mark, or goes down", folder, file.Name())
			}
		}
		if i == 0 {
			want = names
		}
		if fmt.Sprint(names) != fmt.Sprint(want) || len(names) == 0 {
			t.Errorf("%s: got %v, want %v", folder, names, want)
		}
	}
}
