package walkin

import (
	"net/http"
	"reflect"
	"sync"
)

// turns let calls for one response go one after another. The zero value is ready.
type turns struct {
	mu sync.Mutex
	of map[http.ResponseWriter]*turn
}

type turn struct {
	sync.Mutex
	waiting int // and whose turn it is
}

// take waits for the others with the same w and returns what ends the turn.
func (t *turns) take(w http.ResponseWriter) (done func()) {
	if !reflect.ValueOf(w).Comparable() {
		w = nil // no key for a map: these wait for each other
	}
	t.mu.Lock()
	mine := t.of[w]
	if mine == nil {
		if t.of == nil {
			t.of = map[http.ResponseWriter]*turn{}
		}
		mine = &turn{}
		t.of[w] = mine
	}
	mine.waiting++
	t.mu.Unlock()

	mine.Lock()
	return func() {
		mine.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.waiting--; mine.waiting == 0 {
			delete(t.of, w)
		}
	}
}
