package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// A bench is a job, and the same statements on the bare driver.
type bench struct {
	database
	store *sqlstore.Store
	db    *sql.DB
	at    time.Time
}

// BenchmarkStore sets the store beside the bare driver. Read them as ratios:
//
//	go test -run '^$' -bench Store/SQLite
func BenchmarkStore(b *testing.B) {
	jobs := []struct {
		name        string
		store, bare func(*bench, *testing.B)
	}{
		{"create", (*bench).create, (*bench).bareCreate},
		{"lookup", (*bench).lookup, (*bench).bareLookup},
		{"upgrade", (*bench).upgrade, (*bench).bareUpgrade},
		{"sweep", (*bench).sweep, (*bench).bareSweep},
	}
	for _, server := range servers {
		b.Run(server.name, func(b *testing.B) {
			start := server.start(b)
			for _, job := range jobs {
				run := func(name string, job func(*bench, *testing.B)) {
					b.Run(name, func(b *testing.B) {
						d := start(b)
						s, db := d.migrated(b)
						job(&bench{d, s, db, time.Now()}, b)
					})
				}
				run(job.name+"/bare", job.bare)
				run(job.name+"/store", job.store)
			}
		})
	}
}

// time binds a time as the store does.
func (x *bench) time(t time.Time) any {
	switch x.dialect {
	case sqlstore.SQLite:
		return t.UnixMicro()
	case sqlstore.MySQL:
		return t.UTC().Format("2006-01-02 15:04:05.000000")
	}
	return t
}

// insert returns the dialect's INSERT that passes over rows that are there.
func (x *bench) insert(into string) string {
	if x.dialect == sqlstore.MySQL {
		return x.sql("INSERT IGNORE INTO " + into)
	}
	return x.sql("INSERT INTO " + into + " ON CONFLICT DO NOTHING")
}

// tx runs statements in a transaction of the store's kind.
func (x *bench) tx(b *testing.B, statements func(exec func(query string, args ...any))) {
	var opts *sql.TxOptions
	if x.dialect != sqlstore.SQLite {
		opts = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	tx, err := x.db.BeginTx(b.Context(), opts)
	ok(b, err)
	statements(func(query string, args ...any) {
		if _, err := tx.ExecContext(b.Context(), query, args...); err != nil {
			b.Fatal(err)
		}
	})
	ok(b, tx.Commit())
}

func (x *bench) create(b *testing.B) {
	for b.Loop() {
		user, session := visitor(x.at)
		if _, err := x.store.Persist(b.Context(), user, session); err != nil {
			b.Fatal(err)
		}
	}
}

func (x *bench) bareCreate(b *testing.B) {
	insertUser := x.insert("walkin_users (id, anonymous, created_at, seen_at) VALUES (?, ?, ?, ?)")
	insertSession := x.insert(`walkin_sessions (id, user_id, created_at, renewed_at, expires_at)
		SELECT ?, ?, ?, ?, ? FROM (SELECT 1 AS one) AS one WHERE NOT EXISTS (SELECT 1 FROM walkin_tombstones WHERE user_id = ?)`)
	for b.Loop() {
		user, session := visitor(x.at)
		x.tx(b, func(exec func(string, ...any)) {
			exec(insertUser, x.bind(user.ID), true, x.time(x.at), x.time(x.at))
			exec(insertSession, x.bind(session.ID), x.bind(user.ID), x.time(x.at), x.time(x.at), x.time(x.at), x.bind(user.ID))
		})
	}
}

func (x *bench) lookup(b *testing.B) {
	user, session := visitor(x.at)
	_, err := x.store.Persist(b.Context(), user, session)
	ok(b, err)
	for b.Loop() {
		if _, err := x.store.Lookup(b.Context(), user.ID, session.ID); err != nil {
			b.Fatal(err)
		}
	}
}

func (x *bench) bareLookup(b *testing.B) {
	user, session := visitor(x.at)
	_, err := x.store.Persist(b.Context(), user, session)
	ok(b, err)
	stmt, err := x.db.PrepareContext(b.Context(), x.sql(`
		SELECT s.id IS NOT NULL, s.created_at, s.renewed_at, s.expires_at,
			EXISTS (SELECT 1 FROM walkin_users WHERE id = ?), EXISTS (SELECT 1 FROM walkin_tombstones WHERE user_id = ?)
		FROM (SELECT 1 AS one) AS one LEFT JOIN walkin_sessions s ON s.id = ? AND s.user_id = ?`))
	ok(b, err)
	defer stmt.Close()
	id, sessionID := x.bind(user.ID), x.bind(session.ID)
	var alive, known, deleted bool
	var created, renewed, expires any
	for b.Loop() {
		if err := stmt.QueryRowContext(b.Context(), id, id, sessionID, id).
			Scan(&alive, &created, &renewed, &expires, &known, &deleted); err != nil || !alive {
			b.Fatal(err)
		}
	}
}

// upgrade does to the store what walkin.Middleware.Continue does.
func (x *bench) upgrade(b *testing.B) {
	n := 0
	for b.Loop() {
		b.StopTimer()
		user, session := visitor(x.at)
		_, err := x.store.Persist(b.Context(), user, session)
		ok(b, err)
		second := session
		second.ID = uuid.New()
		n++
		identity := walkin.Identity{Provider: "bench", Subject: fmt.Sprint(n), UserID: user.ID, Secret: []byte("secret"), CreatedAt: x.at}
		b.StartTimer()
		ok(b, x.store.InTx(b.Context(), func(ctx context.Context) error {
			if err := x.store.CreateIdentity(ctx, identity); err != nil {
				return err
			}
			if err := x.store.SetAnonymous(ctx, user.ID, false); err != nil {
				return err
			}
			if err := x.store.DeleteSessions(ctx, user.ID, uuid.Nil); err != nil {
				return err
			}
			return x.store.CreateSession(ctx, second)
		}))
	}
}

func (x *bench) bareUpgrade(b *testing.B) {
	lock := x.sql("SELECT anonymous FROM walkin_users WHERE id = ? FOR UPDATE")
	if x.dialect == sqlstore.SQLite {
		lock = "SELECT anonymous FROM walkin_users WHERE id = ?"
	}
	insertIdentity := x.insert("walkin_identities (provider, subject, user_id, secret, created_at) VALUES (?, ?, ?, ?, ?)")
	setAnonymous := x.sql("UPDATE walkin_users SET anonymous = ? WHERE id = ?")
	deleteSessions := x.sql("DELETE FROM walkin_sessions WHERE user_id = ? AND id <> ?")
	insertSession := x.insert("walkin_sessions (id, user_id, created_at, renewed_at, expires_at) VALUES (?, ?, ?, ?, ?)")
	n := 0
	for b.Loop() {
		b.StopTimer()
		user, session := visitor(x.at)
		_, err := x.store.Persist(b.Context(), user, session)
		ok(b, err)
		id := x.bind(user.ID)
		n++
		b.StartTimer()
		x.tx(b, func(exec func(string, ...any)) {
			exec(lock, id)
			exec(insertIdentity, "bench", fmt.Sprint(n), id, []byte("secret"), x.time(x.at))
			exec(setAnonymous, false, id)
			exec(deleteSessions, id, x.bind(uuid.Nil))
			exec(lock, id)
			exec(insertSession, x.bind(uuid.New()), id, x.time(x.at), x.time(x.at), x.time(x.at))
		})
	}
}

const swept = 500 // users at a time

// fill stores users who have been away.
func (x *bench) fill(b *testing.B) {
	ok(b, x.store.InTx(b.Context(), func(ctx context.Context) error {
		for range swept {
			user, session := visitor(x.at.Add(-time.Hour))
			if _, err := x.store.Persist(ctx, user, session); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (x *bench) sweep(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		x.fill(b)
		b.StartTimer()
		ok(b, x.store.InTx(b.Context(), func(ctx context.Context) error {
			users, err := x.store.Away(ctx, x.at, walkin.User{}, swept)
			if err != nil {
				return err
			}
			return x.store.DeleteAway(ctx, users)
		}))
	}
}

func (x *bench) bareSweep(b *testing.B) {
	skip := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: " FOR UPDATE OF u SKIP LOCKED", sqlstore.MySQL: " FOR UPDATE SKIP LOCKED"}[x.dialect]
	away := x.sql(`SELECT id, created_at, seen_at FROM walkin_users u WHERE anonymous = TRUE AND seen_at < ?
		AND NOT EXISTS (SELECT 1 FROM walkin_identities WHERE user_id = u.id) ORDER BY seen_at, id LIMIT ?` + skip)
	list := " IN (?" + strings.Repeat(", ?", swept-1) + ")"
	deleteSessions := x.sql("DELETE FROM walkin_sessions WHERE user_id" + list)
	deleteUsers := x.sql("DELETE FROM walkin_users WHERE anonymous = TRUE AND id" + list)
	for b.Loop() {
		b.StopTimer()
		x.fill(b)
		b.StartTimer()
		tx, err := x.db.BeginTx(b.Context(), nil)
		ok(b, err)
		rows, err := tx.QueryContext(b.Context(), away, x.time(x.at), swept)
		ok(b, err)
		var ids []any
		for rows.Next() {
			var id uuid.UUID
			var created, seen any
			ok(b, rows.Scan(&id, &created, &seen))
			ids = append(ids, x.bind(id))
		}
		ok(b, rows.Err())
		for _, query := range []string{deleteSessions, deleteUsers} {
			if _, err := tx.ExecContext(b.Context(), query, ids...); err != nil {
				b.Fatal(err)
			}
		}
		ok(b, tx.Commit())
	}
}
