package main

import (
	"strings"
	"testing"
	"time"
)

// TestCrowd is a small crowd, in which no visitor loses anything and no robot gets more
// than it may have: run says so.
func TestCrowd(t *testing.T) {
	var out strings.Builder
	err := run(t.Context(), &out, size{people: 7, town: 7, robots: 130, tries: 24, atOnce: 4, botnet: 3, lasts: time.Minute})
	if err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
	if !strings.Contains(out.String(), "people: 14 of 14 kept everything") {
		t.Errorf("not everybody is counted:\n%s", &out)
	}
}
