// Package limits counts what visitors ask credentials for, in buckets that replicas
// may share.
package limits

import (
	"context"
	"fmt"
	"time"

	"github.com/walkin-go/walkin/limit"
)

const timeout = time.Second

// Neighbours is how many times the limit of an IPv6 /64 its /48 has.
const Neighbours = 4

// A Bucket is one that something is taken from.
type Bucket struct {
	Name  string // for the operator
	Key   string
	Limit limit.Limit
}

// Networks returns the buckets of a request's networks, the smallest first, as
// walkin.Middleware.ClientNetworks has them.
func Networks(prefix string, networks []string, limit limit.Limit) []Bucket {
	var buckets []Bucket
	for i, network := range networks {
		b := Bucket{Name: "network", Key: prefix + network, Limit: limit}
		if i > 0 {
			b.Limit.Count *= Neighbours
		}
		buckets = append(buckets, b)
	}
	return buckets
}

// Check returns what is wrong with a limit, which Networks may multiply.
func Check(limit limit.Limit) error {
	const most = 1_000_000
	wide := limit
	wide.Count = Neighbours * min(limit.Count, most)
	if _, _, err := wide.Take(time.Time{}, time.Now(), 1); err != nil || limit.Count > most {
		return fmt.Errorf("%d in %v; it needs a Count of 1 to %d, and a time", limit.Count, limit.Per, most)
	}
	return nil
}

// Limits count in a Limiter, which is walkin.Middleware.Limiter's.
type Limits struct{ limit.Limiter }

// Taken is what something was taken from.
type Taken struct {
	limiter limit.Limiter
	Buckets []Bucket
}

// Full is a bucket that has nothing left.
type Full struct {
	Bucket
	Wait time.Duration
}

// Take takes one from every bucket, or from none: then it returns which is full.
func (l Limits) Take(ctx context.Context, buckets []Bucket) (Taken, *Full, error) {
	return l.take(ctx, buckets, 1)
}

// Look returns which bucket is full, and takes nothing.
func (l Limits) Look(ctx context.Context, buckets []Bucket) (*Full, error) {
	_, full, err := l.take(ctx, buckets, 0)
	return full, err
}

func (l Limits) take(ctx context.Context, buckets []Bucket, most int) (Taken, *Full, error) {
	t, now := Taken{limiter: l.Limiter}, time.Now()
	// All are looked at before anything is taken: each new browser of a network
	// that is full would cost a shared limiter two writes.
	for n := range most + 1 {
		for i, b := range buckets {
			verdict, err := l.Limiter.Take(ctx, b.Key, b.Limit, n, now)
			if err != nil {
				t.GiveBack(ctx)
				return Taken{}, nil, err
			}
			if !verdict.OK {
				t.GiveBack(ctx)
				return Taken{}, &Full{b, verdict.RetryAfter}, nil
			}
			if n > 0 {
				t.Buckets = buckets[:i+1]
			}
		}
	}
	return t, nil, nil
}

// Of returns what was taken from buckets that is accepts.
func (t Taken) Of(is func(Bucket) bool) Taken {
	some := Taken{limiter: t.limiter}
	for _, b := range t.Buckets {
		if is(b) {
			some.Buckets = append(some.Buckets, b)
		}
	}
	return some
}

// GiveBack is for what did not happen. If something cannot be given back, the bucket is
// one short for a while, and no more.
func (t Taken) GiveBack(ctx context.Context) {
	if len(t.Buckets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	for _, b := range t.Buckets {
		_, _ = t.limiter.Take(ctx, b.Key, b.Limit, -1, time.Now())
	}
}

// GiveBack gives one back to every bucket.
func (l Limits) GiveBack(ctx context.Context, buckets []Bucket) {
	Taken{l.Limiter, buckets}.GiveBack(ctx)
}
