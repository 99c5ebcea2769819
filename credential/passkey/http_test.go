package passkey_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/store/memstore"
)

// TestRequests holds what is refused before anything is looked at.
func TestRequests(t *testing.T) {
	s := newSite(t)
	p := s.member()
	for _, step := range []string{"register", "register-finish", "signin", "signin-finish"} {
		for _, tt := range []struct {
			name   string
			body   string
			change func(*http.Request)
			status int
			reason string
		}{
			{"GET", ``, func(r *http.Request) { r.Method = http.MethodGet }, http.StatusMethodNotAllowed, "method"},
			{"PUT", `{}`, func(r *http.Request) { r.Method = http.MethodPut }, http.StatusMethodNotAllowed, "method"},
			{"a form", `name=x`, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, http.StatusUnsupportedMediaType, "not_json"},
			{"a form's text", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, http.StatusUnsupportedMediaType, "not_json"},
			{"a broken type", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json; =") }, http.StatusUnsupportedMediaType, "not_json"},
			{"no type", `{}`, func(r *http.Request) { r.Header.Del("Content-Type") }, http.StatusUnsupportedMediaType, "not_json"},
			{"too large", `"` + strings.Repeat("x", 32<<10) + `"`, func(*http.Request) {}, http.StatusRequestEntityTooLarge, "passkey_large"},
			{"from elsewhere", `{}`, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden, "cross_origin"},
			{"from a sibling", `{}`, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, http.StatusForbidden, "cross_origin"},
			{"junk", `{`, func(*http.Request) {}, http.StatusBadRequest, "passkey_malformed"},
			{"a bad name", `{"name":"a\u0000b"}`, func(*http.Request) {}, http.StatusUnprocessableEntity, "passkey_name"},
		} {
			finish := strings.HasSuffix(step, "-finish")
			switch {
			case tt.reason == "passkey_malformed" && step == "signin", tt.reason == "passkey_name" && step != "register",
				tt.reason == "cross_origin" && finish: // see below
				continue
			}
			s.told()
			p.holding(func() {
				r := p.request(step, []byte(tt.body))
				tt.change(r)
				a := answerOf(t, p.Do(r))
				want(t, a, tt.status, "", "")
				if got := a.header.Get("Content-Type"); got != "application/problem+json" {
					t.Errorf("%s, %s: got Content-Type %q", step, tt.name, got)
				}
			})
			if got := s.told(); len(got) != 1 || got[0] != tt.reason {
				t.Errorf("%s, %s: the owner is told %q, want %q", step, tt.name, got, tt.reason)
			}
		}
	}
	// A good answer that comes from elsewhere changes nothing either.
	for _, step := range []string{"register", "signin"} {
		o := p.begin(step)
		reply := p.device.get(o, twist{})
		if step == "register" {
			reply = (&device{t: t}).create(o, twist{})
		}
		p.holding(func() {
			r := p.request(step+"-finish", reply)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			want(t, answerOf(t, p.Do(r)), http.StatusForbidden, "", "")
		})
	}
	want(t, p.post("elsewhere", []byte(`{}`)), http.StatusNotFound, "", "")
}

// TestWithoutScript holds that a person whose browser posts the form itself is
// told what is missing.
func TestWithoutScript(t *testing.T) {
	p := newSite(t).member()
	p.holding(func() {
		a := p.act("/passkey/signin", map[string][]string{"return_to": {"/"}})
		if a.status != http.StatusUnsupportedMediaType || !strings.Contains(string(a.body), "A passkey needs JavaScript") ||
			!strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

// TestWithoutHandler holds that the handler knows its visitor also where it does
// not stand behind the middleware's.
func TestWithoutHandler(t *testing.T) {
	s := newSite(t)
	p := s.member()
	p.Client = p.On(s.passkeys[1])
	if o := p.device.read(p.begin("register")); len(o.PublicKey.ExcludeCredentials) != 1 {
		t.Errorf("got %+v", o)
	}
	want(t, p.signIn(twist{}), http.StatusOK, "outcome", "signed_in")
}

func TestScript(t *testing.T) {
	s := newSite(t)
	get := func(method, tag string) *http.Response {
		r := httptest.NewRequest(method, "https://app.example/passkey/script.js", nil)
		r.Header.Set("Sec-Fetch-Dest", "script")
		if tag != "" {
			r.Header.Set("If-None-Match", tag)
		}
		w := httptest.NewRecorder()
		s.replicas[0].ServeHTTP(w, r)
		return w.Result()
	}
	first := get(http.MethodGet, "")
	body := answerOf(t, first).body
	if n := len(body); n > 4000 || n < 1000 {
		t.Errorf("the script has %d bytes, want 4,000 at most", n)
	}
	for name, value := range map[string]string{
		"Content-Type": "text/javascript; charset=utf-8", "X-Content-Type-Options": "nosniff",
		"Cache-Control": "public, max-age=86400", "Set-Cookie": "", "Vary": "",
	} {
		if got := first.Header.Get(name); got != value {
			t.Errorf("got %s %q, want %q", name, got, value)
		}
	}
	tag := first.Header.Get("ETag")
	if again := get(http.MethodGet, tag); again.StatusCode != http.StatusNotModified || again.Header.Get("ETag") != tag || len(tag) < 16 {
		t.Errorf("with the tag %q: got %d", tag, again.StatusCode)
	}
	if other := get(http.MethodGet, `"another"`); other.StatusCode != http.StatusOK {
		t.Errorf("with another tag: got %d", other.StatusCode)
	}
	if head := get(http.MethodHead, ""); head.StatusCode != http.StatusOK || head.ContentLength != int64(len(body)) {
		t.Errorf("HEAD: got %d with %d bytes", head.StatusCode, head.ContentLength)
	}
	if post := get(http.MethodPost, ""); post.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", post.StatusCode)
	}
	for _, forbidden := range []string{"eval", "innerHTML", "http:", "https:", "import"} {
		if bytes.Contains(body, []byte(forbidden)) {
			t.Errorf("the script has %q", forbidden)
		}
	}
}

func TestConfig(t *testing.T) {
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: memstore.New()})
	if err != nil {
		t.Fatal(err)
	}
	good := func() passkey.Config {
		return passkey.Config{RPID: "example.com", DisplayName: "Example",
			Origins: []string{"https://example.com", "https://www.example.com:8443"}}
	}
	if _, err := passkey.New(wk, good()); err != nil {
		t.Errorf("a good one: %v", err)
	}
	for _, tt := range []struct {
		name   string
		change func(*passkey.Config)
		want   string
	}{
		{"no RPID", func(c *passkey.Config) { c.RPID = "" }, `Config.RPID "`},
		{"an address", func(c *passkey.Config) { c.RPID = "127.0.0.1" }, `Config.RPID "`},
		{"a URL", func(c *passkey.Config) { c.RPID = "https://example.com" }, `Config.RPID "`},
		{"a port", func(c *passkey.Config) { c.RPID = "example.com:443" }, `Config.RPID "`},
		{"capitals", func(c *passkey.Config) { c.RPID = "Example.com" }, `Config.RPID "`},
		{"a dot", func(c *passkey.Config) { c.RPID = "example.com." }, `Config.RPID "`},
		{"a dot in front", func(c *passkey.Config) { c.RPID = ".example.com" }, `Config.RPID "`},
		{"no origin", func(c *passkey.Config) { c.Origins = nil }, "Config.Origins"},
		{"a bare domain", func(c *passkey.Config) { c.Origins = []string{"example.com"} }, "Config.Origins[0]"},
		{"no URL", func(c *passkey.Config) { c.Origins = []string{"https://exa mple.com/%zz"} }, "Config.Origins[0]"},
		{"a slash", func(c *passkey.Config) { c.Origins = []string{"https://example.com", "https://example.com/"} }, "Config.Origins[1]"},
		{"plain http", func(c *passkey.Config) { c.Origins = []string{"http://example.com"} }, "https"},
		{"another domain", func(c *passkey.Config) { c.Origins = []string{"https://example.org"} }, "Config.Origins[0]"},
		{"another domain with the name in it", func(c *passkey.Config) { c.Origins = []string{"https://notexample.com"} }, "Config.Origins[0]"},
		{"a name in it", func(c *passkey.Config) { c.Origins = []string{"https://ann@example.com"} }, "Config.Origins[0]"},
		{"no host", func(c *passkey.Config) { c.Origins = []string{"https://"} }, "Config.Origins[0]"},
		{"capitals in a subdomain", func(c *passkey.Config) { c.Origins = []string{"https://WWW.example.com"} }, "Config.Origins[0]"},
		{"another scheme", func(c *passkey.Config) { c.Origins = []string{"ftp://example.com"} }, "Config.Origins[0]"},
		{"no name", func(c *passkey.Config) { c.DisplayName = "" }, "Config.DisplayName"},
		{"a limit that is none", func(c *passkey.Config) { c.PerNetwork.Count = -1 }, "Config.PerNetwork"},
	} {
		cfg := good()
		tt.change(&cfg)
		p, err := passkey.New(wk, cfg)
		if err == nil || p != nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "walkin: passkey: ") {
			t.Errorf("%s: got %v, want one about %s", tt.name, err, tt.want)
		}
	}
	if _, err := passkey.New(nil, good()); err == nil || !strings.HasPrefix(err.Error(), "walkin: passkey: ") {
		t.Errorf("without a middleware: got %v", err)
	}
	_, err = passkey.New(wk, passkey.Config{})
	for _, name := range []string{"RPID", "Origins", "DisplayName"} {
		if !strings.Contains(err.Error(), "Config."+name) {
			t.Errorf("all at once: %s is not named in %v", name, err)
		}
	}
	local := good()
	local.RPID, local.Origins = "localhost", []string{"http://localhost:8080", "http://app.localhost"}
	if _, err := passkey.New(wk, local); err != nil {
		t.Errorf("localhost: %v", err)
	}
}

// FuzzFinish holds that whatever is sent instead of an answer is refused, and
// leaves the visitor as they were.
func FuzzFinish(f *testing.F) {
	s := newSite(f)
	p := s.person()
	p.Visit("/")
	o := p.begin("register")
	p.device.create(o, twist{})
	f.Add("signin-finish", p.device.get(p.suggest(), twist{}))
	f.Add("register-finish", p.device.create(o, twist{challenge: "unknown"}))
	f.Add("signin-finish", p.device.get(p.begin("signin"), twist{challenge: "unknown"}))
	for _, a := range attacks() {
		f.Add("signin-finish", p.device.get(o, a.tw))
		f.Add("register-finish", (&device{t: f}).create(o, a.tw))
	}
	for _, junk := range []string{``, `{}`, `null`, `[]`, `{"id":null}`, `{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"}}`} {
		f.Add("register-finish", []byte(junk))
		f.Add("signin-finish", []byte(junk))
	}
	f.Fuzz(func(t *testing.T, step string, body []byte) {
		if step != "register-finish" {
			step = "signin-finish"
		}
		guest := newSite(t).person()
		guest.Visit("/")
		before := guest.Cookie(anonCookie)
		if a := guest.post(step, body); a.status < 400 || a.status >= 500 {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if guest.Cookie(anonCookie) != before || guest.Cookie(permCookie) != "" {
			t.Error("the cookies have changed")
		}
	})
}
