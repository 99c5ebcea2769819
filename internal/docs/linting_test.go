package docs

import (
	"database/sql"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/chiwalkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/walkintest"
)

// command builds the command line.
func command(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "walkin")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/walkin")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// lint runs a command that finds something, and returns what it finds.
func lint(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.Output()
	if exit, is := errors.AsType[*exec.ExitError](err); is && exit.ExitCode() != 1 {
		t.Fatalf("%v\n%s", err, exit.Stderr)
	}
	return strings.TrimSpace(string(out))
}

// found is what the transcript with a command shows below it.
func found(t *testing.T, command string) string {
	t.Helper()
	_, out, _ := strings.Cut(codeOf(t, "docs/linting.md", "console", command), "\n")
	return strings.TrimSpace(out)
}

// TestLintingPage runs both commands of docs/linting.md: they find what the page shows,
// and no more of what was accepted.
func TestLintingPage(t *testing.T) {
	program := command(t)
	t.Run("policies", func(t *testing.T) {
		dsn := testserver.PostgresURL(t)
		db, err := sql.Open("pgx", dsn+"&default_query_exec_mode=simple_protocol")
		ok(t, err)
		defer db.Close()
		_, err = db.ExecContext(t.Context(), read(t, filepath.Join(root, "rls", "install.sql"))+`;
			GRANT USAGE ON SCHEMA public TO authenticated;
			CREATE TABLE members (id uuid PRIMARY KEY);
			CREATE TABLE posts (author uuid, body text); ALTER TABLE posts ENABLE ROW LEVEL SECURITY;
			GRANT INSERT ON posts TO authenticated; CREATE POLICY write ON posts FOR INSERT WITH CHECK (true);
			CREATE TABLE orders (id uuid); ALTER TABLE orders ENABLE ROW LEVEL SECURITY; GRANT SELECT ON orders, members TO authenticated;
			ALTER TABLE members ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON members FOR SELECT USING (id = auth.uid());
			CREATE POLICY own ON orders FOR SELECT USING (EXISTS (SELECT FROM members WHERE members.id = auth.uid()))`)
		ok(t, err)
		got := lint(t, ".", program, "lint", "sql", dsn)
		if want := found(t, "lint sql"); flat(got) != flat(want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		_, err = db.ExecContext(t.Context(), `CREATE TABLE board (body text); ALTER TABLE board ENABLE ROW LEVEL SECURITY;
			GRANT SELECT ON board TO authenticated; CREATE POLICY read ON board FOR SELECT USING (true)`)
		ok(t, err)
		if out := lint(t, ".", program, "lint", "sql", dsn); !strings.Contains(out, "public.board") {
			t.Errorf("before the comment: got\n%s", out)
		}
		_, err = db.ExecContext(t.Context(), codeOf(t, "docs/linting.md", "sql", "COMMENT ON POLICY"))
		ok(t, err)
		if out := lint(t, ".", program, "lint", "sql", dsn); strings.Contains(out, "public.board") {
			t.Errorf("after the comment: got\n%s", out)
		}
	})
	t.Run("routes", func(t *testing.T) {
		dir := t.TempDir()
		absolute, err := filepath.Abs(root)
		ok(t, err)
		ok(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module site\n\ngo 1.26.0\n\nrequire github.com/walkin-go/walkin v0.1.0\n\nreplace github.com/walkin-go/walkin => "+absolute+"\n"), 0o600))
		ok(t, os.WriteFile(filepath.Join(dir, "go.sum"), []byte(read(t, filepath.Join(root, "go.sum"))), 0o600))
		ok(t, os.Mkdir(filepath.Join(dir, "web"), 0o700))
		routes := func(line string) {
			text := strings.Repeat("\n", 15) + line + "\n"
			text = "package web\n\nimport (\n\t\"net/http\"\n\n\t\"github.com/walkin-go/walkin\"\n)\n\n// Routes is the site.\nfunc Routes(wk *walkin.Middleware) http.Handler {\n\tmux := http.NewServeMux()\n" +
				"\tmux.Handle(\"POST /publish\", wk.RequirePermanent()(http.HandlerFunc(subscribe)))" + text + "\treturn wk.Handler(mux)\n}\n\nfunc subscribe(w http.ResponseWriter, r *http.Request) { println(r.PostFormValue(\"a\")) }\n"
			ok(t, os.WriteFile(filepath.Join(dir, "web", "routes.go"), []byte(text), 0o600))
		}
		routes("\tmux.HandleFunc(\"POST /posts\", subscribe)")
		got, want := lint(t, dir, program, "lint", "routes", "./..."), found(t, "lint routes")
		if position := lineOf(want); !strings.Contains(got, position) {
			got = strings.Replace(got, lineOf(got), position, 1) // the page's file has more above it
		}
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		routes("\t" + strings.TrimSpace(codeOf(t, "docs/linting.md", "go", "walkin:allow")))
		if out := lint(t, dir, program, "lint", "routes", "./..."); out != "" {
			t.Errorf("with the reason: got\n%s", out)
		}
	})
}

// lineOf is the line's number and column in a finding.
func lineOf(finding string) string {
	_, rest, _ := strings.Cut(finding, ".go")
	position, _, _ := strings.Cut(rest, ": ")
	return position
}

// TestMatrix is the one of docs/linting.md.
func TestMatrix(t *testing.T) {
	wk, router, site := matrixSite(t)
	walkintest.Matrix{
		Middleware: wk, Handler: site,
		Routes: chiwalkin.Routes(router), // ginwalkin, echowalkin, echov4walkin; for ServeMux a list of yours
		Values: map[string]string{"id": "42"},
		File:   "testdata/matrix.txt",
	}.Test(t)
}

func matrixSite(t *testing.T) (*walkin.Middleware, chi.Router, http.Handler) {
	cfg := defaults()
	cfg.Paths = walkin.Paths{Upgrade: "/upgrade", SignIn: "/signin"}
	wk := newWalkin(t, cfg)
	router := chi.NewRouter()
	to := func(path string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, path, http.StatusSeeOther) }
	}
	router.With(wk.RequireUser()).Post("/notes/{id}", to("/notes"))
	router.With(wk.RequirePermanent()).Post("/publish", whoamiOK)
	router.With(wk.RequireRecent(wk.RecentProof())).Post("/account/delete", to("/"))
	return wk, router, wk.Handler(router)
}

func whoamiOK(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
