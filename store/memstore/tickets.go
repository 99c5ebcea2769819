package memstore

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/walkin-go/walkin/store"
)

// What sqlstore refuses is refused here.
const (
	maxData  = 128 << 10 // bytes
	maxTries = 1000
)

var errTicket = fmt.Errorf("memstore: a ticket has a key of 1 to %d bytes of text without NUL, at most %d bytes of data, "+
	"and 0 to %d tries: %w", maxName, maxData, maxTries, store.ErrConstraint)

// PutTicket implements store.Store.
func (s *Store) PutTicket(ctx context.Context, ticket store.Ticket) error {
	_, err := s.putTicket(ctx, ticket, func(store.Ticket) bool { return false })
	return err
}

// AddTicket implements store.Store.
func (s *Store) AddTicket(ctx context.Context, ticket store.Ticket, now time.Time) (added bool, err error) {
	return s.putTicket(ctx, ticket, func(old store.Ticket) bool { return now.Before(old.ExpiresAt) })
}

// putTicket passes over one that is there and that spare is true for.
func (s *Store) putTicket(ctx context.Context, ticket store.Ticket, spare func(old store.Ticket) bool) (done bool, err error) {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if !fits(ticket) {
		return false, errTicket
	}
	if old, ok := s.tickets[ticket.Key]; ok && spare(old) {
		return false, nil
	}
	ticket.Data = bytes.Clone(ticket.Data)
	ticket.ExpiresAt = moment(ticket.ExpiresAt)
	put(t, s.tickets, ticket.Key, ticket)
	return true, nil
}

// Ticket implements store.Store.
func (s *Store) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return store.Ticket{}, err
	}
	defer leave()
	ticket, ok := s.tickets[key]
	if !ok || !now.Before(ticket.ExpiresAt) {
		return store.Ticket{}, store.ErrNotFound
	}
	ticket.Data = bytes.Clone(ticket.Data)
	return ticket, nil
}

func fits(ticket store.Ticket) bool {
	key := ticket.Key
	return key != "" && len(key) <= maxName && utf8.ValidString(key) && !strings.Contains(key, "\x00") &&
		len(ticket.Data) <= maxData && ticket.Tries >= 0 && ticket.Tries <= maxTries
}

// TryTicket implements store.Store.
func (s *Store) TryTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return store.Ticket{}, err
	}
	defer leave()
	ticket, ok := s.tickets[key]
	if !ok || ticket.Tries == 0 || !now.Before(ticket.ExpiresAt) {
		return store.Ticket{}, store.ErrNotFound
	}
	ticket.Tries--
	put(t, s.tickets, key, ticket)
	ticket.Data = bytes.Clone(ticket.Data)
	return ticket, nil
}

// TakeTicket implements store.Store.
func (s *Store) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	t, leave, err := s.enter(ctx)
	if err != nil {
		return store.Ticket{}, err
	}
	defer leave()
	ticket, ok := s.tickets[key]
	if !ok || !now.Before(ticket.ExpiresAt) {
		return store.Ticket{}, store.ErrNotFound
	}
	remove(t, s.tickets, key)
	ticket.Data = bytes.Clone(ticket.Data) // the transaction may be undone
	return ticket, nil
}
