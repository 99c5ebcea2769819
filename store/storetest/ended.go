package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// ended calls every method with a context that has ended. Each returns at once, with the
// context's error, and has done nothing.
func ended(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "old")))
	kept := store.Ticket{Key: "kept", Data: []byte("data"), Tries: 3, ExpiresAt: start.Add(time.Hour)}
	ok(t, a.PutTicket(t.Context(), kept))
	left, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancelLate()
	for _, ctx := range []context.Context{left, late} {
		visitor, first := newUser(t)
		began := time.Now()
		for name, call := range callsOf(ctx, a, user, session, visitor, first) {
			if err := call(); !errors.Is(err, ctx.Err()) {
				t.Errorf("%s, with a context that has ended: got %v, want %v", name, err, ctx.Err())
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("all calls took %v", took)
		}
		for _, s := range []store.Store{b, a} {
			nothingHappened(t, s, user, session, []uuid.UUID{visitor.ID})
			_, err := s.LockUser(t.Context(), visitor.ID)
			is(t, err, store.ErrNotFound)
			sessions, err := s.UserSessions(t.Context(), user.ID)
			ok(t, err)
			got, err := s.Ticket(t.Context(), "kept", start)
			ok(t, err)
			if len(sessions) != 1 || got.Tries != 3 || string(got.Data) != "data" {
				t.Errorf("got %d sessions and the ticket %+v, want all as before", len(sessions), got)
			}
			_, err = s.Ticket(t.Context(), "new", start)
			is(t, err, store.ErrNotFound)
		}
	}
	persisted(t, a) // the handle goes on
}

// callsOf returns a call of each method, by name, of which each would work.
func callsOf(ctx context.Context, s store.Store, user store.User, session store.Session, visitor store.User, first store.Session) map[string]func() error {
	second, renewed := session, session
	second.ID = uuid.New()
	renewed.RenewedAt, renewed.ExpiresAt = start.Add(24*time.Hour), start.Add(48*time.Hour)
	fresh := store.Ticket{Key: "new", Tries: 1, ExpiresAt: start.Add(time.Hour)}
	failing := func(_ any, err error) error { return err }
	return map[string]func() error{
		"InTx": func() error {
			return s.InTx(ctx, func(ctx context.Context) error { return fmt.Errorf("it ran: %w", errApp) })
		},
		"LookupSession":   func() error { return failing(s.LookupSession(ctx, user.ID, session.ID)) },
		"CreateAnonymous": func() error { return failing(s.CreateAnonymous(ctx, visitor, first)) },
		"CreateUser":      func() error { return s.CreateUser(ctx, visitor) },
		"LockUser":        func() error { return failing(s.LockUser(ctx, user.ID)) },
		"SetAnonymous":    func() error { return s.SetAnonymous(ctx, user.ID, false) },
		"DeleteUser":      func() error { return s.DeleteUser(ctx, tombstone(user.ID)) },
		"UserSessions":    func() error { return failing(s.UserSessions(ctx, user.ID)) },
		"CreateSession":   func() error { return s.CreateSession(ctx, second) },
		"RenewSession":    func() error { return s.RenewSession(ctx, renewed) },
		"DeleteSession":   func() error { return s.DeleteSession(ctx, user.ID, session.ID) },
		"DeleteSessions":  func() error { return s.DeleteSessions(ctx, user.ID, uuid.Nil) },
		"Identity":        func() error { return failing(s.Identity(ctx, "test", "old")) },
		"Identities":      func() error { return failing(s.Identities(ctx, user.ID)) },
		"CreateIdentity":  func() error { return s.CreateIdentity(ctx, identityOf(user, "new")) },
		"SetSecret":       func() error { return s.SetSecret(ctx, "test", "old", []byte("changed")) },
		"DeleteIdentity":  func() error { return s.DeleteIdentity(ctx, user.ID, "test", "old") },
		"PutTicket":       func() error { return s.PutTicket(ctx, fresh) },
		"AddTicket":       func() error { return failing(s.AddTicket(ctx, fresh, start)) },
		"Ticket":          func() error { return failing(s.Ticket(ctx, "kept", start)) },
		"TryTicket":       func() error { return failing(s.TryTicket(ctx, "kept", start)) },
		"TakeTicket":      func() error { return failing(s.TakeTicket(ctx, "kept", start)) },
	}
}
