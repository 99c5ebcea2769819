package supabasewalkin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

const (
	publishable = "sb_publishable_of_the_tests"
	secretKey   = "sb_secret_of_the_tests_that_is_long_enough"
	siteURL     = "https://app.example/welcome"
)

// A site is a Go app with the endpoint, over a store.
type site struct {
	t     *testing.T
	wk    *walkin.Middleware
	store store.Store
	api   http.Handler // at /auth/v1

	mu     sync.Mutex
	events []walkin.Event
	mail   []supabasewalkin.Message
	admin  []string

	from string // the peer; empty is 192.0.2.1:1234
}

func newSite(t *testing.T, changes ...func(*walkin.Config, *supabasewalkin.Config)) *site {
	t.Helper()
	s := &site{t: t}
	cfg := walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret of thirty-two bytes, as is needed")}}, Store: memstore.New(),
		Tokens: walkin.Tokens{Audience: "authenticated"}, NewUsers: walkin.NewUsers{Limit: limit.Limit{Count: -1}}, Sessions: walkin.Sessions{SignInLimit: limit.Limit{Count: -1}},
		OnEvent: func(_ context.Context, e walkin.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	}
	send := func(_ context.Context, m supabasewalkin.Message) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mail = append(s.mail, m)
		return nil
	}
	own := supabasewalkin.Config{
		URL: "https://app.example/auth/v1", SiteURL: siteURL, RedirectURLs: []string{"https://app.example/back", "https://*.preview.example/**"},
		Profiles: supabasewalkin.Memory(), PublishableKeys: []string{publishable}, SecretKeys: []string{secretKey},
		Send: send, SendSMS: send, SendLimit: limit.Limit{Count: 100, Per: time.Minute}, ManualLinking: true,
		OnAdmin: func(_ context.Context, action string, _ uuid.UUID, _ *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.admin = append(s.admin, action)
		},
	}
	for _, change := range changes {
		change(&cfg, &own)
	}
	var err error
	if s.wk, err = walkin.New(cfg); err != nil {
		t.Fatal(err)
	}
	s.store = cfg.Store
	if own.Passwords == nil {
		passwords, err := password.New(s.wk, password.Config{Proven: true})
		if err != nil {
			t.Fatal(err)
		}
		phones, err := password.New(s.wk, password.Config{Proven: true, Phones: true})
		if err != nil {
			t.Fatal(err)
		}
		own.Passwords, own.PhonePasswords = passwords, phones
	}
	h, err := supabasewalkin.New(s.wk, own)
	if err != nil {
		t.Fatal(err)
	}
	s.api = http.StripPrefix("/auth/v1", h)
	return s
}

func autoconfirm(_ *walkin.Config, c *supabasewalkin.Config) { c.Autoconfirm = true }

// An answer is one of the endpoint's.
type answer struct {
	*http.Response
	text string
	body map[string]any
}

func (a answer) str(path ...string) string {
	var value any = a.body
	for _, name := range path {
		m, _ := value.(map[string]any)
		value = m[name]
	}
	text, _ := value.(string)
	return text
}

// A request is one of a client's: the bearer is the API key where there is no token.
type request struct {
	method, path string
	token        string
	body         string
	header       http.Header
}

func (s *site) do(r request) answer {
	s.t.Helper()
	req := httptest.NewRequest(r.method, "https://app.example/auth/v1"+r.path, strings.NewReader(r.body))
	req.Header = http.Header{"Apikey": {publishable}, "Authorization": {"Bearer " + publishable}, "User-Agent": {"node"},
		"X-Supabase-Api-Version": {"2024-01-01"}, "Origin": {"https://elsewhere.example"}, "Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"cors"}}
	if s.from != "" {
		req.RemoteAddr = s.from
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json;charset=UTF-8")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for name, values := range r.header {
		req.Header[name] = values
		if values == nil {
			delete(req.Header, name)
		}
	}
	rec := httptest.NewRecorder()
	s.api.ServeHTTP(rec, req)
	a := answer{Response: rec.Result(), text: rec.Body.String()}
	if strings.Contains(a.Header.Get("Content-Type"), "application/json") && !bytes.HasPrefix(rec.Body.Bytes(), []byte("[")) {
		if err := json.Unmarshal(rec.Body.Bytes(), &a.body); err != nil {
			s.t.Fatalf("%s %s: %v in %q", r.method, r.path, err, a.text)
		}
	}
	return a
}

func (s *site) post(path, token, body string) answer {
	s.t.Helper()
	return s.do(request{method: http.MethodPost, path: path, token: token, body: body})
}

func (s *site) get(path, token string) answer {
	s.t.Helper()
	return s.do(request{method: http.MethodGet, path: path, token: token})
}

func (s *site) put(token, body string) answer {
	s.t.Helper()
	return s.do(request{method: http.MethodPut, path: "/user", token: token, body: body})
}

// want fails unless an answer has a status and, if it is an error, a code.
func (a answer) want(t *testing.T, status int, code string) answer {
	t.Helper()
	if a.StatusCode != status || code != "" && a.str("code") != code {
		t.Fatalf("got %d %s, want %d %s", a.StatusCode, a.text, status, code)
	}
	return a
}

// A client is one that holds tokens.
type client struct {
	*site
	access, refresh, id string
}

func (c *client) take(a answer) *client {
	c.t.Helper()
	a.want(c.t, http.StatusOK, "")
	c.access, c.refresh, c.id = a.str("access_token"), a.str("refresh_token"), a.str("user", "id")
	if c.access == "" || c.refresh == "" || c.id == "" {
		c.t.Fatalf("got no session in %s", a.text)
	}
	return c
}

func (s *site) anonymous() *client {
	s.t.Helper()
	return (&client{site: s}).take(s.post("/signup", "", `{"data":{}}`))
}

func (s *site) last() supabasewalkin.Message {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mail) == 0 {
		s.t.Fatal("no message was sent")
	}
	return s.mail[len(s.mail)-1]
}

// upgraded is a permanent user by a code.
func (s *site) upgraded(address string) *client {
	s.t.Helper()
	c := s.anonymous()
	s.put(c.access, `{"email":"`+address+`"}`).want(s.t, http.StatusOK, "")
	id := c.id
	c.take(s.post("/verify", "", `{"email":"`+address+`","token":"`+s.last().Code+`","type":"email_change"}`))
	if c.id != id {
		s.t.Fatalf("got the user %s, want %s", c.id, id)
	}
	return c
}

func (s *site) did(outcome walkin.Outcome, reason walkin.Reason) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.events, func(e walkin.Event) bool { return e.Outcome == outcome && e.Reason == reason })
}

// keys returns the members of an object.
func keys(m any) string {
	all, _ := m.(map[string]any)
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
