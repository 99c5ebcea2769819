// Package faulty lets tests fail each call of a store in its turn.
package faulty

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// ErrDown is what a call fails with.
var ErrDown = errors.New("the store is down")

// A Store is a store of which one call can fail. It has no more methods than
// [store.Store].
type Store struct {
	store.Store

	mu    sync.Mutex
	nth   int // the call that fails, of those since it was set
	steps []string
}

// fail makes the nth call from now fail, none if it is 0, and returns the calls before.
func (s *Store) fail(nth int) (steps []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	steps, s.nth, s.steps = s.steps, nth, nil
	return steps
}

func (s *Store) step(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.steps = append(s.steps, name); len(s.steps) == s.nth {
		return ErrDown
	}
	return nil
}

// A Call is something that is asked of a site, and its answer.
type Call struct {
	Name     string
	Ask      func() *http.Response
	Tolerate []string // calls whose failure may go unnoticed, as those before a page is shown
	Once     bool     // what it uses up is used up by a failure, too
}

// EachStep makes one call of the store after another fail while a site answers, with a
// new site for each, and holds that the answer is 503; that it leads nowhere is for
// check. The same request succeeds afterwards. The function start returns the call to the
// site.
func EachStep(t *testing.T, start func(t *testing.T, s *Store) Call, check func(t *testing.T, step string, answer *http.Response)) {
	t.Helper()
	s := &Store{}
	call := start(t, s)
	s.fail(0)
	want := call.Ask()
	steps := s.fail(0)
	if len(steps) == 0 || want.StatusCode >= 400 {
		t.Fatalf("%s: got %d by %v, want a success that asks the store", call.Name, want.StatusCode, steps)
	}
	for i, step := range steps {
		s := &Store{}
		call := start(t, s)
		s.fail(i + 1)
		answer := call.Ask()
		s.fail(0)
		if answer.StatusCode != http.StatusServiceUnavailable && !slices.Contains(call.Tolerate, step) {
			t.Errorf("%s, %s of %v: got %d, want 503", call.Name, step, steps, answer.StatusCode)
			continue
		}
		check(t, step, answer)
		if call.Once {
			continue
		}
		if again := call.Ask(); answer.StatusCode >= 400 && again.StatusCode != want.StatusCode {
			t.Errorf("%s, after %s of %v: got %d, want %d", call.Name, step, steps, again.StatusCode, want.StatusCode)
		}
	}
}

// one returns the result of a call, unless it fails.
func one[T any](s *Store, name string, call func() (T, error)) (v T, err error) {
	if err := s.step(name); err != nil {
		return v, err
	}
	return call()
}

func none(s *Store, name string, call func() error) error {
	if err := s.step(name); err != nil {
		return err
	}
	return call()
}

func (s *Store) InTx(ctx context.Context, fn func(context.Context) error) error {
	return none(s, "InTx", func() error {
		return s.Store.InTx(ctx, func(ctx context.Context) error {
			if err := fn(ctx); err != nil {
				return err
			}
			return s.step("commit")
		})
	})
}

func (s *Store) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	return one(s, "LookupSession", func() (store.Session, error) { return s.Store.LookupSession(ctx, user, session) })
}

func (s *Store) CreateAnonymous(ctx context.Context, user store.User, session store.Session) (bool, error) {
	return one(s, "CreateAnonymous", func() (bool, error) { return s.Store.CreateAnonymous(ctx, user, session) })
}

func (s *Store) CreateUser(ctx context.Context, user store.User) error {
	return none(s, "CreateUser", func() error { return s.Store.CreateUser(ctx, user) })
}

func (s *Store) LockUser(ctx context.Context, id uuid.UUID) (store.User, error) {
	return one(s, "LockUser", func() (store.User, error) { return s.Store.LockUser(ctx, id) })
}

func (s *Store) SetAnonymous(ctx context.Context, id uuid.UUID, anonymous bool) error {
	return none(s, "SetAnonymous", func() error { return s.Store.SetAnonymous(ctx, id, anonymous) })
}

func (s *Store) DeleteUser(ctx context.Context, tombstone store.Tombstone) error {
	return none(s, "DeleteUser", func() error { return s.Store.DeleteUser(ctx, tombstone) })
}

func (s *Store) CreateSession(ctx context.Context, session store.Session) error {
	return none(s, "CreateSession", func() error { return s.Store.CreateSession(ctx, session) })
}

func (s *Store) RenewSession(ctx context.Context, session store.Session) error {
	return none(s, "RenewSession", func() error { return s.Store.RenewSession(ctx, session) })
}

func (s *Store) DeleteSession(ctx context.Context, user, session uuid.UUID) error {
	return none(s, "DeleteSession", func() error { return s.Store.DeleteSession(ctx, user, session) })
}

func (s *Store) DeleteSessions(ctx context.Context, user, except uuid.UUID) error {
	return none(s, "DeleteSessions", func() error { return s.Store.DeleteSessions(ctx, user, except) })
}

func (s *Store) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	return one(s, "Identity", func() (store.Identity, error) { return s.Store.Identity(ctx, provider, subject) })
}

func (s *Store) Identities(ctx context.Context, user uuid.UUID) ([]store.Identity, error) {
	return one(s, "Identities", func() ([]store.Identity, error) { return s.Store.Identities(ctx, user) })
}

func (s *Store) CreateIdentity(ctx context.Context, identity store.Identity) error {
	return none(s, "CreateIdentity", func() error { return s.Store.CreateIdentity(ctx, identity) })
}

func (s *Store) SetSecret(ctx context.Context, provider, subject string, secret []byte) error {
	return none(s, "SetSecret", func() error { return s.Store.SetSecret(ctx, provider, subject, secret) })
}

func (s *Store) DeleteIdentity(ctx context.Context, user uuid.UUID, provider, subject string) error {
	return none(s, "DeleteIdentity", func() error { return s.Store.DeleteIdentity(ctx, user, provider, subject) })
}

func (s *Store) UserSessions(ctx context.Context, user uuid.UUID) ([]store.Session, error) {
	return one(s, "UserSessions", func() ([]store.Session, error) { return s.Store.UserSessions(ctx, user) })
}

func (s *Store) PutTicket(ctx context.Context, ticket store.Ticket) error {
	return none(s, "PutTicket", func() error { return s.Store.PutTicket(ctx, ticket) })
}

func (s *Store) AddTicket(ctx context.Context, ticket store.Ticket, now time.Time) (bool, error) {
	return one(s, "AddTicket", func() (bool, error) { return s.Store.AddTicket(ctx, ticket, now) })
}

func (s *Store) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	return one(s, "Ticket", func() (store.Ticket, error) { return s.Store.Ticket(ctx, key, now) })
}

func (s *Store) TryTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	return one(s, "TryTicket", func() (store.Ticket, error) { return s.Store.TryTicket(ctx, key, now) })
}

func (s *Store) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	return one(s, "TakeTicket", func() (store.Ticket, error) { return s.Store.TakeTicket(ctx, key, now) })
}
