// Package cases holds what walkinvet finds, and what it leaves alone.
package cases

import (
	"errors"
	"fmt"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"

	"github.com/walkin-go/walkin/cmd/walkinvet/analyzer"

	// What the programs in testdata are made of.
	_ "github.com/gin-gonic/gin"
	_ "github.com/go-chi/chi/v5"
	_ "github.com/labstack/echo/v4"
	_ "github.com/labstack/echo/v5"
	_ "github.com/walkin-go/walkin"
	_ "github.com/walkin-go/walkin/adapters/chiwalkin"
	_ "github.com/walkin-go/walkin/adapters/echov4walkin"
	_ "github.com/walkin-go/walkin/adapters/echowalkin"
	_ "github.com/walkin-go/walkin/adapters/ginwalkin"
)

// load loads packages from source, and what they are made of from the build cache:
// analysistest would parse the frameworks and the standard library, too.
func load(t *testing.T, pattern string) []*packages.Package {
	t.Helper()
	all, err := packages.Load(&packages.Config{Tests: true, Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles |
		packages.NeedImports | packages.NeedTypes | packages.NeedTypesSizes | packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedModule}, pattern)
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(p *packages.Package) bool { return strings.HasSuffix(p.PkgPath, ".test") })
	for _, p := range all {
		for _, e := range p.Errors {
			t.Error(e)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return all
}

// found analyzes packages and returns what was reported, by "file:line".
func found(t *testing.T, all []*packages.Package) map[string][]string {
	t.Helper()
	graph, err := checker.Analyze([]*analysis.Analyzer{analyzer.Analyzer}, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, act := range graph.Roots {
		if act.Err != nil {
			t.Errorf("%s: %v", act.Package.PkgPath, act.Err)
		}
		for _, d := range act.Diagnostics {
			at := place(act.Package.Fset, d.Pos)
			if !slices.Contains(out[at], d.Message) {
				out[at] = append(out[at], d.Message)
			}
		}
	}
	return out
}

func place(fset *token.FileSet, pos token.Pos) string {
	at := fset.Position(pos)
	return fmt.Sprintf("%s:%d", at.Filename, at.Line)
}

var quoted = regexp.MustCompile("`([^`]*)`")

// wanted returns what the comments "want" ask for.
func wanted(all []*packages.Package) map[string][]string {
	out := map[string][]string{}
	for _, p := range all {
		for _, file := range p.Syntax {
			for _, group := range file.Comments {
				for _, c := range group.List {
					_, patterns, ok := strings.Cut(c.Text, "// want ")
					if !ok {
						continue
					}
					at := place(p.Fset, c.Pos())
					out[at] = nil
					for _, m := range quoted.FindAllStringSubmatch(patterns, -1) {
						out[at] = append(out[at], m[1])
					}
				}
			}
		}
	}
	return out
}

// TestFaults holds that each planted fault is found, and nothing beside it.
func TestFaults(t *testing.T) {
	all := load(t, "./testdata/faults/...")
	got, want := found(t, all), wanted(all)
	faults := 0
	for at, patterns := range want {
		faults += len(patterns)
		for _, pattern := range patterns {
			if !slices.ContainsFunc(got[at], regexp.MustCompile(pattern).MatchString) {
				t.Errorf("%s: got %q, want %q", short(at), got[at], pattern)
			}
		}
	}
	for at, messages := range got {
		if len(messages) > len(want[at]) {
			t.Errorf("%s: got %q, want %q", short(at), messages, want[at])
		}
	}
	if faults < 150 {
		t.Errorf("%d faults were planted; this test has lost some", faults)
	}
}

// TestVetTool holds that the command finds the same under go vet, where each package
// is analyzed by a process of its own and summaries pass through files.
func TestVetTool(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "walkinvet")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", tool, "github.com/walkin-go/walkin/cmd/walkinvet").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const pattern = "./testdata/faults/across/..."
	want := 0
	for _, messages := range found(t, load(t, pattern)) {
		want += len(messages)
	}
	for _, args := range [][]string{{"go", "vet", "-vettool=" + tool, pattern}, {tool, pattern}} {
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
			t.Errorf("%q: got %v, want exit code 1", args, err)
		}
		if got := strings.Count(string(out), "every visitor can"); got != want || want == 0 {
			t.Errorf("%q: got %d findings, want %d: %s", args, got, want, out)
		}
	}
	if out, err := exec.CommandContext(t.Context(), tool, "./testdata/clean/chi").CombinedOutput(); err != nil {
		t.Errorf("got %v, want no finding: %s", err, out)
	}
	if _, err := exec.CommandContext(t.Context(), tool, "./testdata/nothing").CombinedOutput(); err == nil {
		t.Error("a package that is not there is no error")
	}
}

// TestClean holds that nothing is found where nothing is wrong.
func TestClean(t *testing.T) {
	all := load(t, "./testdata/clean/...")
	for at, messages := range found(t, all) {
		t.Errorf("%s: %q", short(at), messages)
	}
	if len(all) < 41 {
		t.Errorf("%d programs were looked at; this test has lost some", len(all))
	}
}

func short(at string) string {
	_, rest, _ := strings.Cut(filepath.ToSlash(at), "/testdata/")
	return rest
}
