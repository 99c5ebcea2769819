package walkin

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// A Store keeps users, their identities and their sessions. It is the only
// part of walkin that remembers anything, and the only one that replicas of an
// app share: everything that must happen once, or whole, or never again, is a
// promise of the store.
//
// # Words
//
// A user is anonymous until an identity is attached to them. A session is one
// browser's state; it belongs to one user and dies with them. A tombstone
// remembers that a user ID was deleted, so that a token which is still out
// there cannot bring the user back. A ticket is a record that can be used once.
//
// # Transactions
//
// Every method may be called on its own, and inside [Store.InTx] with the
// context that the function got; then it is part of that transaction. Methods
// called with any other context are not.
//
// # Rules for all methods
//
// The context bounds the call: when it ends, so does the wait, and the error
// wraps the context's. Times are the caller's, and no method compares one with a
// clock of the store's own, since the clocks of two machines differ; that clock is
// only told, see [Clock], so that walkin can see whether they do. A store may round
// times to the microsecond and returns them in UTC. Names are UTF-8 without NUL.
// What is called with the context of a transaction that has ended does nothing
// and fails.
//
// An error is one of the sentinels of this package, or wraps one and the driver's
// error: a store tells the app's mistake, [ErrConstraint], from a database that does
// not answer, [ErrUnavailable]. That includes errors which a function in InTx got
// from the same database by itself and returned. Any other error of a store is taken
// for ErrUnavailable, and any other error of such a function is returned as it is.
//
// All methods may be called concurrently, also from several processes over one
// database.
//
// The package storetest holds every rule of this page as a test.
type Store interface {
	// InTx runs fn in one transaction: all that fn does through the
	// context it is given happens, or nothing does. When fn returns an
	// error or panics, everything is undone and the error or panic is the
	// caller's. A transaction of this store that is already in ctx is
	// joined, not nested.
	//
	// A database may ask for a transaction to be tried again (a
	// serialisation failure, a deadlock). The store does so by itself, a
	// bounded number of times, so fn may run more than once and must leave
	// nothing behind but what it does through its context.
	InTx(ctx context.Context, fn func(ctx context.Context) error) error

	// Lookup tells whether a session is alive, in one query by primary key,
	// on the primary: a replica that lags would sign people out.
	//
	// It returns the session when it belongs to the user, ErrSuperseded when
	// the user is known without it or was deleted, and ErrNotFound when the
	// store has never heard of the user. It reports what is stored, also
	// sessions that have expired, but for those that EndSessionsBefore of a
	// [DatabaseStore] has ended, which are ErrSuperseded. The session says
	// whether its user is anonymous.
	Lookup(ctx context.Context, userID, sessionID uuid.UUID) (Session, error)

	// Persist creates an anonymous user and their first session together.
	// It is idempotent: when the user and the session are there already, as
	// when two replicas do the same, it changes nothing, and created is
	// false. When the user is there without this session, or was deleted,
	// it changes nothing and returns ErrSuperseded: an old token never
	// opens a new session.
	Persist(ctx context.Context, user User, session Session) (created bool, err error)

	// CreateUser creates a user who has no session yet. A user ID that is
	// taken or was deleted is ErrSuperseded.
	CreateUser(ctx context.Context, user User) error

	// User returns a user, or ErrNotFound. Inside InTx the user is locked
	// until the transaction ends: of two transactions that ask for one
	// user, the second waits, and then sees what the first did.
	User(ctx context.Context, id uuid.UUID) (User, error)

	// SetAnonymous says whether a user is anonymous: false once they have an
	// identity. A user who is not there is ErrNotFound.
	SetAnonymous(ctx context.Context, id uuid.UUID, anonymous bool) error

	// DeleteUser deletes a user with their sessions and identities, and
	// leaves the tombstone. A user who was never stored, as the holder of a
	// provisional token is, gets the tombstone all the same. Deleting twice
	// is not an error; the first tombstone stays.
	DeleteUser(ctx context.Context, tombstone Tombstone) error

	// UserSessions returns a user's sessions, in any order, also those that have
	// expired, but not those that EndSessionsBefore of a [DatabaseStore] has ended;
	// none is no error.
	UserSessions(ctx context.Context, userID uuid.UUID) ([]Session, error)

	// CreateSession adds a session to a user. A user who is not there is
	// ErrNotFound; a session ID that is taken is ErrSuperseded.
	CreateSession(ctx context.Context, session Session) error

	// RenewSession moves a session's RenewedAt and ExpiresAt and its user's
	// SeenAt, and nothing else. A session that is not there, or is another
	// user's, is ErrSuperseded: a renewal never revives what has ended.
	RenewSession(ctx context.Context, session Session) error

	// DeleteSession ends a session of a user. One that is not there, or is
	// another user's, is passed over.
	DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error

	// DeleteSessions ends all sessions of a user but one; with uuid.Nil, all.
	DeleteSessions(ctx context.Context, userID, except uuid.UUID) error

	// Identity returns the identity of a provider and subject, compared byte
	// for byte, or ErrNotFound.
	Identity(ctx context.Context, provider, subject string) (Identity, error)

	// Identities returns a user's identities, oldest first; none is no
	// error.
	Identities(ctx context.Context, userID uuid.UUID) ([]Identity, error)

	// CreateIdentity attaches an identity to a user. Of any number of calls
	// for one provider and subject, on any number of replicas, one
	// succeeds and the others get ErrIdentityTaken, also of the same user. A
	// user who is not there is ErrNotFound.
	CreateIdentity(ctx context.Context, identity Identity) error

	// SetSecret replaces the secret of an identity, or returns ErrNotFound.
	SetSecret(ctx context.Context, provider, subject string, secret []byte) error

	// DeleteIdentity removes an identity of a user. One that is not there,
	// or is another user's, is ErrNotFound. That the last one stays is not
	// the store's to know.
	DeleteIdentity(ctx context.Context, userID uuid.UUID, provider, subject string) error

	// PutTicket keeps a ticket, in place of the one with the same key if there
	// is one.
	PutTicket(ctx context.Context, ticket Ticket) error

	// AddTicket keeps a ticket unless there is one with the same key that has
	// not expired at now; added reports whether it did. Of any number of calls
	// for one key, exactly one adds it.
	AddTicket(ctx context.Context, ticket Ticket, now time.Time) (added bool, err error)

	// Ticket returns a ticket, or ErrNotFound for one that is not there or has
	// expired at now.
	Ticket(ctx context.Context, key string, now time.Time) (Ticket, error)

	// TryTicket spends one of a ticket's tries and returns it with those that
	// are left. Of any number of calls, as many succeed as the ticket has
	// tries; all others, and those for a ticket that is not there or has
	// expired at now, get ErrNotFound. A try that is spent inside InTx comes
	// back when that is undone, so spend it outside.
	TryTicket(ctx context.Context, key string, now time.Time) (Ticket, error)

	// TakeTicket deletes a ticket and returns it: of any number of calls one
	// gets it, all others, and those for a ticket that is not there or has
	// expired at now, get ErrNotFound.
	TakeTicket(ctx context.Context, key string, now time.Time) (Ticket, error)
}

// A User is one row per user, anonymous or permanent.
type User struct {
	ID        uuid.UUID // a UUIDv7: its order, and whoever sees it, tell when it was minted
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
	RenewedAt time.Time // when its token was last issued anew
	ExpiresAt time.Time

	// Anonymous is that of the user, in what Lookup returns. It is not stored
	// with the session, and nothing else sets or reads it.
	Anonymous bool

	// BannedUntil is the end of the user's ban, in what Lookup returns; as Anonymous.
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

// A Tombstone remembers a deleted user for as long as a token of theirs could
// still be presented.
type Tombstone struct {
	UserID     uuid.UUID
	MergedInto uuid.UUID // the user who took over, or uuid.Nil
	DeletedAt  time.Time
	ExpiresAt  time.Time // from then on the store may forget it
}

// A Ticket is a record for single use that expires by itself: a code that was
// sent, with the guesses it takes; the state of an OAuth round trip; a form kept
// at a guard. Whoever puts one binds it to a session by its key or its data: it
// outlives its session and its user, and is then of use to nobody.
type Ticket struct {
	Key       string // 1 to 255 bytes of UTF-8, no NUL, compared byte for byte; never a secret as it is
	Data      []byte // at most 128 KB
	Tries     int    // for TryTicket; at most 1,000
	ExpiresAt time.Time
}

// What a Store answers besides success.
var (
	// ErrNotFound: there is no such user, identity or ticket.
	ErrNotFound = errors.New("walkin: not found")

	// ErrSuperseded: the session has ended, or the user it belongs to is
	// gone, or goes on under another session.
	ErrSuperseded = errors.New("walkin: session superseded")

	// ErrIdentityTaken: the identity has an owner.
	ErrIdentityTaken = errors.New("walkin: identity taken")

	// ErrConstraint: what was to be stored breaks a rule, such as a foreign key
	// of one of the app's tables, a trigger, or the size of a secret. Trying
	// again does not help. [Middleware.Refuse] answers 500 and reports it.
	ErrConstraint = errors.New("walkin: constraint violated")

	// ErrUnavailable: the store could not be asked or did not answer in time, or
	// the connection broke. Trying again may help. [Middleware.Refuse] answers
	// 503 with Retry-After.
	ErrUnavailable = errors.New("walkin: store unavailable")
)
