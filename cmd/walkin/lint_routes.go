package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/walkin-go/walkin/cmd/walkinvet/analyzer"
)

func lintRoutes() *cobra.Command {
	var asJSON, asSARIF bool
	c := &cobra.Command{
		Use:   "routes [packages]",
		Short: "Which writes of a Go site every visitor reaches",
		Long: `Reads the packages' source, by go vet and with its cache, and finds routes that
write and stand outside of all guards, and other mistakes with walkin's users.
docs/linting.md explains them, and how to allow one.`,
		Example: `  walkin lint routes ./...
  walkin lint routes --sarif ./... > routes.sarif`,
		RunE: func(c *cobra.Command, args []string) error {
			if asJSON && asSARIF {
				return errors.New("--json or --sarif, not both")
			}
			tree, err := vet(c, args)
			if err != nil {
				return err
			}
			for _, n := range tree.takeNotes().findings() {
				fmt.Fprintf(c.ErrOrStderr(), "%s:%d:%d: note: %s\n", n.file, n.line, n.column, n.Message)
			}
			found := tree.findings()
			switch {
			case asJSON:
				err = writeJSON(c.OutOrStdout(), tree)
			case asSARIF:
				err = writeJSON(c.OutOrStdout(), sarif(found))
			default:
				for _, f := range found {
					fmt.Fprintf(c.OutOrStdout(), "%s:%d:%d: %s (%s)\n", f.file, f.line, f.column, f.Message, f.Category)
				}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "%d findings\n", len(found))
			if len(found) > 0 {
				return errFindings
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, in the form of go vet -json")
	c.Flags().BoolVar(&asSARIF, "sarif", false, "print SARIF 2.1.0")
	return c
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "\t")
	return encoder.Encode(v)
}

// A vetTree is what go vet -json prints: by package and analyzer.
type vetTree map[string]map[string][]diagnostic

type diagnostic struct {
	Category string `json:"category,omitempty"`
	Posn     string `json:"posn"`
	End      string `json:"end,omitempty"`
	Message  string `json:"message"`
}

// vet has go vet run the analyzer that is in this very program.
func vet(c *cobra.Command, packages []string) (vetTree, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	run := exec.CommandContext(c.Context(), "go", append([]string{"vet", "-json", "-vettool=" + self, "-walkinvet.notes", "--"}, packages...)...)
	var stdout, stderr bytes.Buffer
	run.Stdout, run.Stderr = &stdout, &stderr
	if err := run.Run(); err != nil {
		return nil, fmt.Errorf("go vet: %w\n%s", err, strings.TrimSpace(stderr.String()))
	}
	tree := vetTree{}
	// One object for each package, and lines that begin with # and name it.
	var text bytes.Buffer
	for line := range bytes.Lines(append(stdout.Bytes(), stderr.Bytes()...)) {
		if !bytes.HasPrefix(line, []byte("#")) {
			text.Write(line)
		}
	}
	for decoder := json.NewDecoder(&text); ; {
		var part map[string]map[string]json.RawMessage
		if err := decoder.Decode(&part); errors.Is(err, io.EOF) {
			return tree, nil
		} else if err != nil {
			return nil, fmt.Errorf("go vet: %w", err)
		}
		for name, analyzers := range part {
			for analyzer, raw := range analyzers {
				var list []diagnostic
				if err := json.Unmarshal(raw, &list); err != nil {
					return nil, fmt.Errorf("%s: %s", name, raw) // an error, in place of a list
				}
				if tree[name] == nil {
					tree[name] = map[string][]diagnostic{}
				}
				tree[name][analyzer] = append(tree[name][analyzer], list...)
			}
		}
	}
}

// takeNotes takes out what is no finding.
func (t vetTree) takeNotes() vetTree {
	notes := vetTree{}
	for name, analyzers := range t {
		for analyzed, list := range analyzers {
			is := func(d diagnostic) bool { return d.Category == analyzer.Note }
			notes[name] = map[string][]diagnostic{analyzed: slices.DeleteFunc(slices.Clone(list), func(d diagnostic) bool { return !is(d) })}
			if analyzers[analyzed] = slices.DeleteFunc(list, is); len(analyzers[analyzed]) == 0 {
				delete(analyzers, analyzed)
			}
		}
		if len(analyzers) == 0 {
			delete(t, name)
		}
	}
	return notes
}

type finding struct {
	diagnostic
	file         string // below the working directory where it is
	line, column int
}

// findings returns each finding once, by place: a package is vetted with and without
// its tests.
func (t vetTree) findings() []finding {
	var out []finding
	here, _ := os.Getwd()
	for _, analyzers := range t {
		for _, list := range analyzers {
			for _, d := range list {
				f := finding{diagnostic: d}
				rest, column, _ := cutLast(d.Posn)
				file, line, _ := cutLast(rest)
				f.column, _ = strconv.Atoi(column)
				f.line, _ = strconv.Atoi(line)
				f.file = file
				if below, err := filepath.Rel(here, file); err == nil && filepath.IsLocal(below) {
					f.file = below
				}
				out = append(out, f)
			}
		}
	}
	slices.SortFunc(out, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(out)
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// sarif is the form of SARIF 2.1.0 that code hosts show beside the lines.
func sarif(found []finding) any {
	type object = map[string]any
	rules := []object{}
	for _, r := range analyzer.Rules() {
		rules = append(rules, object{"id": r[0], "shortDescription": object{"text": r[1]}, "helpUri": analyzer.Analyzer.URL})
	}
	results := []object{}
	for _, f := range found {
		results = append(results, object{
			"ruleId": f.Category, "level": "warning", "message": object{"text": f.Message},
			"locations": []object{{"physicalLocation": object{
				"artifactLocation": object{"uri": filepath.ToSlash(f.file)},
				"region":           object{"startLine": f.line, "startColumn": f.column},
			}}},
		})
	}
	return object{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []object{{
			"tool":    object{"driver": object{"name": analyzer.Analyzer.Name, "informationUri": analyzer.Analyzer.URL, "rules": rules}},
			"results": results,
		}},
	}
}
