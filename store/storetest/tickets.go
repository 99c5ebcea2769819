package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

func ticket(key string) store.Ticket {
	return store.Ticket{Key: key, Data: []byte("data"), Tries: 5, ExpiresAt: start.Add(10 * time.Minute)}
}

func addTicket(t *testing.T, s store.Store, ticket store.Ticket, now time.Time, want bool) {
	t.Helper()
	added, err := s.AddTicket(t.Context(), ticket, now)
	ok(t, err)
	if added != want {
		t.Errorf("%q was added: got %t, want %t", ticket.Key, added, want)
	}
}

// noTicket holds that a key finds nothing, whatever it is asked for.
func noTicket(t *testing.T, s store.Store, key string, now time.Time) {
	t.Helper()
	_, err := s.Ticket(t.Context(), key, now)
	is(t, err, store.ErrNotFound)
	_, err = s.TryTicket(t.Context(), key, now)
	is(t, err, store.ErrNotFound)
	_, err = s.TakeTicket(t.Context(), key, now)
	is(t, err, store.ErrNotFound)
}

func sameTicket(t *testing.T, got, want store.Ticket) {
	t.Helper()
	if got.Key != want.Key || !bytes.Equal(got.Data, want.Data) || got.Tries != want.Tries {
		t.Errorf("got ticket %q with %d tries and %d bytes, want %q with %d and %d",
			got.Key, got.Tries, len(got.Data), want.Key, want.Tries, len(want.Data))
	}
	if got.UserID != want.UserID {
		t.Errorf("got ticket %q of user %s, want %s", got.Key, got.UserID, want.UserID)
	}
	sameTime(t, "ExpiresAt", got.ExpiresAt, want.ExpiresAt)
}

// spoiled returns a copy of a ticket that was handed out, and writes over its data: it is
// the caller's own, and the store keeps another.
func spoiled(ticket store.Ticket) store.Ticket {
	data := bytes.Clone(ticket.Data)
	clear(ticket.Data)
	ticket.Data = data
	return ticket
}

func ticketOnce(t *testing.T, a, b store.Store) {
	noTicket(t, a, "one", start)
	want := ticket("one")
	want.Data = []byte("a\x00\xff'")
	ok(t, a.PutTicket(t.Context(), want))
	ok(t, a.PutTicket(t.Context(), ticket("two")))
	want.Data[0] = 'b' // the caller's own again
	want.Data = []byte("a\x00\xff'")
	for range 2 {
		got, err := a.Ticket(t.Context(), "one", start)
		ok(t, err)
		sameTicket(t, spoiled(got), want)
	}
	got, err := b.TakeTicket(t.Context(), "one", start)
	ok(t, err)
	sameTicket(t, got, want)
	for _, s := range []store.Store{a, b} {
		noTicket(t, s, "one", start)
	}
	ok(t, b.PutTicket(t.Context(), want)) // the key is free again
	_, err = a.TakeTicket(t.Context(), "two", start)
	ok(t, err)
}

func ticketReplaced(t *testing.T, a, b store.Store) {
	first := ticket("code")
	ok(t, a.PutTicket(t.Context(), first))
	ok(t, b.PutTicket(t.Context(), first)) // the very same
	second := store.Ticket{Key: "code", Data: []byte("new"), Tries: 1, ExpiresAt: start.Add(time.Hour)}
	ok(t, b.PutTicket(t.Context(), second))
	got, err := a.TakeTicket(t.Context(), "code", start.Add(30*time.Minute))
	ok(t, err)
	sameTicket(t, got, second)
}

func ticketTries(t *testing.T, a, b store.Store) {
	want := ticket("code")
	want.Tries = 2
	ok(t, a.PutTicket(t.Context(), want))
	for _, s := range []store.Store{a, b} {
		want.Tries--
		got, err := s.TryTicket(t.Context(), "code", start)
		ok(t, err)
		sameTicket(t, spoiled(got), want)
	}
	_, err := a.TryTicket(t.Context(), "code", start)
	is(t, err, store.ErrNotFound)
	got, err := b.TakeTicket(t.Context(), "code", start) // the client that guessed it last may still have it
	ok(t, err)
	sameTicket(t, got, want)

	none := ticket("state")
	none.Tries = 0
	ok(t, a.PutTicket(t.Context(), none))
	_, err = b.TryTicket(t.Context(), "state", start)
	is(t, err, store.ErrNotFound)
}

func ticketExpired(t *testing.T, a, b store.Store) {
	old := ticket("code")
	ok(t, a.PutTicket(t.Context(), old))
	for _, now := range []time.Time{old.ExpiresAt, old.ExpiresAt.Add(100 * 365 * 24 * time.Hour)} {
		noTicket(t, b, "code", now)
	}
	_, err := b.TryTicket(t.Context(), "code", old.ExpiresAt.Add(-time.Second))
	ok(t, err)
	_, err = b.TakeTicket(t.Context(), "code", old.ExpiresAt.Add(-time.Second))
	ok(t, err)
}

func ticketNames(t *testing.T, a, b store.Store) {
	full := strings.Repeat("x", 255)
	for _, key := range []string{"code", "Code", "code ", "cöde", full, `'"\%_`} {
		want := ticket(key)
		ok(t, a.PutTicket(t.Context(), want))
	}
	large := ticket("large")
	large.Data = bytes.Repeat([]byte{0}, 128<<10)
	large.Tries = 1000
	ok(t, a.PutTicket(t.Context(), large))
	got, err := b.TakeTicket(t.Context(), "large", start)
	ok(t, err)
	sameTicket(t, got, large)

	for name, change := range map[string]func(*store.Ticket){
		"no key":          func(t *store.Ticket) { t.Key = "" },
		"a NUL":           func(t *store.Ticket) { t.Key = "a\x00b" },
		"no UTF-8":        func(t *store.Ticket) { t.Key = "a\xffb" },
		"256 bytes":       func(t *store.Ticket) { t.Key = full + "x" },
		"too much data":   func(t *store.Ticket) { t.Data = make([]byte, 128<<10+1) },
		"too many tries":  func(t *store.Ticket) { t.Tries = 1001 },
		"fewer than zero": func(t *store.Ticket) { t.Tries = -1 },
	} {
		bad := ticket("bad")
		change(&bad)
		_, added := a.AddTicket(t.Context(), bad, start)
		for _, err := range []error{a.PutTicket(t.Context(), bad), added} {
			if err == nil || errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: got %v, want an error that means nothing else", name, err)
			}
		}
		noTicket(t, b, bad.Key, start)
	}
}

func ticketTaken(t *testing.T, a, b store.Store) {
	ok(t, a.PutTicket(t.Context(), ticket("state")))
	var got atomic.Int32
	together(20, a, b, func(_ int, s store.Store) {
		switch _, err := s.TakeTicket(t.Context(), "state", start); {
		case err == nil:
			got.Add(1)
		case !errors.Is(err, store.ErrNotFound):
			t.Errorf("got %v", err)
		}
	})
	if got.Load() != 1 {
		t.Errorf("got it %d times, want once", got.Load())
	}
}

func ticketFirst(t *testing.T, a, b store.Store) {
	for _, left := range []time.Duration{0, -time.Hour} { // on nothing, and on one that expired
		ok(t, a.PutTicket(t.Context(), store.Ticket{Key: "spent", ExpiresAt: start.Add(left)}))
		if left == 0 {
			_, err := a.TakeTicket(t.Context(), "spent", start.Add(-time.Hour))
			ok(t, err)
		}
		var first atomic.Int32
		together(20, a, b, func(_ int, s store.Store) {
			switch added, err := s.AddTicket(t.Context(), ticket("spent"), start); {
			case err != nil:
				t.Errorf("got %v", err)
			case added:
				first.Add(1)
			}
		})
		if first.Load() != 1 {
			t.Errorf("got %d that were first, want one", first.Load())
		}
		got, err := b.TakeTicket(t.Context(), "spent", start)
		ok(t, err)
		sameTicket(t, got, ticket("spent"))
	}
}

func ticketLast(t *testing.T, a, b store.Store) {
	together(20, a, b, func(i int, s store.Store) {
		if err := s.PutTicket(t.Context(), store.Ticket{Key: "code", Tries: i, ExpiresAt: start.Add(time.Hour)}); err != nil {
			t.Errorf("got %v", err)
		}
	})
	_, err := a.TakeTicket(t.Context(), "code", start)
	ok(t, err)
	noTicket(t, b, "code", start)
}

func ticketAdded(t *testing.T, a, b store.Store) {
	first := ticket("pow")
	addTicket(t, a, first, start, true)
	second := store.Ticket{Key: "pow", Data: []byte("new"), ExpiresAt: start.Add(time.Hour)}
	addTicket(t, b, second, start, false)
	addTicket(t, b, second, first.ExpiresAt.Add(-time.Second), false)
	got, err := a.Ticket(t.Context(), "pow", start)
	ok(t, err)
	sameTicket(t, got, first)
	addTicket(t, b, second, first.ExpiresAt, true)
	got, err = a.TakeTicket(t.Context(), "pow", first.ExpiresAt)
	ok(t, err)
	sameTicket(t, got, second)
	addTicket(t, a, first, start, true)
}

func ticketGuesses(t *testing.T, a, b store.Store) {
	ok(t, a.PutTicket(t.Context(), ticket("code")))
	var tried atomic.Int32
	together(100, a, b, func(_ int, s store.Store) {
		switch _, err := s.TryTicket(t.Context(), "code", start); {
		case err == nil:
			tried.Add(1)
		case !errors.Is(err, store.ErrNotFound):
			t.Errorf("got %v", err)
		}
	})
	if tried.Load() != 5 {
		t.Errorf("got %d tries, want 5", tried.Load())
	}
}

func ticketTx(t *testing.T, a, b store.Store) {
	ok(t, a.PutTicket(t.Context(), ticket("taken")))
	ok(t, a.PutTicket(t.Context(), ticket("tried")))
	is(t, a.InTx(t.Context(), func(ctx context.Context) error {
		got, err := a.TakeTicket(ctx, "taken", start)
		ok(t, err)
		sameTicket(t, spoiled(got), ticket("taken"))
		got, err = a.TryTicket(ctx, "tried", start)
		ok(t, err)
		spoiled(got)
		ok(t, a.PutTicket(ctx, ticket("new")))
		_, err = a.AddTicket(ctx, ticket("newer"), start)
		ok(t, err)
		return errApp
	}), errApp)
	got, err := b.TakeTicket(t.Context(), "taken", start)
	ok(t, err)
	sameTicket(t, got, ticket("taken"))
	got, err = b.TakeTicket(t.Context(), "tried", start)
	ok(t, err)
	sameTicket(t, got, ticket("tried"))
	noTicket(t, b, "new", start)
	noTicket(t, b, "newer", start)
}

// Their user is stored, or provisional.
func ticketOfUser(t *testing.T, a, b store.Store) {
	for i, stored := range []bool{true, false} {
		gone, merged, into := uuid.New(), uuid.New(), uuid.New()
		name := func(key string) string { return fmt.Sprint(key, i) }
		of := func(key string, user uuid.UUID) store.Ticket {
			ticket := ticket(name(key))
			ticket.UserID = user
			return ticket
		}
		for _, id := range []uuid.UUID{gone, merged, into} {
			if stored {
				ok(t, a.CreateUser(t.Context(), store.User{ID: id, Anonymous: true, CreatedAt: start, SeenAt: start}))
			}
		}
		ok(t, a.PutTicket(t.Context(), of("gone", gone)))
		ok(t, a.PutTicket(t.Context(), of("gone too", gone)))
		ok(t, a.PutTicket(t.Context(), of("merged", merged)))
		ok(t, a.PutTicket(t.Context(), of("into", into)))
		ok(t, a.PutTicket(t.Context(), ticket(name("of no user"))))
		// What a transaction is undone with stays.
		is(t, a.InTx(t.Context(), func(ctx context.Context) error {
			ok(t, a.DeleteUser(ctx, store.Tombstone{UserID: gone, DeletedAt: start, ExpiresAt: start.Add(time.Hour)}))
			return errApp
		}), errApp)
		got, err := b.Ticket(t.Context(), name("gone"), start)
		ok(t, err)
		sameTicket(t, got, of("gone", gone))

		ok(t, b.DeleteUser(t.Context(), store.Tombstone{UserID: gone, DeletedAt: start, ExpiresAt: start.Add(time.Hour)}))
		ok(t, b.DeleteUser(t.Context(), store.Tombstone{UserID: merged, MergedInto: into, DeletedAt: start, ExpiresAt: start.Add(time.Hour)}))
		noTicket(t, a, name("gone"), start)
		noTicket(t, a, name("gone too"), start)
		for _, want := range []store.Ticket{of("merged", into), of("into", into), ticket(name("of no user"))} {
			got, err := a.Ticket(t.Context(), want.Key, start)
			ok(t, err)
			sameTicket(t, got, want)
		}
		ok(t, a.DeleteUser(t.Context(), store.Tombstone{UserID: into, DeletedAt: start, ExpiresAt: start.Add(time.Hour)}))
		noTicket(t, b, name("merged"), start)
		noTicket(t, b, name("into"), start)
		_, err = b.TakeTicket(t.Context(), name("of no user"), start)
		ok(t, err)
	}
}
