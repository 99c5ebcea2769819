package sqlstore_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/store/storetest"
)

const limitsTable = "walkin_limits"

func limits(t *testing.T, server server) {
	storetest.RunLimiter(t, func(t *testing.T) func(*testing.T) limit.Limiter {
		d := server(t)
		return func(t *testing.T) limit.Limiter {
			s, _ := d.migrated(t)
			return s.Limiter()
		}
	})
	t.Run("a limit of many, taken by everybody at once", func(t *testing.T) { limitTogether(t, server(t)) })
	t.Run("what is refused, looked at or full writes nothing", func(t *testing.T) { limitWritesNothing(t, server(t)) })
	t.Run("the sweep takes what is full again", func(t *testing.T) { limitSweep(t, server(t)) })
	t.Run("a transaction that is undone takes nothing", func(t *testing.T) { limitInTx(t, server(t)) })
}

func limitTogether(t *testing.T, d database) {
	a, _ := d.migrated(t)
	b, _ := d.migrated(t)
	limit := limit.Limit{Count: 100, Per: time.Hour}
	now := time.Now()
	var taken atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				v, err := []*sqlstore.Store{a, b}[i%2].Limiter().Take(t.Context(), "203.0.113.5", limit, 1, now)
				if err != nil {
					t.Error(err)
				} else if v.OK {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got := taken.Load(); got != 100 {
		t.Errorf("%d were OK, want 100", got)
	}
}

func limitWritesNothing(t *testing.T, d database) {
	s, db := d.migrated(t)
	limit, now := limit.Limit{Count: 2, Per: time.Hour}, time.Now()
	take := func(key string, n int) {
		t.Helper()
		_, err := s.Limiter().Take(t.Context(), key, limit, n, now)
		ok(t, err)
	}
	take("looked at", 0)
	take("given back without being taken", -1)
	wantRows(t, db, limitsTable, 0)
	take("k", 2)
	var before, after int64
	ok(t, db.QueryRowContext(t.Context(), "SELECT full_at FROM walkin_limits").Scan(&before))
	take("k", 1)
	ok(t, db.QueryRowContext(t.Context(), "SELECT full_at FROM walkin_limits").Scan(&after))
	if before != after {
		t.Error("a refusal moved the time")
	}
}

func limitSweep(t *testing.T, d database) {
	s, db := d.migrated(t)
	limit, now := limit.Limit{Count: 10, Per: time.Hour}, time.Now()
	for i, key := range []string{"a", "b", "c"} {
		_, err := s.Limiter().Take(t.Context(), key, limit, 3*i+1, now) // full in 6, 24 and 42 minutes
		ok(t, err)
	}
	n, err := s.DeleteExpired(t.Context(), now.Add(30*time.Minute), 100)
	ok(t, err)
	if n != 2 {
		t.Errorf("%d were swept, want 2", n)
	}
	wantRows(t, db, limitsTable, 1)
	v, err := s.Limiter().Take(t.Context(), "c", limit, 9, now.Add(30*time.Minute))
	ok(t, err)
	if v.OK {
		t.Error("the sweep forgave what was not full")
	}
}

func limitInTx(t *testing.T, d database) {
	s, _ := d.migrated(t)
	limit, now := limit.Limit{Count: 1, Per: time.Hour}, time.Now()
	errNo := errors.New("no")
	for range 2 {
		err := s.InTx(t.Context(), func(ctx context.Context) error {
			v, err := s.Limiter().Take(ctx, "k", limit, 1, now)
			ok(t, err)
			if !v.OK {
				t.Error("got a refusal after a transaction that was undone")
			}
			return errNo
		})
		if !errors.Is(err, errNo) {
			t.Fatalf("got %v, want %v", err, errNo)
		}
	}
}
