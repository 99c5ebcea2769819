// Package labels keeps what becomes a label of a metric to a handful of values.
package labels

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/walkin-go/walkin"
)

// most is how many values of one label are told apart. walkin's own reasons are
// about forty, and an app adds its own; a database of metrics keeps a series for
// each for ever.
const most = 100

// A Set is the values that a label has had. The zero Set is empty. It may be used
// concurrently.
type Set struct {
	mu   sync.RWMutex
	seen map[string]bool
}

// Of returns value, or "other" when there are too many different ones, or when it
// is no text: whatever an app puts there, strangers make no series without end.
func (s *Set) Of(value string) string {
	if !utf8.ValidString(value) {
		return "other"
	}
	s.mu.RLock()
	known := s.seen[value]
	s.mu.RUnlock()
	if known {
		return value
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = make(map[string]bool)
	}
	if !s.seen[value] && len(s.seen) >= most {
		return "other"
	}
	s.seen[strings.Clone(value)] = true
	return value
}

// Reason returns the reason of an event in one word. Where walkin says what was
// wrong with a token and then why its visitor got no other, it is the latter.
func Reason(e walkin.Event) string {
	if i := strings.LastIndexByte(e.Reason, ','); i >= 0 {
		return e.Reason[i+1:]
	}
	return e.Reason
}
