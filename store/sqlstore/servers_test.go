package sqlstore_test

import (
	"database/sql"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/store/storetest"
)

// databases numbers the databases that tests make on one server.
var databases atomic.Int64

func openPool(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(16)
	return db
}

// create makes a database, or in PostgreSQL the faster SCHEMA, and returns its
// name.
func create(t *testing.T, admin *sql.DB, what string) string {
	t.Helper()
	name := fmt.Sprintf("walkin_test_%d_%d", os.Getpid(), databases.Add(1))
	if _, err := admin.ExecContext(t.Context(), "CREATE "+what+" "+name); err != nil {
		t.Fatal(err)
	}
	return name
}

func openStore(t *testing.T, dialect sqlstore.Dialect, db *sql.DB) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(sqlstore.Config{Dialect: dialect, DB: db})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPostgreSQL(t *testing.T) {
	socket := testserver.Postgres(t)
	dsn := func(schema string) string {
		return "host=" + socket + " user=walkin dbname=postgres search_path=" + schema
	}
	admin := openPool(t, "pgx", dsn("public"))
	storetest.Run(t, func(t *testing.T) func(*testing.T) walkin.Store {
		name := create(t, admin, "SCHEMA")
		return func(t *testing.T) walkin.Store {
			return openStore(t, sqlstore.PostgreSQL, openPool(t, "pgx", dsn(name)))
		}
	})
}

func TestMariaDB(t *testing.T) {
	socket := testserver.MariaDB(t)
	dsn := func(name string) string { return "root@unix(" + socket + ")/" + name }
	admin := openPool(t, "mysql", dsn(""))
	storetest.Run(t, func(t *testing.T) func(*testing.T) walkin.Store {
		name := create(t, admin, "DATABASE")
		return func(t *testing.T) walkin.Store {
			return openStore(t, sqlstore.MySQL, openPool(t, "mysql", dsn(name)))
		}
	})
}
