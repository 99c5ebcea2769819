package handover_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/credential/handover"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

var sessionField = regexp.MustCompile(`name="session" value="([^"]+)"`)

// TestSecondDevice walks through the pages: a visitor without an account goes on on a
// phone as the same user, each step on the other replica, and both see it.
func TestSecondDevice(t *testing.T) {
	s := newSite(t)
	a, b := s.browser(computer), s.browser(phone)
	id := a.id()
	a.want(200, a.act())
	code := a.offer()
	a.want(200, a.open("/account/device?opened"))
	a.says("No device has opened the code yet.")
	for range 2 {
		b.want(200, b.open("/account/device/join?code="+code)) // spends nothing
	}
	number := b.scan(code)
	b.want(409, b.join())
	b.says("enter the number on the first device")
	a.want(200, a.open("/account/device"))
	a.says("continue as you: Phone")
	a.want(422, a.post("/account/device/confirm", url.Values{"number": {"12"}})) // no guess
	wide := strings.NewReplacer("0", "０", "1", "１", "2", "２", "3", "３", "4", "４", "5", "５", "6", "６", "7", "７", "8", "８", "9", "９")
	a.want(200, a.confirm(wide.Replace(number))) // as a Japanese keyboard writes it
	a.says("Now choose")
	b.want(200, b.open("/account/device/wait"))
	b.want(200, b.join())
	b.says("You continue here as on your other device.")
	for _, browser := range []*browser{a, b} {
		if got := browser.id(); got != id {
			t.Errorf("got user %s, want %s", got, id)
		}
		browser.want(200, browser.act())
		browser.want(200, browser.open("/account/device"))
		browser.says("Your devices")
		browser.says("Computer")
		browser.says("Phone")
		browser.want(200, browser.open("/account/sign-out"))
		browser.says("Sign out on all devices")
	}
	if refused, joined := s.refused(); joined != 1 {
		t.Errorf("got %d events of a join, and refused %q", joined, refused)
	}

	// One of them ends the other.
	a.want(200, a.open("/account/device"))
	session := sessionField.FindStringSubmatch(a.page)
	if session == nil {
		t.Fatalf("the page ends no session:\n%s", a.page)
	}
	a.want(200, a.post("/account/device/end", url.Values{"session": {session[1]}}))
	a.says("That device is signed out.")
	b.want(303, b.act())
	if got := b.id(); got == id {
		t.Error("a device that was ended goes on")
	}
	a.want(200, a.act())
}

// TestSignOutEverywhere holds that a visitor who signs out can end all of it.
func TestSignOutEverywhere(t *testing.T) {
	s := newSite(t)
	a, b := s.browser(computer), s.browser(phone)
	id := a.handOver(b)
	b.want(200, b.open("/account/sign-out"))
	b.want(200, b.post("/account/sign-out", url.Values{"everywhere": {"1"}}))
	a.want(303, a.act())
	if a.id() == id || b.id() == id {
		t.Error("a device goes on after the sign-out")
	}
}

// TestRefused holds what opens nothing, and that each refusal is an event.
func TestRefused(t *testing.T) {
	tests := []struct {
		name   string
		do     func(t *testing.T, a, b, thief *browser)
		reason string
	}{
		{"a replay", func(t *testing.T, a, b, thief *browser) {
			code := a.offer()
			a.want(200, a.confirm(b.scan(code)))
			b.want(200, b.join())
			thief.want(409, thief.post("/account/device/join", url.Values{"code": {code}}))
		}, "handover_over"},
		{"the cookies of the second browser, later", func(t *testing.T, a, b, thief *browser) {
			a.want(200, a.confirm(b.scan(a.offer())))
			copied := b.copied()
			b.want(200, b.join())
			copied.want(200, copied.join()) // as the second half of a double click, it gets nothing
			if copied.id() == a.id() {
				t.Error("a used code opened another session")
			}
			thief.want(409, thief.open("/account/device/wait"))
		}, "handover_over"},
		{"a guess", func(t *testing.T, a, b, thief *browser) {
			code := a.offer()
			for _, guess := range []string{"", "x", code[1:], code + "A", strings.ToLower(code) + "x"} {
				thief.want(409, thief.post("/account/device/join", url.Values{"code": {guess}}))
				if strings.Contains(thief.page, "<form") {
					t.Error("the page of a code that is over has a button")
				}
			}
		}, "handover_over"},
		{"a thief who opens it first", func(t *testing.T, a, b, thief *browser) {
			code := a.offer()
			thief.scan(code)
			thief.want(409, thief.join()) // a has typed nothing
			b.want(409, b.post("/account/device/join", url.Values{"code": {code}}))
			thief.want(409, thief.join()) // and it is over for both
			a.want(200, a.open("/account/device"))
			a.says("Show a new code")
		}, "handover_opened_twice"},
		{"a second browser that opens it", func(t *testing.T, a, b, thief *browser) {
			code := a.offer()
			number := b.scan(code)
			thief.want(409, thief.post("/account/device/join", url.Values{"code": {code}}))
			a.want(409, a.post("/account/device/confirm", url.Values{"number": {number}}))
			b.want(409, b.join())
		}, "handover_opened_twice"},
		{"a wrong number", func(t *testing.T, a, b, thief *browser) {
			number := thief.scan(a.offer())
			a.want(409, a.confirm(other(number)))
			a.want(409, a.post("/account/device/confirm", url.Values{"number": {number}})) // one try
			thief.want(409, thief.join())
		}, "handover_wrong_number"},
		{"a number before the code was opened", func(t *testing.T, a, b, thief *browser) {
			a.offer()
			a.want(409, a.confirm("0000"))
		}, "handover_not_opened"},
		{"a number that is typed in the second browser", func(t *testing.T, a, b, thief *browser) {
			number := thief.scan(a.offer())
			thief.want(409, thief.post("/account/device/confirm", url.Values{"number": {number}}))
			thief.want(200, thief.open("/account/device/wait"))
			thief.want(409, thief.join())
		}, "handover_over"},
		{"no number", func(t *testing.T, a, b, thief *browser) {
			thief.scan(a.offer())
			thief.want(409, thief.join())
		}, "handover_waiting"},
		{"after a sign-out", func(t *testing.T, a, b, thief *browser) {
			a.want(200, a.confirm(b.scan(a.offer())))
			a.want(200, a.open("/account/sign-out"))
			a.want(200, a.post("/account/sign-out", nil))
			b.want(409, b.join())
		}, "handover_over"},
		{"after a sign-out of the second browser", func(t *testing.T, a, b, thief *browser) {
			a.want(200, a.confirm(b.scan(a.offer())))
			copied := b.copied()
			b.want(200, b.open("/account/sign-out"))
			b.want(200, b.post("/account/sign-out", nil))
			b.want(409, b.join())
			if copied.id() == a.id() {
				t.Error("a copy of the cookies is the user")
			}
		}, "handover_over"},
		{"after an upgrade", func(t *testing.T, a, b, thief *browser) {
			a.want(200, a.confirm(b.scan(a.offer())))
			a.signUp("ann")
			b.want(409, b.join())
		}, "handover_over"},
		{"opened after an upgrade", func(t *testing.T, a, b, thief *browser) {
			code := a.offer()
			a.signUp("ann")
			b.want(409, b.post("/account/device/join", url.Values{"code": {code}}))
		}, "handover_over"},
		{"after a deletion", func(t *testing.T, a, b, thief *browser) {
			a.want(200, a.confirm(b.scan(a.offer())))
			a.want(200, a.post("/delete", nil))
			b.want(409, b.join())
		}, "handover_over"},
		{"an older code", func(t *testing.T, a, b, thief *browser) {
			code := a.offer()
			a.offer()
			b.want(409, b.post("/account/device/join", url.Values{"code": {code}}))
		}, "handover_over"},
		{"by a link", func(t *testing.T, a, b, thief *browser) {
			b.do(b.request(http.MethodGet, "/account/device/join?code="+a.offer(), nil))
			b.want(409, b.open("/account/device/wait"))
		}, "handover_over"},
		{"by a form of another site", func(t *testing.T, a, b, thief *browser) {
			r := b.request(http.MethodPost, "/account/device/join", url.Values{"code": {a.offer()}})
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			b.want(403, b.do(r).StatusCode)
		}, "cross_origin"},
		{"over an account", func(t *testing.T, a, b, thief *browser) {
			b.signUp("bob")
			id := b.id()
			b.want(409, b.post("/account/device/join", url.Values{"code": {a.offer()}}))
			b.want(200, b.open("/account/device/join?code=x"))
			b.says("signed in to an account")
			if b.id() != id {
				t.Error("the account was left")
			}
		}, "handover_permanent"},
		{"over an account that was opened meanwhile", func(t *testing.T, a, b, thief *browser) {
			a.want(200, a.confirm(b.scan(a.offer())))
			b.signUp("bob")
			id := b.id()
			b.want(409, b.join())
			if b.id() != id {
				t.Error("the account was left")
			}
		}, "handover_permanent"},
		{"over what was stored here, unasked", func(t *testing.T, a, b, thief *browser) {
			b.want(200, b.act())
			id := b.id()
			a.want(200, a.confirm(b.scan(a.offer())))
			b.want(409, b.join())
			b.says("Keep what I have here")
			if b.id() != id {
				t.Error("the visitor's own user was left")
			}
		}, "handover_occupied"},
		{"over what was stored here meanwhile", func(t *testing.T, a, b, thief *browser) {
			a.want(200, a.confirm(b.scan(a.offer())))
			b.want(200, b.act())
			b.want(409, b.join())
		}, "handover_occupied"},
		{"in the same browser", func(t *testing.T, a, b, thief *browser) {
			a.want(409, a.post("/account/device/join", url.Values{"code": {a.offer()}}))
		}, "handover_same"},
		{"of an account", func(t *testing.T, a, b, thief *browser) {
			a.signUp("ann")
			a.want(409, a.post("/account/device", nil))
			a.want(200, a.open("/account/device"))
			a.says("You have an account.")
		}, "handover_give_permanent"},
		{"a sixth device", func(t *testing.T, a, b, thief *browser) {
			for range 4 {
				a.handOver(a.s.browser(phone))
			}
			a.want(200, a.confirm(b.scan(a.offer())))
			b.want(409, b.join())
			b.says("five devices")
		}, "handover_full"},
		{"too many codes", func(t *testing.T, a, b, thief *browser) {
			for range 10 {
				a.offer()
			}
			a.want(429, a.post("/account/device", nil))
		}, "handover_limit_user"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.t = t
			a, b, thief := s.browser(computer), s.browser(phone), s.browser(phone)
			id := a.id()
			a.want(200, a.act())
			b.id()
			thief.id()
			s.refused()
			tt.do(t, a, b, thief)
			if reasons, _ := s.refused(); !slices.Contains(reasons, tt.reason) {
				t.Errorf("got refusals for %q, want one for %q", reasons, tt.reason)
			}
			if thief.id() == id {
				t.Error("the thief is the user")
			}
		})
	}
}

// TestLeave holds that a visitor may leave what they had in the second browser: their
// other user ends there, and stays in the store.
func TestLeave(t *testing.T) {
	s := newSite(t)
	a, b := s.browser(computer), s.browser(phone)
	b.want(200, b.act())
	own := b.id()
	copied := b.copied()
	id := a.id()
	code := a.offer()
	b.want(200, b.open("/account/device/join?code="+code))
	b.says("Keep what I have here")
	b.want(200, b.post("/account/device/join", url.Values{"code": {code}, "leave": {"1"}}))
	number := numbers.FindStringSubmatch(b.page)[1]
	b.says(`name="leave" value="1"`)
	a.want(200, a.confirm(number))
	b.want(200, b.open("/account/device/wait?leave=1"))
	b.want(200, b.post("/account/device/wait", url.Values{"leave": {"1"}}))
	if got := b.id(); got != id {
		t.Errorf("got user %s, want %s", got, id)
	}
	copied.want(303, copied.act())
	if _, err := s.store.LockUser(t.Context(), uuid.MustParse(own)); err != nil {
		t.Errorf("the user who was left: %v", err)
	}
}

// TestLateWrite holds that a visitor of the second browser who had stored nothing is
// over: a copy of their cookie stores no user.
func TestLateWrite(t *testing.T) {
	s := newSite(t)
	a, b := s.browser(computer), s.browser(phone)
	own := b.id()
	copied := b.copied()
	a.handOver(b)
	copied.want(303, copied.act())
	if _, err := s.store.LockUser(t.Context(), uuid.MustParse(own)); err != store.ErrNotFound {
		t.Errorf("the visitor who had nothing: %v", err)
	}
}

// TestTime holds that a code is over after two minutes, wherever it had got to.
func TestTime(t *testing.T) {
	for _, stage := range []string{handover.Waiting, handover.Scanned, handover.Confirmed} {
		t.Run(stage, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, store := &site{t: t}, memstore.New()
				s.open(0, store)
				s.open(1, store)
				a, b := s.browser(computer), s.browser(phone)
				id := a.id()
				code := a.offer()
				number := ""
				if stage != handover.Waiting {
					number = b.scan(code)
				}
				if stage == handover.Confirmed {
					a.want(200, a.confirm(number))
				}
				time.Sleep(handover.Lifetime - time.Second)
				if stage == handover.Confirmed {
					b.want(200, b.open("/account/device/wait"))
				}
				time.Sleep(2 * time.Second)
				b.want(409, b.post("/account/device/join", url.Values{"code": {code}}))
				if number != "" {
					a.want(409, a.post("/account/device/confirm", url.Values{"number": {number}}))
				}
				b.want(409, b.join())
				if b.id() == id {
					t.Error("a code worked after its time")
				}
			})
		})
	}
}

// TestRace holds that of 20 requests at once one opens the code, and of 20 one gets the
// session, on two replicas.
func TestRace(t *testing.T) {
	s := newSite(t)
	a := s.browser(computer)
	id := a.id()
	together := func(browsers []*browser, do func(*browser) int) map[int]int {
		var wg sync.WaitGroup
		status := make([]int, len(browsers))
		for i, b := range browsers {
			wg.Go(func() { status[i] = do(b) })
		}
		wg.Wait()
		count := map[int]int{}
		for _, s := range status {
			count[s]++
		}
		return count
	}
	crowd := func() (all []*browser) {
		for i := range 20 {
			b := s.browser(phone)
			b.n = i
			all = append(all, b)
		}
		return all
	}
	send := func(path string, form url.Values) func(*browser) int {
		return func(b *browser) int {
			return b.do(b.request(http.MethodPost, path, form)).StatusCode
		}
	}

	// The first one opens it, and any second one ends it.
	code := a.offer()
	if got := together(crowd(), send("/account/device/join", url.Values{"code": {code}})); got[303] != 1 || got[409] != 19 {
		t.Errorf("20 browsers opened one code: got %v", got)
	}
	a.want(200, a.open("/account/device"))
	a.says("Show a new code")

	// The same browser, 20 times.
	b := s.browser(phone)
	b.id()
	a.want(200, a.confirm(b.scan(a.offer())))
	var copies []*browser
	for i := range 20 {
		c := b.copied()
		c.n = i
		copies = append(copies, c)
	}
	s.refused()
	got := together(copies, send("/account/device/wait", nil))
	if got[303]+got[409] != 20 || got[303] == 0 {
		t.Errorf("20 requests redeemed one code: got %v", got)
	}
	won := 0
	for _, c := range copies {
		if c.id() == id {
			won++
		}
	}
	sessions, err := s.store.UserSessions(t.Context(), uuid.MustParse(id))
	if _, joined := s.refused(); won != 1 || joined != 1 || len(sessions) != 2 || err != nil {
		t.Errorf("%d browsers and %d events, and %d sessions with that of the first browser; %v", won, joined, len(sessions), err)
	}
}

// TestUpgradeEndsOthers holds that who signs up on one device goes on alone: the other
// one is told to sign in, gets no new anonymous user, and is the same user then.
func TestUpgradeEndsOthers(t *testing.T) {
	s := newSite(t)
	a, b := s.browser(computer), s.browser(phone)
	id := a.handOver(b)
	b.signUp("ann")
	if got := b.id(); got != id {
		t.Errorf("got user %s, want %s", got, id)
	}
	a.want(303, a.act())
	if got := a.id(); got != uuid.Nil.String() {
		t.Errorf("the first browser is the user %s", got)
	}
	a.want(200, a.open("/note")) // which needs a user
	a.says("You have created an account on another device.")
	a.want(200, a.post("/account/sign-in", url.Values{"email": {"ann"}, "password": {secret}}))
	if got := a.id(); got != id {
		t.Errorf("got user %s, want %s", got, id)
	}
}

// TestJSON holds that a page's own script can do all of it.
func TestJSON(t *testing.T) {
	s := newSite(t)
	a, b := s.browser(computer), s.browser(phone)
	id := a.id()
	ask := func(b *browser, method, path, body string, want int) map[string]any {
		t.Helper()
		status, answer := b.ask(method, path, body)
		if status != want {
			t.Fatalf("%s %s: got %d %v, want %d", method, path, status, answer, want)
		}
		return answer
	}
	ask(a, "POST", "/account/device", "{}", 200)
	offered := ask(a, "GET", "/account/device", "", 200)
	link, _ := offered["link"].(string)
	m := links.FindStringSubmatch(link)
	if offered["stage"] != handover.Waiting || m == nil {
		t.Fatalf("got %v", offered)
	}
	b.id()
	ask(b, "POST", "/account/device/join", `{"code":"`+m[2]+`"}`, 200)
	scanned := ask(b, "GET", "/account/device/wait", "", 200)
	number, _ := scanned["number"].(string)
	if refused := ask(b, "POST", "/account/device/wait", "{}", 409); refused["code"] == nil {
		t.Errorf("got %v, want a problem document", refused)
	}
	if got := ask(a, "GET", "/account/device", "", 200); got["stage"] != handover.Scanned || got["device"] != "phone" {
		t.Errorf("got %v", got)
	}
	ask(a, "POST", "/account/device/confirm", `{"number":"`+number+`"}`, 200)
	joined := ask(b, "POST", "/account/device/wait", "{}", 200)
	if joined["user_id"] != id || joined["is_anonymous"] != true {
		t.Errorf("got %v, want the user %s", joined, id)
	}
	if got := b.id(); got != id {
		t.Errorf("got user %s, want %s", got, id)
	}
}

// TestAddressOfCode holds that the pages give the code to no other site, and to no
// cache or frame.
func TestAddressOfCode(t *testing.T) {
	s := newSite(t)
	a, b := s.browser(computer), s.browser(phone)
	for _, path := range []string{"/account/device", "/account/device/join?code=" + a.offer()} {
		h := b.do(b.request(http.MethodGet, path, nil)).Header
		if h.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(h.Get("Cache-Control"), "no-store") ||
			!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: got %v", path, h)
		}
	}
}

// other returns a number that is not the one given.
func other(number string) string {
	if number[3] == '0' {
		return number[:3] + "1"
	}
	return number[:3] + "0"
}

func TestNew(t *testing.T) {
	s := newSite(t)
	for _, link := range []string{"", "/account/device/join", "ftp://margin.example/x", origin + "/x?y=z", origin + "/x#y",
		"https://%zz", "https:///x", "https://margin@example.com/x"} {
		if _, err := handover.New(s.wk[0], handover.Config{Link: link}); err == nil || !strings.Contains(err.Error(), "Config.Link") {
			t.Errorf("%q: got %v", link, err)
		}
	}
	for _, link := range []string{"http://localhost:8080/x", origin} {
		if _, err := handover.New(s.wk[0], handover.Config{Link: link}); err != nil {
			t.Errorf("%q: got %v", link, err)
		}
	}
	if _, err := handover.New(nil, handover.Config{Link: origin + "/x"}); err == nil {
		t.Error("New took no middleware")
	}
}
