package walkin_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/localurl"
	"github.com/walkin-go/walkin/walkintest"
)

// A way is what comes in return_to, and whether it leads to a page of this site
// for everybody who reads it.
type way struct {
	path  string
	local bool
}

// ways are all the values that users wrote there, good and bad.
var ways = []way{
	{"/", true}, {"/a", true}, {"/a/", true}, {"/a/b", true}, {"/a?b=c", true}, {"/a?b=c#d", true}, {"/a#d", true}, {"/?", true}, {"/?a", true},
	{"/a?u=https://evil.example", true}, {"/a?u=//evil.example", true}, {"/a?u=%5c%5cevil.example", true}, {"/a?b=c#//evil.example", true},
	{"/a:b", true}, {"/:80", true}, {"/@evil.example", true}, {"/user:word@evil.example", true}, {"/;a=b", true}, {"/a,b", true}, {"/~ann", true},
	{"/%C3%A9t%C3%A9", true}, {"/a%20b", true}, {"/a+b", true}, {"/100%25", true}, {"/a%3Fb", true}, {"/a%23b", true}, {"/a%40b", true},
	{"/.", true}, {"/..", true}, {"/../a", true}, {"/a/..", true}, {"/a/../b", true}, {"/%2e%2e/a", true}, {"/.well-known/x", true}, {"/...", true},
	{"/evil.example", true}, {"/https:evil.example", true}, {"/https:/evil.example", true}, {"/javascript:alert(1)", true},
	{"/" + strings.Repeat("a", 2047), true},

	{"", false}, {"a", false}, {"?a=b", false}, {"#a", false}, {".", false}, {"..", false}, {"./a", false}, {"../a", false}, {" ", false},
	{"//", false}, {"///", false}, {"//evil.example", false}, {"///evil.example", false}, {"////evil.example", false}, {"//evil.example/a?b#c", false},
	{"//evil.example:443", false}, {"//user@evil.example", false}, {"//app.example@evil.example", false}, {"//app.example", false},
	{"//127.0.0.1", false}, {"//[::1]", false}, {"//2130706433", false}, {"//evil%E3%80%82example", false}, {"//;@evil.example", false},
	{`\`, false}, {`\\evil.example`, false}, {`/\evil.example`, false}, {`\/evil.example`, false}, {`/\/evil.example`, false}, {`//\evil.example`, false},
	{`/\\evil.example`, false}, {`/a\b`, false}, {`/a\..\\evil.example`, false}, {`/a?b\c`, false}, {`/a#\\evil.example`, false},
	{"/\t/evil.example", false}, {"/\tevil.example", false}, {"\t//evil.example", false}, {"/\n/evil.example", false}, {"/\r/evil.example", false},
	{"/\r\n/evil.example", false}, {"/\v/evil.example", false}, {"/\x00/evil.example", false}, {"/a\x7f", false}, {"/\x1f", false}, {"/a\t", false},
	{"/a\r\nLocation: https://evil.example", false}, {"/a\r\nSet-Cookie: x=y", false}, {"/a\nb", false},
	{" /a", false}, {" //evil.example", false}, {"/a b", false}, {"/ /evil.example", false}, {"/a ", false}, {"\u00a0//evil.example", false}, {"\ufeff//evil.example", false},
	{"/é", false}, {"/\u2044evil.example", false}, {"/\uff0fevil.example", false}, {"/\xff", false}, {"/\u2028", false},
	{"https:evil.example", false}, {"https:/evil.example", false}, {"https://evil.example", false}, {"https:///evil.example", false}, {"HTTPS://evil.example", false},
	{`https:\\evil.example`, false}, {"http://app.example", false}, {"https://app.example/a", false}, {"https://app.example@evil.example", false},
	{"https://app.example.evil.example", false}, {"javascript:alert(1)", false}, {"java\tscript:alert(1)", false}, {"data:text/html,x", false}, {"mailto:a@b", false}, {":a", false}, {"evil.example", false},
	{"/%5cevil.example", false}, {"/%5Cevil.example", false}, {"%5c%5cevil.example", false}, {"/%5c%5cevil.example", false}, {"/%5c/evil.example", false},
	{"/%2fevil.example", false}, {"/%2Fevil.example", false}, {"/%2f/evil.example", false}, {"/%2f%2fevil.example", false}, {"%2f%2fevil.example", false}, {"%2fa", false},
	{"/%09/evil.example", false}, {"/%0a/evil.example", false}, {"/%0d%0aLocation:%20https://evil.example", false}, {"/a%00", false}, {"/%7f", false}, {"/%0bx", false},
	{"/a/..//evil.example", false}, {`/a/../\evil.example`, false}, {"/a/../%5cevil.example", false}, {"/a/..%2f/evil.example", false}, {"/a/..%2f%2fevil.example", false},
	{"/.//evil.example", false}, {"/./%2fevil.example", false}, {"/%2e//evil.example", false}, {"/%2e%2f/evil.example", false}, {"/..//evil.example", false}, {"/%2e%2e//evil.example", false},
	{"/a//b", false}, {"/a/..;//evil.example", false}, {"/;//evil.example", false}, {"/https://evil.example", false},
	{"/%252fevil.example", false}, {"/%252f%252fevil.example", false}, {"/%255cevil.example", false}, {"/%255Cevil.example", false}, {"/%2509/evil.example", false},
	{"/%250d%250aLocation:x", false}, {"/a/../%255cevil.example", false}, {"/%%32fevil.example", false}, {"/%25%32%66evil.example", false},
	{"/%255cevil.example/%25zz", false}, {"/%2509/%25", false}, {"/%25zz%2509/%255c", false},
	{"/%", false}, {"/%2", false}, {"/%zz", false}, {"/%u002fevil.example", false},
	{"/" + strings.Repeat("a", 2048), false}, {"/" + strings.Repeat("../", 5000), false}, {strings.Repeat("/", 1<<14), false},
}

// TestReturnPaths holds that visitors are sent only to a page of this site, by a form,
// by a sign-out, or by a guard: for any other path it is the default.
func TestReturnPaths(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Paths.Upgrade = "/sign-up?from=guard" })
	signOut := s.Handler(s.SignOutHandler())
	var shown walkin.Form
	form := s.Handler(s.UpgradeHandler(gatekeeper{s}, func(w http.ResponseWriter, _ *http.Request, form walkin.Form) {
		shown = form
		w.WriteHeader(form.Status)
	}))
	for _, tt := range ways {
		t.Run(fmt.Sprintf("%.60q", tt.path), func(t *testing.T) {
			want := "/"
			if tt.local {
				want = tt.path
			}
			if got := localurl.Path(tt.path, "/"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if tt.local {
				wantLocal(t, tt.path)
			}
			c := walkintest.NewClient(t, signOut)
			r := c.Post("/out", url.Values{"return_to": {tt.path}})
			if got := r.Header.Get("Location"); r.StatusCode != http.StatusSeeOther || got != cleaned(want) {
				t.Errorf("signing out: got %d to %q, want %q", r.StatusCode, got, cleaned(want))
			}
			c = walkintest.NewClient(t, form)
			r = c.Post("/up?return_to="+url.QueryEscape(tt.path), url.Values{"name": {"new"}})
			if got := r.Header.Get("Location"); r.StatusCode != http.StatusSeeOther || got != cleaned(want) {
				t.Errorf("signing up: got %d to %q, want %q", r.StatusCode, got, cleaned(want))
			}
			s.forget("test", "new")
			for _, answer := range []*http.Response{c.Visit("/up?return_to=" + url.QueryEscape(tt.path)), c.Post("/up", url.Values{"return_to": {tt.path}})} {
				if shown.ReturnTo != want || answer.Header.Get("Location") != "" {
					t.Errorf("the form, %d: got %q, want %q", answer.StatusCode, shown.ReturnTo, want)
				}
			}

			// A guard writes down where a visitor wanted to go, as they spelled it.
			guard := s.Handler(s.RequirePermanent()(new(spy)))
			if target, err := url.ParseRequestURI(tt.path); err == nil && target.Scheme == "" {
				r := s.navigation("/")
				r.URL = target
				wantBack(t, guard, r)
			}
			post := s.form("/", nil)
			post.Header.Set("Referer", "https://app.example"+tt.path)
			wantBack(t, guard, post)
			post.Header.Set("Referer", tt.path)
			wantBack(t, guard, post)
		})
	}
	// The form's body counts before the address.
	c := walkintest.NewClient(t, signOut)
	if got := c.Post("/out?return_to=/b", url.Values{"return_to": {"/a"}}).Header.Get("Location"); got != "/a" {
		t.Errorf("two of them: got %q, want the form's", got)
	}
	if got := c.Post("/out?return_to=/b", url.Values{"return_to": {"//evil.example"}}).Header.Get("Location"); got != "/" {
		t.Errorf("two of them, the form's bad: got %q, want the default", got)
	}
}

// A gatekeeper is a credential that takes the word "new" for a proof.
type gatekeeper struct{ *site }

func (gatekeeper) SignUp(r *http.Request) (walkin.Proof, error) {
	if r.PostFormValue("name") != "new" {
		return walkin.Proof{}, &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: "no_name"}
	}
	return walkin.Proof{Provider: "test", Subject: "new", Chosen: true}, nil
}

func (gatekeeper) SignIn(*http.Request) (walkin.Proof, error) {
	return walkin.Proof{}, errors.New("unused")
}

// cleaned is what http.Redirect makes of a local path.
func cleaned(s string) string {
	before, query, ok := strings.Cut(s, "?")
	clean := path.Clean(before)
	if strings.HasSuffix(before, "/") && clean != "/" {
		clean += "/"
	}
	if ok {
		clean += "?" + query
	}
	return clean
}

// wantBack checks where a guard sends a visitor: to its own page, and from there to a
// local page or nowhere.
func wantBack(t *testing.T, guard http.Handler, r *http.Request) {
	t.Helper()
	rec := httptest.NewRecorder()
	guard.ServeHTTP(rec, r)
	location, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || rec.Code != http.StatusSeeOther || location.Host != "" || location.Path != "/sign-up" || location.Query().Get("from") != "guard" {
		t.Fatalf("%s %q: got %d to %q and %v, want the sign-up page", r.Method, r.URL, rec.Code, rec.Header().Get("Location"), err)
	}
	if back := location.Query()["return_to"]; len(back) > 1 {
		t.Errorf("got %d ways back: %q", len(back), back)
	} else if len(back) == 1 {
		wantLocal(t, back[0])
		if localurl.Path(back[0], "") != back[0] {
			t.Errorf("the way back is %q, which a form does not take", back[0])
		}
	}
}

// wantLocal checks that a path leads to this site for a browser, for a browser
// behind a server that decodes once or twice more, and when what a browser made
// of it is followed once more.
func wantLocal(t *testing.T, s string) {
	t.Helper()
	for decoded, round := s, 0; round < 3; decoded, round = decodeAll(decoded), round+1 {
		if strings.ContainsAny(decoded, "\r\n") && !strings.ContainsAny(decoded, "?#") {
			t.Errorf("%q, decoded %d times, has a line break: %q", s, round, decoded)
		}
		target := followed(t, "https://app.example/x/y", decoded)
		if target.Scheme != "https" || target.Host != "app.example" || target.User != nil {
			t.Errorf("%q, decoded %d times, leads a browser to %q", s, round, target)
			continue
		}
		if again := followed(t, "https://app.example/", target.EscapedPath()); again.Host != "app.example" {
			t.Errorf("%q, decoded %d times, is the path %q, which leads to %q", s, round, target.EscapedPath(), again)
		}
	}
}

// decodeAll decodes what is percent-encoded and leaves alone what is not, as
// many servers do where Go refuses all of it.
func decodeAll(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if len(s) > i+2 {
			if one, err := url.PathUnescape(s[i : i+3]); err == nil && len(one) == 1 {
				b.WriteString(one)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// followed resolves a reference as browsers do, and not as RFC 3986 says: blanks
// around it and tabs and line breaks in it are dropped, \ is / up to the query,
// %2e is a dot, and any number of slashes leads to a host (WHATWG URL).
func followed(t *testing.T, base, s string) *url.URL {
	t.Helper()
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	s = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(s)
	s, fragment, _ := strings.Cut(s, "#")
	s, query, _ := strings.Cut(s, "?")
	s = strings.NewReplacer(`\`, "/", "%2e", ".", "%2E", ".").Replace(s)
	from, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(s, "//") {
		host, rest, _ := strings.Cut(strings.TrimLeft(s, "/"), "/")
		return &url.URL{Scheme: from.Scheme, Host: "elsewhere: " + host, Path: "/" + rest}
	}
	if scheme, rest, ok := strings.Cut(s, ":"); ok && !strings.Contains(scheme, "/") {
		return &url.URL{Scheme: scheme, Opaque: rest}
	}
	// What is left is a path, whatever else is in it.
	return from.ResolveReference(&url.URL{Path: s, RawQuery: query, Fragment: fragment})
}

// FuzzReturnTo holds that whatever is taken for a local path is one to
// everybody, and stays as it is.
func FuzzReturnTo(f *testing.F) {
	for _, way := range ways {
		if len(way.path) < 10_000 {
			f.Add(way.path)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := localurl.Path(s, "")
		if got == "" {
			return
		}
		if got != s {
			t.Fatalf("%q became %q", s, got)
		}
		wantLocal(t, s)
		rec := httptest.NewRecorder()
		http.Redirect(rec, httptest.NewRequest(http.MethodPost, "/a/b", nil), got, http.StatusSeeOther)
		wantLocal(t, rec.Header().Get("Location"))
	})
}
