// Package docs tests the code on the pages that are about adapters.
package docs

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/testserver"
)

// A block is a piece of code on a page.
type block struct {
	language, text string
	from           string // the file it is a part of; empty for a piece of its own
}

// blocks returns the code of docs/adding-walkin.md, in order.
func blocks(t *testing.T, root string) []block {
	t.Helper()
	page := read(t, filepath.Join(root, "docs", "adding-walkin.md"))
	var all []block
	parts := strings.Split(page, "```")
	for i := 1; i < len(parts); i += 2 {
		b := block{}
		b.language, b.text, _ = strings.Cut(parts[i], "\n")
		lines := strings.Split(strings.TrimSpace(parts[i-1]), "\n")
		if from, ok := strings.CutPrefix(lines[len(lines)-1], "<!-- "); ok && !strings.HasPrefix(from, "Test") {
			b.from = strings.TrimSuffix(from, " -->")
		}
		all = append(all, b)
	}
	return all
}

// TestAddingWalkin holds that the code of docs/adding-walkin.md is what it
// says: a part of an example that runs, or a site that does.
func TestAddingWalkin(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var program, before, after string
	quoted := 0
	for _, b := range blocks(t, root) {
		switch {
		case b.from != "":
			quoted++
			if file := read(t, filepath.Join(root, filepath.FromSlash(b.from))); !strings.Contains(flat(file), flat(b.text)) {
				t.Errorf("%s has no such lines:\n%s", b.from, b.text)
			}
		case b.language == "go":
			program += b.text + "\n"
		case b.language == "sql" && before == "":
			before = b.text
		case b.language == "sql":
			after += b.text
		default:
			t.Errorf("got a block of %q that nothing tests:\n%s", b.language, b.text)
		}
	}
	if quoted == 0 || program == "" || before == "" || after == "" {
		t.Fatalf("got %d quotes, %d bytes of Go, %d and %d of SQL; this test has looked at nothing", quoted, len(program), len(before), len(after))
	}

	dir := t.TempDir()
	sqlstore := filepath.Join(root, "store", "sqlstore")
	modules := strings.Replace(read(t, filepath.Join(sqlstore, "go.mod")), "module github.com/walkin-go/walkin/store/sqlstore", "module site", 1)
	write(t, dir, "go.mod", modules+`
require github.com/walkin-go/walkin/store/sqlstore v0.1.0

replace (
	github.com/walkin-go/walkin => `+root+`
	github.com/walkin-go/walkin/store/sqlstore => `+sqlstore+"\n)\n")
	write(t, dir, "go.sum", read(t, filepath.Join(sqlstore, "go.sum")))
	write(t, dir, "main.go", read(t, filepath.Join("testdata", "main.go")))
	write(t, dir, "page.go", `package main

import (
	"context"
	"database/sql"
	"net/http"
	"strconv"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/sqlstore"
)

`+program)
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", "site", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the page's code does not compile: %v\n%s", err, out)
	}

	t.Run("PostgreSQL", func(t *testing.T) {
		address := "postgres://walkin@/postgres?host=" + url.QueryEscape(testserver.Postgres(t))
		site := exec.CommandContext(t.Context(), filepath.Join(dir, "site"), address, before, after)
		site.Dir = dir
		out, err := site.CombinedOutput()
		if err != nil {
			t.Fatalf("the site: %v\n%s", err, out)
		}
		const want = `
/notes 303
/publish 403
/sign-in 401
/sign-in 303
/publish 200 3 notes of ann@example.com
/notes 303
/sign-in 303
/publish 200 4 notes of ann@example.com
/sign-out 303
/publish 403
/sign-in 303
/publish 200 1 notes of bob@example.com
`
		if got := "\n" + strings.ReplaceAll(string(out), " \n", "\n"); got != want {
			t.Errorf("got%swant%s", got, want)
		}
	})
}

// flat removes indentation, which differs between a page and a file.
func flat(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
