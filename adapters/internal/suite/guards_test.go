package suite_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
)

// TestGuards holds that every guard of the root is in every adapter: as a function of
// the same name, or as a Level where calls have levels. There, a rule of the app's own
// is an interceptor of its own, and calls do not render pages.
func TestGuards(t *testing.T) {
	adapters := map[string]bool{"chiwalkin": false, "echov4walkin": false, "echowalkin": false, "ginwalkin": false, "grpcwalkin": true, "connectwalkin": true}
	guards := 0
	for method := range reflect.TypeFor[*walkin.Middleware]().Methods() {
		level, isGuard := strings.CutPrefix(method.Name, "Require")
		if !isGuard {
			continue
		}
		guards++
		for adapter, hasLevels := range adapters {
			want := method.Name
			if hasLevels {
				want = level
			}
			if hasLevels && level == "RenderedFor" {
				continue // calls come from no page that was rendered for someone
			}
			if want != "" && !declared(t, adapter)[want] {
				t.Errorf("%s has no %s", adapter, want)
			}
		}
	}
	if guards < 4 {
		t.Errorf("got %d guards; this test has looked at nothing", guards)
	}
}

// declared returns the functions and constants that an adapter exports.
func declared(t *testing.T, adapter string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", adapter, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					names[d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if values, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.CONST {
						for _, name := range values.Names {
							names[name.Name] = true
						}
					}
				}
			}
		}
	}
	return names
}
