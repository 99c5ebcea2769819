package walkin_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// TestWrongCookie holds that a token counts in the cookie of its kind alone, on
// a replica that knows it as on one that does not, and as a bearer.
func TestWrongCookie(t *testing.T) {
	s := newSite(t)
	var tokens [3]string // by kind
	for i, kind := range kinds {
		tokens[i] = resident(s, kind).Cookie(cookieOf(kind))
	}
	cookie := func(anonymous, permanent string) string {
		var all []string
		if anonymous != "" {
			all = append(all, anonName+"="+anonymous)
		}
		if permanent != "" {
			all = append(all, permName+"="+permanent)
		}
		return strings.Join(all, "; ")
	}
	provisional, anonymous, permanent := tokens[0], tokens[1], tokens[2]
	nobody := ""
	for _, tt := range []struct {
		name   string
		cookie string
		want   string // the token of whom
	}{
		{"provisional in its own", cookie(provisional, ""), provisional},
		{"anonymous in its own", cookie(anonymous, ""), anonymous},
		{"permanent in its own", cookie("", permanent), permanent},
		{"each in its own: the permanent one counts", cookie(anonymous, permanent), permanent},
		{"provisional in the permanent one", cookie("", provisional), nobody},
		{"anonymous in the permanent one", cookie("", anonymous), nobody},
		{"permanent in the anonymous one", cookie(permanent, ""), nobody},
		{"each in the other", cookie(permanent, anonymous), nobody},
		{"anonymous in both", cookie(anonymous, anonymous), anonymous},
		{"permanent in both", cookie(permanent, permanent), permanent},
		{"anonymous in the permanent one, a provisional one beside it", cookie(provisional, anonymous), provisional},
		{"permanent in the anonymous one, garbage beside it", cookie(permanent, "x"), nobody},
	} {
		cold := newSite(t, over(s))
		for name, s := range map[string]*site{"known": s, "unknown": cold} {
			for _, r := range []*http.Request{s.request(http.MethodGet, "/"), s.request(http.MethodPost, "/prove-nothing")} {
				if tt.want == provisional && r.Method == http.MethodPost {
					continue // it would not be provisional any more
				}
				r.Header.Set("Cookie", tt.cookie)
				met := s.meet(t, r)
				if got := met.known; got != (tt.want != nobody) || got && met.claims.UserID != userOf(t, tt.want) {
					t.Errorf("%s, %s, %s: got %v", tt.name, name, r.Method, met.claims)
				}
				if len(met.Header["Set-Cookie"]) > 0 {
					t.Errorf("%s, %s, %s: got cookies %v", tt.name, name, r.Method, met.Header["Set-Cookie"])
				}
			}
		}
	}
	for i, kind := range kinds { // a bearer may be of either kind
		r := s.request(http.MethodGet, "/")
		brings(r, "bearer", tokens[i])
		if met := s.meet(t, r); met.claims.UserID != userOf(t, tokens[i]) {
			t.Errorf("%s as a bearer: got %v", kind, met.claims)
		}
	}
}

// TestDuplicateCookieEndedElsewhere holds that a reader with the cookies of two users is
// the one of them whose session is alive, also where the other one's has just ended on
// another replica.
func TestDuplicateCookieEndedElsewhere(t *testing.T) {
	s := newSite(t)
	one, two := resident(s, "anonymous"), resident(s, "anonymous")
	read := func() string {
		c := walkintest.NewClient(t, s.Handler(http.HandlerFunc(who)))
		r := c.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", anonName+"="+one.Cookie(anonName)+"; "+anonName+"="+two.Cookie(anonName))
		return body(t, c.Do(r))
	}
	if got := read(); got != "nobody" {
		t.Fatalf("both alive: got %q, want no user", got)
	}
	noError(t, newSite(t, over(s)).SignOutEverywhere(t.Context(), s.claims(two).UserID))
	if got, want := read(), s.claims(one).UserID.String(); !strings.HasPrefix(got, want) {
		t.Errorf("one of them ended: got %q, want user %s", got, want)
	}
}

// TestDuplicateCookies holds that of several values of one name a live one counts, that
// two live users give no user and too many cookies no cookies, and that neither is
// minted over or cleared. Everything else is read as net/http reads it.
func TestDuplicateCookies(t *testing.T) {
	s := newSite(t)
	one, two := resident(s, "anonymous").Cookie(anonName), resident(s, "anonymous").Cookie(anonName)
	permanent := resident(s, "permanent").Cookie(permName)
	permanent2 := permanentUser(s, "bob").Cookie(permName)
	a, b, p := anonName+"="+one, anonName+"="+two, permName+"="+permanent
	many := func(n int) string { return strings.Repeat("x=1; ", n) }
	garbage := func(n int) string {
		var all strings.Builder
		for i := range n {
			fmt.Fprintf(&all, "; %s=%d", anonName, i)
		}
		return all.String()
	}

	const (
		visitor = "visitor"   // whose token a is
		cleaned = "cleaned"   // the visitor, and a page removes the other values
		owner   = "owner"     // whose token p is
		first   = "first"     // no user yet, and a page view mints
		nobody  = "hands off" // no user, and nothing is set
	)
	for _, tt := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"one", []string{a}, visitor},
		{"the same twice", []string{a + "; " + a}, visitor},
		{"the same in two fields", []string{a, a}, visitor},
		{"the same a hundred times", []string{strings.Repeat(a+"; ", 100)}, visitor},
		{"the same in quotes", []string{a + "; " + anonName + `="` + one + `"`}, visitor},
		{"among others", []string{"x=1; " + a + "; y=2"}, visitor},
		{"without a space", []string{"x=1;" + a + ";y=2"}, visitor},
		{"in the second field", []string{"x=1", a}, visitor},
		{"behind an empty field", []string{"", a}, visitor},
		{"behind a piece that is no cookie", []string{"; =; nonsense; " + a}, visitor},
		{"behind one of ours that net/http does not read", []string{anonName + `=a\b; ` + a}, visitor},
		{"before one of ours that net/http does not read", []string{a + "; " + anonName + "=ü"}, visitor},
		{"behind the version of RFC 2965", []string{"$Version=1; " + a}, visitor},

		{"two values", []string{a + "; " + b}, nobody},
		{"two values in the other order", []string{b + "; " + a}, nobody},
		{"two values in two fields", []string{a, b}, nobody},
		{"two values, one of them empty", []string{a + "; " + anonName + "="}, cleaned},
		{"two values, the first empty", []string{anonName + "=; " + a}, cleaned},
		{"two values, one without =", []string{anonName + "; " + a}, cleaned},
		{"two values, one with a space", []string{a + "; " + anonName + "= " + one}, cleaned},
		{"two values, both garbage", []string{anonName + "=x; " + anonName + "=y"}, first},
		{"32 values", []string{a + strings.Repeat("; "+anonName+"=x", 1) + garbage(30)}, cleaned},
		{"33 values", []string{a + garbage(32)}, nobody},
		{"the live one is the last of 32", []string{"x=1" + garbage(31) + "; " + a}, cleaned},
		{"1,000 values", []string{a + garbage(1000)}, nobody},
		{"two values, far apart", []string{a, strings.Repeat("x=1; ", 2000), b}, nobody},
		{"three values", []string{a + "; " + a + "; " + b}, nobody},
		{"a permanent value and garbage", []string{p + "; " + permName + "=x; " + a}, owner},
		{"two permanent values", []string{p + "; " + permName + "=" + permanent2}, nobody},
		{"two permanent values, and a visitor", []string{p + "; " + permName + "=" + permanent2 + "; " + a}, nobody},
		{"two values beside a permanent one", []string{a + "; " + b + "; " + p}, owner},

		{"3,000 cookies", []string{many(2999) + a}, visitor},
		{"3,001 cookies", []string{many(3000) + a}, nobody},
		{"3,001 cookies, ours first", []string{a + "; " + many(3000)}, nobody},
		{"3,001 cookies in 3,001 fields", append(slices.Repeat([]string{"x=1"}, 3000), a), nobody},
		{"3,001 cookies, none of ours", []string{many(3001)}, nobody},
		{"1 MB of semicolons", []string{strings.Repeat(";", 1<<20)}, nobody},
		{"1 MB of semicolons behind", []string{a + strings.Repeat(";", 1<<20)}, nobody},
		{"1 MB of spaces", []string{strings.Repeat(" ", 1<<20) + a}, visitor},
		{"1 MB of another app's cookie", []string{a + "; x=" + strings.Repeat("x", 1<<20)}, visitor},
		{"1 MB of ours", []string{anonName + "=" + strings.Repeat("x", 1<<20)}, first},
		{"1 MB of ours, twice", []string{anonName + "=" + strings.Repeat("x", 1<<20) + "; " + anonName + "=" + strings.Repeat("y", 1<<20)}, first},
		{"the token in 1 MB of quotes", []string{anonName + `="` + strings.Repeat(`"`, 1<<20) + one + `"`}, first},

		// What passes for our name somewhere else.
		{"lower case", []string{strings.ToLower(anonName) + "=" + one}, first},
		{"upper case", []string{strings.ToUpper(anonName) + "=" + one}, first},
		{"a space of Unicode in front", []string{"\u2000" + a}, first},
		{"a space of Latin-1 in front", []string{"\xa0" + a}, first},
		{"a vertical tab in front", []string{"\v" + a}, first},
		{"a NUL in front", []string{"\x00" + a}, first},
		{"in quotes", []string{`"` + anonName + `"=` + one}, first},
		{"percent-encoded", []string{"%5F%5FHost-walkin-anon=" + one}, first},
		{"nameless", []string{"=" + a}, first},
		{"inside of another value", []string{"x=" + a}, first},
		{"inside of a quoted value", []string{`x="1; ` + a + `; y"`}, visitor}, // net/http knows no such quotes
		{"with a comma", []string{"x=1, " + a}, first},
		{"a $Path behind", []string{a + "; $Path=/; $Domain=.example"}, visitor},
		{"another mode's name", []string{"walkin-anon=" + one + "; __Secure-walkin-anon=" + one + "; __Host-walkin-anon-chips=" + one}, first},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cold := newSite(t, over(s))
			for name, s := range map[string]*site{"known": s, "unknown": cold} {
				for _, r := range []*http.Request{s.navigation("/"), s.request(http.MethodGet, "/")} {
					r.Header["Cookie"] = tt.lines
					met := s.meet(t, r)
					set := met.Cookies()
					page := r.Header.Get("Sec-Fetch-Mode") == "navigate"
					mints := tt.want == first && page
					switch {
					case (tt.want == visitor || tt.want == cleaned) && met.claims.UserID != userOf(t, one),
						tt.want == owner && met.claims.UserID != userOf(t, permanent),
						tt.want == nobody && met.known,
						tt.want == first && met.known != mints:
						t.Errorf("%s, %s: got %v, want the %s", name, r.Header.Get("Sec-Fetch-Mode"), met.claims, tt.want)
					case page && (tt.want == cleaned || tt.want == owner && strings.Contains(tt.name, "garbage")):
						if len(set) < 2 || set[0].Value != "" || set[len(set)-1].Value == "" {
							t.Errorf("%s: got %v, want others cleared and then the live one set", name, met.Header["Set-Cookie"])
						}
					case len(set) != map[bool]int{true: 1}[mints]:
						t.Errorf("%s, %s: got %v", name, r.Header.Get("Sec-Fetch-Mode"), met.Header["Set-Cookie"])
					}
				}
				if tt.want == nobody { // a write comes without a user, and is refused where one is needed
					r := s.request(http.MethodPost, "/note")
					r.Header["Cookie"] = tt.lines
					s.store.count()
					rec := s.browser(s.routes().ServeHTTP)
					answer, err := rec.Serve(r)
					if err != nil {
						t.Fatal(err)
					}
					if answer.StatusCode != http.StatusUnauthorized || len(answer.Header["Set-Cookie"]) > 0 || s.store.count(writes...) > 0 {
						t.Errorf("%s, acting: got %d and %v, want 401, no cookie, and nothing written", name, answer.StatusCode, answer.Header["Set-Cookie"])
					}
				}
			}
		})
	}
}

// FuzzCookieHeader holds that a Cookie header is read exactly as net/http reads
// it, whether a value is known or not, with every value of a name, whatever the names
// of a site are.
func FuzzCookieHeader(f *testing.F) {
	const name = anonName
	for _, line := range []string{
		"", name + "=a", " " + name + " =a", "\t" + name + "\t=a\t", name + `="a"`, name + `=""a""`, name + `="`, name + `=""`, name + `="a`,
		name, name + "=", name + "= a ", name + "==a", name + "=a=b", name + "=a\tb", name + "=a b", name + "=a,b", name + "=a\x00",
		name + "=a; " + name + "=a", name + "=a; " + name + "=b", name + "=a\\b; " + name + "=c", name + "=a;" + name + "=\x7f", name + "=; " + name + "=a",
		"x=1;" + name + "=a;;", ";;; ;" + name + "=a", "=" + name + "=a", "$Version=1; " + name + "=a", name + "=a; $Path=/", "x=\"1; " + name + "=a; y\"",
		"\u2000" + name + "=a", "\xa0" + name + "=a", "\r\n" + name + "=a\r\n", name + "\u00a0=a", name + "=" + strings.Repeat("é", 3), "(" + name + ")=a",
		strings.ToLower(name) + "=a", permName + "=a", name + "2=a", "2" + name + "=a",
		"HHH=H; H; " + name + "=H; H" + name + "=a", "_" + name + "=a;__H" + name + "=b; __Host-wal; __Host-walkin", permName + " -anon=a; " + permName + ";" + name,
		"__Secure-walkin=a; __Host-walkin-chips=b; walkin=c; __Host-walkin-anon-chips=d; walkin-anon=e; __Secure-walkin-anon=f",
		"kk=k; k; walkin=a;walkin-anon=b; walkin-bind=c; HJ_Z=a; HJ_Z-anon=b; __Host-HJ_Z-anon=c",
	} {
		f.Add(line, "", uint16(0), "a")
		f.Add("x=1", line, uint16(0), "b")
		f.Add(name+"=a", line, uint16(0), "a")
		f.Add(line, line, uint16(2990), "")
	}
	for _, n := range []uint16{2997, 2998, 2999, 3000, 3001} {
		f.Add(name+"=a", "x=1", n, "a")
	}
	f.Fuzz(func(t *testing.T, first, second string, more uint16, known string) {
		h := http.Header{"Cookie": {first, second}}
		if more > 0 {
			h["Cookie"] = append(h["Cookie"], strings.Repeat(";", int(more%4000)))
		}
		for _, names := range []walkin.Cookies{
			{Name: "walkin"}, {Name: "walkin", Domain: "app.example"}, {Name: "walkin", Partitioned: true},
			{Name: "walkin", Insecure: true}, {Name: "HJ_Z"}, {Name: "HJ_Z", Insecure: true}, {Name: "H", Partitioned: true},
		} {
			for _, anonymous := range []bool{true, false} {
				cookieHeader(t, h, names, anonymous, known)
			}
		}
	})
}

func cookieHeader(t *testing.T, h http.Header, names walkin.Cookies, anonymous bool, known string) {
	name, found, conflict := walkin.FindCookie(h, names, anonymous)
	var values []string
	for _, c := range (&http.Request{Header: h}).CookiesNamed(name) {
		if !slices.Contains(values, c.Value) {
			values = append(values, c.Value)
		}
	}
	count := 0
	for _, line := range h["Cookie"] {
		count += 1 + strings.Count(line, ";")
	}
	say := func(values []string, conflict bool) string {
		if conflict {
			return "conflict"
		}
		return fmt.Sprintf("%q", values)
	}
	// net/http says nothing of too many, and we mind.
	want := say(values, count > 3000 || len(values) > 32)
	if got := say(found, conflict); got != want {
		t.Errorf("%s in %q: got %s, want %s", name, h["Cookie"], got, want)
	}
	if len(known) < 8 || strings.ContainsFunc(known, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`";\`, r) }) {
		return // no token, so never known
	}
	got, hit, conflict := walkin.FindKnownCookie(h, names, anonymous, known)
	if say(got, conflict) != want || hit != (!conflict && len(got) == 1 && got[0] == known) {
		t.Errorf("%s in %q, knowing %q: got %q, a hit: %t; want %s", name, h["Cookie"], known, got, hit, want)
	}
}
