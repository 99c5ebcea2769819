package walkin_test

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// A chrome is a browser with one jar for many hosts, which keeps the rules of
// RFC 6265bis for domains, paths and name prefixes. Ports are no border.
type chrome struct {
	t   *testing.T
	jar *cookiejar.Jar
}

func newChrome(t *testing.T) *chrome {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &chrome{t, jar}
}

// keep takes cookies that a host answers with, or that a sibling plants.
func (b *chrome) keep(at string, set ...*http.Cookie) {
	for _, c := range set {
		switch {
		case strings.HasPrefix(c.Name, "__Host-") && (!c.Secure || c.Domain != "" || c.Path != "/"),
			strings.HasPrefix(c.Name, "__Secure-") && !c.Secure,
			c.Partitioned && !c.Secure:
			continue
		}
		b.jar.SetCookies(parsed(b.t, at), []*http.Cookie{c})
	}
}

func parsed(t *testing.T, at string) *url.URL {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// sends returns what the browser would send, names and all.
func (b *chrome) sends(at string) []*http.Cookie { return b.jar.Cookies(parsed(b.t, at)) }

// names returns the names of it, one for each cookie.
func (b *chrome) names(at string) string {
	var names []string
	for _, c := range b.sends(at) {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// asks sends a page view, or a form's post, and takes the answer.
func (b *chrome) asks(site http.Handler, method, at string, form url.Values) *http.Response {
	b.t.Helper()
	r := httptest.NewRequest(method, at, strings.NewReader(form.Encode()))
	r.Header.Set("User-Agent", walkintest.UserAgent)
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	}
	for _, c := range b.sends(at) {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	site.ServeHTTP(rec, r)
	answer := rec.Result()
	b.keep(at, answer.Cookies()...)
	return answer
}

func (b *chrome) visit(site http.Handler, at string) string {
	b.t.Helper()
	return body(b.t, b.asks(site, http.MethodGet, at, nil))
}

func (b *chrome) act(site http.Handler, at string, form url.Values) *http.Response {
	b.t.Helper()
	return b.asks(site, http.MethodPost, at, form)
}

func (s *site) whole() http.Handler { return s.Handler(s.routes()) }

func inDomain(domain string) func(*walkin.Config) {
	return func(c *walkin.Config) { c.Cookies.Domain = domain }
}

// TestDomainChanged holds that a visitor goes on under the same user when
// Config.Cookies.Domain changes, and that a sign-out leaves nothing of either kind.
func TestDomainChanged(t *testing.T) {
	const at = "https://app.example.org/a/page"
	changed := func(c *walkin.Config) {
		c.Cookies.Former = []walkin.FormerCookie{{Domain: "example.org", ChangedAt: time.Now()}, {ChangedAt: time.Now()}}
	}
	for _, tt := range []struct{ name, from, to string }{
		{"to a parent", "app.example.org", "example.org"},
		{"to a child", "example.org", "app.example.org"},
		{"to this host", "example.org", ""},
		{"from this host", "", "example.org"},
	} {
		for _, kind := range kinds {
			t.Run(tt.name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					old := newSite(t, inDomain(tt.from))
					b := newChrome(t)
					id := b.visit(old.whole(), at)
					if kind != "provisional" {
						b.act(old.whole(), "https://app.example.org/note", nil)
					}
					if kind == "permanent" {
						b.act(old.whole(), "https://app.example.org/prove", words("name", "ann"))
						id = strings.Replace(id, "anonymous=true", "anonymous=false", 1)
					}
					time.Sleep(time.Minute)
					s := newSite(t, over(old), inDomain(tt.to), changed)
					time.Sleep(time.Minute)
					for day := range 40 { // renewals come and go, and one session lives
						if got := b.visit(s.whole(), at); got != id {
							t.Fatalf("day %d: got %q, want %q", day, got, id)
						}
						if r := b.act(s.whole(), "https://app.example.org/", nil); body(t, r) != id {
							t.Fatalf("day %d, an act: got %d %q, want %q", day, r.StatusCode, body(t, r), id)
						}
						time.Sleep(24 * time.Hour)
					}
					if got := b.names(at); strings.Contains(got, " ") {
						t.Errorf("after the old ones ended: got %q, want one cookie", got)
					}
					if r := b.act(s.whole(), "https://app.example.org/out", nil); r.StatusCode != http.StatusSeeOther || b.names(at) != "" {
						t.Errorf("signed out: got %d and cookies %q, want none", r.StatusCode, b.names(at))
					}
				})
			})
		}
	}
}

// TestDomainChangedSignOut holds that sign-out ends and clears the cookies of
// both domains on the first day, where both are alive.
func TestDomainChangedSignOut(t *testing.T) {
	const at = "https://app.example.org/a/page"
	old := newSite(t, inDomain("example.org"))
	s := newSite(t, over(old), inDomain("app.example.org"), renewAlways)
	b := newChrome(t)
	id := b.visit(old.whole(), at)
	b.act(old.whole(), "https://app.example.org/note", nil)
	for range 3 {
		if got := b.visit(s.whole(), at); got != id {
			t.Fatalf("got %q, want %q", got, id)
		}
	}
	if got := b.names(at); got != "__Secure-walkin-anon __Secure-walkin-anon" {
		t.Fatalf("got %q, want one of each domain", got)
	}
	if r := b.act(s.whole(), "https://app.example.org/prove", words("name", "ann")); r.StatusCode != http.StatusOK {
		t.Fatalf("signing up: got %d %q", r.StatusCode, body(t, r))
	}
	if r := b.act(s.whole(), "https://app.example.org/out", nil); r.StatusCode != http.StatusSeeOther || b.names(at) != "" {
		t.Errorf("got %d and cookies %q, want none", r.StatusCode, b.names(at))
	}
}

// TestPlanted holds what a sibling domain reaches by planting cookies: nothing
// under __Host- names, and under __Secure- ones at most a request without a user
// that a sign-out ends; and that a page removes what is over.
func TestPlanted(t *testing.T) {
	const at, out = "https://app.example.org/a/page", "https://app.example.org/out"
	live := func(s *site) string {
		other := newChrome(t)
		other.act(s.whole(), "https://app.example.org/note", nil)
		return other.sends(at)[0].Value
	}
	dead := func(s *site) string {
		token := live(s)
		if err := s.SignOutEverywhere(t.Context(), userOf(t, token)); err != nil {
			t.Fatal(err)
		}
		return token
	}
	garbage := func(*site) string { return "x" }
	otherKey := func(s *site) string {
		return live(newSite(t, inDomain("example.org"), signedBy(walkin.Key{Secret: []byte("a secret that nobody here has seen yet")})))
	}
	for _, tt := range []struct {
		name    string
		planted func(*site) string
		paths   []string
		goesOn  bool // as themselves
		cleaned bool // by the next page
	}{
		{"garbage", garbage, []string{"/"}, true, true},
		{"garbage for a path", garbage, []string{"/a"}, true, true},
		{"garbage for all paths", garbage, []string{"/", "/a", "/a/", "/a/page"}, true, true},
		{"an ended session", dead, []string{"/"}, true, true},
		{"an ended session for a path", dead, []string{"/a/"}, true, true},
		{"another key", otherKey, []string{"/"}, true, false},
		{"the sibling's own user", live, []string{"/"}, false, false},
		{"the sibling's own user for a path", live, []string{"/a/"}, false, false},
	} {
		for _, domain := range []string{"", "example.org", "app.example.org"} {
			t.Run(tt.name+"/"+domain, func(t *testing.T) {
				s := newSite(t, inDomain(domain), func(c *walkin.Config) { c.Paths.SignOut = "/out" })
				b := newChrome(t)
				id := b.visit(s.whole(), at)
				b.act(s.whole(), "https://app.example.org/note", nil)
				name := b.sends(at)[0].Name
				for _, path := range tt.paths {
					b.keep("https://evil.example.org/", &http.Cookie{Name: name, Value: tt.planted(s), Path: path, Domain: "example.org", Secure: true, MaxAge: 1 << 20})
				}
				if domain == "" && len(b.sends(at)) != 1 {
					t.Fatalf("a __Host- cookie was planted: %v", b.sends(at))
				}
				overwritten := domain == "example.org" && slices.Contains(tt.paths, "/") // the browser has one cookie of that kind
				goesOn := tt.goesOn || domain == ""
				page := b.visit(s.whole(), at)
				switch {
				case overwritten:
					if page == id {
						t.Errorf("got %q, who is gone", page)
					}
				case (page == id) != goesOn:
					t.Errorf("got %q, want %q: %t", page, id, goesOn)
				case tt.cleaned && len(b.sends(at)) != 1:
					t.Errorf("after a page: got cookies %v, want one", b.sends(at))
				}
				if got := b.visit(s.whole(), at); goesOn && !overwritten && got != id {
					t.Errorf("the next page: got %q, want %q", got, id)
				}
				r := b.act(s.whole(), out, nil)
				if want := map[bool]int{true: http.StatusServiceUnavailable, false: http.StatusSeeOther}[tt.name == "another key" && domain != ""]; r.StatusCode != want {
					t.Errorf("signing out: got %d, want %d", r.StatusCode, want)
				}
				// Whatever is left is for a path that the sign-out is not
				// below, and over. The next pages mint a new user for them.
				b.visit(s.whole(), at)
				if got := b.visit(s.whole(), at); got == "nobody" || got == id {
					t.Errorf("after the sign-out: got %q, want somebody new, with %v", got, b.sends(at))
				}
			})
		}
	}
}

// TestTwoUsers holds that a browser with live cookies of two users is without a
// user, that nothing is cleared, and that every page with a guard says so and has
// the button that leads on.
func TestTwoUsers(t *testing.T) {
	for _, kind := range []string{"anonymous", "permanent"} {
		s := newSite(t, inDomain("app.example"), func(c *walkin.Config) {
			c.Paths.SignOut, c.Paths.SignIn, c.Paths.Upgrade = "/out", "/sign-in", "/sign-up"
		})
		var tokens []string
		for _, name := range []string{"ann", "bob"} {
			c := s.browser(s.routes().ServeHTTP)
			c.Post("/note", nil)
			if kind == "permanent" {
				s.prove(c, name)
			}
			tokens = append(tokens, c.Cookies()[0].Name+"="+c.Cookies()[0].Value)
		}
		for path, method := range map[string]string{"/note": "GET", "/members": "GET", "/ensure": "GET", "/prove": "POST"} {
			r := s.navigation(path)
			if method == "POST" {
				r = s.form(path, words("name", "carol"))
			}
			r.Header.Set("Cookie", strings.Join(tokens, "; "))
			rec := httptest.NewRecorder()
			s.whole().ServeHTTP(rec, r)
			if text := rec.Body.String(); rec.Code != http.StatusUnauthorized || !strings.Contains(text, `<form method="post" action="/out">`) || len(rec.Result().Cookies()) > 0 {
				t.Errorf("%s, %s: got %d, %v and\n%s\nwant 401, the button, and no cookie", kind, path, rec.Code, rec.Result().Cookies(), text)
			}
		}
		s.told()
		r := s.form("/out", nil)
		r.Header.Set("Cookie", strings.Join(tokens, "; "))
		rec := httptest.NewRecorder()
		s.whole().ServeHTTP(rec, r)
		if got := s.outcomes(); rec.Code != http.StatusSeeOther || strings.Count(got, "signed_out") != 2 {
			t.Errorf("%s, signing out: got %d and events %q, want 303 and two sign-outs", kind, rec.Code, got)
		}
		for _, token := range tokens {
			r := s.request(http.MethodPost, "/")
			r.Header.Set("Cookie", token)
			if met := s.meet(t, r); met.known {
				t.Errorf("%s: one goes on", kind)
			}
		}
	}
}

// TestClearingIsSmall holds that no path makes the header of an answer larger
// than what proxies take.
func TestClearingIsSmall(t *testing.T) {
	const host = "a.b.c.d.example.org"
	s := newSite(t, inDomain(host))
	for _, path := range []string{"/", strings.Repeat("/a", 500), "/" + strings.Repeat("a", 3000), strings.Repeat("/", 2000)} {
		for _, r := range []*http.Request{s.navigation("/"), s.form("/out", nil)} {
			b := newChrome(t)
			b.act(s.whole(), "https://"+host+"/note", nil)
			c := b.sends("https://" + host + "/")[0]
			r.URL.Path, r.RequestURI, r.Host = path, path, host
			r.Header.Set("Cookie", fmt.Sprintf("%[1]s=%[2]s; %[1]s=x", c.Name, c.Value))
			rec := httptest.NewRecorder()
			h := http.Handler(s.SignOutHandler())
			if r.Method == http.MethodGet {
				h = http.HandlerFunc(who)
			}
			s.Handler(h).ServeHTTP(rec, r)
			size := 0
			for _, line := range rec.Header()["Set-Cookie"] {
				size += len("Set-Cookie: \r\n") + len(line)
			}
			if n := len(rec.Header()["Set-Cookie"]); n < 2 || size > 3500 {
				t.Errorf("%s %.10s: got %d cookies of %d bytes", r.Method, path, n, size)
			}
		}
	}
}

// TestCookieNames holds what the cookies are called: as ever in production, and
// otherwise never alike for two apps that may meet.
func TestCookieNames(t *testing.T) {
	nameWith := func(change func(*walkin.Config)) string {
		s := newSite(t, change)
		rec := httptest.NewRecorder()
		s.whole().ServeHTTP(rec, s.navigation("/"))
		return rec.Result().Cookies()[0].Name
	}
	seen := make(map[string]string)
	for name, tt := range map[string]struct {
		change func(*walkin.Config)
		want   string
	}{
		"default":       {func(*walkin.Config) {}, "__Host-walkin-anon"},
		"another key":   {signedBy(keyOf(t, "EdDSA", 0)), "__Host-walkin-anon"},
		"domain":        {inDomain("app.example"), "__Secure-walkin-anon"},
		"partitioned":   {func(c *walkin.Config) { c.Cookies.Partitioned = true }, "__Host-walkin-anon-chips"},
		"its own":       {func(c *walkin.Config) { c.Cookies.Name = "shop" }, "__Host-shop-anon"},
		"insecure, own": {func(c *walkin.Config) { c.Cookies.Name, c.Cookies.Insecure = "shop", true }, "shop-anon"},
		"own and issuer": {func(c *walkin.Config) { c.Cookies.Name, c.Tokens.Issuer = "Shop_2", "https://shop.example" },
			"__Host-Shop_2-anon"},
		"issuer":             {func(c *walkin.Config) { c.Tokens.Issuer = "https://a.example" }, ""},
		"another issuer":     {func(c *walkin.Config) { c.Tokens.Issuer = "https://b.example" }, ""},
		"audience":           {func(c *walkin.Config) { c.Tokens.Audience = "https://a.example" }, ""},
		"insecure":           {func(c *walkin.Config) { c.Cookies.Insecure = true }, ""},
		"insecure, issuer":   {func(c *walkin.Config) { c.Cookies.Insecure, c.Tokens.Issuer = true, "https://a.example" }, ""},
		"issuer, other keys": {func(c *walkin.Config) { c.Tokens.Issuer = "https://c.example"; signedBy(keyOf(t, "EdDSA", 0))(c) }, ""},
	} {
		got := nameWith(tt.change)
		if tt.want != "" && got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		if tt.want == "" && (got == "__Host-walkin-anon" || got == "walkin-anon" || !strings.Contains(got, "walkin-") || seen[got] != "") {
			t.Errorf("%s: got %q, as %q", name, got, seen[got])
		}
		if tt.want == "" {
			seen[got] = name
		}
	}
	rotated := func(c *walkin.Config) { c.Tokens.Issuer = "https://a.example"; signedBy(keyOf(t, "ES256", 0))(c) }
	if a, b := nameWith(func(c *walkin.Config) { c.Tokens.Issuer = "https://a.example" }), nameWith(rotated); a != b {
		t.Errorf("a key changed the name: %q and %q", a, b)
	}

	for _, name := range []string{"shop-anon", "shop-bind", "shop-chips", "Shop-ANON", "__Host-shop", "__secure-shop", "a b", "a;b", "ä", "a=b", "-anon", strings.Repeat("a", 65)} {
		for what, change := range map[string]func(*walkin.Config){
			"Config.Cookies.Name":      func(c *walkin.Config) { c.Cookies.Name = name },
			"Config.Cookies.Former[0]": func(c *walkin.Config) { c.Cookies.Former = []walkin.FormerCookie{{Name: name, ChangedAt: time.Now()}} },
		} {
			cfg := walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: newSite(t).store}
			change(&cfg)
			_, err := walkin.New(cfg)
			wantError(t, err, what)
		}
	}
	_, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: newSite(t).store,
		Cookies: walkin.Cookies{Former: []walkin.FormerCookie{{Name: "shop"}, {Domain: "com", ChangedAt: time.Now()}}}})
	wantError(t, err, "Cookies.Former[0] has no ChangedAt", "Cookies.Former[1]")
}

// TestAppsOnLocalhost holds that two apps on one host, each with its own key and
// store, leave each other's visitors alone when their names differ, and that a
// browser which goes back and forth gets into both.
func TestAppsOnLocalhost(t *testing.T) {
	const one, two = "http://localhost:8080/", "http://localhost:3000/"
	key := walkin.Key{Secret: []byte("the secret of the other app on localhost")}
	for name, tt := range map[string]struct {
		a, b  func(*walkin.Config)
		apart bool
	}{
		"two issuers, one key":   {func(c *walkin.Config) { c.Tokens.Issuer = "a" }, func(c *walkin.Config) { c.Tokens.Issuer = "b" }, true},
		"one issuer is not set":  {func(*walkin.Config) {}, func(c *walkin.Config) { c.Tokens.Issuer = "b" }, true},
		"names of their own":     {func(c *walkin.Config) { c.Cookies.Name = "a" }, func(c *walkin.Config) { c.Cookies.Name = "b"; c.Keys = []walkin.Key{key} }, true},
		"one name and two keys":  {func(c *walkin.Config) {}, func(c *walkin.Config) { c.Keys = []walkin.Key{key} }, false},
		"two audiences, one key": {func(*walkin.Config) {}, func(c *walkin.Config) { c.Tokens.Audience = "b" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				insecure := func(c *walkin.Config) { c.Cookies.Insecure = true }
				a, b := newSite(t, insecure, tt.a), newSite(t, insecure, tt.b)
				browser := newChrome(t)
				first, second := browser.visit(a.whole(), one), browser.visit(b.whole(), two)
				if got := browser.visit(a.whole(), one); got != first {
					t.Errorf("the first app again: got %q, want %q", got, first)
				}
				if got := browser.visit(b.whole(), two); got != second || tt.apart && got == "nobody" {
					t.Errorf("the second app again: got %q, want %q", got, second)
				}
				prove := func(s *site, at string) *http.Response {
					return browser.act(s.whole(), at+"prove", words("name", "ann"))
				}
				if r := prove(b, two); !tt.apart {
					// They wait while a rotation may be under way.
					if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") != "600" {
						t.Errorf("at first: got %d, Retry-After %q, want 503 and 600", r.StatusCode, r.Header.Get("Retry-After"))
					}
					time.Sleep(9 * time.Minute)
					if r := prove(b, two); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") != "60" {
						t.Errorf("after 9 minutes: got %d, Retry-After %q, want 503 and 60", r.StatusCode, r.Header.Get("Retry-After"))
					}
					time.Sleep(time.Minute)
					if r = prove(b, two); r.StatusCode != http.StatusOK || body(t, r) != "signed_up" {
						t.Fatalf("after 10 minutes: got %d %q, want a new account", r.StatusCode, body(t, r))
					}
				} else if r.StatusCode != http.StatusOK || body(t, r) != "upgraded" {
					t.Fatalf("signing up: got %d %q", r.StatusCode, body(t, r))
				}
				if got := browser.visit(b.whole(), two+"members"); !strings.HasSuffix(got, "anonymous=false") {
					t.Errorf("the second app afterwards: got %q, want a permanent user", got)
				}
				if tt.apart {
					if got := browser.visit(a.whole(), one); got != first {
						t.Errorf("the first app afterwards: got %q, want %q", got, first)
					}
				}
			})
		})
	}
}

// TestPermanentCookieOfAnotherKey holds that no visitor gets a new account over a
// permanent cookie that cannot be verified, however long they wait: there is one.
func TestPermanentCookieOfAnotherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home := newSite(t)
		away := newSite(t, over(home), signedBy(keyOf(t, "EdDSA", 0)))
		c := resident(home, "permanent").On(away.whole())
		c.Visit("/")
		for range 2 {
			time.Sleep(time.Hour)
			if r := c.Post("/prove", words("name", "new")); r.StatusCode != http.StatusUnauthorized || len(r.Cookies()) > 0 {
				t.Errorf("a new account: got %d and %v, want 401", r.StatusCode, r.Cookies())
			}
		}
		if r := c.Post("/prove", words("name", "ann")); r.StatusCode != http.StatusOK {
			t.Errorf("their own: got %d, want 200", r.StatusCode)
		}
	})
}

// TestStrangersKeys holds that made-up keys keep no visitor waiting for ever: they can
// only end the wait of others.
func TestStrangersKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		lost := newSite(t, signedBy(keyOf(t, "EdDSA", 0)))
		c := resident(lost, "anonymous").On(s.whole())
		c.Visit("/")
		kept := c.Cookie(anonName)
		rest := kept[strings.IndexByte(kept, '.'):]
		for i := range 5000 {
			if i == 2500 {
				time.Sleep(10 * time.Minute)
			}
			r := s.request(http.MethodGet, "/")
			r.Header.Set("Cookie", anonName+"="+b64(fmt.Sprintf(`{"alg":"EdDSA","kid":"made-up-%d","typ":"JWT"}`, i))+rest)
			s.meet(t, r)
		}
		if r := c.Post("/prove", words("name", "ann")); r.StatusCode != http.StatusOK || c.Cookie(anonName) != kept || c.Cookie(permName) == "" {
			t.Errorf("got %d and %v, want an account, and the cookie kept", r.StatusCode, r.Cookies())
		}
	})
}

// TestFormerCookies holds which cookies of before a change are read, and that
// they are replaced at once.
func TestFormerCookies(t *testing.T) {
	const at = "https://app.example.org/"
	for _, tt := range []struct {
		name     string
		from, to func(*walkin.Config)
		former   walkin.FormerCookie
	}{
		{"the name", func(*walkin.Config) {}, func(c *walkin.Config) { c.Cookies.Name = "shop" }, walkin.FormerCookie{Name: "walkin"}},
		{"to the default", func(c *walkin.Config) { c.Cookies.Name = "shop" }, func(*walkin.Config) {}, walkin.FormerCookie{Name: "shop"}},
		{"the domain", inDomain("example.org"), func(*walkin.Config) {}, walkin.FormerCookie{Domain: "example.org"}},
		{"partitioned", func(c *walkin.Config) { c.Cookies.Partitioned = true }, func(*walkin.Config) {}, walkin.FormerCookie{Partitioned: true}},
	} {
		for _, kind := range kinds {
			t.Run(tt.name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					visitor := func(s *site, name string) (b *chrome, id string) {
						b = newChrome(t)
						id = b.visit(s.whole(), at)
						if kind != "provisional" {
							b.act(s.whole(), at+"note", nil)
						}
						if kind == "permanent" {
							b.act(s.whole(), at+"prove", words("name", name))
							id = strings.Replace(id, "anonymous=true", "anonymous=false", 1)
						}
						return b, id
					}
					wants := func(what string, b *chrome, s *site, want string) {
						t.Helper()
						if got := b.visit(s.whole(), at); got != want {
							t.Errorf("%s: got %q, want %q", what, got, want)
						}
					}
					old := newSite(t, tt.from)
					early, earlyID := visitor(old, "early")
					reader, readerID := visitor(old, "reader")
					oldNames := reader.names(at)
					time.Sleep(time.Minute)
					tt.former.ChangedAt = time.Now().Add(time.Minute)
					s := newSite(t, over(old), tt.to, func(c *walkin.Config) { c.Cookies.Former = []walkin.FormerCookie{tt.former} })

					for range 3 {
						wants("on the new replica", early, s, earlyID)
						wants("on the old one, while the deploy is under way", early, old, earlyID)
					}
					time.Sleep(2 * time.Minute)
					late, lateID := visitor(old, "late")

					if r := reader.act(s.whole(), at+"note", nil); r.StatusCode != http.StatusOK || body(t, r) != readerID {
						t.Errorf("at sight: got %d %q, want %q", r.StatusCode, body(t, r), readerID)
					}
					if got := reader.names(at); got == oldNames || strings.Contains(got, " ") {
						t.Errorf("at sight: got cookies %q, want one of the new name", got)
					}
					wants("and then", reader, s, readerID)
					if got := late.visit(s.whole(), at); got == lateID || got == "nobody" {
						t.Errorf("a cookie from after the change: got %q, want another user than %q", got, lateID)
					}

					// What a sibling has kept from before counts for nothing where
					// there is a cookie of today.
					victim, victimID := visitor(s, "victim")
					for _, c := range early.sends(at) {
						if slices.Contains(strings.Fields(oldNames), c.Name) {
							victim.keep(at, &http.Cookie{Name: c.Name, Value: c.Value, Path: "/", Secure: true})
						}
					}
					if got := victim.names(at); !strings.Contains(got, " ") {
						t.Fatalf("nothing was planted: %q", got)
					}
					wants("with a planted one", victim, s, victimID)

					if r := early.act(s.whole(), at+"out", nil); r.StatusCode != http.StatusSeeOther || early.names(at) != "" {
						t.Errorf("signed out: got %d and %q, want no cookie", r.StatusCode, early.names(at))
					}
					time.Sleep(32 * 24 * time.Hour)
					if got := late.visit(s.whole(), at); got == lateID {
						t.Error("it is read after its time")
					}
				})
			})
		}
	}
}
