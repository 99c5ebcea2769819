package limit_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store/storetest"
)

func TestLimiter(t *testing.T) {
	storetest.RunLimiter(t, func(*testing.T) func(*testing.T) limit.Limiter {
		l := limit.New(0) // two replicas in one process share the one value
		return func(*testing.T) limit.Limiter { return l }
	})
}

// TestLimitTake holds the promise of a limit over any stretch of time: Count, and one
// more for each Per/Count that passed. A client that waits for RetryAfter does not wait
// in vain, or too long.
func TestLimitTake(t *testing.T) {
	for seed := range uint64(80) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		rate := limit.Limit{Count: 1 + rnd.IntN(50), Per: time.Duration(1 + rnd.Int64N(int64(48*time.Hour)))}
		step := rate.Per / time.Duration(rate.Count)
		now, fullAt := time.Unix(1_800_000_000, 0), time.Time{}
		var when []time.Time // of each that was taken
		for range 300 {
			now = now.Add(time.Duration(rnd.Int64N(int64(3*step) + 1)))
			n := rnd.IntN(rate.Count + 1)
			before := fullAt
			next, v, err := rate.Take(fullAt, now, n)
			if err != nil {
				t.Fatal(err)
			}
			fullAt = next
			if v.OK != (v.RetryAfter == 0) || v.Remaining < 0 || v.Remaining > rate.Count {
				t.Fatalf("%v: got %+v", rate, v)
			}
			if !v.OK {
				if _, late, _ := rate.Take(before, now.Add(v.RetryAfter), n); !late.OK {
					t.Fatalf("%v: %d were not there after %v", rate, n, v.RetryAfter)
				}
				if _, early, _ := rate.Take(before, now.Add(v.RetryAfter-1), n); early.OK {
					t.Fatalf("%v: %d were there before %v", rate, n, v.RetryAfter)
				}
				continue
			}
			if _, again, _ := rate.Take(fullAt, now, min(v.Remaining+1, rate.Count)); again.OK != (v.Remaining == rate.Count) {
				t.Fatalf("%v: %d remain, and one more is OK: %t", rate, v.Remaining, again.OK)
			}
			for range n {
				when = append(when, now)
			}
		}
		for i := range when {
			for j := i; j < len(when); j++ {
				if most := rate.Count + int(when[j].Sub(when[i])/step); j-i+1 > most {
					t.Fatalf("%v: %d were taken within %v, want %d at most", rate, j-i+1, when[j].Sub(when[i]), most)
				}
			}
		}
	}
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestLimiterFlood holds that a flood of new addresses stays within the promised
// memory. A bucket that was emptied before or during the flood is empty after it.
func TestLimiterFlood(t *testing.T) {
	flood := 1_000_000
	if s := os.Getenv("WALKIN_TEST_FLOOD"); s != "" {
		var err error
		if flood, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	const bound = 131_072 * 40
	rate := limit.Limit{Count: 30, Per: time.Hour}
	now := time.Unix(1_800_000_000, 0)
	before := heap()
	l := limit.New(0)
	take := func(key string, n int, want bool) {
		t.Helper()
		if v, err := l.Take(t.Context(), key, rate, n, now); err != nil || v.OK != want {
			t.Fatalf("%s: got %+v and error %v, want OK %t", key, v, err, want)
		}
	}
	var most int64
	for i := range flood {
		now = now.Add(100 * time.Microsecond) // 10,000 a second
		take("flood "+strconv.Itoa(i), 1, true)
		switch {
		case i%1000 == 0 && i < 100_000:
			take(fmt.Sprint("robot ", i), 30, true)
		case i%(flood/8) == 0:
			most = max(most, heap()-before)
		}
	}
	most = max(most, heap()-before)
	t.Logf("%d addresses: %d KB at most", flood, most>>10)
	if most > bound {
		t.Errorf("got %d bytes, want %d at most", most, bound)
	}
	for i := 0; i < 100_000; i += 1000 {
		take(fmt.Sprint("robot ", i), 30, false)
	}
	take("somebody new", 30, true)
	runtime.KeepAlive(l)
}

// TestLimiterFull holds that a flood with more addresses than fit locks no one out:
// evicted keys start with a full bucket.
func TestLimiterFull(t *testing.T) {
	for _, keys := range []int{-1, 1, 64, 1000} {
		l := limit.New(keys)
		rate := limit.Limit{Count: 2, Per: time.Hour}
		now := time.Unix(1_800_000_000, 0)
		for i := range 10_000 {
			// All of one moment, and all buckets empty.
			if v, err := l.Take(t.Context(), strconv.Itoa(i), rate, 2, now); err != nil || !v.OK {
				t.Fatalf("%d keys, address %d: got %+v and error %v", keys, i, v, err)
			}
		}
	}
}

func BenchmarkLimiter(b *testing.B) {
	rate := limit.Limit{Count: 30, Per: time.Hour}
	keys := make([]string, 1<<18) // twice what fits
	for i := range keys {
		keys[i] = "rows:30/1h0m0s:" + strconv.Itoa(i)
	}
	var mu sync.Mutex
	worker := 0
	l, now := limit.New(0), time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		mu.Lock()
		i := worker * 7919
		worker++
		mu.Unlock()
		for ; pb.Next(); i++ {
			_, _ = l.Take(b.Context(), keys[i%len(keys)], rate, 1, now)
		}
	})
}

// TestLongLimits holds that a limit for ever is one, and none that overflows.
func TestLongLimits(t *testing.T) {
	for _, per := range []time.Duration{time.Hour, 100 * 365 * 24 * time.Hour, 200 * 365 * 24 * time.Hour, math.MaxInt64} {
		for _, rate := range []limit.Limit{{Count: 1, Per: per}, {Count: 1_000_000, Per: per}} {
			now := time.Now()
			limiter, good := limit.New(0), 0
			for range 3 {
				switch v, err := limiter.Take(t.Context(), "key", rate, rate.Count, now); {
				case err != nil:
					good-- // says so; that is fine
				case v.OK:
					good++
				}
			}
			if good > 1 {
				t.Errorf("%d per %v: all of it was taken %d times", rate.Count, per, good)
			}
			if err := rate.Check(); (err != nil) != (good < 0) {
				t.Errorf("%d per %v: Check says %v, and Take does not", rate.Count, per, err)
			}
		}
	}
}

// remembered returns how many keys, of those that were emptied, a limiter still knows.
// Asking changes nothing.
func remembered(t *testing.T, l limit.Limiter, keys int, rate limit.Limit, now time.Time) (n int) {
	t.Helper()
	for i := range keys {
		v, err := l.Take(t.Context(), strconv.Itoa(i), rate, 0, now)
		if err != nil {
			t.Fatal(err)
		}
		if !v.OK {
			n++
		}
	}
	return n
}

// TestLimiterRemembers holds that a limiter remembers as many keys as it says, and that
// neither a question about others nor a refusal makes it forget one.
func TestLimiterRemembers(t *testing.T) {
	const flood = 10_000
	rate := limit.Limit{Count: 2, Per: time.Hour}
	now := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct{ keys, least, most int }{
		{1, 128, 128}, {128, 128, 128}, {1000, 512, 1000}, {-1, flood, flood},
	} {
		l := limit.New(tt.keys)
		take := func(key string, n int) {
			t.Helper()
			if _, err := l.Take(t.Context(), key, rate, n, now); err != nil {
				t.Fatal(err)
			}
		}
		for i := range flood {
			take(strconv.Itoa(i), 2)
		}
		n := remembered(t, l, flood, rate, now)
		if n < tt.least || n > tt.most {
			t.Errorf("%d keys: it remembers %d, want %d to %d", tt.keys, n, tt.least, tt.most)
		}
		for i := range flood {
			take("asked about "+strconv.Itoa(i), 0)
			if v, err := l.Take(t.Context(), strconv.Itoa(i), rate, 0, now); err != nil {
				t.Fatal(err)
			} else if !v.OK {
				take(strconv.Itoa(i), 2) // refused
			}
		}
		if after := remembered(t, l, flood, rate, now); after != n {
			t.Errorf("%d keys: it remembers %d after questions and refusals, want %d", tt.keys, after, n)
		}
	}
}

// TestCheck holds which limits are none.
func TestCheck(t *testing.T) {
	const century = 100 * 365 * 24 * time.Hour
	for _, tt := range []struct {
		limit limit.Limit
		ok    bool
	}{
		{limit.Limit{}, false},
		{limit.Limit{Count: 0, Per: time.Hour}, false},
		{limit.Limit{Count: -1, Per: time.Hour}, false},
		{limit.Limit{Count: -2, Per: -1}, false},
		{limit.Limit{Count: 1, Per: 0}, false},
		{limit.Limit{Count: 1, Per: -1}, false},
		{limit.Limit{Count: 2, Per: 1}, false},
		{limit.Limit{Count: 1, Per: 1}, true},
		{limit.Limit{Count: 2, Per: 2}, true},
		{limit.Limit{Count: 1, Per: century}, true},
		{limit.Limit{Count: 1, Per: century + 1}, false},
	} {
		_, _, err := tt.limit.Take(time.Time{}, time.Now(), 1)
		if check := tt.limit.Check(); (check == nil) != tt.ok || (err == nil) != tt.ok {
			t.Errorf("%+v: Check says %v, and Take %v", tt.limit, check, err)
		}
	}
}
