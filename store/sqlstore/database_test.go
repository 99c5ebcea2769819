package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store/sqlstore"
	_ "modernc.org/sqlite"
)

// A server hands out empty databases, each for one test.
type server func(t testing.TB) database

// servers are the databases that every test of a whole store runs on.
var servers = []struct {
	name  string
	start func(t testing.TB) server
}{
	{"SQLite", sqlite},
	{"PostgreSQL", postgres},
	{"MariaDB", mariadb},
}

func sqlite(testing.TB) server {
	return func(t testing.TB) database {
		file := filepath.Join(t.TempDir(), "walkin.db")
		return database{dialect: sqlstore.SQLite, driver: "sqlite", dsn: "file:" + file +
			"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)" +
			"&_pragma=synchronous(NORMAL)&_txlock=immediate"}
	}
}

// postgres takes a server of testserver's. A database is a SCHEMA there, which is the fastest to make.
func postgres(t testing.TB) server {
	address := testserver.PostgresURL(t)
	with := func(schema string) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("search_path", schema)
		u.RawQuery = q.Encode()
		return u.String()
	}
	admin := openPool(t, "pgx", with("public"))
	return func(t testing.TB) database {
		name := create(t, admin, "CREATE SCHEMA %s", "DROP SCHEMA %s CASCADE")
		return database{dialect: sqlstore.PostgreSQL, driver: "pgx", dsn: with(name)}
	}
}

// mariadb does the same.
func mariadb(t testing.TB) server {
	cfg, err := mysql.ParseDSN(testserver.MariaDBDSN(t))
	if err != nil {
		t.Fatal("WALKIN_TEST_MYSQL_URL is not a DSN") // which may hold a password
	}
	admin := openPool(t, "mysql", cfg.FormatDSN())
	return func(t testing.TB) database {
		cfg := cfg.Clone()
		cfg.DBName = create(t, admin, "CREATE DATABASE %s", "DROP DATABASE %s")
		return database{dialect: sqlstore.MySQL, driver: "mysql", dsn: cfg.FormatDSN()}
	}
}

// created numbers the databases that tests make on one server.
var created atomic.Int64

// create makes a database that goes with the test, and returns its name.
func create(t testing.TB, admin *sql.DB, do, undo string) string {
	t.Helper()
	name := fmt.Sprintf("walkin_test_%d_%d", os.Getpid(), created.Add(1))
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

func openPool(t testing.TB, driver, dsn string) *sql.DB {
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

// A database is an empty one, for one test.
type database struct {
	dialect sqlstore.Dialect
	driver  string
	dsn     string

	// pgxpool has a pgxpool.Pool of so many connections under each pool.
	pgxpool int32

	// conns has so many connections in the one pool of an app on SQLite, in place of
	// one that writes and a pool that reads.
	conns int
}

// pool returns one more pool on the database: that of another process.
func (d database) pool(t testing.TB) *sql.DB {
	t.Helper()
	if d.pgxpool > 0 {
		cfg, err := pgxpool.ParseConfig(d.dsn)
		if err != nil {
			t.Fatal(err)
		}
		cfg.MaxConns = d.pgxpool
		pool, err := pgxpool.NewWithConfig(context.WithoutCancel(t.Context()), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		db := stdlib.OpenDBFromPool(pool)
		t.Cleanup(func() { db.Close() })
		return db
	}
	db := openPool(t, d.driver, d.dsn)
	if d.dialect == sqlstore.SQLite {
		db.SetMaxOpenConns(max(d.conns, 1))
	}
	return db
}

// store returns one more store on the database, not migrated, and its pool.
func (d database) store(t testing.TB) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	cfg := sqlstore.Config{Dialect: d.dialect, DB: d.pool(t)}
	if d.dialect == sqlstore.SQLite && d.conns == 0 {
		cfg.Reader = openPool(t, d.driver, d.dsn)
	}
	s, err := sqlstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, cfg.DB
}

// migrated returns one more store on the database, with its tables, and its
// pool.
func (d database) migrated(t testing.TB) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	s, db := d.store(t)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, db
}

// sql writes the placeholders of the dialect.
func (d database) sql(query string) string {
	if d.dialect != sqlstore.PostgreSQL {
		return query
	}
	for n := 1; strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", fmt.Sprint("$", n), 1)
	}
	return query
}

// bind binds an ID as the docs say.
func (d database) bind(id uuid.UUID) any {
	if d.dialect == sqlstore.PostgreSQL {
		return id
	}
	return id[:]
}
