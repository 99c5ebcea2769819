package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"html"
	"math/bits"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/walkin-go/walkin/internal/browser"
)

// The site in a real browser: what a person does, with scripts switched on and
// off, and what a person who cannot see it, or has a small screen, needs.

// A tab is one visitor's browser: cookies and all are its own.
type tab struct {
	*browser.Page
	base string
	mail *mailbox

	authenticator webauthn.AuthenticatorID
}

func newTab(t *testing.T, engine browser.Engine, server *host) *tab {
	t.Helper()
	return &tab{Page: browser.NewPage(t, engine), base: server.URL, mail: server.mail}
}

// do runs steps that only Chromium can.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) { b.T.Helper(); b.Chromium().Do(steps...) }

func (b *tab) open(path string) { b.T.Helper(); b.Open(b.base + path) }

func (b *tab) path() string {
	b.T.Helper()
	u, err := url.Parse(b.URL())
	if err != nil {
		b.T.Fatal(err)
	}
	return u.RequestURI()
}

// settle waits until the browser has been asked for a passkey, after a sign-in without.
func (b *tab) settle() {
	b.T.Helper()
	b.Wait(`location.pathname !== "/account/add-passkey" && document.readyState === "complete" && document.body`)
}

func (b *tab) sees(words ...string) {
	b.T.Helper()
	b.settle()
	page := b.Text("body")
	for _, w := range words {
		if !strings.Contains(page, w) {
			b.T.Errorf("%q is not on %s:\n%s", w, b.path(), page)
		}
	}
}

func (b *tab) write(text string) {
	b.T.Helper()
	b.open("/")
	b.Type("#text", text)
	b.Click(".compose button")
	first, _, _ := strings.Cut(text, "\n")
	b.sees(first)
}

func (b *tab) whoami() string {
	b.T.Helper()
	b.open("/whoami")
	return b.Text("body")
}

// credentials fills in a form with an address and a password.
func (b *tab) credentials(email string) {
	b.T.Helper()
	b.Type("#email", email)
	b.Type("#password", secret)
	b.Click(".credentials button")
}

// join makes an account on the page that asks for one.
func (b *tab) join(email string) {
	b.T.Helper()
	b.credentials(email)
	b.sees("We sent a code to", email)
	b.enter(email)
}

// enter types in the code that was sent to an address.
func (b *tab) enter(email string) {
	b.T.Helper()
	code, _ := b.mail.code(email)
	b.Type("#code", code)
	b.Click(".credentials button")
}

func TestBrowser(t *testing.T) {
	browser.Each(t, func(t *testing.T, engine browser.Engine) {
		t.Run("walk", func(t *testing.T) { t.Parallel(); walk(t, engine, true) })
		t.Run("crowd", func(t *testing.T) { t.Parallel(); crowd(t, engine) })
	})
}

func TestChromium(t *testing.T) {
	chromium := browser.Start(t, "chromium")
	t.Run("walk without scripts", func(t *testing.T) { t.Parallel(); walk(t, chromium, false) })
	t.Run("passkey", func(t *testing.T) { t.Parallel(); passkeys(t, chromium) })
	t.Run("overtaken by a crowd", func(t *testing.T) { t.Parallel(); overtaken(t, chromium) })
	t.Run("operator", func(t *testing.T) { t.Parallel(); operator(t, chromium) })
	t.Run("looks", func(t *testing.T) { t.Parallel(); margin(t, chromium) })
}

// walk is what a person does, from the first page on.
func walk(t *testing.T, engine browser.Engine, scripts bool) {
	server := newServer(t)
	newTab := func() *tab {
		b := newTab(t, engine, server)
		if !scripts {
			if _, err := chromedp.Call(b.Chromium().Ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}

	ann := newTab()
	ann.open("/")
	ann.sees("Write it in the margin", "Your user ID")
	ann.write("A word I keep forgetting")
	ann.sees("only this browser opens your 1 note")
	guest := ann.whoami()
	if !strings.Contains(guest, `"is_anonymous":true`) {
		t.Fatalf("whoami says %s after a first note", guest)
	}

	// Publishing is refused, and the refusal leads on.
	ann.open("/")
	ann.Click("form[action$='/publish'] button")
	if got := ann.path(); got != "/upgrade?return_to=%2Fresume" {
		t.Fatalf("publishing led to %s", got)
	}
	ann.sees("Publishing takes an account")
	ann.join("ann@example.com")
	if got := ann.path(); got != "/resume" {
		t.Fatalf("the upgrade led to %s", got)
	}
	ann.sees("Your account is ready", "A word I keep forgetting", "ann@example.com")
	ann.Click("main form button")
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
	ann.Click("header form button")
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
	work.Click("header nav a[href^='/signin']")
	work.sees("The 1 note you wrote here will come along")
	work.credentials("ann@example.com")
	work.sees("A word I keep forgetting", "Written on another machine")
	if got := work.whoami(); got != member {
		t.Fatalf("whoami says %s, want %s", got, member)
	}
	ann.open("/")
	ann.sees("A word I keep forgetting", "Written on another machine")

	// A provider opens her account, too, once she has connected it.
	ann.Click("header a[href='/account/']")
	ann.sees("ann@example.com", "This is your only way to sign in")
	ann.Click("a[href='/account/connect?provider=sample']")
	ann.sees("Connect Sample ID?")
	ann.Click("form[action='/account/provider/start'] button")
	ann.Type("#name", "Ann")
	ann.Click("main button")
	ann.sees("The new sign-in method works from now on", "Sample ID")
	ann.Click("header form button")
	ann.open("/signin?return_to=/account/")
	ann.Click("form[action='/account/provider/start'] button")
	ann.Click("main button.no")
	ann.sees("Sign in", "You did not go on")
	ann.Click("form[action='/account/provider/start'] button")
	ann.Type("#name", "Ann")
	ann.Click("main button")
	ann.sees("Your account", "ann@example.com")
	if got := ann.whoami(); got != member {
		t.Fatalf("whoami says %s, want %s", got, member)
	}

	// An anonymous user who signs out is warned of what that means.
	gone := newTab()
	gone.write("Soon to be nobody's")
	gone.Click("header a[href='/signout']")
	gone.sees("You would lose your 1 note")
	gone.Click("main button.danger")
	gone.sees("You are signed out", "Write it in the margin")
}

// passkeys opens an account with a device, and comes back to it with the same one.
func passkeys(t *testing.T, chromium browser.Engine) {
	server := newServer(t)
	ann := newTab(t, chromium, server)
	ann.device()
	ann.write("A word I keep forgetting")
	guest := ann.whoami()
	ann.open("/upgrade")
	ann.Click("form[action='/account/passkey/register'] button")
	ann.sees("Your account is ready", "A word I keep forgetting", "Member ")
	if got, want := ann.whoami(), strings.Replace(guest, "true", "false", 1); got != want {
		t.Fatalf("whoami says %s, want %s", got, want)
	}
	ann.open("/account/")
	ann.sees("This is your only way to sign in", "Passkey")
	ann.do(chromedp.Click(chromedp.CSS(".list summary")), chromedp.Clear(chromedp.CSS(".list input[name=name]")))
	ann.Type(".list input[name=name]", "The red laptop")
	ann.Click(".list details button")
	ann.sees("The red laptop")

	// A second way, by mail, and back in by the first.
	ann.do(chromedp.Click(chromedp.CSS("details:has(#email) > summary")))
	ann.Type("#email", "ann@example.com")
	ann.Click("form[action='/signin/send'] button")
	ann.enter("ann@example.com")
	ann.sees("The new sign-in method works from now on", "The red laptop", "ann@example.com")
	ann.Click("header form button")
	ann.open("/signin") // where the browser suggests the key, and this device's owner always takes it
	ann.Wait(`document.querySelector(".note") && document.readyState === "complete"`)
	ann.sees("A word I keep forgetting", "ann@example.com")

	// A browser that has signed in with a code makes one of its own by itself. It would ask
	// its password manager, which a virtual device has not.
	bea := newTab(t, chromium, server)
	bea.device()
	if _, err := chromedp.Call(bea.Chromium().Ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `const create = navigator.credentials.create.bind(navigator.credentials)
			navigator.credentials.create = ({mediation, ...o}) => mediation == "conditional" ? create(o) : Promise.reject(new TypeError)`,
	}); err != nil {
		t.Fatal(err)
	}
	bea.open("/signin")
	bea.Wait(`document.querySelector(".credentials").return_to.value.startsWith("/account/add-passkey?")`)
	bea.Type("#email", "ann@example.com")
	bea.Click("button[formaction]")
	bea.enter("ann@example.com")
	bea.sees("Your browser has added a passkey to your account", "A word I keep forgetting")
	server.mail.wantLast(t, "ann@example.com", "A new way to sign in")

	// A user who cancels at the device's question is where they were.
	ann.Click("header form button")
	ann.allow(false)
	ann.open("/signin")
	ann.Press("form[action='/account/passkey/signin'] button")
	ann.do(chromedp.WaitVisible(chromedp.CSS("form[action='/account/passkey/signin'] .problem")))
	ann.sees("Cancelled, or it took too long")
}

// device gives the tab a device that has a screen lock.
func (b *tab) device() {
	b.T.Helper()
	if _, err := chromedp.Call(b.Chromium().Ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		b.T.Fatal(err)
	}
	added, err := chromedp.Call(b.Chromium().Ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		b.T.Fatal(err)
	}
	b.authenticator = added.AuthenticatorID
}

// allow says whether its owner's finger fits.
func (b *tab) allow(verified bool) {
	b.T.Helper()
	if _, err := chromedp.Call(b.Chromium().Ctx, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: b.authenticator, IsUserVerified: verified}); err != nil {
		b.T.Fatal(err)
	}
}

// crowd writes a note where many others did: the browser works for a moment, and
// then the note is kept, as it was typed.
func crowd(t *testing.T, engine browser.Engine) {
	server := newHost(t, config{crowded: true})
	for range 2 {
		newBrowser(t, server).write("one of the crowd")
	}
	ann := newTab(t, engine, server)
	ann.open("/")
	ann.Type("#text", "Seven lemons & a half\nfor “tea”")
	ann.Press(".compose button")
	ann.Wait(`document.querySelector(".note") && document.readyState === "complete"`)
	ann.sees("Your notes", "Seven lemons & a half", "for “tea”")
	ann.write("Another one, at once")
}

// overtaken solves a challenge while sixteen others of the network do: the site asks
// for more, the browser goes on by itself, and the note arrives.
func overtaken(t *testing.T, chromium browser.Engine) {
	server := newHost(t, config{crowded: true})
	for range 2 {
		newBrowser(t, server).write("one of the crowd")
	}
	ann := newTab(t, chromium, server)
	var answers atomic.Int32
	var others sync.WaitGroup
	t.Cleanup(others.Wait) // what they find belongs to this test
	paused := func(r *fetch.EventRequestPaused) {
		if answers.Add(1) == 1 {
			for range 16 {
				work(t, server)
			}
		}
		if _, err := chromedp.Call(ann.Chromium().Ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: r.RequestID}); err != nil {
			t.Error(err)
		}
	}
	if err := chromedp.Listen(ann.Chromium().Ctx, func(ev any) {
		if ev, ok := ev.(*fetch.EventRequestPaused); ok {
			others.Go(func() { paused(ev) })
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ann.Chromium().Ctx, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: "*/challenge/solved"}}}); err != nil {
		t.Fatal(err)
	}
	ann.open("/")
	ann.Type("#text", "Seven lemons, late")
	ann.Press(".compose button")
	ann.Wait(`document.querySelector(".note") && document.readyState === "complete"`)
	ann.sees("Your notes", "Seven lemons, late")
	if got := answers.Load(); got != 2 {
		t.Errorf("the browser sent %d answers, want 2", got)
	}
}

var challenged = regexp.MustCompile(`data-challenge="([^"]+)" data-bits="(\d+)"`)

// work solves a challenge for another client.
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
	for try := []byte(text + ":"); ; n++ { // a million times and more, so nothing is allocated
		sum := sha256.Sum256(strconv.AppendInt(try, int64(n), 10))
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
