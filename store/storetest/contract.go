package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
)

// Every case holds one rule of the comments on walkin.Store, over two handles
// of one database.

type contractCase struct {
	rule string
	run  func(t *testing.T, a, b walkin.Store)
}

var contract = []contractCase{
	{"what was created is found, on both handles, times to the microsecond", created},
	{"Lookup tells alive, superseded and never heard of apart", lookup},
	{"Persist is idempotent and never opens a second session", persist},
	{"Persist of a deleted user is ErrSuperseded", persistDeleted},
	{"twenty parallel Persist of one visitor are one row", persistParallel},
	{"a Persist that races a DeleteUser never brings the user back", persistRacesDelete},
	{"CreateUser of a taken or deleted ID is ErrSuperseded", createUser},
	{"SetAnonymous changes the flag alone", setAnonymous},
	{"DeleteUser takes sessions and identities along, twice is fine", deleteUser},
	{"CreateSession needs its user and a free ID", createSession},
	{"RenewSession moves two times and SeenAt, and revives nothing", renewSession},
	{"DeleteSession ends one, DeleteSessions all but one, of that user only", deleteSessions},
	{"an identity is compared byte for byte", identityBytes},
	{"a secret is any bytes up to 64 KB", secrets},
	{"of twenty claims of one identity, one succeeds", identityParallel},
	{"CreateIdentity of a missing user is ErrNotFound", identityOfNobody},
	{"Identities come oldest first, none is no error", identities},
	{"DeleteIdentity removes the user's own only", deleteIdentity},
	{"InTx undoes everything on an error", txError},
	{"InTx undoes everything on a panic, and passes it on", txPanic},
	{"InTx inside InTx is the same transaction", txNested},
	{"what a transaction did is seen by no one else before it commits", txIsolation},
	{"a context that ends in the middle of a transaction undoes it", txCancelled},
	{"a context that has ended is an error, and does nothing", cancelled},
	{"User in a transaction locks: no update is lost", txLock},
}

func runContract(t *testing.T, open Opener) {
	for _, c := range contract {
		t.Run(c.rule, func(t *testing.T) {
			handle := open(t)
			c.run(t, handle(t), handle(t))
		})
	}
}

// start is a time with more digits than a database keeps.
var start = time.Date(2026, time.March, 29, 1, 59, 59, 123456789, time.FixedZone("", 3600))

func newUser(t *testing.T) (walkin.User, walkin.Session) {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return walkin.User{ID: id, Anonymous: true, CreatedAt: start, SeenAt: start.Add(time.Second)},
		walkin.Session{ID: uuid.New(), UserID: id, CreatedAt: start, RenewedAt: start.Add(time.Minute), ExpiresAt: start.Add(time.Hour)}
}

// persisted returns a user who is there with a session.
func persisted(t *testing.T, s walkin.Store) (walkin.User, walkin.Session) {
	t.Helper()
	user, session := newUser(t)
	_, err := s.Persist(t.Context(), user, session)
	ok(t, err)
	return user, session
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

func sameTime(t *testing.T, what string, got, want time.Time) {
	t.Helper()
	if d := got.Sub(want); d > time.Microsecond || d < -time.Microsecond {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func sameSession(t *testing.T, got, want walkin.Session) {
	t.Helper()
	if got.ID != want.ID || got.UserID != want.UserID {
		t.Errorf("got session %v of %v, want %v of %v", got.ID, got.UserID, want.ID, want.UserID)
	}
	sameTime(t, "CreatedAt", got.CreatedAt, want.CreatedAt)
	sameTime(t, "RenewedAt", got.RenewedAt, want.RenewedAt)
	sameTime(t, "ExpiresAt", got.ExpiresAt, want.ExpiresAt)
}

func sameUser(t *testing.T, got, want walkin.User) {
	t.Helper()
	if got.ID != want.ID || got.Anonymous != want.Anonymous {
		t.Errorf("got user %v anonymous=%t, want %v anonymous=%t", got.ID, got.Anonymous, want.ID, want.Anonymous)
	}
	sameTime(t, "CreatedAt", got.CreatedAt, want.CreatedAt)
	sameTime(t, "SeenAt", got.SeenAt, want.SeenAt)
}

func identityOf(user walkin.User, subject string) walkin.Identity {
	return walkin.Identity{Provider: "test", Subject: subject, UserID: user.ID, Secret: []byte("s"), CreatedAt: start}
}

func tombstone(id uuid.UUID) walkin.Tombstone {
	return walkin.Tombstone{UserID: id, DeletedAt: start, ExpiresAt: start.Add(time.Hour)}
}

func created(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "ann")))
	for _, s := range []walkin.Store{a, b} {
		got, err := s.User(t.Context(), user.ID)
		ok(t, err)
		sameUser(t, got, user)
		live, err := s.Lookup(t.Context(), user.ID, session.ID)
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

func lookup(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	_, other := persisted(t, a)
	_, err := b.Lookup(t.Context(), user.ID, session.ID)
	ok(t, err)
	_, err = b.Lookup(t.Context(), user.ID, uuid.New())
	is(t, err, walkin.ErrSuperseded)
	_, err = b.Lookup(t.Context(), user.ID, other.ID) // somebody else's
	is(t, err, walkin.ErrSuperseded)
	_, err = b.Lookup(t.Context(), uuid.New(), session.ID)
	is(t, err, walkin.ErrNotFound)
	never := uuid.New()
	ok(t, a.DeleteUser(t.Context(), tombstone(never)))
	_, err = b.Lookup(t.Context(), never, session.ID)
	is(t, err, walkin.ErrSuperseded)
}

func persist(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	changed := user
	changed.SeenAt = start.Add(48 * time.Hour)
	later := session
	later.ExpiresAt = start.Add(48 * time.Hour)
	again, err := b.Persist(t.Context(), changed, later)
	ok(t, err)
	if again {
		t.Error("the second Persist says that it created the user")
	}
	got, err := a.Lookup(t.Context(), user.ID, session.ID)
	ok(t, err)
	sameSession(t, got, session) // nothing changed
	same, err := a.User(t.Context(), user.ID)
	ok(t, err)
	sameUser(t, same, user)

	second := session
	second.ID = uuid.New()
	_, err = b.Persist(t.Context(), user, second)
	is(t, err, walkin.ErrSuperseded)
	_, err = a.Lookup(t.Context(), user.ID, second.ID)
	is(t, err, walkin.ErrSuperseded)

	ok(t, a.DeleteSessions(t.Context(), user.ID, uuid.Nil)) // as an upgrade does
	_, err = b.Persist(t.Context(), user, session)
	is(t, err, walkin.ErrSuperseded)
	_, err = a.Lookup(t.Context(), user.ID, session.ID)
	is(t, err, walkin.ErrSuperseded)
}

func persistDeleted(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	ok(t, a.DeleteUser(t.Context(), tombstone(user.ID)))
	_, err := b.Persist(t.Context(), user, session)
	is(t, err, walkin.ErrSuperseded)
	_, err = b.User(t.Context(), user.ID)
	is(t, err, walkin.ErrNotFound)

	never, session := newUser(t)
	ok(t, a.DeleteUser(t.Context(), tombstone(never.ID)))
	_, err = b.Persist(t.Context(), never, session)
	is(t, err, walkin.ErrSuperseded)
	_, err = b.User(t.Context(), never.ID)
	is(t, err, walkin.ErrNotFound)
}

// together runs f n times at once, on both handles in turn.
func together(n int, a, b walkin.Store, f func(i int, s walkin.Store)) {
	var wg sync.WaitGroup
	for i := range n {
		s := a
		if i%2 == 1 {
			s = b
		}
		wg.Go(func() { f(i, s) })
	}
	wg.Wait()
}

func persistParallel(t *testing.T, a, b walkin.Store) {
	user, session := newUser(t)
	var creations atomic.Int32
	together(20, a, b, func(_ int, s walkin.Store) {
		created, err := s.Persist(t.Context(), user, session)
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
	_, err := a.Lookup(t.Context(), user.ID, session.ID)
	ok(t, err)
}

func persistRacesDelete(t *testing.T, a, b walkin.Store) {
	for range 25 {
		user, session := newUser(t)
		together(4, a, b, func(i int, s walkin.Store) {
			var err error
			if i == 3 {
				err = s.DeleteUser(t.Context(), tombstone(user.ID))
			} else {
				_, err = s.Persist(t.Context(), user, session)
			}
			if err != nil && !errors.Is(err, walkin.ErrSuperseded) {
				t.Errorf("got %v", err)
			}
		})
		_, err := a.User(t.Context(), user.ID)
		is(t, err, walkin.ErrNotFound)
		_, err = b.Lookup(t.Context(), user.ID, session.ID)
		is(t, err, walkin.ErrSuperseded)
	}
}

func createUser(t *testing.T, a, b walkin.Store) {
	user, session := newUser(t)
	user.Anonymous = false
	ok(t, a.CreateUser(t.Context(), user))
	got, err := b.User(t.Context(), user.ID)
	ok(t, err)
	sameUser(t, got, user)
	is(t, b.CreateUser(t.Context(), user), walkin.ErrSuperseded)
	_, err = b.Lookup(t.Context(), user.ID, session.ID)
	is(t, err, walkin.ErrSuperseded)
	ok(t, a.DeleteUser(t.Context(), tombstone(user.ID)))
	is(t, b.CreateUser(t.Context(), user), walkin.ErrSuperseded)
}

func setAnonymous(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	for _, anonymous := range []bool{false, false, true} { // to what it is already, too
		ok(t, a.SetAnonymous(t.Context(), user.ID, anonymous))
		user.Anonymous = anonymous
		got, err := b.User(t.Context(), user.ID)
		ok(t, err)
		sameUser(t, got, user)
	}
	_, err := b.Lookup(t.Context(), user.ID, session.ID)
	ok(t, err)
	is(t, a.SetAnonymous(t.Context(), uuid.New(), false), walkin.ErrNotFound)
}

func deleteUser(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "ann")))
	bystander, other := persisted(t, a)
	for range 2 {
		ok(t, b.DeleteUser(t.Context(), tombstone(user.ID)))
		_, err := a.User(t.Context(), user.ID)
		is(t, err, walkin.ErrNotFound)
		_, err = a.Lookup(t.Context(), user.ID, session.ID)
		is(t, err, walkin.ErrSuperseded)
		_, err = a.Identity(t.Context(), "test", "ann")
		is(t, err, walkin.ErrNotFound)
	}
	ok(t, a.CreateIdentity(t.Context(), identityOf(bystander, "ann"))) // free again
	_, err := b.Lookup(t.Context(), bystander.ID, other.ID)
	ok(t, err)
}

func createSession(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	second := session
	second.ID = uuid.New()
	ok(t, b.CreateSession(t.Context(), second))
	for _, id := range []uuid.UUID{session.ID, second.ID} {
		_, err := a.Lookup(t.Context(), user.ID, id)
		ok(t, err)
	}
	is(t, a.CreateSession(t.Context(), second), walkin.ErrSuperseded)
	second.ID, second.UserID = uuid.New(), uuid.New()
	is(t, a.CreateSession(t.Context(), second), walkin.ErrNotFound)
}

func renewSession(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	asked := session
	asked.CreatedAt = start.Add(-time.Hour) // not for a renewal to change
	asked.RenewedAt, asked.ExpiresAt = start.Add(24*time.Hour), start.Add(48*time.Hour)
	ok(t, b.RenewSession(t.Context(), asked))
	ok(t, b.RenewSession(t.Context(), asked)) // the same again
	session.RenewedAt, session.ExpiresAt = asked.RenewedAt, asked.ExpiresAt
	got, err := a.Lookup(t.Context(), user.ID, session.ID)
	ok(t, err)
	sameSession(t, got, session)
	user.SeenAt = asked.RenewedAt
	seen, err := a.User(t.Context(), user.ID)
	ok(t, err)
	sameUser(t, seen, user)

	stranger, _ := persisted(t, a)
	foreign := asked
	foreign.UserID = stranger.ID
	is(t, a.RenewSession(t.Context(), foreign), walkin.ErrSuperseded)
	ok(t, a.DeleteSession(t.Context(), user.ID, session.ID))
	is(t, b.RenewSession(t.Context(), asked), walkin.ErrSuperseded)
	_, err = a.Lookup(t.Context(), user.ID, session.ID)
	is(t, err, walkin.ErrSuperseded)
}

func deleteSessions(t *testing.T, a, b walkin.Store) {
	user, first := persisted(t, a)
	second, third := first, first
	second.ID, third.ID = uuid.New(), uuid.New()
	ok(t, a.CreateSession(t.Context(), second))
	ok(t, a.CreateSession(t.Context(), third))
	bystander, other := persisted(t, a)

	for _, id := range []uuid.UUID{first.ID, other.ID, uuid.New()} {
		ok(t, b.DeleteSession(t.Context(), user.ID, id))
	}
	_, err := a.Lookup(t.Context(), user.ID, first.ID)
	is(t, err, walkin.ErrSuperseded)
	for _, s := range []walkin.Session{second, third, other} {
		_, err := a.Lookup(t.Context(), s.UserID, s.ID)
		ok(t, err)
	}
	ok(t, b.DeleteSessions(t.Context(), user.ID, second.ID))
	_, err = a.Lookup(t.Context(), user.ID, second.ID)
	ok(t, err)
	_, err = a.Lookup(t.Context(), user.ID, third.ID)
	is(t, err, walkin.ErrSuperseded)
	ok(t, b.DeleteSessions(t.Context(), user.ID, uuid.Nil))
	_, err = a.Lookup(t.Context(), user.ID, second.ID)
	is(t, err, walkin.ErrSuperseded)
	_, err = a.Lookup(t.Context(), bystander.ID, other.ID)
	ok(t, err)
	ok(t, b.DeleteSessions(t.Context(), uuid.New(), uuid.Nil))
}

func identityBytes(t *testing.T, a, b walkin.Store) {
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
	_, err := b.Identity(t.Context(), "Test", "ann")
	is(t, err, walkin.ErrNotFound)
}

func secrets(t *testing.T, a, b walkin.Store) {
	user, _ := persisted(t, a)
	all := make([]byte, 64<<10)
	for i := range all {
		all[i] = byte(i)
	}
	for i, secret := range [][]byte{nil, {}, {0}, []byte("\xff\xfe'\"\\"), all} {
		identity := identityOf(user, fmt.Sprint(i))
		identity.Secret = secret
		ok(t, a.CreateIdentity(t.Context(), identity))
		got, err := b.Identity(t.Context(), "test", identity.Subject)
		ok(t, err)
		if !bytes.Equal(got.Secret, secret) {
			t.Errorf("secret %d: got %d bytes, want %d", i, len(got.Secret), len(secret))
		}
	}
	for range 2 {
		ok(t, b.SetSecret(t.Context(), "test", "0", all))
	}
	got, err := a.Identity(t.Context(), "test", "0")
	ok(t, err)
	if !bytes.Equal(got.Secret, all) {
		t.Error("SetSecret: the new secret is not found")
	}
	got.Secret[0] = 99 // ours to change
	if again, err := a.Identity(t.Context(), "test", "0"); err != nil || again.Secret[0] != 0 {
		t.Errorf("a caller's change of the secret is seen by others (%v)", err)
	}
	is(t, a.SetSecret(t.Context(), "test", "nobody", all), walkin.ErrNotFound)
}

func identityParallel(t *testing.T, a, b walkin.Store) {
	var users [20]walkin.User
	for i := range users {
		users[i], _ = persisted(t, a)
	}
	var errs [20]error
	together(len(users), a, b, func(i int, s walkin.Store) {
		errs[i] = s.CreateIdentity(t.Context(), identityOf(users[i], "ann"))
	})
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won < 0:
			won = i
		case err == nil:
			t.Errorf("both %d and %d won", won, i)
		case !errors.Is(err, walkin.ErrIdentityTaken):
			t.Errorf("got %v, want ErrIdentityTaken", err)
		}
	}
	if won < 0 {
		t.Fatal("nobody won")
	}
	got, err := b.Identity(t.Context(), "test", "ann")
	ok(t, err)
	if got.UserID != users[won].ID {
		t.Errorf("got owner %v, want %v", got.UserID, users[won].ID)
	}
}

func identityOfNobody(t *testing.T, a, b walkin.Store) {
	user, _ := newUser(t)
	is(t, a.CreateIdentity(t.Context(), identityOf(user, "ann")), walkin.ErrNotFound)
	_, err := b.Identity(t.Context(), "test", "ann")
	is(t, err, walkin.ErrNotFound)
}

func identities(t *testing.T, a, b walkin.Store) {
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

func deleteIdentity(t *testing.T, a, b walkin.Store) {
	user, _ := persisted(t, a)
	stranger, _ := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "ann")))
	is(t, b.DeleteIdentity(t.Context(), stranger.ID, "test", "ann"), walkin.ErrNotFound)
	_, err := a.Identity(t.Context(), "test", "ann")
	ok(t, err)
	ok(t, b.DeleteIdentity(t.Context(), user.ID, "test", "ann"))
	_, err = a.Identity(t.Context(), "test", "ann")
	is(t, err, walkin.ErrNotFound)
	is(t, b.DeleteIdentity(t.Context(), user.ID, "test", "ann"), walkin.ErrNotFound)
}

var errApp = errors.New("the app says no")

// everything does one of each in a transaction.
func everything(t *testing.T, s walkin.Store, ctx context.Context, user walkin.User, session walkin.Session) {
	t.Helper()
	fresh, freshSession := newUser(t)
	_, err := s.Persist(ctx, fresh, freshSession)
	ok(t, err)
	ok(t, s.SetAnonymous(ctx, user.ID, false))
	ok(t, s.CreateIdentity(ctx, identityOf(user, "new")))
	ok(t, s.SetSecret(ctx, "test", "old", []byte("changed")))
	ok(t, s.DeleteSessions(ctx, user.ID, uuid.Nil))
	session.ID = uuid.New()
	ok(t, s.CreateSession(ctx, session))
	ok(t, s.DeleteUser(ctx, tombstone(uuid.New())))
}

func nothingHappened(t *testing.T, s walkin.Store, user walkin.User, session walkin.Session) {
	t.Helper()
	got, err := s.User(t.Context(), user.ID)
	ok(t, err)
	sameUser(t, got, user)
	live, err := s.Lookup(t.Context(), user.ID, session.ID)
	ok(t, err)
	sameSession(t, live, session)
	_, err = s.Identity(t.Context(), "test", "new")
	is(t, err, walkin.ErrNotFound)
	old, err := s.Identity(t.Context(), "test", "old")
	ok(t, err)
	if string(old.Secret) != "s" {
		t.Errorf("got secret %q, want the old one", old.Secret)
	}
}

func txError(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "old")))
	err := a.InTx(t.Context(), func(ctx context.Context) error {
		everything(t, a, ctx, user, session)
		return errApp
	})
	is(t, err, errApp)
	nothingHappened(t, b, user, session)
	nothingHappened(t, a, user, session)
}

func txPanic(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "old")))
	func() {
		defer func() {
			if p := recover(); p != "a bug" {
				t.Errorf("got panic %v, want the hook's own", p)
			}
		}()
		_ = a.InTx(t.Context(), func(ctx context.Context) error {
			everything(t, a, ctx, user, session)
			panic("a bug")
		})
	}()
	nothingHappened(t, b, user, session)
	nothingHappened(t, a, user, session)
}

func txNested(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "old")))
	err := a.InTx(t.Context(), func(ctx context.Context) error {
		ok(t, a.InTx(ctx, func(ctx context.Context) error {
			everything(t, a, ctx, user, session)
			return nil
		}))
		return errApp
	})
	is(t, err, errApp)
	nothingHappened(t, b, user, session)
}

func txIsolation(t *testing.T, a, b walkin.Store) {
	user, session := newUser(t)
	inside, looked := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(looked)
		<-inside
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		// The other handle sees nothing yet, or has to wait.
		if _, err := b.Lookup(ctx, user.ID, session.ID); !errors.Is(err, walkin.ErrNotFound) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrNotFound before the commit", err)
		}
	})
	ok(t, a.InTx(t.Context(), func(ctx context.Context) error {
		_, err := a.Persist(ctx, user, session)
		ok(t, err)
		if _, err := a.Lookup(ctx, user.ID, session.ID); err != nil {
			t.Errorf("the transaction does not see its own row: %v", err)
		}
		close(inside)
		<-looked
		return nil
	}))
	wg.Wait()
	_, err := b.Lookup(t.Context(), user.ID, session.ID)
	ok(t, err)
}

func txCancelled(t *testing.T, a, b walkin.Store) {
	user, session := persisted(t, a)
	ok(t, a.CreateIdentity(t.Context(), identityOf(user, "old")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := a.InTx(ctx, func(ctx context.Context) error {
		everything(t, a, ctx, user, session)
		cancel()
		return nil
	})
	is(t, err, context.Canceled)
	nothingHappened(t, b, user, session)
	nothingHappened(t, a, user, session)
	persisted(t, a) // the handle goes on
}

func cancelled(t *testing.T, a, b walkin.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	user, session := newUser(t)
	_, err := a.Persist(ctx, user, session)
	is(t, err, context.Canceled)
	_, err = a.Lookup(ctx, user.ID, session.ID)
	is(t, err, context.Canceled)
	_, err = b.Lookup(t.Context(), user.ID, session.ID)
	is(t, err, walkin.ErrNotFound)
}

func txLock(t *testing.T, a, b walkin.Store) {
	user, _ := persisted(t, a)
	// Each turns the flag around, by what it read. With a lost update the flag
	// would not be what an even number of turns leaves.
	together(20, a, b, func(_ int, s walkin.Store) {
		err := s.InTx(t.Context(), func(ctx context.Context) error {
			got, err := s.User(ctx, user.ID)
			if err != nil {
				return err
			}
			identities, err := s.Identities(ctx, user.ID)
			if err != nil {
				return err
			}
			if (len(identities)%2 == 0) != got.Anonymous {
				t.Errorf("flag %t with %d identities: somebody else was inside", got.Anonymous, len(identities))
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
