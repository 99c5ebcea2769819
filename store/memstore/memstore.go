// Package memstore keeps walkin's users in memory: for a first try, for
// development, and for tests. Everything is gone when the process ends, and no
// other process sees it; a site that keeps its visitors needs another store.
package memstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
)

// A Store is a walkin.Store in memory. Make one with [New]. A transaction holds
// the whole store: all others wait for it, as long as their contexts let them.
// A hook that calls the store with another context than its own waits for
// itself.
type Store struct {
	lock chan struct{} // full while somebody is inside

	users      map[uuid.UUID]walkin.User
	sessions   map[uuid.UUID]walkin.Session
	identities map[name]walkin.Identity
	tombstones map[uuid.UUID]walkin.Tombstone
}

var _ walkin.Sweeper = (*Store)(nil)

type name struct{ provider, subject string }

// New returns an empty store.
func New() *Store {
	return &Store{
		lock:       make(chan struct{}, 1),
		users:      make(map[uuid.UUID]walkin.User),
		sessions:   make(map[uuid.UUID]walkin.Session),
		identities: make(map[name]walkin.Identity),
		tombstones: make(map[uuid.UUID]walkin.Tombstone),
	}
}

// A tx is a transaction: what it takes to undo what was done.
type tx struct{ undo []func() }

type txKey struct{ *Store }

// enter waits for the store and returns the transaction to work in: the one
// of ctx, or a new one that ends with leave.
func (s *Store) enter(ctx context.Context) (t *tx, leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("memstore: %w", err)
	}
	if t, ok := ctx.Value(txKey{s}).(*tx); ok {
		return t, func() {}, nil
	}
	select {
	case s.lock <- struct{}{}:
		return new(tx), func() { <-s.lock }, nil
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("memstore: %w", ctx.Err())
	}
}

// keep notes how to bring an entry back to what it is now.
func keep[K comparable, V any](t *tx, m map[K]V, k K) {
	old, had := m[k]
	t.undo = append(t.undo, func() {
		if had {
			m[k] = old
		} else {
			delete(m, k)
		}
	})
}

func put[K comparable, V any](t *tx, m map[K]V, k K, v V) {
	keep(t, m, k)
	m[k] = v
}

func remove[K comparable, V any](t *tx, m map[K]V, k K) {
	keep(t, m, k)
	delete(m, k)
}

func (t *tx) rollback() {
	for _, undo := range slices.Backward(t.undo) {
		undo()
	}
}

// InTx implements walkin.Store.
func (s *Store) InTx(ctx context.Context, fn func(context.Context) error) error {
	if ctx.Value(txKey{s}) != nil {
		return fn(ctx)
	}
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	committed := false
	defer func() {
		if !committed { // an error, a panic, or runtime.Goexit
			t.rollback()
		}
	}()
	if err := fn(context.WithValue(ctx, txKey{s}, t)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %w", err)
	}
	committed = true
	return nil
}

// known reports whether a user is there or was deleted.
func (s *Store) known(id uuid.UUID) bool {
	_, user := s.users[id]
	_, tombstone := s.tombstones[id]
	return user || tombstone
}

// Lookup implements walkin.Store.
func (s *Store) Lookup(ctx context.Context, userID, sessionID uuid.UUID) (walkin.Session, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return walkin.Session{}, err
	}
	defer leave()
	if session, ok := s.sessions[sessionID]; ok && session.UserID == userID {
		return session, nil
	}
	if s.known(userID) {
		return walkin.Session{}, walkin.ErrSuperseded
	}
	return walkin.Session{}, walkin.ErrNotFound
}

// Persist implements walkin.Store.
func (s *Store) Persist(ctx context.Context, user walkin.User, session walkin.Session) (created bool, err error) {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if old, ok := s.sessions[session.ID]; ok && old.UserID == user.ID {
		return false, nil
	}
	if _, taken := s.sessions[session.ID]; taken || s.known(user.ID) {
		return false, walkin.ErrSuperseded
	}
	put(t, s.users, user.ID, user)
	put(t, s.sessions, session.ID, session)
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
		return walkin.ErrSuperseded
	}
	put(t, s.users, user.ID, user)
	return nil
}

// User implements walkin.Store.
func (s *Store) User(ctx context.Context, id uuid.UUID) (walkin.User, error) {
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
	put(t, s.users, id, user)
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
	remove(t, s.users, id)
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
		return walkin.ErrSuperseded
	}
	put(t, s.sessions, session.ID, session)
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
		return walkin.ErrSuperseded
	}
	stored.RenewedAt, stored.ExpiresAt = session.RenewedAt, session.ExpiresAt
	put(t, s.sessions, session.ID, stored)
	user := s.users[session.UserID]
	user.SeenAt = session.RenewedAt
	put(t, s.users, user.ID, user)
	return nil
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
	return nil
}

// Identity implements walkin.Store.
func (s *Store) Identity(ctx context.Context, provider, subject string) (walkin.Identity, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return walkin.Identity{}, err
	}
	defer leave()
	identity, ok := s.identities[name{provider, subject}]
	if !ok {
		return walkin.Identity{}, walkin.ErrNotFound
	}
	identity.Secret = bytes.Clone(identity.Secret)
	return identity, nil
}

// Identities implements walkin.Store.
func (s *Store) Identities(ctx context.Context, userID uuid.UUID) ([]walkin.Identity, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var identities []walkin.Identity
	for _, identity := range s.identities {
		if identity.UserID == userID {
			identity.Secret = bytes.Clone(identity.Secret)
			identities = append(identities, identity)
		}
	}
	slices.SortFunc(identities, func(a, b walkin.Identity) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.Provider, b.Provider), strings.Compare(a.Subject, b.Subject))
	})
	return identities, nil
}

// CreateIdentity implements walkin.Store.
func (s *Store) CreateIdentity(ctx context.Context, identity walkin.Identity) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	key := name{identity.Provider, identity.Subject}
	if _, taken := s.identities[key]; taken {
		return walkin.ErrIdentityTaken
	}
	if _, ok := s.users[identity.UserID]; !ok {
		return walkin.ErrNotFound
	}
	identity.Secret = bytes.Clone(identity.Secret)
	put(t, s.identities, key, identity)
	return nil
}

// SetSecret implements walkin.Store.
func (s *Store) SetSecret(ctx context.Context, provider, subject string, secret []byte) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	key := name{provider, subject}
	identity, ok := s.identities[key]
	if !ok {
		return walkin.ErrNotFound
	}
	identity.Secret = bytes.Clone(secret)
	put(t, s.identities, key, identity)
	return nil
}

// DeleteIdentity implements walkin.Store.
func (s *Store) DeleteIdentity(ctx context.Context, userID uuid.UUID, provider, subject string) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	key := name{provider, subject}
	if identity, ok := s.identities[key]; !ok || identity.UserID != userID {
		return walkin.ErrNotFound
	}
	remove(t, s.identities, key)
	return nil
}

// Away implements walkin.Sweeper.
func (s *Store) Away(ctx context.Context, before time.Time, after walkin.User, limit int) ([]walkin.User, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	owners := make(map[uuid.UUID]bool)
	for _, identity := range s.identities {
		owners[identity.UserID] = true
	}
	var users []walkin.User
	for _, user := range s.users {
		if user.Anonymous && !owners[user.ID] && user.SeenAt.Before(before) && byAbsence(user, after) > 0 {
			users = append(users, user)
		}
	}
	slices.SortFunc(users, byAbsence)
	return users[:min(limit, len(users))], nil
}

func byAbsence(a, b walkin.User) int {
	return cmp.Or(a.SeenAt.Compare(b.SeenAt), bytes.Compare(a.ID[:], b.ID[:]))
}

// DeleteAway implements walkin.Sweeper.
func (s *Store) DeleteAway(ctx context.Context, users []walkin.User) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	gone := make(map[uuid.UUID]bool)
	for _, user := range users {
		gone[user.ID] = true
		remove(t, s.users, user.ID)
	}
	for id, session := range s.sessions {
		if gone[session.UserID] {
			remove(t, s.sessions, id)
		}
	}
	return nil
}

// DeleteExpired implements walkin.Sweeper.
func (s *Store) DeleteExpired(ctx context.Context, before time.Time, _ int) (int, error) {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	n := 0
	for id, session := range s.sessions {
		if session.ExpiresAt.Before(before) {
			remove(t, s.sessions, id)
			n++
		}
	}
	for id, tombstone := range s.tombstones {
		if tombstone.ExpiresAt.Before(before) {
			remove(t, s.tombstones, id)
			n++
		}
	}
	return n, nil
}
