package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/store/storetest"
	"github.com/walkin-go/walkin/walkintest"
	_ "modernc.org/sqlite"
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

// A database is an empty one, for one test.
type database struct {
	dialect sqlstore.Dialect
	driver  string
	dsn     string
}

// pool returns one more pool on the database: that of another process.
func (d database) pool(t *testing.T) *sql.DB {
	t.Helper()
	db := openPool(t, d.driver, d.dsn)
	if d.dialect == sqlstore.SQLite {
		db.SetMaxOpenConns(1)
	}
	return db
}

// store returns one more store on the database, not migrated, and its pool.
func (d database) store(t *testing.T) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	cfg := sqlstore.Config{Dialect: d.dialect, DB: d.pool(t)}
	if d.dialect == sqlstore.SQLite {
		cfg.Reader = openPool(t, d.driver, d.dsn)
	}
	s, err := sqlstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, cfg.DB
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

// createNotes makes a table of the app's own, with a foreign key to the users.
func createNotes(t *testing.T, d database, db *sql.DB) {
	t.Helper()
	column := map[sqlstore.Dialect]string{
		sqlstore.SQLite: "blob", sqlstore.PostgreSQL: "uuid", sqlstore.MySQL: "binary(16)"}[d.dialect]
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE notes (n integer, user_id "+column+
		" NOT NULL, FOREIGN KEY (user_id) REFERENCES walkin_users (id) ON DELETE CASCADE)"); err != nil {
		t.Fatal(err)
	}
}

// notes counts a user's notes.
func (d database) notes(t *testing.T, db *sql.DB, id uuid.UUID) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), d.sql("SELECT COUNT(*) FROM notes WHERE user_id = ?"), d.bind(id)).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A server hands out databases.
type server func(t *testing.T) database

func sqlite(*testing.T) server {
	return func(t *testing.T) database {
		file := filepath.Join(t.TempDir(), "walkin.db")
		return database{dialect: sqlstore.SQLite, driver: "sqlite", dsn: "file:" + file +
			"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)" +
			"&_pragma=synchronous(NORMAL)&_txlock=immediate"}
	}
}

func postgres(t *testing.T) server {
	dsn := "host=" + testserver.Postgres(t) + " user=walkin dbname=postgres search_path="
	admin := openPool(t, "pgx", dsn+"public")
	return func(t *testing.T) database {
		return database{dialect: sqlstore.PostgreSQL, driver: "pgx", dsn: dsn + create(t, admin, "SCHEMA")}
	}
}

func mariadb(t *testing.T) server {
	dsn := "root@unix(" + testserver.MariaDB(t) + ")/"
	admin := openPool(t, "mysql", dsn)
	return func(t *testing.T) database {
		return database{dialect: sqlstore.MySQL, driver: "mysql", dsn: dsn + create(t, admin, "DATABASE")}
	}
}

func TestSQLite(t *testing.T)     { testServer(t, sqlite(t)) }
func TestPostgreSQL(t *testing.T) { testServer(t, postgres(t)) }
func TestMariaDB(t *testing.T)    { testServer(t, mariadb(t)) }

// testServer runs the public suite and what is sqlstore's own.
func testServer(t *testing.T, server server) {
	storetest.Run(t, func(t *testing.T) func(*testing.T) walkin.Store {
		d := server(t)
		return func(t *testing.T) walkin.Store {
			s, _ := d.store(t)
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
	t.Run("eight replicas migrate together", func(t *testing.T) { migrateTogether(t, server(t)) })
	t.Run("a hook moves its rows in the transaction", func(t *testing.T) { moveNotes(t, server(t)) })
	t.Run("a process killed at any step leaves nothing half done", func(t *testing.T) { crashes(t, server(t)) })
}

func migrateTogether(t *testing.T, d database) {
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

// moveNotes has an app with a foreign key to walkin_users: of a thousand notes
// all move with the merge, or none.
func moveNotes(t *testing.T, d database) {
	s, db := d.store(t)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	createNotes(t, d, db)

	var fail bool
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s,
		OnMerge: func(ctx context.Context, c walkin.Change) error {
			tx, ok := sqlstore.Tx(ctx)
			if !ok {
				return errors.New("no transaction")
			}
			_, err := tx.ExecContext(ctx, d.sql("UPDATE notes SET user_id = ? WHERE user_id = ?"), d.bind(c.UserID), d.bind(c.GuestID))
			if err == nil && fail {
				err = errors.New("the app has second thoughts")
			}
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var who uuid.UUID
	site := wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/prove" {
			if _, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Method: "pwd"}); err != nil {
				wk.Refuse(w, r, err)
			}
			return
		}
		c, _ := walkin.FromContext(r.Context())
		who = c.UserID
	}))
	count := func(id uuid.UUID) int { return d.notes(t, db, id) }

	owner := walkintest.NewClient(t, site)
	owner.Act("/", nil)
	ownerID := who
	if r := owner.Act("/prove", nil); r.StatusCode != http.StatusOK {
		t.Fatalf("the upgrade: got %d", r.StatusCode)
	}
	guest := walkintest.NewClient(t, site)
	guest.Act("/", nil)
	guestID := who
	for i := range 1000 {
		if _, err := db.ExecContext(t.Context(), d.sql("INSERT INTO notes VALUES (?, ?)"), i, d.bind(guestID)); err != nil {
			t.Fatal(err)
		}
	}

	fail = true
	if r := guest.Act("/prove", nil); r.StatusCode != http.StatusInternalServerError {
		t.Errorf("a merge that fails: got %d", r.StatusCode)
	}
	if g, o := count(guestID), count(ownerID); g != 1000 || o != 0 {
		t.Errorf("after a merge that failed: got %d and %d notes, want all with the guest", g, o)
	}
	fail = false
	if r := guest.Act("/prove", nil); r.StatusCode != http.StatusOK {
		t.Errorf("the merge: got %d", r.StatusCode)
	}
	if g, o := count(guestID), count(ownerID); g != 0 || o != 1000 {
		t.Errorf("after the merge: got %d and %d notes, want all with the owner", g, o)
	}
	guest.Act("/", nil)
	if who != ownerID {
		t.Errorf("after the merge: got %v, want the owner", who)
	}
	if err := wk.DeleteUser(t.Context(), ownerID); err != nil {
		t.Fatal(err)
	}
	if o := count(ownerID); o != 0 {
		t.Errorf("got %d notes of a deleted user, want none", o)
	}
}
