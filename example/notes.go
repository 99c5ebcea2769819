package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite"

	"github.com/walkin-go/walkin/store/sqlstore"
)

// openDatabase opens one SQLite file, with one connection: writers that queue in the
// process wait for microseconds, and those that meet at the file's lock for seconds.
// A busy site has others that read; see sqlstore.Config.Reader.
func openDatabase(file string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(file)+"?_txlock=immediate&_pragma=busy_timeout(5000)"+
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// notes keeps what visitors write, in the database that holds walkin's users.
// A note belongs to a user ID and knows nothing of accounts: when its writer
// gets one, the ID stays, and there is nothing to do here.
type notes struct{ db *sql.DB }

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
CREATE INDEX IF NOT EXISTS notes_by_user ON notes (user_id, created_at);`

// add keeps a new note. Its ID is random, since it is part of a public address.
func (n *notes) add(ctx context.Context, userID uuid.UUID, text string) error {
	id := strings.ToLower(rand.Text()[:16])
	_, err := n.db.ExecContext(ctx, `INSERT INTO notes (id, user_id, text, created_at) VALUES (?, ?, ?, ?)`,
		id, userID[:], text, time.Now().UnixMicro())
	return err
}

const selectNote = `SELECT id, user_id, text, created_at, published_at FROM notes `

// of returns a user's latest notes.
func (n *notes) of(ctx context.Context, userID uuid.UUID) ([]note, error) {
	return n.list(ctx, selectNote+`WHERE user_id = ? ORDER BY created_at DESC LIMIT 200`, userID[:])
}

func (n *notes) count(ctx context.Context, userID uuid.UUID) (count int, err error) {
	err = n.db.QueryRowContext(ctx, `SELECT count(*) FROM notes WHERE user_id = ?`, userID[:]).Scan(&count)
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
	rows, err := n.db.QueryContext(ctx, query, args...)
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

// publish makes a note public; one that is public already stays as it is.
func (n *notes) publish(ctx context.Context, userID uuid.UUID, id string) error {
	return n.change(ctx, `UPDATE notes SET published_at = coalesce(published_at, ?) WHERE user_id = ? AND id = ?`,
		time.Now().UnixMicro(), userID[:], id)
}

func (n *notes) delete(ctx context.Context, userID uuid.UUID, id string) error {
	return n.change(ctx, `DELETE FROM notes WHERE user_id = ? AND id = ?`, userID[:], id)
}

func (n *notes) change(ctx context.Context, query string, args ...any) error {
	result, err := n.db.ExecContext(ctx, query, args...)
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

func (n note) Published() bool { return !n.PublishedAt.IsZero() }

// Title is a short name for lists and for people who listen: the beginning.
func (n note) Title() string {
	line, _, _ := strings.Cut(n.Text, "\n")
	if runes := []rune(line); len(runes) > 64 {
		return string(runes[:64]) + "…"
	}
	return line
}
