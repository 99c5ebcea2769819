package storetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
)

func ticket(key string) walkin.Ticket {
	return walkin.Ticket{Key: key, Data: []byte("data"), Tries: 5, ExpiresAt: start.Add(10 * time.Minute)}
}

func putTicket(t *testing.T, s walkin.Store, ticket walkin.Ticket, want bool) {
	t.Helper()
	replaced, err := s.PutTicket(t.Context(), ticket)
	ok(t, err)
	if replaced != want {
		t.Errorf("%q replaced one: got %t, want %t", ticket.Key, replaced, want)
	}
}

func sameTicket(t *testing.T, got, want walkin.Ticket) {
	t.Helper()
	if got.Key != want.Key || !bytes.Equal(got.Data, want.Data) || got.Tries != want.Tries {
		t.Errorf("got ticket %q with %d tries and %d bytes, want %q with %d and %d",
			got.Key, got.Tries, len(got.Data), want.Key, want.Tries, len(want.Data))
	}
	sameTime(t, "ExpiresAt", got.ExpiresAt, want.ExpiresAt)
}

func ticketOnce(t *testing.T, a, b walkin.Store) {
	_, err := a.TakeTicket(t.Context(), "one", start)
	is(t, err, walkin.ErrNotFound)
	_, err = a.TryTicket(t.Context(), "one", start)
	is(t, err, walkin.ErrNotFound)

	want := ticket("one")
	want.Data = []byte("a\x00\xff'")
	putTicket(t, a, want, false)
	putTicket(t, a, ticket("two"), false)
	want.Data[0] = 'b' // the caller's own again
	want.Data = []byte("a\x00\xff'")
	got, err := b.TakeTicket(t.Context(), "one", start)
	ok(t, err)
	sameTicket(t, got, want)
	for _, s := range []walkin.Store{a, b} {
		_, err = s.TakeTicket(t.Context(), "one", start)
		is(t, err, walkin.ErrNotFound)
		_, err = s.TryTicket(t.Context(), "one", start)
		is(t, err, walkin.ErrNotFound)
	}
	putTicket(t, b, want, false) // the key is free again
	_, err = a.TakeTicket(t.Context(), "two", start)
	ok(t, err)
}

func ticketReplaced(t *testing.T, a, b walkin.Store) {
	first := ticket("code")
	putTicket(t, a, first, false)
	putTicket(t, b, first, true) // the very same
	second := walkin.Ticket{Key: "code", Data: []byte("new"), Tries: 1, ExpiresAt: start.Add(time.Hour)}
	putTicket(t, b, second, true)
	got, err := a.TakeTicket(t.Context(), "code", start.Add(30*time.Minute))
	ok(t, err)
	sameTicket(t, got, second)
}

func ticketTries(t *testing.T, a, b walkin.Store) {
	want := ticket("code")
	want.Tries = 2
	putTicket(t, a, want, false)
	for _, s := range []walkin.Store{a, b} {
		want.Tries--
		got, err := s.TryTicket(t.Context(), "code", start)
		ok(t, err)
		sameTicket(t, got, want)
	}
	_, err := a.TryTicket(t.Context(), "code", start)
	is(t, err, walkin.ErrNotFound)
	got, err := b.TakeTicket(t.Context(), "code", start) // whoever guessed it last may still have it
	ok(t, err)
	sameTicket(t, got, want)

	none := ticket("state")
	none.Tries = 0
	putTicket(t, a, none, false)
	_, err = b.TryTicket(t.Context(), "state", start)
	is(t, err, walkin.ErrNotFound)
}

func ticketExpired(t *testing.T, a, b walkin.Store) {
	old := ticket("code")
	putTicket(t, a, old, false)
	for _, now := range []time.Time{old.ExpiresAt, old.ExpiresAt.Add(100 * 365 * 24 * time.Hour)} {
		_, err := b.TryTicket(t.Context(), "code", now)
		is(t, err, walkin.ErrNotFound)
		_, err = b.TakeTicket(t.Context(), "code", now)
		is(t, err, walkin.ErrNotFound)
	}
	_, err := b.TryTicket(t.Context(), "code", old.ExpiresAt.Add(-time.Second))
	ok(t, err)
	_, err = b.TakeTicket(t.Context(), "code", old.ExpiresAt.Add(-time.Second))
	ok(t, err)
}

func ticketNames(t *testing.T, a, b walkin.Store) {
	full := strings.Repeat("x", 255)
	for _, key := range []string{"code", "Code", "code ", "cöde", full, `'"\%_`} {
		want := ticket(key)
		putTicket(t, a, want, false)
	}
	large := ticket("large")
	large.Data = bytes.Repeat([]byte{0}, 128<<10)
	large.Tries = 1000
	putTicket(t, a, large, false)
	got, err := b.TakeTicket(t.Context(), "large", start)
	ok(t, err)
	sameTicket(t, got, large)

	for name, change := range map[string]func(*walkin.Ticket){
		"no key":          func(t *walkin.Ticket) { t.Key = "" },
		"a NUL":           func(t *walkin.Ticket) { t.Key = "a\x00b" },
		"no UTF-8":        func(t *walkin.Ticket) { t.Key = "a\xffb" },
		"256 bytes":       func(t *walkin.Ticket) { t.Key = full + "x" },
		"too much data":   func(t *walkin.Ticket) { t.Data = make([]byte, 128<<10+1) },
		"too many tries":  func(t *walkin.Ticket) { t.Tries = 1001 },
		"fewer than zero": func(t *walkin.Ticket) { t.Tries = -1 },
	} {
		bad := ticket("bad")
		change(&bad)
		_, err := a.PutTicket(t.Context(), bad)
		if err == nil || errors.Is(err, walkin.ErrNotFound) {
			t.Errorf("%s: got %v, want an error that means nothing else", name, err)
		}
		_, err = b.TakeTicket(t.Context(), bad.Key, start)
		is(t, err, walkin.ErrNotFound)
		_, err = b.TryTicket(t.Context(), bad.Key, start)
		is(t, err, walkin.ErrNotFound)
	}
}

func ticketTaken(t *testing.T, a, b walkin.Store) {
	putTicket(t, a, ticket("state"), false)
	var got atomic.Int32
	together(20, a, b, func(_ int, s walkin.Store) {
		switch _, err := s.TakeTicket(t.Context(), "state", start); {
		case err == nil:
			got.Add(1)
		case !errors.Is(err, walkin.ErrNotFound):
			t.Errorf("got %v", err)
		}
	})
	if got.Load() != 1 {
		t.Errorf("got it %d times, want once", got.Load())
	}
}

func ticketFirst(t *testing.T, a, b walkin.Store) {
	var first atomic.Int32
	together(20, a, b, func(_ int, s walkin.Store) {
		switch replaced, err := s.PutTicket(t.Context(), ticket("spent")); {
		case err != nil:
			t.Errorf("got %v", err)
		case !replaced:
			first.Add(1)
		}
	})
	if first.Load() != 1 {
		t.Errorf("got %d that were first, want one", first.Load())
	}
}

func ticketGuesses(t *testing.T, a, b walkin.Store) {
	putTicket(t, a, ticket("code"), false)
	var tried atomic.Int32
	together(100, a, b, func(_ int, s walkin.Store) {
		switch _, err := s.TryTicket(t.Context(), "code", start); {
		case err == nil:
			tried.Add(1)
		case !errors.Is(err, walkin.ErrNotFound):
			t.Errorf("got %v", err)
		}
	})
	if tried.Load() != 5 {
		t.Errorf("got %d tries, want 5", tried.Load())
	}
}

func ticketTx(t *testing.T, a, b walkin.Store) {
	putTicket(t, a, ticket("taken"), false)
	putTicket(t, a, ticket("tried"), false)
	is(t, a.InTx(t.Context(), func(ctx context.Context) error {
		_, err := a.TakeTicket(ctx, "taken", start)
		ok(t, err)
		_, err = a.TryTicket(ctx, "tried", start)
		ok(t, err)
		_, err = a.PutTicket(ctx, ticket("new"))
		ok(t, err)
		return errApp
	}), errApp)
	got, err := b.TakeTicket(t.Context(), "taken", start)
	ok(t, err)
	sameTicket(t, got, ticket("taken"))
	got, err = b.TakeTicket(t.Context(), "tried", start)
	ok(t, err)
	sameTicket(t, got, ticket("tried"))
	_, err = b.TakeTicket(t.Context(), "new", start)
	is(t, err, walkin.ErrNotFound)
}
