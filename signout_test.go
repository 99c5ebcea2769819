package walkin_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// TestSignOutBesideABearer holds that a sign-out ends the cookie's session whatever
// else the request brings, on every replica, or says that it did not.
func TestSignOutBesideABearer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		bearer func(*site) string
		alone  int // the answer where there is no cookie
	}{
		{"nothing", func(*site) string { return "" }, 303},
		{"another scheme", func(*site) string { return "Basic YTpi" }, 303},
		{"no token", func(*site) string { return "Bearer" }, 303},
		{"the app's own", func(*site) string { return "Bearer an-api-key-of-the-app" }, 303},
		{"a broken one", func(s *site) string {
			token := resident(s, "anonymous").Cookie(anonName)
			return "Bearer " + token[:len(token)-3] + "AAA"
		}, 303},
		{"of another replica's key", func(s *site) string {
			other := newSite(s.t, over(s), func(c *walkin.Config) {
				c.Keys = []walkin.Key{{Secret: []byte("the secret of a replica that is new")}}
			})
			return "Bearer " + resident(other, "anonymous").Cookie(anonName)
		}, 503},
		{"one that is over", func(s *site) string {
			c := resident(s, "anonymous")
			token := c.Cookie(anonName)
			c.Post("/out", nil)
			return "Bearer " + token
		}, 303},
		{"a live one", func(s *site) string { return "Bearer " + resident(s, "anonymous").Cookie(anonName) }, 303},
	} {
		for _, kind := range []string{"provisional", "anonymous", "permanent", "nobody"} {
			for _, inside := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s beside %s, inside %t", kind, tt.name, inside), func(t *testing.T) {
					s := newSite(t)
					header := tt.bearer(s)
					c := resident(s, kind)
					c.SetCookie(bindName, strings.Repeat("A", 26))
					token := c.Cookie(cookieOf(kind))
					var handler http.Handler = s.SignOutHandler()
					if inside {
						handler = s.Handler(handler)
					}
					c = c.On(handler)
					r := c.NewRequest(http.MethodPost, "/out", nil)
					if header != "" {
						r.Header.Set("Authorization", header)
					}
					answer := c.Do(r)
					want := http.StatusSeeOther
					if kind == "nobody" {
						want = tt.alone
					}
					if answer.StatusCode != want || len(c.Cookies()) > 0 {
						t.Fatalf("got %d and %v, want %d and an empty jar", answer.StatusCode, c.Cookies(), want)
					}
					for _, replica := range []*site{s, newSite(t, over(s))} {
						if token != "" {
							again := carrying(replica, cookieOf(kind), token)
							if got := body(t, again.Fetch("/")); got != "nobody" {
								t.Errorf("the cookie's session goes on: %s", got)
							}
						}
						if bearer, ok := strings.CutPrefix(header, "Bearer "); ok && tt.name == "a live one" {
							if got := body(t, carrying(replica, anonName, bearer).Fetch("/")); got != "nobody" {
								t.Errorf("the bearer's session goes on: %s", got)
							}
						}
					}
				})
			}
		}
	}
}

// TestSignOutAtTheLimit holds that a visitor who has no row can leave where no new one
// may be made, and that no user is made in order to leave.
func TestSignOutAtTheLimit(t *testing.T) {
	const here = "203.0.113.7:1"
	for _, at := range []string{"/sign-out", "/signout", "/users/sign_out", "/auth/logout", "/Log-Out", "/out", "/logout/", "/adieu", "/session/end", "/bye"} {
		for _, kind := range []string{"provisional", "nobody"} {
			s := newSite(t, rowsAnHour(1), func(c *walkin.Config) { c.Paths.Credentials, c.Paths.SignOut = []string{"/adieu", "/session/"}, "/bye" })
			if got := s.actFrom(here); got != http.StatusOK {
				t.Fatalf("the first row: got %d", got)
			}
			if got := s.actFrom(here); got != http.StatusTooManyRequests {
				t.Fatalf("the second row: got %d", got)
			}
			rows := s.store.rows(t)
			mux := http.NewServeMux()
			mux.HandleFunc("/", who)
			mux.Handle(at, s.SignOutHandler())
			c := resident(s, kind).From(here).On(s.Handler(mux))
			if r := c.Post(at, nil); r.StatusCode != http.StatusSeeOther || len(c.Cookies()) > 0 {
				t.Errorf("%s by %s: got %d and %v, want 303 and an empty jar", at, kind, r.StatusCode, c.Cookies())
			}
			if got := s.store.rows(t); got != rows {
				t.Errorf("%s by %s: got %d new rows", at, kind, got-rows)
			}
		}
	}
	s := newSite(t, rowsAnHour(1))
	s.actFrom(here)
	for _, at := range []string{"/note", "/outbox", "/about", "/sign-out/reasons", "/clock/out"} {
		if r := resident(s, "provisional").From(here).On(s.Handler(s.routes())).Post(at, nil); r.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%s: got %d, want 429: it is no sign-out", at, r.StatusCode)
		}
	}
}

// TestSignOutBelowAPath holds the same for a SignOutURL of an app that is mounted
// below a path: it is as browsers see it.
func TestSignOutBelowAPath(t *testing.T) {
	for name, base := range map[string]string{"by http.StripPrefix": "", "by a proxy": "/app"} {
		s := newSite(t, rowsAnHour(1), func(c *walkin.Config) { c.Paths.SignOut, c.Paths.Base = "/app/bye", base })
		const here = "203.0.113.7:1"
		if got := s.actFrom(here); got != http.StatusOK {
			t.Fatalf("the first row: got %d", got)
		}
		mux := http.NewServeMux()
		mux.Handle("/bye", s.SignOutHandler())
		site, at := s.Handler(mux), "/bye"
		if base == "" {
			site, at = http.StripPrefix("/app", site), "/app/bye"
		}
		c := resident(s, "provisional").From(here).On(site)
		if r := c.Post(at, nil); r.StatusCode != http.StatusSeeOther || s.store.rows(t) != 1 {
			t.Errorf("%s: got %d and %d rows, want 303 and no new row", name, r.StatusCode, s.store.rows(t))
		}
	}
}

// TestSignOutEndsFlows holds that what a browser has begun ends with its sign-out:
// what is bound to the session, to the cookie of StartFlow, and the cookies of others.
func TestSignOutEndsFlows(t *testing.T) {
	none := func(*site, *walkintest.Client) {}
	visit := func(s *site, c *walkintest.Client) { c.On(s.Handler(s.routes())).Visit("/") }
	for _, tt := range []struct {
		name          string
		before, after func(*site, *walkintest.Client) // the flow's start
	}{
		{"nobody", none, none},
		{"nobody who opens a page", none, visit},
		{"nobody who becomes a user", none, func(s *site, c *walkintest.Client) { visit(s, c); c.On(s.Handler(s.routes())).Post("/note", nil) }},
		{"an anonymous user", visit, none},
		{"a permanent user", func(s *site, c *walkintest.Client) { s.prove(c, "ann") }, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			off := newSite(t, minting(walkin.MintOff))
			on := newSite(t, over(off))
			for _, cookie := range []http.Cookie{{Name: "__Host-draft", Path: "/", Secure: true}, {Name: "theirs", Path: "/app", Domain: "app.example"}, {Name: "unsent", Path: "/"}} {
				off.ClearAtSignOut(cookie)
				off.ClearAtSignOut(cookie) // by another credential
			}
			c := off.bound()
			tt.before(on, c)
			name := off.bind(c)
			tt.after(on, c)
			if !off.completes(c, name) {
				t.Fatal("the flow is over before the sign-out")
			}
			c.SetCookie("__Host-draft", "1")
			c.SetCookie("theirs", "1")
			c.SetCookie("kept", "1")
			r := c.Post("/out", nil)
			if r.StatusCode != http.StatusSeeOther || len(c.Cookies()) != 2 || c.Cookie("kept") == "" || c.Cookie("__Host-draft") != "" {
				t.Errorf("got %d and a jar with %v", r.StatusCode, c.Cookies())
			}
			want := "theirs=; Path=/app; Domain=app.example; Expires=" + time.Unix(1, 0).UTC().Format(http.TimeFormat) + "; Max-Age=0"
			if set := strings.Join(r.Header["Set-Cookie"], "\n"); strings.Count(set, want) != 1 || strings.Contains(set, "unsent") {
				t.Errorf("got %s, want %s, once", set, want)
			}
			for _, s := range []*site{off, on} {
				c := c.On(s.flows())
				if off.completes(c, name) {
					t.Error("it completes after the sign-out")
				}
				visit(on, c)
				if off.completes(c, name) {
					t.Error("it completes for the next visitor")
				}
			}
		})
	}
}

// TestSignInEndsFlows holds that what was begun without a user is over with a
// sign-in for good, also when that session has ended elsewhere.
func TestSignInEndsFlows(t *testing.T) {
	s := newSite(t, minting(walkin.MintOff))
	c := s.bound()
	name := s.bind(c)
	s.prove(c, "ann")
	if err := s.SignOutEverywhere(t.Context(), s.claims(c).UserID); err != nil {
		t.Fatal(err)
	}
	for _, replica := range []*site{s, newSite(t, over(s))} {
		if s.completes(c.On(replica.flows()), name) {
			t.Error("it completes")
		}
	}
}

// TestSignOutByLink holds that a link that signs out is refused for what it is: no
// other site's doing, but a method that must change nothing.
func TestSignOutByLink(t *testing.T) {
	for _, kind := range []string{"nobody", "provisional", "anonymous", "permanent"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
			s := newSite(t)
			c := resident(s, kind)
			id := body(t, c.Fetch("/"))
			s.told()
			links := http.NewServeMux()
			links.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
				if err := s.SignOut(w, r); err != nil {
					s.Refuse(w, r, err)
				}
			})
			links.Handle("/handler", s.SignOutHandler())
			for _, path := range []string{"/logout", "/handler"} {
				r := c.On(s.Handler(links)).Do(with(c.NewRequest(method, path, nil), "Sec-Fetch-Site", "same-origin",
					"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", "text/html"))
				if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != http.MethodPost {
					t.Errorf("%s, %s %s: got %d and Allow %q, want 405 and POST", kind, method, path, r.StatusCode, r.Header.Get("Allow"))
				}
				told := s.told()
				if last := told[len(told)-1]; last.Outcome != walkin.Refused || last.Reason != "safe_method" {
					t.Errorf("%s, %s %s: told %+v, want refused for safe_method", kind, method, path, last)
				}
			}
			if got := body(t, c.On(s.Handler(s.routes())).Fetch("/")); kind != "nobody" && got != id {
				t.Errorf("%s, %s: got %q afterwards, want %q", kind, method, got, id)
			}
		}
	}
}
