package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// appPools are pools of apps on SQLite as they are found: a file and nothing said
// about it, one connection, many with and without WAL and a busy time-out.
var appPools = []struct {
	name, settings string
	conns          int
}{
	{"a file and nothing else", "", 16},
	{"one connection", "", 1},
	{"a busy time-out", "?_pragma=busy_timeout(1000)", 16},
	{"WAL", "?_pragma=journal_mode(WAL)", 16},
	{"foreign keys", "?_pragma=foreign_keys(1)", 16},
	{"WAL, a busy time-out and foreign keys", "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)", 16},
	{"shared cache", "?cache=shared", 16},
}

func appPool(settings string, conns int) server {
	return func(t testing.TB) database {
		file := "file:" + filepath.Join(t.TempDir(), "app.db")
		return database{dialect: sqlstore.SQLite, driver: "sqlite", dsn: file + settings + "&_pragma=synchronous(NORMAL)", conns: conns}
	}
}

// TestSQLitePools holds that a store keeps every promise in whatever pool an app has
// on SQLite.
func TestSQLitePools(t *testing.T) {
	for _, pool := range appPools {
		if pool.name == "a busy time-out" {
			continue // between two others
		}
		t.Run(pool.name, func(t *testing.T) {
			settings := pool.settings
			if settings == "" {
				settings = "?"
			}
			server := appPool(settings, pool.conns)
			runStore(t, server)
			t.Run("eight replicas migrate together", func(t *testing.T) { migrateTogether(t, server(t)) })
			if strings.Contains(pool.settings, "foreign_keys(1)") { // its notes go with their user
				t.Run("mixed load: no error and no deadlock", func(t *testing.T) { mixedLoad(t, server(t)) })
			}
		})
	}
}

// TestAppHoldsTransaction has an app that asks for more while it holds a transaction:
// it queries its pool, or calls what stores a user. With more than one connection a
// query goes on; whatever has to wait for the transaction itself ends in time with an
// error, and the site goes on afterwards.
func TestAppHoldsTransaction(t *testing.T) {
	for _, pool := range appPools {
		if strings.Contains(pool.settings, "shared") {
			continue // readers wait for writers there
		}
		t.Run(pool.name, func(t *testing.T) {
			t.Parallel()
			d := appPool(pool.settings+map[bool]string{true: "?"}[pool.settings == ""], pool.conns)(t)
			s, db := d.migrated(t)
			_, err := db.ExecContext(t.Context(), "CREATE TABLE notes (n integer)")
			ok(t, err)
			wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s})
			ok(t, err)
			site := http.NewServeMux()
			hold := func(then func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					tx, err := db.BeginTx(r.Context(), nil)
					if err == nil {
						defer func() { _ = tx.Rollback() }()
						_, err = tx.ExecContext(r.Context(), "INSERT INTO notes VALUES (1)")
					}
					if err == nil {
						err = then(w, r)
					}
					if err != nil {
						wk.Refuse(w, r, err)
					}
				}
			}
			site.HandleFunc("/query", hold(func(_ http.ResponseWriter, r *http.Request) error {
				ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
				defer cancel()
				var n int
				return db.QueryRowContext(ctx, "SELECT COUNT(*) FROM notes").Scan(&n)
			}))
			site.HandleFunc("/ensure", hold(func(w http.ResponseWriter, r *http.Request) error {
				_, err := wk.Ensure(w, r)
				return err
			}))
			site.HandleFunc("/note", func(http.ResponseWriter, *http.Request) {})
			c := walkintest.NewClient(t, wk.Handler(site))
			if pool.conns > 1 {
				if r := c.Visit("/query"); r.StatusCode != http.StatusOK {
					t.Errorf("a query beside a transaction: got %d", r.StatusCode)
				}
			}
			start := time.Now()
			r := c.Visit("/ensure")
			if took := time.Since(start); r.StatusCode != http.StatusServiceUnavailable || took > 30*time.Second {
				t.Errorf("Ensure inside of a transaction: got %d after %v, want 503 in time", r.StatusCode, took)
			}
			if r := c.Post("/note", nil); r.StatusCode != http.StatusOK {
				t.Errorf("afterwards: got %d, want 200", r.StatusCode)
			}
		})
	}
}

// TestFileHeld holds that an error says who may have the file, and that a writer who
// waits has it as soon as it is free.
func TestFileHeld(t *testing.T) {
	d := appPool("?", 8)(t)
	s, db := d.migrated(t)
	hold := func() *sql.Conn {
		conn, err := db.Conn(t.Context())
		ok(t, err)
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
		ok(t, err)
		return conn
	}
	conn := hold()
	user, session := visitor(time.Now())
	_, err := s.CreateAnonymous(t.Context(), user, session)
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "holds the SQLite file") {
		t.Errorf("got %v, want ErrUnavailable that says why", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if created, err := s.CreateAnonymous(t.Context(), user, session); err != nil || !created {
			t.Errorf("while it is held: got %t, %v", created, err)
		}
	})
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	ok(t, err)
	wg.Wait()
	ok(t, conn.Close())
}
