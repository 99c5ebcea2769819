package redisstore

import (
	"context"
	"crypto/sha256"
	_ "embed" // the script
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/walkin-go/walkin/limit"
)

//go:embed swap.lua
var swapLua string

// swaps is how often a call starts again because another one was faster. That happens
// only to a call that takes something, so it is as many as a limit has in it.
const swaps = 1000

// A Limiter counts for all replicas together what may happen only so often. It is safe
// for concurrent use, in any number of processes.
//
// Its keys are Config.Prefix, "limit:" and a hash, since the keys that are counted hold
// addresses. The server removes each key when its bucket is full again. A fail-over may
// lose what was counted in the last moment. Those buckets are then fuller than they
// should be.
type Limiter struct {
	client redis.UniversalClient
	prefix string
	swap   *redis.Script
}

var _ limit.Limiter = (*Limiter)(nil)

// NewLimiter checks cfg and returns a limiter, or one error that names every setting that is wrong.
// It does not contact Redis.
func NewLimiter(cfg Config) (*Limiter, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Limiter{client: cfg.Client, prefix: cfg.Prefix, swap: redis.NewScript(swapLua)}, nil
}

// Take implements limit.Limiter. A refusal costs one command, taking costs two.
func (l *Limiter) Take(ctx context.Context, key string, rate limit.Limit, n int, now time.Time) (limit.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	sum := sha256.Sum256([]byte(key))
	name := l.prefix + "limit:" + base64.RawURLEncoding.EncodeToString(sum[:])
	seen, err := l.client.Get(ctx, name).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return limit.Verdict{}, failed(ctx, err)
	}
	for range swaps {
		var fullAt time.Time
		if seen != "" {
			nanoseconds, err := strconv.ParseInt(seen, 10, 64)
			if err != nil {
				return limit.Verdict{}, errors.New("redisstore: a limit that is none of ours")
			}
			fullAt = time.Unix(0, nanoseconds)
		}
		next, verdict, err := rate.Take(fullAt, now, n)
		if err != nil {
			return limit.Verdict{}, fmt.Errorf("redisstore: %w", err)
		}
		if n == 0 || !verdict.OK && next.Equal(fullAt) {
			return verdict, nil // nothing was taken, and no clock was set back
		}
		// By the caller's clock, whatever the server's says; a minute more for
		// that of another replica.
		left := max(next.Sub(now), 0) + time.Minute
		var was []any
		was, err = l.swap.Run(ctx, l.client, []string{name}, seen, strconv.FormatInt(next.UnixNano(), 10), left.Milliseconds()).Slice()
		if err != nil {
			return limit.Verdict{}, failed(ctx, err)
		}
		if was[0] == int64(1) {
			return verdict, nil
		}
		seen, _ = was[1].(string)
	}
	return limit.Verdict{}, errors.New("redisstore: a limit that too many take from at once")
}
