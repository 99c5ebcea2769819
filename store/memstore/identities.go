package memstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// What sqlstore refuses is refused here.
const (
	maxName   = 255      // bytes of a provider or subject
	maxSecret = 64 << 10 // bytes
)

var (
	errName   = fmt.Errorf("memstore: a provider and a subject are text without NUL of at most %d bytes: %w", maxName, store.ErrConstraint)
	errSecret = fmt.Errorf("memstore: a secret has at most %d bytes: %w", maxSecret, store.ErrConstraint)
)

// fits reports whether a database would keep the name.
func (n name) fits() bool {
	for _, s := range []string{n.provider, n.subject} {
		if len(s) > maxName || !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			return false
		}
	}
	return true
}

// Identity implements store.Store.
func (s *Store) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return store.Identity{}, err
	}
	defer leave()
	identity, ok := s.identities[name{provider, subject}]
	if !ok {
		return store.Identity{}, store.ErrNotFound
	}
	identity.Secret = bytes.Clone(identity.Secret)
	return identity, nil
}

// Identities implements store.Store.
func (s *Store) Identities(ctx context.Context, userID uuid.UUID) ([]store.Identity, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var identities []store.Identity
	for _, identity := range s.identities {
		if identity.UserID == userID {
			identity.Secret = bytes.Clone(identity.Secret)
			identities = append(identities, identity)
		}
	}
	slices.SortFunc(identities, byAge)
	return identities, nil
}

// CreateIdentity implements store.Store.
func (s *Store) CreateIdentity(ctx context.Context, identity store.Identity) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	key := name{identity.Provider, identity.Subject}
	switch {
	case !key.fits():
		return errName
	case len(identity.Secret) > maxSecret:
		return errSecret
	}
	if _, ok := s.users[identity.UserID]; !ok {
		return store.ErrNotFound
	}
	if _, taken := s.identities[key]; taken {
		return store.ErrIdentityTaken
	}
	identity.Secret = bytes.Clone(identity.Secret)
	identity.CreatedAt = moment(identity.CreatedAt)
	put(t, s.identities, key, identity)
	return nil
}

// SetSecret implements store.Store.
func (s *Store) SetSecret(ctx context.Context, provider, subject string, secret []byte) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	key := name{provider, subject}
	identity, ok := s.identities[key]
	switch {
	case !ok:
		return store.ErrNotFound
	case len(secret) > maxSecret:
		return errSecret
	}
	identity.Secret = bytes.Clone(secret)
	put(t, s.identities, key, identity)
	return nil
}

// DeleteIdentity implements store.Store.
func (s *Store) DeleteIdentity(ctx context.Context, userID uuid.UUID, provider, subject string) error {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	key := name{provider, subject}
	if identity, ok := s.identities[key]; !ok || identity.UserID != userID {
		return store.ErrNotFound
	}
	remove(t, s.identities, key)
	return nil
}
