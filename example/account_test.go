package main

import (
	"database/sql"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin/walkintest"
)

// Four ways into one account, and what its owner does about them.
func TestAccount(t *testing.T) {
	server := newServer(t)
	ann := newBrowser(t, server)
	ann.write("hi")
	guest := ann.whoami()
	ann.upgrade("ann@example.com")
	if got := ann.whoami(); got.ID != guest.ID || got.IsAnonymous {
		t.Fatalf("got %+v after an upgrade, want %s and not anonymous", got, guest.ID)
	}
	ann.get("/account/").must(t, 200, "").has(t, "ann@example.com", "Password, or code by e-mail", "This is your only way to sign in").lacks(t, ">Remove")

	// Another way in, and a notice of it to the address that was there before.
	ann.get("/account/connect?provider=sample").must(t, 200, "").has(t, "Connect Sample ID?") // it asks before it links
	ann.goAs("Ann", "return_to", "/account/?done=added").must(t, 303, "/account/?done=added")
	ann.get("/account/?done=added").must(t, 303, "/account/")
	ann.get("/account/").has(t, "Sample ID", "The new sign-in method works from now on", ">Remove").lacks(t, "Connect Sample ID")
	ann.get("/account/").lacks(t, "The new sign-in method works") // it is said once
	server.mail.wantLast(t, "ann@example.com", "A new way to sign in")
	ann.post("/signin/send", "email", "ann@work.example", "return_to", "/account/?done=added").must(t, 303, "/signin/code?return_to=%2Faccount%2F%3Fdone%3Dadded")
	ann.enter("/signin/code", "ann@work.example", "return_to", "/account/?done=added").must(t, 303, "/account/?done=added")
	server.mail.wantLast(t, "ann@example.com", "A new way to sign in")
	if got := server.mail.to("ann@work.example"); len(got) != 1 {
		t.Errorf("the new address got %q, want its code alone", got)
	}

	// Each opens the same account elsewhere.
	work := newBrowser(t, server)
	work.goAs("ann").must(t, 303, "/") // names are the same in any case there
	other := newBrowser(t, server)
	other.post("/signin/send", "email", "ann@work.example").must(t, 303, "/signin/code")
	other.enter("/signin/code", "ann@work.example").must(t, 303, "/")
	for _, p := range []*person{work, other} {
		if got := p.whoami(); got.ID != guest.ID || got.IsAnonymous {
			t.Fatalf("got %+v, want %s", got, guest.ID)
		}
	}

	// One is removed: everybody else is out, and the address that it was hears of it.
	ann.get("/account/") // shows what was said
	ann.change("remove", "provider", "email", "subject", "ann@work.example").must(t, 303, "/account/?done=removed")
	ann.get("/account/?done=removed").must(t, 303, "/account/")
	ann.get("/account/").has(t, "The sign-in method is removed").lacks(t, "ann@work.example")
	for _, address := range []string{"ann@example.com", "ann@work.example"} {
		server.mail.wantLast(t, address, "A sign-in method of Margin was removed")
	}
	other.post("/account/end-others").must(t, 303, "/signin") // rejected for writes at once, and for reads soon
	again := newBrowser(t, server)
	again.post("/signin/send", "email", "ann@work.example").must(t, 303, "/signin/code")
	again.enter("/signin/code", "ann@work.example").must(t, 303, "/")
	if again.whoami().ID == guest.ID {
		t.Error("a removed address opens the account still")
	}

	// A new password: all other browsers are out, and it signs in.
	ann.change("password", "email", "again@example.com", "password", "a newer one than that").must(t, 303, "/account/?done=password")
	server.mail.wantLast(t, "ann@example.com", "Your password for Margin was changed")
	work.post("/account/end-others").must(t, 303, "/signin")
	ann.post("/signin", "email", "ann@example.com", "password", secret).must(t, 401, "")
	ann.post("/signin", "email", "ann@example.com", "password", "a newer one than that").must(t, 303, "/")
	if got := ann.whoami(); got.ID != guest.ID {
		t.Fatalf("got %+v, want %s", got, guest.ID)
	}

	ann.post("/signout").must(t, 303, "/")
	ann.get("/").has(t, "You are signed out", "Write it in the margin")
	ann.get("/").lacks(t, "You are signed out")
	ann.goAs("Ann").must(t, 303, "/")
	ann.change("download").must(t, 200, "").has(t, "ann@example.com", `"Text": "hi"`).lacks(t, "argon2")
	ann.change("delete").must(t, 200, "").has(t, "Your account is deleted").lacks(t, ">hi<")
	server.mail.wantLast(t, "ann@example.com", "Your account at Margin is deleted")
	ann.post("/signin", "email", "ann@example.com", "password", "a newer one than that").must(t, 401, "")
}

func (m *mailbox) wantLast(t *testing.T, address, words string) {
	t.Helper()
	all := m.to(address)
	if len(all) == 0 || !strings.Contains(all[len(all)-1], words) {
		t.Errorf("%s got %q, want %q last", address, all, words)
	}
}

// TestAddPasskey holds who is asked for a passkey on the way: whoever has signed in
// without one a moment ago.
func TestAddPasskey(t *testing.T) {
	server := newServer(t)
	ann := newBrowser(t, server)
	const page = "/account/add-passkey?return_to=%2Fp%2Fx"
	ann.get(page).must(t, 303, "/p/x")
	ann.write("hi")
	ann.get(page).must(t, 303, "/p/x")
	ann.upgrade("ann@example.com")
	ann.post("/signout").must(t, 303, "/")
	ann.get("/signin").has(t, `data-passkey-automatic="/account/add-passkey"`)
	ann.post("/signin", "email", "ann@example.com", "password", secret, "return_to", page).must(t, 303, page)
	ann.get(page).must(t, 200, "").has(t, `<form data-passkey="automatic" method="post" action="/account/passkey/register">`, `value="/p/x"`, `href="/p/x"`)
	for _, elsewhere := range []string{"//evil.example", "https://evil.example/", "javascript:alert(1)", `/\evil.example`} {
		ann.get("/account/add-passkey?return_to="+url.QueryEscape(elsewhere)).must(t, 200, "").lacks(t, "evil", "javascript:")
	}
	ann.post("/signout").must(t, 303, "/")
	ann.goAs("Ann").must(t, 303, "/") // the provider has factors of its own
	ann.get(page).must(t, 303, "/p/x")
}

// An address without a password, and the password that comes later.
func TestCodeAlone(t *testing.T) {
	server := newServer(t)
	ann := newBrowser(t, server)
	ann.write("hi")
	guest := ann.whoami()
	ann.post("/upgrade", "email", "ann@example.com", "password", "").must(t, 303, "/upgrade/code")
	ann.post("/upgrade/code", "code", "000000").must(t, 401, "").has(t, `id="error"`)
	ann.enter("/upgrade/code", "ann@example.com").must(t, 303, "/")
	if got := ann.whoami(); got.ID != guest.ID || got.IsAnonymous {
		t.Fatalf("got %+v, want %s and not anonymous", got, guest.ID)
	}
	ann.get("/account/").has(t, "Code by e-mail", "Set a password")
	ann.change("password", "password", secret).must(t, 303, "/account/?done=password")
	ann.post("/signin", "email", "ann@example.com", "password", secret).must(t, 303, "/")

	// What is typed beside the address on the sign-in form is no new password.
	bob := newBrowser(t, server)
	bob.post("/signin/send", "email", "bob@example.com", "password", secret).must(t, 303, "/signin/code")
	bob.enter("/signin/code", "bob@example.com").must(t, 303, "/")
	newBrowser(t, server).post("/signin", "email", "bob@example.com", "password", secret).must(t, 401, "")
}

// The link in a mail goes on in the browser that asked, and shows the code in
// every other.
func TestLinkInMail(t *testing.T) {
	server := newServer(t)
	ann := newBrowser(t, server)
	ann.write("hi")
	guest := ann.whoami()
	ann.post("/upgrade", "email", "ann@example.com", "return_to", "/resume").must(t, 303, "/upgrade/code?return_to=%2Fresume")
	code, link := server.mail.code("ann@example.com")
	path := strings.TrimPrefix(link, server.URL)
	newBrowser(t, server).get(path).must(t, 200, "").has(t, "Your code is "+code, "do not give the code to anyone").lacks(t, "<button>Use the code")
	ann.get(path).must(t, 200, "").has(t, "Use this code?", `name="return_to" value="/resume"`)
	ann.post("/account/code", "code", code, "return_to", "/resume").must(t, 303, "/resume")
	if got := ann.whoami(); got.ID != guest.ID || got.IsAnonymous {
		t.Fatalf("got %+v, want %s and not anonymous", got, guest.ID)
	}
	newBrowser(t, server).post("/account/code", "code", code).must(t, 401, "").has(t, "This did not work")
}

// A visitor who says no at the provider is who they were, and reads why on the page
// that they came from.
func TestProviderSaysNo(t *testing.T) {
	server := newServer(t)
	ann := newBrowser(t, server)
	ann.write("hi")
	guest := ann.whoami()
	there := ann.post("/account/provider/start", "provider", "sample", "return_to", "/p/x")
	path := strings.TrimPrefix(there.location, server.URL)
	ann.post(path, "name", "").must(t, 200, "").has(t, "Who are you?")
	back := ann.post(path, "no", "1").must(t, 303, strings.SplitAfter(there.location, server.URL)[0]+"/account/provider/callback/sample?"+url.Values{
		"error": {"access_denied"}, "state": {query(t, there.location, "state")}}.Encode())
	ann.get(strings.TrimPrefix(back.location, server.URL)).has(t, "Create an account", `id="error"`, `name="return_to" value="/p/x"`)
	if got := ann.whoami(); got != guest {
		t.Errorf("got %+v, want %+v", got, guest)
	}
	nobody := newPerson(t, server)
	there = nobody.post("/account/provider/start", "provider", "sample")
	back = nobody.post(strings.TrimPrefix(there.location, server.URL), "no", "1")
	nobody.get(strings.TrimPrefix(back.location, server.URL)).has(t, "Sign in", `id="error"`)
}

func query(t *testing.T, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get(name)
}

// A code of Sample ID is worth nothing without the browser and the secret that
// belong to it.
func TestSampleID(t *testing.T) {
	server := newServer(t)
	ann := newBrowser(t, server)
	there := ann.post("/account/provider/start", "provider", "sample")
	back := ann.post(strings.TrimPrefix(there.location, server.URL), "name", "Ann")
	code := query(t, back.location, "code")
	for name, form := range map[string][]string{
		"without a secret": {"code", code, "redirect_uri", server.URL + "/auth/callback/sample", "code_verifier", "x"},
		"another client":   {"client_id", "evil", "client_secret", "x", "code", code},
	} {
		if got := newPerson(t, server).post("/sample-id/token", form...); got.status != 401 {
			t.Errorf("%s: got %d, want 401", name, got.status)
		}
	}
	newBrowser(t, server).get(strings.TrimPrefix(back.location, server.URL)).has(t, "not started in this browser")
	if got := newBrowser(t, server).get("/sample-id/authorize?client_id=margin&redirect_uri=https%3A%2F%2Fevil.example&code_challenge_method=S256"); got.status != 400 {
		t.Errorf("got %d for somebody else's callback, want 400", got.status)
	}
}

// Real providers come by the environment, and the policy lets forms go there.
func TestRealProviders(t *testing.T) {
	t.Setenv("GOOGLE_CLIENT_ID", "one")
	t.Setenv("GITHUB_CLIENT_ID", "two")
	a := newBrowser(t, newServer(t)).get("/signin").has(t, "Continue with Sample ID", "Continue with Google", "Continue with GitHub")
	policy := a.header.Get("Content-Security-Policy")
	for _, want := range []string{"form-action 'self'", "https://accounts.google.com", "https://github.com"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy is %q, want %q in it", policy, want)
		}
	}
}

// An anonymous user writes a hundred notes a day, and gets back what is
// refused; a bot that makes new users gets no further than ten of them, and an account
// has more room than an anonymous user.
func TestWritesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail := &mailbox{t: t}
		handler, db, err := open(t.Context(), config{file: filepath.Join(t.TempDir(), "notes.db"), url: "https://app.example", mail: mail})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		act := func(c *walkintest.Client, path, text string) (int, string) {
			t.Helper()
			r := c.Post(path, url.Values{"text": {text}})
			defer r.Body.Close()
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			return r.StatusCode, string(body)
		}
		kept := func() (n int) {
			t.Helper()
			if err := db.(*sql.DB).QueryRowContext(t.Context(), `SELECT count(*) FROM notes`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		newcomer := func() *walkintest.Client { return walkintest.NewClient(t, handler).From("203.0.113.7:1") }
		ann := newcomer()
		for range 100 {
			if status, _ := act(ann, "/notes", "hi"); status != 303 {
				t.Fatalf("got %d", status)
			}
		}
		_, _ = act(ann, "/notes", " ") // nothing, which is counted as nothing
		status, body := act(ann, "/notes", "a <long> thought")
		if status != 429 || !strings.Contains(body, "come back tomorrow") || !strings.Contains(body, html.EscapeString("a <long> thought")+"</textarea>") {
			t.Errorf("got %d, want 429 and the text back\n%s", status, body)
		}
		if n := kept(); n != 100 {
			t.Errorf("got %d notes, want 100", n)
		}
		ann.Post("/upgrade", url.Values{"email": {"ann@example.com"}, "password": {secret}})
		code, _ := mail.code("ann@example.com")
		ann.Post("/upgrade/code", url.Values{"code": {code}})
		if status, _ := act(ann, "/notes", "with an account"); status != 303 {
			t.Errorf("with an account: got %d", status)
		}
		for range 12 { // each with new cookies
			robot := newcomer()
			for range 100 {
				act(robot, "/notes", "spam")
			}
		}
		if n := kept(); n != 1001 { // 900 of theirs: the network's other hundred were ann's
			t.Errorf("of one network: got %d notes, want 1001", n)
		}
		time.Sleep(25 * time.Hour)
		if status, _ := act(newcomer(), "/notes", "the next day"); status != 303 {
			t.Errorf("the next day: got %d", status)
		}
	})
}

// On a crowded network the third new writer meets a challenge, with the note that they
// wrote in it; visitors who are there already notice nothing.
func TestCrowded(t *testing.T) {
	server := newHost(t, config{crowded: true})
	first := newBrowser(t, server)
	first.write("one")
	newBrowser(t, server).write("two")
	third := newBrowser(t, server)
	third.get("/")
	third.post("/notes", "text", "the third").must(t, 429, "").has(t, "the third", "/challenge/solve.js")
	program := newPerson(t, server)
	program.post("/notes", "text", "the fourth").must(t, 429, "").has(t, `"status":429`)
	first.write("more of it")
	first.upgrade("ann@example.com")

	ordinary := newServer(t)
	for i := range 5 {
		newBrowser(t, ordinary).write(fmt.Sprint("note ", i))
	}
}

// By another name of the machine the site would not know its users.
func TestOneHost(t *testing.T) {
	server := newServer(t)
	p := newBrowser(t, server)
	p.base = server.Server.URL // 127.0.0.1
	p.get("/p/x?y=1").must(t, 307, server.URL+"/p/x?y=1")
}

// A browser that was left open reads, and writes notes; it changes nothing about the
// account until its owner shows that they are there.
func TestLeftOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail := &mailbox{t: t}
		handler, db, err := open(t.Context(), config{file: filepath.Join(t.TempDir(), "notes.db"), url: "https://app.example", mail: mail})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		ann := walkintest.NewClient(t, handler)
		must := func(response *http.Response, status int, location string, words ...string) {
			t.Helper()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			answer{response.StatusCode, response.Header.Get("Location"), response.Header, string(body)}.must(t, status, location).has(t, words...)
		}
		ann.Post("/notes", url.Values{"text": {"hi"}})
		must(ann.Post("/upgrade", url.Values{"email": {"ann@example.com"}, "password": {secret}}), 303, "/upgrade/code")
		code, _ := mail.code("ann@example.com")
		must(ann.Post("/upgrade/code", url.Values{"code": {code}}), 303, "/")
		must(ann.Visit("/account/"), 200, "", "Delete my account")

		time.Sleep(10*time.Minute + time.Second)
		must(ann.Visit("/account/"), 200, "", "Confirm that it is you")
		must(ann.Post("/notes", url.Values{"text": {"later"}}), 303, "/")
		for _, path := range []string{"/account/remove", "/account/password", "/account/delete"} {
			must(ann.Post(path, url.Values{"password": {secret}}), 303, "/signin")
		}
		must(ann.Visit("/signin?return_to=/account/"), 200, "", "Confirm that it is you", "Password for ann@example.com", "Send a code to ann@example.com")
		must(ann.Post("/signin", url.Values{"email": {"ann@example.com"}, "password": {"a guess of somebody"}}), 401, "", "Confirm that it is you")
		must(ann.Post("/signin", url.Values{"email": {"ann@example.com"}, "password": {secret}, "return_to": {"/account/"}}), 303, "/account/")
		must(ann.Visit("/account/"), 200, "", "Delete my account")

		// The same by a code.
		time.Sleep(10*time.Minute + time.Second)
		must(ann.Post("/signin/send", url.Values{"email": {"ann@example.com"}, "return_to": {"/account/"}}), 303, "/signin/code?return_to=%2Faccount%2F")
		must(ann.Visit("/signin/code?return_to=/account/"), 200, "", "Enter the code")
		code, _ = mail.code("ann@example.com")
		must(ann.Post("/signin/code", url.Values{"code": {code}, "return_to": {"/account/"}}), 303, "/account/")
		must(ann.Visit("/signin?return_to=/account/"), 303, "/account/") // nothing left to show
	})
}
