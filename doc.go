// Package walkin gives every visitor of a web app a real user before they sign
// up. A visitor walks in, gets a user ID in a signed JWT cookie, uses the
// product, and later attaches a credential. The user ID never changes, so
// everything they made is still theirs.
//
// [New] checks a [Config] and returns a [Middleware]; [Middleware.Handler] wraps the
// site. Handlers read who the visitor is with [FromContext]. Guards such as
// [Middleware.RequirePermanent] refuse visitors who may not pass. Every credential ends
// in [Middleware.Continue], which makes an anonymous user permanent under the same ID,
// signs in, links or merges.
//
// # Words
//
// An anonymous user is one without an identity; a permanent user has at least one. A
// write is a POST, PUT, PATCH or DELETE from the site itself, or a call of
// [Middleware.Ensure]. Until their first write an anonymous user is provisional: they
// have a signed cookie, and nothing is stored. So readers and bots add nothing to the
// store.
//
// # Trust
//
// A token is valid when one of Config.Keys signed it, its times and names hold, and its
// session is alive in the [store.Store]. Safe requests may rely on an earlier look-up in the
// store for Config.Sessions.RecheckAfter, or for longer while [Middleware.RunFeed]
// hears that nothing changed. Unsafe requests always look in the store. Anyone who
// holds a visitor's cookie is that visitor, until the session ends: by a sign-out, by
// an upgrade, which ends all other sessions of the user, or by its age. The app's own
// pages are trusted, and so is everything that can set the app's cookies; __Host-
// cookies keep that to the host itself.
//
// # Names
//
// For apps: [New] with [Config] and its groups [Cookies], [FormerCookie], [Tokens],
// [Sessions], [NewUsers], [Proxies], [Paths], [Hooks] and [Impersonation]; [Mint],
// [Conflict]; [Key], [KeyFile], [KeyFileES256], [ParseJWKS]. The [Middleware], and what
// handlers use: [FromContext], [Claims], [NewContext] for tests, [ReturnTo], [Target],
// [CheckActor]. What the app is told: [Event], [Outcome], [Reason], [Change], [Refusal],
// [ErrAnonymous], [ErrNotRecent], [ErrCrossOrigin], [ErrNewUserLimit], [ErrBanned].
// Forms and clients: [Form], [Page], [Token], [IssuedToken],
// [ProfileClaims]. Operators: [SweepOptions].
//
// For credentials, and other packages that are made from the middleware: [Credential],
// [Proof], [Handover], [ErrRedeemed], [Challenge], and of the Middleware the methods
// Store, DeriveKeys, Cookie, Limiter, KnownDevice, ReserveAccount, ClientNetworks,
// CheckOrigin, RecentProof, Report, Refuse, RefuseMethod, FormHandler, StartFlow,
// FlowIDs, Continue, Join and HasAccount.
//
// Users, sessions and identities as they are stored, the errors of a store, and the
// interfaces for those who write one are in package store.
//
// # What it does not do
//
// It does not protect the app's own forms from cross-site requests: use
// http.CrossOriginProtection for all of them, as walkin does for its own. It does not
// tell visitors from bots with certainty. It does not limit how many requests a user
// sends, only how many users a network creates. It does not send mail. It does not
// decide what an anonymous user may do: a guard does. It starts no goroutine, and
// writes to no log but Config.Logger.
package walkin
