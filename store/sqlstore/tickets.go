package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

const (
	maxData  = 128 << 10 // bytes of a ticket
	maxTries = 1000
)

var errTicket = fmt.Errorf("sqlstore: a ticket has a key of 1 to %d bytes of text without NUL, at most %d bytes of data, "+
	"and 0 to %d tries: %w", maxName, maxData, maxTries, store.ErrConstraint)

// PutTicket implements store.Store.
func (s *Store) PutTicket(ctx context.Context, ticket store.Ticket) error {
	if !canTicket(ticket) {
		return errTicket
	}
	return s.InTx(ctx, func(ctx context.Context) error {
		for {
			if _, err := s.exec(ctx, s.q.deleteTicket, ticket.Key); err != nil {
				return err
			}
			if added, err := s.insertTicket(ctx, ticket); added || err != nil {
				return err
			}
			// Another call was first, and has committed: this one is later.
		}
	})
}

// AddTicket implements store.Store.
func (s *Store) AddTicket(ctx context.Context, ticket store.Ticket, now time.Time) (added bool, err error) {
	if !canTicket(ticket) {
		return false, errTicket
	}
	err = s.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.exec(ctx, s.q.deleteExpiredTicket, ticket.Key, s.dialect.time(now)); err != nil {
			return err
		}
		added, err = s.insertTicket(ctx, ticket)
		return err
	})
	return added && err == nil, err
}

func canTicket(t store.Ticket) bool {
	return t.Key != "" && canName(t.Key) && len(t.Data) <= maxData && t.Tries >= 0 && t.Tries <= maxTries
}

// insertTicket reports whether it made the row: false when there is one.
func (s *Store) insertTicket(ctx context.Context, t store.Ticket) (added bool, err error) {
	return s.insert(ctx, s.q.insertTicket, t.Key, t.Data, t.Tries, s.dialect.time(t.ExpiresAt), s.dialect.idOrNull(t.UserID))
}

// Ticket implements store.Store.
func (s *Store) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if !canName(key) {
		return store.Ticket{}, store.ErrNotFound
	}
	return s.ticket(ctx, s.q.ticket, key, now)
}

// TryTicket implements store.Store.
func (s *Store) TryTicket(ctx context.Context, key string, now time.Time) (ticket store.Ticket, err error) {
	if !canName(key) {
		return store.Ticket{}, store.ErrNotFound
	}
	err = s.InTx(ctx, func(ctx context.Context) error {
		n, err := s.exec(ctx, s.q.tryTicket, key, s.dialect.time(now)) // and locks it
		if err != nil {
			return err
		}
		if n == 0 {
			return store.ErrNotFound
		}
		ticket, err = s.ticket(ctx, s.q.ticket, key, now)
		return err
	})
	return ticket, err
}

// TakeTicket implements store.Store.
func (s *Store) TakeTicket(ctx context.Context, key string, now time.Time) (ticket store.Ticket, err error) {
	if !canName(key) {
		return store.Ticket{}, store.ErrNotFound
	}
	err = s.InTx(ctx, func(ctx context.Context) error {
		if ticket, err = s.ticket(ctx, s.q.lockTicket, key, now); err != nil {
			return err
		}
		_, err = s.exec(ctx, s.q.deleteTicket, key)
		return err
	})
	if err != nil {
		return store.Ticket{}, err
	}
	return ticket, nil
}

// ticket reads one that has not expired.
func (s *Store) ticket(ctx context.Context, query, key string, now time.Time) (store.Ticket, error) {
	ticket := store.Ticket{Key: key}
	var user uuid.NullUUID
	err := s.from(ctx).QueryRowContext(ctx, query, key).Scan(s.dialect.blob(&ticket.Data), &ticket.Tries, moment{&ticket.ExpiresAt}, &user)
	ticket.UserID = user.UUID
	switch {
	case err == nil && now.Before(ticket.ExpiresAt):
		return ticket, nil
	case err == nil, errors.Is(err, sql.ErrNoRows):
		return store.Ticket{}, store.ErrNotFound
	}
	return store.Ticket{}, wrap(ctx, err)
}
