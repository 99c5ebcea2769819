package clients_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/store/sqlstore"
	_ "modernc.org/sqlite"
)

// A replica's share of a database.
type share struct {
	store    store.Store
	profiles supabasewalkin.Profiles
}

// A server hands out empty databases. Each call of a database is one more process on it.
type server func(t *testing.T) (database func() share)

var servers = []struct {
	name  string
	start func(t *testing.T) server
}{
	{"memstore", func(*testing.T) server {
		return func(*testing.T) func() share {
			one := share{memstore.New(), supabasewalkin.Memory()}
			return func() share { return one }
		}
	}},
	{"SQLite", func(*testing.T) server {
		return func(t *testing.T) func() share {
			dsn := "file:" + filepath.Join(t.TempDir(), "walkin.db") +
				"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=synchronous(NORMAL)&_txlock=immediate"
			return func() share { return sqlShare(t, "sqlite", dsn, sqlstore.SQLite, supabasewalkin.SQLite) }
		}
	}},
	{"PostgreSQL", postgres},
	{"MariaDB", mariadb},
}

func postgres(t *testing.T) server {
	address := testserver.PostgresURL(t)
	admin := pool(t, "pgx", address)
	return func(t *testing.T) func() share {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("search_path", create(t, admin, "CREATE SCHEMA %s", "DROP SCHEMA %s CASCADE"))
		u.RawQuery = q.Encode()
		return func() share {
			return sqlShare(t, "pgx", u.String(), sqlstore.PostgreSQL, supabasewalkin.PostgreSQL)
		}
	}
}

func mariadb(t *testing.T) server {
	cfg, err := mysql.ParseDSN(testserver.MariaDBDSN(t))
	if err != nil {
		t.Fatal("WALKIN_TEST_MYSQL_URL is not a DSN") // which may hold a password
	}
	admin := pool(t, "mysql", cfg.FormatDSN())
	return func(t *testing.T) func() share {
		cfg := cfg.Clone()
		cfg.DBName = create(t, admin, "CREATE DATABASE %s", "DROP DATABASE %s")
		return func() share {
			return sqlShare(t, "mysql", cfg.FormatDSN(), sqlstore.MySQL, supabasewalkin.MySQL)
		}
	}
}

var created atomic.Int64

// create makes a database that goes with the test, and returns its name.
func create(t *testing.T, admin *sql.DB, do, undo string) string {
	t.Helper()
	name := fmt.Sprintf("walkin_clients_%d_%d", os.Getpid(), created.Add(1))
	if _, err := admin.ExecContext(t.Context(), fmt.Sprintf(do, name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.WithoutCancel(t.Context()), fmt.Sprintf(undo, name)); err != nil {
			t.Error(err)
		}
	})
	return name
}

func pool(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	return db
}

// sqlShare is one more process: both replicas migrate when they start.
func sqlShare(t *testing.T, driver, dsn string, dialect sqlstore.Dialect, ours supabasewalkin.SQLDialect) share {
	t.Helper()
	cfg := sqlstore.Config{Dialect: dialect, DB: pool(t, driver, dsn)}
	if dialect == sqlstore.SQLite {
		cfg.DB.SetMaxOpenConns(1)
		cfg.Reader = pool(t, driver, dsn)
	}
	s, err := sqlstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	profiles := supabasewalkin.SQL(cfg.DB, ours, sqlstore.Tx)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := profiles.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return share{s, profiles}
}

// TestDatabases runs all tests of this file's neighbours on each kind of database, each
// test with an empty one and two processes on it.
func TestDatabases(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			start := s.start(t)
			for name, test := range map[string]func(*testing.T, func() share){
				"Profiles": testProfiles, "ProfilesMigrateTogether": testProfilesMigrateTogether,
				"RaceForOneAddress": testRaceForOneAddress, "RaceByOneCode": testRaceByOneCode,
				"FiveTabs": testFiveTabs, "Reuse": testReuse, "MutatedRefreshTokens": testMutatedRefreshTokens,
				"NoSignUpAtProvider": testNoSignUpAtProvider, "Passkeys": testPasskeys,
			} {
				t.Run(name, func(t *testing.T) { test(t, start(t)) })
			}
		})
	}
}
