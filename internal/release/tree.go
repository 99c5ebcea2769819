package main

import (
	"errors"
	"fmt"
	"go/build"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

const ours = "github.com/walkin-go/walkin"

// A tree is the repository as it is on the disk: every module that go.work names. A
// module that is added there later is part of each check automatically.
type tree struct {
	root    string
	modules []*module
}

type module struct {
	path string
	dir  string // below the root, with slashes; "." for the root module
	file *modfile.File
}

// readTree reads the workspace that contains dir.
func readTree(dir string) (*tree, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.work")); err == nil {
			break
		}
		if filepath.Dir(root) == root {
			return nil, errors.New("release: there is no go.work here or above")
		}
		root = filepath.Dir(root)
	}
	t := &tree{root: root}
	work, err := t.work()
	if err != nil {
		return nil, err
	}
	for _, use := range work.Use {
		dir := path.Clean(filepath.ToSlash(use.Path))
		name := t.join(dir, "go.mod")
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, err := modfile.Parse(name, data, nil)
		if err != nil {
			return nil, err
		}
		m := &module{path: file.Module.Mod.Path, dir: dir, file: file}
		if want := path.Join(ours, dir); m.path != want {
			return nil, fmt.Errorf("release: %s/go.mod names the module %s, want %s", dir, m.path, want)
		}
		t.modules = append(t.modules, m)
	}
	return t, nil
}

func (t *tree) work() (*modfile.WorkFile, error) {
	name := t.join("go.work")
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return modfile.ParseWork(name, data, nil)
}

func (t *tree) join(parts ...string) string {
	return filepath.Join(append([]string{t.root}, parts...)...)
}

// isPublic reports whether the module is one that users take: bench measures
// this repository, and what is internal is tests' and tools'.
func (m *module) isPublic() bool {
	return m.dir != "bench" && !slices.Contains(strings.Split(m.dir, "/"), "internal")
}

// released returns the modules that get a tag: the public ones, and what they require.
// A go mod tidy in a module that imports them also reads the tests of their packages.
func (t *tree) released() []*module {
	in := map[string]bool{}
	var add func(m *module)
	add = func(m *module) {
		if in[m.path] {
			return
		}
		in[m.path] = true
		for _, require := range m.file.Require {
			if other := t.module(require.Mod.Path); other != nil {
				add(other)
			}
		}
	}
	for _, m := range t.modules {
		if m.isPublic() {
			add(m)
		}
	}
	return slices.DeleteFunc(slices.Clone(t.modules), func(m *module) bool { return !in[m.path] })
}

// module returns the module of that path, or nil.
func (t *tree) module(path string) *module {
	for _, m := range t.modules {
		if m.path == path {
			return m
		}
	}
	return nil
}

// tag returns the name of the module's tag, as the go command looks for it.
func (m *module) tag(version string) string {
	if m.dir == "." {
		return version
	}
	return m.dir + "/" + version
}

// version returns the one version that all modules require of each other.
func (t *tree) version() (string, error) {
	found := map[string][]string{}
	for _, m := range t.modules {
		for _, require := range m.file.Require {
			if t.module(require.Mod.Path) != nil && m.released(t) {
				found[require.Mod.Version] = append(found[require.Mod.Version], m.dir)
			}
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("release: the modules require each other at %d versions, want one: %v", len(found), found)
	}
	for version := range found {
		return version, nil
	}
	panic("unreachable")
}

func (m *module) released(t *tree) bool { return slices.Contains(t.released(), m) }

// packages returns the module's packages that others can import, and its
// commands.
func (t *tree) packages(m *module) (libraries, commands []string, err error) {
	top := t.join(m.dir)
	err = filepath.WalkDir(top, func(dir string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case dir != top && (strings.ContainsAny(d.Name()[:1], "._") || d.Name() == "testdata" || d.Name() == "internal"):
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil && dir != top {
			return filepath.SkipDir
		}
		p, err := build.ImportDir(dir, 0)
		if err != nil {
			if _, ok := errors.AsType[*build.NoGoError](err); ok {
				return nil
			}
			return err
		}
		below, err := filepath.Rel(top, dir)
		if err != nil {
			return err
		}
		name := path.Join(m.path, filepath.ToSlash(below))
		switch {
		case p.IsCommand():
			commands = append(commands, name)
		case len(p.GoFiles) > 0:
			libraries = append(libraries, name)
		}
		return nil
	})
	return libraries, commands, err
}
