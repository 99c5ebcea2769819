package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/walkin-go/walkin"
)

const (
	maxData  = 128 << 10 // bytes of a ticket
	maxTries = 1000
)

var errTicket = fmt.Errorf("sqlstore: a ticket has a key of 1 to %d bytes of text without NUL, at most %d bytes of data, "+
	"and 0 to %d tries", maxName, maxData, maxTries)

// PutTicket implements walkin.Store.
func (s *Store) PutTicket(ctx context.Context, ticket walkin.Ticket) (replaced bool, err error) {
	if ticket.Key == "" || !canName(ticket.Key) || len(ticket.Data) > maxData || ticket.Tries < 0 || ticket.Tries > maxTries {
		return false, errTicket
	}
	err = s.InTx(ctx, func(ctx context.Context) error {
		replaced = false
		for {
			n, err := s.exec(ctx, s.q.deleteTicket, ticket.Key)
			if err != nil {
				return err
			}
			replaced = replaced || n > 0
			n, err = s.exec(ctx, s.q.insertTicket, ticket.Key, ticket.Data, ticket.Tries, s.dialect.time(ticket.ExpiresAt))
			if err != nil || n > 0 {
				return err
			}
			// Another call was first, and has committed: this one is later.
		}
	})
	return replaced, err
}

// TryTicket implements walkin.Store.
func (s *Store) TryTicket(ctx context.Context, key string, now time.Time) (ticket walkin.Ticket, err error) {
	if !canName(key) {
		return walkin.Ticket{}, walkin.ErrNotFound
	}
	err = s.InTx(ctx, func(ctx context.Context) error {
		n, err := s.exec(ctx, s.q.tryTicket, key, s.dialect.time(now)) // and locks it
		if err != nil {
			return err
		}
		if n == 0 {
			return walkin.ErrNotFound
		}
		ticket, err = s.ticket(ctx, s.q.ticket, key)
		return err
	})
	return ticket, err
}

// TakeTicket implements walkin.Store.
func (s *Store) TakeTicket(ctx context.Context, key string, now time.Time) (ticket walkin.Ticket, err error) {
	if !canName(key) {
		return walkin.Ticket{}, walkin.ErrNotFound
	}
	err = s.InTx(ctx, func(ctx context.Context) error {
		if ticket, err = s.ticket(ctx, s.q.lockTicket, key); err != nil {
			return err
		}
		if !now.Before(ticket.ExpiresAt) {
			return walkin.ErrNotFound
		}
		_, err = s.exec(ctx, s.q.deleteTicket, key)
		return err
	})
	if err != nil {
		return walkin.Ticket{}, err
	}
	return ticket, nil
}

// ticket reads one in the transaction of ctx.
func (s *Store) ticket(ctx context.Context, query, key string) (walkin.Ticket, error) {
	ticket := walkin.Ticket{Key: key}
	err := s.from(ctx).QueryRowContext(ctx, query, key).Scan(&ticket.Data, &ticket.Tries, moment{&ticket.ExpiresAt})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return walkin.Ticket{}, walkin.ErrNotFound
	case err != nil:
		return walkin.Ticket{}, wrap(ctx, err)
	}
	return ticket, nil
}
