package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// Every case holds one rule of the comments on store.Store, over two handles
// of one database.

type contractCase struct {
	rule string
	run  func(t *testing.T, a, b store.Store)
}

var contract = []contractCase{
	{"what was created is found, on both handles, times to the microsecond", created},
	{"times come back in UTC, whatever zone and year, and are compared with no clock", times},
	{"LookupSession tells alive, ended and never heard of apart", lookup},
	{"of many who look up at once, each gets the answer that is theirs", lookupTogether},
	{"a look-up whose context ends takes no other along", lookupCancelled},
	{"LookupSession tells what kind of user the session is of, as the user is now", lookupKind},
	{"CreateAnonymous is idempotent and never opens a second session", persist},
	{"CreateAnonymous of a deleted user is ErrSessionEnded", persistDeleted},
	{"twenty parallel CreateAnonymous of one visitor are one row", persistParallel},
	{"a CreateAnonymous that races a DeleteUser never brings the user back", persistRacesDelete},
	{"who is buried only if they are not there, is either buried or there", buryRaces},
	{"a user who is stored while they are deleted is deleted", deleteWaits},
	{"a CreateAnonymous with a session ID that is taken makes no user", persistTaken},
	{"what is written to a user while they are deleted is gone with them, and no call fails", deleteRaces},
	{"CreateUser of a taken or deleted ID is ErrSessionEnded", createUser},
	{"SetAnonymous changes the flag alone", setAnonymous},
	{"DeleteUser takes sessions and identities along, twice is fine", deleteUser},
	{"CreateSession needs its user and a free ID", createSession},
	{"RenewSession moves two times and SeenAt, and revives nothing", renewSession},
	{"UserSessions returns all of a user's own, expired ones too, and what a transaction did", sessions},
	{"DeleteSession ends one, DeleteSessions all but one, of that user only", deleteSessions},
	{"an identity is compared byte for byte", identityBytes},
	{"a provider and a subject are kept whole or refused, never cut", names},
	{"a secret is any bytes up to 64 KB", secrets},
	{"of twenty claims of one identity, one succeeds", identityParallel},
	{"an identity that its own user claims again is ErrIdentityTaken", identityTwice},
	{"two who claim two identities crosswise: one has both, the other has none", identityCrosswise},
	{"CreateIdentity of a missing user is ErrNotFound", identityOfNobody},
	{"Identities come oldest first, none is no error", identities},
	{"DeleteIdentity removes the user's own only", deleteIdentity},
	{"a ticket comes back as it was put, once", ticketOnce},
	{"a ticket that is put again is the new one", ticketReplaced},
	{"a ticket is added unless there is one that has not expired", ticketAdded},
	{"a ticket takes as many tries as it has", ticketTries},
	{"an expired ticket is not there, by the caller's clock", ticketExpired},
	{"a ticket is kept whole or refused, and its key compared byte for byte", ticketNames},
	{"a ticket goes with its user, or to the user they are merged into", ticketOfUser},
	{"of twenty who take a ticket, one has it", ticketTaken},
	{"of twenty who add a ticket, one does", ticketFirst},
	{"of twenty who put a ticket, the last one's is there", ticketLast},
	{"a hundred parallel tries spend no more than there are", ticketGuesses},
	{"what a transaction did to tickets is undone with it", ticketTx},
	{"InTx undoes everything on an error", txError},
	{"InTx undoes everything on a panic, and passes it on", txPanic},
	{"InTx inside InTx is the same transaction", txNested},
	{"what is refused leaves nothing behind in a transaction that goes on", txRefused},
	{"the context of a transaction that has ended does nothing", txEnded},
	{"what a transaction did is seen by no one else before it commits", txIsolation},
	{"a context that ends in the middle of a transaction undoes it", txCancelled},
	{"a wait for another transaction ends with the context", txWait},
	{"each method with a context that has ended returns its error at once, and does nothing", ended},
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

func newUser(t *testing.T) (store.User, store.Session) {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return store.User{ID: id, Anonymous: true, CreatedAt: start, SeenAt: start.Add(time.Second)},
		store.Session{ID: uuid.New(), UserID: id, CreatedAt: start, RenewedAt: start.Add(time.Minute), ExpiresAt: start.Add(time.Hour)}
}

// persisted returns a user who is there with a session.
func persisted(t *testing.T, s store.Store) (store.User, store.Session) {
	t.Helper()
	user, session := newUser(t)
	_, err := s.CreateAnonymous(t.Context(), user, session)
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

func sameSession(t *testing.T, got, want store.Session) {
	t.Helper()
	if got.ID != want.ID || got.UserID != want.UserID {
		t.Errorf("got session %v of %v, want %v of %v", got.ID, got.UserID, want.ID, want.UserID)
	}
	sameTime(t, "CreatedAt", got.CreatedAt, want.CreatedAt)
	sameTime(t, "RenewedAt", got.RenewedAt, want.RenewedAt)
	sameTime(t, "ExpiresAt", got.ExpiresAt, want.ExpiresAt)
}

func sameUser(t *testing.T, got, want store.User) {
	t.Helper()
	if got.ID != want.ID || got.Anonymous != want.Anonymous {
		t.Errorf("got user %v anonymous=%t, want %v anonymous=%t", got.ID, got.Anonymous, want.ID, want.Anonymous)
	}
	sameTime(t, "CreatedAt", got.CreatedAt, want.CreatedAt)
	sameTime(t, "SeenAt", got.SeenAt, want.SeenAt)
}

func identityOf(user store.User, subject string) store.Identity {
	return store.Identity{Provider: "test", Subject: subject, UserID: user.ID, Secret: []byte("s"), CreatedAt: start}
}

func tombstone(id uuid.UUID) store.Tombstone {
	return store.Tombstone{UserID: id, DeletedAt: start, ExpiresAt: start.Add(time.Hour)}
}

// together runs f n times at once, on both handles in turn.
func together(n int, a, b store.Store, f func(i int, s store.Store)) {
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
