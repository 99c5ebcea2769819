package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin/store/sqlstore"
	modernc "modernc.org/sqlite"
)

// BenchmarkActs is 32 visitors at a time who become rows, on a database that
// waits for its disk: how many more of them the store lets through than the bare
// driver does, with one row and one statement for each visitor ("statement"), with
// the two rows of each in a transaction of their own ("transaction"), and with
// those of all 32 at once and nothing checked ("floor"); and than the store itself
// does alone in a transaction, where the app has an OnCreate ("hook"). All take turns in an order
// of chance; it reports medians of the ratios. Some have disks that take longer.
//
//	go test -run '^$' -bench Acts -benchtime 40x
func BenchmarkActs(b *testing.B) {
	const visitors, each = 32, 32
	for _, c := range []struct {
		start func(testing.TB) server
		name  string
		more  time.Duration // for each commit
	}{
		{sqlite, "SQLite", 0}, {sqlite, "SQLite+1ms", time.Millisecond}, {sqlite, "SQLite+3ms", 3 * time.Millisecond},
		{postgres, "PostgreSQL", 0}, {postgres, "PostgreSQL+1ms", time.Millisecond}, {postgres, "PostgreSQL+3ms", 3 * time.Millisecond},
		{mariadb, "MariaDB", 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := c.start(b)(b).durable(b)
			s, db := d.migrated(b)
			d.slower(b, db, c.more)
			if d.dialect != sqlstore.SQLite {
				db.SetMaxOpenConns(visitors) // so that no bare statement waits for a connection
				db.SetMaxIdleConns(visitors)
			}
			x := &bench{B: b, database: d, store: s, db: db, at: time.Now()}
			insertUser := x.insert("walkin_users (id, anonymous, created_at, seen_at) VALUES (?, ?, ?, ?)")
			insertSession := x.insert("walkin_sessions (id, user_id, created_at, renewed_at, expires_at) VALUES (?, ?, ?, ?, ?)")
			type contender struct {
				name string
				at   int // visitors in one call
				call func(context.Context) error
			}
			contenders := []contender{
				{"store", 1, func(ctx context.Context) error {
					user, session := visitor(x.at)
					_, err := s.CreateAnonymous(ctx, user, session)
					return err
				}},
				{"hook", 1, func(ctx context.Context) error {
					return s.InTx(ctx, func(ctx context.Context) error { // as with walkin.Config.Hooks.OnCreate
						user, session := visitor(x.at)
						_, err := s.CreateAnonymous(ctx, user, session)
						return err
					})
				}},
				{"statement", 1, func(ctx context.Context) error {
					user, _ := visitor(x.at)
					_, err := db.ExecContext(ctx, insertUser, x.bind(user.ID), true, x.time(x.at), x.time(x.at))
					return err
				}},
				{"transaction", 1, func(ctx context.Context) error {
					user, session := visitor(x.at)
					return x.inTx(ctx, func(tx *sql.Tx) error {
						if _, err := tx.ExecContext(ctx, insertUser, x.bind(user.ID), true, x.time(x.at), x.time(x.at)); err != nil {
							return err
						}
						_, err := tx.ExecContext(ctx, insertSession, x.bind(session.ID), x.bind(user.ID), x.time(x.at), x.time(x.at), x.time(x.at))
						return err
					})
				}},
				{"floor", visitors, x.floor(visitors)},
			}
			// measure returns the seconds that a visitor takes.
			measure := func(c contender) float64 {
				start := time.Now()
				var wg sync.WaitGroup
				for range visitors / c.at {
					wg.Go(func() {
						for range each {
							if err := c.call(b.Context()); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				return time.Since(start).Seconds() / (visitors * each)
			}
			figures := make(map[string][]float64)
			for b.Loop() {
				took := make(map[string]float64)
				for _, i := range rand.Perm(len(contenders)) {
					took[contenders[i].name] = measure(contenders[i])
				}
				figures["rows/s"] = append(figures["rows/s"], 1/took["store"])
				for _, name := range []string{"hook", "statement", "transaction", "floor"} {
					figures["×"+name] = append(figures["×"+name], took[name]/took["store"])
				}
			}
			for unit, all := range figures {
				slices.Sort(all)
				b.ReportMetric(all[len(all)/2], unit)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// slower has every commit of the pool take so much longer.
func (d database) slower(b *testing.B, db *sql.DB, more time.Duration) {
	b.Helper()
	switch {
	case more == 0:
	case d.dialect == sqlstore.SQLite:
		conn, err := db.Conn(b.Context()) // the only one
		ok(b, err)
		defer conn.Close()
		ok(b, conn.Raw(func(conn any) error {
			conn.(modernc.HookRegisterer).RegisterCommitHook(func() int32 { time.Sleep(more); return 0 })
			return nil
		}))
	default: // PostgreSQL
		for _, statement := range []string{
			fmt.Sprintf("ALTER SYSTEM SET commit_delay = %d", more.Microseconds()),
			"ALTER SYSTEM SET commit_siblings = 0", "SELECT pg_reload_conf(), pg_sleep(0.1)",
		} {
			_, err := db.ExecContext(b.Context(), statement)
			ok(b, err)
		}
	}
}

// floor returns what inserts both rows of n new visitors in the quickest way
// there is. On PostgreSQL that is one statement.
func (x *bench) floor(n int) func(context.Context) error {
	all := func(row string) string { return row + strings.Repeat(", "+row, n-1) }
	insertUsers := x.sql("INSERT INTO walkin_users (id, anonymous, created_at, seen_at) VALUES " + all("(?, ?, ?, ?)"))
	insertSessions := x.sql("INSERT INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at) VALUES " + all("(?, ?, ?, ?, ?)"))
	if x.dialect == sqlstore.PostgreSQL {
		const query = `
			WITH u AS (INSERT INTO walkin_users (id, anonymous, created_at, seen_at)
				SELECT *, TRUE, $1::timestamptz, $1::timestamptz FROM unnest($2::text::uuid[]))
			INSERT INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at)
				SELECT *, $1::timestamptz, $1::timestamptz, $1::timestamptz FROM unnest($3::text::uuid[], $2::text::uuid[])`
		return func(ctx context.Context) error {
			var users, sessions []string
			for range n {
				user, session := visitor(x.at)
				users, sessions = append(users, user.ID.String()), append(sessions, session.ID.String())
			}
			_, err := x.db.ExecContext(ctx, query, x.at, fmt.Sprintf("{%s}", strings.Join(users, ",")), fmt.Sprintf("{%s}", strings.Join(sessions, ",")))
			return err
		}
	}
	var stmts [2]*sql.Stmt
	for i, query := range []string{insertUsers, insertSessions} {
		var err error
		stmts[i], err = x.db.PrepareContext(x.Context(), query)
		ok(x, err)
		x.Cleanup(func() { stmts[i].Close() })
	}
	return func(ctx context.Context) error {
		var users, sessions []any
		for range n {
			user, session := visitor(x.at)
			users = append(users, x.bind(user.ID), true, x.time(x.at), x.time(x.at))
			sessions = append(sessions, x.bind(session.ID), x.bind(user.ID), x.time(x.at), x.time(x.at), x.time(x.at))
		}
		return x.inTx(ctx, func(tx *sql.Tx) error {
			if _, err := tx.StmtContext(ctx, stmts[0]).ExecContext(ctx, users...); err != nil {
				return err
			}
			_, err := tx.StmtContext(ctx, stmts[1]).ExecContext(ctx, sessions...)
			return err
		})
	}
}

// inTx runs f in a transaction of the pool.
func (x *bench) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
