package walkin_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
)

// TestSignInAndOut holds that whoever signs out between two sign-ins, so that no session
// is left to count, is bounded as well, and on replicas that share a limiter together.
func TestSignInAndOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHookedSite(t)
		owner := h.browser(h.routes().ServeHTTP)
		act(owner, "/prove?name=ann")
		statuses := map[int]int{}
		for i := range 200 {
			c := h.browser(h.routes().ServeHTTP).From(fmt.Sprintf("203.0.113.%d:1", i))
			c.Visit("/") // a guest, of whom a tombstone stays
			statuses[act(c, "/prove?name=ann").StatusCode]++
			act(c.On(h.Handler(h.SignOutHandler())), "/")
		}
		if statuses[http.StatusOK] != 50 || statuses[http.StatusTooManyRequests] != 150 {
			t.Errorf("got %v, want 50 of 200", statuses)
		}
		for range 10 { // who is signed in proves themselves again, whatever others did
			if status := act(owner, "/prove?name=ann").StatusCode; status != http.StatusOK {
				t.Fatalf("proving again: got %d", status)
			}
		}
		if status := act(h.browser(h.routes().ServeHTTP), "/prove?name=bea").StatusCode; status != http.StatusOK {
			t.Errorf("somebody else: got %d", status)
		}
		time.Sleep(time.Hour / 50)
		if status := act(h.browser(h.routes().ServeHTTP), "/prove?name=ann").StatusCode; status != http.StatusOK {
			t.Errorf("after the wait: got %d", status)
		}
	})
}

// TestDeleteFlood holds that a robot leaves no more traces of users who never were
// than it can make rows, wherever the app deletes them.
func TestDeleteFlood(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.CredentialPaths = []string{"/account/"} })
	deleteMe := func(w http.ResponseWriter, r *http.Request) {
		c, ok := walkin.FromContext(r.Context())
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if err := s.DeleteUser(r.Context(), c.UserID); err != nil {
			s.Refuse(w, r, err)
		}
	}
	statuses := map[int]int{}
	for range 100 {
		c := s.browser(deleteMe).From("203.0.113.7:1")
		c.On(s.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))).Visit("/")
		statuses[act(c, "/account/delete").StatusCode]++
	}
	if statuses[http.StatusOK] != 30 || statuses[http.StatusTooManyRequests] != 70 {
		t.Errorf("got %v, want 30 deletions", statuses)
	}
	if err := s.DeleteUser(t.Context(), uuid.New()); err != nil { // for a user whom no request is about
		t.Errorf("the app's own: %v", err)
	}
}
