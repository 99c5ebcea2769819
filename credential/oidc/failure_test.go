package oidc_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
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
	lost := s.op.answer(s.press(c, "op"), "ann") // of another login flow, which is over then
	down = "put"
	s.refused(c, s.post(c, "op", lost), before, http.StatusServiceUnavailable, "store_down")
	down = ""
	s.refused(c, s.post(c, "op", lost), before, http.StatusForbidden, "oidc_state")
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
			r := last.NewRequest(http.MethodPost, "/auth/start?provider=op", nil).WithContext(ctx)
			last.Carry(r)
			if response, err := last.Serve(r); err != nil || response.StatusCode != http.StatusServiceUnavailable || s.reason() != "oidc_provider_down" {
				t.Errorf("who went away: got %v, %v, for %q", response, err, s.reason())
			}
			left = true
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		if !left {
			t.Error("who went away is kept waiting")
		}
		wg.Wait()
		if got := s.cause(); !strings.Contains(got, "the provider did not answer in time") {
			t.Errorf("the operator is told %q", got)
		}
		if waited := time.Since(began); asked != 1 || waited != 10*time.Second {
			t.Errorf("asked %d times, waited %v", asked, waited)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestKeysHang holds that a provider whose keys do not come keeps a visitor for as long
// as Config.Client waits, and ten seconds at most, and that the next visitor gets
// through: nothing goes on to wait behind them.
func TestKeysHang(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: 10 * time.Second, time.Hour: 10 * time.Second, 3 * time.Second: 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var hangs atomic.Bool // the key set is asked for beside the request
			hangs.Store(true)
			s := newSite(t, func(_ *walkin.Config, c *oidc.Config) {
				inner := c.Client.Transport
				c.Client = &http.Client{Timeout: timeout, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == "/keys" && hangs.Load() {
						select {
						case <-r.Context().Done():
						case <-time.After(time.Hour): // so that the test ends
						}
						return nil, errors.New("it did not come")
					}
					return inner.RoundTrip(r)
				})}
			})
			c, before := s.anonymous()
			answer := s.op.answer(s.press(c, "op"), "ann")
			began := time.Now()
			r := s.back(c, "op", answer)
			if waited := time.Since(began); waited != want {
				t.Errorf("%v: waited %v, want %v", timeout, waited, want)
			}
			s.refused(c, r, before, http.StatusServiceUnavailable, "oidc_provider_down")
			hangs.Store(false)
			time.Sleep(time.Second)
			if r := s.prove(c, "ann"); r.StatusCode != http.StatusSeeOther {
				t.Errorf("%v: the next one: got %d for %q", timeout, r.StatusCode, s.cause())
			}
		})
	}
}

// TestVisitorLeaves holds that the operator is told so, and not that the provider is
// down.
func TestVisitorLeaves(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	s := newSite(t, func(_ *walkin.Config, c *oidc.Config) {
		inner := c.Client.Transport
		c.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/userinfo" {
				leave()
				return nil, r.Context().Err()
			}
			return inner.RoundTrip(r)
		})}
	})
	c, before := s.anonymous()
	r := c.Do(callback(c, "op", s.op.answer(s.press(c, "op"), "ann")).WithContext(ctx))
	s.refused(c, r, before, http.StatusServiceUnavailable, "oidc_provider_down")
	if got := s.cause(); !strings.Contains(got, "the visitor went away") {
		t.Errorf("the operator is told %q", got)
	}
}

// TestClientPanics holds that a Client which panics costs the visitor who asks, and
// that those who wait for the same answer are told that there is none.
func TestClientPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		panics := make(chan struct{})
		s := newSite(t, func(_ *walkin.Config, c *oidc.Config) {
			inner := c.Client.Transport
			c.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				select {
				case <-panics:
					return inner.RoundTrip(r)
				default:
				}
				<-panics
				panic("the client's own")
			})}
		})
		first, _ := s.anonymous()
		second, before := s.anonymous()
		ask := first.NewRequest(http.MethodPost, "/auth/start?provider=op", nil)
		first.Carry(ask)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := first.Serve(ask); err == nil {
				t.Error("the panic did not reach the server")
			}
		})
		synctest.Wait()
		wg.Go(func() {
			s.refused(second, second.Post("/auth/start", pressed("op")), before, http.StatusServiceUnavailable, "oidc_provider_down")
		})
		synctest.Wait()
		close(panics)
		wg.Wait()
		if got := s.cause(); !strings.Contains(got, "was cut short") {
			t.Errorf("the operator is told %q", got)
		}
		s.press(second, "op")
		time.Sleep(10 * time.Second) // net/http waits for the end of the request that panicked
	})
}

// TestTicketIsUnreadable holds that a login flow which the store brings back damaged
// changes nothing.
func TestTicketIsUnreadable(t *testing.T) {
	damaged := false
	s := newSite(t, func(c *walkin.Config, _ *oidc.Config) { c.Store = damaging{c.Store, &damaged} })
	c, before := s.anonymous()
	answer := s.op.answer(s.press(c, "op"), "ann")
	damaged = true
	r := s.back(c, "op", answer)
	damaged = false
	s.refused(c, r, before, http.StatusInternalServerError, "internal")
	if s.op.called("/token") != 0 {
		t.Error("the code was shown to the provider")
	}
	if r := s.back(c, "op", url.Values{"state": answer["state"]}); r.StatusCode != http.StatusForbidden {
		t.Errorf("again: got %d", r.StatusCode)
	}
}

// A damaging store cuts short what tickets hold, while it is told to.
type damaging struct {
	store.Store
	now *bool
}

func (d damaging) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	t, err := d.Store.TakeTicket(ctx, key, now)
	if *d.now && len(t.Data) > 0 {
		t.Data = t.Data[:len(t.Data)-1]
	}
	return t, err
}

// TestDownByThen holds that a replica which has not asked the provider yet, and cannot
// when the visitor comes back, says so, and shows no code to it.
func TestDownByThen(t *testing.T) {
	s := newSite(t)
	c, before := s.anonymous()
	answer := s.op.answer(s.press(c, "op"), "ann")
	s.op.down = true
	s.refused(c, s.back(c.On(s.replicas[1]), "op", answer), before, http.StatusServiceUnavailable, "oidc_provider_down")
	if got := s.cause(); !strings.Contains(got, "discovery") || s.op.called("/token") != 0 {
		t.Errorf("the operator is told %q", got)
	}
}

// TestFetch holds what becomes of a profile that the site's own Provider.Fetch returns,
// and that its client sends the access token along.
func TestFetch(t *testing.T) {
	for _, c := range []struct {
		name    string
		profile oidc.Profile
		err     error
		status  int
		reason  string
		want    oidc.Profile
	}{
		{"a subject", oidc.Profile{Subject: "7", Name: "Ann"}, nil, 303, "", oidc.Profile{Provider: issuer, Subject: "7", Name: "Ann"}},
		{"a provider of its own", oidc.Profile{Provider: other, Subject: "7"}, nil, 303, "", oidc.Profile{Provider: issuer, Subject: "7"}},
		{"an address", oidc.Profile{Subject: "7", Email: "ann@example.com"}, nil, 303, "", oidc.Profile{Provider: issuer, Subject: "7", UnverifiedEmail: "ann@example.com"}},
		{"what is no text", oidc.Profile{Subject: "7", Name: "Ann\xff", UnverifiedEmail: "a\xff@example.com"}, nil, 303, "", oidc.Profile{Provider: issuer, Subject: "7"}},
		{"two lines", oidc.Profile{Subject: "7", Name: "Ann\nBea"}, nil, 303, "", oidc.Profile{Provider: issuer, Subject: "7"}},
		{"no subject", oidc.Profile{Name: "Ann"}, nil, 403, "oidc_not_believed", oidc.Profile{}},
		{"an error", oidc.Profile{Subject: "7"}, errors.New("the site's own"), 503, "oidc_provider_down", oidc.Profile{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, provider(func(p *oidc.Provider) {
				p.AuthURL, p.TokenURL = issuer+"/authorize", issuer+"/token"
				p.Fetch = func(ctx context.Context, client *http.Client) (oidc.Profile, error) {
					r, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer+"/userinfo", nil)
					if err != nil {
						return oidc.Profile{}, err
					}
					response, err := client.Do(r)
					if err != nil {
						return oidc.Profile{}, err
					}
					defer response.Body.Close()
					if response.StatusCode != http.StatusOK {
						t.Errorf("with the access token: got %d", response.StatusCode)
					}
					return c.profile, c.err
				}
			}))
			b, before := s.anonymous()
			r := s.prove(b, "ann")
			if c.reason != "" {
				s.refused(b, r, before, c.status, c.reason)
				return
			}
			if r.StatusCode != c.status || s.who(b).ID != before.ID {
				t.Fatalf("got %d for %q", r.StatusCode, s.cause())
			}
			if got := s.profiles[len(s.profiles)-1]; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
