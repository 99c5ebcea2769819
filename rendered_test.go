package walkin_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// rendering is a site with a page that says for whom it is rendered, and a form that
// wants to know.
func (s *site) rendering() http.Handler {
	mux := s.routes()
	mux.HandleFunc("/form", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, s.RenderedForField(r)) })
	mux.HandleFunc("/value", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, s.RenderedFor(r)) })
	mux.Handle("/post", s.RequireRenderedFor()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "filed %s%s", b, r.PostFormValue("note"))
	})))
	return s.Handler(mux)
}

// TestRenderedFor holds that what a page posts is refused where its visitor is another
// user by now than the one it was rendered for, on every replica, with the way back.
func TestRenderedFor(t *testing.T) {
	leave := func(s *site, c *walkintest.Client) { c.On(s.Handler(s.routes())).Post("/out", nil) }
	for _, tt := range []struct {
		name, kind string
		then       func(*site, *walkintest.Client)
		want       int
	}{
		{"a guest's", "provisional", func(*site, *walkintest.Client) {}, 200},
		{"a guest's who acts", "provisional", func(s *site, c *walkintest.Client) { c.On(s.Handler(s.routes())).Post("/note", nil) }, 200},
		{"a guest's who signs up", "anonymous", func(s *site, c *walkintest.Client) { s.prove(c, "new") }, 200},
		{"a guest's who signs in", "anonymous", func(s *site, c *walkintest.Client) { s.prove(c, "bea") }, 409},
		{"a guest's who leaves", "anonymous", leave, 409},
		{"a user's", "permanent", func(*site, *walkintest.Client) {}, 200},
		{"a user's who leaves", "permanent", leave, 409},
		{"a user's who leaves, and a page view", "permanent", func(s *site, c *walkintest.Client) { leave(s, c); c.On(s.Handler(s.routes())).Visit("/") }, 409},
		{"a user's who leaves, and another's sign-in", "permanent", func(s *site, c *walkintest.Client) { leave(s, c); s.prove(c, "bea") }, 409},
		{"a user's who leaves and comes back", "permanent", func(s *site, c *walkintest.Client) { leave(s, c); s.prove(c, "ann") }, 200},
		{"nobody's", "nobody", func(*site, *walkintest.Client) {}, 200},
		{"nobody's who signs in", "nobody", func(s *site, c *walkintest.Client) { s.prove(c, "bea") }, 409},
	} {
		for _, way := range []string{"form", "header"} {
			t.Run(tt.name+" by "+way, func(t *testing.T) {
				off := newSite(t, minting(walkin.MintOnWrite))
				on := newSite(t, over(off))
				on.prove(resident(on, "nobody"), "bea")
				c := resident(on, tt.kind)
				field, value := body(t, c.On(off.rendering()).Fetch("/form")), body(t, c.On(off.rendering()).Fetch("/value"))
				if want := `<input type="hidden" name="walkin_rendered_for" value="` + value + `">`; field != want || len(value) != 43 {
					t.Fatalf("got %s, want %s", field, want)
				}
				tt.then(on, c)
				for _, s := range []*site{off, on} {
					c := c.On(s.rendering())
					r := c.NewRequest(http.MethodPost, "/post", strings.NewReader(url.Values{"note": {"mine"}, "walkin_rendered_for": {value}}.Encode()))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					want := "filed mine"
					if way == "header" {
						r = c.NewRequest(http.MethodPost, "/post", strings.NewReader("{}"))
						r.Header.Set("Content-Type", "application/json")
						r.Header.Set("Walkin-Rendered-For", value)
						want = "filed {}"
					}
					r.Header.Set("Sec-Fetch-Mode", "navigate")
					r.Header.Set("Referer", "https://app.example/write?a=1&b=2")
					answer := c.Do(r)
					text := body(t, answer)
					if answer.StatusCode != tt.want || tt.want == 200 && text != want ||
						tt.want == 409 && (!strings.Contains(text, `href="/write?a=1&amp;b=2"`) || strings.Contains(text, "filed")) {
						t.Errorf("got %d %s, want %d", answer.StatusCode, text, tt.want)
					}
					if tt.kind == "nobody" {
						break // the first post has made them a user
					}
				}
			})
		}
	}
}

// TestRenderedForFails holds that a missing or made-up value is refused and reported to
// the operator, and that values go on through a rotation.
func TestRenderedForFails(t *testing.T) {
	s := newSite(t)
	c := resident(s, "anonymous").On(s.rendering())
	value := body(t, c.Fetch("/value"))
	for made, want := range map[string]string{"": "missing", "x": "another", value + "A": "another", "!": "another", strings.Repeat("A", 43): "another"} {
		s.told()
		r := c.Post("/post", url.Values{"walkin_rendered_for": {made}})
		if got := s.outcomes(); r.StatusCode != http.StatusConflict || got != "refused:rendered_for_"+want {
			t.Errorf("%q: got %d and %s, want 409 for %s", made, r.StatusCode, got, want)
		}
	}
	if r := c.Fetch("/post"); r.StatusCode != http.StatusOK {
		t.Errorf("a GET: got %d", r.StatusCode)
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	old := walkin.Key{Secret: []byte("a secret that is only of this test")}
	rotated := newSite(t, over(s), func(c *walkin.Config) { c.Keys = []walkin.Key{{Private: private}, old} })
	before := newSite(t, over(s), func(c *walkin.Config) { c.Keys = []walkin.Key{old} })
	v := resident(before, "anonymous")
	value = body(t, v.On(before.rendering()).Fetch("/value"))
	if r := v.On(rotated.rendering()).Post("/post", url.Values{"walkin_rendered_for": {value}}); r.StatusCode != http.StatusOK {
		t.Errorf("after a rotation: got %d", r.StatusCode)
	}
}

// TestRenderedForWays holds that the value is found however a page sends it: in a form
// with files, by each method, by htmx, which puts the fields of a DELETE into the query,
// and in a header beside JSON; and that a stale one is, too.
func TestRenderedForWays(t *testing.T) {
	ways := map[string]func(c *walkintest.Client, value string) *http.Request{
		"a form with a file": func(c *walkintest.Client, value string) *http.Request {
			var b bytes.Buffer
			form := multipart.NewWriter(&b)
			_ = form.WriteField("walkin_rendered_for", value)
			file, _ := form.CreateFormFile("file", "a.txt")
			_, _ = file.Write(make([]byte, 1<<20))
			_ = form.Close()
			r := c.NewRequest(http.MethodPost, "/post", &b)
			r.Header.Set("Content-Type", form.FormDataContentType())
			return r
		},
		"a DELETE of htmx": func(c *walkintest.Client, value string) *http.Request {
			return with(c.NewRequest(http.MethodDelete, "/post?walkin_rendered_for="+value, nil), "Hx-Request", "true")
		},
		"JSON": func(c *walkintest.Client, value string) *http.Request {
			return with(c.NewRequest(http.MethodPatch, "/post", strings.NewReader(`{"a": 1}`)), "Content-Type", "application/json", "Walkin-Rendered-For", value)
		},
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch} {
		ways["a form by "+method] = func(c *walkintest.Client, value string) *http.Request {
			r := c.NewRequest(method, "/post", strings.NewReader("walkin_rendered_for="+value))
			return with(r, "Content-Type", "application/x-www-form-urlencoded")
		}
	}
	for name, way := range ways {
		s := newSite(t)
		c := resident(s, "anonymous")
		value := body(t, c.On(s.rendering()).Fetch("/value"))
		if r := c.On(s.rendering()).Do(way(c, value)); r.StatusCode != http.StatusOK {
			t.Errorf("%s: got %d, want 200", name, r.StatusCode)
		}
		c.On(s.Handler(s.routes())).Post("/out", nil)
		c.Visit("/")
		if r := c.On(s.rendering()).Do(way(c, value)); r.StatusCode != http.StatusConflict {
			t.Errorf("%s, after a sign-out: got %d, want 409", name, r.StatusCode)
		}
	}
}
