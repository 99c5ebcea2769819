package bench_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

// counting counts look-ups: with a long RecheckAfter, one for every miss.
type counting struct {
	*memstore.Store
	n *atomic.Int64
}

func (c counting) LookupSession(context.Context, uuid.UUID, uuid.UUID) (store.Session, error) {
	c.n.Add(1)
	return store.Session{}, store.ErrNotFound
}

// A returning visitor keeps a hit rate over 90 % while a hundred genuine
// tokens that come once arrive for each request of theirs: between two visits
// of one, more new tokens than the whole cache can hold.
func TestHitRateUnderFlood(t *testing.T) {
	const regulars, visits, flood, size = 20, 25, 100, 1024
	var lookups atomic.Int64
	h := newWalkin(t, "HS256", func(cfg *walkin.Config) {
		cfg.Store, cfg.CacheSize, cfg.Sessions.RecheckAfter = counting{memstore.New(), &lookups}, size, time.Hour
	}).Handler(walkinPage)
	others := newWalkin(t, "HS256", small) // another replica mints
	names := tokens(t, "HS256", regulars)
	w, r := newSink(), newRequest("x")
	come := func(token string) bool {
		w.reset()
		r.Header["Cookie"] = []string{withTheme(cookieName, token)}
		before := lookups.Load()
		h.ServeHTTP(w, r)
		if w.status != http.StatusNoContent {
			t.Fatalf("got status %d, want 204", w.status)
		}
		return lookups.Load() == before
	}
	hits := 0
	for range visits {
		for _, name := range names {
			if come(name) {
				hits++
			}
			for range flood {
				come(newToken(t, others))
			}
		}
	}
	if rate := float64(hits) / (regulars * visits); rate <= 0.9 {
		t.Errorf("got a hit rate of %.3f, want more than 0.9", rate)
	}
}
