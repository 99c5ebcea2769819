package sqlstore_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// TestSweepAtScale sweeps 20,000 users, and checks that those went who had to.
// With a number in WALKIN_TEST_SWEEP it is that many, on a server that writes as
// one in production does, and says how long it took:
//
//	WALKIN_TEST_SWEEP=1000000 go test -run SweepAtScale -v -timeout 30m
func TestSweepAtScale(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) { sweepAtScale(t, server.start(t)(t)) })
	}
}

func sweepAtScale(t *testing.T, d database) {
	away := 20_000
	if s := os.Getenv("WALKIN_TEST_SWEEP"); s != "" {
		n, err := strconv.Atoi(s)
		ok(t, err)
		away = n
		d = d.durable(t)
	}
	store, db := d.migrated(t)
	for _, statement := range d.crowd(away) {
		_, err := db.ExecContext(t.Context(), statement)
		ok(t, err)
	}
	timed := &timedStore{Store: store}
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: timed})
	ok(t, err)

	start := time.Now()
	n, err := wk.Sweep(t.Context(), walkin.SweepOptions{})
	took := time.Since(start)
	ok(t, err)
	if n != away {
		t.Errorf("got %d users swept, want %d", n, away)
	}
	stay := away / 100
	wantRows(t, db, "walkin_users", 2*stay)
	wantRows(t, db, "walkin_sessions", 2*stay)
	wantRows(t, db, "walkin_session_data", stay)
	wantRows(t, db, "walkin_identities", stay)

	slices.Sort(timed.batches)
	t.Logf("%d users in %v; %d batches: median %v, 99 of 100 within %v, longest %v", n, took.Round(time.Millisecond), len(timed.batches),
		timed.batches[len(timed.batches)/2], timed.batches[len(timed.batches)*99/100], timed.batches[len(timed.batches)-1])
}

// A timedStore measures transactions.
type timedStore struct {
	*sqlstore.Store
	batches []time.Duration
}

func (s *timedStore) InTx(ctx context.Context, fn func(context.Context) error) error {
	start := time.Now()
	defer func() { s.batches = append(s.batches, time.Since(start)) }()
	return s.Store.InTx(ctx, fn)
}

// durable has the database write as it does in production.
func (d database) durable(t testing.TB) database {
	t.Helper()
	statements := map[sqlstore.Dialect][]string{
		sqlstore.PostgreSQL: {"ALTER SYSTEM SET fsync = on", "ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()"},
		sqlstore.MySQL:      {"SET GLOBAL innodb_flush_log_at_trx_commit = 1", "SET GLOBAL innodb_buffer_pool_size = 134217728"},
	}[d.dialect]
	db := d.pool(t)
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		ok(t, err)
	}
	switch d.dialect {
	case sqlstore.SQLite:
		d.dsn = strings.Replace(d.dsn, "synchronous(NORMAL)", "synchronous(FULL)", 1)
	case sqlstore.PostgreSQL:
		var on bool
		for attempt := 0; !on; attempt++ { // a reload takes a moment
			if attempt > 500 {
				t.Fatal("fsync stays off")
			}
			ok(t, db.QueryRowContext(t.Context(), `SELECT current_setting('fsync')::boolean FROM pg_sleep(0.01)`).Scan(&on))
		}
	}
	return d
}

// crowd returns statements that make users with a session each: so many who are
// away, and a hundredth of that each of those who were here lately and of those
// who are permanent. IDs grow with time, as UUIDv7 do.
func (d database) crowd(away int) []string {
	// The one table of numbers that all databases have.
	digits := "(SELECT 0 AS d UNION ALL SELECT " + strings.Join(strings.Split("123456789", ""), " UNION ALL SELECT ") + ")"
	var from, n []string
	for i, power := 0, 1; power < 2*away; i, power = i+1, power*10 {
		from = append(from, fmt.Sprintf("%s AS d%d", digits, i))
		n = append(n, fmt.Sprintf("%d * d%d.d", power, i))
	}
	numbers := fmt.Sprintf("(SELECT %s AS n FROM %s) AS numbers WHERE n < %d ORDER BY n", strings.Join(n, " + "), strings.Join(from, ", "), away+2*(away/100))
	id, session, text := "CAST(lpad(to_hex(n), 12, '0') || '70008' || substr(md5(n::text), 1, 15) AS uuid)", "gen_random_uuid()", "id::text"
	ago, hence, data := "now() - interval '%d days' + n * interval '1 second'", "now() + interval '1 hour'", "'x'::bytea"
	switch d.dialect {
	case sqlstore.MySQL:
		id, session, text = "UNHEX(CONCAT(LPAD(HEX(n), 12, '0'), '70008', LEFT(MD5(n), 15)))", "UNHEX(MD5(id))", "HEX(id)"
		ago, hence, data = "UTC_TIMESTAMP(6) - INTERVAL %d DAY + INTERVAL n SECOND", "UTC_TIMESTAMP(6) + INTERVAL 1 HOUR", "'x'"
	case sqlstore.SQLite:
		id, session, text = "CAST(substr('00000000000' || n, -12) || 'some' AS blob)", "randomblob(16)", "hex(id)"
		ago, hence, data = "(unixepoch() - %d * 86400 + n) * 1000000", "(unixepoch() + 3600) * 1000000", "x'00'"
	}
	long, lately := fmt.Sprintf(ago, 60), fmt.Sprintf(ago, 20)
	return []string{
		"INSERT INTO walkin_users (id, anonymous, created_at, seen_at) SELECT " + id + ", n % 102 <> 1, " + long +
			", CASE WHEN n % 102 = 0 THEN " + lately + " ELSE " + long + " END FROM " + numbers,
		"INSERT INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at) SELECT " + session +
			", id, created_at, seen_at, " + hence + " FROM walkin_users ORDER BY id",
		"INSERT INTO walkin_identities (provider, subject, user_id, created_at) SELECT 'test', " + text +
			", id, created_at FROM walkin_users WHERE NOT anonymous",
		"INSERT INTO walkin_session_data (session_id, data, expires_at) SELECT s.id, " + data + ", " + hence +
			" FROM walkin_sessions s JOIN walkin_users u ON u.id = s.user_id WHERE NOT anonymous",
	}
}
