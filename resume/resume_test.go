package resume_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/resume"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// A site has one guarded form.
type site struct {
	*walkin.Middleware
	t     *testing.T
	store *failing
	http.Handler

	mu   sync.Mutex
	sent []string // what reached the handler
	told []string // reasons of refusals
	errs []error  // of refusals
	lost []string // reasons of failures
}

// failing is a store that can be down.
type failing struct {
	*memstore.Store
	down bool
	take func(key string) error // before TakeTicket
	seek func(key string) error // before Ticket
}

func (f *failing) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if f.take != nil {
		if err := f.take(key); err != nil {
			return store.Ticket{}, err
		}
	}
	return f.Store.TakeTicket(ctx, key, now)
}

var errDown = errors.New("the store is down")

func (f *failing) PutTicket(ctx context.Context, t store.Ticket) error {
	if f.down {
		return errDown
	}
	return f.Store.PutTicket(ctx, t)
}

func (f *failing) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if f.down {
		return store.Ticket{}, errDown
	}
	if f.seek != nil {
		if err := f.seek(key); err != nil {
			return store.Ticket{}, err
		}
	}
	return f.Store.Ticket(ctx, key, now)
}

func newSite(t *testing.T, changes ...func(*resume.Config)) *site {
	t.Helper()
	s := &site{t: t, store: &failing{Store: memstore.New()}}
	var err error
	s.Middleware, err = walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: s.store,
		Paths: walkin.Paths{Upgrade: "/sign-up"}, Hooks: walkin.Hooks{OnMerge: func(context.Context, walkin.Change) error { return nil }},
		OnEvent: func(_ context.Context, e walkin.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if e.Outcome == walkin.Refused {
				s.told, s.errs = append(s.told, string(e.Reason)), append(s.errs, e.Err)
			}
			if e.Outcome == walkin.Failed {
				s.lost = append(s.lost, string(e.Reason))
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var cfg resume.Config
	for _, change := range changes {
		change(&cfg)
	}
	keeper, err := resume.New(s.Middleware, cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/resume", keeper)
	publish := keeper.RequirePermanent()(http.HandlerFunc(s.publish))
	mux.Handle("/publish/{note}", publish)
	mux.Handle("/other", publish)
	mux.HandleFunc("POST /prove", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"}); err != nil {
			s.Refuse(w, r, err)
		}
	})
	mux.Handle("POST /out", s.SignOutHandler())
	s.Handler = s.Middleware.Handler(mux)
	return s
}

// publish notes all that it was sent.
func (s *site) publish(w http.ResponseWriter, r *http.Request) {
	c, _ := walkin.FromContext(r.Context())
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	r.Body = io.NopCloser(strings.NewReader(string(raw)))
	if err := r.ParseForm(); err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, fmt.Sprintf("%s %s %s note=%s length=%d type=%s body=%s form=%s",
		c.UserID, r.Method, r.RequestURI, r.PathValue("note"), r.ContentLength, r.Header.Get("Content-Type"), raw, r.Form.Encode()))
	fmt.Fprint(w, "published")
}

func (s *site) browser() *walkintest.Client {
	c := walkintest.NewClient(s.t, s)
	c.Visit("/")
	return c
}

func (s *site) prove(c *walkintest.Client, name string) {
	s.t.Helper()
	if r := c.Post("/prove", url.Values{"name": {name}}); r.StatusCode != http.StatusOK {
		s.t.Fatalf("proving %s: got %d", name, r.StatusCode)
	}
}

func (s *site) user(c *walkintest.Client) string {
	s.t.Helper()
	var id string
	c.On(s.Middleware.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		id = c.UserID.String()
	}))).Visit("/")
	return id
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var note = url.Values{"title": {"My süß note"}, "tag": {"a", "b&c"}}

const (
	target = "/publish/7?draft=1&x=%2fy"
	yes    = target + "&walkin_resume=1"
)

// TestResume is the whole way: an anonymous user posts, is sent to sign up, says yes, and
// the very same form goes through once, as the same user.
func TestResume(t *testing.T) {
	for _, way := range []string{"upgrade", "merge", "sign in"} {
		t.Run(way, func(t *testing.T) {
			s := newSite(t)
			if way != "upgrade" {
				s.prove(s.browser(), "ann")
			}
			c := s.browser()
			guest := s.user(c)
			r := c.Post(target, note)
			if got := r.Header.Get("Location"); r.StatusCode != http.StatusSeeOther || got != "/sign-up?return_to=%2Fresume" {
				t.Fatalf("the guest's post: got %d to %q", r.StatusCode, got)
			}
			if r := c.Visit("/resume"); r.StatusCode != http.StatusSeeOther {
				t.Errorf("the page, still a guest: got %d, want the way to sign up", r.StatusCode)
			}
			if r := c.Post(yes, nil); r.StatusCode != http.StatusSeeOther {
				t.Errorf("a guest's yes: got %d, want the way to sign up", r.StatusCode)
			}
			s.prove(c, "ann")
			r = c.Visit("/resume")
			text := body(t, r)
			if r.StatusCode != http.StatusOK || !strings.Contains(text, `action="/publish/7?draft=1&amp;x=%2fy&amp;walkin_resume=1"`) || strings.Contains(text, "note") {
				t.Errorf("the page: got %d %q", r.StatusCode, text)
			}
			if r.Header.Get("Cache-Control") != "no-store" || !strings.Contains(r.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
				t.Errorf("the page: got headers %v", r.Header)
			}
			if len(s.sent) != 0 {
				t.Fatalf("before the yes: got %q", s.sent)
			}
			user := s.user(c)
			if (user == guest) != (way == "upgrade") {
				t.Errorf("got user %s after %s", user, guest)
			}
			for i, want := range []int{http.StatusOK, http.StatusNotFound, http.StatusNotFound} {
				if r := c.Post(yes, url.Values{"title": {"another"}}); r.StatusCode != want {
					t.Errorf("yes %d: got %d, want %d", i, r.StatusCode, want)
				}
			}
			want := fmt.Sprintf("%s POST %s note=7 length=%d type=application/x-www-form-urlencoded body=%s form=draft=1&%s&x=%%2Fy",
				user, target, len(note.Encode()), note.Encode(), note.Encode())

			if !slices.Equal(s.sent, []string{want}) {
				t.Errorf("got  %q\nwant %q", s.sent, want)
			}
			if r := c.Visit("/resume"); r.StatusCode != http.StatusNotFound || c.Cookie("__Host-walkin.resume") != "" {
				t.Errorf("afterwards: got %d and cookie %q", r.StatusCode, c.Cookie("__Host-walkin.resume"))
			}
		})
	}
}

// parts makes a request's form one of several parts, the last of which is a field for
// a file of that name.
func parts(file, content string) func(*http.Request) {
	return func(r *http.Request) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for name, values := range note {
			for _, value := range values {
				_ = w.WriteField(name, value)
			}
		}
		if file+content != "" {
			part, _ := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="picture"; filename="` + file + `"`}, "Content-Type": {"application/octet-stream"}})
			_, _ = io.WriteString(part, strings.Trim(content, "-"))
		}
		_ = w.Close()
		r.Header.Set("Content-Type", w.FormDataContentType())
		r.Body, r.ContentLength = io.NopCloser(&b), int64(b.Len())
	}
}

// sized makes a request's body as large as that, and lets it say something of it.
func sized(size int, says int64) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", size))), says
	}
}

// TestNotKept holds what the guard refuses as if we were not there, and that visitor
// and operator are told what is lost.
func TestNotKept(t *testing.T) {
	form := func(change func(*http.Request)) func(*walkintest.Client) *http.Request {
		return func(c *walkintest.Client) *http.Request {
			r := c.NewRequest(http.MethodPost, target, strings.NewReader(note.Encode()))
			for name, value := range map[string]string{
				"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html", "Sec-Fetch-Mode": "navigate",
				"Sec-Fetch-Dest": "document", "Origin": "https://app.example", "Referer": "https://app.example/write?draft=7",
			} {
				r.Header.Set(name, value)
			}
			change(r)
			return r
		}
	}
	for _, tt := range []struct {
		name    string
		request func(*walkintest.Client) *http.Request
		status  int
	}{
		{"kept", form(func(*http.Request) {}), 303},
		{"an old browser's", form(func(r *http.Request) { r.Header.Del("Sec-Fetch-Mode"); r.Header.Del("Sec-Fetch-Site") }), 303},
		{"behind a service worker", form(func(r *http.Request) { r.Header.Set("Sec-Fetch-Dest", "empty") }), 303},
		{"behind a service worker of Firefox", form(func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Mode", "same-origin")
			r.Header.Set("Sec-Fetch-Dest", "empty")
		}), 303},
		{"Turbo's", form(func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "cors"); r.Header.Set("Sec-Fetch-Dest", "empty") }), 303},
		{"behind a password", form(func(r *http.Request) { r.Header.Set("Authorization", "Basic dTpw") }), 303},
		{"a program's", form(func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "cors"); r.Header.Set("Accept", "*/*") }), 403},
		{"with a bearer of the app's", form(func(r *http.Request) { r.Header.Set("Authorization", "Bearer app") }), 303},
		{"a PUT", form(func(r *http.Request) { r.Method = http.MethodPut }), 303},
		{"a GET", form(func(r *http.Request) { r.Method = http.MethodGet }), 303},
		{"an empty one", form(func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }), 303},
		{"parts without files", form(parts("", "")), 303},
		{"parts with a field for a file that was left empty", form(parts("", "-")), 303},
		{"parts with a file", form(parts("cat.jpg", "meow")), 403},
		{"parts with an empty file", form(parts("cat.jpg", "")), 403},
		{"parts that are none", form(func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") }), 303},
		{"plain text", form(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), 303},
		{"JSON", form(func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), 303},
		{"no type", form(func(r *http.Request) { r.Header.Del("Content-Type") }), 303},
		{"70 KB", form(sized(70<<10, -1)), 303},
		{"120 KB", form(sized(120<<10, 120<<10)), 303},
		{"more than 120 KB", form(sized(120<<10+1, -1)), 403},
		{"more than 120 KB, as it says", form(sized(1<<20, 1<<20)), 403},
		{"120 KB, as it says otherwise", form(sized(120<<10, 121<<10)), 403},
		{"five bytes, as it says otherwise", form(sized(5, 0)), 403},
		{"without a body", form(func(r *http.Request) { r.Body, r.ContentLength = nil, 0 }), 303},
		{"120 KB with a long query", form(func(r *http.Request) {
			sized(120<<10, -1)(r)
			r.URL.RawQuery = strings.Repeat("x", 9<<10)
			r.RequestURI = r.URL.RequestURI()
		}), 403},
		{"from a sister site", form(func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "same-site")
			r.Header.Set("Origin", "https://sister.example")
		}), 403},
		{"from another site", form(func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Origin", "https://evil.example")
		}), 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			c := s.browser()
			c.Post("/", nil)
			r := c.Do(tt.request(c))
			foreign := strings.Contains(tt.name, "site")
			want := tt.status == http.StatusSeeOther && !foreign && tt.name != "a PUT" && tt.name != "a GET" && tt.name != "without a body" && !strings.Contains(tt.name, "bearer")
			if got := c.Cookie("__Host-walkin.resume") != ""; got != want || r.StatusCode != tt.status || len(s.sent) > 0 {
				t.Errorf("got kept %t and %d, want %t and %d", got, r.StatusCode, want, tt.status)
			}
			lost := tt.status == http.StatusForbidden && tt.name != "a program's" && !foreign
			reason := "not_kept_too_large"
			switch {
			case strings.Contains(tt.name, "file"):
				reason = "not_kept_files"
			case strings.Contains(tt.name, "as it says otherwise"):
				reason = "not_kept_read"
			}
			if told := strings.Join(s.told, " "); !lost && told != "anonymous" && !foreign || lost && told != reason {
				t.Errorf("the owner is told %q", s.told)
			}
			if tt.name == "without a body" {
				return
			}
			if text := body(t, r); lost && (!strings.Contains(text, "This was not sent") || !strings.Contains(text, `href="/resume?return_to=%2fwrite%3fdraft%3d7"`)) {
				t.Errorf("the visitor is told %q", text)
			}
		})
	}
	t.Run("nobody's", func(t *testing.T) {
		s := newSite(t)
		c := walkintest.NewClient(t, s)
		r := form(func(r *http.Request) { r.Header.Set("User-Agent", "Googlebot/2.1") })(c)
		if r := c.Do(r); c.Cookie("__Host-walkin.resume") != "" || len(s.sent) > 0 {
			t.Errorf("got %d and a cookie", r.StatusCode)
		}
	})
	t.Run("a permanent user's", func(t *testing.T) {
		s := newSite(t)
		c := s.browser()
		s.prove(c, "ann")
		if r := c.Post(target, note); r.StatusCode != http.StatusOK || len(s.sent) != 1 || c.Cookie("__Host-walkin.resume") != "" {
			t.Errorf("got %d, %q", r.StatusCode, s.sent)
		}
	})
	t.Run("the store is down", func(t *testing.T) {
		s := newSite(t)
		c := s.browser()
		c.Post("/", nil)
		s.store.down = true
		if r := c.Post(target, note); r.StatusCode != http.StatusServiceUnavailable || c.Cookie("__Host-walkin.resume") != "" || r.Header.Get("Retry-After") == "" || !slices.Equal(s.told, []string{"not_kept_store_down"}) || !slices.Contains(s.lost, "not_kept") {
			t.Errorf("got %d, and the owner is told %q and %q", r.StatusCode, s.told, s.lost)
		}
	})
}

// TestReadBefore holds that a form which middleware has read, as those against
// cross-site requests do, is kept whole or not at all.
func TestReadBefore(t *testing.T) {
	for _, tt := range []struct {
		name string
		read func(*http.Request)
		want string // the body that goes through; none is the guard's refusal
	}{
		{"parsed", func(r *http.Request) { _ = r.ParseForm() }, note.Encode()},
		{"parsed, of one field", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("a=1")), 3
			_ = r.ParseForm()
		}, "a=1"},
		{"parsed as a form with files", func(r *http.Request) { _ = r.ParseMultipartForm(1 << 20) }, note.Encode()},
		{"parsed as far as a limit", func(r *http.Request) {
			r.Body = http.MaxBytesReader(nil, r.Body, 5)
			_ = r.ParseForm()
		}, ""},
		{"read to the end", func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, ""},
		{"begun", func(r *http.Request) { _, _ = r.Body.Read(make([]byte, 3)) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			c := s.browser()
			c.On(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tt.read(r)
				s.ServeHTTP(w, r)
			})).Post(target, note)
			if got := c.Cookie("__Host-walkin.resume") != ""; got != (tt.want != "") {
				t.Fatalf("got kept %t", got)
			}
			if tooLarge := new(http.MaxBytesError); tt.name == "parsed as far as a limit" && !errors.As(s.errs[0], &tooLarge) {
				t.Errorf("the operator is told %v", s.errs)
			}
			s.prove(c, "ann")
			c.On(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				s.ServeHTTP(w, r)
			})).Post(yes, nil)
			if got := len(s.sent); got != len(strings.Fields(tt.want)) {
				t.Fatalf("got %q", s.sent)
			}
			if form := merged(tt.want, "draft=1&x=%2Fy"); tt.want != "" && !strings.HasSuffix(s.sent[0], "body="+tt.want+" form="+form) {
				t.Errorf("got %q, want %q", s.sent, tt.want)
			}
		})
	}
}

// merged returns two queries as one.
func merged(first, second string) string {
	all, _ := url.ParseQuery(first + "&" + second)
	return all.Encode()
}

// TestTargets holds that the page's own form leads to what was kept, however its
// address is spelt: html/template escapes characters that browsers leave alone.
func TestTargets(t *testing.T) {
	for _, target := range []string{
		"/publish/Go_(language)", "/publish/7?note=it's|{x}", "/publish/7?a[]=1&b=100%&c=%C3%BC%c3%bc", "/publish/a%2Fb?x=`^", "/publish/7?",
		"/other", "/publish/7?b=%", "/publish/7?b=%4", "/publish/7?a=1&&b=2&",
	} {
		s := newSite(t)
		c := s.browser()
		c.Post(target, note)
		s.prove(c, "ann")
		page := body(t, c.Visit("/resume"))
		_, action, _ := strings.Cut(page, `action="`)
		action, _, _ = strings.Cut(action, `"`)
		if r := c.Post(html.UnescapeString(action), nil); r.StatusCode != http.StatusOK || len(s.sent) != 1 {
			t.Errorf("%s: got %d from %s", target, r.StatusCode, action)
		}
	}
}

// FuzzTargets holds the same for whatever address a form was sent to.
func FuzzTargets(f *testing.F) {
	for _, target := range []string{"/", "/a?", "//evil.example/", "/Go_(language)?x='|{}", "/a%2Fb?100%", "/%5c%5C?%", "/a?b&&c=%zz", "/.//evil", "/?walkin%5Fresume=1"} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || strings.Contains(target, "#") || u.Query().Has("walkin_resume") {
			return // no server is asked for that
		}
		s := newSite(t)
		keeper, err := resume.New(s.Middleware, resume.Config{})
		if err != nil {
			t.Fatal(err)
		}
		c, sent := s.browser(), ""
		bare := c.On(s.Middleware.Handler(keeper.RequirePermanent()(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			sent += string(b)
		}))))
		post := func(target string) *http.Response {
			r := c.NewRequest(http.MethodPost, "/", strings.NewReader("a=1"))
			if r.URL, err = url.ParseRequestURI(target); err != nil {
				t.Fatalf("%q: %v", target, err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			return bare.Do(r)
		}
		if post(target); c.Cookie("__Host-walkin.resume") == "" {
			if !strings.HasPrefix(target, "//") {
				t.Fatalf("%q is not kept", target)
			}
			return
		}
		s.prove(c, "ann")
		_, action, _ := strings.Cut(body(t, c.Visit("/resume")), `action="`)
		action, _, _ = strings.Cut(action, `"`)
		action = html.UnescapeString(action)
		if !strings.HasPrefix(action, "/") || strings.HasPrefix(action, "//") {
			t.Errorf("%q leads to %q", target, action)
		}
		if r := post(action); r.StatusCode != http.StatusOK || sent != "a=1" {
			t.Errorf("%q from %q: got %d", target, action, r.StatusCode)
		}
	})
}

// TestOtherHost holds that no form is kept whose page would lead to another site.
func TestOtherHost(t *testing.T) {
	s := newSite(t)
	keeper, err := resume.New(s.Middleware, resume.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := s.browser()
	// Not behind a ServeMux, which tidies such paths up.
	c = c.On(s.Middleware.Handler(keeper.RequirePermanent()(http.HandlerFunc(s.publish))))
	r := c.NewRequest(http.MethodPost, "/", strings.NewReader(note.Encode()))
	r.URL.Path, r.RequestURI = "//evil.example/publish", "//evil.example/publish"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if r := c.Do(r); r.StatusCode != http.StatusSeeOther || c.Cookie("__Host-walkin.resume") != "" {
		t.Errorf("got %d and a form to %s", r.StatusCode, body(t, r))
	}
}

// TestYes holds which visitors may let a kept form through, and how often.
func TestYes(t *testing.T) {
	// ready returns a browser whose visitor has signed up with a form kept.
	ready := func(t *testing.T) (*site, *walkintest.Client) {
		s := newSite(t)
		c := s.browser()
		c.Post(target, note)
		s.prove(c, "ann")
		return s, c
	}
	act := func(c *walkintest.Client) *http.Request {
		r := c.NewRequest(http.MethodPost, yes, nil)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		return r
	}
	t.Run("a page of another site", func(t *testing.T) {
		s, c := ready(t)
		r := act(c)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if r := c.Do(r); r.StatusCode != http.StatusForbidden || len(s.sent) > 0 {
			t.Errorf("got %d, %q", r.StatusCode, s.sent)
		}
		if r := c.Do(act(c)); r.StatusCode != http.StatusOK || len(s.sent) != 1 {
			t.Errorf("their own yes after it: got %d, %q", r.StatusCode, s.sent)
		}
	})
	t.Run("a GET", func(t *testing.T) {
		s, c := ready(t)
		c.Visit(yes)
		if len(s.sent) != 1 || !strings.Contains(s.sent[0], "body= ") { // a GET of the page itself, with nothing kept in it
			t.Errorf("got %q", s.sent)
		}
	})
	t.Run("on another path, or with another query", func(t *testing.T) {
		s, c := ready(t)
		for _, path := range []string{"/other?walkin_resume=1", "/publish/8?draft=1&x=%2fy&walkin_resume=1", "/publish/7?draft=2&walkin_resume=1", "/publish/7?walkin_resume=1"} {
			if r := c.Post(path, nil); r.StatusCode != http.StatusNotFound || len(s.sent) > 0 {
				t.Errorf("%s: got %d, %q", path, r.StatusCode, s.sent)
			}
		}
		if r := c.Do(act(c)); r.StatusCode != http.StatusOK || len(s.sent) != 1 {
			t.Errorf("the right one after them: got %d, %q", r.StatusCode, s.sent)
		}
	})
	t.Run("another browser of the same user", func(t *testing.T) {
		s, _ := ready(t)
		c := s.browser()
		s.prove(c, "ann")
		if r := c.Post(yes, nil); r.StatusCode != http.StatusNotFound || len(s.sent) > 0 {
			t.Errorf("got %d, %q", r.StatusCode, s.sent)
		}
	})
	t.Run("two cookies", func(t *testing.T) {
		s, c := ready(t)
		r := act(c)
		r.AddCookie(&http.Cookie{Name: "__Host-walkin.resume", Value: c.Cookie("__Host-walkin.resume") + "A"})
		if r := c.Do(r); r.StatusCode != http.StatusNotFound || len(s.sent) > 0 {
			t.Errorf("got %d, %q", r.StatusCode, s.sent)
		}
	})
	t.Run("twenty at once", func(t *testing.T) {
		s, c := ready(t)
		var wg sync.WaitGroup
		for range 20 {
			r := act(c)
			c.Carry(r)
			wg.Go(func() {
				if _, err := c.Serve(r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(s.sent) != 1 {
			t.Errorf("it went through %d times", len(s.sent))
		}
	})
	t.Run("after 15 minutes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, c := ready(t)
			time.Sleep(15*time.Minute - time.Second)
			if r := c.Visit("/resume"); r.StatusCode != http.StatusOK {
				t.Errorf("just before: got %d", r.StatusCode)
			}
			time.Sleep(time.Second)
			for _, r := range []*http.Response{c.Visit("/resume"), c.Do(act(c))} {
				if r.StatusCode != http.StatusNotFound || len(s.sent) > 0 {
					t.Errorf("got %d, %q", r.StatusCode, s.sent)
				}
			}
		})
	})
	t.Run("a second form takes the first one's place", func(t *testing.T) {
		s := newSite(t)
		c := s.browser()
		c.Post(target, note)
		c.Post("/other", url.Values{"b": {"2"}})
		s.prove(c, "ann")
		if r := c.Post(yes, nil); r.StatusCode != http.StatusNotFound {
			t.Errorf("the first: got %d, want 404", r.StatusCode)
		}
	})
	t.Run("the store is down", func(t *testing.T) {
		s, c := ready(t)
		s.store.down = true
		for _, r := range []*http.Response{c.Visit("/resume"), c.Do(act(c))} {
			if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || len(s.sent) > 0 {
				t.Errorf("got %d, %q", r.StatusCode, s.sent)
			}
		}
		s.store.down = false
		s.store.take = func(string) error { return errDown }
		if r := c.Do(act(c)); r.StatusCode != http.StatusServiceUnavailable || len(s.sent) > 0 {
			t.Errorf("when the form is taken: got %d, %q", r.StatusCode, s.sent)
		}
		s.store.take = nil
		s.store.seek = func(key string) error {
			if !strings.HasPrefix(key, "resume:") {
				return errDown // who the visitor was
			}
			return nil
		}
		for _, r := range []*http.Response{c.Visit("/resume"), c.Do(act(c))} {
			if r.StatusCode != http.StatusServiceUnavailable || len(s.sent) > 0 {
				t.Errorf("when it is asked who the visitor was: got %d, %q", r.StatusCode, s.sent)
			}
		}
		s.store.seek = nil
		if r := c.Do(c.NewRequest(http.MethodHead, "/resume", nil)); r.StatusCode != http.StatusOK {
			t.Errorf("a HEAD of the page: got %d", r.StatusCode)
		}
		if r := c.Do(act(c)); r.StatusCode != http.StatusOK || len(s.sent) != 1 || !strings.Contains(r.Header.Get("Cache-Control"), "no-store") {
			t.Errorf("when it is back: got %d, %q, Cache-Control %q", r.StatusCode, s.sent, r.Header.Get("Cache-Control"))
		}
	})
	t.Run("a method that is none", func(t *testing.T) {
		s := newSite(t)
		if r := s.browser().Post("/resume", nil); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("got %d", r.StatusCode)
		}
	})
}

func TestNew(t *testing.T) {
	if _, err := resume.New(nil, resume.Config{}); err == nil {
		t.Error("without a middleware: got no error")
	}
	if _, err := resume.New(newSite(t).Middleware, resume.Config{Path: "//evil"}); err == nil || !strings.Contains(err.Error(), "Config.Path") {
		t.Errorf("got %v, want it to name Config.Path", err)
	}
	var shown resume.Pending
	s := newSite(t, func(c *resume.Config) {
		c.Page = func(_ http.ResponseWriter, _ *http.Request, p resume.Pending) { shown = p }
	})
	c := s.browser()
	r := c.Post(target, note)
	s.prove(c, "ann")
	c.Visit("/resume")
	if shown.Action != yes || shown.Form.Encode() != note.Encode() {
		t.Errorf("the app's page gets %+v", shown)
	}
	if set := r.Header.Get("Set-Cookie"); !strings.HasPrefix(set, "__Host-walkin.resume=") || !strings.Contains(set, "Secure") || !strings.Contains(set, "HttpOnly") {
		t.Errorf("got %q", set)
	}
}

// TestInsecure holds that the cookie works over plain http where walkin's own do,
// without being told again.
func TestInsecure(t *testing.T) {
	store := memstore.New()
	wk, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: store,
		Cookies: walkin.Cookies{Insecure: true}, Paths: walkin.Paths{Upgrade: "/sign-up"}})
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := resume.New(wk, resume.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := walkintest.NewClient(t, wk.Handler(keeper.RequirePermanent()(http.NotFoundHandler())))
	c.Visit("/")
	r := c.Post(target, note)
	if set := strings.Join(r.Header["Set-Cookie"], "\n"); !strings.Contains(set, ".resume=") || strings.Contains(set, "Secure") || strings.Contains(set, "__Host-") {
		t.Errorf("got %d and %q, want a cookie for plain http", r.StatusCode, set)
	}
}

// TestOneForEachUser holds that a user cannot fill the store with forms, and that
// knowing a user's ID opens nothing.
func TestOneForEachUser(t *testing.T) {
	s := newSite(t)
	c := s.browser()
	for range 5 {
		c.Post(target, note)
		c.SetCookie("__Host-walkin.resume", "") // a bot keeps none
	}
	user := s.user(c)
	if _, err := s.store.TakeTicket(t.Context(), "resume:"+user, time.Now()); err != nil {
		t.Errorf("got %v, want one", err)
	}
	if swept, err := s.store.DeleteExpired(t.Context(), time.Now().Add(time.Hour), 100); err != nil || swept != 0 {
		t.Errorf("got %d more, %v", swept, err)
	}

	c.Post(target, note)
	thief := s.browser()
	s.prove(thief, "thief")
	for _, value := range []string{user, user + ".", user + "." + strings.Repeat("A", 26), "." + strings.Repeat("A", 26), strings.Repeat("A", 26)} {
		thief.SetCookie("__Host-walkin.resume", value)
		if r := thief.Post(yes, nil); r.StatusCode != http.StatusNotFound || len(s.sent) > 0 {
			t.Errorf("%q: got %d, %q", value, r.StatusCode, s.sent)
		}
	}
	s.prove(c, "ann")
	own := c.Cookie("__Host-walkin.resume")
	for _, value := range []string{user + "." + strings.Repeat("A", 26), own[:len(own)-1], own + "A"} {
		c.SetCookie("__Host-walkin.resume", value)
		for _, r := range []*http.Response{c.Visit("/resume"), c.Post(yes, nil)} {
			if r.StatusCode != http.StatusNotFound || len(s.sent) > 0 {
				t.Errorf("the owner's session with another secret: got %d, %q", r.StatusCode, s.sent)
			}
		}
	}
	// What no cookie of ours looks like is not even looked up.
	s.store.down = true
	for _, value := range []string{"x." + strings.Repeat("A", 26), user + ".A", user} {
		c.SetCookie("__Host-walkin.resume", value)
		if r := c.Visit("/resume"); r.StatusCode != http.StatusNotFound {
			t.Errorf("%q while the store is down: got %d", value, r.StatusCode)
		}
	}
	s.store.down = false
	c.SetCookie("__Host-walkin.resume", own)
	if r := c.Post(yes, nil); r.StatusCode != http.StatusOK || len(s.sent) != 1 {
		t.Errorf("the owner's: got %d, %q", r.StatusCode, s.sent)
	}
}

// TestSpellings holds that a form goes to the very page it was kept for, and not to one
// whose address differs in an escape that a browser leaves alone.
func TestSpellings(t *testing.T) {
	const page = "/publish/7?x="
	type other struct{ kept, yes string }
	others := []other{{page + "1ab", page + "1AB"}, {page + "ab", page + "AB"}, {page + "%2f", page + "/"}}
	for _, c := range []byte("azAZ09-._~!$&*+,/:=?@[]") {
		others = append(others, other{page + "x" + string(c) + "y", page + fmt.Sprintf("x%%%02Xy", c)})
	}
	for _, tt := range others {
		s := newSite(t)
		c := s.browser()
		c.Post(tt.kept, note)
		s.prove(c, "ann")
		if r := c.Post(tt.yes+"&walkin_resume=1", nil); r.StatusCode != http.StatusNotFound || len(s.sent) > 0 {
			t.Errorf("kept for %s, a yes at %s: got %d, %q", tt.kept, tt.yes, r.StatusCode, s.sent)
		}
		if r := c.Post(tt.kept+"&walkin_resume=1", nil); r.StatusCode != http.StatusOK || len(s.sent) != 1 || !strings.Contains(s.sent[0], " "+tt.kept+" ") {
			t.Errorf("kept for %s, a yes there: got %d, %q", tt.kept, r.StatusCode, s.sent)
		}
	}
}

// TestReplacedMeanwhile holds that a yes lets the form through that was asked about, and
// no other that took its place since, or what cannot be read.
func TestReplacedMeanwhile(t *testing.T) {
	for name, data := range map[string]func(old []byte) []byte{
		"another form": func(old []byte) []byte {
			return bytes.Replace(old, []byte(`"secret":"`), []byte(`"secret":"AAAA`), 1)
		},
		"nothing that can be read": func([]byte) []byte { return []byte("{\n") },
	} {
		s := newSite(t)
		c := s.browser()
		c.Post(target, note)
		s.prove(c, "ann")
		s.store.take = func(key string) error {
			s.store.take = nil
			ticket, err := s.store.Ticket(t.Context(), key, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			ticket.Data = data(ticket.Data)
			return s.store.PutTicket(t.Context(), ticket)
		}
		if r := c.Post(yes, nil); r.StatusCode != http.StatusNotFound || len(s.sent) > 0 {
			t.Errorf("%s: got %d, %q", name, r.StatusCode, s.sent)
		}
	}
	s := newSite(t)
	c := s.browser()
	c.Post(target, note)
	s.prove(c, "ann")
	user := strings.Split(c.Cookie("__Host-walkin.resume"), ".")[0]
	ticket, err := s.store.Ticket(t.Context(), "resume:"+user, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ticket.Data = append([]byte("{"), ticket.Data...)
	if err := s.store.PutTicket(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*http.Response{c.Visit("/resume"), c.Post(yes, nil)} {
		if r.StatusCode != http.StatusNotFound || len(s.sent) > 0 {
			t.Errorf("a form that cannot be read: got %d, %q", r.StatusCode, s.sent)
		}
	}
}

// TestLargest holds that what is kept is as large as a ticket can be, and not larger.
func TestLargest(t *testing.T) {
	post := func(query int) (s *site, c *walkintest.Client) {
		s = newSite(t)
		c = s.browser()
		r := c.NewRequest(http.MethodPost, "/publish/7?"+strings.Repeat("x", query), strings.NewReader(strings.Repeat("y", 120<<10)))
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		c.Do(r)
		return s, c
	}
	size := func(query int) int {
		s, c := post(query)
		user, _, ok := strings.Cut(c.Cookie("__Host-walkin.resume"), ".")
		if !ok {
			return 0
		}
		ticket, err := s.store.Ticket(t.Context(), "resume:"+user, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return len(ticket.Data)
	}
	most := 1 + 128<<10 - size(1)
	if got, more := size(most), size(most+1); got != 128<<10 || more != 0 {
		t.Errorf("got %d bytes, and of one byte more %d; want %d and none", got, more, 128<<10)
	}
}
