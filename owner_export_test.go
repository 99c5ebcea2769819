package walkin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// TestExport holds that an export has all that is stored about a user but secrets, and
// that a deletion takes the app's part along, or nothing.
func TestExport(t *testing.T) {
	var deleted []uuid.UUID
	var broken error
	o := newOffice(t, func(c *walkin.Config) {
		c.Hooks.OnExport = func(_ context.Context, id uuid.UUID) (any, error) {
			return map[string]any{"notes": []string{"of " + id.String()}}, broken
		}
		c.Hooks.OnDelete = func(_ context.Context, id uuid.UUID) error { deleted = append(deleted, id); return broken }
	})
	ann := walkintest.NewClient(t, o.site)
	ann.Post("/prove", url.Values{"name": {"ann"}})
	id := o.id(ann.Fetch("/"))
	ann.Fetch("/data?put=apples")
	identity, err := o.store.Identity(t.Context(), "test", "ann")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.store.SetSecret(t.Context(), "test", "ann", []byte("a hash of the password")); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	if err := o.m.Ban(t.Context(), id, store.Ban{Until: until, Reason: "spam"}); err != nil {
		t.Fatal(err)
	}
	e, err := o.m.Export(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{id.String(), `"provider":"test"`, `"subject":"ann"`, `"has_secret":true`, "apples", "spam", "of " + id.String(),
		identity.CreatedAt.Format(time.RFC3339Nano), e.Sessions[0].ID.String()} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the export lacks %q:\n%s", part, text)
		}
	}
	if strings.Contains(string(text), "hash of") || strings.Contains(string(text), "YSBoYXNo") {
		t.Errorf("the export has the secret:\n%s", text)
	}
	if _, err := o.m.Export(t.Context(), uuid.New()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a user who is not there: got %v", err)
	}

	broken = errors.New("the app's table is gone")
	if _, err := o.m.Export(t.Context(), id); !errors.Is(err, broken) {
		t.Errorf("the app's part fails: got %v", err)
	}
	if err := o.m.DeleteUser(t.Context(), id); !errors.Is(err, broken) {
		t.Errorf("the app's part fails: got %v", err)
	}
	if r := ann.Post("/write", nil); r.StatusCode != http.StatusOK {
		t.Errorf("the deletion failed, and the user is gone: %d", r.StatusCode)
	}
	broken = nil
	if err := o.m.DeleteUser(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(deleted, []uuid.UUID{id, id}) {
		t.Errorf("OnDelete got %v, want the user, twice", deleted)
	}
	e, err = o.m.Export(t.Context(), id)
	if err != nil || e.Stored || e.Deleted == nil || len(e.Sessions)+len(e.Identities) > 0 {
		t.Errorf("after the deletion: got %+v, %v; want the trace alone", e, err)
	}
}

// TestWatch holds that a connection that is kept open hears of each change of its
// user's identity, and of no other's.
func TestWatch(t *testing.T) {
	o := newOffice(t)
	heard := func(c <-chan struct{}) bool {
		select {
		case _, open := <-c:
			return open
		default:
			return false
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	mine, other := o.m.Watch(ctx, o.guestID), o.m.Watch(t.Context(), o.operatorID)
	alive := func(c walkin.Claims, want bool) {
		t.Helper()
		if got, err := o.m.IsAlive(t.Context(), c); err != nil || got != want {
			t.Errorf("IsAlive: got %t, %v; want %t", got, err, want)
		}
	}
	claims := func(c *walkintest.Client) (claims walkin.Claims) {
		c.On(o.m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			claims, _ = walkin.FromContext(r.Context())
		}))).Fetch("/")
		return claims
	}
	before := claims(o.guest)
	alive(before, true)
	o.guest.Post("/write", nil)
	if heard(mine) {
		t.Error("a write is no change")
	}
	for _, step := range []struct {
		name string
		do   func() error
		then bool // the session of before goes on
	}{
		{"a ban", func() error { return o.m.Ban(t.Context(), o.guestID, store.Ban{}) }, false},
		{"the end of a ban", func() error { return o.m.Unban(t.Context(), o.guestID) }, true},
		{"an upgrade", func() error { o.guest.Post("/prove", url.Values{"name": {"bob"}}); return nil }, false},
		{"a sign-out", func() error { return o.m.SignOutEverywhere(t.Context(), o.guestID) }, false},
		{"a deletion", func() error { return o.m.DeleteUser(t.Context(), o.guestID) }, false},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if !heard(mine) {
			t.Errorf("%s was not heard", step.name)
		}
		if heard(mine) {
			t.Errorf("%s was heard twice", step.name)
		}
		alive(before, step.then)
	}
	if heard(other) {
		t.Error("another user's change was heard")
	}
	if err := o.m.EndSessionsBefore(t.Context(), time.Now(), false); err != nil {
		t.Fatal(err)
	}
	if !heard(other) {
		t.Error("the end of all sessions was not heard")
	}
	stop()
	for range mine { // ends when it is closed
	}
	provisional := claims(walkintest.NewClient(t, o.site))
	if provisional.UserID != uuid.Nil {
		t.Error("a fetch minted")
	}
	visitor := walkintest.NewClient(t, o.site)
	visitor.Visit("/")
	alive(claims(visitor), true)
}

// TestWatchElsewhere holds that what another replica did is heard by the feed.
func TestWatchElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		other, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: o.store})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = other.RunFeed(ctx) }()
		time.Sleep(3 * time.Second)
		mine, operators := other.Watch(ctx, o.guestID), other.Watch(ctx, o.operatorID)
		if err := o.m.Ban(t.Context(), o.guestID, store.Ban{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		select {
		case <-mine:
		default:
			t.Error("the ban on the other replica was not heard")
		}
		select {
		case <-operators:
			t.Error("another user's change was heard")
		default:
		}
		stop()
		<-done
	})
}
