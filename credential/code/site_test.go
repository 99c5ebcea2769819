package code_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

const (
	ann      = "ann@example.com"
	eve      = "eve@example.net"
	secret   = "correct horse battery"
	eves     = "eve knows this one"
	cookie   = "__Host-walkin"
	sendPath = "/signin/send"
	linkURL  = "https://app.example/code"
)

// A mailbox is what was sent, to everybody.
type mailbox struct {
	mu   sync.Mutex
	all  []code.Message
	fail error
}

func (m *mailbox) Send(_ context.Context, message code.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.all = append(m.all, message)
	return nil
}

func (m *mailbox) sent() []code.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all)
}

// last returns the last message to an address.
func (m *mailbox) last(t *testing.T, to string) code.Message {
	t.Helper()
	for _, message := range slices.Backward(m.sent()) {
		if message.To == to {
			return message
		}
	}
	t.Fatalf("nothing was sent to %s", to)
	return code.Message{}
}

// A world is a site with codes, for e-mail and for phones, with passwords of
// both kinds, and with what it kept and sent.
type world struct {
	t       *testing.T
	store   *memstore.Store
	mail    *mailbox
	change  func(*code.Config)
	config  func(*walkin.Config)
	mu      sync.Mutex
	events  []walkin.Event
	limiter limit.Limiter
	over    store.Store // in front of store, for replicas from now on
}

func newWorld(t *testing.T) *world {
	return &world{t: t, store: memstore.New(), mail: &mailbox{}}
}

// replica returns one more instance of the site.
func (s *world) replica() http.Handler {
	s.t.Helper()
	cfg := walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a test's own thirty-two bytes of it")}}, Store: s.store,
		Paths: walkin.Paths{Upgrade: "/upgrade", SignIn: "/signin", Credentials: []string{sendPath, "/code", "/join", "/login", "/phone", "/ask", "/links", "/page", "/own/send"}},
		OnEvent: func(_ context.Context, e walkin.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	}
	cfg.Limiter = s.limiter
	if s.over != nil {
		cfg.Store = s.over
	}
	if s.config != nil {
		s.config(&cfg)
	}
	wk, err := walkin.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	passwords, err := password.New(wk, password.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	proven, err := password.New(wk, password.Config{Proven: true})
	if err != nil {
		s.t.Fatal(err)
	}
	codes := s.codes(wk, nil)
	joins := s.codes(wk, func(cfg *code.Config) { cfg.Secret = proven.NewSecret })
	phones := s.codes(wk, func(cfg *code.Config) { cfg.Kind = code.Phone })

	mux := http.NewServeMux()
	mux.Handle("/upgrade", wk.UpgradeHandler(codes, nil))
	mux.Handle("/signin", wk.SignInHandler(codes, nil))
	mux.Handle(sendPath, codes.SendHandler("/signin", nil))
	mux.Handle("/ask", codes.SendHandler("/signin?by=mail", nil))
	mux.Handle("/code", codes.LinkHandler(nil))
	mux.Handle("/links", codes.Links())
	mux.HandleFunc("/kept", func(w http.ResponseWriter, r *http.Request) {
		if codes.Links().ServeHTTP(w, r); r.Form != nil {
			s.t.Errorf("the page changes the request of its caller: %v", r.Form)
		}
	})
	mux.Handle("/page", codes.LinkHandler(func(w http.ResponseWriter, _ *http.Request, l code.Link) {
		w.WriteHeader(l.Status)
		fmt.Fprintf(w, "%s in %s, here %t, refused %t, to %s", l.Code, l.Field, l.Here, l.Refusal != nil, l.ReturnTo)
	}))
	mux.HandleFunc("/own/send", func(w http.ResponseWriter, r *http.Request) {
		if err := codes.Send(w, r, r.PostFormValue("email")); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	mux.Handle("/join/send", joins.SendHandler("/join", nil))
	mux.Handle("/join", wk.UpgradeHandler(joins, nil))
	mux.Handle("/login", wk.SignInHandler(proven, nil))
	mux.Handle("/password", wk.UpgradeHandler(passwords, nil))
	mux.Handle("/phone/send", phones.SendHandler("/phone", nil))
	mux.Handle("/phone", wk.UpgradeHandler(phones, nil))
	mux.Handle("/signout", wk.SignOutHandler())
	mux.HandleFunc("POST /out/{user}", func(w http.ResponseWriter, r *http.Request) {
		_ = wk.SignOutEverywhere(r.Context(), uuid.MustParse(r.PathValue("user")))
	})
	mux.HandleFunc("POST /delete/{user}", func(w http.ResponseWriter, r *http.Request) {
		_ = wk.DeleteUser(r.Context(), uuid.MustParse(r.PathValue("user")))
	})
	mux.HandleFunc("POST /unlink", func(w http.ResponseWriter, r *http.Request) {
		if err := wk.Unlink(w, r, "email", r.FormValue("email")); err != nil {
			wk.Refuse(w, r, err)
		}
	})
	mux.HandleFunc("GET /pending", func(w http.ResponseWriter, r *http.Request) {
		address, ok := codes.Pending(r)
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, address)
	})
	mux.HandleFunc("POST /act", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := walkin.FromContext(r.Context()); ok {
			w.Header().Set("X-User", c.UserID.String())
			if !c.Anonymous {
				w.Header().Set("X-Permanent", c.Method)
			}
		}
	}))
	return wk.Handler(mux)
}

func (s *world) codes(wk *walkin.Middleware, change func(*code.Config)) *code.Codes {
	s.t.Helper()
	cfg := code.Config{Sender: s.mail, Link: linkURL}
	for _, change := range []func(*code.Config){change, s.change} {
		if change != nil {
			change(&cfg)
		}
	}
	codes, err := code.New(wk, cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return codes
}

// reasons returns why visitors were refused, in order.
func (s *world) reasons() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var reasons []string
	for _, e := range s.events {
		if e.Outcome == walkin.Refused {
			reasons = append(reasons, string(e.Reason))
		}
	}
	return reasons
}

func (s *world) lastReason() string {
	reasons := s.reasons()
	if len(reasons) == 0 {
		return ""
	}
	return reasons[len(reasons)-1]
}

// owner returns who owns an address, or uuid.Nil.
func (s *world) owner(provider, subject string) uuid.UUID {
	s.t.Helper()
	identity, err := s.store.Identity(s.t.Context(), provider, subject)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.t.Fatal(err)
	}
	return identity.UserID
}

// A visitor is a browser at the site.
type visitor struct {
	*walkintest.Client
	s *world
}

// stranger returns a browser that was never here.
func (s *world) stranger(site http.Handler) visitor {
	return visitor{walkintest.NewClient(s.t, site), s}
}

// anonymous returns a browser whose user is stored, after an unsafe request.
func (s *world) anonymous(site http.Handler) visitor {
	v := s.stranger(site)
	v.Visit("/")
	v.Post("/act", nil)
	return v
}

func (v visitor) on(site http.Handler) visitor { return visitor{v.On(site), v.s} }

// ask asks for a code.
func (v visitor) ask(address string) *http.Response {
	v.s.t.Helper()
	return v.Post(sendPath, url.Values{"email": {address}})
}

// mustAsk asks for a code and returns the message.
func (v visitor) mustAsk(address string) code.Message {
	v.s.t.Helper()
	want(v.s.t, v.ask(address), http.StatusSeeOther)
	return v.s.mail.last(v.s.t, address)
}

// enter types a code in.
func (v visitor) enter(typed string) *http.Response {
	v.s.t.Helper()
	return v.Post("/upgrade", url.Values{"code": {typed}})
}

// whoami returns the visitor's user ID, and whether it is permanent.
func (v visitor) whoami() (id string, permanent bool) {
	v.s.t.Helper()
	response := v.Fetch("/whoami")
	return response.Header.Get("X-User"), response.Header.Get("X-Permanent") != ""
}

// must checks who the visitor is.
func (v visitor) must(id string, permanent bool) {
	v.s.t.Helper()
	if gotID, got := v.whoami(); gotID != id || got != permanent {
		v.s.t.Errorf("got user %s, permanent %v, want %s, %v", gotID, got, id, permanent)
	}
}

// plant gives another browser a copy of this one's cookies.
func (v visitor) plant() visitor {
	v.s.t.Helper()
	other := v.s.stranger(nil)
	for _, c := range v.Cookies() {
		other.SetCookie(c.Name, c.Value)
	}
	return other
}

func want(t *testing.T, response *http.Response, status int) {
	t.Helper()
	if response.StatusCode != status {
		t.Errorf("got %d %s, want %d", response.StatusCode, body(t, response), status)
	}
}

func body(t *testing.T, response *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// other returns a code that is not this one.
func other(typed string) string {
	return strings.Map(func(c rune) rune { return '0' + (c-'0'+1)%10 }, typed)
}

func contains(s string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

func form(name, value string) io.Reader {
	return strings.NewReader(url.Values{name: {value}}.Encode())
}

// from gives a visitor a network of their own.
func (v visitor) from(n int) visitor {
	return visitor{v.From(fmt.Sprintf("192.0.2.%d:1234", n+1)), v.s}
}
