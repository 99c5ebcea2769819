package passkey_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/internal/browser"
	"github.com/walkin-go/walkin/store"
)

// tell sends the browser a command.
func tell[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.T.Helper()
	result, err := chromedp.Call(b.Ctx, command, params)
	if err != nil {
		b.T.Fatal(err)
	}
	return result
}

var sitePage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Notes</title>
<p id="who">{{.Who}}</p>
<form method="post" action="/note"><button id="note">Write a note</button></form>
{{if .Suggest}}<form method="post" action="/elsewhere"><label>E-mail <input id="field" name="email" autocomplete="username webauthn"></label></form>{{end}}
<form method="post" action="/out"><button id="out">Sign out</button></form>
<form id="prove" method="post" action="/prove" data-passkey-automatic="/automatic">
	<input type="hidden" name="return_to" value="/?done">
	<button>Sign in with a password</button>
</form>
<form id="register" data-passkey method="post" action="/passkey/register">
	<label>Name <input name="name" value="My device"></label>
	<input type="hidden" name="return_to" value="{{.ReturnTo}}">
	<button>Make a passkey</button>
	<p aria-live="polite"></p>
</form>
<form id="signin" data-passkey data-notallowed="Kein Passkey." method="post" action="/passkey/signin">
	<input type="hidden" name="return_to" value="{{.ReturnTo}}">
	<button>Sign in with a passkey</button>
	<p aria-live="polite"></p>
</form>
{{if .Remove}}<form id="remove" data-passkey-remove="{{.Remove}}" method="post" action="/remove"><input type="hidden" name="id" value="{{.ID}}"><button>Remove</button></form>{{end}}
<script src="/passkey/script.js" defer></script>
</html>
`))

// automaticPage has the browser make a passkey by itself.
const automaticPage = `<!doctype html>
<html lang="en">
<title>Notes</title>
<form data-passkey="automatic" method="post" action="/passkey/register">
	<input type="hidden" name="return_to" value="/?done">
	<button>Make a passkey</button>
	<p aria-live="polite"></p>
</form>
<script src="/passkey/script.js" defer></script>
</html>
`

// serve serves the site's page to a browser, under a strict policy.
func serve(t *testing.T) (base string, s *site) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	base = "http://localhost" + server.Listener.Addr().String()[strings.LastIndex(server.Listener.Addr().String(), ":"):]
	s = newSite(t, func(cfg *walkin.Config, keys *passkey.Config) {
		cfg.Cookies.Insecure = true
		keys.RPID, keys.Origins = "localhost", []string{base}
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		text, err := json.Marshal(who{c.UserID, c.Anonymous, c.SessionID, c.Method, c.ProvenAt.Unix(), s.note(c.UserID)})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'self'; "+
			"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
		if err := sitePage.Execute(w, map[string]string{"Who": string(text), "ReturnTo": r.FormValue("return_to"), "Suggest": r.FormValue("suggest"),
			"Remove": r.FormValue("remove"), "ID": r.FormValue("id")}); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /note", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		s.mu.Lock()
		s.notes[c.UserID]++
		s.mu.Unlock()
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.wk[0].Continue(w, r, walkin.Proof{Provider: "test", Subject: "ann", Method: "pwd"}); err != nil {
			s.wk[0].Refuse(w, r, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /automatic", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, automaticPage) })
	mux.Handle("POST /remove", s.wk[0].FormHandler(nil, func(w http.ResponseWriter, r *http.Request) (string, error) {
		return "/?removed", s.wk[0].Unlink(w, r, passkey.Provider, r.PostFormValue("id"))
	}))
	mux.Handle("POST /out", s.wk[0].SignOutHandler())
	mux.Handle("/passkey/", s.passkeys[0])
	server.Config.Handler = s.wk[0].Handler(mux)
	server.Start()
	t.Cleanup(server.Close)
	return base, s
}

// A tab is one visitor's browser with a device.
type tab struct {
	*browser.Tab
	base   string
	device webauthn.AuthenticatorID
}

func newTab(t *testing.T, chromium context.Context, base string) *tab {
	t.Helper()
	b := &tab{Tab: browser.NewTab(t, chromium), base: base}
	tell(b, webauthn.Enable, webauthn.EnableParams{})
	b.attach(webauthn.AuthenticatorTransportInternal)
	return b
}

func ask[T any](b *tab, action chromedp.Action[T]) T {
	b.T.Helper()
	return browser.Ask(b.Tab, action)
}

// attach gives the tab a device with a screen lock, instead of the one it has.
func (b *tab) attach(transport webauthn.AuthenticatorTransport) {
	b.T.Helper()
	if b.device != "" {
		tell(b, webauthn.RemoveVirtualAuthenticator, webauthn.RemoveVirtualAuthenticatorParams{AuthenticatorID: b.device})
	}
	b.device = tell(b, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21, Transport: transport,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}}).AuthenticatorID
}

func (b *tab) open(path string) { b.T.Helper(); b.Do(chromedp.Navigate(b.base + path)) }

// arrive clicks, and returns who the page says its visitor is that follows.
func (b *tab) arrive(selector string) (who, string) {
	b.T.Helper()
	if _, err := chromedp.RunResponse(b.Ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.T.Fatalf("clicking %s: %v; the page says %q", selector, err, b.said())
	}
	return b.who(), ask(b, chromedp.Location())
}

func (b *tab) who() who {
	b.T.Helper()
	var v who
	if err := json.Unmarshal([]byte(ask(b, chromedp.TextContent(chromedp.CSS("#who")))), &v); err != nil {
		b.T.Fatal(err)
	}
	return v
}

func (b *tab) said() string {
	b.T.Helper()
	return ask(b, chromedp.Evaluate[string](`[...document.querySelectorAll("[aria-live]")].map(e => e.textContent).join("")`))
}

// refused clicks, and wants the page to say words, the visitor to be who they
// were, and the form to be ready for another try.
func (b *tab) refused(form, words string) {
	b.T.Helper()
	before := b.who()
	b.Do(chromedp.Click(chromedp.CSS(form + " button")))
	if !ask(b, chromedp.Poll[bool](`document.querySelector("`+form+` [aria-live]").textContent != "" && !document.querySelector("`+form+` button").disabled`)) {
		b.T.Error("the page says nothing")
	}
	if got := b.said(); !strings.Contains(got, words) {
		b.T.Errorf("the page says %q, want %q", got, words)
	}
	if !ask(b, chromedp.Evaluate[bool](`document.activeElement == document.querySelector("`+form+` button")`)) {
		b.T.Error("the focus has gone elsewhere")
	}
	b.open("/")
	if after := b.who(); after != before {
		b.T.Errorf("got %+v after %+v", after, before)
	}
}

// TestBrowser is what a person does, with a real browser and a virtual device.
func TestBrowser(t *testing.T) {
	chromium := browser.New(t, chromedp.Flag("host-resolver-rules", "MAP insecure.test 127.0.0.1"))
	base, s := serve(t)
	ann := newTab(t, chromium, base)

	ann.open("/")
	guest, _ := ann.arrive("#note")
	if !guest.Anonymous || guest.Notes != 1 {
		t.Fatalf("got %+v after a note", guest)
	}

	// Registering keeps the ID, and leads to where it was to lead.
	ann.open("/?return_to=" + "/%3Fdone")
	member, at := ann.arrive("#register button")
	if member.ID != guest.ID || member.Anonymous || member.Notes != 1 || member.Method != "hwk" || at != base+"/?done" {
		t.Fatalf("got %+v at %s after %+v", member, at, guest)
	}
	keys := s.keysOf(member.ID)
	if len(keys) != 1 || keys[0].Name != "My device" {
		t.Errorf("got %+v", keys)
	}

	// A second one on the same device is not made.
	ann.refused("#register", "This device has a passkey for you already.")

	// Out, and in again without a name.
	if out, _ := ann.arrive("#out"); out.ID == member.ID {
		t.Fatalf("got %+v after signing out", out)
	}
	back, at := ann.arrive("#signin button")
	if back.ID != member.ID || back.Anonymous || back.Notes != 1 || at != base+"/" {
		t.Fatalf("got %+v at %s, want %s", back, at, member.ID)
	}
	again, _ := ann.arrive("#signin button")
	if again.ID != member.ID || again.Session == back.Session {
		t.Errorf("got %+v, want a fresh proof of %s", again, member.ID)
	}

	// What a bad device says signs in no user.
	ann.arrive("#out")
	yes, no := true, false
	override := func(signature, verified *bool) {
		tell(ann, webauthn.SetResponseOverrideBits, webauthn.SetResponseOverrideBitsParams{
			AuthenticatorID: ann.device, IsBogusSignature: signature, IsBadUV: verified})
	}
	override(&yes, &no)
	ann.refused("#signin", "This passkey could not be verified.")
	override(&no, &yes)
	ann.refused("#signin", "Your device did not ask for its PIN")
	override(&no, &no)
	tell(ann, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: ann.device, IsUserVerified: false})
	ann.refused("#signin", "Kein Passkey.") // the page's own words
	ann.refused("#register", "Cancelled, or it took too long.")
	tell(ann, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: ann.device, IsUserVerified: true})

	// Elsewhere is nowhere to go.
	for _, evil := range []string{"//evil.example", `/\evil.example`, "https://evil.example/", "javascript:alert(1)", "http://localhost:1/"} {
		ann.open("/?return_to=" + url.QueryEscape(evil))
		if _, at := ann.arrive("#signin button"); at != base+"/" {
			t.Errorf("%s led to %s", evil, at)
		}
		ann.arrive("#out")
	}

	// A key that the site does not know, and none at all.
	ann.arrive("#signin button")
	if err := s.store.DeleteIdentity(t.Context(), member.ID, passkey.Provider, keys[0].ID); err != nil {
		t.Fatal(err)
	}
	ann.arrive("#out")
	ann.refused("#signin", "We do not know this passkey.")
	tell(ann, webauthn.ClearCredentials, webauthn.ClearCredentialsParams{AuthenticatorID: ann.device})
	ann.refused("#signin", "Kein Passkey.")

	// A member's second device; both open the account.
	bea := newTab(t, chromium, base)
	bea.open("/")
	first, _ := bea.arrive("#register button")
	bea.attach(webauthn.AuthenticatorTransportUsb)
	second, _ := bea.arrive("#register button")
	if second.ID != first.ID || len(s.keysOf(first.ID)) != 2 {
		t.Errorf("got %+v with %d keys after %+v", second, len(s.keysOf(first.ID)), first)
	}
	bea.arrive("#out")
	if got, _ := bea.arrive("#signin button"); got.ID != first.ID {
		t.Errorf("got %+v by the second device, want %s", got, first.ID)
	}

	// While the device waits for a touch the button does, too.
	tell(bea, webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: bea.device, Enabled: false})
	asked := chromedp.Events(bea.Ctx, network.LoadingFinished)
	bea.Do(chromedp.Click(chromedp.CSS("#signin button")))
	for _, err := range asked { // the options are there
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if !ask(bea, chromedp.Evaluate[bool](`document.querySelector("#signin button").disabled`)) {
		t.Error("the button can be pressed again")
	}

	// Browsers without passkeys, and pages without https.
	bea.open("/")
	ask(bea, chromedp.Evaluate[any](`delete window.PublicKeyCredential; null`))
	bea.refused("#signin", "This browser has no passkeys.")
	bea.base = strings.Replace(base, "localhost", "insecure.test", 1)
	bea.open("/")
	bea.refused("#register", "Passkeys do not work on this address.")
}

// TestBrowserSuggests is what a page does whose field may be filled in with a passkey:
// it asks before anything is pressed, makes way for the buttons, and asks again before
// its challenge is over.
func TestBrowserSuggests(t *testing.T) {
	chromium := browser.New(t, chromedp.Flag("host-resolver-rules", "MAP insecure.test 127.0.0.1"))
	base, s := serve(t)
	ann := newTab(t, chromium, base)
	// A page's timers are turned by hand.
	tell(ann, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `self.setInterval = (f, ms) => { self.tick = f; self.every = ms }
			const get = navigator.credentials.get.bind(navigator.credentials)
			self.asked = []
			navigator.credentials.get = o => { asked.push(o); return get(o) }`})
	presence := func(enabled bool) {
		t.Helper()
		tell(ann, webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: ann.device, Enabled: enabled})
	}
	ann.open("/")
	member, _ := ann.arrive("#register button")
	ann.arrive("#out")
	guest, _ := ann.arrive("#note")

	// The visitor does not choose: nothing happens, and nothing is kept.
	presence(false)
	s.store.breaks("PutTicket")
	ann.open("/?suggest=1")
	asked := func(n int) {
		t.Helper()
		ask(ann, chromedp.Poll[bool](fmt.Sprintf(`asked.length == %d`, n)))
		if got := ask(ann, chromedp.Evaluate[string](`asked.at(-1).mediation`)); got != "conditional" {
			t.Errorf("got the mediation %q", got)
		}
	}
	asked(1)
	for range 2 { // an hour passes
		ask(ann, chromedp.Evaluate[any](`tick(); null`))
	}
	asked(3)
	if every := ask(ann, chromedp.Evaluate[int](`every`)); every > 5*60_000-30_000 {
		t.Errorf("a challenge of five minutes is renewed after %d ms", every)
	}
	if n := ask(ann, chromedp.Evaluate[int](`asked.filter(o => !o.signal.aborted).length`)); n != 1 {
		t.Errorf("%d requests wait at the browser, want 1", n)
	}
	if n := ask(ann, chromedp.Evaluate[int](`new Set(asked.map(o => new Uint8Array(o.publicKey.challenge).join())).size`)); n != 3 {
		t.Errorf("three requests have %d challenges", n)
	}
	if got := ann.who(); got != guest || s.store.calls > 0 {
		t.Errorf("got %+v after %+v, and %d tickets", got, guest, s.store.calls)
	}
	s.store.breaks("")
	if said := ann.said(); said != "" {
		t.Errorf("the page says %q", said)
	}

	// The button is pressed all the same, and says no; then the field is there again.
	tell(ann, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: ann.device, IsUserVerified: false})
	presence(true)
	ann.Do(chromedp.Click(chromedp.CSS("#signin button")))
	ask(ann, chromedp.Poll[bool](`document.querySelector("#signin [aria-live]").textContent != ""`))
	if got := ann.said(); got != "Kein Passkey." {
		t.Errorf("the page says %q", got)
	}
	asked(5)
	if got := ask(ann, chromedp.Evaluate[string](`asked.map(o => o.mediation || "button").join()`)); got != "conditional,conditional,conditional,button,conditional" {
		t.Errorf("asked for %s", got)
	}
	presence(false)
	tell(ann, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: ann.device, IsUserVerified: true})

	// The button is pressed, and the owner of the key is there.
	presence(true)
	ann.open("/")
	back, _ := ann.arrive("#signin button")
	if back.ID != member.ID {
		t.Errorf("by the button: got %+v, want %s", back, member.ID)
	}
	ann.arrive("#out")

	// The key is chosen in the field.
	ann.arrive("#note")
	ann.open("/?suggest=1&return_to=/%3Fdone")
	for done := false; !done; { // the page goes away under the question
		done, _ = chromedp.Run(ann.Ctx, chromedp.Poll[bool](`location.search == "?done"`))
		if err := ann.Ctx.Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := ann.who(); got.ID != member.ID || got.Method != "hwk" {
		t.Errorf("by the field: got %+v, want %s", got, member.ID)
	}
}

// TestBrowserForgets holds that a device is told of a key that its site has removed, and
// of no other: neither of one that the site did not remove, nor of one that a sign-in
// finds unknown.
func TestBrowserForgets(t *testing.T) {
	base, s := serve(t)
	ann := newTab(t, browser.New(t), base)
	held := func() int {
		return len(tell(ann, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: ann.device}).Credentials)
	}
	ann.open("/")
	ann.arrive("#note")
	member, _ := ann.arrive("#register button")
	id := s.keysOf(member.ID)[0].ID
	if err := s.store.CreateIdentity(t.Context(), store.Identity{Provider: "test", Subject: "ann", UserID: member.ID, CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	click := func(remove, id string) (at string) {
		ann.open("/?remove=" + remove + "&id=" + id)
		if _, err := chromedp.RunResponse(ann.Ctx, chromedp.Click(chromedp.CSS("#remove button"))); err != nil {
			t.Fatal(err)
		}
		return ask(ann, chromedp.Location())
	}
	if at := click(id, "of-no-key"); at != base+"/remove" || held() != 1 {
		t.Errorf("a removal that was refused led to %s, and the device has %d keys", at, held())
	}
	if at := click(id, id); at != base+"/?removed" || held() != 0 {
		t.Errorf("a removal led to %s, and the device has %d keys", at, held())
	}
}
