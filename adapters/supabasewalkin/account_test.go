package supabasewalkin_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
)

func TestLogout(t *testing.T) {
	s := newSite(t)
	first := s.upgraded("ann@example.com")
	in := func() *client {
		t.Helper()
		s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 200, "")
		return (&client{site: s}).take(s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"email"}`))
	}
	second, third := in(), in()
	s.post("/logout?scope=local", second.access, "").want(t, 204, "")
	s.get("/user", second.access).want(t, 403, "session_not_found")
	s.get("/user", first.access).want(t, 200, "")
	s.post("/logout?scope=others", third.access, "").want(t, 204, "")
	s.get("/user", first.access).want(t, 403, "session_not_found")
	s.get("/user", third.access).want(t, 200, "")
	fourth := in()
	s.post("/logout", third.access, "").want(t, 204, "")
	s.get("/user", fourth.access).want(t, 403, "session_not_found")
	s.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+fourth.refresh+`"}`).want(t, 400, "refresh_token_not_found")
	s.post("/logout?scope=what", in().access, "").want(t, 400, "validation_failed")
}

// TestAdmin holds what the operator's calls do, and that no password signs in by an
// address that was never proven.
func TestAdmin(t *testing.T) {
	s := newSite(t)
	a := s.post("/admin/users", secretKey, `{"email":"bob@example.com","password":"four words in a row","app_metadata":{"plan":"x"}}`).want(t, 200, "")
	id := a.str("id")
	in := `{"email":"bob@example.com","password":"four words in a row"}`
	s.post("/token?grant_type=password", "", in).want(t, 400, "email_not_confirmed")
	s.do(request{method: "PUT", path: "/admin/users/" + id, token: secretKey, body: `{"email_confirm":true,"user_metadata":{"a":1}}`}).want(t, 200, "")
	c := (&client{site: s}).take(s.post("/token?grant_type=password", "", in))
	if u := s.get("/user", c.access); u.str("app_metadata", "plan") != "x" || u.str("email_confirmed_at") == "" {
		t.Errorf("got %s", u.text)
	}
	s.do(request{method: "PUT", path: "/admin/users/" + id, token: secretKey, body: `{"ban_duration":"24h"}`}).want(t, 200, "")
	s.post("/token?grant_type=password", "", in).want(t, 400, "user_banned")
	s.get("/user", c.access).want(t, 403, "user_banned")
	s.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+c.refresh+`"}`).want(t, 400, "user_banned")
	s.do(request{method: "PUT", path: "/admin/users/" + id, token: secretKey, body: `{"ban_duration":"none"}`}).want(t, 200, "")
	s.get("/user", c.access).want(t, 200, "")

	link := s.post("/admin/generate_link", secretKey, `{"email":"eve@example.com","type":"signup","password":"four words in a row"}`).want(t, 200, "")
	eve := s.post("/verify", "", `{"token_hash":"`+link.str("hashed_token")+`","type":"signup"}`).want(t, 200, "")
	if eve.str("user", "id") != link.str("id") {
		t.Errorf("got the user %s, want %s", eve.str("user", "id"), link.str("id"))
	}
	invited := s.post("/invite", secretKey, `{"email":"ivy@example.com"}`).want(t, 200, "")
	if invited.str("invited_at") == "" || s.last().Kind != "invite" {
		t.Errorf("got %s", invited.text)
	}
	s.do(request{method: "DELETE", path: "/admin/users/" + id, token: secretKey}).want(t, 200, "")
	s.get("/user", c.access).want(t, 403, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.admin, " "); got != "create_user update_user update_user update_user generate_link invite delete_user" {
		t.Errorf("the operator was told %s", got)
	}
}

// TestInviteAgain holds that an invitation can be repeated until its address is proven,
// for the same user, and that the operator hears of one that could not be sent.
func TestInviteAgain(t *testing.T) {
	broken := true
	s := newSite(t, func(_ *walkin.Config, c *supabasewalkin.Config) {
		send := c.Send
		c.Send = func(ctx context.Context, m supabasewalkin.Message) error {
			if broken {
				return errors.New("no mail today")
			}
			return send(ctx, m)
		}
	})
	const ivy = `{"email":"ivy@example.com"}`
	s.post("/invite", secretKey, ivy).want(t, 422, "email_address_not_authorized")
	if len(s.admin) != 1 {
		t.Errorf("the operator was told %v", s.admin)
	}
	broken = false
	id := s.post("/invite", secretKey, ivy).want(t, 200, "").str("id")
	if again := s.post("/invite", secretKey, ivy).want(t, 200, "").str("id"); again != id {
		t.Errorf("got the user %s, want %s", again, id)
	}
	c := (&client{site: s}).take(s.post("/verify", "", `{"email":"ivy@example.com","token":"`+s.last().Code+`","type":"invite"}`))
	if c.id != id {
		t.Errorf("got the user %s, want %s", c.id, id)
	}
	s.post("/invite", secretKey, ivy).want(t, 422, "email_exists")
}

// TestAdminChanges holds that an address that a user has stays proven when an admin
// writes it again, that a number is confirmed as an address is, and that a new password
// ends the sessions of the old one.
func TestAdminChanges(t *testing.T) {
	s := newSite(t)
	change := func(id, body string) answer {
		t.Helper()
		return s.do(request{method: "PUT", path: "/admin/users/" + id, token: secretKey, body: body}).want(t, 200, "")
	}
	ann := s.upgraded("ann@example.com")
	s.put(ann.access, `{"password":"four words in a row"}`).want(t, 200, "")
	if u := change(ann.id, `{"email":"ann@example.com","user_metadata":{"a":1}}`); u.str("email_confirmed_at") == "" {
		t.Errorf("an address that was proven is not confirmed: %s", u.text)
	}
	ann.take(s.post("/token?grant_type=password", "", `{"email":"ann@example.com","password":"four words in a row"}`))
	change(ann.id, `{"email":"ann@example.com","password":"five other words in a row"}`)
	s.get("/user", ann.access).want(t, 403, "session_not_found")
	s.post("/token?grant_type=password", "", `{"email":"ann@example.com","password":"five other words in a row"}`).want(t, 200, "")

	in := `{"phone":"4930123456","password":"four words in a row"}`
	id := s.post("/admin/users", secretKey, in).want(t, 200, "").str("id")
	s.post("/token?grant_type=password", "", in).want(t, 400, "")
	if u := change(id, `{"phone_confirm":true}`); u.str("phone_confirmed_at") == "" {
		t.Errorf("got %s", u.text)
	}
	s.post("/token?grant_type=password", "", in).want(t, 200, "")
}

// TestVerified holds that what clients read about a user's addresses is true after each
// way by which one is proven, changed or written.
func TestVerified(t *testing.T) {
	type says struct{ Email, Phone, Identity any }
	of := func(u answer, provider string) (s says) {
		m, _ := u.body["user_metadata"].(map[string]any)
		s.Email, s.Phone = m["email_verified"], m["phone_verified"]
		identities, _ := u.body["identities"].([]any)
		for _, i := range identities {
			if i := i.(map[string]any); i["provider"] == provider {
				s.Identity = i["identity_data"].(map[string]any)[provider+"_verified"]
			}
		}
		return s
	}
	want := func(t *testing.T, u answer, provider string, want says) {
		t.Helper()
		if got := of(u, provider); got != want {
			t.Errorf("got %+v, want %+v, in %s", got, want, u.text)
		}
	}
	signUp := func(t *testing.T, by string, changes ...func(*walkin.Config, *supabasewalkin.Config)) *client {
		t.Helper()
		s := newSite(t, changes...)
		a := s.post("/signup", "", `{`+by+`,"password":"four words in a row"}`).want(t, 200, "")
		if a.str("access_token") == "" {
			kind := "signup"
			if strings.Contains(by, "phone") {
				kind = "sms"
			}
			a = s.post("/verify", "", `{`+by+`,"token":"`+s.last().Code+`","type":"`+kind+`"}`)
		}
		return (&client{site: s}).take(a)
	}
	const phone, mail = `"phone":"4930123456"`, `"email":"ann@example.com"`
	t.Run("a number, then an address", func(t *testing.T) {
		c := signUp(t, phone)
		want(t, c.get("/user", c.access), "phone", says{false, true, true})
		u := c.put(c.access, `{`+mail+`}`).want(t, 200, "")
		want(t, u, "phone", says{false, true, true})
		c.take(c.post("/verify", "", `{`+mail+`,"token":"`+c.last().Code+`","type":"email_change"}`))
		want(t, c.get("/user", c.access), "email", says{true, true, true})
		body, _ := base64.RawURLEncoding.DecodeString(strings.Split(c.access, ".")[1])
		if !strings.Contains(string(body), `"email_verified":true`) {
			t.Errorf("the token says %s", body)
		}
	})
	t.Run("an address, then a number", func(t *testing.T) {
		c := signUp(t, mail)
		want(t, c.get("/user", c.access), "email", says{true, false, true})
		c.put(c.access, `{`+phone+`}`).want(t, 200, "")
		c.take(c.post("/verify", "", `{`+phone+`,"token":"`+c.last().Code+`","type":"phone_change"}`))
		want(t, c.get("/user", c.access), "phone", says{true, true, true})
	})
	t.Run("autoconfirm", func(t *testing.T) {
		c := signUp(t, phone, autoconfirm)
		c.put(c.access, `{`+mail+`}`).want(t, 200, "")
		c.take(c.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+c.refresh+`"}`))
		want(t, c.get("/user", c.access), "email", says{true, true, true})
	})
	t.Run("an admin's", func(t *testing.T) {
		c := signUp(t, phone)
		put := func(body string) answer {
			t.Helper()
			return c.do(request{method: "PUT", path: "/admin/users/" + c.id, token: secretKey, body: body}).want(t, 200, "")
		}
		want(t, put(`{`+mail+`}`), "email", says{false, true, false})
		want(t, put(`{"email_confirm":true}`), "email", says{true, true, true})
	})
	t.Run("the user's own words", func(t *testing.T) {
		c := signUp(t, phone)
		u := c.put(c.access, `{"data":{"email_verified":true,"phone_verified":false}}`).want(t, 200, "")
		want(t, u, "phone", says{false, true, true})
	})
}

// TestProvenInPlace holds that an address which a user has proven in place of one that
// an admin wrote is proven, with the password chosen with it and no other's.
func TestProvenInPlace(t *testing.T) {
	s := newSite(t)
	signIn := func(address, password string) answer {
		t.Helper()
		return s.post("/token?grant_type=password", "", `{"email":"`+address+`","password":"`+password+`"}`)
	}
	begin := func(t *testing.T, number, address string) *client {
		t.Helper()
		s.post("/otp", "", `{"phone":"`+number+`"}`).want(t, 200, "")
		c := (&client{site: s}).take(s.post("/verify", "", `{"phone":"`+number+`","token":"`+s.last().Code+`","type":"sms"}`))
		s.do(request{method: "PUT", path: "/admin/users/" + c.id, token: secretKey, body: `{"email":"` + address + `"}`}).want(t, 200, "")
		return c
	}
	change := func(c *client, address, more string) {
		t.Helper()
		s.put(c.access, `{"email":"`+address+`"`+more+`}`).want(t, 200, "")
		id := c.id
		c.take(s.post("/verify", "", `{"email":"`+address+`","token":"`+s.last().Code+`","type":"email_change"}`))
		if u := s.get("/user", c.access); c.id != id || u.str("email") != address || u.str("email_confirmed_at") == "" {
			t.Errorf("got %s", u.text)
		}
	}
	t.Run("with a password", func(t *testing.T) {
		c := begin(t, "4930123456", "ann@example.com")
		change(c, "ann@new.example", "")
		s.put(c.access, `{"password":"four words in a row"}`).want(t, 200, "")
		signIn("ann@new.example", "four words in a row").want(t, 200, "")
		s.post("/invite", secretKey, `{"email":"ann@new.example"}`).want(t, 422, "email_exists")
	})
	t.Run("with the password of the number", func(t *testing.T) {
		c := begin(t, "4930123457", "bob@example.com")
		s.put(c.access, `{"password":"five other words in a row"}`).want(t, 200, "")
		signIn("bob@example.com", "five other words in a row").want(t, 400, "email_not_confirmed")
		change(c, "bob@new.example", "")
		signIn("bob@new.example", "five other words in a row").want(t, 200, "")
	})
	t.Run("not with a password that came with the old address", func(t *testing.T) {
		link := s.post("/admin/generate_link", secretKey, `{"email":"eve@example.com","type":"signup","password":"the words of a stranger"}`).want(t, 200, "")
		s.do(request{method: "PUT", path: "/admin/users/" + link.str("id"), token: secretKey, body: `{"phone":"4930123458","phone_confirm":true}`}).want(t, 200, "")
		s.post("/otp", "", `{"phone":"4930123458"}`).want(t, 200, "")
		c := (&client{site: s}).take(s.post("/verify", "", `{"phone":"4930123458","token":"`+s.last().Code+`","type":"sms"}`))
		change(c, "eve@new.example", "")
		signIn("eve@new.example", "the words of a stranger").want(t, 400, "invalid_credentials")
	})
}

// TestPermanentUser holds how a change of address and of password affects others who
// hold the account's sessions, and that a change that is refused is not made in part.
func TestPermanentUser(t *testing.T) {
	s := newSite(t)
	c := s.upgraded("ann@example.com")
	s.put(c.access, `{"password":"four words in a row"}`).want(t, 200, "")
	other := (&client{site: s}).take(s.post("/token?grant_type=password", "", `{"email":"ann@example.com","password":"four words in a row"}`))
	s.put(c.access, `{"password":"five other words in a row"}`).want(t, 200, "")
	s.get("/user", c.access).want(t, 200, "")
	s.get("/user", other.access).want(t, 403, "session_not_found")

	s.upgraded("bob@example.com")
	s.put(c.access, `{"email":"bob@example.com","password":"six more words in a row","data":{"a":1}}`).want(t, 422, "email_exists")
	if u := s.get("/user", c.access); u.body["user_metadata"].(map[string]any)["a"] != nil {
		t.Errorf("a change that was refused was made in part: %s", u.text)
	}
	s.post("/token?grant_type=password", "", `{"email":"ann@example.com","password":"five other words in a row"}`).want(t, 200, "")

	s.put(c.access, `{"email":"ann@new.example"}`).want(t, 200, "")
	id := c.id
	c.take(s.post("/verify", "", `{"email":"ann@new.example","token":"`+s.last().Code+`","type":"email_change"}`))
	if u := s.get("/user", c.access); c.id != id || u.str("email") != "ann@new.example" || len(u.body["identities"].([]any)) != 1 {
		t.Errorf("got %s", u.text)
	}
	s.post("/token?grant_type=password", "", `{"email":"ann@example.com","password":"five other words in a row"}`).want(t, 400, "invalid_credentials")
	s.post("/token?grant_type=password", "", `{"email":"ann@new.example","password":"five other words in a row"}`).want(t, 200, "")
	s.do(request{method: "DELETE", path: "/user/identities/" + s.get("/user", c.access).body["identities"].([]any)[0].(map[string]any)["identity_id"].(string), token: c.access}).
		want(t, 422, "single_identity_not_deletable")
}

// TestReauthenticate holds that an old proof changes no password, and that a nonce does,
// which goes to the user's number where they have no address.
func TestReauthenticate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := s.upgraded("ann@example.com")
		time.Sleep(20 * time.Minute)
		s.put(c.access, `{"password":"four words in a row"}`).want(t, 422, "reauthentication_needed")
		s.get("/reauthenticate", c.access).want(t, 200, "")
		s.put(c.access, `{"password":"four words in a row","nonce":"x"}`).want(t, 422, "reauthentication_not_valid")
		s.put(c.access, `{"password":"four words in a row","nonce":"`+s.last().Code+`"}`).want(t, 200, "")
		s.put(c.access, `{"password":"five words in a row","nonce":"`+s.last().Code+`"}`).want(t, 422, "reauthentication_not_valid")
		told := 0
		for _, e := range s.events {
			if e.Reason == supabasewalkin.ReasonOTPExpired {
				told++
			}
		}
		if told != 2 {
			t.Errorf("the operator was told of %d wrong nonces, want 2", told)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		broken := false
		s := newSite(t, func(_ *walkin.Config, c *supabasewalkin.Config) {
			send := c.SendSMS
			c.SendSMS = func(ctx context.Context, m supabasewalkin.Message) error {
				if broken {
					return errors.New("no SMS today")
				}
				return send(ctx, m)
			}
		})
		s.post("/otp", "", `{"phone":"4930123456"}`).want(t, 200, "")
		c := (&client{site: s}).take(s.post("/verify", "", `{"phone":"4930123456","token":"`+s.last().Code+`","type":"sms"}`))
		time.Sleep(20 * time.Minute)
		s.put(c.access, `{"password":"four words in a row"}`).want(t, 422, "reauthentication_needed")
		s.get("/reauthenticate", c.access).want(t, 200, "")
		if m := s.last(); m.To != "+4930123456" || m.Kind != "reauthentication" {
			t.Errorf("got %+v", m)
		}
		s.put(c.access, `{"password":"four words in a row","nonce":"`+s.last().Code+`"}`).want(t, 200, "")
		broken = true
		s.get("/reauthenticate", c.access).want(t, 422, "sms_send_failed")
		if !s.did(walkin.Refused, "send_failed") {
			t.Error("the operator was not told")
		}
	})
}

// TestPhone holds that numbers sign up, sign in by code and by password, as addresses do.
func TestPhone(t *testing.T) {
	s := newSite(t)
	s.post("/signup", "", `{"phone":"+4930123456","password":"four words in a row"}`).want(t, 200, "")
	in := `{"phone":"4930123456","password":"four words in a row"}`
	s.post("/token?grant_type=password", "", in).want(t, 400, "invalid_credentials")
	if m := s.last(); m.To != "+4930123456" || m.Link != "" {
		t.Errorf("got %+v", m)
	}
	c := (&client{site: s}).take(s.post("/verify", "", `{"phone":"4930123456","token":"`+s.last().Code+`","type":"sms"}`))
	again := (&client{site: s}).take(s.post("/token?grant_type=password", "", in))
	if u := s.get("/user", again.access); again.id != c.id || u.str("phone") != "4930123456" || u.str("phone_confirmed_at") == "" {
		t.Errorf("got %s", u.text)
	}
	s.put(again.access, `{"password":"five other words in a row"}`).want(t, 200, "")
	s.post("/token?grant_type=password", "", in).want(t, 400, "invalid_credentials")
}

// TestOnePassword holds that a user has one password, by whichever address they sign in:
// after a change the old one signs in nowhere.
func TestOnePassword(t *testing.T) {
	s := newSite(t)
	signIn := func(by, password string) answer {
		t.Helper()
		return s.post("/token?grant_type=password", "", `{`+by+`,"password":"`+password+`"}`)
	}
	const phone, mail, next = `"phone":"4930123456"`, `"email":"ann@example.com"`, `"email":"ann@new.example"`
	s.post("/signup", "", `{`+phone+`,"password":"four words in a row"}`).want(t, 200, "")
	c := (&client{site: s}).take(s.post("/verify", "", `{`+phone+`,"token":"`+s.last().Code+`","type":"sms"}`))
	s.put(c.access, `{`+mail+`}`).want(t, 200, "")
	c.take(s.post("/verify", "", `{`+mail+`,"token":"`+s.last().Code+`","type":"email_change"}`))
	signIn(mail, "four words in a row").want(t, 200, "")

	s.put(c.access, `{"password":"five other words in a row"}`).want(t, 200, "")
	for _, by := range []string{phone, mail} {
		signIn(by, "four words in a row").want(t, 400, "invalid_credentials")
		signIn(by, "five other words in a row").want(t, 200, "")
	}

	s.do(request{method: "PUT", path: "/admin/users/" + c.id, token: secretKey, body: `{"password":"six more words in a row"}`}).want(t, 200, "")
	for _, by := range []string{phone, mail} {
		signIn(by, "five other words in a row").want(t, 400, "invalid_credentials")
		signIn(by, "six more words in a row").want(t, 200, "")
	}

	s.do(request{method: "PUT", path: "/admin/users/" + c.id, token: secretKey, body: `{` + next + `,"email_confirm":true,"password":"seven more words in a row"}`}).want(t, 200, "")
	for _, by := range []string{phone, next} {
		signIn(by, "six more words in a row").want(t, 400, "invalid_credentials")
		signIn(by, "seven more words in a row").want(t, 200, "")
	}
}
