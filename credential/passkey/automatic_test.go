package passkey_test

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/internal/browser"
)

// unasked is what a browser answers that made a key without its user.
var unasked = twist{without: userPresent | userVerified}

// known returns a user who has proven a password a minute ago.
func (s *site) known() *person {
	s.t.Helper()
	p := s.person()
	p.Visit("/")
	want(s.t, p.act("/prove", map[string][]string{"name": {"ann"}}), http.StatusOK, "", "")
	s.told()
	time.Sleep(time.Minute)
	return p
}

// TestAutomatic holds that a browser which makes a key by itself adds it to an account
// that was proven a moment ago, and that nothing is proven by it: the session stays as
// old as it was, and the key's first use asks its user.
func TestAutomatic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		p := s.known()
		before := p.who()
		begun := p.at(1).post("register", []byte(`{"mediation":"conditional"}`))
		want(t, begun, http.StatusOK, "", "")
		if got := p.device.read(begun.body).PublicKey.AuthenticatorSelection; got.UserVerification != "preferred" || !got.RequireResidentKey {
			t.Errorf("the browser is asked for %+v", got)
		}
		made := p.device.create(begun.body, unasked)
		want(t, p.post("register-finish", made), http.StatusOK, "outcome", "linked")
		after := p.who()
		if after.ID != before.ID || after.Method != "pwd" || after.ProvenAt != before.ProvenAt || after.Session == before.Session {
			t.Errorf("got %+v after %+v", after, before)
		}
		s.mu.Lock()
		if !slices.ContainsFunc(s.events, func(e walkin.Event) bool { return e.Outcome == walkin.Linked && e.Provider == passkey.Provider }) {
			t.Errorf("the operator is told %+v", s.events)
		}
		s.mu.Unlock()
		want(t, p.at(1).post("register-finish", made), http.StatusGone, "", "")

		b := p.elsewhere()
		want(t, b.signIn(unasked), http.StatusUnauthorized, "", "")
		want(t, b.signIn(twist{without: userVerified}), http.StatusUnauthorized, "", "")
		want(t, b.at(1).signIn(twist{}), http.StatusOK, "outcome", "signed_in")
		if got := b.who(); got.ID != before.ID || got.Method != "hwk" {
			t.Errorf("got %+v by the key, want %s", got, before.ID)
		}
	})
}

// TestAutomaticRefused holds when a browser may not make a key by itself, and that a key
// which its user was to be asked for is none without.
func TestAutomaticRefused(t *testing.T) {
	automatic := []byte(`{"mediation":"conditional"}`)
	for _, tt := range []struct {
		name   string
		do     func(*testing.T, *site) answer
		status int
		reason string
	}{
		{"no user", func(t *testing.T, s *site) answer { return s.person().post("register", automatic) }, http.StatusUnauthorized, "no_user"},
		{"an anonymous user", func(t *testing.T, s *site) answer {
			p := s.person()
			p.Visit("/")
			p.act("/note", nil)
			s.told()
			return p.post("register", automatic)
		}, http.StatusForbidden, "anonymous"},
		{"an old proof", func(t *testing.T, s *site) answer {
			p := s.known()
			time.Sleep(time.Hour)
			return p.post("register", automatic)
		}, http.StatusForbidden, "not_recent"},
		{"a proof that grew old meanwhile", func(t *testing.T, s *site) answer {
			p := s.known()
			made := p.device.create(p.post("register", automatic).body, unasked)
			time.Sleep(time.Hour)
			return p.post("register-finish", made)
		}, http.StatusGone, "passkey_ceremony"},
		{"after a sign-out", func(t *testing.T, s *site) answer {
			p := s.known()
			made := p.device.create(p.post("register", automatic).body, unasked)
			p.holding(func() {}) // both replicas know the session
			p.act("/out", nil)
			s.told()
			return p.at(1).post("register-finish", made)
		}, http.StatusGone, "passkey_ceremony"},
		{"another browser", func(t *testing.T, s *site) answer {
			p := s.known()
			return p.elsewhere().post("register-finish", p.device.create(p.post("register", automatic).body, unasked))
		}, http.StatusGone, "passkey_ceremony"},
		{"a key that is made as if nobody had to be asked", func(t *testing.T, s *site) answer {
			p := s.known()
			return p.post("register-finish", p.device.create(p.begin("register"), unasked))
		}, http.StatusUnauthorized, "passkey_user_unverified"},
		{"an answer that is wrong otherwise", func(t *testing.T, s *site) answer {
			p := s.known()
			return p.post("register-finish", p.device.create(p.post("register", automatic).body, twist{without: userPresent | userVerified, with: backedUp}))
		}, http.StatusUnauthorized, "passkey_bad"},
		{"another kind of mediation", func(t *testing.T, s *site) answer {
			p := s.known()
			return p.post("register-finish", p.device.create(p.post("register", []byte(`{"mediation":"silent"}`)).body, unasked))
		}, http.StatusUnauthorized, "passkey_user_unverified"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.t = t
				want(t, tt.do(t, s), tt.status, "", "")
				if got := s.told(); !slices.Contains(got, tt.reason) {
					t.Errorf("the operator is told %q, want %q", got, tt.reason)
				}
			})
		})
	}
}

// TestBrowserAutomatic is a page that has a browser make a key by itself. Chromium asks
// its password manager first, which a virtual device has not: with one it answers never,
// and the page goes on all the same. Then the test answers for it.
func TestBrowserAutomatic(t *testing.T) {
	base, s := serve(t)
	window := browser.NewPage(t, browser.Start(t, "chromium"))
	ann := &tab{Tab: window.Chromium(), base: base}
	tell(ann, webauthn.Enable, webauthn.EnableParams{})
	ann.attach(webauthn.AuthenticatorTransportInternal)
	tell(ann, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `if (location.search.includes("incapable")) delete PublicKeyCredential.getClientCapabilities
			const later = self.setTimeout
			self.setTimeout = (f, ms) => ms < 5000 ? later(f, ms) : self.late = f
			const create = navigator.credentials.create.bind(navigator.credentials)
			navigator.credentials.create = ({mediation, ...o}) => {
				self.asked = mediation
				return create(location.search.includes("answers") ? o : {mediation, ...o})
			}`})
	ann.open("/")
	member, _ := ann.arrive("#prove button")
	if member.Method != "pwd" {
		t.Fatalf("got %+v", member)
	}
	leads := func() {
		t.Helper()
		window.Wait(`location.search == "?done" && document.readyState === "complete"`)
		if got := ann.who(); got.ID != member.ID || got.Method != "pwd" || got.ProvenAt != member.ProvenAt {
			t.Errorf("got %+v after %+v", got, member)
		}
	}
	ann.open("/automatic")
	window.Wait(`self.asked == "conditional"`)
	ask(ann, chromedp.Evaluate[any](`late(); null`))
	leads()
	if keys := s.keysOf(member.ID); len(keys) != 0 {
		t.Errorf("a browser that never answered has made %+v", keys)
	}
	ann.open("/automatic?answers")
	leads()
	if keys := s.keysOf(member.ID); len(keys) != 1 {
		t.Errorf("got %+v", keys)
	}
	ann.open("/automatic?answers") // the device has one
	leads()

	// A form that leads there, where the browser can.
	ann.open("/")
	window.Wait(`document.querySelector("#prove").return_to.value == "/automatic?return_to=%2F%3Fdone"`)
	ann.open("/automatic?incapable")
	leads()
	ann.open("/?incapable")
	if got := ask(ann, chromedp.Evaluate[string](`document.querySelector("#prove").return_to.value`)); got != "/?done" {
		t.Errorf("a form of a browser that cannot leads to %s", got)
	}
}
