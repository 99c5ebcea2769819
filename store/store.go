// Package store is the contract between walkin and what keeps its users: the interface
// [Store], the types of what is stored, the errors that a store returns, and the abilities
// that it may have besides. It imports nothing of walkin's. Packages memstore, sqlstore,
// pgxstore and redisstore implement it or a part of it; storetest tests one.
//
// A store needs the methods of [Store] to serve visitors. With those of a [SweepStore]
// it can be swept, with those of a [DatabaseStore] a restored or wrong database is found
// out, a [Clock] finds clocks that differ, a [Directory] lists, counts and bans users,
// and a [FeedStore] tells other replicas what ended.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// A Store keeps users, their identities and their sessions. It is the only part of
// walkin that keeps state, and the only one that an app's replicas share. So everything
// that must happen once, or whole, or never again, is a promise of the store.
//
// # Words
//
// A user is anonymous until an identity is attached to them. A session is one browser's
// state; it belongs to one user and is deleted with them. A tombstone records that a
// user ID was deleted, so that an old token cannot bring the user back. A ticket is a
// record that can be used once.
//
// # Transactions
//
// Every method may be called on its own, and inside [Store.InTx] with the
// context that the function got; then it is part of that transaction. Methods
// called with any other context are not.
//
// # Rules for all methods
//
// The context bounds the call: when it ends, so does the wait, and the error wraps the
// context's. Times are the caller's. No method compares one with a clock of the store's
// own, since the clocks of two machines differ; the store only reports its clock, see
// [Clock], so that walkin can see whether they do. A store may round times to the
// microsecond and returns them in UTC. Names are UTF-8 without NUL. Calls that use the
// context of a finished transaction do nothing and return an error.
//
// An error is one of the sentinels of this package, or wraps one and the driver's
// error. A store distinguishes an error of the app, [ErrConstraint], from a database
// that does not answer, [ErrUnavailable]. That includes errors that a function in InTx
// got from the same database by itself and returned. Any other error of a store counts
// as ErrUnavailable; any other error of such a function is returned as it is.
//
// All methods may be called concurrently, also from several processes over one
// database.
//
// The package storetest holds every rule of this page as a test.
type Store interface {
	// InTx runs fn in one transaction: all that fn does through the context it is given
	// happens, or nothing does. When fn returns an error or panics, everything is
	// rolled back and the caller gets the error or panic. If ctx already carries a
	// transaction of this store, InTx joins it and does not nest.
	//
	// A database may ask for a transaction to be tried again (a
	// serialisation failure, a deadlock). The store does so by itself, a
	// bounded number of times, so fn may run more than once and must leave
	// nothing behind but what it does through its context.
	InTx(ctx context.Context, fn func(ctx context.Context) error) error

	// LookupSession returns a session if it is alive, in one query by primary key, on the
	// primary: a replica that lags would sign users out.
	//
	// It returns the session when it belongs to the user, ErrSessionEnded when the user
	// is known without it or was deleted, and ErrNotFound when the user was never
	// stored. It reports what is stored, also sessions that have expired. Those that
	// EndSessionsBefore of a [DatabaseStore] has ended are ErrSessionEnded. The session
	// says whether its user is anonymous.
	LookupSession(ctx context.Context, userID, sessionID uuid.UUID) (Session, error)

	// CreateAnonymous creates an anonymous user and their first session together. It is
	// idempotent: when both are there already, as when two replicas do the same, it
	// changes nothing, and created is false. When the user is there without this
	// session, or was deleted, it changes nothing and returns ErrSessionEnded: an old
	// token never opens a new session.
	CreateAnonymous(ctx context.Context, user User, session Session) (created bool, err error)

	// CreateUser creates a user without a session. If the user ID is taken or was
	// deleted, the error is ErrSessionEnded.
	CreateUser(ctx context.Context, user User) error

	// LockUser returns a user, or ErrNotFound. Inside InTx it locks the user until the
	// transaction ends: of two transactions that ask for one user, the second waits,
	// and then sees what the first did.
	LockUser(ctx context.Context, id uuid.UUID) (User, error)

	// SetAnonymous sets whether a user is anonymous: false once they have an identity.
	// A user who does not exist is ErrNotFound.
	SetAnonymous(ctx context.Context, id uuid.UUID, anonymous bool) error

	// DeleteUser deletes a user with their sessions and identities, and leaves the
	// tombstone. A user who was never stored, as the holder of a provisional token,
	// gets the tombstone all the same. Deleting twice is not an error; the first
	// tombstone stays.
	DeleteUser(ctx context.Context, tombstone Tombstone) error

	// UserSessions returns a user's sessions, in any order. It includes those that have
	// expired, but not those that EndSessionsBefore of a [DatabaseStore] has ended. No
	// sessions is not an error.
	UserSessions(ctx context.Context, userID uuid.UUID) ([]Session, error)

	// CreateSession adds a session to a user. A user who does not exist is ErrNotFound;
	// a session ID that is taken is ErrSessionEnded.
	CreateSession(ctx context.Context, session Session) error

	// RenewSession moves a session's RenewedAt and ExpiresAt and its user's SeenAt, and
	// nothing else. A session that does not exist, or is another user's, is
	// ErrSessionEnded: a renewal never revives a session that has ended.
	RenewSession(ctx context.Context, session Session) error

	// DeleteSession ends a session of a user. It ignores one that does not exist, or is
	// another user's.
	DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error

	// DeleteSessions ends all sessions of a user except one; with uuid.Nil, all.
	DeleteSessions(ctx context.Context, userID, except uuid.UUID) error

	// Identity returns the identity of a provider and subject, compared byte
	// for byte, or ErrNotFound.
	Identity(ctx context.Context, provider, subject string) (Identity, error)

	// Identities returns a user's identities, oldest first. No identities is not an
	// error.
	Identities(ctx context.Context, userID uuid.UUID) ([]Identity, error)

	// CreateIdentity attaches an identity to a user. Of any number of calls for one
	// provider and subject, on any number of replicas, one succeeds and the others get
	// ErrIdentityTaken, also for the same user. A user who does not exist is
	// ErrNotFound.
	CreateIdentity(ctx context.Context, identity Identity) error

	// SetSecret replaces the secret of an identity, or returns ErrNotFound.
	SetSecret(ctx context.Context, provider, subject string, secret []byte) error

	// DeleteIdentity removes an identity of a user. One that does not exist, or is
	// another user's, is ErrNotFound. The store does not check whether it is the last
	// one.
	DeleteIdentity(ctx context.Context, userID uuid.UUID, provider, subject string) error

	// PutTicket stores a ticket and replaces one with the same key.
	PutTicket(ctx context.Context, ticket Ticket) error

	// AddTicket stores a ticket unless there is one with the same key that has not
	// expired at now; added reports whether it did. Of any number of calls for one key,
	// exactly one adds it.
	AddTicket(ctx context.Context, ticket Ticket, now time.Time) (added bool, err error)

	// Ticket returns a ticket, or ErrNotFound for one that does not exist or has
	// expired at now.
	Ticket(ctx context.Context, key string, now time.Time) (Ticket, error)

	// TryTicket spends one of a ticket's tries and returns the ticket with those that
	// are left. Of any number of calls, as many succeed as the ticket has tries. All
	// others get ErrNotFound, and so do those for a ticket that does not exist or has
	// expired at now. A try that is spent inside InTx is restored by a rollback, so
	// spend it outside.
	TryTicket(ctx context.Context, key string, now time.Time) (Ticket, error)

	// TakeTicket deletes a ticket and returns it. Of any number of calls one gets it.
	// All others get ErrNotFound, and so do those for a ticket that does not exist or
	// has expired at now.
	TakeTicket(ctx context.Context, key string, now time.Time) (Ticket, error)
}

// A User is a stored user, anonymous or permanent.
type User struct {
	ID        uuid.UUID // a UUIDv7: it sorts by, and shows, when it was minted
	Anonymous bool      // no identity yet
	CreatedAt time.Time
	SeenAt    time.Time // last creation or renewal of a session, so right to about a day
	Ban       Ban       // zero for nearly all; SetBan of a [Directory] alone writes it
}

// A Session is one browser's state. A token lives as long as its session.
type Session struct {
	ID        uuid.UUID // random
	UserID    uuid.UUID
	CreatedAt time.Time
	RenewedAt time.Time // when its token was last re-issued
	ExpiresAt time.Time

	// Anonymous is that of the user, in what LookupSession returns. It is not stored with the
	// session; nothing else sets or reads it.
	Anonymous bool

	// BannedUntil is the end of the user's ban. As Anonymous, only LookupSession sets it.
	BannedUntil time.Time
}

// An Identity is a proven way to recognise a user: the pair of provider and
// subject is unique.
type Identity struct {
	Provider  string // "password", "email", an OIDC issuer; at most 255 bytes of UTF-8, no NUL
	Subject   string // unique at the provider; the same, compared byte for byte
	UserID    uuid.UUID
	Secret    []byte // the credential's own, such as a password hash; may be empty; at most 64 KB
	CreatedAt time.Time
}

// FactorProvider is the provider of identities that hold a user's second factor. They
// prove nothing by themselves: walkin.Middleware.Continue refuses a proof of one,
// walkin.Middleware.Unlink removes none, and one is not the sign-in method that a user
// must keep.
const FactorProvider = "totp"

// A Tombstone remembers a deleted user for as long as a token of theirs could
// still be presented.
type Tombstone struct {
	UserID     uuid.UUID
	MergedInto uuid.UUID // the user who took over, or uuid.Nil
	DeletedAt  time.Time
	ExpiresAt  time.Time // from then on the store may delete it
}

// A Ticket is a single-use record that expires by itself: a code that was sent, with
// the guesses it allows; the state of an OAuth login flow; a form kept at a guard. Bind
// it to a session by its key or its data: a ticket outlives its session and its user,
// and must then be of no use.
type Ticket struct {
	Key       string // 1 to 255 bytes of UTF-8, no NUL, compared byte for byte; never a secret as it is
	Data      []byte // at most 128 KB
	Tries     int    // for TryTicket; at most 1,000
	ExpiresAt time.Time

	// UserID is the user whose data it is: DeleteUser deletes it with them, or gives
	// it to the user they are merged into. They need not be stored. Zero is a ticket
	// of no user.
	UserID uuid.UUID
}

// What a Store answers besides success.
var (
	// ErrNotFound: there is no such user, identity or ticket.
	ErrNotFound = errors.New("walkin: not found")

	// ErrSessionEnded: the session has ended, its user was deleted, or the user goes on
	// under another session.
	ErrSessionEnded = errors.New("walkin: session ended")

	// ErrIdentityTaken: the identity has an owner.
	ErrIdentityTaken = errors.New("walkin: identity taken")

	// ErrConstraint: the data breaks a rule, such as a foreign key of one of the app's
	// tables, a trigger, or the size of a secret. Trying again does not help.
	// walkin answers 500 and reports it.
	ErrConstraint = errors.New("walkin: constraint violated")

	// ErrUnavailable: the store could not be reached, did not answer in time, or the
	// connection broke. Trying again may help. walkin answers 503 with Retry-After.
	ErrUnavailable = errors.New("walkin: store unavailable")
)
