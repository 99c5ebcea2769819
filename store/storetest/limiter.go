package storetest

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/limit"
)

// A LimiterOpener makes an empty limiter and returns a function that opens a handle on
// it, as [Opener] does for stores.
type LimiterOpener func(t *testing.T) (open func(t *testing.T) limit.Limiter)

// RunLimiter runs the conformance suite of limit.Limiter.
func RunLimiter(t *testing.T, open LimiterOpener) {
	for _, c := range []struct {
		rule string
		run  func(t *testing.T, a, b limit.Limiter)
	}{
		{"so many at once, and none more", limiterBurst},
		{"then one more every Per divided by Count, up to Count", limiterRefill},
		{"a take that is too much takes nothing", limiterWhole},
		{"with zero it looks and takes nothing", limiterLook},
		{"what is given back is there again, and no more than fits", limiterGiveBack},
		{"every key has a bucket of its own, whatever is in it", limiterKeys},
		{"a clock that was set back lets no caller wait for more than Per", limiterClock},
		{"what makes no sense is an error, which names no key", limiterNonsense},
		{"of many at once, on two replicas, no more than Count are OK", limiterTogether},
	} {
		t.Run(c.rule, func(t *testing.T) {
			handle := open(t)
			c.run(t, handle(t), handle(t))
		})
	}
}

// tenAnHour is a limit of which one comes back every six minutes.
var tenAnHour = limit.Limit{Count: 10, Per: time.Hour}

// takes takes n and checks the verdict, give or take a millisecond for those
// that round times.
func takes(t *testing.T, l limit.Limiter, key string, n int, now time.Time, want limit.Verdict) {
	t.Helper()
	got, err := l.Take(t.Context(), key, tenAnHour, n, now)
	if err != nil {
		t.Fatal(err)
	}
	off := got.RetryAfter - want.RetryAfter
	if got.OK != want.OK || got.Remaining != want.Remaining || off.Abs() > time.Millisecond || got.OK != (got.RetryAfter == 0) {
		t.Fatalf("taking %d: got %+v, want %+v", n, got, want)
	}
}

func yes(remaining int) limit.Verdict { return limit.Verdict{OK: true, Remaining: remaining} }

func no(remaining int, after time.Duration) limit.Verdict {
	return limit.Verdict{Remaining: remaining, RetryAfter: after}
}

func limiterBurst(t *testing.T, a, b limit.Limiter) {
	for i := range 10 {
		takes(t, []limit.Limiter{a, b}[i%2], "k", 1, start, yes(9-i))
	}
	for range 3 {
		takes(t, a, "k", 1, start, no(0, 6*time.Minute))
		takes(t, b, "k", 1, start.Add(time.Minute), no(0, 5*time.Minute))
	}
}

func limiterRefill(t *testing.T, a, b limit.Limiter) {
	takes(t, a, "k", 10, start, yes(0))
	takes(t, b, "k", 1, start.Add(6*time.Minute-time.Second), no(0, time.Second))
	takes(t, b, "k", 1, start.Add(6*time.Minute+time.Second), yes(0))
	takes(t, a, "k", 1, start.Add(6*time.Minute+time.Second), no(0, 6*time.Minute-time.Second))
	takes(t, a, "k", 4, start.Add(31*time.Minute), yes(0))
	takes(t, a, "k", 10, start.Add(3*time.Hour), yes(0))
	takes(t, b, "k", 1, start.Add(3*time.Hour), no(0, 6*time.Minute))
}

func limiterWhole(t *testing.T, a, b limit.Limiter) {
	takes(t, a, "k", 7, start, yes(3))
	takes(t, b, "k", 4, start, no(3, 6*time.Minute))
	takes(t, a, "k", 3, start, yes(0))
}

func limiterLook(t *testing.T, a, b limit.Limiter) {
	for range 20 {
		takes(t, a, "k", 0, start, yes(10))
	}
	takes(t, b, "k", 10, start, yes(0))
	takes(t, a, "k", 0, start, no(0, 6*time.Minute))
	takes(t, a, "k", 0, start.Add(7*time.Minute), yes(1))
}

func limiterGiveBack(t *testing.T, a, b limit.Limiter) {
	takes(t, a, "never taken from", -3, start, yes(10))
	takes(t, a, "never taken from", 10, start, yes(0))
	takes(t, a, "k", 10, start, yes(0))
	takes(t, b, "k", -1, start, yes(1))
	takes(t, a, "k", 1, start.Add(time.Minute), yes(0))
	takes(t, b, "k", -10, start.Add(time.Minute), yes(10))
	takes(t, b, "k", 10, start.Add(time.Minute), yes(0))
	takes(t, b, "k", 1, start.Add(time.Minute), no(0, 6*time.Minute))
}

func limiterKeys(t *testing.T, a, b limit.Limiter) {
	keys := []string{"k", "K", "k ", "k\x01", "", "kä", "'; --", "%s", "{k}", "k:*", strings.Repeat("k", 200)}
	for _, key := range keys {
		takes(t, a, key, 10, start, yes(0))
	}
	for _, key := range keys {
		takes(t, b, key, 1, start, no(0, 6*time.Minute))
	}
}

func limiterClock(t *testing.T, a, b limit.Limiter) {
	takes(t, a, "k", 10, start, yes(0))
	takes(t, b, "k", 1, start.Add(-100*time.Hour), no(0, 6*time.Minute))
	takes(t, b, "k", 1, start.Add(-100*time.Hour).Add(7*time.Minute), yes(0))
}

func limiterNonsense(t *testing.T, a, _ limit.Limiter) {
	key := uuid.NewString()
	for _, c := range []struct {
		limit limit.Limit
		n     int
	}{
		{limit.Limit{}, 1},
		{limit.Limit{Count: -1, Per: time.Hour}, 1},
		{limit.Limit{Count: 10}, 1},
		{limit.Limit{Count: 10, Per: -time.Hour}, 1},
		{limit.Limit{Count: 10, Per: 9}, 1},
		{tenAnHour, 11},
		{tenAnHour, -11},
	} {
		got, err := a.Take(t.Context(), key, c.limit, c.n, start)
		if err == nil || got.OK {
			t.Errorf("taking %d of %v: got %+v and no error", c.n, c.limit, got)
		} else if strings.Contains(err.Error(), key) {
			t.Errorf("taking %d of %v: the error names the key: %v", c.n, c.limit, err)
		}
	}
	takes(t, a, key, 10, start, yes(0))
}

func limiterTogether(t *testing.T, a, b limit.Limiter) {
	var wg sync.WaitGroup
	var taken atomic.Int64
	for i := range 40 {
		wg.Go(func() {
			v, err := []limit.Limiter{a, b}[i%2].Take(t.Context(), "k", tenAnHour, 1, start)
			if err != nil {
				t.Error(err)
			} else if v.OK {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if got := taken.Load(); got != 10 {
		t.Errorf("%d were OK, want 10", got)
	}
}
