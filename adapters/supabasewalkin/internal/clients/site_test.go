package clients_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/limit"
)

const (
	publishable = "sb_publishable_of_the_tests"
	secretKey   = "sb_secret_of_the_tests_that_is_long_enough"
)

// A site runs on two replicas over one database, each behind a server of its own.
type site struct {
	t        *testing.T
	replicas [2]*replica
	key      walkin.Key

	mu     sync.Mutex
	events []walkin.Event
	mail   []supabasewalkin.Message
}

type replica struct {
	*site
	url string
	mux *http.ServeMux
	wk  *walkin.Middleware
	cfg supabasewalkin.Config
}

// newSite starts a site. Each change is made to each replica's settings.
func newSite(t *testing.T, database func() share, changes ...func(r *replica)) *site {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, key: walkin.Key{Private: private}}
	for i := range s.replicas {
		s.replicas[i] = s.replica(database(), changes)
	}
	return s
}

func (s *site) replica(db share, changes []func(r *replica)) *replica {
	s.t.Helper()
	server := httptest.NewUnstartedServer(nil)
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	r := &replica{site: s, url: "http://localhost:" + port, mux: http.NewServeMux()}
	var err error
	if r.wk, err = walkin.New(walkin.Config{
		Keys: []walkin.Key{s.key}, Store: db.store, Tokens: walkin.Tokens{Audience: "authenticated"},
		NewUsers: walkin.NewUsers{Mint: walkin.MintOnDemand, Limit: limit.Limit{Count: -1}}, Sessions: walkin.Sessions{SignInLimit: limit.Limit{Count: -1}},
		Cookies: walkin.Cookies{Insecure: true},
		OnEvent: func(_ context.Context, e walkin.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	}); err != nil {
		s.t.Fatal(err)
	}
	passwords, err := password.New(r.wk, password.Config{Proven: true})
	if err != nil {
		s.t.Fatal(err)
	}
	send := func(_ context.Context, m supabasewalkin.Message) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mail = append(s.mail, m)
		return nil
	}
	r.cfg = supabasewalkin.Config{
		URL: r.url + "/auth/v1", SiteURL: r.url + "/", RedirectURLs: []string{r.url + "/back"}, Profiles: db.profiles,
		PublishableKeys: []string{publishable}, SecretKeys: []string{secretKey}, Send: send, SendSMS: send,
		SendLimit: limit.Limit{Count: 10_000, Per: 1e9}, Passwords: passwords, ManualLinking: true,
	}
	for _, change := range changes {
		change(r)
	}
	h, err := supabasewalkin.New(r.wk, r.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	r.mux.Handle("/auth/v1/", http.StripPrefix("/auth/v1", h))
	server.Config.Handler = r.mux
	server.Start()
	s.t.Cleanup(server.Close)
	return r
}

func autoconfirm(r *replica) { r.cfg.Autoconfirm = true }

// An answer is one of the endpoint's.
type answer struct {
	status int
	text   string
	Code   string
	Access string `json:"access_token"`
	Refr   string `json:"refresh_token"`
	User   struct {
		ID        string
		Anonymous bool `json:"is_anonymous"`
	}
	ID string
}

// do sends a request of a client's. It may be called from several goroutines.
func (r *replica) do(method, path, token, body string) (a answer) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, r.url+"/auth/v1"+path, strings.NewReader(body))
	if err != nil {
		r.t.Error(err)
		return a
	}
	if token == "" {
		token = publishable
	}
	req.Header = http.Header{"Apikey": {publishable}, "Authorization": {"Bearer " + token}, "X-Supabase-Api-Version": {"2024-01-01"}, "Content-Type": {"application/json"}}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Error(err)
		return a
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Error(err)
		return a
	}
	a.status, a.text = response.StatusCode, string(data)
	if len(data) > 0 && data[0] == '{' {
		if err := json.Unmarshal(data, &a); err != nil {
			r.t.Errorf("%s %s: %v in %s", method, path, err, data)
		}
	}
	return a
}

func (a answer) want(t *testing.T, status int, code string) answer {
	t.Helper()
	if a.status != status || a.Code != code {
		t.Fatalf("got %d %s, want %d %s", a.status, a.text, status, code)
	}
	return a
}

func (r *replica) anonymous() answer {
	r.t.Helper()
	return r.do("POST", "/signup", "", `{"data":{}}`).want(r.t, 200, "")
}

func (r *replica) refresh(token string) answer {
	r.t.Helper()
	return r.do("POST", "/token?grant_type=refresh_token", "", `{"refresh_token":"`+token+`"}`)
}

// told returns how many refusals the operator has heard of.
func (s *site) told() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Outcome == walkin.Refused {
			n++
		}
	}
	return n
}

func (s *site) did(reason walkin.Reason) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Outcome == walkin.Refused && e.Reason == reason {
			n++
		}
	}
	return n
}
