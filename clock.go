package walkin

import (
	"context"
	"fmt"
	"time"

	"github.com/walkin-go/walkin/store"
)

// askClock compares the clock of this process with the store's, unless that was done
// within maxAge. The error says that they differ by more than the leeway, or that
// the store did not answer. A store without a clock agrees.
func (h *storeHealth) askClock(ctx context.Context, maxAge time.Duration) error {
	store, ok := ability[store.Clock](h.cfg.Store)
	if !ok {
		return nil
	}
	h.clocks.mu.Lock()
	defer h.clocks.mu.Unlock()
	now := h.clock()
	if at := h.clocks.at; at == 0 || now-at >= int64(maxAge) {
		if h.clocks.failed != 0 && now-h.clocks.failed < int64(downPause) {
			return errNotAsked
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		before := time.Now()
		theirs, err := store.Now(ctx)
		if err != nil {
			h.clocks.failed = max(h.clock(), 1)
			return fmt.Errorf("walkin: asking the store's clock: %w", err)
		}
		took := time.Since(before)
		h.clocks.ahead.Store(int64(before.Add(took / 2).Sub(theirs)))
		h.clocks.at, h.clocks.failed = max(h.clock(), 1), 0
	}
	ahead := time.Duration(h.clocks.ahead.Load())
	if ahead.Abs() <= leeway {
		return nil
	}
	err := fmt.Errorf("walkin: the clock of this process is %v ahead of the store's", ahead.Round(time.Second))
	if ahead < 0 {
		err = fmt.Errorf("walkin: the clock of this process is %v behind the store's", -ahead.Round(time.Second))
	}
	h.sometimes(ctx, Event{Outcome: Failed, Reason: ReasonClock, Err: err})
	return err
}

// earlier returns the earlier of this process's time and the store's, where the two
// are known to disagree: a token that is dated by it is one that all replicas take.
func (h *storeHealth) earlier(now time.Time) time.Time {
	if ahead := time.Duration(h.clocks.ahead.Load()); ahead > leeway {
		return now.Add(-ahead)
	}
	return now
}
