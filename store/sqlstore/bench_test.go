package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// A bench is a database and its store.
type bench struct {
	*testing.B
	database
	store *sqlstore.Store
	db    *sql.DB
	at    time.Time
	n     int // identities so far
}

// A job prepares something and returns what is measured.
type job func() (measured func())

// BenchmarkStore compares the store with the bare driver that runs the same statements.
// The two take turns, and "ratio" is that of their medians:
//
//	go test -run '^$' -bench Store/SQLite
func BenchmarkStore(b *testing.B) {
	jobs := []struct {
		name        string
		store, bare func(*bench) job
	}{
		{"create", (*bench).create, (*bench).bareCreate},
		{"lookup", (*bench).lookup, (*bench).bareLookup},
		{"upgrade", (*bench).upgrade, (*bench).bareUpgrade},
		{"sweep", (*bench).sweep, (*bench).bareSweep},
	}
	for _, server := range append(servers, struct {
		name  string
		start func(t testing.TB) server
	}{"pgxpool", func(t testing.TB) server {
		start := postgres(t)
		return func(t testing.TB) database {
			d := start(t)
			d.pgxpool = 4
			return d
		}
	}}) {
		b.Run(server.name, func(b *testing.B) {
			start := server.start(b)
			for _, job := range jobs {
				b.Run(job.name, func(b *testing.B) {
					d := start(b)
					x := &bench{B: b, database: d, at: time.Now()}
					x.store, x.db = d.migrated(b)
					x.compare(job.store(x), job.bare(x))
				})
			}
		})
	}
}

// compare runs both in turns.
func (x *bench) compare(store, bare job) {
	var times [2][]time.Duration
	for x.Loop() {
		for i, job := range [2]job{store, bare} {
			run := job()
			start := time.Now()
			run()
			times[i] = append(times[i], time.Since(start))
		}
	}
	var median [2]float64
	for i := range times {
		slices.Sort(times[i])
		median[i] = float64(times[i][len(times[i])/2])
	}
	x.ReportMetric(0, "ns/op") // of both, and of what prepares them
	x.ReportMetric(median[0]/1000, "store-µs")
	x.ReportMetric(median[1]/1000, "bare-µs")
	x.ReportMetric(median[0]/median[1], "ratio")
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
func (x *bench) tx(statements func(tx *sql.Tx)) {
	var opts *sql.TxOptions
	if x.dialect != sqlstore.SQLite {
		opts = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	tx, err := x.db.BeginTx(x.Context(), opts)
	ok(x, err)
	statements(tx)
	ok(x, tx.Commit())
}

func (x *bench) exec(tx *sql.Tx, query string, args ...any) {
	_, err := tx.ExecContext(x.Context(), query, args...)
	ok(x, err)
}

// persisted stores a visitor.
func (x *bench) persisted() (store.User, store.Session) {
	user, session := visitor(x.at)
	_, err := x.store.CreateAnonymous(x.Context(), user, session)
	ok(x, err)
	return user, session
}

func (x *bench) create() job {
	return func() func() {
		user, session := visitor(x.at)
		return func() {
			_, err := x.store.CreateAnonymous(x.Context(), user, session)
			ok(x, err)
		}
	}
}

func (x *bench) bareCreate() job {
	insertUser := x.insert("walkin_users (id, anonymous, created_at, seen_at) VALUES (?, ?, ?, ?)")
	insertSession := x.insert(`walkin_sessions (id, user_id, created_at, renewed_at, expires_at)
		SELECT ?, ?, ?, ?, ? FROM (SELECT 1 AS one) AS one WHERE NOT EXISTS (SELECT 1 FROM walkin_tombstones WHERE user_id = ?)`)
	return func() func() {
		user, session := visitor(x.at)
		return func() {
			x.tx(func(tx *sql.Tx) {
				x.exec(tx, insertUser, x.bind(user.ID), true, x.time(x.at), x.time(x.at))
				x.exec(tx, insertSession, x.bind(session.ID), x.bind(user.ID), x.time(x.at), x.time(x.at), x.time(x.at), x.bind(user.ID))
			})
		}
	}
}

func (x *bench) lookup() job {
	user, session := x.persisted()
	run := func() {
		_, err := x.store.LookupSession(x.Context(), user.ID, session.ID)
		ok(x, err)
	}
	return func() func() { return run }
}

func (x *bench) bareLookup() job {
	user, session := x.persisted()
	// As a time.Time would be read in the driver's zone, so is the text.
	read := map[sqlstore.Dialect]string{sqlstore.MySQL: "CAST(s.created_at AS char), CAST(s.renewed_at AS char), CAST(s.expires_at AS char)"}[x.dialect]
	if read == "" {
		read = "s.created_at, s.renewed_at, s.expires_at"
	}
	db := x.db
	if x.dialect == sqlstore.SQLite {
		db = openPool(x, x.driver, x.dsn) // the store's readers are many, too
	}
	query := x.sql("SELECT s.id IS NOT NULL, " + read + `,
			EXISTS (SELECT 1 FROM walkin_users WHERE id = ?), EXISTS (SELECT 1 FROM walkin_tombstones WHERE user_id = ?)
		FROM (SELECT 1 AS one) AS one LEFT JOIN walkin_sessions s ON s.id = ? AND s.user_id = ?`)
	row := func(args ...any) *sql.Row { return db.QueryRowContext(x.Context(), query, args...) }
	if x.dialect != sqlstore.PostgreSQL { // where pgx prepares by itself
		stmt, err := db.PrepareContext(x.Context(), query)
		ok(x, err)
		x.Cleanup(func() { stmt.Close() })
		row = func(args ...any) *sql.Row { return stmt.QueryRowContext(x.Context(), args...) }
	}
	id, sessionID := x.bind(user.ID), x.bind(session.ID)
	run := func() {
		var alive, known, deleted bool
		var created, renewed, expires any
		ok(x, row(id, id, sessionID, id).Scan(&alive, &created, &renewed, &expires, &known, &deleted))
	}
	return func() func() { return run }
}

// identity returns one that no user has.
func (x *bench) identity(user uuid.UUID) store.Identity {
	x.n++
	return store.Identity{Provider: "bench", Subject: fmt.Sprint(x.n), UserID: user, Secret: []byte("secret"), CreatedAt: x.at}
}

// upgrade does to the store what walkin.Middleware.Continue does.
func (x *bench) upgrade() job {
	return func() func() {
		user, session := x.persisted()
		session.ID = uuid.New()
		identity := x.identity(user.ID)
		return func() {
			ok(x, x.store.InTx(x.Context(), func(ctx context.Context) error {
				if err := x.store.CreateIdentity(ctx, identity); err != nil {
					return err
				}
				if err := x.store.SetAnonymous(ctx, user.ID, false); err != nil {
					return err
				}
				if err := x.store.DeleteSessions(ctx, user.ID, uuid.Nil); err != nil {
					return err
				}
				return x.store.CreateSession(ctx, session)
			}))
		}
	}
}

func (x *bench) bareUpgrade() job {
	lock := "SELECT anonymous FROM walkin_users WHERE id = ?"
	if x.dialect != sqlstore.SQLite {
		lock = x.sql(lock + " FOR UPDATE")
	}
	insertIdentity := x.insert("walkin_identities (provider, subject, user_id, secret, created_at) VALUES (?, ?, ?, ?, ?)")
	setAnonymous := x.sql("UPDATE walkin_users SET anonymous = ? WHERE id = ?")
	deleteSessions := x.sql("DELETE FROM walkin_sessions WHERE user_id = ? AND id <> ?")
	insertSession := x.insert("walkin_sessions (id, user_id, created_at, renewed_at, expires_at) VALUES (?, ?, ?, ?, ?)")
	return func() func() {
		user, session := x.persisted()
		session.ID = uuid.New()
		identity, id := x.identity(user.ID), x.bind(user.ID)
		return func() {
			x.tx(func(tx *sql.Tx) {
				var anonymous bool
				ok(x, tx.QueryRowContext(x.Context(), lock, id).Scan(&anonymous))
				x.exec(tx, insertIdentity, identity.Provider, identity.Subject, id, identity.Secret, x.time(x.at))
				x.exec(tx, setAnonymous, false, id)
				x.exec(tx, deleteSessions, id, x.bind(uuid.Nil))
				ok(x, tx.QueryRowContext(x.Context(), lock, id).Scan(&anonymous))
				x.exec(tx, insertSession, x.bind(session.ID), id, x.time(x.at), x.time(x.at), x.time(x.at))
			})
		}
	}
}

const swept = 500 // users at a time

// fill stores users who have been away.
func (x *bench) fill() {
	ok(x, x.store.InTx(x.Context(), func(ctx context.Context) error {
		for range swept {
			user, session := visitor(x.at.Add(-time.Hour))
			if _, err := x.store.CreateAnonymous(ctx, user, session); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (x *bench) sweep() job {
	return func() func() {
		x.fill()
		return func() {
			ok(x, x.store.InTx(x.Context(), func(ctx context.Context) error {
				users, err := x.store.InactiveUsers(ctx, x.at, store.User{}, swept)
				if err != nil {
					return err
				}
				return x.store.DeleteInactive(ctx, users)
			}))
		}
	}
}

func (x *bench) bareSweep() job {
	skip := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: " FOR UPDATE OF u SKIP LOCKED", sqlstore.MySQL: " FOR UPDATE SKIP LOCKED"}[x.dialect]
	read := "created_at, seen_at"
	if x.dialect == sqlstore.MySQL {
		read = "CAST(created_at AS char), CAST(seen_at AS char)"
	}
	away := x.sql("SELECT id, " + read + ` FROM walkin_users u WHERE anonymous = TRUE AND seen_at < ? AND (seen_at, id) > (?, ?)
		AND NOT EXISTS (SELECT 1 FROM walkin_identities WHERE user_id = u.id) ORDER BY seen_at, id LIMIT ?` + skip)
	list := " IN (?" + strings.Repeat(", ?", swept-1) + ")"
	if x.dialect == sqlstore.PostgreSQL {
		list = " = ANY (CAST((SELECT CAST(CAST(? AS text) AS uuid[])) AS uuid[]))"
	}
	deleteSessions := x.sql("DELETE FROM walkin_sessions WHERE user_id" + list)
	deleteUsers := x.sql("DELETE FROM walkin_users WHERE anonymous = TRUE AND id" + list)
	return func() func() {
		x.fill()
		return func() {
			x.tx(func(tx *sql.Tx) {
				rows, err := tx.QueryContext(x.Context(), away, x.time(x.at), x.time(time.Unix(0, 0)), x.bind(uuid.Nil), swept)
				ok(x, err)
				defer rows.Close()
				var ids []any
				var texts []string
				for rows.Next() {
					var id uuid.UUID
					var created, seen any
					ok(x, rows.Scan(&id, &created, &seen))
					ids, texts = append(ids, x.bind(id)), append(texts, id.String())
				}
				ok(x, rows.Err())
				if x.dialect == sqlstore.PostgreSQL {
					ids = []any{"{" + strings.Join(texts, ",") + "}"}
				}
				x.exec(tx, deleteSessions, ids...)
				x.exec(tx, deleteUsers, ids...)
			})
		}
	}
}
