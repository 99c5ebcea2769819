package docs

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	pquerna "github.com/pquerna/otp/totp"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/credential/totp"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// eachDatabase runs a test with two replicas over each database.
func eachDatabase(t *testing.T, test func(t *testing.T, replicas [2]*walkin.Middleware)) {
	file := "file:" + filepath.Join(t.TempDir(), "app.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_txlock=immediate"
	for _, tt := range []struct {
		name, driver string
		dialect      sqlstore.Dialect
		dsn          func(testing.TB) string
	}{
		{"SQLite", "sqlite", sqlstore.SQLite, func(testing.TB) string { return file }},
		{"PostgreSQL", "pgx", sqlstore.PostgreSQL, testserver.PostgresURL},
		{"MariaDB", "mysql", sqlstore.MySQL, mariaDB},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dsn := tt.dsn(t)
			var replicas [2]*walkin.Middleware
			for i := range replicas {
				db, err := sql.Open(tt.driver, dsn)
				ok(t, err)
				t.Cleanup(func() { db.Close() })
				store, err := sqlstore.New(sqlstore.Config{Dialect: tt.dialect, DB: db})
				ok(t, err)
				ok(t, store.Migrate(t.Context()))
				cfg := defaults()
				cfg.Store, cfg.Paths.Credentials = store, []string{"/signup", "/signin", "/device/"}
				replicas[i] = newWalkin(t, cfg)
			}
			test(t, replicas)
		})
	}
}

// mariaDB returns the DSN of an empty database that goes with the test.
func mariaDB(t testing.TB) string {
	cfg, err := mysql.ParseDSN(testserver.MariaDBDSN(t))
	if err != nil {
		t.Fatal("WALKIN_TEST_MYSQL_URL is not a DSN") // which may hold a password
	}
	admin, err := sql.Open("mysql", cfg.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	cfg.DBName = fmt.Sprintf("walkin_docs_%d", time.Now().UnixNano())
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+cfg.DBName); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + cfg.DBName); err != nil {
			t.Error(err)
		}
		admin.Close()
	})
	return cfg.FormatDSN()
}

// TestFactorInDatabases holds what docs/totp.md says of replicas: of 20 browsers that
// type the same code at once, on two replicas, one is let in, whatever the database.
func TestFactorInDatabases(t *testing.T) { eachDatabase(t, factorInDatabase) }

func factorInDatabase(t *testing.T, stores [2]*walkin.Middleware) {
	var replicas [2]http.Handler
	for i, wk := range stores {
		passwords, err := password.New(wk, password.Config{Cost: password.Cost{Time: 5, Memory: 7168, Threads: 1}})
		ok(t, err)
		factor, err := totp.New(wk, totp.Config{Issuer: "Notes", Page: "/signin/factor"})
		ok(t, err)
		mux := http.NewServeMux()
		mux.Handle("/signup", wk.UpgradeHandler(passwords, nil))
		mux.Handle("/signin", wk.SignInHandler(passwords, nil))
		mux.Handle("/signin/factor", wk.SignInHandler(factor, nil))
		mux.HandleFunc("/begin", func(w http.ResponseWriter, r *http.Request) {
			if err := factor.Begin(w, r); err != nil {
				wk.Refuse(w, r, err)
			}
		})
		mux.HandleFunc("/key", func(w http.ResponseWriter, r *http.Request) {
			key, _, _, _, err := factor.SetUp(r)
			ok(t, err)
			_, _ = fmt.Fprint(w, key)
		})
		mux.HandleFunc("/confirm", func(w http.ResponseWriter, r *http.Request) {
			recovery, err := factor.Confirm(w, r)
			if err != nil {
				wk.Refuse(w, r, err)
				return
			}
			_ = json.NewEncoder(w).Encode(recovery)
		})
		replicas[i] = wk.Handler(mux)
	}
	owner := walkintest.NewClient(t, replicas[0])
	form := url.Values{"email": {"ann"}, "password": {"correct horse battery"}}
	mustBe(t, owner.Post("/signup", form), http.StatusSeeOther)
	mustBe(t, owner.Post("/begin", nil), http.StatusOK)
	key := body(t, owner.Fetch("/key"))
	at := time.Now()
	code := func(steps int) string {
		text, err := pquerna.GenerateCode(key, at.Add(time.Duration(steps)*30*time.Second))
		ok(t, err)
		return text
	}
	var recovery []string
	ok(t, json.Unmarshal([]byte(body(t, mustBe(t, owner.Post("/confirm", url.Values{"code": {code(0)}}), http.StatusOK))), &recovery))

	for name, typed := range map[string]string{"the next code": code(1), "a recovery code": recovery[0]} {
		var in atomic.Int64
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				c := walkintest.NewClient(t, replicas[i%2])
				c.SetCookie("__Host-walkin-device", owner.Cookie("__Host-walkin-device")) // so that no limit decides
				if r := c.Post("/signin", form); !strings.HasPrefix(r.Header.Get("Location"), "/signin/factor") {
					t.Errorf("a password leads to %d %s", r.StatusCode, r.Header.Get("Location"))
				}
				if c.On(replicas[(i+1)%2]).Post("/signin/factor", url.Values{"code": {typed}}).StatusCode == http.StatusSeeOther {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 {
			t.Errorf("%s: %d were let in, want 1", name, in.Load())
		}
	}
}
