package main

import (
	"database/sql"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/rls"
	"github.com/walkin-go/walkin/walkintest"
)

// built is the forum on a database of its own.
func built(t *testing.T, s settings) (db *sql.DB, matrix walkintest.Matrix) {
	t.Helper()
	db, err := sql.Open("pgx", testserver.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	const key = "sb_publishable_test"
	wk, handler, err := build(t.Context(), db, s, "https://app.example", key)
	if err != nil {
		t.Fatal(err)
	}
	// As supabase-js does: the token goes in a header, and what is sent is JSON.
	bearer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Apikey", key)
		for _, c := range r.Cookies() {
			r.Header.Set("Authorization", "Bearer "+c.Value)
		}
		if r.Method != http.MethodGet {
			r.Header.Set("Content-Type", "application/json")
			body := `{"data": {"name": "Eve"}}`
			if r.URL.Path == "/rest/v1/posts" {
				body = `{"text": "hello"}`
			}
			r.Body = io.NopCloser(strings.NewReader(body))
		}
		handler.ServeHTTP(w, r)
	})
	return db, walkintest.Matrix{Middleware: wk, Handler: bearer, File: "testdata/matrix.txt",
		Routes: []string{"GET /", "GET /rest/v1/posts", "POST /rest/v1/posts", "GET /auth/v1/user", "PUT /auth/v1/user", "POST /auth/v1/logout"}}
}

// TestLint holds that the linter finds nothing in the forum's database, and reads its
// two policies as they are meant.
func TestLint(t *testing.T) {
	db, _ := built(t, settings{})
	findings, err := rls.Lint(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]string{}
	for _, f := range findings {
		verdicts[f.Relation+" "+f.Command] = f.Verdict
		if f.Severity != "" && f.Severity != "note" {
			t.Errorf("%s %s: %s, %s: %s", f.Relation, f.Command, f.Severity, f.Verdict, f.Message)
		}
	}
	for key, want := range map[string]string{
		"public.posts SELECT": rls.Limited, "public.posts INSERT": rls.Closed, "public.posts UPDATE": rls.Dead,
		"public.posts TRUNCATE": rls.Dead, "public.walkin_users SELECT": rls.Dead,
	} {
		if got := verdicts[key]; got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}

// TestMatrix holds who reaches what of the forum.
func TestMatrix(t *testing.T) {
	_, matrix := built(t, settings{})
	matrix.Test(t)
}
