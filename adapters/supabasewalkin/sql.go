package supabasewalkin

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// A SQLDialect is a database that store/sqlstore knows.
type SQLDialect uint8

const (
	SQLite SQLDialect = iota + 1
	PostgreSQL
	MySQL // and MariaDB
)

// SQL returns profiles in the database of store/sqlstore. They are in a table of their
// own, walkin_supabase_profiles, whose rows are deleted with their users. tx is
// sqlstore.Tx. Call [SQLProfiles.Migrate] once before, after the store's own Migrate.
func SQL(db *sql.DB, dialect SQLDialect, tx func(context.Context) (*sql.Tx, bool)) *SQLProfiles {
	return &SQLProfiles{db, dialect, tx}
}

// SQLProfiles are made by [SQL].
type SQLProfiles struct {
	db      *sql.DB
	dialect SQLDialect
	tx      func(context.Context) (*sql.Tx, bool)
}

var _ Profiles = (*SQLProfiles)(nil)

var tables = map[SQLDialect]string{
	SQLite: `CREATE TABLE IF NOT EXISTS walkin_supabase_profiles (
		user_id BLOB NOT NULL PRIMARY KEY REFERENCES walkin_users (id) ON DELETE CASCADE,
		data    TEXT NOT NULL
	) WITHOUT ROWID`,
	PostgreSQL: `CREATE TABLE IF NOT EXISTS walkin_supabase_profiles (
		user_id uuid NOT NULL PRIMARY KEY REFERENCES walkin_users (id) ON DELETE CASCADE,
		data    text NOT NULL
	)`,
	MySQL: `CREATE TABLE IF NOT EXISTS walkin_supabase_profiles (
		user_id binary(16) NOT NULL PRIMARY KEY,
		data    mediumtext CHARACTER SET utf8mb4 NOT NULL,
		FOREIGN KEY (user_id) REFERENCES walkin_users (id) ON DELETE CASCADE
	) ENGINE = InnoDB`,
}

// migrationLock is that of PostgreSQL, where two CREATE TABLE IF NOT EXISTS at once can
// fail.
const migrationLock int64 = 7_350_119_264_413

// Migrate makes the table if it is missing. Replicas may call it at the same time.
func (s *SQLProfiles) Migrate(ctx context.Context) error {
	table, ok := tables[s.dialect]
	if !ok || s.db == nil || s.tx == nil {
		return errors.New("walkin: supabasewalkin: SQL needs a database, a dialect and sqlstore.Tx")
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if s.dialect == PostgreSQL {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", migrationLock)); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, table); err != nil {
		return err
	}
	return tx.Commit()
}

// queryer is a pool or a transaction.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s *SQLProfiles) in(ctx context.Context) queryer {
	if tx, ok := s.tx(ctx); ok {
		return tx
	}
	return s.db
}

func (s *SQLProfiles) id(id uuid.UUID) any {
	if s.dialect == PostgreSQL {
		return id.String()
	}
	return id[:]
}

// Profile implements [Profiles].
func (s *SQLProfiles) Profile(ctx context.Context, id uuid.UUID) (Profile, error) {
	query := `SELECT data FROM walkin_supabase_profiles WHERE user_id = ?`
	if s.dialect == PostgreSQL {
		query = `SELECT data FROM walkin_supabase_profiles WHERE user_id = $1`
	}
	var data []byte
	err := s.in(ctx).QueryRowContext(ctx, query, s.id(id)).Scan(&data)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Profile{}, err
	}
	return profileOf(id, data)
}

// Save implements [Profiles].
func (s *SQLProfiles) Save(ctx context.Context, p Profile) error {
	if p.CreatedAt.IsZero() {
		p.CreatedAt = time.Now()
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	query := `INSERT INTO walkin_supabase_profiles (user_id, data) VALUES (?, ?) ON CONFLICT (user_id) DO UPDATE SET data = excluded.data`
	switch s.dialect {
	case PostgreSQL:
		query = `INSERT INTO walkin_supabase_profiles (user_id, data) VALUES ($1, $2) ON CONFLICT (user_id) DO UPDATE SET data = excluded.data`
	case MySQL:
		query = `INSERT INTO walkin_supabase_profiles (user_id, data) VALUES (?, ?) ON DUPLICATE KEY UPDATE data = VALUES(data)`
	}
	_, err = s.in(ctx).ExecContext(ctx, query, s.id(p.UserID), string(data))
	return err
}

// Delete implements [Profiles]: the row goes with its user.
func (s *SQLProfiles) Delete(context.Context, uuid.UUID) error { return nil }

// List implements [Profiles]. It lists all users, also those without a profile.
func (s *SQLProfiles) List(ctx context.Context, offset, limit int) (ids []uuid.UUID, total int, err error) {
	db := s.in(ctx)
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM walkin_users`).Scan(&total); err != nil {
		return nil, 0, err
	}
	rows, err := db.QueryContext(ctx, fmt.Sprintf(`SELECT id FROM walkin_users ORDER BY created_at DESC, id DESC LIMIT %d OFFSET %d`, limit, offset))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id uuid.UUID // it scans text as well as bytes
		if err := rows.Scan(&id); err != nil {
			return nil, 0, err
		}
		ids = append(ids, id)
	}
	return ids, total, rows.Err()
}
