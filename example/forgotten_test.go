package main

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"fmt"
	"html"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"
)

// TestForgotten deletes an account that used all there is here, and reads every table of
// the file: what is left of its owner are IDs, by which tokens are refused.
func TestForgotten(t *testing.T) {
	server := newServer(t)
	ann := newBrowser(t, server)
	ann.write("hi by ann")

	// A second browser as the same anonymous user, and a third is asked for.
	phone := newBrowser(t, server)
	ann.post("/account/device").must(t, 303, "/account/device")
	link := html.UnescapeString(find(t, ann.get("/account/device"), `http[^"<]*/account/device/join[^"<]*`))
	phone.post("/account/device/join", "code", query(t, link, "code")).must(t, 303, "/account/device/wait")
	number := regexp.MustCompile(`\d{4}`).FindString(find(t, phone.get("/account/device/wait"), `<h1>.*</h1>`))
	ann.post("/account/device/confirm", "number", number).must(t, 303, "/account/device")
	phone.post("/account/device/wait").must(t, 303, "/")
	ann.post("/account/device").must(t, 303, "/account/device")

	// All ways to sign in, and each half done once more.
	ann.upgrade("ann@example.com")
	ann.goAs("Ann", "return_to", "/").must(t, 303, "/")
	ann.change("factor/begin").must(t, 303, "/account/factor/set-up")
	key := strings.ReplaceAll(find(t, ann.get("/account/factor/set-up"), `[A-Z2-7]{4}( [A-Z2-7]{4})+`), " ", "")
	code, err := totp.GenerateCode(key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ann.change("factor/set-up", "code", code).must(t, 200, "").has(t, "codes")
	ann.post("/signin/send", "email", "ann@work.example").must(t, 303, "/signin/code")
	ann.post("/account/provider/start", "provider", "sample")
	half := newBrowser(t, server)
	half.post("/signin", "email", "ann@example.com", "password", secret).must(t, 303, "/account/factor?return_to=%2F")

	// Another anonymous user's work, which is brought along.
	other := newBrowser(t, server)
	other.write("hi by another browser of ann's")
	others := other.whoami().ID
	other.goAs("Ann", "return_to", "/").must(t, 303, "/")
	id := ann.whoami().ID
	if got := other.whoami().ID; got != id {
		t.Fatalf("got %s, want %s", got, id)
	}

	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(server.file)+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	traces := map[string]string{"address": "ann@", "secret": key, "text": "hi by ", "user": id, "merged user": others}
	sessions := column(t, db, "SELECT lower(hex(id)) FROM walkin_sessions")
	if len(sessions) < 2 {
		t.Fatalf("got %d sessions", len(sessions))
	}
	for _, id := range sessions {
		traces["session "+id] = id
	}
	before := tables(t, db, traces)
	for _, table := range []string{"notes", "walkin_users", "walkin_sessions", "walkin_identities", "walkin_tickets"} {
		if !slices.Contains(slices.Collect(maps.Keys(before)), table) {
			t.Errorf("nothing of ann was in %s", table)
		}
	}
	ann.change("delete").must(t, 200, "").has(t, "Your account is deleted")
	for table, found := range tables(t, db, traces) {
		for _, trace := range found {
			if (table == "walkin_tombstones" || table == "walkin_feed") && strings.HasSuffix(trace, "user") {
				continue // until no token of theirs can live
			}
			t.Errorf("in %s there is still the %s", table, trace)
		}
	}
}

func find(t *testing.T, a answer, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindString(a.must(t, 200, "").body)
	if found == "" {
		t.Fatalf("there is no %s in\n%s", pattern, a.body)
	}
	return found
}

// tables returns which tables of a database hold which traces, as they are or, of an
// ID, as bytes or in hexadecimal.
func tables(t *testing.T, db *sql.DB, traces map[string]string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, table := range column(t, db, "SELECT name FROM sqlite_master WHERE type = 'table'") {
		for _, row := range rows(t, db, "SELECT * FROM "+table) {
			for name, trace := range traces {
				forms := [][]byte{[]byte(trace)}
				if id, err := uuid.Parse(trace); err == nil {
					forms = [][]byte{id[:], []byte(hex.EncodeToString(id[:])), []byte(id.String())}
				}
				for _, form := range forms {
					if bytes.Contains(row, form) && !slices.Contains(found[table], name) {
						found[table] = append(found[table], name)
					}
				}
			}
		}
	}
	return found
}

func column(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	for _, row := range rows(t, db, query) {
		all = append(all, string(row[:len(row)-1]))
	}
	return all
}

// rows returns the values of each row, each with a zero byte after it.
func rows(t *testing.T, db *sql.DB, query string) (all [][]byte) {
	t.Helper()
	got, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	columns, err := got.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for got.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := got.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var row []byte
		for _, value := range values {
			if b, ok := value.([]byte); ok {
				row = append(row, b...)
			} else {
				row = fmt.Append(row, value)
			}
			row = append(row, 0)
		}
		all = append(all, row)
	}
	if err := got.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
