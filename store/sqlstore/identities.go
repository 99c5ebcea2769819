package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

const (
	maxName   = 255      // bytes of a provider or subject
	maxSecret = 64 << 10 // bytes
)

var (
	errName   = fmt.Errorf("sqlstore: a provider and a subject are text without NUL of at most %d bytes: %w", maxName, store.ErrConstraint)
	errSecret = fmt.Errorf("sqlstore: a secret has at most %d bytes: %w", maxSecret, store.ErrConstraint)
)

// canName reports whether names can be kept. A name that does not fit is refused and
// never cut to fit, since the shorter one would be another user's name. A name that
// PostgreSQL cannot keep as text is refused everywhere, so that a test on SQLite tells.
// No user has such a name, but any client may ask for it.
func canName(names ...string) bool {
	for _, s := range names {
		if len(s) > maxName || !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			return false
		}
	}
	return true
}

// Identity implements store.Store.
func (s *Store) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	if !canName(provider, subject) {
		return store.Identity{}, store.ErrNotFound
	}
	identity := store.Identity{Provider: provider, Subject: subject}
	row := s.from(ctx).QueryRowContext(ctx, s.q.identity, provider, subject)
	err := row.Scan(&identity.UserID, s.dialect.blob(&identity.Secret), moment{&identity.CreatedAt})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.Identity{}, store.ErrNotFound
	case err != nil:
		return store.Identity{}, wrap(ctx, err)
	}
	return identity, nil
}

// Identities implements store.Store.
func (s *Store) Identities(ctx context.Context, userID uuid.UUID) ([]store.Identity, error) {
	rows, err := s.from(ctx).QueryContext(ctx, s.q.identities, s.dialect.id(userID))
	if err != nil {
		return nil, wrap(ctx, err)
	}
	defer rows.Close()
	var identities []store.Identity
	for rows.Next() {
		identity := store.Identity{UserID: userID}
		if err := rows.Scan(&identity.Provider, &identity.Subject, s.dialect.blob(&identity.Secret), moment{&identity.CreatedAt}); err != nil {
			return nil, wrap(ctx, err)
		}
		identities = append(identities, identity)
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(ctx, err)
	}
	return identities, nil
}

// CreateIdentity implements store.Store.
func (s *Store) CreateIdentity(ctx context.Context, identity store.Identity) error {
	switch {
	case !canName(identity.Provider, identity.Subject):
		return errName
	case len(identity.Secret) > maxSecret:
		return errSecret
	}
	return s.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.LockUser(ctx, identity.UserID); err != nil { // and locks them
			return err
		}
		made, err := s.insert(ctx, s.q.insertIdentity, identity.Provider, identity.Subject, s.dialect.id(identity.UserID),
			identity.Secret, s.dialect.time(identity.CreatedAt))
		if err == nil && !made {
			err = store.ErrIdentityTaken
		}
		return err
	})
}

// SetSecret implements store.Store.
func (s *Store) SetSecret(ctx context.Context, provider, subject string, secret []byte) error {
	switch {
	case !canName(provider, subject):
		return store.ErrNotFound
	case len(secret) > maxSecret:
		return errSecret
	}
	n, err := s.exec(ctx, s.q.setSecret, secret, provider, subject)
	if err != nil || n > 0 {
		return err
	}
	_, err = s.Identity(ctx, provider, subject) // MySQL counts a secret that was so already as none
	return err
}

// DeleteIdentity implements store.Store.
func (s *Store) DeleteIdentity(ctx context.Context, userID uuid.UUID, provider, subject string) error {
	if !canName(provider, subject) {
		return store.ErrNotFound
	}
	n, err := s.exec(ctx, s.q.deleteIdentity, provider, subject, s.dialect.id(userID))
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}
