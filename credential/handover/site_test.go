package handover_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/handover"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/pages"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
	"github.com/walkin-go/walkin/walkintest"
)

const (
	origin   = "https://margin.example"
	phone    = "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/150 Mobile Safari/537.36"
	computer = "Mozilla/5.0 (X11; Linux x86_64) Chrome/150"
	secret   = "correct horse battery"
)

// A site is two replicas over one store.
type site struct {
	t        *testing.T
	store    store.Store
	replicas [2]http.Handler
	wk       [2]*walkin.Middleware
	limiter  limit.Limiter

	mu     sync.Mutex
	events []walkin.Event
}

// newSite returns a site over a file of SQLite, which both replicas open.
func newSite(t *testing.T) *site {
	t.Helper()
	file := filepath.Join(t.TempDir(), "site.db")
	s := &site{t: t, limiter: limit.New(0)}
	for i := range s.replicas {
		db, err := sql.Open("sqlite", "file:"+url.PathEscape(file)+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=synchronous(off)")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		store, err := sqlstore.New(sqlstore.Config{DB: db, Dialect: sqlstore.SQLite})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.store = store
		s.open(i, store)
	}
	return s
}

// open starts a replica over a store.
func (s *site) open(i int, store store.Store) {
	s.t.Helper()
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{ID: "1", Secret: []byte("0123456789abcdef0123456789abcdef")}}, Store: store, Limiter: s.limiter, Sessions: walkin.Sessions{RecheckAfter: time.Nanosecond},
		Paths: walkin.Paths{Upgrade: "/account/sign-up", SignIn: "/account/sign-in", SignOut: "/account/sign-out", Credentials: []string{"/account/"}},
		OnEvent: func(_ context.Context, e walkin.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	passwords, err := password.New(wk, password.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	h, err := handover.New(wk, handover.Config{Link: origin + "/account/device/join"})
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := pages.New(wk, pages.Config{Name: "Margin", URL: origin, Password: passwords, Handover: h, Device: pages.Device})
	if err != nil {
		s.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/account/", p)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		_, _ = fmt.Fprintf(w, "%s %t %s", c.UserID, c.Provisional, p.Notice(w, r))
	})
	mux.Handle("/note", wk.RequireUser()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	mux.HandleFunc("/delete", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		if err := wk.DeleteUser(r.Context(), c.UserID); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	s.wk[i], s.replicas[i] = wk, wk.Handler(mux)
}

// refused returns the reasons of all refusals since the last call, and how many
// visitors have joined.
func (s *site) refused() (reasons []string, joined int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		switch e.Outcome {
		case walkin.Refused:
			reasons = append(reasons, string(e.Reason))
		case walkin.Joined:
			joined++
		}
	}
	s.events = nil
	return reasons, joined
}

// A browser changes the replica with each request.
type browser struct {
	*walkintest.Client
	s     *site
	agent string
	n     int
	page  string
}

func (s *site) browser(agent string) *browser {
	return &browser{Client: walkintest.NewClient(s.t, s.replicas[0]), s: s, agent: agent}
}

// copied returns a browser that has all cookies of this one.
func (b *browser) copied() *browser {
	c := b.s.browser(b.agent)
	for _, cookie := range b.Cookies() {
		c.SetCookie(cookie.Name, cookie.Value)
	}
	return c
}

func (b *browser) request(method, path string, form url.Values) *http.Request {
	b.s.t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	}
	r := b.NewRequest(method, path, body)
	for name, value := range map[string]string{"Accept": "text/html", "User-Agent": b.agent, "Sec-Fetch-Site": "same-origin",
		"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} {
		r.Header.Set(name, value)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func (b *browser) do(r *http.Request) *http.Response {
	b.s.t.Helper()
	b.n++
	response := b.On(b.s.replicas[b.n%2]).Do(r)
	content, err := io.ReadAll(response.Body)
	if err != nil {
		b.s.t.Fatal(err)
	}
	b.page = html.UnescapeString(string(content))
	return response
}

// open gets a page, and follows.
func (b *browser) open(path string) int {
	b.s.t.Helper()
	for range 5 {
		response := b.do(b.request(http.MethodGet, path, nil))
		if path = response.Header.Get("Location"); path == "" {
			return response.StatusCode
		}
	}
	b.s.t.Fatal("the pages lead in circles")
	return 0
}

// post sends a form of the last page, and follows.
func (b *browser) post(path string, form url.Values) int {
	b.s.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	if m := regexp.MustCompile(`name="walkin_rendered_for" value="([^"]*)"`).FindStringSubmatch(b.page); m != nil {
		form.Set("walkin_rendered_for", m[1])
	}
	response := b.do(b.request(http.MethodPost, path, form))
	if to := response.Header.Get("Location"); to != "" {
		return b.open(to)
	}
	return response.StatusCode
}

// ask sends JSON and returns what was answered.
func (b *browser) ask(method, path, body string) (status int, answer map[string]any) {
	b.s.t.Helper()
	r := b.NewRequest(method, path, strings.NewReader(body))
	for name, value := range map[string]string{"Accept": "application/json", "User-Agent": b.agent, "Sec-Fetch-Site": "same-origin",
		"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"} {
		r.Header.Set(name, value)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	response := b.do(r)
	if err := json.Unmarshal([]byte(b.page), &answer); err != nil {
		b.s.t.Fatalf("%s %s: got %d %q: %v", method, path, response.StatusCode, b.page, err)
	}
	return response.StatusCode, answer
}

func (b *browser) want(status, got int) {
	b.s.t.Helper()
	if got != status {
		b.s.t.Fatalf("got %d, want %d:\n%s", got, status, b.page)
	}
}

func (b *browser) says(words string) {
	b.s.t.Helper()
	if !strings.Contains(b.page, words) {
		b.s.t.Fatalf("the page does not say %q:\n%s", words, b.page)
	}
}

// id is who the visitor is.
func (b *browser) id() string {
	b.s.t.Helper()
	b.want(200, b.open("/"))
	id, _, _ := strings.Cut(b.page, " ")
	return id
}

// act stores the visitor. Without a user the answer is 303, to the sign-in page.
func (b *browser) act() int {
	b.s.t.Helper()
	return b.do(b.request(http.MethodPost, "/note", url.Values{})).StatusCode
}

func (b *browser) signUp(name string) {
	b.s.t.Helper()
	b.want(200, b.open("/account/sign-up"))
	b.want(200, b.post("/account/sign-up", url.Values{"email": {name}, "password": {secret}}))
}

var (
	links   = regexp.MustCompile(`https://margin\.example(/account/device/join\?code=([A-Za-z0-9_-]+))`)
	numbers = regexp.MustCompile(`<h1>Enter (\d{4}) on`)
)

// offer shows a code and returns it.
func (b *browser) offer() (code string) {
	b.s.t.Helper()
	b.want(200, b.open("/account/device"))
	b.want(200, b.post("/account/device", nil))
	m := links.FindStringSubmatch(b.page)
	if m == nil || !strings.Contains(b.page, "<svg") {
		b.s.t.Fatalf("the page shows no code:\n%s", b.page)
	}
	return m[2]
}

// scan opens a code, and returns the number that is shown.
func (b *browser) scan(code string) (number string) {
	b.s.t.Helper()
	b.want(200, b.open("/account/device/join?code="+code))
	b.want(200, b.post("/account/device/join", url.Values{"code": {code}}))
	m := numbers.FindStringSubmatch(b.page)
	if m == nil {
		b.s.t.Fatalf("the page shows no number:\n%s", b.page)
	}
	return m[1]
}

func (b *browser) confirm(number string) int {
	b.s.t.Helper()
	b.want(200, b.open("/account/device"))
	return b.post("/account/device/confirm", url.Values{"number": {number}})
}

func (b *browser) join() int { return b.post("/account/device/wait", nil) }

// handOver does all of it, and returns the user ID.
func (b *browser) handOver(to *browser) string {
	b.s.t.Helper()
	id := b.id()
	b.want(200, b.confirm(to.scan(b.offer())))
	to.want(200, to.join())
	if got := to.id(); got != id {
		b.s.t.Fatalf("the second browser is %s, want %s", got, id)
	}
	return id
}
