package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/walkin-go/walkin/limit"
)

// swaps is how often a call starts again because another one was faster. That happens
// only to a call that takes something, so it is as many as a limit has in it.
const swaps = 1000

// Limiter returns a [limit.Limiter] in the store's database, in which all replicas
// count together. It is for walkin.Config.Limiter and those of the credentials, where
// there is no Redis. The keys hold addresses. The table has hashes of them, and the
// sweep removes buckets that are full again. It may be called concurrently.
//
// A refusal costs one read. Taking costs a read and a write. So a flood that is refused
// writes nothing. Inside of a transaction of the store, a rollback also undoes what was
// taken.
func (s *Store) Limiter() limit.Limiter { return limiter{s} }

type limiter struct{ *Store }

// Take implements limit.Limiter. The arithmetic is walkin's and uses the caller's time:
// the database only compares and swaps.
func (l limiter) Take(ctx context.Context, key string, rate limit.Limit, n int, now time.Time) (limit.Verdict, error) {
	hash := sha256.Sum256([]byte(key))
	name := hash[:]
	for range swaps {
		var was int64
		err := l.from(ctx).QueryRowContext(ctx, l.q.limit, name).Scan(&was)
		known := err == nil
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return limit.Verdict{}, wrap(ctx, err)
		}
		var fullAt time.Time
		if known {
			fullAt = time.Unix(0, was)
		}
		next, verdict, err := rate.Take(fullAt, now, n)
		if err != nil {
			return limit.Verdict{}, fmt.Errorf("sqlstore: %w", err)
		}
		if n == 0 || next.Equal(fullAt) || !known && !next.After(now) {
			return verdict, nil // there is nothing to remember
		}
		var changed bool
		if known {
			var n int64
			n, err = l.exec(ctx, l.q.swapLimit, next.UnixNano(), name, was)
			changed = n > 0
		} else {
			changed, err = l.insert(ctx, l.q.insertLimit, name, next.UnixNano())
		}
		if err != nil || changed {
			return verdict, err
		}
	}
	return limit.Verdict{}, errors.New("sqlstore: a limit that too many take from at once")
}
