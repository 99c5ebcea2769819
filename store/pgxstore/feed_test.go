package pgxstore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/pgxstore"
)

type alarm interface {
	store.Feed
	Wait(ctx context.Context) error
}

// TestAlarm holds that what ends wakes up whoever listens, that a first write wakes up
// no one, and that a connection which is killed is an error, after which the next call
// listens again. The pool has one connection, which stays free.
func TestAlarm(t *testing.T) {
	in := postgres(t)(t)
	admin := in(2)
	s := newStore(t, in(1))
	opened, err := s.Feed(t.Context())
	ok(t, err)
	feed, is := opened.(alarm)
	if !is {
		t.Fatalf("a feed of type %T cannot wait", opened)
	}
	wait := func() <-chan error {
		done := make(chan error, 1)
		go func() { done <- feed.Wait(t.Context()) }()
		return done
	}
	ok(t, <-wait()) // it listens
	for range 2 {
		at := time.Now()
		user := store.User{ID: uuid.Must(uuid.NewV7()), Anonymous: true, CreatedAt: at, SeenAt: at}
		session := store.Session{ID: uuid.New(), UserID: user.ID, CreatedAt: at, RenewedAt: at, ExpiresAt: at.Add(time.Hour)}
		quiet, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.CreateAnonymous(t.Context(), user, session)
		ok(t, err)
		if err := feed.Wait(quiet); !errors.Is(err, context.Canceled) {
			t.Errorf("a first write: got %v, want nothing until the end", err)
		}
		ok(t, <-wait()) // and again
		done := wait()
		ok(t, s.DeleteSession(t.Context(), user.ID, session.ID))
		ok(t, <-done)
		users, err := feed.Next(t.Context())
		ok(t, err)
		if !slices.Contains(users, user.ID) {
			t.Errorf("told of %v, want %v", users, user.ID)
		}

		done = wait()
		tag, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE query = 'LISTEN walkin_feed' AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`)
		ok(t, err)
		if err := <-done; err == nil || tag.RowsAffected() == 0 {
			t.Errorf("killed %d: got %v, want an error", tag.RowsAffected(), err)
		}
		ok(t, <-wait())
	}
}

// TestNoAlarm holds that an app with a pooler in between gets no connection that would
// hear nothing.
func TestNoAlarm(t *testing.T) {
	plain := postgres(t)(t)(1)
	cfg := plain.Config()
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	ok(t, err)
	t.Cleanup(pool.Close)
	s, err := pgxstore.New(pool)
	ok(t, err)
	ok(t, s.Migrate(t.Context()))
	opened, err := s.Feed(t.Context())
	ok(t, err)
	if _, is := opened.(alarm); is {
		t.Error("it listens through a pooler")
	}
}
