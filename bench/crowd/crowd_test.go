package main

import (
	"strings"
	"testing"
)

// A small crowd, in which nobody loses anything and no robot gets more than it
// may have.
func TestCrowd(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, size{people: 12, town: 34, robots: 120, botnet: 3}); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"46 of 46 people kept everything", "crawlers", "a town behind one address"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
