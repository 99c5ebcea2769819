package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTroubleshooting holds that docs/troubleshooting.md has a row for every exported
// error, outcome and reason, and for every error of a New; and no other.
func TestTroubleshooting(t *testing.T) {
	page := read(t, filepath.Join(root, "docs", "troubleshooting.md"))
	said := sourcesOf(t)
	for _, kind := range []struct {
		title string
		want  map[string]string
		least int
	}{
		{"## Errors", said.errors, 12},
		{"## Outcomes", constantsOf(t, "github.com/walkin-go/walkin.Outcome"), 20},
		{"## Reasons", constantsOf(t, reasonType), 150},
		{"## What New reports", said.mistakes, 60},
	} {
		_, section, found := strings.Cut(page, "\n"+kind.title+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		listed := map[string]bool{}
		for line := range strings.Lines(section) {
			if first, rest, isRow := strings.Cut(strings.TrimPrefix(line, "| "), " | "); isRow && strings.HasPrefix(line, "| `") {
				for _, name := range inCode.FindAllString(first, -1) {
					listed[strings.Trim(name, "`")] = true
				}
				if len(strings.Fields(rest)) < 3 {
					t.Errorf("%s says nothing of %s", kind.title, first)
				}
			}
		}
		if !found || len(kind.want) < kind.least {
			t.Errorf("%s: found %t, and %d in the source; this test has looked at too little", kind.title, found, len(kind.want))
		}
		for _, name := range slices.Sorted(maps.Keys(kind.want)) {
			if !listed[name] {
				t.Errorf("%s lacks %s, of %s", kind.title, name, kind.want[name])
			}
		}
		for name := range listed {
			if kind.want[name] == "" {
				t.Errorf("%s has %s, which is not in the source", kind.title, name)
			}
		}
	}
}

// A said is what the source says to operators: by its text, with the place where it is.
type said struct{ errors, mistakes map[string]string }

// without are folders that apps do not import, or that say only what another does.
var without = []string{"bench", "cmd", "docs", "example", "node_modules", "storetest", "testdata", "walkintest", "supabasewalkin",
	"browser", "testserver", "release", "promises", "enginetest", "ormtest", "tools", "mail", "tokencache"}

var (
	verb     = regexp.MustCompile(`%[+#]?[a-z]`)
	mistaken = regexp.MustCompile(`^(New.*|check.*|validate|defaults|check)$`)
)

// sourcesOf reads the packages that apps import.
func sourcesOf(t *testing.T) said {
	t.Helper()
	all := said{map[string]string{}, map[string]string{}}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if file != root && (name[0] == '.' || name == "internal" && filepath.Dir(file) != root && filepath.Dir(file) != filepath.Join(root, "credential") ||
				slices.Contains(without, name)) {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		place, _ := filepath.Rel(root, file)
		all.read(parsed, filepath.ToSlash(place))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (all said) read(file *ast.File, place string) {
	for _, decl := range file.Decls {
		f, isFunc := decl.(*ast.FuncDecl)
		for node := range ast.Preorder(decl) {
			switch n := node.(type) {
			case *ast.ValueSpec:
				all.values(n, place)
			case *ast.CallExpr:
				called := nameOf(n.Fun)
				if isFunc && mistaken.MatchString(f.Name.Name) && slices.Contains([]string{"add", "fault", "Errorf", "New", "wrong", "mistake"}, called) && len(n.Args) > 0 {
					if text, is := literal(n.Args[0]); is && len(strings.Fields(text)) > 2 {
						all.mistakes[strings.TrimPrefix(verb.ReplaceAllString(text, "…"), "walkin: ")] = place
					}
				}
			}
		}
	}
}

// values takes exported errors.
func (all said) values(n *ast.ValueSpec, place string) {
	for _, name := range n.Names {
		if strings.HasPrefix(name.Name, "Err") && !strings.HasPrefix(place, "internal/") {
			all.errors[name.Name] = place
		}
	}
}

func literal(value ast.Expr) (string, bool) {
	if lit, is := value.(*ast.BasicLit); is && lit.Kind == token.STRING {
		text, err := strconv.Unquote(lit.Value)
		return text, err == nil
	}
	if sum, is := value.(*ast.BinaryExpr); is {
		return literal(sum.X) // what is added differs
	}
	return "", false
}

func nameOf(f ast.Expr) string {
	switch f := f.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}
