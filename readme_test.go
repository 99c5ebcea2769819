package walkin_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walkin-go/walkin/internal/testserver"
)

// TestREADME builds the program of README.md as shown, in a module of its own,
// runs it, and plays the transcript: the answers must be the ones shown, with
// another ID that is the same throughout.
func TestREADME(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		testserver.Missing(t, "curl", "the transcript cannot be played")
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	local := func(s string) string { return strings.ReplaceAll(s, "localhost:8080", addr) }
	program := block(t, string(readme), "```go\n", "package main")
	if n := strings.Count(program, "\n"); n > 50 {
		t.Errorf("the program has %d lines; 40 are enough for a first look", n)
	}
	transcript := block(t, string(readme), "```console\n", "alias c=")

	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.go"), local(program))
	write(t, filepath.Join(dir, "go.mod"), "module hello\n\ngo 1.26\n\nrequire github.com/walkin-go/walkin v0.1.0\n\n"+
		"replace github.com/walkin-go/walkin => "+root+"\n")
	sum, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.sum"), string(sum))
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", "program", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the program does not compile: %v\n%s", err, out)
	}

	ctx, stop := context.WithCancel(t.Context())
	server := exec.CommandContext(ctx, filepath.Join(dir, "program"))
	server.Dir = dir
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stop(); _ = server.Wait() }()
	waitFor(t, addr)

	var commands, want []string
	for line := range strings.Lines(local(transcript)) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands = append(commands, strings.Replace(command, "curl", curl, 1))
		} else {
			want = append(want, line)
		}
	}
	shell := exec.CommandContext(t.Context(), "sh", "-e")
	shell.Dir = dir
	shell.Stdin = strings.NewReader(strings.Join(commands, ""))
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("playing the transcript: %v\n%s", err, out)
	}
	if got, want := anyID(t, string(out)), anyID(t, strings.Join(want, "")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

var uuidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// anyID replaces the one user ID in a text.
func anyID(t *testing.T, s string) string {
	t.Helper()
	ids := uuidPattern.FindAllString(s, -1)
	if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
		t.Errorf("got IDs %v, want one and the same", ids)
	}
	return uuidPattern.ReplaceAllString(s, "ID")
}

// block returns the fenced block that contains a word.
func block(t *testing.T, text, fence, word string) string {
	t.Helper()
	for part := range strings.SplitSeq(text, fence) {
		if b, _, ok := strings.Cut(part, "```"); ok && strings.Contains(b, word) && part != text {
			if !strings.HasPrefix(text, part) {
				return b
			}
		}
	}
	t.Fatalf("README.md has no block with %q", word)
	return ""
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func waitFor(t *testing.T, addr string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		<-tick.C
	}
	t.Fatalf("nothing listens at %s", addr)
}
