package walkin

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/limit"
)

// Cookies says what walkin's cookies are like.
type Cookies struct {
	// Name is the name of the permanent user's cookie without its prefix. The
	// other cookies are named after it. Empty is "walkin". Where Tokens.Issuer,
	// Tokens.Audience or Insecure is set a short hash is added, so that apps do not
	// find each other's cookies on a host that they share. It must not end in
	// -anon, -bind or -chips. To change it later, see Former.
	Name string

	// Former keeps the visitors when Name, Domain or Partitioned changes: it says
	// what the cookies were before. A former cookie is read only in a request
	// without a current one, and is replaced at once. An entry has no effect once
	// Tokens.Lifetime has passed since its ChangedAt. Nil reads no former cookies.
	Former []FormerCookie

	// Insecure leaves out the Secure attribute and the __Host- prefix, so that
	// cookies work over plain http. It is for development on localhost only:
	// anyone on the network path can read such a cookie. Since all apps on
	// localhost share their cookies, whatever their ports, the default name then
	// contains a hash of the program's module and package.
	Insecure bool

	// Domain shares the cookies with all subdomains of a domain. With it the
	// cookies lose the __Host- prefix, and every subdomain can read a visitor's
	// token and plant its own. Empty keeps the cookies to this host.
	Domain string

	// Partitioned makes walkin work in a cross-site iframe: cookies are partitioned
	// by the embedding site (CHIPS) and have SameSite=None, and such an iframe may
	// get a new user. It cannot be combined with Insecure.
	Partitioned bool
}

// Tokens says what is in a token and how long it is valid.
type Tokens struct {
	// Lifetime is how long a user is remembered after their last visit: the time
	// from a token's last renewal until it expires. An anonymous user who stays
	// away longer cannot come back. Zero is 30 days. The maximum is 400 days, as
	// long as browsers keep a cookie (RFC 6265bis).
	Lifetime time.Duration

	// RenewAfter is the age from which a token is re-issued. Concurrent requests
	// re-issue once. Zero is a day, or half of a Lifetime shorter than two days.
	RenewAfter time.Duration

	// Issuer and Audience are the "iss" and "aud" of tokens. They are checked in
	// every token. Apps that share a key need different ones. They are part of the
	// cookies' default name. Empty is "walkin".
	Issuer   string
	Audience string

	// AnonymousKeys sign and verify the access tokens of anonymous users: those of
	// AccessToken, ClientToken and Refresh, not those in cookies. The first signs.
	// JWKSHandler leaves them out, so a service that forgets to check is_anonymous
	// rejects anonymous users instead of letting them in; AnonymousJWKSHandler has
	// them. None may be among Config.Keys. Nil signs all tokens with Config.Keys.
	AnonymousKeys []Key

	// AppClaims returns the app's own claims for the user in c when a token is
	// issued. They come back in Claims.App as a JSON object, and are as old as the
	// token. No token is issued on an error, for a name that walkin uses itself, or
	// when the claims do not fit into a cookie. During Continue the context is the
	// transaction's. Nil adds no claims.
	AppClaims func(ctx context.Context, c Claims) (map[string]any, error)
}

// Sessions says how long sessions last and how many a user has.
type Sessions struct {
	// Lifetime is how long a session lasts at most, from the proof or the first
	// visit that opened it, however often its token is renewed (ASVS 7.3.2). Then a
	// permanent user signs in again; an anonymous user cannot come back. Zero is
	// no limit. The minimum is a minute.
	Lifetime time.Duration

	// RecheckAfter is how long a safe request may rely on an earlier look-up in the
	// store. So it is also how long a session that has ended on another replica can
	// still read where [Middleware.RunFeed] does not run or is cut off. Zero is 30
	// seconds.
	RecheckAfter time.Duration

	// RecentProof is how old a permanent user's last proof may be when they add or
	// remove an identity. Zero is 10 minutes.
	RecentProof time.Duration

	// Max is how many sessions a user keeps. One more sign-in ends the session that
	// was not seen for longest. It never ends one that is younger than an hour or
	// was proven within RecentProof, and within an hour no more than two in five of
	// those in use; beyond that the sign-in is refused with 429. Zero is 50. A
	// negative number is no limit.
	Max int

	// SignInLimit is how often an identity signs in, or is merged into, from
	// browsers that are not signed in. Beyond it is 429. Only a visitor who has
	// proven the identity counts. Zero is 50 an hour. A negative Count is no limit.
	SignInLimit limit.Limit

	// NoRevival keeps users whom the store does not know from coming back, for example
	// after it was restored from a backup. False lets an anonymous user go on under
	// their ID with their next write, and gives a permanent user who proves an identity
	// their ID back. What was deleted, or ended by EndSessionsBefore, never comes back.
	NoRevival bool

	// DestroySignsOut makes a handler's sm.Destroy, inside LoadAndSave, sign the
	// visitor out as SignOut does, when the response begins. It is for apps that
	// move from scs and sign out that way in many places. Where SignOut refuses, as
	// on a GET, the response is its refusal, and the visitor stays signed in. False
	// leaves visitors signed in and reports a Failed event with the reason
	// session_destroyed.
	DestroySignsOut bool
}

// NewUsers says who becomes an anonymous user, when, and how many may.
type NewUsers struct {
	// Mint says when a visitor gets an anonymous user. Zero is MintOnVisit.
	Mint Mint

	// PersistOnMint stores an anonymous user as soon as they are minted. Every visitor
	// is then a stored user, and so is every bot that passes for a browser. False
	// stores them with their first write.
	PersistOnMint bool

	// Limit is how many visitors of one network may become stored users: per IPv4
	// address or IPv6 /64, and four times as many per IPv6 /48. Page views do not
	// count, and users who are stored already never reach it. At the limit a page is
	// served without a user, and a write is refused with 429, see docs/bots.md. Zero
	// is 30 an hour. A negative Count is no limit.
	Limit limit.Limit

	// LimitOf returns the limit for a request that needs another one, as at a
	// fair's booth, and the zero Limit for all others. Each limit is counted
	// separately. Nil uses Limit everywhere.
	LimitOf func(*http.Request) limit.Limit

	// IsBot reports whether a request comes from a bot, which gets no user yet. Nil
	// is [bot.Is].
	IsBot func(*http.Request) bool

	// IsAutomatic reports whether an unsafe request is sent by a page or an API
	// client on its own, as analytics and webhooks are, and not because a visitor
	// did something. Such a request creates and stores no user; its handler runs as
	// usual, and may call [Middleware.Ensure]. Beacons, reports, pings, and requests
	// without any header of a browser are recognized without it. Nil adds no others.
	// See docs/requests.md.
	IsAutomatic func(*http.Request) bool
}

// Proxies says which proxies are in front of the app.
type Proxies struct {
	// Trusted are the networks of the load balancer or CDN in front of the app,
	// which tells in a header where a request comes from. No other peer is believed.
	// If nil, the client address is that of the TCP peer: behind a proxy, all
	// visitors then share one address. docs/bots.md has settings for common proxies.
	Trusted []netip.Prefix

	// Header is the one header in which Trusted proxies name the client. It must be
	// one that the proxy sets on every request: a header that the proxy merely
	// forwards can be forged by the client. "Forwarded" is that of RFC 7239; any
	// name but X-Forwarded-For and Forwarded is a header with a single address, such
	// as CF-Connecting-IP. It needs Trusted. Empty is X-Forwarded-For.
	Header string
}

// Paths says where the app's pages are. All paths are local and as browsers see them.
type Paths struct {
	// Base is the prefix that a proxy removes from the paths that browsers request,
	// such as "/app". It is not needed for http.StripPrefix, which leaves
	// http.Request.RequestURI as it is. Empty is no prefix.
	Base string

	// Upgrade and SignIn are the pages that visitors are sent to when a guard
	// refuses them. A post to them creates no anonymous user. Empty shows a plain
	// page instead.
	Upgrade string
	SignIn  string

	// SignOut is where SignOutHandler is. A browser that has live cookies of two
	// users gets a page with a button that posts there. Empty shows that page
	// without the button.
	SignOut string

	// Credentials are more paths where visitors prove who they are, such as
	// "/passkey/", or sign out: a post to one of them, or to a path below, creates
	// no anonymous user. A path that ends in sign-out, signout, sign_out, log-out,
	// logout or the like need not be listed. Nil adds no paths.
	Credentials []string
}

// Hooks are called inside the transaction of a change, with its context: an error or a
// panic rolls the change back. A hook may run more than once, see store.Store.InTx. The
// transaction ends after 10 seconds, and its context with it: the answer is then 503, as
// when the database fails under a hook. Any other error is a 500, unless it is a
// *[Refusal]. A nil hook is not called.
type Hooks struct {
	// OnCreate is called when a user is stored: an anonymous user with their first
	// write, by Ensure or with PersistOnMint; and a visitor who signs up without
	// having been stored, before OnUpgrade. An app with a users table of its own adds
	// a row there, which OnUpgrade updates, see docs/users-table.md. A user whom the
	// store had lost is stored again, so the row may be there. With nil, users are
	// stored in batches, which is faster, see docs/performance.md.
	OnCreate func(ctx context.Context, c Claims) error

	// OnUpgrade is called when a user becomes permanent: Upgraded or SignedUp.
	OnUpgrade func(ctx context.Context, c Change) error

	// OnMerge is called when an anonymous visitor proves the identity of another
	// user. It moves what Change.AnonymousID has to Change.UserID; then the anonymous
	// user is deleted. Without it no users are merged.
	OnMerge func(ctx context.Context, c Change) error

	// OnSignIn is called when an existing user gets a session: SignedIn or Merged.
	// It may refuse the sign-in.
	OnSignIn func(ctx context.Context, c Change) error

	// OnExport returns what the app stores about a user, for [Middleware.Export]:
	// anything that encoding/json writes. It is not called in a transaction.
	OnExport func(ctx context.Context, userID uuid.UUID) (any, error)

	// OnDelete deletes what the app stores about a user, in the transaction and with
	// the context of [Middleware.DeleteUser]. The sweep does not call it, see
	// SweepOptions.Keep.
	OnDelete func(ctx context.Context, userID uuid.UUID) error
}

// Mint says when a visitor without a user gets one. Minting signs a token and sets a
// cookie; it writes nothing to the store.
type Mint uint8

const (
	// MintOnVisit mints when a visitor opens a page or sends an unsafe request.
	MintOnVisit Mint = iota

	// MintOnWrite mints when a visitor sends an unsafe request: a POST, PUT, PATCH or
	// DELETE from the site itself, see docs/requests.md. Nothing is stored on the
	// device of a visitor who only reads.
	MintOnWrite

	// MintOnDemand mints only in [Middleware.Ensure].
	MintOnDemand

	// MintOff mints no new anonymous users. Existing ones go on.
	MintOff
)

// A FormerCookie describes the cookies before a change of Config.Cookies.Name, Domain
// or Partitioned.
type FormerCookie struct {
	// Name, Domain and Partitioned are the former values of the fields of Config. An
	// empty name is the default one.
	Name        string
	Domain      string
	Partitioned bool

	// ChangedAt is when the last replica stopped setting such cookies. Tokens in them
	// that were issued later are ignored: they were planted. Before that moment the old
	// cookie stays beside the new one, for replicas that do not know the new one yet;
	// afterwards it is removed. Required.
	ChangedAt time.Time
}

// Impersonation lets an operator see the site as a user does, for half an hour and
// without changing anything: unsafe requests are refused, and so is everything in this
// package that changes something, by any method. See [Middleware.Impersonate].
type Impersonation struct {
	// IsOperator reports whether a user may impersonate others. Such a user can never
	// be impersonated. It is called on every request of an impersonation, for both
	// users. Nil turns impersonation off.
	IsOperator func(ctx context.Context, userID uuid.UUID) (bool, error)

	// OnlyReads reports whether an unsafe request changes nothing, such as a query of
	// GraphQL, and passes. Package rls makes PostgreSQL enforce that. If nil, no unsafe
	// request passes.
	OnlyReads func(*http.Request) bool
}
