package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// queryPrepared runs one of the queries that most requests make.
func (s *Store) queryPrepared(ctx context.Context, q *prepared, args ...any) (row *sql.Row, err error) {
	if s.tx(ctx) != nil || !s.dialect.prepare {
		return s.from(ctx).QueryRowContext(ctx, q.text, args...), nil
	}
	ask := func() (row *sql.Row, err error) {
		stmt, err := q.on(ctx, s, s.reader)
		if err != nil {
			return nil, err
		}
		row = stmt.QueryRowContext(ctx, args...)
		return row, row.Err()
	}
	if s.file == nil {
		return ask()
	}
	err = patiently(ctx, func() error { row, err = ask(); return err })
	return row, err
}

// CreateSession implements store.Store.
func (s *Store) CreateSession(ctx context.Context, session store.Session) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.LockUser(ctx, session.UserID); err != nil { // and locks them
			return err
		}
		made, err := s.insert(ctx, s.q.insertSession, s.dialect.id(session.ID), s.dialect.id(session.UserID),
			s.dialect.time(session.CreatedAt), s.dialect.time(session.RenewedAt), s.dialect.time(session.ExpiresAt))
		if err == nil && !made {
			err = store.ErrSessionEnded
		}
		return err
	})
}

// RenewSession implements store.Store.
func (s *Store) RenewSession(ctx context.Context, session store.Session) error {
	err := s.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.LockUser(ctx, session.UserID); err != nil { // and locks them
			return err
		}
		user := s.dialect.id(session.UserID)
		n, err := s.exec(ctx, s.q.renewSession, s.dialect.time(session.RenewedAt), s.dialect.time(session.ExpiresAt),
			s.dialect.id(session.ID), user)
		if err != nil {
			return err
		}
		if n == 0 { // gone, or on MySQL renewed to the same microsecond
			if _, err := s.LookupSession(ctx, session.UserID, session.ID); err != nil {
				return err
			}
		}
		_, err = s.exec(ctx, s.q.seen, s.dialect.time(session.RenewedAt), user)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = store.ErrSessionEnded
	}
	return err
}

// UserSessions implements store.Store.
func (s *Store) UserSessions(ctx context.Context, userID uuid.UUID) ([]store.Session, error) {
	rows, err := s.from(ctx).QueryContext(ctx, s.q.sessions, s.dialect.id(userID))
	if err != nil {
		return nil, wrap(ctx, err)
	}
	defer rows.Close()
	var sessions []store.Session
	for rows.Next() {
		session := store.Session{UserID: userID}
		if err := rows.Scan(&session.ID, moment{&session.CreatedAt}, moment{&session.RenewedAt}, moment{&session.ExpiresAt}); err != nil {
			return nil, wrap(ctx, err)
		}
		sessions = append(sessions, session)
	}
	if err := rows.Err(); err != nil {
		return nil, wrap(ctx, err)
	}
	return sessions, nil
}

// DeleteSession implements store.Store.
func (s *Store) DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error {
	return s.endSessions(ctx, userID, s.q.deleteSession, s.dialect.id(sessionID), s.dialect.id(userID))
}

// DeleteSessions implements store.Store.
func (s *Store) DeleteSessions(ctx context.Context, userID, except uuid.UUID) error {
	return s.endSessions(ctx, userID, s.q.deleteSessions, s.dialect.id(userID), s.dialect.id(except))
}

// endSessions deletes sessions of a user, and tells the feed.
func (s *Store) endSessions(ctx context.Context, userID uuid.UUID, query string, args ...any) error {
	if s.dialect.name != "mysql" { // whose triggers tell
		_, err := s.exec(ctx, query, args...)
		return err
	}
	return s.InTx(ctx, func(ctx context.Context) error {
		n, err := s.exec(ctx, query, args...)
		if err == nil && n > 0 {
			err = s.tellFeed(ctx, userID)
		}
		return err
	})
}
