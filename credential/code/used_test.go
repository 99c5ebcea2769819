package code_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/store"
)

// session returns the ID of the session that a browser is signed in with.
func (v visitor) session() string {
	v.s.t.Helper()
	parts := strings.Split(v.Cookie(cookie), ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		v.s.t.Fatal(err)
	}
	var claims struct {
		Session string `json:"session_id"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		v.s.t.Fatal(err)
	}
	return claims.Session
}

// starts are who may ask for a code.
var starts = map[string]func(*world, http.Handler) visitor{
	"a guest": (*world).anonymous,
	"nobody":  (*world).stranger,
	"a visitor who never acted": func(s *world, site http.Handler) visitor {
		v := s.stranger(site)
		v.Visit("/")
		return v
	},
	"a member": func(s *world, site http.Handler) visitor {
		v := s.stranger(site)
		v.enter(v.mustAsk(eve).Code)
		return v
	},
	"the owner": func(s *world, site http.Handler) visitor {
		v := s.stranger(site)
		v.enter(v.mustAsk(ann).Code)
		return v
	},
}

// TestSecondHalf holds that the second half of a double click gets the session of
// the first one, on the other replica, with the cookies of before and with those that
// the first answer set, and that nothing is opened for it.
func TestSecondHalf(t *testing.T) {
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			s := newWorld(t)
			replicas := []http.Handler{s.replica(), s.replica()}
			v := start(s, replicas[0])
			typed := v.mustAsk(ann).Code
			half, late := v.plant(), v.plant()
			want(t, v.enter(typed), http.StatusSeeOther)
			id, _ := v.whoami()
			opened, changes := v.session(), s.changes()
			for _, second := range []visitor{half, v, half} {
				second = second.on(replicas[1])
				want(t, second.enter(typed), http.StatusSeeOther)
				second.must(id, true)
				if got := second.session(); got != opened || got == "" {
					t.Errorf("got session %s, want %s", got, opened)
				}
			}
			if got := s.changes() - changes; got != 0 {
				t.Errorf("got %d more changes", got)
			}
			// With another code it is a guess.
			want(t, late.on(replicas[1]).enter(other(typed)), http.StatusUnauthorized)
		})
	}
}

// TestOtherBrowser holds that a code works in each browser of the session that asked for
// it, and one with which a secret waits in the browser alone that asked.
func TestOtherBrowser(t *testing.T) {
	for secret, status := range map[string]int{"": http.StatusSeeOther, "x": http.StatusUnauthorized} {
		s := newWorld(t)
		s.change = func(cfg *code.Config) {
			cfg.Secret = func(*http.Request) ([]byte, error) { return []byte(secret), nil }
		}
		v := s.anonymous(s.replica())
		typed := v.mustAsk(ann).Code
		other := v.plant().on(s.replica())
		other.SetCookie(mark, "")
		want(t, other.enter(typed), status)
		if status == http.StatusUnauthorized {
			if got := s.lastReason(); got != "other_browser" {
				t.Errorf("got reason %q", got)
			}
			want(t, v.enter(typed), http.StatusSeeOther)
		}
	}
}

// mark is the cookie of the browser that asked.
const mark = "__Host-walkin.code-email"

// TestHalvesMeet holds what becomes of a code that is used a second time while the first
// is under way: in the browser that asked it gets the session of the first, in another
// one nothing, and 503 if it cannot be told.
func TestHalvesMeet(t *testing.T) {
	for _, tt := range []struct {
		name   string
		start  func(*world, http.Handler) visitor
		change func(visitor)
		fails  int // the call that asks for a ticket
		status int
	}{
		{"the same browser", (*world).anonymous, func(visitor) {}, 0, http.StatusSeeOther},
		{"the same browser, without a user", (*world).stranger, func(visitor) {}, 0, http.StatusSeeOther},
		{"another browser", (*world).anonymous, func(v visitor) { v.SetCookie(mark, "") }, 0, http.StatusUnauthorized},
		{"another browser, without a user", (*world).stranger, func(v visitor) { v.SetCookie(mark, "") }, 0, http.StatusUnauthorized},
		{"another mark", (*world).anonymous, func(v visitor) { v.SetCookie(mark, "x") }, 0, http.StatusUnauthorized},
		{"a store that is down then", (*world).anonymous, func(visitor) {}, 1, http.StatusServiceUnavailable},
		{"a store that is down then, without a user", (*world).stranger, func(visitor) {}, 1, http.StatusServiceUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newWorld(t)
			site := s.replica()
			v := tt.start(s, site)
			typed := v.mustAsk(ann).Code
			second := v.plant()
			tt.change(second)
			s.over = &slow{Store: &noTicket{s.store, tt.fails}, before: func() { want(t, v.enter(typed), http.StatusSeeOther) }}
			second = second.on(s.replica())
			before := s.changes()
			want(t, second.enter(typed), tt.status)
			if got := s.changes() - before; got != 1 {
				t.Errorf("got %d changes, want one", got)
			}
			if same := second.session() == v.session(); same != (tt.status == http.StatusSeeOther) {
				t.Errorf("the second half has the session of the first: %t", same)
			}
			if tt.status == http.StatusUnauthorized && s.lastReason() != "code_over" {
				t.Errorf("got reason %q", s.lastReason())
			}
		})
	}
}

// noTicket is a store that fails when it is asked for a ticket, once.
type noTicket struct {
	store.Store
	left int // calls until it does
}

func (s *noTicket) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if s.left--; s.left == 0 {
		return store.Ticket{}, errBroken
	}
	return s.Store.Ticket(ctx, key, now)
}

// TestUsedCodeEndsInTime holds that a code which was used is recognised for ten seconds,
// and no longer than it would have worked.
func TestUsedCodeEndsInTime(t *testing.T) {
	for _, tt := range []struct{ used, again time.Duration }{ // after it was sent; after it was used
		{0, 10*time.Second - 1},
		{10*time.Minute - 10*time.Second, 10*time.Second - 1},
		{10*time.Minute - 5*time.Second, 5*time.Second - 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newWorld(t)
			site := s.replica()
			v := s.stranger(site)
			typed := v.mustAsk(ann).Code
			time.Sleep(tt.used)
			half, late := v.plant().on(site), v.plant().on(site) // cookies that no browser would keep longer
			want(t, v.enter(typed), http.StatusSeeOther)
			time.Sleep(tt.again)
			want(t, half.enter(typed), http.StatusSeeOther)
			time.Sleep(time.Nanosecond)
			for _, v := range []visitor{v, half, late} {
				want(t, v.enter(typed), http.StatusUnauthorized)
			}
		})
	}
}

// changes counts the changes of identity, each of which opens a session.
func (s *world) changes() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		switch e.Outcome {
		case walkin.SignedUp, walkin.SignedIn, walkin.Upgraded, walkin.Merged, walkin.Linked, walkin.Persisted:
			n++
		}
	}
	return n
}

// TestUsedCodeIsOver holds that a code which was used opens nothing, within its ten
// seconds either, once the session that it opened has ended: however that ended, on
// whichever replica, and also for a browser that has kept copies of all cookies.
func TestUsedCodeIsOver(t *testing.T) {
	ends := map[string]func(t *testing.T, v visitor, id string){
		"a sign-out": func(t *testing.T, v visitor, _ string) { want(t, v.Post("/signout", nil), http.StatusSeeOther) },
		"a sign-out everywhere": func(t *testing.T, v visitor, id string) {
			want(t, v.s.stranger(v.s.replica()).Post("/out/"+id, nil), 200)
		},
		"a deletion": func(t *testing.T, v visitor, id string) {
			want(t, v.s.stranger(v.s.replica()).Post("/delete/"+id, nil), 200)
		},
		"a deletion and sign-out": func(t *testing.T, v visitor, id string) { v.Post("/delete/"+id, nil); v.Post("/signout", nil) },
		"another sign-in": func(t *testing.T, v visitor, _ string) {
			want(t, v.enter(v.mustAsk(ann).Code), http.StatusSeeOther) // to the same account, with another session
			v.Post("/signout", nil)
		},
		"an unlinking": func(t *testing.T, v visitor, _ string) {
			want(t, v.Post("/unlink", url.Values{"email": {ann}}), http.StatusOK)
		},
	}
	for startName, start := range starts {
		for endName, end := range ends {
			t.Run(startName+", "+endName, func(t *testing.T) {
				if endName == "an unlinking" && startName != "a member" {
					t.Skip("the last identity stays") // not a part that is missing: there is nothing to try
				}
				s := newWorld(t)
				replicas := []http.Handler{s.replica(), s.replica()}
				v := start(s, replicas[0])
				typed := v.mustAsk(ann).Code
				before := v.plant()
				want(t, v.enter(typed), http.StatusSeeOther)
				after := v.plant()
				id, _ := v.whoami()
				end(t, v.on(replicas[0]), id)
				owner, changes := s.owner("email", ann), s.changes()
				for name, second := range map[string]visitor{"the browser": v, "the cookies of before": before, "those of between": after} {
					for _, replica := range replicas {
						session := second.session()
						want(t, second.on(replica).enter(typed), http.StatusUnauthorized)
						if got := s.lastReason(); got != "code_over" && got != "session_ended" {
							t.Errorf("%s: got reason %q", name, got)
						}
						if got := second.session(); got != session {
							t.Errorf("%s: got session %s in place of %s", name, got, session)
						}
					}
				}
				if got := s.owner("email", ann); got != owner || s.changes() != changes {
					t.Errorf("the address went from %s to %s, in %d changes", owner, got, s.changes()-changes)
				}
				if endName == "an unlinking" && owner != uuid.Nil {
					t.Error("it was not unlinked")
				}
			})
		}
	}
}

// TestSignOutEndsCodes holds that a code that was sent, and the address it went to,
// are over with a sign-out in that browser: for the next visitor, on every replica.
func TestSignOutEndsCodes(t *testing.T) {
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			s := newWorld(t)
			replicas := []http.Handler{s.replica(), s.replica()}
			v := start(s, replicas[0])
			typed := v.mustAsk(ann).Code
			v.Visit("/")
			v.Post("/act", nil)
			if got := v.Fetch("/pending"); got.StatusCode != http.StatusOK {
				t.Fatalf("before: got %d", got.StatusCode)
			}
			want(t, v.on(replicas[1]).Post("/signout", nil), http.StatusSeeOther)
			for _, got := range v.Cookies() {
				if got.Name != "__Host-walkin.device" { // which opens nothing
					t.Errorf("got a jar with %v", got)
				}
			}
			owner := s.owner("email", ann)
			for _, next := range []func(){func() {}, func() { v.Visit("/") }, func() { v.Post("/act", nil) }} {
				next()
				for _, replica := range replicas {
					if got := v.on(replica).Fetch("/pending"); got.StatusCode != http.StatusNotFound {
						t.Errorf("after: got %d %s", got.StatusCode, body(t, got))
					}
					want(t, v.on(replica).enter(typed), http.StatusUnauthorized)
				}
			}
			if got := s.owner("email", ann); got != owner {
				t.Errorf("the address went from %s to %s", owner, got)
			}
		})
	}
}

// TestSignOutWhileInUse holds that a code which is on its way while its visitor signs
// out signs in no user.
func TestSignOutWhileInUse(t *testing.T) {
	for _, name := range []string{"a guest", "a member", "the owner"} {
		s := newWorld(t)
		site := s.replica()
		s.stranger(site).enter("")
		owns := s.stranger(site)
		owns.enter(owns.mustAsk(ann).Code) // so there is an account to sign in to
		v := starts[name](s, site)
		typed := v.mustAsk(ann).Code
		s.over = &slow{Store: s.store, before: func() { v.plant().on(site).Post("/signout", nil) }}
		want(t, v.on(s.replica()).enter(typed), http.StatusUnauthorized)
		if _, permanent := v.whoami(); permanent {
			t.Errorf("%s: signed in", name)
		}
	}
}

// TestSentAgain holds that another code keeps the password that was chosen with the
// first, for the browser that chose it and the address it was chosen for alone. Others
// are asked for a password, as without one.
func TestSentAgain(t *testing.T) {
	first, again := url.Values{"email": {ann}, "password": {secret}}, url.Values{"email": {ann}, "again": {"1"}}
	for _, tt := range []struct {
		name   string
		before url.Values
		again  url.Values
		status int
	}{
		{"by the browser that chose it", first, again, http.StatusSeeOther},
		{"as a new form", first, url.Values{"email": {ann}}, http.StatusUnprocessableEntity},
		{"for another address", first, url.Values{"email": {"bob@example.com"}, "again": {"1"}}, http.StatusUnprocessableEntity},
		{"after another address", url.Values{"email": {"bob@example.com"}, "password": {secret}}, again, http.StatusUnprocessableEntity},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newWorld(t)
			site := s.replica()
			v := s.anonymous(site)
			want(t, v.Post("/join/send", tt.before), http.StatusSeeOther)
			r := v.Post("/join/send", tt.again)
			want(t, r, tt.status)
			if tt.status != http.StatusSeeOther {
				return
			}
			if to := r.Header.Get("Location"); to != "/join?again=1" {
				t.Errorf("it leads to %q", to)
			}
			want(t, v.Post("/join", url.Values{"code": {s.mail.last(t, ann).Code}}), http.StatusSeeOther)
			want(t, s.stranger(site).Post("/login", first), http.StatusSeeOther)
		})
	}
	t.Run("at a form without a password", func(t *testing.T) {
		s := newWorld(t)
		site := s.replica()
		v := s.anonymous(site)
		want(t, v.Post("/join/send", first), http.StatusSeeOther)
		want(t, v.Post(sendPath, again), http.StatusSeeOther)
		want(t, v.enter(s.mail.last(t, ann).Code), http.StatusSeeOther)
		want(t, s.stranger(site).Post("/login", first), http.StatusUnauthorized)
	})
	t.Run("after the last try", func(t *testing.T) {
		s := newWorld(t)
		v := s.anonymous(s.replica())
		want(t, v.Post("/join/send", first), http.StatusSeeOther)
		for range 5 {
			want(t, v.Post("/join", url.Values{"code": {other(s.mail.last(t, ann).Code)}}), http.StatusUnauthorized)
		}
		want(t, v.Post("/join/send", again), http.StatusUnprocessableEntity)
	})
	t.Run("in a session that was planted", func(t *testing.T) {
		s := newWorld(t)
		site := s.replica()
		attacker := s.anonymous(site)
		victim := attacker.plant().on(site)
		want(t, attacker.Post("/join/send", url.Values{"email": {ann}, "password": {eves}}), http.StatusSeeOther)
		want(t, victim.Post("/join/send", again), http.StatusUnprocessableEntity)
	})
}
