package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// Code that locks more than one row locks the user's first: locking in one order never
// deadlocks.

// persist does for one visitor what CreateAnonymous promises.
//
// A DeleteUser at the same moment stores the user before it leaves the tombstone. So
// the two meet at the user's primary key, and the one that comes second waits there for
// the other to commit. That is why the next statement looks for the tombstone, and not
// the first: the next one sees what was committed meanwhile.
func (s *Store) persist(ctx context.Context, user store.User, session store.Session) (created bool, err error) {
	err = s.InTx(ctx, func(ctx context.Context) error {
		created, err = s.insertUser(ctx, user)
		if err != nil {
			return err
		}
		if !created {
			_, err := s.LookupSession(ctx, user.ID, session.ID)
			if errors.Is(err, store.ErrNotFound) {
				err = store.ErrSessionEnded // the sweep took them between the two statements
			}
			return err
		}
		n, err := s.exec(ctx, s.q.insertFirstSession, s.dialect.id(session.ID), s.dialect.id(session.UserID),
			s.dialect.time(session.CreatedAt), s.dialect.time(session.RenewedAt), s.dialect.time(session.ExpiresAt),
			s.dialect.id(user.ID))
		if err == nil && n == 0 {
			return s.takeBack(ctx, user.ID)
		}
		return err
	})
	return created && err == nil, err
}

// CreateUser implements store.Store. For the tombstone, see persist.
func (s *Store) CreateUser(ctx context.Context, user store.User) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		created, err := s.insertUser(ctx, user)
		if err != nil {
			return err
		}
		if !created {
			return store.ErrSessionEnded
		}
		var one int
		err = s.from(ctx).QueryRowContext(ctx, s.q.tombstone, s.dialect.id(user.ID)).Scan(&one)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return wrap(ctx, err)
		}
		return s.takeBack(ctx, user.ID)
	})
}

// insertUser reports whether it stored the user: false when the user is there.
//
// On MySQL a SELECT looks for them first. Several inserts may wait for another one that
// is then rolled back, or that deletes its row. Each of them is left with a lock on the
// gap there, and no two of them can go on. A SELECT that waits is left with no lock.
func (s *Store) insertUser(ctx context.Context, user store.User) (created bool, err error) {
	if s.dialect.lockFirst {
		if _, err := s.LockUser(ctx, user.ID); !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
	}
	return s.insert(ctx, s.q.insertUser, s.dialect.id(user.ID), user.Anonymous,
		s.dialect.time(user.CreatedAt), s.dialect.time(user.SeenAt))
}

// takeBack removes a user whom this transaction has just stored, and says why. The user
// must not outlive the answer, even where the caller's transaction goes on after it.
//
// They were never seen, so the trigger leaves no tombstone. Where only the session ID
// was taken, the user may still come.
func (s *Store) takeBack(ctx context.Context, id uuid.UUID) error {
	if _, err := s.exec(ctx, s.q.unsee, s.dialect.time(time.Unix(0, 0)), s.dialect.id(id)); err != nil {
		return err
	}
	if _, err := s.exec(ctx, s.q.deleteUser, s.dialect.id(id)); err != nil {
		return err
	}
	return store.ErrSessionEnded
}

// LockUser implements store.Store. The lock is the strongest: a row of the app's that is
// to refer to the user waits for it too. With a weaker lock, what an anonymous user
// writes during a merge could arrive after the app has moved their rows. It would then
// be deleted with them.
func (s *Store) LockUser(ctx context.Context, id uuid.UUID) (store.User, error) {
	query := s.q.user
	if s.tx(ctx) != nil {
		query = s.q.lockUser
	}
	user := store.User{ID: id}
	row := s.from(ctx).QueryRowContext(ctx, query, s.dialect.id(id))
	err := row.Scan(&user.Anonymous, moment{&user.CreatedAt}, moment{&user.SeenAt}, moment{&user.Ban.Until}, &user.Ban.Reason)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.User{}, store.ErrNotFound
	case err != nil:
		return store.User{}, wrap(ctx, err)
	}
	return user, nil
}

// SetAnonymous implements store.Store.
func (s *Store) SetAnonymous(ctx context.Context, id uuid.UUID, anonymous bool) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		n, err := s.exec(ctx, s.q.setAnonymous, anonymous, s.dialect.id(id))
		switch {
		case err != nil:
			return err
		case n > 0:
			return s.tellFeed(ctx, id)
		}
		_, err = s.LockUser(ctx, id) // MySQL counts a row that was so already as none
		return err
	})
}

// hold locks a user. A user who is not there is stored for a moment. Where another
// transaction has just stored them, the insert stores nothing and so locks nothing.
// Then the row is locked by another statement.
func (s *Store) hold(ctx context.Context, user store.User) error {
	for {
		if _, err := s.LockUser(ctx, user.ID); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if made, err := s.insertUser(ctx, user); made || err != nil {
			return err
		}
	}
}

// DeleteUser implements store.Store. It locks the ID of a user who is not there, too,
// so that a CreateAnonymous has to wait.
func (s *Store) DeleteUser(ctx context.Context, t store.Tombstone) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		err := s.hold(ctx, store.User{ID: t.UserID, Anonymous: true, CreatedAt: t.DeletedAt, SeenAt: t.DeletedAt})
		if err != nil {
			return err
		}
		var mergedInto any
		if t.MergedInto != uuid.Nil {
			mergedInto = s.dialect.id(t.MergedInto)
		}
		id := s.dialect.id(t.UserID)
		_, err = s.insert(ctx, s.q.insertTombstone, id, mergedInto, s.dialect.time(t.DeletedAt), s.dialect.time(t.ExpiresAt))
		if err != nil {
			return err
		}
		// Foreign keys delete their sessions and identities too, where they are
		// enforced. This does not depend on it.
		for _, query := range []string{s.q.deleteAllSessions, s.q.deleteIdentities, s.q.deleteUser} {
			if _, err := s.exec(ctx, query, id); err != nil {
				return err
			}
		}
		if err := s.leaveTickets(ctx, t); err != nil {
			return err
		}
		return s.tellFeed(ctx, t.UserID)
	})
}

// leaveTickets deletes the tickets of a deleted user, or gives them to whom the user was
// merged into.
func (s *Store) leaveTickets(ctx context.Context, t store.Tombstone) error {
	query, args := s.q.deleteTickets, []any{s.dialect.id(t.UserID)}
	if t.MergedInto != uuid.Nil {
		query, args = s.q.moveTickets, []any{s.dialect.id(t.MergedInto), s.dialect.id(t.UserID)}
		if s.dialect.name == "mysql" { // where SET comes last
			slices.Reverse(args)
		}
	}
	_, err := s.exec(ctx, query, args...)
	return err
}
