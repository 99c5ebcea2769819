package main

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"github.com/walkin-go/walkin/internal/browser"
)

// Every page, in every way in which visitors see it: what a machine can judge of its
// looks. With a directory in WALKIN_TEST_SHOTS, each page is left there as a picture,
// for the eye.

// A look is a visitor's browser that looks at each page it comes by.
type look struct {
	*tab
	name     string // of the pictures
	language string
	views    []browser.View
	scripts  bool
	axe      bool
	seen     int
}

// see looks at the page to which the visitor was led.
func (l *look) see(name string) {
	l.T.Helper()
	l.settle()
	l.looks(name)
}

// looks looks at the page that is there.
func (l *look) looks(name string) {
	l.T.Helper()
	l.seen++
	l.Wait(`!document.querySelector("[aria-invalid=true]") || document.activeElement.matches("[aria-invalid=true]")`) // the focus is where the mistake is
	for _, view := range l.views {
		l.As(view)
		where := fmt.Sprintf("%s, %s, %s", l.name, name, view.Name)
		for _, flaw := range l.Flaws() {
			l.T.Errorf("%s: %s", where, flaw)
		}
		if l.axe && l.scripts && view.Width == 1280 { // the smaller ones have the same names and colours
			for _, finding := range l.Axe() {
				l.T.Errorf("%s: axe: %s", where, finding)
			}
		}
		if size := browser.Eval[int](l.Page, "document.documentElement.outerHTML.length"); size > 40<<10 {
			l.T.Errorf("%s: the page has %d characters", where, size)
		}
		l.shoot(fmt.Sprintf("%02d-%s", l.seen, name), view)
	}
	l.As(l.views[0])
	if l.Chromium() != nil && l.scripts && name != "mail" { // its frames keep the keys to themselves
		for _, control := range l.Unreached() {
			l.T.Errorf("%s, %s: %s", l.name, name, control)
		}
	}
	if got, want := browser.Eval[string](l.Page, `document.documentElement.lang + " " + getComputedStyle(document.querySelector("main")).direction`), l.wantLanguage(name); got != want {
		l.T.Errorf("%s, %s: the page is %s, want %s", l.name, name, got, want)
	}
}

func (l *look) wantLanguage(page string) string {
	language := cmp.Or(l.language, "en")
	if page == "provider" || page == "mail" || strings.HasPrefix(page, "admin") { // for developers and operators
		language = "en"
	}
	if language == "ar" {
		return "ar rtl"
	}
	return language + " ltr"
}

func (l *look) shoot(name string, view browser.View) {
	l.T.Helper()
	dir := os.Getenv("WALKIN_TEST_SHOTS")
	if dir == "" {
		return
	}
	dir = filepath.Join(dir, l.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		l.T.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+"-"+view.Name+".png"), l.Picture(), 0o644); err != nil {
		l.T.Fatal(err)
	}
}

// fill types into the fields of a form that is there, and sends it: by the keyboard
// alone where there is one.
func (l *look) fill(button string, pairs ...string) {
	l.T.Helper()
	l.novalidate()
	for i := 0; i+1 < len(pairs); i += 2 {
		browser.Eval[any](l.Page, `(document.querySelector(`+fmt.Sprintf("%q", pairs[i])+`).value = "", null)`)
		l.Type(pairs[i], pairs[i+1])
	}
	l.press(button)
}

// novalidate lets the page's own answer be seen instead of the browser's.
func (l *look) novalidate() {
	browser.Eval[any](l.Page, `(document.querySelectorAll("form").forEach((f) => f.noValidate = true), document.querySelectorAll("[maxlength]").forEach((f) => f.removeAttribute("maxlength")), null)`)
}

// unfold opens what is folded, with the keyboard.
func (l *look) unfold(details string) {
	l.T.Helper()
	l.TabTo(details + " > summary")
	l.do(chromedp.KeyEvent("\r"))
	l.Wait(fmt.Sprintf("document.querySelector(%q).open", details))
}

func (l *look) press(selector string) {
	l.T.Helper()
	if l.Chromium() == nil {
		l.Click(selector)
		return
	}
	l.TabTo(selector)
	l.Enter()
}

// TestLooks walks through all pages of a site that has them as they come.
func TestLooks(t *testing.T) {
	chromium := browser.Start(t, "chromium")
	for _, tt := range []struct {
		name, language string
		views          []browser.View
		scripts        bool
	}{
		{"english", "", browser.Views, true},
		{"arabic", "ar", []browser.View{browser.Views[0], browser.Views[4]}, true},
		{"japanese", "ja", browser.Views[3:4], true},
		{"german", "de", browser.Views[4:], true}, // the longest words
		{"no scripts", "", browser.Views[3:4], false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			site := newPlain(t)
			newLook := func(name string) *look {
				l := &look{tab: &tab{Page: browser.NewPage(t, chromium), base: site.URL}, name: tt.name, language: tt.language,
					views: tt.views, scripts: tt.scripts, axe: true}
				if name != "" {
					l.name += " " + name
				}
				l.Speak(cmp.Or(tt.language, "en"))
				if !tt.scripts {
					l.WithoutScripts()
				}
				l.As(l.views[0])
				return l
			}
			lookAround(site, newLook)
		})
	}
}

// TestLooksElsewhere looks at the main pages in the other browsers.
func TestLooksElsewhere(t *testing.T) {
	for _, name := range []string{"firefox", "webkit"} {
		t.Run(name, func(t *testing.T) {
			site := newPlain(t)
			l := &look{tab: &tab{Page: browser.NewPage(t, browser.Start(t, name)), base: site.URL}, name: name, scripts: true,
				views: []browser.View{{Name: "desktop", Width: 1280, Height: 900, Zoom: 1}, {Name: "phone", Width: 460, Height: 800, Zoom: 1}}}
			l.As(l.views[0])
			l.open("/account/sign-in")
			l.see("sign-in")
			l.fill("main form.credentials button", "#email", "x@example.com", "#password", "not the right one")
			l.see("sign-in-refused")
			l.open("/")
			l.Click("#write")
			l.open("/account/device")
			l.press("form[action='/account/device'] button")
			l.see("device-code")
			l.signUp(site, "ann@example.com")
			l.turnOn()
			if err := site.promote("ann@example.com"); err != nil {
				t.Fatal(err)
			}
			l.open("/admin/")
			l.see("admin")
			l.open("/admin/users")
			l.see("admin-users")
		})
	}
}

// signUp makes an account and looks at each page on the way.
func (l *look) signUp(site *plain, address string) {
	l.T.Helper()
	if !strings.HasPrefix(l.path(), "/account/sign-up") {
		l.open("/account/sign-up")
	}
	l.see("sign-up")
	l.fill("main form.credentials button", "#email", "nothing", "#password", secret)
	l.focus("email")
	l.see("sign-up-email-refused")
	l.fill("main form.credentials button", "#email", address, "#password", "short")
	l.focus("password")
	l.see("sign-up-password-refused")
	l.fill("main form.credentials button", "#email", address, "#password", secret)
	l.see("code")
	l.fill("main form.credentials button", "#code", "12")
	l.focus("code")
	l.see("code-refused")
	l.press("main form:not(.credentials) button")
	l.see("code-again")
	if !browser.Eval[bool](l.Page, `!!document.querySelector(".notice")`) {
		l.T.Error("the page does not say that another code was sent")
	}
	l.fill("main form.credentials button", "#code", site.code(address))
}

// focus waits until an element has the focus: browsers give it after the page is there.
func (l *look) focus(id string) {
	l.T.Helper()
	l.Wait(fmt.Sprintf("document.activeElement && document.activeElement.id === %q", id))
}

// lookAround is a visitor who comes by all pages.
func lookAround(site *plain, newLook func(name string) *look) {
	const ann, annNew, bob = "ann@example.com", "ann.with.a.very.long.address.that.wraps@subdomain.example.com", "bob@example.com"
	l, other := newLook(""), newLook("other")
	if l.scripts {
		l.device()
	}
	l.open("/")
	l.Click("#write")
	l.handOver(other)
	l.open("/account/sign-out")
	l.see("sign-out-guest")
	l.open("/")
	l.press("#publish")
	l.signUp(site, ann)
	l.see("kept-form")
	l.press("main form button")
	l.open("/resume")
	l.see("kept-form-gone")
	l.open("/account/")
	l.see("account-new")
	if !browser.Eval[bool](l.Page, `!!document.querySelector(".notice")`) {
		l.T.Error("the first page of the account does not say that it is ready")
	}
	l.open("/account/")
	if browser.Eval[bool](l.Page, `!!document.querySelector(".notice")`) {
		l.T.Error("the message is shown twice")
	}

	// More ways to sign in.
	l.press("main a[href*='connect?provider']")
	l.see("connect")
	l.press("main form button")
	l.see("provider")
	l.fill("main button", "#name", "Ann")
	if l.scripts {
		l.unfold("details[data-passkey]")
		l.fill("form[action='/account/passkey/register'] button", "#name", "The red laptop")
		l.unfold(".list details")
		l.fill(".list details button", ".list details input[name=name]", strings.Repeat("too long a name ", 5))
		l.see("account-rename-refused")
	}
	l.unfold("#secret")
	l.fill("form[action='/account/password'] button", "#password", "short")
	l.focus("password")
	l.see("account-password-refused")
	l.unfold("#change-email")
	l.fill("form[action='/account/email'] button", "#new-email", "nothing")
	l.focus("new-email")
	l.see("account-email-refused")
	l.unfold("details:has(#email)")
	l.fill("form[action='/account/sign-in/send'] button", "#email", "nothing")
	l.focus("email")
	l.see("account-add-refused")

	p := l.turnOn()
	if !l.scripts {
		l.open("/account/add-passkey?return_to=/account/")
		l.looks("add-passkey")
	}

	// Another device, where the account is heard of, and an old proof.
	other.open("/account/sign-in?return_to=/account/")
	other.see("sign-in")
	other.fill("main form.credentials button", "#email", ann, "#password", "not the right one")
	other.see("sign-in-refused")
	other.press("main button[formaction]")
	other.see("sign-in-code")
	other.open("/account/code?code=" + site.code(ann))
	other.see("link")
	l.open("/account/code?code=" + site.code(ann))
	l.see("link-elsewhere")
	l.open("/account/code")
	l.see("link-incomplete")
	other.open("/account/sign-in/code?return_to=/account/")
	other.fill("main form.credentials button", "#code", site.code(ann))
	other.fill("main form.credentials button", "#code", "what?")
	other.focus("code")
	other.see("factor-refused")
	other.fill("main form.credentials button", "#code", p.recovery)
	other.see("account-two-sessions")
	site.stale.Store(true)
	l.open("/account/")
	l.see("account-old-proof")
	l.press("section.confirm a")
	l.see("confirm")
	l.fill("main form.credentials button", "input[type=password]", "not the right one")
	l.see("confirm-refused")
	site.stale.Store(false)

	// Another address, and the way back.
	l.open("/account/")
	l.unfold("#change-email")
	l.fill("form[action='/account/email'] button", "#new-email", annNew)
	l.see("email-code")
	l.fill("main form.credentials button", "#code", site.code(annNew))
	l.see("account-email")
	l.open("/mail")
	l.see("mail")
	l.Open(site.undo(ann))
	l.see("undo")
	l.press("main form button")
	l.see("undo-done")
	l.Open(site.undo(ann))
	l.see("undo-over")
	l.open("/account/nothing")
	l.see("not-found")

	// The operator.
	l.signUp2(site, bob)
	if err := site.promote(bob); err != nil {
		l.T.Fatal(err)
	}
	site.addHostile()
	for name, page := range map[string]string{"admin": "", "admin-users": "users", "admin-none": "users?q=nothing", "admin-search": "users?q=" + url.QueryEscape(hostile)} {
		l.open("/admin/" + page)
		l.see(name)
	}
	l.open("/admin/users?q=" + url.QueryEscape(hostile))
	l.press("table.users tbody tr:last-child a")
	l.sees(hostile)
	l.see("admin-user")
	l.open("/account/sign-out")
	l.see("sign-out")
	l.open("/account/")
	l.press("form[action='/account/sign-out'] button")
	fresh := newLook("fresh")
	fresh.open("/account/sign-out")
	fresh.see("signed-out")

	// A crowd.
	site.crowded.Store(true)
	site.slow.Store(true)
	for _, name := range []string{"first", "crowd"} {
		crowd := newLook(name)
		crowd.Quiet = true // the challenge is stopped
		crowd.open("/")
		crowd.Click("#write")
		if name == "crowd" {
			crowd.see("challenge")
		}
	}
	site.crowded.Store(false)
	site.slow.Store(false)

	l.signUp2(site, "carol@example.com")
	l.open("/account/")
	l.unfold("details.danger")
	l.see("delete")
	l.press("form[action='/account/delete'] button")
	l.see("deleted")
}

// handOver lets a visitor without an account go on in another browser.
func (l *look) handOver(other *look) {
	l.T.Helper()
	l.open("/account/device")
	l.press("form[action='/account/device'] button")
	link := l.Text("p[dir=ltr]")
	l.press("a[href$='?opened']")
	l.see("device-code")
	other.open("/")
	other.Click("#write")
	other.Open(link)
	other.see("join-occupied")
	other.press("main form button")
	other.see("wait")
	number := regexp.MustCompile(`\d{4}`).FindString(other.Text("h1"))
	l.open("/account/device")
	l.fill("form[action$='/confirm'] button", "#number", "12")
	l.focus("number")
	l.see("device-number-refused")
	l.fill("form[action$='/confirm'] button", "#number", number)
	other.press("main form button")
	other.open("/account/device")
	other.see("device-two")
	other.Open(link[:len(link)-1]) // of no code
	other.press("main form button")
	other.see("join-over")
}

// A phone of the test has an authenticator app.
type phone struct{ key, recovery string }

// turnOn turns two-step sign-in on.
func (l *look) turnOn() (p phone) {
	l.T.Helper()
	l.open("/account/")
	l.press("form[action='/account/factor/begin'] button")
	p.key = strings.ReplaceAll(l.Text("main code"), " ", "")
	l.fill("form[action='/account/factor/set-up'] button", "#code", "000000")
	l.focus("code")
	l.see("factor-set-up-refused")
	l.fill("form[action='/account/factor/set-up'] button", "#code", p.code(l.T))
	l.see("factor-codes")
	p.recovery = l.Text(".codes code")
	l.press("main a.button")
	if l.Chromium() == nil {
		l.see("account-factor")
		return p
	}
	l.unfold("section[aria-labelledby=factor] details")
	l.fill("form[action='/account/factor/codes'] button", "#factor-code", "what?")
	l.focus("factor-code")
	l.see("account-factor-refused")
	return p
}

func (p phone) code(t *testing.T) string {
	t.Helper()
	code, err := totp.GenerateCode(p.key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// signUp2 makes an account without looking.
func (l *look) signUp2(site *plain, address string) {
	l.T.Helper()
	l.open("/account/sign-up")
	l.fill("main form.credentials button", "#email", address, "#password", secret)
	l.fill("main form.credentials button", "#code", site.code(address))
}

// margin walks through the pages of this site, which has walkin's in its own frame.
func margin(t *testing.T, chromium browser.Engine) {
	server := newServer(t)
	l := &look{tab: newTab(t, chromium, server), name: "margin", views: []browser.View{browser.Views[0], browser.Views[1], browser.Views[4]}, scripts: true, axe: true}
	l.As(l.views[0])
	l.open("/")
	l.see("front-empty")
	if got := browser.Eval[string](l.Page, "document.title"); !strings.HasSuffix(got, " · Margin") {
		t.Errorf("the title is %q", got)
	}
	l.TabTo(".skip")
	if !browser.Eval[bool](l.Page, `document.activeElement.getBoundingClientRect().top >= 0`) {
		t.Error("the link that skips to the content cannot be seen")
	}
	l.do(chromedp.KeyEvent("\r"))
	l.focus("main")

	l.open("/")
	l.fill(".compose button", "#text", "   ")
	l.sees("nothing in this note yet")
	l.focus("text")
	l.see("note-refused")
	l.write("https://example.com/" + strings.Repeat("a-long-address", 20))
	l.write("A heading\nand what is under it")
	l.see("front-guest")
	l.press("header a[href='/signout']")
	l.see("sign-out")
	l.open("/signin")
	l.see("sign-in")
	l.fill(".credentials button", "#email", "nobody@example.com", "#password", secret)
	l.see("sign-in-refused")
	l.open("/")
	l.press("form[action$='/publish'] button")
	l.see("sign-up")
	l.fill(".credentials button", "#email", "ann@example.com", "#password", secret)
	l.see("code")
	l.enter("ann@example.com")
	l.see("publish")
	l.press("main form button")
	l.see("public")
	l.open("/")
	l.see("front-member")
	l.unfold(".note details")
	l.see("delete-note")
	l.open("/account/")
	l.see("account")
	l.unfold("#secret")
	l.fill("form[action='/account/password'] button", "#password", "short")
	l.see("account-refused")
	l.open("/account/code?code=123456")
	l.see("link-elsewhere")
	l.open("/nowhere")
	l.see("not-found")
	l.open("/mail")
	l.see("mail")
}
