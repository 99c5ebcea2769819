package walkin_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mostNames is how many types, functions and variables the root may export, constants of
// a typed group counted as their type. An addition that would pass it names what it
// replaces, or is in a package of its own.
const mostNames = 45

// declarations returns those of the root.
func declarations(t *testing.T) (all []ast.Decl) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file.Decls...)
	}
	return all
}

// exported returns the names that the root exports, other than constants and methods.
func exported(t *testing.T) []string {
	t.Helper()
	names := exportedFunctions(t)
	add := func(name *ast.Ident) {
		if name.IsExported() {
			names = append(names, name.Name)
		}
	}
	for _, decl := range declarations(t) {
		d, is := decl.(*ast.GenDecl)
		if !is {
			continue
		}
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
	slices.Sort(names)
	return names
}

// exportedFunctions returns the names of functions.
func exportedFunctions(t *testing.T) (names []string) {
	t.Helper()
	for _, decl := range declarations(t) {
		if f, is := decl.(*ast.FuncDecl); is && f.Recv == nil && f.Name.IsExported() {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// exportedMethods returns the names of a type's methods.
func exportedMethods(t *testing.T, of string) (names []string) {
	t.Helper()
	for _, decl := range declarations(t) {
		f, is := decl.(*ast.FuncDecl)
		if !is || f.Recv == nil || !f.Name.IsExported() {
			continue
		}
		receiver := f.Recv.List[0].Type
		if pointer, is := receiver.(*ast.StarExpr); is {
			receiver = pointer.X
		}
		if name, is := receiver.(*ast.Ident); is && name.Name == of {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// TestNamesAreListed holds that doc.go lists each exported name once, for whom it is,
// and that there are not more and more of them.
func TestNamesAreListed(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(text), "# Names")
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

// TestFunctionsHaveExamples holds that each function that an app calls, and each guard, has
// an example that runs.
func TestFunctionsHaveExamples(t *testing.T) {
	files, err := filepath.Glob("example*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	examples := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range doc.Examples(file) {
			examples[e.Name] = e.Output != ""
		}
	}
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, apps, _ := strings.Cut(string(source), "For apps:")
	apps, _, _ = strings.Cut(apps, "For credentials")
	want := []string{"Middleware_Handler", "Middleware_Ensure", "Middleware_Continue", "Middleware_Refuse", "Middleware_SignOut", "Middleware_LoadAndSave", "Key_Derive"}
	for _, name := range exportedMethods(t, "Middleware") {
		if strings.HasPrefix(name, "Require") {
			want = append(want, "Middleware_"+name)
		}
	}
	for _, name := range exportedFunctions(t) {
		if strings.Contains(apps, "["+name+"]") {
			want = append(want, name)
		}
	}
	if len(want) < 18 {
		t.Errorf("got %v; this test has looked at too little", want)
	}
	for _, name := range want {
		if !examples[name] {
			t.Errorf("there is no Example%s that runs", name)
		}
	}
}
