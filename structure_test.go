package walkin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A source is the root package, parsed and with types.
type source struct {
	fset  *token.FileSet
	files []*ast.File
	pkg   *types.Package
	info  *types.Info
}

// load reads the root without its tests.
func load(t *testing.T) *source {
	t.Helper()
	s := &source{fset: token.NewFileSet(), info: &types.Info{Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(s.fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, file)
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Export", ".")
	list.Env = append(os.Environ(), "GOFLAGS=") // the flags of a run with coverage or the race detector are not for this
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	imports := importer.ForCompiler(s.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	if s.pkg, err = (&types.Config{Importer: imports}).Check(module, s.fset, s.files, s.info); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *source) file(at token.Pos) string { return filepath.Base(s.fset.Position(at).Filename) }

// receiver returns the name of the type that a method is of, or "".
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	name, _ := of.(*ast.Ident)
	return name.Name
}

// arrows returns which files use which: a type, function, method, constant or variable
// that is declared there. The receiver of a method is no use of its type: a method is a
// part of the type, wherever it stands.
func (s *source) arrows() map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, file := range s.files {
		from := s.file(file.Pos())
		all[from] = map[string]string{}
		for _, decl := range file.Decls {
			of := []ast.Node{decl}
			if f, ok := decl.(*ast.FuncDecl); ok {
				of = []ast.Node{f.Type}
				if f.Body != nil {
					of = append(of, f.Body)
				}
			}
			for _, node := range of {
				ast.Inspect(node, func(n ast.Node) bool {
					name, ok := n.(*ast.Ident)
					if !ok || !s.isOurs(s.info.Uses[name]) {
						return true
					}
					if to := s.file(s.info.Uses[name].Pos()); to != from {
						all[from][to] = name.Name
					}
					return true
				})
			}
		}
	}
	return all
}

// isOurs reports whether the root declares it at the top of a file, or as a method.
func (s *source) isOurs(o types.Object) bool {
	if o == nil || o.Pkg() != s.pkg {
		return false
	}
	if f, ok := o.(*types.Func); ok {
		of := f.Signature().Recv()
		return of == nil || !types.IsInterface(of.Type())
	}
	return o.Parent() == s.pkg.Scope()
}

// circles returns the groups of files that use each other, around however many corners.
func circles(arrows map[string]map[string]string) (all [][]string) {
	reach := map[string]map[string]bool{}
	for from := range arrows {
		seen, todo := map[string]bool{}, []string{from}
		for len(todo) > 0 {
			next := todo[0]
			todo = todo[1:]
			for to := range arrows[next] {
				if !seen[to] {
					seen[to], todo = true, append(todo, to)
				}
			}
		}
		reach[from] = seen
	}
	done := map[string]bool{}
	for from := range reach {
		if done[from] || !reach[from][from] {
			continue
		}
		var circle []string
		for to := range reach[from] {
			if reach[to][from] {
				circle, done[to] = append(circle, to), true
			}
		}
		slices.Sort(circle)
		all = append(all, circle)
	}
	return all
}

// TestCircles holds that files can be read one after another: no more than five of them
// use each other.
func TestCircles(t *testing.T) {
	arrows := load(t).arrows()
	if len(arrows) < 40 {
		t.Fatalf("got %d files; this test has looked at nothing", len(arrows))
	}
	for _, circle := range circles(arrows) {
		if len(circle) > 5 {
			t.Errorf("%d files use each other: %s", len(circle), strings.Join(circle, " "))
		}
	}
}

// TestOrder holds that docs/architecture.md lists each file of the root once, and that a
// file uses those above it in the list, with few exceptions.
func TestOrder(t *testing.T) {
	const most = 30
	doc, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(doc), "## The files, lowest first\n")
	list, _, ok2 := strings.Cut(list, "\n## ")
	if !ok || !ok2 {
		t.Fatal("docs/architecture.md has no list of files")
	}
	at := map[string]int{}
	for i, m := range regexp.MustCompile("`([a-z_0-9]+\\.go)`").FindAllStringSubmatch(list, -1) {
		if _, twice := at[m[1]]; twice {
			t.Errorf("docs/architecture.md lists %s twice", m[1])
		}
		at[m[1]] = i
	}
	arrows := load(t).arrows()
	for name := range arrows {
		if _, ok := at[name]; !ok {
			t.Errorf("docs/architecture.md does not list %s", name)
		}
	}
	for name := range at {
		if _, ok := arrows[name]; !ok {
			t.Errorf("docs/architecture.md lists %s, which is not there", name)
		}
	}
	var up []string
	for from, all := range arrows {
		for to, name := range all {
			if at[to] > at[from] {
				up = append(up, fmt.Sprintf("%s -> %s (%s)", from, to, name))
			}
		}
	}
	if slices.Sort(up); len(up) >= most {
		t.Errorf("%d arrows run against the order of docs/architecture.md, want fewer than %d:\n%s", len(up), most, strings.Join(up, "\n"))
	}
}

// branches counts the decisions of a function, those of the functions in it included.
func branches(f *ast.FuncDecl) (n int) {
	ast.Inspect(f, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if node.List != nil {
				n++
			}
		case *ast.CommClause:
			n++
		}
		return true
	})
	return n
}

// TestSizes holds how large files, functions and types of the root are at most, and the
// files of its tests.
func TestSizes(t *testing.T) {
	const (
		mostLines     = 400
		mostTestLines = 1200
		mostBranches  = 20
		mostMethods   = 25 // unexported ones of one type
	)
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	methods := map[string]int{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines, most := bytes.Count(text, []byte("\n")), mostLines
		isTest := strings.HasSuffix(name, "_test.go")
		if isTest {
			most = mostTestLines
		}
		if lines > most {
			t.Errorf("%s has %d lines, want at most %d", name, lines, most)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || isTest {
				continue
			}
			if n := branches(f); n > mostBranches {
				t.Errorf("%s: %s has %d branches, want at most %d", name, f.Name.Name, n, mostBranches)
			}
			if !f.Name.IsExported() {
				methods[receiver(f)]++
			}
		}
	}
	delete(methods, "") // functions
	for of, n := range methods {
		if n > mostMethods {
			t.Errorf("%s has %d unexported methods, want at most %d", of, n, mostMethods)
		}
	}
	if methods["Middleware"] == 0 {
		t.Error("the Middleware has no methods; this test has looked at nothing")
	}
}

// TestNever holds what docs/architecture.md says of parts and packages. That leaves
// import nothing of ours is TestLeaves, and that pages import no credential is
// TestRoomsImportTheRoot.
func TestNever(t *testing.T) {
	for _, tt := range []struct{ what, dir, not string }{
		{"a cache knows no visitor", "internal/tokencache", `^(net/|context$)`},
		{"a keyring knows no request", "internal/token", `^(net/|context$)`},
		{"a list of bots mints nothing", "bot", `^(crypto|time$|context$|github.com/google/uuid)`},
		{"a response knows no token", "internal/response", `^(crypto|encoding|github.com)`},
		{"a store knows no HTTP", "store", `^net/http`},
		{"a store knows no HTTP", "store/memstore", `^net/http`},
		{"a store knows no HTTP", "store/sqlstore", `^net/http`},
		{"a store knows no HTTP", "store/pgxstore", `^net/http`},
		{"a store knows no HTTP", "store/redisstore", `^net/http`},
		{"a store needs no middleware", "store/memstore", `walkin-go/walkin$`},
		{"pages import no credential", "pages", `walkin/credential`},
	} {
		files := importsOf(t, tt.dir)
		if len(files) == 0 {
			t.Errorf("%s: nothing in %s", tt.what, tt.dir)
		}
		for file, imports := range files {
			for _, imported := range imports {
				if regexp.MustCompile(tt.not).MatchString(imported) {
					t.Errorf("%s: %s/%s imports %s", tt.what, tt.dir, file, imported)
				}
			}
		}
	}
	t.Run("nothing imports pages, admin or an adapter", nothingImportsTheTop)
	t.Run("a credential writes no cookie of ours", credentialsUseCookie)
	t.Run("the decision to mint is pure", mintingIsPure)
	t.Run("a part emits no event about a visitor", partsEmitFailures)
}

func nothingImportsTheTop(t *testing.T) {
	top := []string{"pages", "admin", "adapters"}
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		room, _, _ := strings.Cut(filepath.ToSlash(dir), "/")
		if dir != "." && (strings.ContainsAny(d.Name()[:1], "._") || d.Name() == "testdata" || slices.Contains([]string{"example", "bench", "cmd", "docs"}, room)) {
			return filepath.SkipDir
		}
		for file, imports := range importsOf(t, dir) {
			for _, imported := range imports {
				for _, name := range top {
					if isOursWithin(imported, name) && room != name && room != "internal" {
						t.Errorf("%s/%s imports %s", dir, file, imported)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// credentialsUseCookie: their cookies come from Middleware.Cookie, which knows prefix,
// domain and name. A credential that sets one by its name would be a second opinion.
func credentialsUseCookie(t *testing.T) {
	found := 0
	err := filepath.WalkDir("credential", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		found++
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if s, ok := n.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Cookie" && len(n.Elts) > 0 {
					t.Errorf("%s makes a cookie", name)
				}
			case *ast.BasicLit:
				if strings.Contains(n.Value, "__Host-") {
					t.Errorf("%s names a cookie: %s", name, n.Value)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("%d files were looked at: %v", found, err)
	}
}

// mintingIsPure: what mint.go decides depends on the request, the settings and the
// status of the token alone.
func mintingIsPure(t *testing.T) {
	s := load(t)
	for _, file := range s.files {
		if s.file(file.Pos()) != "mint.go" {
			continue
		}
		for _, imported := range file.Imports {
			if imported.Path.Value == `"time"` || imported.Path.Value == `"context"` {
				t.Errorf("mint.go imports %s", imported.Path.Value)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				switch name.Name {
				case "Store", "ResponseWriter", "emit", "emitCtx", "skipped", "Event":
					t.Errorf("mint.go uses %s", name.Name)
				}
			}
			return true
		})
		return
	}
	t.Error("there is no mint.go; this test has looked at nothing")
}

// partsEmitFailures: a part reports that something it depends on failed, and leaves what
// happened to a visitor to the entry points.
func partsEmitFailures(t *testing.T) {
	parts := []string{"storeHealth", "verifier", "issuer", "newUserLimits", "dataCarrier", "admission", "cookies", "devices"}
	found := 0
	s := load(t)
	for _, file := range s.files {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !slices.Contains(parts, receiver(f)) {
				continue
			}
			found++
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					of, ok := n.Type.(*ast.Ident)
					if ok && of.Name == "Event" && !isFailure(n) {
						t.Errorf("%s.%s makes an event other than Failed", receiver(f), f.Name.Name)
					}
				case *ast.SelectorExpr:
					if n.Sel.Name == "skipped" {
						t.Errorf("%s.%s emits Skipped", receiver(f), f.Name.Name)
					}
				}
				return true
			})
		}
	}
	if found < 50 {
		t.Errorf("got %d methods of parts; this test has looked at nothing", found)
	}
}

func isFailure(event *ast.CompositeLit) bool {
	for _, field := range event.Elts {
		pair, ok := field.(*ast.KeyValueExpr)
		if !ok {
			return false
		}
		if value, ok := pair.Value.(*ast.Ident); ok && pair.Key.(*ast.Ident).Name == "Outcome" {
			return value.Name == "Failed"
		}
	}
	return false
}
