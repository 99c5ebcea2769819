package pages_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/pages"
)

// TestSameUser holds the main promise: a visitor who signs up on the pages stays the
// same user.
func TestSameUser(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser("en")
	before := b.id()
	b.signUp(s, ann)
	b.says("Your account is ready.")
	b.want(200, b.open("/account/"))
	b.saysNot("Your account is ready.") // shown once
	if after := b.id(); after != before {
		t.Errorf("the user was %s and is %s", before, after)
	}
}

// TestSendAgain holds that the page of the code sends another one, says so once, and
// forgets neither the way back nor the password that was chosen.
func TestSendAgain(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser("en")
	b.id()
	b.want(200, b.open("/account/sign-up"))
	b.want(200, b.post("/account/sign-up", url.Values{"email": {ann}, "password": {secret}, "return_to": {"/account/"}}))
	b.saysNot("We sent a new code.")
	first := s.code(ann)
	b.want(200, b.post("/account/sign-up", url.Values{"email": {ann}, "again": {"1"}, "return_to": {"/account/"}}))
	b.says("We sent a new code.")
	b.says(`name="return_to" value="/account/"`)
	b.want(200, b.open("/account/sign-up/code?return_to=/account/"))
	b.saysNot("We sent a new code.") // shown once
	if again := s.code(ann); again == first {
		t.Error("no other code was sent") // one time in a million
	}
	b.want(200, b.post("/account/sign-up/code", url.Values{"code": {s.code(ann)}, "return_to": {"/account/"}}))
	b.says("Your account is ready.")
	b.want(200, s.browser("en").signIn(ann, secret))
}

// TestSignUpWork holds that a sign-up costs the same for an address that has an account
// and one that has none: a hash, and a mail.
func TestSignUpWork(t *testing.T) {
	s := newSite(t, nil)
	s.browser("en").signUp(s, ann)
	for _, address := range []string{ann, annNew} {
		s.hashes, s.mail = 0, nil
		b := s.browser("en")
		b.want(200, b.post("/account/sign-up", url.Values{"email": {address}, "password": {another}}))
		if s.hashes != 1 || s.count() != 1 {
			t.Errorf("%s: %d hashes and %d mails, want one each", address, s.hashes, s.count())
		}
	}
}

// TestWhatIsNotConfigured holds that the pages offer nothing that the site has not.
func TestWhatIsNotConfigured(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser("en")
	for _, path := range []string{"/account/sign-up", "/account/sign-in"} {
		b.want(200, b.open(path))
		b.saysNot("passkey")
		b.saysNot("Continue with")
		b.saysNot("<script")
	}
	b.want(404, b.open("/account/passkey/script.js"))
	b.want(404, b.open("/account/provider/start"))
}

// TestNew names the errors that a site can make.
func TestNew(t *testing.T) {
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{ID: "1", Secret: []byte("0123456789abcdef0123456789abcdef")}}, Store: newSite(t, nil).store})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  pages.Config
		says string
	}{
		{"nothing", pages.Config{}, "Name is required"},
		{"no credential", pages.Config{Name: "Margin"}, "at least one of"},
		{"a path without its slash", pages.Config{Name: "Margin", Path: "/account"}, "slash"},
		{"a path of another site", pages.Config{Name: "Margin", Home: "//evil.example"}, "local path"},
		{"a URL with a path", pages.Config{Name: "Margin", URL: "https://margin.example/x"}, "Config.URL"},
		{"mail without a URL", pages.Config{Name: "Margin", Mail: &site{}}, "URL is required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := pages.New(wk, tt.cfg); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
	if _, err := pages.New(nil, pages.Config{Name: "Margin"}); err == nil {
		t.Error("New took no middleware")
	}
}

// TestFreshProof holds that nothing about an account changes without one, nor from a
// page that was shown to another user.
func TestFreshProof(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser("en")
	b.signUp(s, ann)
	page := b.page
	eve := s.browser("en")
	eve.signUp(s, "eve@example.net")
	for _, path := range []string{"remove", "password", "email", "end-session", "end-others", "download", "delete"} {
		t.Run(path, func(t *testing.T) {
			eve.page = page // Ann's, still open in the browser that Eve has signed in with
			before := s.count()
			eve.want(409, eve.post("/account/"+path, url.Values{"email": {annNew}, "password": {another}, "provider": {"email"}, "subject": {"eve@example.net"}}))
			if s.count() != before {
				t.Error("a mail was sent")
			}
		})
	}
	eve.want(200, eve.open("/account/"))
}

func TestPassword(t *testing.T) {
	s := newSite(t, nil)
	b, other := s.browser("en"), s.browser("en")
	b.signUp(s, ann)
	other.want(200, other.signIn(ann, secret))
	b.want(200, b.open("/account/"))
	b.want(422, b.post("/account/password", url.Values{"password": {"short"}}))
	b.says("at least 8 characters")
	b.says(`autofocus`)
	b.want(200, b.post("/account/password", url.Values{"password": {another}}))
	b.says("Your password is saved")
	if m := s.last(ann, func(m sent) bool { return strings.Contains(m.Subject, "password") }); !strings.Contains(m.Text, origin+"/account/") {
		t.Errorf("the notice is %q", m.Text)
	}
	other.want(200, other.open("/account/"))
	other.says(`action="/account/sign-in"`) // its session has ended
	other.want(401, other.signIn(ann, secret))
	other.says("E-mail or password is wrong.")
	other.want(200, other.signIn(ann, another))
}

// TestSessions holds that a list of browsers ends one of them, or all but this one.
func TestSessions(t *testing.T) {
	s := newSite(t, nil)
	b, second, third := s.browser("en"), s.browser("en"), s.browser("en")
	b.signUp(s, ann)
	second.want(200, second.signIn(ann, secret))
	b.want(200, b.open("/account/"))
	b.says("Computer (this browser)")
	ids := regexp.MustCompile(`name="session" value="([^"]+)"`).FindAllStringSubmatch(b.page, -1)
	if len(ids) != 1 {
		t.Fatalf("the page offers to end %d sessions", len(ids))
	}
	b.want(200, b.post("/account/end-session", url.Values{"session": {ids[0][1]}}))
	b.says("That device is signed out.")
	second.want(200, second.open("/account/"))
	second.says(`action="/account/sign-in"`)
	third.want(200, third.signIn(ann, secret))
	b.want(200, b.open("/account/"))
	b.want(200, b.post("/account/end-others", url.Values{}))
	third.want(200, third.open("/account/"))
	third.says(`action="/account/sign-in"`)
	b.want(200, b.open("/account/"))
	b.says("Your account")
	// Another user's session is not to be ended.
	eve := s.browser("en")
	eve.signUp(s, "eve@example.net")
	c := strings.TrimSpace(b.id())
	sessions, err := s.store.UserSessions(t.Context(), mustParse(t, c))
	if err != nil || len(sessions) != 1 {
		t.Fatalf("%d sessions, %v", len(sessions), err)
	}
	eve.want(200, eve.post("/account/end-session", url.Values{"session": {sessions[0].ID.String()}}))
	b.want(200, b.open("/account/"))
	b.says("Your account")
}

// TestDownload holds that a user gets what is stored about them, and no secret.
func TestDownload(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser("en")
	b.signUp(s, ann)
	b.want(200, b.post("/account/download", url.Values{}))
	var file map[string]any
	if err := json.Unmarshal([]byte(b.page), &file); err != nil || !strings.Contains(b.page, ann) {
		t.Errorf("%v: %s", err, b.page)
	}
	if strings.Contains(b.page, "argon2") {
		t.Error("the hash of the password is in it")
	}
}

func TestDelete(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser("en")
	b.signUp(s, ann)
	b.want(200, b.post("/account/delete", url.Values{}))
	b.says("Your account is deleted")
	s.last(ann, func(m sent) bool { return strings.Contains(m.Subject, "deleted") })
	b.want(401, b.signIn(ann, secret))
}

// TestRemove holds that the last method stays, and that the owner hears of one that goes.
func TestRemove(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser("en")
	b.signUp(s, ann)
	b.want(409, b.post("/account/remove", url.Values{"provider": {"email"}, "subject": {ann}}))
	b.want(200, b.open("/account/"))
	b.want(200, b.post("/account/sign-in/send", url.Values{"email": {annNew}, "return_to": {"/account/?done=added"}}))
	b.want(200, b.post("/account/sign-in/code", url.Values{"code": {s.code(annNew)}, "return_to": {"/account/?done=added"}}))
	b.says("The new sign-in method works")
	s.last(ann, func(m sent) bool { return strings.Contains(m.Subject, "new way to sign in") })
	b.want(200, b.post("/account/remove", url.Values{"provider": {"email"}, "subject": {ann}}))
	b.says("The sign-in method is removed")
	s.last(ann, func(m sent) bool { return strings.Contains(m.Subject, "removed") })
}

var undoLink = regexp.MustCompile(regexp.QuoteMeta(origin) + `(/account/undo\?token=\w+)`)

// TestEmailChange holds that the address of an account changes by a code to the new one,
// and that the old one can undo it: without signing anybody in, and with an end to all
// that was added since.
func TestEmailChange(t *testing.T) {
	s := newSite(t, nil)
	thief := s.browser("en") // who found the account open
	thief.signUp(s, ann)
	thief.want(200, thief.post("/account/email", url.Values{"email": {annNew}}))
	thief.says("Enter the code")
	thief.want(200, thief.post("/account/email/code", url.Values{"code": {s.code(annNew)}}))
	thief.says("Your e-mail address is changed.")
	thief.says(annNew)
	other := s.browser("en")
	other.want(401, other.signIn(ann, secret))
	other.want(200, other.signIn(annNew, secret)) // the password went along
	thief.want(200, thief.open("/account/"))
	thief.want(200, thief.post("/account/password", url.Values{"password": {another}}))

	// The old address is reserved.
	eve := s.browser("en")
	eve.id()
	eve.want(200, eve.open("/account/sign-up"))
	eve.want(200, eve.post("/account/sign-up", url.Values{"email": {ann}}))
	eve.want(409, eve.post("/account/sign-up/code", url.Values{"code": {s.code(ann)}}))

	m := s.last(ann, func(m sent) bool { return strings.Contains(m.Text, "undo") })
	link := undoLink.FindStringSubmatch(m.Text)
	if link == nil {
		t.Fatalf("the notice has no link: %s", m.Text)
	}
	owner := s.browser("en")
	owner.want(200, owner.open(link[1]))
	owner.want(200, owner.open(link[1])) // opening it spends nothing
	token := regexp.MustCompile(`name="token" value="(\w+)"`).FindStringSubmatch(owner.page)
	owner.want(200, owner.post("/account/undo", url.Values{"token": {token[1]}}))
	owner.says("Your old e-mail address is back")
	owner.want(404, owner.post("/account/undo", url.Values{"token": {token[1]}})) // once
	owner.want(200, owner.open("/account/"))
	owner.says(`action="/account/sign-in"`) // it signs in no user
	thief.want(200, thief.open("/account/"))
	thief.says(`action="/account/sign-in"`)
	thief.want(401, thief.signIn(annNew, another))
	owner.want(200, owner.signIn(ann, secret))
}

// TestUndoAsks holds that a page of another site cannot undo anything.
func TestUndoAsks(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser("en")
	r := b.NewRequest(http.MethodPost, "/account/undo", strings.NewReader("token=x"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Origin", "https://evil.example")
	if response := b.Do(r); response.StatusCode != http.StatusForbidden {
		t.Errorf("got %d", response.StatusCode)
	}
	b.want(404, b.open("/account/undo?token=x"))
}

// TestNewDevice holds that an owner hears of a sign-in from a browser that has proven
// nothing of theirs before, and of no other.
func TestNewDevice(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser("en")
	b.signUp(s, ann)
	before := s.count()
	b.want(200, b.post("/account/sign-out", url.Values{}))
	b.want(200, b.signIn(ann, secret))
	if s.count() != before {
		t.Error("a browser that the owner uses was told of")
	}
	other := s.browser("en")
	other.want(200, other.signIn(ann, secret))
	if m := s.last(ann, func(m sent) bool { return strings.Contains(m.Subject, "New sign-in") }); !strings.Contains(m.HTML, "not seen before") {
		t.Errorf("the mail says %q", m.HTML)
	}
}

// TestHeaders holds what every page says to browsers and caches.
func TestHeaders(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser("ar")
	response := b.send(http.MethodGet, "/account/sign-in", nil)
	h := response.Header
	policy := h.Get("Content-Security-Policy")
	if strings.Contains(policy, "unsafe-") || !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the policy is %q", policy)
	}
	if !strings.Contains(h.Get("Cache-Control"), "no-store") || !strings.Contains(strings.Join(h.Values("Vary"), ","), "Accept-Language") {
		t.Errorf("got %v", h)
	}
	b.says(`lang="ar" dir="rtl"`)
}
