package walkin_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

// opened returns a new anonymous user's session, with its first refresh token.
func (s *site) opened(t *testing.T) (walkin.Claims, string) {
	t.Helper()
	var c walkin.Claims
	s.bearer(t, "", func(w http.ResponseWriter, r *http.Request) (err error) {
		c, err = s.Ensure(w, r)
		return err
	})
	token, err := s.StartRefresh(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return c, token
}

// bearer runs do for the holder of a token, or for a request without one.
func (s *site) bearer(t *testing.T, token string, do func(http.ResponseWriter, *http.Request) error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://app.example/", nil)
	r.Header.Set("User-Agent", "app/1")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	rec := httptest.NewRecorder()
	s.WithoutCookies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := do(w, r); err != nil {
			t.Error(err)
		}
	})).ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
}

func (s *site) refresh(token string) (walkin.Claims, string, error) {
	return s.Refresh(httptest.NewRequest(http.MethodPost, "https://app.example/", nil), token)
}

// ended reports what events say about sessions that a reuse has ended: each has two, of
// the refusal and of the end.
func (s *site) ended() (ids []uuid.UUID) {
	s.t.Helper()
	var refused []uuid.UUID
	for _, e := range s.told() {
		switch {
		case e.Reason != "refresh_token_reused":
		case e.Outcome == walkin.SignedOut:
			ids = append(ids, e.SessionID)
		case e.Outcome == walkin.Refused:
			refused = append(refused, e.SessionID)
		}
	}
	if !slices.Equal(ids, refused) {
		s.t.Errorf("the operator is told of refusals in %v and of ends of %v, want the same", refused, ids)
	}
	return ids
}

func (s *site) isAlive(t *testing.T, c walkin.Claims) bool {
	t.Helper()
	_, err := s.store.LookupSession(t.Context(), c.UserID, c.SessionID)
	if err != nil && !errors.Is(err, store.ErrSessionEnded) {
		t.Fatal(err)
	}
	return err == nil
}

func TestRefresh(t *testing.T) {
	for _, change := range []func(*walkin.Config){func(*walkin.Config) {}, renewAlways} {
		testRefresh(t, change)
	}
}

func testRefresh(t *testing.T, change func(*walkin.Config)) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, change)
		c, first := s.opened(t)
		claims, second, err := s.refresh(first)
		if err != nil || second == first || claims.UserID != c.UserID || claims.SessionID != c.SessionID || !claims.Anonymous {
			t.Fatalf("got %+v, a new token %v, %v", claims, second != first, err)
		}
		// Other tabs, a moment later.
		time.Sleep(10 * time.Second)
		for range 3 {
			if _, again, err := s.refresh(first); err != nil || again != second {
				t.Fatalf("the parent within 10 seconds: got the same token %v, %v", again == second, err)
			}
		}
		_, third, err := s.refresh(second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		if s.ended() != nil || !s.isAlive(t, c) {
			t.Fatal("the session ended")
		}
		if _, _, err := s.refresh(second); !errors.Is(err, walkin.ErrRedeemed) {
			t.Errorf("a used token after 10 seconds: got %v, want ErrRedeemed", err)
		}
		if got := s.ended(); len(got) != 1 || got[0] != c.SessionID || s.isAlive(t, c) {
			t.Errorf("got ended sessions %v, want the one whose token was used twice", got)
		}
		if _, _, err := s.refresh(third); !errors.Is(err, store.ErrSessionEnded) {
			t.Errorf("the newest token of an ended session: got %v, want ErrSessionEnded", err)
		}
	})
}

// TestRefreshTogether holds that five tabs which refresh at once go on, all with one
// new token.
func TestRefreshTogether(t *testing.T) {
	s := newSite(t)
	_, first := s.opened(t)
	next := make([]string, 5)
	errs := make([]error, len(next))
	var wg sync.WaitGroup
	for i := range next {
		wg.Go(func() { _, next[i], errs[i] = s.refresh(first) })
	}
	wg.Wait()
	for i := range next {
		if errs[i] != nil || next[i] != next[0] {
			t.Errorf("tab %d: got %v, the same token %v", i, errs[i], next[i] == next[0])
		}
	}
}

// TestRefreshTokenMutations holds that nothing but what was issued is a refresh token.
func TestRefreshTokenMutations(t *testing.T) {
	s := newSite(t)
	c, token := s.opened(t)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for i := range raw {
		for bit := range 8 {
			changed := append([]byte(nil), raw...)
			changed[i] ^= 1 << bit
			all = append(all, base64.RawURLEncoding.EncodeToString(changed))
		}
	}
	for i := range len(token) {
		all = append(all, token[:i], token[:i]+"\n"+token[i:], token[:i]+"="+token[i:])
	}
	all = append(all, token+"A", token+"=", token+"\n", " "+token, strings.ToUpper(token), base64.StdEncoding.EncodeToString(raw)+"=", "nope")
	// The unused bits of the last letter: of one token there is one spelling.
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, l := range letters {
		if other := token[:len(token)-1] + string(l); other != token {
			all = append(all, other)
		}
	}
	for _, mutated := range all {
		if _, _, err := s.refresh(mutated); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: got %v, want ErrNotFound", mutated, err)
		}
	}
	other := newSite(t, func(cfg *walkin.Config) { cfg.Tokens.Audience = "another app" })
	if _, _, err := other.refresh(token); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a token of another app with the same key: got %v, want ErrNotFound", err)
	}
	if _, _, err := s.refresh(token); err != nil || !s.isAlive(t, c) {
		t.Errorf("the token itself, after all that: %v", err)
	}
}

// upgradedByPut is what happens where the answer to an upgrade has no room for tokens.
func upgradedByPut(t *testing.T, s *site) (old, next walkin.Claims, token string) {
	t.Helper()
	old, token = s.opened(t)
	access, err := s.ClientToken(t.Context(), old, walkin.ProfileClaims{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	s.bearer(t, access.Text, func(w http.ResponseWriter, r *http.Request) error {
		_, err := s.Continue(w, r, walkin.Proof{Provider: "email", Subject: old.UserID.String(), Method: "otp", Chosen: true})
		next, _ = walkin.FromContext(r.Context())
		return err
	})
	if err := s.RefreshOnceMore(t.Context(), old, next, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return old, next, token
}

// TestRefreshOnceMore holds what a copy of the old token is worth in the window: one
// try, after which the owner's own ends the session for both, and the operator is told.
func TestRefreshOnceMore(t *testing.T) {
	for _, tt := range []struct {
		name string
		wait time.Duration // of the second
	}{
		{"at once", 0}, {"a moment later", 5 * time.Second}, {"when the window is over", 2 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				old, next, token := upgradedByPut(t, s)
				claims, _, err := s.refresh(token) // the thief or the owner: nothing tells
				if err != nil || claims.SessionID != next.SessionID || claims.UserID != old.UserID || claims.Anonymous {
					t.Fatalf("the first: got %+v, %v", claims, err)
				}
				time.Sleep(tt.wait)
				s.told()
				if _, _, err := s.refresh(token); !errors.Is(err, walkin.ErrRedeemed) {
					t.Errorf("the second: got %v, want ErrRedeemed", err)
				}
				if got := s.ended(); len(got) != 1 || got[0] != next.SessionID || s.isAlive(t, next) {
					t.Errorf("got ended sessions %v, want the new one", got)
				}
			})
		})
	}
}

// TestNoGrace holds that an upgrade ends the refresh token with its session, unless
// RefreshOnceMore is called, and that this ends in time.
func TestNoGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		old, token := s.opened(t)
		if err := s.store.DeleteSession(t.Context(), old.UserID, old.SessionID); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.refresh(token); !errors.Is(err, store.ErrSessionEnded) {
			t.Errorf("got %v, want ErrSessionEnded", err)
		}
		_, next, token := upgradedByPut(t, s)
		time.Sleep(2 * time.Minute)
		if _, _, err := s.refresh(token); !errors.Is(err, store.ErrSessionEnded) || !s.isAlive(t, next) {
			t.Errorf("after the window: got %v, want ErrSessionEnded and the new session alive", err)
		}
	})
}

func TestClientToken(t *testing.T) {
	s := newSite(t)
	c, _ := s.opened(t)
	profile := walkin.ProfileClaims{Email: "ann@example.com", AppMetadata: json.RawMessage(`{"plan":"x"}`), UserMetadata: json.RawMessage(` {"role": "service_role"} `)}
	token, err := s.ClientToken(t.Context(), c, profile, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	part, err := base64.RawURLEncoding.DecodeString(strings.Split(token.Text, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(part, &claims); err != nil {
		t.Fatal(err)
	}
	if claims["email"] != "ann@example.com" || claims["phone"] != "" || claims["aal"] != "aal1" || claims["role"] != "authenticated" ||
		claims["app_metadata"].(map[string]any)["plan"] != "x" || claims["is_anonymous"] != true {
		t.Errorf("got claims %v", claims)
	}
	profile.AAL = "aal2"
	proven, err := s.ClientToken(t.Context(), c, profile, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if part, err := base64.RawURLEncoding.DecodeString(strings.Split(proven.Text, ".")[1]); err != nil || !strings.Contains(string(part), `"aal":"aal2"`) {
		t.Errorf("got %s, %v, want aal2", part, err)
	}
	s.bearer(t, token.Text, func(_ http.ResponseWriter, r *http.Request) error {
		if got, ok := walkin.FromContext(r.Context()); !ok || got.UserID != c.UserID || got.SessionID != c.SessionID {
			t.Errorf("got %+v, %v", got, ok)
		}
		return nil
	})
	for name, p := range map[string]walkin.ProfileClaims{
		"an array":    {AppMetadata: json.RawMessage(`[]`)},
		"two objects": {UserMetadata: json.RawMessage(`{},"role":"service_role","x":{}`)},
		"an open one": {UserMetadata: json.RawMessage(`{"a":1`)},
	} {
		if _, err := s.ClientToken(t.Context(), c, p, time.Hour); err == nil {
			t.Errorf("%s: got a token", name)
		}
	}
	large := walkin.ProfileClaims{UserMetadata: json.RawMessage(`{"a":"` + strings.Repeat("x", 4000) + `"}`)}
	_, err = s.ClientToken(t.Context(), c, large, time.Hour)
	if refusal, is := errors.AsType[*walkin.Refusal](err); !is || refusal.Reason != walkin.ReasonTokenTooLarge || refusal.Status != http.StatusUnprocessableEntity {
		t.Errorf("too much: got %v, want a refusal for that", err)
	}
	if _, err := s.ClientToken(t.Context(), c, profile, 2*time.Hour); err == nil {
		t.Error("a life of two hours: got a token")
	}
	if err := s.store.DeleteSession(t.Context(), c.UserID, c.SessionID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ClientToken(t.Context(), c, profile, time.Hour); !errors.Is(err, store.ErrSessionEnded) {
		t.Errorf("an ended session: got %v, want ErrSessionEnded", err)
	}
}

func TestKeyFileES256(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	keys, err := walkin.KeyFileES256(file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := walkin.KeyFile(file)
	if err != nil || len(again) != 1 {
		t.Fatalf("got %v, %v", again, err)
	}
	m := newSite(t, func(c *walkin.Config) { c.Keys = keys })
	rec := httptest.NewRecorder()
	m.JWKSHandler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if !strings.Contains(rec.Body.String(), `"alg":"ES256"`) {
		t.Errorf("got %s", rec.Body)
	}
}

// TestApplied holds that what a package keeps about a user is one with the change.
func TestApplied(t *testing.T) {
	s := newSite(t)
	c, _ := s.opened(t)
	access, err := s.ClientToken(t.Context(), c, walkin.ProfileClaims{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	refusal := &walkin.Refusal{Status: http.StatusTeapot, Reason: "mine"}
	for _, fails := range []bool{true, false} {
		s.bearer(t, access.Text, func(w http.ResponseWriter, r *http.Request) error {
			var seen walkin.Change
			_, err := s.Continue(w, r, walkin.Proof{Provider: "email", Subject: "ann@example.com", Method: "otp",
				Applied: func(ctx context.Context, change walkin.Change) error {
					seen = change
					if user, err := s.store.LockUser(ctx, change.UserID); err != nil || user.Anonymous {
						t.Errorf("in the transaction: got %+v, %v", user, err)
					}
					if fails {
						return refusal
					}
					return nil
				}})
			if seen.UserID != c.UserID || seen.Outcome != walkin.Upgraded {
				t.Errorf("got %+v", seen)
			}
			if fails != errors.Is(err, refusal) {
				t.Errorf("got %v", err)
			}
			return nil
		})
		if user, err := s.store.LockUser(t.Context(), c.UserID); err != nil || user.Anonymous != fails {
			t.Errorf("it failed %v: got %+v, %v", fails, user, err)
		}
	}
}

// TestRefreshKeepsTheSession holds that a client which refreshes keeps its session for
// longer than one token lives, that a sweep leaves it alone, and that the store is
// written to for this when a renewal is due, and not each time.
func TestRefreshKeepsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(c *walkin.Config) { c.Tokens.Lifetime = 10 * day })
		c, token := s.opened(t)
		for n := range 40 {
			time.Sleep(day)
			for range 3 {
				var err error
				if _, token, err = s.refresh(token); err != nil {
					t.Fatalf("day %d: %v", n+1, err)
				}
			}
		}
		if n := s.store.count("RenewSession"); n != 40 {
			t.Errorf("the session was renewed %d times by 120 refreshes in 40 days, want once a day", n)
		}
		if !s.isAlive(t, c) {
			t.Error("the session has ended")
		}
	})
}

// TestRefreshOnceMoreOfTheEnded holds that the old token is worth nothing once the new
// session has ended.
func TestRefreshOnceMoreOfTheEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		_, next, token := upgradedByPut(t, s)
		noError(t, s.EndSession(t.Context(), next.UserID, next.SessionID))
		if _, _, err := s.refresh(token); !errors.Is(err, store.ErrSessionEnded) {
			t.Errorf("got %v, want ErrSessionEnded", err)
		}
	})
}

// TestRefreshOfTheDeleted holds that no token is exchanged for a user who is gone, also
// where their tickets are still there.
func TestRefreshOfTheDeleted(t *testing.T) {
	for _, left := range []bool{true, false} {
		s := newSite(t)
		c, token := s.opened(t)
		if left { // an app's own DELETE
			st := memstore.New()
			tickets := s.store.Store
			s.store.Store = ticketsOf{st, tickets}
		} else {
			noError(t, s.DeleteUser(t.Context(), c.UserID))
		}
		if claims, next, err := s.refresh(token); !errors.Is(err, store.ErrSessionEnded) || next != "" {
			t.Errorf("tickets left %t: got %+v, %q, %v; want ErrSessionEnded", left, claims, next, err)
		}
	}
}

// ticketsOf is a store with the tickets of another one.
type ticketsOf struct {
	store.Store
	tickets store.Store
}

func (s ticketsOf) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	return s.tickets.Ticket(context.WithoutCancel(ctx), key, now)
}

// TestRefreshTokensOfBefore holds what tokens of a chain are worth that is not at their
// place in it: one that was used long ago ends the session though a newer one was used a
// moment ago, one of before the newest opens nothing once the session has ended, and none
// outlives the session.
func TestRefreshTokensOfBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c, first := s.opened(t)
		_, second, err := s.refresh(first)
		noError(t, err)
		time.Sleep(11 * time.Second)
		_, _, err = s.refresh(second)
		noError(t, err)
		if _, _, err := s.refresh(first); !errors.Is(err, walkin.ErrRedeemed) || s.isAlive(t, c) {
			t.Errorf("a grandparent: got %v, want ErrRedeemed and the end", err)
		}

		c, first = s.opened(t)
		_, _, err = s.refresh(first)
		noError(t, err)
		next := walkin.Claims{UserID: c.UserID, SessionID: uuid.New(), ExpiresAt: time.Now().Add(day)}
		noError(t, s.store.CreateSession(t.Context(), store.Session{ID: next.SessionID, UserID: c.UserID,
			CreatedAt: time.Now(), RenewedAt: time.Now(), ExpiresAt: next.ExpiresAt}))
		noError(t, s.store.DeleteSession(t.Context(), c.UserID, c.SessionID))
		noError(t, s.RefreshOnceMore(t.Context(), c, next, time.Now().Add(time.Minute)))
		if _, _, err := s.refresh(first); !errors.Is(err, store.ErrSessionEnded) {
			t.Errorf("one of before the newest, once more: got %v, want ErrSessionEnded", err)
		}

		c, first = s.opened(t)
		past := time.Now().Add(-time.Hour)
		noError(t, s.store.RenewSession(t.Context(), store.Session{ID: c.SessionID, UserID: c.UserID, RenewedAt: past, ExpiresAt: past}))
		if _, _, err := s.refresh(first); !errors.Is(err, store.ErrSessionEnded) {
			t.Errorf("of a session that is over: got %v, want ErrSessionEnded", err)
		}
		_, first = s.opened(t)
		time.Sleep(8 * day)
		shorter := newSite(t, over(s), func(c *walkin.Config) { c.Sessions.Lifetime = 7 * day })
		if _, _, err := shorter.refresh(first); !errors.Is(err, store.ErrSessionEnded) {
			t.Errorf("where sessions are shorter now: got %v, want ErrSessionEnded", err)
		}
		time.Sleep(400 * day)
		if _, _, err := s.refresh(first); !errors.Is(err, store.ErrSessionEnded) {
			t.Errorf("a year later: got %v, want ErrSessionEnded", err)
		}
	})
}
