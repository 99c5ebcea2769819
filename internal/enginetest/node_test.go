package enginetest

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
)

var modules struct {
	sync.Mutex
	dir string
}

// TestMain removes what [library] has installed.
func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(modules.dir) // it is a temporary folder
	os.Exit(code)
}

// library returns a file of a package of testdata/package.json. It is installed
// from npm's cache, or, where the test is required, from the registry.
func library(t *testing.T, file string) string {
	t.Helper()
	modules.Lock()
	defer modules.Unlock()
	if modules.dir == "" {
		modules.dir = install(t)
	}
	return filepath.Join(modules.dir, "node_modules", filepath.FromSlash(file))
}

func install(t *testing.T) (dir string) {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		testserver.Missing(t, "node", "npm is not installed")
	}
	dir, err := os.MkdirTemp("", "walkin-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	ci := func(more ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "npm", append([]string{"ci", "--ignore-scripts", "--no-audit", "--no-fund"}, more...)...)
		cmd.Dir = dir
		return cmd.CombinedOutput()
	}
	if _, err := ci("--offline"); err != nil {
		if !slices.Contains(strings.Split(os.Getenv("WALKIN_TEST_REQUIRE"), ","), "node") {
			testserver.Missing(t, "node", "htmx and Turbo are not in npm's cache")
		}
		if out, err := ci("--prefer-offline"); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	return dir
}

// TestNodeFetch holds that fetch of Node, which sends a Sec-Fetch-Mode as a browser does,
// is no browser: forty webhooks reach their handler, and make no user.
func TestNodeFetch(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		testserver.Missing(t, "node", "Node is not installed")
	}
	a := newApp(t, nil)
	mode := ""
	a.front.HandleFunc("POST /mode", func(_ http.ResponseWriter, r *http.Request) { mode = r.Header.Get("Sec-Fetch-Mode") })
	script := `const post = (path) => fetch(process.argv[1] + path, {method: "POST", redirect: "manual", body: JSON.stringify({})});
		(async () => { await post("/mode"); for (let i = 0; i < 40; i++) await post("/note") })()`
	if out, err := exec.CommandContext(t.Context(), node, "-e", script, a.url).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := a.got(); mode == "" || len(got) != 40 || a.count(walkin.Minted, walkin.Persisted, walkin.Refused) != 0 {
		t.Errorf("with Sec-Fetch-Mode %q: %d of 40 webhooks came through, and %v", mode, len(got), a.events)
	}
}
