package main

import (
	"html/template"
	"net/http"
	"sync"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
)

// A board keeps notes under the ID of the user who wrote them.
type board struct {
	mu    sync.Mutex
	notes map[uuid.UUID][]string
}

func (b *board) write(w http.ResponseWriter, r *http.Request) {
	c, _ := walkin.FromContext(r.Context()) // RequireUser saw to it
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.notes == nil {
		b.notes = map[uuid.UUID][]string{}
	}
	b.notes[c.UserID] = append(b.notes[c.UserID], r.PostFormValue("body"))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (b *board) show(w http.ResponseWriter, r *http.Request) {
	c, ok := walkin.FromContext(r.Context())
	b.mu.Lock()
	defer b.mu.Unlock()
	w.Header().Set("Cache-Control", "private, no-store")
	_ = page.Execute(w, map[string]any{"User": c.UserID, "Permanent": ok && !c.Anonymous, "Notes": b.notes[c.UserID]})
}

var page = template.Must(template.New("").Parse(`<!doctype html>
<title>Notes</title>
<p>You are {{.User}}, {{if .Permanent}}with{{else}}without{{end}} an account.
<form method="post" action="/notes"><input name="body" required> <button>Write</button></form>
<ul>{{range .Notes}}<li>{{.}}{{end}}</ul>
`))
