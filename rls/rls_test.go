package rls_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/testserver"
	"github.com/walkin-go/walkin/rls"
	"github.com/walkin-go/walkin/walkintest"
)

// The two policies are the ones published for this kind of system, word for
// word.
const schema = `
create table public.posts (
	id bigint generated always as identity primary key,
	user_id uuid not null default auth.uid(),
	text text not null,
	created_at timestamptz not null default now()
);
alter table public.posts enable row level security;
revoke create on schema public from public; -- which PostgreSQL 14 still grants
grant usage on schema public to anon, authenticated;
grant select, insert on public.posts to authenticated;

create policy "Only permanent users can create posts" on public.posts for insert to authenticated
with check ( (select auth.jwt() ->> 'is_anonymous')::boolean is false );

create policy "Limit access to anonymous users" on public.posts for select to authenticated
using ( case when (select (auth.jwt() ->> 'is_anonymous'))::boolean is true then (created_at >= current_date) else true end );

insert into public.posts (user_id, text, created_at) values
	('00000000-0000-7000-8000-000000000000', 'old', now() - interval '3 days'),
	('00000000-0000-7000-8000-000000000000', 'new', now());
create role app login noinherit;
grant anon, authenticated to app;`

// open returns a pool of the app with one connection, so that what a
// transaction leaves behind would be found by the next.
func open(t *testing.T) *sql.DB {
	t.Helper()
	_, login := openAs(t)
	return login("app")
}

// openAs returns the owner's pool, and what opens one of another login.
func openAs(t *testing.T) (owner *sql.DB, login func(user string) *sql.DB) {
	t.Helper()
	socket := testserver.Postgres(t)
	pool := func(user string) *sql.DB {
		db, err := sql.Open("pgx", "host="+socket+" dbname=postgres default_query_exec_mode=simple_protocol user="+user)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		db.SetMaxOpenConns(1)
		return db
	}
	owner = pool("walkin")
	for _, text := range []string{rls.InstallSQL, rls.InstallSQL, schema} { // installing twice is fine
		if _, err := owner.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	return owner, pool
}

// do runs a query as c and returns how many rows came.
func do(t *testing.T, db *sql.DB, c walkin.Claims, query string) (n int, err error) {
	t.Helper()
	err = rls.InTx(t.Context(), db, c, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(t.Context(), query)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			n++
		}
		return rows.Err()
	})
	return n, err
}

func isDenied(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && state.SQLState() == "42501"
}

func TestRLS(t *testing.T) {
	db := open(t)
	t.Run("a missing claim is anonymous", func(t *testing.T) { missingClaim(t, db) })
	t.Run("nothing leaks to the pool", func(t *testing.T) { nothingLeaks(t, db) })
	t.Run("claims of the app's own shadow nothing", func(t *testing.T) { hostileApp(t, db) })
	t.Run("App that PostgreSQL has no jsonb for", func(t *testing.T) { oddApp(t, db) })
	t.Run("a function that leaves", func(t *testing.T) { leaves(t, db) })
	t.Run("the two policies, word for word", func(t *testing.T) { policies(t, db) }) // last: it writes
}

func policies(t *testing.T, db *sql.DB) {
	const read, write = `select text from public.posts`, `insert into public.posts (text) values ('mine') returning user_id`
	anonymous, permanent := walkintest.Anonymous(t), walkintest.Permanent(t)

	if n, err := do(t, db, anonymous, read); n != 1 || err != nil {
		t.Errorf("an anonymous user reads: got %d, %v; want today's post", n, err)
	}
	if _, err := do(t, db, anonymous, write); !isDenied(err) {
		t.Errorf("an anonymous user writes: got %v, want denied", err)
	}
	if n, err := do(t, db, permanent, read); n != 2 || err != nil {
		t.Errorf("a permanent user reads: got %d, %v; want both posts", n, err)
	}
	if n, err := do(t, db, permanent, write); n != 1 || err != nil {
		t.Errorf("a permanent user writes: got %d, %v", n, err)
	}
	own := `select 1 from public.posts where user_id = auth.uid() and user_id = '` + permanent.UserID.String() + `'`
	if n, err := do(t, db, permanent, own); n != 1 || err != nil {
		t.Errorf("auth.uid(): got %d own posts, %v; want 1", n, err)
	}
	for _, query := range []string{read, write} {
		if _, err := do(t, db, walkin.Claims{}, query); !isDenied(err) {
			t.Errorf("nobody: %s: got %v, want denied", query, err)
		}
	}
	// Without the helper the app's own role has no rights at all.
	if _, err := db.ExecContext(t.Context(), read); !isDenied(err) {
		t.Errorf("the app itself: got %v, want denied", err)
	}
}

// missingClaim holds that a policy which lets everyone through who is not marked
// anonymous does not let a user through who has no mark at all.
func missingClaim(t *testing.T, db *sql.DB) {
	for _, claims := range []string{``, `{}`, `{"is_anonymous":null}`, `{"sub":null}`} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		_, err = tx.ExecContext(t.Context(), `SELECT set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)`, claims)
		if err == nil {
			err = tx.QueryRowContext(t.Context(), `select count(*) from public.posts`).Scan(&n)
		}
		if n != 1 || err != nil {
			t.Errorf("claims %q: got %d posts, %v; want today's", claims, n, err)
		}
		_ = tx.Rollback()
	}
}

func nothingLeaks(t *testing.T, db *sql.DB) {
	c := walkintest.Permanent(t)
	check := func(after string) {
		t.Helper()
		var role, claims string
		err := db.QueryRowContext(t.Context(), `select current_user, coalesce(current_setting('request.jwt.claims', true), '')`).Scan(&role, &claims)
		if role != "app" || claims != "" || err != nil {
			t.Errorf("after %s: got role %q and claims %q, %v", after, role, claims, err)
		}
	}
	if _, err := do(t, db, c, `select 1`); err != nil {
		t.Fatal(err)
	}
	check("a commit")
	sentinel := errors.New("the app says no")
	if err := rls.InTx(t.Context(), db, c, func(*sql.Tx) error { return sentinel }); !errors.Is(err, sentinel) {
		t.Errorf("got %v", err)
	}
	check("an error")
	func() {
		defer func() { _ = recover() }()
		_ = rls.InTx(t.Context(), db, c, func(*sql.Tx) error { panic("a bug") })
	}()
	check("a panic")
	ctx, cancel := context.WithCancel(t.Context())
	err := rls.InTx(ctx, db, c, func(tx *sql.Tx) error { cancel(); _, err := tx.ExecContext(ctx, `select 1`); return err })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	check("a cancelled context")
}

func hostileApp(t *testing.T, db *sql.DB) {
	c := walkintest.Anonymous(t)
	c.App = `{"is_anonymous":false,"x":"'; reset role; --"}`
	if n, err := do(t, db, c, `select 1 from public.posts`); n != 1 || err != nil {
		t.Errorf("got %d posts, %v; want today's", n, err)
	}
	c.App = `{"is_anonymous":false`
	if _, err := do(t, db, c, `select 1`); err == nil || strings.Contains(err.Error(), "is_anonymous") {
		t.Errorf("got %v, want an error that does not repeat the claims", err)
	}
}

// oddApp holds that no claim of the app's makes every query of its visitor fail: JSON
// has text and numbers that jsonb does not have.
func oddApp(t *testing.T, db *sql.DB) {
	for _, tt := range []struct{ name, app, want string }{
		{"NUL", `{"a":"x\u0000y","b\u0000":[{"c":"\u0000"}]}`, `{"a": "x�y", "b�": [{"c": "�"}]}`},
		{"first half of a pair", `{"a":"\ud800"}`, `{"a": "�"}`},
		{"second half of a pair", `{"a":"\udc00x"}`, `{"a": "�x"}`},
		{"a whole pair", `{"a":"\ud83d\ude00"}`, `{"a": "😀"}`},
		{"a number without end", `{"a":1e999999,"b":[-1e999999]}`, `{"a": null, "b": [null]}`},
		{"a long number", `{"a":12345678901234567890.5}`, `{"a": 12345678901234567890.5}`},
		{"deep", `{"a":` + strings.Repeat("[", 1500) + strings.Repeat("]", 1500) + `}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := walkintest.Anonymous(t)
			c.App = tt.app
			var got string
			err := rls.InTx(t.Context(), db, c, func(tx *sql.Tx) error {
				return tx.QueryRowContext(t.Context(), `select auth.jwt() ->> 'app'`).Scan(&got)
			})
			// auth.jwt() drops what is null, as any field that is missing.
			if want := strings.NewReplacer(`"a": null, `, ``).Replace(tt.want); err != nil || tt.want != "" && got != want {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
		})
	}
	c := walkintest.Anonymous(t)
	c.App = `{} {}`
	if _, err := do(t, db, c, `select 1`); err == nil {
		t.Error("got no error for two values")
	}
}

// leaves holds that a function which left the transaction, the role or the claims
// commits nothing more, and is told so.
func leaves(t *testing.T, db *sql.DB) {
	for _, tt := range []struct {
		name       string
		statements []string
		want       error
	}{
		{"commits", []string{"commit"}, rls.ErrLeft},
		{"rolls back", []string{"rollback"}, rls.ErrLeft},
		{"commits and begins as the visitor again", []string{"commit", "begin", "set local role authenticated"}, rls.ErrLeft},
		{"resets the role", []string{"reset role"}, rls.ErrLeft},
		{"becomes another", []string{"set local role anon"}, rls.ErrLeft},
		{"sets other claims", []string{`select set_config('request.jwt.claims', '{"is_anonymous":false}', true)`}, rls.ErrLeft},
		{"stays", []string{"savepoint a", "set local time zone 'Asia/Tokyo'", "set local datestyle = 'German'", "release a"}, nil},
		{"comes back", []string{"set local role anon", "set local role authenticated"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := rls.InTx(t.Context(), db, walkintest.Permanent(t), func(tx *sql.Tx) error {
				for _, statement := range tt.statements {
					if _, err := tx.ExecContext(t.Context(), statement); err != nil {
						return err
					}
				}
				return nil
			})
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			var user string
			if err := db.QueryRowContext(t.Context(), "select current_user").Scan(&user); err != nil || user != "app" {
				t.Errorf("then the connection is %q's, %v; want the app's own", user, err)
			}
		})
	}
}
