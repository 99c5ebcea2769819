package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
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

// robots returns what all robots but one do, see stuff.
func (s *site) robots(size size) []func(context.Context) error {
	n := size.robots
	readers := func(c *crowd, request func(ctx context.Context, i int) error) func(context.Context) error {
		return func(ctx context.Context) error {
			for i := range n {
				if err := request(ctx, i); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			if c.cookies > 0 {
				return fmt.Errorf("%s got %d cookies", c.name, c.cookies)
			}
			return nil
		}
	}
	crawl := s.crowd("crawlers", 0)
	probe := s.crowd("probes", 0)
	prefetch := s.crowd("prefetches of browsers", 0)
	all := []func(context.Context) error{
		readers(crawl, func(ctx context.Context, i int) error {
			b := &browser{s: s, crowd: crawl, address: "192.0.2.7", agent: crawlers[i%len(crawlers)]}
			_, err := b.do(ctx, http.MethodGet, fmt.Sprintf("/page/%d", i), "", nil, "Accept", "text/html")
			return err
		}),
		readers(probe, func(ctx context.Context, i int) error {
			b := &browser{s: s, crowd: probe, address: "192.0.2.8", agent: []string{"kube-probe/1.31", "ELB-HealthChecker/2.0", "Wget/1.24.5"}[i%3]}
			_, err := b.do(ctx, []string{http.MethodGet, http.MethodHead, http.MethodOptions}[i%3], []string{"/healthz", "/"}[i%2], "", nil)
			return err
		}),
		readers(prefetch, func(ctx context.Context, i int) error {
			b := s.browser(prefetch, "192.0.2.9")
			_, err := b.do(ctx, http.MethodGet, "/", "navigate", nil, "Sec-Purpose", "prefetch;prerender")
			return err
		}),
	}
	// Robots that pass for browsers, with a new jar for every note.
	flood := func(name string, limit int, address func(i int) string) {
		c := s.crowd(name, limit)
		all = append(all, func(ctx context.Context) error {
			for i := range n {
				if _, err := s.browser(c, address(i)).post(ctx, "/notes", "text", "spam"); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
	}
	const perNetwork = 30 + 2 // an hour, and what comes back within the minutes that this takes
	flood("a flood from one address", perNetwork, func(int) string { return "203.0.113.5" })
	flood("a flood from one IPv6 /64", perNetwork, func(i int) string { return fmt.Sprintf("2001:db8:f00d:1::%x", i+1) })
	flood("a flood from one IPv6 /48", 4*perNetwork, func(i int) string { return fmt.Sprintf("2001:db8:beef:%x::1", i+1) })
	flood("a flood with made-up X-Forwarded-For", perNetwork, func(i int) string { return fmt.Sprintf("10.9.%d.%d, 203.0.113.6", i/250, i%250) })
	flood("a botnet", perNetwork*size.botnet, func(i int) string { return fmt.Sprintf("203.0.%d.%d", 200+i%size.botnet/250, i%size.botnet%250+1) })
	flood("a flood from the town's own address", perNetwork, func(int) string { return townAddress })

	worker := s.crowd("a robot that does the work", 600+20)
	all = append(all, func(ctx context.Context) error {
		total, start := 0, time.Now()
		rows := min(n/10, 60)
		for range rows {
			_, hashes, err := s.browser(worker, "203.0.113.77").act(ctx, "/notes", "text", "dear spam")
			if err != nil {
				return err
			}
			total += hashes
		}
		worker.say("%d million hashes, %v", total/1_000_000, time.Since(start).Round(time.Second))
		return nil
	})
	return all
}

// stuff tries passwords: many names from one address, and one name from many.
func (s *site) stuff(ctx context.Context, people []*person, victim *person, size size) error {
	one := s.crowd("stolen passwords, from one address", 0)
	b := &browser{s: s, crowd: one, address: "203.0.113.99", agent: userAgent}
	for i := range size.robots {
		p := people[i%len(people)]
		if _, err := b.post(ctx, "/signin", "email", p.name, "password", fmt.Sprint("stolen elsewhere ", i)); err != nil {
			return err
		}
	}
	// 50 in 15 minutes, and one comes back every 18 seconds.
	if got := one.status[http.StatusUnauthorized]; got > 60 {
		return fmt.Errorf("one address tried %d passwords", got)
	}
	many := s.crowd("guesses at one name, from everywhere", 0)
	for i := range size.robots {
		b := &browser{s: s, crowd: many, address: fmt.Sprintf("203.%d.%d.9", i/200%200, i%200), agent: userAgent}
		if _, err := b.post(ctx, "/signin", "email", victim.name, "password", fmt.Sprint("a guess ", i)); err != nil {
			return err
		}
	}
	if got := many.status[http.StatusUnauthorized]; got > 105 {
		return fmt.Errorf("a hundred networks tried %d passwords with one name", got)
	}
	if one.signIns+many.signIns > 0 {
		return errors.New("a guess signed in")
	}
	// What the owner feels of it: their own browser goes on, see takeStock, and
	// another one of theirs waits, since the name is at its limit.
	owner := s.crowd("its owner, at a new device meanwhile", -1)
	_, err := s.browser(owner, victim.address).post(ctx, "/signin", "email", victim.name, "password", passphrase)
	return err
}
