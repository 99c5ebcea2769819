package memstore

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

var _ store.FeedStore = (*Store)(nil)

// maxNews is how many changes are kept for readers of the feed.
const maxNews = 10_000

// tellFeed notes that a user changed. A note of a transaction that is rolled back
// stays: it only says "look again".
func (s *Store) tellFeed(user uuid.UUID) {
	if len(s.news) == maxNews {
		s.forgotten += maxNews / 2
		s.news = slices.Delete(s.news, 0, maxNews/2)
	}
	s.news = append(s.news, user)
}

// Feed implements store.FeedStore.
func (s *Store) Feed(ctx context.Context) (store.Feed, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return &feed{s, s.forgotten + len(s.news)}, nil
}

type feed struct {
	s    *Store
	read int // how many changes there were
}

// Next implements store.Feed.
func (f *feed) Next(ctx context.Context) ([]uuid.UUID, error) {
	_, leave, err := f.s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if f.read < f.s.forgotten {
		return nil, store.ErrFeedLost
	}
	users := slices.Clone(f.s.news[f.read-f.s.forgotten:])
	f.read += len(users)
	return users, nil
}
