package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin/store"
)

func identityBytes(t *testing.T, a, b store.Store) {
	subjects := []string{
		"ann", "Ann", "ANN", "ann ", " ann", "änn", "a\u0308nn", "ann\t", "ａnn", "ſ", "s",
		"'; DROP TABLE walkin_users; --", "%", "_", `\`, "\U0001f600", strings.Repeat("x", 255), strings.Repeat("x", 254),
	}
	for i, subject := range subjects {
		user, _ := persisted(t, a)
		if err := a.CreateIdentity(t.Context(), identityOf(user, subject)); err != nil {
			t.Fatalf("%d: %q: %v", i, subject, err)
		}
		got, err := b.Identity(t.Context(), "test", subject)
		ok(t, err)
		if got.UserID != user.ID || got.Subject != subject {
			t.Errorf("%q: got %q of %v, want %v", subject, got.Subject, got.UserID, user.ID)
		}
	}
	for _, provider := range []string{"Test", "test ", "tést", ""} {
		_, err := b.Identity(t.Context(), provider, "ann")
		is(t, err, store.ErrNotFound)
	}
}

// names holds that a store may refuse what it cannot keep, with an error that means
// nothing else. Such a name simply belongs to no user. A request that sends it must not
// look like a database that is down.
func names(t *testing.T, a, b store.Store) {
	user, _ := persisted(t, a)
	full := strings.Repeat("x", 255)
	for _, c := range []struct{ name, provider, subject, cut string }{
		{"a NUL", "test", "a\x00b", "a"},
		{"no UTF-8", "test", "a\xffb", "a"},
		{"a subject of 256 bytes", "test", full + "x", full},
		{"a provider of 256 bytes", full + "x", "ann", ""},
		{"256 bytes in fewer letters", "test", strings.Repeat("ä", 128), strings.Repeat("ä", 127)},
	} {
		_, err := b.Identity(t.Context(), c.provider, c.subject)
		is(t, err, store.ErrNotFound)
		is(t, b.SetSecret(t.Context(), c.provider, c.subject, []byte("x")), store.ErrNotFound)
		is(t, b.DeleteIdentity(t.Context(), user.ID, c.provider, c.subject), store.ErrNotFound)

		identity := identityOf(user, c.subject)
		identity.Provider = c.provider
		err = a.CreateIdentity(t.Context(), identity)
		got, found := b.Identity(t.Context(), c.provider, c.subject)
		switch {
		case err == nil:
			if found != nil || got.Provider != c.provider || got.Subject != c.subject {
				t.Errorf("%s: kept, but found is %q of %q (%v)", c.name, got.Subject, got.Provider, found)
			}
		case errors.Is(err, store.ErrIdentityTaken), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrSessionEnded):
			t.Errorf("%s: got %v, which is about something else", c.name, err)
		case !errors.Is(found, store.ErrNotFound):
			t.Errorf("%s: refused, but then got %v", c.name, found)
		}
		_, err = b.Identity(t.Context(), "test", c.cut)
		is(t, err, store.ErrNotFound)
	}
}

func secrets(t *testing.T, a, b store.Store) {
	user, _ := persisted(t, a)
	all := make([]byte, 64<<10)
	for i := range all {
		all[i] = byte(i)
	}
	for i, secret := range [][]byte{nil, {}, {0}, []byte("\xff\xfe'\"\\"), all} {
		identity := identityOf(user, fmt.Sprint(i))
		identity.Secret = secret
		identity.Secret = bytes.Clone(secret)
		ok(t, a.CreateIdentity(t.Context(), identity))
		clear(identity.Secret) // the caller's own again
		got, err := b.Identity(t.Context(), "test", identity.Subject)
		ok(t, err)
		if !bytes.Equal(got.Secret, secret) {
			t.Errorf("secret %d: got %d bytes %.8x, want %d", i, len(got.Secret), got.Secret, len(secret))
		}
	}
	for range 2 {
		given := bytes.Clone(all)
		ok(t, b.SetSecret(t.Context(), "test", "0", given))
		clear(given)
	}
	got, err := a.Identity(t.Context(), "test", "0")
	ok(t, err)
	if !bytes.Equal(got.Secret, all) {
		t.Error("SetSecret: the new secret is not found")
	}
	clear(got.Secret) // what is handed out is the caller's own
	listed, err := a.Identities(t.Context(), user.ID)
	ok(t, err)
	for _, identity := range listed {
		clear(identity.Secret)
	}
	if again, err := a.Identity(t.Context(), "test", "0"); err != nil || !bytes.Equal(again.Secret, all) {
		t.Errorf("a caller's change of the secret is seen by others (%v)", err)
	}
	is(t, a.SetSecret(t.Context(), "test", "nobody", all), store.ErrNotFound)
}

func identityParallel(t *testing.T, a, b store.Store) {
	var users [20]store.User
	for i := range users {
		users[i], _ = persisted(t, a)
	}
	var errs [20]error
	together(len(users), a, b, func(i int, s store.Store) {
		errs[i] = s.CreateIdentity(t.Context(), identityOf(users[i], "ann"))
	})
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won < 0:
			won = i
		case err == nil:
			t.Errorf("both %d and %d won", won, i)
		case !errors.Is(err, store.ErrIdentityTaken):
			t.Errorf("got %v, want ErrIdentityTaken", err)
		}
	}
	if won < 0 {
		t.Fatal("no call won")
	}
	got, err := b.Identity(t.Context(), "test", "ann")
	ok(t, err)
	if got.UserID != users[won].ID {
		t.Errorf("got owner %v, want %v", got.UserID, users[won].ID)
	}
	for i, user := range users {
		all, err := a.Identities(t.Context(), user.ID)
		ok(t, err)
		if (i == won) != (len(all) == 1) {
			t.Errorf("claim %d, with %d won: got %d identities", i, won, len(all))
		}
	}
}

func identityTwice(t *testing.T, a, b store.Store) {
	user, _ := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "ann")))
	again := identityOf(user, "ann")
	again.Secret = []byte("another")
	is(t, b.CreateIdentity(t.Context(), again), store.ErrIdentityTaken)
	got, err := b.Identity(t.Context(), "test", "ann")
	ok(t, err)
	if string(got.Secret) != "s" {
		t.Errorf("got secret %q, want the first one", got.Secret)
	}
}

// identityCrosswise is a deadlock where the database lets two transactions in:
// it ends one of them, which the store runs again.
func identityCrosswise(t *testing.T, a, b store.Store) {
	subjects := []string{"ann", "ann@example.com"}
	var users [2]store.User
	for i := range users {
		users[i], _ = persisted(t, a)
	}
	var inside sync.WaitGroup
	inside.Add(2)
	both := make(chan struct{})
	go func() { inside.Wait(); close(both) }()

	var errs [2]error
	together(2, a, b, func(i int, s store.Store) {
		first := true
		errs[i] = s.InTx(t.Context(), func(ctx context.Context) error {
			if err := s.CreateIdentity(ctx, identityOf(users[i], subjects[i])); err != nil {
				return err
			}
			if first {
				first = false
				inside.Done()
				select {
				case <-both:
				case <-time.After(50 * time.Millisecond): // one at a time, then
				}
			}
			return s.CreateIdentity(ctx, identityOf(users[i], subjects[1-i]))
		})
		if first {
			inside.Done()
		}
	})
	winner := 0
	if errs[0] != nil {
		winner = 1
	}
	ok(t, errs[winner])
	is(t, errs[1-winner], store.ErrIdentityTaken)
	for _, subject := range subjects {
		got, err := a.Identity(t.Context(), "test", subject)
		ok(t, err)
		if got.UserID != users[winner].ID {
			t.Errorf("%s: got owner %v, want %v", subject, got.UserID, users[winner].ID)
		}
	}
}

func identityOfNobody(t *testing.T, a, b store.Store) {
	user, _ := newUser(t)
	is(t, a.CreateIdentity(t.Context(), identityOf(user, "ann")), store.ErrNotFound)
	_, err := b.Identity(t.Context(), "test", "ann")
	is(t, err, store.ErrNotFound)
}

func identities(t *testing.T, a, b store.Store) {
	user, _ := persisted(t, a)
	if got, err := b.Identities(t.Context(), user.ID); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v; want none", got, err)
	}
	for i, subject := range []string{"second", "first", "third"} {
		identity := identityOf(user, subject)
		identity.CreatedAt = start.Add(time.Duration([]int{1, 0, 2}[i]) * time.Hour)
		ok(t, a.CreateIdentity(t.Context(), identity))
	}
	got, err := b.Identities(t.Context(), user.ID)
	ok(t, err)
	var order []string
	for _, identity := range got {
		order = append(order, identity.Subject)
	}
	if fmt.Sprint(order) != "[first second third]" {
		t.Errorf("got %v, want first, second, third", order)
	}
}

func deleteIdentity(t *testing.T, a, b store.Store) {
	user, _ := persisted(t, a)
	stranger, _ := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "ann")))
	is(t, b.DeleteIdentity(t.Context(), stranger.ID, "test", "ann"), store.ErrNotFound)
	_, err := a.Identity(t.Context(), "test", "ann")
	ok(t, err)
	ok(t, b.DeleteIdentity(t.Context(), user.ID, "test", "ann"))
	_, err = a.Identity(t.Context(), "test", "ann")
	is(t, err, store.ErrNotFound)
	is(t, b.DeleteIdentity(t.Context(), user.ID, "test", "ann"), store.ErrNotFound)
}
