package oidc_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

// A breakable store does not answer about tickets when broken says so.
type breakable struct {
	store.Store
	broken func(method string) bool
}

var errBroken = errors.New("the store is down")

func (b *breakable) PutTicket(ctx context.Context, t store.Ticket) error {
	if b.broken("put") {
		return errBroken
	}
	return b.Store.PutTicket(ctx, t)
}

func (b *breakable) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if b.broken("take") {
		return store.Ticket{}, errBroken
	}
	return b.Store.TakeTicket(ctx, key, now)
}

// TestStoreDown holds that a store that is down costs the login flow, and nothing else.
func TestStoreDown(t *testing.T) {
	var down string
	b := &breakable{Store: memstore.New(), broken: func(method string) bool { return method == down }}
	s := newSite(t, formPost, func(c *walkin.Config, _ *oidc.Config) { c.Store = b })
	c, before := s.anonymous()
	down = "put"
	s.refused(c, c.Post("/auth/start", pressed("op")), before, http.StatusServiceUnavailable, "store_down")
	down = ""
	answer := s.op.answer(s.press(c, "op"), "ann")
	down = "take"
	s.refused(c, s.back(c, "op", answer), before, http.StatusServiceUnavailable, "store_down")
	s.refused(c, s.post(c, "op", answer), before, http.StatusServiceUnavailable, "store_down")
	down = ""
	if r := s.follow(c, s.post(c, "op", answer)); r.StatusCode != http.StatusSeeOther || s.who(c).ID != before.ID {
		t.Errorf("when it is back: got %d for %q", r.StatusCode, s.reason())
	}
}

// TestProviderHangs holds that a provider that does not answer keeps no visitor for
// longer than ten seconds, and that of those who wait one asks.
func TestProviderHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		hanging := roundTripper(func(r *http.Request) (*http.Response, error) {
			asked++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		s := newSite(t, func(_ *walkin.Config, c *oidc.Config) { c.Client = &http.Client{Transport: hanging} })
		// A visitor who asks and goes away does not take the answer from the others.
		first, _ := s.anonymous()
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { first.Do(first.NewRequest(http.MethodPost, "/auth/start?provider=op", nil).WithContext(ctx)) })
		synctest.Wait()
		began := time.Now()
		for range 20 {
			c, before := s.anonymous()
			wg.Go(func() {
				s.refused(c, c.Post("/auth/start", pressed("op")), before, http.StatusServiceUnavailable, "oidc_provider_down")
			})
		}
		synctest.Wait()
		leave()
		// And who only waits may leave at once.
		last, _ := s.anonymous()
		left := false
		ctx, leave = context.WithCancel(t.Context())
		wg.Go(func() {
			last.Do(last.NewRequest(http.MethodPost, "/auth/start?provider=op", nil).WithContext(ctx))
			left = true
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		if !left {
			t.Error("who went away is kept waiting")
		}
		wg.Wait()
		if waited := time.Since(began); asked != 1 || waited != 10*time.Second {
			t.Errorf("asked %d times, waited %v", asked, waited)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
