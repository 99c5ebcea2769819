package quota_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/faulty"
	"github.com/walkin-go/walkin/quota"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A site has one thing that is counted, and a page that says what is left.
type site struct {
	t     *testing.T
	m     *walkin.Middleware
	store *failing
	http.Handler
	exports atomic.Int32

	mu   sync.Mutex
	told []string
	took quota.Left // what Take returned last
}

// failing is a store whose tickets can be out of reach.
type failing struct {
	*memstore.Store
	down, unread atomic.Bool
}

var errDown = errors.New("the store is down")

func (f *failing) TryTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if f.down.Load() {
		return store.Ticket{}, errDown
	}
	return f.Store.TryTicket(ctx, key, now)
}

func (f *failing) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if f.down.Load() || f.unread.Load() {
		return store.Ticket{}, errDown
	}
	return f.Store.Ticket(ctx, key, now)
}

// newSite returns one replica of a site over store, nil for a new one.
func newSite(t *testing.T, store *failing, cfg quota.Config) *site {
	t.Helper()
	if store == nil {
		store = &failing{Store: memstore.New()}
	}
	s := newSiteOver(t, store, cfg)
	s.store = store
	return s
}

func newSiteOver(t *testing.T, store store.Store, cfg quota.Config) *site {
	t.Helper()
	s := &site{t: t}
	var err error
	s.m, err = walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: store,
		OnEvent: func(_ context.Context, e walkin.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if e.Outcome == walkin.Refused {
				s.told = append(s.told, string(e.Reason))
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Name == "" {
		cfg.Name = "export"
	}
	q, err := quota.New(s.m, cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/export", q.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { s.exports.Add(1) })))
	mux.HandleFunc("/left", func(w http.ResponseWriter, r *http.Request) {
		left, err := q.Remaining(r)
		if err != nil {
			s.m.Refuse(w, r, err)
			return
		}
		if left.Count == math.MaxInt {
			fmt.Fprint(w, "any")
			return
		}
		fmt.Fprintf(w, "%d of %d", left.Count, left.Limit)
	})
	mux.HandleFunc("/remaining", func(w http.ResponseWriter, r *http.Request) {
		if left, err := q.Remaining(r); err == nil {
			_ = json.NewEncoder(w).Encode(left)
		}
	})
	mux.HandleFunc("POST /take", func(w http.ResponseWriter, r *http.Request) {
		left, err := q.Take(w, r)
		s.mu.Lock()
		s.took = left
		s.mu.Unlock()
		if err != nil {
			s.m.Refuse(w, r, err)
		}
	})
	mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.m.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
			s.m.Refuse(w, r, err)
		}
	})
	s.Handler = s.m.Handler(mux)
	return s
}

func (s *site) browser() *walkintest.Client {
	c := walkintest.NewClient(s.t, s)
	c.Visit("/")
	return c
}

func (s *site) left(c *walkintest.Client) string {
	s.t.Helper()
	b, err := io.ReadAll(c.On(s).Fetch("/left").Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// remaining is what Remaining returns.
func (s *site) remaining(c *walkintest.Client) (left quota.Left) {
	s.t.Helper()
	if err := json.NewDecoder(c.On(s).Fetch("/remaining").Body).Decode(&left); err != nil {
		s.t.Fatal(err)
	}
	return left
}

// export tries, and returns how many went through of n.
func (s *site) export(c *walkintest.Client, n int) (good int) {
	s.t.Helper()
	for range n {
		switch r := c.On(s).Post("/export", nil); r.StatusCode {
		case http.StatusOK:
			good++
		case http.StatusTooManyRequests, http.StatusSeeOther:
		default:
			s.t.Fatalf("got %d", r.StatusCode)
		}
	}
	return good
}

func (s *site) prove(c *walkintest.Client, name string) {
	s.t.Helper()
	if r := c.On(s).Post("/prove", url.Values{"name": {name}}); r.StatusCode != http.StatusOK {
		s.t.Fatalf("proving: got %d", r.StatusCode)
	}
}

func TestQuota(t *testing.T) {
	s := newSite(t, nil, quota.Config{Limit: 3})
	c := s.browser()
	if got := s.left(walkintest.NewClient(t, s)); got != "3 of 3" {
		t.Errorf("nobody: got %q", got)
	}
	for _, want := range []string{"3 of 3", "2 of 3", "1 of 3"} {
		if got := s.left(c); got != want {
			t.Errorf("got %q left, want %q", got, want)
		}
		if s.export(c, 1) != 1 {
			t.Errorf("with %s left it was refused", want)
		}
	}
	if got := s.export(c, 5); got != 0 || s.left(c) != "0 of 3" || s.exports.Load() != 3 {
		t.Errorf("after three: got %d more, %s left", got, s.left(c))
	}
	if want := slices.Repeat([]string{"quota"}, 5); !slices.Equal(s.told, want) {
		t.Errorf("the owner is told %q, want %q", s.told, want)
	}
	if got := s.export(s.browser(), 4); got != 3 {
		t.Errorf("another visitor: got %d, want 3", got)
	}
}

// TestTwentyAtOnce holds that of twenty tries on two replicas exactly as many go
// through as there are.
func TestTwentyAtOnce(t *testing.T) {
	for _, by := range []quota.By{quota.PerUser, quota.PerNetwork, quota.PerUser | quota.PerNetwork} {
		a := newSite(t, nil, quota.Config{Limit: 3, By: by})
		b := newSite(t, a.store, quota.Config{Limit: 3, By: by})
		c := a.browser()
		c.Post("/", nil)
		var wg sync.WaitGroup
		for i := range 20 {
			r := c.NewRequest(http.MethodPost, "/export", nil)
			c.Carry(r)
			wg.Go(func() {
				if resp, err := c.On([]*site{a, b}[i%2]).Serve(r); err != nil || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusTooManyRequests {
					t.Errorf("got %v, %v", resp.StatusCode, err)
				}
			})
		}
		wg.Wait()
		if got := a.exports.Load() + b.exports.Load(); got != 3 {
			t.Errorf("%d: got %d, want 3", by, got)
		}
	}
}

// TestNetwork holds what a fresh cookie does, and does not, reset.
func TestNetwork(t *testing.T) {
	from := func(s *site, address string) func(*walkintest.Client) int {
		return func(c *walkintest.Client) int {
			r := c.NewRequest(http.MethodPost, "/export", nil)
			r.RemoteAddr = address
			return c.On(s).Do(r).StatusCode
		}
	}
	s := newSite(t, nil, quota.Config{Limit: 2, NetworkLimit: 3, By: quota.PerUser | quota.PerNetwork})
	here, there := from(s, "192.0.2.7:1000"), from(s, "192.0.2.8:1000")
	c := s.browser()
	for i, want := range []int{200, 200, 429, 429} {
		if got := here(c); got != want {
			t.Errorf("try %d: got %d, want %d", i, got, want)
		}
	}
	if got := here(s.browser()); got != 200 {
		t.Errorf("a fresh cookie: got %d; the tries that were refused must not count", got)
	}
	if got := here(s.browser()); got != 429 {
		t.Errorf("one more: got %d, want what the network has left, nothing", got)
	}
	t.Run("by user alone", func(t *testing.T) {
		s := newSite(t, nil, quota.Config{Limit: 1, By: quota.PerUser})
		here := from(s, "192.0.2.7:1000")
		for range 3 {
			if c := s.browser(); here(c) != 200 || here(c) != 429 {
				t.Error("one of three users behind an address had not one, or more")
			}
		}
	})
	second := s.browser()
	if here(second) != 429 || there(second) != 200 || there(second) != 200 || there(second) != 429 {
		t.Error("the refusal by the network took something from the user")
	}
}

// TestNetworkLeft holds that a visitor is told what they can take, where a network
// has another limit than a user: it takes all that there is, and counts.
func TestNetworkLeft(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  quota.Config
		left []string // before each try, and after the last
	}{
		{"a network has fewer", quota.Config{Limit: 9, NetworkLimit: 2, By: quota.PerNetwork}, []string{"2 of 2", "1 of 2", "0 of 2"}},
		{"a network has more", quota.Config{Limit: 1, NetworkLimit: 2, By: quota.PerNetwork}, []string{"2 of 2", "1 of 2", "0 of 2"}},
		{"both, a network has fewer", quota.Config{Limit: 9, NetworkLimit: 2, By: quota.PerUser | quota.PerNetwork}, []string{"2 of 2", "1 of 2", "0 of 2"}},
		{"both, a network has more", quota.Config{Limit: 1, NetworkLimit: 2, By: quota.PerUser | quota.PerNetwork}, []string{"1 of 1", "0 of 1"}},
		{"a network is not counted", quota.Config{Limit: 2, NetworkLimit: 1, By: quota.PerUser}, []string{"2 of 2", "1 of 2", "0 of 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, nil, tt.cfg)
			c := s.browser()
			if got := s.left(walkintest.NewClient(t, s)); got != tt.left[0] {
				t.Errorf("nobody: got %q left, want %q", got, tt.left[0])
			}
			for i, want := range tt.left {
				if got := s.left(c); got != want {
					t.Errorf("after %d: got %q left, want %q", i, got, want)
				}
				if got := s.export(c, 1) == 1; got != (i < len(tt.left)-1) {
					t.Errorf("after %d: got one more %t", i, got)
				}
			}
		})
	}
}

// TestNetworkV6 holds that one home's many addresses are one network, and a
// rented range of homes has four times as much.
func TestNetworkV6(t *testing.T) {
	s := newSite(t, nil, quota.Config{Limit: 2, By: quota.PerNetwork})
	good := 0
	for i := range 30 {
		c := s.browser()
		r := c.NewRequest(http.MethodPost, "/export", nil)
		r.RemoteAddr = fmt.Sprintf("[2001:db8:7:%x::%x]:1000", i/5, i)
		if c.Do(r).StatusCode == http.StatusOK {
			good++
		}
	}
	if good != 8 {
		t.Errorf("got %d of six homes' 30 tries, want 8", good)
	}
}

func TestUpgrade(t *testing.T) {
	for _, tt := range []struct {
		name      string
		cfg       quota.Config
		left      string
		afterward int
	}{
		{"unlimited", quota.Config{Limit: 3}, "any", 50},
		{"kept", quota.Config{Limit: 3, PermanentLimit: 10}, "8 of 10", 8},
		{"forgiven", quota.Config{Limit: 3, PermanentLimit: 10, Forgive: true}, "10 of 10", 10},
		{"fewer than they took", quota.Config{Limit: 3, PermanentLimit: 1}, "0 of 1", 0},
		{"by network, unlimited", quota.Config{Limit: 3, By: quota.PerNetwork}, "any", 50},
		{"the most there is", quota.Config{Limit: 3, PermanentLimit: 1000}, "998 of 1000", 50},
		{"more than a network", quota.Config{Limit: 3, PermanentLimit: 10, NetworkLimit: 2, By: quota.PerUser | quota.PerNetwork}, "8 of 10", 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, nil, tt.cfg)
			c := s.browser()
			s.export(c, 2)
			s.prove(c, "ann")
			if got := s.left(c); got != tt.left {
				t.Errorf("got %q left, want %q", got, tt.left)
			}
			if got := s.export(c, 50); got != tt.afterward {
				t.Errorf("got %d, want %d", got, tt.afterward)
			}
		})
	}
	t.Run("to the very end", func(t *testing.T) {
		s := newSite(t, nil, quota.Config{Limit: 1000})
		c := s.browser()
		if got := s.export(c, 1003); got != 1000 {
			t.Errorf("got %d, want 1000", got)
		}
		s.store.unread.Store(true)
		if r := c.Post("/export", nil); r.StatusCode != http.StatusServiceUnavailable || s.exports.Load() != 1000 {
			t.Errorf("where the end cannot be read: got %d and %d exports", r.StatusCode, s.exports.Load())
		}
	})
}

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, quota.Config{Limit: 2, Within: time.Hour, UpgradeURL: "/sign-up"})
		c := s.browser()
		s.export(c, 1)
		time.Sleep(40 * time.Minute)
		s.export(c, 1)
		r := c.NewRequest(http.MethodPost, "/export", nil) // a script
		if r := c.Do(r); r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") != "1200" {
			t.Errorf("got %d after %q seconds, want 429 and 1200: the rest of the hour", r.StatusCode, r.Header.Get("Retry-After"))
		}
		if r := c.Post("/export", nil); r.StatusCode != http.StatusSeeOther || !strings.HasPrefix(r.Header.Get("Location"), "/sign-up") {
			t.Errorf("a person: got %d to %q, want the way to sign up", r.StatusCode, r.Header.Get("Location"))
		}
		time.Sleep(20 * time.Minute)
		if got := s.left(c); got != "2 of 2" {
			t.Errorf("an hour after the first: got %q left", got)
		}
		if got := s.export(c, 3); got != 2 {
			t.Errorf("got %d, want 2", got)
		}
	})
}

// TestTakesNothing holds what is not counted.
func TestTakesNothing(t *testing.T) {
	s := newSite(t, nil, quota.Config{Limit: 3})
	c := s.browser()
	c.Post("/", nil)
	for name, tt := range map[string]struct {
		method, header, value string
		want                  int
	}{
		"HEAD":           {http.MethodHead, "X-A", "", 405},
		"OPTIONS":        {http.MethodOptions, "X-A", "", 405},
		"prefetch":       {http.MethodGet, "Sec-Purpose", "prefetch;prerender", 503},
		"an old one":     {http.MethodGet, "Purpose", "prefetch", 503},
		"Firefox's":      {http.MethodGet, "X-Moz", "prefetch", 503},
		"a prerender":    {http.MethodGet, "Sec-Purpose", "prerender", 503},
		"Safari preview": {http.MethodGet, "X-Purpose", "preview", 503},
	} {
		r := c.NewRequest(tt.method, "/export", nil)
		r.Header.Set(tt.header, tt.value)
		if got := c.Do(r).StatusCode; got != tt.want || s.left(c) != "3 of 3" {
			t.Errorf("%s: got %d, %s left", name, got, s.left(c))
		}
	}
	nobody := walkintest.NewClient(t, s)
	r := nobody.NewRequest(http.MethodPost, "/export", nil)
	r.Header.Set("User-Agent", "Googlebot/2.1")
	before := s.exports.Load()
	if got := nobody.Do(r).StatusCode; got != http.StatusUnauthorized || s.exports.Load() != before {
		t.Errorf("a crawler: got %d", got)
	}
	s.store.down.Store(true)
	if got := c.Post("/export", nil).StatusCode; got != http.StatusServiceUnavailable || s.exports.Load() != before {
		t.Errorf("the store is down: got %d", got)
	}
	if got := c.Fetch("/left").StatusCode; got != http.StatusServiceUnavailable {
		t.Errorf("the store is down: got %d", got)
	}
	if got := s.left(walkintest.NewClient(t, s)); got != "3 of 3" {
		t.Errorf("the store is down, without a user: got %q", got)
	}
}

// TestTakeReturns holds what Take returns: what is left after it, of the count that
// leaves the fewest, until that count begins again.
func TestTakeReturns(t *testing.T) {
	const day, both = 24 * time.Hour, quota.PerUser | quota.PerNetwork
	any := quota.Left{Count: math.MaxInt, Limit: math.MaxInt}
	for _, tt := range []struct {
		name   string
		cfg    quota.Config
		before func(s *site, c *walkintest.Client) // at the beginning; an hour later comes the rest
		want   []quota.Left                        // of each try; Until is after the beginning
		until  []time.Duration
	}{
		{"by user", quota.Config{Limit: 2}, nil,
			[]quota.Left{{Count: 1, Limit: 2}, {Count: 0, Limit: 2}, {Count: 0, Limit: 2}}, []time.Duration{day + time.Hour, day + time.Hour, day + time.Hour}},
		{"by user, begun before", quota.Config{Limit: 2}, func(s *site, c *walkintest.Client) { s.export(c, 1) },
			[]quota.Left{{Count: 0, Limit: 2}}, []time.Duration{day}},
		{"by network", quota.Config{Limit: 1, NetworkLimit: 2, By: quota.PerNetwork}, nil,
			[]quota.Left{{Count: 1, Limit: 2}, {Count: 0, Limit: 2}}, []time.Duration{day + time.Hour, day + time.Hour}},
		{"the network has fewer, since before", quota.Config{Limit: 2, By: both}, func(s *site, _ *walkintest.Client) { s.export(s.browser().From("192.0.2.7:1"), 1) },
			[]quota.Left{{Count: 0, Limit: 2}}, []time.Duration{day}},
		{"the user has fewer, since before", quota.Config{Limit: 2, NetworkLimit: 9, By: both}, func(s *site, c *walkintest.Client) { s.export(c.From("192.0.2.8:1"), 1) },
			[]quota.Left{{Count: 0, Limit: 2}}, []time.Duration{day}},
		{"the user has fewer, since before, and the network some", quota.Config{Limit: 3, By: both}, func(s *site, c *walkintest.Client) { s.export(c.From("192.0.2.8:1"), 1) },
			[]quota.Left{{Count: 1, Limit: 3}}, []time.Duration{day}},
		{"as few of both, the network since before", quota.Config{Limit: 2, NetworkLimit: 3, By: both}, func(s *site, _ *walkintest.Client) { s.export(s.browser().From("192.0.2.7:1"), 1) },
			[]quota.Left{{Count: 1, Limit: 2}}, []time.Duration{day + time.Hour}},
		{"as few of both, the user since before", quota.Config{Limit: 3, NetworkLimit: 2, By: both}, func(s *site, c *walkintest.Client) { s.export(c.From("192.0.2.8:1"), 1) },
			[]quota.Left{{Count: 1, Limit: 2}}, []time.Duration{day + time.Hour}},
		{"a permanent user", quota.Config{Limit: 2}, func(s *site, c *walkintest.Client) { s.prove(c, "ann") }, []quota.Left{any}, []time.Duration{0}},
		{"a permanent user, counted", quota.Config{Limit: 2, PermanentLimit: 5}, func(s *site, c *walkintest.Client) { s.export(c, 1); s.prove(c, "ann") },
			[]quota.Left{{Count: 3, Limit: 5}}, []time.Duration{day}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.cfg.Within = day
				s := newSite(t, nil, tt.cfg)
				c := s.browser()
				began := time.Now()
				if tt.before != nil {
					tt.before(s, c)
				}
				time.Sleep(time.Hour)
				c = c.From("192.0.2.7:1")
				for i, want := range tt.want {
					if tt.until[i] > 0 {
						want.Until = began.Add(tt.until[i])
					}
					c.Post("/take", nil)
					if got := s.took; got.Count != want.Count || got.Limit != want.Limit || !got.Until.Equal(want.Until) {
						t.Errorf("try %d: got %+v, want %+v", i, got, want)
					}
					if got := s.remaining(c); got.Count != want.Count || got.Limit != want.Limit || !got.Until.Equal(want.Until) {
						t.Errorf("after try %d: %+v remain, want %+v", i, got, want)
					}
				}
			})
		})
	}
}

// TestLeftOfNothingTaken holds that Until is zero for a visitor who has all that they
// can have, whatever others took of their network.
func TestLeftOfNothingTaken(t *testing.T) {
	s := newSite(t, nil, quota.Config{Limit: 2, NetworkLimit: 3, By: quota.PerUser | quota.PerNetwork})
	s.export(s.browser().From("192.0.2.7:1"), 1)
	if got := s.remaining(s.browser().From("192.0.2.7:1")); got != (quota.Left{Count: 2, Limit: 2}) {
		t.Errorf("got %+v, want all of it", got)
	}
}

func TestNew(t *testing.T) {
	if _, err := quota.New(nil, quota.Config{Name: "a", Limit: 1}); err == nil {
		t.Error("without a middleware: got no error")
	}
	_, err := quota.New(newSite(t, nil, quota.Config{Limit: 1}).m, quota.Config{Name: "Ä", Limit: 1001, NetworkLimit: -1, PermanentLimit: -1, Within: 1, By: 8})
	for within, ok := range map[time.Duration]bool{time.Second: true, time.Second - 1: false} {
		if _, err := quota.New(newSite(t, nil, quota.Config{Limit: 1}).m, quota.Config{Name: "a", Limit: 1, Within: within}); (err == nil) != ok {
			t.Errorf("within %v: got %v", within, err)
		}
	}
	for _, part := range []string{"Name", "Limit", "NetworkLimit", "PermanentLimit", "Within", "By"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+part) {
			t.Errorf("got %v, want it to name Config.%s", err, part)
		}
	}
}

// TestMethods holds that no method is a way around what is counted, on a route
// that takes all of them.
func TestMethods(t *testing.T) {
	s := newSite(t, nil, quota.Config{Name: "export", Limit: 1})
	c := s.browser()
	c.Post("/export", nil)
	for _, method := range []string{http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodGet, http.MethodPost, "FOO"} {
		before := s.exports.Load()
		r := c.Do(c.NewRequest(method, "/export", nil))
		if after := s.exports.Load(); after != before || r.StatusCode < 400 {
			t.Errorf("%s: got %d, and the handler ran %d times", method, r.StatusCode, after-before)
		}
	}
}

// TestPermanentByNetwork holds that Config.PermanentLimit counts permanent users
// where anonymous users are counted by network alone.
func TestPermanentByNetwork(t *testing.T) {
	s := newSite(t, nil, quota.Config{Name: "export", Limit: 1, By: quota.PerNetwork, PermanentLimit: 2})
	c := s.browser()
	s.prove(c, "ann")
	for i, want := range []int{200, 200, 429} {
		if r := c.Post("/export", nil); r.StatusCode != want {
			t.Errorf("export %d: got %d, want %d", i, r.StatusCode, want)
		}
	}
}

// TestEveryStepFails holds that whichever call of the store fails, nothing is let
// through and nothing is shown as left, and that nothing was taken.
func TestEveryStepFails(t *testing.T) {
	for name, ask := range map[string]struct {
		before int
		ask    func(c *walkintest.Client) *http.Response
	}{
		"the first":    {0, func(c *walkintest.Client) *http.Response { return c.Post("/export", nil) }},
		"the second":   {1, func(c *walkintest.Client) *http.Response { return c.Post("/export", nil) }},
		"what is left": {1, func(c *walkintest.Client) *http.Response { return c.Fetch("/left") }},
	} {
		var s *site
		var c *walkintest.Client
		faulty.EachStep(t, func(t *testing.T, st *faulty.Store) faulty.Call {
			st.Store = memstore.New()
			s = newSiteOver(t, st, quota.Config{Limit: 3, By: quota.PerUser | quota.PerNetwork})
			c = s.browser()
			c.Post("/", nil)
			s.export(c, ask.before)
			s.exports.Store(0)
			return faulty.Call{Name: name, Ask: func() *http.Response { return ask.ask(c) }}
		}, func(t *testing.T, step string, _ *http.Response) {
			if left := fmt.Sprintf("%d of 3", 3-ask.before); s.exports.Load() != 0 || s.left(c) != left {
				t.Errorf("%s, %s fails: %d exports, %s left, want none and %s", name, step, s.exports.Load(), s.left(c), left)
			}
		})
	}
}

// TestRefusalWords holds what visitors read at the limit: who has no account is asked to
// sign up, and who has one is not.
func TestRefusalWords(t *testing.T) {
	for _, tt := range []struct {
		name, message, want string
		permanent           bool
	}{
		{"a guest", "", "Sign up to go on", false},
		{"a user", "", "You have used up", true},
		{"a guest, in the app's words", "No more today.", "No more today.", false},
		{"a user, in the app's words", "No more today.", "No more today.", true},
	} {
		s := newSite(t, nil, quota.Config{Limit: 1, PermanentLimit: 1, Message: tt.message, UpgradeURL: "/sign-up"})
		c := s.browser()
		s.export(c, 1)
		if tt.permanent {
			s.prove(c, "ann")
		}
		r := c.NewRequest(http.MethodPost, "/export", nil)
		r.Header.Set("Accept", "application/json")
		b, err := io.ReadAll(c.Do(r).Body)
		if text := string(b); err != nil || !strings.Contains(text, tt.want) || tt.permanent && strings.Contains(text, "ign up") {
			t.Errorf("%s: got %s, %v", tt.name, text, err)
		}
		if r := c.Post("/export", nil); (r.StatusCode == http.StatusSeeOther) == tt.permanent {
			t.Errorf("%s: got %d to %q", tt.name, r.StatusCode, r.Header.Get("Location"))
		}
	}
}

// TestOperatorTakesNothing holds that an operator who sees the site as a user takes
// nothing of the user's.
func TestOperatorTakesNothing(t *testing.T) {
	s := newSite(t, nil, quota.Config{Limit: 1})
	q, err := quota.New(s.m, quota.Config{Name: "export", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := walkintest.Anonymous(t)
	c.Actor = c.UserID
	r := s.browser().NewRequest(http.MethodPost, "/export", nil)
	r = r.WithContext(walkin.NewContext(r.Context(), c))
	if _, err := q.Take(httptest.NewRecorder(), r); err == nil || !errors.As(err, new(*walkin.Refusal)) {
		t.Errorf("got %v, want a refusal", err)
	}
}

// TestNames holds which names tell quotas apart.
func TestNames(t *testing.T) {
	m := newSite(t, nil, quota.Config{Limit: 1}).m
	for name, ok := range map[string]bool{"": false, "a": true, "a-b_c9": true, "A": false, "a:b": false, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false} {
		if _, err := quota.New(m, quota.Config{Name: name, Limit: 1}); (err == nil) != ok {
			t.Errorf("%q: got %v", name, err)
		}
	}
}
