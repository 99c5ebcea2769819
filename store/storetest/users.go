package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

func created(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "ann")))
	for _, s := range []store.Store{a, b} {
		got, err := s.LockUser(t.Context(), user.ID)
		ok(t, err)
		sameUser(t, got, user)
		live, err := s.LookupSession(t.Context(), user.ID, session.ID)
		ok(t, err)
		sameSession(t, live, session)
		identity, err := s.Identity(t.Context(), "test", "ann")
		ok(t, err)
		if identity.UserID != user.ID || identity.Provider != "test" || identity.Subject != "ann" || string(identity.Secret) != "s" {
			t.Errorf("got identity %+v", identity)
		}
		sameTime(t, "identity", identity.CreatedAt, start)
	}
}

func times(t *testing.T, a, b store.Store) {
	for _, at := range []time.Time{
		time.Date(2001, time.January, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2150, time.December, 31, 23, 59, 59, 999999000, time.UTC),
		time.Date(2026, time.March, 8, 2, 30, 0, 0, time.UTC),    // New York has no such hour
		time.Date(2026, time.November, 1, 1, 30, 0, 0, time.UTC), // and has this one twice
		time.Date(2026, time.March, 8, 2, 30, 0, 0, time.FixedZone("", -5*3600)),
	} {
		user, session := newUser(t)
		user.CreatedAt, user.SeenAt = at, at.Add(time.Minute)
		// Expired before it began: to check that is not up to the store.
		session.CreatedAt, session.RenewedAt, session.ExpiresAt = at, at.Add(time.Hour), at.Add(-time.Hour)
		_, err := a.CreateAnonymous(t.Context(), user, session)
		ok(t, err)
		identity := identityOf(user, at.String())
		identity.CreatedAt = at
		ok(t, a.CreateIdentity(t.Context(), identity))

		gotUser, err := b.LockUser(t.Context(), user.ID)
		ok(t, err)
		sameUser(t, gotUser, user)
		gotSession, err := b.LookupSession(t.Context(), user.ID, session.ID)
		ok(t, err)
		sameSession(t, gotSession, session)
		gotIdentity, err := b.Identity(t.Context(), identity.Provider, identity.Subject)
		ok(t, err)
		sameTime(t, "identity", gotIdentity.CreatedAt, at)
		for _, got := range []time.Time{gotUser.CreatedAt, gotUser.SeenAt, gotSession.CreatedAt, gotSession.RenewedAt,
			gotSession.ExpiresAt, gotIdentity.CreatedAt} {
			if got.Location() != time.UTC {
				t.Errorf("got %v, want it in UTC", got)
			}
		}
	}
}

func lookup(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	_, other := persisted(t, a)
	_, err := b.LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
	_, err = b.LookupSession(t.Context(), user.ID, uuid.New())
	is(t, err, store.ErrSessionEnded)
	_, err = b.LookupSession(t.Context(), user.ID, other.ID) // another user's
	is(t, err, store.ErrSessionEnded)
	_, err = b.LookupSession(t.Context(), uuid.New(), session.ID)
	is(t, err, store.ErrNotFound)
	never := uuid.New()
	ok(t, a.DeleteUser(t.Context(), tombstone(never)))
	_, err = b.LookupSession(t.Context(), never, session.ID)
	is(t, err, store.ErrSessionEnded)
}

func persist(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	changed := user
	changed.SeenAt = start.Add(48 * time.Hour)
	later := session
	later.ExpiresAt = start.Add(48 * time.Hour)
	again, err := b.CreateAnonymous(t.Context(), changed, later)
	ok(t, err)
	if again {
		t.Error("the second CreateAnonymous says that it created the user")
	}
	got, err := a.LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
	sameSession(t, got, session) // nothing changed
	same, err := a.LockUser(t.Context(), user.ID)
	ok(t, err)
	sameUser(t, same, user)

	second := session
	second.ID = uuid.New()
	_, err = b.CreateAnonymous(t.Context(), user, second)
	is(t, err, store.ErrSessionEnded)
	_, err = a.LookupSession(t.Context(), user.ID, second.ID)
	is(t, err, store.ErrSessionEnded)

	ok(t, a.DeleteSessions(t.Context(), user.ID, uuid.Nil)) // as an upgrade does
	_, err = b.CreateAnonymous(t.Context(), user, session)
	is(t, err, store.ErrSessionEnded)
	_, err = a.LookupSession(t.Context(), user.ID, session.ID)
	is(t, err, store.ErrSessionEnded)
}

func persistDeleted(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	ok(t, a.DeleteUser(t.Context(), tombstone(user.ID)))
	_, err := b.CreateAnonymous(t.Context(), user, session)
	is(t, err, store.ErrSessionEnded)
	_, err = b.LockUser(t.Context(), user.ID)
	is(t, err, store.ErrNotFound)

	never, session := newUser(t)
	ok(t, a.DeleteUser(t.Context(), tombstone(never.ID)))
	_, err = b.CreateAnonymous(t.Context(), never, session)
	is(t, err, store.ErrSessionEnded)
	_, err = b.LockUser(t.Context(), never.ID)
	is(t, err, store.ErrNotFound)
}

func persistParallel(t *testing.T, a, b store.Store) {
	user, session := newUser(t)
	var creations atomic.Int32
	together(20, a, b, func(_ int, s store.Store) {
		created, err := s.CreateAnonymous(t.Context(), user, session)
		if err != nil {
			t.Errorf("got %v", err)
		}
		if created {
			creations.Add(1)
		}
	})
	if n := creations.Load(); n != 1 {
		t.Errorf("got %d creations, want 1", n)
	}
	_, err := a.LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
}

func persistRacesDelete(t *testing.T, a, b store.Store) {
	for range 25 {
		user, session := newUser(t)
		together(4, a, b, func(i int, s store.Store) {
			var err error
			if i == 3 {
				err = s.DeleteUser(t.Context(), tombstone(user.ID))
			} else {
				_, err = s.CreateAnonymous(t.Context(), user, session)
			}
			if err != nil && !errors.Is(err, store.ErrSessionEnded) {
				t.Errorf("got %v", err)
			}
		})
		_, err := a.LockUser(t.Context(), user.ID)
		is(t, err, store.ErrNotFound)
		_, err = b.LookupSession(t.Context(), user.ID, session.ID)
		is(t, err, store.ErrSessionEnded)
	}
}

// buryRaces has one handle write tombstones of visitors who are not stored, in one step,
// as a sign-out does. The other handle makes them permanent. One of the two happens, and happens
// completely.
func buryRaces(t *testing.T, a, b store.Store) {
	for round := range 25 {
		user, _ := newUser(t)
		var buried, upgraded error
		together(2, a, b, func(i int, s store.Store) {
			if i == 0 {
				buried = s.InTx(t.Context(), func(ctx context.Context) error {
					if err := s.CreateUser(ctx, user); err != nil {
						return err
					}
					return s.DeleteUser(ctx, tombstone(user.ID))
				})
				return
			}
			upgraded = s.InTx(t.Context(), func(ctx context.Context) error {
				permanent := user
				permanent.Anonymous = false
				if err := s.CreateUser(ctx, permanent); err != nil {
					return err
				}
				return s.CreateIdentity(ctx, identityOf(user, fmt.Sprint(round)))
			})
		})
		_, there := b.LockUser(t.Context(), user.ID)
		_, owned := a.Identity(t.Context(), "test", fmt.Sprint(round))
		switch {
		case buried == nil && errors.Is(upgraded, store.ErrSessionEnded):
			is(t, there, store.ErrNotFound)
			is(t, owned, store.ErrNotFound)
		case upgraded == nil && errors.Is(buried, store.ErrSessionEnded):
			ok(t, there)
			ok(t, owned)
		default:
			t.Errorf("got %v from the burial and %v from the upgrade, want one to be done and the other ErrSessionEnded", buried, upgraded)
		}
	}
}

// deleteWaits has a user be stored by a transaction that is still open when they are
// deleted, and that then goes on, or is undone.
func deleteWaits(t *testing.T, a, b store.Store) {
	for _, undone := range []error{nil, errApp} {
		user, session := newUser(t)
		var deleted error
		var wg sync.WaitGroup
		err := a.InTx(t.Context(), func(ctx context.Context) error {
			_, err := a.CreateAnonymous(ctx, user, session)
			ok(t, err)
			wg.Go(func() {
				deleted = b.InTx(t.Context(), func(ctx context.Context) error {
					if err := b.DeleteUser(ctx, tombstone(user.ID)); err != nil {
						return err
					}
					return b.DeleteUser(ctx, tombstone(user.ID))
				})
			})
			ok(t, a.CreateIdentity(ctx, identityOf(user, user.ID.String())))
			return undone
		})
		is(t, err, undone)
		wg.Wait()
		ok(t, deleted)
		_, err = a.LockUser(t.Context(), user.ID)
		is(t, err, store.ErrNotFound)
		_, err = a.LookupSession(t.Context(), user.ID, session.ID)
		is(t, err, store.ErrSessionEnded)
		_, err = b.Identity(t.Context(), "test", user.ID.String())
		is(t, err, store.ErrNotFound)
	}
}

func persistTaken(t *testing.T, a, b store.Store) {
	owner, taken := persisted(t, a)
	user, session := newUser(t)
	session.ID = taken.ID
	created, err := b.CreateAnonymous(t.Context(), user, session)
	is(t, err, store.ErrSessionEnded)
	if created {
		t.Error("a CreateAnonymous that failed says that it created the user")
	}
	_, err = a.LockUser(t.Context(), user.ID)
	is(t, err, store.ErrNotFound)
	got, err := a.LookupSession(t.Context(), owner.ID, taken.ID)
	ok(t, err)
	sameSession(t, got, taken)
}

func deleteRaces(t *testing.T, a, b store.Store) {
	for range 10 {
		user, session := persisted(t, a)
		together(10, a, b, func(i int, s store.Store) {
			var err error
			switch i / 2 {
			case 0:
				err = s.DeleteUser(t.Context(), tombstone(user.ID))
			case 1:
				err = s.RenewSession(t.Context(), session)
			case 2:
				second := session
				second.ID = uuid.New()
				err = s.CreateSession(t.Context(), second)
			case 3:
				err = s.CreateIdentity(t.Context(), identityOf(user, fmt.Sprint(i)))
			case 4:
				if err = s.SetAnonymous(t.Context(), user.ID, false); err == nil {
					err = s.DeleteSessions(t.Context(), user.ID, session.ID)
				}
			}
			if err != nil && !errors.Is(err, store.ErrSessionEnded) && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("call %d: got %v", i, err)
			}
		})
		_, err := b.LockUser(t.Context(), user.ID)
		is(t, err, store.ErrNotFound)
		_, err = b.LookupSession(t.Context(), user.ID, session.ID)
		is(t, err, store.ErrSessionEnded)
		for i := range 10 {
			_, err = b.Identity(t.Context(), "test", fmt.Sprint(i))
			is(t, err, store.ErrNotFound)
		}
	}
}

func createUser(t *testing.T, a, b store.Store) {
	user, session := newUser(t)
	user.Anonymous = false
	ok(t, a.CreateUser(t.Context(), user))
	got, err := b.LockUser(t.Context(), user.ID)
	ok(t, err)
	sameUser(t, got, user)
	is(t, b.CreateUser(t.Context(), user), store.ErrSessionEnded)
	_, err = b.LookupSession(t.Context(), user.ID, session.ID)
	is(t, err, store.ErrSessionEnded)
	ok(t, a.DeleteUser(t.Context(), tombstone(user.ID)))
	is(t, b.CreateUser(t.Context(), user), store.ErrSessionEnded)
}

func setAnonymous(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	for _, anonymous := range []bool{false, false, true} { // to what it is already, too
		ok(t, a.SetAnonymous(t.Context(), user.ID, anonymous))
		user.Anonymous = anonymous
		got, err := b.LockUser(t.Context(), user.ID)
		ok(t, err)
		sameUser(t, got, user)
	}
	_, err := b.LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
	is(t, a.SetAnonymous(t.Context(), uuid.New(), false), store.ErrNotFound)
}

func deleteUser(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "ann")))
	bystander, other := persisted(t, a)
	for range 2 {
		ok(t, b.DeleteUser(t.Context(), tombstone(user.ID)))
		_, err := a.LockUser(t.Context(), user.ID)
		is(t, err, store.ErrNotFound)
		_, err = a.LookupSession(t.Context(), user.ID, session.ID)
		is(t, err, store.ErrSessionEnded)
		_, err = a.Identity(t.Context(), "test", "ann")
		is(t, err, store.ErrNotFound)
	}
	ok(t, a.CreateIdentity(t.Context(), identityOf(bystander, "ann"))) // free again
	_, err := b.LookupSession(t.Context(), bystander.ID, other.ID)
	ok(t, err)
}

func sessions(t *testing.T, a, b store.Store) {
	user, first := persisted(t, a)
	_, other := persisted(t, a)
	if none, err := b.UserSessions(t.Context(), uuid.New()); err != nil || len(none) != 0 {
		t.Errorf("of a user who is not there: got %d, %v", len(none), err)
	}
	want := map[uuid.UUID]store.Session{first.ID: first}
	for i := range 60 {
		session := store.Session{ID: uuid.New(), UserID: user.ID, CreatedAt: start.Add(time.Duration(i) * time.Second),
			RenewedAt: start.Add(time.Duration(i) * time.Minute), ExpiresAt: start.Add(time.Duration(i-30) * time.Hour)}
		ok(t, a.CreateSession(t.Context(), session))
		want[session.ID] = session
	}
	check := func(s store.Store, ctx context.Context, n int) {
		t.Helper()
		got, err := s.UserSessions(ctx, user.ID)
		ok(t, err)
		if len(got) != n {
			t.Fatalf("got %d sessions, want %d", len(got), n)
		}
		for _, session := range got {
			sameSession(t, session, want[session.ID])
			if session.ID == other.ID {
				t.Error("got another user's")
			}
		}
	}
	check(b, t.Context(), 61)
	ok(t, b.InTx(t.Context(), func(ctx context.Context) error {
		if _, err := b.LockUser(ctx, user.ID); err != nil {
			return err
		}
		if err := b.DeleteSession(ctx, user.ID, first.ID); err != nil {
			return err
		}
		check(b, ctx, 60)
		return nil
	}))
	check(a, t.Context(), 60)
}
