package main

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/walkin-go/walkin/credential/oidc"
)

// What attackers do with the pages of an account. Eve prepares an account in Ann's name,
// asks who has one, or locks Ann out. Each request reaches another replica than the one
// before.

const (
	annMail = "ann@example.com"
	eveMail = "eve@example.com"
	eveWord = "nine pears in a bowl"
)

// newReplicas returns a host of two replicas over one file.
func newReplicas(t *testing.T) *host {
	t.Helper()
	h := newUnstarted(t)
	sample, err := newSampleID(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config{file: filepath.Join(t.TempDir(), "notes.db"), url: h.URL, mail: h.mail, providers: []oidc.Provider{sample.provider()}}
	var replicas [2]*site
	for i := range replicas {
		site, db, err := open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		replicas[i] = site
	}
	var turn atomic.Int32
	mux := http.NewServeMux()
	mux.Handle(sampleIDPath, sample)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { replicas[turn.Add(1)%2].ServeHTTP(w, r) })
	h.site, h.Config.Handler = replicas[0], mux
	h.Start()
	t.Cleanup(h.Close)
	return h
}

// copied returns a browser with the cookies of this one.
func (p *person) copied(server *host) *person {
	p.t.Helper()
	thief := newBrowser(p.t, server)
	u, err := url.Parse(p.base)
	if err != nil {
		p.t.Fatal(err)
	}
	thief.http.Jar.SetCookies(u, p.http.Jar.Cookies(u))
	return thief
}

// from sends the browser's requests from another address of this machine.
func (p *person) from(address string) *person {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	p.http.Transport = &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	return p
}

// isOut holds that a browser can neither write for an owner nor fetch what is theirs. (What
// it reads may be a moment old.)
func (p *person) isOut(owner *person) {
	p.t.Helper()
	for range 2 { // on both replicas
		p.post("/notes", "text", "written by Eve")
		var fields []string
		if page := renderedFor.FindStringSubmatch(p.get("/").body); page != nil {
			fields = []string{"walkin_rendered_for", page[1]}
		}
		if a := p.post("/account/download", fields...); a.status == http.StatusOK || a.status >= 500 {
			p.t.Errorf("a download is answered with %d", a.status)
		}
	}
	owner.get("/").must(p.t, 200, "").lacks(p.t, "written by Eve")
}

func (p *person) signIn(email, password string) answer {
	return p.post("/signin", "email", email, "password", password)
}

// The five attacks of Sudhodanan and Paverd (2022).
func TestPreHijacking(t *testing.T) {
	t.Run("classic-federated merge", func(t *testing.T) {
		server := newReplicas(t)
		ann, eve := newBrowser(t, server), newBrowser(t, server)
		eve.post("/upgrade", "email", annMail, "password", eveWord).must(t, 303, "/upgrade/code")
		eveID := eve.whoami().ID
		id := ann.whoami().ID
		ann.goAs("Ann").must(t, 303, "/") // by a provider first, and then the address
		ann.post("/signin/send", "email", annMail, "return_to", "/account/").must(t, 303, "/signin/code?return_to=%2Faccount%2F")
		ann.enter("/signin/code", annMail, "return_to", "/account/").must(t, 303, "/account/")
		if got := ann.whoami(); got.ID != id || got.IsAnonymous {
			t.Fatalf("Ann is %+v, want %s", got, id)
		}
		newBrowser(t, server).signIn(annMail, eveWord).must(t, 401, "")
		eve.isOut(ann)
		if got := eve.whoami(); got.ID != eveID {
			t.Errorf("Eve is %+v, want %s", got, eveID)
		}
		eve.post("/upgrade/code", "code", "000000").must(t, 401, "")
	})
	t.Run("unexpired session", func(t *testing.T) {
		server := newReplicas(t)
		ann := newBrowser(t, server)
		ann.write("hi")
		planted := ann.copied(server) // Eve has planted the cookie, or stolen it
		ann.upgrade(annMail)
		planted.isOut(ann)
		// Later Eve knows the password, and Ann takes her account back by a new one.
		eve := newBrowser(t, server)
		eve.signIn(annMail, secret).must(t, 303, "/")
		field := renderedFor.FindStringSubmatch(eve.get("/account/").must(t, 200, "").body)[1]
		ann.change("password", "password", "another word of Ann's").must(t, 303, "/account/?done=password")
		for _, path := range []string{"password", "download", "delete", "email", "end-others"} {
			if a := eve.post("/account/"+path, "password", eveWord, "email", eveMail, "walkin_rendered_for", field); a.status == 200 || strings.HasPrefix(a.location, "/account/") {
				t.Errorf("%s: got %d to %q", path, a.status, a.location)
			}
		}
		eve.isOut(ann)
		ann.get("/account/").must(t, 200, "")
	})
	t.Run("trojan identifier", func(t *testing.T) {
		server := newReplicas(t)
		ann := newBrowser(t, server)
		ann.write("hi")
		id := ann.whoami().ID
		eve := ann.copied(server)
		eve.post("/signin/send", "email", eveMail).must(t, 303, "/signin/code") // a code is on its way to Eve
		start := eve.post("/account/provider/start", "provider", "sample")      // and a provider's answer
		ann.upgrade(annMail)
		code, link := server.mail.code(eveMail)
		for _, p := range []*person{eve, ann} { // Eve, and Ann who is lured to it
			p.post("/signin/code", "code", code)
			p.get(strings.TrimPrefix(link, p.base))
		}
		path := strings.TrimPrefix(start.location, eve.base)
		back := strings.TrimPrefix(eve.post(path, "name", "Eve").location, eve.base)
		ann.get(back)
		eve.get(back)
		ann.get("/account/").must(t, 200, "").has(t, annMail, "This is your only way to sign in").lacks(t, eveMail)
		eve.isOut(ann)
		if got := ann.whoami(); got.ID != id || got.IsAnonymous {
			t.Errorf("Ann is %+v, want %s", got, id)
		}
	})
	t.Run("unexpired e-mail change", func(t *testing.T) {
		server := newReplicas(t)
		ann := newBrowser(t, server).upgrade(annMail)
		eve := newBrowser(t, server)
		eve.signIn(annMail, secret).must(t, 303, "/") // who knows the password
		eve.change("email", "email", eveMail)
		ann.change("password", "password", "another word of Ann's").must(t, 303, "/account/?done=password")
		code, link := server.mail.code(eveMail)
		for _, p := range []*person{eve, ann, newBrowser(t, server)} {
			p.post("/account/email/code", "code", code)
			p.post("/signin/code", "code", code)
			p.get(strings.TrimPrefix(link, p.base))
			p.post("/account/code", "code", code)
		}
		ann.get("/account/").must(t, 200, "").has(t, annMail).lacks(t, eveMail)
		eve.isOut(ann)
		// The other way round: Eve's account waits for Ann's address.
		mallory := newBrowser(t, server).upgrade("mallory@example.com")
		mallory.change("email", "email", "bea@example.com")
		bea := newBrowser(t, server)
		_, link = server.mail.code("bea@example.com")
		bea.get(strings.TrimPrefix(link, bea.base)) // Bea follows it, in her browser
		mallory.get("/account/").must(t, 200, "").lacks(t, "bea@example.com")
		bea.upgrade("bea@example.com")
		if bea.whoami().ID == mallory.whoami().ID {
			t.Error("Bea is in Mallory's account")
		}
		mallory.enter("/account/email/code", "bea@example.com")
		mallory.get("/account/").must(t, 200, "").lacks(t, "bea@example.com")
	})
	t.Run("non-verifying provider", func(t *testing.T) {
		server := newReplicas(t)
		eve := newBrowser(t, server)
		eve.goAs(annMail).must(t, 303, "/") // which believes it
		eveID := eve.whoami().ID
		ann := newBrowser(t, server)
		ann.upgrade(annMail)
		if ann.whoami().ID == eveID {
			t.Error("Ann is in Eve's account")
		}
		ann.get("/account/").must(t, 200, "").has(t, "This is your only way to sign in", "Connect Sample ID")
		again := newBrowser(t, server)
		again.goAs(annMail).must(t, 303, "/")
		if got := again.whoami().ID; got != eveID {
			t.Errorf("the provider's Ann is %s, want %s", got, eveID)
		}
	})
}

var ofOne = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|name="walkin_rendered_for" value="[^"]*"`)

// seen is what a client can tell of an answer.
func (a answer) seen(address string) string {
	var cookies []string
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		cookies = append(cookies, c.Name)
	}
	slices.Sort(cookies)
	var headers []string
	for name := range a.header {
		headers = append(headers, name)
	}
	slices.Sort(headers)
	body := ofOne.ReplaceAllString(strings.ReplaceAll(a.body, address, "ADDRESS"), "…")
	return fmt.Sprintf("%d %s %q %q %s\n%s", a.status, strings.ReplaceAll(a.location, url.QueryEscape(address), "ADDRESS"), cookies, headers, a.header.Get("Retry-After"), body)
}

// TestWhoHasAnAccount holds that no page tells whether an address has an account. That it
// takes the same work is in TestUnknownAndWrongAreTheSame and TestSendDoesTheSameWork.
func TestWhoHasAnAccount(t *testing.T) {
	server := newReplicas(t)
	newBrowser(t, server).upgrade(annMail)
	const bob = "bob@example.com"
	eve := newBrowser(t, server).upgrade(eveMail)
	for _, tt := range []struct {
		name string
		do   func(address string) []answer
	}{
		{"a password", func(address string) []answer { return []answer{newBrowser(t, server).signIn(address, eveWord)} }},
		{"no password", func(address string) []answer { return []answer{newBrowser(t, server).signIn(address, "")} }},
		{"a password of an API client", func(address string) []answer { return []answer{newPerson(t, server).signIn(address, eveWord)} }},
		{"a code to sign in", func(address string) []answer {
			p := newBrowser(t, server)
			return []answer{p.post("/signin/send", "email", address), p.get("/signin/code"), p.post("/signin/code", "code", "000000"),
				p.post("/signin/send", "email", address, "again", "1"), p.get("/signin/code")}
		}},
		{"a sign-up", func(address string) []answer {
			p := newBrowser(t, server)
			return []answer{p.post("/upgrade", "email", address, "password", eveWord), p.get("/upgrade/code"), p.post("/upgrade/code", "code", "000000")}
		}},
		{"a sign-up with what is no password", func(address string) []answer {
			return []answer{newBrowser(t, server).post("/upgrade", "email", address, "password", "x")}
		}},
		{"another address of one's account", func(address string) []answer {
			return []answer{eve.change("email", "email", address), eve.get("/account/email/code"), eve.post("/account/email/code", "code", "000000")}
		}},
		{"one more address of one's account", func(address string) []answer {
			return []answer{eve.post("/signin/send", "email", address, "return_to", "/account/"), eve.post("/signin/code", "code", "000000", "return_to", "/account/")}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			taken, free := tt.do(annMail), tt.do(bob)
			for i := range taken {
				if got, want := taken[i].seen(annMail), free[i].seen(bob); got != want || taken[i].status >= 500 {
					t.Errorf("answer %d: a taken address gets\n%s\nand a free one\n%s", i, got, want)
				}
			}
		})
	}
}

// TestLockedOut holds that a hundred strangers, each at an address of their own, keep no
// owner out who has been here with this browser: neither their password nor their codes.
func TestLockedOut(t *testing.T) {
	server := newReplicas(t)
	ann := newBrowser(t, server).upgrade(annMail)
	id := ann.whoami().ID
	ann.post("/signout").must(t, 303, "/")
	refused := 0
	for i := range 100 {
		stranger := newBrowser(t, server).from(fmt.Sprintf("127.0.1.%d", i+1))
		for _, a := range []answer{stranger.signIn(annMail, fmt.Sprintf("a guess, the %d.", i)), stranger.post("/signin/send", "email", annMail)} {
			if a.status == http.StatusTooManyRequests {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("no stranger was refused")
	}
	ann.signIn(annMail, secret).must(t, 303, "/")
	if got := ann.whoami().ID; got != id {
		t.Errorf("Ann is %s, want %s", got, id)
	}
	ann.post("/signout").must(t, 303, "/")
	ann.post("/signin/send", "email", annMail).must(t, 303, "/signin/code")
	ann.enter("/signin/code", annMail).must(t, 303, "/")
	if got := ann.whoami().ID; got != id {
		t.Errorf("Ann is %s, want %s", got, id)
	}
}

// TestPlanted holds that a browser in which Eve has planted all cookies of hers signs
// Ann in to Ann's account, and Eve to none.
func TestPlanted(t *testing.T) {
	server := newReplicas(t)
	eve := newBrowser(t, server)
	eve.write("a note of Eve's")
	eve.post("/signin/send", "email", eveMail).must(t, 303, "/signin/code")
	ann := eve.copied(server)
	ann.post("/upgrade", "email", annMail, "password", secret).must(t, 303, "/upgrade/code")
	ann.enter("/upgrade/code", annMail).must(t, 303, "/")
	annID := ann.whoami().ID
	eve.isOut(ann)
	eve.post("/upgrade/code", "code", "000000")
	code, _ := server.mail.code(annMail)
	if a := eve.post("/upgrade/code", "code", code); a.status != 401 {
		t.Errorf("Eve's use of Ann's code is answered with %d to %q", a.status, a.location)
	}
	eve.isOut(ann)
	again := newBrowser(t, server)
	again.signIn(annMail, secret).must(t, 303, "/")
	if got := again.whoami().ID; got != annID {
		t.Errorf("Ann is %s, want %s", got, annID)
	}
}
