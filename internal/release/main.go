// Command release gives all modules of this repository one version. See
// docs/releasing.md.
//
//	go run ./internal/release [-dry-run] v0.1.0   # writes, checks, commits and tags
//	go run ./internal/release -check              # what would keep users from fetching the tree?
//	go run ./internal/release -tidy               # go mod tidy in every module
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

func main() {
	check := flag.Bool("check", false, "check that the tree can be fetched at the version it has, and is tagged")
	tidy := flag.Bool("tidy", false, "run go mod tidy in every module")
	dryRun := flag.Bool("dry-run", false, "change and check the tree; commit and tag nothing")
	flag.Parse()
	var err error
	switch {
	case *check && flag.NArg() == 0:
		err = runCheck()
	case *tidy && flag.NArg() == 0:
		err = runTidy()
	case !*check && !*tidy && flag.NArg() == 1:
		err = run(flag.Arg(0), *dryRun)
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run releases the tree as version.
func run(version string, dryRun bool) error {
	if !semver.IsValid(version) || semver.Canonical(version) != version {
		return fmt.Errorf("release: %q is not a version like v0.1.0", version)
	}
	if semver.Major(version) != "v0" && semver.Major(version) != "v1" {
		return fmt.Errorf("release: %s needs module paths that end in /%s", version, semver.Major(version))
	}
	t, err := readTree(".")
	if err != nil {
		return err
	}
	if dirty, err := t.git("status", "--porcelain"); err != nil {
		return err
	} else if dirty != "" && !dryRun {
		return fmt.Errorf("release: there are changes that are not committed:\n%s", dirty)
	}
	for _, m := range t.released() {
		if t.tagged(m.tag(version)) {
			return fmt.Errorf("release: the tag %s is there already, and a version never changes", m.tag(version))
		}
	}
	log, err := os.ReadFile(t.join("CHANGELOG.md"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(log), "\n## "+version+" ") {
		return fmt.Errorf("release: CHANGELOG.md has no section that begins with %q", "## "+version+" ")
	}
	if err := t.setVersion(version); err != nil {
		return err
	}
	if t, err = readTree("."); err != nil {
		return err
	}
	if err := t.check(version, func(string) bool { return true }); err != nil {
		return err
	}
	if err := t.fetchAll(version); err != nil {
		return err
	}
	if dryRun {
		fmt.Printf("%s would be tagged:\n", version)
		for _, m := range t.released() {
			fmt.Println("  " + m.tag(version))
		}
		return nil
	}
	if changed, err := t.git("status", "--porcelain"); err != nil {
		return err
	} else if changed != "" {
		if _, err := t.git("commit", "-qam", "release: "+version); err != nil {
			return err
		}
	}
	for _, m := range t.released() {
		if _, err := t.git("tag", "-a", "-m", m.path+" "+version, m.tag(version)); err != nil {
			return err
		}
	}
	fmt.Println("tagged; publish with: git push --follow-tags")
	return nil
}

func runCheck() error {
	t, err := readTree(".")
	if err != nil {
		return err
	}
	version, err := t.version()
	if err != nil {
		return err
	}
	if err := t.check(version, t.tagged); err != nil {
		return err
	}
	return t.fetchAll(version)
}

// fetchAll takes each public module into a fresh one, from a proxy of the tree.
func (t *tree) fetchAll(version string) error {
	dir, err := os.MkdirTemp("", "walkin-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	u, err := t.serve(dir, version)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range t.modules {
		if !m.isPublic() {
			continue
		}
		fresh := filepath.Join(dir, "fresh", filepath.FromSlash(m.dir), "-")
		if err := os.MkdirAll(fresh, 0o755); err != nil {
			return err
		}
		fmt.Printf("fetching %s %s\n", m.path, version)
		errs = append(errs, t.fetch(u, m, version, fresh))
	}
	return errors.Join(errs...)
}

// serve lays the tree out as a proxy below dir and returns a user of it.
func (t *tree) serve(dir, version string) (user, error) {
	proxy, cache := filepath.Join(dir, "proxy"), filepath.Join(dir, "cache")
	for _, d := range []string{proxy, cache} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return user{}, err
		}
	}
	if err := t.writeProxy(proxy, version); err != nil {
		return user{}, err
	}
	return newUser(proxy, cache)
}

// runTidy runs go mod tidy in every module. It takes our other modules from a proxy of
// the tree, since go mod tidy does not look at go.work. It leaves their checksums out
// of go.sum, since the tree goes on changing.
func runTidy() error {
	t, err := readTree(".")
	if err != nil {
		return err
	}
	version, err := t.version()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "walkin-tidy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	u, err := t.serve(dir, version)
	if err != nil {
		return err
	}
	for _, m := range t.modules {
		if err := u.run(t.join(m.dir), "mod", "tidy"); err != nil {
			return fmt.Errorf("release: %s: %w", m.path, err)
		}
		if err := dropOwnSums(t.join(m.dir, "go.sum")); err != nil {
			return err
		}
	}
	return nil
}

func dropOwnSums(name string) error {
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var kept strings.Builder
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, ours+" ") && !strings.HasPrefix(line, ours+"/") {
			kept.WriteString(line)
		}
	}
	return os.WriteFile(name, []byte(kept.String()), 0o644)
}

// setVersion writes version into every requirement of ours, and into go.work.
func (t *tree) setVersion(version string) error {
	for _, m := range t.modules {
		for _, require := range m.file.Require {
			if t.module(require.Mod.Path) == nil {
				continue
			}
			if err := m.file.AddRequire(require.Mod.Path, version); err != nil {
				return err
			}
		}
		m.file.Cleanup()
		data, err := m.file.Format()
		if err != nil {
			return err
		}
		if err := os.WriteFile(t.join(m.dir, "go.mod"), data, 0o644); err != nil {
			return err
		}
	}
	work, err := t.work()
	if err != nil {
		return err
	}
	for _, replace := range work.Replace {
		if err := work.DropReplace(replace.Old.Path, replace.Old.Version); err != nil {
			return err
		}
	}
	// The go command wants a version that exists, or one that is replaced, also
	// of the modules that go.work has.
	for _, m := range t.modules {
		local := "./"
		if m.dir != "." {
			local += m.dir
		}
		if err := work.AddReplace(m.path, version, local, ""); err != nil {
			return err
		}
	}
	work.Cleanup()
	work.SortBlocks()
	return os.WriteFile(t.join("go.work"), modfile.Format(work.Syntax), 0o644)
}

func (t *tree) tagged(tag string) bool {
	_, err := t.git("rev-parse", "-q", "--verify", "refs/tags/"+tag)
	return err == nil
}

func (t *tree) git(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = t.root
	out, err := cmd.Output()
	if err != nil {
		text := err.Error()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			text = string(exit.Stderr)
		}
		return "", fmt.Errorf("release: git %s: %s", args[0], text)
	}
	return strings.TrimSpace(string(out)), nil
}
