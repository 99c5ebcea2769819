package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
)

// A crowd is what some visitors have in common, and what all of them got.
type crowd struct {
	name string

	mu       sync.Mutex
	requests int
	status   map[int]int
	minted   int // users, with a row or without
	rows     int // of users
	tickets  int // challenges that were solved, counts of a quota
	signIns  int // into accounts that are there
	notes    string
	bounds   []bound
}

// A bound is what a crowd may have at most.
type bound struct {
	what string
	got  func(*crowd) int
	most func(lasted time.Duration) int
}

// never is a bound of nothing.
func never(time.Duration) int { return 0 }

// at returns the bound that a limit sets for that many networks: what is there at once,
// and what has come back since.
func at(limit limit.Limit, networks int) func(time.Duration) int {
	return func(lasted time.Duration) int {
		return networks * (limit.Count + int(int64(limit.Count)*int64(lasted)/int64(limit.Per)))
	}
}

// crowd adds another crowd to those that are counted. Do not call it while requests are
// under way.
func (s *site) crowd(name string, bounds ...bound) *crowd {
	c := &crowd{name: name, status: map[int]int{}, bounds: bounds}
	s.crowds = append(s.crowds, c)
	s.byName.Store(name, c)
	return c
}

func (c *crowd) got(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.status[status]++
}

func (c *crowd) ticket() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tickets++
}

func (c *crowd) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = fmt.Sprintf(format, args...)
}

func (c *crowd) codes() []int { return slices.Sorted(maps.Keys(c.status)) }

// event keeps the books.
func (s *site) event(ctx context.Context, e walkin.Event) {
	c := crowdOf(ctx)
	if c == nil {
		return
	}
	c.mu.Lock()
	switch e.Outcome {
	case walkin.Minted:
		c.minted++
	case walkin.SignedIn, walkin.Merged:
		c.signIns++
	}
	c.mu.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Outcome {
	case walkin.Persisted, walkin.SignedUp, walkin.Upgraded: // the last also of an anonymous user who was not stored
		if s.rowOf[e.UserID] == nil {
			s.rowOf[e.UserID] = c
		}
	case walkin.Merged:
		s.gone[e.AnonymousID] = true
	}
}

// judge counts the rows that are there, and checks the bounds of every crowd.
func (s *site) judge(ctx context.Context) error {
	lasted := time.Since(s.began)
	var errs []error
	there, err := s.users(ctx)
	if err != nil {
		return err
	}
	for _, c := range s.rowOf {
		c.rows++
	}
	strangers, unsure := 0, 0
	for id := range there {
		if s.rowOf[id] == nil {
			strangers++
		}
	}
	for _, c := range s.crowds {
		unsure += c.status[503] // the row of one whom the store kept waiting for too long may be there
	}
	if strangers > unsure {
		errs = append(errs, fmt.Errorf("there are %d users of whom no event told", strangers))
	}
	for id, c := range s.rowOf {
		if !there[id] && !s.gone[id] {
			errs = append(errs, fmt.Errorf("a user of %s is gone: %v", c.name, id))
		}
	}
	for _, c := range s.crowds {
		for _, b := range c.bounds {
			if got, most := b.got(c), b.most(lasted); got > most {
				errs = append(errs, fmt.Errorf("%s got %d %s, where %d are allowed", c.name, got, b.what, most))
			}
		}
		for _, code := range c.codes() {
			if code >= 500 && code != 503 {
				errs = append(errs, fmt.Errorf("%s got %d of %d", c.name, c.status[code], code))
			}
		}
	}
	return errors.Join(errs...)
}

// The bounds that most crowds of robots have.
func rows(most func(time.Duration) int) bound {
	return bound{"rows", func(c *crowd) int { return c.rows }, most}
}

func users(most func(time.Duration) int) bound {
	return bound{"users", func(c *crowd) int { return c.minted }, most}
}

func tickets(most func(time.Duration) int) bound {
	return bound{"tickets", func(c *crowd) int { return c.tickets }, most}
}

func signIns(most func(time.Duration) int) bound {
	return bound{"sign-ins", func(c *crowd) int { return c.signIns }, most}
}

func answers(what string, status int, most func(time.Duration) int) bound {
	return bound{what, func(c *crowd) int { return c.status[status] }, most}
}

// users returns the IDs that have a row.
func (s *site) users(ctx context.Context) (map[uuid.UUID]bool, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT id FROM walkin_users`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	there := map[uuid.UUID]bool{}
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		id, err := uuid.FromBytes(b)
		if err != nil {
			return nil, err
		}
		there[id] = true
	}
	return there, rows.Err()
}
