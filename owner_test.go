package walkin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// An ownedShelf is a store of session data that asks whose data it is: every
// call must come with the claims of the very session that its key names.
type ownedShelf struct {
	ctxShelf
	t      *testing.T
	owners map[string]uuid.UUID // by key
	ended  []string             // the calls of DeleteSession and DeleteSessions since the last look
}

func (s *ownedShelf) owner(ctx context.Context, do, key string) uuid.UUID {
	s.t.Helper()
	c, ok := walkin.FromContext(ctx)
	if !ok || c.SessionID.String() != key {
		s.t.Errorf("to %s the data of session %s: got claims %+v, %t, want that session's", do, key, c, ok)
	}
	if known, ok := s.owners[key]; ok && known != c.UserID {
		s.t.Errorf("to %s the data of session %s: got user %v, want %v", do, key, c.UserID, known)
	}
	return c.UserID
}

func (s *ownedShelf) FindCtx(ctx context.Context, key string) ([]byte, bool, error) {
	s.owner(ctx, "find", key)
	return s.ctxShelf.FindCtx(ctx, key)
}

func (s *ownedShelf) CommitCtx(ctx context.Context, key string, b []byte, at time.Time) error {
	s.owners[key] = s.owner(ctx, "commit", key)
	return s.ctxShelf.CommitCtx(ctx, key, b, at)
}

func (s *ownedShelf) DeleteCtx(ctx context.Context, key string) error {
	s.owner(ctx, "delete", key)
	return s.ctxShelf.DeleteCtx(ctx, key)
}

// An endingShelf also wants to know which sessions are over.
type endingShelf struct{ *ownedShelf }

func (s endingShelf) DeleteSession(ctx context.Context, userID, sessionID uuid.UUID) error {
	if got := s.owner(ctx, "end", sessionID.String()); got != userID {
		s.t.Errorf("DeleteSession: got user %v in the context, want %v", got, userID)
	}
	s.ended = append(s.ended, fmt.Sprint("session ", sessionID))
	return s.ctxShelf.DeleteCtx(ctx, sessionID.String())
}

func (s endingShelf) DeleteSessions(ctx context.Context, userID, except uuid.UUID) error {
	s.ended = append(s.ended, fmt.Sprintf("all of %s but %s", userID, except))
	if err := ctx.Err(); err != nil {
		return err
	}
	for key, owner := range s.owners {
		if owner == userID && key != except.String() {
			if err := s.delete(key); err != nil {
				return err
			}
		}
	}
	return s.fail["delete"]
}

// newOwnedSite returns a site whose session data is on such a shelf.
func newOwnedSite(t *testing.T, ending bool, changes ...func(*walkin.Config)) (*scsSite, *ownedShelf) {
	t.Helper()
	s := newSCSSite(t, "CtxStore", false, changes...)
	owned := &ownedShelf{ctxShelf: ctxShelf{s.shelf}, t: t, owners: make(map[string]uuid.UUID)}
	s.sm.Store = owned
	if ending {
		s.sm.Store = endingShelf{owned}
	}
	return s, owned
}

// wantEnded checks what the store heard of ended sessions since the last call.
func (s *ownedShelf) wantEnded(t *testing.T, after string, want ...string) {
	t.Helper()
	if !slices.Equal(s.ended, want) {
		t.Errorf("%s: the store was told\n%s\nwant\n%s", after, strings.Join(s.ended, "\n"), strings.Join(want, "\n"))
	}
	s.ended = nil
}

// one and all are what it hears.
func one(c walkin.Claims) string        { return fmt.Sprint("session ", c.SessionID) }
func all(user, except uuid.UUID) string { return fmt.Sprintf("all of %s but %s", user, except) }

// TestSessionOwner holds that a store which asks whose data it keeps is told so
// whatever happens to the visitor, and that it hears, after the commit, which
// sessions are over.
func TestSessionOwner(t *testing.T) {
	for _, ending := range []bool{true, false} {
		for _, path := range []string{"/prove", "/in/prove"} {
			t.Run(fmt.Sprintf("ending %t, at %s", ending, path), func(t *testing.T) {
				s, shelf := newOwnedSite(t, ending, merging)
				told := func(after string, want ...string) {
					t.Helper()
					if !ending {
						want = nil
					}
					shelf.wantEnded(t, after, want...)
				}
				c, other := s.visitor("anonymous"), s.visitor("anonymous")
				s.put(c, "cart", "1 book")
				guest := s.claims(c)

				c.Post(path, words("name", "ann"))
				ann := s.claims(c)
				told("upgrade", one(guest), all(guest.UserID, ann.SessionID))
				s.wantData(c, "cart=1 book")

				c.Post(path, words("name", "second"))
				linked := s.claims(c)
				told("link", one(ann))

				s.put(other, "cart", "2 books")
				before := s.claims(other)
				other.Post(path, words("name", "ann"))
				merged := s.claims(other)
				told("merge", one(before), all(before.UserID, uuid.Nil))
				s.wantData(other, "cart=2 books")
				s.wantKeys(linked, merged)

				third := s.visitor("anonymous")
				s.put(third, "cart", "3 books")
				guest = s.claims(third)
				third.Post(path, words("name", "ann", "conflict", "sign-in"))
				told("sign-in that leaves the guest", one(guest))
				if slices.Contains(s.keys(), guest.SessionID.String()) {
					t.Error("the data of the guest who was left is there")
				}
				s.put(third, "cart", "none of the guest's")
				signedIn := s.claims(third)

				if r := c.Post("/unlink", words("name", "second")); r.StatusCode != http.StatusOK {
					t.Fatalf("unlinking: got %d %q", r.StatusCode, body(t, r))
				}
				unlinked := s.claims(c)
				told("unlink", one(linked), all(ann.UserID, unlinked.SessionID))
				s.wantData(c, "cart=1 book")
				if ending {
					s.wantKeys(unlinked)
				} else {
					s.wantKeys(unlinked, merged, signedIn)
				}

				// The anonymous user in the cookie that does not count goes as well.
				left := s.visitor("anonymous")
				s.put(left, "cart", "left behind")
				guest = s.claims(left)
				c.SetCookie(anonName, left.Cookie(anonName))
				c.Post("/out", nil)
				told("sign-out", one(unlinked), one(guest))
				if ending {
					s.wantKeys()
				}
			})
		}
	}
	t.Run("by the app", func(t *testing.T) {
		s, shelf := newOwnedSite(t, true)
		for name, end := range map[string]func(ctx context.Context, id uuid.UUID) error{
			"SignOutEverywhere": s.SignOutEverywhere,
			"DeleteUser":        s.DeleteUser,
		} {
			c, other := s.visitor("nobody"), s.visitor("nobody")
			s.prove(c, name)
			s.prove(other, name)
			s.put(c, "cart", "1 book")
			s.put(other, "cart", "2 books")
			id := s.userOf(name)
			if err := end(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			shelf.wantEnded(t, name, all(id, uuid.Nil))
			s.wantKeys()
		}
	})
	t.Run("not when it did not happen", func(t *testing.T) {
		s, shelf := newOwnedSite(t, true)
		c := s.visitor("anonymous")
		s.put(c, "cart", "1 book")
		s.refuse["OnUpgrade"] = errors.New("the app says no")
		c.Post("/prove", words("name", "ann"))
		s.store.failAt("DeleteSessions", errDown)
		if err := s.SignOutEverywhere(t.Context(), s.claims(c).UserID); err == nil {
			t.Error("signing out everywhere: got no error")
		}
		s.store.be(nil)
		s.store.failAt("DeleteUser", errDown)
		if err := s.DeleteUser(t.Context(), s.claims(c).UserID); err == nil {
			t.Error("deleting the user: got no error")
		}
		s.store.be(nil)
		shelf.wantEnded(t, "nothing")
		s.wantData(c, "cart=1 book")
	})
	t.Run("without Handler", func(t *testing.T) {
		// Then the request's context has no user.
		s, shelf := newOwnedSite(t, true)
		c := s.visitor("anonymous")
		s.put(c, "cart", "1 book")
		guest := s.claims(c)
		s.told()
		if r := c.On(s.routes()).Post("/prove", words("name", "ann")); body(t, r) != "upgraded" {
			t.Errorf("got %d %q, want upgraded", r.StatusCode, body(t, r))
		}
		ann := s.claims(c)
		shelf.wantEnded(t, "upgrade", one(guest), all(ann.UserID, ann.SessionID))
		s.wantData(c, "cart=1 book")
		c.On(s.routes()).Post("/out", nil)
		shelf.wantEnded(t, "sign-out", one(ann))
		s.wantKeys()
	})
	t.Run("Destroy ends no session", func(t *testing.T) {
		s, shelf := newOwnedSite(t, true)
		c := s.visitor("anonymous").On(s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
			if err := s.sm.Destroy(r.Context()); err != nil {
				t.Error(err)
			}
			s.sm.Put(r.Context(), "cart", "1 book")
		})))
		c.Fetch("/")
		shelf.wantEnded(t, "Destroy")
		s.wantData(c.On(s.app()), "cart=1 book")
	})
}

// TestSessionEndFails holds that what became of a visitor does not depend on the end of
// their old data, and that the operator hears of it.
func TestSessionEndFails(t *testing.T) {
	s, shelf := newOwnedSite(t, true, merging)
	c, other := s.visitor("anonymous"), s.visitor("anonymous")
	s.put(c, "cart", "1 book")
	s.fail["delete"] = errors.New("the disk is full")
	tell := func(what, want string) {
		t.Helper()
		failed := 0
		events := s.told()
		for _, e := range events {
			if e.Outcome == walkin.Failed {
				if failed++; e.Reason != "session_data" || e.UserID == uuid.Nil || e.Err == nil {
					t.Errorf("%s: got event %+v, want session_data, whose, and why", what, e)
				}
			}
		}
		if last := events[len(events)-1].Outcome; failed != len(shelf.ended) || string(last) != want {
			t.Errorf("%s: got %d failures of %d, and %s, want all and %s", what, failed, len(shelf.ended), last, want)
		}
		shelf.ended = nil
	}
	s.told()
	s.prove(c, "ann")
	tell("upgrade", "upgraded")
	s.prove(other, "ann")
	tell("merge", "merged")
	s.prove(c, "second")
	s.told()
	shelf.ended = nil
	if r := c.Post("/unlink", words("name", "second")); r.StatusCode != http.StatusOK {
		t.Errorf("unlinking: got %d", r.StatusCode)
	}
	tell("unlink", "unlinked")
	s.wantData(c, "cart=1 book")
	if err := s.SignOutEverywhere(t.Context(), s.userOf("ann")); err != nil {
		t.Error(err)
	}
	tell("everywhere", "signed_out")
	if err := s.DeleteUser(t.Context(), s.userOf("ann")); err != nil {
		t.Error(err)
	}
	tell("deletion", "deleted")
}

// A hangUp is a store whose caller is gone when a transaction is committed.
type hangUp struct {
	store.Store
	cancel context.CancelFunc
}

func (s *hangUp) InTx(ctx context.Context, fn func(context.Context) error) error {
	err := s.Store.InTx(ctx, fn)
	if s.cancel != nil {
		s.cancel()
	}
	return err
}

// TestSessionEndGoesThrough holds that a visitor who hangs up at the moment of
// the commit leaves no data behind.
func TestSessionEndGoesThrough(t *testing.T) {
	store := new(hangUp)
	s, _ := newOwnedSite(t, true, func(c *walkin.Config) {
		faulty := c.Store.(*faultyStore)
		store.Store, faulty.Store = faulty.Store, store
	})
	c, other := s.visitor("nobody"), s.visitor("nobody")
	s.prove(c, "ann")
	s.prove(other, "ann")
	s.put(c, "cart", "1 book")
	s.put(other, "cart", "2 books")
	ctx, cancel := context.WithCancel(t.Context())
	store.cancel = cancel
	r := c.NewRequest(http.MethodPost, "/out", nil)
	c.Do(r.WithContext(ctx))
	s.wantKeys(s.claims(other))

	ctx, store.cancel = context.WithCancel(t.Context())
	if err := s.SignOutEverywhere(ctx, s.userOf("ann")); err != nil {
		t.Error(err)
	}
	s.wantKeys()
}

// TestSessionOfWithheldCookie holds that what was saved for a user whose cookie
// a 304 could not carry does not stay, as the user does not.
func TestSessionOfWithheldCookie(t *testing.T) {
	for _, ending := range []bool{true, false} {
		s, _ := newOwnedSite(t, ending, func(c *walkin.Config) { c.NewUsers.PersistOnMint = true })
		s.visitor("nobody").On(s.Handler(s.inside(func(w http.ResponseWriter, r *http.Request) {
			s.sm.Put(r.Context(), "cart", "1 book")
			w.WriteHeader(http.StatusNotModified)
		}))).Visit("/")
		s.wantRows(0)
		s.wantKeys()
	}
}
