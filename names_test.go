package walkin_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mostNames is how many types, functions and variables the root may export, constants of
// a typed group counted as their type. An addition that would pass it names what it
// replaces, or is in a package of its own.
const mostNames = 45

// exported returns the names that the root exports, other than constants and methods.
func exported(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	add := func(name *ast.Ident) {
		if name.IsExported() {
			names = append(names, name.Name)
		}
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						add(s.Name)
					case *ast.ValueSpec:
						if d.Tok == token.VAR {
							for _, name := range s.Names {
								add(name)
							}
						}
					}
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// TestNamesAreListed holds that doc.go lists each exported name once, for whom it is,
// and that there are not more and more of them.
func TestNamesAreListed(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(doc), "# Names")
	list, _, ok2 := strings.Cut(list, "\n// # ")
	if !ok || !ok2 {
		t.Fatal("doc.go has no section of names, with one after it")
	}
	find := regexp.MustCompile(`\[([A-Z]\w*)\]`)
	names := func(text string) (all []string) {
		for _, m := range find.FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return all
	}
	listed, have := names(list), exported(t)
	for _, name := range have {
		if !slices.Contains(listed, name) {
			t.Errorf("%s is not in the list of doc.go", name)
		}
	}
	for i, name := range listed {
		if !slices.Contains(have, name) {
			t.Errorf("doc.go lists %s, which is not there", name)
		}
		if i > 0 && listed[i-1] == name {
			t.Errorf("doc.go lists %s twice", name)
		}
	}
	t.Logf("%d names", len(have))
	if n := len(have); n > mostNames {
		t.Errorf("there are %d names, want at most %d", n, mostNames)
	}
}
