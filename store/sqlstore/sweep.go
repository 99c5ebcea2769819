package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

var _ store.SweepStore = (*Store)(nil)

// InactiveUsers implements store.SweepStore. SQLite has one writer, so there are no locked users
// to pass over.
func (s *Store) InactiveUsers(ctx context.Context, before time.Time, after store.User, limit int) ([]store.User, error) {
	if after.ID == uuid.Nil {
		after.SeenAt = time.Unix(0, 0) // MySQL knows no year 1
	}
	last := s.dialect.time(after.SeenAt)
	args := []any{s.dialect.time(before), last, s.dialect.id(after.ID)}
	if s.dialect.from != "" {
		args = append(args, last)
	}
	rows, err := s.from(ctx).QueryContext(ctx, s.q.away, append(args, limit)...)
	if err != nil {
		return nil, wrap(ctx, err)
	}
	defer rows.Close()
	var users []store.User
	for rows.Next() {
		user := store.User{Anonymous: true}
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

// deleteChunk is how many IDs one statement names where each takes a placeholder. It is
// small enough for every database, and for one prepared text to serve them all.
const deleteChunk = 500

// DeleteInactive implements store.SweepStore.
func (s *Store) DeleteInactive(ctx context.Context, users []store.User) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		size := deleteChunk
		if s.dialect.arrays {
			size = max(1, len(users))
		}
		for chunk := range slices.Chunk(users, size) {
			in, ids := s.list(idsOf(chunk))
			for _, query := range []string{
				"DELETE FROM walkin_sessions WHERE user_id" + in,
				// Said once more: never one who is not anonymous.
				"DELETE FROM walkin_users WHERE id" + in + " AND {{beside}} anonymous = TRUE {{end}}",
			} {
				if _, err := s.exec(ctx, s.dialect.sql(query), ids...); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// list returns the SQL that compares an ID with others, and what it binds. The SELECT
// makes PostgreSQL read an array once, and hides its length from the planner. The
// planner would otherwise read the whole table rather than look up a thousand rows of a
// table without statistics.
func (s *Store) list(all []uuid.UUID) (in string, ids []any) {
	if !s.dialect.arrays {
		for _, id := range all {
			ids = append(ids, s.dialect.id(id))
		}
		return " IN (?" + strings.Repeat(", ?", len(all)-1) + ")", ids
	}
	return " = ANY (CAST((SELECT CAST(CAST(? AS text) AS uuid[])) AS uuid[]))", []any{array(all, appendID)}
}

func idsOf(users []store.User) []uuid.UUID {
	all := make([]uuid.UUID, len(users))
	for i, user := range users {
		all[i] = user.ID
	}
	return all
}

// DeleteExpired implements store.SweepStore.
func (s *Store) DeleteExpired(ctx context.Context, before time.Time, batch int) (total int, err error) {
	at := s.dialect.time(before)
	var errs []error
	for _, expired := range []struct {
		query  string
		before any
	}{
		{s.q.expiredSessions, at}, {s.q.expiredTombstones, at}, {s.q.expiredTickets, at}, {s.q.expiredData, at},
		{s.q.fullLimits, before.UnixNano()}, {s.q.expiredFeed, s.dialect.time(before.Add(-feedAge))},
	} {
		n, err := s.deleteExpired(ctx, expired.query, expired.before, batch)
		total += n
		errs = append(errs, err) // and go on: the tables have nothing to do with each other
	}
	return total, errors.Join(errs...)
}

// deleteExpired works through one table, oldest first. A batch that is refused is
// halved, down to the row that cannot be deleted. The query's OFFSET then skips that
// row.
func (s *Store) deleteExpired(ctx context.Context, query string, before any, batch int) (total int, err error) {
	stuck := 0
	var first error
	for size := batch; ; {
		n, err := s.exec(ctx, query, before, size, stuck)
		switch {
		case err == nil && n == 0:
			if first != nil {
				first = fmt.Errorf("sqlstore: %d expired rows could not be deleted; the first: %w", stuck, first)
			}
			return total, first
		case err == nil:
			total += int(n)
			size = min(2*size, batch)
		case !errors.Is(err, store.ErrConstraint) || s.tx(ctx) != nil:
			// Not about a row; and a transaction may not go on after an error.
			return total, errors.Join(first, err)
		case size > 1:
			size /= 2
		default:
			stuck++
			if first == nil {
				first = err
			}
		}
	}
}
