package rls_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/rls"
)

// TestLintProjects holds verdicts and booleans on relations in the shapes of public
// projects: tenants, storage, chats, shops, and the claim in all spellings.
func TestLintProjects(t *testing.T) {
	open := server(t)
	text, err := os.ReadFile("testdata/projects.sql")
	if err != nil {
		t.Fatal(err)
	}
	db := open(simple)
	execute(t, db, string(text))
	found := lint(t, db)

	wants, unknown := 0, 0
	line := regexp.MustCompile(`(?m)^-- want: (.+) ([A-Z]+(?:,[A-Z]+)*) ([a-z-]+)((?: [a-z]+)*)$`)
	matches := line.FindAllStringSubmatch(string(text), -1)
	if n := strings.Count(string(text), "-- want:"); n != len(matches) {
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
	if wants < 250 || unknown*5 > wants {
		t.Errorf("got %d answers, %d of them unknown", wants, unknown)
	}
	again := lint(t, open(`search_path="Weird.Schéma",storage,auth,private DateStyle=German`))
	for key, f := range found {
		if !reflect.DeepEqual(again[key], f) {
			t.Errorf("with other settings: %s: got %v, want %v", key, again[key], f)
		}
	}
}
