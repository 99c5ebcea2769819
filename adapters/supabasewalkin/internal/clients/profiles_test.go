package clients_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
	"github.com/walkin-go/walkin/store"
)

// testProfiles holds what [supabasewalkin.Profiles] says, on each database, with two
// processes.
func testProfiles(t *testing.T, database func() share) {
	one, two := database(), database()
	_, inMemory := one.profiles.(interface{ Migrate(context.Context) error })
	inMemory = !inMemory
	ctx := t.Context()
	born := time.Now().Add(-time.Hour)
	make := func(t *testing.T) uuid.UUID {
		t.Helper()
		id := uuid.Must(uuid.NewV7())
		born = born.Add(time.Second)
		if err := one.store.CreateUser(ctx, store.User{ID: id, CreatedAt: born, SeenAt: born}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	read := func(t *testing.T, from share, id uuid.UUID) supabasewalkin.Profile {
		t.Helper()
		p, err := from.profiles.Profile(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	save := func(t *testing.T, into share, p supabasewalkin.Profile) {
		t.Helper()
		if err := into.profiles.Save(ctx, p); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("no profile", func(t *testing.T) {
		id := uuid.New()
		if p := read(t, one, id); p.UserID != id || p.UserMetadata != nil {
			t.Errorf("got %+v", p)
		}
		if err := one.profiles.Delete(ctx, id); err != nil {
			t.Error(err)
		}
	})
	t.Run("all that there is", func(t *testing.T) {
		at := time.Date(2026, 11, 29, 12, 0, 0, 123_456_000, time.UTC)
		p := supabasewalkin.Profile{
			UserID: make(t), Role: "it's a \"role\"; DROP TABLE walkin_users --", NewEmail: "ann@new.example", NewPhone: "4930123456", Unconfirmed: []string{"email"},
			UserMetadata: map[string]any{"name": "Ännchen 🦉 \u0000 \ufffd \u2028", "n": 1.5, "nested": map[string]any{"a": []any{nil, true}}, "": "the empty name"},
			AppMetadata:  map[string]any{"plan": "x"},
			CreatedAt:    at, UpdatedAt: at, LastSignInAt: at, InvitedAt: at, ConfirmationSentAt: at, RecoverySentAt: at, EmailChangeSentAt: at, ReauthenticationSentAt: at, BannedUntil: at,
		}
		save(t, one, p)
		if got := read(t, two, p.UserID); !reflect.DeepEqual(got, p) {
			t.Errorf("got %+v\nwant %+v", got, p)
		}
		p.UserMetadata, p.Unconfirmed, p.BannedUntil = map[string]any{"name": "Ann"}, nil, time.Time{}
		save(t, two, p)
		if got := read(t, one, p.UserID); !reflect.DeepEqual(got, p) {
			t.Errorf("in place of the one before: got %+v\nwant %+v", got, p)
		}
	})
	t.Run("large", func(t *testing.T) {
		p := supabasewalkin.Profile{UserID: make(t), CreatedAt: time.Now().UTC().Truncate(time.Second), UserMetadata: map[string]any{}}
		for i := range 2000 {
			p.UserMetadata[fmt.Sprint("name ", i)] = "a value of some length, ä"
		}
		save(t, one, p)
		if got := read(t, two, p.UserID); !reflect.DeepEqual(got, p) {
			t.Errorf("got %d names, want %d", len(got.UserMetadata), len(p.UserMetadata))
		}
	})
	t.Run("in a transaction", func(t *testing.T) {
		id, failed := make(t), errors.New("no")
		err := one.store.InTx(ctx, func(ctx context.Context) error {
			if err := one.profiles.Save(ctx, supabasewalkin.Profile{UserID: id, Role: "r"}); err != nil {
				return err
			}
			if p, err := one.profiles.Profile(ctx, id); err != nil || p.Role != "r" {
				t.Errorf("inside: got %+v, %v", p, err)
			}
			return failed
		})
		if !errors.Is(err, failed) {
			t.Error(err)
		}
		if p := read(t, two, id); p.Role != "" && !inMemory { // see Memory
			t.Errorf("after it failed: got %+v", p)
		}
	})
	t.Run("a user who is not there", func(t *testing.T) {
		if err := one.profiles.Save(ctx, supabasewalkin.Profile{UserID: uuid.New()}); (err == nil) != inMemory {
			t.Errorf("got %v", err)
		}
	})
	t.Run("it goes with its user", func(t *testing.T) {
		id := make(t)
		save(t, one, supabasewalkin.Profile{UserID: id, Role: "r"})
		if err := two.store.DeleteUser(ctx, store.Tombstone{UserID: id, ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if err := two.profiles.Delete(ctx, id); err != nil {
			t.Fatal(err)
		}
		if p := read(t, one, id); p.Role != "" {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("saved at once", func(t *testing.T) {
		id := make(t)
		var wg sync.WaitGroup
		for i := range 20 {
			into := []share{one, two}[i%2]
			wg.Go(func() {
				if err := into.profiles.Save(ctx, supabasewalkin.Profile{UserID: id, Role: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if p := read(t, one, id); p.Role == "" {
			t.Error("none was saved")
		}
	})
	t.Run("listed", func(t *testing.T) {
		database := one
		var want []uuid.UUID
		for range 5 {
			id := make(t)
			save(t, database, supabasewalkin.Profile{UserID: id, CreatedAt: born})
			want = append([]uuid.UUID{id}, want...)
		}
		ids, total, err := two.profiles.List(ctx, 0, 5)
		if err != nil || total < 5 {
			t.Fatalf("got %d, %v", total, err)
		}
		if !inMemory && !slices.Equal(ids, want) { // Memory has those of other tests, by their profiles' times
			t.Errorf("got %v\nwant %v", ids, want)
		}
		second, _, err := two.profiles.List(ctx, 2, 2)
		if err != nil || len(second) != 2 || !slices.Equal(second, ids[2:4]) {
			t.Errorf("the second page: got %v, %v, want %v", second, err, ids[2:4])
		}
		if none, again, err := two.profiles.List(ctx, total, 5); err != nil || len(none) != 0 || again != total {
			t.Errorf("past the end: got %v of %d, %v", none, again, err)
		}
	})
}

// testProfilesMigrateTogether holds that replicas which start together all migrate.
func testProfilesMigrateTogether(t *testing.T, database func() share) {
	var wg sync.WaitGroup
	for range 6 {
		s := database()
		m, ok := s.profiles.(interface{ Migrate(context.Context) error })
		if !ok {
			t.Skip("it has no tables")
		}
		wg.Go(func() {
			if err := m.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
