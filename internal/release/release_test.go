package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFreshModules holds that users can have every public module of this tree:
// each is taken alone, by go get, go build and go mod tidy, into a fresh module
// without this workspace, from a proxy that serves the tree.
func TestFreshModules(t *testing.T) {
	tr, err := readTree(".")
	if err != nil {
		t.Fatal(err)
	}
	version, err := tr.version()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.check(version, func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	u, err := published()
	if err != nil {
		t.Fatal(err)
	}
	fetched := 0
	for _, m := range tr.modules {
		if !m.isPublic() {
			continue
		}
		fetched++
		t.Run(m.dir, func(t *testing.T) {
			if err := tr.fetch(u, m, version, t.TempDir()); err != nil {
				t.Error(err)
			}
		})
	}
	if fetched < 15 {
		t.Errorf("got %d public modules; this test has looked at too little", fetched)
	}
}

// TestCheckFindsFaults holds that each thing which keeps users from a module is
// found.
func TestCheckFindsFaults(t *testing.T) {
	tagged := func(string) bool { return true }
	for _, test := range []struct {
		name   string
		change func(t *testing.T, dir string)
		tagged func(string) bool
		want   string
	}{
		{"nothing", func(*testing.T, string) {}, tagged, ""},
		{"another version", replaceIn("below/go.mod", "v0.1.0", "v0.2.0"), tagged, "below/go.mod requires " + ours + " v0.2.0"},
		{"a replacement", appendTo("below/go.mod", "\nreplace "+ours+" => ../\n"), tagged, "below/go.mod replaces " + ours},
		{"an exclusion", appendTo("below/go.mod", "\nexclude "+ours+" v0.0.1\n"), tagged, "below/go.mod excludes versions"},
		{"a module that is not there", replaceIn("below/go.mod", ours+" v0.1.0", ours+"/elsewhere v0.1.0"), tagged, "which go.work does not have"},
		{"no tag", func(*testing.T, string) {}, func(tag string) bool { return tag == "v0.1.0" }, "there is no tag below/v0.1.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := smallTree(t)
			test.change(t, dir)
			tr, err := readTree(dir)
			if err != nil {
				t.Fatal(err)
			}
			err = tr.check("v0.1.0", test.tagged)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("got %v, want no fault", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestFetchFindsFaults holds that the fetch itself fails where a user's would:
// a package that only the workspace has.
func TestFetchFindsFaults(t *testing.T) {
	dir := smallTree(t)
	write(t, dir, "below/internal/extra/go.mod", "module "+ours+"/below/internal/extra\n\ngo 1.26.0\n")
	write(t, dir, "below/internal/extra/extra.go", "package extra\n")
	write(t, dir, "below/below_test.go", "package below\n\nimport _ \""+ours+"/below/internal/extra\"\n")
	appendTo("go.work", "\nuse ./below/internal/extra\n")(t, dir)
	tr, err := readTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	u, err := tr.serve(t.TempDir(), "v0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.fetch(u, tr.module(ours+"/below"), "v0.1.0", t.TempDir()); err == nil || !strings.Contains(err.Error(), "internal/extra") {
		t.Errorf("got %v, want go mod tidy to miss below/internal/extra", err)
	}
}

// TestRelease releases a small tree: a dry run changes it and makes no tag, a
// release commits and tags, and no version is released twice.
func TestRelease(t *testing.T) {
	dir := smallTree(t)
	t.Chdir(dir)
	git := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	git("config", "user.name", "Tester")
	git("config", "user.email", "tester@example.com")
	git("add", ".")
	git("commit", "-qm", "first")

	if err := run("v0.2.0", true); err == nil || !strings.Contains(err.Error(), "CHANGELOG.md") {
		t.Errorf("got %v for a version that the changelog lacks", err)
	}
	appendTo("CHANGELOG.md", "\n## v0.2.0 (2026-12-01)\n")(t, dir)
	git("commit", "-qam", "second")
	if err := run("v0.2.0", true); err != nil {
		t.Fatalf("dry run: %v", err)
	}
	if got := git("tag"); got != "" {
		t.Errorf("got tags %q after a dry run", got)
	}
	if got := read(t, dir, "below/go.mod"); !strings.Contains(got, ours+" v0.2.0") {
		t.Errorf("got below/go.mod after a dry run:\n%s", got)
	}
	if err := run("v0.2.0", false); err == nil {
		t.Error("got a release of changes that are not committed")
	}
	git("checkout", "-q", ".")
	if err := run("v0.2.0", false); err != nil {
		t.Fatalf("release: %v", err)
	}
	if got, want := git("tag"), "below/v0.2.0\nv0.2.0"; got != want {
		t.Errorf("got tags %q, want %q", got, want)
	}
	if got := git("status", "--porcelain"); got != "" {
		t.Errorf("got a tree that is not clean: %s", got)
	}
	if err := runCheck(); err != nil {
		t.Errorf("check after the release: %v", err)
	}
	if err := run("v0.2.0", false); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("got %v for a version that is tagged", err)
	}
	for _, version := range []string{"0.3.0", "v0.3", "latest", "v2.0.0", ""} {
		if err := run(version, true); err == nil {
			t.Errorf("got a release %q", version)
		}
	}
}

// smallTree is a repository of two modules, one of which requires the other.
func smallTree(t *testing.T) string {
	dir := t.TempDir()
	write(t, dir, "go.work", "go 1.26.0\n\nuse (\n\t.\n\t./below\n)\n\nreplace "+ours+" v0.1.0 => ./\n")
	write(t, dir, "go.mod", "module "+ours+"\n\ngo 1.26.0\n")
	write(t, dir, "walkin.go", "package walkin\n")
	write(t, dir, "LICENSE", "MIT\n")
	write(t, dir, "CHANGELOG.md", "# Changelog\n\n## v0.1.0 (2026-11-01)\n")
	write(t, dir, "below/go.mod", "module "+ours+"/below\n\ngo 1.26.0\n\nrequire "+ours+" v0.1.0\n")
	write(t, dir, "below/below.go", "package below\n\nimport _ \""+ours+"\"\n")
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	name = filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func replaceIn(name, old, with string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { write(t, dir, name, strings.ReplaceAll(read(t, dir, name), old, with)) }
}

func appendTo(name, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { write(t, dir, name, read(t, dir, name)+text) }
}

// TestVersionsPage holds docs/versions.md to what the modules require.
func TestVersionsPage(t *testing.T) {
	tr, err := readTree(".")
	if err != nil {
		t.Fatal(err)
	}
	page := read(t, tr.root, "docs/versions.md")
	rows := 0
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 2 {
			continue
		}
		m := tr.module(ours + "/" + strings.TrimSpace(cells[0]))
		name, version, _ := strings.Cut(strings.TrimSpace(cells[1]), " ")
		if m == nil {
			continue // the head of the table, and the line below it
		}
		rows++
		found := false
		for _, require := range m.file.Require {
			found = found || require.Mod.Path == name && require.Mod.Version == version
		}
		if !found {
			t.Errorf("%s does not require %s %s", m.dir, name, version)
		}
	}
	if rows < 10 {
		t.Errorf("got %d rows; this test has looked at too little", rows)
	}
}
