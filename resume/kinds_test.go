package resume_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/resume"
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
	}
}
