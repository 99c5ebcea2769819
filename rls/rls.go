// Package rls hands walkin's claims to PostgreSQL's row-level security, so that
// the database itself decides which rows a visitor sees and writes.
//
// Run [InstallSQL] once. Give the app a login role of its own that may become
// the two roles and owns none of the tables, since an owner passes all
// policies:
//
//	CREATE ROLE app LOGIN NOINHERIT;
//	GRANT anon, authenticated TO app;
//
// Each table needs ALTER TABLE … ENABLE ROW LEVEL SECURITY, grants to
// authenticated, and policies that use auth.uid() and auth.jwt(). Then do what a
// visitor asks for inside [InTx]. PostgreSQL 14 or later.
package rls

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
)

// InstallSQL makes the roles anon and authenticated and the functions
// auth.uid() and auth.jwt(). It may be run again.
//
//go:embed install.sql
var InstallSQL string

// setWho is one statement for both settings: one round trip. The third argument
// makes them the transaction's own, so that nothing stays on the connection.
const setWho = `SELECT set_config('role', $1, true), set_config('request.jwt.claims', $2, true)`

// InTx runs fn in a transaction as the user of c: with the role authenticated,
// and with what auth.uid() and auth.jwt() answer. The zero Claims are nobody, and
// run with the role anon. The flag is_anonymous is always there as a boolean,
// since a policy that asks for a missing one may let everybody through.
//
// The role and the claims end with the transaction, also when fn fails or
// panics; then it is undone. It costs one round trip more than a plain
// transaction. fn must use its transaction for all that the visitor asked for:
// db itself is still the app.
func InTx(ctx context.Context, db *sql.DB, c walkin.Claims, fn func(tx *sql.Tx) error) error {
	role, claims, err := who(c)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("rls: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing, after a commit
	if _, err := tx.ExecContext(ctx, setWho, role, claims); err != nil {
		return fmt.Errorf("rls: becoming %s: %w", role, err)
	}
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("rls: %w", err)
	}
	return nil
}

// who returns the role and the claims of a visitor.
func who(c walkin.Claims) (role, claims string, err error) {
	if c.UserID == uuid.Nil {
		return "anon", `{"role":"anon","is_anonymous":true}`, nil
	}
	app := json.RawMessage(c.App)
	if len(app) > 0 && !json.Valid(app) {
		return "", "", errors.New("rls: Claims.App is not JSON")
	}
	text, err := json.Marshal(struct {
		Subject   uuid.UUID       `json:"sub"`
		SessionID uuid.UUID       `json:"session_id"`
		Role      string          `json:"role"`
		Anonymous bool            `json:"is_anonymous"`
		App       json.RawMessage `json:"app,omitempty"`
	}{c.UserID, c.SessionID, "authenticated", c.Anonymous, app})
	return "authenticated", string(text), err
}
