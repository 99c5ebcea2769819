// Package labels limits the values of a metric's label to a small number.
package labels

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// most is how many values of one label are kept apart. The reasons of one site are
// fewer, and an app adds its own. A metrics database keeps a series for each of them.
const most = 100

// A Set is the values that a label has had. The zero Set is empty. It may be used
// concurrently.
type Set struct {
	mu   sync.RWMutex
	seen map[string]bool
}

// Of returns value, or "other" when there are too many different values, or when it is
// not text. So strangers cannot create series without end, whatever an app puts there.
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
