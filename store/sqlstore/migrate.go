package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Migrations holds the schema as numbered .sql files, a folder per dialect:
// migrations/sqlite, migrations/postgres, migrations/mysql. They are plain SQL. A tool
// that reads goose's files takes them as they are, if the app would rather not call
// [Store.Migrate]. docs/migrations.md says how one follows the other.
//
//go:embed migrations
var Migrations embed.FS

// Migrate brings the tables to the version of this package. It changes nothing when
// they have that version. Replicas may call it at the same time: one migrates, the
// others wait. MySQL cannot undo a CREATE TABLE. There an operator has to fix a
// migration that fails in the middle.
func (s *Store) Migrate(ctx context.Context) error {
	err := s.again(ctx, func() error {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return wrap(ctx, err)
		}
		defer conn.Close()
		return s.migrate(ctx, conn)
	})
	if err != nil {
		return fmt.Errorf("sqlstore: migrating: %w", errors.Join(ctx.Err(), err))
	}
	return nil
}

// lockName is one number and one name for all replicas.
const (
	lockNumber int64 = 8_275_361_109 // PostgreSQL's advisory locks are numbered
	lockName         = "walkin_migrate"
)

func (s *Store) migrate(ctx context.Context, conn *sql.Conn) error {
	if s.dialect.name == "mysql" {
		// A lock of the connection: DDL commits, and would free any other.
		var got sql.NullInt64
		if err := conn.QueryRowContext(ctx, `SELECT GET_LOCK(?, 60)`, lockName).Scan(&got); err != nil {
			return err
		}
		if got.Int64 != 1 {
			return errors.New("another process has been migrating for a minute")
		}
		defer func() {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), `SELECT RELEASE_LOCK(?)`, lockName)
		}()
	}
	if s.dialect.name == "sqlite" {
		if err := checkForeignKeys(ctx, conn); err != nil {
			return err
		}
	}
	// On PostgreSQL it must be READ COMMITTED, to see after the lock what another
	// process did before. On SQLite the process that comes second is asked for it
	// again.
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.isolation})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if s.dialect.name == "postgres" {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, lockNumber); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS walkin_migrations (version integer NOT NULL PRIMARY KEY)`); err != nil {
		return err
	}
	var version int
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM walkin_migrations`).Scan(&version); err != nil {
		return err
	}
	if version == 0 {
		if err := s.checkUnclaimed(ctx, tx); err != nil {
			return err
		}
	}
	folder := path.Join("migrations", s.dialect.name)
	files, err := fs.ReadDir(Migrations, folder) // in the order of their numbers
	if err != nil {
		return err
	}
	for i, file := range files {
		if i < version {
			continue
		}
		text, err := fs.ReadFile(Migrations, path.Join(folder, file.Name()))
		if err != nil {
			return err
		}
		for _, statement := range statements(string(text)) {
			if _, err := tx.ExecContext(ctx, statement); err != nil && !isRefused(statement, err) {
				return fmt.Errorf("%s: %w", file.Name(), err)
			}
		}
		if _, err := tx.ExecContext(ctx, s.dialect.sql(`INSERT INTO walkin_migrations (version) VALUES (?)`), i+1); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// checkForeignKeys is for SQLite, which enforces foreign keys only where the app asks
// for it. walkin does not need that. But where a table of the app's refers to its
// users, rows would stay when their user is deleted, and that would go unnoticed for
// long. It is better not to start.
func checkForeignKeys(ctx context.Context, conn *sql.Conn) error {
	var on bool
	if err := conn.QueryRowContext(ctx, `PRAGMA foreign_keys`).Scan(&on); err != nil || on {
		return err
	}
	var table string
	err := conn.QueryRowContext(ctx, `
		SELECT m.name FROM sqlite_master m, pragma_foreign_key_list(m.name) f
		WHERE m.type = 'table' AND m.name NOT LIKE 'walkin~_%' ESCAPE '~' AND f."table" LIKE 'walkin~_%' ESCAPE '~' LIMIT 1`).Scan(&table)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	return fmt.Errorf("foreign keys are off, and %q refers to walkin's users, so its rows would stay when their user goes: "+
		"the DSN needs _pragma=foreign_keys(1) with modernc.org/sqlite, or _foreign_keys=1 with mattn/go-sqlite3", table)
}

// isRefused reports whether MySQL does not let this user make a trigger or a procedure.
// Where it writes a log for replicas, it requires a right for triggers that most
// providers do not grant. The store needs neither. Without the triggers, a DELETE by
// hand leaves no tombstone, and without the procedure a new visitor costs five
// statements instead of one.
func isRefused(statement string, err error) bool {
	if !strings.HasPrefix(statement, "CREATE TRIGGER") && !strings.Contains(statement, " PROCEDURE ") || sqlState(err) != "" {
		return false
	}
	for _, number := range []string{"Error 1419", "Error 1142", "Error 1227", "Error 1044", "Error 1370"} {
		if strings.Contains(err.Error(), number) {
			return true
		}
	}
	return false
}

// statements splits one of our own files. A semicolon at the end of a line ends a
// statement, except between goose's marks. A line that begins with -- is a comment.
func statements(text string) []string {
	var all []string
	var b strings.Builder
	marked := false
	for line := range strings.Lines(text) {
		switch line := strings.TrimSpace(line); {
		case line == "-- +goose StatementBegin":
			marked = true
		case line == "-- +goose StatementEnd":
			marked = false
		case strings.HasPrefix(line, "--"):
			continue
		default:
			b.WriteString(line + "\n")
		}
		if text := strings.TrimSpace(b.String()); !marked && strings.HasSuffix(text, ";") {
			all = append(all, strings.TrimSuffix(text, ";"))
			b.Reset()
		}
	}
	return all
}
