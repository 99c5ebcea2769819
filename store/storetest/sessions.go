package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

func createSession(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	second := session
	second.ID = uuid.New()
	ok(t, b.CreateSession(t.Context(), second))
	for _, id := range []uuid.UUID{session.ID, second.ID} {
		_, err := a.LookupSession(t.Context(), user.ID, id)
		ok(t, err)
	}
	is(t, a.CreateSession(t.Context(), second), store.ErrSessionEnded)
	second.ID, second.UserID = uuid.New(), uuid.New()
	is(t, a.CreateSession(t.Context(), second), store.ErrNotFound)
}

func renewSession(t *testing.T, a, b store.Store) {
	user, session := persisted(t, a)
	asked := session
	asked.CreatedAt = start.Add(-time.Hour) // not for a renewal to change
	asked.RenewedAt, asked.ExpiresAt = start.Add(24*time.Hour), start.Add(48*time.Hour)
	ok(t, b.RenewSession(t.Context(), asked))
	ok(t, b.RenewSession(t.Context(), asked)) // the same again
	session.RenewedAt, session.ExpiresAt = asked.RenewedAt, asked.ExpiresAt
	got, err := a.LookupSession(t.Context(), user.ID, session.ID)
	ok(t, err)
	sameSession(t, got, session)
	user.SeenAt = asked.RenewedAt
	seen, err := a.LockUser(t.Context(), user.ID)
	ok(t, err)
	sameUser(t, seen, user)

	stranger, _ := persisted(t, a)
	foreign := asked
	foreign.UserID = stranger.ID
	is(t, a.RenewSession(t.Context(), foreign), store.ErrSessionEnded)
	ok(t, a.DeleteSession(t.Context(), user.ID, session.ID))
	is(t, b.RenewSession(t.Context(), asked), store.ErrSessionEnded)
	_, err = a.LookupSession(t.Context(), user.ID, session.ID)
	is(t, err, store.ErrSessionEnded)
}

func deleteSessions(t *testing.T, a, b store.Store) {
	user, first := persisted(t, a)
	second, third := first, first
	second.ID, third.ID = uuid.New(), uuid.New()
	ok(t, a.CreateSession(t.Context(), second))
	ok(t, a.CreateSession(t.Context(), third))
	bystander, other := persisted(t, a)

	for _, id := range []uuid.UUID{first.ID, other.ID, uuid.New()} {
		ok(t, b.DeleteSession(t.Context(), user.ID, id))
	}
	_, err := a.LookupSession(t.Context(), user.ID, first.ID)
	is(t, err, store.ErrSessionEnded)
	for _, s := range []store.Session{second, third, other} {
		_, err := a.LookupSession(t.Context(), s.UserID, s.ID)
		ok(t, err)
	}
	ok(t, b.DeleteSessions(t.Context(), user.ID, second.ID))
	_, err = a.LookupSession(t.Context(), user.ID, second.ID)
	ok(t, err)
	_, err = a.LookupSession(t.Context(), user.ID, third.ID)
	is(t, err, store.ErrSessionEnded)
	ok(t, b.DeleteSessions(t.Context(), user.ID, uuid.Nil))
	_, err = a.LookupSession(t.Context(), user.ID, second.ID)
	is(t, err, store.ErrSessionEnded)
	_, err = a.LookupSession(t.Context(), bystander.ID, other.ID)
	ok(t, err)
	ok(t, b.DeleteSessions(t.Context(), uuid.New(), uuid.Nil))
}
