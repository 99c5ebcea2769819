// Command table runs the benchmarks of this module several times, in turn, and
// makes one table of ratios of them. Run it in the folder of the module:
//
//	go run ./table -runs 5 -write ../docs/performance.md
//
// With -write it replaces the part of that file between its two marks. It reports on
// standard error which counts of allocations have changed.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func main() {
	runs := flag.Int("runs", 5, "how often to run every benchmark")
	benchtime := flag.String("benchtime", "100ms", "how long each benchmark takes")
	match := flag.String("bench", ".", "which benchmarks to run")
	write := flag.String("write", "", "the markdown `file` to bring up to date")
	raw := flag.String("raw", "", "a `file` to add the raw output to; it is read first when it is there")
	flag.Parse()
	if err := run(*runs, *benchtime, *match, *write, *raw); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(runs int, benchtime, match, write, raw string) error {
	var results results
	if raw != "" {
		old, err := os.ReadFile(raw)
		if err == nil {
			results.read(bytes.NewReader(old))
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := results.measure(runs, benchtime, match, raw); err != nil {
		return err
	}
	versions, err := versions()
	if err != nil {
		return err
	}
	if len(results.names("Returning")) > 0 {
		text := results.markdown(versions)
		fmt.Print(text)
		if write != "" {
			if err := update(write, "table", text); err != nil {
				return err
			}
		}
	}
	if len(results.names("Rhythm")) == 0 {
		return nil
	}
	text := results.rhythm(versions)
	fmt.Print(text)
	if write == "" {
		return nil
	}
	return errors.Join(update(write, "rhythm", text), results.charts(filepath.Dir(write)))
}

// A result is what one benchmark measured in each run.
type result struct {
	scene, alg, name string
	cpus             int
	time             []float64
	floors           []float64 // of BenchmarkCost: how many times its floor
	allocs           float64
}

type results struct{ all []*result }

// measure builds the benchmarks once and runs them all, again and again. So other load
// on the machine affects all of them alike.
func (rs *results) measure(runs int, benchtime, match, raw string) error {
	if runs == 0 {
		return nil
	}
	dir, err := os.MkdirTemp("", "walkin-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "bench.test")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Stderr = os.Stderr
	build.Env = alone()
	if err := build.Run(); err != nil {
		return fmt.Errorf("go test -c: %w", err)
	}
	for i := range runs {
		fmt.Fprintf(os.Stderr, "run %d of %d\n", i+1, runs)
		for _, args := range [][]string{
			{"-test.skip=^BenchmarkParallel$"},
			{"-test.skip=^Benchmark[^P]|^BenchmarkPage$", "-test.cpu=1,2"},
		} {
			args = append(args, "-test.run=^$", "-test.bench="+match, "-test.benchtime="+benchtime)
			bench := exec.Command(binary, args...)
			bench.Stderr = os.Stderr
			out, err := bench.Output()
			if err != nil {
				return fmt.Errorf("the benchmarks: %w\n%s", err, out)
			}
			rs.read(bytes.NewReader(out))
			if raw == "" {
				continue
			}
			f, err := os.OpenFile(raw, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			_, err = f.Write(out)
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}

// read takes in the output of go test -bench.
func (rs *results) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		parts := strings.SplitN(strings.TrimPrefix(fields[0], "Benchmark"), "/", 3)
		if len(parts) != 3 {
			continue
		}
		name, cpus := parts[2], 1
		// go test leaves the number away when it is 1.
		if i := strings.LastIndexByte(name, '-'); i >= 0 {
			if n, err := strconv.Atoi(name[i+1:]); err == nil {
				name, cpus = name[:i], n
			}
		}
		if parts[0] != "Parallel" {
			cpus = 0
		}
		it := rs.get(parts[0], strings.ReplaceAll(parts[1], "_", " "), strings.ReplaceAll(name, "_", " "), cpus)
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				break
			}
			switch fields[i+1] {
			case "ns/op":
				it.time = append(it.time, value)
			case "allocs/op":
				it.allocs = value
			case "×floor":
				it.floors = append(it.floors, value)
			}
		}
	}
}

func (rs *results) get(scene, alg, name string, cpus int) *result {
	if it := rs.find(scene, alg, name, cpus); it != nil {
		return it
	}
	it := &result{scene: scene, alg: alg, name: name, cpus: cpus}
	rs.all = append(rs.all, it)
	return it
}

func (rs *results) find(scene, alg, name string, cpus int) *result {
	for _, it := range rs.all {
		if it.scene == scene && it.alg == alg && it.name == name && it.cpus == cpus {
			return it
		}
	}
	return nil
}

// ratio returns the median of the ratios of each run, or NaN. Neighbours in one run
// suffer from the same noise.
func ratio(it, unit *result) float64 {
	if it == nil || unit == nil {
		return math.NaN()
	}
	var all []float64
	for i := range min(len(it.time), len(unit.time)) {
		all = append(all, it.time[i]/unit.time[i])
	}
	if len(all) == 0 {
		return math.NaN()
	}
	return middle(all)
}

// median returns the median of what BenchmarkCost reported, or NaN.
func median(it *result) float64 {
	if it == nil || len(it.floors) == 0 {
		return math.NaN()
	}
	return middle(it.floors)
}

func middle(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// A scene is a benchmark and what its ratios are relative to.
type scene struct{ name, title, unitScene, unit string }

var scenes = []scene{
	{"Returning", "returning visitor ÷ `r.WithContext`", "Returning", "floor WithContext"},
	{"Stranger", "no cookie, gets none ÷ `r.WithContext`", "Returning", "floor WithContext"},
	{"Page", "a page and 30 pieces ÷ `r.WithContext`", "Page", "floor WithContext"},
	{"First", "first visit ÷ bare sign and set", "First", "floor bare sign and set"},
	{"Miss", "a miss ÷ bare signature and decoding", "Miss", "floor signature and decoding"},
	{"Crowd", "100,000 visitors in turn ÷ bare signature and decoding", "Crowd", "floor signature and decoding"},
}

var algs = []string{"HS256", "EdDSA", "ES256", "RS256", "any"}

func (rs *results) markdown(versions string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", versions)
	b.WriteString("| scene | contender | HS256 | EdDSA | ES256 | RS256 | any | allocations |\n|---|---|---|---|---|---|---|---|\n")
	var ahead []string
	for _, s := range scenes {
		title := s.title
		for _, name := range rs.names(s.name) {
			row := []string{title, name}
			title = ""
			allocs := math.NaN()
			for _, alg := range algs {
				it := rs.find(s.name, alg, name, 0)
				unit := rs.find(s.unitScene, alg, s.unit, 0)
				if unit == nil {
					unit = rs.find(s.unitScene, "any", s.unit, 0)
				}
				if unit == nil {
					unit = rs.find(s.unitScene, "HS256", s.unit, 0) // of contenders without an algorithm
				}
				row = append(row, format(ratio(it, unit)))
				if it != nil && math.IsNaN(allocs) {
					allocs = it.allocs
				}
				us := rs.find(s.name, alg, "walkin", 0)
				if us == nil {
					us = rs.find(s.name, "HS256", "walkin", 0)
				}
				if r := ratio(it, us); r < 1 && !strings.HasPrefix(name, "floor") && !strings.HasPrefix(name, "walkin") {
					ahead = append(ahead, fmt.Sprintf("- %s (%s): %s takes %s of walkin's time",
						strings.SplitN(s.title, " ÷", 2)[0], alg, name, format(r)))
				}
			}
			row = append(row, strconv.FormatFloat(allocs, 'f', -1, 64))
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	b.WriteString("\n| returning visitors on all cores (HS256) | one core ÷ `r.WithContext` on one | throughput of two cores ÷ one |\n|---|---|---|\n")
	unit := rs.find("Parallel", "HS256", "floor WithContext", 1)
	for _, name := range rs.names("Parallel") {
		one, two := rs.find("Parallel", "HS256", name, 1), rs.find("Parallel", "HS256", name, 2)
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, format(ratio(one, unit)), format(ratio(one, two)))
	}
	b.WriteString("\n| in turn with its floor, by processor time | HS256 | EdDSA | ES256 | RS256 | any |\n|---|---|---|---|---|---|\n")
	for _, name := range rs.names("Cost") {
		row := []string{name}
		for _, alg := range algs {
			row = append(row, format(median(rs.find("Cost", alg, name, 0))))
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteString("\nPeers ahead of walkin in this table:\n\n")
	if len(ahead) == 0 {
		ahead = []string{"- none"}
	}
	b.WriteString(strings.Join(ahead, "\n") + "\n")
	return b.String()
}

// rhythm is the table of visitors who come back after a minute.
func (rs *results) rhythm(versions string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", versions)
	columns := []string{"one visitor", "1,000 visitors", "20 other cookies"}
	b.WriteString("| a page a minute after the last ÷ `r.WithContext` | " + strings.Join(columns, " | ") + " |\n|---|---|---|---|\n")
	for _, name := range rs.names("Rhythm") {
		row := []string{name}
		for _, column := range columns {
			row = append(row, format(median(rs.find("Rhythm", column, name, 0))))
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	if first := rs.find("FirstWrite", "any", "÷ a guest by hand on scs", 0); first != nil {
		fmt.Fprintf(&b, "\nA first write on SQLite takes %s of the time of a user who is made by hand on scs.\n", format(median(first)))
	}
	return b.String()
}

// names returns the contenders of a scene, in the order they ran.
func (rs *results) names(scene string) []string {
	var names []string
	for _, it := range rs.all {
		if it.scene == scene && !slices.Contains(names, it.name) {
			names = append(names, it.name)
		}
	}
	return names
}

func format(ratio float64) string {
	switch {
	case math.IsNaN(ratio):
		return ""
	case ratio < 10:
		return strconv.FormatFloat(ratio, 'f', 2, 64)
	}
	return strconv.FormatFloat(ratio, 'f', 0, 64)
}

// alone is the environment of a build without the workspace. With the workspace, the
// peers would have the versions that other modules need.
func alone() []string { return append(os.Environ(), "GOWORK=off") }

// versions names what was measured.
func versions() (string, error) {
	list := exec.Command("go", "list", "-m", "-f", "{{if not (or .Indirect .Main .Replace)}}{{.Path}} {{.Version}}{{end}}", "all")
	list.Env = alone()
	out, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("go list -m: %w", err)
	}
	modules := strings.Split(strings.TrimSpace(string(out)), "\n")
	return fmt.Sprintf("%s, %s/%s, %d cores. Beside: %s.", strings.SplitN(runtime.Version(), " ", 2)[0],
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), strings.Join(modules, ", ")), nil
}

// update replaces what is between two marks of a file.
func update(path, mark, text string) error {
	begin, end := "<!-- "+mark+": made by make bench -->\n", "<!-- end of "+mark+" -->\n"
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(old), begin)
	last, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s lacks the marks of the table", path)
	}
	was := allocations(last)
	for name, now := range allocations(text) {
		if then, ok := was[name]; ok && then != now {
			fmt.Fprintf(os.Stderr, "%s: %s allocations, %s before\n", name, now, then)
		}
	}
	return os.WriteFile(path, []byte(before+begin+text+end+after), 0o644)
}

// allocations reads the last column of a table.
func allocations(table string) map[string]string {
	counts := make(map[string]string)
	scene := ""
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 10 {
			continue
		}
		if title := strings.TrimSpace(cells[1]); title != "" {
			scene = title
		}
		counts[scene+", "+strings.TrimSpace(cells[2])] = strings.TrimSpace(cells[8])
	}
	return counts
}
