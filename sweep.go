package walkin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// SweepOptions say what [Middleware.Sweep] deletes. The zero value sweeps users who
// were not seen for 30 days, or for as long as a token can live.
type SweepOptions struct {
	// InactiveFor is how long a user was not seen. Zero is 30 days, or the longest life
	// of a token where that is longer. A shorter time is an error, since such a user
	// may still return with a valid token.
	InactiveFor time.Duration

	// Batch is how many users are deleted in one transaction. Zero is 500.
	Batch int

	// Keep gets the users of a batch in the transaction that deletes them, and returns
	// those to keep. There the app deletes or archives what its foreign keys do not. An
	// error rolls the batch back, which is then tried in halves, so that one user on
	// whom Keep fails does not keep the others: Keep may get a user more than once. Nil
	// keeps none.
	Keep func(ctx context.Context, users []uuid.UUID) (keep []uuid.UUID, err error)

	// DryRun counts and calls Keep, and deletes nothing.
	DryRun bool
}

// Sweep deletes inactive anonymous users and returns how many it deleted. It never
// deletes a user with an identity. It works in batches that block no requests. Several
// replicas may sweep at once. A user who comes back during the sweep is kept whole or
// deleted whole. Expired sessions, tickets and tombstones are deleted too.
//
// Sweep skips a user who cannot be deleted, because a table of the app's refers to them
// without ON DELETE or because Keep fails on them. All others are deleted, and so is
// what expired. The error, which the event Swept has too, says how many stayed and
// names some.
//
// It needs a store that is a [store.SweepStore]; those of this project are.
func (m *Middleware) Sweep(ctx context.Context, opts SweepOptions) (swept int, err error) {
	store, ok := ability[store.SweepStore](m.cfg.Store)
	if !ok {
		return 0, fmt.Errorf("walkin: a store of type %T cannot be swept", m.cfg.Store.(bounded).inner)
	}
	ctx = unhurried(ctx)
	// A renewal is written when a token is older than RenewAfter, so a user
	// was seen up to that much later than the store knows.
	// And a replica may let tokens live longer than this one does.
	if _, _, err := m.health.database(ctx, 0); err != nil {
		return 0, fmt.Errorf("walkin: asking how long tokens live: %w", err)
	}
	least := m.health.longestTokenLife()
	orDefault(&opts.InactiveFor, max(30*24*time.Hour, least))
	orDefault(&opts.Batch, 500)
	if opts.InactiveFor < least {
		return 0, fmt.Errorf("walkin: SweepOptions.InactiveFor is %v; a token can live %v", opts.InactiveFor, least)
	}
	if opts.Batch < 0 {
		return 0, errors.New("walkin: SweepOptions.Batch is negative")
	}
	// What a wrong clock deletes is gone. Fails closed, also where the store's is
	// the wrong one.
	if err := m.health.askClock(ctx, 0); err != nil {
		return 0, fmt.Errorf("walkin: nothing was swept: %w", err)
	}
	now := time.Now()
	sweep := sweeping{m.cfg.Store, store, opts, now.Add(-opts.InactiveFor)}
	swept, err = sweep.all(ctx)
	if !opts.DryRun && ctx.Err() == nil {
		// In any case: what became of the users says nothing about it.
		// There may be a lot of it, which goes batch by batch.
		ctx, cancel := context.WithTimeout(ctx, 10*sweepTimeout)
		_, expired := store.DeleteExpired(ctx, now.Add(-2*leeway), opts.Batch)
		cancel()
		err = errors.Join(err, expired)
	}
	if !opts.DryRun && (swept > 0 || err != nil) {
		m.emitCtx(ctx, Event{Outcome: Swept, Count: swept, Err: err})
	}
	return swept, err
}

// A sweeping deletes the users who were last seen before a time.
type sweeping struct {
	bounded store.Store // with time limits
	store   store.SweepStore
	opts    SweepOptions
	before  time.Time
}

// all goes through the users. A batch that fails is halved, down to the user who cannot
// go.
func (s *sweeping) all(ctx context.Context) (swept int, err error) {
	var last store.User
	var stuck stuckUsers
	for size := s.opts.Batch; ; {
		n, users, err := s.batch(ctx, last, size)
		swept += n
		switch {
		case err == nil && len(users) == 0:
			return swept, stuck.err()
		case err == nil:
			last = users[len(users)-1]
			size = min(2*size, s.opts.Batch)
		case len(users) == 0, ctx.Err() != nil:
			// Not about any user: the store did not even list them.
			return swept, errors.Join(stuck.err(), err)
		case len(users) > 1:
			size = len(users) / 2
		default:
			stuck.add(users[0].ID, err)
			last = users[0]
		}
	}
}

// batch takes one batch, and returns how many went and who was looked at.
func (s *sweeping) batch(ctx context.Context, after store.User, size int) (swept int, users []store.User, err error) {
	err = s.bounded.InTx(ctx, func(ctx context.Context) (err error) {
		swept = 0
		if users, err = s.store.InactiveUsers(ctx, s.before, after, size); err != nil || len(users) == 0 {
			users = nil
			return err
		}
		gone := users
		if s.opts.Keep != nil {
			if gone, err = spare(ctx, s.opts.Keep, users); err != nil {
				return err
			}
		}
		swept = len(gone)
		if s.opts.DryRun || swept == 0 {
			return nil
		}
		return s.store.DeleteInactive(ctx, gone)
	})
	if err != nil {
		swept = 0
	}
	return swept, users, err
}

// stuckUsers are those who could not be deleted: all are counted, some named.
type stuckUsers struct {
	count int
	names []string
	first error
}

const maxNamed = 10 // an error of a thousand names is not read

func (s *stuckUsers) add(id uuid.UUID, err error) {
	if s.count++; s.count <= maxNamed {
		s.names = append(s.names, id.String())
	}
	if s.first == nil {
		s.first = err
	}
}

func (s *stuckUsers) err() error {
	if s.count == 0 {
		return nil
	}
	names := strings.Join(s.names, ", ")
	if s.count > len(s.names) {
		names += ", …"
	}
	return fmt.Errorf("walkin: %d users could not be deleted (%s); the first: %w", s.count, names, s.first)
}

// spare returns the users without those that keep names.
func spare(ctx context.Context, keep func(context.Context, []uuid.UUID) ([]uuid.UUID, error), users []store.User) ([]store.User, error) {
	ids := make([]uuid.UUID, len(users))
	for i, user := range users {
		ids[i] = user.ID
	}
	kept, err := keep(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("walkin: SweepOptions.Keep: %w", err)
	}
	spared := make(map[uuid.UUID]bool, len(kept))
	for _, id := range kept {
		spared[id] = true
	}
	var rest []store.User
	for _, user := range users {
		if !spared[user.ID] {
			rest = append(rest, user)
		}
	}
	return rest, nil
}

// RunSweeper sweeps at once and then every so often until ctx ends, and returns
// ctx's error. A sweep that fails is an event and a line in the log, and the
// next one tries again. Run it in a goroutine of the app's; on every replica is
// fine.
func (m *Middleware) RunSweeper(ctx context.Context, every time.Duration, opts SweepOptions) error {
	if every <= 0 {
		return errors.New("walkin: RunSweeper needs an interval above zero")
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := m.Sweep(ctx, opts); err != nil && ctx.Err() == nil {
			m.emitCtx(ctx, Event{Outcome: Failed, Reason: ReasonSweep, Err: err})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
