package totp_test

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	pquerna "github.com/pquerna/otp/totp"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/credential/totp"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

const (
	member = "__Host-walkin"
	ann    = "ann@example.com"
	bob    = "bob@example.com"
	secret = "correct horse battery"
	weak   = "wrong horse battery"
)

var firstKey = walkin.Key{ID: "1", Secret: []byte("a secret that is only of this test")}

// A site runs on two replicas over one store: passwords with proven addresses, mailed
// codes, a provider and passkeys of the test's own, and the factor.
type site struct {
	t        *testing.T
	store    store.Store
	replicas [2]http.Handler
	factors  [2]*totp.TOTP
	keys     []walkin.Key
	issuer   string

	mu     sync.Mutex
	codes  map[string]string // that were mailed
	events []walkin.Event
}

func (s *site) Send(_ context.Context, m code.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[m.To] = m.Code
	return nil
}

func (s *site) mailed(to string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codes[to]
}

func newSite(t *testing.T, store store.Store, changes ...func(*walkin.Config)) *site {
	t.Helper()
	if store == nil {
		store = memstore.New()
	}
	s := &site{t: t, store: store, codes: map[string]string{}, keys: []walkin.Key{firstKey}}
	for i := range s.replicas {
		s.replicas[i], s.factors[i] = s.replica(changes...)
	}
	return s
}

func (s *site) replica(changes ...func(*walkin.Config)) (http.Handler, *totp.TOTP) {
	s.t.Helper()
	cfg := walkin.Config{Keys: s.keys, Store: s.store,
		Paths:    walkin.Paths{SignIn: "/signin", Credentials: []string{"/signin", "/signup", "/mail", "/factor", "/prove", "/value", "/hold"}},
		Sessions: walkin.Sessions{RecheckAfter: time.Nanosecond},
		OnEvent: func(_ context.Context, e walkin.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		}}
	for _, change := range changes {
		change(&cfg)
	}
	wk, err := walkin.New(cfg)
	ok(s.t, err)
	passwords, err := password.New(wk, password.Config{Proven: true, Cost: password.Cost{Time: 5, Memory: 7168, Threads: 1}})
	ok(s.t, err)
	codes, err := code.New(wk, code.Config{Sender: s, Secret: func(r *http.Request) ([]byte, error) {
		if r.URL.Path != "/signup/send" {
			return nil, nil
		}
		return passwords.NewSecret(r)
	}})
	ok(s.t, err)
	factor, err := totp.New(wk, totp.Config{Issuer: cmp.Or(s.issuer, "Notes"), Page: "/factor"})
	ok(s.t, err)

	page := func(w http.ResponseWriter, _ *http.Request, f walkin.Form) {
		w.WriteHeader(f.Status)
		if f.Refusal != nil {
			_, _ = io.WriteString(w, string(f.Refusal.Reason))
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/signup/send", codes.SendHandler("/signup", page))
	mux.Handle("/signup", wk.UpgradeHandler(codes, page))
	mux.Handle("/mail/send", codes.SendHandler("/mail", page))
	mux.Handle("/mail", wk.SignInHandler(codes, page))
	mux.Handle("/signin", wk.SignInHandler(passwords, page))
	mux.Handle("/signout", wk.SignOutHandler())
	mux.Handle("/factor", wk.SignInHandler(factor, page))
	mux.Handle("/factor/up", wk.UpgradeHandler(factor, page))
	do := func(f func(http.ResponseWriter, *http.Request) (any, error)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer, err := f(w, r)
			if err != nil {
				wk.RefuseForm(w, r, err, page)
				return
			}
			_ = json.NewEncoder(w).Encode(answer)
		})
	}
	mux.Handle("/factor/begin", do(func(w http.ResponseWriter, r *http.Request) (any, error) { return nil, factor.Begin(w, r) }))
	mux.Handle("/factor/set-up", do(func(_ http.ResponseWriter, r *http.Request) (any, error) {
		key, uri, svg, ok, err := factor.SetUp(r)
		return []any{key, uri, svg, ok}, err
	}))
	mux.Handle("/factor/confirm", do(func(w http.ResponseWriter, r *http.Request) (any, error) { return factor.Confirm(w, r) }))
	mux.Handle("/factor/codes", do(func(w http.ResponseWriter, r *http.Request) (any, error) { return factor.NewCodes(w, r) }))
	mux.Handle("/factor/off", do(func(w http.ResponseWriter, r *http.Request) (any, error) { return nil, factor.TurnOff(w, r) }))
	mux.Handle("/pending", do(func(_ http.ResponseWriter, r *http.Request) (any, error) { return factor.Pending(r), nil }))
	mux.Handle("/hold", do(func(w http.ResponseWriter, r *http.Request) (any, error) {
		return nil, factor.Hold(w, r, walkin.Proof{Provider: "email", Subject: ann, Method: "pwd"})
	}))
	mux.Handle("/unlink", do(func(w http.ResponseWriter, r *http.Request) (any, error) {
		return nil, wk.Unlink(w, r, r.FormValue("provider"), r.FormValue("subject"))
	}))
	mux.Handle("/prove", do(func(w http.ResponseWriter, r *http.Request) (any, error) { // as a provider or a passkey does
		return wk.Continue(w, r, walkin.Proof{Provider: r.FormValue("provider"), Subject: r.FormValue("subject"), Method: r.FormValue("method")})
	}))
	mux.Handle("/value", do(func(w http.ResponseWriter, r *http.Request) (any, error) { // a handler of the app's own
		var in struct{ Name, Password, Code, Factor string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, err
		}
		var proof walkin.Proof
		var err error
		switch {
		case in.Name != "":
			proof, err = passwords.SignInWith(r, in.Name, in.Password)
		case in.Code != "":
			proof, err = codes.SignInWith(r, in.Code)
		default:
			proof, err = factor.SignInWith(r, in.Factor)
		}
		if err != nil {
			return nil, err
		}
		return wk.Continue(w, r, proof)
	}))
	mux.Handle("/delete", do(func(_ http.ResponseWriter, r *http.Request) (any, error) {
		c, _ := walkin.FromContext(r.Context())
		return nil, wk.DeleteUser(r.Context(), c.UserID)
	}))
	tell := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := walkin.FromContext(r.Context())
		_ = json.NewEncoder(w).Encode(c)
	})
	mux.Handle("/", tell)
	mux.Handle("/user", wk.RequireUser()(tell))
	mux.Handle("/permanent", wk.RequirePermanent()(tell))
	mux.Handle("/recent", wk.RequireRecent(time.Hour)(tell))
	return wk.Handler(mux), factor
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A browser is at one of the replicas, and turns to the other with each request.
type browser struct {
	*walkintest.Client
	s    *site
	turn int
	body string // of the last answer
	to   string // where it leads
}

func (s *site) browser() *browser {
	return &browser{Client: walkintest.NewClient(s.t, s.replicas[0]), s: s}
}

func (b *browser) read(r *http.Response) int {
	b.s.t.Helper()
	body, err := io.ReadAll(r.Body)
	ok(b.s.t, err)
	b.body, b.to = strings.TrimSpace(string(body)), r.Header.Get("Location")
	return r.StatusCode
}

func (b *browser) at() *walkintest.Client {
	b.turn++
	return b.On(b.s.replicas[b.turn%2])
}

func (b *browser) get(path string) int {
	b.s.t.Helper()
	return b.read(b.at().Fetch(path))
}

func (b *browser) post(path string, fields ...string) int {
	b.s.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.read(b.at().Post(path, form))
}

// want fails the test unless an answer is as it should be; reason is that of a refusal,
// or empty.
func (b *browser) want(got, want int, reason string) {
	b.s.t.Helper()
	if got != want || reason != "" && b.body != reason {
		b.s.t.Fatalf("got %d %q to %q, want %d %q", got, b.body, b.to, want, reason)
	}
}

func (b *browser) claims() (c walkin.Claims) {
	b.s.t.Helper()
	b.want(b.get("/"), 200, "")
	ok(b.s.t, json.Unmarshal([]byte(b.body), &c))
	return c
}

// isPermanent reports whether a browser is signed in.
func (b *browser) isPermanent() bool {
	c := b.claims()
	return c.UserID != uuid.Nil && !c.Anonymous
}

func (b *browser) signUp(address string) {
	b.s.t.Helper()
	b.want(b.post("/signup/send", "email", address, "password", secret), 303, "")
	b.want(b.post("/signup", "code", b.s.mailed(address)), 303, "")
}

func (b *browser) signIn(address, password string) int {
	return b.post("/signin", "email", address, "password", password)
}

// A phone makes codes.
type phone struct {
	key      string
	recovery []string
}

func (p *phone) code(t *testing.T) string {
	t.Helper()
	text, err := pquerna.GenerateCode(p.key, time.Now())
	ok(t, err)
	return text
}

// turnOn turns the factor on for the user of a browser.
func (b *browser) turnOn() *phone {
	b.s.t.Helper()
	b.want(b.post("/factor/begin"), 200, "")
	var p phone
	b.want(b.get("/factor/set-up"), 200, "")
	ok(b.s.t, json.Unmarshal([]byte(b.body), &[]any{&p.key}))
	b.want(b.post("/factor/confirm", "code", p.code(b.s.t)), 200, "")
	ok(b.s.t, json.Unmarshal([]byte(b.body), &p.recovery))
	return &p
}

// withFactor returns a new user's browser and phone, a time step later.
func (s *site) withFactor(address string) (*browser, *phone) {
	s.t.Helper()
	b := s.browser()
	b.signUp(address)
	p := b.turnOn()
	step()
	return b, p
}

// step waits for the next code.
func step() { time.Sleep(30 * time.Second) }

// half is a browser that has proven the password alone.
func (s *site) half(address string) *browser {
	s.t.Helper()
	b := s.browser()
	b.want(b.signIn(address, secret), 303, "")
	if !strings.HasPrefix(b.to, "/factor?return_to=") {
		s.t.Fatalf("a right password leads to %q", b.to)
	}
	return b
}

// nextCode is the code of the step after this one, which was not used yet.
func nextCode(key string) (string, error) {
	return pquerna.GenerateCode(key, time.Now().Add(30*time.Second))
}
