package oidc_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/limit"
)

// A hostile provider answers one path without an end: as fast as it is read, or a
// byte a second.
type hostile struct {
	http.RoundTripper
	path string
	drip bool
	read atomic.Int64
}

func (h *hostile) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != h.path {
		return h.RoundTripper.RoundTrip(r)
	}
	body := endless{h: h, r: r, start: strings.NewReader(`{"issuer":"https://op.example","keys":[],"access_token":"`)}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: body, Request: r, ContentLength: -1}, nil
}

type endless struct {
	h     *hostile
	r     *http.Request
	start *strings.Reader
}

func (e endless) Read(b []byte) (int, error) {
	if e.h.drip {
		b = b[:1]
		select {
		case <-time.After(time.Second):
		case <-e.r.Context().Done():
			return 0, e.r.Context().Err()
		}
	}
	if e.h.read.Load() > 4<<20 {
		return 0, errors.New("read without end")
	}
	n, err := e.start.Read(b)
	if err == io.EOF {
		n = len(b)
		copy(b, strings.Repeat("a", n))
	}
	e.h.read.Add(int64(n))
	return n, nil
}

func (e endless) Close() error { return nil }

// TestAnswersWithoutEnd holds that no answer of a provider takes more than a
// megabyte or ten seconds, whichever of its addresses it comes from and whatever
// the site's own client allows.
func TestAnswersWithoutEnd(t *testing.T) {
	for _, path := range []string{"/.well-known/openid-configuration", "/keys", "/token", "/userinfo", "/user", "/user/emails"} {
		for _, drip := range []bool{false, true} {
			t.Run(fmt.Sprint(path, " ", drip), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := &hostile{path: path, drip: drip}
					provider := "op"
					s := newSite(t, func(_ *walkin.Config, c *oidc.Config) {
						if strings.HasPrefix(path, "/user") && path != "/userinfo" {
							// GitHub, whose users sign in at the other provider here.
							gh := oidc.GitHub("client", "secret")
							gh.AuthURL, gh.TokenURL = issuer+"/authorize", issuer+"/token"
							c.Providers = append(c.Providers, gh)
							provider = "github"
						}
						h.RoundTripper = c.Client.Transport
						if h.RoundTripper.(web)["api.github.com"] == nil {
							h.RoundTripper.(web)["api.github.com"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
								fmt.Fprint(w, `{"id":7,"login":"ann"}`)
							})
						}
						c.Client = &http.Client{Transport: h, Timeout: time.Hour}
					})
					c, before := s.anonymous()
					began := time.Now()
					r := c.Post("/auth/start", pressed(provider))
					if to, err := r.Location(); r.StatusCode == http.StatusSeeOther && err == nil {
						r = s.back(c, provider, s.op.answer(to, "ann"))
					}
					if r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(s.cause(), "oidc_provider_down") {
						t.Errorf("got %d, %s", r.StatusCode, s.cause())
					}
					if took := time.Since(began); took > 11*time.Second {
						t.Errorf("it took %v", took)
					}
					synctest.Wait()
					if n := h.read.Load(); n == 0 || n > 1<<20+64<<10 {
						t.Errorf("%d bytes were read", n)
					}
					// The libraries keep no error of /token, and read no more of it.
					if !drip && path != "/token" && !strings.HasPrefix(path, "/user/") && path != "/user" && !strings.Contains(s.cause(), "more than 1048576 bytes") {
						t.Errorf("the owner is told %q", s.cause())
					}
					if len(s.cause()) > 300 || strings.Contains(s.cause(), "aaa") {
						t.Errorf("the owner is told %.300s", s.cause())
					}
					if got := s.who(c); got != before {
						t.Errorf("got %+v, want %+v", got, before)
					}
				})
			})
		}
	}
}

// TestStartFlood holds three things. Pressing the button without end leaves no more
// tickets than the network may have, on two replicas that share a limiter. A visitor
// who comes back has used nothing up. A state that is sent back at once has.
func TestStartFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := limit.New(0)
		s := newSite(t, func(c *walkin.Config, _ *oidc.Config) { c.Limiter = shared })
		for range 150 { // an office
			if r := s.prove(s.browser().From("203.0.113.7:1"), "ann"+fmt.Sprint(time.Now().UnixNano())); r.StatusCode != http.StatusSeeOther {
				t.Fatalf("got %d for %s", r.StatusCode, s.cause())
			}
			time.Sleep(time.Nanosecond)
		}
		statuses := map[int]int{}
		for i := range 400 {
			c := s.browser().On(s.replicas[i%2]).From("203.0.113.7:1")
			r := c.Post("/auth/start", pressed("op"))
			statuses[r.StatusCode]++
			if to, err := r.Location(); err == nil {
				s.back(c, "op", url.Values{"state": {to.Query().Get("state")}, "error": {"access_denied"}})
			}
		}
		if statuses[http.StatusSeeOther] != 100 || statuses[http.StatusTooManyRequests] != 300 {
			t.Errorf("got %v, want 100 of 400", statuses)
		}
		if r := s.prove(s.browser(), "bea"); r.StatusCode != http.StatusSeeOther {
			t.Errorf("from elsewhere: got %d", r.StatusCode)
		}
		time.Sleep(15 * time.Minute)
		if r := s.prove(s.browser().From("203.0.113.7:1"), "cleo"); r.StatusCode != http.StatusSeeOther {
			t.Errorf("later: got %d", r.StatusCode)
		}
	})
}

// TestPerNetwork holds that Config.PerNetwork is the limit, four times as high for a /48
// of IPv6, and that a visitor who is refused learns how long to wait.
func TestPerNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(_ *walkin.Config, c *oidc.Config) { c.PerNetwork = limit.Limit{Count: 2, Per: time.Hour} })
		start := func(address string) *http.Response {
			return s.browser().From(address).Post("/auth/start", pressed("op"))
		}
		for i, want := range []int{303, 303, 429} {
			if r := start("203.0.113.7:1"); r.StatusCode != want {
				t.Errorf("start %d: got %d, want %d", i, r.StatusCode, want)
			} else if want == 429 && r.Header.Get("Retry-After") != "1800" {
				t.Errorf("got Retry-After %q", r.Header.Get("Retry-After"))
			}
		}
		good := 0
		for i := range 20 {
			if start(fmt.Sprintf("[2001:db8:7:%x::1]:1", i)).StatusCode == http.StatusSeeOther {
				good++
			}
		}
		if good != 8 {
			t.Errorf("got %d of a /48, want 8", good)
		}
		time.Sleep(30 * time.Minute)
		if r := start("203.0.113.7:1"); r.StatusCode != http.StatusSeeOther {
			t.Errorf("half an hour later: got %d", r.StatusCode)
		}
	})
}

// TestGivenBack holds what counts for Config.PerNetwork: a sign-in that fails does, and
// one that could not begin, since the provider is down, does not.
func TestGivenBack(t *testing.T) {
	const here = "203.0.113.7:1"
	two := func(_ *walkin.Config, c *oidc.Config) { c.PerNetwork = limit.Limit{Count: 2, Per: time.Hour} }
	s := newSite(t, two)
	s.prove(s.browser().From("198.51.100.1:1"), "ann")
	for i, want := range []int{http.StatusConflict, http.StatusConflict, http.StatusTooManyRequests} {
		c, _ := s.anonymous()
		c = c.From(here)
		r := c.Post("/auth/start", pressed("op", "link", "1"))
		if to, err := r.Location(); err == nil {
			r = s.back(c, "op", s.op.answer(to, "ann"))
		}
		if r.StatusCode != want {
			t.Errorf("sign-in %d: got %d for %q, want %d", i, r.StatusCode, s.reason(), want)
		}
	}
	s = newSite(t, two)
	s.op.down = true
	for i := range 5 {
		if r := s.browser().From(here).Post("/auth/start", pressed("op")); r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("start %d: got %d for %q", i, r.StatusCode, s.reason())
		}
	}
	s.op.down = false
	s.press(s.browser().From(here), "op")
}
