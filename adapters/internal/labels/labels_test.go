package labels_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/walkin-go/walkin/adapters/internal/labels"
)

func TestSet(t *testing.T) {
	var s labels.Set
	if got := s.Of("known"); got != "known" {
		t.Errorf("got %q", got)
	}
	var mu sync.Mutex
	got := make(map[string]bool)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				one := s.Of(strconv.Itoa(worker) + "/" + strconv.Itoa(i))
				mu.Lock()
				got[one] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(got) != 100 || !got["other"] {
		t.Errorf("got %d values, want 99 and other", len(got))
	}
	if got := s.Of("known"); got != "known" {
		t.Errorf("after the flood: got %q", got)
	}
	if got := s.Of("a\xff"); got != "other" {
		t.Errorf("no text: got %q", got)
	}
	if got := s.Of(strings.Repeat("x", 1<<20)); got != "other" {
		t.Errorf("a long one: got %d bytes", len(got))
	}
}
