package walkin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/walkin-go/walkin/bot"
	"github.com/walkin-go/walkin/internal/localurl"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// Config configures a [Middleware]. Keys and Store are required. The zero value of
// every other field is a default for a server-rendered site.
type Config struct {
	// Keys sign and verify tokens: the first signs, all verify. Required. See
	// [KeyFile] for a start and [ParseJWKS] for several machines.
	Keys []Key

	// Store keeps users and sessions. Required. It is for one database: verified
	// tokens are cached, so a store that picked a database per request would let a
	// user of one read as themselves in another. Make one Middleware for each.
	Store store.Store

	// Cookies has the cookies' names and attributes. Zero is a __Host- cookie named
	// walkin, for this host and https.
	Cookies Cookies

	// Tokens has what is in a token and how long it is valid. Zero is 30 days from
	// the last visit.
	Tokens Tokens

	// Sessions has how long sessions last and how many a user has. Zero is 50
	// sessions without an absolute lifetime.
	Sessions Sessions

	// NewUsers has who becomes an anonymous user. Zero is every visitor who opens a
	// page, stored with their first write, 30 per network and hour.
	NewUsers NewUsers

	// Proxies has the proxies in front of the app. Zero trusts none.
	Proxies Proxies

	// Paths has where the app's pages are. Zero has none: refusals are plain pages.
	Paths Paths

	// Hooks are the app's part of an identity change, in its transaction. Zero has
	// none.
	Hooks Hooks

	// Conflict says what happens when an anonymous visitor proves the identity of
	// another user. Zero is ConflictMerge with Hooks.OnMerge and ConflictSignIn
	// without.
	Conflict Conflict

	// CrossOrigin has the origins that the app trusts, for a page on another origin
	// that calls this site: its requests create users and sign in as those of the
	// site's own pages do, see docs/single-page-apps.md. A path that its
	// AddInsecureBypassPattern names can sign in and out from anywhere, but creates
	// no user. Refusals are answered as all others, not by its deny handler. Nil is
	// http.NewCrossOriginProtection(), which trusts no other origin.
	CrossOrigin *http.CrossOriginProtection

	// Limiter counts new users, sign-ins, and what the packages made from the
	// middleware limit. If it fails, each process falls back to its own in-memory
	// limiter. Nil is limit.New(0): each replica counts for itself.
	Limiter limit.Limiter

	// Impersonation lets operators see the site as a user does. Zero lets none.
	Impersonation Impersonation

	// OnRefuse answers refused requests; Retry-After and Cache-Control are set
	// already. Nil is Refusal.ServeHTTP: a problem document for API clients, and a
	// page or a redirect for browsers.
	OnRefuse func(w http.ResponseWriter, r *http.Request, refusal *Refusal)

	// OnEvent is told what walkin does. It runs during the request and may be called
	// concurrently. Nil discards events.
	OnEvent func(ctx context.Context, e Event)

	// Texts chooses the language of a request: of refusals, and of the packages that
	// are made from the middleware. pages.Languages returns one that follows the
	// browser's settings. Nil is English.
	Texts func(*http.Request) *texts.Catalogue

	// Logger gets failures and warnings. Nil discards them.
	Logger *slog.Logger

	// CacheSize is how many verified tokens are cached, at about 1 KB each. Zero is
	// 32,768; the minimum is 256.
	CacheSize int
}

const (
	maxLifetime     = 400 * 24 * time.Hour
	defaultNewUsers = 30
	defaultSessions = 50

	defaultIssuer = "walkin" // and audience
)

// fillIn puts the defaults of what has one and is no part's own.
func (cfg *Config) fillIn() {
	orDefault(&cfg.Tokens.Lifetime, 30*24*time.Hour)
	orDefault(&cfg.Tokens.RenewAfter, min(24*time.Hour, cfg.Tokens.Lifetime/2))
	orDefault(&cfg.Sessions.RecheckAfter, 30*time.Second)
	orDefault(&cfg.Sessions.RecentProof, 10*time.Minute)
	orDefault(&cfg.Tokens.Issuer, defaultIssuer)
	orDefault(&cfg.Tokens.Audience, defaultIssuer)
	orDefault(&cfg.CacheSize, 1<<15)
	if cfg.Conflict == 0 && cfg.Hooks.OnMerge != nil {
		cfg.Conflict = ConflictMerge
	}
	if cfg.CrossOrigin == nil {
		cfg.CrossOrigin = http.NewCrossOriginProtection()
	}
	if cfg.NewUsers.IsBot == nil {
		cfg.NewUsers.IsBot = bot.Is
	}
	cfg.Paths.Base = strings.TrimSuffix(cfg.Paths.Base, "/")
	cfg.Paths.Credentials = slices.Clone(cfg.Paths.Credentials)
	cfg.Keys = slices.Clone(cfg.Keys)
}

// configErrors collects what is wrong with a Config.
type configErrors []error

func (all *configErrors) add(format string, args ...any) {
	*all = append(*all, fmt.Errorf("walkin: "+format, args...))
}

// check names what is wrong with what is no part's own.
func (cfg *Config) check() error {
	var wrong configErrors
	if cfg.Store == nil {
		wrong.add("Config.Store is nil; store/memstore has one for a first try")
	}
	if cfg.NewUsers.Mint > MintOff {
		wrong.add("Config.NewUsers.Mint is %d, which is none of the constants", cfg.NewUsers.Mint)
	}
	if cfg.Conflict > ConflictReject {
		wrong.add("Config.Conflict is %d, which is none of the constants", cfg.Conflict)
	}
	if cfg.Conflict == ConflictMerge && cfg.Hooks.OnMerge == nil {
		wrong.add("Config.Conflict is ConflictMerge without an OnMerge that moves the data")
	}
	if cfg.CacheSize < 0 {
		wrong.add("Config.CacheSize is %d, which is negative", cfg.CacheSize)
	}
	return errors.Join(errors.Join(wrong...), cfg.checkTimes(), cfg.checkPaths())
}

func (cfg *Config) checkTimes() error {
	var wrong configErrors
	if cfg.Tokens.Lifetime < time.Minute || cfg.Tokens.Lifetime > maxLifetime {
		wrong.add("Config.Tokens.Lifetime is %v, not between a minute and 400 days", cfg.Tokens.Lifetime)
	}
	if cfg.Sessions.Lifetime != 0 && cfg.Sessions.Lifetime < time.Minute {
		wrong.add("Config.Sessions.Lifetime is %v, less than a minute", cfg.Sessions.Lifetime)
	}
	if cfg.Tokens.RenewAfter <= 0 || cfg.Tokens.RenewAfter >= cfg.Tokens.Lifetime {
		wrong.add("Config.Tokens.RenewAfter is %v, not between 0 and the lifetime %v", cfg.Tokens.RenewAfter, cfg.Tokens.Lifetime)
	}
	if cfg.Sessions.RecheckAfter < 0 || cfg.Sessions.RecheckAfter > cfg.Tokens.Lifetime {
		wrong.add("Config.Sessions.RecheckAfter is %v, not between 0 and the lifetime %v", cfg.Sessions.RecheckAfter, cfg.Tokens.Lifetime)
	}
	if cfg.Sessions.RecentProof < 0 {
		wrong.add("Config.Sessions.RecentProof is %v, which is negative", cfg.Sessions.RecentProof)
	}
	return errors.Join(wrong...)
}

func (cfg *Config) checkPaths() error {
	var wrong configErrors
	for name, path := range map[string]string{"Paths.Upgrade": cfg.Paths.Upgrade, "Paths.SignIn": cfg.Paths.SignIn, "Paths.SignOut": cfg.Paths.SignOut} {
		if path != "" && localurl.Path(path, "") == "" {
			wrong.add("Config.%s %q is not a local path like /sign-up", name, path)
		}
	}
	for i, path := range cfg.Paths.Credentials {
		if localurl.Path(path, "") == "" || path == "/" || strings.ContainsAny(path, "?#") {
			wrong.add("Config.Paths.Credentials[%d] %q is not a local path like /passkey/", i, path)
		}
	}
	if cfg.Paths.Base != "" && (localurl.Path(cfg.Paths.Base, "") == "" || strings.ContainsAny(cfg.Paths.Base, "?#%")) {
		wrong.add("Config.Paths.Base %q is not a local path like /app", cfg.Paths.Base)
	}
	return errors.Join(wrong...)
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func validDomain(s string) bool {
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(labels) > 1 && strings.Trim(last, "0123456789") != "" // not an IP address
}
