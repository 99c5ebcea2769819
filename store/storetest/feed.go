package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// runFeed holds what a store tells its replicas, over one that is a store.FeedStore.
func runFeed(t *testing.T, open Opener) {
	for _, c := range []struct {
		rule string
		run  func(t *testing.T, a, b store.FeedStore)
	}{
		{"whatever ends or changes is told to every reader, and who is created to none", feedTells},
		{"what is undone ends nothing, and what is committed in a transaction is told", feedTx},
		{"a reader begins at the end", feedBegins},
	} {
		t.Run(c.rule, func(t *testing.T) {
			handle := open(t)
			a, isA := handle(t).(store.FeedStore)
			b, _ := handle(t).(store.FeedStore)
			if !isA {
				t.Skip("this store has no feed")
			}
			c.run(t, a, b)
		})
	}
}

func feedTells(t *testing.T, a, b store.FeedStore) {
	user, session := persisted(t, a)
	second := store.Session{ID: uuid.New(), UserID: user.ID, CreatedAt: start, RenewedAt: start, ExpiresAt: time.Now().Add(day)}
	third := second
	third.ID = uuid.New()
	never, _ := newUser(t)
	plain, _ := newUser(t)
	readers := []store.Feed{feedOf(t, a), feedOf(t, b)}
	steps := []struct {
		name string
		do   func(ctx context.Context) error
		want uuid.UUID // uuid.Max: no user
	}{
		{"CreateUser", func(ctx context.Context) error { return a.CreateUser(ctx, plain) }, uuid.Max},
		{"CreateAnonymous", func(ctx context.Context) error {
			u, s := newUser(t)
			_, err := a.CreateAnonymous(ctx, u, s)
			return err
		}, uuid.Max},
		{"CreateSession", func(ctx context.Context) error {
			return errors.Join(a.CreateSession(ctx, second), a.CreateSession(ctx, third))
		}, uuid.Max},
		{"RenewSession", func(ctx context.Context) error {
			session.ExpiresAt = time.Now().Add(day)
			return a.RenewSession(ctx, session)
		}, uuid.Max},
		{"CreateIdentity", func(ctx context.Context) error { return a.CreateIdentity(ctx, identityOf(user, "feed")) }, uuid.Max},
		{"SetAnonymous", func(ctx context.Context) error { return a.SetAnonymous(ctx, user.ID, false) }, user.ID},
		{"DeleteSession", func(ctx context.Context) error { return a.DeleteSession(ctx, user.ID, third.ID) }, user.ID},
		{"DeleteSessions", func(ctx context.Context) error { return a.DeleteSessions(ctx, user.ID, session.ID) }, user.ID},
		{"EndSessionsBefore", func(ctx context.Context) error {
			if d, is := a.(store.DatabaseStore); is {
				return d.EndSessionsBefore(ctx, start.Add(-day), true)
			}
			return a.DeleteUser(ctx, tombstone(uuid.Nil))
		}, uuid.Nil},
		{"SetBan", func(ctx context.Context) error {
			if d, is := a.(store.Directory); is {
				return d.SetBan(ctx, user.ID, store.Ban{Until: time.Now().Add(day)})
			}
			return a.SetAnonymous(ctx, user.ID, true)
		}, user.ID},
		{"DeleteUser", func(ctx context.Context) error { return a.DeleteUser(ctx, tombstone(user.ID)) }, user.ID},
		{"DeleteUser of who was never stored", func(ctx context.Context) error { return a.DeleteUser(ctx, tombstone(never.ID)) }, never.ID},
	}
	for _, step := range steps {
		ok(t, step.do(t.Context()))
		for _, reader := range readers {
			users, err := reader.Next(t.Context())
			ok(t, err)
			switch {
			case step.want == uuid.Max && len(users) > 0:
				t.Errorf("%s: told of %v, want none", step.name, users)
			case step.want != uuid.Max && !slices.Contains(users, step.want):
				t.Errorf("%s: told of %v, want %v", step.name, users, step.want)
			}
			if users, err = reader.Next(t.Context()); err != nil || len(users) > 0 {
				t.Errorf("%s: told again: %v, %v", step.name, users, err)
			}
		}
	}
}

func feedOf(t *testing.T, s store.FeedStore) store.Feed {
	t.Helper()
	f, err := s.Feed(t.Context())
	ok(t, err)
	return f
}

func feedTx(t *testing.T, a, b store.FeedStore) {
	user, session := persisted(t, a)
	session.ExpiresAt = time.Now().Add(day)
	ok(t, a.RenewSession(t.Context(), session))
	reader := feedOf(t, b)
	no := errors.New("no")
	is(t, a.InTx(t.Context(), func(ctx context.Context) error {
		return errors.Join(a.DeleteSession(ctx, user.ID, session.ID), no)
	}), no)
	_, err := reader.Next(t.Context())
	ok(t, err)
	_, err = b.LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
	ok(t, a.InTx(t.Context(), func(ctx context.Context) error { return a.DeleteSession(ctx, user.ID, session.ID) }))
	users, err := reader.Next(t.Context())
	ok(t, err)
	if !slices.Contains(users, user.ID) {
		t.Errorf("told of %v, want %v", users, user.ID)
	}
}

func feedBegins(t *testing.T, a, b store.FeedStore) {
	user, _ := persisted(t, a)
	for range 3 {
		ok(t, a.SetAnonymous(t.Context(), user.ID, false))
		ok(t, a.SetAnonymous(t.Context(), user.ID, true))
	}
	reader := feedOf(t, b)
	if users, err := reader.Next(t.Context()); err != nil || len(users) > 0 {
		t.Errorf("told of %v, %v; want what comes", users, err)
	}
}
