package memstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

var _ store.SweepStore = (*Store)(nil)

// InactiveUsers implements store.SweepStore.
func (s *Store) InactiveUsers(ctx context.Context, before time.Time, after store.User, limit int) ([]store.User, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	owners := make(map[uuid.UUID]bool)
	for _, identity := range s.identities {
		owners[identity.UserID] = true
	}
	var users []store.User
	for _, user := range s.users {
		if user.Anonymous && !owners[user.ID] && user.SeenAt.Before(before) && byAbsence(user, after) > 0 {
			users = append(users, user)
		}
	}
	slices.SortFunc(users, byAbsence)
	return users[:min(limit, len(users))], nil
}

func byAbsence(a, b store.User) int {
	return cmp.Or(a.SeenAt.Compare(b.SeenAt), bytes.Compare(a.ID[:], b.ID[:]))
}

// DeleteInactive implements store.SweepStore.
func (s *Store) DeleteInactive(ctx context.Context, users []store.User) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	gone := make(map[uuid.UUID]bool)
	for _, user := range users {
		gone[user.ID] = true
		remove(t, s.users, user.ID)
	}
	for id, session := range s.sessions {
		if gone[session.UserID] {
			remove(t, s.sessions, id)
		}
	}
	return nil
}

// DeleteExpired implements store.SweepStore.
func (s *Store) DeleteExpired(ctx context.Context, before time.Time, _ int) (int, error) {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	n := 0
	for id, session := range s.sessions {
		if session.ExpiresAt.Before(before) {
			remove(t, s.sessions, id)
			n++
		}
	}
	for id, tombstone := range s.tombstones {
		if tombstone.ExpiresAt.Before(before) {
			remove(t, s.tombstones, id)
			n++
		}
	}
	for key, ticket := range s.tickets {
		if ticket.ExpiresAt.Before(before) {
			remove(t, s.tickets, key)
			n++
		}
	}
	return n, nil
}
