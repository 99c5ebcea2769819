package walkin_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

var updateRequests = flag.Bool("update", false, "write the table of docs/requests.md")

// A sending is one kind of request, as in the table of docs/requests.md.
type sending struct {
	name    string
	request func(*site) *http.Request
}

// sendings are the rows of the table, all without a cookie. The shapes are as
// Chromium 156, Firefox ESR and WebKitGTK 2.50 send them.
func sendings() []sending {
	page := func(header ...string) func(*site) *http.Request {
		return func(s *site) *http.Request { return with(s.navigation("/"), header...) }
	}
	at := func(path string, header ...string) func(*site) *http.Request {
		return func(s *site) *http.Request { return with(s.navigation(path), header...) }
	}
	fetch := func(method string, header ...string) func(*site) *http.Request {
		return func(s *site) *http.Request { return with(s.request(method, "/"), header...) }
	}
	form := func(path string, header ...string) func(*site) *http.Request {
		return func(s *site) *http.Request { return with(s.form(path, url.Values{}), header...) }
	}
	return []sending{
		{"a page is opened: typed, a link, from elsewhere, reloaded", page("Sec-Fetch-Site", "cross-site")},
		{"the same in a browser without Sec-Fetch headers, or over plain http", page(noSFS...)},
		{"the same behind a service worker", page("Sec-Fetch-Dest", "empty")},
		{"the same behind a service worker, in Firefox", page("Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Dest", "empty")},
		{"a link from another site, behind a service worker (Chromium)", page("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "empty")},
		{"a page is opened by a crawler", page("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")},
		{"a page, prefetched or prerendered", page("Sec-Purpose", "prefetch;prerender")},
		{"an iframe", page("Sec-Fetch-Dest", "iframe")},
		{"an image, a script, a style", fetch("GET", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image")},
		{"a GET by a script: fetch, XMLHttpRequest, EventSource", fetch("GET")},
		{"a GET by a program", page(append(noSFS, "Accept", "*/*", "User-Agent", "curl/8")...)},
		{"a WebSocket", page("Upgrade", "websocket")},
		{"HEAD, OPTIONS", fetch("OPTIONS")},
		{"/healthz, /status and their like, by a probe", at("/healthz", noSFS...)},
		{"the same, by a browser", at("/status")},
		{"/robots.txt, /.well-known/…", at("/.well-known/security.txt")},
		{"a form of the site", form("/")},
		{"a fetch by a script of the site: POST, PUT, PATCH, DELETE", fetch("POST")},
		{"the same to a page of credentials: Paths.Upgrade, SignIn, Credentials", form("/sign-in")},
		{"a form of the site behind a service worker, with a cookie of ours", func(s *site) *http.Request {
			return with(s.form("/", url.Values{}), "Sec-Fetch-Dest", "empty", "Cookie", bindName+"="+strings.Repeat("A", 26))
		}},
		{"a form behind a service worker, without one", form("/", "Sec-Fetch-Dest", "empty")},
		{"a form of another site", form("/", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")},
		{"a fetch or a form of a same-site origin that CrossOrigin trusts", fetch("POST", "Sec-Fetch-Site", "same-site", "Origin", "https://spa.app.example")},
		{"a fetch of another site that CrossOrigin trusts", fetch("POST", "Sec-Fetch-Site", "cross-site", "Origin", "https://spa.app.example")},
		{"a fetch of a same-site origin that it does not trust", fetch("POST", "Sec-Fetch-Site", "same-site", "Origin", "https://other.example")},
		{"navigator.sendBeacon, analytics", fetch("POST", "Sec-Fetch-Mode", "no-cors")},
		{"a link's ping, a CSP report, any other report", fetch("POST", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "report", "Content-Type", "application/csp-report")},
		{"what Config.NewUsers.IsAutomatic names", form("/webhooks/shop")},
		{"a webhook; any POST without Sec-Fetch-Site, Origin and our cookies", fetch("POST", append(noSFS, "User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")...)},
		{"a POST with an Authorization that is not ours", fetch("POST", "Authorization", "Bearer app-token")},
		{"a POST of a browser with Basic, Digest, Negotiate or NTLM", fetch("POST", "Authorization", "Basic dTpw")},
	}
}

// whyNot are the sentences of the table, by the reason in the event.
var whyNot = map[string]string{
	"":                      "",
	"bot":                   "robots get no user",
	"prefetch":              "the page may never be looked at",
	"embedded":              "the browser may withhold a cookie; with `Partitioned` a user",
	"not_a_page":            "a page comes first, or a write",
	"protocol_upgrade":      "many WebSocket libraries drop the cookie",
	"method":                "it neither opens a page nor writes",
	"machine_path":          "machines ask for it",
	"credential_form":       "the form decides who the visitor becomes",
	"worker_without_cookie": "a worker makes another site's form look like the site's own",
	"cross_site":            "another site may have sent it, and the browser may withhold a cookie",
	"beacon":                "a page sends it by itself",
	"report":                "a browser sends it by itself, some without the cookies it has",
	"automatic":             "the app says so",
	"no_browser":            "a program sends it, and no visitor",
	"authorization":         "the app knows the sender by it",
}

// TestRequestsPage holds docs/requests.md to what walkin does: each row is sent,
// with each Config.NewUsers.Mint, and to a handler that calls Ensure.
func TestRequestsPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("| request, without a cookie | MintOnVisit | MintOnWrite | MintOnDemand | with Ensure | why not |\n|---|---|---|---|---|---|\n")
	for _, sent := range sendings() {
		row, reason := []string{sent.name}, ""
		for _, mode := range policies[:3] {
			s := requestsSite(t, mode)
			said := s.tries(t, sent.request(s))
			switch said {
			case "minted":
				said = "user"
			case "minted persisted":
				said = "user, stored"
			default:
				if why := strings.TrimPrefix(said, "skipped:"); reason == "" && why != "no_write" && why != "on_demand" {
					reason = why
				}
				said = "–"
			}
			row = append(row, said)
		}
		s := requestsSite(t, walkin.MintOnDemand)
		var err error
		s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, err = s.Ensure(w, r) })).
			ServeHTTP(httptest.NewRecorder(), sent.request(s))
		ensured := "user, stored"
		if err != nil {
			ensured = fmt.Sprint(err.(*walkin.Refusal).Status)
		}
		s.wantRows(map[bool]int{true: 1}[err == nil])
		why, ok := whyNot[reason]
		if !ok {
			t.Errorf("%s: nothing is said about %q", sent.name, reason)
		}
		if reason != "" {
			why = "`" + reason + "`: " + why
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.Join(row, " | "), ensured, why)
	}
	const file, begin, end = "docs/requests.md", "<!-- the table, written by go test -run TestRequestsPage -update . -->\n", "<!-- its end -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	is, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table", file)
	}
	if *updateRequests {
		if err := os.WriteFile(file, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if is != b.String() {
		t.Errorf("%s is not what walkin does; go test -run TestRequestsPage -update . writes it. Want\n%s", file, b.String())
	}
}

func requestsSite(t *testing.T, mode walkin.Mint) *site {
	t.Helper()
	return newSite(t, minting(mode), func(c *walkin.Config) {
		c.Paths.Upgrade, c.Paths.SignIn = "/sign-up", "/sign-in"
		c.CrossOrigin = trusting(t, "https://spa.app.example")
		c.NewUsers.IsAutomatic = func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/webhooks/") }
	})
}

func trusting(t *testing.T, origins ...string) *http.CrossOriginProtection {
	t.Helper()
	c := http.NewCrossOriginProtection()
	for _, origin := range origins {
		if err := c.AddTrustedOrigin(origin); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestWebhooks holds that ten thousand webhooks from one address reach their
// handler, and make no user.
func TestWebhooks(t *testing.T) {
	s := newSite(t)
	reached := 0
	h := s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached++
		if _, ok := walkin.FromContext(r.Context()); ok {
			t.Error("a webhook has a user")
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	senders := [][]string{
		{"User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)", "Content-Type", "application/json"},
		{"User-Agent", "GitHub-Hookshot/0a1b2c3", "X-Github-Event", "push"},
		{"User-Agent", "Shopify-Captain-Hook"},
		{"User-Agent", "TwilioProxy/1.1", "Content-Type", "application/x-www-form-urlencoded"},
		{"User-Agent", "Amazon Simple Notification Service Agent", "Content-Type", "text/plain"},
		{"User-Agent", "Svix-Webhooks/1.24", "Svix-Id", "msg_1"},
		{"User-Agent", "grpc-go/1.79", "Content-Type", "application/grpc"},
		{"User-Agent", "okhttp/5.1.0", "X-Api-Key", "k"},
		{"User-Agent", "axios/1.13.2", "Authorization", "Token abc"},
		{"User-Agent", "", "Authorization", "Basic dTpw"},
	}
	for i := range 10_000 {
		r := with(with(s.request(http.MethodPost, "/hook"), noSFS...), senders[i%len(senders)]...)
		r.RemoteAddr = "192.0.2.1:1"
		rec := httptest.NewRecorder()
		if h.ServeHTTP(rec, r); rec.Code != http.StatusAccepted || len(rec.Result().Cookies()) > 0 {
			t.Fatalf("webhook %d: got %d and %v", i, rec.Code, rec.Result().Cookies())
		}
	}
	if reached != 10_000 {
		t.Errorf("%d reached the handler", reached)
	}
	s.wantRows(0)
	// And none took anything from their neighbours.
	for range 30 {
		if c := s.browser(s.routes().ServeHTTP).From("192.0.2.1:1"); c.Post("/note", nil).StatusCode != http.StatusOK {
			t.Fatal("a visitor behind the same address is limited")
		}
	}
}

// TestAutomaticWithACookie holds that what no visitor does makes a provisional
// visitor no row, and that their cookie counts all the same.
func TestAutomaticWithACookie(t *testing.T) {
	for name, header := range map[string][]string{
		"beacon":    {"Sec-Fetch-Mode", "no-cors"},
		"report":    {"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "report"},
		"ping":      {"Sec-Fetch-Mode", "no-cors", "Content-Type", "text/ping"},
		"automatic": {"X-Automatic", "1"},
	} {
		s := newSite(t, func(c *walkin.Config) {
			c.NewUsers.IsAutomatic = func(r *http.Request) bool { return r.Header.Get("X-Automatic") != "" }
		})
		c := s.browser(who)
		id := body(t, c.Visit("/"))
		if got := body(t, c.Do(with(c.NewRequest(http.MethodPost, "/", nil), header...))); got != id {
			t.Errorf("%s: got %q, want %q", name, got, id)
		}
		s.wantRows(0)
		c.Post("/", nil)
		s.wantRows(1)
	}
}

// TestReportsActForNobody holds that a ping, which user-written markup can carry, signs
// no user out.
func TestReportsActForNobody(t *testing.T) {
	s := newSite(t)
	c := resident(s, "permanent")
	id := body(t, c.Fetch("/"))
	for _, header := range [][]string{{"Sec-Fetch-Mode", "no-cors", "Content-Type", "text/ping"}, {"Sec-Fetch-Dest", "report", "Sec-Fetch-Mode", "no-cors"}} {
		for _, path := range []string{"/out", "/prove?name=mallory", "/unlink"} {
			if r := c.On(s.Handler(s.routes())).Do(with(c.NewRequest(http.MethodPost, path, nil), header...)); r.StatusCode != http.StatusForbidden {
				t.Errorf("%v to %s: got %d, want 403", header, path, r.StatusCode)
			}
		}
	}
	if got := body(t, c.Fetch("/")); got != id {
		t.Errorf("got %q afterwards, want %q", got, id)
	}
}

// workers are how a service worker sends a form on, by engine.
var workers = map[string][]string{
	"Chromium and WebKit": {"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "empty"},
	"Firefox":             {"Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Dest", "empty"},
}

// TestServiceWorker holds that a service worker which sends on what it gets breaks
// nothing for the site's own visitors, and lends its name to no other site.
func TestServiceWorker(t *testing.T) {
	for engine, shape := range workers {
		t.Run(engine, func(t *testing.T) {
			s := newSite(t, func(c *walkin.Config) { c.Paths.Upgrade, c.Paths.SignIn = "/sign-up", "/sign-in" })
			forms, _ := s.forms(&nameCredential{store: s.store})
			h := s.Handler(forms)
			mallory := s.browser(forms.ServeHTTP)
			mallory.Post("/sign-up", words("name", "mallory", "word", "evil"))

			c := s.browser(forms.ServeHTTP)
			open := func(path string) *http.Response {
				r := c.NewRequest(http.MethodGet, path, nil)
				return c.Do(with(with(r, "Accept", "text/html"), shape...))
			}
			post := func(path string, form url.Values) *http.Request {
				return with(s.form(path, form), shape...)
			}
			if open("/"); c.Cookie(anonName) == "" {
				t.Fatal("a page view behind the worker makes no user")
			}
			c.Do(post("/note", nil))
			id := body(t, c.Fetch("/"))
			for _, kind := range []string{"anonymous", "permanent"} {
				for _, path := range []string{"/sign-in", "/sign-up", "/out", "/prove", "/unlink", "/note", "/ensure"} {
					// The worker of the site sends another site's form: no Lax cookies.
					r := post(path, words("name", "mallory", "word", "evil", "new", "1"))
					for _, origin := range []string{"https://app.example", "https://evil.example"} {
						rows := s.store.rows(t)
						rec := httptest.NewRecorder()
						h.ServeHTTP(rec, with(r.Clone(t.Context()), "Origin", origin))
						if len(rec.Result().Cookies()) > 0 || s.store.rows(t) != rows {
							t.Errorf("%s, from %s to %s: got %d and cookies %v", kind, origin, path, rec.Code, rec.Result().Cookies())
						}
					}
				}
				if got := body(t, c.Fetch("/")); got != id {
					t.Errorf("got %q afterwards, want %q", got, id)
				}
				if kind == "anonymous" {
					if r := c.Do(post("/sign-up", words("name", "ann", "word", "long enough"))); r.StatusCode != http.StatusSeeOther {
						t.Fatalf("signing up behind the worker: got %d", r.StatusCode)
					}
					id = body(t, c.Fetch("/"))
				}
			}
			// A sibling's form brings the Lax cookies along, and its address.
			r := c.Do(with(post("/out", nil), "Origin", "https://sibling.example"))
			if r2 := c.Do(with(post("/out", nil), "Referer", "https://sibling.example/")); r.StatusCode != http.StatusForbidden || r2.StatusCode != http.StatusForbidden {
				t.Errorf("a sibling's form: got %d and %d, want 403", r.StatusCode, r2.StatusCode)
			}
		})
	}
}

// TestFormShownBehindAWorker holds that a visitor without a user can sign in behind a
// service worker: the form that is shown gives them a cookie to be known by, which is
// this host's whatever Domain says, and is not set where other sites can load it.
func TestFormShownBehindAWorker(t *testing.T) {
	for engine, shape := range workers {
		s := newSite(t, minting(walkin.MintOff), func(c *walkin.Config) { c.Paths.SignIn, c.Cookies.Domain = "/sign-in", "app.example" })
		forms, _ := s.forms(&nameCredential{store: s.store})
		ann := s.browser(forms.ServeHTTP)
		ann.Post("/sign-up", words("name", "ann", "word", "long enough"))
		c := s.browser(forms.ServeHTTP)
		signIn := func() int {
			return c.Do(with(s.form("/sign-in", words("name", "ann", "word", "long enough")), shape...)).StatusCode
		}
		for _, header := range [][]string{{"Sec-Fetch-Mode", "cors"}, {"Sec-Fetch-Dest", "iframe", "Sec-Fetch-Mode", "navigate"}, {"Sec-Purpose", "prefetch", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}} {
			c.Do(with(c.NewRequest(http.MethodGet, "/sign-in", nil), header...))
		}
		if c.Cookie(bindName) != "" || signIn() != http.StatusForbidden {
			t.Fatalf("%s: a form that nobody opened gave a cookie", engine)
		}
		r := c.Do(with(with(c.NewRequest(http.MethodGet, "/sign-in", nil), "Accept", "text/html"), shape...))
		value := c.Cookie(bindName)
		if value == "" || !strings.Contains(r.Header.Get("Cache-Control"), "no-store") || strings.Contains(strings.Join(r.Header["Set-Cookie"], ""), "Domain") {
			t.Fatalf("%s: got %v, want the cookie, of this host alone, uncached", engine, r.Header)
		}
		if c.Visit("/sign-in"); c.Cookie(bindName) != value {
			t.Errorf("%s: the cookie did not stay", engine)
		}
		if got := signIn(); got != http.StatusSeeOther {
			t.Errorf("%s: signing in: got %d, want 303", engine, got)
		}
	}
}

// TestPartitionedBehindAWorker holds that where cookies come from every site, a form
// behind a service worker writes for no user, whatever guard its handler has.
func TestPartitionedBehindAWorker(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Cookies.Partitioned = true })
	c := s.browser(s.routes().ServeHTTP)
	c.Visit("/")
	c.Post("/note", nil)
	s.wantRows(1)
	ran := new(spy)
	for engine, shape := range workers {
		for _, h := range []http.Handler{s.RequireUser()(ran), s.SignOutHandler()} {
			if r := c.On(s.Handler(h)).Do(with(s.form("/", nil), shape...)); r.StatusCode != http.StatusForbidden || ran.ran {
				t.Errorf("%s: got %d, want 403", engine, r.StatusCode)
			}
		}
	}
}

// TestOwnFormInANewTab holds that WebKit, which calls the site's own form with
// target=_blank cross-site, may send it, with a live cookie and exactly our Origin.
func TestOwnFormInANewTab(t *testing.T) {
	blank := []string{"Sec-Fetch-Site", "cross-site"}
	for name, tt := range map[string]struct {
		header []string
		want   int
	}{
		"ours":           {nil, 200},
		"another":        {[]string{"Origin", "https://evil.example"}, 403},
		"another scheme": {[]string{"Origin", "http://app.example"}, 403},
		"another port":   {[]string{"Origin", "https://app.example:8443"}, 403},
		"null":           {[]string{"Origin", "null"}, 403},
		"none":           {[]string{"Origin", ""}, 403},
	} {
		s := newSite(t)
		c := resident(s, "anonymous")
		h := s.Handler(s.RequireUser()(http.HandlerFunc(who)))
		if r := c.On(h).Do(with(with(s.form("/", nil), blank...), tt.header...)); r.StatusCode != tt.want {
			t.Errorf("Origin %s: got %d, want %d", name, r.StatusCode, tt.want)
		}
		// Without a live cookie it is another site's.
		dead := walkintest.NewClient(t, h)
		dead.SetCookie(anonName, "x.y.z")
		if r := dead.Do(with(with(s.form("/", nil), blank...), tt.header...)); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("Origin %s, a dead cookie: got %d, want 401", name, r.StatusCode)
		}
		var err error
		dead.On(s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { err = s.CheckOrigin(r) }))).Do(with(with(s.form("/", nil), blank...), tt.header...))
		if !errors.Is(err, walkin.ErrCrossOrigin) {
			t.Errorf("Origin %s, a dead cookie: got %v, want ErrCrossOrigin", name, err)
		}
	}
}

// TestDefaultPort holds that a proxy which writes the default port into Host makes no
// page of the site another site's: not in browsers that send no Sec-Fetch, nor in
// WebKit's form for a new window, nor on the way back.
func TestDefaultPort(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Paths.Upgrade = "/sign-up" })
	c := s.browser(s.routes().ServeHTTP)
	c.Visit("/")
	for name, header := range map[string][]string{"without Sec-Fetch": noSFS, "in a new window": {"Sec-Fetch-Site", "cross-site"}} {
		r := with(s.form("/note", nil), header...)
		r.Host = "app.example:443"
		if answer := c.Do(r); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: got %d, want 200", name, answer.StatusCode)
		}
	}
	r := with(s.form("/members", nil), "Referer", "https://app.example/draft?n=1")
	r.Host = "app.example:443"
	if got, want := c.Do(r).Header.Get("Location"), "/sign-up?return_to=%2Fdraft%3Fn%3D1"; got != want {
		t.Errorf("the way back: got %q, want %q", got, want)
	}
}

// TestScriptsOfTheModeSameOrigin holds that scripts which fetch in that mode, as htmx 4
// does, are not taken for another site's form behind a service worker. No form has their
// header field, nor their content type.
func TestScriptsOfTheModeSameOrigin(t *testing.T) {
	partitioned := func(c *walkin.Config) { c.Cookies.Partitioned = true }
	for name, tt := range map[string]struct {
		header []string
		script bool
	}{
		"htmx 4":            {[]string{"Hx-Request", "true"}, true},
		"Inertia":           {[]string{"X-Inertia", "true"}, true},
		"Datastar":          {[]string{"Datastar-Request", "true"}, true},
		"a Turbo frame":     {[]string{"Turbo-Frame", "list"}, true},
		"Unpoly":            {[]string{"X-Up-Version", "3.14"}, true},
		"JSON":              {[]string{"Content-Type", "application/json"}, true},
		"a form":            {nil, false},
		"a form with files": {[]string{"Content-Type", "multipart/form-data; boundary=x"}, false},
		"a form of text":    {[]string{"Content-Type", "Text/Plain"}, false},
		"no type":           {[]string{"Content-Type", ""}, false},
		"a broken type":     {[]string{"Content-Type", "text/plain;;"}, false},
		"another value":     {[]string{"Hx-Request", "false"}, false},
	} {
		header := append([]string{"Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Dest", "empty"}, tt.header...)
		s := newSite(t, minting(walkin.MintOnWrite))
		want := map[bool]string{true: "minted persisted", false: "skipped:worker_without_cookie"}[tt.script]
		if got := s.tries(t, with(s.form("/", nil), header...)); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		// The mode navigate is no script's to set.
		if got := s.tries(t, with(s.form("/", nil), append(header, "Sec-Fetch-Mode", "navigate")...)); got != "skipped:worker_without_cookie" {
			t.Errorf("%s, a navigation: got %q", name, got)
		}
		p := newSite(t, partitioned)
		c := p.browser(p.routes().ServeHTTP)
		c.Visit("/")
		if got := c.Do(with(p.form("/note", nil), header...)).StatusCode; (got == http.StatusOK) != tt.script {
			t.Errorf("%s, Partitioned: got %d", name, got)
		}
	}
}
