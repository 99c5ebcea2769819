package resume_test

import (
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/resume"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/texts"
	"github.com/walkin-go/walkin/walkintest"
)

// TestKinds holds that whatever kind of post is kept goes through as it was sent.
func TestKinds(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"parts": parts("", ""),
		"plain text": func(r *http.Request) {
			r.Header.Set("Content-Type", "text/plain; charset=latin1")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a=1\r\nb=\xfc\x00")), 9
		},
		"JSON": func(r *http.Request) {
			r.Header.Set("Content-Type", "application/json")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{\"a\":\n1}")), 8
		},
		"120 KB": sized(120<<10, 120<<10),
		"plain text that looks like a file": func(r *http.Request) {
			const text = "--\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\nc\r\n----\r\n"
			r.Header.Set("Content-Type", "text/plain")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		},
		"plain text that looks like a file, with a boundary": func(r *http.Request) {
			const text = "--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\nc\r\n--x--\r\n"
			r.Header.Set("Content-Type", "text/plain; boundary=x")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		},
		"parts that are none": func(r *http.Request) {
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a=1")), 3
		},
		"nothing": func(r *http.Request) {
			r.Header.Del("Content-Type")
			r.Body, r.ContentLength = http.NoBody, 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			var shown resume.Pending
			s := newSite(t, func(c *resume.Config) {
				c.Page = func(_ http.ResponseWriter, _ *http.Request, p resume.Pending) { shown = p }
			})
			var kind, got string
			mux := s.site(func(_ http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				kind, got = r.Header.Get("Content-Type"), string(b)
				if length := r.Header.Get("Content-Length"); length != strconv.Itoa(len(b)) || r.ContentLength != int64(len(b)) {
					t.Errorf("got Content-Length %q and %d", length, r.ContentLength)
				}
			})
			c := s.browser()
			r := c.NewRequest(http.MethodPost, "/publish", nil)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			change(r)
			wantKind := r.Header.Get("Content-Type")
			b, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(strings.NewReader(string(b)))
			if answer := c.On(mux).Do(r); answer.StatusCode != http.StatusSeeOther {
				t.Fatalf("got %d", answer.StatusCode)
			}
			s.prove(c, "ann")
			c.Visit("/resume")
			if (shown.Form != nil) != (name == "parts" || name == "120 KB") {
				t.Errorf("the page is shown %.50v", shown.Form)
			}
			if name == "parts" && shown.Form.Encode() != note.Encode() {
				t.Errorf("the page is shown %v", shown.Form)
			}
			c.On(mux).Post("/publish?walkin_resume=1", url.Values{"another": {"one"}})
			if kind != wantKind || got != string(b) {
				t.Errorf("got %s and %.50q, want %s and %.50q", kind, got, wantKind, b)
			}
		})
	}
}

// site is one with another handler behind the guard.
func (s *site) site(h http.HandlerFunc) http.Handler {
	s.t.Helper()
	keeper, err := resume.New(s.Middleware, resume.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.Middleware.Handler(keeper.RequirePermanent()(h))
}

// TestParsedParts holds that a form of several parts that middleware has parsed goes
// through as one, and that its files are no secret to us.
func TestParsedParts(t *testing.T) {
	for _, file := range []string{"", "cat.jpg"} {
		s := newSite(t)
		var got url.Values
		mux := s.site(func(_ http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(1 << 20); err != nil {
				t.Error(err)
			}
			got = r.MultipartForm.Value
		})
		c := s.browser()
		r := c.NewRequest(http.MethodPost, "/publish", nil)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		parts(file, file)(r)
		answer := c.On(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseMultipartForm(1 << 20)
			mux.ServeHTTP(w, r)
		})).Do(r)
		if kept := c.Cookie("__Host-walkin.resume") != ""; kept != (file == "") {
			t.Fatalf("with the file %q: got %d, kept %t", file, answer.StatusCode, kept)
		}
		s.prove(c, "ann")
		if c.On(mux).Post("/publish?walkin_resume=1", nil); file == "" && got.Encode() != note.Encode() {
			t.Errorf("got %v", got)
		}
	}
}

// TestNextVisitor holds that a kept form is offered to whom it was kept for, and to
// who they became in that browser, and to no one after a sign-out: not where a slow
// answer brings its cookie back, and not to the same user either.
func TestNextVisitor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before string // who the visitor becomes before they leave; none stays anonymous
		next   string
	}{
		{"a guest, then ann", "", "ann"},
		{"a guest, then somebody new", "", "new"},
		{"a guest who signed up, then ann", "bob", "ann"},
		{"a guest who signed up, then they again", "bob", "bob"},
		{"a guest who signed in, then they again", "ann", "ann"},
	} {
		for _, copied := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				s := newSite(t)
				s.prove(s.browser(), "ann")
				c := s.browser()
				c.Post(target, note)
				old := c.Cookies()
				if tt.before != "" {
					s.prove(c, tt.before)
					if r := c.Visit("/resume"); r.StatusCode != http.StatusOK {
						t.Fatalf("before the sign-out: got %d", r.StatusCode)
					}
				}
				if r := c.Post("/out", nil); r.StatusCode != http.StatusSeeOther || len(c.Cookies()) > 0 {
					t.Fatalf("signing out: got %d and %v", r.StatusCode, c.Cookies())
				}
				restore := func() {
					for _, cookie := range old {
						if copied && cookie.Name == "__Host-walkin.resume" {
							c.SetCookie(cookie.Name, cookie.Value) // as a slow answer would
						}
					}
				}
				check := func(when string) {
					restore()
					for _, r := range []*http.Response{c.Visit("/resume"), c.Post(yes, nil)} {
						if text := body(t, r); r.StatusCode != http.StatusNotFound || len(s.sent) > 0 || strings.Contains(text, "/publish") {
							t.Errorf("%s: got %d %s, %q", when, r.StatusCode, text, s.sent)
						}
					}
				}
				check("nobody")
				c.Visit("/")
				check("the next guest")
				s.prove(c, tt.next)
				check("the next user")
			})
		}
	}
	t.Run("signed in without signing out", func(t *testing.T) {
		// The anonymous user is signed in to one account, and from there proves another's
		// identity in vain: it stays theirs.
		s := newSite(t)
		s.prove(s.browser(), "ann")
		s.prove(s.browser(), "bob")
		c := s.browser()
		c.Post(target, note)
		s.prove(c, "ann")
		c.Post("/prove", url.Values{"name": {"bob"}})
		if r := c.Post(yes, nil); r.StatusCode != http.StatusOK || len(s.sent) != 1 {
			t.Errorf("got %d, %q", r.StatusCode, s.sent)
		}
	})
	t.Run("signed out everywhere", func(t *testing.T) {
		s := newSite(t)
		c := s.browser()
		c.Post(target, note)
		s.prove(c, "ann")
		var claims walkin.Claims
		c.On(s.Middleware.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			claims, _ = walkin.FromContext(r.Context())
		}))).Visit("/")
		if err := s.SignOutEverywhere(t.Context(), claims.UserID); err != nil {
			t.Fatal(err)
		}
		c.SetCookie("__Host-walkin", "")
		s.prove(c, "ann")
		if r := c.Post(yes, nil); r.StatusCode != http.StatusNotFound || len(s.sent) > 0 {
			t.Errorf("got %d, %q", r.StatusCode, s.sent)
		}
	})
}

// TestWayOn holds where the page that says "not kept" leads.
func TestWayOn(t *testing.T) {
	s := newSite(t)
	guest, member := s.browser(), s.browser()
	s.prove(member, "ann")
	for path, want := range map[string][2]string{
		"/resume?return_to=%2fwrite%3fa%3d1": {"/sign-up?return_to=%2Fwrite%3Fa%3D1", "/write?a=1"},
		"/resume?return_to=//evil.example":   {"/sign-up?return_to=%2F", "/"},
	} {
		for i, c := range []*walkintest.Client{guest, member} {
			if r := c.Visit(path); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != want[i] {
				t.Errorf("%s: got %d to %q, want %q", path, r.StatusCode, r.Header.Get("Location"), want[i])
			}
		}
		crawler := walkintest.NewClient(t, s)
		r := crawler.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("User-Agent", "Googlebot/2.1")
		if r := crawler.Do(r); r.Header.Get("Location") == want[1] {
			t.Errorf("%s, without a user: got %d to %q", path, r.StatusCode, r.Header.Get("Location"))
		}
	}
}

// TestWayBack holds that who signs up comes back to the form that is kept, also where a
// library posted it, and that no answer to it is in a cache.
func TestWayBack(t *testing.T) {
	for name, header := range map[string]http.Header{
		"a browser":      {"Referer": {"https://app.example/write"}},
		"htmx":           {"Hx-Request": {"true"}, "Hx-Current-Url": {"https://app.example/write"}, "Referer": {"https://app.example/write"}},
		"htmx, boosted":  {"Hx-Request": {"true"}, "Hx-Boosted": {"true"}, "Hx-Current-Url": {"https://app.example/write"}},
		"a Turbo frame":  {"Turbo-Frame": {"note"}, "Referer": {"https://app.example/write"}},
		"without a page": {},
	} {
		for _, path := range []string{"/publish/7", "/publish/7?walkin_resume=1"} {
			s := newSite(t)
			c := s.browser()
			c.Post("/publish/7", note)
			r := c.NewRequest(http.MethodPost, path, strings.NewReader(note.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Accept", "text/html")
			maps.Copy(r.Header, header)
			answer := c.Do(r)
			to := answer.Header.Get("Location") + answer.Header.Get("Hx-Redirect")
			if to == "" { // of a frame: the page has a link
				to = body(t, answer)
			}
			if !strings.Contains(to, "/sign-up?return_to=%2Fresume") && !strings.Contains(to, "/sign-up?return_to=%2fresume") {
				t.Errorf("%s, %s: got %d to %s", name, path, answer.StatusCode, to)
			}
			if !strings.Contains(answer.Header.Get("Cache-Control"), "no-store") {
				t.Errorf("%s, %s: got Cache-Control %q", name, path, answer.Header.Get("Cache-Control"))
			}
		}
	}
}

// TestLostWayBack holds that the page that says "not kept" leads back to the page of the
// post, and to the start where that is another site's or cannot be read.
func TestLostWayBack(t *testing.T) {
	for referer, want := range map[string]string{
		"https://app.example/write?a=1":   "/write?a=1",
		"https://other.example/write?a=1": "/",
		"%zz":                             "/",
		"":                                "/",
	} {
		shown := ""
		s := newSite(t, func(c *resume.Config) {
			c.NotKept = func(w http.ResponseWriter, r *http.Request, f walkin.Form) {
				shown = f.ReturnTo
				w.WriteHeader(f.Status)
			}
		})
		c := s.browser()
		r := c.NewRequest(http.MethodPost, target, nil)
		parts("cat.jpg", "meow")(r)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Referer", referer)
		if c.Do(r); shown != want {
			t.Errorf("from %q: got %q, want %q", referer, shown, want)
		}
	}
}

// TestRequestIsKept holds that middleware around the guard finds its request as it was:
// what is answered in its place is a copy.
func TestRequestIsKept(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(s *site, c *walkintest.Client)
		path   string
		change func(*http.Request)
	}{
		"kept":          {func(*site, *walkintest.Client) {}, "/publish/7?a=1", func(*http.Request) {}},
		"not kept":      {func(*site, *walkintest.Client) {}, "/publish/7?a=1", parts("cat.jpg", "meow")},
		"a guest's yes": {func(_ *site, c *walkintest.Client) { c.Post("/publish/7?a=1", note) }, "/publish/7?a=1&walkin_resume=1", func(*http.Request) {}},
		"a yes": {func(s *site, c *walkintest.Client) {
			c.Post("/publish/7?a=1", note)
			s.prove(c, "ann")
		}, "/publish/7?a=1&walkin_resume=1", func(*http.Request) {}},
		"the way on": {func(*site, *walkintest.Client) {}, "/resume?return_to=/write", func(r *http.Request) { r.Method = http.MethodGet }},
	} {
		s := newSite(t)
		keeper, err := resume.New(s.Middleware, resume.Config{})
		if err != nil {
			t.Fatal(err)
		}
		c := s.browser()
		tt.before(s, c)
		guarded := keeper.RequirePermanent()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		seen := false
		outer := s.Middleware.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			was, header, address := *r, r.Header.Clone(), *r.URL
			if strings.HasPrefix(r.URL.Path, "/resume") {
				keeper.ServeHTTP(w, r)
			} else {
				guarded.ServeHTTP(w, r)
			}
			seen = true
			if r.Method != was.Method || *r.URL != address || r.RequestURI != was.RequestURI || r.Body != was.Body || r.ContentLength != was.ContentLength || r.Method == http.MethodPost && (r.Form == nil) != (was.Form == nil) {
				t.Errorf("%s: the request is another", name)
			}
			for _, field := range []string{"Referer", "Hx-Current-Url", "Content-Type", "Content-Length", "Walkin-Rendered-For"} {
				if got := r.Header.Get(field); got != header.Get(field) {
					t.Errorf("%s: %s is %q, and was %q", name, field, got, header.Get(field))
				}
			}
		}))
		r := c.NewRequest(http.MethodPost, tt.path, strings.NewReader(note.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Referer", "https://app.example/write")
		r.Header.Set("Hx-Current-Url", "https://app.example/write")
		tt.change(r)
		if c.On(outer).Do(r); !seen {
			t.Errorf("%s: it was not asked", name)
		}
	}
}

// TestRenderedFor holds that a kept form passes a handler that refuses forms of another
// user: it was rendered for who the visitor was before.
func TestRenderedFor(t *testing.T) {
	s := newSite(t)
	passed := false
	h := s.site(func(w http.ResponseWriter, r *http.Request) {
		if err := s.CheckRenderedFor(r); err != nil {
			s.Refuse(w, r, err)
			return
		}
		passed = true
	})
	s.prove(s.browser(), "ann")
	c := s.browser()
	form := url.Values{"a": {"1"}}
	c.On(s.Middleware.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		form.Set("walkin_rendered_for", s.RenderedFor(r))
	}))).Visit("/")
	c.On(h).Post("/publish", form)
	s.prove(c, "ann") // another user
	if r := c.On(h).Post("/publish?walkin_resume=1", nil); r.StatusCode != http.StatusOK || !passed {
		t.Errorf("got %d", r.StatusCode)
	}
}

// TestActor holds that an operator who sees the site as an anonymous user leaves no form
// of theirs, and is shown none.
func TestActor(t *testing.T) {
	s := newSite(t)
	keeper, err := resume.New(s.Middleware, resume.Config{})
	if err != nil {
		t.Fatal(err)
	}
	claims := walkintest.Anonymous(t)
	claims.Actor = claims.UserID
	ran := false
	guarded := keeper.RequirePermanent()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	for _, tt := range []struct {
		method, path string
		h            http.Handler
	}{{http.MethodPost, target, guarded}, {http.MethodPost, yes, guarded}, {http.MethodGet, "/resume", keeper}} {
		r := s.browser().NewRequest(tt.method, tt.path, strings.NewReader("a=1"))
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		tt.h.ServeHTTP(w, r.WithContext(walkin.NewContext(r.Context(), claims)))
		if w.Code != http.StatusForbidden && w.Code != http.StatusSeeOther || len(w.Result().Cookies()) > 0 || ran {
			t.Errorf("%s %s: got %d, %v, ran %t", tt.method, tt.path, w.Code, w.Result().Cookies(), ran)
		}
	}
}

// TestPaths holds where a Keeper can be.
func TestPaths(t *testing.T) {
	for path, ok := range map[string]bool{"": true, "/kept": true, "/a/b/": true, "kept": false, "//evil.example": false, "///evil.example": false, "/a?b": false, "/%zz": false, "/a%20b": false} {
		if _, err := resume.New(newSite(t).Middleware, resume.Config{Path: path}); (err == nil) != ok {
			t.Errorf("%q: got %v", path, err)
		}
	}
}

// TestOnRefuse holds what the app's own OnRefuse is asked with, where the guard stops a
// visitor whose form is kept, or who goes on without: a GET of the page to come back to.
// What could not be kept is told in the visitor's language.
func TestOnRefuse(t *testing.T) {
	asked, german := "", texts.German()
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: memstore.New(), Paths: walkin.Paths{Upgrade: "/sign-up"},
		Texts: func(*http.Request) *texts.Catalogue { return german },
		OnRefuse: func(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) {
			b, _ := io.ReadAll(r.Body)
			asked = r.Method + " " + r.URL.String() + " " + r.RequestURI + " " + string(b)
			refusal.ServeHTTP(w, r)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := resume.New(wk, resume.Config{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/resume", keeper)
	mux.Handle("/publish", keeper.RequirePermanent()(http.NotFoundHandler()))
	c := walkintest.NewClient(t, wk.Handler(mux))
	c.Visit("/")
	if c.Post("/publish?a=1", note); asked != "GET /resume /resume " {
		t.Errorf("kept: it was asked %q", asked)
	}
	if c.Visit("/resume?return_to=%2fwrite%3fa%3d1"); asked != "GET /write?a=1 /write?a=1 " {
		t.Errorf("the way on: it was asked %q", asked)
	}
	r := c.NewRequest(http.MethodPost, "/publish", nil)
	parts("cat.jpg", "meow")(r)
	r.Header.Set("Accept", "text/html")
	if page := body(t, c.Do(r)); !strings.Contains(page, html.EscapeString(german.Text("resume.lost_back"))) {
		t.Errorf("not kept, in the visitor's language: got %s", page)
	}
}

// TestWithoutRequestLine holds that a form goes through where something in front of the
// guard has made a request without a request line.
func TestWithoutRequestLine(t *testing.T) {
	s := newSite(t)
	got := "none"
	h := s.site(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = r.RequestURI + string(b)
	})
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RequestURI = ""
		h.ServeHTTP(w, r)
	})
	c := s.browser().On(bare)
	c.Post("/publish", url.Values{"a": {"1"}})
	s.prove(c.On(s), "ann")
	if r := c.Post("/publish?walkin_resume=1", nil); r.StatusCode != http.StatusOK || got != "a=1" {
		t.Errorf("got %d and %q", r.StatusCode, got)
	}
}
