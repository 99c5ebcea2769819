package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// A Table is what a query returned. It has the fields of rls.Result.
type Table struct {
	Columns []string
	Rows    [][]any
	More    bool // there were more rows
}

// A trial is the page on which an operator runs a query as a user.
type trial struct {
	As, Query string
	Result    *Table
	Error     string // of the database, in its words
	Who       string // whom the result is of
}

// What a trial accepts: a query of 16 KB, for 10 seconds.
const (
	maxQuery = 16 << 10
	maxTrial = 10 * time.Second
)

func (s *Screen) queryForm(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, "Policies", view{Trial: &trial{As: "anonymous"}})
}

func (s *Screen) runQuery(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	t := &trial{As: r.PostFormValue("as"), Query: strings.TrimSpace(r.PostFormValue("query"))}
	if id := strings.TrimSpace(r.PostFormValue("id")); t.As == "user" {
		t.As = id
	}
	c, err := s.claimsOf(r.Context(), t)
	switch {
	case errors.Is(err, store.ErrNotFound):
		t.Error = "There is no such user."
	case err != nil:
		s.wk.Refuse(w, r, err)
		return
	case t.Query == "":
		t.Error = "Write a query first."
	case len(t.Query) > maxQuery:
		t.Error = "The query is longer than 16 KB."
	default:
		operator, _ := walkin.FromContext(r.Context())
		c.Actor = operator.UserID
		ctx, cancel := context.WithTimeout(r.Context(), maxTrial)
		defer cancel()
		result, err := s.cfg.Query(ctx, c, t.Query)
		switch {
		case err != nil && ctx.Err() != nil:
			t.Error = "The query took longer than 10 seconds."
		case err != nil:
			t.Error = err.Error()
		default:
			t.Result = &result
		}
	}
	s.show(w, r, "Policies", view{Trial: t})
}

// claimsOf returns the claims that a query runs with, and says in t whose they are.
func (s *Screen) claimsOf(ctx context.Context, t *trial) (c walkin.Claims, err error) {
	switch t.As {
	case "none":
		t.Who = "a request without a user"
		return c, nil
	case "anonymous":
		t.Who = "a new anonymous user"
		c.UserID, c.SessionID, c.Anonymous = uuid.Must(uuid.NewV7()), uuid.New(), true
		return c, nil
	}
	id, err := uuid.Parse(t.As)
	if err != nil {
		return c, store.ErrNotFound
	}
	user, err := s.wk.Export(ctx, id)
	if err == nil && user.Deleted != nil {
		err = store.ErrNotFound
	}
	t.Who = "the user " + id.String()
	c.UserID, c.SessionID, c.Anonymous = id, uuid.New(), user.Anonymous
	return c, err
}

// IsID reports whether the query runs as a user that was named.
func (t *trial) IsID() bool { return t.As != "none" && t.As != "anonymous" }

// value writes what a column holds.
func value(v any) string {
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05")
	case [16]byte:
		return uuid.UUID(v).String()
	}
	text := []rune(fmt.Sprint(v))
	if len(text) > 500 {
		return string(text[:500]) + "…"
	}
	return string(text)
}
