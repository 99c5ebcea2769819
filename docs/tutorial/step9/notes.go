package main

import (
	"context"
	"database/sql"
	"html/template"
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/sqlstore"
)

// A board keeps notes in the database that has walkin's tables.
type board struct{ db *sql.DB }

func (b board) migrate(ctx context.Context) error {
	_, err := b.db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS notes (
		id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		owner uuid NOT NULL REFERENCES walkin_users (id) ON DELETE CASCADE,
		body text NOT NULL)`)
	return err
}

func (b board) write(w http.ResponseWriter, r *http.Request) {
	c, _ := walkin.FromContext(r.Context())
	_, err := b.db.ExecContext(r.Context(), `INSERT INTO notes (owner, body) VALUES ($1, $2)`, c.UserID, r.PostFormValue("body"))
	if err != nil {
		http.Error(w, "The note was not saved.", http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// move is walkin's OnMerge: a visitor wrote, and then signed in to an account.
func (b board) move(ctx context.Context, c walkin.Change) error {
	tx, _ := sqlstore.Tx(ctx) // the transaction of the sign-in
	_, err := tx.ExecContext(ctx, `UPDATE notes SET owner = $1 WHERE owner = $2`, c.UserID, c.AnonymousID)
	return err
}

func (b board) of(ctx context.Context, c walkin.Claims) (notes []string, err error) {
	rows, err := b.db.QueryContext(ctx, `SELECT body FROM notes WHERE owner = $1 ORDER BY id`, c.UserID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		notes = append(notes, body)
	}
	return notes, rows.Err()
}

func (b board) show(w http.ResponseWriter, r *http.Request) {
	c, ok := walkin.FromContext(r.Context())
	notes, err := b.of(r.Context(), c)
	if err != nil {
		http.Error(w, "The notes cannot be read now.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "private, no-store")
	_ = page.Execute(w, map[string]any{"User": c.UserID, "Permanent": ok && !c.Anonymous, "Notes": notes})
}

var page = template.Must(template.New("").Parse(`<!doctype html>
<title>Notes</title>
<p>You are {{.User}}, {{if .Permanent}}with{{else}}without{{end}} an account.
<form method="post" action="/notes"><input name="body" required> <button>Write</button></form>
<ul>{{range .Notes}}<li>{{.}}{{end}}</ul>
`))
