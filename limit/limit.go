// Package limit counts what may happen only so often: new users, passwords, codes,
// quotas. A [Limit] is a token bucket. A [Limiter] keeps the buckets. The one of [New]
// is in the memory of a process. store/redisstore and store/sqlstore have limiters that
// replicas share.
//
// It imports nothing else of walkin, so that every package of walkin can use it.
package limit

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Limit is how often something may happen: Count times at once, and then once more
// every Per divided by Count. A bucket that was emptied is full again after Per. Any
// rate with any burst can be expressed like this.
type Limit struct {
	Count int
	Per   time.Duration
}

// A Verdict is the answer of a [Limiter].
type Verdict struct {
	OK         bool          // it was taken
	Remaining  int           // how many could be taken now, by another call
	RetryAfter time.Duration // how long until that many can be taken; zero when OK
}

// A Limiter counts what may happen only so often, in a bucket for each key. [New] has
// one in the memory of a process. A limiter in Redis or a database makes all replicas
// count together.
//
// All methods may be called concurrently. Times are the caller's, so those of two
// replicas differ. walkin never calls a limiter inside a transaction of its store.
type Limiter interface {
	// Take takes n from the bucket of a key, if that many are there, and nothing
	// otherwise. A Verdict that is not OK is not an error. If n is zero, it takes
	// nothing and answers as for one. A negative n gives back what was taken. A bucket
	// never holds more than limit.Count.
	//
	// It is atomic: of any number of calls, on any number of replicas, no more are OK
	// than the limit allows. A new key has a full bucket, so a key whose bucket is full
	// again may be evicted. The arithmetic is [Limit.Take]. A key always comes with the
	// same limit.
	//
	// The error says that the limiter does not work, or that n or limit are invalid. It
	// names no key, since keys hold addresses. A limiter never refuses because it is
	// full itself.
	Take(ctx context.Context, key string, limit Limit, n int, now time.Time) (Verdict, error)
}

// Take is the arithmetic of a [Limiter], for those who write one. A limiter has to
// remember one thing about a bucket: fullAt, the time when it will be full again. For a
// new key fullAt is zero. Take returns that time after n were taken, or not. A bucket
// may be evicted once that time has passed. A Count or Per below one, a Count above
// Per's nanoseconds, a Per above a hundred years, and an n above Count are errors.
func (l Limit) Take(fullAt, now time.Time, n int) (time.Time, Verdict, error) {
	if err := l.Check(); err != nil {
		return fullAt, Verdict{}, fmt.Errorf("walkin: %w", err)
	}
	if n > l.Count || n < -l.Count {
		return fullAt, Verdict{}, fmt.Errorf("walkin: %d cannot be taken from a limit of %d", n, l.Count)
	}
	step := l.Per / time.Duration(l.Count)
	// A clock that was set back, or an earlier limit that was longer, makes no call
	// wait for more than Per.
	missing := min(max(fullAt.Sub(now), 0), l.Per)
	after := max(missing+time.Duration(n)*step, 0)
	if least := missing + time.Duration(max(n, 1))*step; n >= 0 && least > l.Per {
		return now.Add(missing), Verdict{Remaining: int((l.Per - missing) / step), RetryAfter: least - l.Per}, nil
	}
	return now.Add(after), Verdict{OK: true, Remaining: min(int((l.Per-after)/step), l.Count)}, nil
}

const maxPer = 100 * 365 * 24 * time.Hour

// Check returns what is wrong with a limit, or nil.
func (l Limit) Check() error {
	// A longer Per would overflow, and the limit be none: a Duration holds 292
	// years, of which Take needs two Pers, and Unix nanoseconds end in 2262.
	if l.Count < 1 || l.Per < time.Duration(l.Count) || l.Per > maxPer {
		return fmt.Errorf("a limit of %d per %v makes no sense", l.Count, l.Per)
	}
	return nil
}

const (
	limiterKeys   = 1 << 17
	limiterShards = 64
)

// New returns a [Limiter] in the memory of this process. It remembers at most the given
// number of keys, in about 40 bytes each. Zero, or less, is 131,072 keys, which take 5
// MB. It never returns an error of its own, and starts no goroutine.
//
// When there are more keys than that, it evicts those whose buckets would be full again
// soonest. So a flood of new keys evicts itself, and keys that were hardly used. A
// bucket that was emptied stays until tens of thousands of others are as empty. A
// client that can cause that gains nothing by it. Evicted keys start with a full
// bucket, so a flood of new keys cannot lock others out.
func New(keys int) Limiter {
	if keys <= 0 {
		keys = limiterKeys
	}
	l := &memoryLimiter{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i] = limiterShard{fullAt: map[uint64]int64{}, most: max(keys/limiterShards, 2)}
	}
	return l
}

// A memoryLimiter knows keys by a hash with a seed of its own. So no client can make
// two keys collide, or crowd a shard.
type memoryLimiter struct {
	seed   maphash.Seed
	shards [limiterShards]limiterShard
}

type limiterShard struct {
	mu     sync.Mutex
	fullAt map[uint64]int64 // in Unix nanoseconds
	most   int
}

func (l *memoryLimiter) Take(_ context.Context, key string, limit Limit, n int, now time.Time) (Verdict, error) {
	hash := maphash.String(l.seed, key)
	s := &l.shards[hash%limiterShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	var fullAt time.Time
	at, known := s.fullAt[hash]
	if known {
		fullAt = time.Unix(0, at)
	}
	fullAt, verdict, err := limit.Take(fullAt, now, n)
	switch {
	case err != nil:
		return Verdict{}, err
	case !fullAt.After(now):
		delete(s.fullAt, hash)
		return verdict, nil
	case !known && len(s.fullAt) >= s.most:
		s.forget()
	}
	s.fullAt[hash] = fullAt.UnixNano()
	return verdict, nil
}

// forget makes room: it evicts, down to half, what is full again or will be soonest. It
// costs a sort for as many new keys as there is room for then.
func (s *limiterShard) forget() {
	times := slices.Sorted(maps.Values(s.fullAt))
	tooMany := len(times) - s.most/2
	last := times[tooMany-1]
	for hash, at := range s.fullAt {
		if at <= last && tooMany > 0 { // many may share the last time
			delete(s.fullAt, hash)
			tooMany--
		}
	}
}
