package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/rls"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// call runs the command as a shell does.
func call(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, talk bytes.Buffer
	code = runWith(t.Context(), args, strings.NewReader(stdin), &out, &talk)
	return out.String(), talk.String(), code
}

func want(t *testing.T, code, wantCode int, out, part string) {
	t.Helper()
	if code != wantCode || !strings.Contains(out, part) {
		t.Fatalf("got %d and %q, want %d with %q", code, out, wantCode, part)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stores are the addresses of empty databases of each kind.
func stores(t *testing.T) map[string]string {
	mysql := testserver.MariaDB(t)
	db, err := sql.Open("mysql", "root@unix("+mysql+")/")
	must(t, err)
	defer db.Close()
	name := "walkin_cmd_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE "+name)
	must(t, err)
	return map[string]string{
		"sqlite":   "sqlite:" + filepath.Join(t.TempDir(), "a site.db"),
		"postgres": testserver.PostgresURL(t),
		"mysql":    "mysql://root@localhost/" + name + "?socket=" + mysql,
	}
}

// TestStoreCommands walks through a store with each command, on each kind.
func TestStoreCommands(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) { storeCommands(t, store) })
	}
}

func storeCommands(t *testing.T, st string) {
	on := func(args ...string) (string, string, int) { return call(t, "", append(args, "--store", st)...) }
	if _, talk, code := on("users", "list"); code != 2 || talk == "" {
		t.Errorf("without tables: got %d %q, want 2 and why", code, talk)
	}
	out, _, code := on("migrate", "status", "--json")
	want(t, code, 1, out, "0001_users.sql")
	out, _, code = on("migrate", "--dry-run")
	want(t, code, 0, out, "directory.sql")
	_, _, code = on("migrate", "status")
	want(t, code, 1, "", "")
	out, talk, code := on("migrate")
	want(t, code, 0, out+talk, "applied")
	out, _, code = on("migrate", "status", "--json")
	want(t, code, 0, out, `"migrations": []`)

	s, done := open(t, st)
	defer done()
	now := time.Now()
	user := func(at time.Time, anonymous bool) store.User {
		id := store.FirstUserID(at)
		random := uuid.New()
		copy(id[6:], random[6:])
		id[6] = 0x70 | id[6]&0x0f
		u := store.User{ID: id, Anonymous: anonymous, CreatedAt: at, SeenAt: at}
		must(t, s.CreateUser(t.Context(), u))
		must(t, s.CreateSession(t.Context(), store.Session{ID: uuid.New(), UserID: id, CreatedAt: at, RenewedAt: at, ExpiresAt: now.Add(time.Hour)}))
		return u
	}
	var away []store.User
	for i := range 5 {
		away = append(away, user(now.AddDate(0, 0, -40-20*i), true))
	}
	ann := user(now.Add(-time.Hour), false)
	hostile := "ann\x1b[31m@example.com"
	must(t, s.CreateIdentity(t.Context(), store.Identity{Provider: "email", Subject: hostile, UserID: ann.ID, Secret: []byte("secret hash"), CreatedAt: now}))

	out, _, code = on("users", "list", "--json", "--limit", "0")
	want(t, code, 0, out, ann.ID.String())
	var listed []row
	must(t, json.Unmarshal([]byte(out), &listed))
	if len(listed) != 6 || listed[0].ID != ann.ID || listed[5].ID != away[4].ID {
		t.Errorf("got %d users, want all six, the newest first", len(listed))
	}
	out, _, code = on("users", "list", "--address", "ann")
	want(t, code, 0, out, `"ann\x1b[31m@example.com"`)
	if strings.Contains(out, "\x1b") {
		t.Error("a name reaches the terminal as it is")
	}
	out, _, _ = on("users", "list", "--json", "--anonymous", "--seen-before", "90d")
	must(t, json.Unmarshal([]byte(out), &listed))
	if len(listed) != 2 { // 100 and 120 days
		t.Errorf("got %d users who were away for 90 days, want 2", len(listed))
	}
	out, _, code = on("users", "count", "--json", "--exact")
	want(t, code, 0, out, `"count": 5`)
	out, _, code = on("users", "show", ann.ID.String())
	want(t, code, 0, out, "email")
	out, _, code = on("users", "export", ann.ID.String())
	want(t, code, 0, out, `"has_secret": true`)
	if strings.Contains(out, "secret hash") {
		t.Error("the export has a secret")
	}
	out, _, code = on("users", "ban", ann.ID.String(), "--reason", "spam", "--until", "2999-01-01")
	want(t, code, 0, out, "banned")
	u, err := s.LockUser(t.Context(), ann.ID)
	if err != nil || u.Ban.Reason != "spam" || u.Ban.Until.Year() != 2999 {
		t.Errorf("got %+v, %v; want the ban", u.Ban, err)
	}
	out, _, code = on("users", "unban", ann.ID.String())
	want(t, code, 0, out, "unbanned")

	out, _, code = on("sweep", "--dry-run", "--json")
	var dry struct {
		Users    int
		Inactive map[string]int
	}
	must(t, json.Unmarshal([]byte(out), &dry))
	if code != 0 || dry.Users != 5 || dry.Inactive["60d"] != 3 && dry.Inactive["60d"] != 4 || dry.Inactive["365d"] != 0 {
		t.Errorf("got %d and %+v", code, dry)
	}
	out, _, code = on("sweep", "--json")
	var swept struct{ Users int }
	must(t, json.Unmarshal([]byte(out), &swept))
	if code != 0 || swept.Users != dry.Users {
		t.Errorf("got %d swept, the dry run said %d", swept.Users, dry.Users)
	}

	_, talk, code = on("sessions", "end", "--before", "0s")
	want(t, code, 2, talk, "--yes")
	out, _, code = on("sessions", "end", "--before", "1m", "--yes")
	want(t, code, 0, out, "ended")
	if sessions, err := s.UserSessions(t.Context(), ann.ID); err != nil || len(sessions) != 0 {
		t.Errorf("got %d sessions, %v; want none", len(sessions), err)
	}

	_, talk, code = on("users", "delete", ann.ID.String())
	want(t, code, 2, talk, "--yes")
	out, _, code = on("users", "delete", ann.ID.String(), "--yes")
	want(t, code, 0, out, "deleted")
	out, _, code = on("users", "show", "--json", ann.ID.String())
	want(t, code, 0, out, `"stored": false`)
	db, err := s.Database(t.Context())
	must(t, err)
	left, err := s.FindTombstone(t.Context(), ann.ID)
	if err != nil || left.ExpiresAt.Before(now.Add(db.TokenLife-time.Minute)) {
		t.Errorf("got %+v, %v; want a tombstone for %v", left, err, db.TokenLife)
	}
	if db.TokenLife < 30*24*time.Hour {
		t.Errorf("the command line has announced a token life of %v", db.TokenLife)
	}

	for name, args := range map[string][]string{
		"no such user": {"users", "show", uuid.NewString()}, "no ID": {"users", "show", "x"}, "two kinds": {"users", "list", "--anonymous", "--permanent"},
		"no time": {"users", "list", "--from", "yesterday"}, "no duration": {"sweep", "--inactive-for", "long"}, "too short": {"sweep", "--inactive-for", "1h"},
	} {
		if out, talk, code := on(args...); code != 2 || !strings.HasPrefix(talk, "walkin: ") && !strings.Contains(talk, "\nwalkin: ") {
			t.Errorf("%s: got %d, %q and %q; want 2 and an explanation", name, code, out, talk)
		}
	}
}

func open(t *testing.T, store string) (quiet, func()) {
	t.Helper()
	tool := &tool{dsn: store}
	must(t, tool.open(t.Context(), true))
	return tool.store, func() { tool.db.Close() }
}

func TestNoStore(t *testing.T) {
	t.Setenv("WALKIN_STORE", "")
	for name, args := range map[string][]string{
		"none": {"users", "list"}, "another": {"users", "list", "--store", "oracle:x"}, "no file": {"users", "list", "--store", "sqlite:" + filepath.Join(t.TempDir(), "none.db")},
		"a broken address": {"users", "list", "--store", "mysql://root:hunter2@[/x"},
	} {
		_, talk, code := call(t, "", args...)
		if code != 2 || talk == "" || strings.Contains(talk, "hunter2") {
			t.Errorf("%s: got %d %q, want 2 and no password", name, code, talk)
		}
	}
	file := filepath.Join(t.TempDir(), "env.db")
	t.Setenv("WALKIN_STORE", "sqlite:"+file)
	if _, talk, code := call(t, "", "migrate"); code != 0 {
		t.Errorf("WALKIN_STORE: got %d %q", code, talk)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// TestKeys rotates keys of each kind in the three steps, and holds that each set is one
// that walkin takes, with the tokens of the set before.
func TestKeys(t *testing.T) {
	for _, alg := range []string{"EdDSA", "ES256", "RS256", "HS256"} {
		t.Run(alg, func(t *testing.T) {
			first, _, code := call(t, "", "keys", "generate", "--alg", alg)
			want(t, code, 0, first, `"keys"`)
			sets := []string{first}
			for _, step := range []string{"announce", "sign", "remove"} {
				next, _, code := call(t, sets[len(sets)-1], "keys", "rotate", "--step", step, "--alg", alg)
				want(t, code, 0, next, `"keys"`)
				out, _, code := call(t, next, "keys", "check", "--json")
				want(t, code, 0, out, alg)
				sets = append(sets, next)
			}
			for i, n := range []int{1, 2, 2, 1} {
				keys, err := walkin.ParseJWKS([]byte(sets[i]))
				if err != nil || len(keys) != n {
					t.Errorf("set %d: got %d keys, %v; want %d", i, len(keys), err, n)
				}
			}
			if sets[0] == sets[3] {
				t.Error("the rotation ended with the same key")
			}
			public, _, code := call(t, sets[1], "keys", "jwks")
			want(t, code, 0, public, `"keys"`)
			for _, secret := range []string{`"d"`, `"k"`, `"p"`} {
				if strings.Contains(public, secret) {
					t.Errorf("the public set has %s", secret)
				}
			}
		})
	}
	bad := `{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}`
	out, _, code := call(t, bad, "keys", "check")
	want(t, code, 1, out, "finding")
	file := filepath.Join(t.TempDir(), "keys.json")
	good, _, _ := call(t, "", "keys", "generate")
	must(t, os.WriteFile(file, []byte(good), 0o644))
	out, _, code = call(t, "", "keys", "check", "--keys", file)
	want(t, code, 1, out, "others can read")
	for name, args := range map[string][]string{"no step": {"keys", "rotate"}, "one key": {"keys", "rotate", "--step", "remove"}, "no such alg": {"keys", "generate", "--alg", "none"}} {
		if _, _, code := call(t, good, args...); code != 2 {
			t.Errorf("%s: got %d, want 2", name, code)
		}
	}
	if _, talk, code := call(t, "not a set", "keys", "jwks"); code != 2 || strings.Contains(talk, "not a set") {
		t.Errorf("got %d %q, want 2 and no word of the input", code, talk)
	}
}

// TestToken inspects a token of each kind of key, with the right and the wrong set.
func TestToken(t *testing.T) {
	for _, alg := range []string{"EdDSA", "ES256", "RS256", "HS256"} {
		set, _, _ := call(t, "", "keys", "generate", "--alg", alg)
		other, _, _ := call(t, "", "keys", "generate", "--alg", alg)
		keys, err := walkin.ParseJWKS([]byte(set))
		must(t, err)
		token := mint(t, keys)
		file, wrong := filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "wrong")
		must(t, os.WriteFile(file, []byte(set), 0o600))
		must(t, os.WriteFile(wrong, []byte(other), 0o600))
		out, _, code := call(t, token+"\n", "token", "inspect", "--json", "--keys", file)
		want(t, code, 0, out, `"signature": "valid"`)
		out, _, code = call(t, "__Host-walkin-anon="+token, "token", "inspect", "--keys", wrong)
		want(t, code, 1, out, "invalid")
		out, _, code = call(t, token, "token", "inspect")
		want(t, code, 0, out, "not checked")
		if _, _, code := call(t, "", "token", "inspect", token); code != 2 {
			t.Error("a token was taken as an argument")
		}
	}
	if _, talk, code := call(t, "a.b.c", "token", "inspect"); code != 2 || strings.Contains(talk, "a.b.c") {
		t.Errorf("got %d %q, want 2 and no word of the input", code, talk)
	}
}

// TestSQLAs runs queries as users under policies.
func TestSQLAs(t *testing.T) {
	st := testserver.PostgresURL(t)
	db, err := sql.Open("pgx", st)
	must(t, err)
	defer db.Close()
	exec := func(text string) {
		t.Helper()
		conn, err := db.Conn(t.Context())
		must(t, err)
		defer conn.Close()
		for part := range strings.SplitSeq(text, ";;") {
			_, err = conn.ExecContext(t.Context(), part)
			must(t, err)
		}
	}
	// pgx takes several statements in one text without arguments only by the simple protocol.
	simple, err := sql.Open("pgx", st+"&default_query_exec_mode=simple_protocol")
	must(t, err)
	defer simple.Close()
	if _, err := simple.ExecContext(t.Context(), rls.InstallSQL); err != nil {
		simple, err = sql.Open("pgx", st+"?default_query_exec_mode=simple_protocol")
		must(t, err)
		_, err = simple.ExecContext(t.Context(), rls.InstallSQL)
		must(t, err)
	}
	if _, talk, code := call(t, "", "migrate", "--store", st); code != 0 {
		t.Fatal(talk)
	}
	s, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.PostgreSQL, DB: db})
	must(t, err)
	ann := store.User{ID: uuid.Must(uuid.NewV7()), CreatedAt: time.Now(), SeenAt: time.Now()}
	must(t, s.CreateUser(context.Background(), ann))
	exec(`CREATE TABLE posts (author uuid, body text);; ALTER TABLE posts ENABLE ROW LEVEL SECURITY;;
		GRANT SELECT, INSERT ON posts TO authenticated;; GRANT USAGE ON SCHEMA public TO anon, authenticated;;
		CREATE POLICY read ON posts FOR SELECT USING (author = auth.uid());; CREATE POLICY post ON posts FOR INSERT WITH CHECK (true);;
		INSERT INTO posts VALUES ('` + ann.ID.String() + `', 'hers'), (NULL, 'no one''s')`)
	as := func(who, query string) (string, string, int) {
		return call(t, "", "sql", "--store", st, "--json", "--as", who, query)
	}
	out, _, code := as(ann.ID.String(), "SELECT body FROM posts")
	want(t, code, 0, out, "hers")
	if got := strings.Join(strings.Fields(out), ""); got != `{"columns":["body"],"more":false,"rows":[["hers"]]}` {
		t.Errorf("got %s", got)
	}
	if strings.Contains(out, "no one") {
		t.Errorf("the policy let through %s", out)
	}
	out, _, code = as("anonymous", "SELECT count(*) FROM posts")
	want(t, code, 0, out, "0")
	if _, talk, code := as("none", "SELECT count(*) FROM posts"); code != 2 || !strings.Contains(talk, "permission denied") {
		t.Errorf("nobody: got %d %q, want that they may not", code, talk)
	}
	for _, query := range []string{"INSERT INTO posts VALUES (NULL, 'x')", "WITH x AS (INSERT INTO posts VALUES (NULL, 'x') RETURNING 1) SELECT * FROM x"} {
		if _, _, code := as(ann.ID.String(), query); code != 2 {
			t.Errorf("%s: got %d, want 2", query, code)
		}
	}
	var n int
	must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM posts").Scan(&n))
	if n != 2 {
		t.Errorf("got %d rows, want the two", n)
	}
	if _, _, code := as(uuid.NewString(), "SELECT 1"); code != 2 {
		t.Errorf("no such user: got %d", code)
	}
}

// binary is the command as users have it, built once: a static file.
var binary struct {
	once sync.Once
	file string
	err  error
}

func TestMain(m *testing.M) {
	status := m.Run()
	if binary.file != "" {
		_ = os.RemoveAll(filepath.Dir(binary.file))
	}
	os.Exit(status)
}

// built returns the file of the command.
func built(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		dir, err := os.MkdirTemp("", "walkin-command-")
		if err != nil {
			binary.err = err
			return
		}
		binary.file = filepath.Join(dir, "walkin")
		// With the same flags as in internal/release, so that they share the build cache.
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary.file, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	must(t, binary.err)
	return binary.file
}

// TestBinary holds that the command is one static file of less than 30 MB.
func TestBinary(t *testing.T) {
	file := built(t)
	info, err := os.Stat(file)
	must(t, err)
	if mb := info.Size() >> 20; mb >= 30 {
		t.Errorf("got %d MB, want less than 30", mb)
	}
	out, err := exec.CommandContext(t.Context(), file, "completion", "bash").Output()
	if err != nil || !bytes.Contains(out, []byte("walkin")) {
		t.Errorf("completion: %v", err)
	}
}
