package walkin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/walkin-go/walkin"

// publicLeaves are the packages that the root imports and apps may, too.
var publicLeaves = []string{"bot", "limit", "store", "texts"}

func isPublicLeaf(imported string) bool {
	name, ok := strings.CutPrefix(imported, module+"/")
	return ok && slices.Contains(publicLeaves, name)
}

// TestDependencies holds what an app gets into its binary by importing the
// root: the standard library and a handful of modules, each with its reason.
// And of ours only leaves: every other package points here.
func TestDependencies(t *testing.T) {
	allowed := []string{
		"github.com/lestrrat-go/jwx/v2", // signatures and keys, in internal/token alone
		"github.com/google/uuid",        // user and session IDs
		"github.com/alexedwards/scs/v2", // server-side session data, in session.go
		"golang.org/x/crypto",           // Argon2, for credential/password; jwx has it too

		// What jwx needs, and nothing of ours imports.
		"github.com/lestrrat-go/blackmagic",
		"github.com/lestrrat-go/httpcc",
		"github.com/lestrrat-go/httprc",
		"github.com/lestrrat-go/iter",
		"github.com/lestrrat-go/option",

		// golang.org/x/text is in go.mod for pages, and not here: the root does not link it.
		"golang.org/x/sys", // x/crypto's look at the processor
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Module", ".")
	list.Env = append(os.Environ(), "GOWORK=off") // as the users of the module see it
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	packages := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); ; packages++ {
		var p struct {
			ImportPath string
			Standard   bool
			Module     *struct{ Path string }
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch {
		case p.ImportPath == "html/template", p.ImportPath == "text/template":
			t.Errorf("the root depends on %s, which is 3.8 MB of every program", p.ImportPath)
		case p.Standard || p.ImportPath == module || isOursWithin(p.ImportPath, "internal") || isOursWithin(p.ImportPath, "texts"):
		case isPublicLeaf(p.ImportPath):
		case isOursWithin(p.ImportPath, ""):
			t.Errorf("the root depends on %s; every arrow points at the root", p.ImportPath)
		case p.Module == nil || !slices.Contains(allowed, p.Module.Path):
			t.Errorf("the root depends on %s; a new dependency has its reason in docs/decisions.md and its line here", p.ImportPath)
		}
	}
	if packages < 50 {
		t.Errorf("go list named %d packages; this test has looked at nothing", packages)
	}
}

// TestBinarySize holds what walkin adds to a program, see docs/decisions.md: a package that
// calls what any type may have makes the linker keep all methods of all types.
func TestBinarySize(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("it builds two programs, and their size is known for linux/amd64")
	}
	size := func(program string) int64 {
		binary := filepath.Join(t.TempDir(), program)
		build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./testdata/size/"+program)
		build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=") // as the users of the module build it
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		info, err := os.Stat(binary)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	const most = 2_600_000
	if added := size("walkin") - size("bare"); added > most {
		t.Errorf("walkin adds %d bytes to a program, want %d at most", added, most)
	} else if added < most/10 {
		t.Errorf("walkin adds %d bytes to a program; this test has looked at nothing", added)
	}
}

// TestTokenAloneImportsJWX holds that a successor to jwx, which is no longer
// maintained, is a change of one small package.
func TestTokenAloneImportsJWX(t *testing.T) {
	found := false
	for _, dir := range append(leaves(t), ".") {
		for file, imports := range importsOf(t, dir) {
			for _, imported := range imports {
				if !strings.HasPrefix(imported, "github.com/lestrrat-go/jwx") {
					continue
				}
				if found = true; dir != "internal/token" {
					t.Errorf("%s imports %s; only internal/token may", path.Join(dir, file), imported)
				}
			}
		}
	}
	if !found {
		t.Error("nothing imports jwx; this test has looked at nothing, or is no longer needed")
	}
}

// leaves returns the packages of ours that the root imports.
func leaves(t *testing.T) []string {
	t.Helper()
	all := map[string]bool{}
	for _, imports := range importsOf(t, ".") {
		for _, imported := range imports {
			if isOursWithin(imported, "") {
				all[strings.TrimPrefix(imported, module+"/")] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// TestLeaves holds that what the root imports of ours imports nothing of ours, so that
// each is tested alone.
func TestLeaves(t *testing.T) {
	all := leaves(t)
	for _, leaf := range all {
		if !isPublicLeaf(module+"/"+leaf) && !strings.HasPrefix(leaf, "internal/") {
			t.Errorf("the root imports %s; of ours it imports internal leaves and %q", leaf, publicLeaves)
		}
		for file, imports := range importsOf(t, leaf) {
			for _, imported := range imports {
				if isOursWithin(imported, "") {
					t.Errorf("%s imports %s; a leaf imports nothing of ours", path.Join(leaf, file), imported)
				}
			}
		}
	}
	if len(all) < 5 {
		t.Errorf("got the leaves %q; this test has looked at nothing", all)
	}
}

// TestRoomsImportTheRoot holds that a store, a credential or another package of ours
// imports the root and public leaves, and never a package beside it: an app that takes
// one gets that one. The example, the commands, the benchmarks and the programs of the
// docs are apps, and import like them.
func TestRoomsImportTheRoot(t *testing.T) {
	apps := []string{"example", "bench", "cmd", "docs"}
	also := map[string][]string{
		"store/storetest":      {"walkintest"},      // the suite walks through a browser-like client
		"credential/code/smtp": {"credential/code"}, // it sends what that makes
		"store/pgxstore":       {"store/sqlstore"},  // it is that one, with transactions of pgx
	}

	rooms := 0
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case dir != "." && strings.ContainsAny(d.Name()[:1], "._"), d.Name() == "testdata", d.Name() == "internal", slices.Contains(apps, dir):
			return filepath.SkipDir
		}
		room := filepath.ToSlash(dir)
		for file, imports := range importsOf(t, dir) {
			if room == "." {
				continue // TestDependencies
			}
			rooms++
			for _, imported := range imports {
				shared := strings.Contains(imported+"/", "/internal/") // what two rooms share
				if !isOursWithin(imported, "") || shared || isOursWithin(imported, room) {
					continue
				}
				if imported != module && !isPublicLeaf(imported) && !slices.Contains(also[room], strings.TrimPrefix(imported, module+"/")) {
					t.Errorf("%s imports %s; packages of ours import the root and not each other", path.Join(room, file), imported)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if rooms == 0 {
		t.Error("no file of ours beside the root was looked at")
	}
}

// isOursWithin reports whether a package is in the given folder of the
// repository, of whatever module.
func isOursWithin(imported, folder string) bool {
	within := path.Join(module, folder)
	return imported == within || strings.HasPrefix(imported, within+"/")
}

// importsOf returns what the Go files in dir import, tests excepted.
func importsOf(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		imports[name] = []string{}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			imports[name] = append(imports[name], imported)
		}
	}
	return imports
}
