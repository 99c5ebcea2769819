// Package pages serves the pages of an account, ready to use: sign-up, sign-in, codes,
// confirming, sign-out, and the account page with its sign-in methods, sessions,
// download and deletion.
//
//	p, err := pages.New(wk, pages.Config{Name: "Margin", URL: "https://margin.example", Password: passwords, Code: codes})
//	…
//	mux.Handle("/account/", p) // inside of wk.Handler
//
// Only what is configured appears. Credentials are known by small interfaces, so an app
// without passkeys has no code of theirs. Set walkin.Config.Paths to
// "/account/sign-up", "/account/sign-in" and "/account/sign-out", and name "/account/"
// in its Credentials.
//
// # Its look
//
// One style sheet, made of CSS variables, light and dark. A site changes the variables
// in a style sheet of its own, see Config.Style; puts the pages into its own frame, see
// Config.Frame; or replaces a template, see Config.Templates. Everything works without
// JavaScript except passkeys, which need it.
//
// # Its words
//
// Every text comes from the catalogue of walkin.Config.Texts. [Languages] returns one
// for it that follows the browser's settings.
//
// # What it does not do
//
// It knows nothing of what the app stores about its users. The hook OnExport of
// walkin.Config adds that to the download, and foreign keys or other hooks delete it. No page shows in a frame
// of another site, unless Config.FrameAncestors allows it. It does not recover an
// account whose only sign-in method is lost.
package pages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/internal/response"
	"github.com/walkin-go/walkin/store"
)

// Password is package credential/password.
type Password interface {
	walkin.Credential

	// Provider names the identities whose secrets are passwords.
	Provider() string

	// MinLength is how many characters a new password has at least.
	MinLength() int

	// NewSecret reads a name and a new password from a form, and returns its hash.
	NewSecret(r *http.Request) ([]byte, error)
}

// Code is package credential/code, for e-mail.
type Code interface {
	walkin.Credential
	Pending(r *http.Request) (address string, ok bool)
	SendHandler(next string, page walkin.Page) http.Handler
	Links() http.Handler // the pages behind the links of its messages
}

// Passkeys is package credential/passkey.
type Passkeys interface {
	http.Handler
	Rename(w http.ResponseWriter, r *http.Request, id, name string) error

	// Describe reads what an identity of this package says about its key.
	Describe(identity store.Identity) (name string, usedAt time.Time, synced bool)
}

// Providers is package credential/oidc.
type Providers interface {
	// WithPage returns the handler of the sign-ins, which shows refusals on page.
	WithPage(page walkin.Page) http.Handler

	// Names are those of the providers, in order; Title is what visitors call one,
	// and Issuer the provider of its identities.
	Names() []string
	Title(name string) string
	Issuer(name string) string
}

// Handover is package credential/handover.
type Handover interface {
	// The browser that shows the code.
	Start(w http.ResponseWriter, r *http.Request) error
	Offered(r *http.Request) (stage, link, svg, device string, err error)
	Confirm(w http.ResponseWriter, r *http.Request, number string) error

	// The browser that opens it.
	Scan(w http.ResponseWriter, r *http.Request, code, device string) error
	Scanned(r *http.Request) (stage, number string, err error)
	Join(w http.ResponseWriter, r *http.Request, leave bool) error
}

// A Mailer delivers a mail to one address. [Preview] is one, and so is the Sender of
// credential/code/smtp.
type Mailer interface {
	Deliver(ctx context.Context, to, subject, text, html string) error
}

// Config says which pages there are. Name is required, and at least one of Password,
// Code, Passkeys and Providers.
type Config struct {
	// Name is what visitors call the site.
	Name string

	// URL is the site's, without a path, such as https://margin.example: for links in
	// mail. It is needed with Mail, and never taken from a request.
	URL string

	// Path is where browsers find the pages, with a slash at its end. Empty is
	// "/account/". SignUpPath, SignInPath and SignOutPath may be elsewhere: mount the
	// Pages there as well, and below the first two. Empty is "sign-up", "sign-in" and
	// "sign-out" below Path.
	Path, SignUpPath, SignInPath, SignOutPath string

	// Home is the local path of the site's front page. Empty is "/".
	Home string

	// The credentials. With Code, names are e-mail addresses that a code has proven,
	// and Password has its Config.Proven set. Mount Providers' URL and Code's Link
	// here: "provider/" and "code" below Path. Nil is not offered.
	Password  Password
	Code      Code
	Passkeys  Passkeys
	Providers Providers

	// Handover lets visitors without an account go on on a second device. Its Link is
	// "device/join" below Path. Nil is not offered.
	Handover Handover

	// SecondFactor is asked for after a password or a code, by users who turn it on.
	// Set its Config.Page to "factor" below Path. Nil offers none.
	SecondFactor SecondFactor

	// Mail sends notices to the addresses of an account that changed. Nil sends none.
	// Then addresses cannot be changed, since no notice would reach the old one.
	Mail Mailer

	// Device names the kind of browser that signs in, for the list of sessions:
	// "phone", "tablet", "computer", or words of the app's own. [Device] is one. Nil
	// keeps nothing about browsers.
	Device func(*http.Request) string

	// Lead returns words of the site's own for the head of a page, "signup", "signin"
	// or "signout", such as what an account is needed for, or what a visitor without
	// one would lose. They are plain text, in the visitor's language. If Lead is nil,
	// or its result empty, the package's own words show.
	Lead func(r *http.Request, page string) string

	// Style is the local path of a style sheet of the site's own, loaded after ours:
	// it sets variables such as --walkin-accent. Empty is none.
	Style string

	// Frame writes a page in the site's own frame. Nil is a plain one.
	Frame func(w io.Writer, r *http.Request, p Page) error

	// Templates replaces templates by files of the same name, such as signin.html;
	// see docs/pages.md. Nil replaces none.
	Templates fs.FS

	// Policy is the Content-Security-Policy of the pages, for a frame that needs more.
	// Empty is a policy without any unsafe- word that allows what the pages need; see
	// docs/pages.md.
	Policy string

	// FrameAncestors are the origins that may frame the pages, for a site with
	// walkin's Partitioned cookies. Nil is no site.
	FrameAncestors []string
}

// Pages are the pages. Make one with [New]. Its methods may be called concurrently; it
// starts no goroutine.
type Pages struct {
	wk        *walkin.Middleware
	cfg       Config
	templates map[string]*template.Template
	mux       *http.ServeMux
	policy    string // Content-Security-Policy
	styles    string // the address of ours, with its hash
}

// New returns Pages, or an error that lists everything wrong in cfg. From then on wk
// shows its own pages, such as refusals, in the same frame.
func New(wk *walkin.Middleware, cfg Config) (*Pages, error) {
	if wk == nil {
		return nil, errors.New("walkin: pages: New needs a middleware")
	}
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("walkin: pages: "+format, args...))
	}
	if cfg.Name == "" {
		mistake("Config.Name is required")
	}
	if cfg.Password == nil && cfg.Code == nil && cfg.Passkeys == nil && cfg.Providers == nil {
		mistake("Config needs at least one of Password, Code, Passkeys and Providers")
	}
	if cfg.Password != nil && (cfg.Password.Provider() == emailProvider) != (cfg.Code != nil) {
		mistake("Config.Password and Code do not fit: with Code set password.Config.Proven, without it leave it out")
	}
	if u, err := url.Parse(cfg.URL); cfg.URL != "" && (err != nil || u.Host == "" || u.Scheme+"://"+u.Host != cfg.URL) {
		mistake("Config.URL %q is not like https://margin.example", cfg.URL)
	}
	if cfg.Mail != nil && cfg.URL == "" {
		mistake("Config.URL is required with Mail")
	}
	setDefault(&cfg.Path, "/account/")
	if !strings.HasSuffix(cfg.Path, "/") {
		mistake("Config.Path %q has no slash at its end", cfg.Path)
	}
	setDefault(&cfg.SignUpPath, cfg.Path+"sign-up")
	setDefault(&cfg.SignInPath, cfg.Path+"sign-in")
	setDefault(&cfg.SignOutPath, cfg.Path+"sign-out")
	setDefault(&cfg.Home, "/")
	for name, path := range map[string]string{"Path": cfg.Path, "SignUpPath": cfg.SignUpPath, "SignInPath": cfg.SignInPath,
		"SignOutPath": cfg.SignOutPath, "Home": cfg.Home} {
		if u, err := url.Parse(path); err != nil || u.Path != path || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "{} \\") || strings.Contains(path, "//") {
			mistake("Config.%s %q is not a local path like /account/", name, path)
		}
	}
	if cfg.SecondFactor != nil && cfg.SecondFactor.Page() != cfg.Path+"factor" {
		mistake("Config.SecondFactor asks for codes at %q and not at %q", cfg.SecondFactor.Page(), cfg.Path+"factor")
	}
	templates, err := parse(cfg.Templates)
	if err != nil {
		mistake("Config.Templates: %w", err)
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	p := &Pages{wk: wk, cfg: cfg, templates: templates, policy: cmp.Or(cfg.Policy, policy(cfg)), styles: cfg.Path + "style.css?v=" + version(style)}
	if cfg.Frame == nil {
		p.cfg.Frame = p.plainFrame
	}
	p.route()
	wk.AttachFrame(p.plain)
	wk.AttachObserver(observe)
	return p, nil
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// The providers of the identities of credential/code and credential/passkey.
const (
	emailProvider   = "email"
	passkeyProvider = "passkey"
)

// route tells which handler serves which path.
func (p *Pages) route() {
	p.mux = http.NewServeMux()
	path, cfg := p.cfg.Path, p.cfg
	switch {
	case cfg.Code != nil:
		p.mux.Handle(cfg.SignUpPath, cfg.Code.SendHandler(cfg.SignUpPath+"/code", p.signUpPage))
		p.mux.Handle(cfg.SignUpPath+"/code", p.reserved(p.wk.UpgradeHandler(cfg.Code, p.codePage)))
		p.mux.Handle(cfg.SignInPath+"/send", cfg.Code.SendHandler(cfg.SignInPath+"/code", p.signInPage))
		p.mux.Handle(cfg.SignInPath+"/code", p.reserved(p.wk.SignInHandler(cfg.Code, p.codePage)))
		p.mux.Handle(path+"code", p.reserved(cfg.Code.Links()))
	case cfg.Password != nil:
		p.mux.Handle(cfg.SignUpPath, p.wk.UpgradeHandler(cfg.Password, p.signUpPage))
	default:
		p.mux.Handle("GET "+cfg.SignUpPath, p.wk.FormHandler(p.signUpPage, nil))
	}
	if cfg.Password != nil {
		p.mux.Handle(cfg.SignInPath, p.wk.SignInHandler(cfg.Password, p.signInPage))
	} else {
		p.mux.Handle("GET "+cfg.SignInPath, p.wk.FormHandler(p.signInPage, nil))
	}
	if cfg.Passkeys != nil {
		p.mux.Handle(path+"passkey/", cfg.Passkeys)
		p.mux.Handle("GET "+path+"add-passkey", p.page(p.addPasskey))
	}
	if cfg.Providers != nil {
		p.mux.Handle(path+"provider/", cfg.Providers.WithPage(p.providerPage))
		p.mux.Handle("GET "+path+"connect", p.member(false, p.connect))
	}
	if cfg.SecondFactor != nil {
		p.routeFactor()
	}
	p.mux.Handle("GET "+cfg.SignOutPath, p.page(p.signOutPage))
	p.mux.Handle("POST "+cfg.SignOutPath, p.takesJSON(p.page(p.signOut)))

	p.mux.Handle("GET "+path+"{$}", p.member(false, p.account))
	p.mux.Handle("POST "+path+"remove", p.member(true, p.remove))
	if cfg.Passkeys != nil {
		p.mux.Handle("POST "+path+"rename", p.member(false, p.rename))
	}
	if cfg.Password != nil {
		p.mux.Handle("POST "+path+"password", p.member(true, p.setPassword))
	}
	if p.changesEmail() {
		p.routeEmail()
	}
	if cfg.Handover != nil {
		p.routeDevice()
	}
	p.mux.Handle("POST "+path+"end-session", p.member(true, p.endSession))
	p.mux.Handle("POST "+path+"end-others", p.member(true, p.endOthers))
	p.mux.Handle("POST "+path+"download", p.member(true, p.download))
	p.mux.Handle("POST "+path+"delete", p.member(true, p.delete))
	p.mux.HandleFunc("GET "+path+"style.css", serveStyle)
	p.mux.Handle(path, p.page(func(http.ResponseWriter, *http.Request) error { return notFound() }))
}

// changesEmail reports whether an address can be replaced: by a code to the new one,
// and a notice with a way back to the old one.
func (p *Pages) changesEmail() bool { return p.cfg.Code != nil && p.cfg.Mail != nil }

// ServeHTTP serves the pages. They are private, and no cache keeps them.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/style.css") {
		response.NoStore(w.Header(), "private, no-store")
	}
	p.watch(w, r, p.mux)
}

func notFound() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusNotFound, Reason: walkin.ReasonNoRoute, Text: textNotFound}
}

// page lets a handler return its error, and answers it.
func (p *Pages) page(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := handle(w, r); err != nil {
			p.wk.Refuse(w, r, err)
		}
	})
}

const maxForm = 64 << 10 // bytes

// member is page for permanent users alone; recent asks for a fresh proof, and for a
// form of a page that was shown to this very user.
func (p *Pages) member(recent bool, handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	guard := p.wk.RequirePermanent()
	if recent {
		guard = p.wk.RequireRecent(p.wk.RecentProof())
	}
	guarded := guard(p.takesJSON(p.rendered(p.page(handle))))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := walkin.FromContext(r.Context()); ok && c.Anonymous && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
			// A visitor who looks for their account has one: not to the sign-up, where
			// the guard leads.
			http.Redirect(w, r, withQuery(p.cfg.SignInPath, "return_to", p.cfg.Path), http.StatusSeeOther)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// rendered refuses the post of a page that was shown to another user: one left open by
// the user before must not delete the account of the one who has signed in since.
func (p *Pages) rendered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			if err := p.wk.CheckRenderedFor(r); err != nil {
				p.wk.Refuse(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
