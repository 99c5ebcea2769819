package code_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
)

// One code does it all: it upgrades an anonymous user, signs a visitor up and in, links an
// address to an account, and proves again who they are.
func TestOneCodeForEverything(t *testing.T) {
	s := newWorld(t)
	site := s.replica()

	t.Run("upgrade", func(t *testing.T) { // 13, same ID
		guest := s.anonymous(site)
		id, _ := guest.whoami()
		want(t, guest.ask(" Ann@Example.COM "), http.StatusSeeOther)
		message := s.mail.last(t, ann)
		if message.Owned || message.Kind != code.Email || message.ExpiresIn != 10*time.Minute {
			t.Errorf("got %+v", message)
		}
		guest.must(id, false)
		before := guest.plant().on(site)
		want(t, guest.enter(message.Code[:3]+" "+message.Code[3:]), http.StatusSeeOther)
		guest.must(id, true)
		before.must("", false)
		if s.owner("email", ann).String() != id {
			t.Error("the address is not theirs")
		}
	})
	annID := s.owner("email", ann).String()
	t.Run("sign in", func(t *testing.T) {
		nobody := s.stranger(site)
		message := nobody.mustAsk(ann)
		if !message.Owned {
			t.Error("the message does not say that there is an account")
		}
		want(t, nobody.Post("/signin", url.Values{"code": {message.Code}, "return_to": {"/notes"}}), http.StatusSeeOther)
		nobody.must(annID, true)
	})
	t.Run("sign up, at the form for signing in", func(t *testing.T) {
		nobody := s.stranger(site)
		message := nobody.mustAsk("new@example.com")
		if message.Owned {
			t.Error("the message says that there is an account")
		}
		want(t, nobody.Post("/signin", url.Values{"code": {message.Code}}), http.StatusSeeOther)
		nobody.must(s.owner("email", "new@example.com").String(), true)
	})
	t.Run("link, and prove anew", func(t *testing.T) {
		owner := s.stranger(site)
		want(t, owner.enter(owner.mustAsk(ann).Code), http.StatusSeeOther)
		want(t, owner.enter(owner.mustAsk("ann@home.example").Code), http.StatusSeeOther)
		want(t, owner.enter(owner.mustAsk(ann).Code), http.StatusSeeOther)
		owner.must(annID, true)
		if s.owner("email", "ann@home.example").String() != annID {
			t.Error("the second address is not theirs")
		}
		want(t, owner.enter(owner.mustAsk("new@example.com").Code), http.StatusConflict)
		owner.must(annID, true)
	})
	t.Run("phone", func(t *testing.T) {
		guest := s.anonymous(site)
		id, _ := guest.whoami()
		want(t, guest.Post("/phone/send", url.Values{"phone": {"+1 (415) 555-0123"}}), http.StatusSeeOther)
		message := s.mail.last(t, "+14155550123")
		want(t, guest.enter(message.Code), http.StatusUnauthorized) // a code for a phone is none for mail
		want(t, guest.Post("/phone", url.Values{"code": {message.Code}}), http.StatusSeeOther)
		guest.must(id, true)
		if s.owner("phone", "+14155550123").String() != id {
			t.Error("the number is not theirs")
		}
	})
	if got := s.reasons(); fmt.Sprint(got) != "[identity_taken code_over]" {
		t.Errorf("got refusals %v", got)
	}
}

// A visitor without a user makes no user by asking, and may have become a user by a
// page view when the code arrives.
func TestAskingMakesNoUser(t *testing.T) {
	s := newWorld(t)
	nobody := s.stranger(s.replica())
	message := nobody.mustAsk(ann)
	if id, _ := nobody.whoami(); id != "" {
		t.Errorf("got user %s", id)
	}
	nobody.Visit("/")
	id, _ := nobody.whoami()
	want(t, nobody.Post("/signin", url.Values{"code": {message.Code}}), http.StatusSeeOther)
	nobody.must(id, true)
}

// Scenario 7. Eve's session asks for a code to Ann's address, and Ann opens the
// link and presses what there is to press: Eve stays anonymous, and Ann who she is.
func TestConfirmForTheAttacker(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	attacker, victim := s.anonymous(site), s.anonymous(site)
	eveID, _ := attacker.whoami()
	annID, _ := victim.whoami()
	message := attacker.mustAsk(ann)
	link, err := url.Parse(message.Link)
	if err != nil {
		t.Fatal(err)
	}

	page := victim.Visit(link.RequestURI())
	want(t, page, http.StatusOK)
	if text := body(t, page); !contains(text, message.Code, "do not give the code to anyone") || contains(text, "<button>") {
		t.Errorf("the page elsewhere says %s", text)
	}
	want(t, victim.Post("/code", url.Values{"code": {message.Code}}), http.StatusUnauthorized)
	attacker.must(eveID, false)
	victim.must(annID, false)
	if s.owner("email", ann) != uuid.Nil {
		t.Error("the address belongs to somebody")
	}

	// The same when Ann has a code of her own: Eve's is not it.
	want(t, victim.ask(ann), http.StatusSeeOther)
	if own := s.mail.last(t, ann).Code; own != message.Code {
		want(t, victim.Post("/code", url.Values{"code": {message.Code}}), http.StatusUnauthorized)
		want(t, victim.Post("/code", url.Values{"code": {own}}), http.StatusSeeOther)
		victim.must(annID, true)
	}
	attacker.must(eveID, false)
}

// Scenario 8. An unproven address is in no identity, and a password that waits for the
// proof signs in no user; its owner gets her own account.
func TestPendingIsNothing(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	attacker := s.anonymous(site)
	want(t, attacker.Post("/join/send", url.Values{"email": {ann}, "password": {eves}}), http.StatusSeeOther)
	if s.owner("email", ann) != uuid.Nil || s.owner("password", ann) != uuid.Nil {
		t.Fatal("a pending address is in an identity")
	}
	login := func(password string) *http.Response {
		return s.stranger(site).Post("/login", url.Values{"email": {ann}, "password": {password}})
	}
	want(t, login(eves), http.StatusUnauthorized)

	victim := s.anonymous(site)
	annID, _ := victim.whoami()
	want(t, victim.enter(victim.mustAsk(ann).Code), http.StatusSeeOther)
	victim.must(annID, true)
	want(t, login(eves), http.StatusUnauthorized)
	if got := s.lastReason(); got != "unknown_name" {
		t.Errorf("got reason %q; an account without a password has none to guess", got)
	}
}

// E-mail and password in one step: the password counts from the moment on that
// the address is proven, and for the new account only.
func TestEmailAndPasswordInOneStep(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	guest := s.anonymous(site)
	id, _ := guest.whoami()
	login := func(password string) visitor {
		v := s.stranger(site)
		v.Post("/login", url.Values{"email": {"Ann@example.com"}, "password": {password}})
		return v
	}
	join := func(v visitor, password string) {
		t.Helper()
		want(t, v.Post("/join/send", url.Values{"email": {ann}, "password": {password}}), http.StatusSeeOther)
		want(t, v.Post("/join", url.Values{"code": {s.mail.last(t, ann).Code}}), http.StatusSeeOther)
	}
	want(t, guest.Post("/join/send", url.Values{"email": {ann}, "password": {"short"}}), http.StatusUnprocessableEntity)
	if len(s.mail.sent()) != 0 {
		t.Error("a code was sent for a password that will not do")
	}
	join(guest, secret)
	guest.must(id, true)
	login(secret).must(id, true)

	// A visitor who proves the address again is its owner, with the password that is
	// there: a form that was meant to sign up replaces none.
	owner := s.stranger(site)
	join(owner, "another password of hers")
	owner.must(id, true)
	login(secret).must(id, true)
	login("another password of hers").must("", false)
}

// Scenario 9. What was asked for before an upgrade by another method completes nothing
// after it, whether an anonymous user or a visitor without a user asked for it.
func TestOldPendingProof(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start func(*world, http.Handler) visitor
	}{
		{"a guest", (*world).anonymous},
		{"nobody", (*world).stranger},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newWorld(t)
			site := s.replica()
			v := tt.start(s, site)
			message := v.mustAsk(ann)
			before := v.plant().on(site)
			want(t, v.Post("/password", url.Values{"email": {"ann.b"}, "password": {secret}}), http.StatusSeeOther)
			id, _ := v.whoami()
			want(t, v.enter(message.Code), http.StatusUnauthorized)
			v.must(id, true)
			if tt.name == "a guest" {
				want(t, before.enter(message.Code), http.StatusUnauthorized)
			}
			if s.owner("email", ann) != uuid.Nil {
				t.Error("the old code attached the address")
			}
		})
	}
}

// Scenario 11. Two visitors, one address: each has a code, and both use it at
// once. One wins and keeps their ID; the other is told, or signed in, and never
// gets a 500.
func TestTwoVisitorsOneIdentity(t *testing.T) {
	s := newWorld(t)
	s.config = func(cfg *walkin.Config) { cfg.Conflict = walkin.ConflictReject }
	s.change = func(cfg *code.Config) { cfg.PerAddress.Count, cfg.PerAddress.Per = 100, time.Hour }
	replicas := []http.Handler{s.replica(), s.replica()}
	const n = 20
	type entry struct {
		visitor
		id, code string
	}
	var entries []entry
	for i := range n {
		v := s.anonymous(replicas[i%2]).from(i)
		id, _ := v.whoami()
		entries = append(entries, entry{v, id, v.mustAsk(ann).Code})
	}
	statuses := make([]int, n)
	var wg sync.WaitGroup
	for i, e := range entries {
		wg.Go(func() { statuses[i] = e.enter(e.code).StatusCode })
	}
	wg.Wait()
	winner := s.owner("email", ann).String()
	won := 0
	for i, e := range entries {
		if statuses[i] == http.StatusSeeOther {
			won++
			e.must(e.id, true)
			if e.id != winner {
				t.Error("the winner does not own the address")
			}
		} else if statuses[i] != http.StatusConflict {
			t.Errorf("got %d", statuses[i])
		} else {
			e.must(e.id, false)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

// Scenario 12. A double click is one click: both answers are good, and whichever
// the browser keeps, it is signed in.
func TestDoubleClick(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start func(*world, http.Handler) visitor
	}{
		{"a guest", (*world).anonymous},
		{"nobody", (*world).stranger},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 20 {
				s := newWorld(t)
				replicas := []http.Handler{s.replica(), s.replica()}
				v := tt.start(s, replicas[0])
				id, _ := v.whoami()
				typed := v.mustAsk(ann).Code
				var requests []*http.Request
				for range replicas {
					r := v.NewRequest(http.MethodPost, "/upgrade", form("code", typed))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					v.Carry(r)
					requests = append(requests, r)
				}
				responses := make([]*http.Response, len(requests))
				var wg sync.WaitGroup
				for i, r := range requests {
					wg.Go(func() {
						response, err := v.on(replicas[i]).Serve(r)
						if err != nil {
							t.Error(err)
						}
						responses[i] = response
					})
				}
				wg.Wait()
				owner := s.owner("email", ann).String()
				for _, response := range responses {
					want(t, response, http.StatusSeeOther)
					v.Keep(response)
					v.must(owner, true)
				}
				if id != "" && id != owner {
					t.Error("the ID changed")
				}
				// A slow one: the first answer has arrived before the second click.
				want(t, v.enter(typed), http.StatusSeeOther)
				v.must(owner, true)
			}
		})
	}
}

// Scenario 14. A hook that fails undoes everything: the visitor is the anonymous user they
// were, and the same code does it once the hook works, however long that takes.
func TestHookFails(t *testing.T) {
	for _, fail := range []struct {
		name string
		hook func() error
	}{
		{"error", func() error { return errors.New("the app's database is down") }},
		{"panic", func() error { panic("the app has a bug") }},
	} {
		t.Run(fail.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newWorld(t)
				broken := true
				s.config = func(cfg *walkin.Config) {
					cfg.Hooks.OnUpgrade = func(context.Context, walkin.Change) error {
						if broken {
							return fail.hook()
						}
						return nil
					}
				}
				v := s.anonymous(s.replica())
				id, _ := v.whoami()
				typed := v.mustAsk(ann).Code
				r := v.NewRequest(http.MethodPost, "/upgrade", form("code", typed))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				v.Carry(r)
				response, err := v.Serve(r)
				if err == nil {
					want(t, response, http.StatusInternalServerError)
					v.Keep(response)
				}
				v.must(id, false)
				if s.owner("email", ann) != uuid.Nil {
					t.Error("the address belongs to somebody")
				}
				broken = false
				time.Sleep(time.Minute)
				want(t, v.enter(typed), http.StatusSeeOther)
				v.must(id, true)
				time.Sleep(time.Minute)
				want(t, v.enter(typed), http.StatusUnauthorized) // and no more
			})
		})
	}
}

// Scenario 47. A code works once, for ten minutes, for five tries on all replicas
// together, and until the next one.
func TestCodes(t *testing.T) {
	t.Run("the sixth try", func(t *testing.T) {
		s := newWorld(t)
		replicas := []http.Handler{s.replica(), s.replica()}
		v := s.anonymous(replicas[0])
		typed := v.mustAsk(ann).Code
		for i := range 5 {
			want(t, v.on(replicas[i%2]).enter(other(typed)), http.StatusUnauthorized)
		}
		if got := s.lastReason(); got != "wrong_code_last" {
			t.Errorf("got reason %q", got)
		}
		want(t, v.enter(typed), http.StatusUnauthorized)
		if got := s.lastReason(); got != "code_over" {
			t.Errorf("got reason %q", got)
		}
	})
	t.Run("the fifth try", func(t *testing.T) {
		s := newWorld(t)
		v := s.anonymous(s.replica())
		typed := v.mustAsk(ann).Code
		for range 4 {
			want(t, v.enter(other(typed)), http.StatusUnauthorized)
		}
		for _, none := range []string{"", "12345", "1234567", "12345a", "１２３４５"} {
			want(t, v.enter(none), http.StatusUnprocessableEntity) // no code, and no try
		}
		want(t, v.enter(typed), http.StatusSeeOther)
	})
	t.Run("a hundred at once", func(t *testing.T) {
		s := newWorld(t)
		replicas := []http.Handler{s.replica(), s.replica()}
		v := s.anonymous(replicas[0])
		typed := v.mustAsk(ann).Code
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { v.on(replicas[i%2]).enter(other(typed)) })
		}
		wg.Wait()
		compared := 0
		for _, reason := range s.reasons() {
			if reason != "code_over" {
				compared++
			}
		}
		if compared != 5 {
			t.Errorf("%d guesses were compared, want 5", compared)
		}
		want(t, v.enter(typed), http.StatusUnauthorized)
	})
	t.Run("once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newWorld(t)
			v := s.stranger(s.replica())
			typed := v.mustAsk(ann).Code
			before := v.plant().on(s.replica())
			want(t, v.enter(typed), http.StatusSeeOther)
			// After the second half of a double click.
			time.Sleep(10 * time.Second)
			want(t, v.enter(typed), http.StatusUnauthorized)
			want(t, before.enter(typed), http.StatusUnauthorized)
		})
	})
	t.Run("ten minutes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newWorld(t)
			v := s.anonymous(s.replica())
			typed := v.mustAsk(ann).Code
			time.Sleep(10*time.Minute - time.Second)
			want(t, v.enter(other(typed)), http.StatusUnauthorized)
			if got := s.lastReason(); got != "wrong_code" {
				t.Errorf("got reason %q", got)
			}
			time.Sleep(time.Second)
			want(t, v.enter(typed), http.StatusUnauthorized)
			if got := s.lastReason(); got != "code_over" {
				t.Errorf("got reason %q", got)
			}
		})
	})
	t.Run("a resend", func(t *testing.T) {
		s := newWorld(t)
		v := s.anonymous(s.replica())
		first := v.mustAsk(ann).Code
		second := v.mustAsk(eve).Code
		for first == second { // one in a million
			second = v.mustAsk(eve).Code
		}
		want(t, v.enter(first), http.StatusUnauthorized)
		want(t, v.enter(second), http.StatusSeeOther)
		if s.owner("email", ann) != uuid.Nil || s.owner("email", eve) == uuid.Nil {
			t.Error("the first address was proven by the second code")
		}
	})
	t.Run("a resend by a new guest", func(t *testing.T) {
		s := newWorld(t)
		v := s.stranger(s.replica())
		first := v.mustAsk(ann).Code
		v.Visit("/")
		second := v.mustAsk(ann).Code
		for range 5 {
			want(t, v.enter(other(second)), http.StatusUnauthorized)
		}
		want(t, v.enter(first), http.StatusUnauthorized)
		if got := s.lastReason(); got != "code_over" {
			t.Errorf("got reason %q: one browser had two codes", got)
		}
	})
	t.Run("another browser", func(t *testing.T) {
		s := newWorld(t)
		site := s.replica()
		v, elsewhere := s.anonymous(site), s.anonymous(site)
		typed := v.mustAsk(ann).Code
		want(t, elsewhere.enter(typed), http.StatusUnauthorized)
		want(t, s.stranger(site).enter(typed), http.StatusUnauthorized)
		want(t, v.enter(typed), http.StatusSeeOther)
	})
}
