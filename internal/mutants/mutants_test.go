package main

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const source = `package m

import "errors"

func Held(n int) bool { return n > 3 && n != 7 }

func Loose(n int) bool {
	calls++
	return n > 3
}

var calls int

func Unreached(n int) error {
	switch {
	case n > 3:
		return errors.New("too many")
	}
	return nil
}
`

const tests = `package m

import "testing"

func TestHeld(t *testing.T) {
	for n, want := range map[int]bool{3: false, 4: true, 5: true, 7: false} {
		if Held(n) != want {
			t.Error(n)
		}
	}
}

func TestLoose(t *testing.T) {
	if !Loose(9) || Loose(1) {
		t.Error("wrong")
	}
}
`

// TestFindsWhatNoTestHolds has a package with a function that its tests hold, one that
// they run, and one that they do not.
func TestFindsWhatNoTestHolds(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("GOWORK", "off")
	t.Setenv("GOFLAGS", "-mod=mod")
	for name, text := range map[string]string{"go.mod": "module example.com/m\n\ngo 1.26.0\n", "m.go": source, "m_test.go": tests} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	r := &run{out: &out, files: regexp.MustCompile("")}
	survivors, err := r.one(t.Context(), ".", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := out.String()
	for _, want := range []string{
		"survived . m.go:8: statement removed", "survived . m.go:9: operator > is >=", "survived . m.go:9: constant moved by one",
		"unreached . m.go:16: condition is true", "unreached . m.go:17: error is nil", ": 14 of 14 mutants tried: ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "m.go:5") {
		t.Errorf("a mutant of what is held survives:\n%s", got)
	}
	if lines := strings.Count(got, "\n") - 1; lines != survivors {
		t.Errorf("it says %d survivors and prints %d", survivors, lines)
	}
	if b, err := os.ReadFile("m.go"); string(b) != source || err != nil {
		t.Error("it changed the source")
	}
}

// TestParts holds which parts of a long test are run by themselves: subtests of the
// first two levels, by patterns that match nothing else.
func TestParts(t *testing.T) {
	said := "=== RUN   TestStore\n=== RUN   TestStore/contract\n=== RUN   TestStore/contract/a_(b)\n" +
		"    --- PASS: TestStore/contract/a_(b) (0.00s)\n=== RUN   TestStore/sweep\n" +
		"=== RUN   TestStore/contract/deep\n=== RUN   TestStore/contract/deep/er\n"
	want := []string{`^TestStore$/^contract$/^a_\(b\)$`, `^TestStore$/^contract$/^deep$`, `^TestStore$/^sweep$`}
	if got := parts([]byte(said)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := parts([]byte("=== RUN   TestOne\n")); len(got) > 0 {
		t.Errorf("of a test without subtests: got %q", got)
	}
}
