package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// TestLintRoutes holds the forms of output and the exit codes. The command is the built
// one: go vet starts it for each package of a program and below it, and a test binary
// with the race detector takes minutes for that.
func TestLintRoutes(t *testing.T) {
	const cases = "../walkinvet/internal/cases/testdata/"
	lint := func(args ...string) (stdout, stderr string, code int) {
		var out, talk bytes.Buffer
		cmd := exec.CommandContext(t.Context(), built(t), append([]string{"lint", "routes"}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &talk
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return out.String(), talk.String(), cmd.ProcessState.ExitCode()
	}
	out, talk, code := lint("./" + cases + "faults/across/...")
	if code != 1 || strings.Count(out, "\n") != 4 || !strings.Contains(out, "across.go:13:2: every visitor can send POST /create") || !strings.Contains(talk, "4 findings") {
		t.Errorf("got %d, %s%s", code, out, talk)
	}
	out, _, code = lint("--json", "./"+cases+"faults/across/...")
	var tree map[string]map[string][]struct{ Category, Posn, Message string }
	if err := json.Unmarshal([]byte(out), &tree); err != nil || code != 1 {
		t.Fatalf("got %d and %v in %s", code, err, out)
	}
	for _, analyzers := range tree {
		if list := analyzers["walkinvet"]; len(list) != 4 || list[0].Category != "route" || list[0].Posn == "" {
			t.Errorf("got %+v", list)
		}
	}
	out, _, code = lint("--sarif", "./"+cases+"faults/across/...")
	var log struct {
		Version string
		Runs    []struct {
			Results []struct {
				RuleID    string `json:"ruleId"`
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &log); err != nil || code != 1 || log.Version != "2.1.0" || len(log.Runs) != 1 || len(log.Runs[0].Results) != 4 {
		t.Fatalf("got %d and %v in %s", code, err, out)
	}
	if r := log.Runs[0].Results[0]; r.RuleID != "route" || r.Locations[0].PhysicalLocation.Region.StartLine != 13 || !strings.HasSuffix(r.Locations[0].PhysicalLocation.ArtifactLocation.URI, "faults/across/across.go") {
		t.Errorf("got %+v", r)
	}
	for _, form := range []string{"--json", "--sarif"} {
		if out, _, code := lint(form, "./"+cases+"clean/gin"); code != 0 || !json.Valid([]byte(out)) || strings.Contains(out, "message") {
			t.Errorf("%s of a clean program: got %d and %s", form, code, out)
		}
	}
	if out, talk, code := lint("./" + cases + "clean/nousers"); code != 0 || out != "" || !strings.Contains(talk, "nousers.go:14:2: note: ") || !strings.Contains(talk, "0 findings") {
		t.Errorf("a site that asks nobody: got %d, %q and %q; want a note", code, out, talk)
	}
	for name, args := range map[string][]string{"no such package": {"./nothing"}, "unknown flag": {"--nope"}, "both": {"--json", "--sarif", "./..."}} {
		if out, talk, code := lint(args...); code != 2 || out != "" || !strings.HasPrefix(talk, "walkin: ") {
			t.Errorf("%s: got %d, %q and %q; want 2 and an explanation", name, code, out, talk)
		}
	}
}
