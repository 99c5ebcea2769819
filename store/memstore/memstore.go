// Package memstore keeps walkin's users in memory: for a first try, for development,
// and for tests. Everything is lost when the process ends, and no other process sees
// it. A site that keeps its visitors needs another store.
package memstore

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
)

// A Store is a walkin.Store in memory. Make one with [New]. A transaction locks the
// whole store: all others wait for it, until their contexts end. A hook that calls the
// store with another context than its own deadlocks until that context ends.
//
// It accepts and rejects what package sqlstore does, so that a test over it tells what
// a database would answer.
type Store struct {
	lock chan struct{} // full while a call is inside

	users      map[uuid.UUID]walkin.User
	sessions   map[uuid.UUID]walkin.Session
	identities map[name]walkin.Identity
	tombstones map[uuid.UUID]walkin.Tombstone
	tickets    map[string]walkin.Ticket

	news      []uuid.UUID // whose sessions ended or who changed, for the feed
	forgotten int         // of news, the oldest

	ended map[bool]time.Time // sessions from before are over, of users who are anonymous or not
}

var _ walkin.Store = (*Store)(nil)

type name struct{ provider, subject string }

// New returns an empty store.
func New() *Store {
	return &Store{
		lock:       make(chan struct{}, 1),
		users:      make(map[uuid.UUID]walkin.User),
		sessions:   make(map[uuid.UUID]walkin.Session),
		identities: make(map[name]walkin.Identity),
		tombstones: make(map[uuid.UUID]walkin.Tombstone),
		tickets:    make(map[string]walkin.Ticket),
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

// LookupSession implements walkin.Store.
func (s *Store) LookupSession(ctx context.Context, userID, sessionID uuid.UUID) (walkin.Session, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return walkin.Session{}, err
	}
	defer leave()
	if session, ok := s.sessions[sessionID]; ok && session.UserID == userID {
		session.Anonymous, session.BannedUntil = s.users[userID].Anonymous, s.users[userID].Ban.Until
		if !session.CreatedAt.Before(s.ended[session.Anonymous]) {
			return session, nil
		}
	}
	if s.known(userID) {
		return walkin.Session{}, walkin.ErrSessionEnded
	}
	return walkin.Session{}, walkin.ErrNotFound
}

// CreateAnonymous implements walkin.Store.
func (s *Store) CreateAnonymous(ctx context.Context, user walkin.User, session walkin.Session) (created bool, err error) {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if old, ok := s.sessions[session.ID]; ok && old.UserID == user.ID {
		return false, nil
	}
	if _, taken := s.sessions[session.ID]; taken || s.known(user.ID) {
		return false, walkin.ErrSessionEnded
	}
	user.Ban = walkin.Ban{}
	s.putUser(t, user)
	s.putSession(t, session)
	return true, nil
}

// CreateUser implements walkin.Store.
func (s *Store) CreateUser(ctx context.Context, user walkin.User) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if s.known(user.ID) {
		return walkin.ErrSessionEnded
	}
	user.Ban = walkin.Ban{}
	s.putUser(t, user)
	return nil
}

// LockUser implements walkin.Store.
func (s *Store) LockUser(ctx context.Context, id uuid.UUID) (walkin.User, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return walkin.User{}, err
	}
	defer leave()
	user, ok := s.users[id]
	if !ok {
		return walkin.User{}, walkin.ErrNotFound
	}
	return user, nil
}

// SetAnonymous implements walkin.Store.
func (s *Store) SetAnonymous(ctx context.Context, id uuid.UUID, anonymous bool) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	user, ok := s.users[id]
	if !ok {
		return walkin.ErrNotFound
	}
	user.Anonymous = anonymous
	s.putUser(t, user)
	s.tellFeed(id)
	return nil
}

// DeleteUser implements walkin.Store.
func (s *Store) DeleteUser(ctx context.Context, tombstone walkin.Tombstone) error {
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

// CreateSession implements walkin.Store.
func (s *Store) CreateSession(ctx context.Context, session walkin.Session) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if _, ok := s.users[session.UserID]; !ok {
		return walkin.ErrNotFound
	}
	if _, taken := s.sessions[session.ID]; taken {
		return walkin.ErrSessionEnded
	}
	s.putSession(t, session)
	return nil
}

// RenewSession implements walkin.Store.
func (s *Store) RenewSession(ctx context.Context, session walkin.Session) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	stored, ok := s.sessions[session.ID]
	if !ok || stored.UserID != session.UserID {
		return walkin.ErrSessionEnded
	}
	stored.RenewedAt, stored.ExpiresAt = session.RenewedAt, session.ExpiresAt
	s.putSession(t, stored)
	user := s.users[session.UserID]
	user.SeenAt = session.RenewedAt
	s.putUser(t, user)
	return nil
}

// UserSessions implements walkin.Store.
func (s *Store) UserSessions(ctx context.Context, userID uuid.UUID) ([]walkin.Session, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var sessions []walkin.Session
	for _, session := range s.sessions {
		if session.UserID == userID && !session.CreatedAt.Before(s.ended[s.users[userID].Anonymous]) {
			sessions = append(sessions, session)
		}
	}
	return sessions, nil
}

// DeleteSession implements walkin.Store.
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

// DeleteSessions implements walkin.Store.
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

func (s *Store) putUser(t *tx, user walkin.User) {
	user.CreatedAt, user.SeenAt = moment(user.CreatedAt), moment(user.SeenAt)
	put(t, s.users, user.ID, user)
}

func (s *Store) putSession(t *tx, session walkin.Session) {
	session.CreatedAt, session.RenewedAt = moment(session.CreatedAt), moment(session.RenewedAt)
	session.ExpiresAt = moment(session.ExpiresAt)
	session.Anonymous, session.BannedUntil = false, time.Time{} // of the user, see LookupSession
	put(t, s.sessions, session.ID, session)
}
