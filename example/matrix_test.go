package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/walkintest"
)

// routes are those that main.go names, and those of package pages as main.go mounts it.
func routes(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, m := range regexp.MustCompile(`\bmux\.Handle(?:Func)?\("([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		routes = append(routes, m[1])
	}
	routes = append(routes,
		"GET /upgrade", "POST /upgrade", "GET /upgrade/code", "POST /upgrade/code", "GET /signin", "POST /signin", "POST /signin/send",
		"GET /signin/code", "POST /signin/code", "GET /signout", "POST /signout", "GET /account/", "GET /account/connect", "GET /account/code", "POST /account/code",
		"GET /account/undo", "POST /account/undo", "POST /account/email", "POST /account/email/code", "POST /account/remove", "POST /account/rename",
		"POST /account/password", "POST /account/end-session", "POST /account/end-others", "POST /account/download", "POST /account/delete",
		"POST /account/provider/start", "POST /account/passkey/register", "POST /account/passkey/signin", "GET /account/style.css",
		"GET /account/factor", "POST /account/factor", "POST /account/factor/begin", "GET /account/factor/set-up", "POST /account/factor/set-up",
		"POST /account/factor/codes", "POST /account/factor/off", "GET /account/device", "POST /account/device", "POST /account/device/confirm",
		"GET /account/device/join", "POST /account/device/join", "GET /account/device/wait", "POST /account/device/wait", "POST /account/device/end")
	if len(routes) < 40 {
		t.Fatalf("got %q: main.go mounts its routes in another way", routes)
	}
	return routes
}

// TestMatrix asks every route for every kind of visitor.
func TestMatrix(t *testing.T) {
	sample, err := newSampleID("https://app.example")
	if err != nil {
		t.Fatal(err)
	}
	site, db, err := open(t.Context(), config{file: filepath.Join(t.TempDir(), "notes.db"), url: "https://app.example", mail: new(bytes.Buffer),
		providers: []oidc.Provider{sample.provider()}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	walkintest.Matrix{Middleware: site.wk, Handler: site, Routes: routes(t), File: "testdata/matrix.txt",
		Values: map[string]string{"file": "style.css"}}.Test(t)
}
