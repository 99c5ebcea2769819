package main

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
)

// A visit to the site without a browser: what anybody can do with curl.

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the site's own log
	os.Exit(m.Run())
}

// A host is a Margin that runs, on a name as passkeys need one.
type host struct {
	*httptest.Server
	site *site
	URL  string
	file string // of the database
	mail *mailbox
}

func newServer(t *testing.T) *host {
	t.Helper()
	return newHost(t, config{})
}

func newHost(t *testing.T, cfg config) *host {
	t.Helper()
	h := newUnstarted(t)
	h.file = filepath.Join(t.TempDir(), "notes.db")
	cfg.file, cfg.url, cfg.mail = h.file, h.URL, h.mail
	sample, err := newSampleID(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.providers = []oidc.Provider{sample.provider()}
	site, db, err := open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(sampleIDPath, sample)
	mux.Handle("/", site)
	h.site, h.Config.Handler = site, mux
	h.Start()
	t.Cleanup(func() {
		h.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func newUnstarted(t *testing.T) *host {
	t.Helper()
	h := &host{Server: httptest.NewUnstartedServer(nil), mail: &mailbox{t: t}}
	_, port, err := net.SplitHostPort(h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	h.URL = "http://localhost:" + port
	return h
}

// A mailbox is everybody's.
type mailbox struct {
	t    *testing.T
	mu   sync.Mutex
	text strings.Builder
}

func (m *mailbox) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.Write(b)
}

// to returns all mail to an address, oldest first.
func (m *mailbox) to(address string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []string
	for line := range strings.Lines(m.text.String()) {
		if rest, ok := strings.CutPrefix(line, "To "+address+": "); ok {
			found = append(found, rest)
		}
	}
	return found
}

var codeInMail = regexp.MustCompile(`^the code (\d{6}) .*(http\S+)`)

// code returns the last code that was sent to an address, and its link.
func (m *mailbox) code(address string) (code, link string) {
	m.t.Helper()
	all := m.to(address)
	for i := len(all) - 1; i >= 0; i-- {
		if found := codeInMail.FindStringSubmatch(all[i]); found != nil {
			return found[1], found[2]
		}
	}
	m.t.Fatalf("no code was sent to %s", address)
	return "", ""
}

const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"

// A person has a cookie jar. With browser they send what a browser sends.
type person struct {
	t       *testing.T
	base    string
	mail    *mailbox
	http    *http.Client
	browser bool
	referer string
}

func newPerson(t *testing.T, server *host) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t: t, base: server.URL, mail: server.mail, http: &http.Client{
		Jar:           jar,
		Transport:     server.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func newBrowser(t *testing.T, server *host) *person {
	t.Helper()
	p := newPerson(t, server)
	p.browser = true
	return p
}

type answer struct {
	status   int
	location string
	header   http.Header
	body     string
}

func (p *person) do(method, path string, form url.Values) answer {
	p.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if p.browser {
		r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		r.Header.Set("User-Agent", chrome)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		r.Header.Set("Sec-Fetch-User", "?1")
		r.Header.Set("Sec-Fetch-Site", "none")
		if method == http.MethodPost {
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set("Origin", p.base)
		}
		if p.referer != "" {
			r.Header.Set("Referer", p.base+p.referer)
		}
	}
	res, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header.Get("Location"), res.Header, string(b)}
}

func (p *person) get(path string) answer { p.t.Helper(); return p.do("GET", path, nil) }

func (p *person) post(path string, pairs ...string) answer {
	p.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return p.do("POST", path, form)
}

var renderedFor = regexp.MustCompile(`name="walkin_rendered_for" value="([^"]+)"`)

// change posts a form of the account page.
func (p *person) change(what string, pairs ...string) answer {
	p.t.Helper()
	field := renderedFor.FindStringSubmatch(p.get("/account/").must(p.t, 200, "").body)
	if field == nil {
		p.t.Fatal("the account page has no form")
	}
	return p.post("/account/"+what, append(pairs, "walkin_rendered_for", field[1])...)
}

// must ends the test unless the answer has the status and leads to the place.
func (a answer) must(t *testing.T, status int, location string) answer {
	t.Helper()
	if a.status != status || a.location != location {
		t.Fatalf("got %d to %q, want %d to %q\n%s", a.status, a.location, status, location, a.body)
	}
	return a
}

func (a answer) has(t *testing.T, words ...string) answer {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(a.body, w) {
			t.Errorf("%q is not in\n%s", w, a.body)
		}
	}
	return a
}

func (a answer) lacks(t *testing.T, words ...string) answer {
	t.Helper()
	for _, w := range words {
		if strings.Contains(a.body, w) {
			t.Errorf("%q is in\n%s", w, a.body)
		}
	}
	return a
}

type who struct {
	ID          string `json:"id"`
	IsAnonymous bool   `json:"is_anonymous"`
}

func (p *person) whoami() who {
	p.t.Helper()
	var w who
	a := p.get("/whoami").must(p.t, 200, "")
	if err := json.Unmarshal([]byte(a.body), &w); err != nil {
		p.t.Fatalf("%v in %q", err, a.body)
	}
	return w
}

var noteID = regexp.MustCompile(`/notes/([a-z0-9]+)/publish`)

// write adds a note and returns its ID.
func (p *person) write(text string) string {
	p.t.Helper()
	p.post("/notes", "text", text).must(p.t, 303, "/")
	found := noteID.FindStringSubmatch(p.get("/").has(p.t, html.EscapeString(text)).body) // the newest is first
	if found == nil {
		p.t.Fatal("the new note has no way to publish it")
	}
	return found[1]
}

const secret = "seven lemons on a sill"

// upgrade makes an account with an address and a password.
func (p *person) upgrade(email string) *person {
	p.t.Helper()
	p.post("/upgrade", "email", email, "password", secret).must(p.t, 303, "/upgrade/code")
	p.enter("/upgrade/code", email).must(p.t, 303, "/")
	return p
}

// enter types in the code that was sent to an address.
func (p *person) enter(path, email string, more ...string) answer {
	p.t.Helper()
	code, _ := p.mail.code(email)
	return p.post(path, append(more, "code", code)...)
}

// goAs goes to Sample ID by a button of Margin's, says a name there, and comes
// back.
func (p *person) goAs(name string, more ...string) answer {
	p.t.Helper()
	there := p.post("/account/provider/start", append(more, "provider", "sample")...)
	if there.status != 303 {
		p.t.Fatalf("the button is answered with %d\n%s", there.status, there.body)
	}
	path := strings.TrimPrefix(there.location, p.base)
	p.get(path).must(p.t, 200, "").has(p.t, "Who are you?")
	back := p.post(path, "name", name)
	return p.get(strings.TrimPrefix(back.location, p.base))
}

func TestWalk(t *testing.T) {
	for _, browser := range []bool{false, true} {
		t.Run(fmt.Sprintf("browser=%v", browser), func(t *testing.T) {
			server := newServer(t)
			ann := newPerson(t, server)
			ann.browser = browser

			id := ann.write("hi")
			guest := ann.whoami()
			if !guest.IsAnonymous {
				t.Fatalf("got %+v after a first note, want somebody anonymous", guest)
			}
			back := "/notes/" + id + "/publish"
			if browser {
				ann.post(back).must(t, 303, "/upgrade?return_to=%2Fresume")
				ann.get("/upgrade?return_to=%2Fresume").must(t, 200, "").has(t, `name="return_to" value="/resume"`, "Publishing takes an account", "1 note")
			} else {
				problem := ann.post(back).must(t, 403, "")
				if got := problem.header.Get("Content-Type"); got != "application/problem+json" {
					t.Errorf("got a refusal of type %q, want a problem document", got)
				}
			}
			newPerson(t, server).get("/p/"+id).must(t, 404, "")

			ann.post("/upgrade", "email", "ann@example.com", "password", secret, "return_to", "/resume").must(t, 303, "/upgrade/code?return_to=%2Fresume")
			ann.post("/signin", "email", "ann@example.com", "password", secret).must(t, 401, "") // not hers yet
			ann.get("/upgrade/code?return_to=%2Fresume").must(t, 200, "").has(t, "We sent a code to ann@example.com", `name="return_to" value="/resume"`)
			ann.enter("/upgrade/code", "ann@example.com", "return_to", "/resume").must(t, 303, "/resume")
			if got := ann.whoami(); got.ID != guest.ID || got.IsAnonymous {
				t.Fatalf("got %+v after the upgrade, want %s and not anonymous", got, guest.ID)
			}
			if browser {
				ann.get("/resume").must(t, 200, "").has(t, "Publish this note?", "ann@example.com", "Your account is ready", back+"?walkin_resume=1")
				ann.post(back+"?walkin_resume=1").must(t, 303, "/p/"+id)
				ann.get("/resume").must(t, 404, "")
			}
			ann.referer = "/"
			ann.post(back).must(t, 303, "/p/"+id)
			ann.post(back).must(t, 303, "/p/"+id) // a second click
			newPerson(t, server).get("/p/"+id).must(t, 200, "").has(t, "hi", "Somebody wrote this")
			ann.get("/p/"+id).has(t, "This is yours")

			ann.post("/signout").must(t, 303, "/")
			newPerson(t, server).get("/whoami").must(t, 401, "")
			ann.get("/").lacks(t, "ann@example.com", "/notes/"+id)
			ann.post("/signin", "email", "ann@example.com", "password", "wrong horse").has(t, "Error: Sign in", `value="ann@example.com"`).lacks(t, "wrong horse")
			ann.post("/signin", "email", "ann@example.com", "password", secret).must(t, 303, "/")
			if got := ann.whoami(); got.ID != guest.ID || got.IsAnonymous {
				t.Errorf("got %+v after signing in, want %s and not anonymous", got, guest.ID)
			}
			ann.get("/").has(t, "/p/"+id, "ann@example.com")

			ann.post("/notes/"+id+"/delete").must(t, 303, "/")
			newPerson(t, server).get("/p/"+id).must(t, 404, "")
			ann.get("/").lacks(t, "/p/"+id)
		})
	}
}

// Every route, and what it says to whom.
func TestRoutes(t *testing.T) {
	server := newServer(t)
	ann := newPerson(t, server)
	drafted := ann.write("a draft of Ann's")
	public := ann.write("a public note of Ann's")
	ann.upgrade("ann@example.com")
	ann.post("/notes/"+public+"/publish").must(t, 303, "/p/"+public)

	guest := newPerson(t, server)
	mine := guest.write("a guest's note")
	anonymousBrowser := newBrowser(t, server)
	browsers := anonymousBrowser.write("a note from a browser")
	permanent := newPerson(t, server)
	permanent.write("another's note")
	permanent.upgrade("bob@example.com")
	nobody := func() *person { return newPerson(t, server) }
	long := strings.Repeat("ä", maxText)

	for _, c := range []struct {
		name     string
		who      *person
		method   string
		path     string
		form     []string
		status   int
		location string
		body     string
	}{
		{"front page, nobody", nobody(), "GET", "/", nil, 200, "", "Write it in the margin"},
		{"front page, guest", guest, "GET", "/", nil, 200, "", "only this browser opens your 1 note"},
		{"front page, permanent", permanent, "GET", "/", nil, 200, "", "Signed in as <b>bob@example.com</b>"},
		{"front page, first visit of a browser", newBrowser(t, server), "GET", "/", nil, 200, "", "Your user ID: <code>"},
		{"another page", guest, "GET", "/elsewhere", nil, 404, "", "Nothing is written here"},
		{"another method", guest, "DELETE", "/notes", nil, 404, "", ""},

		{"note, nobody", nobody(), "POST", "/notes", []string{"text", "hi"}, 303, "/", ""},
		{"note, empty", guest, "POST", "/notes", []string{"text", " \r\n "}, 422, "", "nothing in this note yet"},
		{"note, no text", guest, "POST", "/notes", nil, 422, "", "nothing in this note yet"},
		{"note, as long as allowed", nobody(), "POST", "/notes", []string{"text", long}, 303, "/", ""},
		{"note, too long", guest, "POST", "/notes", []string{"text", long + "!"}, 422, "", "has 5001 characters; 5000 is the most"},
		{"note, too long keeps what was typed", guest, "POST", "/notes", []string{"text", long + "!"}, 422, "", long + "!</textarea>"},
		{"note, far too long", guest, "POST", "/notes", []string{"text", strings.Repeat("x", maxBody)}, 413, "", "too large"},
		{"note, markup", nobody(), "POST", "/notes", []string{"text", "<script>alert(1)</script>"}, 303, "/", ""},
		{"the address of a refused note", guest, "GET", "/notes", nil, 303, "/", ""},

		{"publish, guest's program", guest, "POST", "/notes/" + mine + "/publish", nil, 403, "", `"status":403`},
		{"publish, nobody's program", nobody(), "POST", "/notes/" + drafted + "/publish", nil, 401, "", `"code":"user_required"`},
		{"publish, guest's browser", anonymousBrowser, "POST", "/notes/" + browsers + "/publish", nil, 303, "/upgrade?return_to=%2Fresume", ""},
		{"publish, somebody else's note", permanent, "POST", "/notes/" + drafted + "/publish", nil, 404, "", "Nothing is written here"},
		{"nothing to resume", permanent, "GET", "/resume", nil, 404, "", "nothing left to finish"},
		{"publish, no such note", permanent, "POST", "/notes/none/publish", nil, 404, "", ""},
		{"delete, somebody else's note", permanent, "POST", "/notes/" + drafted + "/delete", nil, 404, "", ""},

		{"public page, stranger", nobody(), "GET", "/p/" + public, nil, 200, "", "Somebody wrote this"},
		{"public page, its writer", ann, "GET", "/p/" + public, nil, 200, "", "This is yours"},
		{"public page of a draft, stranger", nobody(), "GET", "/p/" + drafted, nil, 404, "", ""},
		{"public page of a draft, its writer", ann, "GET", "/p/" + drafted, nil, 404, "", ""},
		{"public page, no such note", nobody(), "GET", "/p/none", nil, 404, "", "Nothing is written here"},

		{"whoami, nobody", nobody(), "GET", "/whoami", nil, 401, "", `"status":401`},
		{"whoami, guest", guest, "GET", "/whoami", nil, 200, "", `"is_anonymous":true}`},
		{"whoami, permanent", permanent, "GET", "/whoami", nil, 200, "", `"is_anonymous":false}`},

		{"upgrade page, nobody", nobody(), "GET", "/upgrade", nil, 200, "", "Create an account"},
		{"upgrade page, guest", guest, "GET", "/upgrade", nil, 200, "", "Your user ID stays the same"},
		{"upgrade page, permanent", permanent, "GET", "/upgrade?return_to=/p/" + public, nil, 303, "/p/" + public, ""},
		{"upgrade, short password", guest, "POST", "/upgrade", []string{"email", "cy@example.com", "password", "abc"}, 422, "", `value="cy@example.com"`},
		{"upgrade, no e-mail", guest, "POST", "/upgrade", []string{"password", secret}, 422, "", `id="error"`},
		{"upgrade, no form", guest, "POST", "/upgrade", nil, 422, "", `id="error"`},
		{"upgrade, taken is no news", guest, "POST", "/upgrade", []string{"email", "ann@example.com"}, 303, "/upgrade/code", ""},
		{"upgrade, wrong code", guest, "POST", "/upgrade/code", []string{"code", "no"}, 422, "", `id="error"`},
		{"code page without a code", newBrowser(t, server), "GET", "/signin/code", nil, 200, "", "No code is waiting"},
		{"the link of nobody's mail", nobody(), "GET", "/account/code", nil, 404, "", "This link is not complete"},
		{"account, guest", guest, "GET", "/account/", nil, 403, "", `"status":403`},
		{"account, guest's browser", anonymousBrowser, "GET", "/account/", nil, 303, "/signin?return_to=%2Faccount%2F", ""},
		{"account, permanent", permanent, "GET", "/account/", nil, 200, "", "bob@example.com"},
		{"account, the only way in", permanent, "CHANGE", "remove", []string{"provider", "email", "subject", "bob@example.com"}, 409, "", "the only way"},
		{"account, somebody else's way in", permanent, "CHANGE", "remove", []string{"provider", "email", "subject", "ann@example.com"}, 404, "", ""},
		{"account, short password", permanent, "CHANGE", "password", []string{"password", "abc"}, 422, "", "Your account"},
		{"account, no such passkey", permanent, "CHANGE", "rename", []string{"id", "x", "name", "y"}, 404, "", ""},
		{"delete, guest", guest, "POST", "/account/delete", nil, 403, "", ""},
		{"passkey script", nobody(), "GET", "/account/passkey/script.js", nil, 200, "", "navigator.credentials"},
		{"Sample ID, of somebody else", nobody(), "GET", "/sample-id/authorize?client_id=evil", nil, 400, "", ""},
		{"sign-in page, guest", guest, "GET", "/signin?return_to=/p/x", nil, 200, "", `name="return_to" value="/p/x"`},
		{"sign-in page, permanent", permanent, "GET", "/signin", nil, 303, "/", ""},
		{"sign-in, unknown", guest, "POST", "/signin", []string{"email", "nobody@example.com", "password", secret}, 401, "", `id="error"`},
		{"sign-out page, guest with notes", guest, "GET", "/signout", nil, 200, "", "You would lose your 1 note"},
		{"sign-out page, permanent", permanent, "GET", "/signout", nil, 200, "", "You can sign in to your account again"},
		{"sign-out, nobody", nobody(), "POST", "/signout", nil, 303, "/", ""},

		{"public keys", nobody(), "GET", "/.well-known/jwks.json", nil, 200, "", `"keys":[{`},
		{"style sheet", nobody(), "GET", "/static/style.css", nil, 200, "", "--paper"},
		{"no listing of files", nobody(), "GET", "/static/", nil, 404, "", ""},
		{"no such file", nobody(), "GET", "/static/none.css", nil, 404, "", ""},
		{"no templates", nobody(), "GET", "/templates/home.html", nil, 404, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := c.who.t
			c.who.t = t
			defer func() { c.who.t = before }()
			var a answer
			switch c.method {
			case "POST":
				a = c.who.post(c.path, c.form...)
			case "CHANGE":
				a = c.who.change(c.path, c.form...)
			default:
				a = c.who.do(c.method, c.path, nil)
			}
			a.must(t, c.status, c.location).has(t, c.body)
			if strings.Contains(a.body, "<script>") {
				t.Error("a note's markup is alive")
			}
		})
	}

	t.Run("nobody lost anything", func(t *testing.T) {
		ann.get("/").must(t, 200, "").has(t, "a draft of Ann")
		ann.get("/p/"+public).must(t, 200, "")
		if !guest.whoami().IsAnonymous {
			t.Error("a refused upgrade made the guest permanent")
		}
	})
}

// What an anonymous user was about to publish is asked about after they sign in to the
// account that they had all along, and in that account it is published.
func TestPublishPostedAsGuest(t *testing.T) {
	server := newServer(t)
	first := newBrowser(t, server)
	first.upgrade("ann@example.com")
	ann := newBrowser(t, server)
	id := ann.write("hi")
	ann.post("/notes/"+id+"/publish").must(t, 303, "/upgrade?return_to=%2Fresume")
	ann.post("/signin", "email", "ann@example.com", "password", secret, "return_to", "/resume").must(t, 303, "/resume")
	ann.get("/resume").must(t, 200, "").has(t, "Publish this note?", "hi")
	newPerson(t, server).get("/p/"+id).must(t, 404, "")
	ann.post("/notes/"+id+"/publish?walkin_resume=1").must(t, 303, "/p/"+id)
	first.get("/p/"+id).has(t, "This is yours")
}

// Twenty browsers of one person come back from a provider at the same moment: one
// upgrades, the others are merged into it, and nothing that was written is lost.
func TestTwentyBrowsersOnePerson(t *testing.T) {
	server := newServer(t)
	var people [20]*person
	var back [20]string
	for i := range people {
		p := newPerson(t, server)
		p.write(fmt.Sprintf("note %d.", i))
		path := strings.TrimPrefix(p.post("/account/provider/start", "provider", "sample").location, p.base)
		back[i] = strings.TrimPrefix(p.post(path, "name", "Ann").location, p.base)
		people[i] = p
	}
	var answers [20]answer
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i, p := range people {
		wg.Go(func() {
			<-start
			answers[i] = p.get(back[i])
		})
	}
	close(start)
	wg.Wait()
	for i, p := range people {
		answers[i].must(t, 303, "/")
		if got, want := p.whoami(), people[0].whoami(); got != want || got.IsAnonymous {
			t.Errorf("got %+v, want %+v", got, want)
		}
		people[0].get("/").has(t, fmt.Sprintf("note %d.", i))
	}
}

func TestDoubleClick(t *testing.T) {
	ann := newPerson(t, newServer(t))
	ann.write("hi")
	before := ann.whoami()
	ann.post("/upgrade", "email", "ann@example.com", "password", secret).must(t, 303, "/upgrade/code")
	var answers [2]answer
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = ann.enter("/upgrade/code", "ann@example.com") })
	}
	wg.Wait()
	for _, a := range answers {
		a.must(t, 303, "/")
	}
	if got := ann.whoami(); got.ID != before.ID || got.IsAnonymous {
		t.Errorf("got %+v, want %s and not anonymous", got, before.ID)
	}
	ann.get("/").has(t, "hi")
}

func TestMerge(t *testing.T) {
	server := newServer(t)
	home := newPerson(t, server)
	home.write("written at home")
	home.upgrade("ann@example.com")

	work := newPerson(t, server)
	id := work.write("written at work")
	work.get("/signin").has(t, "The 1 note you wrote here will come along")
	work.post("/signin", "email", "ann@example.com", "password", secret).must(t, 303, "/")
	if got, want := work.whoami(), home.whoami(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	work.get("/").has(t, "written at home", "written at work")
	home.get("/").has(t, "written at home", "written at work")
	home.post("/notes/"+id+"/publish").must(t, 303, "/p/"+id)
}

func TestReturnTo(t *testing.T) {
	server := newServer(t)
	ann := newPerson(t, server)
	for _, bad := range []string{
		"//evil.example", `/\evil.example`, "/%5cevil.example", "/\t/evil.example", "https:evil.example",
		"https://evil.example/", "javascript:alert(1)", "/a/../%5cevil.example", "/\r\nSet-Cookie:x=y", "evil",
	} {
		for _, page := range []string{"/upgrade", "/signin"} {
			ann.get(page+"?return_to="+url.QueryEscape(bad)).must(t, 200, "").has(t, `name="return_to" value="/"`).lacks(t, "evil")
		}
		ann.post("/signout", "return_to", bad).must(t, 303, "/")
	}
	ann.post("/upgrade", "email", "ann@example.com", "password", secret, "return_to", "//evil.example")
	ann.enter("/upgrade/code", "ann@example.com", "return_to", "//evil.example").must(t, 303, "/")
	ann.post("/signin", "email", "ann@example.com", "password", secret, "return_to", `/\evil.example`).must(t, 303, "/")
	newPerson(t, server).post("/signin", "email", "ann@example.com", "password", secret, "return_to", "/p/x?y=1#z").must(t, 303, "/p/x?y=1#z")
}

func TestCrossSite(t *testing.T) {
	server := newServer(t)
	ann := newPerson(t, server)
	id := ann.write("hi")
	ann.upgrade("ann@example.com")
	for _, path := range []string{
		"/notes/" + id + "/delete", "/signout", "/signin", "/signin/send", "/signin/code", "/upgrade", "/upgrade/code", "/code",
		"/account/provider/start", "/account/passkey/register", "/account/remove", "/account/rename", "/account/password",
		"/account/email", "/account/undo", "/account/end-session", "/account/end-others", "/account/download", "/account/delete",
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+path, strings.NewReader("email=eve@example.com&password=eve+eve+eve+eve"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://evil.example")
		res, err := ann.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 403 {
			t.Errorf("%s from elsewhere: got %d, want 403", path, res.StatusCode)
		}
	}
	ann.get("/").has(t, "ann@example.com", "/notes/"+id)
}

func TestNoCookies(t *testing.T) {
	server := newServer(t)
	p := newBrowser(t, server)
	p.http.Jar, p.referer = nil, "/"
	p.post("/notes", "text", "a thought").must(t, 307, "/notes?again")
	p.post("/notes?again", "text", "a thought").must(t, 403, "").has(t, "keeps no cookies", "a thought</textarea>")

	// One that only had none yet, as after a prerendered page, notices nothing.
	q := newBrowser(t, server)
	q.referer = "/"
	q.post("/notes", "text", "a thought").must(t, 307, "/notes?again")
	q.post("/notes?again", "text", "a thought").must(t, 303, "/")
	q.get("/").has(t, "a thought")
}

// A user who writes for an hour and was signed out meanwhile gets their text back.
func TestSignedOutMeanwhile(t *testing.T) {
	server := newServer(t)
	ann := newBrowser(t, server)
	ann.write("hi")
	ann.upgrade("ann@example.com")
	old := newBrowser(t, server)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	old.http.Jar.SetCookies(base, ann.http.Jar.Cookies(base))
	ann.post("/signout").must(t, 303, "/")
	old.post("/notes", "text", "what took an hour").must(t, 401, "").has(t, "not kept yet", "what took an hour</textarea>")
	old.browser = false
	old.post("/notes", "text", "more").must(t, 401, "").has(t, `"status":401`)
}

func TestHeaders(t *testing.T) {
	server := newServer(t)
	ann := newPerson(t, server)
	ann.write("hi")
	for _, path := range []string{"/", "/upgrade", "/signin", "/nowhere", "/static/style.css", "/whoami"} {
		h := ann.get(path).header
		for name, want := range map[string]string{
			"Content-Security-Policy": "frame-ancestors 'none'",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "same-origin",
		} {
			if got := h.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q, want %q in it", path, name, got, want)
			}
		}
		if got := h.Get("Content-Security-Policy"); strings.Contains(got, "unsafe") || !strings.HasPrefix(got, "default-src 'none'") {
			t.Errorf("%s: the policy is %q", path, got)
		}
	}
	if got := ann.get("/").header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
		t.Errorf("a page with private notes has Cache-Control %q", got)
	}
}

// A restart forgets no user: the users are in the database and the keys beside it.
func TestRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes with ? and #.db")
	var handler http.Handler
	server := newUnstarted(t)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) })
	server.Start()
	defer server.Close()
	ann := newPerson(t, server)
	var before who
	for i := range 2 {
		var db io.Closer
		var err error
		handler, db, err = open(t.Context(), config{file: file, url: server.URL, mail: server.mail})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			ann.write("hi")
			before = ann.whoami()
		} else if got := ann.whoami(); got != before {
			t.Errorf("got %+v, want %+v", got, before)
		}
		ann.get("/").has(t, "hi")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(file + ".key")
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("the key file has mode %o, want 600", got)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// Two fresh sites have different secrets, and a challenge that was signed with what
// is made of nothing is refused.
func TestFreshKeys(t *testing.T) {
	secrets := map[string]bool{}
	for range 2 {
		keys, err := walkin.KeyFile(filepath.Join(t.TempDir(), "key"))
		if err != nil {
			t.Fatal(err)
		}
		for _, purpose := range []string{"codes", "challenges", "passkeys"} {
			derived, err := keys[0].Derive(purpose)
			if err != nil {
				t.Fatal(err)
			}
			secrets[string(derived)] = true
		}
	}
	if len(secrets) != 6 {
		t.Errorf("got %d different secrets for three purposes of two sites, want 6", len(secrets))
	}
	if _, err := (walkin.Key{}).Derive("codes"); err == nil {
		t.Error("of an empty key: got no error")
	}

	nothing, err := hkdf.Key(sha256.New, nil, nil, "walkin challenge", 32)
	if err != nil {
		t.Fatal(err)
	}
	expiry := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(time.Minute).Unix()))
	text := base64.RawURLEncoding.EncodeToString(append(append(expiry, 0), "sixteen bytes..."...)) // no work at all
	mac := hmac.New(sha256.New, nothing)
	mac.Write([]byte("walkin challenge\x00" + text))
	text += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	server := newServer(t)
	response, err := server.Client().Post(server.URL+"/challenge/solved", "application/json",
		strings.NewReader(`{"challenge":"`+text+`","solution":"1"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusForbidden || len(response.Cookies()) > 0 {
		t.Errorf("a forged challenge: got %d and %d cookies, want 403 and none", response.StatusCode, len(response.Cookies()))
	}
}

// Without its database the site says so, and takes away no cookie.
func TestDatabaseGone(t *testing.T) {
	server := newUnstarted(t)
	handler, db, err := open(t.Context(), config{file: filepath.Join(t.TempDir(), "notes.db"), url: server.URL, mail: server.mail})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = handler
	server.Start()
	defer server.Close()
	ann := newBrowser(t, server)
	ann.write("hi")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, a := range []answer{
		ann.get("/").must(t, 500, "").has(t, "Something went wrong"),
		ann.post("/notes", "text", "more").must(t, 503, ""),
	} {
		if got := a.header["Set-Cookie"]; got != nil {
			t.Errorf("it sets %q", got)
		}
	}
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := open(t.Context(), config{file: filepath.Join(dir, "missing", "notes.db"), url: "http://localhost"}); err == nil {
		t.Error("a database in a folder that is not there: no error")
	}
	file := filepath.Join(dir, "notes.db")
	if err := os.WriteFile(file+".key", []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := open(t.Context(), config{file: file, url: "http://localhost"}); err == nil {
		t.Error("a key file with something else in it: no error")
	}
}

func TestRun(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, "127.0.0.1:0", config{file: filepath.Join(t.TempDir(), "notes.db"), mail: io.Discard}, in)
		in.CloseWithError(err)
		done <- err
	}()
	line := make([]byte, 1024)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`http://localhost:\d+`).Find(line[:n])
	if address == nil || bytes.Count(line[:n], []byte("\n")) != 1 {
		t.Fatalf("it says %q, want one line with the address", line[:n])
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", string(address), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	stop()
	if err := <-done; err != nil {
		t.Errorf("it stopped with %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}
