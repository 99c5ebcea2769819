package challenge_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/challenge"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

// TestPaths holds where a Gate can be: at a local path that ends with a slash.
func TestPaths(t *testing.T) {
	for path, ok := range map[string]bool{
		"": true, "/challenge/": true, "/a/b/": true, "/": true,
		"/challenge": false, "challenge/": false, "//evil.example/": false, "///evil.example/": false, "/a?b/": false, "/a%20b/": false, "/%zz/": false,
		"https://evil.example/": false,
	} {
		wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{secret}, Store: memstore.New()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := challenge.New(wk, challenge.Config{Path: path}); (err == nil) != ok {
			t.Errorf("%q: got %v", path, err)
		}
	}
}

// TestCaptchaNeeds holds that a captcha without one of its fields is an error: each
// tells the site's own visitors from others.
func TestCaptchaNeeds(t *testing.T) {
	for name, tt := range map[string]struct {
		captcha challenge.Turnstile
		ok      bool
	}{
		"all":         {challenge.Turnstile{SiteKey: "a", Secret: "b", Hostname: "c"}, true},
		"no site key": {challenge.Turnstile{Secret: "b", Hostname: "c"}, false},
		"no secret":   {challenge.Turnstile{SiteKey: "a", Hostname: "c"}, false},
		"no host":     {challenge.Turnstile{SiteKey: "a", Secret: "b"}, false},
	} {
		for kind, captcha := range map[string]challenge.Captcha{"Turnstile": tt.captcha, "hCaptcha": challenge.HCaptcha(tt.captcha)} {
			wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{secret}, Store: memstore.New()})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := challenge.New(wk, challenge.Config{Captcha: captcha}); (err == nil) != tt.ok {
				t.Errorf("%s, %s: got %v", kind, name, err)
			}
		}
	}
}

// A failing store fails one method of tickets, with an error.
type failing struct {
	store.Store
	method string
	err    error
}

func (f *failing) fails(method string) error {
	if f.method == method {
		return f.err
	}
	return nil
}

func (f *failing) PutTicket(ctx context.Context, ticket store.Ticket) error {
	if err := f.fails("PutTicket"); err != nil {
		return err
	}
	return f.Store.PutTicket(ctx, ticket)
}

func (f *failing) AddTicket(ctx context.Context, ticket store.Ticket, now time.Time) (bool, error) {
	if err := f.fails("AddTicket"); err != nil {
		return false, err
	}
	return f.Store.AddTicket(ctx, ticket, now)
}

func (f *failing) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if err := f.fails("TakeTicket"); err != nil {
		return store.Ticket{}, err
	}
	return f.Store.TakeTicket(ctx, key, now)
}

// TestStoreFails holds that no visitor passes while the store fails, that waiting is
// asked of them only where it is of use, and that the operator is told.
func TestStoreFails(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		err          error
		status       int
	}{
		{"the solution", "AddTicket", errors.New("down"), http.StatusServiceUnavailable},
		{"the solution, by the app's error", "AddTicket", store.ErrConstraint, http.StatusInternalServerError},
		{"the pass", "PutTicket", errors.New("down"), http.StatusServiceUnavailable},
		{"the pass, by the app's error", "PutTicket", store.ErrConstraint, http.StatusInternalServerError},
	} {
		f := &failing{Store: memstore.New()}
		s := newSite(t, f, nil)
		s.fill()
		c := s.visitor()
		text, difficulty := s.challengeOf(c)
		f.method, f.err = tt.method, tt.err
		if got := answer(c, text, solve(text, difficulty)); got != tt.status || c.Cookie("__Host-walkin.pass") != "" {
			t.Errorf("%s: got %d, and the pass %q", tt.name, got, c.Cookie("__Host-walkin.pass"))
		}
		if !slices.Contains(s.told, "challenge") {
			t.Errorf("%s: the operator is told %q", tt.name, s.told)
		}
	}
	f := &failing{Store: memstore.New()}
	s := newSite(t, f, nil)
	s.fill()
	c := s.visitor()
	text, difficulty := s.challengeOf(c)
	if got := answer(c, text, solve(text, difficulty)); got != http.StatusNoContent {
		t.Fatalf("got %d", got)
	}
	f.method, f.err = "TakeTicket", errors.New("down")
	short := s.visitor()
	short.SetCookie("__Host-walkin.pass", "short")
	if short.Post("/notes", note); len(s.told) > 0 {
		t.Errorf("a pass that is none was looked up: the operator is told %q", s.told)
	}
	if r := c.Post("/notes", note); r.StatusCode != http.StatusTooManyRequests || len(s.sent) != 0 || !slices.Contains(s.told, "challenge") {
		t.Errorf("a pass that cannot be read: got %d, %q was sent, and the operator is told %q", r.StatusCode, s.sent, s.told)
	}
	f.method = ""
	if r := c.Post("/notes", note); r.StatusCode != http.StatusOK {
		t.Errorf("the same pass afterwards: got %d", r.StatusCode)
	}
}

// TestPassCookie holds what the browser keeps, and which cookies are no pass.
func TestPassCookie(t *testing.T) {
	s := newSite(t, memstore.New(), nil)
	s.fill()
	c := s.visitor()
	text, difficulty := s.challengeOf(c)
	r := answered(c, text, solve(text, difficulty))
	cookies := r.Cookies()
	if len(cookies) != 1 || cookies[0].MaxAge != 600 || len(cookies[0].Value) != 26 || r.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %v, and Cache-Control %q", cookies, r.Header.Get("Cache-Control"))
	}
	pass := cookies[0].Value
	for name, header := range map[string]string{
		"shorter":      "__Host-walkin.pass=" + pass[:25],
		"longer":       "__Host-walkin.pass=" + pass + "A",
		"another":      "__Host-walkin.pass=" + strings.Repeat("A", 26),
		"empty":        "__Host-walkin.pass=",
		"one of two":   "__Host-walkin.pass=" + pass + "; __Host-walkin.pass=" + strings.Repeat("A", 26),
		"another name": "walkin.pass=" + pass,
	} {
		v := s.visitor()
		post := v.NewRequest(http.MethodPost, "/notes", nil)
		v.Carry(post)
		post.Header.Set("Cookie", post.Header.Get("Cookie")+"; "+header)
		if r, err := v.Serve(post); err != nil || r.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%s: got %d, %v", name, r.StatusCode, err)
		}
	}
	if r := c.Post("/notes", note); r.StatusCode != http.StatusOK {
		t.Errorf("the pass itself: got %d", r.StatusCode)
	}
}

// TestForgedShape holds which challenges are none though they have our signature.
func TestForgedShape(t *testing.T) {
	s := newSite(t, memstore.New(), nil)
	s.fill()
	key := derived(t, secret)
	for _, tt := range []struct {
		name   string
		expiry time.Duration
		length int
		text   string // in place of base64url
		want   int
	}{
		{"as it is", time.Minute, 25, "", http.StatusNoContent},
		{"a byte less", time.Minute, 24, "", http.StatusForbidden},
		{"a byte more", time.Minute, 26, "", http.StatusForbidden},
		{"no base64url", time.Minute, 25, "!", http.StatusForbidden},
		{"base64url and more", time.Minute, 25, "%s!", http.StatusForbidden},
		{"as long as the hardest work, and two clocks", 11*time.Minute + 30*time.Second, 25, "", http.StatusNoContent},
		{"longer", 11*time.Minute + 50*time.Second, 25, "", http.StatusForbidden},
		{"over", -time.Second, 25, "", http.StatusForbidden},
	} {
		b := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(tt.expiry).Unix()))
		b = append(append(b, 17), strings.Repeat("x", tt.length-9)...)
		text := base64.RawURLEncoding.EncodeToString(b)
		if tt.text != "" {
			text = strings.Replace(tt.text, "%s", text, 1)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte("walkin challenge\x00" + text))
		text += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		if got := answer(s.visitor(), text, solve(text, 17)); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestShown holds what is shown where: a page that a browser opens gets the challenge,
// and a library that puts HTML into a page does not.
func TestShown(t *testing.T) {
	gate := newGate(t, nil)
	for name, tt := range map[string]struct {
		header http.Header
		want   bool
	}{
		"a browser":      {http.Header{"Sec-Fetch-Mode": {"navigate"}}, true},
		"an old browser": {http.Header{"Accept": {"text/html"}}, true},
		"htmx":           {http.Header{"Accept": {"text/html"}, "Hx-Request": {"true"}}, false},
		"Turbo":          {http.Header{"Accept": {"text/html"}, "Turbo-Frame": {"a"}}, false},
		"a program":      {http.Header{"Accept": {"application/json"}}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/notes?page=2", nil)
		r.Header = tt.header
		w := httptest.NewRecorder()
		shown := gate.Show(w, r, &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: "new_user_limit", Message: "Many visitors come <at> once."})
		if page := w.Body.String(); shown != tt.want || (page != "") != tt.want || (w.Header().Get("Cache-Control") == "no-store") != tt.want {
			t.Errorf("%s: shown %t, want %t: %s", name, shown, tt.want, page)
		} else if tt.want && !(strings.Contains(page, `<a class="button" href="/notes?page=2">`) && strings.Contains(page, "Many visitors come &lt;at&gt; once.")) {
			t.Errorf("%s: got %s", name, page)
		}
	}
}

// TestFormWithoutLength holds that a form whose length the client does not say, as
// HTTP/2 allows it, is sent again when it has an end within the bound.
func TestFormWithoutLength(t *testing.T) {
	for length, want := range map[int]bool{10: true, 64 << 10: true, 64<<10 + 1: false} {
		gate := newGate(t, nil)
		r := httptest.NewRequest(http.MethodPost, "/notes", io.NopCloser(strings.NewReader("a="+strings.Repeat("x", length-2))))
		r.ContentLength = -1
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		gate.Show(w, r, &walkin.Refusal{Status: http.StatusTooManyRequests, Reason: "new_user_limit"})
		if got := strings.Contains(w.Body.String(), `id="again"`); got != want {
			t.Errorf("%d bytes: got a form to send again: %t, want %t", length, got, want)
		}
	}
}

// TestServed holds what the Gate serves beside its page.
func TestServed(t *testing.T) {
	gate := newGate(t, nil)
	for path, want := range map[string]string{"/challenge/solve.js": "javascript", "/challenge/work.js": "javascript", "/challenge/page.css": "css"} {
		w := httptest.NewRecorder()
		gate.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Type"), want) || w.Header().Get("Cache-Control") != "public, max-age=3600" {
			t.Errorf("%s: got %d %v", path, w.Code, w.Header())
		}
	}
	w := httptest.NewRecorder()
	gate.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/challenge/solved", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("a GET of what is posted: got %d %v", w.Code, w.Header())
	}
}

// TestCaptchaService holds what is made of each answer of a captcha's service, which is
// a stand-in, and that its connection is given back.
func TestCaptchaService(t *testing.T) {
	const good = `{"success":true,"hostname":"app.example","action":"walkin"}`
	long := strings.Repeat("x", 4096)
	for _, tt := range []struct {
		name     string
		response string // the visitor's
		status   int
		answer   string
		want     int
		told     string
	}{
		{"good", "x", 200, good, http.StatusNoContent, ""},
		{"as long as may be", long, 200, good, http.StatusNoContent, ""},
		{"longer", long + "x", 200, good, http.StatusForbidden, ""},
		{"no success, for this host", "x", 200, `{"success":false,"hostname":"app.example","action":"walkin"}`, http.StatusForbidden, ""},
		{"an error with a good body", "x", 500, good, http.StatusServiceUnavailable, "the captcha's service answered 500"},
		{"no JSON", "x", 200, "<html>", http.StatusServiceUnavailable, "sent no JSON"},
		{"without an end", "x", 200, `{"x":"` + strings.Repeat("x", 64<<10), http.StatusServiceUnavailable, "sent no JSON"},
		{"a wrong secret", "x", 200, `{"success":false,"error-codes":["invalid-input-secret"]}`, http.StatusServiceUnavailable, `says "invalid-input-secret"`},
		{"a wrong site key", "x", 200, `{"success":false,"error-codes":["timeout","invalid-sitekey"]}`, http.StatusServiceUnavailable, `says "invalid-sitekey"`},
		{"gone", "x", 0, "", http.StatusServiceUnavailable, "asking the captcha's service"},
	} {
		var told []string
		var open atomic.Int32
		client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if tt.status == 0 {
				return nil, errors.New("it is gone")
			}
			if r.URL.String() != "https://challenges.cloudflare.com/turnstile/v0/siteverify" && r.URL.String() != "https://api.hcaptcha.com/siteverify" {
				t.Errorf("%s: asked %s", tt.name, r.URL)
			}
			if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Errorf("%s: asked by %s of %q", tt.name, r.Method, r.Header.Get("Content-Type"))
			}
			open.Add(1)
			return &http.Response{StatusCode: tt.status, Body: closer{strings.NewReader(tt.answer), &open}, Request: r}, nil
		})}
		own := challenge.Turnstile{SiteKey: "site", Secret: "hush", Hostname: "app.example", Client: client}
		for kind, captcha := range map[string]challenge.Captcha{"Turnstile": own, "hCaptcha": challenge.HCaptcha(own)} {
			told = nil
			s := newSite(t, memstore.New(), func(c *walkin.Config, g *challenge.Config) {
				g.Captcha = captcha
				c.OnEvent = func(_ context.Context, e walkin.Event) {
					if e.Outcome == walkin.Failed {
						told = append(told, fmt.Sprint(e.Reason, " ", e.Err))
					}
				}
			})
			if got := answer(s.visitor(), "", tt.response); got != tt.want {
				t.Errorf("%s, %s: got %d, want %d", kind, tt.name, got, tt.want)
			}
			if all := strings.Join(told, "\n"); (tt.told == "") != (all == "") || !strings.Contains(all, tt.told) || strings.Contains(all, "hush") {
				t.Errorf("%s, %s: the operator is told %q, want %q", kind, tt.name, all, tt.told)
			}
			if n := open.Load(); n != 0 {
				t.Errorf("%s, %s: %d answers are left open", kind, tt.name, n)
			}
		}
	}
	s := newSite(t, memstore.New(), func(_ *walkin.Config, g *challenge.Config) {
		g.Captcha = challenge.Turnstile{SiteKey: "site", Secret: "hush", Hostname: "app.example", Verify: "://"}
	})
	if got := answer(s.visitor(), "", "x"); got != http.StatusServiceUnavailable || !slices.Contains(s.told, "challenge") {
		t.Errorf("an address that is none: got %d, and the operator is told %q", got, s.told)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A closer is a body that counts down when it is closed.
type closer struct {
	io.Reader
	open *atomic.Int32
}

func (c closer) Close() error {
	c.open.Add(-1)
	return nil
}

// TestPolicy holds which other site a page may load from: that of the captcha alone.
func TestPolicy(t *testing.T) {
	own := challenge.Turnstile{SiteKey: "site", Secret: "hush", Hostname: "app.example"}
	for name, tt := range map[string]struct {
		captcha challenge.Captcha
		hosts   []string
	}{
		"a proof of work": {nil, nil},
		"Turnstile":       {own, []string{"challenges.cloudflare.com"}},
		"hCaptcha":        {challenge.HCaptcha(own), []string{"hcaptcha.com", "*.hcaptcha.com"}},
	} {
		s := newSite(t, memstore.New(), func(_ *walkin.Config, g *challenge.Config) { g.Captcha = tt.captcha })
		s.fill()
		policy := s.visitor().Post("/notes", note).Header.Get("Content-Security-Policy")
		for directive := range strings.SplitSeq(policy, "; ") {
			words := strings.Fields(directive)
			var hosts []string
			for _, word := range words {
				if u, err := url.Parse(word); err == nil && u.Host != "" {
					hosts = append(hosts, u.Host)
				}
			}
			loads := slices.Contains([]string{"script-src", "connect-src", "style-src", "frame-src"}, words[0])
			if loads && !slices.Equal(hosts, tt.hosts) || !loads && len(hosts) > 0 {
				t.Errorf("%s: got %q", name, directive)
			}
		}
		if strings.Contains(policy, "frame-src") != (tt.captcha != nil) || !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s: got %q", name, policy)
		}
	}
}
