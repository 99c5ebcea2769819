package docs

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/schema"
	"ariga.io/atlas/sql/sqlite"
	"ariga.io/atlas/sql/sqltool"

	"github.com/walkin-go/walkin/store/sqlstore"
)

// atlasTable is where Atlas records what ran: what its command does, and its library
// leaves to its caller.
type atlasTable struct {
	db   *sql.DB
	rows []*migrate.Revision
}

func (a *atlasTable) Ident() *migrate.TableIdent {
	return &migrate.TableIdent{Name: "atlas_schema_revisions"}
}

func (a *atlasTable) ReadRevisions(context.Context) ([]*migrate.Revision, error) { return a.rows, nil }

func (a *atlasTable) ReadRevision(_ context.Context, version string) (*migrate.Revision, error) {
	for _, row := range a.rows {
		if row.Version == version {
			return row, nil
		}
	}
	return nil, migrate.ErrRevisionNotExist
}

func (a *atlasTable) WriteRevision(ctx context.Context, r *migrate.Revision) error {
	if row, err := a.ReadRevision(ctx, r.Version); err == nil {
		*row = *r
	} else {
		copied := *r
		a.rows = append(a.rows, &copied)
	}
	_, err := a.db.ExecContext(ctx, `INSERT OR IGNORE INTO atlas_schema_revisions (version) VALUES (?)`, r.Version)
	return err
}

func (a *atlasTable) DeleteRevision(context.Context, string) error { return errors.ErrUnsupported }

// atlas returns an executor of walkin's files, as goose has them, and the last of their
// versions.
func atlas(t *testing.T, db *sql.DB, options ...migrate.ExecutorOption) (run *migrate.Executor, last string) {
	t.Helper()
	migrations, err := fs.Sub(sqlstore.Migrations, "migrations/sqlite")
	ok(t, err)
	folder := filepath.Join(t.TempDir(), "migrations")
	ok(t, os.CopyFS(folder, migrations))
	dir, err := sqltool.NewGooseDir(folder)
	ok(t, err)
	sum, err := dir.Checksum()
	ok(t, err)
	ok(t, migrate.WriteSumFile(dir, sum)) // what atlas migrate hash does
	driver, err := sqlite.Open(db)
	ok(t, err)
	run, err = migrate.NewExecutor(driver, dir, &atlasTable{db: db}, options...)
	ok(t, err)
	files, err := dir.Files()
	ok(t, err)
	return run, files[len(files)-1].Version()
}

func atlasDB(t *testing.T) (*sql.DB, *sqlstore.Store) {
	t.Helper()
	db, store := bareSQLite(t)
	_, err := db.ExecContext(t.Context(), `CREATE TABLE atlas_schema_revisions (version text PRIMARY KEY)`)
	ok(t, err)
	return db, store
}

// TestAtlasThenMigrate holds what docs/migrations.md says of a database that Atlas
// migrated: Migrate says whose the tables are, changes nothing, and takes over.
func TestAtlasThenMigrate(t *testing.T) {
	db, store := atlasDB(t)
	run, _ := atlas(t, db)
	ok(t, run.ExecuteN(t.Context(), 0))
	if err := store.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "Atlas") || !strings.Contains(err.Error(), "docs/migrations.md") {
		t.Errorf("got %v, want an error that says who made the tables", err)
	}
	_, err := db.ExecContext(t.Context(), codeOf(t, "docs/migrations.md", "sql", "atlas_schema_revisions"))
	ok(t, err)
	ok(t, store.Migrate(t.Context()))
	if pending, err := store.Pending(t.Context()); err != nil || len(pending) > 0 {
		t.Errorf("got %v, %v", pending, err)
	}
}

// TestMigrateThenAtlas holds the other way round: Atlas refuses a database with tables,
// and takes over from a baseline.
func TestMigrateThenAtlas(t *testing.T) {
	db, store := atlasDB(t)
	ok(t, store.Migrate(t.Context()))
	run, last := atlas(t, db)
	if err := run.ExecuteN(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "baseline version or allow-dirty is required") {
		t.Errorf("got %v, want Atlas to find the tables", err)
	}
	run, _ = atlas(t, db, migrate.WithBaselineVersion(last))
	if err := run.ExecuteN(t.Context(), 0); !errors.Is(err, migrate.ErrNoPendingFiles) {
		t.Errorf("got %v from the baseline, want nothing to do", err)
	}
}

// TestAtlasSchema holds that Atlas, which makes a database like a schema, would drop
// walkin's tables, and leaves them with the exclusion of docs/migrations.md.
func TestAtlasSchema(t *testing.T) {
	db, store := atlasDB(t)
	driver, err := sqlite.Open(db)
	ok(t, err)
	wanted, err := driver.InspectSchema(t.Context(), "main", nil) // the app's own, without walkin
	ok(t, err)
	ok(t, store.Migrate(t.Context()))
	for pattern, want := range map[string]bool{"": true, "walkin_*": false} {
		options := &schema.InspectOptions{}
		if pattern != "" {
			options.Exclude = []string{pattern}
		}
		is, err := driver.InspectSchema(t.Context(), "main", options)
		ok(t, err)
		changes, err := driver.SchemaDiff(is, wanted)
		ok(t, err)
		if got := len(changes) > 0; got != want {
			t.Errorf("without %q: got %d changes, want some: %t", pattern, len(changes), want)
		}
	}
}
