package sqlstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// sweepStuck has tables of the app's that refer to old users and to expired sessions
// without ON DELETE. Those rows stay and are reported to the operator. Everything else
// is deleted.
func sweepStuck(t *testing.T, d database) {
	s, db := d.migrated(t)
	column := map[sqlstore.Dialect]string{
		sqlstore.SQLite: "blob", sqlstore.PostgreSQL: "uuid", sqlstore.MySQL: "binary(16)"}[d.dialect]
	for _, table := range []string{"users", "sessions"} {
		// As a forgotten table does, also where it is checked at the commit.
		deferred := ""
		if d.dialect != sqlstore.MySQL && table == "users" {
			deferred = " DEFERRABLE INITIALLY DEFERRED"
		}
		_, err := db.ExecContext(t.Context(), "CREATE TABLE of_"+table+" (id "+column+
			" NOT NULL, FOREIGN KEY (id) REFERENCES walkin_"+table+" (id)"+deferred+")")
		ok(t, err)
	}
	var events []walkin.Event
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s,
		OnEvent: func(_ context.Context, e walkin.Event) { events = append(events, e) }})
	ok(t, err)
	now := time.Now()
	const users, sessions = 60, 25
	var stuck []uuid.UUID
	for i := range users {
		user, session := visitor(now.Add(time.Duration(i-users*24) * time.Hour))
		session.ExpiresAt = now.Add(time.Hour)
		_, err := s.CreateAnonymous(t.Context(), user, session)
		ok(t, err)
		if i == 0 || i == 30 || i == 31 {
			stuck = append(stuck, user.ID)
			_, err := db.ExecContext(t.Context(), d.sql("INSERT INTO of_users VALUES (?)"), d.bind(user.ID))
			ok(t, err)
		}
	}
	user, session := visitor(now)
	_, err = s.CreateAnonymous(t.Context(), user, session)
	ok(t, err)
	for i := range sessions {
		session := session
		session.ID, session.ExpiresAt = uuid.New(), now.Add(time.Duration(i-sessions-1)*time.Hour)
		ok(t, s.CreateSession(t.Context(), session))
		if i < 2 || i == 12 {
			_, err := db.ExecContext(t.Context(), d.sql("INSERT INTO of_sessions VALUES (?)"), d.bind(session.ID))
			ok(t, err)
		}
	}
	ok(t, s.PutTicket(t.Context(), store.Ticket{Key: "old", ExpiresAt: now.Add(-time.Hour)}))

	n, err := wk.Sweep(t.Context(), walkin.SweepOptions{Batch: 20})
	if n != 57 || err == nil {
		t.Errorf("got %d swept and %v, want 57 and an error", n, err)
	}
	for _, id := range stuck {
		if err == nil || !strings.Contains(err.Error(), id.String()) {
			t.Errorf("got %v, want %v named", err, id)
		}
	}
	for _, part := range []string{"3 users could not be deleted", "3 expired rows could not be deleted"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q in it", err, part)
		}
	}
	if len(events) != 1 || events[0].Outcome != walkin.Swept || events[0].Count != 57 || events[0].Err != err {
		t.Errorf("got events %v, want one Swept with 57 and the error", events)
	}
	wantRows(t, db, "walkin_users", len(stuck)+1)
	wantRows(t, db, "walkin_sessions", len(stuck)+1+3)
	wantRows(t, db, "walkin_tickets", 0)

	for _, table := range []string{"users", "sessions"} {
		_, err := db.ExecContext(t.Context(), "DELETE FROM of_"+table)
		ok(t, err)
	}
	if n, err := wk.Sweep(t.Context(), walkin.SweepOptions{}); n != 3 || err != nil {
		t.Errorf("once nothing refers to them: got %d and %v, want 3", n, err)
	}
	wantRows(t, db, "walkin_users", 1)
	wantRows(t, db, "walkin_sessions", 1)
}
