package sqlstore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin/store/sqlstore"
)

// BenchmarkActs is 32 visitors at a time who become rows, on a database that
// waits for its disk: how many more of them the store lets through than the bare
// driver does, with one row and one statement for each visitor ("statement"), and
// with the two rows of each in a transaction of their own ("transaction"). It
// takes turns with them, and reports medians of the ratios.
//
//	go test -run '^$' -bench Acts -benchtime 15x
func BenchmarkActs(b *testing.B) {
	const visitors, each = 32, 20
	for _, server := range servers {
		b.Run(server.name, func(b *testing.B) {
			d := server.start(b)(b)
			d.dsn = strings.Replace(d.dsn, "synchronous(NORMAL)", "synchronous(FULL)", 1)
			s, db := d.migrated(b)
			x := &bench{B: b, database: d, store: s, db: db, at: time.Now()}
			switch d.dialect { // the tests' servers do not wait for the disk
			case sqlstore.PostgreSQL:
				x.durable(b, "ALTER SYSTEM SET fsync = on", "SELECT pg_reload_conf()")
			case sqlstore.MySQL:
				x.durable(b, "SET GLOBAL innodb_flush_log_at_trx_commit = 1")
			}
			insertUser := x.insert("walkin_users (id, anonymous, created_at, seen_at) VALUES (?, ?, ?, ?)")
			insertSession := x.insert("walkin_sessions (id, user_id, created_at, renewed_at, expires_at) VALUES (?, ?, ?, ?, ?)")
			jobs := map[string]func(context.Context) error{
				"store": func(ctx context.Context) error {
					user, session := visitor(x.at)
					_, err := s.Persist(ctx, user, session)
					return err
				},
				"statement": func(ctx context.Context) error {
					user, _ := visitor(x.at)
					_, err := db.ExecContext(ctx, insertUser, x.bind(user.ID), true, x.time(x.at), x.time(x.at))
					return err
				},
				"transaction": func(ctx context.Context) error {
					user, session := visitor(x.at)
					tx, err := db.BeginTx(ctx, nil)
					if err != nil {
						return err
					}
					defer func() { _ = tx.Rollback() }()
					if _, err := tx.ExecContext(ctx, insertUser, x.bind(user.ID), true, x.time(x.at), x.time(x.at)); err != nil {
						return err
					}
					if _, err := tx.ExecContext(ctx, insertSession, x.bind(session.ID), x.bind(user.ID), x.time(x.at), x.time(x.at), x.time(x.at)); err != nil {
						return err
					}
					return tx.Commit()
				},
			}
			measure := func(job func(context.Context) error) float64 {
				start := time.Now()
				var wg sync.WaitGroup
				for range visitors {
					wg.Go(func() {
						for range each {
							if err := job(b.Context()); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				return time.Since(start).Seconds()
			}
			rates := make(map[string][]float64)
			for b.Loop() {
				took := measure(jobs["store"])
				rates["store"] = append(rates["store"], visitors*each/took)
				for _, name := range []string{"statement", "transaction"} {
					rates[name] = append(rates[name], measure(jobs[name])/took)
				}
			}
			for name, unit := range map[string]string{"store": "rows/s", "statement": "×statement", "transaction": "×transaction"} {
				slices.Sort(rates[name])
				b.ReportMetric(rates[name][len(rates[name])/2], unit)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// durable changes a setting of the server.
func (x *bench) durable(b *testing.B, statements ...string) {
	b.Helper()
	for _, statement := range statements {
		if _, err := x.db.ExecContext(b.Context(), statement); err != nil {
			b.Fatal(fmt.Errorf("%s: %w", statement, err))
		}
	}
}
