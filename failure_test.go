package walkin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

var errDown = errors.New("the store is down")

// kinds are the kinds of visitor that a live token makes.
var kinds = []string{"provisional", "anonymous", "permanent"}

// resident returns a browser with the live token of such a visitor, or without a user.
// The permanent user is Ann.
func resident(s *site, kind string) *walkintest.Client {
	s.t.Helper()
	c := s.browser(s.routes().ServeHTTP)
	switch kind {
	case "nobody":
	case "provisional":
		c.Visit("/")
	case "anonymous":
		c.Visit("/")
		c.Post("/note", nil)
	case "permanent":
		c.Visit("/")
		s.prove(c, "ann")
	default:
		s.t.Fatalf("no such kind of visitor: %q", kind)
	}
	return c
}

// permanentUser returns a visitor who has proven that they are name.
func permanentUser(s *site, name string) *walkintest.Client {
	s.t.Helper()
	c := s.browser(s.routes().ServeHTTP)
	s.prove(c, name)
	return c
}

// cookieOf is the name of the cookie that a kind of visitor has.
func cookieOf(kind string) string {
	if kind == "permanent" {
		return permName
	}
	return anonName
}

// TestStoreDown holds what happens while the store is down, row by row, and
// that everyone is who they were when it returns.
func TestStoreDown(t *testing.T) {
	const (
		served = "200 themselves"
		nobody = "200 nobody"
		minted = "200 minted"
		later  = "503"
	)
	tests := []struct {
		visitor  string
		lately   bool // the store was asked within RecheckAfter
		safe     string
		unsafe   string
		fetching string
	}{
		{"nobody", false, minted, later, nobody},
		{"provisional", true, served, later, served},
		{"provisional", false, served, later, served},
		{"anonymous", true, served, later, served},
		{"anonymous", false, served, later, served},
		{"permanent", true, served, later, served},
		{"permanent", false, later, later, later},
		{"expired anonymous", false, minted, nobody, nobody},
		{"expired permanent", false, minted, nobody, nobody},
	}
	for name, fault := range map[string]error{"down": errDown, "hanging": errHang} {
		for _, due := range []bool{false, true} {
			for _, tt := range tests {
				t.Run(fmt.Sprintf("%s/%s, lately %t, renewal due %t", name, tt.visitor, tt.lately, due), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := newSite(t, func(c *walkin.Config) { c.Sessions.RecheckAfter = time.Hour })
						kind, expired := strings.CutPrefix(tt.visitor, "expired ")
						c := resident(s, kind)
						if expired {
							c = carrying(s, cookieOf(kind), c.Cookie(cookieOf(kind)))
							time.Sleep(31 * day)
						}
						if due {
							time.Sleep(25 * time.Hour)
						}
						id := ""
						if tt.lately { // as an asset does, which renews nothing
							id = body(t, c.Do(with(c.NewRequest(http.MethodGet, "/", nil), "Sec-Fetch-Dest", "image")))
						} else if tt.visitor != "nobody" {
							id = body(t, carryingAll(s, c).Do(with(c.NewRequest(http.MethodGet, "/", nil), "Sec-Fetch-Dest", "image")))
							time.Sleep(2 * time.Hour)
						}
						jar := fmt.Sprint(c.Cookies())
						s.told()

						s.store.be(fault)
						check := func(what string, r *http.Request, want string) {
							t.Helper()
							c.Carry(r)
							start := time.Now()
							answer, err := c.Serve(r)
							if err != nil {
								t.Fatal(err)
							}
							if took := time.Since(start); took > 6*time.Second {
								t.Errorf("%s: took %v, want at most two looks of 3 s", what, took)
							}
							got := fmt.Sprint(answer.StatusCode)
							switch text := body(t, answer); {
							case answer.StatusCode != http.StatusOK:
								if answer.Header.Get("Retry-After") == "" || answer.Header.Get("Cache-Control") != "no-store" {
									t.Errorf("%s: got header %v, want Retry-After and no-store", what, answer.Header)
								}
								if strings.Contains(text, "store") {
									t.Errorf("%s: the visitor is told %q", what, text)
								}
							case r.Method == http.MethodHead:
								got = want
							case len(answer.Cookies()) > 0:
								got += " minted"
							case text == "nobody":
								got += " nobody"
							case text == id:
								got += " themselves"
							default:
								got += " " + text
							}
							if got != want {
								t.Errorf("%s: got %q, want %q", what, got, want)
							}
							if want != minted && len(answer.Header["Set-Cookie"]) > 0 {
								t.Errorf("%s: got cookies %q, want none", what, answer.Header["Set-Cookie"])
							}
						}
						check("a page", s.navigation("/"), tt.safe)
						check("a fetch", s.request(http.MethodGet, "/"), tt.fetching)
						check("a HEAD", s.request(http.MethodHead, "/"), tt.fetching)
						for _, method := range []string{http.MethodPost, http.MethodDelete} {
							check("a "+method, s.request(method, "/"), tt.unsafe)
						}
						check("a form", s.form("/", url.Values{}), tt.unsafe)
						if tt.visitor != "nobody" { // no reason to ask for them
							check("an unknown method", s.request("PROPFIND", "/"), tt.unsafe)
						}
						if got := fmt.Sprint(c.Cookies()); got != jar {
							t.Errorf("the jar: got %v, want %v", got, jar)
						}

						s.store.be(nil)
						if tt.visitor == "nobody" || expired {
							return
						}
						for _, r := range []*http.Response{c.Fetch("/"), c.Post("/note", nil), c.Visit("/")} {
							if got := body(t, r); got != id {
								t.Errorf("when the store returned: got %d %q, want %q", r.StatusCode, got, id)
							}
						}
					})
				})
			}
		}
	}
}

// carrying returns a browser that has one cookie, whatever its age.
func carrying(s *site, name, token string) *walkintest.Client {
	c := s.browser(s.routes().ServeHTTP)
	c.SetCookie(name, token)
	return c
}

// carryingAll returns the same browser in front of another replica, so that
// this one learns nothing.
func carryingAll(s *site, c *walkintest.Client) *walkintest.Client {
	replica := newSite(s.t, over(s))
	return c.On(replica.Handler(replica.routes()))
}

// TestStoreDownForms holds that a visitor who tries to sign in, to sign out or to sign
// up while the store is down can do so when it returns.
func TestStoreDownForms(t *testing.T) {
	for name, fault := range map[string]error{"down": errDown, "hanging": errHang} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				for _, kind := range append(kinds, "nobody") {
					c := resident(s, kind)
					jar := fmt.Sprint(c.Cookies())
					s.store.be(fault)
					for _, path := range []string{"/prove", "/ensure", "/unlink", "/out"} {
						ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // as a server has for its requests
						r := s.form(path, url.Values{"name": {kind}}).WithContext(ctx)
						c.Carry(r)
						answer, err := c.Serve(r)
						cancel()
						if err != nil {
							t.Fatal(err)
						}
						if kind == "nobody" && (path == "/out" || path == "/unlink") {
							continue // nothing to end
						}
						if answer.StatusCode != http.StatusServiceUnavailable || len(answer.Header["Set-Cookie"]) > 0 {
							t.Errorf("%s, %s: got %d and %q, want 503 and no cookie", kind, path, answer.StatusCode, answer.Header["Set-Cookie"])
						}
					}
					if got := fmt.Sprint(c.Cookies()); got != jar {
						t.Errorf("%s: the jar: got %v, want %v", kind, got, jar)
					}
					s.store.be(nil)
					if got := s.prove(c, "again-"+kind); got == "" {
						t.Errorf("%s: got no outcome when the store returned", kind)
					}
				}
			})
		})
	}
}

// TestStoreDownOutsideHandler holds the same for calls that no Handler stands
// around: they look by themselves, and believe nothing unchecked.
func TestStoreDownOutsideHandler(t *testing.T) {
	for _, kind := range kinds {
		s := newSite(t)
		c := resident(s, kind)
		s.store.be(errDown)
		for name, call := range map[string]func(http.ResponseWriter, *http.Request) error{
			"SignOut": s.SignOut,
			"Ensure":  func(w http.ResponseWriter, r *http.Request) error { _, err := s.Ensure(w, r); return err },
			"Unlink":  func(w http.ResponseWriter, r *http.Request) error { return s.Unlink(w, r, "test", "ann") },
			"Continue": func(w http.ResponseWriter, r *http.Request) error {
				_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "new"})
				return err
			},
		} {
			r := s.form("/", nil)
			c.Carry(r)
			rec := httptest.NewRecorder()
			refusal, ok := errors.AsType[*walkin.Refusal](call(rec, r))
			if !ok || refusal.Status != http.StatusServiceUnavailable || len(rec.Header()) > 0 {
				t.Errorf("%s, %s: got %v and header %v, want 503 and nothing written", kind, name, refusal, rec.Header())
			}
		}
		s.store.be(nil)
		if r := c.Post("/note", nil); r.StatusCode != http.StatusOK {
			t.Errorf("%s, when the store returned: got %d, want 200", kind, r.StatusCode)
		}
	}
}

// TestStoreFailsMidway holds that a change of identity whose store fails at any
// step has not happened, and can be tried again.
func TestStoreFailsMidway(t *testing.T) {
	changes := map[string]struct {
		visitor string
		form    url.Values
		outcome string
	}{
		"upgrade":               {"anonymous", url.Values{"name": {"new"}}, "upgraded"},
		"upgrade, no row yet":   {"provisional", url.Values{"name": {"new"}}, "upgraded"},
		"sign-up":               {"nobody", url.Values{"name": {"new"}}, "signed_up"},
		"sign-in":               {"nobody", url.Values{"name": {"ann"}}, "signed_in"},
		"sign-in as a guest":    {"anonymous", url.Values{"name": {"ann"}, "conflict": {"sign-in"}}, "signed_in"},
		"sign-in, no row yet":   {"provisional", url.Values{"name": {"ann"}}, "signed_in"},
		"merge":                 {"anonymous", url.Values{"name": {"ann"}, "conflict": {"merge"}}, "merged"},
		"link":                  {"permanent", url.Values{"name": {"new"}}, "linked"},
		"proof of their own ID": {"permanent", url.Values{"name": {"ann"}}, "signed_in"},
	}
	steps := append([]string{"InTx", "Identity", "LockUser", "LookupSession", "commit"}, writes...)
	for name, change := range changes {
		for _, step := range steps {
			s := newSite(t, merging, func(c *walkin.Config) { c.Paths.Upgrade = "/prove" })
			ann := resident(s, "permanent")
			c := ann
			if change.visitor != "permanent" {
				c = resident(s, change.visitor)
			}
			id := body(t, c.Fetch("/"))
			jar := fmt.Sprint(c.Cookies())
			s.store.failAt(step, errDown)
			answer := c.Post("/prove", change.form)
			s.store.failAt("", nil)
			switch answer.StatusCode {
			case http.StatusOK: // the step is no part of it
				if got := body(t, answer); got != change.outcome {
					t.Errorf("%s without %s: got %q, want %q", name, step, got, change.outcome)
				}
				continue
			case http.StatusServiceUnavailable:
			default:
				t.Errorf("%s, failing at %s: got %d, want 503", name, step, answer.StatusCode)
			}
			if got := fmt.Sprint(c.Cookies()); got != jar {
				t.Errorf("%s, failing at %s: the jar: got %v, want %v", name, step, got, jar)
			}
			if got := body(t, c.Fetch("/")); got != id {
				t.Errorf("%s, failing at %s: got %q afterwards, want %q", name, step, got, id)
			}
			if _, err := s.store.Identity(t.Context(), "test", "new"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s, failing at %s: the identity: got %v, want ErrNotFound", name, step, err)
			}
			if got := body(t, ann.Post("/members", nil)); !strings.HasSuffix(got, "anonymous=false") {
				t.Errorf("%s, failing at %s: the permanent user: got %q", name, step, got)
			}
			again := c.Post("/prove", change.form)
			if got := body(t, again); got != change.outcome {
				t.Errorf("%s, after failing at %s: got %q, want %q", name, step, got, change.outcome)
			}
		}
	}
}

// TestKeyUnknown holds that a visitor of another replica's key has no user here, is
// refused where they write behind a guard, and is intact there.
func TestKeyUnknown(t *testing.T) {
	home := newSite(t)
	skewed := newSite(t, over(home), func(c *walkin.Config) { c.Keys[0].Secret = []byte("a secret of some other replica there") })
	away := skewed.Handler(skewed.routes())
	for _, kind := range kinds {
		c := resident(home, kind)
		id, jar := body(t, c.Fetch("/")), fmt.Sprint(c.Cookies())
		skewed.told()
		c = c.On(away)
		for _, r := range []*http.Response{c.Visit("/"), c.Fetch("/")} {
			if got := body(t, r); got != "nobody" || r.StatusCode != http.StatusOK {
				t.Errorf("%s reads: got %d %q, want nobody", kind, r.StatusCode, got)
			}
		}
		for _, path := range []string{"/note", "/members", "/ensure"} {
			if r := c.Post(path, nil); r.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s acts at %s: got %d, want 401", kind, path, r.StatusCode)
			}
		}
		if got := fmt.Sprint(c.Cookies()); got != jar {
			t.Errorf("%s: the jar: got %v, want %v", kind, got, jar)
		}
		for _, e := range skewed.told() {
			if e.Outcome != walkin.Skipped && e.Outcome != walkin.Refused || e.Reason != "unknown_key" && e.Token != "unknown_key" {
				t.Errorf("%s: got event %v, want skipped and refused for unknown_key", kind, e)
			}
		}
		if got := body(t, c.On(home.Handler(home.routes())).Post("/note", nil)); got != id {
			t.Errorf("%s, at home again: got %q, want %q", kind, got, id)
		}
	}
}

// TestRecheck holds that safe requests trust a look at the store for
// RecheckAfter and unsafe ones never do.
func TestRecheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		for _, kind := range kinds {
			c := resident(s, kind)
			time.Sleep(time.Minute)
			s.store.count()
			looks := func(method string, want int) {
				t.Helper()
				c.Do(c.NewRequest(method, "/", nil))
				if got := s.store.count("LookupSession"); got != want {
					t.Errorf("%s, %s: got %d looks, want %d", kind, method, got, want)
				}
			}
			looks(http.MethodGet, 1)
			for range 29 {
				time.Sleep(time.Second)
				looks(http.MethodGet, 0)
				looks(http.MethodHead, 0)
			}
			time.Sleep(time.Second)
			looks(http.MethodGet, 1)
			if kind == "provisional" {
				continue // their writes make them anonymous
			}
			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "PROPFIND", "get"} {
				looks(method, 1)
			}
			time.Sleep(29 * time.Second)
			looks(http.MethodGet, 0) // an unsafe request's look counts too
		}
	})
}

// TestStalePrivileges holds that what ends on one replica ends on another: at once for
// writes, within RecheckAfter for reads.
func TestStalePrivileges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		replica := newSite(t, over(s))
		for name, end := range map[string]func(c walkin.Claims) error{
			"signed out everywhere": func(c walkin.Claims) error { return s.SignOutEverywhere(t.Context(), c.UserID) },
			"deleted":               func(c walkin.Claims) error { return s.DeleteUser(t.Context(), c.UserID) },
		} {
			var claims walkin.Claims
			c := replica.browser(func(w http.ResponseWriter, r *http.Request) {
				claims, _ = walkin.FromContext(r.Context())
				replica.routes().ServeHTTP(w, r)
			})
			replica.prove(c, name)
			reader := carrying(replica, permName, c.Cookie(permName)) // the same replica, and its cache
			reader.Fetch("/")
			c.Fetch("/")
			if err := end(claims); err != nil {
				t.Fatal(err)
			}
			time.Sleep(29 * time.Second)
			if r := reader.Fetch("/members"); r.StatusCode != http.StatusOK {
				t.Errorf("%s: reading within RecheckAfter: got %d, want 200", name, r.StatusCode)
			}
			time.Sleep(time.Second)
			if r := reader.Fetch("/members"); r.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: reading after RecheckAfter: got %d, want 401", name, r.StatusCode)
			}
			if r := c.Post("/members", nil); r.StatusCode != http.StatusUnauthorized || len(r.Cookies()) > 0 {
				t.Errorf("%s: acting: got %d and %v, want 401 and no cookie", name, r.StatusCode, r.Cookies())
			}
		}
		// Acting comes first here, within RecheckAfter.
		c := replica.browser(replica.routes().ServeHTTP)
		replica.prove(c, "act first")
		id, err := s.store.Identity(t.Context(), "test", "act first")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SignOutEverywhere(t.Context(), id.UserID); err != nil {
			t.Fatal(err)
		}
		if r := c.Post("/members", nil); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("acting at once: got %d, want 401", r.StatusCode)
		}
		if r := c.Fetch("/members"); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("reading after that: got %d, want 401", r.StatusCode)
		}
	})
}

const day = 24 * time.Hour

// TestSliding holds that who keeps coming is never lost, who stays away past
// the lifetime starts afresh, and neither costs more than a write a day.
func TestSliding(t *testing.T) {
	t.Run("every week for a year", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			for _, kind := range kinds {
				c := resident(s, kind)
				id := body(t, c.Fetch("/"))
				s.store.count()
				for week := range 52 {
					time.Sleep(7 * day)
					visit := c.Visit
					if week%2 == 1 {
						visit = c.Fetch
					}
					if got := body(t, visit("/")); got != id {
						t.Fatalf("%s, week %d: got %q, want %q", kind, week, got, id)
					}
				}
				want := map[string]int{"provisional": 0, "anonymous": 52, "permanent": 52}[kind]
				if got := s.store.count(writes...); got != want {
					t.Errorf("%s: got %d writes, want %d", kind, got, want)
				}
			}
		})
	})
	t.Run("every 29 days, and then not for 31", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			for _, kind := range kinds {
				c := resident(s, kind)
				id := body(t, c.Fetch("/"))
				for range 3 {
					time.Sleep(29 * day)
					if got := body(t, c.Visit("/")); got != id {
						t.Fatalf("%s: got %q, want %q", kind, got, id)
					}
				}
				// A copy of the token outlives the jar, which keeps the time.
				name := cookieOf(kind)
				old := c.Cookie(name)
				time.Sleep(31 * day)
				for _, c := range []*walkintest.Client{c, carrying(s, name, old)} {
					if r := c.Fetch("/"); body(t, r) != "nobody" {
						t.Errorf("%s, away past the lifetime: got %q, want nobody", kind, body(t, r))
					}
					if got := body(t, c.Visit("/")); got == id || !strings.HasSuffix(got, "anonymous=true") {
						t.Errorf("%s, away past the lifetime: got %q, want another user", kind, got)
					}
				}
			}
		})
	})
	t.Run("fifty requests a day", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			for _, kind := range kinds[1:] {
				c := resident(s, kind)
				id := body(t, c.Fetch("/"))
				s.store.count()
				const days = 60
				for range days {
					for i := range 50 {
						time.Sleep(day / 50)
						var r *http.Response
						switch i % 5 {
						case 0:
							r = c.Visit("/")
						case 1:
							r = c.Post("/note", nil)
						case 2:
							r = c.Do(with(c.NewRequest(http.MethodGet, "/", nil), "Sec-Fetch-Dest", "image"))
						default:
							r = c.Fetch("/")
						}
						if got := body(t, r); got != id {
							t.Fatalf("%s: got %q, want %q", kind, got, id)
						}
					}
				}
				if got := s.store.count(writes...); got > days || got < days/2 {
					t.Errorf("%s: got %d writes in %d days, want one a day", kind, got, days)
				}
			}
		})
	})
	t.Run("renewals that never arrive", func(t *testing.T) {
		// A page that is polled and mostly answered with a 304.
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			c := s.browser(s.routes().ServeHTTP)
			c.Post("/note", nil)
			unchanged := c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })))
			s.store.count()
			const days = 20
			for range 48 * days {
				time.Sleep(day / 48)
				if r := unchanged.Fetch("/"); len(r.Cookies()) > 0 {
					t.Fatalf("got cookies %v on a 304", r.Cookies())
				}
			}
			if got := s.store.count(writes...); got > days {
				t.Errorf("got %d writes in %d days, want one a day at most", got, days)
			}
			if r := c.Fetch("/"); len(r.Cookies()) != 1 {
				t.Errorf("the next 200: got cookies %v, want a renewal", r.Cookies())
			}
		})
	})
	t.Run("requests at the same moment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			for _, kind := range kinds[1:] {
				c := resident(s, kind)
				id := body(t, c.Fetch("/"))
				time.Sleep(25 * time.Hour)
				s.store.count()
				s.store.delay = 10 * time.Millisecond
				var wg sync.WaitGroup
				answers := make([]*http.Response, 8)
				for i := range answers {
					wg.Go(func() {
						r := c.NewRequest(http.MethodGet, "/", nil)
						c.Carry(r)
						answers[i], _ = c.Serve(r)
					})
				}
				wg.Wait()
				s.store.delay = 0
				if got := s.store.count("RenewSession"); got != 1 {
					t.Errorf("%s: got %d writes of 8 requests at once, want 1", kind, got)
				}
				for _, r := range answers {
					if got := body(t, r); got != id {
						t.Errorf("%s: got %q, want %q", kind, got, id)
					}
					c.Keep(r)
					if got := body(t, c.Fetch("/")); got != id {
						t.Errorf("%s, with the cookie of one of them: got %q, want %q", kind, got, id)
					}
				}
			}
		})
	})
	t.Run("a short lifetime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, func(c *walkin.Config) { c.Tokens.Lifetime = time.Hour })
			c := s.browser(s.routes().ServeHTTP)
			id := body(t, c.Post("/note", nil))
			for range 50 {
				time.Sleep(59 * time.Minute)
				if got := body(t, c.Fetch("/")); got != id {
					t.Fatalf("got %q, want %q", got, id)
				}
			}
			time.Sleep(62 * time.Minute)
			if got := body(t, c.Fetch("/")); got != "nobody" {
				t.Errorf("after the lifetime: got %q, want nobody", got)
			}
		})
	})
}

// TestRenewalFails holds that a renewal which cannot be had costs the visitor
// nothing.
func TestRenewalFails(t *testing.T) {
	s := newSite(t, renewAlways)
	c := s.browser(s.routes().ServeHTTP)
	id := body(t, c.Post("/note", nil))
	s.store.failAt("RenewSession", errDown)
	s.told()
	r := c.Visit("/")
	if got := body(t, r); got != id || len(r.Cookies()) > 0 {
		t.Errorf("got %q and %v, want %q and no cookie", got, r.Cookies(), id)
	}
	if got := s.outcomes(); got != "failed:renewal" {
		t.Errorf("got events %q, want failed:renewal", got)
	}
	s.store.be(nil)
	if r := c.Visit("/"); body(t, r) != id || len(r.Cookies()) != 1 {
		t.Errorf("the next one: got %q and %v, want a renewal", body(t, r), r.Cookies())
	}
}

// TestRenewalOfTheEnded holds that no token is re-issued for a session that ended on
// another replica a moment ago, though this one may still trust it.
func TestRenewalOfTheEnded(t *testing.T) {
	for _, kind := range kinds[1:] {
		s := newSite(t)
		replica := newSite(t, over(s), renewAlways)
		c := resident(s, kind).On(replica.Handler(replica.routes()))
		if r := c.Visit("/"); len(r.Cookies()) != 1 {
			t.Fatalf("%s: got cookies %v, want a renewal", kind, r.Cookies())
		}
		if err := s.SignOutEverywhere(t.Context(), replica.claims(c).UserID); err != nil {
			t.Fatal(err)
		}
		for what, r := range map[string]*http.Response{"the page": c.Visit("/note"), "a fetch of it": c.Fetch("/note")} {
			if r.StatusCode != http.StatusUnauthorized || len(r.Cookies()) > 0 {
				t.Errorf("%s, %s: got %d and %v, want 401 and no renewal", kind, what, r.StatusCode, r.Cookies())
			}
		}
	}
}

// TestSessionOver holds that a token ends with its session, also when the
// token itself would last longer.
func TestSessionOver(t *testing.T) {
	for _, kind := range kinds[1:] {
		s := newSite(t)
		c := resident(s, kind)
		claims := s.claims(c)
		for _, ago := range []time.Duration{30 * time.Second, 2 * time.Minute} {
			err := s.store.RenewSession(t.Context(), store.Session{ID: claims.SessionID, UserID: claims.UserID,
				RenewedAt: time.Now().Add(-time.Hour), ExpiresAt: time.Now().Add(-ago)})
			if err != nil {
				t.Fatal(err)
			}
			want := http.StatusOK // within the leeway
			if ago > time.Minute {
				want = http.StatusUnauthorized
			}
			if r := c.Post("/note", nil); r.StatusCode != want || len(r.Cookies()) > 0 {
				t.Errorf("%s, over for %v: got %d and %v, want %d and no cookie", kind, ago, r.StatusCode, r.Cookies(), want)
			}
		}
	}
}

// TestCancelled holds that a visitor who goes away is not kept waiting for.
func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := s.browser(s.routes().ServeHTTP)
		c.Post("/note", nil)
		s.store.be(errHang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := c.NewRequest(http.MethodPost, "/note", nil).WithContext(ctx)
		c.Carry(r)
		start := time.Now()
		answer, err := c.Serve(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		if took := time.Since(start); answer.StatusCode != http.StatusServiceUnavailable || took != time.Second {
			t.Errorf("got %d after %v, want 503 after 1 s", answer.StatusCode, took)
		}
	})
}

// TestHangingStore holds that readers wait for a store that hangs once, and
// not each for themselves, and that it is asked again soon.
func TestHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := resident(s, "anonymous")
		id := body(t, c.Fetch("/"))
		time.Sleep(25 * time.Hour) // due for a renewal too
		s.store.be(errHang)
		for i, want := range []time.Duration{3 * time.Second, 0, 0} {
			start := time.Now()
			if got := body(t, c.Fetch("/")); got != id {
				t.Errorf("reading: got %q, want %q", got, id)
			}
			if took := time.Since(start); took != want {
				t.Errorf("read %d: took %v, want %v", i, took, want)
			}
		}
		s.store.be(nil)
		s.store.count()
		time.Sleep(2 * time.Second)
		if got := body(t, c.Fetch("/")); got != id || s.store.count("LookupSession") == 0 {
			t.Errorf("when it is back: got %q, or no look-up", got)
		}
	})
}

// TestShorterLifetime holds that a token lives no longer than Config.Tokens.Lifetime
// says now: tombstones and sweeps go by that.
func TestShorterLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(c *walkin.Config) { c.Tokens.Lifetime = 60 * 24 * time.Hour })
		c := s.browser(who)
		c.Post("/", nil)
		shorter := newSite(t, over(s), func(c *walkin.Config) { c.Tokens.Lifetime = 24 * time.Hour })
		if got := body(t, c.On(shorter.Handler(http.HandlerFunc(who))).Fetch("/")); got == "nobody" {
			t.Error("a fresh token: got nobody")
		}
		time.Sleep(25 * time.Hour)
		if got := body(t, c.On(shorter.Handler(http.HandlerFunc(who))).Fetch("/")); got != "nobody" {
			t.Errorf("past the new lifetime: got %q, want nobody", got)
		}
	})
}
