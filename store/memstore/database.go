package memstore

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

var _ store.DatabaseStore = (*Store)(nil)

// Database implements store.DatabaseStore. The database ends with the process. So a
// token of the process before is over, and is no sign of a loss.
func (s *Store) Database(ctx context.Context) (store.Database, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return store.Database{}, err
	}
	defer leave()
	return store.Database{Forgets: true, EndedBefore: s.ended[false], AnonymousEndedBefore: s.ended[true]}, nil
}

// AnnounceTokenLife implements store.DatabaseStore. There is only one process, which
// knows the token life already.
func (s *Store) AnnounceTokenLife(ctx context.Context, _ time.Duration, _ time.Time) error {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	leave()
	return nil
}

// EndSessionsBefore implements store.DatabaseStore.
func (s *Store) EndSessionsBefore(ctx context.Context, at time.Time, anonymous bool) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, kind := range []bool{false, true} {
		if at := moment(at); (anonymous || !kind) && at.After(s.ended[kind]) {
			put(t, s.ended, kind, at)
		}
	}
	s.tellFeed(uuid.Nil)
	return nil
}
