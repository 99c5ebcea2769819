package walkin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/texts"
	"github.com/walkin-go/walkin/walkintest"
)

// What follows is of errors that no other test has: each is to be told, and none is to
// be taken for a success.

// TestEnsureFails holds that Ensure in a safe request vouches for no user whom the store
// was not asked about, or did not confirm.
func TestEnsureFails(t *testing.T) {
	const address = "203.0.113.7:1"
	atTheLimit := func(s *site) *walkintest.Client {
		c := resident(s, "provisional").From(address)
		s.actFrom(address)
		return c
	}
	stored := func(kind string) func(*site) *walkintest.Client {
		return func(s *site) *walkintest.Client { return resident(s, kind) }
	}
	down := func(s *site, _ walkin.Claims) { s.store.failAt("LookupSession", errDown) }
	lost := func(s *site, _ walkin.Claims) { s.store.Store = memstore.New() }
	for _, tt := range []struct {
		name    string
		visitor func(*site) *walkintest.Client
		then    func(*site, walkin.Claims)
		want    int
	}{
		{"an anonymous user, while it is down", stored("anonymous"), down, 503},
		{"a permanent user, while it is down", stored("permanent"), down, 503},
		{"an anonymous user whom it has lost", stored("anonymous"), lost, 503},
		{"a permanent user whom it has lost", stored("permanent"), lost, 503},
		{"at the limit", atTheLimit, func(*site, walkin.Claims) {}, 429},
		{"at the limit, while it is down", atTheLimit, down, 503},
		{"at the limit, and deleted elsewhere", atTheLimit, func(s *site, c walkin.Claims) {
			noError(t, s.store.Store.DeleteUser(t.Context(), store.Tombstone{UserID: c.UserID, DeletedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}))
		}, 401},
		{"a session that has ended, of a user who may have an account", func(s *site) *walkintest.Client {
			c := resident(s, "anonymous")
			old := carrying(s, anonName, c.Cookie(anonName))
			s.prove(c, "new")
			return old
		}, func(s *site, _ walkin.Claims) { s.store.failAt("LockUser", errDown) }, 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, rowsAnHour(1))
			c := tt.visitor(s)
			var claims walkin.Claims
			has := false
			page := c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					claims, _ = walkin.FromContext(r.Context())
					return
				}
				got, err := s.Ensure(w, r)
				if err == nil {
					t.Errorf("got %+v", got)
				}
				_, has = walkin.FromContext(r.Context())
				s.Refuse(w, r, err)
			})))
			page.Fetch("/")
			tt.then(s, claims)
			r := page.Visit("/ensure")
			if r.StatusCode != tt.want || len(r.Cookies()) > 0 {
				t.Errorf("got %d and %v, want %d", r.StatusCode, r.Cookies(), tt.want)
			}
			if tt.want == 401 && has {
				t.Error("the request still has the user")
			}
		})
	}
}

// TestTokensOfTheEnded holds that no token is issued for another service, or for a client,
// where the store does not confirm the session; a visitor who has stored nothing yet has
// none to confirm.
func TestTokensOfTheEnded(t *testing.T) {
	calls := map[string]func(*site, context.Context, walkin.Claims) (string, error){
		"AccessToken": func(s *site, ctx context.Context, _ walkin.Claims) (string, error) {
			return s.AccessToken(ctx, "other", 0)
		},
		"ClientToken": func(s *site, ctx context.Context, c walkin.Claims) (string, error) {
			token, err := s.ClientToken(ctx, c, walkin.ProfileClaims{}, time.Minute)
			return token.Text, err
		},
	}
	for _, kind := range kinds {
		for name, call := range calls {
			for _, tt := range []struct {
				name string
				then func(*site, walkin.Claims) error
				want error
			}{
				{"down", func(s *site, _ walkin.Claims) error { s.store.failAt("LookupSession", errDown); return nil }, store.ErrUnavailable},
				{"lost", func(s *site, _ walkin.Claims) error { s.store.Store = memstore.New(); return nil }, store.ErrSessionEnded},
				{"deleted", func(s *site, c walkin.Claims) error {
					return s.store.Store.DeleteUser(t.Context(), store.Tombstone{UserID: c.UserID, DeletedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)})
				}, store.ErrSessionEnded},
			} {
				s := newSite(t)
				c := s.claims(resident(s, kind))
				noError(t, tt.then(s, c))
				want := tt.want
				if kind == "provisional" && name == "AccessToken" && tt.name == "lost" {
					want = nil
				}
				if text, err := call(s, walkin.NewContext(t.Context(), c), c); !errors.Is(err, want) || (text == "") != (want != nil) {
					t.Errorf("%s, %s, %s: got %q, %v, want %v", name, kind, tt.name, text, err, want)
				}
			}
		}
	}
}

// TestExchangeFails holds that a client gets no token for one whose session the store
// does not confirm, or that could not be issued, and that it does not lose the one it has.
func TestExchangeFails(t *testing.T) {
	var broken error
	for _, tt := range []struct {
		name string
		bare bool // without Handler in front
		then func(*site, walkin.Claims) error
		want int
	}{
		{"while the store is down, without Handler", true, func(s *site, _ walkin.Claims) error { s.store.be(errDown); return nil }, 503},
		{"a user whom the store has lost", false, func(s *site, _ walkin.Claims) error { s.store.Store = memstore.New(); return nil }, 503},
		{"a session that cannot be renewed", true, func(s *site, _ walkin.Claims) error { s.store.failAt("RenewSession", errDown); return nil }, 503},
		{"a session that ends on the way", true, func(s *site, c walkin.Claims) error {
			s.store.failAt("RenewSession", store.ErrSessionEnded)
			return nil
		}, 401},
		{"claims of the app that cannot be had", false, func(*site, walkin.Claims) error { broken = errors.New("no plan"); return nil }, 500},
	} {
		for _, kind := range []string{"anonymous", "permanent"} {
			if kind == "permanent" && strings.Contains(tt.name, "lost") {
				continue // has no user at all
			}
			synctest.Test(t, func(t *testing.T) {
				broken = nil
				s := newSite(t, credentialPaths, func(c *walkin.Config) {
					c.Tokens.AppClaims = func(context.Context, walkin.Claims) (map[string]any, error) { return nil, broken }
				})
				c := resident(s, kind)
				app := &nativeApp{t, s.Handler(s.clients()), c.Cookie(cookieOf(kind))}
				if tt.bare {
					app.site = s.TokenHandler()
				}
				claims := s.claims(c)
				time.Sleep(25 * time.Hour)
				noError(t, tt.then(s, claims))
				r := app.do(http.MethodPost, "/exchange", nil)
				if r.StatusCode != tt.want || strings.Contains(body(t, r), "access_token\"") {
					t.Errorf("%s, %s: got %d %q, want %d", tt.name, kind, r.StatusCode, body(t, r), tt.want)
				}
			})
		}
	}
}

// TestFirstWriteWithoutCookies holds that below WithoutCookies, too, a first write does not
// reach the site where its user could not be stored.
func TestFirstWriteWithoutCookies(t *testing.T) {
	s := newSite(t)
	next := &spy{}
	app := &nativeApp{t, s.WithoutCookies(next), resident(s, "provisional").Cookie(anonName)}
	s.store.failAt("CreateAnonymous", errDown)
	if r := app.do(http.MethodPost, "/note", nil); r.StatusCode != http.StatusServiceUnavailable || next.ran {
		t.Errorf("got %d, the handler ran: %t; want 503", r.StatusCode, next.ran)
	}
}

// TestFormThatFailsLate holds that a form which refuses after a change of identity answers
// with the refusal, and not with the token of the change.
func TestFormThatFailsLate(t *testing.T) {
	s := newSite(t, credentialPaths)
	form := s.FormHandler(nil, func(w http.ResponseWriter, r *http.Request) (string, error) {
		if _, err := s.Continue(w, r, proofOf(r)); err != nil {
			t.Error(err)
		}
		return "", &walkin.Refusal{Status: http.StatusTeapot, Reason: "late"}
	})
	app := &nativeApp{t, s.Handler(form), resident(s, "anonymous").Cookie(anonName)}
	if r := app.do(http.MethodPost, "/continue", words("name", "new")); r.StatusCode != http.StatusTeapot || strings.Contains(body(t, r), "access_token\"") {
		t.Errorf("got %d %q, want the refusal", r.StatusCode, body(t, r))
	}
}

// TestSweepFails holds that a sweep which deleted nothing says why.
func TestSweepFails(t *testing.T) {
	if _, err := newSite(t).Sweep(t.Context(), walkin.SweepOptions{}); err == nil || !strings.Contains(err.Error(), "faultyStore") {
		t.Errorf("a store that cannot be swept: got %v", err)
	}
	p := newPlace("abcdefgh")
	s := siteAt(t, p)
	p.fault = errDown
	if _, err := s.Sweep(t.Context(), walkin.SweepOptions{}); !errors.Is(err, errDown) {
		t.Errorf("a store that does not say how long tokens live: got %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPlace("abcdefgh")
		s := siteAt(t, p)
		id := s.claims(resident(s, "anonymous")).UserID
		time.Sleep(100 * day)
		m, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: undeletable{p.Store}})
		noError(t, err)
		if n, err := m.Sweep(t.Context(), walkin.SweepOptions{}); n != 0 || err == nil || !strings.Contains(err.Error(), id.String()) {
			t.Errorf("a user who cannot be deleted: got %d, %v, want their ID", n, err)
		}
	})
}

// undeletable is a store that deletes no users.
type undeletable struct{ *memstore.Store }

func (undeletable) DeleteInactive(context.Context, []store.User) error { return errDown }

// TestSweeperIsQuiet holds that sweeps which succeed are no failure.
func TestSweeperIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := siteAt(t, newPlace("abcdefgh"))
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Minute)
		defer cancel()
		if err := s.RunSweeper(ctx, time.Hour, walkin.SweepOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the context", err)
		}
		if got := s.outcomes(); got != "" {
			t.Errorf("got events %q, want none", got)
		}
	})
}

// TestBanFails holds that a ban which did not happen says so, and is no event.
func TestBanFails(t *testing.T) {
	s := newSite(t) // over a store that is no Directory
	id := s.claims(resident(s, "permanent")).UserID
	s.told()
	for name, err := range map[string]error{"Ban": s.Ban(t.Context(), id, store.Ban{}), "Unban": s.Unban(t.Context(), id)} {
		if err == nil || !strings.Contains(err.Error(), "Directory") {
			t.Errorf("%s over a store without bans: got %v", name, err)
		}
	}
	p := siteAt(t, newPlace("abcdefgh"))
	c := resident(p, "permanent")
	id = p.claims(c).UserID
	p.told()
	for _, reason := range []string{strings.Repeat("x", 501), "a\x00b", "\xff"} {
		if err := p.Ban(t.Context(), id, store.Ban{Reason: reason}); err == nil {
			t.Errorf("the reason %.10q: got no error", reason)
		}
	}
	for name, err := range map[string]error{"Ban": p.Ban(t.Context(), uuid.New(), store.Ban{}), "Unban": p.Unban(t.Context(), uuid.New())} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s of a user who is not there: got %v, want ErrNotFound", name, err)
		}
	}
	if got := s.outcomes() + p.outcomes(); got != "" || c.Post("/members", nil).StatusCode != http.StatusOK {
		t.Errorf("got events %q, want none, and the user as before", got)
	}
}

// TestStoreSaysItself holds that what a store says in words of package store goes through
// the time limits as it is, and that a function in InTx may say it for the store.
func TestStoreSaysItself(t *testing.T) {
	s := newSite(t)
	st := s.Store()
	for _, want := range []error{store.ErrNotFound, store.ErrSessionEnded, store.ErrIdentityTaken} {
		s.store.failAt("CreateIdentity", fmt.Errorf("driver: %w", want))
		err := st.CreateIdentity(t.Context(), store.Identity{})
		if !errors.Is(err, want) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v, want %v and no more", err, want)
		}
	}
	s.store.be(nil)
	for own, status := range map[error]int{store.ErrConstraint: 500, store.ErrUnavailable: 503} {
		err := st.InTx(t.Context(), func(context.Context) error { return fmt.Errorf("driver: %w", own) })
		if refusal, ok := errors.AsType[*walkin.Refusal](err); !ok || refusal.Status != status || !errors.Is(err, own) {
			t.Errorf("%v in a transaction: got %v, want %d", own, err, status)
		}
	}
	mine := errors.New("out of paper")
	if err := st.InTx(t.Context(), func(context.Context) error { return mine }); err != mine {
		t.Errorf("got %v, want what the function returned", err)
	}
}

// TestDeletedElsewhere holds that a permanent user who was deleted on another replica is
// signed out, and not taken for one whom the database has lost.
func TestDeletedElsewhere(t *testing.T) {
	p := newPlace("abcdefgh")
	s, other := siteAt(t, p), siteAt(t, p)
	c := resident(s, "permanent")
	claims := s.claims(c)
	noError(t, other.DeleteUser(t.Context(), claims.UserID))
	for _, meanwhile := range []error{store.ErrNotFound, nil} {
		p.unheard = meanwhile // the session was looked up before the deletion, the user after
		s.told()
		if r := carrying(s, permName, c.Cookie(permName)).Post("/members", nil); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("meanwhile %v: got %d, want 401", meanwhile, r.StatusCode)
		}
		if n := s.reasons(walkin.Failed, "unknown_user"); n > 0 {
			t.Errorf("meanwhile %v: got %d events of a lost user", meanwhile, n)
		}
		s = siteAt(t, p) // which has seen nothing yet
	}
}

// TestDatabaseIsNotAskedAgain holds that a store which did not say what database it is over
// is not asked again by the next request, which is refused as the first one was, and that
// its clock is not asked either.
func TestDatabaseIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace("abcdefgh")
		first := siteAt(t, p)
		c := resident(first, "permanent")
		noError(t, p.DeleteSession(t.Context(), first.claims(c).UserID, first.claims(c).SessionID))
		s := siteAt(t, p)
		p.asked, p.nows, p.fault = 0, 0, errDown
		for range 3 {
			r := c.On(s.Handler(s.routes())).Post("/members", nil)
			if got := s.outcomes(); r.StatusCode != http.StatusServiceUnavailable || !strings.HasSuffix(got, "refused:store_down") {
				t.Errorf("got %d and events %q, want 503 for store_down", r.StatusCode, got)
			}
		}
		if p.asked != 1 || p.nows != 0 {
			t.Errorf("the database was asked %d times and its clock %d times, want once and never", p.asked, p.nows)
		}
	})
}

// TestMintWithoutTheStore holds that a page is not kept waiting for the clock of a store
// that did not say which database it is over, and that readers are not kept waiting for that
// store either.
func TestMintWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace("abcdefgh")
		s := siteAt(t, p)
		reader := resident(s, "anonymous")
		time.Sleep(10 * time.Minute)
		p.fault, p.asked, p.nows = errDown, 0, 0
		if c := resident(s, "provisional"); c.Cookie(anonName) == "" || p.asked != 1 || p.nows != 0 {
			t.Errorf("the database was asked %d times and its clock %d times, want once and never", p.asked, p.nows)
		}
		p.lookups = 0
		if got := body(t, reader.Fetch("/")); got == "nobody" || p.lookups > 0 {
			t.Errorf("a reader just after: got %q after %d look-ups, want their user after none", got, p.lookups)
		}
	})
}

// TestRenewalOfTheGone holds what becomes of a reader whose token is due for a renewal, and
// whose session or user is gone from the store since they were last looked up: no token is
// renewed and no failure told; who has been signed out has no user from then on.
func TestRenewalOfTheGone(t *testing.T) {
	for _, bearer := range []bool{false, true} {
		for _, kind := range []string{"anonymous", "permanent"} {
			for name, gone := range map[string]func(*site, walkin.Claims){
				"lost": func(s *site, _ walkin.Claims) { s.store.Store = memstore.New() },
				"signed out": func(s *site, c walkin.Claims) {
					noError(t, s.store.Store.DeleteSession(t.Context(), c.UserID, c.SessionID))
				},
			} {
				s := newSite(t)
				c := resident(s, kind)
				claims, id := s.claims(c), body(t, c.Fetch("/"))
				due := newSite(t, over(s), renewAlways)
				app := &nativeApp{t, due.Handler(due.routes()), c.Cookie(cookieOf(kind))}
				ask := func() string { return body(t, app.do(http.MethodGet, "/", nil)) }
				if !bearer {
					browser := c.On(due.Handler(due.routes()))
					ask = func() string { return body(t, browser.Visit("/")) }
				}
				ask()
				due.told()
				gone(s, claims)
				want := id
				if name == "signed out" {
					want = "nobody"
				}
				if got := ask(); got != want {
					t.Errorf("%s, bearer %t, %s: got %q, want %q", kind, bearer, name, got, want)
				}
				for _, e := range due.told() {
					if e.Outcome == walkin.Failed || e.Outcome == walkin.Renewed {
						t.Errorf("%s, bearer %t, %s: got %+v", kind, bearer, name, e)
					}
				}
			}
		}
	}
}

// TestQuietStart holds that what succeeds at the start of a site is no failure.
func TestQuietStart(t *testing.T) {
	s := siteAt(t, newPlace("abcdefgh"))
	resident(s, "permanent")
	for _, e := range s.told() {
		if e.Outcome == walkin.Failed {
			t.Errorf("got %+v", e)
		}
	}
}

// TestUnlinkAtTheLimit holds that a removal is refused where the user has changed as many
// identities as they may in an hour, and removes nothing.
func TestUnlinkAtTheLimit(t *testing.T) {
	s := newSite(t)
	c := permanentUser(s, "ann")
	s.prove(c, "bea")
	id := s.claims(c).UserID
	status := 0
	for range 200 {
		if status = c.Post("/prove", words("name", "ann")).StatusCode; status != http.StatusOK {
			break
		}
	}
	if status != http.StatusTooManyRequests {
		t.Fatalf("proving again and again: got %d, want 429 in the end", status)
	}
	if r := c.Post("/unlink", words("name", "bea")); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("got %d, want 429", r.StatusCode)
	}
	if all, err := s.store.Identities(t.Context(), id); err != nil || len(all) != 2 {
		t.Errorf("got %v, %v, want both identities", all, err)
	}
}

// TestExportOfTheDeletedFails holds that what the app cannot say of a deleted user is no
// export either.
func TestExportOfTheDeletedFails(t *testing.T) {
	broken := errors.New("the app's table is gone")
	s := siteAt(t, newPlace("abcdefgh"), func(c *walkin.Config) {
		c.Hooks.OnExport = func(context.Context, uuid.UUID) (any, error) { return nil, broken }
	})
	id := s.claims(resident(s, "permanent")).UserID
	noError(t, s.DeleteUser(t.Context(), id))
	if _, err := s.Export(t.Context(), id); !errors.Is(err, broken) {
		t.Errorf("got %v, want the app's error", err)
	}
	plain := newSite(t) // over a store that knows no tombstones
	if e, err := plain.Export(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a user who is not there: got %+v, %v, want ErrNotFound", e, err)
	}
}

// TestSignOutWithAPort holds that a sign-out at a host with a port clears the variants of
// a cookie for its domains, and of the path that the browser asked for.
func TestSignOutWithAPort(t *testing.T) {
	s := newSite(t, inDomain("app.example"))
	c := resident(s, "permanent")
	name := ""
	for _, cookie := range c.Cookies() {
		name = cookie.Name
	}
	r := httptest.NewRequest(http.MethodPost, "https://www.app.example:8443/shop/out", nil)
	r.Header.Set("Origin", "https://www.app.example:8443")
	r.Header.Set("Cookie", name+"="+c.Cookie(name))
	for uri, paths := range map[string][]string{r.RequestURI: {"Path=/shop; Domain=app.example;", "Path=/shop/out;"}, "": {"Path=/out;"}} {
		r.RequestURI = uri // empty in a request that was made by hand
		rec := httptest.NewRecorder()
		s.Handler(http.StripPrefix("/shop", s.SignOutHandler())).ServeHTTP(rec, r)
		got := strings.Join(rec.Header()["Set-Cookie"], "\n")
		for _, want := range append(paths, "Path=/; Domain=www.app.example;") {
			if !strings.Contains(got, want) {
				t.Errorf("%q: got %d, and no %q in\n%s", uri, rec.Code, want, got)
			}
		}
	}
}

// TestAppClaimsFailLate holds that no token is issued without the app's claims.
func TestAppClaimsFailLate(t *testing.T) {
	for _, call := range everyCalls() {
		if call.name != "the second half of a double click" && call.name != "ClientToken" {
			continue
		}
		var broken error
		s := newSite(t, func(c *walkin.Config) {
			c.Paths.Upgrade = "/prove"
			c.Tokens.AppClaims = func(context.Context, walkin.Claims) (map[string]any, error) { return nil, broken }
		})
		c := resident(s, call.visitor)
		if call.before != nil {
			c = call.before(s, c)
		}
		jar := fmt.Sprint(c.Cookies())
		broken = errors.New("no plan")
		if got := call.do(s, c); got[:3] != "500" || fmt.Sprint(c.Cookies()) != jar {
			t.Errorf("%s: got %q and %v, want 500 and the cookies as they were", call.name, got, c.Cookies())
		}
	}
}

// TestClientTokenOfTheExpired holds that no client gets a token for a session whose time
// is over.
func TestClientTokenOfTheExpired(t *testing.T) {
	s := newSite(t)
	c := s.claims(resident(s, "anonymous"))
	past := time.Now().Add(-time.Second)
	noError(t, s.store.RenewSession(t.Context(), store.Session{ID: c.SessionID, UserID: c.UserID, RenewedAt: past, ExpiresAt: past}))
	if token, err := s.ClientToken(t.Context(), c, walkin.ProfileClaims{}, time.Minute); !errors.Is(err, store.ErrSessionEnded) {
		t.Errorf("got %+v, %v, want ErrSessionEnded", token, err)
	}
}

// TestReturnToAKeptID holds that a lost user who comes back to the ID that was kept for
// them is one of the known from then on: they were seen, and what a login flow was bound
// to leads to their session. For others nothing is written a second time.
func TestReturnToAKeptID(t *testing.T) {
	for _, kept := range []bool{true, false} {
		s := newSite(t)
		c := resident(s, "permanent")
		id := s.claims(c).UserID
		s.store.Store = memstore.New()
		if kept {
			noError(t, s.store.CreateUser(t.Context(), store.User{ID: id, SeenAt: time.Unix(0, 0)}))
		}
		c = carryingAll(s, c)
		s.store.count()
		got := calling(func(s *site, w http.ResponseWriter, r *http.Request) error {
			_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "new", FlowID: "cookie:flow"})
			return err
		})(newSite(t, over(s)), c)
		if got[:3] != "200" {
			t.Fatalf("kept %t: got %q, want the user back", kept, got)
		}
		if n := s.store.count("RenewSession"); kept != (n == 1) {
			t.Errorf("kept %t: the session was renewed %d times", kept, n)
		}
		user, err := s.store.LockUser(t.Context(), id)
		if err != nil || time.Since(user.SeenAt) > time.Hour || user.Anonymous {
			t.Errorf("kept %t: got %+v, %v, want the user, seen now", kept, user, err)
		}
		if _, err := s.store.Ticket(t.Context(), "successor:cookie:flow", time.Now()); err != nil {
			t.Errorf("kept %t: the flow has no successor: %v", kept, err)
		}
	}
}

// TestEndsOfTheUnknown holds that the end of what is not there is no error, and that the
// session of a user whom another replica has stored ends also where no tombstone may be
// left.
func TestEndsOfTheUnknown(t *testing.T) {
	s := newSite(t)
	noError(t, s.SignOutEverywhere(t.Context(), uuid.New()))
	noError(t, s.EndOtherSessions(t.Context(), uuid.New(), uuid.Nil))
	noError(t, s.EndSession(t.Context(), uuid.New(), uuid.New()))

	c := resident(s, "permanent")
	claims := s.claims(c)
	s.store.failAt("LockUser", store.ErrNotFound) // deleted while the sign-out waits
	if r := c.Post("/out", nil); r.StatusCode != http.StatusSeeOther || c.Cookie(permName) != "" || s.isAlive(t, claims) {
		t.Errorf("signing out: got %d and %v", r.StatusCode, c.Cookies())
	}

	s = newSite(t, rowsAnHour(1))
	app, claims := s.storedElsewhere("192.0.2.1:1234") // as httptest has it
	if r := app.do(http.MethodPost, "/out", nil); r.StatusCode != http.StatusSeeOther || s.isAlive(t, claims) {
		t.Errorf("signing out, stored elsewhere: got %d, and the session goes on: %t", r.StatusCode, s.isAlive(t, claims))
	}
}

// storedElsewhere returns a client whose token is from before another replica stored its
// user, and uses up the limit of its address.
func (s *site) storedElsewhere(address string) (*nativeApp, walkin.Claims) {
	s.t.Helper()
	c := resident(s, "provisional").From(address)
	app := &nativeApp{s.t, s.Handler(s.routes()), c.Cookie(anonName)}
	other := newSite(s.t, over(s))
	old := carrying(other, anonName, app.token)
	old.Post("/note", nil)
	s.actFrom(address)
	return app, other.claims(old)
}

// TestEnsureOfTheStored holds that a visitor who is stored adds no user to their network,
// so that Ensure finds them at its limit too.
func TestEnsureOfTheStored(t *testing.T) {
	s := newSite(t, rowsAnHour(1))
	app, claims := s.storedElsewhere("192.0.2.1:1234")
	r := carrying(s, anonName, app.token).From("192.0.2.1:1234").Fetch("/ensure")
	if r.StatusCode != http.StatusOK || !strings.HasPrefix(body(t, r), claims.UserID.String()) || len(named(r, anonName)) != 1 {
		t.Errorf("got %d %q and %v, want user %v with a token that says so", r.StatusCode, body(t, r), r.Cookies(), claims.UserID)
	}
}

// TestFailedHookCostsNothing holds that a user whom a hook of the app's kept from being
// stored is not counted.
func TestFailedHookCostsNothing(t *testing.T) {
	s := newCreatingSite(t, rowsAnHour(1))
	s.refuse["OnCreate"] = errors.New("a bug")
	for _, want := range []int{500, 500, 200, 429} {
		if want == 200 {
			delete(s.refuse, "OnCreate")
		}
		if got := s.actFrom("203.0.113.7:1"); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

// TestGivingBackFails holds that the operator is told when a network cannot be given back
// what it was charged for a user who was not stored.
func TestGivingBackFails(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Limiter = keeper{limit.New(0)} })
	s.store.failAt("CreateAnonymous", errOwn)
	c := resident(s, "provisional").From("[2001:db8:1:2::1]:1")
	s.told()
	if got := c.Post("/note", nil).StatusCode; got != http.StatusInternalServerError {
		t.Errorf("got %d, want 500", got)
	}
	if got := s.told(); len(got) != 2 || got[0].Outcome != walkin.Failed || got[0].Reason != "limiter" || got[0].UserID != uuid.Nil {
		t.Errorf("got events %+v, want one of the limiter, which is no visitor's", got)
	}
}

// keeper is a limiter that gives nothing back.
type keeper struct{ limit.Limiter }

func (k keeper) Take(ctx context.Context, key string, rate limit.Limit, n int, now time.Time) (limit.Verdict, error) {
	if n < 0 {
		return limit.Verdict{}, errDown
	}
	return k.Limiter.Take(ctx, key, rate, n, now)
}

// TestRollbackFails holds that the operator is told of a user who could not be removed
// again.
func TestRollbackFails(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.NewUsers.PersistOnMint = true })
	s.store.failAt("DeleteUser", errDown)
	func() {
		defer func() { _ = recover() }()
		s.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug of the app") })).
			ServeHTTP(httptest.NewRecorder(), s.navigation("/"))
	}()
	if got := s.outcomes(); !strings.HasSuffix(got, "failed:rollback_mint") {
		t.Errorf("got events %q, want one of the failure", got)
	}
}

// TestDataDoesNotGo holds that a handler which destroys session data is told when it is
// still there, and that an export has what JSON cannot say as it is stored.
func TestDataDoesNotGo(t *testing.T) {
	eachStore(t, func(t *testing.T, open opener) {
		s := open(t)
		c := s.visitor("anonymous")
		s.put(c, "cart", "1 book")
		c.On(s.Handler(s.inside(func(_ http.ResponseWriter, r *http.Request) {
			s.sm.Put(r.Context(), "weight", math.NaN())
		}))).Post("/", nil)
		e, err := s.Export(t.Context(), s.claims(c).UserID)
		if err != nil || !strings.Contains(fmt.Sprintf("%s", e.Sessions[0].Data), "1 book") {
			t.Errorf("exported: got %q, %v, want the stored bytes", e.Sessions[0].Data, err)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Errorf("the export: %v", err)
		}
		s.shelf.fail["delete"] = errDown
		c.On(s.Handler(s.inside(func(_ http.ResponseWriter, r *http.Request) {
			if err := s.sm.Destroy(r.Context()); !errors.Is(err, errDown) {
				t.Errorf("got %v, want the store's error", err)
			}
		}))).Post("/", nil)
	})
}

// TestUpgradeFormFails holds that a sign-up form which turns into a sign-in answers as the
// sign-in does.
func TestUpgradeFormFails(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Paths.Upgrade = "/prove" })
	c := resident(s, "nobody")
	s.prove(resident(s, "nobody"), "ann")
	form := s.UpgradeHandler(failsSecond{s}, nil)
	r := c.On(s.Handler(form)).Post("/prove", words("name", "ann", "new", "1"))
	if r.StatusCode != http.StatusServiceUnavailable || len(named(r, permName)) > 0 {
		t.Errorf("got %d and %v, want 503", r.StatusCode, r.Cookies())
	}
}

// failsSecond is a credential whose store fails once the name was found to be taken.
type failsSecond struct{ s *site }

func (f failsSecond) SignUp(r *http.Request) (walkin.Proof, error) { return proofOf(r), nil }

func (f failsSecond) SignIn(r *http.Request) (walkin.Proof, error) {
	f.s.store.failAt("CreateSession", errDown)
	p := proofOf(r)
	p.Chosen = false
	return p, nil
}

// TestEndSessionsBeforeCountsAtOnce holds that on the replica that ends all sessions no
// reader goes on, however lately they were looked up.
func TestEndSessionsBeforeCountsAtOnce(t *testing.T) {
	s := siteAt(t, newPlace("abcdefgh"))
	for _, kind := range []string{"anonymous", "permanent"} {
		c := resident(s, kind)
		c.Fetch("/")
		noError(t, s.EndSessionsBefore(t.Context(), time.Now().Add(2*time.Second), true))
		if got := body(t, c.Fetch("/")); got != "nobody" {
			t.Errorf("%s: got %q, want no user", kind, got)
		}
	}
}

// TestDownStoreIsLeftAlone holds that a page which mints asks a store for nothing that has
// just failed a reader.
func TestDownStoreIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace("abcdefgh")
		s := siteAt(t, p)
		c := resident(s, "anonymous")
		time.Sleep(10 * time.Minute)
		p.unheard = errDown
		id := body(t, c.Fetch("/"))
		p.asked, p.nows = 0, 0
		if n := resident(s, "provisional"); n.Cookie(anonName) == "" || id == "nobody" || p.asked+p.nows > 0 {
			t.Errorf("the database was asked %d times and its clock %d times, want never", p.asked, p.nows)
		}
	})
}

// TestAnnouncedOnceADay holds how often a replica writes for how long its tokens live.
func TestAnnouncedOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace("abcdefgh")
		s := siteAt(t, p)
		for range 60 {
			time.Sleep(time.Hour)
			resident(s, "provisional")
		}
		if p.announced != 3 {
			t.Errorf("it was announced %d times in 60 hours, want 3", p.announced)
		}
	})
}

// TestLimitOfOne holds that an answer names a limit of one, too.
func TestLimitOfOne(t *testing.T) {
	s := newSite(t, rowsAnHour(1))
	s.actFrom("203.0.113.7:1")
	c := s.browser(s.routes().ServeHTTP).From("203.0.113.7:1")
	if r := c.Post("/note", nil); r.StatusCode != http.StatusTooManyRequests || !strings.Contains(r.Header.Get("RateLimit-Policy"), ";q=1;") {
		t.Errorf("got %d and policy %q, want a quota of 1", r.StatusCode, r.Header.Get("RateLimit-Policy"))
	}
}

// TestTokensAreNotStored holds that no cache keeps an answer which may have a token in it,
// whatever the handler makes of IssuedToken.
func TestTokensAreNotStored(t *testing.T) {
	for name, do := range map[string]func(*site, http.ResponseWriter, *http.Request) error{
		"Ensure": func(s *site, w http.ResponseWriter, r *http.Request) error { _, err := s.Ensure(w, r); return err },
		"Continue": func(s *site, w http.ResponseWriter, r *http.Request) error {
			_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann"})
			return err
		},
		"Unlink": func(s *site, w http.ResponseWriter, r *http.Request) error { return s.Unlink(w, r, "test", "bea") },
	} {
		s := newSite(t)
		c := permanentUser(s, "ann")
		s.prove(c, "bea")
		app := &nativeApp{t: t, token: c.Cookie(permName)}
		if name == "Ensure" {
			app.token = ""
		}
		app.site = s.WithoutCookies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			noError(t, do(s, w, r))
			if _, issued := walkin.IssuedToken(r.Context()); !issued || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: a token %t and header %v, want no-store", name, issued, w.Header())
			}
		}))
		app.do(http.MethodPost, "/", nil)
	}
}

// TestAppClaimsOfAFirstWrite holds that an error of Config.Tokens.AppClaims is the app's,
// whatever it is called in there, and that the visitor goes on as who they were.
func TestAppClaimsOfAFirstWrite(t *testing.T) {
	for _, called := range []error{store.ErrSessionEnded, store.ErrNotFound} {
		var broken error
		s := newSite(t, func(c *walkin.Config) {
			c.Tokens.AppClaims = func(context.Context, walkin.Claims) (map[string]any, error) { return nil, broken }
		})
		c := resident(s, "provisional")
		id := body(t, c.Fetch("/"))
		broken = fmt.Errorf("no plan: %w", called)
		if r := c.Post("/note", nil); r.StatusCode != http.StatusInternalServerError || len(r.Cookies()) > 0 {
			t.Errorf("%v: got %d and %v, want 500", called, r.StatusCode, r.Cookies())
		}
		if got := body(t, c.Fetch("/")); got != id {
			t.Errorf("%v: afterwards: got %q, want %q", called, got, id)
		}
	}
}

// TestTurnsEnd holds that nothing is kept of a response whose Ensure is over.
func TestTurnsEnd(t *testing.T) {
	s := newSite(t)
	for range 3 {
		if _, err := s.Ensure(httptest.NewRecorder(), s.form("/", nil)); err != nil {
			t.Error(err)
		}
	}
	if n := s.Turns(); n != 0 {
		t.Errorf("%d responses are kept", n)
	}
}

// TestFeedIsMissed holds that the warning is for a store in a database, which others may
// change, and for none that forgets: that is this process's alone.
func TestFeedIsMissed(t *testing.T) {
	for _, forgets := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			p := newPlace("abcdefgh")
			p.info.Forgets = forgets
			s := siteAt(t, p, func(c *walkin.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			c := resident(s, "anonymous")
			for range 5 {
				time.Sleep(time.Minute)
				c.Fetch("/")
			}
			if got := strings.Contains(log.String(), "RunFeed"); got == forgets {
				t.Errorf("a store that forgets %t: warned %t", forgets, got)
			}
		})
	}
}

// TestLostOnTheWayBack holds that with NoRevival a lost user who comes back from a provider,
// by a safe request, gets an account of a new ID.
func TestLostOnTheWayBack(t *testing.T) {
	for _, kind := range []string{"anonymous", "permanent"} {
		for _, no := range []bool{true, false} {
			s := newSite(t)
			c := resident(s, kind)
			id := s.claims(c).UserID
			s.store.Store = memstore.New()
			replica := newSite(t, over(s), func(cfg *walkin.Config) { cfg.Sessions.NoRevival = no })
			c = c.On(replica.Handler(replica.routes()))
			r := c.Fetch("/callback?name=new&state=1")
			if r.StatusCode != http.StatusOK {
				t.Fatalf("%s, no revival %t: got %d %q", kind, no, r.StatusCode, body(t, r))
			}
			if same := s.claims(c).UserID == id; same == no {
				t.Errorf("%s, no revival %t: got the same ID %t", kind, no, same)
			}
		}
	}
}

// TestRefusedWithAFlow holds that an app which refuses a browser as one without cookies
// does not end the login flow that the browser has begun.
func TestRefusedWithAFlow(t *testing.T) {
	s := newSite(t, minting(walkin.MintOff))
	c := s.bound()
	name := s.bind(c)
	c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Refuse(w, r, &walkin.Refusal{Status: http.StatusForbidden, Reason: walkin.ReasonNoCookie})
	}))).Post("/", nil)
	if !s.completes(c, name) {
		t.Error("the flow is over")
	}
}

// TestTwoMiddlewares holds that of two apps, one around the other, each has its own users.
func TestTwoMiddlewares(t *testing.T) {
	outer, inner := newSite(t), newSite(t, func(c *walkin.Config) { c.Tokens.Audience = "inner" })
	var of [2]walkin.Claims
	c := walkintest.NewClient(t, outer.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of[0], _ = walkin.FromContext(r.Context())
		inner.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			of[1], _ = walkin.FromContext(r.Context())
		})).ServeHTTP(w, r)
	})))
	c.Visit("/")
	c.Post("/", nil)
	if of[0].UserID == of[1].UserID || of[0].UserID == uuid.Nil || of[1].UserID == uuid.Nil {
		t.Errorf("got users %v and %v, want two", of[0].UserID, of[1].UserID)
	}
	outer.wantRows(1)
	inner.wantRows(1)
}

// slowLook is a store whose first look-up of a session takes long after it has looked, or
// panics then.
type slowLook struct {
	store.Store
	first atomic.Bool
	then  func()
}

func (s *slowLook) LookupSession(ctx context.Context, user, session uuid.UUID) (store.Session, error) {
	found, err := s.Store.LookupSession(ctx, user, session)
	if s.first.CompareAndSwap(true, false) {
		time.Sleep(2 * time.Second)
		s.then()
	}
	return found, err
}

// TestLookupsThatAreNotShared holds that a request does not go by what another one's
// look-up heard, where that began before the session ended or came to no end.
func TestLookupsThatAreNotShared(t *testing.T) {
	for name, tt := range map[string]struct {
		then  func()
		ended bool
	}{
		"the session has ended meanwhile": {func() {}, true},
		"the other one has panicked":      {func() { panic("a bug of the driver") }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			slow := &slowLook{Store: memstore.New(), then: tt.then}
			s := newSite(t, func(c *walkin.Config) { c.Store = &faultyStore{Store: slow} })
			c := resident(s, "permanent")
			claims, id := s.claims(c), body(t, c.Fetch("/"))
			token := c.Cookie(permName)
			time.Sleep(time.Minute)
			slow.first.Store(true)
			var wg sync.WaitGroup
			wg.Go(func() {
				defer func() { _ = recover() }()
				s.Handler(http.HandlerFunc(who)).ServeHTTP(httptest.NewRecorder(), with(s.navigation("/"), "Cookie", permName+"="+token))
			})
			time.Sleep(time.Second)
			want := id
			if tt.ended {
				noError(t, s.EndSession(t.Context(), claims.UserID, claims.SessionID))
				want = "nobody"
			}
			if got := body(t, c.Fetch("/")); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
			wg.Wait()
		})
	}
}

// TestKeptIDAtTheLimit holds that a self-asserted name opens no account at the limit of its
// network, also where the ID is one that was kept for a lost user.
func TestKeptIDAtTheLimit(t *testing.T) {
	const address = "203.0.113.7:1"
	s := newSite(t, rowsAnHour(1), credentialPaths)
	c := resident(s, "permanent").From(address)
	id := s.claims(c).UserID
	s.store.Store = memstore.New()
	noError(t, s.store.CreateUser(t.Context(), store.User{ID: id, SeenAt: time.Unix(0, 0)}))
	replica := newSite(t, over(s), rowsAnHour(1), credentialPaths)
	replica.actFrom(address)
	r := c.On(replica.Handler(replica.clients())).Post("/continue", words("name", "new", "new", "1"))
	if r.StatusCode != http.StatusTooManyRequests || s.sessionsOf(id) > 0 {
		t.Errorf("got %d and %d sessions, want 429 and none", r.StatusCode, s.sessionsOf(id))
	}
	if _, err := s.store.Identity(t.Context(), "test", "new"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the identity: got %v, want ErrNotFound", err)
	}
}

// TestFormerOfTheSameName holds that a former cookie of today's name is not read, and not
// removed, a second time.
func TestFormerOfTheSameName(t *testing.T) {
	var lines []int
	for _, former := range [][]walkin.FormerCookie{nil, {{Domain: "example.org", ChangedAt: time.Now()}}} {
		s := newSite(t, inDomain("app.example"), func(c *walkin.Config) { c.Cookies.Former = former })
		c := resident(s, "permanent")
		lines = append(lines, len(c.On(s.Handler(s.routes())).Post("/out", nil).Header["Set-Cookie"]))
	}
	if lines[0] == 0 || lines[0] != lines[1] {
		t.Errorf("a sign-out sets %d cookies, and %d beside a former one of the same name", lines[0], lines[1])
	}
}

// TestWayBackOfAnEncodedPath holds that an app below a path sends its visitor back to the
// page that they asked for, as it is spelt.
func TestWayBackOfAnEncodedPath(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Paths.Base, c.Paths.Upgrade = "/app/", "/app/sign-up" })
	guarded := s.Handler(s.RequirePermanent()(&spy{}))
	r := s.navigation("/a%2Fb")
	rec := httptest.NewRecorder()
	guarded.ServeHTTP(rec, r)
	if rec.Code >= 400 {
		t.Fatalf("got %d, want a redirect", rec.Code)
	}
	to, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || to.Query().Get("return_to") != "/app/a%2Fb" {
		t.Errorf("got %q, %v, want back to /app/a%%2Fb", rec.Header().Get("Location"), err)
	}
}

// TestRefusedPagesAndLogs holds that a refused page has a link back only where something
// was sent, and that the log has none of the refusals that are a visitor's own.
func TestRefusedPagesAndLogs(t *testing.T) {
	var log bytes.Buffer
	s := newSite(t, func(c *walkin.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	c := resident(s, "anonymous")
	log.Reset()
	back := texts.English().Text("error.back")
	for _, sent := range []bool{false, true} {
		r := s.navigation("/members")
		if sent {
			r = s.form("/members", nil)
		}
		answer := c.Do(with(r, "Referer", "https://app.example/page"))
		if got := strings.Contains(body(t, answer), back); answer.StatusCode != http.StatusForbidden || got != sent {
			t.Errorf("sent %t: got %d, with a link back %t", sent, answer.StatusCode, got)
		}
	}
	if log.Len() > 0 {
		t.Errorf("got the log %s", &log)
	}
}

// TestClientTokenOfNoTime holds that no token is issued that is over as it begins.
func TestClientTokenOfNoTime(t *testing.T) {
	s := newSite(t)
	c := s.claims(resident(s, "anonymous"))
	for _, ttl := range []time.Duration{0, -time.Minute} {
		_, err := s.ClientToken(t.Context(), c, walkin.ProfileClaims{}, ttl)
		if err == nil || errors.Is(err, store.ErrSessionEnded) {
			t.Errorf("%v: got %v, want an error that says so", ttl, err)
		}
	}
}
