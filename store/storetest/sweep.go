package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// runSweep holds what a sweep promises, over a store that is a store.SweepStore.
func runSweep(t *testing.T, open Opener) {
	cases := []struct {
		name string
		run  func(t *testing.T, a, b *walkin.Middleware, stores [2]store.Store)
	}{
		{"goes by inactivity, never takes a user who is permanent or has an identity", sweepInactive},
		{"asks the keep hook in the transaction, and obeys", sweepKeep},
		{"a keep hook that fails undoes its batch", sweepKeepFails},
		{"a user whom the keep hook fails on keeps no other user", sweepKeepFailsOnOne},
		{"a dry run deletes nothing", sweepDry},
		{"two replicas sweep together, each user once", sweepTogether},
		{"a user who comes back survives whole or is gone whole", sweepReturning},
		{"what expired goes too", sweepExpired},
		{"the first tombstone stays", sweepTombstone},
		{"less than a token can live is an error", sweepTooSoon},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			handle := open(t)
			stores := [2]store.Store{handle(t), handle(t)}
			if _, is := stores[0].(store.SweepStore); !is {
				t.Skip("this store cannot be swept")
			}
			var replicas [2]*walkin.Middleware
			for i, s := range stores {
				m, err := walkin.New(walkin.Config{
					Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s})
				ok(t, err)
				replicas[i] = m
			}
			c.run(t, replicas[0], replicas[1], stores)
		})
	}
}

// away makes an anonymous user who was last seen that long ago.
func away(t *testing.T, s store.Store, long time.Duration) (store.User, store.Session) {
	t.Helper()
	user, session := newUser(t)
	now := time.Now()
	user.CreatedAt, user.SeenAt = now.Add(-365*24*time.Hour), now.Add(-long)
	// The session has not expired: only the sweep of users is looked at.
	session.CreatedAt, session.RenewedAt, session.ExpiresAt = user.CreatedAt, user.SeenAt, now.Add(day)
	_, err := s.CreateAnonymous(t.Context(), user, session)
	ok(t, err)
	return user, session
}

func isThere(t *testing.T, s store.Store, id uuid.UUID, want bool) {
	t.Helper()
	_, err := s.LockUser(t.Context(), id)
	if want {
		ok(t, err)
	} else {
		is(t, err, store.ErrNotFound)
	}
}

const (
	day   = 24 * time.Hour
	long  = 60 * day
	brief = 20 * day
)

func sweepInactive(t *testing.T, m, _ *walkin.Middleware, stores [2]store.Store) {
	var gone []uuid.UUID
	for range 7 {
		user, _ := away(t, stores[0], long)
		gone = append(gone, user.ID)
	}
	active, session := away(t, stores[0], brief)
	permanent, _ := away(t, stores[0], long)
	ok(t, stores[0].CreateIdentity(t.Context(), identityOf(permanent, "ann")))
	ok(t, stores[0].SetAnonymous(t.Context(), permanent.ID, false))
	bare, _ := away(t, stores[0], long) // and has removed the only identity
	ok(t, stores[0].SetAnonymous(t.Context(), bare.ID, false))
	halfway, _ := away(t, stores[0], long) // an identity and still the flag: never
	ok(t, stores[0].CreateIdentity(t.Context(), identityOf(halfway, "bea")))

	n, err := m.Sweep(t.Context(), walkin.SweepOptions{Batch: 3})
	ok(t, err)
	if n != len(gone) {
		t.Errorf("got %d swept, want %d", n, len(gone))
	}
	for _, id := range gone {
		isThere(t, stores[1], id, false)
	}
	for _, id := range []uuid.UUID{active.ID, permanent.ID, bare.ID, halfway.ID} {
		isThere(t, stores[1], id, true)
	}
	_, err = stores[1].LookupSession(t.Context(), active.ID, session.ID)
	ok(t, err)
}

func sweepKeep(t *testing.T, m, _ *walkin.Middleware, stores [2]store.Store) {
	kept, _ := away(t, stores[0], 2*long)
	gone, _ := away(t, stores[0], long)
	var asked []uuid.UUID
	n, err := m.Sweep(t.Context(), walkin.SweepOptions{Batch: 1, Keep: func(ctx context.Context, ids []uuid.UUID) ([]uuid.UUID, error) {
		asked = append(asked, ids...)
		_, err := stores[0].LockUser(ctx, ids[0]) // in the transaction they are still there
		return []uuid.UUID{kept.ID}, err
	}})
	ok(t, err)
	if n != 1 || !slices.Equal(asked, []uuid.UUID{kept.ID, gone.ID}) {
		t.Errorf("got %d swept and asked for %v", n, asked)
	}
	isThere(t, stores[1], kept.ID, true)
	isThere(t, stores[1], gone.ID, false)
}

func sweepKeepFails(t *testing.T, m, _ *walkin.Middleware, stores [2]store.Store) {
	user, session := away(t, stores[0], long)
	_, err := m.Sweep(t.Context(), walkin.SweepOptions{Keep: func(context.Context, []uuid.UUID) ([]uuid.UUID, error) {
		return nil, errApp
	}})
	is(t, err, errApp)
	_, err = stores[1].LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
}

func sweepKeepFailsOnOne(t *testing.T, m, _ *walkin.Middleware, stores [2]store.Store) {
	const users = 23
	var all []uuid.UUID
	stuck := map[uuid.UUID]bool{}
	for i := range users {
		user, _ := away(t, stores[0], long+time.Duration(users-i)*time.Hour)
		all = append(all, user.ID)
		stuck[user.ID] = i == 0 || i == 11 || i == 12 || i == users-1
	}
	_, session := away(t, stores[0], 0)
	expired := session
	expired.ID, expired.ExpiresAt = uuid.New(), time.Now().Add(-day)
	ok(t, stores[0].CreateSession(t.Context(), expired))
	sweep := func() (int, error) {
		return m.Sweep(t.Context(), walkin.SweepOptions{Batch: 8, Keep: func(_ context.Context, ids []uuid.UUID) ([]uuid.UUID, error) {
			if slices.ContainsFunc(ids, func(id uuid.UUID) bool { return stuck[id] }) {
				return nil, errApp
			}
			return nil, nil
		}})
	}
	n, err := sweep()
	is(t, err, errApp)
	if n != users-4 {
		t.Errorf("got %d swept, want %d", n, users-4)
	}
	for _, id := range all {
		isThere(t, stores[1], id, stuck[id])
		if stuck[id] != strings.Contains(err.Error(), id.String()) {
			t.Errorf("%v could not go: %t; the error says %q", id, stuck[id], err)
		}
	}
	clear(stuck)
	if n, err := sweep(); n != 4 || err != nil {
		t.Errorf("once they can go: got %d, %v, want 4", n, err)
	}
	if session, err := stores[1].LookupSession(t.Context(), expired.UserID, expired.ID); err == nil {
		t.Errorf("an expired session stayed: %v", session)
	}
}

func sweepDry(t *testing.T, m, _ *walkin.Middleware, stores [2]store.Store) {
	user, session := away(t, stores[0], long)
	n, err := m.Sweep(t.Context(), walkin.SweepOptions{DryRun: true})
	ok(t, err)
	if n != 1 {
		t.Errorf("got %d, want 1", n)
	}
	_, err = stores[1].LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
}

func sweepTogether(t *testing.T, a, b *walkin.Middleware, stores [2]store.Store) {
	const users = 60
	for range users {
		away(t, stores[0], long)
	}
	var wg sync.WaitGroup
	var counts [2]int
	for i, m := range []*walkin.Middleware{a, b} {
		wg.Go(func() {
			n, err := m.Sweep(t.Context(), walkin.SweepOptions{Batch: 5})
			if err != nil {
				t.Errorf("got %v", err)
			}
			counts[i] = n
		})
	}
	wg.Wait()
	// What one held back by a lock, the other took; no user is counted twice.
	rest, err := a.Sweep(t.Context(), walkin.SweepOptions{})
	ok(t, err)
	if counts[0]+counts[1]+rest != users {
		t.Errorf("got %d, %d and %d swept, want %d together", counts[0], counts[1], rest, users)
	}
}

func sweepReturning(t *testing.T, a, _ *walkin.Middleware, stores [2]store.Store) {
	for range 10 {
		user, session := away(t, stores[0], long)
		renewed := session
		renewed.RenewedAt, renewed.ExpiresAt = time.Now(), time.Now().Add(30*day)
		var wg sync.WaitGroup
		var renewal error
		wg.Go(func() { renewal = stores[1].RenewSession(t.Context(), renewed) })
		wg.Go(func() {
			if _, err := a.Sweep(t.Context(), walkin.SweepOptions{}); err != nil {
				t.Errorf("got %v", err)
			}
		})
		wg.Wait()
		_, err := stores[0].LookupSession(t.Context(), user.ID, session.ID)
		switch {
		case renewal == nil:
			ok(t, err)
			isThere(t, stores[0], user.ID, true)
		case errors.Is(renewal, store.ErrSessionEnded):
			is(t, err, store.ErrNotFound)
			isThere(t, stores[0], user.ID, false)
		default:
			t.Errorf("the renewal: got %v", renewal)
		}
	}
}

func sweepExpired(t *testing.T, m, _ *walkin.Middleware, stores [2]store.Store) {
	user, session := away(t, stores[0], 0)
	expired := session
	expired.ID, expired.ExpiresAt = uuid.New(), time.Now().Add(-day)
	ok(t, stores[0].CreateSession(t.Context(), expired))
	old, fresh := uuid.New(), uuid.New()
	ok(t, stores[0].DeleteUser(t.Context(), store.Tombstone{UserID: old, DeletedAt: start, ExpiresAt: time.Now().Add(-day)}))
	ok(t, stores[0].DeleteUser(t.Context(), store.Tombstone{UserID: fresh, DeletedAt: start, ExpiresAt: time.Now().Add(day)}))
	for key, left := range map[string]time.Duration{"old": -day, "fresh": day} {
		ok(t, stores[0].PutTicket(t.Context(), store.Ticket{Key: key, ExpiresAt: time.Now().Add(left)}))
	}
	_, err := m.Sweep(t.Context(), walkin.SweepOptions{})
	ok(t, err)
	for key, want := range map[string]bool{"old": false, "fresh": true} {
		// By a clock of long ago, none has expired.
		if _, err := stores[1].Ticket(t.Context(), key, start); (err == nil) != want {
			t.Errorf("the %s ticket: got %v, want it there: %t", key, err, want)
		}
	}
	_, err = stores[1].LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
	_, err = stores[1].LookupSession(t.Context(), user.ID, expired.ID)
	is(t, err, store.ErrSessionEnded)
	_, err = stores[1].LookupSession(t.Context(), old, session.ID)
	is(t, err, store.ErrNotFound) // forgotten
	_, err = stores[1].LookupSession(t.Context(), fresh, session.ID)
	is(t, err, store.ErrSessionEnded)
}

func sweepTombstone(t *testing.T, m, _ *walkin.Middleware, stores [2]store.Store) {
	id := uuid.New()
	for i, left := range []time.Duration{day, -day} {
		ok(t, stores[i].DeleteUser(t.Context(), store.Tombstone{UserID: id, DeletedAt: start, ExpiresAt: time.Now().Add(left)}))
	}
	_, err := m.Sweep(t.Context(), walkin.SweepOptions{})
	ok(t, err)
	_, err = stores[1].LookupSession(t.Context(), id, uuid.New())
	is(t, err, store.ErrSessionEnded)
}

func sweepTooSoon(t *testing.T, m, _ *walkin.Middleware, stores [2]store.Store) {
	user, _ := away(t, stores[0], brief)
	if _, err := m.Sweep(t.Context(), walkin.SweepOptions{InactiveFor: 10 * day}); err == nil {
		t.Error("got no error")
	}
	isThere(t, stores[1], user.ID, true)
}
