package sqlstore

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
)

var _ walkin.Sweeper = (*Store)(nil)

// Away implements walkin.Sweeper. On SQLite there is one writer, and nobody to
// pass over.
func (s *Store) Away(ctx context.Context, before time.Time, after walkin.User, limit int) ([]walkin.User, error) {
	if after.ID == uuid.Nil {
		after.SeenAt = time.Unix(0, 0) // MySQL knows no year 1
	}
	last := s.dialect.time(after.SeenAt)
	rows, err := s.from(ctx).QueryContext(ctx, s.q.away, s.dialect.time(before), last, last, s.dialect.id(after.ID), limit)
	if err != nil {
		return nil, wrap(ctx, err)
	}
	defer rows.Close()
	var users []walkin.User
	for rows.Next() {
		user := walkin.User{Anonymous: true}
		if err := rows.Scan(&user.ID, moment{&user.CreatedAt}, moment{&user.SeenAt}); err != nil {
			return nil, wrap(ctx, err)
		}
		users = append(users, user)
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(ctx, err)
	}
	return users, nil
}

// deleteChunk is how many IDs one statement names: few enough for every
// database, and for one prepared text to serve them all.
const deleteChunk = 500

// DeleteAway implements walkin.Sweeper.
func (s *Store) DeleteAway(ctx context.Context, users []walkin.User) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		for chunk := range slices.Chunk(users, deleteChunk) {
			ids := make([]any, len(chunk))
			for i, user := range chunk {
				ids[i] = s.dialect.id(user.ID)
			}
			list := " IN (?" + strings.Repeat(", ?", len(ids)-1) + ")"
			for _, query := range []string{
				"DELETE FROM walkin_sessions WHERE user_id" + list,
				// Said once more: never one who is not anonymous.
				"DELETE FROM walkin_users WHERE anonymous = TRUE AND id" + list,
			} {
				if _, err := s.exec(ctx, s.dialect.sql(query), ids...); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// DeleteExpired implements walkin.Sweeper.
func (s *Store) DeleteExpired(ctx context.Context, before time.Time, limit int) (int, error) {
	total := 0
	for _, query := range []string{s.q.expiredSessions, s.q.expiredTombstones, s.q.expiredTickets, s.q.expiredData} {
		n, err := s.exec(ctx, query, s.dialect.time(before), limit)
		if err != nil {
			return total, err
		}
		total += int(n)
	}
	return total, nil
}
