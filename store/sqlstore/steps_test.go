package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
)

// A step is one call of the store, and how many rows it may be about.
type step struct {
	name string
	rows int
	call func(ctx context.Context) error
}

// steps call every method of the store, so that every statement is made.
func (s skewed) steps(t *testing.T) []step {
	user, id, at := s.user.ID, s.session.ID, s.at
	other, otherSession := visitor(at)
	third, thirdSession := visitor(at)
	ticket := store.Ticket{Key: "a ticket " + uuid.NewString(), Tries: 3, ExpiresAt: at.Add(time.Hour)}
	data, key := s.Sessions(), s.session.ID.String()
	newer := store.Session{ID: uuid.New(), UserID: user, CreatedAt: at, RenewedAt: at, ExpiresAt: at.Add(time.Hour)}
	often := limit.Limit{Count: 9, Per: time.Hour}
	address := "203.0.113." + uuid.NewString()
	var inactive []store.User
	return []step{
		{"LookupSession", 4, func(ctx context.Context) error { _, err := s.LookupSession(ctx, user, id); return err }},
		{"LookupSession in a transaction", 4, func(ctx context.Context) error {
			return s.InTx(ctx, func(ctx context.Context) error { _, err := s.LookupSession(ctx, user, id); return err })
		}},
		{"LookupSession of many", 64 * 4, func(ctx context.Context) error {
			var wg sync.WaitGroup
			errs := make([]error, 64)
			for i := range errs {
				wg.Go(func() { _, errs[i] = s.LookupSession(ctx, user, id) })
			}
			wg.Wait()
			return errors.Join(errs...)
		}},
		{"CreateAnonymous", 6, func(ctx context.Context) error { _, err := s.CreateAnonymous(ctx, other, otherSession); return err }},
		{"CreateAnonymous again", 8, func(ctx context.Context) error { _, err := s.CreateAnonymous(ctx, other, otherSession); return err }},
		{"CreateAnonymous in a transaction", 8, func(ctx context.Context) error {
			return s.InTx(ctx, func(ctx context.Context) error { _, err := s.CreateAnonymous(ctx, third, thirdSession); return err })
		}},
		{"CreateAnonymous with a session ID that is taken", 12, func(ctx context.Context) error {
			u, session := visitor(at)
			session.ID = id
			if _, err := s.CreateAnonymous(ctx, u, session); err == nil {
				return errors.New("no error")
			}
			return nil
		}},
		{"CreateAnonymous of many", 64 * 12, func(ctx context.Context) error {
			var wg sync.WaitGroup
			errs := make([]error, 64)
			for i := range errs {
				u, session := visitor(at)
				wg.Go(func() { _, errs[i] = s.CreateAnonymous(ctx, u, session) })
			}
			wg.Wait()
			return errs[0]
		}},
		{"CreateUser", 4, func(ctx context.Context) error { u, _ := visitor(at); return s.CreateUser(ctx, u) }},
		{"LockUser", 1, func(ctx context.Context) error { _, err := s.LockUser(ctx, user); return err }},
		{"SetAnonymous", 3, func(ctx context.Context) error { return s.SetAnonymous(ctx, other.ID, false) }},
		{"CreateSession", 4, func(ctx context.Context) error { return s.CreateSession(ctx, newer) }},
		{"RenewSession", 6, func(ctx context.Context) error { return s.RenewSession(ctx, newer) }},
		{"DeleteSession", 3, func(ctx context.Context) error { return s.DeleteSession(ctx, user, newer.ID) }},
		{"UserSessions", skew * 3, func(ctx context.Context) error { _, err := s.UserSessions(ctx, user); return err }},
		{"DeleteSessions", 4, func(ctx context.Context) error { return s.DeleteSessions(ctx, other.ID, otherSession.ID) }},
		{"Identity", 1, func(ctx context.Context) error { _, err := s.Identity(ctx, "test", "hot"); return err }},
		{"Identities", skew * 3, func(ctx context.Context) error { _, err := s.Identities(ctx, user); return err }},
		{"CreateIdentity", 4, func(ctx context.Context) error {
			return s.CreateIdentity(ctx, store.Identity{Provider: "test", Subject: "more", UserID: user, CreatedAt: at})
		}},
		{"SetSecret", 2, func(ctx context.Context) error { return s.SetSecret(ctx, "test", "more", []byte("s")) }},
		{"DeleteIdentity", 3, func(ctx context.Context) error { return s.DeleteIdentity(ctx, user, "test", "more") }},
		{"PutTicket", 3, func(ctx context.Context) error { return s.PutTicket(ctx, ticket) }},
		{"AddTicket", 3, func(ctx context.Context) error { _, err := s.AddTicket(ctx, ticket, at); return err }},
		{"Ticket", 1, func(ctx context.Context) error { _, err := s.Ticket(ctx, ticket.Key, at); return err }},
		{"TryTicket", 3, func(ctx context.Context) error { _, err := s.TryTicket(ctx, ticket.Key, at); return err }},
		{"TakeTicket", 3, func(ctx context.Context) error { _, err := s.TakeTicket(ctx, ticket.Key, at); return err }},
		{"session data", 8, func(ctx context.Context) error {
			if err := data.CommitCtx(ctx, key, []byte("x"), at.Add(time.Hour)); err != nil {
				return err
			}
			if _, found, err := data.FindCtx(ctx, key); !found || err != nil {
				return fmt.Errorf("not found: %w", err)
			}
			return data.DeleteCtx(ctx, key)
		}},
		{"a limit", 6, func(ctx context.Context) error {
			for range 2 {
				if _, err := s.Limiter().Take(ctx, address, often, 1, at); err != nil {
					return err
				}
			}
			return nil
		}},
		{"the database", 16, func(ctx context.Context) error {
			if _, err := s.Database(ctx); err != nil {
				return err
			}
			if err := s.AnnounceTokenLife(ctx, 24*time.Hour, at); err != nil {
				return err
			}
			if err := s.Adopt(ctx, "abcdefgh"); err != nil {
				return err
			}
			if _, err := s.Now(ctx); err != nil {
				return err
			}
			return s.EndSessionsBefore(ctx, time.Unix(1, 0), true)
		}},
		{"the feed", 1000, func(ctx context.Context) error {
			f, err := s.Feed(ctx)
			if err == nil {
				err = s.SetAnonymous(ctx, user, true)
			}
			if err == nil {
				err = s.SetAnonymous(ctx, user, false)
			}
			if err == nil {
				_, err = f.Next(ctx)
			}
			return err
		}},
		{"the sweep of users", 100 * 12, func(ctx context.Context) error {
			return s.InTx(ctx, func(ctx context.Context) (err error) {
				if inactive, err = s.InactiveUsers(ctx, at.Add(-30*24*time.Hour), store.User{}, 100); err != nil {
					return err
				}
				if len(inactive) != 100 {
					return fmt.Errorf("%d users to sweep", len(inactive))
				}
				return s.DeleteInactive(ctx, inactive)
			})
		}},
		{"DeleteUser", 8, func(ctx context.Context) error {
			return s.DeleteUser(ctx, store.Tombstone{UserID: other.ID, DeletedAt: at, ExpiresAt: at.Add(time.Hour)})
		}},
		{"DeleteUser who is not there", 8, func(ctx context.Context) error {
			return s.DeleteUser(ctx, store.Tombstone{UserID: uuid.Must(uuid.NewV7()), DeletedAt: at, ExpiresAt: at.Add(time.Hour)})
		}},
		{"DeleteUser who was merged", 8, func(ctx context.Context) error {
			id := uuid.Must(uuid.NewV7())
			theirs := store.Ticket{Key: "of " + id.String(), ExpiresAt: at.Add(time.Hour), UserID: id}
			return errors.Join(s.PutTicket(ctx, theirs),
				s.DeleteUser(ctx, store.Tombstone{UserID: id, MergedInto: user, DeletedAt: at, ExpiresAt: at.Add(time.Hour)}))
		}},
		{"CreateUser who was deleted", 8, func(ctx context.Context) error {
			if err := s.CreateUser(ctx, other); err == nil {
				return errors.New("no error")
			}
			return nil
		}},
		{"the sweep of what expired", 2 * 6 * skew, func(ctx context.Context) error {
			n, err := s.DeleteExpired(ctx, at.Add(-time.Minute), 1000)
			if err == nil && n < 4*skew {
				err = fmt.Errorf("%d rows", n)
			}
			return err
		}},
	}
}
