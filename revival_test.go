package walkin_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A place is a store in memory that says which database it is, as one in a database
// does, and what time it is there.
type place struct {
	*memstore.Store
	info  store.Database
	ahead time.Duration // of its clock
	asked int
	nows  int // how often its clock was asked
	fault error

	lookups int
	unheard error // of looking up a session

	announced int // how often the life of tokens was
}

func newPlace(id string) *place {
	return &place{Store: memstore.New(), info: store.Database{ID: id, Birth: time.Now().Add(-time.Hour)}}
}

func (p *place) Database(ctx context.Context) (store.Database, error) {
	p.asked++
	if p.fault != nil {
		return store.Database{}, p.fault
	}
	ended, err := p.Store.Database(ctx)
	db := p.info
	db.EndedBefore, db.AnonymousEndedBefore = ended.EndedBefore, ended.AnonymousEndedBefore
	return db, err
}

func (p *place) LookupSession(ctx context.Context, userID, sessionID uuid.UUID) (store.Session, error) {
	p.lookups++
	if p.unheard != nil {
		return store.Session{}, p.unheard
	}
	return p.Store.LookupSession(ctx, userID, sessionID)
}

func (p *place) AnnounceTokenLife(_ context.Context, life time.Duration, now time.Time) error {
	p.info.TokenLife, p.info.TokenLifeUntil = life, now.Add(life)
	p.announced++
	return nil
}

func (p *place) EndSessionsBefore(ctx context.Context, at time.Time, anonymous bool) error {
	if p.fault != nil {
		return p.fault
	}
	return p.Store.EndSessionsBefore(ctx, at, anonymous)
}

func (p *place) Now(context.Context) (time.Time, error) {
	p.nows++
	return time.Now().Add(p.ahead), nil
}

// siteAt is newSite over a place.
func siteAt(t *testing.T, p *place, changes ...func(*walkin.Config)) *site {
	t.Helper()
	s := &site{t: t}
	cfg := walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: p,
		OnEvent: func(_ context.Context, e walkin.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		}}
	for _, change := range changes {
		change(&cfg)
	}
	m, err := walkin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Middleware = m
	return s
}

// at is the same browser in front of another site.
func (s *site) at(c *walkintest.Client) *walkintest.Client { return c.On(s.Handler(s.routes())) }

// reasons counts the events of an outcome and a reason.
func (s *site) reasons(outcome walkin.Outcome, reason walkin.Reason) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Outcome == outcome && e.Reason == reason {
			n++
		}
	}
	return n
}

// TestLostAnonymous has an anonymous user whom the store has never heard of, as after a
// restore: they go on, and come back with their next write, under the same ID and in
// the same session; unless they were deleted, or ended, or may not.
func TestLostAnonymous(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*walkin.Config)
		before func(t *testing.T, p *place, s *site, id uuid.UUID)
		reads  bool // as who they are
		acts   int
		minted bool // another user by the next visit
	}{
		{"restored", nil, nil, true, 200, false},
		{"no revival", func(c *walkin.Config) { c.Sessions.NoRevival = true }, nil, true, 401, false},
		{"deleted there", nil, func(t *testing.T, _ *place, s *site, id uuid.UUID) {
			if err := s.DeleteUser(t.Context(), id); err != nil {
				t.Error(err)
			}
		}, false, 401, true},
		{"a database that began later", nil, func(_ *testing.T, p *place, _ *site, _ uuid.UUID) {
			p.info.Birth = time.Now().Add(time.Hour)
		}, true, 503, false},
		{"all sessions ended", nil, func(t *testing.T, _ *place, s *site, _ uuid.UUID) {
			if err := s.EndSessionsBefore(t.Context(), time.Now(), true); err != nil {
				t.Error(err)
			}
		}, false, 401, true},
		{"those of permanent users ended", nil, func(t *testing.T, _ *place, s *site, _ uuid.UUID) {
			if err := s.EndSessionsBefore(t.Context(), time.Now(), false); err != nil {
				t.Error(err)
			}
		}, true, 200, false},
		{"a store that forgets", nil, func(_ *testing.T, p *place, _ *site, _ uuid.UUID) {
			p.info = store.Database{Forgets: true}
		}, false, 401, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				home := siteAt(t, newPlace("abcdefgh"))
				c := resident(home, "anonymous")
				id := body(t, c.Fetch("/"))
				session := home.claims(c).SessionID
				cookie := c.Cookie(anonName)
				time.Sleep(2 * time.Second)

				p := newPlace("abcdefgh")
				s := siteAt(t, p)
				if tt.change != nil {
					s = siteAt(t, p, tt.change)
				}
				if tt.before != nil {
					tt.before(t, p, s, uuid.MustParse(id[:36]))
				}
				c = s.at(c)
				for range 3 {
					if got := body(t, c.Fetch("/")); (got == id) != tt.reads {
						t.Errorf("reading: got %q", got)
					}
				}
				if r := c.Post("/note", nil); r.StatusCode != tt.acts {
					t.Errorf("acting: got %d, want %d", r.StatusCode, tt.acts)
				}
				_, err := p.LockUser(t.Context(), uuid.MustParse(id[:36]))
				if back := tt.acts == 200; (err == nil) != back || (s.reasons(walkin.Revived, "") == 1) != back {
					t.Errorf("the row: got %v, with %d events", err, s.reasons(walkin.Revived, ""))
				} else if back {
					if got := s.claims(c); got.SessionID != session || got.Provisional {
						t.Errorf("got session %v, want %v", got.SessionID, session)
					}
				} else if c.Cookie(anonName) != cookie {
					t.Error("the cookie was touched")
				}
				r := c.Visit("/")
				if got := body(t, r); tt.minted == (got == id) || tt.minted && got == "nobody" {
					t.Errorf("the next visit: got %q, want another user: %t", got, tt.minted)
				}
				if !tt.minted && tt.acts != 200 && len(r.Cookies()) > 0 {
					t.Error("a visit minted over them")
				}
				if n := s.reasons(walkin.Failed, "user_lost") + s.reasons(walkin.Failed, "other_database"); n > 1 || n == 0 && tt.reads {
					t.Errorf("the owner was told %d times", n)
				}
				// Where they are known, nothing has changed.
				if got := body(t, home.at(carrying(s, anonName, cookie)).Fetch("/")); got != id {
					t.Errorf("back home: got %q, want %q", got, id)
				}
			})
		})
	}
}

// TestLostContinues holds that who was lost keeps their ID with an upgrade, is merged
// with what the app kept of them, and can sign out here, which says that it may not
// be all.
func TestLostContinues(t *testing.T) {
	home := siteAt(t, newPlace("abcdefgh"))
	var merged []walkin.Change
	s := siteAt(t, newPlace("abcdefgh"), func(c *walkin.Config) {
		c.Hooks.OnMerge = func(_ context.Context, c walkin.Change) error {
			merged = append(merged, c)
			return nil
		}
	})
	c := resident(home, "anonymous")
	id := body(t, c.Fetch("/"))[:36]
	if got := s.prove(s.at(c), "ann"); got != "upgraded" {
		t.Errorf("got %q, want upgraded", got)
	}
	if got := body(t, s.at(c).Fetch("/members")); got != id+" anonymous=false" {
		t.Errorf("got %q, want the same ID", got)
	}
	guest := resident(home, "anonymous")
	guestID := body(t, guest.Fetch("/"))[:36]
	if got := s.prove(s.at(guest), "ann"); got != "merged" || len(merged) != 1 || merged[0].AnonymousID.String() != guestID {
		t.Errorf("got %q and %v, want merged", got, merged)
	}
	if n := s.reasons(walkin.Revived, ""); n != 2 {
		t.Errorf("got %d events of a revival, want 2", n)
	}
	for _, kind := range kinds[1:] {
		c := resident(home, kind)
		token := c.Cookie(cookieOf(kind))
		if r := s.at(c).Post("/out", nil); r.StatusCode != http.StatusServiceUnavailable || c.Cookie(cookieOf(kind)) != "" {
			t.Errorf("%s signs out: got %d and cookie %q, want 503 and none", kind, r.StatusCode, c.Cookie(cookieOf(kind)))
		}
		if r := s.at(carrying(s, cookieOf(kind), token)).Post("/note", nil); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s, signed out: got %d, want 401", kind, r.StatusCode)
		}
	}
}

// TestLostPermanent has a permanent user whom the store has never heard of: without a
// user until they sign in, never minted over, and back where they are known. Their ID
// is kept for them, and not given to the holder of an older anonymous token of theirs.
func TestLostPermanent(t *testing.T) {
	for _, first := range []string{"owner", "copy"} {
		home, p := siteAt(t, newPlace("abcdefgh")), newPlace("abcdefgh")
		s := siteAt(t, p, func(c *walkin.Config) { c.Sessions.RecheckAfter = time.Nanosecond })
		c := home.browser(home.routes().ServeHTTP)
		c.Visit("/")
		c.Post("/note", nil)
		copied := c.Cookie(anonName)
		thief := carrying(s, anonName, copied)
		home.prove(c, "ann")
		id := body(t, c.Fetch("/"))[:36]
		cookie := c.Cookie(permName)

		if first == "copy" {
			// Nothing tells yet that the ID is permanent.
			if got := body(t, thief.Post("/note", nil)); !strings.HasPrefix(got, id) {
				t.Errorf("the copy: got %q, want the user", got)
			}
		}
		away := s.at(c)
		for range 2 {
			r := away.Visit("/")
			if got := body(t, r); got != "nobody" || len(r.Cookies()) > 0 {
				t.Errorf("%s first: a visit: got %q and %d cookies, want nobody and none", first, got, len(r.Cookies()))
			}
			if r := away.Post("/note", nil); r.StatusCode != http.StatusUnauthorized || len(r.Cookies()) > 0 {
				t.Errorf("%s first: an act: got %d, want 401", first, r.StatusCode)
			}
		}
		if r := thief.Post("/note", nil); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s first: the copy acts: got %d, want 401", first, r.StatusCode)
		}
		if got := body(t, thief.Fetch("/")); got != "nobody" {
			t.Errorf("%s first: the copy reads: got %q, want nobody", first, got)
		}
		if got := body(t, home.at(c).Fetch("/members")); got != id+" anonymous=false" || c.Cookie(permName) != cookie {
			t.Errorf("%s first: where they are known: got %q", first, got)
		}
		if got := s.prove(away, "ann"); got != "signed_up" {
			t.Errorf("%s first: got %q, want signed_up", first, got)
		}
		if got := body(t, away.Fetch("/members")); got != id+" anonymous=false" {
			t.Errorf("%s first: got %q, want the ID back", first, got)
		}
		if n := s.reasons(walkin.Revived, ""); n != 1 && first == "owner" || n != 2 && first == "copy" {
			t.Errorf("%s first: got %d events of a revival", first, n)
		}
		// Once it is theirs again, the token from before opens nothing.
		other := carrying(s, permName, cookie)
		s.prove(other, "eve")
		if got := body(t, other.Fetch("/members")); strings.HasPrefix(got, id) {
			t.Errorf("%s first: the old token took the ID again", first)
		}
	}
	t.Run("not for whom it ended", func(t *testing.T) {
		home, p := siteAt(t, newPlace("abcdefgh")), newPlace("abcdefgh")
		c := resident(home, "permanent")
		id := body(t, c.Fetch("/"))[:36]
		s := siteAt(t, p)
		if err := s.EndSessionsBefore(t.Context(), time.Now().Add(30*time.Second), false); err != nil {
			t.Fatal(err)
		}
		s.prove(s.at(c), "ann")
		if got := body(t, s.at(c).Fetch("/")); strings.HasPrefix(got, id) {
			t.Error("a session that was ended took an ID back")
		}
	})
}

// TestOtherDatabase has a store over another database: it counts as down, and no user
// loses anything; once it has adopted the other's tokens it counts as restored.
func TestOtherDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, p := siteAt(t, newPlace("abcdefgh")), newPlace("ijklmnop")
		s := siteAt(t, p)
		for _, kind := range kinds {
			c := resident(home, kind)
			id := body(t, c.Fetch("/"))
			cookie := c.Cookie(cookieOf(kind))
			away := s.at(c)
			for range 20 {
				if got := body(t, away.Visit("/")); (got == id) != (kind != "permanent") {
					t.Errorf("%s reads: got %q", kind, got)
				}
			}
			for _, path := range []string{"/note", "/prove", "/out"} {
				if r := away.Post(path, nil); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
					t.Errorf("%s acts on %s: got %d, want 503", kind, path, r.StatusCode)
				}
			}
			if kind != "permanent" {
				for _, path := range []string{"/ensure", "/callback?name=zoe&state=1"} {
					if r := away.Visit(path); r.StatusCode != http.StatusServiceUnavailable {
						t.Errorf("%s, %s: got %d, want 503", kind, path, r.StatusCode)
					}
				}
			}
			if n := s.reasons(walkin.Failed, "other_database"); kind == kinds[0] && n != 1 {
				t.Errorf("the owner was told %d times, want once", n)
			}
			time.Sleep(2 * day) // due for a renewal
			away.Visit("/")
			if c.Cookie(cookieOf(kind)) != cookie {
				t.Errorf("%s: the cookie was touched", kind)
			}
			if got := body(t, home.at(c).Fetch("/")); got != id {
				t.Errorf("%s, back home: got %q, want %q", kind, got, id)
			}
		}
		if p.asked > 100 {
			t.Errorf("the store was asked %d times which database it is over", p.asked)
		}
		p.info.Adopted = []string{"abcdefgh"}
		time.Sleep(2 * time.Second)
		c := resident(home, "anonymous")
		id := body(t, c.Fetch("/"))
		if got := body(t, s.at(c).Post("/note", nil)); got != id {
			t.Errorf("adopted: got %q, want %q", got, id)
		}
	})
}

// TestKindOfTheRow holds that a token's is_anonymous opens nothing that its user's row
// does not.
func TestKindOfTheRow(t *testing.T) {
	s := newSite(t)
	for _, kind := range kinds[1:] {
		c := resident(s, kind)
		id := s.claims(c).UserID
		if err := s.store.SetAnonymous(t.Context(), id, kind == "permanent"); err != nil {
			t.Fatal(err)
		}
		fresh := carryingAll(s, c)
		for _, path := range []string{"/note", "/members"} {
			if r := fresh.Post(path, nil); r.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s, a row of the other kind, %s: got %d, want 401", kind, path, r.StatusCode)
			}
		}
		if got := body(t, fresh.Fetch("/")); got != "nobody" {
			t.Errorf("%s, a row of the other kind: got %q, want nobody", kind, got)
		}
	}
}

// TestClocks has a process whose clock is not the store's: nothing is swept, no user is
// minted over for being expired, and what is renewed is taken by all others.
func TestClocks(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"40 days ahead": -40 * day, "25 hours ahead": -25 * time.Hour, "5 minutes behind": 5 * time.Minute, "right": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace("abcdefgh")
				s := siteAt(t, p)
				wrong := ahead.Abs() > time.Minute
				p.ahead = ahead
				begun := siteAt(t, p) // a process that has just begun
				_, err := begun.Sweep(t.Context(), walkin.SweepOptions{})
				if wrong != (err != nil) || wrong && strings.Contains(err.Error(), " behind ") != (ahead > 0) {
					t.Errorf("a sweep at once: got %v", err)
				}
				for p.nows = 0; p.nows < 10; p.nows++ {
					before := p.nows
					if begun.browser(who).Visit("/"); p.nows != before {
						t.Fatal("a page asks the clock again within a minute")
					}
				}
				p.ahead = 0
				expired := resident(s, "anonymous")
				token := expired.Cookie(anonName)
				time.Sleep(62 * day)
				p.ahead = ahead
				var n int
				n, err = s.Sweep(t.Context(), walkin.SweepOptions{})
				if wrong != (err != nil) || wrong != (n == 0) {
					t.Errorf("a sweep: got %d, %v", n, err)
				}
				r := carrying(s, anonName, token).Visit("/")
				if got := body(t, r); wrong != (got == "nobody" && len(r.Cookies()) == 0) {
					t.Errorf("an expired cookie: got %q and %d cookies", got, len(r.Cookies()))
				}
				ensured := carrying(s, anonName, token)
				if r := ensured.Visit("/ensure"); wrong != (r.StatusCode == http.StatusUnauthorized) {
					t.Errorf("Ensure with an expired cookie: got %d", r.StatusCode)
				}

				c := resident(s, "permanent")
				before := s.claims(c)
				theirs := time.Now().Add(p.ahead)
				if before.IssuedAt.After(theirs.Add(time.Minute)) {
					t.Errorf("a sign-in is dated %v, at %v of the others", before.IssuedAt, theirs)
				}
				time.Sleep(2 * day)
				if ahead < -30*day {
					return // by this clock, what is dated by the other is expired
				}
				if body(t, c.Visit("/")) == "nobody" {
					t.Error("a session of this process is not taken by itself")
				}
				after := s.claims(c)
				if theirs := time.Now().Add(p.ahead); !after.IssuedAt.After(before.IssuedAt) || after.IssuedAt.After(theirs.Add(time.Minute)) {
					t.Errorf("a renewal is dated %v, at %v of the others", after.IssuedAt, theirs)
				}
				s.told()
				for range 10 {
					time.Sleep(time.Minute)
					c.Visit("/")
					if _, err := s.Sweep(t.Context(), walkin.SweepOptions{}); wrong != (err != nil) {
						t.Errorf("a sweep: got %v", err)
					}
				}
				if n := s.reasons(walkin.Failed, "clock"); n != 1 && wrong || n != 0 && !wrong {
					t.Errorf("in ten minutes the owner was told %d times", n)
				}
			})
		})
	}
	t.Run("a clock that does not answer", func(t *testing.T) {
		p := &mute{newPlace("abcdefgh")}
		m, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: p})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Sweep(t.Context(), walkin.SweepOptions{}); !errors.Is(err, errDown) {
			t.Errorf("a sweep: got %v, want the error", err)
		}
		p.nows = 0
		if _, err := m.Sweep(t.Context(), walkin.SweepOptions{}); err == nil || p.nows != 0 {
			t.Errorf("another at once: got %v, and %d questions; want it to wait", err, p.nows)
		}
	})
}

type mute struct{ *place }

func (m *mute) Now(context.Context) (time.Time, error) {
	m.nows++
	return time.Time{}, errDown
}
