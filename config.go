package walkin

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/clientip"
	"github.com/walkin-go/walkin/internal/localurl"
	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/internal/tokencache"
	"github.com/walkin-go/walkin/limit"
)

// Config says how walkin behaves. Keys and Store are required; the zero value
// of everything else is a default that suits a server-rendered site.
type Config struct {
	// Keys sign and verify tokens: the first signs, all verify. Required; see
	// [KeyFile] for a start and [ParseJWKS] for several machines.
	Keys []Key

	// Store keeps users and sessions. Required. It is over one database: tokens
	// are remembered by themselves, so one that picked a database for each request
	// would let a user of one read as themselves in another. Make a Middleware for
	// each.
	Store Store

	// Mint says when a visitor gets a user. Zero is MintOnVisit.
	Mint Mint

	// PersistOnMint makes a row with every mint rather than at the first
	// act. Every visitor, and every bot that passes for one, is then a row.
	PersistOnMint bool

	// Lifetime is how long a user who stays away is remembered: the life of
	// a token from its last renewal. Zero is 30 days; 400 days, the most
	// that browsers keep a cookie (RFC 6265bis), is the limit. An anonymous
	// user who stays away longer cannot come back.
	Lifetime time.Duration

	// SessionLifetime is how long a session lasts at most, from the proof or the
	// first visit that opened it, however often its token is renewed (ASVS 7.3.2):
	// afterwards a permanent user signs in again, and an anonymous one cannot
	// come back. Zero is no limit; a minute is the least.
	SessionLifetime time.Duration

	// RenewAfter is the age from which a token is issued anew, at most once
	// for all of it. Zero is a day, or half of a shorter Lifetime.
	RenewAfter time.Duration

	// RecheckAfter is how long a safe request may trust an earlier look at
	// the store, and so how long a token that was superseded on another
	// replica may still read. Zero is 30 seconds.
	RecheckAfter time.Duration

	// NoRevival keeps users whom the store has never heard of from coming back.
	// The store has lost them, in a restore from a backup for example: false lets
	// an anonymous one go on under their ID with their next write, and a permanent
	// one who proves an identity get theirs back. What was deleted, or ended by
	// EndSessionsBefore, never comes back.
	NoRevival bool

	// Issuer and Audience are the "iss" and "aud" of tokens, checked in
	// every one. Empty is "walkin". Apps that share a key need different
	// ones. They are part of the cookies' default name.
	Issuer   string
	Audience string

	// CookieName is the name of the permanent cookie without its prefix; the
	// others are named after it. Empty is "walkin", with a short hash behind
	// it where Issuer, Audience or Insecure is set, so that apps do not find
	// each other's cookies on a host that they share. It must not end in
	// -anon, -bind or -chips. After a change, see FormerCookies.
	CookieName string

	// FormerCookies keeps the visitors when CookieName, Domain or Partitioned
	// changes: what the cookies were like before. A cookie of before is read
	// only in a request without a cookie of today, and is replaced at once.
	// An entry does nothing once Lifetime has passed since its ChangedAt.
	FormerCookies []FormerCookie

	// Insecure leaves out the cookies' Secure attribute and __Host- prefix,
	// so that they work over plain http. For development on localhost only:
	// anybody on the way can take such a cookie. Since all apps on localhost
	// share one set of cookies, whatever their ports, the default name has a
	// hash of the program's module and package in it.
	Insecure bool

	// Domain shares the cookies with all subdomains of a domain. Empty, the
	// default, keeps them to this very host. With it the cookies lose the
	// __Host- prefix, and every subdomain can read a visitor's token and
	// plant its own.
	Domain string

	// Partitioned makes walkin work in a cross-site iframe: the cookies are
	// partitioned by the embedding site (CHIPS) and SameSite=None, and such
	// an iframe may mint. Needs Secure cookies.
	Partitioned bool

	// CrossOrigin has the origins that the app trusts, for a page on another
	// origin that calls this site: its requests create users and sign in as those
	// of the site's own pages do, see docs/single-page-apps.md. A path that its
	// AddInsecureBypassPattern names can sign in and out from anywhere, but makes
	// no new user. Nil is http.NewCrossOriginProtection(), which trusts no other
	// origin. Refusals are answered as all others, not by its deny handler.
	CrossOrigin *http.CrossOriginProtection

	// IsBot reports whether a request is a robot's, which gets no user yet.
	// Nil is the function IsBot.
	IsBot func(*http.Request) bool

	// IsAutomatic reports whether an unsafe request is sent by a page or a
	// program on its own, as analytics and webhooks are, and not by a visitor
	// who does something. It then creates no user, and stores none; the handler
	// runs as usual, and [Middleware.Ensure] still can. Beacons, reports, pings,
	// and requests without any mark of a browser are known without it. Nil names
	// no others. See docs/requests.md.
	IsAutomatic func(*http.Request) bool

	// TrustedProxies are the networks of the proxies in front of the app, its
	// load balancer or CDN, which say in a header whom a request is from.
	// Nobody else is believed. Nil is none: the address of a visitor is then
	// the peer's, so that behind a proxy all visitors count as one.
	// docs/bots.md has the settings for common ones.
	TrustedProxies []netip.Prefix

	// AddressHeader is the one header in which TrustedProxies name the
	// client. Empty is X-Forwarded-For; "Forwarded" is RFC 7239's; any other
	// name is one that holds a single address, such as CF-Connecting-IP.
	// It has to be a header that the proxy sets itself on every request:
	// one that it passes on is the visitor's own words. Needs TrustedProxies.
	AddressHeader string

	// RowLimit is how many rows visitors who have none may make, per
	// address: an IPv4 address or an IPv6 /64, and four times as many per
	// /48. Zero is 30 an hour; a negative Count is no limit. Page views do
	// not count, and users who have a row never reach it. RowLimitOf returns
	// the limit for a request where that is another one, as at a fair's
	// booth, and the zero Limit elsewhere; nil is RowLimit everywhere. Each
	// limit is counted by itself.
	//
	// At the limit a page is served without a user and an act is refused
	// with 429, see docs/bots.md.
	RowLimit   limit.Limit
	RowLimitOf func(*http.Request) limit.Limit

	// MaxSessions is how many sessions a user keeps: a sign-in beyond ends the one
	// that was not seen for longest, never one that is younger than an hour or
	// was proven within RecentProof, nor more than two in five that are in use
	// within an hour; then it is refused with 429. Zero is 50; a negative number
	// is no limit.
	MaxSessions int

	// SignInLimit is how often an identity signs in, or is merged into, from
	// browsers that are not signed in. Zero is 50 an hour; a negative Count is no
	// limit. Beyond it is 429. Only who has proven the identity counts.
	SignInLimit limit.Limit

	// Limiter counts rows. Nil is limit.New(0), in which every replica
	// counts for itself. While it fails, that is what happens, too.
	Limiter limit.Limiter

	// AppClaims returns claims of the app's own for the user in c, when a
	// token is issued; they come back in Claims.App, as a JSON object, and
	// are as old as the token. An error, a name that walkin uses itself, or
	// more than fits into a cookie means that no token is issued. Nil is
	// none. During Continue, and after OnCreate, the context is the transaction's.
	AppClaims func(ctx context.Context, c Claims) (map[string]any, error)

	// OnCreate is called when a user is stored: an anonymous one with their first
	// write, by Ensure or with PersistOnMint, and one who signs up before that, with
	// or without an anonymous user ID, before OnUpgrade. An app with a users table of
	// its own adds a row there, which OnUpgrade updates, see docs/users-table.md. A
	// user whom the store had lost is stored again, so the row may be there. Nil
	// stores users in batches, which is faster, see docs/performance.md.
	OnCreate func(ctx context.Context, c Claims) error

	// OnUpgrade is called when a user becomes permanent: Upgraded or
	// SignedUp. OnMerge is called when an anonymous visitor proves the
	// identity of another user: move what Change.GuestID has to
	// Change.UserID; afterwards the guest is deleted. OnSignIn is called
	// when an existing user gets a session, SignedIn or Merged, and may
	// refuse, for a ban.
	//
	// All run inside the transaction of the change, under its context: an
	// error or a panic undoes it whole. They may run more than once, see
	// Store.InTx. The transaction ends after 10 seconds, and its context with it:
	// the answer is then 503, as when the database broke under a hook. Any other
	// error is a 500, unless it is a *[Refusal]. Nil does nothing; without OnMerge
	// nobody is merged.
	OnUpgrade func(ctx context.Context, c Change) error
	OnMerge   func(ctx context.Context, c Change) error
	OnSignIn  func(ctx context.Context, c Change) error

	// Conflict says what becomes of an anonymous visitor who proves the
	// identity of another user. Zero is ConflictMerge with OnMerge and
	// ConflictSignIn without.
	Conflict Conflict

	// RecentProof is how old a permanent user's last proof may be when they
	// add or remove an identity. Zero is 10 minutes.
	RecentProof time.Duration

	// BasePath is what a proxy in front of the app takes off the paths that
	// browsers ask for, such as "/app". Empty is nothing. It is not needed for
	// http.StripPrefix, which leaves http.Request.RequestURI as it is. All paths
	// in this Config, and return_to, are as browsers see them.
	BasePath string

	// UpgradeURL and SignInURL are local paths of the pages that people are
	// sent to when a guard refuses them. Empty shows a plain page. A post to
	// them makes no anonymous user of its own.
	UpgradeURL string
	SignInURL  string

	// SignOutURL is the local path of SignOutHandler. A browser that has live
	// cookies of two users is told to sign out, on a page with a button that
	// posts there. Empty shows that page without the button.
	SignOutURL string

	// CredentialPaths are more local paths where visitors prove who they are,
	// such as "/passkey/", or sign out: a post to one of them or to a path below
	// makes no anonymous user of its own either. A path that ends in sign-out,
	// signout, sign_out, log-out, logout or the like need not be named.
	CredentialPaths []string

	// OnExport returns what the app stores about a user, for [Middleware.Export]:
	// anything that encoding/json writes. OnDelete deletes it, in the transaction
	// and under the context of [Middleware.DeleteUser]; an error undoes both. The
	// sweep does not call it, see SweepOptions.Keep. Nil does nothing.
	OnExport func(ctx context.Context, userID uuid.UUID) (any, error)
	OnDelete func(ctx context.Context, userID uuid.UUID) error

	// Impersonation lets operators see the site as a user does. The zero value
	// is none.
	Impersonation Impersonation

	// DestroySignsOut makes a handler's sm.Destroy, inside of LoadAndSave, sign its
	// visitor out, as SignOut does, when the response begins: for an app that moves
	// from scs and signs out so in many places. Where SignOut refuses, as on a GET,
	// the answer is its refusal in place of the handler's, and the visitor stays
	// signed in. False leaves them signed in and tells OnEvent: Failed with
	// session_destroyed.
	DestroySignsOut bool

	// OnRefuse answers refused requests; Retry-After and Cache-Control are
	// set already. Nil is Refusal.ServeHTTP: a problem document for
	// programs, a page or a redirect for people.
	OnRefuse func(w http.ResponseWriter, r *http.Request, refusal *Refusal)

	// OnEvent is told what walkin does. It runs during the request and may
	// be called concurrently. Nil tells nobody.
	OnEvent func(ctx context.Context, e Event)

	// Logger gets what broke. Nil logs nothing.
	Logger *slog.Logger

	// CacheSize is how many verified tokens are remembered, of about 1 KB
	// each. Zero is 32,768; the least is 256.
	CacheSize int
}

const (
	maxLifetime = 400 * 24 * time.Hour
	defaultRows = 30

	defaultIssuer = "walkin" // and audience
)

// New checks cfg and returns a Middleware, or one error that names every
// mistake. It starts nothing and touches nothing.
func New(cfg Config) (*Middleware, error) {
	var errs []error
	mistake := func(format string, args ...any) { errs = append(errs, fmt.Errorf("walkin: "+format, args...)) }

	orDefault(&cfg.Lifetime, 30*24*time.Hour)
	orDefault(&cfg.RenewAfter, min(24*time.Hour, cfg.Lifetime/2))
	orDefault(&cfg.RecheckAfter, 30*time.Second)
	orDefault(&cfg.RecentProof, 10*time.Minute)
	orDefault(&cfg.Issuer, defaultIssuer)
	orDefault(&cfg.Audience, defaultIssuer)
	defaultName := cookieName(cfg.Issuer, cfg.Audience, cfg.Insecure)
	orDefault(&cfg.CookieName, defaultName)
	orDefault(&cfg.CacheSize, 1<<15)
	orDefault(&cfg.MaxSessions, defaultSessions)
	orDefault(&cfg.SignInLimit, limit.Limit{Count: 50, Per: time.Hour})
	orDefault(&cfg.RowLimit, limit.Limit{Count: defaultRows, Per: time.Hour})
	if cfg.Conflict == 0 {
		cfg.Conflict = ConflictSignIn
		if cfg.OnMerge != nil {
			cfg.Conflict = ConflictMerge
		}
	}
	if cfg.CrossOrigin == nil {
		cfg.CrossOrigin = http.NewCrossOriginProtection()
	}
	if cfg.IsBot == nil {
		cfg.IsBot = IsBot
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}

	keys, err := token.NewKeyring(keysOf(cfg.Keys), cfg.Issuer, cfg.Audience)
	if err != nil {
		errs = append(errs, err)
	}
	if cfg.Store == nil {
		mistake("Config.Store is nil; store/memstore has one for a first try")
	}
	cfg.Store = Bounded(cfg.Store)
	if cfg.Mint > MintOff {
		mistake("Config.Mint is %d, which is none of the constants", cfg.Mint)
	}
	if cfg.Lifetime < time.Minute || cfg.Lifetime > maxLifetime {
		mistake("Config.Lifetime is %v, not between a minute and 400 days", cfg.Lifetime)
	}
	if cfg.SessionLifetime != 0 && cfg.SessionLifetime < time.Minute {
		mistake("Config.SessionLifetime is %v, less than a minute", cfg.SessionLifetime)
	}
	if cfg.RenewAfter <= 0 || cfg.RenewAfter >= cfg.Lifetime {
		mistake("Config.RenewAfter is %v, not between 0 and the lifetime %v", cfg.RenewAfter, cfg.Lifetime)
	}
	if cfg.RecheckAfter < 0 || cfg.RecheckAfter > cfg.Lifetime {
		mistake("Config.RecheckAfter is %v, not between 0 and the lifetime %v", cfg.RecheckAfter, cfg.Lifetime)
	}
	if cfg.RecentProof < 0 {
		mistake("Config.RecentProof is %v, which is negative", cfg.RecentProof)
	}
	if cfg.Conflict > ConflictReject {
		mistake("Config.Conflict is %d, which is none of the constants", cfg.Conflict)
	}
	if cfg.Conflict == ConflictMerge && cfg.OnMerge == nil {
		mistake("Config.Conflict is ConflictMerge without an OnMerge that moves the data")
	}
	if cfg.Partitioned && cfg.Insecure {
		mistake("Config.Partitioned needs Secure cookies; Config.Insecure makes others")
	}
	if cfg.Domain != "" && !validDomain(cfg.Domain) {
		mistake("Config.Domain %q is not a domain like example.com", cfg.Domain)
	}
	if err := checkCookieName(cfg.CookieName); err != nil {
		mistake("Config.CookieName %q: %w", cfg.CookieName, err)
	}
	names := newCookies(cfg.CookieName, cfg.Domain, cfg.Insecure, cfg.Partitioned)
	for i, f := range cfg.FormerCookies {
		orDefault(&f.Name, defaultName)
		switch {
		case f.ChangedAt.IsZero():
			mistake("Config.FormerCookies[%d] has no ChangedAt", i)
		case f.Domain != "" && !validDomain(f.Domain):
			mistake("Config.FormerCookies[%d]: its domain %q is not one like example.com", i, f.Domain)
		}
		if err := checkCookieName(f.Name); err != nil {
			mistake("Config.FormerCookies[%d]: its name %q: %w", i, f.Name, err)
		}
		former := newCookies(f.Name, f.Domain, cfg.Insecure, f.Partitioned)
		if former.permanent == names.permanent {
			continue // read under that name anyway
		}
		names.former = append(names.former, formerCookies{former, f.ChangedAt})
	}
	for name, path := range map[string]string{"UpgradeURL": cfg.UpgradeURL, "SignInURL": cfg.SignInURL, "SignOutURL": cfg.SignOutURL} {
		if path != "" && localurl.Path(path, "") == "" {
			mistake("Config.%s %q is not a local path like /sign-up", name, path)
		}
	}
	for i, path := range cfg.CredentialPaths {
		if localurl.Path(path, "") == "" || path == "/" || strings.ContainsAny(path, "?#") {
			mistake("Config.CredentialPaths[%d] %q is not a local path like /passkey/", i, path)
		}
	}
	if cfg.BasePath = strings.TrimSuffix(cfg.BasePath, "/"); cfg.BasePath != "" && (localurl.Path(cfg.BasePath, "") == "" || strings.ContainsAny(cfg.BasePath, "?#%")) {
		mistake("Config.BasePath %q is not a local path like /app", cfg.BasePath)
	}
	if cfg.CacheSize < 0 {
		mistake("Config.CacheSize is %d, which is negative", cfg.CacheSize)
	}
	proxies, err := clientip.New(cfg.TrustedProxies, cfg.AddressHeader)
	if err != nil {
		errs = append(errs, err)
	}
	if cfg.RowLimit.Count >= 0 {
		if err := checkRowLimit(cfg.RowLimit); err != nil {
			mistake("Config.RowLimit: %w", err)
		}
	}
	if cfg.SignInLimit.Count >= 0 {
		if err := cfg.SignInLimit.Check(); err != nil {
			mistake("Config.SignInLimit: %w", err)
		}
	}
	var deviceKeys [][]byte
	for i, key := range cfg.Keys {
		secret, err := key.Derive("walkin device")
		if err != nil && keys != nil { // what newKeyring said is said
			mistake("Config.Keys[%d]: %w", i, err)
		}
		deviceKeys = append(deviceKeys, secret)
	}
	ownLimiter := limit.New(0)
	if cfg.Limiter == nil {
		cfg.Limiter = ownLimiter
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.Insecure {
		log.Warn("walkin: Config.Insecure is set: cookies travel without encryption; never use it outside localhost",
			slog.String("cookie", names.permanent))
	}
	cfg.CredentialPaths = slices.Clone(cfg.CredentialPaths)
	cfg.Keys = slices.Clone(cfg.Keys)
	return &Middleware{cfg: cfg, log: log, keys: keys, cookies: names, site: newSite(cfg, keys), cache: tokencache.New[entry](cfg.CacheSize), deviceKeys: deviceKeys, renderedKeys: renderedKeys(cfg.Keys),
		proxies: proxies, ownLimiter: ownLimiter, began: time.Now(), strangers: strangers{seed: maphash.MakeSeed()}}, nil
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
