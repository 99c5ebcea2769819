// Package promises checks docs/promises.md: every promise names the tests that hold it,
// and those tests exist.
package promises

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// kept are the numbers of the promises that walkin keeps so far. A number goes
// in with its tests and stays; more rows than these are welcome.
var kept = between(1, 67)

func TestPromises(t *testing.T) {
	root := filepath.Join("..", "..")
	doc, err := os.ReadFile(filepath.Join(root, "docs", "promises.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := testsIn(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults(string(doc), kept, tests) {
		t.Errorf("docs/promises.md: %s", fault)
	}
}

// testName is one in backticks: a test, fuzz test or example, with the case of
// it after a slash.
var testName = regexp.MustCompile("`((?:Test|Fuzz|Example)[A-Z_]?[^`/]*)((?:/[^`]+)?)`")

// faults returns what is wrong with the table rows of doc,
//
//	| 1 | Fixation | An upgrade ends every other session. | `TestFixation/planted` |
//
// given the numbers it must have and the tests that there are.
func faults(doc string, numbers []int, tests index) []string {
	var found []string
	fault := func(line int, format string, args ...any) {
		found = append(found, fmt.Sprintf("line %d: ", line)+fmt.Sprintf(format, args...))
	}
	seen := map[int]bool{}
	lines := strings.Split(doc, "\n")
	for i, line := range lines {
		cells := cellsOf(line)
		if cells == nil || isRule(cells) || i+1 < len(lines) && isRule(cellsOf(lines[i+1])) {
			continue // text, or the head of a table
		}
		n, err := strconv.Atoi(cells[0])
		switch {
		case err != nil:
			fault(i+1, "the row starts with %q, not with a number", cells[0])
			continue
		case seen[n]:
			fault(i+1, "promise %d is there twice", n)
		}
		seen[n] = true
		names := testName.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(names) == 0 {
			fault(i+1, "promise %d names no test in its last column", n)
		}
		for _, name := range names {
			if err := tests.has(name[1], strings.TrimPrefix(name[2], "/")); err != nil {
				fault(i+1, "promise %d: %v", n, err)
			}
		}
	}
	for _, n := range numbers {
		if !seen[n] {
			found = append(found, fmt.Sprintf("promise %d is missing", n))
		}
	}
	return found
}

// cellsOf returns the cells of a table row, or nil for another line.
func cellsOf(line string) []string {
	line = strings.TrimSpace(line)
	if len(line) < 2 || line[0] != '|' || line[len(line)-1] != '|' {
		return nil
	}
	cells := strings.Split(strings.ReplaceAll(line[1:len(line)-1], `\|`, "\x00"), "|")
	for i, cell := range cells {
		cells[i] = strings.TrimSpace(strings.ReplaceAll(cell, "\x00", "|"))
	}
	return cells
}

// isRule reports whether the cells are the line below a table's head.
func isRule(cells []string) bool {
	return len(cells) > 0 && strings.Trim(strings.Join(cells, ""), "-:") == ""
}

// An index has the tests of the repository: for every name, the texts that
// stand in the packages which have a test of that name. Cases are among them.
type index map[string][]map[string]bool

// has reports what is missing of a test and its case.
func (x index) has(test, of string) error {
	packages, ok := x[test]
	if !ok {
		return fmt.Errorf("there is no %s", test)
	}
	if of == "" {
		return nil
	}
	parts := strings.Split(of, "/")
	for _, texts := range packages {
		if !slices.ContainsFunc(parts, func(part string) bool { return !texts[caseName(part)] }) {
			return nil
		}
	}
	return fmt.Errorf("%s has no case %q; name the test alone when its cases are made up as it runs", test, of)
}

// caseName is a subtest's name as go test writes it.
func caseName(s string) string { return strings.Join(strings.Fields(s), "_") }

// testsIn reads the tests below root, those of the public suite for stores
// included, whose cases live outside of test files.
func testsIn(root string) (index, error) {
	found := index{}
	suite := map[string]bool{} // the texts of storetest, whose cases run in every store's test
	texts := map[string]map[string]bool{}
	names := map[string][]string{} // by folder
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		}
		dir := filepath.Dir(file)
		inSuite := filepath.Base(dir) == "storetest"
		if d.IsDir() || !strings.HasSuffix(file, "_test.go") && !(inSuite && strings.HasSuffix(file, ".go")) {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if texts[dir] == nil {
			texts[dir] = map[string]bool{}
		}
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				names[dir] = append(names[dir], f.Name.Name)
			}
		}
		for node := range ast.Preorder(parsed) {
			lit, ok := node.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				continue
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				return err
			}
			texts[dir][caseName(text)] = true
			if inSuite {
				suite[caseName(text)] = true
			}
		}
		return nil
	})
	for dir, inDir := range names {
		for text := range suite {
			texts[dir][text] = true
		}
		for _, name := range inDir {
			found[name] = append(found[name], texts[dir])
		}
	}
	return found, err
}

func between(first, last int) []int {
	var numbers []int
	for n := first; n <= last; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

// TestFaults holds that each kind of fault is seen.
func TestFaults(t *testing.T) {
	tests := index{
		"TestMerge": {{"twice_at_once": true, "sqlite": true}, {"elsewhere": true}},
		"FuzzToken": {{}},
	}
	const head = "# Promises\n\n| no. | name | promise | tests |\n|---|:--|---|---|\n"
	for _, test := range []struct {
		name, rows string
		want       string // part of the one fault, "" for none
	}{
		{"good", "| 1 | Merge | One wins. | `TestMerge`, `TestMerge/sqlite/twice_at_once`, `FuzzToken` |", ""},
		{"more than the tests in the last column", "| 1 | a \\| b | `Continue` | `FuzzToken` in `token_test.go` |", ""},
		{"no test", "| 1 | Merge | `TestMerge` is told, not named. | later |", "names no test"},
		{"unknown test", "| 1 | Merge | One wins. | `TestMerge`, `TestGone` |", "there is no TestGone"},
		{"unknown case", "| 1 | Merge | One wins. | `TestMerge/thrice` |", "no case \"thrice\""},
		{"case of another package", "| 1 | Merge | One wins. | `TestMerge/sqlite/elsewhere` |", "no case"},
		{"twice", "| 1 | Merge | One wins. | `TestMerge` |\n| 1 | Merge | One wins. | `TestMerge` |", "twice"},
		{"no number", "| 1 | Merge | One wins. | `TestMerge` |\n| two | Merge | One wins. | `TestMerge` |", "not with a number"},
		{"missing", "| 2 | Merge | One wins. | `TestMerge` |", "promise 1 is missing"},
	} {
		got := faults(head+test.rows+"\n", []int{1}, tests)
		switch {
		case test.want == "" && len(got) > 0:
			t.Errorf("%s: got %q, want no fault", test.name, got)
		case test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)):
			t.Errorf("%s: got %q, want one with %q", test.name, got, test.want)
		}
	}
}

// TestTestsIn holds that this very test and its case are found, and what is
// no test is not.
func TestTestsIn(t *testing.T) {
	t.Run("with a name of three words", func(t *testing.T) {
		tests, err := testsIn(".")
		if err != nil {
			t.Fatal(err)
		}
		if err := tests.has("TestTestsIn", "with_a_name_of_three_words"); err != nil {
			t.Error(err)
		}
		if err := tests.has("testsOut", ""); err == nil {
			t.Error("testsOut was found")
		}
	})
}
