package supabasewalkin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
	"github.com/walkin-go/walkin/limit"
)

// TestUpgradeByCode holds that the answer to verify carries the new tokens, and that
// the old ones end at once, without a grace period.
func TestUpgradeByCode(t *testing.T) {
	s := newSite(t)
	c := s.anonymous()
	a := s.put(c.access, `{"email":"Ann@Example.com"}`).want(t, http.StatusOK, "")
	if a.str("new_email") != "ann@example.com" || a.body["is_anonymous"] != true || a.str("email") != "" {
		t.Errorf("pending: got %s", a.text)
	}
	old := *c
	c.take(s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"email_change"}`))
	if c.id != old.id {
		t.Errorf("got the user %s, want %s", c.id, old.id)
	}
	if u := s.get("/user", c.access).want(t, 200, ""); u.body["is_anonymous"] != false || u.str("email") != "ann@example.com" || u.str("new_email") != "" {
		t.Errorf("got %s", u.text)
	}
	s.get("/user", old.access).want(t, 403, "session_not_found")
	s.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+old.refresh+`"}`).want(t, 400, "refresh_token_not_found")
	s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"email_change"}`).want(t, 403, "otp_expired")
}

// TestUpgradeUnproven holds what Autoconfirm opens. The old access token reads its user
// as it was, by GET /user and nowhere else. The old refresh token is valid once.
func TestUpgradeUnproven(t *testing.T) {
	s := newSite(t, autoconfirm)
	c := s.anonymous()
	a := s.put(c.access, `{"email":"ann@example.com"}`).want(t, 200, "")
	if a.str("id") != c.id || a.str("email") != "ann@example.com" || a.body["is_anonymous"] != false {
		t.Errorf("got %s", a.text)
	}
	u := s.get("/user", c.access).want(t, 200, "")
	if u.body["is_anonymous"] != true || strings.Contains(u.text, "ann@example.com") {
		t.Errorf("the old token reads %s", u.text)
	}
	s.put(c.access, `{"data":{"k":1}}`).want(t, 403, "session_not_found")
	s.post("/logout", c.access, "").want(t, 403, "session_not_found")
	old := *c
	c.take(s.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+c.refresh+`"}`))
	if c.id != old.id || s.get("/user", c.access).str("email") != "ann@example.com" {
		t.Error("the new session is another's")
	}
	s.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+old.refresh+`"}`).want(t, 400, "refresh_token_already_used")
	if !s.did(walkin.Refused, "refresh_token_reused") {
		t.Error("the operator was not told")
	}
	s.get("/user", c.access).want(t, 403, "session_not_found")
	s.get("/user", old.access).want(t, 403, "session_not_found")
}

// race has 20 anonymous users ask for one address at once, on all sites in turn.
func race(t *testing.T, sites ...*site) {
	t.Helper()
	clients := make([]*client, 20)
	for i := range clients {
		clients[i] = sites[i%len(sites)].anonymous()
	}
	answers := make([]answer, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() { answers[i] = c.put(c.access, `{"email":"ann@example.com"}`) })
	}
	wg.Wait()
	count := map[string]int{}
	for _, a := range answers {
		count[fmt.Sprint(a.StatusCode, " ", a.str("code"))]++
	}
	if count["200 "] != 1 || count["422 email_exists"] != 19 {
		t.Errorf("got %v, want one 200 and 19 422", count)
	}
}

func TestRaceForOneAddress(t *testing.T) {
	s := newSite(t, autoconfirm)
	race(t, s)
}

// TestTakenMeanwhile holds that an anonymous user whose address another user has proven
// in the meantime is told so, and is not signed in to that user.
func TestTakenMeanwhile(t *testing.T) {
	s := newSite(t)
	c := s.anonymous()
	s.put(c.access, `{"email":"ann@example.com"}`).want(t, 200, "")
	code := s.last().Code
	s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 200, "")
	s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"email"}`).want(t, 200, "")
	s.post("/verify", "", `{"email":"ann@example.com","token":"`+code+`","type":"email_change"}`).want(t, 422, "email_exists")
	if u := s.get("/user", c.access).want(t, 200, ""); u.str("id") != c.id || u.body["is_anonymous"] != true {
		t.Errorf("got %s", u.text)
	}
}

func TestRefreshEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := s.anonymous()
		body := `{"refresh_token":"` + c.refresh + `"}`
		first := s.post("/token?grant_type=refresh_token", "", body).want(t, 200, "")
		again := s.post("/token?grant_type=refresh_token", "", body).want(t, 200, "")
		if first.str("refresh_token") != again.str("refresh_token") || first.str("refresh_token") == c.refresh {
			t.Error("two tabs got two new tokens, or the old one")
		}
		time.Sleep(11 * time.Second)
		s.post("/token?grant_type=refresh_token", "", body).want(t, 400, "refresh_token_already_used")
		s.get("/user", again.str("access_token")).want(t, 403, "session_not_found")
	})
}

// TestLinks holds where a mailed link leads, and whom it makes what.
func TestLinks(t *testing.T) {
	follow := func(s *site, link string, cookies ...*http.Cookie) *url.URL {
		t.Helper()
		h := http.Header{"Apikey": nil, "Authorization": nil}
		for _, c := range cookies {
			h.Add("Cookie", c.Name+"="+c.Value)
		}
		_, path, _ := strings.Cut(link, "/auth/v1")
		a := s.do(request{method: "GET", path: path, header: h})
		to, err := a.Location()
		if a.StatusCode != http.StatusSeeOther || err != nil {
			t.Fatalf("got %d %s", a.StatusCode, a.text)
		}
		return to
	}
	fragment := func(u *url.URL) url.Values { v, _ := url.ParseQuery(u.Fragment); return v }

	t.Run("elsewhere it upgrades no one", func(t *testing.T) {
		s := newSite(t)
		eve := s.anonymous()
		s.put(eve.access, `{"email":"ann@example.com"}`).want(t, 200, "")
		to := follow(s, s.last().Link)
		if f := fragment(to); f.Get("access_token") != "" || f.Get("error_code") != "otp_expired" {
			t.Errorf("got %s", to)
		}
		if u := s.get("/user", eve.access).want(t, 200, ""); u.body["is_anonymous"] != true {
			t.Errorf("got %s", u.text)
		}
		// And where it was asked for, the code still works.
		eve.take(s.post("/verify", "", `{"email":"ann@example.com","token":"`+s.last().Code+`","type":"email_change"}`))
	})
	t.Run("in the same browser", func(t *testing.T) {
		s := newSite(t)
		c := s.anonymous()
		a := s.put(c.access, `{"email":"ann@example.com"}`).want(t, 200, "")
		f := fragment(follow(s, s.last().Link, a.Cookies()...))
		u := s.get("/user", f.Get("access_token")).want(t, 200, "")
		if u.str("id") != c.id || u.str("email") != "ann@example.com" || f.Get("type") != "email_change" || f.Get("refresh_token") == "" {
			t.Errorf("got %s, %v", u.text, f)
		}
	})
	t.Run("PKCE", func(t *testing.T) {
		s := newSite(t)
		c := s.anonymous()
		const verifier = "a verifier that only the client knows, of 43 letters"
		body := `{"email":"ann@example.com","code_challenge":"` + challengeOf(verifier) + `","code_challenge_method":"s256"}`
		s.do(request{method: "PUT", path: "/user?redirect_to=" + url.QueryEscape("https://app.example/back?sb_flow_id=12345678"), token: c.access, body: body}).want(t, 200, "")
		link := s.last().Link
		if !strings.Contains(link, "token=pkce_") {
			t.Fatalf("got the link %s", link)
		}
		to := follow(s, link)
		code := to.Query().Get("code")
		if to.Query().Get("sb_flow_id") != "12345678" || to.Fragment != "" || to.Path != "/back" || code == "" {
			t.Fatalf("got %s", to)
		}
		if u := s.get("/user", c.access).want(t, 200, ""); u.body["is_anonymous"] != true {
			t.Error("the link alone has upgraded them")
		}
		other := follow(s, link).Query().Get("code")
		s.post("/token?grant_type=pkce", "", `{"auth_code":"`+other+`","code_verifier":"another"}`).want(t, 400, "bad_code_verifier")
		s.post("/token?grant_type=pkce", "", `{"auth_code":"`+other+`","code_verifier":"`+verifier+`"}`).want(t, 404, "flow_state_not_found")
		id := c.id
		c.take(s.post("/token?grant_type=pkce", "", `{"auth_code":"`+code+`","code_verifier":"`+verifier+`"}`))
		if c.id != id {
			t.Errorf("got the user %s, want %s", c.id, id)
		}
		s.post("/token?grant_type=pkce", "", `{"auth_code":"`+code+`","code_verifier":"`+verifier+`"}`).want(t, 404, "flow_state_not_found")
	})
	t.Run("a code of PKCE lives for five minutes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			s.post("/otp", "", `{"email":"ann@example.com","code_challenge":"`+challengeOf("v")+`","code_challenge_method":"s256"}`).want(t, 200, "")
			code := follow(s, s.last().Link).Query().Get("code")
			time.Sleep(5*time.Minute + time.Second)
			s.post("/token?grant_type=pkce", "", `{"auth_code":"`+code+`","code_verifier":"v"}`).want(t, 404, "flow_state_not_found")
		})
	})
	t.Run("a password that a stranger chose", func(t *testing.T) {
		s := newSite(t)
		s.post("/signup", "", `{"email":"ann@example.com","password":"the words of a stranger"}`).want(t, 200, "")
		f := fragment(follow(s, s.last().Link)) // by the owner of the mailbox, in their browser
		if f.Get("access_token") == "" {
			t.Fatalf("got %v", f)
		}
		s.post("/token?grant_type=password", "", `{"email":"ann@example.com","password":"the words of a stranger"}`).want(t, 400, "invalid_credentials")
	})
	t.Run("a password of one's own", func(t *testing.T) {
		s := newSite(t)
		a := s.post("/signup", "", `{"email":"ann@example.com","password":"words of one's own","data":{"name":"Ann"}}`).want(t, 200, "")
		s.post("/token?grant_type=password", "", `{"email":"ann@example.com","password":"words of one's own"}`).want(t, 400, "invalid_credentials")
		follow(s, s.last().Link, a.Cookies()...)
		b := s.post("/token?grant_type=password", "", `{"email":"ann@example.com","password":"words of one's own"}`).want(t, 200, "")
		if b.str("user", "user_metadata", "name") != "Ann" {
			t.Errorf("got %s", b.text)
		}
	})
	t.Run("an unknown one", func(t *testing.T) {
		s := newSite(t)
		to := follow(s, "/auth/v1/verify?token=abc&type=magiclink&redirect_to=https://app.example/back")
		if f := fragment(to); f.Get("error_code") != "otp_expired" || f.Get("error") != "access_denied" || !f.Has("sb") || to.Path != "/back" {
			t.Errorf("got %s", to)
		}
	})
}

// TestRedirects holds that tokens go nowhere but where the site says.
func TestRedirects(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct {
		to, want string
	}{
		{"", siteURL},
		{"https://app.example/back", "https://app.example/back"},
		{"https://app.example/back?next=/a", "https://app.example/back"},
		{"https://evil.example/back", siteURL},
		{"https://app.example/back/../../x", siteURL},
		{"https://app.example.evil.example/back", siteURL},
		{"https://app.example@evil.example/back", siteURL},
		{"//evil.example", siteURL},
		{"javascript:alert(1)", siteURL},
		{"https://app.example/back\\@evil.example", siteURL},
		{"https://a.preview.example/x", siteURL}, // a wildcard, and no PKCE
	} {
		a := s.do(request{method: "GET", path: "/verify?token=x&type=magiclink&redirect_to=" + url.QueryEscape(tt.to), header: http.Header{"Apikey": nil, "Authorization": nil}})
		to, err := a.Location()
		if err != nil {
			t.Fatal(err)
		}
		to.Fragment, to.RawQuery = "", ""
		if to.String() != tt.want {
			t.Errorf("%q leads to %s, want %s", tt.to, to, tt.want)
		}
	}
	for to, want := range map[string]string{
		"https://a.preview.example/x/y":              "https://a.preview.example/x/y",
		"https://a.b.preview.example/":               "https://a.b.preview.example/",
		"https://evil.example/.preview.example/":     siteURL,
		"https://evil.example?.preview.example/":     siteURL,
		"https://evil.example:1/x.preview.example/x": siteURL,
		"https://evil.example#.preview.example/":     siteURL,
	} {
		a := s.do(request{method: "GET", path: "/verify?token=pkce_x&type=magiclink&redirect_to=" + url.QueryEscape(to), header: http.Header{"Apikey": nil, "Authorization": nil}})
		got, err := a.Location()
		if err != nil {
			t.Fatal(err)
		}
		got.Fragment, got.RawQuery = "", ""
		if got.String() != want {
			t.Errorf("with PKCE %q leads to %s, want %s", to, got, want)
		}
	}
}

// TestGuesses holds that a code takes five tries, and that the operator hears of each.
func TestGuesses(t *testing.T) {
	s := newSite(t)
	s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 200, "")
	code := s.last().Code
	for i := range 5 {
		wrong := fmt.Sprintf("%06d", i)
		if wrong == code {
			wrong = "999999"
		}
		s.post("/verify", "", `{"email":"ann@example.com","token":"`+wrong+`","type":"email"}`).want(t, 403, "otp_expired")
	}
	s.post("/verify", "", `{"email":"ann@example.com","token":"`+code+`","type":"email"}`).want(t, 403, "otp_expired")
	told := 0
	for _, e := range s.events {
		if e.Reason == supabasewalkin.ReasonOTPExpired {
			told++
		}
	}
	if told != 6 {
		t.Errorf("the operator was told of %d guesses, want 6", told)
	}
}

// TestLimits holds that limits are 429, with the codes that clients know.
func TestLimits(t *testing.T) {
	s := newSite(t, func(w *walkin.Config, c *supabasewalkin.Config) {
		w.NewUsers.Limit = limit.Limit{Count: 2, Per: time.Hour}
		c.SendLimit = limit.Limit{Count: 2, Per: time.Hour}
	})
	s.anonymous()
	s.anonymous()
	if a := s.post("/signup", "", `{}`).want(t, 429, "over_request_rate_limit"); a.Header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	for range 2 {
		s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 200, "")
	}
	s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 429, "over_email_send_rate_limit")
	s.post("/recover", "", `{"email":"nobody@example.com"}`).want(t, 200, "")
	for range 2 {
		s.post("/otp", "", `{"phone":"4930123456"}`).want(t, 200, "")
	}
	s.post("/otp", "", `{"phone":"4930123456"}`).want(t, 429, "over_sms_send_rate_limit")
}

// TestFullNetwork holds that a network that has sent all it may uses up no address: its
// owner still gets a code elsewhere.
func TestFullNetwork(t *testing.T) {
	s := newSite(t, func(_ *walkin.Config, c *supabasewalkin.Config) { c.SendLimit = limit.Limit{Count: 2, Per: time.Hour} })
	for i := range 8 {
		s.post("/otp", "", fmt.Sprintf(`{"email":"user%d@example.com"}`, i)).want(t, 200, "")
	}
	for range 20 {
		s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 429, "over_email_send_rate_limit")
	}
	s.from = "203.0.113.7:1234"
	for range 2 {
		s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 200, "")
	}
}

// TestSendFails holds that a message that cannot be sent is no 5xx, at which clients
// would ask for it again, that its code says which kind of address it was for, and that
// the operator hears of it.
func TestSendFails(t *testing.T) {
	s := newSite(t, func(_ *walkin.Config, c *supabasewalkin.Config) {
		c.Send = func(context.Context, supabasewalkin.Message) error { return errors.New("no mail today") }
		c.SendSMS = func(context.Context, supabasewalkin.Message) error { return errors.New("no SMS today") }
	})
	s.post("/otp", "", `{"email":"ann@example.com"}`).want(t, 422, "email_address_not_authorized")
	s.post("/otp", "", `{"phone":"4930123456"}`).want(t, 422, "sms_send_failed")
	if !s.did(walkin.Refused, "send_failed") {
		t.Error("the operator was not told")
	}
	none := newSite(t, func(_ *walkin.Config, c *supabasewalkin.Config) { c.Send, c.SendSMS = nil, nil })
	c := none.anonymous()
	none.put(c.access, `{"email":"ann@example.com"}`).want(t, 400, "email_provider_disabled")
	none.put(c.access, `{"phone":"4930123456"}`).want(t, 400, "phone_provider_disabled")
}

func TestMetadataHasBounds(t *testing.T) {
	s := newSite(t)
	c := s.anonymous()
	s.put(c.access, `{"data":{"a":"`+strings.Repeat("x", 4000)+`"}}`).want(t, 422, "validation_failed")
	s.put(c.access, `{"data":{"role":"service_role","is_anonymous":false}}`).want(t, 200, "")
	c.take(s.post("/token?grant_type=refresh_token", "", `{"refresh_token":"`+c.refresh+`"}`))
	if u := s.get("/user", c.access); u.body["is_anonymous"] != true || u.str("role") != "authenticated" || u.str("user_metadata", "role") != "service_role" {
		t.Errorf("got %s", u.text)
	}
}
