package chiwalkin_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestModuleGraph holds that an app which imports walkin and chiwalkin has no other
// framework, driver or telemetry in its module graph. It would raise the version in an
// app that uses it.
func TestModuleGraph(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("main.go", `package main

import (
	"github.com/go-chi/chi/v5"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/chiwalkin"
)

func main() {
	r := chi.NewRouter()
	wk, _ := walkin.New(walkin.Config{})
	r.With(chiwalkin.Require(wk, nil))
}
`)
	write("go.mod", `module fresh

go 1.26

require (
	github.com/walkin-go/walkin v0.1.0
	github.com/walkin-go/walkin/adapters/chiwalkin v0.1.0
)

replace (
	github.com/walkin-go/walkin => `+filepath.Dir(filepath.Dir(here))+`
	github.com/walkin-go/walkin/adapters/chiwalkin => `+here+`
)
`)
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	write("go.sum", string(sums))
	run := func(args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), "go", args...)
		command.Dir = dir
		command.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("build", "-o", os.DevNull, ".")

	graph := run("mod", "graph")
	if !strings.Contains(graph, "github.com/go-chi/chi/v5@") || !strings.Contains(graph, "github.com/lestrrat-go/jwx/v2@") {
		t.Fatalf("got a graph without chi or jwx; this test has looked at nothing:\n%s", graph)
	}
	for _, stranger := range []string{"gin-gonic/", "labstack/", "gofiber/", "redis/", "jackc/", "go-sql-driver/", "modernc.org/",
		"opentelemetry.io/", "prometheus/", "google.golang.org/grpc", "connectrpc.com/"} {
		for line := range strings.Lines(graph) {
			if strings.Contains(line, stranger) {
				t.Errorf("got %s in the graph, want no %s", strings.TrimSpace(line), stranger)
			}
		}
	}
}
