package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// check returns what would keep users from fetching the tree at version, all
// of it joined: a requirement at another version, a replacement that only this
// repository has, a tag that is missing.
func (t *tree) check(version string, tagged func(tag string) bool) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("release: "+format, args...)) }
	for _, m := range t.released() {
		for _, require := range m.file.Require {
			switch {
			case require.Mod.Path != ours && !strings.HasPrefix(require.Mod.Path, ours+"/"):
			case t.module(require.Mod.Path) == nil:
				fault("%s/go.mod requires %s, which go.work does not have", m.dir, require.Mod.Path)
			case require.Mod.Version != version:
				fault("%s/go.mod requires %s %s, and the release is %s", m.dir, require.Mod.Path, require.Mod.Version, version)
			}
		}
		// A user's build takes no notice of a replacement, and go run and go
		// install of a command refuse a module that has one.
		for _, replace := range m.file.Replace {
			fault("%s/go.mod replaces %s: users have no such replacement", m.dir, replace.Old.Path)
		}
		if len(m.file.Exclude) > 0 {
			fault("%s/go.mod excludes versions: users have no such exclusion", m.dir)
		}
		if !tagged(m.tag(version)) {
			fault("there is no tag %s", m.tag(version))
		}
	}
	return errors.Join(errs...)
}

// A user is a developer with an empty folder and a module proxy, and without the
// workspace. Their module cache is their own.
type user struct {
	env []string
}

// newUser returns a user who is served by the proxy in the folder dir, and by
// this machine's cache and proxy for the modules of others. cache is an empty
// folder.
func newUser(proxy, cache string) (user, error) {
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		return user{}, fmt.Errorf("release: go env: %w", err)
	}
	downloads, upstream, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	downloads = filepath.Join(downloads, "cache", "download")
	return user{env: append(os.Environ(),
		"GOWORK=off",
		"GOMODCACHE="+cache,
		"GOPROXY="+fileURL(proxy)+","+fileURL(downloads)+","+upstream,
		// The tree is in no checksum database yet, and a fresh module has no
		// go.sum to hold the others to.
		"GOSUMDB=off",
		// Trimmed paths let the build cache be used again, also by the tests of cmd/walkin,
		// which build without cgo as well.
		"GOFLAGS=-mod=mod -modcacherw -trimpath",
		"CGO_ENABLED=0",
	)}, nil
}

func fileURL(dir string) string { return "file://" + filepath.ToSlash(dir) }

func (u user) run(dir string, args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = dir, u.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// fetch takes the module m at version into a fresh module in the empty folder
// dir, as its users do: go get, a program that imports every package of it, go
// build and go mod tidy. Commands are built by path and version, as go run
// does it.
func (t *tree) fetch(u user, m *module, version, dir string) error {
	libraries, commands, err := t.packages(m)
	if err != nil {
		return err
	}
	if len(libraries)+len(commands) == 0 {
		return fmt.Errorf("release: %s has no package to import and no command to run", m.path)
	}
	if len(libraries) > 0 {
		if err := u.run(dir, "mod", "init", "fresh"); err != nil {
			return err
		}
		var program strings.Builder
		program.WriteString("package main\n\nimport (\n")
		for _, library := range libraries {
			fmt.Fprintf(&program, "\t_ %q\n", library)
		}
		program.WriteString(")\n\nfunc main() {}\n")
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program.String()), 0o600); err != nil {
			return err
		}
		for _, args := range [][]string{{"get", m.path + "@" + version}, {"build", "-o", os.DevNull, "."}, {"mod", "tidy"}} {
			if err := u.run(dir, args...); err != nil {
				return err
			}
		}
	}
	for _, command := range commands {
		// In no module at all. It is go run without the running.
		bin := user{env: append(u.env, "GOBIN="+filepath.Join(dir, "bin"))}
		if err := bin.run(os.TempDir(), "install", command+"@"+version); err != nil {
			return err
		}
	}
	return nil
}
