package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/testserver"
)

// TestLintSQL holds what scripts see of the command: data on standard output,
// talk on standard error, and the exit codes.
func TestLintSQL(t *testing.T) {
	schema, err := os.ReadFile(filepath.Join("..", "..", "rls", "install.sql"))
	if err != nil {
		t.Fatal(err)
	}
	dsn := "host=" + testserver.Postgres(t) + " user=walkin dbname=postgres"
	db, err := sql.Open("pgx", dsn+" default_query_exec_mode=simple_protocol")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(text string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	exec(string(schema) + `;
		CREATE TABLE posts (author uuid, body text); ALTER TABLE posts ENABLE ROW LEVEL SECURITY;
		GRANT SELECT, INSERT ON posts TO authenticated; GRANT USAGE ON SCHEMA public TO authenticated;
		CREATE POLICY read ON posts FOR SELECT USING (author = auth.uid());
		CREATE POLICY post ON posts FOR INSERT WITH CHECK (true)`)

	lint := func(args ...string) (stdout, stderr string, code int) {
		var out, talk bytes.Buffer
		code = run(t.Context(), append([]string{"lint", "sql"}, args...), &out, &talk)
		return out.String(), talk.String(), code
	}
	type element struct {
		Relation, Command, Verdict, Message string
		Anonymous, Depends                  *bool
		MissingClaim                        *bool `json:"missing_claim"`
	}
	parse := func(text string) (out []element) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return out
	}
	out, talk, code := lint("--json", dsn)
	if found := parse(out); code != 1 || len(found) != 1 || found[0].Relation != "public.posts" || found[0].Command != "INSERT" || found[0].Verdict != "open" || found[0].Message == "" {
		t.Errorf("got %d and %s, want 1 and the open INSERT", code, out)
	}
	if !strings.Contains(talk, "1 findings") {
		t.Errorf("got %q on standard error", talk)
	}
	out, _, code = lint("--json", "--all", dsn)
	seen := map[string]string{}
	for _, e := range parse(out) {
		seen[e.Relation+" "+e.Command] = e.Verdict
		if e.Verdict != "unknown" && (e.Anonymous == nil || e.Depends == nil || e.MissingClaim == nil) {
			t.Errorf("%s %s lacks an answer", e.Relation, e.Command)
		}
	}
	for key, want := range map[string]string{"public.posts SELECT": "limited", "public.posts DELETE": "dead", "public.posts TRUNCATE": "dead", "auth.uid() EXECUTE": "open"} {
		if seen[key] != want {
			t.Errorf("%s: got %q, want %q", key, seen[key], want)
		}
	}
	if code != 1 {
		t.Errorf("with --all: got %d, want 1", code)
	}
	if out, _, code := lint(dsn); code != 1 || !strings.Contains(out, "public.posts") {
		t.Errorf("got %d and %q, want 1 and a table", code, out)
	}
	exec(`COMMENT ON POLICY post ON posts IS 'walkin allow open: a guest book'`)
	if out, _, code := lint("--json", dsn); code != 0 || strings.TrimSpace(out) != "[]" {
		t.Errorf("accepted: got %d and %s, want 0 and nothing", code, out)
	}
	for name, args := range map[string][]string{"no DSN": nil, "two": {dsn, dsn}, "unknown flag": {"--nope", dsn}, "no such server": {"host=" + t.TempDir()}} {
		if out, talk, code := lint(args...); code != 2 || out != "" || !strings.HasPrefix(talk, "walkin: ") {
			t.Errorf("%s: got %d, %q and %q; want 2 and an explanation", name, code, out, talk)
		}
	}
	for _, args := range [][]string{{"lint"}, {"lint", "nope"}, {"nope"}} {
		if code := run(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{}); code != 2 {
			t.Errorf("%q: got %d, want 2", args, code)
		}
	}
}
