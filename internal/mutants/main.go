// Command mutants looks for what the tests do not hold. It makes many small mistakes in
// a package, one at a time, and runs the tests that reach the mistake. One that no test
// notices survives, and is printed.
//
//	go run ./internal/mutants -time 10m                     # samples all that it knows
//	go run ./internal/mutants -time 10m -files newusers . # one package, some files
//	go run ./internal/mutants -number 1234 .                # one mutant again
//
// All mutants of a package are compiled in at once, behind a switch that the
// environment sets, so that a mutant costs no compilation. The source on disk stays as
// it is: go build -overlay. See docs/decisions.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A target is a package, with those whose tests hold it beside its own.
type target struct {
	pkg string
	by  []string
}

// targets are the packages that bear security.
var targets = []target{
	{".", []string{"./store/memstore", "./credential/password", "./credential/code", "./resume", "./quota", "./credential/handover", "./credential/totp", "./adapters/internal/suite"}},
	{"./internal/token", []string{"."}},
	{"./internal/request", []string{"."}},
	{"./internal/response", []string{"."}},
	{"./internal/localurl", []string{"."}},
	{"./internal/clientip", []string{"."}},
	{"./limit", nil},
	{"./credential/code", nil},
	{"./credential/password", nil},
	{"./credential/passkey", nil},
	{"./credential/oidc", nil},
	{"./credential/totp", nil},
	{"./store", []string{"./store/memstore"}},
	{"./store/memstore", nil},
	{"./resume", nil},
	{"./quota", []string{"."}},
	{"./challenge", nil},
}

func main() {
	log.SetFlags(0)
	r := &run{out: os.Stdout}
	budget := flag.Duration("time", 10*time.Minute, "how long to sample, builds included")
	flag.Uint64Var(&r.seed, "seed", uint64(time.Now().UnixNano()), "of the sample")
	files := flag.String("files", "", "a regular expression of the files to mutate")
	flag.IntVar(&r.number, "number", 0, "the only mutant to run")
	flag.Parse()
	r.files = regexp.MustCompile(*files)
	ctx, cancel := context.WithTimeout(context.Background(), *budget)
	defer cancel()
	survivors, err := r.all(ctx, flag.Args(), *budget)
	if err != nil {
		log.Fatal("mutants: ", err)
	}
	if survivors > 0 {
		os.Exit(1)
	}
}

// A run samples the mutants of some packages.
type run struct {
	out    io.Writer
	seed   uint64
	files  *regexp.Regexp
	number int
}

// all runs the targets that are named, or all of them, each for its share of the time.
func (r *run) all(ctx context.Context, named []string, budget time.Duration) (survivors int, err error) {
	log.Printf("seed %d", r.seed)
	var picked []target
	for _, t := range targets {
		if len(named) == 0 || slices.Contains(named, t.pkg) {
			picked = append(picked, t)
		}
	}
	for _, name := range named {
		if !slices.ContainsFunc(picked, func(t target) bool { return t.pkg == name }) {
			picked = append(picked, target{name, nil})
		}
	}
	for i, t := range picked {
		share := budget / time.Duration(len(picked))
		if len(named) == 0 && i == 0 {
			share = budget / 2 // the root has most of what matters
		}
		part, cancel := context.WithTimeout(ctx, share)
		n, err := r.one(part, t.pkg, t.by)
		cancel()
		if survivors += n; err != nil {
			return survivors, fmt.Errorf("%s: %w", t.pkg, err)
		}
	}
	return survivors, nil
}

// A suite is the compiled tests of one package.
type suite struct {
	binary, dir string
	reached     map[int][]test // by mutant
}

type test struct {
	pattern string
	took    time.Duration
}

func (r *run) one(ctx context.Context, pkg string, by []string) (survivors int, err error) {
	temp, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(temp)
	dir, names, err := filesOf(ctx, pkg)
	if err != nil {
		return 0, err
	}
	mutated, mutants, err := mutate(dir, names)
	if err != nil {
		return 0, err
	}
	overlay, err := writeOverlay(temp, mutated)
	if err != nil {
		return 0, err
	}
	by = append([]string{pkg}, by...)
	var suites []*suite // built when a mutant asks for them
	rand.New(rand.NewPCG(r.seed, 1)).Shuffle(len(mutants), func(i, j int) { mutants[i], mutants[j] = mutants[j], mutants[i] })
	counts := map[string]int{}
	for _, m := range mutants {
		if !r.files.MatchString(filepath.Base(m.where)) || r.number != 0 && r.number != m.number {
			continue
		}
		fate := "unreached"
		for i, tests := range by {
			if i == len(suites) {
				s, err := build(ctx, tests, overlay, filepath.Join(temp, strconv.Itoa(i)))
				if ctx.Err() == nil && err != nil {
					return 0, err
				}
				suites = append(suites, s)
			}
			if ctx.Err() != nil {
				break
			}
			if len(suites[i].reached[m.number]) == 0 {
				continue
			}
			if fate = suites[i].try(ctx, m); fate == "killed" {
				break
			}
		}
		if ctx.Err() != nil {
			break // a run that was cut short says nothing
		}
		if counts[fate]++; fate != "killed" {
			rel, _ := filepath.Rel(dir, m.where)
			fmt.Fprintf(r.out, "%s %s %s: %s (%d): %s\n", fate, pkg, rel, m.kind, m.number, m.text)
		}
	}
	tried := counts["killed"] + counts["survived"] + counts["unreached"]
	fmt.Fprintf(r.out, "%s: %d of %d mutants tried: %d killed, %d survived, %d reached by no test\n", pkg, tried, len(mutants), counts["killed"], counts["survived"], counts["unreached"])
	return tried - counts["killed"], nil
}

func filesOf(ctx context.Context, pkg string) (dir string, names []string, err error) {
	b, err := exec.CommandContext(ctx, "go", "list", "-json=Dir,GoFiles", pkg).Output()
	if err != nil {
		return "", nil, err
	}
	var p struct {
		Dir     string
		GoFiles []string
	}
	err = json.Unmarshal(b, &p)
	return p.Dir, p.GoFiles, err
}

func writeOverlay(temp string, files map[string][]byte) (string, error) {
	replace := map[string]string{}
	for path, source := range files {
		replace[path] = filepath.Join(temp, filepath.Base(path))
		if err := os.WriteFile(replace[path], source, 0o600); err != nil {
			return "", err
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(temp, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}

// build compiles the tests of a package with the mutants in it, and learns which test
// reaches which mutant. A test that fails without a mutant, or is skipped for want of a
// server, says nothing and is left out.
func build(ctx context.Context, pkg, overlay, binary string) (*suite, error) {
	dir, _, err := filesOf(ctx, pkg)
	if err != nil {
		return nil, err
	}
	if b, err := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, pkg).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, b)
	}
	s := &suite{binary: binary, dir: dir, reached: map[int][]test{}}
	list, err := s.command(ctx, 0, "-test.list", "^(Test|Fuzz|Example)").Output()
	if err != nil {
		return nil, err
	}
	for name := range strings.FieldsSeq(string(list)) {
		said, took, err := s.trace(ctx, binary+"."+name, "^"+name+"$")
		if ctx.Err() != nil {
			return nil, ctx.Err()
		} else if err != nil {
			log.Printf("left out: %s of %s: %v", name, pkg, err)
			continue
		}
		// A part of a long test reaches less, and ends sooner. The whole is kept too: a
		// part may fail alone.
		all := parts(said)
		if took < max(time.Second, time.Duration(len(all))*10*time.Millisecond) {
			continue
		}
		for i, part := range all {
			if _, _, err := s.trace(ctx, fmt.Sprint(binary, ".", name, i), part); ctx.Err() != nil {
				return nil, ctx.Err()
			} else if err != nil {
				log.Printf("left out: %s of %s: %v", part, pkg, err)
			}
		}
	}
	return s, nil
}

// trace runs the tests of a pattern once, without a mutant, to learn what they reach.
func (s *suite) trace(ctx context.Context, file, pattern string) (said []byte, took time.Duration, err error) {
	c := s.command(ctx, 0, "-test.v", "-test.run", pattern, "-test.timeout", "2m")
	c.Env = append(c.Env, "WALKIN_MUTANT_TRACE="+file)
	began := time.Now()
	if said, err = c.Output(); err != nil {
		return nil, 0, err
	}
	t := test{pattern, time.Since(began)}
	b, err := os.ReadFile(file)
	if err != nil {
		return said, t.took, nil // it reaches none
	}
	for line := range strings.FieldsSeq(string(b)) {
		if n, err := strconv.Atoi(line); err == nil {
			s.reached[n] = append(s.reached[n], t)
		}
	}
	return said, t.took, nil
}

// parts returns a pattern for each subtest of the first levels, as -test.v said.
func parts(said []byte) (patterns []string) {
	var names []string
	for line := range strings.Lines(string(said)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "=== RUN   "); ok && strings.Contains(name, "/") {
			levels := strings.Split(name, "/")
			names = append(names, strings.Join(levels[:min(len(levels), 3)], "/"))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for i, name := range names {
		if slices.ContainsFunc(names[i+1:], func(other string) bool { return strings.HasPrefix(other, name+"/") }) {
			continue
		}
		levels := strings.Split(name, "/")
		for i, level := range levels {
			levels[i] = "^" + regexp.QuoteMeta(level) + "$"
		}
		patterns = append(patterns, strings.Join(levels, "/"))
	}
	return patterns
}

func (s *suite) command(ctx context.Context, mutant int, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, s.binary, args...)
	c.Dir = s.dir
	c.Env = append(os.Environ(), "WALKIN_MUTANT="+strconv.Itoa(mutant))
	return c
}

// try runs the tests that reach a mutant, quick ones first. One that never ends is
// noticed, too.
func (s *suite) try(ctx context.Context, m mutant) string {
	tests := slices.Clone(s.reached[m.number])
	slices.SortStableFunc(tests, func(a, b test) int { return int(a.took - b.took) })
	for len(tests) > 0 {
		some := tests[:min(len(tests), 40)]
		tests = tests[len(some):]
		var patterns []string
		limit := time.Minute
		for _, t := range some {
			patterns = append(patterns, t.pattern)
			limit += 10 * t.took
		}
		if err := s.command(ctx, m.number, "-test.run", strings.Join(patterns, "|"), "-test.failfast", "-test.timeout", limit.String()).Run(); err != nil {
			return "killed"
		}
	}
	return "survived"
}
