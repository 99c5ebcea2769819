package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// lookupTogether has a crowd ask at once: for sessions that are alive, are over, are
// another user's, and for users who were deleted or were never heard of.
func lookupTogether(t *testing.T, a, b store.Store) {
	type ask struct {
		user, session uuid.UUID
		want          error
		anonymous     bool
	}
	var asks []ask
	for i := range 12 {
		user, session := persisted(t, a)
		member, _ := persisted(t, a)
		ok(t, a.SetAnonymous(t.Context(), member.ID, false))
		second := store.Session{ID: uuid.New(), UserID: member.ID, CreatedAt: start, RenewedAt: start, ExpiresAt: start.Add(day)}
		ok(t, a.CreateSession(t.Context(), second))
		gone, goneSession := persisted(t, a)
		ok(t, a.DeleteUser(t.Context(), tombstone(gone.ID)))
		asks = append(asks,
			ask{user: user.ID, session: session.ID, anonymous: true},
			ask{user: member.ID, session: second.ID},
			ask{user: user.ID, session: second.ID, want: store.ErrSessionEnded},
			ask{user: user.ID, session: uuid.New(), want: store.ErrSessionEnded},
			ask{user: gone.ID, session: goneSession.ID, want: store.ErrSessionEnded},
			ask{user: uuid.New(), session: session.ID, want: store.ErrNotFound})
		if i%3 == 0 {
			asks = append(asks, asks[len(asks)-6]) // who asks twice
		}
	}
	for range 5 {
		var wg sync.WaitGroup
		for i, one := range asks {
			s := []store.Store{a, b}[i%2]
			wg.Go(func() {
				got, err := s.LookupSession(t.Context(), one.user, one.session)
				switch {
				case !errors.Is(err, one.want):
					t.Errorf("got %v, want %v", err, one.want)
				case one.want == nil && (got.ID != one.session || got.UserID != one.user || got.Anonymous != one.anonymous || !got.CreatedAt.Equal(got.RenewedAt) && !one.anonymous):
					t.Errorf("got %v, want session %v of %v", got, one.session, one.user)
				}
			})
		}
		wg.Wait()
	}
}

// lookupCancelled has half of a crowd leave.
func lookupCancelled(t *testing.T, a, _ store.Store) {
	user, session := persisted(t, a)
	for range 5 {
		leaving, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 40 {
			ctx := t.Context()
			if i%2 == 1 {
				ctx = leaving
			}
			wg.Go(func() {
				if i == 20 {
					cancel()
				}
				_, err := a.LookupSession(ctx, user.ID, session.ID)
				if err != nil && !(i%2 == 1 && errors.Is(err, context.Canceled)) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		cancel()
	}
}
