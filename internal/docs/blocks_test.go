package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var root = filepath.Join("..", "..")

// A block is a fenced piece of a page. The comment on the line before it says which
// test runs it:
//
//	<!-- internal/docs/keys_test.go -->  it is a part of that file, which is tested
//	<!-- TestREADME -->                  that test reads the page, and runs the block
//	<!-- not run: it is Swift -->        nothing runs it, and why
type block struct {
	page, language, mark, text string
	line                       int
}

// mayRest are the languages that may have a reason in place of a test: those that
// nothing here compiles, and commands, output and pictures.
var mayRest = []string{"swift", "kotlin", "console", "mermaid"}

// TestEveryBlock holds that every block of README.md and docs/ is claimed by a test, and
// that the claim is true: the file has these lines, the test exists and names the page.
func TestEveryBlock(t *testing.T) {
	tests := testsBelow(t, root)
	seen := map[string]int{}
	for _, page := range docPages(t) {
		for _, b := range blocksOf(t, page) {
			seen[b.language]++
			if fault := b.fault(tests); fault != "" {
				t.Errorf("%s:%d: %s", b.page, b.line, fault)
			}
		}
	}
	if seen["go"] < 60 || seen["sql"] < 4 || seen["js"] < 2 {
		t.Errorf("got %v; this test has looked at too little", seen)
	}
}

func (b block) fault(tests map[string][]string) string {
	switch reason, rests := strings.CutPrefix(b.mark, "not run: "); {
	case b.mark == "":
		return fmt.Sprintf("no test claims this block of %q; see internal/docs/blocks_test.go", b.language)
	case rests && !slices.Contains(mayRest, b.language):
		return fmt.Sprintf("a block of %q has to be run", b.language)
	case rests && len(strings.Fields(reason)) < 3:
		return "the reason says nothing"
	case rests:
		return ""
	case strings.HasPrefix(b.mark, "Test"):
		for _, source := range tests[b.mark] {
			if strings.Contains(source, filepath.Base(b.page)) {
				return ""
			}
		}
		return fmt.Sprintf("no test %s names %s", b.mark, filepath.Base(b.page))
	}
	if !tested(b.mark) {
		return fmt.Sprintf("%s is no file that a test builds", b.mark)
	}
	file, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(b.mark)))
	if err != nil {
		return err.Error()
	}
	if !strings.Contains(flat(string(file)), flat(b.text)) {
		return fmt.Sprintf("%s has no such lines:\n%s", b.mark, b.text)
	}
	return ""
}

// tested reports whether a test compiles or reads the file.
func tested(file string) bool {
	return strings.HasSuffix(file, "_test.go") || strings.Contains(file, "testdata/") ||
		strings.HasPrefix(file, "docs/tutorial/") || strings.HasPrefix(file, "example/")
}

// flat is a text whatever its white space, which differs between a page and a file.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }

// docPages returns README.md and all pages below docs/, by their paths below the root.
func docPages(t *testing.T) []string {
	t.Helper()
	found := []string{"README.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(file string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(file, ".md") {
			rel, _ := filepath.Rel(root, file)
			found = append(found, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil || len(found) < 20 {
		t.Fatalf("got %d pages, %v", len(found), err)
	}
	return found
}

var fence = regexp.MustCompile("^ *(```+)([a-z]*)")

func blocksOf(t *testing.T, page string) (all []block) {
	t.Helper()
	lines := strings.Split(read(t, filepath.Join(root, filepath.FromSlash(page))), "\n")
	for i := 0; i < len(lines); i++ {
		open := fence.FindStringSubmatch(lines[i])
		if open == nil {
			continue
		}
		b := block{page: page, language: open[2], line: i + 1}
		if i > 0 {
			before := strings.TrimSpace(lines[i-1])
			if mark, ok := strings.CutPrefix(before, "<!-- "); ok {
				b.mark = strings.TrimSuffix(mark, " -->")
			}
		}
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != open[1]; i++ {
			b.text += lines[i] + "\n"
		}
		if i == len(lines) {
			t.Errorf("%s:%d: the block has no end", page, b.line)
		}
		all = append(all, b)
	}
	return all
}

var testName = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// testsBelow returns the sources of the tests of each name.
func testsBelow(t *testing.T, dir string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !strings.HasSuffix(file, "_test.go"):
			return nil
		}
		source := read(t, file)
		for _, name := range testName.FindAllStringSubmatch(source, -1) {
			found[name[1]] = append(found[name[1]], source)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestBlockFaults holds that each kind of fault is found.
func TestBlockFaults(t *testing.T) {
	tests := map[string][]string{"TestA": {"reads keys.md"}}
	for _, test := range []struct {
		name string
		b    block
		want string // a part of the fault, "" for none
	}{
		{"no claim", block{language: "go"}, "no test claims"},
		{"a test that reads the page", block{page: "docs/keys.md", language: "go", mark: "TestA"}, ""},
		{"a test that does not", block{page: "docs/codes.md", language: "go", mark: "TestA"}, "names codes.md"},
		{"no such test", block{page: "docs/keys.md", language: "go", mark: "TestB"}, "no test TestB"},
		{"a reason", block{language: "swift", mark: "not run: no compiler here"}, ""},
		{"an empty reason", block{language: "swift", mark: "not run: later"}, "says nothing"},
		{"Go at rest", block{language: "go", mark: "not run: no time for it"}, "has to be run"},
		{"JavaScript at rest", block{language: "js", mark: "not run: no time for it"}, "has to be run"},
		{"a part of a file", block{language: "go", mark: "internal/docs/blocks_test.go", text: "func  flat(s string)\n"}, ""},
		{"no part of it", block{language: "go", mark: "internal/docs/blocks_test.go", text: "func " + "fla(\n"}, "no such lines"},
		{"a file that no test builds", block{language: "go", mark: "config.go"}, "no file that a test builds"},
		{"no file", block{language: "go", mark: "gone_test.go"}, "no such file"},
	} {
		if got := test.b.fault(tests); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

var inCode = regexp.MustCompile("(?s)```.*?```|`[^`]*`")

var link = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"`)

// TestLinks holds that every link within the repository leads to a file, and to a
// heading where it names one.
func TestLinks(t *testing.T) {
	followed := 0
	for _, page := range append(docPages(t), "CONTRIBUTING.md", "SECURITY.md") {
		text := read(t, filepath.Join(root, filepath.FromSlash(page)))
		text = inCode.ReplaceAllString(text, "")
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			to := found[1] + found[2]
			if strings.Contains(to, ":") {
				continue // elsewhere
			}
			file, heading, _ := strings.Cut(to, "#")
			target := filepath.Join(root, filepath.FromSlash(page))
			if file != "" {
				target = filepath.Join(filepath.Dir(target), filepath.FromSlash(file))
			}
			followed++
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: nothing is at %s", page, to)
			} else if heading != "" && !slices.Contains(anchors(read(t, target)), heading) {
				t.Errorf("%s: %s has no heading %s", page, file, heading)
			}
		}
	}
	if followed < 60 {
		t.Errorf("followed %d links; this test has looked at too little", followed)
	}
}

var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// anchors returns the anchors of a page's headings, as forges make them.
func anchors(page string) (all []string) {
	for line := range strings.Lines(page) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			plain := notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			all = append(all, strings.ReplaceAll(plain, " ", "-"))
		}
	}
	return all
}
