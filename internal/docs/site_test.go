package docs

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	_ "modernc.org/sqlite"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// defaults is a Config with the two fields that every site needs. The keys are the same
// for all of a test's middlewares.
func defaults() walkin.Config {
	return walkin.Config{Keys: []walkin.Key{{Secret: []byte("thirty-two bytes of a test's key")}}, Store: memstore.New()}
}

func newWalkin(t *testing.T, cfg walkin.Config) *walkin.Middleware {
	t.Helper()
	wk, err := walkin.New(cfg)
	ok(t, err)
	return wk
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// whoami answers with who the visitor is: "ID anonymous", "ID permanent" or "".
func whoami(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, who(r)) }

func who(r *http.Request) string {
	switch c, ok := walkin.FromContext(r.Context()); {
	case !ok:
		return ""
	case c.Anonymous:
		return c.UserID.String() + " anonymous"
	default:
		return c.UserID.String() + " permanent"
	}
}

// is reports what GET /whoami says about the client's user.
func is(t *testing.T, c *walkintest.Client) (id uuid.UUID, kind string) {
	t.Helper()
	text, kind, _ := strings.Cut(body(t, c.Visit("/whoami")), " ")
	if text == "" {
		return uuid.Nil, ""
	}
	id, err := uuid.Parse(text)
	ok(t, err)
	return id, kind
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	ok(t, err)
	return string(text)
}

// mustBe holds the status of a response.
func mustBe(t *testing.T, r *http.Response, status int) *http.Response {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("got %d, want %d: %s", r.StatusCode, status, body(t, r))
	}
	return r
}

// openSQLite opens a database file as docs/data-layer.md says.
func openSQLite(t *testing.T) (*sql.DB, *sqlstore.Store) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "app.db")+
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_txlock=immediate")
	ok(t, err)
	t.Cleanup(func() { db.Close() })
	store, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: db})
	ok(t, err)
	ok(t, store.Migrate(t.Context()))
	return db, store
}

// permanent signs a client up, by a proof of an account of the app's own.
func permanent(t *testing.T, wk *walkin.Middleware, c *walkintest.Client, account string) {
	t.Helper()
	on := c.On(wk.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Continue(w, r, walkin.Proof{Provider: "account", Subject: account, Method: "pwd"}); err != nil {
			wk.Refuse(w, r, err)
		}
	})))
	mustBe(t, on.Post("/sign-in", nil), http.StatusOK)
}

// A listener is a site on an address of this machine.
func listen(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}
