package walkin_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/store"
)

// A faultyStore is a store that counts its calls and can fail, hang or be slow.
type faultyStore struct {
	store.Store

	mu    sync.Mutex
	fault error         // what every call returns; errHang lets it wait for its context
	at    string        // if set, only this call does, or "commit"
	nth   int           // if set, only the nth call from now does, whichever it is; commits count
	steps []string      // the calls since nth was set
	delay time.Duration // of every call
	calls map[string]int
	users map[uuid.UUID]bool // ever made
}

var errHang = errors.New("hang")

// be makes the store fail with err from now on, or work when err is nil.
func (s *faultyStore) be(err error) { s.failAt("", err) }

// failAt makes one method of the store fail, or the commit of transactions.
func (s *faultyStore) failAt(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.nth, s.fault = name, 0, err
}

// count returns how often methods were called, all of them when none is named,
// and starts again.
func (s *faultyStore) count(names ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for name, calls := range s.calls {
		if len(names) == 0 || slices.Contains(names, name) {
			n += calls
		}
	}
	s.calls = nil
	return n
}

// writes are the methods that change something.
var writes = []string{"CreateAnonymous", "CreateUser", "SetAnonymous", "DeleteUser", "CreateSession", "RenewSession",
	"DeleteSession", "DeleteSessions", "CreateIdentity", "SetSecret", "DeleteIdentity"}

func (s *faultyStore) call(ctx context.Context, name string) error {
	s.mu.Lock()
	if s.calls == nil {
		s.calls = make(map[string]int)
	}
	if name != "commit" {
		s.calls[name]++
	}
	s.steps = append(s.steps, name)
	fault, delay := s.fault, s.delay
	if s.at != "" && s.at != name || s.nth > 0 && len(s.steps) != s.nth || name == "commit" && s.at == "" && s.nth == 0 {
		fault = nil
	}
	s.mu.Unlock()
	if errors.Is(fault, errHang) {
		<-ctx.Done()
		return ctx.Err()
	}
	if delay > 0 {
		time.Sleep(delay)
	}
	return fault
}

func (s *faultyStore) made(id uuid.UUID, err error) error {
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.users == nil {
			s.users = make(map[uuid.UUID]bool)
		}
		s.users[id] = true
	}
	return err
}

// rows returns how many of the users that were made are there.
func (s *faultyStore) rows(t *testing.T) int {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for id := range s.users {
		switch _, err := s.Store.LockUser(t.Context(), id); {
		case err == nil:
			n++
		case !errors.Is(err, store.ErrNotFound):
			t.Fatal(err)
		}
	}
	return n
}

func (s *faultyStore) InTx(ctx context.Context, fn func(context.Context) error) error {
	if err := s.call(ctx, "InTx"); err != nil {
		return err
	}
	return s.Store.InTx(ctx, func(ctx context.Context) error {
		if err := fn(ctx); err != nil {
			return err
		}
		return s.call(ctx, "commit")
	})
}

// failStep makes the nth call from now fail, none if it is 0.
func (s *faultyStore) failStep(nth int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.nth, s.fault, s.steps = "", nth, err, nil
	if nth == 0 {
		s.fault = nil
	}
}

// stepsTaken returns the calls since failStep.
func (s *faultyStore) stepsTaken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.steps)
}

func (s *faultyStore) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	if err := s.call(ctx, "LookupSession"); err != nil {
		return store.Session{}, err
	}
	return s.Store.LookupSession(ctx, user, session)
}

func (s *faultyStore) CreateAnonymous(ctx context.Context, user store.User, session store.Session) (bool, error) {
	if err := s.call(ctx, "CreateAnonymous"); err != nil {
		return false, err
	}
	created, err := s.Store.CreateAnonymous(ctx, user, session)
	return created, s.made(user.ID, err)
}

func (s *faultyStore) CreateUser(ctx context.Context, user store.User) error {
	if err := s.call(ctx, "CreateUser"); err != nil {
		return err
	}
	return s.made(user.ID, s.Store.CreateUser(ctx, user))
}

func (s *faultyStore) LockUser(ctx context.Context, id uuid.UUID) (store.User, error) {
	if err := s.call(ctx, "LockUser"); err != nil {
		return store.User{}, err
	}
	return s.Store.LockUser(ctx, id)
}

func (s *faultyStore) SetAnonymous(ctx context.Context, id uuid.UUID, anonymous bool) error {
	if err := s.call(ctx, "SetAnonymous"); err != nil {
		return err
	}
	return s.Store.SetAnonymous(ctx, id, anonymous)
}

func (s *faultyStore) DeleteUser(ctx context.Context, tombstone store.Tombstone) error {
	if err := s.call(ctx, "DeleteUser"); err != nil {
		return err
	}
	return s.Store.DeleteUser(ctx, tombstone)
}

func (s *faultyStore) CreateSession(ctx context.Context, session store.Session) error {
	if err := s.call(ctx, "CreateSession"); err != nil {
		return err
	}
	return s.Store.CreateSession(ctx, session)
}

func (s *faultyStore) RenewSession(ctx context.Context, session store.Session) error {
	if err := s.call(ctx, "RenewSession"); err != nil {
		return err
	}
	return s.Store.RenewSession(ctx, session)
}

func (s *faultyStore) DeleteSession(ctx context.Context, user, session uuid.UUID) error {
	if err := s.call(ctx, "DeleteSession"); err != nil {
		return err
	}
	return s.Store.DeleteSession(ctx, user, session)
}

func (s *faultyStore) DeleteSessions(ctx context.Context, user, except uuid.UUID) error {
	if err := s.call(ctx, "DeleteSessions"); err != nil {
		return err
	}
	return s.Store.DeleteSessions(ctx, user, except)
}

func (s *faultyStore) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	if err := s.call(ctx, "Identity"); err != nil {
		return store.Identity{}, err
	}
	return s.Store.Identity(ctx, provider, subject)
}

func (s *faultyStore) Identities(ctx context.Context, user uuid.UUID) ([]store.Identity, error) {
	if err := s.call(ctx, "Identities"); err != nil {
		return nil, err
	}
	return s.Store.Identities(ctx, user)
}

func (s *faultyStore) CreateIdentity(ctx context.Context, identity store.Identity) error {
	if err := s.call(ctx, "CreateIdentity"); err != nil {
		return err
	}
	return s.Store.CreateIdentity(ctx, identity)
}

func (s *faultyStore) SetSecret(ctx context.Context, provider, subject string, secret []byte) error {
	if err := s.call(ctx, "SetSecret"); err != nil {
		return err
	}
	return s.Store.SetSecret(ctx, provider, subject, secret)
}

func (s *faultyStore) DeleteIdentity(ctx context.Context, user uuid.UUID, provider, subject string) error {
	if err := s.call(ctx, "DeleteIdentity"); err != nil {
		return err
	}
	return s.Store.DeleteIdentity(ctx, user, provider, subject)
}

func (s *faultyStore) UserSessions(ctx context.Context, user uuid.UUID) ([]store.Session, error) {
	if err := s.call(ctx, "UserSessions"); err != nil {
		return nil, err
	}
	return s.Store.UserSessions(ctx, user)
}

func (s *faultyStore) PutTicket(ctx context.Context, ticket store.Ticket) error {
	if err := s.call(ctx, "PutTicket"); err != nil {
		return err
	}
	return s.Store.PutTicket(ctx, ticket)
}

func (s *faultyStore) AddTicket(ctx context.Context, ticket store.Ticket, now time.Time) (bool, error) {
	if err := s.call(ctx, "AddTicket"); err != nil {
		return false, err
	}
	return s.Store.AddTicket(ctx, ticket, now)
}

func (s *faultyStore) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if err := s.call(ctx, "Ticket"); err != nil {
		return store.Ticket{}, err
	}
	return s.Store.Ticket(ctx, key, now)
}

func (s *faultyStore) TryTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if err := s.call(ctx, "TryTicket"); err != nil {
		return store.Ticket{}, err
	}
	return s.Store.TryTicket(ctx, key, now)
}

func (s *faultyStore) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if err := s.call(ctx, "TakeTicket"); err != nil {
		return store.Ticket{}, err
	}
	return s.Store.TakeTicket(ctx, key, now)
}
