package memstore_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func(*testing.T) store.Store {
		s := memstore.New() // two replicas in one process share the one value
		return func(*testing.T) store.Store { return s }
	})
}

// TestFeedForgets holds that a reader who is far behind is told so, and that one who is not
// misses nothing when the oldest changes are forgotten.
func TestFeedForgets(t *testing.T) {
	s := memstore.New()
	feed := func() store.Feed {
		f, err := s.Feed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	change := func(times int) uuid.UUID {
		for range times - 1 {
			if err := s.DeleteSessions(t.Context(), uuid.Nil, uuid.Nil); err != nil {
				t.Fatal(err)
			}
		}
		last := uuid.New()
		if err := s.DeleteSessions(t.Context(), last, uuid.Nil); err != nil {
			t.Fatal(err)
		}
		return last
	}
	behind := feed()
	change(9_000)
	upToDate := feed()
	want := []uuid.UUID{change(1_000), change(1)} // the last one is one too many
	later := feed()
	if _, err := behind.Next(t.Context()); !errors.Is(err, store.ErrFeedLost) {
		t.Errorf("far behind: got %v, want %v", err, store.ErrFeedLost)
	}
	users, err := upToDate.Next(t.Context())
	if err != nil || len(users) != 1_001 || users[999] != want[0] || users[1_000] != want[1] {
		t.Errorf("got %d changes (%v), want 1,001 with %v at their end", len(users), err, want)
	}
	last := change(1)
	if users, err := later.Next(t.Context()); err != nil || len(users) != 1 || users[0] != last {
		t.Errorf("after what was forgotten: got %v (%v), want %v", users, err, last)
	}
}
