package docs

import (
	"encoding/json"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
)

// reasonType is the type of the reasons of events and refusals.
const reasonType = "github.com/walkin-go/walkin.Reason"

// telling are the packages that tell reasons, by folder; with them those below.
var telling = []string{"./...", "./credential/oidc/...", "./credential/passkey/...", "./credential/handover/...", "./credential/totp/...", "./adapters/supabasewalkin/...", "./example/..."}

// A typed is a package with its types.
type typed struct {
	path  string
	files []*ast.File
	info  *types.Info
	fset  *token.FileSet
	scope *types.Scope
}

// typedPackages type-checks the packages that tell reasons, without their tests.
var typedPackages = sync.OnceValues(func() ([]typed, error) {
	list := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,DepOnly"}, telling...)...)
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		return nil, err
	}
	exports, fset := map[string]string{}, token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	var all []typed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; { // each after what it imports
		var p struct {
			ImportPath, Dir, Export string
			GoFiles                 []string
			DepOnly                 bool
		}
		if err := decoder.Decode(&p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		exports[p.ImportPath] = p.Export
		if p.DepOnly {
			continue
		}
		one := typed{path: p.ImportPath, fset: fset, info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			one.files = append(one.files, file)
		}
		checked, err := (&types.Config{Importer: imports}).Check(p.ImportPath, fset, one.files, one.info)
		if err != nil {
			return nil, err
		}
		one.scope = checked.Scope()
		all = append(all, one)
	}
})

func typedOf(t *testing.T) []typed {
	t.Helper()
	all, err := typedPackages()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// constantsOf returns the exported constants of a type, by value, each with its name.
func constantsOf(t *testing.T, of string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, p := range typedOf(t) {
		for _, name := range p.scope.Names() {
			if c, is := p.scope.Lookup(name).(*types.Const); is && c.Exported() && c.Type().String() == of {
				all[constant.StringVal(c.Val())] = filepath.Base(p.path) + "." + name
			}
		}
	}
	return all
}

// TestReasonsAreConstants holds that each reason is a constant: one word, without a
// comma, that its name says. No other code spells a reason, so that none is without a row
// in docs/troubleshooting.md. The leaves have reasons of their own, which the root has too.
func TestReasonsAreConstants(t *testing.T) {
	oneWord := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	listed, leaves := constantsOf(t, reasonType), 0
	for value, name := range listed {
		_, name, _ = strings.Cut(name, ".")
		said := snake(strings.TrimPrefix(name, "Reason"))
		if !oneWord.MatchString(value) || value != said && !strings.HasSuffix(value, "_"+said) && value+"_failed" != said {
			t.Errorf("%s is %q", name, value)
		}
	}
	for _, p := range typedOf(t) {
		for _, name := range p.scope.Names() {
			c, is := p.scope.Lookup(name).(*types.Const)
			if is && strings.HasPrefix(p.path, "github.com/walkin-go/walkin/internal/") && strings.HasSuffix(c.Type().String(), ".Reason") {
				leaves++
				if value := constant.StringVal(c.Val()); !strings.HasPrefix(listed[value], "walkin.") {
					t.Errorf("%s.%s is %q, which the root lacks", p.path, name, value)
				}
			}
		}
		for _, file := range p.files {
			for _, decl := range file.Decls {
				p.spelt(t, decl)
			}
		}
	}
	if len(listed) < 150 || leaves < 10 {
		t.Errorf("got %d reasons and %d of leaves; this test has looked at too little", len(listed), leaves)
	}
}

// spelt reports reasons that are not constants.
func (p typed) spelt(t *testing.T, node ast.Node) {
	is := func(e ast.Expr) bool {
		of := p.info.Types[e].Type
		return of != nil && of.String() == reasonType
	}
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			return n.Tok != token.CONST
		case *ast.BasicLit:
			if is(n) && n.Value != `""` {
				t.Errorf("%s: %s is a reason that is not a constant", p.fset.Position(n.Pos()), n.Value)
			}
		case *ast.BinaryExpr:
			if n.Op == token.ADD && is(n) {
				t.Errorf("%s: a reason is put together", p.fset.Position(n.Pos()))
			}
		case *ast.CallExpr: // a conversion, perhaps
			if p.info.Types[n.Fun].IsType() && is(n) && !strings.HasSuffix(p.info.Types[n.Args[0]].Type.String(), ".Reason") {
				t.Errorf("%s: a reason is made of a text", p.fset.Position(n.Pos()))
			}
		}
		return true
	})
}

// snake returns a name as the value of its constant: RateLimit is rate_limit, RPID rp_id.
func snake(name string) string {
	name = strings.NewReplacer("HTTP", "Http", "RPID", "RpId", "JSON", "Json", "ASCII", "Ascii", "OTP", "Otp").Replace(name)
	var b strings.Builder
	for i, c := range name {
		if i > 0 && unicode.IsUpper(c) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// TestCodesOfRefusals holds that each code for API clients that a package sets is in the
// table of docs/requests.md, and that none is there which no package has.
func TestCodesOfRefusals(t *testing.T) {
	page := read(t, filepath.Join(root, "docs", "requests.md"))
	_, section, _ := strings.Cut(page, "## What a refusal says to an API client")
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(section, -1) {
		for _, name := range inCode.FindAllString(row[1], -1) {
			listed[strings.Trim(name, "`")] = false
		}
	}
	set := map[string]string{}
	add := func(p typed, e ast.Expr) {
		if v := p.info.Types[e].Value; v != nil && v.Kind() == constant.String && constant.StringVal(v) != "" {
			set[constant.StringVal(v)] = p.fset.Position(e.Pos()).String()
		}
	}
	for _, p := range typedOf(t) {
		if strings.HasSuffix(p.path, "/supabasewalkin") || strings.Contains(p.path, "/example") {
			continue // the codes of Supabase, and an app's own
		}
		for _, file := range p.files {
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					of := p.info.Types[n].Type.String()
					for _, element := range n.Elts {
						pair, is := element.(*ast.KeyValueExpr)
						if is && of == "github.com/walkin-go/walkin.Refusal" && nameOf(pair.Key) == "Code" || is && of == "map["+reasonType+"]string" {
							add(p, pair.Value)
						}
					}
				case *ast.CallExpr:
					signature, is := p.info.Types[n.Fun].Type.(*types.Signature)
					if !is || signature.Results().Len() != 1 || signature.Results().At(0).Type().String() != "*github.com/walkin-go/walkin.Refusal" {
						break
					}
					for i := range min(signature.Params().Len(), len(n.Args)) {
						if signature.Params().At(i).Name() == "code" {
							add(p, n.Args[i])
						}
					}
				}
				return true
			})
		}
	}
	for _, general := range []string{"user_required", "internal_error", "service_unavailable"} { // by the status alone
		set[general] = "the root"
	}
	for _, code := range slices.Sorted(maps.Keys(set)) {
		if _, there := listed[code]; !there {
			t.Errorf("docs/requests.md lacks the code %s, of %s", code, set[code])
		}
	}
	for code := range listed {
		if set[code] == "" {
			t.Errorf("docs/requests.md has the code %s, which no package sets", code)
		}
	}
	if len(set) < 25 {
		t.Errorf("got %d codes; this test has looked at too little", len(set))
	}
}
