package rls_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/rls"
)

// TestLintProjects holds verdicts and booleans on relations in the shapes of public
// projects: tenants, storage, chats, shops, and the claim in all spellings.
func TestLintProjects(t *testing.T) {
	lintsFile(t, "testdata/projects.sql", 250, `search_path="Weird.Schéma",storage,auth,private DateStyle=German`)
}

// TestLintShapes holds the same on relations whose verdicts were written down before
// the linter saw them.
func TestLintShapes(t *testing.T) {
	lintsFile(t, "testdata/shapes.sql", 128, `search_path=archive,"Team\ Space",auth IntervalStyle=sql_standard`)
}

// lintsFile loads a file into a new server, and compares what the linter says with the
// expectations in it. With other settings of the connection it says the same.
func lintsFile(t *testing.T, name string, atLeast int, settings string) {
	t.Helper()
	open := server(t)
	db := open(simple)
	text := load(t, db, name)
	found := lint(t, db)

	wants, unknown := 0, 0
	line := regexp.MustCompile(`(?m)^-- want: (.+) ([A-Z]+(?:,[A-Z]+)*) ([a-z-]+)((?: [a-z]+)*)$`)
	matches := line.FindAllStringSubmatch(text, -1)
	if n := strings.Count(text, "-- want:"); n != len(matches) {
		t.Fatalf("%d of %d expectations can be read", len(matches), n)
	}
	for _, m := range matches {
		for command := range strings.SplitSeq(m[2], ",") {
			wants++
			f := found[m[1]+" "+command]
			if f.Verdict != m[3] {
				t.Errorf("%s %s: got %q (%s), want %q", m[1], command, f.Verdict, f.Message, m[3])
				continue
			}
			if f.Verdict == rls.Unknown {
				unknown++
			}
			for name, got := range map[string]*bool{"anonymous": f.Anonymous, "depends": f.Depends, "missing": f.MissingClaim} {
				want := strings.Contains(m[4]+" ", " "+name+" ")
				if f.Verdict == rls.Unknown && got != nil || f.Verdict != rls.Unknown && (got == nil || *got != want) {
					t.Errorf("%s %s is %s: %s is not %v", m[1], command, f.Verdict, name, want)
				}
			}
		}
	}
	if wants < atLeast || unknown*5 > wants {
		t.Errorf("got %d answers, %d of them unknown", wants, unknown)
	}
	again := lint(t, open(settings))
	for key, f := range found {
		if !reflect.DeepEqual(again[key], f) {
			t.Errorf("with other settings: %s: got %v, want %v", key, again[key], f)
		}
	}
}
