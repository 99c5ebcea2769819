package totp_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/totp"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

// A hooked store lets something happen before its next transaction, and changes what it
// reads of tickets.
type hooked struct {
	*memstore.Store
	before func()
	read   func(*store.Ticket)
	put    string // the key of the last ticket

	down bool // no ticket can be read

	ended, failEnds int // calls of DeleteSessions, and the one that fails
}

func (s *hooked) DeleteSessions(ctx context.Context, user, except uuid.UUID) error {
	if s.ended++; s.ended == s.failEnds {
		return errDown
	}
	return s.Store.DeleteSessions(ctx, user, except)
}

func (s *hooked) InTx(ctx context.Context, fn func(context.Context) error) error {
	if before := s.before; before != nil {
		s.before = nil
		before()
	}
	return s.Store.InTx(ctx, fn)
}

func (s *hooked) PutTicket(ctx context.Context, ticket store.Ticket) error {
	s.put = ticket.Key
	return s.Store.PutTicket(ctx, ticket)
}

func (s *hooked) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if s.down {
		return store.Ticket{}, errDown
	}
	ticket, err := s.Store.Ticket(ctx, key, now)
	return s.changed(ticket), err
}

func (s *hooked) TryTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	ticket, err := s.Store.TryTicket(ctx, key, now)
	return s.changed(ticket), err
}

func (s *hooked) changed(ticket store.Ticket) store.Ticket {
	if s.read != nil {
		s.read(&ticket)
	}
	return ticket
}

// hookedSite runs a test on a site over such a store, by a clock of its own.
func hookedSite(t *testing.T, test func(t *testing.T, s *site, st *hooked)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st := &hooked{Store: memstore.New()}
		test(t, newSite(t, st), st)
	})
}

// copied returns another browser with the same cookies.
func (b *browser) copied() *browser {
	other := b.s.browser()
	for _, c := range b.Cookies() {
		other.SetCookie(c.Name, c.Value)
	}
	return other
}

func (s *site) identity(provider, subject string) store.Identity {
	s.t.Helper()
	identity, err := s.store.Identity(s.t.Context(), provider, subject)
	ok(s.t, err)
	return identity
}

// TestHalvesMeet holds what becomes of a right code when something else happens between
// its check and the session: the first half of a double click, another sign-in of this
// browser, another use of the code, or the end of what it completes.
func TestHalvesMeet(t *testing.T) {
	for _, tt := range []struct {
		name   string
		meet   func(s *site, b *browser, p *phone, text string)
		status int
		reason string
	}{
		{"the first half, and the store is down then", func(s *site, b *browser, _ *phone, text string) {
			b.want(b.post("/factor", "code", text), 303, "")
			s.store.(*hooked).down = true
		}, 503, ""},
		{"the first half", func(s *site, b *browser, _ *phone, text string) { b.want(b.post("/factor", "code", text), 303, "") }, 303, ""},
		{"another code of this browser", func(s *site, b *browser, p *phone, _ string) {
			b.want(b.post("/factor", "code", p.recovery[0]), 303, "")
		}, 401, "factor_over"},
		{"another sign-in of this browser", func(s *site, b *browser, _ *phone, _ string) { b.want(b.signIn(bob, secret), 303, "") }, 401, "factor_over"},
		{"another browser's use of the code", func(s *site, _ *browser, _ *phone, text string) {
			other := s.half(ann)
			other.want(other.post("/factor", "code", text), 303, "")
		}, 401, "factor_used"},
		{"a new password", func(s *site, _ *browser, _ *phone, _ string) {
			ok(s.t, s.store.SetSecret(s.t.Context(), "email", ann, append(s.identity("email", ann).Secret, ' ')))
		}, 401, "factor_over"},
		{"another user has the identity", func(s *site, _ *browser, _ *phone, _ string) {
			moved := s.identity("email", ann)
			ok(s.t, s.store.DeleteIdentity(s.t.Context(), moved.UserID, "email", ann))
			moved.UserID = s.identity("email", bob).UserID
			ok(s.t, s.store.CreateIdentity(s.t.Context(), moved))
		}, 401, "factor_over"},
		{"the password is removed", func(s *site, _ *browser, _ *phone, _ string) {
			ok(s.t, s.store.DeleteIdentity(s.t.Context(), s.identity("email", ann).UserID, "email", ann))
		}, 401, "factor_over"},
		{"the factor is reset", func(s *site, _ *browser, _ *phone, _ string) {
			ok(s.t, s.factors[0].Reset(s.t.Context(), s.identity("email", ann).UserID))
		}, 404, "factor_off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hookedSite(t, func(t *testing.T, s *site, st *hooked) {
				s.withFactor(bob)
				_, p := s.withFactor(ann)
				b := s.half(ann)
				first, text := b.copied(), p.code(t)
				st.before = func() { tt.meet(s, first, p, text) }
				b.want(b.post("/factor", "code", text), tt.status, tt.reason)
				st.down = false
				if b.isPermanent() != (tt.status == 303) {
					t.Errorf("signed in: %t", b.isPermanent())
				}
				if tt.status == 303 && b.claims().SessionID != first.claims().SessionID {
					t.Error("the second half has a session of its own")
				}
			})
		})
	}
}

// TestHoldMeets holds that a half-proven sign-in uses up what proved it, and that what is
// no longer right when it is to be held is not held: not even where another one is.
func TestHoldMeets(t *testing.T) {
	hookedSite(t, func(t *testing.T, s *site, st *hooked) {
		s.withFactor(bob)
		_, p := s.withFactor(ann)
		mail := s.browser()
		mail.want(mail.post("/mail/send", "email", ann), 303, "")
		sent := s.mailed(ann)
		mail.want(mail.post("/mail", "code", sent), 303, "")
		mail.want(mail.get("/pending"), 200, "true")
		mail.want(mail.post("/factor", "code", p.code(t)), 303, "")
		session := mail.claims().SessionID
		if mail.post("/mail", "code", sent); strings.HasPrefix(mail.to, "/factor") || mail.claims().SessionID != session {
			t.Errorf("a code that was used leads to %q, opens another session, or ends it", mail.to)
		}
		mail.want(mail.get("/pending"), 200, "false")
		mail.want(mail.post("/signout"), 303, "")
		mail.want(mail.post("/mail/send", "email", ann), 303, "")
		sent = s.mailed(ann)
		mail.want(mail.post("/mail", "code", sent), 303, "")
		time.Sleep(10 * time.Second) // of a double click
		mail.want(mail.post("/mail", "code", sent), 401, "code_over")

		changed := func(address string) func() {
			return func() {
				ok(t, st.SetSecret(t.Context(), "email", address, append(s.identity("email", address).Secret, ' ')))
			}
		}
		b := s.browser()
		st.before = changed(ann)
		b.want(b.signIn(ann, secret), 401, "password_changed")
		b.want(b.get("/pending"), 200, "false")
		b.want(b.signIn(bob, secret), 303, "")
		st.before = changed(bob)
		b.want(b.signIn(bob, secret), 401, "password_changed")

		// The identity of another user, at the last moment.
		other := s.browser()
		st.before = func() {
			identity := s.identity("email", ann)
			ok(t, st.DeleteIdentity(t.Context(), identity.UserID, "email", ann))
			identity.UserID = s.identity("email", bob).UserID
			ok(t, st.CreateIdentity(t.Context(), identity))
		}
		if got := other.post("/hold"); got < 400 {
			t.Errorf("the identity of another user: got %d", got)
		}
		other.want(other.get("/pending"), 200, "false")
	})
}

// TestSessionsNotEnded holds that the recovery codes are shown though the data of ended
// sessions could not be ended, and that the operator is told then, and only then.
func TestSessionsNotEnded(t *testing.T) {
	for failEnds, fails := range []bool{false, true, true} { // the first call is that of the change itself
		hookedSite(t, func(t *testing.T, s *site, st *hooked) {
			b, other := s.browser(), s.browser()
			b.signUp(ann)
			other.want(other.signIn(ann, secret), 303, "")
			b.want(b.post("/factor/begin"), 200, "")
			b.want(b.get("/factor/set-up"), 200, "")
			p := &phone{key: keyIn(b)}
			s.events, st.ended, st.failEnds = nil, 0, failEnds
			got := b.post("/factor/confirm", "code", p.code(t))
			if on, _, _ := s.factors[0].On(t.Context(), s.identity("email", ann).UserID); on == other.isPermanent() {
				t.Errorf("call %d fails: on %t, and the other session goes on %t", failEnds, on, !on)
			}
			if failEnds == 1 {
				b.want(got, 503, "")
				return
			}
			b.want(got, 200, "")
			told := 0
			for _, e := range s.events {
				if e.Outcome == walkin.Failed && e.Reason == totp.ReasonSessions && errors.Is(e.Err, errDown) {
					told++
				} else if e.Outcome == walkin.Failed {
					t.Errorf("the operator is told %+v", e)
				}
			}
			if (told == 1) != fails {
				t.Errorf("the store fails %t: the operator is told %d times", fails, told)
			}
		})
	}
}

// TestSetUpMeets holds that the factor is turned on by the set-up that was confirmed, and
// that it is turned on once.
func TestSetUpMeets(t *testing.T) {
	for _, tt := range []struct {
		name   string
		meet   func(t *testing.T, s *site, st *hooked, b *browser)
		status int
		reason string
	}{
		{"begun again", func(_ *testing.T, _ *site, _ *hooked, b *browser) { b.want(b.post("/factor/begin"), 200, "") }, 404, "factor_set_up_over"},
		{"over", func(t *testing.T, _ *site, st *hooked, _ *browser) {
			_, err := st.TakeTicket(t.Context(), st.put, time.Now())
			ok(t, err)
		}, 404, "factor_set_up_over"},
		{"turned on", func(t *testing.T, s *site, st *hooked, _ *browser) { st.on(t, s) }, 409, "factor_on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hookedSite(t, func(t *testing.T, s *site, st *hooked) {
				b := s.browser()
				b.signUp(ann)
				b.want(b.post("/factor/begin"), 200, "")
				b.want(b.get("/factor/set-up"), 200, "")
				p := &phone{key: keyIn(b)}
				other := b.copied()
				st.before = func() { tt.meet(t, s, st, other) }
				b.want(b.post("/factor/confirm", "code", p.code(t)), tt.status, tt.reason)
				if on, _, _ := s.factors[0].On(t.Context(), s.identity("email", ann).UserID); on != (tt.name == "turned on") {
					t.Errorf("it is on: %t", on)
				}
			})
		})
	}
	t.Run("before the set-up is shown", func(t *testing.T) {
		hookedSite(t, func(t *testing.T, s *site, st *hooked) {
			b := s.browser()
			b.signUp(ann)
			b.want(b.post("/factor/begin"), 200, "")
			b.want(b.get("/factor/set-up"), 200, "")
			p := &phone{key: keyIn(b)}
			st.on(t, s)
			b.want(b.get("/factor/set-up"), 409, "factor_on")
			b.want(b.post("/factor/confirm", "code", p.code(t)), 409, "factor_on")
		})
	})
}

// on stores a factor of ann.
func (s *hooked) on(t *testing.T, of *site) {
	t.Helper()
	id := of.identity("email", ann).UserID
	ok(t, s.CreateIdentity(t.Context(), store.Identity{Provider: totp.Provider, Subject: id.String(), UserID: id, Secret: []byte("{}"), CreatedAt: time.Now()}))
}

// TestUnreadable holds that what is stored and cannot be read signs in no user and turns
// nothing on or off, and that it is the operator's matter.
func TestUnreadable(t *testing.T) {
	hookedSite(t, func(t *testing.T, s *site, st *hooked) {
		owner, p := s.withFactor(ann)
		plain := s.browser()
		plain.signUp(bob)
		plain.want(plain.post("/factor/begin"), 200, "")
		half := s.half(ann)

		st.read = func(ticket *store.Ticket) { ticket.Data = []byte("{") }
		half.want(half.get("/pending"), 200, "false")
		half.want(half.post("/factor", "code", p.code(t)), 500, "internal")
		plain.want(plain.get("/factor/set-up"), 500, "internal")
		plain.want(plain.post("/factor/confirm", "code", "123456"), 500, "internal")
		st.read = nil

		id := owner.claims().UserID
		record := s.identity(totp.Provider, id.String())
		ok(t, st.SetSecret(t.Context(), totp.Provider, id.String(), []byte("{")))
		half.want(half.post("/factor", "code", p.code(t)), 500, "internal")
		owner.want(owner.post("/factor/codes", "code", p.code(t)), 500, "internal")
		owner.want(owner.post("/factor/off", "code", p.code(t)), 500, "internal")
		if on, left, err := s.factors[0].On(t.Context(), id); on || left != 0 || err == nil {
			t.Errorf("got %t, %d, %v", on, left, err)
		}
		// The record of one user, under the name of another.
		ok(t, st.DeleteIdentity(t.Context(), id, totp.Provider, id.String()))
		ok(t, st.CreateIdentity(t.Context(), store.Identity{Provider: totp.Provider, Subject: id.String(), UserID: plain.claims().UserID, Secret: record.Secret}))
		half.want(half.post("/factor", "code", p.code(t)), 500, "internal")
		if on, _, err := s.factors[0].On(t.Context(), id); on || err == nil {
			t.Errorf("got %t, %v", on, err)
		}
		if half.isPermanent() {
			t.Error("it is signed in")
		}
	})
}

// TestHalfProvenVisitor holds that a sign-in which was begun without a user goes on when
// the visitor has become an anonymous user, and is over when what was proven is gone.
func TestHalfProvenVisitor(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		owner, p := s.withFactor(ann)
		b := s.half(ann)
		b.Visit("/")
		if c := b.claims(); !c.Anonymous || c.UserID == uuid.Nil {
			t.Fatalf("got %+v", c)
		}
		b.want(b.get("/pending"), 200, "true")
		b.want(b.post("/factor", "code", p.code(t)), 303, "")
		step()
		b = s.half(ann)
		ok(t, s.store.DeleteIdentity(t.Context(), owner.claims().UserID, "email", ann))
		b.want(b.post("/factor", "code", p.code(t)), 401, "factor_over")
	})
}

// TestLastTry holds that the sixth code of a half-proven sign-in is not looked at, from
// however many networks the five before came.
func TestLastTry(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		_, p := s.withFactor(ann)
		b := s.half(ann)
		from := func(i int) *browser {
			b.Client = b.From("192.0." + string(rune('2'+i)) + ".1:1")
			return b
		}
		for i := range 5 {
			b.want(from(i).post("/factor", "code", "000000"), 401, "factor_wrong")
		}
		b.want(from(6).post("/factor", "code", p.code(t)), 401, "factor_over")
	})
}

// TestGuessingInASession holds that wrong codes are limited for a user who is signed in
// without the factor, too.
func TestGuessingInASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := limit.New(0)
		s := newSite(t, nil, func(c *walkin.Config) { c.Limiter = shared })
		owner, p := s.withFactor(ann)
		owner.want(owner.post("/prove", "provider", "https://id.example", "subject", "ann", "method", "fed"), 200, "")
		b := s.browser()
		b.want(b.post("/prove", "provider", "https://id.example", "subject", "ann", "method", "fed"), 200, "")
		for range 5 {
			b.want(b.post("/factor", "code", "000000"), 401, "factor_wrong")
		}
		b.want(b.post("/factor", "code", p.code(t)), 429, "factor_limit")
		time.Sleep(3 * time.Minute) // 15 for five
		b.want(b.post("/factor", "code", p.code(t)), 303, "")
	})
}

// TestRightCodesDoNotCount holds that an owner may sign in more often than a thief may
// guess.
func TestRightCodesDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := limit.New(0)
		s := newSite(t, nil, func(c *walkin.Config) { c.Limiter = shared })
		owner, p := s.withFactor(ann)
		for range 8 {
			b := s.half(ann)
			b.want(b.post("/factor", "code", p.code(t)), 303, "")
			step()
		}
		for range 8 {
			owner.want(owner.post("/factor/codes", "code", p.code(t)), 200, "")
			step()
		}
	})
}

// TestHolds holds that a client which has the password cannot begin sign-ins without
// end, and that the owner's own browser still can.
func TestHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := limit.New(0)
		s := newSite(t, nil, func(c *walkin.Config) { c.Limiter = shared })
		owner, _ := s.withFactor(ann)
		for range 50 {
			s.half(ann)
		}
		b := s.browser()
		b.want(b.signIn(ann, secret), 429, "factor_limit")
		b.want(b.get("/pending"), 200, "false")
		owner.want(owner.post("/signout"), 303, "")
		owner.want(owner.signIn(ann, secret), 303, "")
		time.Sleep(72 * time.Second) // an hour for 50
		b.want(b.signIn(ann, secret), 303, "")
	})
}

// TestHoldOfAnotherSite holds that a request of another site is held for no browser.
func TestHoldOfAnotherSite(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		s.withFactor(ann)
		b := s.browser()
		r := b.NewRequest(http.MethodPost, "/hold", strings.NewReader(""))
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		b.want(b.read(b.at().Do(r)), 403, "")
		b.want(b.get("/pending"), 200, "false")
		b.want(b.post("/hold"), 303, "")
		b.want(b.get("/pending"), 200, "true")
	})
}

// TestNoCode holds that what is no code is refused as such by every form, and changes
// nothing.
func TestNoCode(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		owner, p := s.withFactor(ann)
		half, plain := s.half(ann), s.browser()
		plain.signUp(bob)
		plain.want(plain.post("/factor/begin"), 200, "")
		for path, b := range map[string]*browser{"/factor": half, "/factor/up": half, "/factor/confirm": plain, "/factor/codes": owner, "/factor/off": owner} {
			b.want(b.post(path, "code", "what?"), 422, "factor_missing")
			b.want(b.read(b.at().Post(path, map[string][]string{"code": {"000000", p.code(t)}})), 400, "form_repeated")
			r := b.NewRequest(http.MethodPost, path, strings.NewReader("code=000000"))
			r.Header.Set("Content-Type", "text/plain")
			b.want(b.read(b.at().Do(r)), 415, "form_type")
		}
		half.want(half.post("/factor/up", "code", p.code(t)), 303, "") // as a sign-in does
		if !half.isPermanent() {
			t.Error("the code opens nothing at the form for signing up")
		}
	})
}

// TestWhoSeesSetUp holds for whom a set-up is shown.
func TestWhoSeesSetUp(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.want(b.get("/factor/set-up"), 401, "no_user")
		b.Visit("/")
		b.want(b.get("/factor/set-up"), 403, "anonymous")
		b.signUp(ann)
		b.want(b.get("/factor/set-up"), 200, `["","","",false]`)
		b.want(b.post("/factor/begin"), 200, "")
		time.Sleep(9 * time.Minute)
		b.want(b.get("/factor/set-up"), 200, "")
		time.Sleep(time.Minute)
		b.want(b.get("/factor/set-up"), 200, `["","","",false]`)
		time.Sleep(time.Second)
		b.want(b.get("/factor/set-up"), 403, "not_recent")
		b.want(b.signIn(ann, secret), 303, "")
		b.want(b.get("/factor/set-up"), 200, `["","","",false]`)
	})
}

// TestLongIssuer holds that a set-up which fits into no QR code is an error, and no page
// without one.
func TestLongIssuer(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		s.issuer = strings.Repeat("x", 3000)
		long, _ := s.replica()
		s.replicas = [2]http.Handler{long, long}
		b := s.browser()
		b.signUp(ann)
		b.want(b.post("/factor/begin"), 200, "")
		b.want(b.get("/factor/set-up"), 500, "internal")
	})
}

// TestOnAndReset holds what is told of users without the factor, and while the store is
// down.
func TestOnAndReset(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.signUp(ann)
		id := b.claims().UserID
		off := func() {
			t.Helper()
			if on, left, err := s.factors[0].On(t.Context(), id); on || left != 0 || err != nil {
				t.Errorf("got %t, %d, %v", on, left, err)
			}
			err := s.factors[0].Reset(t.Context(), id)
			if r, ok := errors.AsType[*walkin.Refusal](err); !ok || r.Reason != totp.ReasonOff || r.Status != 404 {
				t.Errorf("resetting what is off: got %v", err)
			}
		}
		off()
		b.turnOn()
		if on, left, err := s.factors[0].On(t.Context(), id); !on || left != 10 || err != nil {
			t.Errorf("got %t, %d, %v", on, left, err)
		}
		_, down := newSite(t, &failing{s.store, "delete"}).replica()
		if err := down.Reset(t.Context(), id); !errors.Is(err, errDown) {
			t.Errorf("while the store is down: got %v", err)
		}
		ok(t, s.factors[0].Reset(t.Context(), id))
		off()
	})
}

// TestLacks holds for which methods the factor is asked for, of a user who has it and of
// one who has not.
func TestLacks(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		owner, _ := s.withFactor(ann)
		plain := s.browser()
		plain.signUp(bob)
		for _, tt := range []struct {
			method string
			adds   bool
			want   bool
		}{
			{"mfa", false, false}, {"mfa", true, false}, {"hwk", false, false}, {"hwk", true, false}, {"swk", false, false}, {"swk", true, false},
			{"fed", false, false}, {"fed", true, true}, {"pwd", false, true}, {"pwd", true, true}, {"otp", false, true}, {"", false, true}, {"own", true, true},
		} {
			for id, want := range map[uuid.UUID]bool{owner.claims().UserID: tt.want, plain.claims().UserID: false} {
				if got, err := s.factors[0].Lacks(t.Context(), id, tt.method, tt.adds); got != want || err != nil {
					t.Errorf("%q, adds %t: got %t, %v, want %t", tt.method, tt.adds, got, err, want)
				}
			}
		}
	})
}

// TestWithoutPassword holds that a user whose password is gone still proves the factor,
// for the identity that is left.
func TestWithoutPassword(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		owner, p := s.withFactor(ann)
		owner.want(owner.post("/prove", "provider", "https://id.example", "subject", "ann", "method", "fed"), 200, "")
		ok(t, s.store.DeleteIdentity(t.Context(), owner.claims().UserID, "email", ann))
		b := s.browser()
		b.want(b.post("/prove", "provider", "https://id.example", "subject", "ann", "method", "fed"), 200, "")
		was := b.claims()
		b.want(b.post("/factor", "code", p.code(t)), 303, "")
		if c := b.claims(); c.Method != "mfa" || c.UserID != was.UserID || !c.ProvenAt.Equal(was.ProvenAt) {
			t.Errorf("got %+v, was %+v", c, was)
		}
	})
}

// A lister is a directory of users that were there when it was made.
type lister struct {
	store.Directory
	pages [][]uuid.UUID
	err   error // of the page behind the last
}

func (l lister) ListUsers(_ context.Context, q store.UserQuery) (page store.UserPage, err error) {
	n := len(q.After)
	if n == len(l.pages) {
		return page, l.err
	}
	for _, id := range l.pages[n] {
		page.Users = append(page.Users, store.ListedUser{User: store.User{ID: id}})
	}
	if n+1 < len(l.pages) || l.err != nil {
		page.Next = strings.Repeat("x", n+1)
	}
	return page, nil
}

// TestReseal holds that of the listed users those are encrypted again whose factor is
// under an older key, on all pages; that a user who is gone or has turned it off is no
// failure; and that one who cannot be read stops none behind them.
func TestReseal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &hooked{Store: memstore.New()}
		s := newSite(t, st)
		users := map[string]uuid.UUID{}
		for _, address := range []string{ann, bob, "carl@example.com"} {
			b, _ := s.withFactor(address)
			users[address] = b.claims().UserID
		}
		off := s.browser()
		off.signUp("dora@example.com")
		unreadable := users["carl@example.com"]
		ok(t, st.SetSecret(t.Context(), totp.Provider, unreadable.String(), []byte("{")))
		second := walkin.Key{ID: "2", Secret: []byte("another secret that is of this test")}
		now := newSite(t, st, func(c *walkin.Config) { c.Keys = []walkin.Key{second, firstKey} })
		end := errors.New("no more pages")
		list := lister{pages: [][]uuid.UUID{{uuid.Must(uuid.NewV7()), off.claims().UserID, unreadable, users[ann]}, nil, {users[bob]}}, err: end}
		n, err := now.factors[0].Reseal(t.Context(), list)
		if n != 2 || !errors.Is(err, end) || strings.Count(err.Error(), "cannot be read") != 1 || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("got %d, %v; want 2, and two errors", n, err)
		}
		list.err = nil
		if n, err := now.factors[0].Reseal(t.Context(), list); n != 0 || err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("again: got %d, %v; want 0, and what cannot be read", n, err)
		}
		ok(t, st.DeleteIdentity(t.Context(), unreadable, totp.Provider, unreadable.String()))
		if n, err := now.factors[0].Reseal(t.Context(), list); n != 0 || err != nil {
			t.Errorf("at last: got %d, %v", n, err)
		}
		// Encrypted under a key that is there no more.
		if n, err := newSite(t, st, func(c *walkin.Config) { c.Keys = []walkin.Key{firstKey} }).factors[0].Reseal(t.Context(), list); n != 0 || err == nil || strings.Count(err.Error(), "not encrypted under any key") != 2 {
			t.Errorf("without the key: got %d, %v", n, err)
		}
		for _, method := range []string{"lock", "read", "save"} {
			broken := newSite(t, &failing{st, method}, func(c *walkin.Config) { c.Keys = []walkin.Key{firstKey, second} })
			if n, err := broken.factors[0].Reseal(t.Context(), list); n != 0 || !errors.Is(err, errDown) {
				t.Errorf("a store that fails to %s: got %d, %v", method, n, err)
			}
		}
		s.half(ann) // with a key that decrypts
	})
}

// TestResealAgain holds that a user whose change the store began again, and who had been
// encrypted again by then, is not counted.
func TestResealAgain(t *testing.T) {
	hookedSite(t, func(t *testing.T, s *site, st *hooked) {
		s.withFactor(ann)
		second := walkin.Key{ID: "2", Secret: []byte("another secret that is of this test")}
		keys := func(c *walkin.Config) { c.Keys = []walkin.Key{second, firstKey} }
		other := newSite(t, st, keys)
		twice := &twice{st, func() {
			n, err := other.factors[0].Reseal(t.Context(), st.Store)
			if n != 1 || err != nil {
				t.Errorf("the other: got %d, %v", n, err)
			}
		}}
		if n, err := newSite(t, twice, keys).factors[0].Reseal(t.Context(), st.Store); n != 0 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

// A twice is a store that begins each transaction again, after something has happened.
type twice struct {
	store.Store
	between func()
}

func (s *twice) InTx(ctx context.Context, fn func(context.Context) error) error {
	again := errors.New("begin again")
	err := s.Store.InTx(ctx, func(ctx context.Context) error { return cmp.Or(fn(ctx), again) })
	if err != again {
		return err
	}
	s.between()
	return s.Store.InTx(ctx, fn)
}

var errDown = errors.New("the store is down")

// A failing store fails to lock a user, or to read, save or delete their factor.
type failing struct {
	store.Store
	what string
}

func (s *failing) LockUser(ctx context.Context, id uuid.UUID) (store.User, error) {
	if s.what == "lock" {
		return store.User{}, errDown
	}
	return s.Store.LockUser(ctx, id)
}

func (s *failing) DeleteIdentity(ctx context.Context, user uuid.UUID, provider, subject string) error {
	if s.what == "delete" {
		return errDown
	}
	return s.Store.DeleteIdentity(ctx, user, provider, subject)
}

func (s *failing) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	if s.what == "read" {
		return store.Identity{}, errDown
	}
	return s.Store.Identity(ctx, provider, subject)
}

func (s *failing) SetSecret(ctx context.Context, provider, subject string, secret []byte) error {
	if s.what == "save" {
		return errDown
	}
	return s.Store.SetSecret(ctx, provider, subject, secret)
}
