package docs

import (
	"net/http"
	"testing"
	"time"

	"github.com/walkin-go/walkin/walkintest"
)

// TestRestorePage runs the two calls of docs/restore.md: permanent users sign in once
// more, anonymous ones go on, and a new database takes the tokens of a lost one.
func TestRestorePage(t *testing.T) {
	ctx := t.Context()
	_, store := openSQLite(t)
	cfg := defaults()
	cfg.Store = store
	wk := newWalkin(t, cfg)
	site := wk.Handler(http.HandlerFunc(whoami))
	guest, member := walkintest.NewClient(t, site), walkintest.NewClient(t, site)
	guest.Visit("/")
	guest.Post("/", nil)
	permanent(t, wk, member, "ann")
	id, _ := is(t, guest)

	err := wk.EndSessionsBefore(ctx, time.Now(), false)
	ok(t, err)
	if _, kind := is(t, member); kind != "anonymous" && kind != "" {
		t.Errorf("a permanent user is still %q", kind)
	}
	if now, _ := is(t, guest); now != id {
		t.Error("the anonymous user is lost")
	}

	store = adopted(t)
	cfg.Store = store
	wk = newWalkin(t, cfg)
	if now, _ := is(t, guest.On(wk.Handler(http.HandlerFunc(whoami)))); now != id {
		t.Error("the anonymous user did not come along")
	}
}
