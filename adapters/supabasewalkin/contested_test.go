package supabasewalkin_test

import (
	"net/http"
	"testing"
)

// TestContested holds that who asks for an address that another asks for gets nothing
// of the account, whichever code its owner types: a code shows who has the mailbox, and not
// whose request it came from.
func TestContested(t *testing.T) {
	const mine, theirs = "four words of the owner", "four words of a stranger"
	signUp := func(s *site, password string, cookies ...*http.Cookie) answer {
		h := http.Header{}
		for _, c := range cookies {
			h.Add("Cookie", c.Name+"="+c.Value)
		}
		return s.do(request{method: "POST", path: "/signup", body: `{"email":"ann@example.com","password":"` + password + `"}`, header: h}).want(t, 200, "")
	}
	otp := func(s *site) { s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 200, "") }
	verify := func(s *site) answer {
		return s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"signup"}`)
	}
	signsIn := func(s *site, password string, status int) {
		t.Helper()
		a := s.post("/token?grant_type=password", "", `{"email":"ann@example.com","password":"`+password+`"}`)
		if a.StatusCode != status {
			t.Errorf("%q: got %d, want %d", password, a.StatusCode, status)
		}
	}
	for name, tt := range map[string]struct {
		ask  func(s *site)
		mine int // what the owner's password gets
	}{
		"a stranger after the owner":        {func(s *site) { signUp(s, mine); signUp(s, theirs) }, 400},
		"a stranger before the owner":       {func(s *site) { signUp(s, theirs); signUp(s, mine) }, 400},
		"a stranger twice":                  {func(s *site) { signUp(s, mine); signUp(s, theirs); signUp(s, theirs) }, 400},
		"a stranger with a code in between": {func(s *site) { signUp(s, mine); otp(s); signUp(s, theirs) }, 400},
		"a stranger, and sent again": {func(s *site) {
			signUp(s, mine)
			signUp(s, theirs)
			s.post("/resend", "", `{"type":"signup","email":"ann@example.com"}`).want(t, 200, "")
		}, 400},
		"the owner twice": {func(s *site) { signUp(s, mine); signUp(s, mine) }, 200},
		"the owner, and sent again": {func(s *site) {
			signUp(s, mine)
			s.post("/resend", "", `{"type":"signup","email":"ann@example.com"}`).want(t, 200, "")
		}, 200},
		"the owner in one browser, with another password": {func(s *site) { signUp(s, mine, signUp(s, "four words misspelled").Cookies()...) }, 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			tt.ask(s)
			verify(s).want(t, 200, "")
			signsIn(s, theirs, 400)
			signsIn(s, mine, tt.mine)
		})
	}

	t.Run("a change of address with a password", func(t *testing.T) {
		s := newSite(t)
		ann, eve := s.anonymous(), s.anonymous()
		s.put(ann.access, `{"email":"ann@example.com"}`).want(t, 200, "")
		s.put(eve.access, `{"email":"ann@example.com","password":"`+theirs+`"}`).want(t, 200, "")
		s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"email_change"}`).want(t, 200, "")
		signsIn(s, theirs, 400)
		s.get("/user", eve.access).want(t, 403, "session_not_found")
		s.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+eve.refresh+`"}`).want(t, 400, "refresh_token_not_found")
	})
	t.Run("a change of a user who signs in otherwise too", func(t *testing.T) {
		s := newSite(t)
		eve, ann := s.upgraded("eve@example.com"), s.anonymous()
		s.put(ann.access, `{"email":"ann@example.com"}`).want(t, 200, "")
		s.put(eve.access, `{"email":"ann@example.com"}`).want(t, 200, "")
		s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"email_change"}`).want(t, 403, "otp_expired")
		// The owner asks again, and is who they were.
		s.put(ann.access, `{"email":"ann@example.com"}`).want(t, 200, "")
		a := s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"email_change"}`).want(t, 200, "")
		if a.str("user", "id") != ann.id {
			t.Errorf("got the user %s, want %s", a.str("user", "id"), ann.id)
		}
	})
	t.Run("their own change, twice", func(t *testing.T) {
		s := newSite(t)
		ann := s.upgraded("ann@example.com")
		for range 2 {
			s.put(ann.access, `{"email":"ann@new.example"}`).want(t, 200, "")
		}
		s.post("/verify", "", `{"email":"ann@new.example","token":"`+s.last().Code+`","type":"email_change"}`).want(t, 200, "")
	})
	t.Run("sent again by another browser", func(t *testing.T) {
		s := newSite(t)
		ann := s.anonymous()
		asked := s.put(ann.access, `{"email":"ann@example.com"}`).want(t, 200, "")
		s.post("/resend", "", `{"type":"email_change","email":"ann@example.com"}`).want(t, 200, "") // with a cookie of its own
		h := http.Header{}
		for _, c := range asked.Cookies() {
			h.Add("Cookie", c.Name+"="+c.Value)
		}
		a := s.do(request{method: "POST", path: "/verify", header: h, body: `{"email":"ann@example.com","token":"` + s.last().Code + `","type":"email_change"}`}).want(t, 200, "")
		if a.str("user", "id") != ann.id {
			t.Errorf("got the user %s, want %s", a.str("user", "id"), ann.id)
		}
	})
}
