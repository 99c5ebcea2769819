package suite

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

const (
	anonName = "__Host-walkin-anon"
	permName = "__Host-walkin"

	private = "private, no-store" // on every response that carries a cookie
	public  = "public, max-age=600"
	refused = "no-store" // on every refusal that does not
	problem = "application/problem+json"
)

// Run runs the suite over a stack.
func Run(t *testing.T, s Stack) {
	t.Run("requests", s.requests)
	t.Run("the app's own error pages", s.ownPages)
	t.Run("after an upgrade", s.afterUpgrade)
	t.Run("after a sign-out", s.afterSignOut)
	t.Run("session data", s.sessionData)
	t.Run("not found", s.notFound)
	t.Run("a panic", s.panics)
	t.Run("many at once", s.many)
	t.Run("streams", s.streams)
	t.Run("ResponseController", s.controller)
	if s.Logs {
		t.Run("the framework's writer", s.writer)
	}
	if s.Sockets {
		t.Run("WebSocket", s.sockets)
	}
}

// A site is an app with a visitor before it.
type site struct {
	*App
	t      *testing.T
	client *walkintest.Client
}

func (s Stack) site(t *testing.T, changes ...func(*walkin.Config)) *site {
	t.Helper()
	a := NewApp(t, changes...)
	return &site{a, t, walkintest.NewClient(t, s.New(a))}
}

// become gives the visitor a user, and returns its ID.
func (s *site) become(who string) string {
	s.t.Helper()
	switch who {
	case "provisional":
		s.client.Visit("/")
	case "anonymous":
		s.client.Post("/", nil)
	case "permanent":
		s.client.Post("/continue?name=ann", nil)
	}
	got, id := kind(text(s.t, s.client.Fetch("/")))
	if got != who {
		s.t.Fatalf("got %q, want a visitor who is %s", got, who)
	}
	return id
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// cookies tells which cookies of ours a response sets, and, with a minus,
// clears.
func cookies(r *http.Response) string {
	var all []string
	for _, c := range r.Cookies() {
		name := map[string]string{anonName: "anon", permName: "perm"}[c.Name]
		if c.MaxAge < 0 {
			name = "-" + name
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

type client = walkintest.Client

func visit(path string) func(*client) *http.Response {
	return func(c *client) *http.Response { return c.Visit(path) }
}

func fetch(path string) func(*client) *http.Response {
	return func(c *client) *http.Response { return c.Fetch(path) }
}

func act(path string, form ...string) func(*client) *http.Response {
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	return func(c *client) *http.Response { return c.Post(path, values) }
}

// send sends what a script would, with other headers.
func send(method, path string, header ...string) func(*client) *http.Response {
	return func(c *client) *http.Response {
		r := c.NewRequest(method, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return c.Do(r)
	}
}

// renewing makes every token due for a renewal.
func renewing(c *walkin.Config) { c.Tokens.RenewAfter = 1 }

// A row is one request of a visitor. The zero value of a want is none.
type row struct {
	name     string
	who      string // the visitor before it
	request  func(*client) *http.Response
	status   int
	text     string // the body; of an answer to who, its first word
	cookies  string
	cache    string // Cache-Control
	location string
	rows     int64 // users in the store afterwards
	ran      int64 // handlers of the app that ran
	header   []string
	config   func(*walkin.Config)
	before   func(*site)
}

const (
	needAccount  = `{"type":"about:blank","title":"Forbidden","status":403,"detail":"An account is needed for this.","code":"account_required"}` + "\n"
	notAllowedBy = `{"type":"about:blank","title":"Forbidden","status":403,"detail":"You may not do this.","code":"forbidden"}` + "\n"
	notYours     = `{"type":"about:blank","title":"Forbidden","status":403,"detail":"You may not do this.","code":"cross_origin"}` + "\n"
	pleaseSign   = `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"Please sign in, or reload the page and try again.","code":"user_required"}` + "\n"
	taken        = `{"type":"about:blank","title":"Conflict","status":409,"detail":"That already belongs to another account. You can sign in to it instead.","code":"identity_taken"}` + "\n"
	gone         = `{"type":"about:blank","title":"Gone","status":410,"detail":"That is gone.","code":"gone"}` + "\n"
	storeDown    = `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"This does not work at the moment. Please try again in a few seconds.","code":"service_unavailable"}` + "\n"
	notAllowed   = `{"type":"about:blank","title":"Method Not Allowed","status":405,"detail":"Something went wrong. Please try again.","code":"method_not_allowed"}` + "\n"
)

var rows = []row{
	// Who gets a user, and when they become a row.
	{name: "a first visit", who: "nobody", request: visit("/"), status: 200, text: "provisional", cookies: "anon", cache: private, ran: 1},
	{name: "a script's request", who: "nobody", request: fetch("/"), status: 200, text: "nobody", ran: 1},
	{name: "a robot's visit", who: "nobody", request: send("GET", "/", "User-Agent", "Googlebot/2.1", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"),
		status: 200, text: "nobody", ran: 1},
	{name: "a first write", who: "nobody", request: act("/"), status: 200, text: "anonymous", cookies: "anon", cache: private, rows: 1, ran: 1},
	{name: "a write from another site", who: "nobody", request: send("POST", "/", "Sec-Fetch-Site", "cross-site"), status: 200, text: "nobody", ran: 1},
	{name: "a return", who: "provisional", request: visit("/"), status: 200, text: "provisional", ran: 1},
	{name: "the write that stores the user", who: "provisional", request: act("/"), status: 200, text: "anonymous", cookies: "anon", cache: private, rows: 1, ran: 1},
	{name: "another write", who: "anonymous", request: act("/"), status: 200, text: "anonymous", rows: 1, ran: 1},
	{name: "an account's visit", who: "permanent", request: visit("/"), status: 200, text: "permanent", rows: 1, ran: 1},
	{name: "a bearer", who: "nobody", request: send("POST", "/", "Authorization", "Bearer nonsense"), status: 200, text: "nobody", ran: 1},
	{name: "claims in the request's context, on a first visit", who: "nobody", request: visit("/std"), status: 200, text: "provisional", cookies: "anon", cache: private, ran: 1},
	{name: "claims in the request's context, on a return", who: "anonymous", request: fetch("/std"), status: 200, text: "anonymous", rows: 1, ran: 1},

	// Guards end the chain.
	{name: "a user's page, to an API client without a user", who: "nobody", request: fetch("/user"), status: 401, text: pleaseSign, cache: refused,
		header: []string{"WWW-Authenticate", "Bearer", "Content-Type", problem}},
	{name: "a user's page, on a first visit", who: "nobody", request: visit("/user"), status: 200, text: "provisional", cookies: "anon", cache: private, ran: 1},
	{name: "a user's page, to a user", who: "provisional", request: fetch("/user"), status: 200, text: "provisional", ran: 1},
	{name: "a write for users, from another site without a user", who: "nobody", request: send("POST", "/user", "Sec-Fetch-Site", "cross-site"), status: 401, text: pleaseSign, cache: refused},
	{name: "an account's page, to an API client without a user", who: "nobody", request: fetch("/permanent"), status: 401, text: pleaseSign, cache: refused},
	{name: "an account's page, to a program", who: "anonymous", request: fetch("/permanent"), status: 403, text: needAccount, cache: refused, rows: 1,
		header: []string{"Content-Type", problem}},
	{name: "an account's page, to a person", who: "anonymous", request: visit("/permanent?a=b"), status: 303,
		text: "<a href=\"/sign-up?return_to=%2Fpermanent%3Fa%3Db\">See Other</a>.\n\n", location: "/sign-up?return_to=%2Fpermanent%3Fa%3Db", cache: refused, rows: 1},
	{name: "an account's page, on a first visit", who: "nobody", request: visit("/permanent"), status: 303,
		text: "<a href=\"/sign-up?return_to=%2Fpermanent\">See Other</a>.\n\n", location: "/sign-up?return_to=%2Fpermanent", cookies: "anon", cache: private},
	{name: "an account's write, by a person", who: "anonymous", request: act("/permanent"), status: 303, location: "/sign-up", cache: refused, rows: 1},
	{name: "an account's write, by a new person", who: "nobody", request: act("/permanent"), status: 303, location: "/sign-up", cookies: "anon", cache: private, rows: 1},
	{name: "an account's write, by a program", who: "anonymous", request: send("POST", "/permanent"), status: 403, text: needAccount, cache: refused, rows: 1},
	{name: "an account's page, to an account", who: "permanent", request: visit("/permanent"), status: 200, text: "permanent", rows: 1, ran: 1},
	{name: "an account's write, by an account", who: "permanent", request: act("/permanent"), status: 200, text: "permanent", rows: 1, ran: 1},
	{name: "a rule that says no", who: "anonymous", request: fetch("/rule"), status: 403, text: notAllowedBy, cache: refused, rows: 1},
	{name: "a rule that says yes", who: "permanent", request: fetch("/rule"), status: 200, text: "permanent", rows: 1, ran: 1},
	{name: "a guarded group, to a user", who: "anonymous", request: fetch("/group/page"), status: 403, text: needAccount, cache: refused, rows: 1},
	{name: "a guarded group, to an account", who: "permanent", request: fetch("/group/page"), status: 200, text: "permanent", rows: 1, ran: 1},

	// Ensure.
	{name: "Ensure, for an API client without a user", who: "nobody", request: fetch("/ensure"), status: 200, text: "anonymous", cookies: "anon", cache: private, rows: 1, ran: 1},
	{name: "Ensure, on a first visit", who: "nobody", request: visit("/ensure"), status: 200, text: "anonymous", cookies: "anon", cache: private, rows: 1, ran: 1},
	{name: "Ensure, for a provisional user", who: "provisional", request: fetch("/ensure"), status: 200, text: "anonymous", cookies: "anon", cache: private, rows: 1, ran: 1},
	{name: "Ensure, for an anonymous user", who: "anonymous", request: fetch("/ensure"), status: 200, text: "anonymous", rows: 1, ran: 1},
	{name: "Ensure, for a robot", who: "nobody", request: send("GET", "/ensure", "User-Agent", "Googlebot/2.1"), status: 401, text: pleaseSign, cache: refused},
	{name: "Ensure, from another site", who: "provisional", request: send("POST", "/ensure", "Sec-Fetch-Site", "cross-site"), status: 403, text: notYours, cache: refused},

	// Continue.
	{name: "an upgrade", who: "anonymous", request: act("/continue?name=ann"), status: 200, text: "upgraded", cookies: "-anon perm", cache: private, rows: 1},
	{name: "an upgrade at the first write", who: "provisional", request: act("/continue?name=ann"), status: 200, text: "upgraded", cookies: "-anon perm", cache: private, rows: 1},
	{name: "a link", who: "permanent", request: act("/continue?name=annie"), status: 200, text: "linked", cookies: "-anon perm", cache: private, rows: 1},
	{name: "a name that is taken", who: "permanent", request: send("POST", "/continue?new&name=ann"), status: 409, text: taken, cache: refused, rows: 1},
	{name: "an upgrade by GET", who: "anonymous", request: fetch("/continue?name=ann"), status: 405, text: notAllowed, cache: refused, rows: 1},
	{name: "an upgrade from another site", who: "anonymous", request: send("POST", "/continue?name=ann", "Sec-Fetch-Site", "cross-site"), status: 403, text: notYours, cache: refused, rows: 1},
	{name: "a handler's own refusal", who: "nobody", request: fetch("/refuse"), status: 410, text: gone, cache: refused},
	{name: "a handler's own refusal, on a first visit", who: "nobody", request: visit("/refuse"), status: 410, text: "<!doctype", cookies: "anon", cache: private},

	// The forms.
	{name: "the form", who: "provisional", request: visit("/sign-up"), status: 200, text: "the form"},
	{name: "the form, on a first visit", who: "nobody", request: visit("/sign-up"), status: 200, text: "the form", cookies: "anon", cache: private},
	{name: "signing up", who: "anonymous", request: act("/sign-up", "name", "ann", "return_to", "/permanent"), status: 303, location: "/permanent", cookies: "-anon perm", cache: private, rows: 1},
	{name: "signing up without a user", who: "nobody", request: act("/sign-up", "name", "ann"), status: 303, location: "/", cookies: "-anon perm", cache: private, rows: 1},
	{name: "signing up without a name", who: "anonymous", request: act("/sign-up"), status: 422, text: "the form: Who are you?", cache: refused, rows: 1},
	{name: "signing up from another site", who: "anonymous", request: send("POST", "/sign-up", "Sec-Fetch-Site", "cross-site"), status: 403, text: notYours, cache: refused, rows: 1},
	{name: "signing out", who: "permanent", request: act("/sign-out"), status: 303, location: "/", cookies: "-anon -perm", cache: private, rows: 1},
	{name: "signing out by GET", who: "permanent", request: fetch("/sign-out"), status: 405, text: notAllowed, cache: refused, rows: 1},

	// What carries a cookie is kept by no cache, and nothing else is changed.
	{name: "a page for caches", who: "anonymous", request: visit("/public"), status: 200, text: "for everyone", cache: public, rows: 1},
	{name: "a page for caches, on a first visit", who: "nobody", request: visit("/public"), status: 200, text: "for everyone", cookies: "anon", cache: private},
	{name: "a page for caches, at a renewal", who: "anonymous", request: visit("/public"), status: 200, text: "for everyone", cookies: "anon", cache: private, rows: 1, config: renewing},
	{name: "no text", who: "anonymous", request: visit("/nothing"), status: 200, cache: public, rows: 1},
	{name: "no text, on a first visit", who: "nobody", request: visit("/nothing"), status: 200, cookies: "anon", cache: private},
	{name: "a 204", who: "anonymous", request: visit("/empty"), status: 204, cache: public, rows: 1},
	{name: "a 204, on a first visit", who: "nobody", request: visit("/empty"), status: 204, cookies: "anon", cache: private},
	{name: "a 304", who: "anonymous", request: visit("/unchanged"), status: 304, cache: public, rows: 1},
	{name: "a 304, on a first visit", who: "nobody", request: visit("/unchanged"), status: 304, cache: public},
	{name: "a 304, at a renewal", who: "anonymous", request: visit("/unchanged"), status: 304, cache: public, rows: 1, config: renewing},
	{name: "an image, at a renewal", who: "anonymous", request: send("GET", "/public", "Sec-Fetch-Dest", "image"), status: 200, text: "for everyone", cache: public, rows: 1, config: renewing},
	{name: "a write, at a renewal", who: "anonymous", request: act("/"), status: 200, text: "anonymous", cookies: "anon", cache: private, rows: 1, ran: 1, config: renewing},
	{name: "an error", who: "anonymous", request: visit("/error"), status: 418, text: ErrorPage, cache: public, rows: 1},
	{name: "an error, on a first visit", who: "nobody", request: visit("/error"), status: 418, text: ErrorPage, cookies: "anon", cache: private},

	// The store is down.
	{name: "a page without a store", who: "anonymous", request: visit("/"), status: 200, text: "anonymous", rows: 1, ran: 1, before: down},
	{name: "a write without a store", who: "anonymous", request: act("/"), status: 503, text: "<!doctype", cache: refused, rows: 1, before: down, header: []string{"Retry-After", "5"}},
	{name: "an API client's write without a store", who: "anonymous", request: send("POST", "/"), status: 503, text: storeDown, cache: refused, rows: 1, before: down},
	{name: "a first write without a store", who: "nobody", request: send("POST", "/"), status: 503, text: storeDown, cache: refused, before: down},
}

func down(s *site) { s.store.down.Store(true) }

func (s Stack) requests(t *testing.T) {
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			var config []func(*walkin.Config)
			if tt.config != nil {
				config = append(config, tt.config)
			}
			v := s.site(t, config...)
			id := v.become(tt.who)
			v.ran.Store(0)
			if tt.before != nil {
				tt.before(v)
			}
			v.check(tt, tt.request(v.client), id)
		})
	}
}

func (s *site) check(want row, r *http.Response, id string) {
	s.t.Helper()
	body := text(s.t, r)
	switch first, whose := kind(body); first {
	case "provisional", "anonymous", "permanent":
		body = first
		if id != "" && whose != id {
			s.t.Errorf("got user %s, want %s as before", whose, id)
		}
	case "<!doctype": // walkin's page for a refusal
		body = first
	}
	if r.StatusCode != want.status {
		s.t.Errorf("got status %d, want %d", r.StatusCode, want.status)
	}
	if body != want.text {
		s.t.Errorf("got text %q, want %q", body, want.text)
	}
	if got := cookies(r); got != want.cookies {
		s.t.Errorf("got cookies %q, want %q", got, want.cookies)
	}
	if got := strings.Join(r.Header["Cache-Control"], " | "); got != want.cache {
		s.t.Errorf("got Cache-Control %q, want %q", got, want.cache)
	}
	if got := r.Header.Get("Location"); got != want.location {
		s.t.Errorf("got Location %q, want %q", got, want.location)
	}
	if got := s.store.rows.Load(); got != want.rows {
		s.t.Errorf("got %d rows, want %d", got, want.rows)
	}
	if got := s.ran.Load(); got != want.ran {
		s.t.Errorf("got %d handlers that ran, want %d", got, want.ran)
	}
	for i := 0; i < len(want.header); i += 2 {
		if got := r.Header.Get(want.header[i]); got != want.header[i+1] {
			s.t.Errorf("got %s %q, want %q", want.header[i], got, want.header[i+1])
		}
	}
}

// ownPages holds that OnRefuse hands refusals to the framework, once, and that
// the app's page is all that the visitor gets.
func (s Stack) ownPages(t *testing.T) {
	own := func(message string) string { return "the app's own page: " + message }
	const later = "This does not work at the moment. Please try again in a few seconds."
	for _, tt := range []row{
		{name: "a guard", who: "anonymous", request: visit("/permanent"), status: 403, text: own("An account is needed for this."), cache: refused, rows: 1},
		{name: "a guard, on a first visit", who: "nobody", request: visit("/permanent"), status: 403, text: own("An account is needed for this."), cookies: "anon", cache: private},
		{name: "a rule", who: "anonymous", request: fetch("/rule"), status: 403, text: own("You may not do this."), cache: refused, rows: 1},
		{name: "a guarded group", who: "anonymous", request: fetch("/group/page"), status: 403, text: own("An account is needed for this."), cache: refused, rows: 1},
		{name: "Ensure", who: "provisional", request: send("POST", "/ensure", "Sec-Fetch-Site", "cross-site"), status: 403, text: own("You may not do this."), cache: refused},
		{name: "Continue", who: "permanent", request: send("POST", "/continue?new&name=ann"), status: 409, cache: refused, rows: 1,
			text: own("That already belongs to another account. You can sign in to it instead.")},
		{name: "a handler's own refusal", who: "nobody", request: visit("/refuse"), status: 410, text: own("That is gone."), cookies: "anon", cache: private},
		{name: "a handler of walkin's", who: "permanent", request: fetch("/sign-out"), status: 405, text: own("Something went wrong. Please try again."), cache: refused, rows: 1},
		{name: "a form from another site", who: "anonymous", request: send("POST", "/sign-up", "Sec-Fetch-Site", "cross-site"), status: 403, text: own("You may not do this."), cache: refused, rows: 1},
		{name: "walkin's Handler", who: "anonymous", request: act("/"), status: 503, text: own(later), cache: refused, rows: 1, before: down, header: []string{"Retry-After", "5"}},
		{name: "session data that was not saved", who: "anonymous", request: visit("/count"), status: 503, text: own(later), cache: refused, rows: 1,
			before: func(s *site) { s.sessions.down = true }},
		{name: "session data that was not saved at a flush", who: "anonymous", request: visit("/count-flush"), status: 503, text: own(later), cache: refused, rows: 1,
			before: func(s *site) { s.sessions.down = true }},
		{name: "session data that was saved at a flush", who: "anonymous", request: visit("/count-flush"), status: 200, text: "count 1", rows: 1},
		{name: "who is not refused", who: "permanent", request: visit("/permanent"), status: 200, text: "permanent", rows: 1, ran: 1},
		{name: "an error that is not ours", who: "anonymous", request: visit("/error"), status: 418, text: ErrorPage, cache: public, rows: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := s.site(t, func(c *walkin.Config) { c.OnRefuse = s.OnRefuse })
			id := v.become(tt.who)
			v.ran.Store(0)
			if tt.before != nil {
				tt.before(v)
			}
			v.check(tt, tt.request(v.client), id)
			var want int64
			if strings.HasPrefix(tt.text, own("")) {
				want = 1
			}
			if got := v.refusals.Load(); got != want {
				t.Errorf("got %d refusals in the events, want %d", got, want)
			}
		})
	}
}

// afterUpgrade holds that the user is the same one, and that the old token is rejected.
func (s Stack) afterUpgrade(t *testing.T) {
	for _, how := range []func(*client) *http.Response{act("/continue?name=ann"), act("/sign-up", "name", "ann")} {
		v := s.site(t)
		id := v.become("anonymous")
		thief := walkintest.NewClient(t, s.New(v.App))
		thief.SetCookie(anonName, v.client.Cookie(anonName))
		how(v.client)
		if got := text(t, v.client.Visit("/permanent")); got != "permanent "+id {
			t.Errorf("got %q, want permanent %s", got, id)
		}
		if got := text(t, thief.Fetch("/")); got != "nobody" {
			t.Errorf("got %q for the old token, want no user", got)
		}
	}
}

func (s Stack) afterSignOut(t *testing.T) {
	v := s.site(t)
	id := v.become("permanent")
	token := v.client.Cookie(permName)
	v.client.Post("/sign-out", nil)
	if got := text(t, v.client.Fetch("/")); got != "nobody" || len(v.client.Cookies()) > 0 {
		t.Errorf("got %q with %v, want no user and no cookies", got, v.client.Cookies())
	}
	v.client.SetCookie(permName, token)
	if got := text(t, v.client.Fetch("/")); got != "nobody" {
		t.Errorf("got %q for the old token, want no user", got)
	}
	if got := text(t, v.client.Post("/continue?name=ann", nil)); got != "signed_in" {
		t.Errorf("got %q, want signed_in", got)
	}
	if got := text(t, v.client.Fetch("/")); got != "permanent "+id {
		t.Errorf("got %q, want permanent %s", got, id)
	}
}

// sessionData holds that scs works inside of walkin, over an upgrade.
func (s Stack) sessionData(t *testing.T) {
	v := s.site(t)
	for i, tt := range []struct{ who, cookies string }{
		{"provisional", "anon"}, // what they save makes them a row
		{"anonymous", ""},
		{"permanent", ""},
	} {
		v.become(tt.who)
		r := v.client.Visit("/count")
		if got, want := text(t, r), fmt.Sprint("count ", i+1); got != want || cookies(r) != tt.cookies {
			t.Errorf("%s: got %q and cookies %q, want %q and %q", tt.who, got, cookies(r), want, tt.cookies)
		}
	}
	v.sessions.down = true
	r := v.client.Fetch("/count")
	if got := text(t, r); got != storeDown || r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %d %q for data that was not saved, want 503", r.StatusCode, got)
	}
}

// notFound holds that the framework's own 404 is what it is without walkin.
func (s Stack) notFound(t *testing.T) {
	v := s.site(t)
	first := v.client.Visit("/no/such/page")
	again := v.client.Visit("/no/such/page")
	if first.StatusCode != http.StatusNotFound || cookies(first) != "anon" || first.Header.Get("Cache-Control") != private {
		t.Errorf("got %d with cookies %q and %q, want 404 with one, for no cache", first.StatusCode, cookies(first), first.Header.Get("Cache-Control"))
	}
	if again.StatusCode != http.StatusNotFound || cookies(again) != "" || again.Header.Get("Cache-Control") != "" {
		t.Errorf("got %d %v on a return, want 404 and nothing of ours", again.StatusCode, again.Header)
	}
	if got, want := text(t, first), text(t, again); got != want || got == "" {
		t.Errorf("got text %q, want %q as on a return", got, want)
	}
}

// panics holds that no cookie leads to a user whose row was rolled back.
func (s Stack) panics(t *testing.T) {
	for name, tt := range map[string]struct {
		who, method string
		rows        int64
	}{
		"a first visit":                  {"nobody", http.MethodGet, 0},
		"a first write":                  {"nobody", http.MethodPost, 0},
		"the write that stores the user": {"provisional", http.MethodPost, 1}, // their cookie is good for it
		"another write":                  {"anonymous", http.MethodPost, 1},
		"an account's visit":             {"permanent", http.MethodGet, 1},
	} {
		v := s.site(t)
		id := v.become(tt.who)
		v.ran.Store(0)
		r := v.client.NewRequest(tt.method, "/panic", nil)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		v.client.Carry(r)
		response, err := v.client.Serve(r)
		if err == nil { // the framework has recovered
			if response.StatusCode != http.StatusInternalServerError || cookies(response) != "" {
				t.Errorf("%s: got %d with cookies %q, want 500 and none", name, response.StatusCode, cookies(response))
			}
		}
		if got := v.ran.Load(); got != 1 {
			t.Errorf("%s: got %d handlers that ran, want 1", name, got)
		}
		if got := v.store.rows.Load(); got != tt.rows {
			t.Errorf("%s: got %d rows, want %d", name, got, tt.rows)
		}
		if tt.who == "anonymous" || tt.who == "permanent" {
			if got := text(t, v.client.Fetch("/")); got != tt.who+" "+id {
				t.Errorf("%s: got %q afterwards, want %s %s", name, got, tt.who, id)
			}
		}
	}
}

// writer holds that the framework's own writer has counted what went out, and
// so its access log is right, whether walkin had a cookie to set or not.
func (s Stack) writer(t *testing.T) {
	for name, tt := range map[string]struct {
		who     string
		request func(*client) *http.Response
		inside  bool // whether the request comes as far as the inner log
	}{
		"passed through":          {"anonymous", visit("/"), true},
		"a cookie":                {"nobody", visit("/"), true},
		"a cookie, by Ensure":     {"nobody", fetch("/ensure"), true},
		"a cookie and a 204":      {"nobody", visit("/empty"), true},
		"a refusal by a guard":    {"anonymous", fetch("/permanent"), true},
		"a refusal with a cookie": {"nobody", visit("/permanent"), true},
		"a refusal by Handler":    {"anonymous", act("/"), false},
		"a form":                  {"nobody", visit("/sign-up"), true},
	} {
		v := s.site(t)
		v.become(tt.who)
		if !tt.inside {
			down(v)
		}
		clear(v.logged)
		r := tt.request(v.client)
		want := fmt.Sprint(r.StatusCode, " ", len(text(t, r)))
		if got := v.logged["outside"]; got != want {
			t.Errorf("%s: got %q in the outer log, want %q", name, got, want)
		}
		if !tt.inside {
			want = ""
		}
		if got := v.logged["inside"]; got != want {
			t.Errorf("%s: got %q in the inner log, want %q", name, got, want)
		}
	}
}

// many holds that no visitor is ever taken for another: frameworks use their contexts
// again.
func (s Stack) many(t *testing.T) {
	a := NewApp(t)
	handler := s.New(a)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 5 {
				c := walkintest.NewClient(t, handler)
				_, id := kind(text(t, c.Visit("/")))
				for _, step := range []struct{ got, want string }{
					{text(t, c.Post("/", nil)), "anonymous " + id},
					{text(t, c.Fetch("/std")), "anonymous " + id},
					{text(t, c.Post(fmt.Sprintf("/continue?name=%d-%d", n, i), nil)), "upgraded"},
					{text(t, c.Visit("/permanent")), "permanent " + id},
					{text(t, c.Fetch("/")), "permanent " + id},
				} {
					if step.got != step.want {
						t.Errorf("got %q, want %q", step.got, step.want)
					}
				}
			}
		})
	}
	wg.Wait()
}
