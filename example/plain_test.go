package main

import (
	"context"
	"errors"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/admin"
	"github.com/walkin-go/walkin/challenge"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/handover"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/credential/totp"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/pages"
	"github.com/walkin-go/walkin/resume"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
)

// A plain is a site that has walkin's pages as they come, with everything that they can
// have.
type plain struct {
	*httptest.Server
	URL      string
	t        *testing.T
	store    *memstore.Store
	wk       *walkin.Middleware
	counters admin.Counters

	stale   atomic.Bool // every proof is an old one
	crowded atomic.Bool // no network may have another user
	slow    atomic.Bool // challenges stay unsolved
	wait    chan struct{}

	mu       sync.Mutex
	operator uuid.UUID
	codes    map[string]string // the last, by address
	mails    map[string]string // the last that is no code
	preview  *pages.Preview
}

func newPlain(t *testing.T) *plain {
	t.Helper()
	h := newUnstarted(t)
	p := &plain{Server: h.Server, URL: h.URL, t: t, store: memstore.New(), wait: make(chan struct{}), codes: map[string]string{}, mails: map[string]string{}}
	sample, err := newSampleID(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	fresh, stale := p.replica(sample, 10*time.Minute), p.replica(sample, time.Nanosecond)
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/favicon.ico":
			w.WriteHeader(http.StatusNoContent)
		case r.URL.Path == "/challenge/solved" && p.slow.Load():
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case <-r.Context().Done():
			case <-p.wait:
			}
		case strings.HasPrefix(r.URL.Path, sampleIDPath):
			sample.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, "/static/"):
			http.ServeFileFS(w, r, files, r.URL.Path[1:])
		case p.stale.Load():
			stale.ServeHTTP(w, r)
		default:
			fresh.ServeHTTP(w, r)
		}
	})
	p.Start()
	t.Cleanup(func() { close(p.wait); p.Close() })
	return p
}

// replica is a process of the site. What differs is how old a proof may be.
func (p *plain) replica(sample *sampleID, recent time.Duration) http.Handler {
	p.t.Helper()
	must := func(err error) {
		p.t.Helper()
		if err != nil {
			p.t.Fatal(err)
		}
	}
	isOperator := func(_ context.Context, id uuid.UUID) (bool, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return id == p.operator, nil
	}
	wk, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{{Secret: []byte("a secret that is only of this test")}}, Store: p.store, Cookies: walkin.Cookies{Insecure: true},
		Paths:    walkin.Paths{Upgrade: "/account/sign-up", SignIn: "/account/sign-in", SignOut: "/account/sign-out", Credentials: []string{"/account/"}},
		Texts:    pages.Languages(),
		Sessions: walkin.Sessions{RecentProof: recent},
		NewUsers: walkin.NewUsers{LimitOf: func(*http.Request) limit.Limit {
			if p.crowded.Load() {
				return limit.Limit{Count: 1, Per: time.Hour}
			}
			return limit.Limit{Count: -1}
		}},
		Impersonation: walkin.Impersonation{IsOperator: isOperator},
		OnEvent:       p.counters.OnEvent,
	})
	must(err)
	p.wk = wk
	passwords, err := password.New(wk, password.Config{Proven: true})
	must(err)
	codes, err := code.New(wk, code.Config{Sender: p, Link: p.URL + "/account/code", Secret: func(r *http.Request) ([]byte, error) {
		if r.URL.Path != "/account/sign-up" || r.PostFormValue("password") == "" {
			return nil, nil
		}
		return passwords.NewSecret(r)
	}})
	must(err)
	passkeys, err := passkey.New(wk, passkey.Config{RPID: "localhost", Origins: []string{p.URL}, DisplayName: "Plain"})
	must(err)
	providers, err := oidc.New(wk, oidc.Config{URL: p.URL + "/account/provider/", Providers: []oidc.Provider{sample.provider()}})
	must(err)
	if p.preview == nil {
		p.preview, err = pages.NewPreview(wk, nil)
		must(err)
	}
	factor, err := totp.New(wk, totp.Config{Issuer: "Plain", Page: "/account/factor"})
	must(err)
	handovers, err := handover.New(wk, handover.Config{Link: p.URL + "/account/device/join"})
	must(err)
	accounts, err := pages.New(wk, pages.Config{
		Name: "Plain", URL: p.URL, Password: passwords, Code: codes, Passkeys: passkeys, Providers: providers, SecondFactor: factor, Handover: handovers,
		Mail: p, Device: pages.Device,
	})
	must(err)
	keeper, err := resume.New(wk, resume.Config{})
	must(err)
	gate, err := challenge.New(wk, challenge.Config{})
	must(err)
	screen, err := admin.New(wk, admin.Config{Counters: &p.counters, Impersonate: true,
		May: func(ctx context.Context, c walkin.Claims) (bool, error) { return isOperator(ctx, c.UserID) }})
	must(err)
	mux := http.NewServeMux()
	mux.Handle("/account/", accounts)
	mux.Handle("/admin/", screen)
	mux.Handle("GET /resume", keeper)
	mux.Handle("/challenge/", gate)
	mux.Handle("/mail", p.preview)
	mux.Handle("POST /publish", keeper.RequirePermanent()(http.RedirectHandler("/", http.StatusSeeOther)))
	mux.HandleFunc("POST /write", func(w http.ResponseWriter, r *http.Request) {
		if _, err := wk.Ensure(w, r); err != nil {
			wk.Refuse(w, r, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'")
		_ = plainHome.Execute(w, template.HTML(wk.ImpersonationBanner(r)))
	})
	return wk.Handler(mux)
}

var plainHome = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Home</title>{{.}}<main><h1>Home</h1>
<form method="post" action="/write"><button id="write">Write</button></form>
<form method="post" action="/publish"><input type="hidden" name="text" value="A word I keep forgetting"><button id="publish">Publish</button></form></main>`))

// Send and Deliver keep the last mail to an address.
func (p *plain) Send(ctx context.Context, m code.Message) error {
	p.mu.Lock()
	p.codes[m.To] = m.Code
	p.mu.Unlock()
	subject, text, html := code.Compose("Plain", m)
	return p.preview.Deliver(ctx, m.To, subject, text, html)
}

func (p *plain) Deliver(ctx context.Context, to, subject, text, html string) error {
	p.mu.Lock()
	p.mails[to] = text
	p.mu.Unlock()
	return p.preview.Deliver(ctx, to, subject, text, html)
}

func (p *plain) code(address string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.codes[address]
}

var undoLink = regexp.MustCompile(`http\S+/account/undo\S+`)

func (p *plain) undo(address string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return undoLink.FindString(p.mails[address])
}

// promote makes the owner of an address the operator.
func (p *plain) promote(address string) error {
	identity, err := p.store.Identity(p.t.Context(), "email", address)
	if err != nil {
		return errors.Join(errors.New("there is no "+address), err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.operator = identity.UserID
	return nil
}

// hostile is a name that must stay a text. The console says so where a part of it is
// taken for something else.
const hostile = `"><script src="/x"></script><img src=x onerror=alert(1)>' {{.}}`

func (p *plain) addHostile() {
	p.t.Helper()
	now := time.Now()
	user := store.User{ID: uuid.Must(uuid.NewV7()), CreatedAt: now, SeenAt: now}
	err := p.store.CreateUser(p.t.Context(), user)
	if err == nil {
		err = p.store.CreateIdentity(p.t.Context(), store.Identity{Provider: hostile, Subject: hostile, UserID: user.ID, CreatedAt: now})
	}
	if err == nil {
		err = p.wk.Ban(p.t.Context(), user.ID, store.Ban{Reason: hostile})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}
