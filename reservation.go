package walkin

import (
	"context"
	"errors"
	"time"

	"github.com/walkin-go/walkin/limit"
)

// A bucket is one that a new user is taken from.
type bucket struct {
	policy string
	key    string
	limit  limit.Limit
}

// A reservation is a new user that was taken from its buckets, for the case that none is
// made. The zero value took nothing.
type reservation struct {
	limiter limit.Limiter
	buckets []bucket
}

// giveBack is for a user who was not stored, for sure. What may have been made stays
// taken, above all when the client hung up on the store: otherwise a bot would do so
// every time.
func (t reservation) giveBack(ctx context.Context, now time.Time) error {
	if len(t.buckets) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limiterTimeout)
	defer cancel()
	var errs []error
	for _, b := range t.buckets {
		_, err := t.limiter.Take(ctx, b.key, b.limit, -1, now)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// take takes one from every bucket, or from none: then it returns which is empty, and
// for how long. The small network comes first: a computer that is over its own limit
// must not use up its neighbours'.
func take(ctx context.Context, limiter limit.Limiter, buckets []bucket, now time.Time) (reservation, *bucket, time.Duration, error) {
	taken := reservation{limiter: limiter}
	// The large one is checked before anything is taken: where it is full, each new
	// address in it would cost a shared limiter two writes.
	for i := 1; i < len(buckets); i++ {
		verdict, err := limiter.Take(ctx, buckets[i].key, buckets[i].limit, 0, now)
		if err != nil || !verdict.OK {
			return reservation{}, &buckets[i], verdict.RetryAfter, err
		}
	}
	for i, b := range buckets {
		verdict, err := limiter.Take(ctx, b.key, b.limit, 1, now)
		if err != nil || !verdict.OK {
			err = errors.Join(err, taken.giveBack(ctx, now))
			return reservation{}, &buckets[i], verdict.RetryAfter, err
		}
		taken.buckets = buckets[:i+1]
	}
	return taken, nil, 0, nil
}

const limiterTimeout = time.Second
