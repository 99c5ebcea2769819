package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"html"
	"math/bits"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/walkin-go/walkin/internal/testserver"
)

// The site in a real browser: what a person does, with scripts switched on and
// off, and what a person who cannot see it, or has a small screen, needs.

// newChromium starts a browser, or skips the test when there is none.
func newChromium(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(testserver.Chromium(t)),
		chromedp.DisableGPU,
		chromedp.UserAgent(chrome), // by its own, a headless browser is a robot, and gets no user for looking
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it cannot be had as root, and only our own pages are shown
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until it is gone, and its profile with it
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// A tab is somebody's browser: cookies and all are its own.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string
	mail *mailbox

	authenticator webauthn.AuthenticatorID
	paused        func(*fetch.EventRequestPaused) // of requests that are held up

	mu         sync.Mutex
	complaints []string // of the browser about our pages
}

func newTab(t *testing.T, browser context.Context, server *host) *tab {
	t.Helper()
	b := &tab{t: t, base: server.URL, mail: server.mail}
	var cancel context.CancelFunc
	b.ctx, cancel = chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.listen))
	t.Cleanup(func() {
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range b.complaints {
			t.Errorf("the browser complains: %s", c)
		}
	})
	b.do(chromedp.Steps())
	return b
}

// listen notes what the console shows: errors of scripts, refusals by the
// content security policy, bad markup, missing files.
func (b *tab) listen(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		if e := ev.Entry; e.Source != log.EntrySourceNetwork || !strings.Contains(e.Text, "with a status of 4") {
			b.complaints = append(b.complaints, fmt.Sprintf("%s: %s %s", e.Source, e.Text, e.URL))
		}
	case *fetch.EventRequestPaused:
		go b.paused(ev)
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, ev.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console.%s", ev.Type))
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func ask[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *tab) open(path string) { b.t.Helper(); b.do(chromedp.Navigate(b.base + path)) }

func (b *tab) fill(field, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS(field), text))
}

// click clicks and waits for the page that follows.
func (b *tab) click(selector string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("clicking %s on %s: %v", selector, b.path(), err)
	}
}

func (b *tab) path() string {
	b.t.Helper()
	u, err := url.Parse(ask(b, chromedp.Location()))
	if err != nil {
		b.t.Fatal(err)
	}
	return u.RequestURI()
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	return ask(b, chromedp.TextContent(chromedp.CSS(selector)))
}

func (b *tab) sees(words ...string) {
	b.t.Helper()
	page := b.text("body")
	for _, w := range words {
		if !strings.Contains(page, w) {
			b.t.Errorf("%q is not on %s:\n%s", w, b.path(), page)
		}
	}
}

func (b *tab) write(text string) {
	b.t.Helper()
	b.open("/")
	b.fill("#text", text)
	b.click(".compose button")
	first, _, _ := strings.Cut(text, "\n")
	b.sees(first)
}

func (b *tab) whoami() string {
	b.t.Helper()
	b.open("/whoami")
	return b.text("body")
}

// credentials fills in a form with an address and a password.
func (b *tab) credentials(email string) {
	b.t.Helper()
	b.fill("#email", email)
	b.fill("#password", secret)
	b.click(".credentials button")
}

// join makes an account on the page that asks for one.
func (b *tab) join(email string) {
	b.t.Helper()
	b.credentials(email)
	b.sees("Look in your mail", email)
	b.enter(email)
}

// enter types in the code that was sent to an address.
func (b *tab) enter(email string) {
	b.t.Helper()
	code, _ := b.mail.code(email)
	b.fill("#code", code)
	b.click(".credentials button")
}

func TestBrowser(t *testing.T) {
	browser := newChromium(t)
	t.Run("walk", func(t *testing.T) { t.Parallel(); walk(t, browser, true) })
	t.Run("walk without scripts", func(t *testing.T) { t.Parallel(); walk(t, browser, false) })
	t.Run("passkey", func(t *testing.T) { t.Parallel(); passkeys(t, browser) })
	t.Run("crowd", func(t *testing.T) { t.Parallel(); crowd(t, browser) })
	t.Run("overtaken by a crowd", func(t *testing.T) { t.Parallel(); overtaken(t, browser) })
	t.Run("accessibility", func(t *testing.T) { t.Parallel(); accessibility(t, browser) })
}

// walk is what a person does, from the first page on.
func walk(t *testing.T, browser context.Context, scripts bool) {
	server := newServer(t)
	newTab := func() *tab {
		b := newTab(t, browser, server)
		if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts}); err != nil {
			t.Fatal(err)
		}
		return b
	}

	ann := newTab()
	ann.open("/")
	ann.sees("Write it in the margin", "You are Guest")
	ann.write("A word I keep forgetting")
	ann.sees("only this browser opens your 1 note")
	guest := ann.whoami()
	if !strings.Contains(guest, `"is_anonymous":true`) {
		t.Fatalf("whoami says %s after a first note", guest)
	}

	// Publishing is refused, and the refusal leads on.
	ann.open("/")
	ann.click("form[action$='/publish'] button")
	if got := ann.path(); got != "/upgrade?return_to=%2Fresume" {
		t.Fatalf("publishing led to %s", got)
	}
	ann.sees("Publishing takes an account")
	ann.join("ann@example.com")
	if got := ann.path(); got != "/resume" {
		t.Fatalf("the upgrade led to %s", got)
	}
	ann.sees("Your account is ready", "A word I keep forgetting", "ann@example.com")
	ann.click("main form button")
	public := ann.path()
	if !strings.HasPrefix(public, "/p/") {
		t.Fatalf("publishing led to %s", public)
	}
	ann.sees("A word I keep forgetting", "This is yours")
	member := ann.whoami()
	if want := strings.Replace(guest, "true", "false", 1); member != want {
		t.Fatalf("whoami says %s, want %s", member, want)
	}

	// Out and in again.
	ann.open("/")
	ann.click("header form button")
	ann.sees("You are signed out", "Write it in the margin")
	if got := ann.whoami(); strings.Contains(got, member[:40]) {
		t.Fatalf("whoami says %s after signing out of %s", got, member)
	}
	ann.open("/signin")
	ann.credentials("ann@example.com")
	ann.sees("ann@example.com", "A word I keep forgetting")
	if got := ann.whoami(); got != member {
		t.Fatalf("whoami says %s, want %s", got, member)
	}

	// Another browser, with notes of its own, turns out to be hers, too.
	work := newTab()
	work.open(public)
	work.sees("A word I keep forgetting", "Somebody wrote this")
	work.write("Written on another machine")
	work.click("header nav a[href^='/signin']")
	work.sees("The 1 note you wrote here will come along")
	work.credentials("ann@example.com")
	work.sees("A word I keep forgetting", "Written on another machine")
	if got := work.whoami(); got != member {
		t.Fatalf("whoami says %s, want %s", got, member)
	}
	ann.open("/")
	ann.sees("A word I keep forgetting", "Written on another machine")

	// A provider opens her account, too, once she has connected it.
	ann.click("header a[href='/account']")
	ann.sees("ann@example.com", "It stays until there is another")
	ann.click("form[action='/auth/start'] button")
	ann.fill("#name", "Ann")
	ann.click("main button")
	ann.sees("That opens your account from now on", "Sample ID")
	ann.click("header form button")
	ann.open("/signin?return_to=/account")
	ann.click("form[action='/auth/start'] button")
	ann.click("main button.no")
	ann.sees("Sign in", "You did not go on")
	ann.click("form[action='/auth/start'] button")
	ann.fill("#name", "Ann")
	ann.click("main button")
	ann.sees("Welcome back", "ann@example.com")
	if got := ann.whoami(); got != member {
		t.Fatalf("whoami says %s, want %s", got, member)
	}

	// A guest who signs out is warned of what that means.
	gone := newTab()
	gone.write("Soon to be nobody's")
	gone.click("header a[href='/signout']")
	gone.sees("You would lose your note")
	gone.click("main button.danger")
	gone.sees("You are signed out", "Write it in the margin")
}

// passkeys opens an account with a device, and comes back to it with the same one.
func passkeys(t *testing.T, browser context.Context) {
	server := newServer(t)
	ann := newTab(t, browser, server)
	ann.device()
	ann.write("A word I keep forgetting")
	guest := ann.whoami()
	ann.open("/upgrade")
	ann.click("form[action='/passkey/register'] button")
	ann.sees("Your account is ready", "A word I keep forgetting", "Member ")
	if got, want := ann.whoami(), strings.Replace(guest, "true", "false", 1); got != want {
		t.Fatalf("whoami says %s, want %s", got, want)
	}
	ann.open("/account")
	ann.sees("One thing opens it", "Passkey", "It stays until there is another")
	ann.do(chromedp.Click(chromedp.CSS(".ways summary")), chromedp.Clear(chromedp.CSS(".ways input[name=name]")))
	ann.fill(".ways input[name=name]", "The red laptop")
	ann.click(".ways details button")
	ann.sees("The red laptop")

	// A second way, by mail, and back in by the first.
	ann.fill("#email", "ann@example.com")
	ann.click("form[action='/signin/send'] button")
	ann.enter("ann@example.com")
	ann.sees("That opens your account from now on", "The red laptop", "ann@example.com")
	ann.click("header form button")
	ann.open("/signin") // where the browser suggests the key, and this device's owner always takes it
	ann.do(chromedp.WaitVisible(chromedp.CSS(".note")))
	ann.sees("Welcome back", "A word I keep forgetting", "ann@example.com")

	// Whoever changes their mind at the device's question is where they were.
	ann.click("header form button")
	ann.allow(false)
	ann.open("/signin")
	ann.do(chromedp.Click(chromedp.CSS("form[action='/passkey/signin'] button")))
	ann.do(chromedp.WaitVisible(chromedp.CSS("form[action='/passkey/signin'] .error")))
	ann.sees("Cancelled, or it took too long")
}

// device gives the tab a device that has a screen lock.
func (b *tab) device() {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	added, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.authenticator = added.AuthenticatorID
}

// allow says whether its owner's finger fits.
func (b *tab) allow(verified bool) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: b.authenticator, IsUserVerified: verified}); err != nil {
		b.t.Fatal(err)
	}
}

// crowd writes a note where many others did: the browser works for a moment, and
// then the note is kept, as it was typed.
func crowd(t *testing.T, browser context.Context) {
	server := newHost(t, config{crowded: true})
	for range 2 {
		newBrowser(t, server).write("one of the crowd")
	}
	ann := newTab(t, browser, server)
	ann.open("/")
	ann.fill("#text", "Seven lemons & a half\nfor “tea”")
	ann.do(chromedp.Click(chromedp.CSS(".compose button")))
	ann.do(chromedp.WaitVisible(chromedp.CSS(".note")))
	ann.sees("Your notes", "Seven lemons & a half", "for “tea”")
	ann.write("Another one, at once")
}

// overtaken solves a challenge while sixteen others of the network do: the site asks
// for more, the browser goes on by itself, and the note arrives.
func overtaken(t *testing.T, browser context.Context) {
	server := newHost(t, config{crowded: true})
	for range 2 {
		newBrowser(t, server).write("one of the crowd")
	}
	ann := newTab(t, browser, server)
	var answers atomic.Int32
	ann.paused = func(r *fetch.EventRequestPaused) {
		if answers.Add(1) == 1 {
			for range 16 {
				work(t, server)
			}
		}
		if _, err := chromedp.Call(ann.ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: r.RequestID}); err != nil {
			t.Error(err)
		}
	}
	if _, err := chromedp.Call(ann.ctx, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: "*/challenge/solved"}}}); err != nil {
		t.Fatal(err)
	}
	ann.open("/")
	ann.fill("#text", "Seven lemons, late")
	ann.do(chromedp.Click(chromedp.CSS(".compose button")))
	ann.do(chromedp.WaitVisible(chromedp.CSS(".note")))
	ann.sees("Your notes", "Seven lemons, late")
	if got := answers.Load(); got != 2 {
		t.Errorf("the browser sent %d answers, want 2", got)
	}
}

var challenged = regexp.MustCompile(`data-challenge="([^"]+)" data-bits="(\d+)"`)

// work solves a challenge for somebody else.
func work(t *testing.T, server *host) {
	t.Helper()
	p := newBrowser(t, server)
	p.get("/")
	found := challenged.FindStringSubmatch(p.post("/notes", "text", "one more").body)
	if found == nil {
		t.Error("nobody was challenged")
		return
	}
	text := html.UnescapeString(found[1])
	difficulty, err := strconv.Atoi(found[2])
	if err != nil {
		t.Error(err)
	}
	n := 0
	for ; ; n++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d", text, n))
		if bits.LeadingZeros64(binary.BigEndian.Uint64(sum[:8])) >= difficulty {
			break
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/challenge/solved",
		strings.NewReader(fmt.Sprintf(`{"Challenge":%q,"Solution":"%d"}`, text, n)))
	if err != nil {
		t.Error(err)
		return
	}
	response, err := p.http.Do(r)
	if err != nil {
		t.Error(err)
		return
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Errorf("a solution of %d bits was answered with %d", difficulty, response.StatusCode)
	}
}

// Everybody can use every page: both themes, down to 320 pixels.
func accessibility(t *testing.T, browser context.Context) {
	server := newServer(t)
	ann := newTab(t, browser, server)
	check := func(name string) {
		t.Helper()
		for _, scheme := range []string{"light", "dark"} {
			ann.emulate(scheme, 1280)
			for _, problem := range ask(ann, chromedp.Evaluate[[]string](audit)) {
				t.Errorf("%s, %s: %s", name, scheme, problem)
			}
		}
		ann.emulate("light", 320)
		if got := ask(ann, chromedp.Evaluate[int]("document.documentElement.scrollWidth")); got > 320 {
			t.Errorf("%s is %d pixels wide on a screen of 320", name, got)
		}
		ann.emulate("light", 1280)
	}

	ann.open("/")
	check("empty front page")
	ann.do(chromedp.KeyEvent("\t"))
	if !ask(ann, chromedp.Evaluate[bool](`document.activeElement.matches(".skip") && document.activeElement.getBoundingClientRect().top >= 0`)) {
		t.Error("the first tab does not show the link that skips to the content")
	}
	ann.do(chromedp.KeyEvent("\r"))
	if got := ask(ann, chromedp.Evaluate[string]("document.activeElement.id")); got != "main" {
		t.Errorf("the skip link leads to %q", got)
	}

	ann.open("/")
	ann.fill("#text", "   ")
	ann.click(".compose button")
	ann.sees("nothing in this note yet")
	check("refused note")
	if got := ask(ann, chromedp.Evaluate[string]("document.activeElement.id")); got != "text" {
		t.Errorf("after a refused note the focus is on %q", got)
	}

	ann.write("https://example.com/" + strings.Repeat("a-long-address", 20))
	ann.write("A heading\nand what is under it")
	check("front page of a guest")
	ann.click("header a[href='/signout']")
	check("sign-out page")
	ann.open("/signin")
	check("sign-in page")
	ann.credentials("nobody@example.com")
	check("refused sign-in")
	ann.open("/upgrade")
	check("upgrade page")
	ann.fill("#email", "ann@example.com")
	ann.fill("#password", "password")
	ann.click(".credentials button")
	check("refused upgrade")
	ann.open("/")
	ann.click("form[action$='/publish'] button")
	ann.credentials("ann@example.com")
	check("code page")
	ann.fill("#code", "12")
	ann.click(".credentials button")
	check("refused code")
	ann.enter("ann@example.com")
	check("publish page")
	ann.click("main form button")
	check("public page")
	ann.open("/")
	check("front page of a member")
	ann.click(".note a[href^='/notes/']")
	check("edit page")
	ann.open("/account")
	check("account page with one way in")
	ann.click("form[action='/auth/start'] button")
	ann.fill("#name", "Ann")
	ann.click("main button")
	check("account page with two")
	ann.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("form[action='/account/password']").noValidate = true`))
	ann.fill("#password", "short")
	ann.click("form[action='/account/password'] button")
	check("refused password")
	ann.open("/signin/code")
	check("code page without a code")
	ann.open("/code?code=123456")
	check("link from another browser")
	ann.open("/nowhere")
	check("page that is not there")
}

func (b *tab) emulate(scheme string, width int64) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	}); err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(width, 800))
}

// audit returns what is wrong with a page, by rules of WCAG 2.2 that a machine
// can judge.
const audit = `(() => {
	const wrong = [];
	const all = (selector) => [...document.querySelectorAll(selector)];
	const say = (el) => el.outerHTML.slice(0, 90);

	if (document.documentElement.lang !== "en") wrong.push("no language");
	if (!document.title.endsWith(" · Margin")) wrong.push("title: " + document.title);
	for (const [selector, count] of [["h1", 1], ["main", 1], ["body > header", 1], ["body > footer", 1], ["nav[aria-label]", 1], ["meta[name=viewport]", 1]])
		if (all(selector).length !== count) wrong.push(all(selector).length + " of " + selector);
	let level = 0;
	for (const h of all("h1, h2, h3, h4, h5, h6")) {
		if (+h.tagName[1] > level + 1) wrong.push("heading skips a level: " + say(h));
		level = +h.tagName[1];
		if (!h.textContent.trim()) wrong.push("empty heading");
	}
	const ids = all("[id]").map((el) => el.id);
	for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push("twice: #" + id);
	for (const el of all("[aria-describedby], [aria-labelledby]"))
		for (const id of ((el.getAttribute("aria-describedby") || "") + " " + (el.getAttribute("aria-labelledby") || "")).trim().split(/\s+/))
			if (!document.getElementById(id)) wrong.push("describes nothing: #" + id);
	for (const el of all("[tabindex]")) if (el.tabIndex > 0) wrong.push("tabindex: " + say(el));
	for (const el of all("input:not([type=hidden]), textarea, select")) {
		if (!el.labels.length || !el.labels[0].textContent.trim()) wrong.push("no label: " + say(el));
		if (el.matches("[type=email], [type=password]") && !el.autocomplete) wrong.push("no autocomplete: " + say(el));
		if (el.getAttribute("aria-invalid") === "true" && !/error/.test(el.getAttribute("aria-describedby"))) wrong.push("its error is elsewhere: " + say(el));
	}
	for (const el of all("a, button, summary")) {
		if (!el.textContent.trim()) wrong.push("no name: " + say(el));
		const box = el.getBoundingClientRect();
		if (!el.closest("p, li") && !el.matches(".skip") && box.height > 0 && box.height < 24) wrong.push("small target, " + box.height + "px: " + say(el));
	}
	for (const el of all("[style], script:not([src]), [onclick]")) wrong.push("inline: " + say(el));

	const rgb = (color) => color.match(/[\d.]+/g).map(Number);
	const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + .05) / (y + .05); };
	const behind = (el) => {
		for (; el; el = el.parentElement) {
			const color = rgb(getComputedStyle(el).backgroundColor);
			if (color.length === 3 || color[3] === 1) return color;
			if (color[3] > 0) wrong.push("see-through: " + say(el));
		}
		return [255, 255, 255];
	};
	for (const el of all("body *")) {
		const style = getComputedStyle(el);
		const words = [...el.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
		if (words && el.getClientRects().length) {
			const large = parseFloat(style.fontSize) >= 24;
			const got = ratio(rgb(style.color), behind(el));
			if (got < (large ? 3 : 4.5)) wrong.push("contrast " + got.toFixed(2) + ": " + say(el));
		}
		if (el.matches("input:not([type=hidden]), textarea")) {
			const got = ratio(rgb(style.borderTopColor), behind(el.parentElement));
			if (got < 3) wrong.push("border " + got.toFixed(2) + ": " + say(el));
		}
	}
	return wrong;
})()`
