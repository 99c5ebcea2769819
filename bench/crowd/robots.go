package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walkin-go/walkin/limit"
)

// Well-known robots, by how they call themselves.
var crawlers = []string{
	"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
	"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
	"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
	"Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
	"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
	"python-requests/2.32.3",
	"curl/8.11.0",
	"",
}

// probes are requests of machines that ask whether the site is there.
var probes = []struct{ method, path, agent string }{
	{http.MethodHead, "/", userAgent},
	{http.MethodGet, "/healthz", userAgent},
	{http.MethodGet, "/", "kube-probe/1.31"},
	{http.MethodGet, "/", "ELB-HealthChecker/2.0"},
	{http.MethodHead, "/", "Wget/1.24.5"}, // --spider
	{http.MethodOptions, "/", userAgent},
}

// prefetches are how browsers say that the page is not looked at yet.
var prefetches = [][2]string{
	{"Sec-Purpose", "prefetch"}, {"Sec-Purpose", "prefetch;prerender"}, {"Purpose", "prefetch"}, {"X-Purpose", "preview"}, {"X-Moz", "prefetch"},
}

// perNetwork is how many new users walkin allows a network. Clients that solve a
// challenge get twenty times as many, and a /48 four times.
var perNetwork = limit.Limit{Count: 30, Per: time.Hour}

func times(n int, l limit.Limit) limit.Limit { return limit.Limit{Count: n * l.Count, Per: l.Per} }

// flock sends n requests, some at the same time, unless it is time to go home.
func (s *site) flock(ctx context.Context, c *crowd, n int, send func(ctx context.Context, i int) error) error {
	var errs collected
	var next atomic.Int64
	var wg sync.WaitGroup
	for range s.pushy {
		wg.Go(func() {
			for time.Now().Before(s.until) {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := send(ctx, i); err != nil {
					errs.add(fmt.Errorf("%s: %w", c.name, err))
					return
				}
			}
		})
	}
	wg.Wait()
	return errs.err()
}

// robots returns what all robots do but those who try passwords.
func (s *site) robots(size size) (all []func(context.Context) error) {
	play := func(c *crowd, send func(ctx context.Context, i int) error) {
		all = append(all, func(ctx context.Context) error { return s.flock(ctx, c, size.robots, send) })
	}
	nothing := []bound{users(never), rows(never), tickets(never), signIns(never)}

	crawl := s.crowd("crawlers", nothing...)
	play(crawl, func(ctx context.Context, i int) error {
		b := &browser{s: s, crowd: crawl, address: "192.0.2.7", agent: crawlers[i%len(crawlers)]}
		_, err := b.do(ctx, http.MethodGet, fmt.Sprintf("/page/%d", i), "", nil, "Accept", "text/html")
		return err
	})
	probe := s.crowd("probes", nothing...)
	play(probe, func(ctx context.Context, i int) error {
		p := probes[i%len(probes)]
		b := &browser{s: s, crowd: probe, address: "192.0.2.8", agent: p.agent}
		_, err := b.do(ctx, p.method, p.path, "", nil, "Accept", "text/html,*/*")
		return err
	})
	prefetch := s.crowd("prefetches of browsers", nothing...)
	play(prefetch, func(ctx context.Context, i int) error {
		how := prefetches[i%len(prefetches)]
		_, err := s.browser(prefetch, "192.0.2.9").do(ctx, http.MethodGet, "/", "navigate", nil, how[0], how[1])
		return err
	})
	elsewhere := s.crowd("forms on other sites", nothing...)
	play(elsewhere, func(ctx context.Context, i int) error {
		// From the browsers of people, who know nothing of it.
		path := []string{"/notes", "/signup", "/signin", "/signout"}[i%4]
		_, err := s.browser(elsewhere, homeOf(i%size.people)).do(ctx, http.MethodPost, path, "navigate", form("text", "x", "email", "evil@example.com", "password", passphrase),
			"Sec-Fetch-Site", []string{"cross-site", "same-site"}[i/4%2], "Origin", "https://evil.example")
		return err
	})

	s.floods(size, play)

	trials := s.crowd("fresh cookies for more of a trial", rows(at(perNetwork, 1)), answers("downloads", http.StatusOK, func(time.Duration) int { return downloads }))
	play(trials, func(ctx context.Context, i int) error {
		_, err := s.browser(trials, "203.0.113.8").post(ctx, "/download")
		return err
	})
	accounts := s.crowd("a flood of accounts from one address", rows(at(perNetwork, 1)), signIns(never))
	all = append(all, func(ctx context.Context) error {
		return s.flock(ctx, accounts, size.tries, func(ctx context.Context, i int) error { return s.signUp(ctx, accounts, i) })
	})

	worker := s.crowd("a robot that does the work", rows(at(times(21, perNetwork), 1)))
	all = append(all, func(ctx context.Context) error {
		total, start := 0, time.Now()
		for range min(size.robots/10, 60) {
			if time.Now().After(s.until) {
				break
			}
			_, hashes, err := s.browser(worker, "203.0.113.77").act(ctx, "/notes", "text", "spam")
			if err != nil {
				return fmt.Errorf("%s: %w", worker.name, err)
			}
			total += hashes
		}
		worker.say("%d million hashes, %v", total/1_000_000, time.Since(start).Round(time.Second))
		return nil
	})
	hoarder := s.crowd("a robot that collects the work first", rows(at(times(21, perNetwork), 1)))
	all = append(all, func(ctx context.Context) error { return s.hoard(ctx, hoarder, min(size.robots/10, 60)) })
	return all
}

// hoard asks for all challenges before it solves any, since they become harder with
// each one that is solved.
func (s *site) hoard(ctx context.Context, c *crowd, n int) error {
	type open struct {
		browser *browser
		answer  answer
	}
	var challenges []open
	total, start := 0, time.Now()
	for range n {
		b := s.browser(c, "203.0.113.78")
		a, err := b.post(ctx, "/notes", "text", "spam")
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if a.status == http.StatusTooManyRequests {
			challenges = append(challenges, open{b, a})
		}
	}
	for _, o := range challenges {
		if time.Now().After(s.until) {
			break
		}
		solved, hashes, err := o.browser.solve(ctx, o.answer)
		total += hashes
		if err == nil && solved {
			_, err = o.browser.post(ctx, "/notes", "text", "spam")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	c.say("%d million hashes, %v", total/1_000_000, time.Since(start).Round(time.Second))
	return nil
}

// signUp makes an account, every other time as an anonymous user, else without a user.
func (s *site) signUp(ctx context.Context, c *crowd, i int) error {
	b := s.browser(c, "203.0.113.10")
	if i%2 == 0 {
		if _, err := b.open(ctx, "/"); err != nil {
			return err
		}
	}
	_, err := b.post(ctx, "/signup", "email", fmt.Sprintf("robot%d@example.com", i), "password", passphrase)
	return err
}

// floods are robots that pass for browsers, with a new jar for every note.
func (s *site) floods(size size, play func(*crowd, func(context.Context, int) error)) {
	for _, f := range []struct {
		name    string
		limit   limit.Limit
		address func(i int) string
		network func(i int) string // nil: all are in one
		many    int                // networks
		client  *http.Client
	}{
		{name: "a flood from one address", limit: perNetwork, address: func(int) string { return "203.0.113.5" }},
		{name: "a flood from one IPv6 /64", limit: perNetwork, address: func(i int) string { return fmt.Sprintf("2001:db8:f00d:1::%x", i+1) }},
		{name: "a flood from one IPv6 /48", limit: times(4, perNetwork), address: func(i int) string { return fmt.Sprintf("2001:db8:beef:%x::1", i+1) }},
		{name: "a flood that makes up X-Forwarded-For", limit: perNetwork, address: func(i int) string { return fmt.Sprintf("198.51.%d.%d, 203.0.113.6", i/250, i%250) }},
		{name: "the same from a peer that is no proxy", limit: perNetwork, client: s.stranger, address: func(i int) string { return fmt.Sprintf("198.51.%d.%d", i/250, i%250) }},
		{name: "a flood whose address makes no sense", limit: perNetwork, address: func(i int) string { return []string{"unknown", "", "_hidden", "203.0.113.6, evil.example"}[i%4] }},
		{name: "a flood from the town's own address", limit: perNetwork, address: func(int) string { return townAddress }},
		{name: "a botnet", limit: perNetwork,
			address: func(i int) string {
				return fmt.Sprintf("203.0.%d.%d", 200+i%size.botnet/250, i%size.botnet%250+1)
			},
			network: func(i int) string { return strconv.Itoa(i % size.botnet) }, many: size.botnet},
	} {
		if f.network == nil {
			f.network, f.many = func(int) string { return "" }, 1
		}
		networks := map[string]int{} // how many notes each wrote
		c := s.crowd(f.name, bound{"rows in one network", func(*crowd) int { return slices.Max(append(slices.Collect(maps.Values(networks)), 0)) }, at(f.limit, 1)},
			rows(at(f.limit, f.many)))
		play(c, func(ctx context.Context, i int) error {
			b := s.browser(c, f.address(i))
			b.client = f.client
			a, err := b.post(ctx, "/notes", "text", "spam")
			if err == nil && a.status == http.StatusSeeOther {
				c.mu.Lock()
				networks[f.network(i)]++
				c.mu.Unlock()
			}
			return err
		})
	}
}

// The limits on failed sign-ins that credential/password has by itself.
var (
	perAddress        = limit.Limit{Count: 50, Per: 15 * time.Minute}
	perNameAndNetwork = limit.Limit{Count: 10, Per: 15 * time.Minute}
	perName           = limit.Limit{Count: 100, Per: time.Hour}
)

// thieves try a list of passwords with the names of people, while those people come and
// go. They try from one address, and from many.
func (s *site) thieves(people []*person, size size) []func(context.Context) error {
	one := s.crowd("stolen passwords from one address", rows(never), signIns(never), answers("tries", http.StatusUnauthorized, at(perAddress, 1)))
	many := s.crowd("stolen passwords from a botnet", rows(never), signIns(never), answers("tries", http.StatusUnauthorized, at(perAddress, size.botnet)))
	return []func(context.Context) error{
		func(ctx context.Context) error {
			return s.flock(ctx, one, size.tries, func(ctx context.Context, i int) error {
				return s.guess(ctx, one, "203.0.113.99", people[i%len(people)].name, i)
			})
		},
		func(ctx context.Context) error {
			return s.flock(ctx, many, size.tries, func(ctx context.Context, i int) error {
				return s.guess(ctx, many, fmt.Sprintf("203.%d.1.9", i%size.botnet), people[i%len(people)].name, i)
			})
		},
	}
}

// siege is the attack that also locks people out: guesses at one name from everywhere,
// and guesses from an address that many share.
func (s *site) siege(victim *person, town []*person, size size) []func(context.Context) error {
	name := s.crowd("guesses at one name from everywhere", rows(never), signIns(never), answers("tries", http.StatusUnauthorized, at(perName, 1)))
	one := s.crowd("guesses at one name from one address", rows(never), signIns(never), answers("tries", http.StatusUnauthorized, at(perNameAndNetwork, 1)))
	address := s.crowd("stolen passwords from the town's own address", rows(never), signIns(never), answers("tries", http.StatusUnauthorized, at(perAddress, 1)))
	s.until = time.Now().Add(size.lasts / 4)
	return []func(context.Context) error{
		func(ctx context.Context) error {
			return s.flock(ctx, name, size.tries, func(ctx context.Context, i int) error {
				return s.guess(ctx, name, fmt.Sprintf("203.%d.%d.9", i/200%200, i%200), victim.name, i)
			})
		},
		func(ctx context.Context) error {
			return s.flock(ctx, one, size.tries, func(ctx context.Context, i int) error {
				return s.guess(ctx, one, "203.0.113.98", town[0].name, i)
			})
		},
		func(ctx context.Context) error {
			return s.flock(ctx, address, size.tries, func(ctx context.Context, i int) error {
				return s.guess(ctx, address, townAddress, fmt.Sprintf("somebody%d@example.com", i), i)
			})
		},
	}
}

func (s *site) guess(ctx context.Context, c *crowd, address, name string, i int) error {
	b := &browser{s: s, crowd: c, address: address, agent: userAgent}
	_, err := b.post(ctx, "/signin", "email", name, "password", fmt.Sprint("stolen elsewhere ", i))
	return err
}
