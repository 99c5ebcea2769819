package password_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/texts"
)

const tooMany = "too_many_attempts"

// fails makes n failed sign-ins from an address, and returns how many of them
// were not limited.
func (s *site) fails(t *testing.T, n int, name, addr string) int {
	t.Helper()
	allowed := 0
	for range n {
		_, err := s.SignIn(from(form(t, name, "wrong horse battery"), addr))
		if r, ok := errors.AsType[*walkin.Refusal](err); ok && r.Reason != tooMany {
			allowed++
		} else if !ok {
			t.Fatal(err)
		}
	}
	return allowed
}

func TestNameAndNetwork(t *testing.T) {
	for _, known := range []bool{true, false} { // neither limit tells
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, nil)
			if known {
				s.signUp(t, name, secret)
			}
			hashed := s.hashes.Load()
			if n := s.fails(t, 30, name, "192.0.2.1:1"); n != 10 {
				t.Errorf("%d guesses in a row, want 10", n)
			}
			if n := s.hashes.Load() - hashed; n != 10 {
				t.Errorf("hashed %d times, want 10", n)
			}
			_, err := s.SignIn(from(form(t, name, secret), "192.0.2.99:1"))
			if r := refusal(t, err, http.StatusTooManyRequests, tooMany); r.RetryAfter != 90*time.Second ||
				r.Text != texts.Of("password.too_many", "minutes", 2) {
				t.Errorf("got %v, %q", r.RetryAfter, r.Text)
			}
			if n := s.fails(t, 1, "bob", "192.0.2.1:1"); n != 1 {
				t.Error("another name is limited, too")
			}
			if n := s.fails(t, 1, name, "198.51.100.1:1"); n != 1 {
				t.Error("another network is limited, too")
			}
			time.Sleep(89 * time.Second)
			if n := s.fails(t, 1, name, "192.0.2.1:1"); n != 0 {
				t.Error("forgiven early")
			}
			time.Sleep(time.Second)
			if n := s.fails(t, 2, name, "192.0.2.1:1"); n != 1 {
				t.Errorf("after 90 s: %d guesses, want 1", n)
			}
			time.Sleep(15 * time.Minute)
			if n := s.fails(t, 30, name, "192.0.2.1:1"); n != 10 {
				t.Errorf("after 15 minutes: %d guesses, want 10", n)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.signUp(t, name, secret)
		allowed := 0
		for i := range 100 {
			allowed += s.fails(t, 1, fmt.Sprintf("user%d", i), "192.0.2.1:1")
		}
		if allowed != 50 {
			t.Errorf("%d guesses, want 50", allowed)
		}
		_, err := s.SignIn(from(form(t, name, secret), "192.0.2.1:1"))
		if r := refusal(t, err, http.StatusTooManyRequests, tooMany); r.RetryAfter != 18*time.Second {
			t.Errorf("got %v", r.RetryAfter)
		}
		if _, err := s.SignIn(from(form(t, name, secret), "192.0.2.2:1")); err != nil {
			t.Errorf("the neighbour: %v", err)
		}
		time.Sleep(18 * time.Second)
		if _, err := s.SignIn(from(form(t, name, secret), "192.0.2.1:1")); err != nil {
			t.Error(err)
		}
	})
}

// Nine networks cannot lock the owner of a name out, and any number of them
// gets a hundred guesses.
func TestName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.signUp(t, name, secret)
		allowed := 0
		for i := range 30 {
			allowed += s.fails(t, 20, name, fmt.Sprintf("10.0.%d.1:1", i))
			if i == 8 {
				if _, err := s.SignIn(form(t, name, secret)); err != nil {
					t.Errorf("locked out: %v", err)
				}
			}
		}
		if allowed != 100 {
			t.Errorf("%d guesses, want 100", allowed)
		}
		_, err := s.SignIn(form(t, name, secret))
		if r := refusal(t, err, http.StatusTooManyRequests, tooMany); r.RetryAfter != 36*time.Second {
			t.Errorf("got %v", r.RetryAfter)
		}
	})
}

// What is over the limit does not make the wait longer, and neither does
// what was right.
func TestOnlyFailuresCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.signUp(t, name, secret)
		s.fails(t, 9, name, "192.0.2.1:1")
		for range 100 {
			if _, err := s.SignIn(form(t, name, secret)); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.fails(t, 1000, name, "192.0.2.1:1"); n != 1 {
			t.Errorf("%d more guesses, want 1", n)
		}
		time.Sleep(90 * time.Second)
		if _, err := s.SignIn(form(t, name, secret)); err != nil {
			t.Error(err)
		}
	})
}

// A tally is a limiter that knows what was taken and not given back.
type tally struct {
	limit.Limiter
	kept atomic.Int64
}

func (l *tally) Take(ctx context.Context, key string, limit limit.Limit, n int, now time.Time) (limit.Verdict, error) {
	verdict, err := l.Limiter.Take(ctx, key, limit, n, now)
	if verdict.OK {
		l.kept.Add(int64(n))
	}
	return verdict, err
}

func TestSuccessLeavesNothingBehind(t *testing.T) {
	l := &tally{Limiter: limit.New(0)}
	s := newSiteOf(t, func(c *walkin.Config) { c.Limiter = l }, nil)
	s.signUp(t, name, secret)
	if _, err := s.SignIn(form(t, name, secret)); err != nil {
		t.Fatal(err)
	}
	if n := l.kept.Load(); n != 0 {
		t.Errorf("%d counts are kept", n)
	}
	if s.fails(t, 1, name, "192.0.2.1:1"); l.kept.Load() != 3 {
		t.Errorf("a failure left %d counts, want 3", l.kept.Load())
	}
}

// A lastFull is a limiter whose third bucket is full once something is taken from it,
// though it was not when it was looked at: another attempt was faster.
type lastFull struct {
	tally
	takes int
}

func (l *lastFull) Take(ctx context.Context, key string, limit limit.Limit, n int, now time.Time) (limit.Verdict, error) {
	if n > 0 {
		if l.takes++; l.takes%3 == 0 {
			return full, nil
		}
	}
	return l.tally.Take(ctx, key, limit, n, now)
}

var full = limit.Verdict{RetryAfter: time.Minute}

// TestOvertakenLeavesNothingBehind holds that an attempt which another one overtakes at the
// last of its limits gives back what it took of the others, and guesses nothing.
func TestOvertakenLeavesNothingBehind(t *testing.T) {
	l := &lastFull{tally: tally{Limiter: limit.New(0)}}
	s := newSiteOf(t, func(c *walkin.Config) { c.Limiter = l }, nil)
	for range 20 {
		if n := s.fails(t, 1, name, "192.0.2.1:1"); n != 0 {
			t.Error("it guesses all the same")
		}
	}
	if l.kept.Load() != 0 || l.takes != 60 || s.hashes.Load() != 0 {
		t.Errorf("%d counts are kept of %d, and %d were hashed", l.kept.Load(), l.takes, s.hashes.Load())
	}
}

func TestParallelGuesses(t *testing.T) {
	s := newSite(t, func(cfg *password.Config) { cfg.Waiting = 100 })
	s.signUp(t, name, secret)
	s.hashes.Store(0)
	var wrong atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { wrong.Add(int64(s.fails(t, 1, name, "192.0.2.1:1"))) })
	}
	all.Wait()
	if wrong.Load() != 10 || s.hashes.Load() != 10 {
		t.Errorf("%d guesses were answered and %d hashed, want 10", wrong.Load(), s.hashes.Load())
	}
}

// Many tabs of one person who knows the password.
func TestParallelSignIns(t *testing.T) {
	s := newSite(t, func(cfg *password.Config) { cfg.Hashes, cfg.Waiting = 2, 100 })
	s.signUp(t, name, secret)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, err := s.SignIn(form(t, name, secret)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestOrigins(t *testing.T) {
	for _, tt := range []struct {
		name, first, second string
		same                bool
	}{
		{"one address", "192.0.2.1:1", "192.0.2.1:2", true},
		{"two addresses", "192.0.2.1:1", "192.0.2.2:1", false},
		{"v4 in v6", "192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
		{"one /64", "[2001:db8:1:1::1]:1", "[2001:db8:1:1:ffff::2]:1", true},
		{"two /64s", "[2001:db8:1:1::1]:1", "[2001:db8:1:2::1]:1", false},
		{"zones", "[fe80::1%eth0]:1", "[fe80::1%eth1]:1", true},
		{"one socket", "@", "@", true},
		{"a socket and nothing", "@", "", true},
		{"a socket and an address", "@", "192.0.2.1:1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, func(cfg *password.Config) { cfg.PerAddress = limit.Limit{Count: 1, Per: time.Hour} })
			s.fails(t, 1, "ann", tt.first)
			if same := s.fails(t, 1, "bob", tt.second) == 0; same != tt.same {
				t.Errorf("the same: %v, want %v", same, tt.same)
			}
		})
	}
}

func TestNetworks(t *testing.T) {
	s := newSite(t, func(cfg *password.Config) { cfg.PerNameAndNetwork = limit.Limit{Count: 1, Per: time.Hour} })
	for _, tt := range []struct {
		name, addr string
		want       int
	}{
		{"v4", "192.0.2.1:1", 1},
		{"its /24", "192.0.2.254:1", 0},
		{"the next /24", "192.0.3.1:1", 1},
		{"v6", "[2001:db8:1:1::1]:1", 1},
		{"its /48", "[2001:db8:1:ffff::1]:1", 0},
		{"the next /48", "[2001:db8:2:1::1]:1", 1},
	} {
		if got := s.fails(t, 1, "ann", tt.addr); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestProxies holds that the limits go by the address that the middleware believes.
func TestProxies(t *testing.T) {
	s := newSiteOf(t, func(c *walkin.Config) {
		c.Proxies.Trusted, c.Proxies.Header = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "X-Real-Ip"
	}, func(cfg *password.Config) { cfg.PerAddress = limit.Limit{Count: 1, Per: time.Hour} })
	for i, tt := range []struct {
		remote, header string
		want           bool
	}{
		{"192.0.2.1:1", "198.51.100.1", true},
		{"192.0.2.1:1", "198.51.100.1", false},
		{"192.0.2.1:1", "198.51.100.2", true},
		{"192.0.2.1:1", "unknown", true}, // counts as the proxy
		{"192.0.2.1:1", "garbage", false},
		{"192.0.2.1:1", "198.51.100.3", true},
		{"203.0.113.1:1", "198.51.100.4", true}, // not from the proxy: the peer
		{"203.0.113.1:1", "198.51.100.5", false},
	} {
		r := from(form(t, fmt.Sprint("user", i), "wrong horse battery"), tt.remote)
		r.Header.Set("X-Real-Ip", tt.header)
		_, err := s.SignIn(r)
		refusal, ok := errors.AsType[*walkin.Refusal](err)
		if got := ok && refusal.Reason != tooMany; got != tt.want {
			t.Errorf("%d %s %s: allowed: %v, want %v", i, tt.remote, tt.header, got, tt.want)
		}
	}
}
