package docs

import (
	"database/sql"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// bareSQLite is a database without tables, with a store over it.
func bareSQLite(t *testing.T) (*sql.DB, *sqlstore.Store) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "app.db")+"?_pragma=foreign_keys(1)")
	ok(t, err)
	t.Cleanup(func() { db.Close() })
	store, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: db})
	ok(t, err)
	return db, store
}

// unmigrated is a database without tables, with a store and with goose over it.
func unmigrated(t *testing.T) (*sql.DB, *sqlstore.Store, *goose.Provider) {
	t.Helper()
	db, store := bareSQLite(t)
	migrations, err := fs.Sub(sqlstore.Migrations, "migrations/sqlite") // or postgres, mysql
	ok(t, err)
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, migrations)
	ok(t, err)
	return db, store, provider
}

// TestGooseThenMigrate holds what docs/migrations.md says of a database that goose
// migrated: the store works, Migrate says whose the tables are, and takes over.
func TestGooseThenMigrate(t *testing.T) {
	db, store, provider := unmigrated(t)
	_, err := provider.Up(t.Context())
	ok(t, err)
	cfg := defaults()
	cfg.Store = store
	c := walkintest.NewClient(t, newWalkin(t, cfg).Handler(http.HandlerFunc(whoami)))
	c.Post("/", nil)
	if _, kind := is(t, c); kind != "anonymous" {
		t.Errorf("got %q over goose's tables", kind)
	}
	if err := store.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "goose") || !strings.Contains(err.Error(), "docs/migrations.md") {
		t.Errorf("got %v, want an error that says who made the tables", err)
	}
	_, err = db.ExecContext(t.Context(), codeOf(t, "docs/migrations.md", "sql", "CREATE TABLE walkin_migrations"))
	ok(t, err)
	ok(t, store.Migrate(t.Context()))
	if pending, err := store.Pending(t.Context()); err != nil || len(pending) > 0 {
		t.Errorf("got %v, %v", pending, err)
	}
}

// TestMigrateThenGoose holds the other way round.
func TestMigrateThenGoose(t *testing.T) {
	db, store, provider := unmigrated(t)
	ok(t, store.Migrate(t.Context()))
	if _, err := provider.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("got %v, want goose to find the tables", err)
	}
	_, err := db.ExecContext(t.Context(), codeOf(t, "docs/migrations.md", "sql", "INSERT INTO goose_db_version"))
	ok(t, err)
	if done, err := provider.Up(t.Context()); err != nil || len(done) > 0 {
		t.Errorf("got %v, %v", done, err)
	}
}
