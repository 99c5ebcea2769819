package sqlstore_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/store/storetest"
	_ "modernc.org/sqlite"
)

// openSQLite opens a file the way the docs say: one connection that writes, a
// pool that reads.
func openSQLite(t *testing.T, file string) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	dsn := "file:" + file + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)" +
		"&_pragma=synchronous(NORMAL)&_txlock=immediate"
	var pools [2]*sql.DB
	for i := range pools {
		db, err := sql.Open("sqlite", dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		pools[i] = db
	}
	pools[0].SetMaxOpenConns(1)
	s, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: pools[0], Reader: pools[1]})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, pools[0]
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func(*testing.T) walkin.Store {
		file := filepath.Join(t.TempDir(), "walkin.db")
		return func(t *testing.T) walkin.Store {
			s, _ := openSQLite(t, file)
			return s
		}
	})
}
