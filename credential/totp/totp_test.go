package totp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/totp"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

// timed runs a test by a clock of its own.
func timed(t *testing.T, test func(t *testing.T, s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newSite(t, nil)) })
}

// TestSignIn walks through the factor: it is turned on, a password alone leads to the
// code, and the code opens the session.
func TestSignIn(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		first, elsewhere := s.browser(), s.browser()
		first.signUp(ann)
		elsewhere.want(elsewhere.signIn(ann, secret), 303, "")
		before := first.claims()
		p := first.turnOn()
		after := first.claims()
		if after.UserID != before.UserID || after.SessionID == before.SessionID || after.Method != "mfa" {
			t.Errorf("turned on: got %+v, was %+v", after, before)
		}
		if elsewhere.isPermanent() {
			t.Error("a session from before the factor goes on")
		}
		if len(p.recovery) != 10 {
			t.Errorf("got recovery codes %q", p.recovery)
		}
		step()
		b := s.half(ann)
		b.want(b.get("/pending"), 200, "true")
		b.want(b.post("/factor", "code", p.code(t), "return_to", "/user"), 303, "")
		if b.to != "/user" {
			t.Errorf("the code leads to %q", b.to)
		}
		if c := b.claims(); c.UserID != before.UserID || c.Method != "mfa" || time.Since(c.ProvenAt) > time.Minute {
			t.Errorf("got %+v", c)
		}
		b.want(b.get("/pending"), 200, "false")
		b.want(b.get("/recent"), 200, "")
	})
}

// TestHalfProven holds that a right password opens nothing: not for any guard, not for
// what changes the account, and not for an anonymous user's own session.
func TestHalfProven(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		_, p := s.withFactor(ann)
		guest := s.browser()
		guest.Visit("/")
		was := guest.claims()
		guest.want(guest.signIn(ann, secret), 303, "")
		if now := guest.claims(); !now.Anonymous || now.UserID != was.UserID || now.SessionID != was.SessionID {
			t.Errorf("a half-proven sign-in changed who it was: %+v, was %+v", now, was)
		}
		b := s.half(ann)
		if b.Cookie(member) != "" || b.Cookie("__Host-walkin-device") != "" {
			t.Error("a half-proven sign-in got a cookie of a session, or of a known device")
		}
		b.want(b.get("/user"), 401, "")
		for _, path := range []string{"/permanent", "/recent"} {
			b.want(b.get(path), 401, "")
			guest.want(guest.get(path), 403, "")
		}
		for _, path := range []string{"/factor/begin", "/factor/confirm", "/factor/codes", "/factor/off", "/unlink", "/permanent", "/recent"} {
			if got := b.post(path, "code", p.code(t), "provider", "email", "subject", ann); got < 400 {
				t.Errorf("%s: got %d %s", path, got, b.body)
			}
		}
		if b.isPermanent() {
			t.Error("it is signed in")
		}
		guest.want(guest.post("/factor", "code", p.code(t)), 303, "")
		if c := guest.claims(); c.Anonymous {
			t.Errorf("the code opens nothing: %+v", c)
		}
	})
}

// TestEveryWayIn holds what each other way to sign in does with the factor on.
func TestEveryWayIn(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		owner, p := s.withFactor(ann)
		for _, method := range []string{"fed", "hwk"} {
			owner.want(owner.post("/prove", "provider", "https://id.example/"+method, "subject", "ann", "method", method), 200, "")
		}
		for _, tt := range []struct {
			method string
			half   bool
		}{{"fed", false}, {"hwk", false}} {
			b := s.browser()
			b.want(b.post("/prove", "provider", "https://id.example/"+tt.method, "subject", "ann", "method", tt.method), 200, "")
			if !b.isPermanent() {
				t.Errorf("%s: it is not signed in", tt.method)
			}
		}
		mail := s.browser()
		mail.want(mail.post("/mail/send", "email", ann), 303, "")
		sent := s.mailed(ann)
		mail.want(mail.post("/mail", "code", sent), 303, "")
		if !strings.HasPrefix(mail.to, "/factor?") || mail.isPermanent() {
			t.Errorf("a mailed code leads to %q, or signs in", mail.to)
		}
		mail.want(mail.post("/mail", "code", sent), 303, "") // the second half of a double click
		if !strings.HasPrefix(mail.to, "/factor?") || mail.isPermanent() {
			t.Errorf("again it leads to %q, or signs in", mail.to)
		}
		mail.want(mail.post("/factor", "code", p.code(t)), 303, "")
		if c := mail.claims(); c.Method != "mfa" {
			t.Errorf("got %+v", c)
		}
		other := s.browser()
		other.want(other.post("/prove", "provider", "app", "subject", "ann", "method", "pwd"), 200, "")
		if c := other.claims(); c.UserID == owner.claims().UserID {
			t.Error("an identity of the app's own, for a new user, is the owner's")
		}
	})
}

// TestAdding holds that a session without the factor adds no identity, and that a code
// makes up for it.
func TestAdding(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		owner, p := s.withFactor(ann)
		owner.want(owner.post("/prove", "provider", "https://id.example", "subject", "ann", "method", "fed"), 200, "")
		b := s.browser()
		b.want(b.post("/prove", "provider", "https://id.example", "subject", "ann", "method", "fed"), 200, "")
		add := func() int { return b.post("/prove", "provider", "passkey", "subject", "thief", "method", "hwk") }
		b.want(add(), 403, "factor_not_proven")
		b.want(b.post("/factor", "code", "000000"), 401, "factor_wrong")
		b.want(b.post("/factor", "code", p.code(t)), 303, "")
		b.want(add(), 200, "")
	})
}

// TestReplay holds that a code is accepted once, on both replicas together, and that a
// clock may be one step off and no more.
func TestReplay(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		_, p := s.withFactor(ann)
		one, two := s.half(ann), s.half(ann)
		seen := p.code(t)
		one.want(one.post("/factor", "code", seen), 303, "")
		two.want(two.post("/factor", "code", seen), 401, "factor_used")
		step()
		two.want(two.post("/factor", "code", seen), 401, "factor_used")
		late := p.code(t)
		step()
		two.want(two.post("/factor", "code", late), 303, "")
		for _, tt := range []struct {
			name string
			wait time.Duration
			want int
		}{{"a step late", 30 * time.Second, 303}, {"two steps late", time.Minute, 401}} {
			step()
			step()
			b, c := s.half(ann), p.code(t)
			time.Sleep(tt.wait)
			if got := b.post("/factor", "code", c); got != tt.want {
				t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
			}
		}
	})
}

// TestTogether holds that of 20 browsers with the same code one is let in, and so of 20
// with the same recovery code.
func TestTogether(t *testing.T) {
	timed(t, func(t *testing.T, s *site) { together(t, s) })
}

func together(t *testing.T, s *site) {
	owner := s.browser()
	owner.signUp(ann)
	p := owner.turnOn()
	for name, code := range map[string]func() string{"a code": func() string {
		next, err := nextCode(p.key)
		ok(t, err)
		return next
	}, "a recovery code": func() string { return p.recovery[3] }} {
		text := code()
		browsers := make([]*browser, 20)
		for i := range browsers {
			browsers[i] = s.half(ann)
			// From a device that the owner knows, so that no limit decides.
			browsers[i].SetCookie("__Host-walkin-device", owner.Cookie("__Host-walkin-device"))
			browsers[i].turn = i
		}
		var in atomic.Int64
		var wg sync.WaitGroup
		for _, b := range browsers {
			wg.Go(func() {
				if r := b.at().Post("/factor", map[string][]string{"code": {text}}); r.StatusCode == http.StatusSeeOther {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 {
			t.Errorf("%s: %d were let in, want 1", name, in.Load())
		}
	}
}

// TestRecovery holds that each recovery code works once, however it is typed, and that
// new ones end the old.
func TestRecovery(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		owner, p := s.withFactor(ann)
		b := s.half(ann)
		b.want(b.post("/factor", "code", " "+strings.ToUpper(strings.ReplaceAll(p.recovery[0], "-", " "))), 303, "")
		b = s.half(ann)
		b.want(b.post("/factor", "code", p.recovery[0]), 401, "factor_wrong")
		if on, left, err := s.factors[0].On(t.Context(), owner.claims().UserID); !on || left != 9 || err != nil {
			t.Errorf("got %v, %d left, %v", on, left, err)
		}
		owner.want(owner.post("/factor/codes", "code", p.code(t)), 200, "")
		var fresh []string
		ok(t, json.Unmarshal([]byte(owner.body), &fresh))
		b.want(b.post("/factor", "code", p.recovery[1]), 401, "factor_wrong")
		b.want(b.post("/factor", "code", fresh[1]), 303, "")
		step()
		b = s.half(ann)
		b.want(b.post("/factor", "code", arabic.Replace(p.code(t))), 303, "")
		for _, junk := range []string{"", "12345", "1234567", "abcd-efgh-ijkl-mno1", "abcdef", strings.Repeat("a", 1000)} {
			b.want(b.post("/factor", "code", junk), 422, "factor_missing")
		}
		step()
		b = s.half(ann)
		text := p.code(t)
		b.want(b.post("/factor", "code", strings.Repeat(" ", 59)+text), 422, "factor_missing")
		b.want(b.post("/factor", "code", strings.Repeat(" ", 58)+text), 303, "")
	})
}

// What an Arabic keyboard writes.
var arabic = strings.NewReplacer("0", "٠", "1", "١", "2", "٢", "3", "٣", "4", "٤", "5", "٥", "6", "٦", "7", "٧", "8", "٨", "9", "٩")

// TestGuessing holds that wrong codes are limited for a user, however many browsers a
// thief of the password has, and that the owner's own browsers stay usable.
func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := limit.New(0)
		s := newSite(t, nil, func(c *walkin.Config) { c.Limiter = shared })
		owner, p := s.withFactor(ann)
		owner.want(owner.post("/signout"), 303, "")
		tries := 0
		for range 8 {
			thief := s.half(ann)
			for range 7 {
				if thief.post("/factor", "code", "000000"); thief.body == "factor_wrong" {
					tries++
				}
			}
		}
		if tries != 20 {
			t.Errorf("a thief of the password had %d tries from many networks, want 20", tries)
		}
		fresh := s.half(ann)
		fresh.want(fresh.post("/factor", "code", p.code(t)), 429, "factor_limit")
		owner.want(owner.signIn(ann, secret), 303, "")
		owner.want(owner.post("/factor", "code", "000000"), 401, "factor_wrong")
		owner.want(owner.post("/factor", "code", p.code(t)), 303, "")
		time.Sleep(24 * time.Hour)
		// One network, one browser: five.
		thief := s.half(ann)
		for range 5 {
			thief.want(thief.post("/factor", "code", "000000"), 401, "factor_wrong")
		}
		thief.want(thief.signIn(ann, secret), 303, "")
		thief.want(thief.post("/factor", "code", p.code(t)), 429, "factor_limit")
	})
}

// TestTries holds that a half-proven sign-in ends after five wrong codes, and after five
// minutes.
func TestTries(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		_, p := s.withFactor(ann)
		b := s.half(ann)
		for range 5 {
			b.want(b.post("/factor", "code", "000000"), 401, "factor_wrong")
		}
		time.Sleep(time.Hour)
		b = s.half(ann)
		time.Sleep(5*time.Minute + time.Second)
		b.want(b.post("/factor", "code", p.code(t)), 401, "factor_over")
	})
}

// TestOtherBrowser holds what a half-proven sign-in is bound to.
func TestOtherBrowser(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		_, p := s.withFactor(ann)
		s.withFactor(bob)
		for _, tt := range []struct {
			name string
			do   func(b *browser) *browser
		}{
			{"another browser", func(*browser) *browser { return s.browser() }},
			{"another browser with a user", func(*browser) *browser { b := s.browser(); b.Visit("/"); return b }},
			{"after a sign-out", func(b *browser) *browser { b.post("/signout"); return b }},
			{"after another user's password", func(b *browser) *browser { b.signIn(bob, secret); return b }},
			{"after a new password", func(b *browser) *browser {
				identity, err := s.store.Identity(t.Context(), "email", ann)
				ok(t, err)
				ok(t, s.store.SetSecret(t.Context(), "email", ann, append(identity.Secret, ' ')))
				t.Cleanup(func() { _ = s.store.SetSecret(context.Background(), "email", ann, identity.Secret) })
				return b
			}},
		} {
			b := tt.do(s.half(ann))
			if got := b.post("/factor", "code", p.code(t)); got != 401 || b.isPermanent() {
				t.Errorf("%s: got %d %s", tt.name, got, b.body)
			}
			if strings.HasPrefix(tt.name, "after a new") {
				break
			}
		}
	})
}

// TestEnds holds what ends the factor, and what does not.
func TestEnds(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		owner, p := s.withFactor(ann)
		id := owner.claims().UserID.String()
		owner.want(owner.post("/unlink", "provider", totp.Provider, "subject", id), 404, "no_identity")
		owner.want(owner.post("/unlink", "provider", "email", "subject", ann), 409, "last_identity")
		owner.want(owner.post("/prove", "provider", totp.Provider, "subject", id, "method", "mfa"), 422, "bad_identity")
		owner.want(owner.post("/factor/begin"), 409, "factor_on")
		owner.want(owner.post("/factor/off", "code", "000000"), 401, "factor_wrong")
		half := s.half(ann)
		owner.want(owner.post("/factor/off", "code", p.code(t)), 200, "")
		half.want(half.post("/factor", "code", p.code(t)), 404, "factor_off")
		b := s.browser()
		b.want(b.signIn(ann, secret), 303, "")
		if !b.isPermanent() {
			t.Error("without the factor a password does not sign in")
		}
		owner.want(owner.post("/factor/off", "code", p.code(t)), 404, "factor_off")

		step()
		p = owner.turnOn()
		time.Sleep(11 * time.Minute)
		for _, path := range []string{"/factor/off", "/factor/codes", "/factor/begin", "/factor/confirm"} {
			owner.want(owner.post(path, "code", p.code(t)), 403, "not_recent")
		}
		ok(t, s.factors[1].Reset(t.Context(), owner.claims().UserID))
		owner.want(owner.signIn(ann, secret), 303, "")
		if c := owner.claims(); c.Method != "pwd" {
			t.Errorf("after a reset: got %+v", c)
		}
	})
}

// TestDeleted holds that a deleted user's factor and half-proven sign-in are gone.
func TestDeleted(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		owner, p := s.withFactor(ann)
		half := s.half(ann)
		id := owner.claims().UserID
		owner.want(owner.post("/delete"), 200, "")
		half.want(half.post("/factor", "code", p.code(t)), 401, "factor_over")
		if _, err := s.store.Identity(t.Context(), totp.Provider, id.String()); err == nil {
			t.Error("the factor is still stored")
		}
	})
}

// TestTurningOn holds what turning on needs.
func TestTurningOn(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		for _, tt := range []struct {
			name   string
			start  func(b *browser)
			status int
			reason string
		}{
			{"a guest", func(b *browser) { b.Visit("/") }, 403, "anonymous"},
			{"no user", func(*browser) {}, 401, "no_user"},
			{"without a password", func(b *browser) {
				b.post("/prove", "provider", "https://id.example", "subject", "carl", "method", "fed")
			}, 409, "factor_no_password"},
			{"an old proof", func(b *browser) { b.signUp(bob); time.Sleep(time.Hour) }, 403, "not_recent"},
		} {
			b := s.browser()
			tt.start(b)
			if got := b.post("/factor/begin"); got != tt.status || b.body != tt.reason {
				t.Errorf("%s: got %d %s", tt.name, got, b.body)
			}
		}
		for i, tt := range []struct {
			provider, secret string
			want             int
		}{{"password", "x", 200}, {"email", "x", 200}, {"phone", "x", 200}, {"email", "", 409}, {"https://other.example", "x", 409}} {
			b := s.browser()
			b.want(b.post("/prove", "provider", "https://id.example", "subject", fmt.Sprint("dora", i), "method", "fed"), 200, "")
			ok(t, s.store.CreateIdentity(t.Context(), store.Identity{Provider: tt.provider, Subject: fmt.Sprint("dora", i), UserID: b.claims().UserID, Secret: []byte(tt.secret)}))
			if got := b.post("/factor/begin"); got != tt.want {
				t.Errorf("%s with the secret %q: got %d %s", tt.provider, tt.secret, got, b.body)
			}
		}
		b := s.browser()
		b.signUp(ann)
		b.want(b.post("/factor/confirm", "code", "123456"), 404, "factor_set_up_over")
		b.want(b.post("/factor/begin"), 200, "")
		b.want(b.get("/factor/begin"), 405, "")
		b.want(b.post("/factor/confirm", "code", "aaaa-aaaa-aaaa-aaaa"), 422, "factor_missing")
		b.want(b.post("/factor/confirm", "code", "000000"), 401, "factor_wrong")
		// Asked for only once: it is still off.
		other := s.browser()
		other.want(other.signIn(ann, secret), 303, "")
		if !other.isPermanent() {
			t.Error("a set-up that was not confirmed is asked for")
		}
		b.want(b.get("/factor/set-up"), 200, "")
		var shown []any
		ok(t, json.Unmarshal([]byte(b.body), &shown))
		if uri, svg := shown[1].(string), shown[2].(string); !strings.HasPrefix(uri, "otpauth://totp/Notes:ann@example.com?") || !strings.HasPrefix(svg, "<svg ") || len(shown[0].(string)) != 32 {
			t.Errorf("got %v", shown)
		} else if drawn := draw(t, uri); svg != drawn {
			t.Errorf("got the QR code %s, want %s", svg, drawn)
		}
	})
}

// draw draws a QR code, dark modules on a light square with four modules around them.
func draw(t *testing.T, text string) string {
	t.Helper()
	code, err := qr.Encode(text, qr.M, qr.Auto)
	ok(t, err)
	size, path := code.Bounds().Dx(), ""
	for y := range size {
		for x := range size {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				path += fmt.Sprintf("M%d %dh1v1h-1z", x+4, y+4)
			}
		}
	}
	side := size + 8
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[1]d" width="%[2]d" height="%[2]d" shape-rendering="crispEdges" aria-hidden="true">`+
		`<path fill="#fff" d="M0 0h%[1]dv%[1]dh-%[1]dz"/><path fill="#000" d="%[3]s"/></svg>`, side, 5*side, path)
}

// TestDoubleClick holds that the second half of a double click gets the session of the
// first, and only in its browser.
func TestDoubleClick(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		_, p := s.withFactor(ann)
		b := s.half(ann)
		copied := b.Cookies()
		text := p.code(t)
		b.want(b.post("/factor", "code", text), 303, "")
		first := b.claims().SessionID
		second := s.browser()
		for _, c := range copied {
			second.SetCookie(c.Name, c.Value)
		}
		guesses := s.browser()
		for _, c := range copied {
			guesses.SetCookie(c.Name, c.Value)
		}
		second.want(second.post("/factor", "code", "000000"), 401, "factor_over")
		second.want(second.post("/factor", "code", text), 303, "")
		if got := second.claims().SessionID; got != first {
			t.Errorf("got session %s, want %s", got, first)
		}
		for range 5 {
			guesses.want(guesses.post("/factor", "code", "000000"), 401, "factor_over")
		}
		guesses.want(guesses.post("/factor", "code", text), 401, "factor_over") // the tries are used up
		b.post("/signout")
		third := s.browser()
		for _, c := range copied {
			third.SetCookie(c.Name, c.Value)
		}
		if third.post("/factor", "code", text); third.isPermanent() {
			t.Error("after the sign-out it opens a session again")
		}
	})
}

// TestStored holds that a copy of the store makes no codes, and that keys rotate.
func TestStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		s := newSite(t, store)
		owner, p := s.withFactor(ann)
		id := owner.claims().UserID
		identity, err := store.Identity(t.Context(), totp.Provider, id.String())
		ok(t, err)
		for _, plain := range append([]string{p.key}, p.recovery...) {
			if strings.Contains(string(identity.Secret), plain) || strings.Contains(string(identity.Secret), strings.ToUpper(strings.ReplaceAll(plain, "-", ""))) {
				t.Errorf("%q is stored as it is", plain)
			}
		}
		// Another user's record is of no use.
		other := s.browser()
		other.signUp(bob)
		copied := identity
		copied.UserID, copied.Subject = other.claims().UserID, other.claims().UserID.String()
		ok(t, store.CreateIdentity(t.Context(), copied))
		b := s.half(bob)
		b.want(b.post("/factor", "code", p.code(t)), 500, "internal")
		ok(t, store.DeleteIdentity(t.Context(), copied.UserID, copied.Provider, copied.Subject))

		b = s.half(ann)
		b.want(b.post("/factor", "code", p.code(t)), 303, "")
		if was, is := sealed(t, identity), sealed(t, s.identity(totp.Provider, id.String())); was != is {
			t.Errorf("under its own key it was encrypted again: %s, was %s", is, was)
		}

		second := walkin.Key{ID: "2", Secret: []byte("another secret that is of this test")}
		in := func(keys ...walkin.Key) (*site, int) {
			now := newSite(t, store, func(c *walkin.Config) { c.Keys = keys })
			step()
			b := now.half(ann)
			return now, b.post("/factor", "code", p.code(t))
		}
		if _, got := in(second); got != 500 {
			t.Errorf("without its key: got %d", got)
		}
		now := newSite(t, store, func(c *walkin.Config) { c.Keys = []walkin.Key{second, firstKey} })
		if n, err := now.factors[0].Reseal(t.Context(), store); n != 1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if n, err := now.factors[0].Reseal(t.Context(), store); n != 0 || err != nil {
			t.Errorf("again: got %d, %v", n, err)
		}
		if _, got := in(second); got != 303 {
			t.Errorf("after Reseal: got %d", got)
		}
		both := newSite(t, store, func(c *walkin.Config) { c.Keys = []walkin.Key{firstKey, second} })
		b = both.half(ann)
		b.want(b.post("/factor", "code", "000000"), 401, "factor_wrong") // under the older key, too
		if _, got := in(firstKey, second); got != 303 {                  // and back, by a sign-in alone
			t.Errorf("with both: got %d", got)
		}
		if _, got := in(firstKey); got != 303 {
			t.Errorf("after a sign-in: got %d", got)
		}
		lost := newSite(t, store, func(c *walkin.Config) { c.Keys = []walkin.Key{second} })
		b = lost.half(ann)
		b.want(b.post("/factor", "code", p.recovery[5]), 303, "")
	})
}

// sealed returns the encrypted key of a record.
func sealed(t *testing.T, identity store.Identity) string {
	t.Helper()
	var record struct{ Sealed string }
	ok(t, json.Unmarshal(identity.Secret, &record))
	return record.Sealed
}

// TestExported holds that the export names the factor and shows none of it.
func TestExported(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		owner, _ := s.withFactor(ann)
		wk, err := walkin.New(walkin.Config{Keys: s.keys, Store: s.store})
		ok(t, err)
		export, err := wk.Export(t.Context(), owner.claims().UserID)
		ok(t, err)
		if !slices.ContainsFunc(export.Identities, func(i store.ExportedIdentity) bool { return i.Provider == totp.Provider && i.HasSecret }) {
			t.Errorf("got %+v", export.Identities)
		}
	})
}

// TestJSON holds that a page's own script signs in without following redirects.
func TestJSON(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		_, p := s.withFactor(ann)
		b := s.browser()
		send := func(path, body string) (int, map[string]any) {
			r := b.NewRequest(http.MethodPost, path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept", "application/json")
			var answer map[string]any
			status := b.read(b.at().Do(r))
			ok(t, json.Unmarshal([]byte(b.body), &answer))
			return status, answer
		}
		if status, answer := send("/signin", `{"email":"`+ann+`","password":"`+secret+`"}`); status != 401 || answer["code"] != "second_factor_required" {
			t.Errorf("got %d %v", status, answer)
		}
		if status, answer := send("/factor", `{"code":"`+p.code(t)+`"}`); status != 200 || answer["is_anonymous"] != false {
			t.Errorf("got %d %v", status, answer)
		}
	})
}

// TestByValue holds that a handler of the app's own proves by what it has read itself as
// the forms do, limits and other sites' requests included.
func TestByValue(t *testing.T) {
	timed(t, func(t *testing.T, s *site) {
		_, p := s.withFactor(ann)
		b := s.browser()
		send := func(change func(*http.Request), fields ...string) int {
			t.Helper()
			in := map[string]string{}
			for i := 0; i < len(fields); i += 2 {
				in[fields[i]] = fields[i+1]
			}
			body, err := json.Marshal(in)
			ok(t, err)
			r := b.NewRequest(http.MethodPost, "/value", bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			change(r)
			return b.read(b.at().Do(r))
		}
		own := func(*http.Request) {}
		b.want(send(own, "Name", "no address", "Password", secret), 422, "")
		b.want(send(own, "Name", ann, "Password", "a guess"), 401, "wrong_password")
		b.want(send(own, "Name", " Ann@EXAMPLE.com", "Password", secret), 303, "")
		b.want(send(own, "Factor", "what?"), 422, "factor_missing")
		b.want(send(func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Origin", "https://evil.example")
		}, "Factor", p.code(t)), 403, "")
		if b.isPermanent() {
			t.Fatal("half a proof signs in")
		}
		b.want(send(own, "Factor", p.code(t)), 200, "")
		if !b.isPermanent() {
			t.Error("the code does not sign in")
		}

		b = s.browser()
		b.want(b.post("/mail/send", "email", "bob@example.com"), 303, "")
		b.want(send(own, "Code", "12"), 422, "")
		b.want(send(own, "Code", s.mailed("bob@example.com")), 200, "")
		if !b.isPermanent() {
			t.Error("the mailed code does not sign in")
		}
		for range 30 {
			if send(own, "Name", ann, "Password", "a guess") == 429 {
				return
			}
		}
		t.Error("guesses by value are not limited")
	})
}

// TestConfig holds that New names every mistake.
func TestConfig(t *testing.T) {
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{firstKey}, Store: memstore.New()})
	ok(t, err)
	_, err = totp.New(wk, totp.Config{Issuer: "a:b", Page: "https://elsewhere.example"})
	for _, field := range []string{"Issuer", "Page"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	good := totp.Config{Issuer: "Notes", Page: "/factor"}
	if _, err := totp.New(nil, good); err == nil || !strings.HasPrefix(err.Error(), "walkin: totp: ") {
		t.Errorf("without a middleware: got %v", err)
	}
	for _, tt := range []struct {
		name   string
		change func(*totp.Config)
		want   string // in the error; empty is none
	}{
		{"the least", func(*totp.Config) {}, ""},
		{"no issuer", func(c *totp.Config) { c.Issuer = "" }, "Config.Issuer"},
		{"a colon", func(c *totp.Config) { c.Issuer = "a:b" }, "Config.Issuer"},
		{"no page", func(c *totp.Config) { c.Page = "" }, "Config.Page"},
		{"a page of its own directory", func(c *totp.Config) { c.Page = "factor" }, "Config.Page"},
		{"a page of another host", func(c *totp.Config) { c.Page = "//elsewhere.example" }, "Config.Page"},
		{"a page of another host, for browsers", func(c *totp.Config) { c.Page = `/\elsewhere.example` }, "Config.Page"},
		{"a page with a query", func(c *totp.Config) { c.Page = "/factor?a=b" }, "Config.Page"},
		{"no limit for a user", func(c *totp.Config) { c.PerUser = limit.Limit{Count: -1, Per: time.Hour} }, "Config.PerUser is"},
		{"no time for a network", func(c *totp.Config) { c.PerUserAndNetwork = limit.Limit{Count: 1} }, "Config.PerUserAndNetwork is"},
	} {
		cfg := good
		tt.change(&cfg)
		f, err := totp.New(wk, cfg)
		if tt.want == "" && (err != nil || f.Page() != "/factor") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
