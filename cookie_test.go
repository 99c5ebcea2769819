package walkin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestDuplicateCookies holds that a browser which cannot be is nobody, and is
// not minted over.
func TestDuplicateCookies(t *testing.T) {
	s := newSite(t)
	one, two := s.browser(who), s.browser(who)
	id := body(t, one.Act("/", nil))
	two.Act("/", nil)
	a, b := anonName+"="+one.Cookie(anonName), anonName+"="+two.Cookie(anonName)
	for _, tt := range []struct {
		name    string
		cookies []string
		want    string
	}{
		{"one", []string{a}, id},
		{"the same twice", []string{a + "; " + a}, id},
		{"the same twice in two fields", []string{a, a}, id},
		{"among others", []string{"x=1; " + a + "; y=2"}, id},
		{"two values", []string{a + "; " + b}, "nobody"},
		{"two values in two fields", []string{a, b}, "nobody"},
		{"a value and an empty one", []string{a + "; " + anonName + "="}, "nobody"},
		{"two permanent ones", []string{permName + "=x; " + permName + "=y; " + a}, "nobody"},
		{"3,001 cookies", []string{a + strings.Repeat("; x=1", 3000)}, "nobody"},
		{"a megabyte", []string{a + "; x=" + strings.Repeat("x", 1<<20)}, id},
		{"a megabyte of semicolons", []string{a + strings.Repeat(";", 1<<20)}, "nobody"},
	} {
		r := s.navigation("/")
		r.Header["Cookie"] = tt.cookies
		answer, err := s.browser(who).Serve(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := body(t, answer); got != tt.want || len(answer.Header["Set-Cookie"]) > 0 {
			t.Errorf("%s: got %q and %v, want %q and no cookie", tt.name, got, answer.Header["Set-Cookie"], tt.want)
		}
	}
}

// FuzzCookieHeader holds that we read a Cookie header exactly as net/http does.
func FuzzCookieHeader(f *testing.F) {
	const name = anonName
	for _, seed := range []string{
		"", name + "=a", " " + name + " =a", name + `="a"`, name + "=a; " + name + "=b", name + "=a\\b; " + name + "=c",
		name, name + "=", name + "= a ", "x=1;" + name + "=a;;", "=" + name + "=a", "$Version=1; " + name + "=a", name + "=a\tb",
		"\u2000" + name + "=a", name + "=" + strings.Repeat("é", 3), strings.Repeat(";", 3001), name + "=a\n" + name + "=b", name + `="`, name + `=""`,
	} {
		f.Add(seed, "")
		f.Add("x=1", seed)
		f.Add(name+"=a", seed)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		r := &http.Request{Header: http.Header{"Cookie": {first, second}}}
		values := map[string]bool{}
		var last string
		for _, c := range r.CookiesNamed(name) {
			values[c.Value] = true
			last = c.Value
		}
		tooMany := strings.Count(first, ";")+strings.Count(second, ";")+2 > 3000
		value, one, conflict := walkin.FindCookie(r.Header, name)
		switch {
		case tooMany || len(values) > 1:
			if !conflict {
				t.Errorf("%q, %q: got %q, want a conflict", first, second, value)
			}
		case len(values) == 1:
			if !one || value != last {
				t.Errorf("%q, %q: got %t %q, want %q", first, second, one, value, last)
			}
		case one || conflict:
			t.Errorf("%q, %q: got %q, want none", first, second, value)
		}
	})
}

// returnPaths are what a form may bring in return_to, and whether it is a path
// of this site.
var returnPaths = map[string]bool{
	"/": true, "/a": true, "/a?b=c": true, "/a?b=c#d": true, "/a/b/": true, "/a?u=https://x/y": true, "/%C3%A9": true, "/a%20b": true, "/a:b": true,
	"": false, "a": false, "//evil.example": false, `/\evil.example`: false, `/\/evil.example`: false, "/%5cevil.example": false,
	"/%5Cevil.example": false, "/%2f%2fevil.example": false, "/%2fevil.example": false, "/\tevil.example": false, "/\t/evil.example": false, "/\n/evil.example": false, "/\r\nLocation: x": false,
	"https:evil.example": false, "https://evil.example": false, "https:/evil.example": false, "/a/../%5cevil.example": false,
	"/a/..//evil.example": false, "/%255cevil.example": false, "/.//evil.example": false, "//user@evil.example": false, "javascript:alert(1)": false,
	" /a": false, "/a b": false, "/é": false, "/\x00": false, "/a\\b": false, "/%0d%0aLocation:x": false, "///evil.example": false, "http:///x": false,
}

func TestReturnPaths(t *testing.T) {
	for path, good := range returnPaths {
		want := "/default"
		if good {
			want = path
		}
		if got := walkin.LocalPath(path, "/default"); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
	// And through a form.
	m := must(walkin.New(walkin.Config{Keys: []walkin.Key{hmacKey}, Store: memstore.New()}))
	for path, good := range returnPaths {
		c := walkintest.NewClient(t, m.Handler(m.SignOutHandler()))
		got := c.Act("/out", url.Values{"return_to": {path}}).Header.Get("Location")
		if want := map[bool]string{true: path, false: "/"}[good]; got != want {
			t.Errorf("signing out with %q: got %q, want %q", path, got, want)
		}
	}
}

// FuzzReturnTo holds that what is accepted stays on the site, however a browser
// reads it.
func FuzzReturnTo(f *testing.F) {
	for path := range returnPaths {
		f.Add(path)
	}
	base := must(url.Parse("https://app.example/page"))
	f.Fuzz(func(t *testing.T, s string) {
		path := walkin.LocalPath(s, "")
		if path == "" {
			return
		}
		if path != s {
			t.Fatalf("%q became %q", s, path)
		}
		// A browser drops tabs and line breaks, and reads \ as /; a proxy may
		// decode once.
		for _, reading := range []string{path, must2(url.PathUnescape(path))} {
			reading = strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(reading)
			u, err := base.Parse(reading)
			if err != nil {
				continue
			}
			if u.Scheme != "https" || u.Host != "app.example" || u.User != nil {
				t.Errorf("%q read as %q leads to %s", s, reading, u)
			}
			if strings.HasPrefix(reading, "//") {
				t.Errorf("%q is read as %q", s, reading)
			}
		}
		for i := range len(path) {
			if path[i] < ' ' || path[i] == 0x7f {
				t.Errorf("%q has a control byte", s)
			}
		}
	})
}

func must2(s string, err error) string {
	if err != nil {
		return "/"
	}
	return s
}

// TestCacheIsBounded holds that tokens which come once do not push out one
// that keeps coming, and that the cache is no way around expiry or liveness.
func TestCacheIsBounded(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.CacheSize = 1024 })
	regular := s.browser(who)
	regular.Act("/", nil)
	id := body(t, regular.Fetch("/"))
	regular.Fetch("/")
	regular.Fetch("/")
	s.store.count()
	for range 100 {
		for range 100 {
			s.browser(who).Visit("/")
		}
		if got := body(t, regular.Fetch("/")); got != id {
			t.Fatalf("got %q, want %q", got, id)
		}
	}
	if n := s.store.count("Lookup"); n > 10 {
		t.Errorf("got %d look-ups for 100 returns within RecheckAfter, want hardly any: the cache forgot a regular", n)
	}
}
