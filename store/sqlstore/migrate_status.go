package sqlstore

import (
	"context"
	"fmt"
	"io/fs"
	"path"
)

// Pending returns the names of the migrations that [Store.Migrate] would apply, in
// order. It returns none where the tables are of this version. It writes nothing.
func (s *Store) Pending(ctx context.Context) ([]string, error) {
	var there int
	query := map[string]string{
		"sqlite":   `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'walkin_migrations'`,
		"postgres": `SELECT COUNT(*) FROM (SELECT to_regclass('walkin_migrations') AS found) AS t WHERE found IS NOT NULL`,
		"mysql":    `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'walkin_migrations'`,
	}[s.dialect.name]
	if err := s.db.QueryRowContext(ctx, query).Scan(&there); err != nil {
		return nil, wrap(ctx, err)
	}
	version := 0
	if there > 0 {
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
