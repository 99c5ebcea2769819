package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Pending returns the names of the migrations that [Store.Migrate] would apply, in
// order. It returns none where the tables are of this version. It writes nothing.
func (s *Store) Pending(ctx context.Context) ([]string, error) {
	there, err := s.hasTable(ctx, s.db, "walkin_migrations")
	if err != nil {
		return nil, wrap(ctx, err)
	}
	version := 0
	if there {
		if err := s.db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM walkin_migrations`).Scan(&version); err != nil {
			return nil, wrap(ctx, err)
		}
	}
	files, err := fs.ReadDir(Migrations, path.Join("migrations", s.dialect.name))
	if err != nil {
		return nil, err
	}
	if version > len(files) {
		return nil, fmt.Errorf("sqlstore: the tables are of version %d, newer than this program's %d", version, len(files))
	}
	names := []string{}
	for _, file := range files[version:] {
		names = append(names, file.Name())
	}
	return names, nil
}

// checkUnclaimed is for a database in which walkin's tables are, and no record of
// Migrate's. Another tool made them, or on MySQL a migration ended in the middle.
// Making them again would fail at the first one, with an error that does not say so.
func (s *Store) checkUnclaimed(ctx context.Context, tx *sql.Tx) error {
	there, err := s.hasTable(ctx, tx, "walkin_users")
	if err != nil || !there {
		return err
	}
	return errors.New("walkin_migrations has no record of walkin's tables: goose or Atlas made them, or on MySQL a migration failed in the middle; see docs/migrations.md")
}

func (s *Store) hasTable(ctx context.Context, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, name string) (there bool, err error) {
	query := map[string]string{
		"sqlite":   `SELECT COUNT(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = ?`,
		"postgres": `SELECT to_regclass($1) IS NOT NULL`,
		"mysql":    `SELECT COUNT(*) > 0 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?`,
	}[s.dialect.name]
	err = q.QueryRowContext(ctx, query, name).Scan(&there)
	return there, err
}
