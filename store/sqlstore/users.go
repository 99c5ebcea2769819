package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
)

// Lookup implements walkin.Store.
func (s *Store) Lookup(ctx context.Context, userID, sessionID uuid.UUID) (walkin.Session, error) {
	session := walkin.Session{ID: sessionID, UserID: userID}
	user, id := s.dialect.id(userID), s.dialect.id(sessionID)
	var known, deleted bool
	row := s.readerOf(ctx).QueryRowContext(ctx, s.q.lookup, user, user, id, user)
	err := row.Scan(moment{&session.CreatedAt}, moment{&session.RenewedAt}, moment{&session.ExpiresAt}, &known, &deleted)
	switch {
	case err != nil:
		return walkin.Session{}, wrap(ctx, err)
	case !session.CreatedAt.IsZero():
		return session, nil
	case known || deleted:
		return walkin.Session{}, walkin.ErrSuperseded
	}
	return walkin.Session{}, walkin.ErrNotFound
}

// Persist implements walkin.Store.
func (s *Store) Persist(ctx context.Context, user walkin.User, session walkin.Session) (created bool, err error) {
	err = s.InTx(ctx, func(ctx context.Context) error {
		created, err = s.insertUser(ctx, user)
		if err != nil {
			return err
		}
		if !created {
			_, err := s.Lookup(ctx, user.ID, session.ID)
			return err
		}
		return s.CreateSession(ctx, session)
	})
	return created && err == nil, err
}

// CreateUser implements walkin.Store.
func (s *Store) CreateUser(ctx context.Context, user walkin.User) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		created, err := s.insertUser(ctx, user)
		if err == nil && !created {
			err = walkin.ErrSuperseded
		}
		return err
	})
}

// insertUser reports whether it made the row: false when the user is there. A
// user who was deleted is ErrSuperseded. It runs in a transaction, which the
// caller undoes on an error.
//
// The tombstone is looked for after the row is in: DeleteUser inserts and
// deletes the same row before its tombstone is committed, so whichever of the
// two comes second waits for the first, and then sees it.
func (s *Store) insertUser(ctx context.Context, user walkin.User) (created bool, err error) {
	n, err := s.exec(ctx, s.q.insertUser, s.dialect.id(user.ID), user.Anonymous,
		s.dialect.time(user.CreatedAt), s.dialect.time(user.SeenAt))
	if err != nil || n == 0 {
		return false, err
	}
	var one int
	err = s.writer(ctx).QueryRowContext(ctx, s.q.tombstone, s.dialect.id(user.ID)).Scan(&one)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return true, nil
	case err != nil:
		return false, wrap(ctx, err)
	}
	// The row must not outlive this answer, also in a transaction that goes on.
	if _, err := s.exec(ctx, s.q.deleteUser, s.dialect.id(user.ID)); err != nil {
		return false, err
	}
	return false, walkin.ErrSuperseded
}

// User implements walkin.Store.
func (s *Store) User(ctx context.Context, id uuid.UUID) (walkin.User, error) {
	query := s.q.user
	if ctx.Value(txKey{s}) != nil {
		query = s.q.lockUser
	}
	user := walkin.User{ID: id}
	row := s.readerOf(ctx).QueryRowContext(ctx, query, s.dialect.id(id))
	err := row.Scan(&user.Anonymous, moment{&user.CreatedAt}, moment{&user.SeenAt})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return walkin.User{}, walkin.ErrNotFound
	case err != nil:
		return walkin.User{}, wrap(ctx, err)
	}
	return user, nil
}

// SetAnonymous implements walkin.Store.
func (s *Store) SetAnonymous(ctx context.Context, id uuid.UUID, anonymous bool) error {
	n, err := s.exec(ctx, s.q.setAnonymous, anonymous, s.dialect.id(id))
	if err != nil || n > 0 {
		return err
	}
	_, err = s.User(ctx, id) // MySQL counts a row that was so already as none
	return err
}

// DeleteUser implements walkin.Store.
func (s *Store) DeleteUser(ctx context.Context, t walkin.Tombstone) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		id := s.dialect.id(t.UserID)
		// A user who was never stored is stored first, see insertUser.
		_, err := s.exec(ctx, s.q.insertUser, id, true, s.dialect.time(t.DeletedAt), s.dialect.time(t.DeletedAt))
		if err != nil {
			return err
		}
		var mergedInto any
		if t.MergedInto != uuid.Nil {
			mergedInto = s.dialect.id(t.MergedInto)
		}
		_, err = s.exec(ctx, s.q.insertTombstone, id, mergedInto, s.dialect.time(t.DeletedAt), s.dialect.time(t.ExpiresAt))
		if err != nil {
			return err
		}
		// Their sessions and identities go by the foreign keys too, where
		// those are enforced; this does not depend on it.
		if err := s.DeleteSessions(ctx, t.UserID, uuid.Nil); err != nil {
			return err
		}
		for _, query := range []string{s.q.deleteIdentities, s.q.deleteUser} {
			if _, err := s.exec(ctx, query, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// CreateSession implements walkin.Store.
func (s *Store) CreateSession(ctx context.Context, session walkin.Session) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.User(ctx, session.UserID); err != nil { // and locks them
			return err
		}
		n, err := s.exec(ctx, s.q.insertSession, s.dialect.id(session.ID), s.dialect.id(session.UserID),
			s.dialect.time(session.CreatedAt), s.dialect.time(session.RenewedAt), s.dialect.time(session.ExpiresAt))
		if err == nil && n == 0 {
			err = walkin.ErrSuperseded
		}
		return err
	})
}

// RenewSession implements walkin.Store.
func (s *Store) RenewSession(ctx context.Context, session walkin.Session) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		// The user first, as everywhere: who locks in one order never
		// deadlocks. An error undoes it.
		_, err := s.exec(ctx, s.q.seen, s.dialect.time(session.RenewedAt), s.dialect.id(session.UserID))
		if err != nil {
			return err
		}
		n, err := s.exec(ctx, s.q.renewSession, s.dialect.time(session.RenewedAt), s.dialect.time(session.ExpiresAt),
			s.dialect.id(session.ID), s.dialect.id(session.UserID))
		if err != nil || n > 0 {
			return err
		}
		// Gone, or on MySQL renewed to the same microsecond.
		if _, err = s.Lookup(ctx, session.UserID, session.ID); errors.Is(err, walkin.ErrNotFound) {
			err = walkin.ErrSuperseded
		}
		return err
	})
}

// DeleteSession implements walkin.Store.
func (s *Store) DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error {
	_, err := s.exec(ctx, s.q.deleteSession, s.dialect.id(sessionID), s.dialect.id(userID))
	return err
}

// DeleteSessions implements walkin.Store.
func (s *Store) DeleteSessions(ctx context.Context, userID, except uuid.UUID) error {
	_, err := s.exec(ctx, s.q.deleteSessions, s.dialect.id(userID), s.dialect.id(except))
	return err
}

// Identity implements walkin.Store.
func (s *Store) Identity(ctx context.Context, provider, subject string) (walkin.Identity, error) {
	identity := walkin.Identity{Provider: provider, Subject: subject}
	row := s.readerOf(ctx).QueryRowContext(ctx, s.q.identity, provider, subject)
	err := row.Scan(&identity.UserID, &identity.Secret, moment{&identity.CreatedAt})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return walkin.Identity{}, walkin.ErrNotFound
	case err != nil:
		return walkin.Identity{}, wrap(ctx, err)
	}
	return identity, nil
}

// Identities implements walkin.Store.
func (s *Store) Identities(ctx context.Context, userID uuid.UUID) ([]walkin.Identity, error) {
	rows, err := s.readerOf(ctx).QueryContext(ctx, s.q.identities, s.dialect.id(userID))
	if err != nil {
		return nil, wrap(ctx, err)
	}
	defer rows.Close()
	var identities []walkin.Identity
	for rows.Next() {
		identity := walkin.Identity{UserID: userID}
		if err := rows.Scan(&identity.Provider, &identity.Subject, &identity.Secret, moment{&identity.CreatedAt}); err != nil {
			return nil, wrap(ctx, err)
		}
		identities = append(identities, identity)
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(ctx, err)
	}
	return identities, nil
}

// CreateIdentity implements walkin.Store.
func (s *Store) CreateIdentity(ctx context.Context, identity walkin.Identity) error {
	if len(identity.Provider) > maxName || len(identity.Subject) > maxName {
		return fmt.Errorf("sqlstore: provider and subject hold %d bytes at most", maxName)
	}
	return s.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.User(ctx, identity.UserID); err != nil { // and locks them
			return err
		}
		n, err := s.exec(ctx, s.q.insertIdentity, identity.Provider, identity.Subject, s.dialect.id(identity.UserID),
			identity.Secret, s.dialect.time(identity.CreatedAt))
		if err == nil && n == 0 {
			err = walkin.ErrIdentityTaken
		}
		return err
	})
}

const maxName = 255 // bytes

// SetSecret implements walkin.Store.
func (s *Store) SetSecret(ctx context.Context, provider, subject string, secret []byte) error {
	n, err := s.exec(ctx, s.q.setSecret, secret, provider, subject)
	if err != nil || n > 0 {
		return err
	}
	_, err = s.Identity(ctx, provider, subject) // MySQL counts a secret that was so already as none
	return err
}

// DeleteIdentity implements walkin.Store.
func (s *Store) DeleteIdentity(ctx context.Context, userID uuid.UUID, provider, subject string) error {
	n, err := s.exec(ctx, s.q.deleteIdentity, provider, subject, s.dialect.id(userID))
	if err == nil && n == 0 {
		err = walkin.ErrNotFound
	}
	return err
}
