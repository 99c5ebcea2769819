package walkin_test

import (
	"context"
	"crypto/ed25519"
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

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// What follows was found by make mutants: each test fails without a line that no other
// test needs.

// lockOrder is a store that notes in which order users are locked.
type lockOrder struct {
	store.Store
	mu  sync.Mutex
	ids []uuid.UUID
}

func (s *lockOrder) LockUser(ctx context.Context, id uuid.UUID) (store.User, error) {
	s.mu.Lock()
	s.ids = append(s.ids, id)
	s.mu.Unlock()
	return s.Store.LockUser(ctx, id)
}

// TestLocksInOrder holds that a change of two users locks them by their IDs, whoever of
// them is the visitor: two changes that cross wait for each other.
func TestLocksInOrder(t *testing.T) {
	merge := func(s *site, visitor *walkintest.Client, _ walkin.Claims) {
		s.prove(visitor, "ann", "conflict", "merge")
	}
	join := func(s *site, visitor *walkintest.Client, other walkin.Claims) {
		callingAt("/prove", func(s *site, w http.ResponseWriter, r *http.Request) error {
			return s.Join(w, r, walkin.Handover{UserID: other.UserID, SessionID: other.SessionID, Leave: true})
		})(s, visitor)
	}
	for i, change := range []func(*site, *walkintest.Client, walkin.Claims){merge, merge, join, join} {
		ownerFirst := i%2 == 0
		synctest.Test(t, func(t *testing.T) {
			order := &lockOrder{Store: memstore.New()}
			s := newSite(t, merging, func(c *walkin.Config) { c.Store = &faultyStore{Store: order} })
			kinds := []string{"permanent", "anonymous"}
			if i > 1 {
				kinds[0] = "anonymous" // who hands over
			}
			if !ownerFirst {
				kinds[0], kinds[1] = kinds[1], kinds[0]
			}
			first := resident(s, kinds[0])
			time.Sleep(time.Second) // an ID begins with its time
			second := resident(s, kinds[1])
			low, high := s.claims(first).UserID, s.claims(second).UserID
			visitor, other := second, s.claims(first)
			if !ownerFirst {
				visitor, other = first, s.claims(second)
			}
			order.mu.Lock()
			order.ids = nil
			order.mu.Unlock()
			change(s, visitor, other)
			if len(order.ids) < 2 || order.ids[0] != low || order.ids[1] != high {
				t.Errorf("change %d, owner first %t: locked %v, want %v and then %v", i, ownerFirst, order.ids, low, high)
			}
		})
	}
}

// TestUnlinkOfAnotherProvider holds that an identity is its provider and its subject.
func TestUnlinkOfAnotherProvider(t *testing.T) {
	s := newSite(t)
	c := permanentUser(s, "ann")
	s.prove(c, "bea")
	unlink := func(provider, subject string) (err error) {
		c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { err = s.Unlink(w, r, provider, subject) }))).Post("/", nil)
		return err
	}
	for _, tt := range [][2]string{{"other", "ann"}, {"test", "cora"}} {
		if refusal, ok := errors.AsType[*walkin.Refusal](unlink(tt[0], tt[1])); !ok || refusal.Status != http.StatusNotFound {
			t.Errorf("%v: got %v, want 404", tt, refusal)
		}
	}
	all, err := s.store.Identities(t.Context(), s.claims(c).UserID)
	if err != nil || len(all) != 2 {
		t.Errorf("got %v, %v, want both identities", all, err)
	}
}

// TestLifetimeBeginsWithTheProof holds that Sessions.Lifetime of a permanent user counts
// from their proof, and not from when they were minted.
func TestLifetimeBeginsWithTheProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(c *walkin.Config) { c.Sessions.Lifetime = 7 * day })
		c := resident(s, "anonymous")
		for range 6 {
			time.Sleep(day)
			c.Visit("/")
		}
		s.prove(c, "ann")
		id := body(t, c.Fetch("/"))
		for n := range 6 {
			time.Sleep(day)
			if got := body(t, c.Visit("/")); got != id {
				t.Fatalf("day %d after the proof: got %q, want %q", n+1, got, id)
			}
		}
	})
}

// sweeping is a store whose sweeps can fail, and which counts them.
type sweeping struct {
	*memstore.Store
	err     error
	expired int

	expiredErr error
}

func (s *sweeping) InactiveUsers(ctx context.Context, before time.Time, after store.User, limit int) ([]store.User, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.Store.InactiveUsers(ctx, before, after, limit)
}

func (s *sweeping) DeleteExpired(ctx context.Context, before time.Time, batch int) (int, error) {
	s.expired++
	if s.expiredErr != nil {
		return 0, s.expiredErr
	}
	return s.Store.DeleteExpired(ctx, before, batch)
}

// TestSweeperTells holds that a sweep that fails is told each time, and goes on, and
// that the end of the sweeper is no failure.
func TestSweeperTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &sweeping{Store: memstore.New(), err: errDown}
		var told []string
		m, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: store, OnEvent: func(_ context.Context, e walkin.Event) {
			if e.Outcome == walkin.Failed {
				told = append(told, fmt.Sprint(e.Reason, " ", errors.Is(e.Err, errDown)))
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.RunSweeper(ctx, time.Hour, walkin.SweepOptions{}) }()
		time.Sleep(2*time.Hour + time.Minute)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v at the end", err)
		}
		if got, want := strings.Join(told, ", "), "sweep true, sweep true, sweep true"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if store.expired != 3 {
			t.Errorf("expired sessions went %d times, want with each sweep, whatever becomes of the users", store.expired)
		}
		told = nil
		if err := m.RunSweeper(ctx, time.Hour, walkin.SweepOptions{}); !errors.Is(err, context.Canceled) || len(told) > 0 {
			t.Errorf("with a context that has ended: got %v and %q", err, told)
		}
		if err := m.RunSweeper(t.Context(), 0, walkin.SweepOptions{}); err == nil {
			t.Error("an interval of zero is taken")
		}
	})
}

// TestSweepTells holds of which sweeps there is an event: of those that deleted a user or
// failed, in any of their parts, and never of a dry run.
func TestSweepTells(t *testing.T) {
	for name, tt := range map[string]struct {
		absent       int // users who go
		users, other error
		dry          bool
		want         string
	}{
		"nothing to do":            {},
		"one goes":                 {absent: 1, want: "1 false"},
		"two go":                   {absent: 2, want: "2 false"},
		"it fails":                 {users: errDown, want: "0 true"},
		"what has expired stays":   {other: errDown, want: "0 true"},
		"one goes, and that stays": {absent: 1, other: errDown, want: "1 true"},
		"a dry run":                {absent: 1, dry: true},
		"a dry run that fails":     {users: errDown, dry: true},
	} {
		st := &sweeping{Store: memstore.New(), err: tt.users, expiredErr: tt.other}
		var told []string
		m, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: st, OnEvent: func(_ context.Context, e walkin.Event) {
			if e.Outcome == walkin.Swept {
				told = append(told, fmt.Sprint(e.Count, " ", errors.Is(e.Err, errDown)))
			}
		}})
		noError(t, err)
		for range tt.absent {
			at := time.Now().Add(-365 * day)
			noError(t, st.CreateUser(t.Context(), store.User{ID: uuid.New(), Anonymous: true, CreatedAt: at, SeenAt: at}))
		}
		n, err := m.Sweep(t.Context(), walkin.SweepOptions{DryRun: tt.dry})
		if n != tt.absent || (err != nil) != (tt.users != nil || tt.other != nil) {
			t.Errorf("%s: got %d, %v", name, n, err)
		}
		if got := strings.Join(told, ", "); got != tt.want {
			t.Errorf("%s: told %q, want %q", name, got, tt.want)
		}
	}
}

// TestDryRunDeletesNothing holds it for what has expired, too.
func TestDryRunDeletesNothing(t *testing.T) {
	store := &sweeping{Store: memstore.New()}
	m, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Sweep(t.Context(), walkin.SweepOptions{DryRun: true}); err != nil || store.expired > 0 {
		t.Errorf("got %v, and %d deletions of what has expired", err, store.expired)
	}
}

// TestEndSessionsFail holds that what ended no session says so.
func TestEndSessionsFail(t *testing.T) {
	s := newSite(t)
	c := permanentUser(s, "ann")
	claims := s.claims(c)
	for at, calls := range map[string][]func() error{
		"DeleteSession":  {func() error { return s.EndSession(t.Context(), claims.UserID, claims.SessionID) }},
		"LockUser":       {func() error { return s.EndOtherSessions(t.Context(), claims.UserID, claims.SessionID) }},
		"DeleteSessions": {func() error { return s.EndOtherSessions(t.Context(), claims.UserID, uuid.Nil) }},
	} {
		for _, call := range calls {
			s.store.failAt(at, errDown)
			s.told()
			if err := call(); !errors.Is(err, errDown) {
				t.Errorf("%s fails: got %v", at, err)
			}
			for _, e := range s.told() {
				if e.Outcome == walkin.SignedOut {
					t.Errorf("%s fails: a sign-out is told", at)
				}
			}
		}
	}
	s.store.failAt("", nil)
	if got := s.claims(c); got.UserID != claims.UserID {
		t.Errorf("got %v, want the user as before", got)
	}
}

// TestRefuseUnavailable holds that a store's word for "not there now" is a 503 that can be
// tried again, also where an app passes it on by itself.
func TestRefuseUnavailable(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct {
		err  error
		want int
	}{
		{store.ErrUnavailable, 503},
		{fmt.Errorf("asking: %w", store.ErrUnavailable), 503},
		{store.ErrConstraint, 500},
		{errDown, 500},
		{store.ErrSessionEnded, 401},
		{store.ErrIdentityTaken, 409},
	} {
		w := httptest.NewRecorder()
		s.Refuse(w, s.request(http.MethodPost, "/"), tt.err)
		if w.Code != tt.want || (w.Header().Get("Retry-After") != "") != (tt.want == 503) {
			t.Errorf("%v: got %d, and Retry-After %q, want %d", tt.err, w.Code, w.Header().Get("Retry-After"), tt.want)
		}
	}
}

// TestNoSignInLimit holds that a negative limit is none.
func TestNoSignInLimit(t *testing.T) {
	for count, want := range map[int]int{-1: 200, 3: 429} {
		s := newSite(t, func(c *walkin.Config) { c.Sessions.SignInLimit = limit.Limit{Count: count, Per: time.Hour} })
		got := 0
		for range 5 {
			c := s.browser(s.routes().ServeHTTP)
			got = c.Post("/prove", words("name", "ann")).StatusCode
			c.Post("/out", nil)
		}
		if got != want {
			t.Errorf("a limit of %d: got %d for the fifth sign-in, want %d", count, got, want)
		}
		if r := s.browser(who).On(s.Handler(s.routes())).Post("/prove", words("name", "ann", "new", "1")); r.StatusCode != http.StatusConflict {
			t.Errorf("a limit of %d: got %d for a sign-up with a name that is taken, want 409", count, r.StatusCode)
		}
	}
}

// TestGarbageInAFormerCookie holds that a former cookie that is no token is no user.
func TestGarbageInAFormerCookie(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) {
		c.Cookies.Name, c.Cookies.Former = "shop", []walkin.FormerCookie{{Name: "walkin", ChangedAt: time.Now().Add(-time.Hour)}}
	})
	for _, value := range []string{"", "x", "a.b.c", strings.Repeat("x", 4000)} {
		for _, name := range []string{anonName, permName} {
			if got := body(t, carrying(s, name, value).Fetch("/")); got != "nobody" {
				t.Errorf("%s=%.10s: got %q, want nobody", name, value, got)
			}
		}
	}
}

// TestNewestOfTwo holds that of two live tokens of one user the newer one counts,
// wherever it stands.
func TestNewestOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, renewAlways)
		c := resident(s, "anonymous")
		older := c.Cookie(anonName)
		time.Sleep(time.Minute)
		c.Visit("/")
		newer := c.Cookie(anonName)
		if older == newer {
			t.Fatal("nothing was renewed")
		}
		want := s.claims(carrying(s, anonName, newer)).IssuedAt
		for _, values := range [][2]string{{older, newer}, {newer, older}} {
			r := s.request(http.MethodGet, "/")
			r.Header.Set("Cookie", anonName+"="+values[0]+"; "+anonName+"="+values[1])
			var got walkin.Claims
			newSite(t, over(s)).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got, _ = walkin.FromContext(r.Context())
			})).ServeHTTP(httptest.NewRecorder(), r)
			if !got.IssuedAt.Equal(want) {
				t.Errorf("got a token of %v, want that of %v", got.IssuedAt, want)
			}
		}
	})
}

// TestAnonymousOperator holds that no anonymous user sees the site as another, whatever
// the app says of them.
func TestAnonymousOperator(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) {
		c.Impersonation.IsOperator = func(_ context.Context, id uuid.UUID) (bool, error) { return true, nil }
	})
	ann := s.claims(permanentUser(s, "ann")).UserID
	c := resident(s, "anonymous")
	var err error
	c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { err = s.Impersonate(w, r, ann, "a reason") }))).Post("/", nil)
	if !errors.Is(err, walkin.ErrAnonymous) {
		t.Errorf("got %v, want ErrAnonymous", err)
	}
}

// TestContinueNeedsAnIdentity holds that what names no identity, or one that a database
// would cut or refuse, opens no account.
func TestContinueNeedsAnIdentity(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, p := range []walkin.Proof{
		{Subject: "ann"}, {Provider: "test"}, {},
		{Provider: long, Subject: "ann"}, {Provider: "test", Subject: long},
		{Provider: "te\x00st", Subject: "ann"}, {Provider: "test", Subject: "a\x00nn"},
		{Provider: "te\xffst", Subject: "ann"}, {Provider: "test", Subject: "a\xffnn"},
	} {
		s := newSite(t)
		c := s.browser(who)
		p.Method = "pwd"
		var err error
		c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, err = s.Continue(w, r, p) }))).Post("/", nil)
		if refusal, ok := errors.AsType[*walkin.Refusal](err); !ok || refusal.Status != http.StatusUnprocessableEntity {
			t.Errorf("%.10q %.10q: got %v, want 422", p.Provider, p.Subject, err)
		}
		if s.store.count("CreateIdentity") > 0 {
			t.Errorf("%.10q %.10q: it was stored", p.Provider, p.Subject)
		}
	}
}

// TestExportFails holds that data which could not be read whole is no export.
func TestExportFails(t *testing.T) {
	s := newSite(t)
	id := s.claims(permanentUser(s, "ann")).UserID
	for _, at := range []string{"LockUser", "Identities", "UserSessions"} {
		s.store.failAt(at, errDown)
		if _, err := s.Export(t.Context(), id); !errors.Is(err, errDown) {
			t.Errorf("%s fails: got %v", at, err)
		}
	}
	s.store.failAt("", nil)
	if e, err := s.Export(t.Context(), id); err != nil || len(e.Identities) != 1 {
		t.Errorf("got %+v, %v, want one identity", e, err)
	}
}

// TestLateRowIsKnown holds that a token from before the first write is renewed as that of
// a stored user.
func TestLateRowIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, renewAlways)
		c := resident(s, "provisional")
		old := c.Cookie(anonName)
		c.Post("/note", nil)
		late := carrying(s, anonName, old) // the answer to the write got lost
		time.Sleep(time.Minute)
		late.Visit("/")
		if late.Cookie(anonName) == old {
			t.Fatal("nothing was renewed")
		}
		replica := newSite(t, over(s))
		if got := replica.claims(late); got.Provisional || got.UserID == uuid.Nil {
			t.Errorf("got %+v, want a stored user", got)
		}
	})
}

// TestTwoValuesCostNoLook holds that a browser with two values of one name costs no more
// looks than others: what was found a moment ago counts for both.
func TestTwoValuesCostNoLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, renewAlways)
		c := resident(s, "anonymous")
		older := c.Cookie(anonName)
		time.Sleep(time.Minute)
		c.Visit("/")
		newer := c.Cookie(anonName)
		read := func() {
			r := with(s.request(http.MethodGet, "/"), "Sec-Fetch-Dest", "image")
			r.Header.Set("Cookie", anonName+"="+older+"; "+anonName+"="+newer)
			s.Handler(http.HandlerFunc(who)).ServeHTTP(httptest.NewRecorder(), r)
		}
		read()
		s.store.count()
		for range 5 {
			read()
		}
		if n := s.store.count("LookupSession"); n != 0 {
			t.Errorf("got %d looks of 5 requests within RecheckAfter, want none", n)
		}
	})
}

// TestUnlinkOfAnEndedSession holds that a removal whose session ends on its way is
// refused as one without a session, and removes nothing.
func TestUnlinkOfAnEndedSession(t *testing.T) {
	for name, end := range map[string]func(*site, walkin.Claims) error{
		"signed out": func(s *site, c walkin.Claims) error { return s.store.DeleteSession(t.Context(), c.UserID, c.SessionID) },
		"deleted":    func(s *site, c walkin.Claims) error { return s.DeleteUser(t.Context(), c.UserID) },
	} {
		s := newSite(t)
		c := permanentUser(s, "ann")
		s.prove(c, "bea")
		r := act(c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			claims, _ := walkin.FromContext(r.Context())
			if err := end(s, claims); err != nil {
				t.Error(err)
			}
			if err := s.Unlink(w, r, "test", "bea"); err != nil {
				s.Refuse(w, r, err)
			}
		}))), "/")
		if r.StatusCode != http.StatusUnauthorized || len(r.Cookies()) > 0 {
			t.Errorf("%s: got %d and %v, want 401", name, r.StatusCode, r.Cookies())
		}
		if _, err := s.store.Identity(t.Context(), "test", "bea"); (err == nil) != (name == "signed out") {
			t.Errorf("%s: the identity: got %v", name, err)
		}
	}
}

// lateWrite is a store to which another replica writes a visitor between two calls of
// one change: they are not there, and then they are. It notes who is locked.
type lateWrite struct {
	store.Store
	visitor walkin.Claims
	tries   int
	ids     []uuid.UUID // of the last try
}

func (s *lateWrite) InTx(ctx context.Context, fn func(context.Context) error) error {
	return s.Store.InTx(ctx, func(ctx context.Context) error {
		s.tries++
		s.ids = nil
		return fn(ctx)
	})
}

func (s *lateWrite) CreateUser(ctx context.Context, user store.User) error {
	if user.ID == s.visitor.UserID && s.tries == 1 {
		now := time.Now()
		session := store.Session{ID: s.visitor.SessionID, UserID: user.ID, CreatedAt: now, RenewedAt: now, ExpiresAt: s.visitor.ExpiresAt}
		if _, err := s.Store.CreateAnonymous(ctx, store.User{ID: user.ID, Anonymous: true, CreatedAt: now, SeenAt: now}, session); err != nil {
			return err
		}
	}
	err := s.Store.CreateUser(ctx, user)
	if err == nil {
		s.ids = append(s.ids, user.ID)
	}
	return err
}

func (s *lateWrite) LockUser(ctx context.Context, id uuid.UUID) (store.User, error) {
	user, err := s.Store.LockUser(ctx, id)
	if err == nil {
		s.ids = append(s.ids, id)
	}
	return user, err
}

// TestFirstWriteMeanwhile holds that a visitor whom another replica stores while they sign
// in is locked in their turn: the change begins again, and does not lock them after the
// other user.
func TestFirstWriteMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := &lateWrite{Store: memstore.New()}
		s := newSite(t, merging, func(c *walkin.Config) {
			c.Paths.Upgrade = "/prove"
			c.Store = &faultyStore{Store: late}
		})
		c := resident(s, "provisional")
		visitor := s.claims(c)
		time.Sleep(time.Second) // an ID begins with its time
		owner := s.claims(resident(s, "permanent")).UserID
		late.visitor, late.tries = visitor, 0
		s.prove(c, "ann")
		if late.tries != 2 || len(late.ids) < 2 || late.ids[0] != visitor.UserID || late.ids[1] != owner {
			t.Errorf("got %d tries, and locks %v of the last; want two, and %v before %v", late.tries, late.ids, visitor.UserID, owner)
		}
	})
}

// TestAccountUnknown holds that while the store does not say whether the user of an
// ended token has an account, no page says that they have, and none is minted over it.
func TestAccountUnknown(t *testing.T) {
	s := newSite(t)
	c := resident(s, "anonymous")
	old := c.Cookie(anonName)
	s.prove(c, "new")
	has := false
	page := s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { has = s.HasAccount(r) }))
	s.store.failAt("LockUser", errDown)
	if r := carrying(s, anonName, old).On(page).Visit("/"); has || len(r.Cookies()) > 0 {
		t.Errorf("while the store is down: got an account %t, and %v", has, r.Cookies())
	}
	s.store.be(nil)
	if r := carrying(s, anonName, old).On(page).Visit("/"); !has || len(r.Cookies()) > 0 {
		t.Errorf("and then: got an account %t, and %v", has, r.Cookies())
	}
}

// TestGarbageTickets holds that what the store gives back of a refresh token, of a
// double click or of an impersonation opens nothing where it cannot be read: fails
// closed, and the operator is told.
func TestGarbageTickets(t *testing.T) {
	for _, call := range everyCalls() {
		if call.before == nil {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			garbage := &garbageTickets{}
			s := newSite(t, merging, func(c *walkin.Config) {
				c.Paths.Upgrade = "/prove"
				if call.config != nil {
					call.config(c)
				}
				garbage.Store = c.Store.(*faultyStore).Store
				c.Store.(*faultyStore).Store = garbage
			})
			c := resident(s, "permanent")
			if call.visitor != "permanent" {
				c = resident(s, call.visitor)
			}
			c = call.before(s, c)
			if s.store.Store != garbage {
				return // it has restored another
			}
			jar := fmt.Sprint(c.Cookies())
			garbage.on, garbage.read = true, 0
			got := call.do(s, c)
			if garbage.read > 0 && (got[:3] < "400" || fmt.Sprint(c.Cookies()) != jar) {
				t.Errorf("%s: got %q and %v, want a refusal", call.name, got, c.Cookies())
			}
		})
	}
}

type garbageTickets struct {
	store.Store
	on   bool
	read int
}

func (s *garbageTickets) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	ticket, err := s.Store.Ticket(ctx, key, now)
	if s.on && err == nil {
		s.read++
		ticket.Data = []byte("{")
	}
	return ticket, err
}

// TestBanEnds holds that a ban holds until it says, and then lets its user in again with
// the session that they had.
func TestBanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := siteAt(t, newPlace("abcdefgh"))
		c := resident(s, "permanent")
		id := s.claims(c).UserID
		if err := s.Ban(t.Context(), id, store.Ban{Until: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if r := c.Post("/members", nil); r.StatusCode != http.StatusForbidden {
			t.Errorf("banned: got %d, want 403", r.StatusCode)
		}
		time.Sleep(time.Hour + time.Minute)
		if r := c.Post("/members", nil); r.StatusCode != http.StatusOK {
			t.Errorf("afterwards: got %d, want 200", r.StatusCode)
		}
	})
}

// TestLostBearerCostsNoLook holds that a bearer whom the store has lost is looked up as
// seldom as others.
func TestLostBearerCostsNoLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		app := &nativeApp{t, s.Handler(s.routes()), resident(s, "anonymous").Cookie(anonName)}
		s.store.Store = memstore.New()
		time.Sleep(time.Minute)
		app.do(http.MethodGet, "/", nil)
		s.store.count()
		for range 5 {
			app.do(http.MethodGet, "/", nil)
		}
		if n := s.store.count("LookupSession"); n != 0 {
			t.Errorf("got %d looks of 5 requests within RecheckAfter, want none", n)
		}
	})
}

// TestOthersTokensLiveLonger holds that a replica sweeps no user, and forgets no
// deletion, while a token that a replica with a longer Tokens.Lifetime issued may live:
// also one that has just begun, and has asked the database for nothing yet.
func TestOthersTokensLiveLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace("abcdefgh")
		resident(siteAt(t, p), "anonymous") // the shorter life is announced first
		longer := siteAt(t, p, func(c *walkin.Config) { c.Tokens.Lifetime = 100 * day })
		c := resident(longer, "anonymous")
		deleted := longer.claims(resident(longer, "permanent")).UserID
		if err := siteAt(t, p).DeleteUser(t.Context(), deleted); err != nil {
			t.Fatal(err)
		}
		left := resident(longer, "provisional")
		gone := longer.claims(left).UserID
		if r := siteAt(t, p).at(left).Post("/out", nil); r.StatusCode != http.StatusSeeOther {
			t.Fatalf("signing out: got %d", r.StatusCode)
		}
		time.Sleep(90 * day)
		s := siteAt(t, p)
		if n, err := s.Sweep(t.Context(), walkin.SweepOptions{}); n != 0 || err != nil {
			t.Errorf("a sweep: got %d, %v", n, err)
		}
		if _, err := p.LockUser(t.Context(), longer.claims(c).UserID); err != nil {
			t.Errorf("the user whose token lives: got %v", err)
		}
		for _, id := range []uuid.UUID{deleted, gone} {
			if stone, err := p.FindTombstone(t.Context(), id); err != nil || stone.ExpiresAt.Before(time.Now().Add(10*day)) {
				t.Errorf("the tombstone: got %+v, %v", stone, err)
			}
		}
	})
}

// TestProofOfAnEndedSession holds that a proof given in a session which has ended counts
// for no other: who signs in with an older one was not at the keyboard just now.
func TestProofOfAnEndedSession(t *testing.T) {
	s := newSite(t)
	c := permanentUser(s, "ann")
	at := time.Now().Add(-time.Hour)
	r := act(c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := walkin.FromContext(r.Context())
		_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Method: "fed", At: at, Redeem: func(ctx context.Context) error {
			return s.store.DeleteSession(ctx, claims.UserID, claims.SessionID)
		}})
		if err != nil {
			s.Refuse(w, r, err)
		}
	}))), "/")
	if got := s.claims(c); r.StatusCode != http.StatusOK || got.Method != "fed" || got.ProvenAt.Sub(at).Abs() > time.Second {
		t.Errorf("got %d, and a proof of %v by %q, want %v by fed", r.StatusCode, got.ProvenAt, got.Method, at)
	}
}

// TestOldSessionOfAKnownUser holds that a token which is older than the database is over
// where the database knows its user and has ended its session. Only one whose user it
// does not know may be of another database.
func TestOldSessionOfAKnownUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace("abcdefgh")
		s := siteAt(t, p)
		for _, kind := range kinds[1:] {
			c := resident(s, kind)
			claims := s.claims(c)
			p.info.Birth = time.Now().Add(time.Hour)
			if err := p.DeleteSession(t.Context(), claims.UserID, claims.SessionID); err != nil {
				t.Fatal(err)
			}
			if r := siteAt(t, p).at(c).Post("/members", nil); r.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: got %d, want 401", kind, r.StatusCode)
			}
			p.info.Birth = time.Now().Add(-time.Hour)
		}
	})
}

// TestKeyWithoutASecret holds that New takes no key from which nothing secret can be
// derived: what is derived from nothing is known to all. It says so once.
func TestKeyWithoutASecret(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string][]walkin.Key{
		"a signer":              {{Private: kms{private}}},
		"behind a good one":     {{Secret: siteSecret}, {Private: kms{private}}},
		"of one byte repeated":  {{Secret: siteSecret}, {Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}},
		"with one that is none": {{Secret: []byte("short")}},
	} {
		_, err := walkin.New(walkin.Config{Keys: keys, Store: memstore.New()})
		if err == nil || strings.Count(err.Error(), fmt.Sprintf("Config.Keys[%d]", len(keys)-1)) != 1 {
			t.Errorf("%s: got %v, want one error", name, err)
		}
	}
}

// TestEndSessionsBeforeATimeToCome holds that no time to come is taken, since who signed
// in again would be signed out at once, and that a store which cannot do it says so.
func TestEndSessionsBeforeATimeToCome(t *testing.T) {
	s := siteAt(t, newPlace("abcdefgh"))
	c := resident(s, "permanent")
	if err := s.EndSessionsBefore(t.Context(), time.Now().Add(time.Hour), true); err == nil {
		t.Error("in an hour: got no error")
	}
	if r := c.Post("/members", nil); r.StatusCode != http.StatusOK {
		t.Errorf("and then: got %d, want 200", r.StatusCode)
	}
	if err := newSite(t).EndSessionsBefore(t.Context(), time.Now(), true); err == nil {
		t.Error("a store that is no DatabaseStore: got no error")
	}
	m, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: struct{ store.Store }{memstore.New()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RunFeed(t.Context()); err == nil {
		t.Error("a store that is no FeedStore: got no error")
	}
	p := newPlace("abcdefgh")
	s = siteAt(t, p)
	p.fault = errDown
	if err := s.EndSessionsBefore(t.Context(), time.Now(), true); !errors.Is(err, errDown) || s.reasons(walkin.SignedOut, walkin.ReasonAllBefore) > 0 {
		t.Errorf("while the store is down: got %v, and the operator is told %+v", err, s.told())
	}
}

// TestDatabaseDoesNotAnswer holds that visitors come in and go on where the store does
// not say which database it is over, and that no page waits for that again at once.
func TestDatabaseDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace("abcdefgh")
		p.fault = errDown
		s := siteAt(t, p)
		c := s.browser(s.routes().ServeHTTP)
		id := body(t, c.Visit("/"))
		if !strings.HasSuffix(id, "anonymous=true") || p.asked != 1 {
			t.Errorf("the first page: got %q, and %d questions", id, p.asked)
		}
		for range 5 {
			s.browser(who).Visit("/")
		}
		if p.asked != 1 {
			t.Errorf("got %d questions of five more, want none at once", p.asked-1)
		}
		time.Sleep(2 * time.Second)
		p.fault = nil
		if got := body(t, c.Post("/note", nil)); got != id {
			t.Errorf("a write: got %q, want %q", got, id)
		}
		if got := s.prove(c, "ann"); got != "upgraded" || p.asked < 2 {
			t.Errorf("got %q, and %d questions", got, p.asked)
		}
	})
}

// TestEndSessionTells holds that a session which is ended by its ID is an event.
func TestEndSessionTells(t *testing.T) {
	s := newSite(t)
	c := s.claims(resident(s, "permanent"))
	s.told()
	noError(t, s.EndSession(t.Context(), c.UserID, c.SessionID))
	if got := s.told(); len(got) != 1 || got[0].Outcome != walkin.SignedOut || got[0].SessionID != c.SessionID {
		t.Errorf("got %+v, want one of the end", got)
	}
}

// TestSignOutAtAFullAddress holds that a visitor whose sign-out could leave no tombstone is
// signed out here, and the owner told.
func TestSignOutAtAFullAddress(t *testing.T) {
	const address = "203.0.113.7:1"
	s := newSite(t, rowsAnHour(1))
	c := resident(s, "provisional").From(address)
	s.actFrom(address)
	s.told()
	r := c.Post("/out", nil)
	if got := s.outcomes(); r.StatusCode >= 400 || c.Cookie(anonName) != "" || !strings.Contains(got, "skipped:new_user_limit") {
		t.Errorf("got %d, cookie %q, events %q", r.StatusCode, c.Cookie(anonName), got)
	}
}

// counted counts what is read of it.
type counted struct{ n int }

func (c *counted) Read(p []byte) (int, error) {
	c.n += len(p)
	copy(p, strings.Repeat("a", len(p)))
	return len(p), nil
}

// TestSignOutReadsLittle holds that a sign-out does not read a form without end.
func TestSignOutReadsLittle(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Paths.SignOut = "/sign-out" })
	r := s.form("/sign-out", nil)
	body := &counted{}
	r.Body, r.ContentLength = io.NopCloser(body), -1
	s.Handler(s.SignOutHandler()).ServeHTTP(httptest.NewRecorder(), r)
	if body.n > 2<<20 {
		t.Errorf("read %d bytes", body.n)
	}
}

// TestShorterSessions holds that a session which began before Sessions.Lifetime was made
// shorter ends by the shorter one.
func TestShorterSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, kind := range []string{"anonymous", "permanent"} {
			s := newSite(t)
			c := resident(s, kind)
			time.Sleep(8 * day)
			before := s.claims(c).UserID
			shorter := newSite(t, over(s), func(c *walkin.Config) { c.Sessions.Lifetime = 7 * day })
			got := shorter.claims(carryingAll(s, c).On(shorter.Handler(shorter.routes())))
			if before == uuid.Nil || got.UserID != uuid.Nil {
				t.Errorf("%s: got %v, want no one after %v", kind, got.UserID, before)
			}
		}
	})
}

// TestEndOtherSessionsTells holds that the end of a user's other sessions is one event.
func TestEndOtherSessionsTells(t *testing.T) {
	s := newSite(t)
	c := s.claims(resident(s, "permanent"))
	s.told()
	noError(t, s.EndOtherSessions(t.Context(), c.UserID, c.SessionID))
	if got := s.told(); len(got) != 1 || got[0].Outcome != walkin.SignedOut || got[0].UserID != c.UserID {
		t.Errorf("got %+v, want one of the end", got)
	}
}

// TestImpersonatesNotOneself holds it, and that two cookies of impersonations are none.
func TestImpersonatesNotOneself(t *testing.T) {
	o := newOffice(t)
	r := o.operator.Post("/as", url.Values{"id": {o.operatorID.String()}, "reason": {"ticket 7"}})
	told := o.told(walkin.Refused)
	if r.StatusCode < 400 || o.operator.Cookie(actingCookie) != "" || len(told) != 1 || told[0].Reason != walkin.ReasonImpersonationSelf {
		t.Errorf("got %d, cookie %q and %+v, want a refusal that says why", r.StatusCode, o.operator.Cookie(actingCookie), told)
	}
	o.begin()
	two := o.operator.NewRequest(http.MethodGet, "/", nil)
	two.Header.Add("Cookie", "__Host-walkin="+o.operator.Cookie("__Host-walkin")+"; "+
		actingCookie+"="+o.operator.Cookie(actingCookie)+"; "+actingCookie+"="+o.operator.Cookie(actingCookie))
	rec := httptest.NewRecorder()
	o.site.ServeHTTP(rec, two)
	if got := rec.Body.String(); strings.Contains(got, o.guestID.String()) {
		t.Errorf("by two cookies: got %q", got)
	}
}

// TestReturnToATakenID holds that a permanent user whom the store has lost, and who proves
// a free identity, does not come into the row of a permanent user who has their ID at that
// moment, as by an import of the app's.
func TestReturnToATakenID(t *testing.T) {
	s := newSite(t)
	c := resident(s, "permanent")
	id := s.claims(c).UserID
	s.store.Store = memstore.New()
	c = carryingAll(s, c)
	got := calling(func(s *site, w http.ResponseWriter, r *http.Request) error {
		now := time.Now()
		noError(t, s.store.CreateUser(t.Context(), store.User{ID: id, CreatedAt: now, SeenAt: now}))
		_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "new"})
		return err
	})(s, c)
	if got[:3] != "200" {
		t.Fatalf("got %q", got)
	}
	if owned, err := s.store.Identity(t.Context(), "test", "new"); err != nil || owned.UserID == id {
		t.Errorf("the identity is of %v (%v), who is another", owned.UserID, err)
	}
}

// TestStolenImpersonation holds that a cookie of an impersonation whose record is gone
// does nothing in another browser, and ends nothing in the operator's name; and that one
// under a key that this replica lacks is neither user's.
func TestStolenImpersonation(t *testing.T) {
	o := newOffice(t)
	o.begin()
	stolen, own := o.operator.Cookie(actingCookie), o.operator.Cookie("__Host-walkin")
	noError(t, o.m.DeleteUser(t.Context(), o.guestID)) // and with it the record
	thief := walkintest.NewClient(t, o.site)
	thief.SetCookie(actingCookie, stolen)
	thief.Fetch("/")
	if told := o.told(walkin.ImpersonationEnded); len(told) > 0 {
		t.Errorf("a thief ended it: %+v", told)
	}

	other, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret of some other replica there")}}, Store: o.store,
		Impersonation: walkin.Impersonation{IsOperator: func(context.Context, uuid.UUID) (bool, error) { return true, nil }}})
	noError(t, err)
	c := walkintest.NewClient(t, other.Handler(http.HandlerFunc(who)))
	c.SetCookie(actingCookie, stolen)
	c.SetCookie("__Host-walkin", own)
	if r := c.Visit("/"); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("under an unknown key: got %d, want 503", r.StatusCode)
	}
}

// TestKeptIDBanned holds that a user whom the store has lost, and whose ID it keeps for
// them, does not come back while that ID is banned: not with a new identity, and not to
// another account.
func TestKeptIDBanned(t *testing.T) {
	for _, name := range []string{"new", "bea"} {
		s := newSite(t)
		c := resident(s, "permanent")
		id := s.claims(c).UserID
		s.store.Store = memstore.New()
		permanentUser(s, "bea")
		noError(t, s.store.CreateUser(t.Context(), store.User{ID: id, SeenAt: time.Unix(0, 0)}))
		noError(t, s.store.Store.(store.Directory).SetBan(t.Context(), id, store.Ban{Until: time.Now().Add(time.Hour)}))
		r := carryingAll(s, c).Post("/prove", words("name", name))
		if r.StatusCode != http.StatusForbidden || len(r.Cookies()) > 0 || s.sessionsOf(id) != 0 {
			t.Errorf("%s: got %d, %v and %d sessions, want 403 and none", name, r.StatusCode, r.Cookies(), s.sessionsOf(id))
		}
	}
}
