// Package memstore keeps walkin's users in memory: for a first try, for development,
// and for tests. Everything is lost when the process ends, and no other process sees
// it. A site that keeps its visitors needs another store.
package memstore

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// A Store is a store.Store in memory. Make one with [New]. A transaction locks the
// whole store: all others wait for it, until their contexts end. A hook that calls the
// store with another context than its own deadlocks until that context ends.
//
// It accepts and rejects what package sqlstore does, so that a test over it tells what
// a database would answer.
type Store struct {
	lock chan struct{} // full while a call is inside

	users      map[uuid.UUID]store.User
	sessions   map[uuid.UUID]store.Session
	identities map[name]store.Identity
	tombstones map[uuid.UUID]store.Tombstone
	tickets    map[string]store.Ticket

	news      []uuid.UUID // whose sessions ended or who changed, for the feed
	forgotten int         // of news, the oldest

	ended map[bool]time.Time // sessions from before are over, of users who are anonymous or not
}

var _ store.Store = (*Store)(nil)

type name struct{ provider, subject string }

// New returns an empty store.
func New() *Store {
	return &Store{
		lock:       make(chan struct{}, 1),
		users:      make(map[uuid.UUID]store.User),
		sessions:   make(map[uuid.UUID]store.Session),
		identities: make(map[name]store.Identity),
		tombstones: make(map[uuid.UUID]store.Tombstone),
		tickets:    make(map[string]store.Ticket),
		ended:      make(map[bool]time.Time),
	}
}

// moment is a time as a database gives it back.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// known reports whether a user is there or was deleted.
func (s *Store) known(id uuid.UUID) bool {
	_, user := s.users[id]
	_, tombstone := s.tombstones[id]
	return user || tombstone
}

// LookupSession implements store.Store.
func (s *Store) LookupSession(ctx context.Context, userID, sessionID uuid.UUID) (store.Session, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return store.Session{}, err
	}
	defer leave()
	if session, ok := s.sessions[sessionID]; ok && session.UserID == userID {
		session.Anonymous, session.BannedUntil = s.users[userID].Anonymous, s.users[userID].Ban.Until
		if !session.CreatedAt.Before(s.ended[session.Anonymous]) {
			return session, nil
		}
	}
	if s.known(userID) {
		return store.Session{}, store.ErrSessionEnded
	}
	return store.Session{}, store.ErrNotFound
}

// CreateAnonymous implements store.Store.
func (s *Store) CreateAnonymous(ctx context.Context, user store.User, session store.Session) (created bool, err error) {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if old, ok := s.sessions[session.ID]; ok && old.UserID == user.ID {
		return false, nil
	}
	if _, taken := s.sessions[session.ID]; taken || s.known(user.ID) {
		return false, store.ErrSessionEnded
	}
	user.Ban = store.Ban{}
	s.putUser(t, user)
	s.putSession(t, session)
	return true, nil
}

// CreateUser implements store.Store.
func (s *Store) CreateUser(ctx context.Context, user store.User) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if s.known(user.ID) {
		return store.ErrSessionEnded
	}
	user.Ban = store.Ban{}
	s.putUser(t, user)
	return nil
}

// LockUser implements store.Store.
func (s *Store) LockUser(ctx context.Context, id uuid.UUID) (store.User, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return store.User{}, err
	}
	defer leave()
	user, ok := s.users[id]
	if !ok {
		return store.User{}, store.ErrNotFound
	}
	return user, nil
}

// SetAnonymous implements store.Store.
func (s *Store) SetAnonymous(ctx context.Context, id uuid.UUID, anonymous bool) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	user, ok := s.users[id]
	if !ok {
		return store.ErrNotFound
	}
	user.Anonymous = anonymous
	s.putUser(t, user)
	s.tellFeed(id)
	return nil
}

// DeleteUser implements store.Store.
func (s *Store) DeleteUser(ctx context.Context, tombstone store.Tombstone) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	id := tombstone.UserID
	if _, ok := s.tombstones[id]; !ok {
		put(t, s.tombstones, id, tombstone)
	}
	for key, session := range s.sessions {
		if session.UserID == id {
			remove(t, s.sessions, key)
		}
	}
	for key, identity := range s.identities {
		if identity.UserID == id {
			remove(t, s.identities, key)
		}
	}
	for key, ticket := range s.tickets {
		switch {
		case id == uuid.Nil || ticket.UserID != id:
		case tombstone.MergedInto == uuid.Nil:
			remove(t, s.tickets, key)
		default:
			ticket.UserID = tombstone.MergedInto
			put(t, s.tickets, key, ticket)
		}
	}
	remove(t, s.users, id)
	s.tellFeed(id)
	return nil
}

// CreateSession implements store.Store.
func (s *Store) CreateSession(ctx context.Context, session store.Session) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if _, ok := s.users[session.UserID]; !ok {
		return store.ErrNotFound
	}
	if _, taken := s.sessions[session.ID]; taken {
		return store.ErrSessionEnded
	}
	s.putSession(t, session)
	return nil
}

// RenewSession implements store.Store.
func (s *Store) RenewSession(ctx context.Context, session store.Session) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	stored, ok := s.sessions[session.ID]
	if !ok || stored.UserID != session.UserID {
		return store.ErrSessionEnded
	}
	stored.RenewedAt, stored.ExpiresAt = session.RenewedAt, session.ExpiresAt
	s.putSession(t, stored)
	user := s.users[session.UserID]
	user.SeenAt = session.RenewedAt
	s.putUser(t, user)
	return nil
}

// UserSessions implements store.Store.
func (s *Store) UserSessions(ctx context.Context, userID uuid.UUID) ([]store.Session, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var sessions []store.Session
	for _, session := range s.sessions {
		if session.UserID == userID && !session.CreatedAt.Before(s.ended[s.users[userID].Anonymous]) {
			sessions = append(sessions, session)
		}
	}
	return sessions, nil
}

// DeleteSession implements store.Store.
func (s *Store) DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if s.sessions[sessionID].UserID == userID {
		remove(t, s.sessions, sessionID)
		s.tellFeed(userID)
	}
	return nil
}

// DeleteSessions implements store.Store.
func (s *Store) DeleteSessions(ctx context.Context, userID, except uuid.UUID) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for id, session := range s.sessions {
		if session.UserID == userID && id != except {
			remove(t, s.sessions, id)
		}
	}
	s.tellFeed(userID)
	return nil
}

func (s *Store) putUser(t *tx, user store.User) {
	user.CreatedAt, user.SeenAt = moment(user.CreatedAt), moment(user.SeenAt)
	put(t, s.users, user.ID, user)
}

func (s *Store) putSession(t *tx, session store.Session) {
	session.CreatedAt, session.RenewedAt = moment(session.CreatedAt), moment(session.RenewedAt)
	session.ExpiresAt = moment(session.ExpiresAt)
	session.Anonymous, session.BannedUntil = false, time.Time{} // of the user, see LookupSession
	put(t, s.sessions, session.ID, session)
}
