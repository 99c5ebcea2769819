package walkin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// A hookedSite is a site whose app hears of every change of identity.
type hookedSite struct {
	*site
	changes []walkin.Change // in the order of the hooks' calls
	hooks   []string        // their names
	refuse  map[string]error
}

// newHookedSite returns a site without an OnMerge; see withMerge.
func newHookedSite(t *testing.T, more ...func(*walkin.Config)) *hookedSite {
	t.Helper()
	h := &hookedSite{refuse: make(map[string]error)}
	h.site = newSite(t, append([]func(*walkin.Config){func(c *walkin.Config) {
		c.Paths.Upgrade = "/prove" // so that proving makes no row first
		c.Hooks.OnUpgrade, c.Hooks.OnSignIn = h.hook("OnUpgrade"), h.hook("OnSignIn")
	}}, more...)...)
	return h
}

func newMergingSite(t *testing.T, more ...func(*walkin.Config)) *hookedSite {
	t.Helper()
	var h *hookedSite
	h = newHookedSite(t, append(more, func(c *walkin.Config) {
		c.Hooks.OnMerge = func(ctx context.Context, change walkin.Change) error { return h.hook("OnMerge")(ctx, change) }
	})...)
	return h
}

func (h *hookedSite) hook(name string) func(context.Context, walkin.Change) error {
	return func(_ context.Context, c walkin.Change) error {
		h.changes, h.hooks = append(h.changes, c), append(h.hooks, name)
		return h.refuse[name]
	}
}

// settle lets the town settle: what happened so far is forgotten.
func (h *hookedSite) settle() {
	h.changes, h.hooks = nil, nil
	h.told()
	h.store.count()
}

// userOf returns the owner of one of the site's identities.
func (h *hookedSite) userOf(name string) uuid.UUID {
	h.t.Helper()
	identity, err := h.store.Identity(h.t.Context(), "test", name)
	if err != nil {
		h.t.Fatal(err)
	}
	return identity.UserID
}

// act sends a write from a script of the page, so that a refusal is no redirect.
func act(c *walkintest.Client, path string) *http.Response {
	return c.Do(c.NewRequest(http.MethodPost, path, nil))
}

// claims returns who a browser's visitor is.
func (s *site) claims(c *walkintest.Client) walkin.Claims {
	s.t.Helper()
	var claims walkin.Claims
	c.On(s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		claims, _ = walkin.FromContext(r.Context())
	}))).Fetch("/")
	return claims
}

// TestContinue is the table of what a proven identity makes of a visitor.
func TestContinue(t *testing.T) {
	const ( // who the visitor is afterwards
		same     = "the same user, permanent"
		fresh    = "a new user"
		ann      = "Ann"
		asBefore = "as before"
	)
	tests := []struct {
		name    string
		visitor string
		merge   bool // the app has an OnMerge
		proof   []string
		outcome string // or the status of the refusal
		becomes string
		hooks   string
		guest   string // what becomes of an anonymous visitor's old user: "gone", "there"
	}{
		{"provisional, free", "provisional", false, []string{"new"}, "upgraded", same, "OnUpgrade", ""},
		{"anonymous, free", "anonymous", false, []string{"new"}, "upgraded", same, "OnUpgrade", ""},
		{"anonymous, free, merging", "anonymous", true, []string{"new"}, "upgraded", same, "OnUpgrade", ""},
		{"anonymous, free and new", "anonymous", true, []string{"new", "new", "1"}, "upgraded", same, "OnUpgrade", ""},

		{"anonymous, owned", "anonymous", false, []string{"ann"}, "signed_in", ann, "OnSignIn", "there"},
		{"anonymous, owned, merging", "anonymous", true, []string{"ann"}, "merged", ann, "OnSignIn OnMerge", "gone"},
		{"anonymous, owned, asks to merge", "anonymous", true, []string{"ann", "conflict", "merge"}, "merged", ann, "OnSignIn OnMerge", "gone"},
		{"anonymous, owned, asks to sign in", "anonymous", true, []string{"ann", "conflict", "sign-in"}, "signed_in", ann, "OnSignIn", "there"},
		{"anonymous, owned, asks to be rejected", "anonymous", true, []string{"ann", "conflict", "reject"}, "409", asBefore, "", "there"},
		{"anonymous, owned, asks to merge where nobody can", "anonymous", false, []string{"ann", "conflict", "merge"}, "signed_in", ann, "OnSignIn", "there"},
		{"anonymous, owned, chosen as new", "anonymous", true, []string{"ann", "new", "1"}, "409", asBefore, "", "there"},

		{"provisional, owned", "provisional", false, []string{"ann"}, "signed_in", ann, "OnSignIn", "gone"},
		{"provisional, owned, merging: there is nothing to merge", "provisional", true, []string{"ann"}, "signed_in", ann, "OnSignIn", "gone"},
		{"provisional, owned, chosen as new", "provisional", true, []string{"ann", "new", "1"}, "409", asBefore, "", ""},

		{"nobody, free", "nobody", false, []string{"new"}, "signed_up", fresh, "OnUpgrade", ""},
		{"nobody, free and new", "nobody", true, []string{"new", "new", "1"}, "signed_up", fresh, "OnUpgrade", ""},
		{"nobody, owned", "nobody", true, []string{"ann"}, "signed_in", ann, "OnSignIn", ""},
		{"nobody, owned, would be rejected as a guest", "nobody", true, []string{"ann", "conflict", "reject"}, "signed_in", ann, "OnSignIn", ""},
		{"nobody, owned, chosen as new", "nobody", true, []string{"ann", "new", "1"}, "409", asBefore, "", ""},

		{"permanent, free", "bob", true, []string{"new"}, "linked", same, "", ""},
		{"permanent, own", "bob", true, []string{"bob"}, "signed_in", same, "OnSignIn", ""},
		{"permanent, own, chosen as new", "bob", true, []string{"bob", "new", "1"}, "409", asBefore, "", ""},
		{"permanent, another's", "bob", false, []string{"ann"}, "409", asBefore, "", ""},
		{"permanent, another's, merging", "bob", true, []string{"ann"}, "409", asBefore, "", ""},
		{"permanent, another's, asks to merge", "bob", true, []string{"ann", "conflict", "merge"}, "409", asBefore, "", ""},
		{"permanent, another's, asks to sign in", "bob", true, []string{"ann", "conflict", "sign-in"}, "409", asBefore, "", ""},

		{"no name", "anonymous", true, []string{""}, "422", asBefore, "", ""},
		{"a name of 256 bytes", "anonymous", true, []string{strings.Repeat("n", 256)}, "422", asBefore, "", ""},
		{"a name with a NUL", "anonymous", true, []string{"a\x00b"}, "422", asBefore, "", ""},
		{"a name that is not UTF-8", "anonymous", true, []string{"a\xffb"}, "422", asBefore, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			open := newHookedSite
			if tt.merge {
				open = newMergingSite
			}
			s := open(t)
			s.prove(s.browser(who), "ann", "secret", "hash")
			annID := s.userOf("ann")
			var c *walkintest.Client
			if tt.visitor == "bob" {
				c = s.browser(s.routes().ServeHTTP)
				s.prove(c, "bob")
			} else {
				c = resident(s.site, tt.visitor)
			}
			before := s.claims(c)
			old, jar := c.Cookies(), fmt.Sprint(c.Cookies())
			s.settle()

			form := words("name", tt.proof[0], "secret", "hash2")
			for i := 1; i < len(tt.proof); i += 2 {
				form.Set(tt.proof[i], tt.proof[i+1])
			}
			r := c.Post("/prove", form)
			after := s.claims(c)
			got := body(t, r)
			if r.StatusCode != http.StatusOK {
				got = fmt.Sprint(r.StatusCode)
			}
			if got != tt.outcome {
				t.Fatalf("got %q, want %q", got, tt.outcome)
			}
			if got := strings.Join(s.hooks, " "); got != tt.hooks {
				t.Errorf("got hooks %q, want %q", got, tt.hooks)
			}

			switch tt.guest {
			case "gone", "there":
				_, err := s.store.LockUser(t.Context(), before.UserID)
				if errors.Is(err, store.ErrNotFound) != (tt.guest == "gone") {
					t.Errorf("the guest: got %v, want %s", err, tt.guest)
				}
			}
			if identity, err := s.store.Identity(t.Context(), "test", "ann"); err != nil || identity.UserID != annID || string(identity.Secret) != "hash" {
				t.Errorf("Ann's identity: got %+v, %v", identity, err)
			}

			if tt.becomes == asBefore {
				if after != before || fmt.Sprint(c.Cookies()) != jar || len(r.Header["Set-Cookie"]) > 0 {
					t.Errorf("got %+v and %v, want %+v and nothing changed", after, c.Cookies(), before)
				}
				if n := s.store.count(writes...); n > 0 {
					t.Errorf("got %d writes, want none", n)
				}
				events := slices.DeleteFunc(s.told(), func(e walkin.Event) bool { return e.Outcome == walkin.Skipped })
				if len(events) != 1 || events[0].Outcome != walkin.Refused {
					t.Errorf("got events %v, want one: refused", events)
				}
				return
			}

			if after.Anonymous || after.Provisional || after.SessionID == before.SessionID || after.Method != "pwd" || !after.ProvenAt.Equal(after.IssuedAt) || after.ProvenAt.IsZero() {
				t.Errorf("got %+v, want a permanent user in a new session, just proven", after)
			}
			switch wanted := map[string]uuid.UUID{same: before.UserID, ann: annID, fresh: after.UserID}[tt.becomes]; {
			case after.UserID != wanted:
				t.Errorf("got user %v, want %v", after.UserID, wanted)
			case tt.becomes == fresh && (after.UserID == annID || after.UserID == before.UserID || after.UserID.Version() != 7):
				t.Errorf("got user %v, want a new one", after.UserID)
			}
			var guest uuid.UUID
			if tt.outcome == "merged" {
				guest = before.UserID
			}
			wantEvent := walkin.Event{Outcome: walkin.Outcome(tt.outcome), UserID: after.UserID, AnonymousID: guest, SessionID: after.SessionID, Provider: "test"}
			if events := slices.DeleteFunc(s.told(), func(e walkin.Event) bool { return e.Outcome == walkin.Skipped }); !slices.Equal(events, []walkin.Event{wantEvent}) {
				t.Errorf("got events %+v, want %+v", events, wantEvent)
			}
			for i, change := range s.changes {
				identity := store.Identity{Provider: "test", Subject: tt.proof[0], UserID: after.UserID, CreatedAt: change.Identity.CreatedAt}
				if fmt.Sprint(change) != fmt.Sprint(walkin.Change{Outcome: wantEvent.Outcome, UserID: after.UserID, AnonymousID: guest, Identity: identity}) {
					t.Errorf("%s: got %+v", s.hooks[i], change)
				}
			}
			// What the response carries: the permanent cookie, and the end of the other.
			set := named(r, permName)
			if len(set) != 1 || !set[0].HttpOnly || !set[0].Secure || set[0].Path != "/" || set[0].SameSite != http.SameSiteLaxMode || set[0].Domain != "" {
				t.Errorf("got permanent cookies %v, want one", set)
			}
			if cleared := named(r, anonName); len(cleared) != 1 || cleared[0].MaxAge >= 0 || c.Cookie(anonName) != "" {
				t.Errorf("got anonymous cookies %v, want one cleared", cleared)
			}
			if got := r.Header["Cache-Control"]; !slices.Equal(got, []string{"private, no-store"}) {
				t.Errorf("got Cache-Control %q, want private, no-store", got)
			}
			if user, err := s.store.LockUser(t.Context(), after.UserID); err != nil || user.Anonymous {
				t.Errorf("the user: got %+v, %v, want a permanent one", user, err)
			}
			if identity, err := s.store.Identity(t.Context(), "test", tt.proof[0]); err != nil || identity.UserID != after.UserID || (tt.proof[0] == "new") != (string(identity.Secret) == "hash2") {
				t.Errorf("the identity: got %+v, %v", identity, err)
			}
			// The old token is invalid, here and on another replica.
			replica := newSite(t, over(s.site))
			for _, s := range []*site{s.site, replica} {
				for _, cookie := range old {
					if r := act(carrying(s, cookie.Name, cookie.Value), "/note"); r.StatusCode != http.StatusUnauthorized || len(r.Cookies()) > 0 {
						t.Errorf("the old token: got %d and %v, want 401 and no cookie", r.StatusCode, r.Cookies())
					}
				}
			}
			if r := act(c.On(replica.Handler(replica.routes())), "/members"); r.StatusCode != http.StatusOK {
				t.Errorf("the new token on another replica: got %d, want 200", r.StatusCode)
			}
		})
	}
}

// TestConflict holds what becomes of anonymous users by Config.Conflict, and that a
// proof may decide otherwise.
func TestConflict(t *testing.T) {
	for _, tt := range []struct {
		config walkin.Conflict
		proof  string
		want   string
	}{
		{0, "", "merged"}, {0, "merge", "merged"}, {0, "sign-in", "signed_in"}, {0, "reject", "409"},
		{walkin.ConflictMerge, "", "merged"}, {walkin.ConflictMerge, "sign-in", "signed_in"}, {walkin.ConflictMerge, "reject", "409"},
		{walkin.ConflictSignIn, "", "signed_in"}, {walkin.ConflictSignIn, "merge", "merged"}, {walkin.ConflictSignIn, "reject", "409"},
		{walkin.ConflictReject, "", "409"}, {walkin.ConflictReject, "merge", "merged"}, {walkin.ConflictReject, "sign-in", "signed_in"},
	} {
		s := newMergingSite(t, func(c *walkin.Config) { c.Conflict = tt.config })
		s.prove(s.browser(who), "ann")
		r := resident(s.site, "anonymous").Post("/prove", words("name", "ann", "conflict", tt.proof))
		got := body(t, r)
		if r.StatusCode != http.StatusOK {
			got = fmt.Sprint(r.StatusCode)
		}
		if got != tt.want {
			t.Errorf("config %d, proof %q: got %q, want %q", tt.config, tt.proof, got, tt.want)
		}
	}
}

// TestConflictSignIn holds that an anonymous user who signs in to another account is left
// as they were, out of reach.
func TestConflictSignIn(t *testing.T) {
	s := newHookedSite(t)
	s.prove(s.browser(who), "ann")
	c := resident(s.site, "anonymous")
	guest := s.claims(c)
	other := carrying(s.site, anonName, c.Cookie(anonName)) // a second browser with the anonymous user's token
	s.prove(c, "ann")
	user, err := s.store.LockUser(t.Context(), guest.UserID)
	if err != nil || !user.Anonymous {
		t.Errorf("the guest: got %+v, %v, want them anonymous still", user, err)
	}
	if r := act(other, "/note"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("the guest's token: got %d, want 401", r.StatusCode)
	}
}

// TestRecentProof holds that who adds or removes an identity must have proven
// lately that they are who they are.
func TestRecentProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newHookedSite(t)
		c := s.browser(s.routes().ServeHTTP)
		s.prove(c, "ann")
		s.prove(c, "ann2") // a moment later
		change := func(path, name string) int {
			return c.Post(path, words("name", name)).StatusCode
		}
		time.Sleep(9 * time.Minute)
		if got := change("/prove", "ann3"); got != http.StatusOK {
			t.Errorf("linking after 9 minutes: got %d, want 200", got)
		}
		time.Sleep(11 * time.Minute)
		jar := fmt.Sprint(c.Cookies())
		s.settle()
		for _, path := range []string{"/prove", "/unlink"} {
			name := map[string]string{"/prove": "ann4", "/unlink": "ann2"}[path]
			if got := change(path, name); got != http.StatusForbidden {
				t.Errorf("%s after 11 minutes: got %d, want 403", path, got)
			}
		}
		if got := s.outcomes(); got != "refused:not_recent refused:not_recent" || s.store.count(writes...) > 0 || fmt.Sprint(c.Cookies()) != jar {
			t.Errorf("got events %q, want two refusals and nothing changed", got)
		}
		if got := s.prove(c, "ann"); got != "signed_in" { // proves it again
			t.Errorf("proving it again: got %q, want signed_in", got)
		}
		for _, path := range []string{"/prove", "/unlink"} {
			name := map[string]string{"/prove": "ann4", "/unlink": "ann2"}[path]
			if got := change(path, name); got != http.StatusOK {
				t.Errorf("%s after proving it again: got %d, want 200", path, got)
			}
		}
		// A renewal is no proof.
		for range 3 {
			time.Sleep(25 * time.Hour)
			c.Visit("/")
		}
		if got := change("/prove", "ann5"); got != http.StatusForbidden {
			t.Errorf("after a renewal: got %d, want 403", got)
		}
	})
}

// TestCallback holds that a GET changes an identity with a checked state, and
// never without one, from wherever the visitor is sent back.
func TestCallback(t *testing.T) {
	for _, kind := range []string{"nobody", "provisional", "anonymous", "permanent"} {
		for _, from := range []string{"none", "same-origin", "same-site", "cross-site"} {
			s := newHookedSite(t)
			c := resident(s.site, kind)
			before := s.claims(c)
			s.settle()
			r := c.Do(with(s.navigation("/callback?name=new"), "Sec-Fetch-Site", from))
			if got := s.claims(c); r.StatusCode != http.StatusMethodNotAllowed || kind != "nobody" && got != before || s.store.count(writes...) > 0 {
				t.Errorf("%s from %s, without a state: got %d and %v, want 405 and nothing changed", kind, from, r.StatusCode, got)
			}
			r = c.Do(with(s.navigation("/callback?name=new&state=1"), "Sec-Fetch-Site", from))
			want := map[string]string{"permanent": "linked"}[kind]
			if want == "" {
				want = "upgraded" // no user was minted by the first page
			}
			if got := body(t, r); got != want || len(named(r, permName)) != 1 {
				t.Errorf("%s from %s, with a state: got %d %q, want %q", kind, from, r.StatusCode, got, want)
			}
			if got := s.claims(c); got.Anonymous || kind != "nobody" && got.UserID != before.UserID {
				t.Errorf("%s from %s: got %+v afterwards, want the same user, permanent", kind, from, got)
			}
		}
	}
}

// TestBearers holds that API clients go through the same, without a cookie.
func TestBearers(t *testing.T) {
	s := newMergingSite(t)
	s.prove(s.browser(who), "ann")
	bearer := func(method, path, token string) *http.Response {
		t.Helper()
		program := s.browser(s.routes().ServeHTTP)
		r := program.Do(with(program.NewRequest(method, path, nil), append(noSFS, "Authorization", "Bearer "+token, "User-Agent", "app/1")...))
		if len(r.Header["Set-Cookie"]) > 0 || r.Header.Get("Vary") != "" {
			t.Errorf("%s %s: got header %v, want no cookie", method, path, r.Header)
		}
		return r
	}
	for _, tt := range []struct{ kind, name, want string }{
		{"provisional", "new1", "upgraded"},
		{"anonymous", "new2", "upgraded"},
		{"anonymous", "ann", "merged"},
	} {
		c := resident(s.site, tt.kind)
		token := c.Cookie(anonName)
		id := s.claims(c).UserID
		var answer, access string
		program := walkintest.NewClient(t, s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			outcome, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: tt.name, Method: "pwd"})
			if err != nil {
				t.Error(err)
			}
			if access, err = s.AccessToken(r.Context(), "walkin", time.Minute); err != nil {
				t.Error(err)
			}
			c, _ := walkin.FromContext(r.Context())
			answer = fmt.Sprint(outcome, c.Anonymous, c.UserID == id)
		})))
		r := program.Do(with(program.NewRequest(http.MethodPost, "/prove", nil), append(noSFS, "Authorization", "Bearer "+token)...))
		if want := fmt.Sprint(tt.want, false, tt.want == "upgraded"); answer != want || len(r.Header["Set-Cookie"]) > 0 {
			t.Errorf("%s: got %q and cookies %q, want %q and none", tt.kind, answer, r.Header["Set-Cookie"], want)
		}
		if r := bearer(http.MethodPost, "/members", access); r.StatusCode != http.StatusOK {
			t.Errorf("%s: the new token: got %d, want 200", tt.kind, r.StatusCode)
		}
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if r := bearer(method, "/note", token); r.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: the old token, %s: got %d, want 401", tt.kind, method, r.StatusCode)
			}
		}
		// An access token is no cookie.
		for _, name := range []string{anonName, permName} {
			if got := body(t, carrying(s.site, name, access).Fetch("/")); got != "nobody" {
				t.Errorf("%s: the access token as %s: got %q, want nobody", tt.kind, name, got)
			}
		}
		// It ends with its session.
		if r := bearer(http.MethodPost, "/out", access); r.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: signing out: got %d, want 303", tt.kind, r.StatusCode)
		}
		if r := bearer(http.MethodPost, "/members", access); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: after signing out: got %d, want 401", tt.kind, r.StatusCode)
		}
	}
}

// TestBan holds that OnSignIn can refuse a session to a user, and is asked whenever an
// existing user gets one.
func TestBan(t *testing.T) {
	for _, kind := range []string{"nobody", "provisional", "anonymous", "permanent"} {
		for name, refusal := range map[string]error{
			"402": &walkin.Refusal{Status: http.StatusPaymentRequired, Reason: "banned", Message: "You are banned."},
			"500": errors.New("the list of bans cannot be read"),
		} {
			s := newMergingSite(t)
			c := resident(s.site, kind)
			s.prove(s.browser(who), "ann") // for a permanent visitor: themselves, in another browser
			jar, id := fmt.Sprint(c.Cookies()), body(t, c.Fetch("/"))
			s.settle()
			s.refuse["OnSignIn"] = refusal
			r := c.Post("/prove", words("name", "ann"))
			if fmt.Sprint(r.StatusCode) != name || len(r.Header["Set-Cookie"]) > 0 || slices.Contains(s.hooks, "OnMerge") {
				t.Errorf("%s: got %d and cookies %q, want %s", kind, r.StatusCode, r.Header["Set-Cookie"], name)
			}
			if got := body(t, c.Fetch("/")); got != id || fmt.Sprint(c.Cookies()) != jar {
				t.Errorf("%s: got %q afterwards, want %q", kind, got, id)
			}
			if kind != "nobody" {
				if got := body(t, act(c, "/note")); got != id {
					t.Errorf("%s: acting afterwards: got %q, want %q", kind, got, id)
				}
			}
			delete(s.refuse, "OnSignIn")
			if got := s.prove(c, "ann"); got == "" {
				t.Errorf("%s: got no outcome without the ban", kind)
			}
		}
	}
}

// TestHooksRefuse holds that a hook's error undoes the change whole, and that a
// refusal of its own is what the visitor sees.
func TestHooksRefuse(t *testing.T) {
	for _, tt := range []struct{ hook, kind, name string }{
		{"OnUpgrade", "nobody", "new"}, {"OnUpgrade", "provisional", "new"}, {"OnUpgrade", "anonymous", "new"}, {"OnMerge", "anonymous", "ann"},
	} {
		for status, refusal := range map[int]error{500: errors.New("a bug"), 402: &walkin.Refusal{Status: 402}, 409: store.ErrIdentityTaken} {
			s := newMergingSite(t)
			s.prove(s.browser(who), "ann")
			c := resident(s.site, tt.kind)
			id, jar := body(t, c.Fetch("/")), fmt.Sprint(c.Cookies())
			s.settle()
			s.refuse[tt.hook] = refusal
			r := c.Post("/prove", words("name", tt.name))
			if r.StatusCode != status || len(r.Header["Set-Cookie"]) > 0 || !slices.Contains(s.hooks, tt.hook) {
				t.Errorf("%s, %s: got %d after %v and cookies %q, want %d", tt.hook, tt.kind, r.StatusCode, s.hooks, r.Header["Set-Cookie"], status)
			}
			if _, err := s.store.Identity(t.Context(), "test", "new"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s, %s: the identity: got %v, want ErrNotFound", tt.hook, tt.kind, err)
			}
			if got := body(t, c.Fetch("/")); got != id || fmt.Sprint(c.Cookies()) != jar {
				t.Errorf("%s, %s: got %q afterwards, want %q", tt.hook, tt.kind, got, id)
			}
			delete(s.refuse, tt.hook)
			s.prove(c, tt.name)
		}
	}
}

// TestAppClaimsFail holds that a token which cannot be issued undoes the change
// that it was for, and that a visitor is not lost over it.
func TestAppClaimsFail(t *testing.T) {
	var say map[string]any
	var fail error
	claims := func(c *walkin.Config) {
		c.Tokens.AppClaims = func(_ context.Context, c walkin.Claims) (map[string]any, error) {
			if c.Anonymous {
				return map[string]any{"plan": "free"}, nil
			}
			return say, fail
		}
	}
	for name, breakIt := range map[string]func(){
		"an error":        func() { fail = errors.New("a bug") },
		"a claim of ours": func() { say = map[string]any{"is_anonymous": false} },
		"too large":       func() { say = map[string]any{"x": strings.Repeat("x", 4000)} },
		"not JSON":        func() { say = map[string]any{"x": func() {}} },
	} {
		for _, kind := range []string{"nobody", "provisional", "anonymous"} {
			for _, identity := range []string{"new", "ann"} {
				say, fail = map[string]any{"plan": "pro"}, nil
				s := newMergingSite(t, claims)
				s.prove(s.browser(who), "ann")
				c := resident(s.site, kind)
				id, jar := body(t, c.Fetch("/")), fmt.Sprint(c.Cookies())
				breakIt()
				r := c.Post("/prove", words("name", identity))
				if r.StatusCode != http.StatusInternalServerError || len(r.Header["Set-Cookie"]) > 0 {
					t.Errorf("%s, %s, %s: got %d and cookies %q, want 500 and none", name, kind, identity, r.StatusCode, r.Header["Set-Cookie"])
				}
				if got := body(t, c.Fetch("/")); got != id || fmt.Sprint(c.Cookies()) != jar {
					t.Errorf("%s, %s, %s: got %q afterwards, want %q", name, kind, identity, got, id)
				}
				if _, err := s.store.Identity(t.Context(), "test", "new"); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s, %s: the identity: got %v, want ErrNotFound", name, kind, err)
				}
				say, fail = map[string]any{"plan": "pro"}, nil
				s.prove(c, identity)
				if got := s.claims(c).App; got != `{"plan":"pro"}` {
					t.Errorf("%s, %s, %s: got app claims %q", name, kind, identity, got)
				}
			}
		}
	}
	t.Run("inside the transaction", func(t *testing.T) {
		var s *hookedSite
		var saw []bool
		s = newHookedSite(t, func(c *walkin.Config) {
			c.Tokens.AppClaims = func(ctx context.Context, c walkin.Claims) (map[string]any, error) {
				if user, err := s.store.LockUser(ctx, c.UserID); err == nil {
					saw = append(saw, user.Anonymous)
				}
				return nil, nil
			}
		})
		c := resident(s.site, "anonymous")
		saw = nil
		s.prove(c, "ann")
		if !slices.Equal(saw, []bool{false}) {
			t.Errorf("got %v, want the user as they will be: permanent", saw)
		}
	})
}

// TestContinueTooLate holds that nothing changes when its cookie could not be
// delivered any more.
func TestContinueTooLate(t *testing.T) {
	s := newHookedSite(t)
	var err error
	c := s.browser(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the response has begun")
		_, err = s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann"})
	})
	c.Post("/", nil)
	if _, lookErr := s.store.Identity(t.Context(), "test", "ann"); err == nil || !errors.Is(lookErr, store.ErrNotFound) {
		t.Errorf("got %v and the identity %v, want an error and none", err, lookErr)
	}
}

// TestLostResponse holds that a visitor whose upgrade succeeded without an
// answer can sign in with what they just attached.
func TestLostResponse(t *testing.T) {
	s := newMergingSite(t)
	c := resident(s.site, "anonymous")
	id := s.claims(c).UserID
	r := s.form("/prove", words("name", "ann"))
	c.Carry(r)
	if lost, err := c.Serve(r); err != nil || body(t, lost) != "upgraded" {
		t.Fatalf("got %v, %v, want upgraded", lost, err)
	}
	if got := s.prove(c, "ann"); got != "signed_in" { // with the old cookie in the jar
		t.Errorf("got %q, want signed_in", got)
	}
	if got := s.claims(c); got.UserID != id || got.Anonymous {
		t.Errorf("got %+v, want the same user, permanent", got)
	}
}

// TestUpgradeEndsOtherSessions holds that linking and signing in leave a user's
// other browsers alone, and an upgrade does not.
func TestUpgradeEndsOtherSessions(t *testing.T) {
	s := newHookedSite(t)
	c := resident(s.site, "anonymous")
	copied := carrying(s.site, anonName, c.Cookie(anonName))
	other := store.Session{ID: uuid.New(), UserID: s.claims(c).UserID, ExpiresAt: time.Now().Add(day)} // however it came about
	if err := s.store.CreateSession(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	s.prove(c, "ann")
	if _, err := s.store.LookupSession(t.Context(), other.UserID, other.ID); !errors.Is(err, store.ErrSessionEnded) {
		t.Errorf("another session of the user after the upgrade: got %v, want ErrSessionEnded", err)
	}
	if r := act(copied, "/note"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a copy of the anonymous token after the upgrade: got %d, want 401", r.StatusCode)
	}
	phone := s.browser(s.routes().ServeHTTP)
	s.prove(phone, "ann")
	s.prove(c, "ann2")
	s.prove(c, "ann")
	for name, c := range map[string]*walkintest.Client{"phone": phone, "browser": c} {
		if r := act(c, "/members"); r.StatusCode != http.StatusOK {
			t.Errorf("the %s: got %d, want 200", name, r.StatusCode)
		}
	}
}

// TestManyIdentities holds that one account does not take names without end, which no
// visitor could have as accounts, see Config.NewUsers.Limit.
func TestManyIdentities(t *testing.T) {
	s := newHookedSite(t)
	c := s.browser(s.routes().ServeHTTP)
	linked := 0
	for i := range 150 {
		r := c.Post("/prove", words("name", fmt.Sprintf("name%d", i), "new", "1"))
		if r.StatusCode == http.StatusOK {
			linked++
		} else if r.StatusCode != http.StatusConflict {
			t.Fatalf("name %d: got %d %s, want 409", i, r.StatusCode, body(t, r))
		}
	}
	if linked != 100 {
		t.Errorf("got %d identities, want 100", linked)
	}
	if told := s.outcomes(); !strings.HasSuffix(told, "refused:too_many_identities") {
		t.Errorf("the owner is told %q", told)
	}
	if r := c.Post("/unlink", words("name", "name0")); r.StatusCode != http.StatusOK {
		t.Fatalf("removing one: got %d", r.StatusCode)
	}
	if got := s.prove(c, "another"); got != "linked" {
		t.Errorf("after removing one: got %q, want linked", got)
	}
}

// TestUnlink holds how identities are removed.
func TestUnlink(t *testing.T) {
	s := newHookedSite(t)
	c := s.browser(s.routes().ServeHTTP)
	s.prove(c, "ann")
	s.prove(s.browser(who), "bob")
	unlink := func(c *walkintest.Client, name, method string, want int, events string) {
		t.Helper()
		before, _ := s.Identities(t.Context(), s.userOf("ann"))
		s.settle()
		var err error
		r := s.form("/unlink", nil)
		r.Method = method
		c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err = s.Unlink(w, r, "test", name); err != nil {
				s.Refuse(w, r, err)
			}
		}))).Do(r)
		got := http.StatusOK
		if refusal, ok := errors.AsType[*walkin.Refusal](err); ok {
			got = refusal.Status
		} else if err != nil {
			t.Errorf("unlinking %q: got %v, want a refusal", name, err)
		}
		if told := s.outcomes(); got != want || told != events {
			t.Errorf("unlinking %q: got %d and events %q, want %d and %q", name, got, told, want, events)
		}
		if want == http.StatusOK {
			return
		}
		if after, err := s.Identities(t.Context(), s.userOf("ann")); err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("unlinking %q: got identities %v, %v, want %v", name, after, err, before)
		}
	}
	unlink(c, "ann", http.MethodPost, http.StatusConflict, "refused:last_identity")
	s.prove(c, "ann2")
	unlink(c, "ann", http.MethodGet, http.StatusMethodNotAllowed, "refused:safe_method")
	unlink(c, "carol", http.MethodPost, http.StatusNotFound, "refused:no_identity")
	unlink(c, "bob", http.MethodPost, http.StatusNotFound, "refused:no_identity")
	unlink(resident(s.site, "anonymous"), "ann", http.MethodPost, http.StatusForbidden, "refused:anonymous")
	none := newHookedSite(t, over(s.site), minting(walkin.MintOff))
	if err := none.Unlink(httptest.NewRecorder(), s.form("/", nil), "test", "ann"); err == nil {
		t.Error("unlinking by nobody: got no error, want one")
	}

	phone := s.browser(s.routes().ServeHTTP)
	s.prove(phone, "ann")
	id, before, proven := s.claims(c).UserID, c.Cookie(permName), s.claims(c).ProvenAt
	unlink(c, "ann", http.MethodPost, http.StatusOK, "unlinked")
	if r := act(phone, "/members"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("their other session: got %d, want 401", r.StatusCode)
	}
	if r := act(c, "/members"); r.StatusCode != http.StatusOK || c.Cookie(permName) == before {
		t.Errorf("this browser: got %d, want it to go on in a new session", r.StatusCode)
	}
	if r := act(carrying(s.site, permName, before), "/members"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old session: got %d, want 401", r.StatusCode)
	}
	if got := s.claims(c); !got.ProvenAt.Equal(proven) || got.Method != "pwd" {
		t.Errorf("got a proof of %v by %q, want the one of %v", got.ProvenAt, got.Method, proven)
	}
	if got := s.prove(s.browser(who), "ann"); got != "signed_up" || s.userOf("ann") == id {
		t.Errorf("the identity afterwards: got %q, want it free", got)
	}
}

// TestUnlinkTwice holds that two removals at once leave one identity.
func TestUnlinkTwice(t *testing.T) {
	for range 10 {
		s := newHookedSite(t)
		c := s.browser(s.routes().ServeHTTP)
		s.prove(c, "a")
		s.prove(c, "b")
		var wg sync.WaitGroup
		status := make([]int, 2)
		for i, name := range []string{"a", "b"} {
			wg.Go(func() { status[i] = c.Post("/unlink", words("name", name)).StatusCode })
		}
		wg.Wait()
		slices.Sort(status)
		// The second comes with the session that the first has ended, or with the new one.
		if status[0] != http.StatusOK || status[1] != http.StatusUnauthorized && status[1] != http.StatusConflict {
			t.Fatalf("got %v, want 200, and 401 or 409", status)
		}
		if left, err := s.Identities(t.Context(), s.claims(c).UserID); len(left) != 1 || err != nil {
			t.Fatalf("got %v, %v, want one identity left", left, err)
		}
	}
}

// TestIdentities holds that a user's identities are listed without secrets.
func TestIdentities(t *testing.T) {
	s := newHookedSite(t)
	c := s.browser(s.routes().ServeHTTP)
	s.prove(c, "b", "secret", "hash")
	s.prove(c, "a", "secret", "hash")
	identities, err := s.Identities(t.Context(), s.userOf("a"))
	var got []string
	for _, identity := range identities {
		got = append(got, identity.Provider+" "+identity.Subject+" "+string(identity.Secret))
	}
	if !slices.Equal(got, []string{"test b ", "test a "}) || err != nil {
		t.Errorf("got %q, %v, want both, oldest first, without secrets", got, err)
	}
	if identities, err := s.Identities(t.Context(), uuid.New()); len(identities) > 0 || err != nil {
		t.Errorf("of nobody: got %v, %v, want none", identities, err)
	}
	if identity, err := s.store.Identity(t.Context(), "test", "a"); string(identity.Secret) != "hash" || err != nil {
		t.Errorf("the stored secret: got %q, %v", identity.Secret, err)
	}
}

// TestDeleteUser holds that a deleted user is gone for good.
func TestDeleteUser(t *testing.T) {
	for _, kind := range kinds {
		s := newHookedSite(t)
		c := resident(s.site, kind)
		id, token := s.claims(c).UserID, c.Cookie(cookieOf(kind))
		s.settle()
		for range 2 {
			if err := s.DeleteUser(t.Context(), id); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if got, want := s.told(), (walkin.Event{Outcome: walkin.Deleted, UserID: id}); !slices.Equal(got, []walkin.Event{want, want}) {
			t.Errorf("%s: got events %v", kind, got)
		}
		if r := act(carrying(s.site, cookieOf(kind), token), "/note"); r.StatusCode != http.StatusUnauthorized || len(r.Cookies()) > 0 {
			t.Errorf("%s: acting: got %d and %v, want 401 and no cookie", kind, r.StatusCode, r.Cookies())
		}
		if _, err := s.store.LockUser(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: the row: got %v, want ErrNotFound", kind, err)
		}
		if got := s.prove(s.browser(who), "ann"); got != "signed_up" {
			t.Errorf("%s: the identity afterwards: got %q, want it free", kind, got)
		}
	}
}

// TestSignOut holds that a sign-out ends everything that this browser holds.
func TestSignOut(t *testing.T) {
	out := func(s *site, c *walkintest.Client) *http.Response {
		return c.Post("/out", words("return_to", "/bye"))
	}
	for _, kind := range append([]string{"nobody"}, kinds...) {
		s := newHookedSite(t, func(c *walkin.Config) { c.Paths.SignIn = "/out" }) // the write itself makes no row
		c := resident(s.site, kind)
		claims, old := s.claims(c), c.Cookies()
		s.settle()
		r := out(s.site, c)
		if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/bye" || len(c.Cookies()) > 0 {
			t.Errorf("%s: got %d to %q and jar %v, want 303 to /bye and an empty jar", kind, r.StatusCode, r.Header.Get("Location"), c.Cookies())
		}
		for _, name := range []string{anonName, permName} {
			if got := named(r, name); len(got) != 1 || got[0].MaxAge >= 0 || !got[0].Secure || !got[0].HttpOnly || got[0].Path != "/" || got[0].SameSite != http.SameSiteLaxMode {
				t.Errorf("%s: got %v, want %s cleared", kind, got, name)
			}
		}
		events := slices.DeleteFunc(s.told(), func(e walkin.Event) bool { return e.Outcome == walkin.Skipped })
		want := []walkin.Event{{Outcome: walkin.SignedOut, UserID: claims.UserID, SessionID: claims.SessionID}}
		if kind == "nobody" {
			want = []walkin.Event{}
		}
		if !slices.Equal(events, want) {
			t.Errorf("%s: got events %v, want %v", kind, events, want)
		}
		replica := newSite(t, over(s.site))
		for _, cookie := range old {
			if r := act(carrying(replica, cookie.Name, cookie.Value), "/note"); r.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: the old token on another replica: got %d, want 401", kind, r.StatusCode)
			}
		}
		if got := s.claims(c); got != (walkin.Claims{}) {
			t.Errorf("%s: got %+v afterwards, want nobody", kind, got)
		}
	}
	t.Run("both cookies are live", func(t *testing.T) {
		for _, left := range []string{"provisional", "anonymous"} {
			s := newHookedSite(t)
			guest := resident(s.site, left)
			c := resident(s.site, "permanent")
			anonymous, permanent := guest.Cookie(anonName), c.Cookie(permName)
			c.SetCookie(anonName, anonymous)
			s.settle()
			out(s.site, c)
			if got := s.outcomes(); got != "signed_out signed_out" || len(c.Cookies()) > 0 {
				t.Errorf("%s: got events %q and jar %v, want two sign-outs and an empty jar", left, got, c.Cookies())
			}
			for name, token := range map[string]string{anonName: anonymous, permName: permanent} {
				if r := act(carrying(newSite(t, over(s.site)), name, token), "/note"); r.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s: the token of %s: got %d, want 401", left, name, r.StatusCode)
				}
			}
		}
	})
	t.Run("in the same request", func(t *testing.T) {
		s := newHookedSite(t)
		c := resident(s.site, "permanent").On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := s.SignOut(w, r); err != nil {
				t.Error(err)
			}
			if c, ok := walkin.FromContext(r.Context()); ok {
				t.Errorf("got %+v after the sign-out, want nobody", c)
			}
			if _, err := s.AccessToken(r.Context(), "walkin", 0); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("an access token after the sign-out: got %v, want ErrNotFound", err)
			}
			if _, err := s.Ensure(w, r); err == nil {
				t.Error("a new user after the sign-out: got no error, want one")
			}
		})))
		if r := c.Post("/", nil); len(named(r, permName)) != 1 || len(named(r, anonName)) != 1 {
			t.Errorf("got cookies %v, want both cleared once", r.Cookies())
		}
	})
	t.Run("the next page is another visitor's", func(t *testing.T) {
		s := newHookedSite(t)
		c := resident(s.site, "anonymous")
		id := s.claims(c).UserID
		out(s.site, c)
		if c.Visit("/"); s.claims(c).UserID == id || s.claims(c).UserID == uuid.Nil {
			t.Errorf("got %v, want a new user", s.claims(c).UserID)
		}
	})
	t.Run("a GET does nothing", func(t *testing.T) {
		s := newHookedSite(t)
		c := resident(s.site, "permanent")
		r := s.navigation("/")
		c.Carry(r)
		if err := s.SignOut(httptest.NewRecorder(), r); err == nil {
			t.Error("got no error, want one")
		}
		if r := act(c, "/members"); r.StatusCode != http.StatusOK {
			t.Errorf("got %d afterwards, want 200", r.StatusCode)
		}
	})
}

// TestSignOutEverywhere holds that all of a user's sessions end, and only
// theirs.
func TestSignOutEverywhere(t *testing.T) {
	s := newHookedSite(t)
	var anns []*walkintest.Client
	for range 3 {
		c := s.browser(s.routes().ServeHTTP)
		s.prove(c, "ann")
		anns = append(anns, c)
	}
	bob := s.browser(s.routes().ServeHTTP)
	s.prove(bob, "bob")
	s.settle()
	if err := s.SignOutEverywhere(t.Context(), s.userOf("ann")); err != nil {
		t.Fatal(err)
	}
	if got, want := s.told(), (walkin.Event{Outcome: walkin.SignedOut, UserID: s.userOf("ann")}); !slices.Equal(got, []walkin.Event{want}) {
		t.Errorf("got events %v, want %v", got, want)
	}
	for i, c := range anns {
		if r := act(c, "/members"); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("browser %d: got %d, want 401", i, r.StatusCode)
		}
	}
	if r := act(bob, "/members"); r.StatusCode != http.StatusOK {
		t.Errorf("another user: got %d, want 200", r.StatusCode)
	}
	if got := s.prove(anns[0], "ann"); got != "signed_in" {
		t.Errorf("signing in again: got %q, want signed_in", got)
	}
}

// TestFirstActTwice holds that the first writes of a visitor, at once and on two
// replicas, make one row and are all answered.
func TestFirstActTwice(t *testing.T) {
	s := newSite(t)
	replica := newSite(t, over(s))
	for range 10 {
		c := resident(s, "provisional")
		id := body(t, c.Fetch("/"))
		before := s.store.rows(t)
		s.told()
		replica.told()
		var wg sync.WaitGroup
		answers := make([]string, 8)
		for i := range answers {
			on := []*site{s, replica}[i%2]
			wg.Go(func() { answers[i] = body(t, act(c.On(on.Handler(on.routes())), "/note")) })
		}
		wg.Wait()
		for _, got := range answers {
			if got != id {
				t.Errorf("got %q, want %q", got, id)
			}
		}
		if got := s.store.rows(t) - before; got != 1 {
			t.Errorf("got %d rows, want 1", got)
		}
		if got := s.outcomes() + replica.outcomes(); strings.Count(got, "persisted") != 1 {
			t.Errorf("got events %q, want one persisted", got)
		}
	}
}

// TestRedeem holds that what a proof stands on is used up with the change, and
// not without it.
func TestRedeem(t *testing.T) {
	s := newHookedSite(t)
	ticket := store.Ticket{Key: "a code", ExpiresAt: time.Now().Add(time.Hour)}
	if err := s.store.PutTicket(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	over := &walkin.Refusal{Status: http.StatusUnauthorized, Reason: "code_over"}
	prove := func(w http.ResponseWriter, r *http.Request) {
		_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Method: "otp", Redeem: func(ctx context.Context) error {
			_, err := s.store.TakeTicket(ctx, ticket.Key, time.Now())
			if errors.Is(err, store.ErrNotFound) {
				return over
			}
			return err
		}})
		if err != nil {
			s.Refuse(w, r, err)
		}
	}
	good := func() bool {
		_, err := s.store.Ticket(t.Context(), ticket.Key, time.Now())
		return err == nil
	}
	c := resident(s.site, "anonymous")
	id := s.claims(c).UserID
	s.refuse["OnUpgrade"] = errors.New("the app's database is down")
	if r := c.On(s.Handler(http.HandlerFunc(prove))).Post("/", nil); r.StatusCode != http.StatusInternalServerError || !good() {
		t.Errorf("the hook fails: got %d and the code good %t, want 500 and true", r.StatusCode, good())
	}
	s.refuse["OnUpgrade"] = nil
	cross := c.NewRequest(http.MethodPost, "/", nil)
	cross.Header.Set("Sec-Fetch-Site", "cross-site")
	if r := c.On(s.Handler(http.HandlerFunc(prove))).Do(cross); r.StatusCode != http.StatusForbidden || !good() {
		t.Errorf("from elsewhere: got %d and the code good %t, want 403 and true", r.StatusCode, good())
	}
	if r := c.On(s.Handler(http.HandlerFunc(prove))).Post("/", nil); r.StatusCode != http.StatusOK || good() {
		t.Errorf("at last: got %d and the code good %t, want 200 and false", r.StatusCode, good())
	}
	if got := s.claims(c); got.UserID != id || got.Anonymous {
		t.Errorf("got %+v, want %s, permanent", got, id)
	}
	s.settle()
	if r := s.browser(prove).Post("/", nil); r.StatusCode != http.StatusUnauthorized || len(s.hooks) > 0 {
		t.Errorf("once more: got %d after the hooks %v, want 401 before any", r.StatusCode, s.hooks)
	}
}

// TestProvenBefore holds that a proof is as recent as it says, and that one from
// before does not take the place of a later one.
func TestProvenBefore(t *testing.T) {
	now := time.Now()
	longAgo := time.Unix(1, 0)
	for _, c := range []struct {
		name       string
		before, at time.Time // of an earlier proof of the same user, of this one
		want       time.Time
		method     string
	}{
		{"now", time.Time{}, time.Time{}, now, "fed"},
		{"an hour ago", time.Time{}, now.Add(-time.Hour), now.Add(-time.Hour), "fed"},
		{"nobody knows when", time.Time{}, longAgo, longAgo, "fed"},
		{"in the future", time.Time{}, now.Add(time.Hour), now, "fed"},
		{"after a later one", now.Add(-time.Minute), now.Add(-time.Hour), now.Add(-time.Minute), "pwd"},
		{"after an earlier one", now.Add(-time.Hour), now.Add(-time.Minute), now.Add(-time.Minute), "fed"},
		{"after an earlier one, now", now.Add(-time.Hour), time.Time{}, now, "fed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			prove := func(method string, at time.Time) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					if _, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Method: method, At: at}); err != nil {
						s.Refuse(w, r, err)
					}
				}
			}
			browser := s.browser(prove("pwd", c.before))
			if !c.before.IsZero() {
				browser.Post("/", nil)
			}
			if r := browser.On(s.Handler(prove("fed", c.at))).Post("/", nil); r.StatusCode != http.StatusOK {
				t.Fatalf("got %d: %s", r.StatusCode, body(t, r))
			}
			got := s.claims(browser)
			if d := got.ProvenAt.Sub(c.want).Abs(); d > 10*time.Second || got.Method != c.method {
				t.Errorf("got %q at %v, want %q at %v", got.Method, got.ProvenAt, c.method, c.want)
			}
			members := s.RequireRecent(10 * time.Minute)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			want := http.StatusOK
			if now.Sub(c.want) > 10*time.Minute {
				want = http.StatusForbidden
			}
			if r := browser.On(s.Handler(members)).Fetch("/"); r.StatusCode != want {
				t.Errorf("RequireRecent: got %d, want %d", r.StatusCode, want)
			}
		})
	}
}
