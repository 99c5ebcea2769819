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

	pquerna "github.com/pquerna/otp/totp"

	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/credential/totp"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestFactorInDatabases holds what docs/totp.md says of replicas: of 20 browsers that
// type the same code at once, on two replicas, one is let in, whatever the database.
func TestFactorInDatabases(t *testing.T) {
	file := "file:" + filepath.Join(t.TempDir(), "app.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_txlock=immediate"
	for _, tt := range []struct {
		name, driver string
		dialect      sqlstore.Dialect
		dsn          func(t *testing.T) string
	}{
		{"SQLite", "sqlite", sqlstore.SQLite, func(*testing.T) string { return file }},
		{"PostgreSQL", "pgx", sqlstore.PostgreSQL, func(t *testing.T) string { return testserver.PostgresURL(t) }},
	} {
		t.Run(tt.name, func(t *testing.T) { factorInDatabase(t, tt.driver, tt.dialect, tt.dsn(t)) })
	}
}

func factorInDatabase(t *testing.T, driver string, dialect sqlstore.Dialect, dsn string) {
	var replicas [2]http.Handler
	for i := range replicas {
		db, err := sql.Open(driver, dsn)
		ok(t, err)
		t.Cleanup(func() { db.Close() })
		store, err := sqlstore.New(sqlstore.Config{Dialect: dialect, DB: db})
		ok(t, err)
		ok(t, store.Migrate(t.Context()))
		cfg := defaults()
		cfg.Store, cfg.Paths.Credentials = store, []string{"/signup", "/signin"}
		wk := newWalkin(t, cfg)
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
