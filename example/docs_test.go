package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAccountPage holds that docs/account-page.md quotes this site as it is.
func TestAccountPage(t *testing.T) {
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(path)))
		if err != nil {
			t.Fatal(err)
		}
		var flat strings.Builder // indentation differs between a page and a file
		for line := range strings.Lines(string(text)) {
			flat.WriteString(strings.TrimSpace(line) + "\n")
		}
		return flat.String()
	}
	quotes := strings.Split(read("docs/account-page.md"), "<!-- ")[1:]
	if len(quotes) == 0 {
		t.Fatal("it quotes nothing")
	}
	for _, quote := range quotes {
		from, rest, _ := strings.Cut(quote, " -->\n```go\n")
		code, _, closed := strings.Cut(rest, "```\n")
		if !closed || !strings.Contains(read(from), code) {
			t.Errorf("%s has no such lines:\n%s", from, code)
		}
	}
}
