// Margin is a small site that shows walkin at work: anybody writes notes at
// once, publishing one takes an account, and whoever makes an account keeps
// all that they wrote before.
//
//	go run ./example
//
// This file wires it up and is the one to read first. notes.go stores the notes
// under a user ID, and pages.go shows them to whoever walkin says is there.
// account.go has the forms by which a guest gets an account, and the page on
// which its owner looks after it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/challenge"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/quota"
	"github.com/walkin-go/walkin/resume"
	"github.com/walkin-go/walkin/store/sqlstore"
)

func main() {
	var cfg config
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.StringVar(&cfg.file, "db", "walkin-example.db", "SQLite `file`; it is made when it is not there")
	flag.StringVar(&cfg.url, "url", "", "`URL` of the site; http://localhost with the port when empty")
	flag.BoolVar(&cfg.crowded, "crowded", false, "act as on a crowded network: from the third new writer on, a browser proves that it works for it")
	flag.Parse()
	cfg.mail = os.Stdout
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for anybody
	if err := run(ctx, *addr, cfg, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

// A config is what may differ from one Margin to the next.
type config struct {
	file    string    // of the database
	url     string    // without a path: "http://localhost:8080"
	crowded bool      // one address may make two rows, and works for more
	mail    io.Writer // where mail is written to instead of being sent
}

// open builds the site on a database file. Close the database when done.
func open(ctx context.Context, cfg config) (*site, io.Closer, error) {
	db, err := openDatabase(cfg.file)
	if err != nil {
		return nil, nil, err
	}
	s, err := build(ctx, db, cfg)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return s, db, nil
}

// build is the part to read: the wiring of a site with walkin.
func build(ctx context.Context, db database, cfg config) (*site, error) {
	base, err := url.Parse(cfg.url)
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.New(sqlstore.Config{Dialect: sqlstore.SQLite, DB: db.write, Reader: db.read})
	if err != nil {
		return nil, err
	}
	notes := &notes{db}
	if err := store.Migrate(ctx); err != nil {
		return nil, err
	}
	if err := notes.migrate(ctx); err != nil {
		return nil, err
	}
	keys, err := walkin.KeyFile(cfg.file + ".key") // made on the first start; without it nobody is who they were
	if err != nil {
		return nil, err
	}
	s := &site{notes: notes, store: store, mail: cfg.mail, url: cfg.url}
	crowd := limit.Limit{} // walkin's own
	if cfg.crowded {
		crowd = limit.Limit{Count: 2, Per: time.Hour}
	}
	wk, err := walkin.New(walkin.Config{
		Keys:  keys,
		Store: store,
		Cookies: walkin.Cookies{
			Insecure: base.Scheme == "http", // on localhost
		},
		Paths: walkin.Paths{
			Upgrade:     "/upgrade",
			SignIn:      "/signin",
			Credentials: []string{"/upgrade/", "/signin/", "/code", "/passkey/", "/auth/"},
		},
		Hooks: walkin.Hooks{
			OnUpgrade: func(ctx context.Context, c walkin.Change) error {
				// Whoever came by a provider has a name there.
				p, _ := oidc.ProfileFrom(ctx)
				return notes.keepName(ctx, c.UserID, p.Name)
			},
			OnMerge: func(ctx context.Context, c walkin.Change) error {
				// Somebody wrote here as a guest, and then signed in to the account
				// that they have had all along.
				return notes.move(ctx, c.GuestID, c.UserID)
			},
		},
		NewUsers: walkin.NewUsers{Limit: crowd},
		OnRefuse: s.refused, // in the site's own dress

		OnEvent: s.event,
		Logger:  slog.Default(),
	})
	if err != nil {
		return nil, err
	}
	s.wk = wk
	// On a crowded network a browser has to work before its visitor is a row.
	gate, err := challenge.New(wk, challenge.Config{})
	if err != nil {
		return nil, err
	}

	// Four ways to an account, and back to it. An address is proven by a code; a
	// password that was typed with it signs in from then on.
	passwords, err := password.New(wk, password.Config{Proven: true})
	if err != nil {
		return nil, err
	}
	codes, err := code.New(wk, code.Config{
		Sender: code.Print(cfg.mail), // in production: credential/code/smtp
		Link:   cfg.url + "/code",
		Secret: func(r *http.Request) ([]byte, error) {
			if r.URL.Path != "/upgrade" || r.PostFormValue("password") == "" {
				return nil, nil // a code each time does as well
			}
			return passwords.NewSecret(r)
		},
	})
	if err != nil {
		return nil, err
	}
	passkeys, err := passkey.New(wk, passkey.Config{
		RPID: base.Hostname(), Origins: []string{cfg.url}, DisplayName: "Margin",
		UserName: s.name,
	})
	if err != nil {
		return nil, err
	}
	sample, err := newSampleID(cfg.url)
	if err != nil {
		return nil, err
	}
	s.providers = append([]oidc.Provider{sample.provider()}, realProviders()...)
	sso, err := oidc.New(wk, oidc.Config{
		URL:       cfg.url + "/auth/",
		Providers: s.providers,
		Page:      s.providerPage,
	})
	if err != nil {
		return nil, err
	}
	s.passwords, s.codes, s.passkeys = passwords, codes, passkeys

	// A guest who publishes is sent to make an account, and what they were about
	// to do is kept for them meanwhile.
	keeper, err := resume.New(wk, resume.Config{Page: s.resumePage})
	if err != nil {
		return nil, err
	}
	// A guest may try out three downloads a day, and with new cookies no more than
	// a house full of guests.
	s.downloads, err = quota.New(wk, quota.Config{
		UpgradeURL: "/upgrade?for=downloads",
		Name:       "download", Limit: 3, Within: 24 * time.Hour,
		By: quota.PerUser | quota.PerNetwork, NetworkLimit: 60,
	})
	if err != nil {
		return nil, err
	}
	// Nor may a robot fill the disk, with a guest's cookie or an account's.
	s.writing, err = quota.New(wk, quota.Config{
		Name: "write", Limit: 100, Within: 24 * time.Hour,
		By: quota.PerUser | quota.PerNetwork, NetworkLimit: 1000, PermanentLimit: 1000,
		Message: "You have written very much today, and Margin takes no more for now. Copy your text and come back tomorrow. " +
			"With an account there is more room; what you wrote before stays yours either way.",
	})
	if err != nil {
		return nil, err
	}

	user, permanent, recent := wk.RequireUser(), wk.RequirePermanent(), wk.RequireRecent(recently)

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", s.page(s.home))
	mux.Handle("POST /notes", s.page(s.addNote))
	mux.Handle("GET /p/{id}", s.page(s.publicNote))
	mux.Handle("GET /notes/{id}", user(s.page(s.editNote)))
	mux.Handle("POST /notes/{id}", user(s.page(s.editNote)))
	mux.Handle("POST /notes/{id}/delete", user(s.page(s.deleteNote)))
	mux.Handle("POST /notes/{id}/publish", keeper.RequirePermanent()(s.page(s.publish)))
	mux.Handle("GET /resume", keeper)
	mux.Handle("POST /notes/{id}/unpublish", permanent(s.page(s.unpublish)))
	mux.Handle("POST /download", user(s.downloads.Require()(s.page(s.download))))

	mux.Handle("/upgrade", codes.SendHandler("/upgrade/code", s.upgradePage))
	mux.Handle("/upgrade/code", wk.UpgradeHandler(codes, s.codePage))
	mux.Handle("/signin", wk.SignInHandler(passwords, s.signInPage))
	mux.Handle("/signin/send", codes.SendHandler("/signin/code", s.signInPage))
	mux.Handle("/signin/code", wk.SignInHandler(codes, s.codePage))
	mux.Handle("/code", codes.LinkHandler(s.linkPage))
	mux.Handle("/passkey/", passkeys)
	mux.Handle("/auth/", sso)
	mux.Handle("GET /signout", s.page(s.signOutPage))
	mux.Handle("POST /signout", wk.SignOutHandler())

	mux.Handle("GET /account", permanent(s.page(s.account)))
	mux.Handle("POST /account/remove", recent(s.page(s.removeWay)))
	mux.Handle("POST /account/rename", permanent(s.page(s.renameKey)))
	mux.Handle("POST /account/password", recent(s.page(s.setPassword)))
	mux.Handle("POST /account/signout", permanent(s.page(s.signOutEverywhere)))
	mux.Handle("POST /account/delete", recent(s.page(s.deleteAccount)))
	mux.Handle("GET /whoami", user(s.page(s.whoami)))
	mux.Handle("GET /.well-known/jwks.json", wk.JWKSHandler())

	mux.Handle("GET /notes", http.RedirectHandler("/", http.StatusSeeOther)) // the address after a refused note
	mux.HandleFunc("GET /static/{file}", static)
	mux.Handle("/", s.page(func(http.ResponseWriter, *http.Request) error { return errNoNote }))

	// walkin refuses what other sites send to its own forms; this refuses what
	// they send to ours.
	inside := http.NewCrossOriginProtection().Handler(mux)

	outside := http.NewServeMux() // what makes nobody a user
	outside.Handle("/challenge/", gate)
	outside.Handle(sampleIDPath, sample)
	outside.Handle("/", wk.Handler(inside)) // one line, and every visitor is somebody
	s.Handler = headers(s.providers, oneHost(base, outside))
	return s, nil
}

// realProviders are those that the environment has a client for. Their callbacks
// are /auth/callback/google and /auth/callback/github.
func realProviders() []oidc.Provider {
	var providers []oidc.Provider
	if id := os.Getenv("GOOGLE_CLIENT_ID"); id != "" {
		providers = append(providers, oidc.Provider{
			Name: "google", Issuer: "https://accounts.google.com",
			ClientID: id, ClientSecret: os.Getenv("GOOGLE_CLIENT_SECRET"), VerifiesEmail: true,
		})
	}
	if id := os.Getenv("GITHUB_CLIENT_ID"); id != "" {
		providers = append(providers, oidc.GitHub(id, os.Getenv("GITHUB_CLIENT_SECRET")))
	}
	return providers
}
