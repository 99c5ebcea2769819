package docs

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/admin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestAdminPage runs the code of docs/admin.md: its operator sees the screen, and
// another user does not.
func TestAdminPage(t *testing.T) {
	var operator uuid.UUID
	isOperator := func(_ context.Context, id uuid.UUID) (bool, error) { return id == operator, nil }
	keys, store, mux := defaults().Keys, memstore.New(), http.NewServeMux()

	var counters admin.Counters
	wk, err := walkin.New(walkin.Config{Keys: keys, Store: store, OnEvent: counters.OnEvent})
	ok(t, err)
	screen, err := admin.New(wk, admin.Config{
		May:      func(ctx context.Context, c walkin.Claims) (bool, error) { return isOperator(ctx, c.UserID) },
		Counters: &counters,
	})
	ok(t, err)
	mux.Handle("/admin/", screen)

	mux.HandleFunc("/whoami", whoami)
	c := walkintest.NewClient(t, wk.Handler(mux))
	permanent(t, wk, c, "ann")
	if r := c.Visit("/admin/"); r.StatusCode == http.StatusOK {
		t.Error("a user who is no operator sees the screen")
	}
	operator, _ = is(t, c)
	mustBe(t, c.Visit("/admin/"), http.StatusOK)
}
