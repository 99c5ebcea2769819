package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

// counting is a store that counts look-ups.
type counting struct {
	store.Store
	lookups *atomic.Int64
}

func (c counting) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	c.lookups.Add(1)
	return c.Store.LookupSession(ctx, user, session)
}

// readersWriteNothing has ten thousand page views without a cookie and as many
// by visitors who return, half of them with a row and data in their session. All
// of the latter ask the database; none leaves a trace in it.
func readersWriteNothing(t *testing.T, d database) {
	const views = 10_000
	var lookups atomic.Int64
	site := newDataSite(t, d, false, func(cfg *walkin.Config) {
		cfg.Sessions.RecheckAfter = time.Nanosecond
		cfg.Store = counting{cfg.Store, &lookups}
	})
	var visitors []*walkintest.Client
	for i := range 100 {
		visitors = append(visitors, site.visitor(fmt.Sprint("word ", i)))
	}
	watch := d.watch(t, site.dbs)
	before := watch()

	for range views {
		c := walkintest.NewClient(t, site.sites[0])
		if r := c.Visit("/"); r.StatusCode != http.StatusOK || len(r.Cookies()) != 1 {
			t.Fatalf("a first visit: got %d with %d cookies", r.StatusCode, len(r.Cookies()))
		}
		if len(visitors) < 100+views/2 {
			visitors = append(visitors, c)
		}
	}
	if after := watch(); after != before {
		t.Errorf("after %d views without a cookie: got\n%s\nwant\n%s", views, after, before)
	}

	lookups.Store(0)
	for i := range views {
		c := visitors[i%100]
		if i%2 == 0 {
			c = visitors[100+i/2]
		}
		if r := c.On(site.sites[i/2%2]).Visit("/"); r.StatusCode != http.StatusOK || len(r.Cookies()) != 0 {
			t.Fatalf("a visitor who returns: got %d with %d cookies", r.StatusCode, len(r.Cookies()))
		}
		if want := fmt.Sprint("word ", i%100); i%2 == 1 && site.word != want {
			t.Fatalf("got %q in the session, want %q", site.word, want)
		}
	}
	if n := lookups.Load(); n != views {
		t.Errorf("got %d look-ups, want one for each of %d views", n, views)
	}
	if after := watch(); after != before {
		t.Errorf("after %d views by visitors who return: got\n%s\nwant\n%s", views, after, before)
	}

	// What watches would have seen it.
	visitors[100].Post("/", nil)
	if watch() == before {
		t.Error("an act left no trace: this test sees nothing")
	}
}

// watch returns a function that says what the tables have been through: how many
// rows there are, and what the database itself counts or remembers of writes. It
// is told of the pools because PostgreSQL's connections count for themselves and
// tell from time to time; they are asked to. One test uses one of each pool.
func (d database) watch(t *testing.T, pools [2]*sql.DB) func() string {
	t.Helper()
	conn, err := d.pool(t).Conn(t.Context())
	ok(t, err)
	t.Cleanup(func() { conn.Close() })
	query := map[sqlstore.Dialect]string{
		// Changes when another connection has changed the file.
		sqlstore.SQLite: "SELECT 'data_version', data_version FROM pragma_data_version",
		// What was inserted, updated and deleted; and which transaction wrote
		// or locked each row last.
		sqlstore.PostgreSQL: `SELECT relname, concat_ws(' ', n_tup_ins, n_tup_upd, n_tup_del) FROM pg_stat_user_tables WHERE schemaname = current_schema()
			UNION ALL SELECT 'users', string_agg(concat(ctid, xmin, ' ', xmax), ' ' ORDER BY id) FROM walkin_users
			UNION ALL SELECT 'sessions', string_agg(concat(ctid, xmin, ' ', xmax), ' ' ORDER BY id) FROM walkin_sessions
			UNION ALL SELECT 'data', string_agg(concat(ctid, xmin, ' ', xmax), ' ' ORDER BY session_id) FROM walkin_session_data
			ORDER BY 1`,
		sqlstore.MySQL: `SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_insert', 'Com_insert_select', 'Com_update', 'Com_delete',
			'Com_replace', 'Innodb_rows_inserted', 'Innodb_rows_updated', 'Innodb_rows_deleted')`,
	}[d.dialect]
	flush := false
	if d.dialect == sqlstore.PostgreSQL {
		ok(t, conn.QueryRowContext(t.Context(), "SELECT to_regproc('pg_stat_force_next_flush') IS NOT NULL").Scan(&flush))
		if !flush { // before PostgreSQL 15 the counts come when they come: the rows tell
			_, query, _ = strings.Cut(query, "UNION ALL ")
		}
	}
	return func() string {
		t.Helper()
		for _, db := range pools {
			if flush {
				_, err := db.ExecContext(t.Context(), "SELECT pg_stat_force_next_flush()")
				ok(t, err)
			}
		}
		var b strings.Builder
		for _, table := range []string{"walkin_users", "walkin_sessions", "walkin_session_data", "walkin_identities", "walkin_tombstones"} {
			var n int
			ok(t, conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n))
			fmt.Fprintln(&b, table, n)
		}
		rows, err := conn.QueryContext(t.Context(), query)
		ok(t, err)
		defer rows.Close()
		for rows.Next() {
			var name string
			var value sql.NullString
			ok(t, rows.Scan(&name, &value))
			fmt.Fprintln(&b, name, value.String)
		}
		ok(t, rows.Err())
		return b.String()
	}
}
