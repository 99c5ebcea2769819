package ormtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPages holds that the code of the two pages is that of the tests here.
func TestPages(t *testing.T) {
	root := filepath.Join("..", "..")
	for page, blocks := range map[string]int{"data-layer.md": 10, "users-table.md": 5, "users-table-merge.md": 2} {
		text, err := os.ReadFile(filepath.Join(root, "docs", page))
		ok(t, err)
		quoted := 0
		parts := strings.Split(string(text), "```")
		for i := 1; i < len(parts); i += 2 {
			lines := strings.Split(strings.TrimSpace(parts[i-1]), "\n")
			from, is := strings.CutPrefix(lines[len(lines)-1], "<!-- ")
			if !is {
				t.Errorf("%s has a block that nothing tests:\n%s", page, parts[i])
				continue
			}
			file, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(strings.TrimSuffix(from, " -->"))))
			ok(t, err)
			_, code, _ := strings.Cut(parts[i], "\n")
			if quoted++; !strings.Contains(flat(string(file)), flat(code)) {
				t.Errorf("%s: %s has no such lines:\n%s", page, from, code)
			}
		}
		if quoted < blocks {
			t.Errorf("%s quotes %d blocks, want %d or more", page, quoted, blocks)
		}
	}
}

// flat is a text whatever its white space.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }
