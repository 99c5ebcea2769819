package memstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

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

// TestEndedContext holds that what is asked with a context that has ended does nothing
// and returns the context's error, beyond the methods of store.Store, of which the
// suite holds it.
func TestEndedContext(t *testing.T) {
	s := memstore.New()
	user := store.User{ID: uuid.New(), CreatedAt: time.Unix(1, 0), SeenAt: time.Unix(1, 0)}
	session := store.Session{ID: uuid.New(), UserID: user.ID, CreatedAt: time.Unix(1, 0), ExpiresAt: time.Unix(2, 0)}
	user.Anonymous = true
	if _, err := s.CreateAnonymous(t.Context(), user, session); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	later := time.Now().Add(time.Hour)
	for name, call := range map[string]func() error{
		"Database":          func() error { _, err := s.Database(ctx); return err },
		"EndSessionsBefore": func() error { return s.EndSessionsBefore(ctx, later, true) },
		"ListUsers":         func() error { _, err := s.ListUsers(ctx, store.UserQuery{}); return err },
		"CountUsers":        func() error { _, err := s.CountUsers(ctx, store.UserKind(0), false); return err },
		"CountInactive":     func() error { _, err := s.CountInactive(ctx, later, 10); return err },
		"DailyUsers":        func() error { _, err := s.DailyUsers(ctx, time.Unix(0, 0), 2); return err },
		"FindTombstone":     func() error { _, err := s.FindTombstone(ctx, user.ID); return err },
		"SetBan":            func() error { return s.SetBan(ctx, user.ID, store.Ban{Until: later}) },
		"InactiveUsers":     func() error { _, err := s.InactiveUsers(ctx, later, store.User{}, 10); return err },
		"DeleteInactive":    func() error { return s.DeleteInactive(ctx, []store.User{user}) },
		"DeleteExpired":     func() error { _, err := s.DeleteExpired(ctx, later, 10); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the context's error", name, err)
		}
	}
	if got, err := s.LookupSession(t.Context(), user.ID, session.ID); err != nil || !got.BannedUntil.IsZero() {
		t.Errorf("afterwards: got %+v, %v", got, err)
	}
}
