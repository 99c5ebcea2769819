package rls_test

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/rls"
)

// original are the functions as they are in the system that the policies of many
// projects were written for: there a missing claim is NULL.
const original = `
create or replace function auth.jwt() returns jsonb language sql stable as $$
	select coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb $$;`

// server starts a PostgreSQL and returns what connects to a database there, with
// settings of the connection's own.
func server(t *testing.T) func(settings string) *sql.DB {
	t.Helper()
	socket := testserver.Postgres(t)
	return func(settings string) *sql.DB {
		t.Helper()
		db, err := sql.Open("pgx", "host="+socket+" user=walkin dbname=postgres "+settings)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		db.SetMaxOpenConns(1)
		return db
	}
}

// load executes a file, less what the server is too old for, and returns what it
// executed. Views with security_invoker came with PostgreSQL 15.
func load(t *testing.T, db *sql.DB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if version(t, db) < 15 {
		for _, view := range regexp.MustCompile(`(?im)^create view (\w+) with \(security_invoker.*$`).FindAllStringSubmatch(text, -1) {
			text = regexp.MustCompile(`(?im)^(create view |-- want: public\.|grant select on )`+view[1]+` .*$`).ReplaceAllString(text, "")
		}
	}
	execute(t, db, text)
	return text
}

// version is the major version of the server.
func version(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), `select current_setting('server_version_num')::int / 10000`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const simple = "default_query_exec_mode=simple_protocol"

func execute(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

func lint(t *testing.T, db *sql.DB) map[string]rls.Finding {
	t.Helper()
	found, err := rls.Lint(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]rls.Finding{}
	for _, f := range found {
		key := f.Relation + " " + f.Command
		if _, twice := out[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		out[key] = f
	}
	return out
}

// answers are the three booleans that go with a verdict, as far as it says them:
// 1, 0, or - for either.
var answers = map[string]string{
	rls.Closed: "010", rls.Dead: "000", rls.Open: "101", rls.Limited: "1--", rls.Inverted: "11-", rls.FailOpen: "-11", rls.VoidGuard: "101",
	rls.RLSOff: "101", rls.WalksPast: "101", rls.Owner: "---", rls.UserMetadata: "---",
}

// TestLint holds the verdicts on relations in the shapes that projects have. The
// file says what is right. It also holds that they depend neither on the search
// path nor on the protocol, that nothing is written, and that nothing is left on
// the connection.
func TestLint(t *testing.T) {
	open := server(t)
	db := open(simple)
	text := load(t, db, "testdata/relations.sql")
	// Whatever the linter wrote would be counted here, rolled back or not.
	execute(t, db, `create sequence fired; create function fired() returns trigger language plpgsql security definer as $$
		begin perform nextval('public.fired'); return null; end $$;
		do $$ declare r regclass; begin for r in select oid from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace loop
			execute format('create trigger zz_fired after insert or update or delete or truncate on %s execute function fired()', r); end loop; end $$;`)
	// Statistics of its own would move the counter of transactions.
	execute(t, db, `alter system set autovacuum = off`)
	execute(t, db, `select pg_reload_conf()`)
	for n := 1; n > 0; {
		if err := db.QueryRowContext(t.Context(), `select count(*) from pg_stat_activity, pg_sleep(0.01) where backend_type like 'autovacuum%'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	transactions := func() (n string) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), `select pg_snapshot_xmax(pg_current_snapshot())::text || ' ' || (select is_called from fired)::text`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := transactions()
	found := lint(t, db)
	if after := transactions(); after != before || !strings.HasSuffix(after, "false") {
		t.Errorf("transactions and triggers: got %s before and %s after", before, after)
	}
	var left int
	if err := db.QueryRowContext(t.Context(), `select count(*) from pg_prepared_statements where name like 'walkin%'`).Scan(&left); left != 0 || err != nil {
		t.Errorf("got %d prepared statements left, %v", left, err)
	}

	wants, unknown := 0, 0
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line, ok := strings.CutPrefix(lines.Text(), "-- want: ")
		if !ok {
			continue
		}
		wants++
		i := strings.LastIndex(line, " ")
		f := found[line[:i]]
		if f.Verdict != line[i+1:] {
			t.Errorf("%s: got %q (%s), want %q", line[:i], f.Verdict, f.Message, line[i+1:])
		}
		if f.Verdict == rls.Unknown {
			unknown++
		}
		for at, got := range []*bool{f.Anonymous, f.Depends, f.MissingClaim} {
			name := []string{"anonymous", "depends", "missing_claim"}[at]
			if f.Command == "REFERENCES" {
			} else if want, said := answers[f.Verdict]; said != (got != nil) {
				t.Errorf("%s, %s: %s is there: %v", line, f.Verdict, name, got != nil)
			} else if said && want[at] != '-' && (want[at] == '1') != *got {
				t.Errorf("%s: %s is %v", line, name, *got)
			}
		}
	}
	if wants < 100 || unknown*5 > wants {
		t.Errorf("got %d answers, %d of them unknown", wants, unknown)
	}

	// By the other protocol as well.
	again := lint(t, open(`search_path=hidden,private,"Shop",auth plan_cache_mode=force_generic_plan DateStyle=German`))
	for key, f := range found {
		if !reflect.DeepEqual(again[key], f) {
			t.Errorf("with other settings: %s: got %v, want %v", key, again[key], f)
		}
	}

	t.Run("severity", func(t *testing.T) {
		for key, want := range map[string]string{
			"public.board SELECT": "", "public.board DELETE": "high", "public.c_select SELECT": "medium", "public.c_insert INSERT": "",
			"public.m_plain SELECT": "low", "public.r_none SELECT": "", "public.r_service SELECT": "low", "public.signed_up() EXECUTE": "",
			"public.m_quota REFERENCES": "note", "public.board REFERENCES": "medium",
		} {
			if got, there := found[key]; got.Severity != want || !there {
				t.Errorf("%s: got %q (%s), want %q", key, got.Severity, got.Verdict, want)
			}
		}
		if f := found["public.board SELECT"]; f.Waived != "the board is public" {
			t.Errorf("a waiver: got %q", f.Waived)
		}
		if f := found["public.board DELETE"]; f.Waived != "" || !strings.Contains(f.Message, "no reason") {
			t.Errorf("a waiver without a reason: got %q, %q", f.Waived, f.Message)
		}
		if f := found["public.m_plain SELECT"]; !strings.Contains(f.Message, "public.members") {
			t.Errorf("the message %q does not name the table that is read", f.Message)
		}
	})
	t.Run("the file is right", func(t *testing.T) { relationsAreRight(t, db) })
}

// relationsAreRight holds what relations.sql says of its less obvious relations
// against what PostgreSQL does with real rows.
func relationsAreRight(t *testing.T, db *sql.DB) {
	const me, org = "'019a1111-0000-7000-8000-000000000001'", "'019a1111-0000-7000-8000-000000000002'"
	execute(t, db, `drop function fired cascade; insert into members values (`+org+`, `+me+`, 'owner'); insert into profiles values (`+me+`);
		insert into m_asks values (gen_random_uuid(), `+org+`); insert into m_function values (gen_random_uuid(), `+org+`); insert into m_through values (gen_random_uuid());
		insert into m_denied values (gen_random_uuid()); insert into m_recursive values (`+org+`, `+me+`); insert into c_default (kind) values ('notice');
		insert into c_settable (kind) values ('notice'); insert into w_select values (1); insert into w_check values (1); insert into v_base values (1, `+me+`, 'x');
		insert into events values ('2026-05-05', `+me+`); insert into posts_by_state values ('draft'); insert into f_raises values (1); insert into f_denied values (1);
		insert into whole values (1, `+me+`, true); insert into e_json values (1, jsonb_build_object('owner', `+me+`, 'editors', jsonb_build_array(`+me+`)));
		insert into x_metadata values (1); insert into o_forced values (1);`)
	for _, test := range []struct {
		query                string
		anonymous, permanent int64 // rows, or -1 when it fails
	}{
		{`select from m_asks`, 0, 1}, {`select from m_function`, 0, 1}, {`delete from m_function`, 0, 1}, {`select from m_through`, 0, 1},
		{`select from m_denied`, -1, -1}, {`select from m_recursive`, -1, -1}, {`select from f_denied`, -1, -1}, {`select from f_raises`, -1, 1},
		{`insert into m_asks values (gen_random_uuid(), ` + org + `)`, -1, 1},
		{`insert into c_default (body) values ('x')`, -1, 1}, {`update c_default set body = 'x'`, -1, 1}, {`insert into c_sequence (body) values ('x')`, -1, -1}, {`insert into c_impossible (body) values ('x')`, -1, -1},
		{`insert into c_insert (body) values ('x')`, 1, 1}, {`insert into c_settable (kind) values ('comment')`, 1, 1}, {`update c_settable set kind = 'comment'`, 1, 1},
		{`update w_select set body = 'x'`, 1, 1}, {`delete from w_select`, 1, 1}, {`select from w_select`, 0, 1}, {`insert into w_select values (2) returning id`, -1, 1},
		{`update w_check set id = 2`, 0, 0}, {`insert into w_using values (1)`, -1, 1},
		{`select from v_owner`, 1, 1}, {`select from v_asks`, 0, 1}, {`insert into v_asks values (2, null, 'y')`, 1, 1}, {`insert into v_checked values (2, null, 'y')`, -1, 1},
		{`update v_checked set body = 'z'`, 0, 1}, {`select from v_invoker`, 0, 1}, {`select from v_nested`, 0, 1}, {`select from v_count`, 1, 1},
		{`select from events`, 0, 1}, {`select from events_2026`, -1, -1}, {`select from posts_draft`, 0, 1}, {`select from whole`, 1, 1}, {`delete from whole`, 0, 1},
		{`select from e_json`, 1, 1}, {`update e_json set id = 2`, 0, 1}, {`select from x_metadata`, 1, 1}, {`insert into x_inverted values (1)`, 1, -1},
		{`insert into g_guarded values (1)`, -1, 1}, {`insert into g_refuses values (1)`, -1, 1}, {`truncate z_truncate`, 0, 0}, {`truncate v_base`, -1, -1},
		{`select erase(` + me + `)`, 1, 1}, {`select erase_denied(` + me + `)`, -1, -1}, {`select from hidden.r_schema`, -1, -1}, {`select from r_inherited`, 0, 0},
		{`select from o_forced`, 0, 1},
	} {
		if strings.Contains(test.query, "v_invoker") && version(t, db) < 15 {
			continue
		}
		for _, anonymous := range []bool{true, false} {
			claims, err := json.Marshal(map[string]any{"sub": strings.Trim(me, "'"), "role": "authenticated", "is_anonymous": anonymous, "user_metadata": map[string]any{"plan": "paid"}})
			if err != nil {
				t.Fatal(err)
			}
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			want := test.permanent
			if anonymous {
				want = test.anonymous
			}
			got := int64(-1)
			if _, err := tx.ExecContext(t.Context(), `select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)`, string(claims)); err != nil {
				t.Fatal(err)
			}
			if result, err := tx.ExecContext(t.Context(), test.query); err == nil {
				got, _ = result.RowsAffected()
			}
			if got != want {
				t.Errorf("%s, anonymous %v: got %d rows, want %d", test.query, anonymous, got, want)
			}
			_ = tx.Rollback()
		}
	}
}

// TestLintMissingClaim holds that the two published policies fail open with the
// original's auth.jwt(), and not with ours.
func TestLintMissingClaim(t *testing.T) {
	db := server(t)(simple)
	execute(t, db, rls.InstallSQL+schema)
	const read, write = "public.posts SELECT", "public.posts INSERT"
	ours := lint(t, db)
	execute(t, db, original)
	theirs := lint(t, db)
	for _, test := range []struct {
		f               rls.Finding
		verdict         string
		missing, severe bool
	}{
		{ours[read], rls.Limited, false, false}, {ours[write], rls.Closed, false, false},
		{theirs[read], rls.FailOpen, true, true}, {theirs[write], rls.Closed, false, false},
	} {
		if f := test.f; f.Verdict != test.verdict || f.MissingClaim == nil || *f.MissingClaim != test.missing || (f.Severity == "high") != test.severe {
			t.Errorf("got %+v, want %+v", f, test)
		}
	}
}

// TestLintNeeds holds what Lint says where it cannot look.
func TestLintNeeds(t *testing.T) {
	open := server(t)
	db := open(simple)
	if _, err := rls.Lint(t.Context(), db); err == nil || !strings.Contains(err.Error(), "InstallSQL") {
		t.Errorf("without the role: got %v", err)
	}
	execute(t, db, rls.InstallSQL+schema+`create role stranger login; create view public.w as select * from public.posts; grant select on public.w to authenticated;
		create schema vault; create function vault.ok() returns boolean language sql as 'select true'; create table public.locked (id int);
		alter table public.locked enable row level security; grant select on public.locked to authenticated; create policy p on public.locked using (vault.ok());
		create policy slow on public.posts for delete using (pg_sleep(60) is not null); grant delete on public.posts to authenticated`)
	if _, err := rls.Lint(t.Context(), open("user=stranger")); err == nil || !strings.Contains(err.Error(), "cannot become") {
		t.Errorf("a login that is no visitor: got %v", err)
	}
	// The app's own login may do little. It gets the same, or "unknown".
	all, few := lint(t, db), lint(t, open("user=app"))
	if len(few) != len(all) {
		t.Errorf("the app's login sees %d, the owner %d", len(few), len(all))
	}
	for key, f := range all {
		if got := few[key].Verdict; got != f.Verdict && got != rls.Unknown {
			t.Errorf("%s: the app's login gets %s, the owner %s", key, got, f.Verdict)
		}
	}
	if got := all["public.locked SELECT"].Verdict; got != rls.Open {
		t.Errorf("a function in a schema without USAGE: got %s, want open: policies need none", got)
	}
	if got := few["public.locked SELECT"].Verdict; got != rls.Unknown {
		t.Errorf("the same, for a login that cannot look: got %s", got)
	}
	if got := all["public.posts DELETE"].Verdict; got != rls.Unknown {
		t.Errorf("a policy that takes a minute: got %s", got)
	}
}

// TestLintVersions holds what is not the same in all versions of PostgreSQL: who may
// become a role, predefined roles, and what newer versions know.
func TestLintVersions(t *testing.T) {
	open := server(t)
	db := open(simple)
	v := version(t, db)
	execute(t, db, rls.InstallSQL+`
		create role tables_owner; create role deploy login; create role jobs login; create role readers;
		grant authenticated, tables_owner, pg_read_all_data to deploy; grant authenticated, tables_owner to jobs; grant readers to authenticated;
		create table notes (id int, u uuid, check (id > 0)); create table plain (id int); create table read_by_role (id int);
		alter table notes enable row level security; alter table notes force row level security; alter table read_by_role enable row level security;
		grant usage on schema public to authenticated; grant select on notes to authenticated; grant select on read_by_role to readers;
		create policy s on notes for select using (u = (select auth.uid())); create policy s on read_by_role for select to readers using (true);
		alter table notes owner to tables_owner; alter table read_by_role owner to tables_owner; grant pg_read_all_data to authenticated`)
	want := map[string]string{
		"public.notes SELECT": rls.Limited, "public.plain SELECT": rls.RLSOff, // by pg_read_all_data
		"public.plain DELETE": rls.Dead, "public.plain TRUNCATE": rls.Dead, "public.read_by_role SELECT": rls.Owner,
	}
	if v >= 16 { // no login may now do as the owner and become a visitor, and visitors do not inherit what readers may
		execute(t, db, `grant authenticated to jobs with set false, inherit false; grant tables_owner to jobs with inherit true;
			grant tables_owner to deploy with set false, inherit false; grant readers to authenticated with inherit false, set true`)
		want["public.read_by_role SELECT"] = rls.Dead
	}
	if v >= 17 { // which reads and writes no row
		execute(t, db, `grant maintain on plain to authenticated`)
	}
	if v >= 18 {
		execute(t, db, `create table newer (id int, price int not null, total int generated always as (price * 2) virtual, kind text);
			alter table newer enable row level security; grant select on newer to authenticated;
			create policy s on newer for select using (total < 100 and kind is null); alter table newer add constraint k check (kind = 'x') not enforced;
			create table nulls (id int); alter table nulls add constraint n not null id not valid;
			alter table nulls enable row level security; grant select on nulls to authenticated; create policy s on nulls for select using (id is null)`)
		want["public.newer SELECT"], want["public.nulls SELECT"] = rls.Limited, rls.Limited
	}
	for login, found := range map[string]map[string]rls.Finding{"a superuser": lint(t, db), "deploy": lint(t, open(simple+" user=deploy"))} {
		for key, verdict := range want {
			if f := found[key]; f.Verdict != verdict {
				t.Errorf("PostgreSQL %d, %s, %s: got %q (%s), want %q", v, login, key, f.Verdict, f.Message, verdict)
			}
		}
	}
}
