package sqlstore_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// The tests of this file look at how databases answer the statements of a store, with
// one user who has very many sessions, identities and tickets, and many old rows of
// others. A statement that reads a whole table, or many rows to find one, fails.

const skew = 20_000

// A skewed database has its hot user.
type skewed struct {
	*sqlstore.Store
	user     store.User
	session  store.Session
	identity store.Identity
	at       time.Time
}

// skewedData fills the tables of a database: with many users who have a session
// each, and then with what the hot user has.
func (d database) skewedData(t *testing.T, st *sqlstore.Store, db *sql.DB, between func()) skewed {
	t.Helper()
	at := time.Now().UTC().Truncate(time.Microsecond)
	s := skewed{Store: st, at: at}
	s.user, s.session = visitor(at)
	_, err := st.CreateAnonymous(t.Context(), s.user, s.session)
	ok(t, err)
	s.identity = store.Identity{Provider: "test", Subject: "hot", UserID: s.user.ID, CreatedAt: at}
	ok(t, st.CreateIdentity(t.Context(), s.identity))
	ok(t, st.SetAnonymous(t.Context(), s.user.ID, false))

	others := "INSERT INTO walkin_tickets (name, tries, expires_at, user_id) SELECT " +
		map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "'of ' || id", sqlstore.MySQL: "CONCAT('of ', HEX(id))", sqlstore.SQLite: "'of ' || hex(id)"}[d.dialect] +
		", 1, seen_at, id FROM walkin_users"
	for _, statement := range append(d.crowd(skew), others) {
		_, err := db.ExecContext(t.Context(), statement)
		ok(t, err)
	}
	n := d.numbers(skew)
	id, user := "gen_random_uuid()", "CAST('"+s.user.ID.String()+"' AS uuid)"
	then, text, name, full := "now() - interval '50 days'", "CAST(n AS text)", "decode(md5(n::text) || md5(n::text), 'hex')", "n"
	data, soon := "'x'::bytea", "now()"
	switch d.dialect {
	case sqlstore.MySQL:
		id, user = "UNHEX(MD5(CONCAT(n, 'skew')))", "UNHEX('"+strings.ReplaceAll(s.user.ID.String(), "-", "")+"')"
		then, text, name = "UTC_TIMESTAMP(6) - INTERVAL 50 DAY", "CAST(n AS char)", "CONCAT(MD5(n), '')"
		data, soon = "'x'", "UTC_TIMESTAMP(6)"
	case sqlstore.SQLite:
		id, user = "randomblob(16)", "x'"+strings.ReplaceAll(s.user.ID.String(), "-", "")+"'"
		then, text, name = "(unixepoch() - 50 * 86400) * 1000000", "CAST(n AS text)", "randomblob(32)"
		data, soon = "x'00'", "unixepoch() * 1000000"
	}
	// As autovacuum knows the feed: it is of the last hour.
	_, err = db.ExecContext(t.Context(), "INSERT INTO walkin_feed (user_id, nonce, at) SELECT "+user+", "+id+", "+then+n)
	ok(t, err)
	between()
	mine := " FROM walkin_sessions WHERE user_id = " + user
	for _, statement := range []string{
		"INSERT INTO walkin_sessions (id, user_id, created_at, renewed_at, expires_at) SELECT " + id + ", " + user + ", " + then + ", " + then + ", " + then + n,
		"INSERT INTO walkin_session_data (session_id, data, expires_at) SELECT id, " + data + ", expires_at" + mine + " AND expires_at < " + soon,
		"INSERT INTO walkin_identities (provider, subject, user_id, created_at) SELECT 'test', " + text + ", " + user + ", " + then + n,
		"INSERT INTO walkin_tickets (name, data, tries, expires_at, user_id) SELECT " + text + ", NULL, 5, " + then + ", " + user + n,
		"INSERT INTO walkin_tombstones (user_id, deleted_at, expires_at) SELECT " + id + ", " + then + ", " + then + n,
		"INSERT INTO walkin_limits (name, full_at) SELECT " + name + ", " + full + n,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return s
}

// numbers ends a SELECT with the numbers from 0 to n.
func (d database) numbers(n int) string {
	digits := "(SELECT 0 AS d UNION ALL SELECT " + strings.Join(strings.Split("123456789", ""), " UNION ALL SELECT ") + ")"
	var from, sum []string
	for i, power := 0, 1; power < n; i, power = i+1, power*10 {
		from = append(from, fmt.Sprintf("%s AS d%d", digits, i))
		sum = append(sum, fmt.Sprintf("%d * d%d.d", power, i))
	}
	return fmt.Sprintf(" FROM (SELECT %s AS n FROM %s) AS numbers WHERE n < %d", strings.Join(sum, " + "), strings.Join(from, ", "), n)
}

// TestPlansPostgreSQL has the server explain each statement as it answers it, those
// in functions, triggers and foreign keys too, with statistics from before the hot
// user and from after, and with plans for the values and for any.
func TestPlansPostgreSQL(t *testing.T) {
	server := postgres(t)
	for _, analyzed := range []bool{false, true} {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			t.Run(fmt.Sprintf("with statistics of them %t, %s", analyzed, mode), func(t *testing.T) {
				d := server(t)
				cfg, err := pgx.ParseConfig(d.dsn)
				ok(t, err)
				watch := &planWatch{seen: map[string]string{}}
				cfg.OnNotice = watch.notice
				maps.Copy(cfg.RuntimeParams, map[string]string{"plan_cache_mode": mode, "client_min_messages": "notice",
					"session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0", "auto_explain.log_analyze": "on",
					"auto_explain.log_format": "json", "auto_explain.log_nested_statements": "on", "auto_explain.log_level": "notice"})
				plain, db := d.migrated(t)
				for _, table := range walkinTables {
					_, err := db.ExecContext(t.Context(), "ALTER TABLE "+table+" SET (autovacuum_enabled = false)")
					ok(t, err)
				}
				analyze := func() {
					_, err := db.ExecContext(t.Context(), "ANALYZE")
					ok(t, err)
				}
				s := d.skewedData(t, plain, db, analyze)
				if analyzed {
					analyze()
				}
				pool := stdlib.OpenDB(*cfg)
				defer pool.Close()
				if s.Store, err = sqlstore.New(sqlstore.Config{Dialect: d.dialect, DB: pool}); err != nil {
					t.Fatal(err)
				}
				for _, step := range s.steps(t) {
					if err := step.call(t.Context()); err != nil {
						t.Fatalf("%s: %v", step.name, err)
					}
					watch.check(t, step)
				}
				for _, text := range s.Statements() {
					if text != "" && watch.seen[text] == "" && !isForOthers(text) {
						t.Errorf("a statement that no step makes: %s", text)
					}
				}
			})
		}
	}
}

// isForOthers reports whether a statement is only for databases without a function and
// arrays.
func isForOthers(text string) bool {
	return strings.Contains(text, ", ($5, $6, $7, $8)") || strings.Contains(text, ", ($6, $7, $8, $9, $10)") || strings.Contains(text, "SELECT COUNT(")
}

var walkinTables = []string{"walkin_users", "walkin_sessions", "walkin_identities", "walkin_tombstones", "walkin_tickets", "walkin_session_data", "walkin_limits", "walkin_feed"}

// A planWatch collects what auto_explain says.
type planWatch struct {
	mu    sync.Mutex
	plans []plan
	seen  map[string]string // by the statement, the last step that made it
}

type plan struct {
	Text string `json:"Query Text"`
	Plan planNode
}

type planNode struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Removed  float64 `json:"Rows Removed by Filter"`
	Plans    []planNode
}

func (w *planWatch) notice(_ *pgconn.PgConn, n *pgconn.Notice) {
	_, text, ok := strings.Cut(n.Message, "plan:\n")
	if !ok {
		return
	}
	var p plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		p.Text = "not understood: " + err.Error()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plans = append(w.plans, p)
}

// check looks at the plans of a step.
func (w *planWatch) check(t *testing.T, s step) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.plans) == 0 {
		t.Errorf("%s: nothing was explained", s.name)
	}
	for _, p := range w.plans {
		if w.seen[p.Text] == s.name {
			continue
		}
		w.seen[p.Text] = s.name
		p.Plan.walk(func(n planNode) {
			switch {
			case n.Type == "Seq Scan" && strings.HasPrefix(n.Relation, "walkin_") && n.Relation != "walkin_database" && n.Removed > n.Rows:
				t.Errorf("%s: reads all of %s: %s", s.name, n.Relation, p.Text)
			case n.Type == "Named Tuplestore Scan", n.Type == "Function Scan": // what a trigger sees, and a batch's own array
			case n.Removed > 1 && n.Removed > n.Rows:
				t.Errorf("%s: %v rows of %s by %s were read and thrown away: %s", s.name, n.Removed, n.Relation, n.Index, p.Text)
			case n.Rows*n.Loops > float64(s.rows):
				t.Errorf("%s: %v rows of %s, want %d at most: %s", s.name, n.Rows*n.Loops, n.Relation, s.rows, p.Text)
			}
		})
	}
	w.plans = nil
}

func (n planNode) walk(f func(planNode)) {
	f(n)
	for _, below := range n.Plans {
		below.walk(f)
	}
}

// TestPlansMariaDB counts the rows that the server reads for each step: on one
// connection, which has its own counters.
func TestPlansMariaDB(t *testing.T) {
	server := mariadb(t)
	for _, analyzed := range []bool{false, true} {
		t.Run(fmt.Sprint("analyzed ", analyzed), func(t *testing.T) {
			d := server(t)
			plain, all := d.migrated(t)
			s := d.skewedData(t, plain, all, func() {})
			if analyzed {
				_, err := all.ExecContext(t.Context(), "ANALYZE TABLE "+strings.Join(walkinTables, ", "))
				ok(t, err)
			}
			db := d.pool(t)
			db.SetMaxOpenConns(1)
			var err error
			s.Store, err = sqlstore.New(sqlstore.Config{Dialect: d.dialect, DB: db})
			ok(t, err)
			reads := func() (n int) {
				rows, err := db.QueryContext(t.Context(), "SHOW SESSION STATUS LIKE 'Handler_read%'")
				ok(t, err)
				defer rows.Close()
				for rows.Next() {
					var name string
					var value int
					ok(t, rows.Scan(&name, &value))
					n += value
				}
				ok(t, rows.Err())
				return n
			}
			reads()
			for _, step := range s.steps(t) {
				before := reads()
				own := reads() - before // which looking costs
				if err := step.call(t.Context()); err != nil {
					t.Fatalf("%s: %v", step.name, err)
				}
				if n := reads() - before - 2*own; n > 3*step.rows+10 {
					t.Errorf("%s: %d rows were read, want %d at most", step.name, n, 3*step.rows+10)
				}
			}
		})
	}
}

// TestPlansSQLite has every text explained.
func TestPlansSQLite(t *testing.T) {
	d := sqlite(t)(t)
	store, db := d.migrated(t)
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			d.skewedData(t, store, db, func() {})
			_, err := db.ExecContext(t.Context(), "ANALYZE")
			ok(t, err)
		}
		for _, text := range store.Statements() {
			if text == "" || strings.Contains(text, "walkin_persist(") {
				continue
			}
			rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, slices.Repeat([]any{nil}, strings.Count(text, "?"))...)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			for rows.Next() {
				var id, parent, unused int
				var detail string
				ok(t, rows.Scan(&id, &parent, &unused, &detail))
				// What a SELECT without a table is about, and a list that is walked to
				// the end of its LIMIT.
				scan, is := strings.CutPrefix(detail, "SCAN ")
				if is && strings.HasPrefix(scan, "walkin_") && !strings.HasPrefix(scan, "walkin_database") {
					t.Errorf("analyzed %t: %s: %s", analyzed, detail, text)
				}
				// A row that the primary key names is not looked for by another.
				if byKey(text) && strings.Contains(detail, "INDEX walkin_") {
					t.Errorf("analyzed %t: %s: %s", analyzed, detail, text)
				}
			}
			ok(t, rows.Err())
			rows.Close()
		}
	}
}

// byKey reports whether a statement names its row by the whole primary key.
func byKey(text string) bool {
	if strings.HasPrefix(text, "DELETE FROM walkin_users") {
		return false // explains what goes with the user, too
	}
	for _, key := range []string{"WHERE id = ?", "ON s.id = ?", "WHERE name = ?", "WHERE session_id = ?", "WHERE provider = ? AND subject = ?"} {
		if strings.Contains(text, key) {
			return true
		}
	}
	return false
}
