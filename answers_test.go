package walkin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
)

// TestLibraries holds that a visitor who clicks a link that a script follows is shown
// the way to sign up, in the form in which that script follows it.
func TestLibraries(t *testing.T) {
	const page = "https://app.example/board?tab=1"
	fetch := []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Referer", page, "Accept", "*/*"}
	for _, tt := range []struct {
		name   string
		header []string
		status int
		field  string // that says where
		part   bool   // of a page: the way back is to the page
	}{
		{"htmx", []string{"HX-Request", "true", "HX-Current-URL", page}, 403, "Hx-Redirect", true},
		{"htmx, boosted", []string{"HX-Request", "true", "HX-Boosted", "true", "HX-Current-URL", page}, 403, "Hx-Redirect", false},
		{"Turbo Drive", []string{"Accept", "text/html, application/xhtml+xml", "X-Turbo-Request-Id", "1"}, 303, "Location", false},
		{"Turbo Stream", []string{"Accept", "text/vnd.turbo-stream.html, text/html, application/xhtml+xml"}, 303, "Location", false},
		{"Turbo Frame", []string{"Accept", "text/html, application/xhtml+xml", "Turbo-Frame", "notes"}, 303, "Location", true},
		{"Inertia", []string{"Accept", "text/html, application/xhtml+xml", "X-Inertia", "true", "X-Requested-With", "XMLHttpRequest"}, 409, "X-Inertia-Location", false},
		{"Unpoly", []string{"X-Up-Version", "3.14.3", "X-Up-Target", "main"}, 303, "Location", false},
		{"Datastar", []string{"Datastar-Request", "true", "Accept", "text/event-stream, text/html, application/json"}, 200, "", true},
		{"a script that wants HTML", []string{"Accept", "text/html"}, 303, "Location", false},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			s := newSite(t, func(c *walkin.Config) { c.Paths.Upgrade = "/sign-up" })
			ran := new(spy)
			r := with(with(s.request(method, "/publish?a=1"), fetch...), tt.header...)
			c := resident(s, "anonymous")
			answer := c.On(s.Handler(s.RequirePermanent()(ran))).Do(r)
			back := "%2Fpublish%3Fa%3D1"
			if tt.part || method == http.MethodPost {
				back = "%2Fboard%3Ftab%3D1"
			}
			want := "/sign-up?return_to=" + back
			text := body(t, answer)
			if tt.field == "" {
				if text != fmt.Sprintf("location.href = %q", want) || answer.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
					t.Errorf("%s %s: got %q", tt.name, method, text)
				}
			} else if got := answer.Header.Get(tt.field); got != want {
				t.Errorf("%s %s: got %q, want %q", tt.name, method, got, want)
			}
			if answer.StatusCode != tt.status || ran.ran || answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: got %d, want %d; next ran: %t", tt.name, method, answer.StatusCode, tt.status, ran.ran)
			}
		}
	}
	// The names do not reach another site, nor do they make an API client a browser.
	s := newSite(t, func(c *walkin.Config) { c.Paths.Upgrade = "/sign-up" })
	for name, header := range map[string][]string{
		"a page of another site": {"HX-Request", "true", "HX-Current-URL", "https://evil.example/x", "Referer", "https://evil.example/x"},
		"no page":                {"HX-Request", "true", "HX-Current-URL", "javascript:alert(1)"},
	} {
		r := with(with(s.request(http.MethodPost, "/publish"), fetch...), header...)
		answer := resident(s, "anonymous").On(s.Handler(s.RequirePermanent()(new(spy)))).Do(r)
		if got := answer.Header.Get("Hx-Redirect"); got != "/sign-up" {
			t.Errorf("%s: got %q, want no way back", name, got)
		}
	}
	for _, accept := range []string{"*/*", "application/json", "text/html;q=0, application/json", ""} {
		r := with(with(s.request(http.MethodGet, "/publish"), fetch...), "Accept", accept)
		answer := resident(s, "anonymous").On(s.Handler(s.RequirePermanent()(new(spy)))).Do(r)
		if answer.StatusCode != http.StatusForbidden || answer.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("a program that accepts %q: got %d %v", accept, answer.StatusCode, answer.Header)
		}
	}
}

// TestLocation holds that an app's own answer can redirect where walkin's does.
func TestLocation(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) {
		c.Paths.Upgrade = "/sign-up?plan=free"
		c.OnRefuse = func(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) {
			http.Redirect(w, r, refusal.Location(r), http.StatusFound)
		}
	})
	r := resident(s, "anonymous").On(s.Handler(s.RequirePermanent()(new(spy)))).Visit("/publish?a=1")
	if got := r.Header.Get("Location"); got != "/sign-up?plan=free&return_to=%2Fpublish%3Fa%3D1" {
		t.Errorf("got %q", got)
	}
	if got := (&walkin.Refusal{}).Location(s.navigation("/")); got != "" {
		t.Errorf("without a page: got %q", got)
	}
}

// TestCodes holds that the codes of refusals are those that docs/requests.md lists,
// and tell no more than may be told.
func TestCodes(t *testing.T) {
	text, err := os.ReadFile("docs/requests.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## What a refusal says to an API client")
	section, _, _ = strings.Cut(section, "\n## ")
	var listed []string
	for _, row := range regexp.MustCompile(`(?m)^\| (`+"`"+`.*?) \|`).FindAllStringSubmatch(section, -1) {
		for _, code := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			listed = append(listed, code[1])
		}
	}
	has := []string{walkin.CodeOf(401, "no_user"), walkin.CodeOf(503, "store_down"), walkin.CodeOf(500, "internal")}
	for _, code := range walkin.Codes {
		has = append(has, code)
	}
	for _, code := range has {
		if !slices.Contains(listed, code) { // internal/docs holds that it lists no other
			t.Errorf("docs/requests.md lists %q, and not %q", listed, code)
		}
	}
	for _, reason := range []walkin.Reason{"session_ended", "expired", "forged", "malformed", "unknown_key", "clock_skew", "duplicate_cookie"} {
		if got, want := walkin.CodeOf(401, reason), walkin.CodeOf(401, "no_user"); got != want {
			t.Errorf("%s: got %q, want %q as without a token", reason, got, want)
		}
	}
	own := &walkin.Refusal{Status: http.StatusPaymentRequired, Code: "trial_over"}
	rec := httptest.NewRecorder()
	own.ServeHTTP(rec, newSite(t).request(http.MethodGet, "/"))
	if !strings.Contains(rec.Body.String(), `"code":"trial_over"`) {
		t.Errorf("got %s, want the app's own code", rec.Body)
	}
}

// TestBelowAPath holds that an app below a path works as one at the root does: a post
// to Paths.Upgrade mints no anonymous user, visitors come back into the app, and its
// start is where it is mounted.
func TestBelowAPath(t *testing.T) {
	configure := func(base string) func(*walkin.Config) {
		return func(c *walkin.Config) {
			c.Paths.Upgrade, c.Paths.SignIn, c.Paths.Credentials, c.Paths.Base = "/app/sign-up", "/app/sign-in", []string{"/app/passkey/"}, base
		}
	}
	mounts := map[string]struct {
		config func(*walkin.Config)
		wrap   func(*site, http.Handler) http.Handler
	}{
		"StripPrefix outside": {configure(""), func(s *site, h http.Handler) http.Handler { return http.StripPrefix("/app", s.Handler(h)) }},
		"StripPrefix inside":  {configure(""), func(s *site, h http.Handler) http.Handler { return s.Handler(http.StripPrefix("/app", h)) }},
		"a proxy that strips": {configure("/app/"), func(s *site, h http.Handler) http.Handler {
			stripped := s.Handler(h)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r = r.Clone(r.Context())
				r.URL.Path = strings.TrimPrefix(r.URL.Path, "/app")
				r.RequestURI = r.URL.RequestURI()
				stripped.ServeHTTP(w, r)
			})
		}},
	}
	for name, mount := range mounts {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, mount.config)
			forms, _ := s.forms(&nameCredential{store: s.store})
			mux := http.NewServeMux()
			mux.Handle("/", forms)
			mux.Handle("/publish", s.RequirePermanent()(new(spy)))
			mux.Handle("/passkey/finish", new(spy))
			mux.Handle("/sign-out", s.SignOutHandler())
			c := s.browser(nil).On(mount.wrap(s, mux))

			for _, path := range []string{"/app/sign-up", "/app/sign-in", "/app/passkey/finish"} {
				if c.Post(path, words("word", "x")); s.store.rows(t) != 0 {
					t.Errorf("a post to %s made a guest", path)
				}
			}
			c.Visit("/app/")
			if r := c.Visit("/app/publish?a=1"); r.Header.Get("Location") != "/app/sign-up?return_to=%2Fapp%2Fpublish%3Fa%3D1" {
				t.Errorf("a guard: got %d to %q", r.StatusCode, r.Header.Get("Location"))
			}
			start := "/app/"
			if name == "StripPrefix inside" {
				start = "/" // the app is all of it
			}
			if r := c.Post("/app/sign-up", words("name", "ann", "word", "long enough")); r.Header.Get("Location") != start {
				t.Errorf("signing up: got %d to %q, want %s", r.StatusCode, r.Header.Get("Location"), start)
			}
			if r := c.Post("/app/sign-out", words("return_to", "//evil.example")); r.Header.Get("Location") != start {
				t.Errorf("signing out: got %d to %q, want %s", r.StatusCode, r.Header.Get("Location"), start)
			}
			if r := c.Post("/app/sign-in", words("name", "ann", "word", "long enough", "return_to", "/app/x")); r.Header.Get("Location") != "/app/x" {
				t.Errorf("signing in: got %d to %q", r.StatusCode, r.Header.Get("Location"))
			}
		})
	}
	// Whether a page's visitor has a user or not, its forms lead to the same paths.
	for _, mode := range policies {
		for _, robot := range []bool{false, true} {
			s := newSite(t, configure("/app"), minting(mode))
			r := s.navigation("/draft?n=1")
			if robot {
				r.Header.Set("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
			}
			target, to := "", ""
			s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { target, to = walkin.Target(r), walkin.ReturnTo(r) })).
				ServeHTTP(httptest.NewRecorder(), r)
			if target != "/app/draft?n=1" || to != "/app/" {
				t.Errorf("%v, a robot: %t: got %s and %s", mode, robot, target, to)
			}
		}
	}
	for _, bad := range []string{"app", "//evil.example", "/a?b", "/a%2f", "/"} {
		_, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: newSite(t).store, Paths: walkin.Paths{Base: bad}})
		if (err == nil) != (bad == "/") || err != nil && !strings.Contains(err.Error(), "Paths.Base") {
			t.Errorf("Paths.Base %q: got %v", bad, err)
		}
	}
}
