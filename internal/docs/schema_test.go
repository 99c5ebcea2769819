package docs

import (
	"database/sql"
	"maps"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/store/sqlstore"
)

var (
	tableTitle = regexp.MustCompile(`(?m)^## (walkin_\w+)\n`)
	columnRow  = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\| (.+) \\|$")
)

// TestSchemaPage holds docs/schema.md to databases that Migrate made: every table and
// column, and on PostgreSQL its type.
func TestSchemaPage(t *testing.T) {
	page := read(t, filepath.Join(root, "docs", "schema.md"))
	listed := map[string]string{} // types, by table and column
	titles := tableTitle.FindAllStringSubmatchIndex(page, -1)
	for i, title := range titles {
		end := len(page)
		if i+1 < len(titles) {
			end = titles[i+1][0]
		}
		for _, row := range columnRow.FindAllStringSubmatch(page[title[1]:end], -1) {
			listed[page[title[2]:title[3]]+"."+row[1]] = row[2]
		}
	}
	compare := func(t *testing.T, has map[string]string, types bool) {
		t.Helper()
		for column, of := range has {
			if want, ok := listed[column]; !ok || types && want != of {
				t.Errorf("%s is %s, and the page says %q", column, of, want)
			}
		}
		for column := range listed {
			if _, ok := has[column]; !ok {
				t.Errorf("the page has %s, which is not there", column)
			}
		}
	}
	t.Run("SQLite", func(t *testing.T) {
		db, _ := openSQLite(t)
		has := columns(t, db, `SELECT m.name || '.' || c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c
			WHERE m.type = 'table' AND m.name LIKE 'walkin~_%' ESCAPE '~'`)
		has["walkin_feed.x"] = "" // PostgreSQL alone, as the page says
		compare(t, has, false)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		db, err := sql.Open("pgx", testserver.PostgresURL(t))
		ok(t, err)
		defer db.Close()
		store, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.PostgreSQL, DB: db})
		ok(t, err)
		ok(t, store.Migrate(t.Context()))
		has := columns(t, db, `SELECT table_name || '.' || column_name, CASE data_type WHEN 'timestamp with time zone' THEN 'timestamptz' ELSE data_type END
			FROM information_schema.columns WHERE table_schema = current_schema() AND table_name LIKE 'walkin\_%'`)
		compare(t, maps.Clone(has), true)
	})
}

func columns(t *testing.T, db *sql.DB, query string) map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	ok(t, err)
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var column, of string
		ok(t, rows.Scan(&column, &of))
		found[column] = of
	}
	ok(t, rows.Err())
	if len(found) < 30 {
		t.Fatalf("got %d columns", len(found))
	}
	return found
}
