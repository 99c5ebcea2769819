package ormtest

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"

	"entgo.io/ent/dialect"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jmoiron/sqlx"
	_ "github.com/mattn/go-sqlite3"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/pgxstore"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A hook is Config.OnUpgrade.
type hook func(context.Context, walkin.Change) error

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openSQLite opens a file as docs/data-layer.md says for mattn/go-sqlite3.
func openSQLite(t *testing.T) (*sqlstore.Store, *sql.DB) {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "app.db") + "?_busy_timeout=5000&_journal_mode=WAL&_foreign_keys=1&_txlock=immediate"
	db, err := sql.Open("sqlite3", dsn)
	ok(t, err)
	t.Cleanup(func() { db.Close() })
	s, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: db})
	ok(t, err)
	ok(t, s.Migrate(t.Context()))
	return s, db
}

// TestHooks holds that what a hook does with the app's own data layer happens with the
// upgrade, or not at all when the hook, or anything after it, fails.
func TestHooks(t *testing.T) {
	s, db := openSQLite(t)
	_, err := db.ExecContext(t.Context(), `CREATE TABLE accounts (id integer PRIMARY KEY, walkin_id blob NOT NULL UNIQUE
		REFERENCES walkin_users (id) ON DELETE CASCADE, name text NOT NULL DEFAULT '')`)
	ok(t, err)
	gdb, err := gorm.Open(sqlite.Dialector{Conn: db}, &gorm.Config{})
	ok(t, err)
	name := func(id uuid.UUID) (name string) {
		ok(t, db.QueryRowContext(t.Context(), `SELECT name FROM accounts WHERE walkin_id = ?`, id[:]).Scan(&name))
		return name
	}
	create := func(ctx context.Context, c walkin.Claims) error {
		tx, _ := sqlstore.Tx(ctx)
		_, err := tx.ExecContext(ctx, `INSERT INTO accounts (walkin_id) VALUES (?) ON CONFLICT DO NOTHING`, c.UserID[:])
		return err
	}
	for tool, h := range map[string]hook{
		"database/sql": withSQL(),
		"sqlc":         withSQLC(&Queries{db}),
		"sqlx":         withSqlx(sqlx.NewDb(db, "sqlite3")),
		"gorm":         withGorm(gdb),
		"gorm v1":      withGormV1("sqlite3"),
		"bun":          withBun(bun.NewDB(db, sqlitedialect.New())),
		"ent":          withEnt(dialect.SQLite),
	} {
		t.Run(tool, func(t *testing.T) { upgrade(t, s, create, h, name) })
	}
}

// TestHooksOnPgx is the same in the transactions of package pgxstore.
func TestHooksOnPgx(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), testserver.PostgresURL(t))
	ok(t, err)
	t.Cleanup(pool.Close)
	s, err := pgxstore.New(pool)
	ok(t, err)
	ok(t, s.Migrate(t.Context()))
	_, err = pool.Exec(t.Context(), `
		CREATE TABLE accounts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, walkin_id uuid NOT NULL UNIQUE
			REFERENCES walkin_users (id) ON DELETE CASCADE, name text NOT NULL DEFAULT '');
		CREATE TABLE events (walkin_id uuid NOT NULL, what text NOT NULL)`)
	ok(t, err)
	t.Cleanup(func() {
		_, err := pool.Exec(context.WithoutCancel(t.Context()), `DROP TABLE accounts, events`)
		if err != nil {
			t.Error(err)
		}
	})
	name := func(id uuid.UUID) (name string) {
		ok(t, pool.QueryRow(t.Context(), `SELECT name FROM accounts WHERE walkin_id = $1`, id).Scan(&name))
		return name
	}
	create := func(ctx context.Context, c walkin.Claims) error {
		tx, _ := pgxstore.Tx(ctx)
		_, err := tx.Exec(ctx, `INSERT INTO accounts (walkin_id) VALUES ($1) ON CONFLICT DO NOTHING`, c.UserID)
		return err
	}
	for tool, h := range map[string]hook{
		"sqlc's pgx mode":  withPgx(&PgxQueries{pool}),
		"COPY and a batch": withCopy(),
		"ent":              withEnt(dialect.Postgres),
	} {
		t.Run(tool, func(t *testing.T) { upgrade(t, s, create, h, name) })
	}
	var n int
	ok(t, pool.QueryRow(t.Context(), `SELECT COUNT(*) FROM events`).Scan(&n))
	if n != 2 { // of the one upgrade that was committed
		t.Errorf("got %d events, want 2", n)
	}
}

// upgrade has a visitor sign up three times: the hook fails after it has written, then
// the token cannot be issued, and then all is well.
func upgrade(t *testing.T, s store.Store, create func(context.Context, walkin.Claims) error, h hook, name func(uuid.UUID) string) {
	t.Helper()
	var who uuid.UUID
	var hookFails, claimsFail error
	ran := 0
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s,
		Hooks: walkin.Hooks{OnCreate: create, OnUpgrade: func(ctx context.Context, c walkin.Change) error {
			ran++
			if err := h(ctx, c); err != nil {
				return err
			}
			return hookFails
		}},
		Tokens: walkin.Tokens{AppClaims: func(_ context.Context, c walkin.Claims) (map[string]any, error) {
			if c.Anonymous {
				return nil, nil
			}
			return nil, claimsFail
		}},
	})
	ok(t, err)
	c := walkintest.NewClient(t, wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sign-up" {
			if _, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
				wk.Refuse(w, r, err)
			}
			return
		}
		claims, _ := walkin.FromContext(r.Context())
		who = claims.UserID
	})))
	c.Post("/note", nil)
	ann := "ann of " + t.Name()
	signUp := func(want int, name_ string) {
		t.Helper()
		if r := c.Post("/sign-up", url.Values{"name": {ann}}); r.StatusCode != want {
			t.Fatalf("got %d, want %d", r.StatusCode, want)
		}
		if got := name(who); got != name_ {
			t.Errorf("got the name %q in the app's table, want %q", got, name_)
		}
	}
	hookFails = errors.New("a bug")
	signUp(http.StatusInternalServerError, "")
	hookFails, claimsFail = nil, errors.New("a bug")
	signUp(http.StatusInternalServerError, "")
	claimsFail = nil
	signUp(http.StatusOK, ann)
	if ran != 3 {
		t.Errorf("the hook ran %d times, want 3", ran)
	}
}
