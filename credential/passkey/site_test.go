package passkey_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

const (
	anonCookie = "__Host-walkin-anon"
	permCookie = "__Host-walkin"
)

// A site runs on two replicas over one store. Its users write notes.
type site struct {
	t        testing.TB
	store    *testStore
	replicas [2]http.Handler
	wk       [2]*walkin.Middleware
	passkeys [2]*passkey.Passkeys

	mu     sync.Mutex
	notes  map[uuid.UUID]int
	events []walkin.Event
	hook   func(walkin.Change) error // OnUpgrade, OnSignIn
}

// A setup changes a site before it is built.
type setup func(*walkin.Config, *passkey.Config)

func merging(s **site) setup {
	return func(c *walkin.Config, _ *passkey.Config) {
		c.Hooks.OnMerge = func(_ context.Context, change walkin.Change) error {
			site := *s
			site.mu.Lock()
			defer site.mu.Unlock()
			site.notes[change.UserID] += site.notes[change.AnonymousID]
			delete(site.notes, change.AnonymousID)
			return nil
		}
	}
}

func minting(m walkin.Mint) setup {
	return func(c *walkin.Config, _ *passkey.Config) { c.NewUsers.Mint = m }
}

func newSite(t testing.TB, setups ...setup) *site {
	t.Helper()
	s := &site{t: t, store: &testStore{Store: memstore.New()}, notes: map[uuid.UUID]int{}}
	for i := range s.replicas {
		hook := func(_ context.Context, c walkin.Change) error {
			if s.hook != nil {
				return s.hook(c)
			}
			return nil
		}
		cfg := walkin.Config{
			Keys:      []walkin.Key{{Secret: []byte("a secret that is only of this test")}},
			Store:     s.store,
			Paths:     walkin.Paths{Credentials: []string{"/passkey/"}},
			CacheSize: 256,
			Hooks:     walkin.Hooks{OnUpgrade: hook, OnSignIn: hook},
			OnEvent: func(_ context.Context, e walkin.Event) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.events = append(s.events, e)
			},
		}
		keys := passkey.Config{RPID: "app.example", Origins: []string{"https://app.example"}, DisplayName: "Notes"}
		for _, setup := range setups {
			setup(&cfg, &keys)
		}
		var err error
		if s.wk[i], err = walkin.New(cfg); err != nil {
			t.Fatal(err)
		}
		if s.passkeys[i], err = passkey.New(s.wk[i], keys); err != nil {
			t.Fatal(err)
		}
		s.replicas[i] = s.wk[i].Handler(s.routes(s.wk[i], s.passkeys[i]))
	}
	return s
}

// who is what a page says about its visitor.
type who struct {
	ID        uuid.UUID
	Anonymous bool
	Session   uuid.UUID
	Method    string
	ProvenAt  int64
	Notes     int
}

func (s *site) routes(wk *walkin.Middleware, keys *passkey.Passkeys) http.Handler {
	mux := http.NewServeMux()
	tell := func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(who{c.UserID, c.Anonymous, c.SessionID, c.Method, c.ProvenAt.Unix(), s.notes[c.UserID]})
	}
	mux.HandleFunc("/", tell)
	mux.Handle("/members", wk.RequirePermanent()(http.HandlerFunc(tell)))
	mux.Handle("/note", wk.RequireUser()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		s.mu.Lock()
		s.notes[c.UserID]++
		s.mu.Unlock()
		tell(w, r)
	})))
	answer := func(do func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := do(w, r); err != nil {
				wk.Refuse(w, r, err)
			}
		}
	}
	mux.HandleFunc("/prove", answer(func(w http.ResponseWriter, r *http.Request) error {
		_, err := wk.Continue(w, r, walkin.Proof{Provider: "test", Subject: r.FormValue("name"), Method: "pwd"})
		return err
	}))
	mux.HandleFunc("/unlink", answer(func(w http.ResponseWriter, r *http.Request) error {
		return wk.Unlink(w, r, passkey.Provider, r.FormValue("id"))
	}))
	mux.HandleFunc("/rename", answer(func(w http.ResponseWriter, r *http.Request) error {
		return keys.Rename(w, r, r.FormValue("id"), r.FormValue("name"))
	}))
	mux.Handle("/out", wk.SignOutHandler())
	mux.Handle("/passkey/", keys)
	return mux
}

// told returns the reasons of the refusals since it was last asked.
func (s *site) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var reasons []string
	for _, e := range s.events {
		if e.Outcome == walkin.Refused {
			reasons = append(reasons, string(e.Reason))
		}
	}
	s.events = nil
	return reasons
}

// rows returns how many users were stored since told was asked.
func (s *site) rows() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.events {
		if e.Outcome == walkin.Persisted {
			n++
		}
	}
	return n
}

func (s *site) note(id uuid.UUID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notes[id]
}

func (s *site) keysOf(id uuid.UUID) []passkey.Key {
	s.t.Helper()
	keys, err := s.passkeys[0].Keys(context.Background(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return keys
}

// A person has a browser and a device.
type person struct {
	*walkintest.Client
	site   *site
	device *device
}

func (s *site) person() *person {
	return &person{Client: walkintest.NewClient(s.t, s.replicas[0]), site: s, device: &device{t: s.t}}
}

// at returns the person in front of a replica.
func (p *person) at(replica int) *person {
	other := *p
	other.Client = p.Client.On(p.site.replicas[replica])
	return &other
}

// elsewhere returns the same device at another browser.
func (p *person) elsewhere() *person {
	other := p.site.person()
	other.device = p.device
	return other
}

// An answer is what a post came back with.
type answer struct {
	status int
	body   []byte
	header http.Header
}

func (a answer) field(name string) string {
	var fields map[string]any
	if json.Unmarshal(a.body, &fields) != nil {
		return ""
	}
	text, _ := fields[name].(string)
	return text
}

// request is a post as the script makes it.
func (p *person) request(path string, body []byte) *http.Request {
	r := p.NewRequest(http.MethodPost, "/passkey/"+path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", "https://app.example")
	return r
}

func answerOf(t testing.TB, r *http.Response) answer {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{r.StatusCode, body, r.Header}
}

func (p *person) post(path string, body []byte) answer {
	p.site.t.Helper()
	return answerOf(p.site.t, p.Do(p.request(path, body)))
}

// begin starts a ceremony and returns its options.
func (p *person) begin(path string) []byte {
	p.site.t.Helper()
	a := p.post(path, []byte(`{}`))
	if a.status != http.StatusOK || !strings.Contains(a.header.Get("Cache-Control"), "no-store") {
		p.site.t.Fatalf("%s: got %d %s, Cache-Control %q", path, a.status, a.body, a.header.Get("Cache-Control"))
	}
	return a.body
}

var errDuplicate = errors.New("the device has a key already")

// register makes a key and returns what becomes of it.
func (p *person) register(tw twist) answer {
	p.site.t.Helper()
	made := p.device.create(p.begin("register"), tw)
	if made == nil {
		p.site.t.Fatal(errDuplicate)
	}
	return p.post("register-finish", made)
}

func (p *person) signIn(tw twist) answer {
	p.site.t.Helper()
	proof := p.device.get(p.begin("signin"), tw)
	if proof == nil {
		p.site.t.Fatal("the device has no key")
	}
	return p.post("signin-finish", proof)
}

// member is a user who has registered a key, and signed in by it.
func (s *site) member() *person {
	s.t.Helper()
	p := s.person()
	p.Visit("/")
	if a := p.register(twist{}); a.status != http.StatusOK {
		s.t.Fatalf("registering: got %d %s", a.status, a.body)
	}
	s.told()
	return p
}

func (p *person) who() who {
	p.site.t.Helper()
	var v who
	if err := json.Unmarshal(answerOf(p.site.t, p.Fetch("/")).body, &v); err != nil {
		p.site.t.Fatal(err)
	}
	return v
}

// holding fails the test when do leaves the visitor worse off, or better.
func (p *person) holding(do func()) {
	p.site.t.Helper()
	before, cookies := p.who(), []string{p.Cookie(anonCookie), p.Cookie(permCookie)}
	do()
	if after := []string{p.Cookie(anonCookie), p.Cookie(permCookie)}; !slices.Equal(after, cookies) {
		p.site.t.Error("the cookies have changed")
	}
	for i := range p.site.replicas {
		if after := p.at(i).who(); after != before {
			p.site.t.Errorf("replica %d: got %+v, want %+v as before", i, after, before)
		}
	}
}

func (p *person) act(path string, form map[string][]string) answer {
	p.site.t.Helper()
	return answerOf(p.site.t, p.Post(path, form))
}

func want(t testing.TB, a answer, status int, name, value string) {
	t.Helper()
	if a.status != status || name != "" && a.field(name) != value {
		t.Errorf("got %d %s, want %d with %s %q", a.status, bytes.TrimSpace(a.body), status, name, value)
	}
}

func wantTold(t testing.TB, s *site, reasons ...string) {
	t.Helper()
	if got := s.told(); !slices.Equal(got, reasons) {
		t.Errorf("the owner is told %q, want %q", got, reasons)
	}
}

// A testStore fails where it is told to.
type testStore struct {
	*memstore.Store
	mu    sync.Mutex
	fail  string // the method that fails
	after int    // so many calls of it
	calls int

	lastCalls int    // of what failed before
	inTx      func() // before the next transaction, once
	added     store.Ticket
}

func (s *testStore) InTx(ctx context.Context, fn func(context.Context) error) error {
	s.mu.Lock()
	before := s.inTx
	s.inTx = nil
	s.mu.Unlock()
	if before != nil {
		before()
	}
	return s.Store.InTx(ctx, fn)
}

func (s *testStore) failing(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if method == s.fail {
		if s.calls++; s.calls <= s.after {
			return nil
		}
		return fmt.Errorf("the database is on fire")
	}
	return nil
}

func (s *testStore) breaks(method string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastCalls = s.calls
	s.fail, s.after, s.calls = method, 0, 0
}

func (s *testStore) PutTicket(ctx context.Context, ticket store.Ticket) error {
	if err := s.failing("PutTicket"); err != nil {
		return err
	}
	return s.Store.PutTicket(ctx, ticket)
}

func (s *testStore) AddTicket(ctx context.Context, ticket store.Ticket, now time.Time) (bool, error) {
	if err := s.failing("AddTicket"); err != nil {
		return false, err
	}
	s.mu.Lock()
	s.added = ticket
	s.mu.Unlock()
	return s.Store.AddTicket(ctx, ticket, now)
}

func (s *testStore) Ticket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if err := s.failing("Ticket"); err != nil {
		return store.Ticket{}, err
	}
	return s.Store.Ticket(ctx, key, now)
}

func (s *testStore) Identities(ctx context.Context, id uuid.UUID) ([]store.Identity, error) {
	if err := s.failing("Identities"); err != nil {
		return nil, err
	}
	return s.Store.Identities(ctx, id)
}

func (s *testStore) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	if err := s.failing("Identity"); err != nil {
		return store.Identity{}, err
	}
	return s.Store.Identity(ctx, provider, subject)
}

func (s *testStore) SetSecret(ctx context.Context, provider, subject string, secret []byte) error {
	if err := s.failing("SetSecret"); err != nil {
		return err
	}
	return s.Store.SetSecret(ctx, provider, subject, secret)
}

func (s *testStore) CreateIdentity(ctx context.Context, identity store.Identity) error {
	if err := s.failing("CreateIdentity"); err != nil {
		return err
	}
	return s.Store.CreateIdentity(ctx, identity)
}

func (s *testStore) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	if err := s.failing("TakeTicket"); err != nil {
		return store.Ticket{}, err
	}
	return s.Store.TakeTicket(ctx, key, now)
}
