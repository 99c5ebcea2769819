package walkin_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

// A mistakenStore answers look-ups wrongly for a while, as a database does that
// was restored from a backup, or that is the wrong one.
type mistakenStore struct {
	store.Store
	says atomic.Pointer[error]
}

func (s *mistakenStore) LookupSession(ctx context.Context, userID, sessionID uuid.UUID) (store.Session, error) {
	if err := s.says.Load(); err != nil {
		return store.Session{}, *err
	}
	return s.Store.LookupSession(ctx, userID, sessionID)
}

// TestNoObservationIsFinal holds that a session which the store took for ended, and
// which is there, is alive again after RecheckAfter; and that one which has ended
// stays so.
func TestNoObservationIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &mistakenStore{Store: memstore.New()}
		s := newSite(t, func(c *walkin.Config) { c.Store = &faultyStore{Store: st} })
		for _, kind := range kinds[1:] {
			c := resident(s, kind)
			id := body(t, c.Fetch("/"))
			token := c.Cookie(cookieOf(kind))
			time.Sleep(time.Minute)
			says := store.ErrSessionEnded
			st.says.Store(&says)
			if got := body(t, c.Fetch("/")); got != "nobody" {
				t.Errorf("%s: while the store says it is over: got %q, want nobody", kind, got)
			}
			st.says.Store(nil)
			time.Sleep(31 * time.Second)
			if got := body(t, c.Fetch("/")); got != id {
				t.Errorf("%s: afterwards: got %q, want %q", kind, got, id)
			}

			// What this process has ended, it asks about as well.
			c.Post("/out", nil)
			for _, fault := range []error{nil, errDown} {
				time.Sleep(31 * time.Second)
				s.store.be(fault)
				if got := body(t, carrying(s, cookieOf(kind), token).Fetch("/")); kind != "permanent" && got != "nobody" || strings.HasPrefix(got, id) {
					t.Errorf("%s, signed out, store %v: got %q, want nobody", kind, fault, got)
				}
			}
			s.store.be(nil)
		}
	})
}

// TestSessionLifetime holds that no renewal takes a session past its end, in a cookie
// or as a bearer, and that a change without a new proof does not either.
func TestSessionLifetime(t *testing.T) {
	week := func(c *walkin.Config) { c.Sessions.Lifetime = 7 * day }
	for _, kind := range kinds {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, week)
			c := resident(s, kind)
			id := body(t, c.Fetch("/"))
			bearer := func(token string) string {
				r := s.request(http.MethodGet, "/")
				r.Header.Set("Authorization", "Bearer "+token)
				w := newSite(t, week, over(s)).browser(s.routes().ServeHTTP)
				return body(t, w.Do(r))
			}
			var token string
			for n := range 7 {
				if got := body(t, c.Visit("/")); got != id {
					t.Fatalf("%s, day %d: got %q, want %q", kind, n, got, id)
				}
				token = c.Cookie(cookieOf(kind))
				if n == 3 && kind == "provisional" {
					c.Post("/note", nil) // a row does not begin it again
				}
				time.Sleep(day)
			}
			time.Sleep(2 * time.Minute)
			if got := body(t, carrying(s, cookieOf(kind), token).Fetch("/")); got != "nobody" {
				t.Errorf("%s, after a week: got %q, want nobody", kind, got)
			}
			if got := bearer(token); got != "nobody" {
				t.Errorf("%s, after a week, as a bearer: got %q, want nobody", kind, got)
			}
			if got := body(t, c.Visit("/")); strings.HasPrefix(got, id[:36]) {
				t.Errorf("%s: the user came back without a proof", kind)
			}
		})
	}
	t.Run("an access token ends with the session", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, week)
			c := resident(s, "permanent")
			time.Sleep(7*day - time.Minute)
			claims := s.claims(c)
			token, err := s.AccessToken(walkin.NewContext(t.Context(), claims), "walkin", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Verify(token, true, time.Now())
			if err != nil || time.Until(got.ExpiresAt) > time.Minute {
				t.Errorf("got a token for %v, %v; want a minute at most", time.Until(got.ExpiresAt), err)
			}
		})
	})
	t.Run("removing an identity proves nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, week, func(c *walkin.Config) { c.Sessions.RecentProof = 30 * day })
			c := resident(s, "permanent")
			s.prove(c, "bea")
			time.Sleep(6 * day)
			before := s.claims(c)
			if r := c.Post("/unlink", url.Values{"provider": {"test"}, "name": {"bea"}}); r.StatusCode != http.StatusOK {
				t.Errorf("got %d", r.StatusCode)
			}
			after := s.claims(c)
			if after.SessionID == before.SessionID || after.ExpiresAt.After(before.ExpiresAt) {
				t.Errorf("got a session until %v, want a new one until %v at most", after.ExpiresAt, before.ExpiresAt)
			}
			if !after.ProvenAt.Equal(before.ProvenAt) {
				t.Errorf("got a proof of %v, want that of %v", after.ProvenAt, before.ProvenAt)
			}
		})
	})
	if _, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: memstore.New(), Sessions: walkin.Sessions{Lifetime: time.Second}}); err == nil {
		t.Error("a second: got no error")
	}
}
