package pages_test

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/pages"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

const (
	origin  = "https://margin.example"
	ann     = "ann@example.com"
	annNew  = "ann.new@example.com"
	secret  = "correct horse battery"
	another = "staple of four words"
)

// A mail is what was sent.
type sent struct{ To, Subject, Text, HTML, Code string }

// A site has the pages with codes and passwords, over one store.
type site struct {
	t       *testing.T
	store   *memstore.Store
	handler http.Handler
	pages   *pages.Pages

	mu     sync.Mutex
	mail   []sent
	hashes int // of new passwords
	events []walkin.Event
}

func (s *site) Deliver(_ context.Context, to, subject, text, html string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mail = append(s.mail, sent{To: to, Subject: subject, Text: text, HTML: html})
	return nil
}

func (s *site) Send(_ context.Context, m code.Message) error {
	subject, text, html := code.Compose("Margin", m)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mail = append(s.mail, sent{m.To, subject, text, html, m.Code})
	return nil
}

// last returns the last mail to an address whose subject or code fits.
func (s *site) last(to string, is func(sent) bool) sent {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range slices.Backward(s.mail) {
		if m.To == to && is(m) {
			return m
		}
	}
	s.t.Fatalf("no such mail was sent to %s: %+v", to, s.mail)
	return sent{}
}

func (s *site) code(to string) string {
	s.t.Helper()
	return s.last(to, func(m sent) bool { return m.Code != "" }).Code
}

func (s *site) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mail)
}

// newSite returns a site; the store is shared by all that are given it.
func newSite(t *testing.T, store *memstore.Store, changes ...func(*walkin.Config, *pages.Config)) *site {
	t.Helper()
	if store == nil {
		store = memstore.New()
	}
	s := &site{t: t, store: store}
	wkConfig := walkin.Config{
		Keys: []walkin.Key{{ID: "1", Secret: []byte("0123456789abcdef0123456789abcdef")}}, Store: store,
		Paths: walkin.Paths{Upgrade: "/account/sign-up", SignIn: "/account/sign-in", SignOut: "/account/sign-out", Credentials: []string{"/account/"}},
		Texts: pages.Languages(), Sessions: walkin.Sessions{RecheckAfter: time.Nanosecond},
		OnEvent: func(_ context.Context, e walkin.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	}
	config := pages.Config{Name: "Margin", URL: origin, Mail: s, Device: pages.Device}
	for _, change := range changes {
		change(&wkConfig, &config)
	}
	wk, err := walkin.New(wkConfig)
	if err != nil {
		t.Fatal(err)
	}
	passwords, err := password.New(wk, password.Config{Proven: true})
	if err != nil {
		t.Fatal(err)
	}
	codes, err := code.New(wk, code.Config{Sender: s, Link: origin + "/account/code", Secret: func(r *http.Request) ([]byte, error) {
		if r.URL.Path != "/account/sign-up" || r.PostFormValue("password") == "" {
			return nil, nil
		}
		s.mu.Lock()
		s.hashes++
		s.mu.Unlock()
		return passwords.NewSecret(r)
	}})
	if err != nil {
		t.Fatal(err)
	}
	config.Password, config.Code = passwords, codes
	if s.pages, err = pages.New(wk, config); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/account/", s.pages)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		_, _ = io.WriteString(w, c.UserID.String()+" "+s.pages.Notice(w, r))
	})
	s.handler = wk.Handler(mux)
	return s
}

// A browser walks through a site in one language.
type browser struct {
	*walkintest.Client
	t        *testing.T
	language string
	page     string // the last one
	seen     func(what, page string)
}

func (s *site) browser(language string) *browser {
	return &browser{Client: walkintest.NewClient(s.t, s.handler), t: s.t, language: language}
}

func (b *browser) send(method, path string, form url.Values) *http.Response {
	b.t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	}
	r := b.NewRequest(method, path, body)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Accept-Language", b.language)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/156")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response := b.Do(r)
	content, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.page = string(content)
	if b.seen != nil && strings.Contains(response.Header.Get("Content-Type"), "text/html") {
		b.seen(method+" "+path, b.page)
	}
	return response
}

// open gets a page, following redirects, and returns its status.
func (b *browser) open(path string) int {
	b.t.Helper()
	for range 5 {
		response := b.send(http.MethodGet, path, nil)
		to := response.Header.Get("Location")
		if to == "" {
			return response.StatusCode
		}
		path = to
	}
	b.t.Fatalf("%s leads in circles", path)
	return 0
}

// post sends a form with the hidden field of the last page, follows, and returns the
// status of what it was led to.
func (b *browser) post(path string, form url.Values) int {
	b.t.Helper()
	if m := regexp.MustCompile(`name="walkin_rendered_for" value="([^"]*)"`).FindStringSubmatch(b.page); m != nil {
		form.Set("walkin_rendered_for", m[1])
	}
	response := b.send(http.MethodPost, path, form)
	if to := response.Header.Get("Location"); to != "" {
		return b.open(to)
	}
	return response.StatusCode
}

func (b *browser) want(status int, got int) {
	b.t.Helper()
	if got != status {
		b.t.Fatalf("got %d, want %d:\n%s", got, status, b.page)
	}
}

func (b *browser) says(words string) {
	b.t.Helper()
	if !strings.Contains(html.UnescapeString(b.page), words) {
		b.t.Fatalf("the page does not say %q:\n%s", words, b.page)
	}
}

func (b *browser) saysNot(words string) {
	b.t.Helper()
	if strings.Contains(html.UnescapeString(b.page), words) {
		b.t.Fatalf("the page says %q:\n%s", words, b.page)
	}
}

// id is who the visitor is.
func (b *browser) id() string {
	b.t.Helper()
	b.want(200, b.open("/"))
	id, _, _ := strings.Cut(b.page, " ")
	return id
}

// signUp makes an account with a password.
func (b *browser) signUp(s *site, address string) {
	b.t.Helper()
	b.id()
	b.want(200, b.open("/account/sign-up"))
	b.want(200, b.post("/account/sign-up", url.Values{"email": {address}, "password": {secret}, "return_to": {"/account/"}}))
	b.want(200, b.post("/account/sign-up/code", url.Values{"code": {s.code(address)}, "return_to": {"/account/"}}))
}

func (b *browser) signIn(address, password string) int {
	b.t.Helper()
	b.want(200, b.open("/account/sign-in"))
	return b.post("/account/sign-in", url.Values{"email": {address}, "password": {password}, "return_to": {"/account/"}})
}
