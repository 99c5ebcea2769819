package walkin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

const (
	// storeTimeout is for one call of a store, and for what a store does around
	// the function of a transaction: one that hangs is one that is down.
	storeTimeout = 3 * time.Second

	// txTimeout is for a transaction with the app's hooks in it.
	txTimeout = 10 * time.Second

	// sweepTimeout is for either of a sweep, for which no visitor waits.
	sweepTimeout = time.Minute
)

// boundedStore returns a store whose calls have a time limit: 3 seconds each, and 10 for a
// transaction, hooks included. Its errors are ones that [Middleware.Refuse] answers
// correctly: the sentinels for a miss and for a conflict, and otherwise a *[Refusal].
// That is 503 when the store did not answer, and 500 when the request breaks a rule of
// the app's own tables. What a function in InTx returns is passed on, unless the store
// says that it is one of these.
//
// New does this to Config.Store, also where that is the store of another Middleware. It
// has no more methods than [store.Store].
func boundedStore(store store.Store) store.Store {
	if _, ok := store.(bounded); ok {
		return store
	}
	return bounded{inner: store}
}

type bounded struct {
	inner store.Store
	feed  *feed // of New's: counts whose sessions may have ended; nil: no one does
}

// ability returns the store under a bounded one, where it can do something more.
func ability[T any](store store.Store) (T, bool) {
	if b, ok := store.(bounded); ok {
		store = b.inner
	}
	able, ok := store.(T)
	return able, ok
}

type unhurriedKey struct{}

// unhurried is for what runs in the background.
func unhurried(ctx context.Context) context.Context {
	return context.WithValue(ctx, unhurriedKey{}, true)
}

// within returns a bound, or the one of what runs in the background.
func within(ctx context.Context, bound time.Duration) time.Duration {
	if ctx.Value(unhurriedKey{}) != nil {
		return sweepTimeout
	}
	return bound
}

// answered returns an error of a store as boundedStore says.
func answered(err error) error {
	if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrSessionEnded) || errors.Is(err, store.ErrIdentityTaken) {
		return err
	}
	return storeFailed(err)
}

var errStuck = fmt.Errorf("walkin: the store did not begin or end a transaction in time: %w", context.DeadlineExceeded)

func (b bounded) InTx(ctx context.Context, fn func(context.Context) error) error {
	ctx, done := b.gather(ctx)
	defer done() // before the answer, also after a panic
	ctx, cancel := context.WithTimeout(ctx, within(ctx, txTimeout))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// While fn runs its calls have bounds of their own; before and behind it, the
	// store is on its own.
	most := within(ctx, storeTimeout)
	stuck := time.AfterFunc(most, func() { stop(errStuck) })
	defer stuck.Stop()
	failed := false // fn did, the last time it ran
	err := b.inner.InTx(ctx, func(ctx context.Context) error {
		stuck.Stop()
		err := fn(ctx)
		failed = err != nil
		stuck.Reset(most)
		return err
	})
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errStuck) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	switch {
	case !failed:
		return answered(err)
	case errors.Is(err, store.ErrConstraint), errors.Is(err, store.ErrUnavailable):
		return storeFailed(err)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return storeFailed(err) // it waited until the bound, or the visitor left
	}
	return err
}

func bound[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, within(ctx, storeTimeout))
	defer cancel()
	v, err := call(ctx)
	return v, answered(err)
}

func boundErr(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within(ctx, storeTimeout))
	defer cancel()
	return answered(call(ctx))
}

func (b bounded) LookupSession(ctx context.Context, userID, sessionID uuid.UUID) (store.Session, error) {
	return bound(ctx, func(ctx context.Context) (store.Session, error) { return b.inner.LookupSession(ctx, userID, sessionID) })
}

func (b bounded) CreateAnonymous(ctx context.Context, user store.User, session store.Session) (created bool, err error) {
	return bound(ctx, func(ctx context.Context) (bool, error) { return b.inner.CreateAnonymous(ctx, user, session) })
}

func (b bounded) CreateUser(ctx context.Context, user store.User) error {
	return boundErr(ctx, func(ctx context.Context) error { return b.inner.CreateUser(ctx, user) })
}

func (b bounded) LockUser(ctx context.Context, id uuid.UUID) (store.User, error) {
	return bound(ctx, func(ctx context.Context) (store.User, error) { return b.inner.LockUser(ctx, id) })
}

func (b bounded) SetAnonymous(ctx context.Context, id uuid.UUID, anonymous bool) error {
	defer b.change(ctx, id)
	return boundErr(ctx, func(ctx context.Context) error { return b.inner.SetAnonymous(ctx, id, anonymous) })
}

func (b bounded) DeleteUser(ctx context.Context, tombstone store.Tombstone) error {
	defer b.change(ctx, tombstone.UserID)
	return boundErr(ctx, func(ctx context.Context) error { return b.inner.DeleteUser(ctx, tombstone) })
}

func (b bounded) UserSessions(ctx context.Context, userID uuid.UUID) ([]store.Session, error) {
	return bound(ctx, func(ctx context.Context) ([]store.Session, error) { return b.inner.UserSessions(ctx, userID) })
}

func (b bounded) CreateSession(ctx context.Context, session store.Session) error {
	return boundErr(ctx, func(ctx context.Context) error { return b.inner.CreateSession(ctx, session) })
}

func (b bounded) RenewSession(ctx context.Context, session store.Session) error {
	return boundErr(ctx, func(ctx context.Context) error { return b.inner.RenewSession(ctx, session) })
}

func (b bounded) DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error {
	defer b.change(ctx, userID)
	return boundErr(ctx, func(ctx context.Context) error { return b.inner.DeleteSession(ctx, userID, sessionID) })
}

func (b bounded) DeleteSessions(ctx context.Context, userID, except uuid.UUID) error {
	defer b.change(ctx, userID)
	return boundErr(ctx, func(ctx context.Context) error { return b.inner.DeleteSessions(ctx, userID, except) })
}

func (b bounded) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	return bound(ctx, func(ctx context.Context) (store.Identity, error) { return b.inner.Identity(ctx, provider, subject) })
}

func (b bounded) Identities(ctx context.Context, userID uuid.UUID) ([]store.Identity, error) {
	return bound(ctx, func(ctx context.Context) ([]store.Identity, error) { return b.inner.Identities(ctx, userID) })
}

func (b bounded) CreateIdentity(ctx context.Context, identity store.Identity) error {
	return boundErr(ctx, func(ctx context.Context) error { return b.inner.CreateIdentity(ctx, identity) })
}

func (b bounded) SetSecret(ctx context.Context, provider, subject string, secret []byte) error {
	return boundErr(ctx, func(ctx context.Context) error { return b.inner.SetSecret(ctx, provider, subject, secret) })
}

func (b bounded) DeleteIdentity(ctx context.Context, userID uuid.UUID, provider, subject string) error {
	return boundErr(ctx, func(ctx context.Context) error { return b.inner.DeleteIdentity(ctx, userID, provider, subject) })
}

func (b bounded) PutTicket(ctx context.Context, ticket store.Ticket) error {
	return boundErr(ctx, func(ctx context.Context) error { return b.inner.PutTicket(ctx, ticket) })
}

func (b bounded) AddTicket(ctx context.Context, ticket store.Ticket, now time.Time) (added bool, err error) {
	return bound(ctx, func(ctx context.Context) (bool, error) { return b.inner.AddTicket(ctx, ticket, now) })
}

func (b bounded) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	return bound(ctx, func(ctx context.Context) (store.Ticket, error) { return b.inner.Ticket(ctx, key, now) })
}

func (b bounded) TryTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	return bound(ctx, func(ctx context.Context) (store.Ticket, error) { return b.inner.TryTicket(ctx, key, now) })
}

func (b bounded) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	return bound(ctx, func(ctx context.Context) (store.Ticket, error) { return b.inner.TakeTicket(ctx, key, now) })
}

// changes are the users that a transaction changes, through the store of Config.
type changes struct {
	mu    sync.Mutex
	users []uuid.UUID
}

type changesKey struct{ *feed }

// change counts a change of a user: at the end of the transaction of ctx, or now. Also
// where the store answered an error, since it may have committed.
func (b bounded) change(ctx context.Context, user uuid.UUID) {
	if b.feed == nil {
		return
	}
	if c, ok := ctx.Value(changesKey{b.feed}).(*changes); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.users = append(c.users, user)
		return
	}
	b.feed.changed(user)
}

// gather returns a context for a transaction, and what is to be called when it is over.
func (b bounded) gather(ctx context.Context) (context.Context, func()) {
	if b.feed == nil || ctx.Value(changesKey{b.feed}) != nil {
		return ctx, func() {}
	}
	c := &changes{}
	return context.WithValue(ctx, changesKey{b.feed}, c), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, user := range c.users {
			b.feed.changed(user)
		}
	}
}
