// Margin is a small site that shows walkin at work. Anybody writes notes at once, and
// publishing one takes an account. A visitor who makes an account keeps all that they
// wrote before, because their user ID stays the same: every page shows it.
//
//	go run ./example -admin you@example.com
//
// This file wires it up and is the one to read. notes.go stores the notes under a user
// ID and knows nothing of accounts. pages.go shows them to the user whom walkin names.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
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
	"github.com/walkin-go/walkin/quota"
	"github.com/walkin-go/walkin/resume"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/sqlstore"
)

func main() {
	var cfg config
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.StringVar(&cfg.file, "db", "walkin-example.db", "SQLite `file`; it is made when it is not there")
	flag.StringVar(&cfg.url, "url", "", "`URL` of the site; http://localhost with the port when empty")
	flag.BoolVar(&cfg.crowded, "crowded", false, "behave as on a crowded network: from the third new writer on, a browser proves that it works for it")
	flag.StringVar(&cfg.admin, "admin", "", "e-mail `address` of who may see /admin/, once they have an account with it")
	flag.Parse()
	cfg.mail = os.Stdout
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	if err := run(ctx, *addr, cfg, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

// A config is what may differ from one Margin to the next.
type config struct {
	file    string    // of the database
	url     string    // without a path: "http://localhost:8080"
	crowded bool      // one network may have two new users, and works for more
	admin   string    // the address of the operator; empty is none
	mail    io.Writer // where mail is written to instead of being sent

	providers []oidc.Provider // beside those of the environment
}

// A site is the pages with notes. They never ask how a visitor came to be who they are.
type site struct {
	http.Handler
	wk       *walkin.Middleware
	notes    *notes
	accounts *pages.Pages
	writing  *quota.Quota
}

// build is the part to read: the wiring of a site with walkin.
func build(ctx context.Context, db *sql.DB, cfg config) (*site, error) {
	base, err := url.Parse(cfg.url)
	if err != nil {
		return nil, err
	}
	users, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: db})
	if err != nil {
		return nil, err
	}
	s := &site{notes: &notes{db}}
	if err := users.Migrate(ctx); err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, err
	}
	keys, err := walkin.KeyFile(cfg.file + ".key") // made on the first start; without it all visitors are strangers
	if err != nil {
		return nil, err
	}
	newUsers := limit.Limit{} // walkin's own
	if cfg.crowded {
		newUsers = limit.Limit{Count: 2, Per: time.Hour}
	}

	// Whoever has proven this address sees /admin/, and Margin as its users do.
	isOperator := func(ctx context.Context, id uuid.UUID) (bool, error) {
		identity, err := users.Identity(ctx, "email", strings.ToLower(cfg.admin))
		if errors.Is(err, store.ErrNotFound) {
			return false, nil // also without an address
		}
		return err == nil && identity.UserID == id, err
	}
	var counters admin.Counters

	// One middleware, and every visitor has a user ID. It is the same after a sign-up.
	wk, err := walkin.New(walkin.Config{
		Keys:    keys,
		Store:   users,
		Cookies: walkin.Cookies{Insecure: base.Scheme == "http"}, // on localhost
		Paths: walkin.Paths{
			Upgrade: "/upgrade", SignIn: "/signin", SignOut: "/signout",
			Credentials: []string{"/upgrade/", "/signin/", "/account/"},
		},
		Hooks: walkin.Hooks{
			OnMerge: func(ctx context.Context, c walkin.Change) error {
				// A visitor wrote here, and then signed in to an account that they had.
				return s.notes.move(ctx, c.AnonymousID, c.UserID)
			},
			OnExport: func(ctx context.Context, id uuid.UUID) (any, error) { return s.notes.of(ctx, id) },
		},
		NewUsers:      walkin.NewUsers{Limit: newUsers},
		Impersonation: walkin.Impersonation{IsOperator: isOperator},
		Texts:         pages.Languages(),
		OnRefuse:      s.refused, // gives back what they wrote
		OnEvent: func(ctx context.Context, e walkin.Event) {
			counters.OnEvent(ctx, e)
			event(ctx, e)
		},
	})
	if err != nil {
		return nil, err
	}
	s.wk = wk

	// Four ways to an account, and back to it. An address is proven by a code; a password
	// that was typed with it signs in from then on.
	mail, err1 := newMail(wk, cfg)
	passwords, err2 := password.New(wk, password.Config{Proven: true})
	codes, err3 := code.New(wk, code.Config{
		Sender: mail, // in production: credential/code/smtp
		Link:   cfg.url + "/account/code",
		Secret: func(r *http.Request) ([]byte, error) {
			if r.URL.Path != "/upgrade" || r.PostFormValue("password") == "" {
				return nil, nil // a code each time does as well
			}
			return passwords.NewSecret(r)
		},
	})
	passkeys, err4 := passkey.New(wk, passkey.Config{
		RPID: base.Hostname(), Origins: []string{cfg.url}, DisplayName: "Margin", UserName: s.name,
	})
	providers, err5 := newProviders(wk, cfg)
	// A user may ask for a second factor, and a visitor without an account go on on a phone.
	factor, err6 := totp.New(wk, totp.Config{Issuer: "Margin", Page: "/account/factor"})
	handovers, err7 := handover.New(wk, handover.Config{Link: cfg.url + "/account/device/join"})
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return nil, err
	}

	// All pages of an account, in Margin's own frame. A visitor who publishes without an
	// account is sent to make one, and what they were about to do is kept for them. On a
	// crowded network their browser works for its first note. Anonymous users write a hundred
	// notes a day. The operator has a screen.
	s.accounts, err1 = pages.New(wk, pages.Config{
		Name: "Margin", URL: cfg.url, SignUpPath: "/upgrade", SignInPath: "/signin", SignOutPath: "/signout",
		Password: passwords, Code: codes, Passkeys: passkeys, Providers: providers,
		SecondFactor: factor, Handover: handovers,
		Mail: mail, Device: pages.Device, Frame: s.frame, Lead: s.lead,
	})
	keeper, err2 := resume.New(wk, resume.Config{Page: s.resumePage})
	gate, err3 := challenge.New(wk, challenge.Config{})
	s.writing, err4 = quota.New(wk, quota.Config{
		Name: "write", Limit: 100, Within: 24 * time.Hour,
		By: quota.PerUser | quota.PerNetwork, NetworkLimit: 1000, PermanentLimit: 1000,
		Message: "You have written very much today, and Margin takes no more for now. Copy your text and come back tomorrow. " +
			"With an account there is more room; what you wrote before stays yours either way.",
	})
	screen, err5 := admin.New(wk, admin.Config{Counters: &counters, Impersonate: true,
		May: func(ctx context.Context, c walkin.Claims) (bool, error) { return isOperator(ctx, c.UserID) }})
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}

	user := wk.RequireUser()
	mux := http.NewServeMux()
	for _, path := range []string{"/account/", "/upgrade", "/upgrade/", "/signin", "/signin/", "/signout"} {
		mux.Handle(path, s.accounts)
	}
	mux.Handle("/admin/", screen)
	mux.Handle("GET /{$}", s.page(s.home))
	mux.Handle("POST /notes", s.page(s.addNote))
	mux.Handle("GET /p/{id}", s.page(s.publicNote))
	mux.Handle("POST /notes/{id}/delete", user(s.page(s.deleteNote)))
	mux.Handle("POST /notes/{id}/publish", keeper.RequirePermanent()(s.page(s.publish)))
	mux.Handle("GET /resume", keeper)
	mux.Handle("GET /whoami", user(http.HandlerFunc(whoami)))
	mux.Handle("GET /.well-known/jwks.json", wk.JWKSHandler())
	mux.Handle("GET /notes", http.RedirectHandler("/", http.StatusSeeOther)) // the address after a refused note
	mux.Handle("GET /static/{file}", http.FileServerFS(files))
	mux.Handle("/", s.page(func(http.ResponseWriter, *http.Request) error { return errNoNote }))

	// walkin refuses what other sites send to its own forms; this refuses what they send
	// to ours.
	inside := http.NewCrossOriginProtection().Handler(mux)

	outside := http.NewServeMux() // what makes no visitor a user
	outside.Handle("/challenge/", gate)
	if mail.preview != nil {
		outside.Handle("/mail", mail.preview)
	}
	outside.Handle("/", wk.Handler(inside)) // one line, and every visitor has a user
	s.Handler = headers(oneHost(base, outside))
	return s, nil
}

// whoami shows that the user ID is the same before and after a sign-up.
func whoami(w http.ResponseWriter, r *http.Request) {
	c, _ := walkin.FromContext(r.Context())
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":%q,"is_anonymous":%t}`+"\n", c.UserID, c.Anonymous)
}

// newProviders are those that the environment has a client for. Their callbacks are
// /account/provider/callback/google and /account/provider/callback/github.
func newProviders(wk *walkin.Middleware, cfg config) (pages.Providers, error) {
	all := slices.Clone(cfg.providers)
	if id := os.Getenv("GOOGLE_CLIENT_ID"); id != "" {
		all = append(all, oidc.Provider{Name: "google", Issuer: "https://accounts.google.com",
			ClientID: id, ClientSecret: os.Getenv("GOOGLE_CLIENT_SECRET"), VerifiesEmail: true})
	}
	if id := os.Getenv("GITHUB_CLIENT_ID"); id != "" {
		all = append(all, oidc.GitHub(id, os.Getenv("GITHUB_CLIENT_SECRET")))
	}
	if len(all) == 0 {
		return nil, nil // no button
	}
	return oidc.New(wk, oidc.Config{URL: cfg.url + "/account/provider/", Providers: all})
}

// Mail is printed, and shown at /mail to the developer at this machine.
type mail struct {
	out     io.Writer
	preview *pages.Preview
}

func newMail(wk *walkin.Middleware, cfg config) (mail, error) {
	if strings.HasPrefix(cfg.url, "https:") {
		return mail{out: cfg.mail}, nil // no preview where strangers are
	}
	preview, err := pages.NewPreview(wk, slog.Default())
	return mail{cfg.mail, preview}, err
}

func (m mail) show(ctx context.Context, to, subject, text, html string) error {
	if m.preview == nil {
		return nil
	}
	return m.preview.Deliver(ctx, to, subject, text, html)
}

// Send is for codes.
func (m mail) Send(ctx context.Context, message code.Message) error {
	subject, text, html := code.Compose("Margin", message)
	return errors.Join(code.Print(m.out).Send(ctx, message), m.show(ctx, message.To, subject, text, html))
}

// Deliver is for notices.
func (m mail) Deliver(ctx context.Context, to, subject, text, html string) error {
	fmt.Fprintf(m.out, "To %s: %s\n", to, subject)
	return m.show(ctx, to, subject, text, html)
}
