package sqlstore_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// TestDirectoryPlans holds that each page of users is a range of one index, where
// one kind of user is rare and the planner has statistics that say so.
func TestDirectoryPlans(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) { directoryPlans(t, server.start(t)(t)) })
	}
}

func directoryPlans(t *testing.T, d database) {
	s, db := d.migrated(t)
	for _, statement := range d.crowd(30_000) { // of 100 who are anonymous one is permanent
		_, err := db.ExecContext(t.Context(), statement)
		ok(t, err)
	}
	analyze := map[sqlstore.Dialect]string{
		sqlstore.SQLite: "ANALYZE", sqlstore.PostgreSQL: "VACUUM ANALYZE walkin_users, walkin_identities", sqlstore.MySQL: "ANALYZE TABLE walkin_users, walkin_identities",
	}[d.dialect]
	users, permanent, owners, next, inactive := s.DirectoryQueries()
	var last, middle [16]byte
	for i := range last {
		last[i] = 0xff
	}
	middle[4], middle[5] = 0x3a, 0x98 // of the crowd's IDs, which count from 0
	now := any(time.Now())
	switch d.dialect {
	case sqlstore.SQLite:
		now = time.Now().UnixMicro()
	case sqlstore.MySQL:
		now = time.Now().UTC().Format("2006-01-02 15:04:05.000000")
	}
	check := func(when string) {
		t.Helper()
		for name, c := range map[string]struct {
			query, index string // what the plan names on PostgreSQL; others name it so or PRIMARY
			args         []any
		}{
			"users":           {users, "walkin_users_pkey", []any{s.BindID(last), s.BindID([16]byte{}), 51}},
			"older users":     {users, "walkin_users_pkey", []any{s.BindID(middle), s.BindID([16]byte{}), 51}},
			"a window":        {users, "walkin_users_pkey", []any{s.BindID(last), s.BindID([16]byte{}), 3264}},
			"permanent users": {permanent, "", []any{s.BindID(last), s.BindID([16]byte{}), 51}},
			"by address":      {owners, "walkin_identities_pkey", []any{"test", "1", "1\U0010ffff", 51}},
			"a provider":      {owners, "walkin_identities_pkey", []any{"test", "", "\U0010ffff", 51}},
			"providers":       {next, "walkin_identities_pkey", []any{""}},
			"inactive users":  {inactive, "", []any{now, 10_001}},
		} {
			plan := explain(t, d, db, c.query, c.args...)
			bad := []string{"Seq Scan", "Sort", "SCAN", "TEMP B-TREE", "filesort", "temporary", "type=ALL"}
			if d.dialect == sqlstore.SQLite {
				bad = bad[3:]
				if strings.Contains(plan, "SCAN ") && !strings.Contains(plan, "SEARCH") && name != "inactive users" {
					t.Errorf("%s, %s: it reads the whole table:\n%s", name, when, plan)
				}
			}
			if d.dialect == sqlstore.MySQL && (name == "permanent users" || name == "inactive users") {
				bad = nil // it sorts a few; and the derived table is type=ALL
			}
			if name == "inactive users" && when == "few are anonymous" {
				continue // so few that a small table is as good
			}
			for _, word := range bad {
				if strings.Contains(plan, word) {
					t.Errorf("%s, %s: the plan has %q:\n%s", name, when, word, plan)
				}
			}
			if d.dialect == sqlstore.PostgreSQL && !strings.Contains(plan, c.index) {
				t.Errorf("%s, %s: the plan lacks %q:\n%s", name, when, c.index, plan)
			}
		}
	}
	_, err := db.ExecContext(t.Context(), analyze)
	ok(t, err)
	check("few are permanent")

	count, err := s.CountUsers(t.Context(), store.PermanentUsers, false)
	ok(t, err)
	if count != (store.Count{N: 300, Accuracy: store.Exact}) {
		t.Errorf("got %+v permanent users, want 300", count)
	}
	// A page of the rare kind reads a part, and the next one goes on.
	started := time.Now()
	page, err := s.ListUsers(t.Context(), store.UserQuery{Kind: store.AnonymousUsers, SeenBefore: time.Unix(0, 0).Add(time.Hour)})
	ok(t, err)
	t.Logf("a page of no one: %v", time.Since(started))
	if len(page.Users) != 0 {
		t.Errorf("got %d users who were seen in 1970", len(page.Users))
	}

	_, err = db.ExecContext(t.Context(), "UPDATE walkin_users SET anonymous = NOT anonymous")
	ok(t, err)
	_, err = db.ExecContext(t.Context(), analyze)
	ok(t, err)
	check("few are anonymous")
	page, err = s.ListUsers(t.Context(), store.UserQuery{Kind: store.AnonymousUsers, Limit: 300})
	ok(t, err)
	if len(page.Users) == 0 || len(page.Users) > 90 || page.Next == "" {
		t.Errorf("got %d rare users and next %q, want those of 8,192 rows and the way on", len(page.Users), page.Next)
	}
	found := len(page.Users)
	for page.Next != "" {
		page, err = s.ListUsers(t.Context(), store.UserQuery{Kind: store.AnonymousUsers, Limit: 300, After: page.Next})
		ok(t, err)
		found += len(page.Users)
	}
	if found != 300 {
		t.Errorf("got %d rare users on all pages, want 300", found)
	}
}

// explain returns the plan of a query as text.
func explain(t *testing.T, d database, db *sql.DB, query string, args ...any) string {
	t.Helper()
	prefix := "EXPLAIN "
	if d.dialect == sqlstore.SQLite {
		prefix = "EXPLAIN QUERY PLAN "
	}
	rows, err := db.QueryContext(t.Context(), prefix+query, args...)
	ok(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	ok(t, err)
	var plan strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		ok(t, rows.Scan(values...))
		for i, v := range values {
			value := *v.(*any)
			if text, is := value.([]byte); is {
				value = string(text)
			}
			if d.dialect == sqlstore.MySQL {
				fmt.Fprintf(&plan, "%s=", columns[i])
			}
			fmt.Fprintf(&plan, "%v ", value)
		}
		plan.WriteString("\n")
	}
	ok(t, rows.Err())
	return plan.String()
}

// TestDirectoryEstimates compares what is counted quickly, and day by day, with what
// is there, where there is too much to count.
func TestDirectoryEstimates(t *testing.T) {
	d := postgres(t)(t)
	s, db := d.migrated(t)
	const users, days = 240_000, 4
	from := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)
	// The second half of each day has three times as many as the first. They come by
	// chance, but by the same chance in each run.
	const chance = "CAST(CAST('x' || substr(md5('at ' || n), 1, 8) AS bit(32)) AS bigint) / 4294967296.0"
	_, err := db.ExecContext(t.Context(), fmt.Sprintf(`
		INSERT INTO walkin_users (id, anonymous, created_at, seen_at)
		SELECT CAST(lpad(to_hex(ms), 12, '0') || '7000' || '8' || substr(md5(n::text), 1, 15) AS uuid), n %% 5 <> 0,
			to_timestamp(ms / 1000.0), to_timestamp(ms / 1000.0)
		FROM (SELECT n, %d + CAST(n / %d AS bigint) * 86400000
			+ CAST(43200000 * (CASE WHEN n %% 4 = 0 THEN 0 ELSE 1 END + %s) AS bigint) AS ms
			FROM generate_series(0, %d - 1) AS n) AS u`, from.UnixMilli(), users/days, chance, users))
	ok(t, err)
	_, err = db.ExecContext(t.Context(), `INSERT INTO walkin_identities (provider, subject, user_id, created_at)
		SELECT CASE WHEN substr(id::text, 36) < '4' THEN 'email' ELSE 'passkey' END, id::text, id, created_at FROM walkin_users WHERE NOT anonymous`)
	ok(t, err)
	_, err = db.ExecContext(t.Context(), "ANALYZE walkin_users, walkin_identities")
	ok(t, err)

	near := func(what string, got store.Count, want int64, within float64) {
		t.Helper()
		if off := float64(got.N-want) / float64(want); off > within || off < -within || got.Accuracy != store.Approximate {
			t.Errorf("%s: got %+v, want about %d", what, got, want)
		}
	}
	all, err := s.CountUsers(t.Context(), store.AllUsers, false)
	ok(t, err)
	near("all", all, users, 0.01)
	anonymous, err := s.CountUsers(t.Context(), store.AnonymousUsers, false)
	ok(t, err)
	near("anonymous", anonymous, users-users/5, 0.01)
	for kind, want := range map[store.UserKind]int64{store.AnonymousUsers: users - users/5, store.PermanentUsers: users / 5} {
		got, err := s.CountUsers(t.Context(), kind, true)
		ok(t, err)
		if got != (store.Count{N: want, Accuracy: store.Exact}) {
			t.Errorf("exactly: got %+v, want %d", got, want)
		}
	}
	daily, err := s.DailyUsers(t.Context(), from, days)
	ok(t, err)
	for _, day := range daily {
		near("new on "+day.Day.Format(time.DateOnly), day.New, users/days, 0.05)
		near("first by email", day.First["email"], users/days/5/4, 0.25)
		near("first by passkey", day.First["passkey"], users/days/5*3/4, 0.15)
	}
	inactive, err := s.CountInactive(t.Context(), time.Now(), 10_000)
	ok(t, err)
	if inactive != (store.Count{N: 10_000, Accuracy: store.AtLeast}) {
		t.Errorf("got %+v inactive, want 10,000 at least", inactive)
	}
	if _, err := s.ListUsers(t.Context(), store.UserQuery{After: uuid.Nil.String()}); err != nil {
		t.Error(err)
	}
}
