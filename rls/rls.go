// Package rls hands walkin's claims to PostgreSQL's row-level security, so that
// the database itself decides which rows a visitor sees and writes.
//
// Run [InstallSQL] once. Give the app a login role of its own. It must be able to
// become the two roles, and must own none of the tables, since an owner bypasses all
// policies:
//
//	CREATE ROLE app LOGIN NOINHERIT;
//	GRANT anon, authenticated TO app;
//
// Each table needs ALTER TABLE … ENABLE ROW LEVEL SECURITY, grants to authenticated,
// and policies that use auth.uid() and auth.jwt(). Then do inside [InTx] what a visitor
// asks for. PostgreSQL 14 or later is required.
package rls

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
)

// InstallSQL makes the roles anon and authenticated and the functions
// auth.uid() and auth.jwt(). It may be run again.
//
//go:embed install.sql
var InstallSQL string

// setWho sets both settings in one statement, and so in one exchange with the server.
// The third argument limits them to the transaction, so that nothing stays on the
// connection. The time distinguishes this transaction from any other.
const setWho = `SELECT set_config('role', $1, true), set_config('request.jwt.claims', $2, true), extract(epoch from transaction_timestamp())::text`

// stillWho reports whether the transaction is the one that setWho began, as the
// role and with the claims that it set.
const stillWho = `SELECT current_user = $1::text AND current_setting('request.jwt.claims', true) = $2::text AND extract(epoch from transaction_timestamp())::text = $3::text`

// ErrLeft is returned by [InTx] when its function did not stay in the transaction
// that it was given, or changed its role or its claims.
var ErrLeft = errors.New("rls: the function left the visitor's transaction, role or claims")

// InTx runs fn in a transaction as the user of c, with the role authenticated.
// auth.uid() and auth.jwt() answer for that user. The zero Claims are a request without
// a user, and run with the role anon. The flag is_anonymous is always there as a
// boolean, since a policy that asks for a missing flag may let everyone through.
//
// The role and the claims end with the transaction. They also end when fn fails or
// panics, and the transaction is then rolled back. fn must use its transaction for all
// that the visitor asked for: db itself still has the rights of the app. InTx costs two
// queries more than a plain transaction: one sets the role and the claims, one checks
// before the commit that they are still there. If fn committed, reset the role or
// changed the claims, nothing more is committed and the error is [ErrLeft]. What ran
// without the visitor's role is not undone.
//
// Where an operator sees the site as the user, the claims name the operator in act, and
// the transaction is READ ONLY. See walkin.Impersonation.
//
// The claims are a setting, which every SELECT can change. SQL that an attacker injects
// into a query can make the claims another user's. Row-level security does not replace
// query parameters.
func InTx(ctx context.Context, db *sql.DB, c walkin.Claims, fn func(tx *sql.Tx) error) error {
	// While an operator sees the site as the user, the database itself accepts no
	// write. Once setWho has run, the function cannot change that.
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: c.Actor != uuid.Nil})
	if err != nil {
		return fmt.Errorf("rls: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing, after a commit
	if err := run(ctx, tx, c, fn); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("rls: %w", err)
	}
	return nil
}

// run runs fn in tx as the user of c, and checks that it stayed there.
func run(ctx context.Context, tx *sql.Tx, c walkin.Claims, fn func(tx *sql.Tx) error) error {
	role, claims, err := who(c)
	if err != nil {
		return err
	}
	var began string
	if err := tx.QueryRowContext(ctx, setWho, role, claims).Scan(new(string), new(string), &began); err != nil {
		return fmt.Errorf("rls: becoming %s: %w", role, err)
	}
	if err := fn(tx); err != nil {
		return err
	}
	// Fails closed: what was done as another user is not the visitor's to commit.
	var still bool
	if err := tx.QueryRowContext(ctx, stillWho, role, claims, began).Scan(&still); err != nil {
		return fmt.Errorf("rls: %w", err)
	}
	if !still {
		return ErrLeft
	}
	return nil
}

// who returns the role and the claims of a visitor.
func who(c walkin.Claims) (role, claims string, err error) {
	if c.UserID == uuid.Nil {
		return "anon", `{"role":"anon","is_anonymous":true}`, nil
	}
	app, err := storable(c.App)
	if err != nil {
		return "", "", errors.New("rls: Claims.App is not JSON")
	}
	text, err := json.Marshal(struct {
		Subject   uuid.UUID `json:"sub"`
		SessionID uuid.UUID `json:"session_id"`
		Role      string    `json:"role"`
		Anonymous bool      `json:"is_anonymous"`
		Actor     *actor    `json:"act,omitempty"`
		App       any       `json:"app,omitempty"`
	}{c.UserID, c.SessionID, "authenticated", c.Anonymous, actorOf(c), app})
	return "authenticated", string(text), err
}

// An actor is the operator who sees the site as the user, in the shape of RFC 8693
// §4.1.
type actor struct {
	Subject uuid.UUID `json:"sub"`
}

func actorOf(c walkin.Claims) *actor {
	if c.Actor == uuid.Nil {
		return nil
	}
	return &actor{c.Actor}
}

// storable returns text as JSON that PostgreSQL accepts as jsonb. It accepts no NUL, no
// half of a surrogate pair and no number beyond its own range. A single one of them
// would fail every query of that visitor. The first two become U+FFFD, as in
// encoding/json for invalid text. The last becomes null.
func storable(text string) (any, error) {
	if text == "" {
		return nil, nil
	}
	dec := json.NewDecoder(strings.NewReader(text)) // which replaces half pairs
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("rls: more than one value")
	}
	return clean(value), nil
}

func clean(value any) any {
	switch v := value.(type) {
	case string:
		return strings.ReplaceAll(v, "\x00", "\ufffd")
	case json.Number:
		if _, err := v.Float64(); err != nil {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = clean(v[i])
		}
	case map[string]any:
		cleaned := make(map[string]any, len(v))
		for name, inner := range v {
			cleaned[strings.ReplaceAll(name, "\x00", "\ufffd")] = clean(inner)
		}
		return cleaned
	}
	return value
}
