// Command crowd simulates a busy day of a small site in a minute or two: people who
// write and some who sign up, a town behind one address, crawlers, probes, prefetches,
// floods of new users and of accounts, and attackers who try stolen passwords. It says
// what each of them got. It fails when a person lost something, or a robot got more
// than the limits allow. Run it in the folder of the module:
//
//	go run ./crowd
//
// Hours are not simulated. Limits count by the clock and are walkin's defaults, so this
// is the busiest minutes of that day. The run is bounded: every crowd has a fixed
// number of members, robots stop after -for, and nothing leaves the machine.
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
	flag.IntVar(&size.tries, "tries", 500, "passwords that each thief tries, and accounts that a robot makes")
	flag.IntVar(&size.atOnce, "at-once", 4, "requests that each crowd of robots has under way")
	flag.IntVar(&size.botnet, "botnet", 20, "how many addresses the robots have who have many")
	flag.DurationVar(&size.lasts, "for", 2*time.Minute, "how long robots stay at most; people finish what they do")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, size); err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}

// A size is how many come, and for how long.
type size struct {
	people, town, robots, tries, atOnce, botnet int
	lasts                                       time.Duration
}

const atOnce = 24 // people in the site at the same moment

// run simulates the day on a site of its own. The error names everything that a person
// lost, and everything that a robot got and should not have.
func run(ctx context.Context, out io.Writer, size size) error {
	if size.people < 1 || size.town < 1 || size.robots < 0 || size.tries < 0 || size.atOnce < 1 || size.botnet < 1 {
		return errors.New("it takes a person, another one in the town, and for robots a network and something to do")
	}
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
	s.until, s.pushy = s.began.Add(size.lasts*3/4), size.atOnce

	residents, town := s.crowd("people"), s.crowd("a town behind one address")
	var people, townspeople []*person
	for i := range size.people {
		people = append(people, newPerson(s, residents, i, homeOf(i)))
	}
	for i := range size.town {
		townspeople = append(townspeople, newPerson(s, town, size.people+i, townAddress))
	}
	all := slices.Concat(people, townspeople)

	var errs collected
	// The day: everybody at once. People come a few at a time.
	var wg sync.WaitGroup
	wg.Go(func() { errs.add(each(all, func(p *person) error { return p.live(ctx) })) })
	for _, robots := range s.robots(size) {
		wg.Go(func() { errs.add(robots(ctx)) })
	}
	for _, thieves := range s.thieves(all, size) {
		wg.Go(func() { errs.add(thieves(ctx)) })
	}
	wg.Wait()
	errs.add(each(all, func(p *person) error { return p.takeStock(ctx, true) }))

	// The evening: attackers who are after one name, and one who lives in the town.
	// Those limits are also the ones of the name's owner.
	for _, thieves := range s.siege(all[0], townspeople, size) {
		wg.Go(func() { errs.add(thieves(ctx)) })
	}
	wg.Wait()
	owner := s.crowd("the owner of that name meanwhile")
	neighbours := s.crowd("members in that town meanwhile")
	errs.add(all[0].comeBack(ctx, owner))
	errs.add(each(townspeople, func(p *person) error { return p.comeBack(ctx, neighbours) }))
	errs.add(each(all, func(p *person) error { return p.takeStock(ctx, false) }))

	kept := 0
	for _, p := range all {
		if p.lost == "" {
			kept++
		} else {
			errs.add(fmt.Errorf("person %d lost something: %s", p.number, p.lost))
		}
	}
	errs.add(s.judge(ctx))
	if err := s.table(out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nIn %v, with the limits of an hour: people: %d of %d kept everything, and are who they were.\n",
		time.Since(s.began).Round(time.Second), kept, len(all))
	for _, c := range []*crowd{owner, neighbours} {
		fmt.Fprintf(out, "%s: signed in again %d times, told to wait %d times.\n", c.name, c.signIns, c.status[429])
	}
	return errs.err()
}

// each does something with everybody, a few at a time.
func each(people []*person, do func(*person) error) error {
	var errs collected
	var wg sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for _, p := range people {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			errs.add(do(p))
		})
	}
	wg.Wait()
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
	fmt.Fprintln(w, "who came\trequests\tanswers\tminted\trows\ttickets\tsign-ins\t")
	for _, c := range s.crowds {
		var answers []string
		for _, code := range c.codes() {
			answers = append(answers, fmt.Sprintf("%d: %d", code, c.status[code]))
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\t%d\t%s\n", c.name, c.requests, strings.Join(answers, ", "), c.minted, c.rows, c.tickets, c.signIns, c.notes)
	}
	return w.Flush()
}
