package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

var errApp = errors.New("the app says no")

// everything does one of each in a transaction. It returns users who must be unknown
// everywhere if the transaction is rolled back.
func everything(ctx context.Context, t *testing.T, s store.Store, user store.User, session store.Session) []uuid.UUID {
	t.Helper()
	visitor, first := newUser(t)
	_, err := s.CreateAnonymous(ctx, visitor, first)
	ok(t, err)
	member, _ := newUser(t)
	ok(t, s.CreateUser(ctx, member))
	stranger := uuid.New()
	ok(t, s.DeleteUser(ctx, tombstone(stranger)))

	ok(t, s.SetAnonymous(ctx, user.ID, false))
	ok(t, s.CreateIdentity(ctx, identityOf(user, "new")))
	ok(t, s.SetSecret(ctx, "test", "old", []byte("changed")))
	renewed := session
	renewed.RenewedAt, renewed.ExpiresAt = start.Add(24*time.Hour), start.Add(48*time.Hour)
	ok(t, s.RenewSession(ctx, renewed))
	second := session
	second.ID = uuid.New()
	ok(t, s.CreateSession(ctx, second))
	ok(t, s.DeleteSession(ctx, user.ID, session.ID))
	ok(t, s.DeleteSessions(ctx, user.ID, uuid.Nil))
	ok(t, s.DeleteIdentity(ctx, user.ID, "test", "new"))
	ok(t, s.DeleteUser(ctx, tombstone(user.ID)))
	return []uuid.UUID{visitor.ID, member.ID, stranger}
}

func nothingHappened(t *testing.T, s store.Store, user store.User, session store.Session, strangers []uuid.UUID) {
	t.Helper()
	got, err := s.LockUser(t.Context(), user.ID)
	ok(t, err)
	sameUser(t, got, user)
	live, err := s.LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
	sameSession(t, live, session)
	identities, err := s.Identities(t.Context(), user.ID)
	ok(t, err)
	if len(identities) != 1 || identities[0].Subject != "old" || string(identities[0].Secret) != "s" {
		t.Errorf("got identities %+v, want the old one as it was", identities)
	}
	for _, id := range strangers {
		_, err = s.LookupSession(t.Context(), id, session.ID)
		is(t, err, store.ErrNotFound)
	}
}

func txError(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "old")))
	var strangers []uuid.UUID
	err := a.InTx(t.Context(), func(ctx context.Context) error {
		strangers = everything(ctx, t, a, user, session)
		return errApp
	})
	is(t, err, errApp)
	nothingHappened(t, b, user, session, strangers)
	nothingHappened(t, a, user, session, strangers)
}

func txPanic(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "old")))
	var strangers []uuid.UUID
	func() {
		defer func() {
			if p := recover(); p != "a bug" {
				t.Errorf("got panic %v, want the hook's own", p)
			}
		}()
		_ = a.InTx(t.Context(), func(ctx context.Context) error {
			strangers = everything(ctx, t, a, user, session)
			panic("a bug")
		})
	}()
	nothingHappened(t, b, user, session, strangers)
	nothingHappened(t, a, user, session, strangers)
}

func txNested(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "old")))
	var strangers []uuid.UUID
	err := a.InTx(t.Context(), func(ctx context.Context) error {
		ok(t, a.InTx(ctx, func(ctx context.Context) error {
			strangers = everything(ctx, t, a, user, session)
			return nil
		}))
		return errApp
	})
	is(t, err, errApp)
	nothingHappened(t, b, user, session, strangers)
}

// txRefused holds that a transaction may go on after the store refused something, and
// commit the rest. PostgreSQL would not, after an error of its own.
func txRefused(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	other, otherSession := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(other, "ann")))
	deleted, deletedSession := newUser(t)
	ok(t, a.DeleteUser(t.Context(), tombstone(deleted.ID)))
	fresh, freshSession := newUser(t)
	freshSession.ID = otherSession.ID

	foreign := otherSession
	foreign.UserID, foreign.RenewedAt = user.ID, start.Add(24*time.Hour)
	second := session
	second.ID = uuid.New()
	nobody := session
	nobody.ID, nobody.UserID = uuid.New(), uuid.New()
	ok(t, a.InTx(t.Context(), func(ctx context.Context) error {
		_, err := a.CreateAnonymous(ctx, deleted, deletedSession)
		is(t, err, store.ErrSessionEnded)
		_, err = a.CreateAnonymous(ctx, fresh, freshSession)
		is(t, err, store.ErrSessionEnded)
		_, err = a.CreateAnonymous(ctx, user, second)
		is(t, err, store.ErrSessionEnded)
		is(t, a.CreateUser(ctx, deleted), store.ErrSessionEnded)
		is(t, a.CreateUser(ctx, user), store.ErrSessionEnded)
		is(t, a.CreateSession(ctx, nobody), store.ErrNotFound)
		is(t, a.CreateSession(ctx, otherSession), store.ErrSessionEnded)
		is(t, a.RenewSession(ctx, foreign), store.ErrSessionEnded)
		is(t, a.CreateIdentity(ctx, identityOf(user, "ann")), store.ErrIdentityTaken)
		is(t, a.CreateIdentity(ctx, identityOf(deleted, "bea")), store.ErrNotFound)
		_, err = a.Identity(ctx, "test", "a\x00b")
		is(t, err, store.ErrNotFound)
		is(t, a.DeleteIdentity(ctx, user.ID, "test", "ann"), store.ErrNotFound)
		is(t, a.SetAnonymous(ctx, deleted.ID, false), store.ErrNotFound)
		return a.SetAnonymous(ctx, user.ID, false)
	}))
	for _, id := range []uuid.UUID{deleted.ID, fresh.ID} {
		_, err := b.LockUser(t.Context(), id)
		is(t, err, store.ErrNotFound)
	}
	user.Anonymous = false
	got, err := b.LockUser(t.Context(), user.ID)
	ok(t, err)
	sameUser(t, got, user)
	live, err := b.LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
	sameSession(t, live, session)
	_, err = b.LookupSession(t.Context(), user.ID, second.ID)
	is(t, err, store.ErrSessionEnded)
	live, err = b.LookupSession(t.Context(), other.ID, otherSession.ID)
	ok(t, err)
	sameSession(t, live, otherSession)
}

func txEnded(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "old")))
	for _, want := range []error{nil, errApp} {
		var kept context.Context
		err := a.InTx(t.Context(), func(ctx context.Context) error {
			kept = ctx
			return want
		})
		is(t, err, want)
		together(4, a, a, func(int, store.Store) {
			if a.SetAnonymous(kept, user.ID, false) == nil || a.DeleteUser(kept, tombstone(user.ID)) == nil {
				t.Error("a call with the context of a transaction that has ended says that it did something")
			}
		})
	}
	nothingHappened(t, b, user, session, nil)
}

func txIsolation(t *testing.T, a, b store.Store) {
	user, session := newUser(t)
	inside, looked := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(looked)
		<-inside
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		// The other handle sees nothing yet, or has to wait.
		if _, err := b.LookupSession(ctx, user.ID, session.ID); !errors.Is(err, store.ErrNotFound) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrNotFound before the commit", err)
		}
	})
	ok(t, a.InTx(t.Context(), func(ctx context.Context) error {
		_, err := a.CreateAnonymous(ctx, user, session)
		ok(t, err)
		if _, err := a.LookupSession(ctx, user.ID, session.ID); err != nil {
			t.Errorf("the transaction does not see its own row: %v", err)
		}
		close(inside)
		<-looked
		return nil
	}))
	wg.Wait()
	_, err := b.LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
}

func txCancelled(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "old")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var strangers []uuid.UUID
	err := a.InTx(ctx, func(ctx context.Context) error {
		strangers = everything(ctx, t, a, user, session)
		cancel()
		return nil
	})
	is(t, err, context.Canceled)
	nothingHappened(t, b, user, session, strangers)
	nothingHappened(t, a, user, session, strangers)
	persisted(t, a) // the handle goes on
}

func txWait(t *testing.T, a, b store.Store) {
	user, _ := persisted(t, a)
	ok(t, a.InTx(t.Context(), func(ctx context.Context) error {
		_, err := a.LockUser(ctx, user.ID)
		ok(t, err)
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		err = b.InTx(short, func(ctx context.Context) error {
			_, err := b.LockUser(ctx, user.ID)
			return err
		})
		is(t, err, context.DeadlineExceeded)
		if waited := time.Since(began); waited > 2*time.Second {
			t.Errorf("waited for %v after the context had ended", waited)
		}
		return a.SetAnonymous(ctx, user.ID, false)
	}))
	ok(t, b.SetAnonymous(t.Context(), user.ID, true)) // both go on
}

func txLock(t *testing.T, a, b store.Store) {
	user, _ := persisted(t, a)
	// Each turns the flag around, by what it read. With a lost update the flag
	// would not be what an even number of turns leaves.
	together(20, a, b, func(_ int, s store.Store) {
		err := s.InTx(t.Context(), func(ctx context.Context) error {
			got, err := s.LockUser(ctx, user.ID)
			if err != nil {
				return err
			}
			identities, err := s.Identities(ctx, user.ID)
			if err != nil {
				return err
			}
			if (len(identities)%2 == 0) != got.Anonymous {
				t.Errorf("flag %t with %d identities: another call was inside", got.Anonymous, len(identities))
			}
			if err := s.CreateIdentity(ctx, identityOf(user, fmt.Sprint(len(identities)))); err != nil {
				return err
			}
			return s.SetAnonymous(ctx, user.ID, !got.Anonymous)
		})
		if err != nil {
			t.Errorf("got %v", err)
		}
	})
	identities, err := b.Identities(t.Context(), user.ID)
	ok(t, err)
	if len(identities) != 20 {
		t.Errorf("got %d identities, want 20", len(identities))
	}
}
