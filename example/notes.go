package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	_ "modernc.org/sqlite"

	"github.com/walkin-go/walkin/store/sqlstore"
)

// A database is one SQLite file with one connection that writes and several
// that read: writers that queue in the process wait for microseconds, and those
// that meet at the file's lock wait for whole seconds.
type database struct{ write, read *sql.DB }

func openDatabase(file string) (database, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return database{}, err
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return database{}, err // says more than SQLite would
	}
	dsn := (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: url.Values{
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}.Encode()}).String()
	write, err := sql.Open("sqlite", dsn)
	if err != nil {
		return database{}, err
	}
	read, err := sql.Open("sqlite", dsn)
	if err != nil {
		return database{}, errors.Join(err, write.Close())
	}
	write.SetMaxOpenConns(1)
	return database{write: write, read: read}, nil
}

func (db database) Close() error { return errors.Join(db.read.Close(), db.write.Close()) }

// notes keeps what visitors write, in the database that holds walkin's users.
// A note belongs to a user ID and knows nothing of accounts: when its writer
// gets one, the ID stays, and there is nothing to do here.
type notes struct{ database }

type note struct {
	ID          string
	UserID      uuid.UUID
	Text        string
	CreatedAt   time.Time
	PublishedAt time.Time // zero: a draft, for its writer alone
}

// errNoNote is for a note that is not there and for one of another user: a stranger
// cannot tell the two apart.
var errNoNote = errors.New("no such note")

// The rows go with their user. walkin_users is sqlstore's; a visitor has a row
// there before a handler sees their first post, so the reference always holds.
const schema = `
CREATE TABLE IF NOT EXISTS notes (
	id           TEXT PRIMARY KEY,
	user_id      BLOB NOT NULL REFERENCES walkin_users (id) ON DELETE CASCADE,
	text         TEXT NOT NULL,
	created_at   INTEGER NOT NULL, -- Unix time in microseconds
	published_at INTEGER           -- NULL for a draft
);
CREATE INDEX IF NOT EXISTS notes_by_user ON notes (user_id, created_at);
CREATE INDEX IF NOT EXISTS notes_published ON notes (published_at) WHERE published_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS names (
	user_id BLOB PRIMARY KEY REFERENCES walkin_users (id) ON DELETE CASCADE,
	name    TEXT NOT NULL
);`

func (n *notes) migrate(ctx context.Context) error {
	_, err := n.write.ExecContext(ctx, schema)
	return err
}

// add keeps a new note. Its ID is random, since it is part of a public address.
func (n *notes) add(ctx context.Context, userID uuid.UUID, text string) error {
	id := strings.ToLower(rand.Text()[:16])
	_, err := n.write.ExecContext(ctx, `INSERT INTO notes (id, user_id, text, created_at) VALUES (?, ?, ?, ?)`,
		id, userID[:], text, time.Now().UnixMicro())
	return err
}

const selectNote = `SELECT id, user_id, text, created_at, published_at FROM notes `

// of returns a user's latest notes.
func (n *notes) of(ctx context.Context, userID uuid.UUID) ([]note, error) {
	return n.list(ctx, selectNote+`WHERE user_id = ? ORDER BY created_at DESC LIMIT 200`, userID[:])
}

// published returns the latest public notes of everybody.
func (n *notes) published(ctx context.Context) ([]note, error) {
	return n.list(ctx, selectNote+`WHERE published_at IS NOT NULL ORDER BY published_at DESC LIMIT 6`)
}

func (n *notes) count(ctx context.Context, userID uuid.UUID) (count int, err error) {
	err = n.read.QueryRowContext(ctx, `SELECT count(*) FROM notes WHERE user_id = ?`, userID[:]).Scan(&count)
	return count, err
}

// one returns a note of any user.
func (n *notes) one(ctx context.Context, id string) (note, error) {
	found, err := n.list(ctx, selectNote+`WHERE id = ?`, id)
	if err != nil {
		return note{}, err
	}
	if len(found) == 0 {
		return note{}, errNoNote
	}
	return found[0], nil
}

// mine returns a note of the user's own.
func (n *notes) mine(ctx context.Context, userID uuid.UUID, id string) (note, error) {
	found, err := n.one(ctx, id)
	if err == nil && found.UserID != userID {
		return note{}, errNoNote
	}
	return found, err
}

func (n *notes) list(ctx context.Context, query string, args ...any) ([]note, error) {
	rows, err := n.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []note
	for rows.Next() {
		var one note
		var userID []byte
		var created int64
		var published sql.NullInt64
		if err := rows.Scan(&one.ID, &userID, &one.Text, &created, &published); err != nil {
			return nil, err
		}
		if one.UserID, err = uuid.FromBytes(userID); err != nil {
			return nil, err
		}
		one.CreatedAt = time.UnixMicro(created)
		if published.Valid {
			one.PublishedAt = time.UnixMicro(published.Int64)
		}
		list = append(list, one)
	}
	return list, rows.Err()
}

// The changes name the owner in their WHERE: a look before them would leave a gap, and
// another user's note is simply not found.

func (n *notes) edit(ctx context.Context, userID uuid.UUID, id, text string) error {
	return n.change(ctx, `UPDATE notes SET text = ? WHERE user_id = ? AND id = ?`, text, userID[:], id)
}

// publish makes a note public; one that is public already stays as it is.
func (n *notes) publish(ctx context.Context, userID uuid.UUID, id string) error {
	return n.change(ctx, `UPDATE notes SET published_at = coalesce(published_at, ?) WHERE user_id = ? AND id = ?`,
		time.Now().UnixMicro(), userID[:], id)
}

func (n *notes) unpublish(ctx context.Context, userID uuid.UUID, id string) error {
	return n.change(ctx, `UPDATE notes SET published_at = NULL WHERE user_id = ? AND id = ?`, userID[:], id)
}

func (n *notes) delete(ctx context.Context, userID uuid.UUID, id string) error {
	return n.change(ctx, `DELETE FROM notes WHERE user_id = ? AND id = ?`, userID[:], id)
}

func (n *notes) change(ctx context.Context, query string, args ...any) error {
	result, err := n.write.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	if changed, err := result.RowsAffected(); err != nil || changed == 0 {
		return errors.Join(err, errNoNote)
	}
	return nil
}

// move gives all notes of an anonymous user to another: for Config.OnMerge. It uses the
// transaction that merges the users, so that either both happen or neither.
func (n *notes) move(ctx context.Context, guestID, userID uuid.UUID) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errors.New("notes are moved in a transaction of the store only")
	}
	_, err := tx.ExecContext(ctx, `UPDATE notes SET user_id = ? WHERE user_id = ?`, userID[:], guestID[:])
	return err
}

// keepName remembers what a provider calls a user: for Config.Hooks.OnUpgrade, in its
// transaction.
func (n *notes) keepName(ctx context.Context, userID uuid.UUID, name string) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errors.New("names are kept in a transaction of the store only")
	}
	if name == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO names (user_id, name) VALUES (?, ?)`, userID[:], name)
	return err
}

// name returns what a provider calls a user; empty when none has.
func (n *notes) name(ctx context.Context, userID uuid.UUID) (name string, err error) {
	err = n.read.QueryRowContext(ctx, `SELECT name FROM names WHERE user_id = ?`, userID[:]).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return name, err
}

func (n note) Published() bool { return !n.PublishedAt.IsZero() }

// Title is a short name for lists and for people who listen: the beginning.
func (n note) Title() string {
	line, _, _ := strings.Cut(n.Text, "\n")
	if utf8.RuneCountInString(line) <= 64 {
		return line
	}
	cut := string([]rune(line)[:64])
	if space := strings.LastIndexByte(cut, ' '); space > 40 {
		cut = cut[:space]
	}
	return cut + "…"
}

// Heading and Body divide a note for its own page. A short first line with more
// below it is a heading, and so is a note that is short altogether.
func (n note) Heading() string {
	first, rest, _ := strings.Cut(n.Text, "\n")
	switch {
	case strings.TrimSpace(rest) != "" && utf8.RuneCountInString(first) <= 80:
		return first
	case utf8.RuneCountInString(n.Text) <= 160:
		return n.Text
	}
	return ""
}

func (n note) Body() string {
	return strings.TrimSpace(strings.TrimPrefix(n.Text, n.Heading()))
}
