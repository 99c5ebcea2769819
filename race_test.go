package walkin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// endedMeanwhile ends the visitor's sessions after Handler has looked: what
// another tab, or another replica, does while a request is on its way.
func (s *site) endedMeanwhile(t *testing.T, r *http.Request) {
	t.Helper()
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		t.Fatal("nobody")
	}
	if err := s.store.Store.DeleteSessions(r.Context(), c.UserID, uuid.Nil); err != nil {
		t.Fatal(err)
	}
}

// TestEndedMeanwhile holds that a visitor whose session ends under a request
// gets no second account, no access token and no users made sure of.
func TestEndedMeanwhile(t *testing.T) {
	for _, kind := range []string{"anonymous", "permanent"} {
		s := newSite(t)
		c := resident(s, kind)
		rows := s.store.rows(t)
		r := c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.endedMeanwhile(t, r)
			outcome, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "another", Method: "pwd"})
			if err != nil {
				s.Refuse(w, r, err)
			}
			fmt.Fprint(w, outcome)
		}))).Post("/", nil)
		if r.StatusCode != http.StatusConflict || len(r.Header["Set-Cookie"]) > 0 || s.store.rows(t) != rows {
			t.Errorf("%s: got %d, %v and %d new rows, want 409 and nothing", kind, r.StatusCode, r.Header["Set-Cookie"], s.store.rows(t)-rows)
		}

		s = newSite(t)
		c = resident(s, kind)
		c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.endedMeanwhile(t, r)
			if token, err := s.AccessToken(r.Context(), "another service", 0); !errors.Is(err, store.ErrSessionEnded) {
				t.Errorf("%s: AccessToken: got %q, %v, want ErrSessionEnded", kind, token, err)
			}
			if claims, err := s.Ensure(w, r); err == nil {
				t.Errorf("%s: Ensure: got %v", kind, claims)
			}
			if _, ok := walkin.FromContext(r.Context()); ok {
				t.Errorf("%s: still somebody", kind)
			}
		}))).Fetch("/")
	}
}

// TestUnknownKeyMakesNoAccount holds that a replica which lacks the key of a
// visitor's token does not take them for a newcomer.
func TestUnknownKeyMakesNoAccount(t *testing.T) {
	s := newSite(t)
	c := s.browser(s.routes().ServeHTTP)
	c.Post("/note", nil)
	id := body(t, c.Fetch("/"))
	other := newSite(t, over(s), func(cfg *walkin.Config) {
		cfg.Keys = []walkin.Key{{Secret: []byte("the secret of a replica that is new")}}
	})
	rows := s.store.rows(t)
	prove := func(name string) *http.Response {
		return c.On(other.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := other.Continue(w, r, walkin.Proof{Provider: "test", Subject: name, Method: "pwd"}); err != nil {
				other.Refuse(w, r, err)
			}
		}))).Post("/", nil)
	}
	if r := prove("nobody's"); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" ||
		len(r.Header["Set-Cookie"]) > 0 || s.store.rows(t) != rows {
		t.Errorf("a free identity: got %d and %v", r.StatusCode, r.Header["Set-Cookie"])
	}
	out := walkintest.NewClient(t, other.Handler(other.SignOutHandler()))
	out.SetCookie(anonName, c.Cookie(anonName))
	if r := out.Post("/", nil); r.StatusCode != http.StatusServiceUnavailable || out.Cookie(anonName) != "" {
		t.Errorf("signing out: got %d and a jar with %q, want 503 and an empty one", r.StatusCode, out.Cookie(anonName))
	}
	if got := body(t, c.Fetch("/")); got != id {
		t.Errorf("back where the key is: got %q, want %q", got, id)
	}
	// A user with an account can sign in to it, and keeps the cookie that was not
	// verified.
	s.prove(s.browser(s.routes().ServeHTTP), "ann")
	r := prove("ann")
	if names := r.Cookies(); r.StatusCode != http.StatusOK || len(names) != 1 || names[0].Name != permName {
		t.Errorf("an owned identity: got %d and %v, want the permanent cookie alone", r.StatusCode, names)
	}
}

// A lateStore answers look-ups of sessions late: as they were.
type lateStore struct {
	store.Store
	late func()
}

func (s *lateStore) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	found, err := s.Store.LookupSession(ctx, user, session)
	if late := s.late; late != nil {
		s.late = nil
		late()
	}
	return found, err
}

// No request is served as the visitor of a session that this process has ended, though
// a look-up that began before the end says that it is alive.
func TestLateLookup(t *testing.T) {
	late := &lateStore{}
	s := newSite(t, func(c *walkin.Config) {
		late.Store = c.Store.(*faultyStore).Store
		c.Store.(*faultyStore).Store = late
	})
	ann := resident(s, "permanent")
	token := ann.Cookie(permName)
	copied := carrying(s, permName, token)
	late.late = func() { ann.Post("/out", nil) }
	if got := body(t, act(copied, "/")); got != "nobody" {
		t.Errorf("in flight during the sign-out: %s", got)
	}
	if got := body(t, copied.Fetch("/")); got != "nobody" {
		t.Errorf("after the sign-out: %s", got)
	}
}
