// Command crowd plays a busy day of a small site in a minute: people who write
// and some who sign up, a town behind one address, crawlers, probes, prefetches,
// floods of rows, and somebody who tries stolen passwords, all at once. It says
// what each of them got, and fails when a person lost something, or a robot got
// more than the limits allow. Run it in the folder of the module:
//
//	go run ./crowd
//
// Hours are not played: limits count by the clock, so this is the busiest minute
// of that day. It is bounded: every crowd has a fixed number of members, and
// nothing leaves the machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

func main() {
	var size size
	flag.IntVar(&size.people, "people", 200, "how many people have an address of their own")
	flag.IntVar(&size.town, "town", 60, "how many more share one")
	flag.IntVar(&size.robots, "robots", 1000, "requests of each crowd of robots")
	flag.IntVar(&size.botnet, "botnet", 50, "how many addresses the robots have who have many")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, size); err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}

// A size is how many come.
type size struct{ people, town, robots, botnet int }

// A crowd is what some visitors have in common, and what all of them got.
type crowd struct {
	name  string
	limit int // of rows; negative: as many as they like

	mu       sync.Mutex
	requests int
	status   map[int]int
	cookies  int // first ones, which are users without a row
	rows     int
	signIns  int // into accounts that are there
	notes    string
}

func (c *crowd) got(status int, cookie bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.status[status]++
	if cookie {
		c.cookies++
	}
}

func (c *crowd) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = fmt.Sprintf(format, args...)
}

func run(ctx context.Context, out io.Writer, size size) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "walkin-crowd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := newSite(ctx, dir)
	if err != nil {
		return err
	}
	defer s.close()

	residents, town := s.crowd("people", -1), s.crowd("a town behind one address", -1)
	var people []*person
	for i := range size.people {
		people = append(people, newPerson(s, residents, i, homeOf(i)))
	}
	for i := range size.town {
		people = append(people, newPerson(s, town, size.people+i, townAddress))
	}
	victim := people[0]
	victim.member = true

	start := time.Now()
	var errs collected
	var wg sync.WaitGroup
	// People come a few at a time; robots all at once.
	turns := make(chan struct{}, 24)
	for _, p := range people {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			errs.add(p.live(ctx))
		})
	}
	for _, robots := range s.robots(size) {
		wg.Go(func() { errs.add(robots(ctx)) })
	}
	wg.Wait()
	// Who has an account can be attacked.
	errs.add(s.stuff(ctx, people, victim, size))
	for _, p := range people {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			errs.add(p.takeStock(ctx))
		})
	}
	wg.Wait()

	kept := 0
	for _, p := range people {
		if p.lost == "" {
			kept++
		} else {
			errs.add(fmt.Errorf("person %d lost something: %s", p.number, p.lost))
		}
	}
	if err := s.table(out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nIn %v: %d of %d people kept everything, and are who they were.\n", time.Since(start).Round(time.Second), kept, len(people))
	for _, c := range s.crowds {
		if c.limit >= 0 && c.rows > c.limit {
			errs.add(fmt.Errorf("%s made %d rows, where %d are allowed", c.name, c.rows, c.limit))
		}
	}
	return errs.err()
}

// collected is what went wrong, of the first dozen.
type collected struct {
	mu   sync.Mutex
	errs []error
}

func (c *collected) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && len(c.errs) < 12 {
		c.errs = append(c.errs, err)
	}
}

func (c *collected) err() error { return errors.Join(c.errs...) }

func (s *site) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "who came\trequests\tanswers\tcookies\trows\tsign-ins\t")
	for _, c := range s.crowds {
		var codes []int
		for code := range c.status {
			codes = append(codes, code)
		}
		slices.Sort(codes)
		var answers []string
		for _, code := range codes {
			answers = append(answers, fmt.Sprintf("%d: %d", code, c.status[code]))
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\t%s\n", c.name, c.requests, strings.Join(answers, ", "), c.cookies, c.rows, c.signIns, c.notes)
	}
	return w.Flush()
}
