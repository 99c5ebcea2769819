package walkin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// newCreatingSite returns a site whose OnCreate and OnUpgrade note who they were
// called for, in order, and fail with refuse["OnCreate"].
func newCreatingSite(t *testing.T, more ...func(*walkin.Config)) *hookedSite {
	t.Helper()
	var h *hookedSite
	h = newHookedSite(t, append([]func(*walkin.Config){func(c *walkin.Config) {
		c.Hooks.OnCreate = func(ctx context.Context, c walkin.Claims) error {
			if c.Provisional || c.UserID == uuid.Nil || c.SessionID == uuid.Nil {
				t.Errorf("OnCreate got claims %+v", c)
			}
			if user, err := h.store.LockUser(ctx, c.UserID); err != nil || user.Anonymous != c.Anonymous {
				t.Errorf("in the transaction: got %+v, %v; want the user of the claims %+v", user, err, c)
			}
			h.hooks = append(h.hooks, fmt.Sprintf("OnCreate anonymous=%t", c.Anonymous))
			h.changes = append(h.changes, walkin.Change{UserID: c.UserID})
			return h.refuse["OnCreate"]
		}
	}}, more...)...)
	return h
}

// TestOnCreate holds that the hook runs once for each user who is stored, in the
// transaction that stores them and before OnUpgrade, and for none else.
func TestOnCreate(t *testing.T) {
	const anonymous, permanent = "OnCreate anonymous=true", "OnCreate anonymous=false"
	onMint := func(c *walkin.Config) { c.NewUsers.PersistOnMint = true }
	onDemand := func(c *walkin.Config) { c.NewUsers.Mint = walkin.MintOnDemand }
	write := func(c *walkintest.Client) *http.Response { return c.Post("/note", nil) }
	ensure := func(c *walkintest.Client) *http.Response { return c.Visit("/ensure") }
	prove := func(name string) func(*walkintest.Client) *http.Response {
		return func(c *walkintest.Client) *http.Response { return c.Post("/prove", words("name", name)) }
	}
	for _, tt := range []struct {
		name    string
		config  func(*walkin.Config)
		visitor string
		do      func(*walkintest.Client) *http.Response
		want    []string
	}{
		{"a page", nil, "nobody", func(c *walkintest.Client) *http.Response { return c.Visit("/") }, nil},
		{"the first write", nil, "provisional", write, []string{anonymous}},
		{"a write without a page before", nil, "nobody", write, []string{anonymous}},
		{"the second write", nil, "anonymous", write, nil},
		{"Ensure on a page", nil, "provisional", ensure, []string{anonymous}},
		{"Ensure on demand", onDemand, "nobody", ensure, []string{anonymous}},
		{"Ensure for one who is stored", nil, "anonymous", ensure, nil},
		{"a page that stores", onMint, "nobody", func(c *walkintest.Client) *http.Response { return c.Visit("/") }, []string{anonymous}},
		{"an upgrade of one who is stored", nil, "anonymous", prove("new"), []string{"OnUpgrade"}},
		{"an upgrade of one who is not", nil, "provisional", prove("new"), []string{permanent, "OnUpgrade"}},
		{"a sign-up without a user", nil, "nobody", prove("new"), []string{permanent, "OnUpgrade"}},
		{"a sign-in from a provisional user", nil, "provisional", prove("ann"), []string{"OnSignIn"}},
		{"a sign-in without a user", nil, "nobody", prove("ann"), []string{"OnSignIn"}},
		{"one more identity", nil, "permanent", prove("new"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var more []func(*walkin.Config)
			if tt.config != nil {
				more = append(more, tt.config)
			}
			s := newCreatingSite(t, more...)
			s.prove(s.browser(who), "ann")
			c := resident(s.site, tt.visitor)
			s.settle()
			if r := tt.do(c); r.StatusCode != http.StatusOK {
				t.Fatalf("got %d %q", r.StatusCode, body(t, r))
			}
			if !slices.Equal(s.hooks, tt.want) {
				t.Fatalf("got the hooks %q, want %q", s.hooks, tt.want)
			}
			for _, change := range s.changes {
				if got := s.claims(c).UserID; change.UserID != got {
					t.Errorf("a hook ran for %v, want %v", change.UserID, got)
				}
			}
		})
	}
}

// TestOnCreateLost holds that a user whom the store had lost is stored again with
// their hook, since the app may have lost them as well.
func TestOnCreateLost(t *testing.T) {
	lost := newPlace("aaaaaaaa")
	s := siteAt(t, lost)
	c := resident(s, "anonymous")
	id := s.claims(c).UserID
	for _, path := range []string{"/note", "/prove?name=ann"} {
		var created []uuid.UUID
		store := newPlace("aaaaaaaa")
		again := siteAt(t, store, func(c *walkin.Config) {
			c.Paths.Upgrade = "/prove"
			c.Hooks.OnCreate = func(ctx context.Context, c walkin.Claims) error {
				created = append(created, c.UserID)
				if user, err := store.LockUser(ctx, c.UserID); err != nil || !user.Anonymous || !c.Anonymous {
					t.Errorf("%s: got %+v, %v and %+v, want the anonymous user that they were", path, user, err, c)
				}
				return nil
			}
		})
		lost := carrying(s, anonName, c.Cookie(anonName))
		if r := act(lost.On(again.Handler(again.routes())), path); r.StatusCode != http.StatusOK {
			t.Fatalf("%s: got %d, want 200", path, r.StatusCode)
		}
		if !slices.Equal(created, []uuid.UUID{id}) {
			t.Errorf("%s: created %v, want %v", path, created, id)
		}
	}
}

// TestOnCreateRefuses holds that a hook that fails leaves no user, says whose error
// it is, and takes nothing from the visitor, who goes on as who they were.
func TestOnCreateRefuses(t *testing.T) {
	down := fmt.Errorf("dial: %w", store.ErrUnavailable)
	for _, tt := range []struct {
		name   string
		err    error
		status int
		reason walkin.Reason
	}{
		{"a bug", errors.New("a bug"), 500, "internal"},
		{"a constraint of the app's", fmt.Errorf("users: %w", store.ErrConstraint), 500, "constraint"},
		{"its database is down", down, 503, "store_down"},
		{"a refusal", &walkin.Refusal{Status: 402, Reason: "pay"}, 402, "pay"},
		{"what walkin takes for an end", fmt.Errorf("no row: %w", store.ErrSessionEnded), 500, "internal"},
		{"what walkin takes for a miss", fmt.Errorf("no row: %w", store.ErrNotFound), 500, "internal"},
	} {
		for _, visitor := range []string{"nobody", "provisional", "nobody signs up", "provisional signs up"} {
			t.Run(tt.name+", "+visitor, func(t *testing.T) {
				s := newCreatingSite(t)
				kind, signsUp := strings.CutSuffix(visitor, " signs up")
				try := func(c *walkintest.Client) *http.Response { return c.Post("/note", nil) }
				if signsUp {
					try = func(c *walkintest.Client) *http.Response { return c.Post("/prove", words("name", "new")) }
				}
				c := resident(s.site, kind)
				id, jar := body(t, c.Fetch("/")), fmt.Sprint(c.Cookies())
				s.settle()
				s.refuse["OnCreate"] = tt.err
				r := try(c)
				if r.StatusCode != tt.status || len(r.Header["Set-Cookie"]) > 0 || len(s.hooks) != 1 {
					t.Errorf("got %d, cookies %q and the hooks %q; want %d, none and one", r.StatusCode, r.Header["Set-Cookie"], s.hooks, tt.status)
				}
				told := s.told()
				if i := slices.IndexFunc(told, func(e walkin.Event) bool { return e.Outcome == walkin.Refused }); i < 0 || told[i].Reason != tt.reason {
					t.Errorf("got the events %+v, want refused for %q", told, tt.reason)
				}
				if _, err := s.store.LockUser(t.Context(), s.changes[0].UserID); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("the user: got %v, want ErrNotFound", err)
				}
				if got := body(t, c.Fetch("/")); got != id || fmt.Sprint(c.Cookies()) != jar {
					t.Errorf("got %q afterwards, want %q", got, id)
				}
				s.refuse["OnCreate"] = nil
				if r := try(c); r.StatusCode != http.StatusOK {
					t.Errorf("got %d once it works, want 200", r.StatusCode)
				}
			})
		}
	}
}

// TestOnCreatePage holds that a page which would have stored its visitor is shown
// without a user while the hook fails.
func TestOnCreatePage(t *testing.T) {
	s := newCreatingSite(t, func(c *walkin.Config) { c.NewUsers.PersistOnMint = true })
	s.refuse["OnCreate"] = errors.New("a bug")
	c := s.browser(who)
	if r := c.Visit("/"); r.StatusCode != http.StatusOK || body(t, r) != "nobody" || len(c.Cookies()) > 0 {
		t.Errorf("got %d and cookies %v, want the page, without a user", r.StatusCode, c.Cookies())
	}
	told := s.told()
	if len(told) != 1 || told[0].Outcome != walkin.Failed || told[0].Reason != "internal" {
		t.Errorf("got the events %+v, want failed", told)
	}
}

// TestOnCreateHangs holds that a hook ends with its transaction, and so does the wait.
func TestOnCreateHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(c *walkin.Config) {
			c.Hooks.OnCreate = func(ctx context.Context, _ walkin.Claims) error {
				<-ctx.Done()
				return ctx.Err()
			}
		})
		start := time.Now()
		r := s.browser(who).Post("/note", nil)
		if took := time.Since(start); r.StatusCode != http.StatusServiceUnavailable || took != 10*time.Second {
			t.Errorf("got %d after %v, want 503 after 10s", r.StatusCode, took)
		}
	})
}

// TestOnCreateAppClaims holds that the token which says that its user is stored has
// claims from after the hook, such as the app's own number for them.
func TestOnCreateAppClaims(t *testing.T) {
	for _, kind := range []string{"nobody", "provisional"} {
		numbers := make(map[uuid.UUID]int)
		s := newSite(t, func(c *walkin.Config) {
			c.Hooks.OnCreate = func(_ context.Context, c walkin.Claims) error {
				numbers[c.UserID] = 40 + len(numbers)
				return nil
			}
			c.Tokens.AppClaims = func(_ context.Context, c walkin.Claims) (map[string]any, error) {
				if n := numbers[c.UserID]; n > 0 {
					return map[string]any{"n": n}, nil
				}
				return nil, nil
			}
		})
		c := resident(s, kind)
		if r := c.Post("/note", nil); r.StatusCode != http.StatusOK {
			t.Fatalf("got %d, want 200", r.StatusCode)
		}
		if got := s.claims(c).App; got != `{"n":40}` {
			t.Errorf("%s: got the app's claims %q", kind, got)
		}
	}
	t.Run("one that cannot be issued leaves no user", func(t *testing.T) {
		s := newCreatingSite(t, func(c *walkin.Config) {
			c.Tokens.AppClaims = func(context.Context, walkin.Claims) (map[string]any, error) { return nil, errors.New("a bug") }
		})
		if r := s.browser(who).Post("/note", nil); r.StatusCode != http.StatusInternalServerError {
			t.Errorf("got %d, want 500", r.StatusCode)
		}
		if _, err := s.store.LockUser(t.Context(), s.changes[0].UserID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the user: got %v, want ErrNotFound", err)
		}
	})
}
