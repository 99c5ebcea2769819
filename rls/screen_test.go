package rls_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/admin"
	"github.com/walkin-go/walkin/rls"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestPoliciesOnScreen runs a query of an operator on the screen of package admin, as
// docs/admin.md says.
func TestPoliciesOnScreen(t *testing.T) {
	owner, login := openAs(t)
	if _, err := owner.ExecContext(t.Context(), `
CREATE ROLE trial LOGIN NOINHERIT PASSWORD '…';
GRANT anon, authenticated TO trial;
`); err != nil {
		t.Fatal(err)
	}
	db, mux := login("trial"), http.NewServeMux()
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: memstore.New()})
	if err != nil {
		t.Fatal(err)
	}
	may := func(context.Context, walkin.Claims) (bool, error) { return true, nil }
	screen, err := admin.New(wk, admin.Config{
		May: may,
		Query: func(ctx context.Context, c walkin.Claims, query string) (admin.Table, error) {
			result, err := rls.Read(ctx, db, c, query)
			return admin.Table(result), err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/admin/", screen)
	mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Continue(w, r, walkin.Proof{Provider: "email", Subject: "op@example.com", Method: "otp"}); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	operator := walkintest.NewClient(t, wk.Handler(mux))
	operator.Post("/prove", nil)
	for _, c := range []struct{ as, query, want string }{
		{"anonymous", `SELECT text FROM posts`, "1 row, as a new anonymous user"},
		{"none", `SELECT text FROM posts`, "permission denied"},
		{"anonymous", `INSERT INTO posts (text) VALUES ('x')`, "read-only transaction"},
		{"anonymous", `SELECT (auth.jwt() -> 'act' ->> 'sub') IS NOT NULL`, "<bdi>true</bdi>"},
	} {
		page, err := io.ReadAll(operator.Post("/admin/query", url.Values{"as": {c.as}, "query": {c.query}}).Body)
		if err != nil || !strings.Contains(string(page), c.want) {
			t.Errorf("as %s, %s: the page lacks %q", c.as, c.query, c.want)
		}
	}
}
