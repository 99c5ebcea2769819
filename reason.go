package walkin

// A Reason says why something happened, or did not. Each has a row in
// docs/troubleshooting.md that says what to do. Packages of credentials have reasons of
// their own, and so may an app: a word, for a metric's label.
type Reason string

// Why a request got no anonymous user: of Skipped, and of the refusals of
// [Middleware.Ensure]. [ReasonNoCookie] and those of tokens may be, too.
const (
	ReasonMintOff             Reason = "mint_off"              // NewUsers.Mint is MintOff
	ReasonOnDemand            Reason = "on_demand"             // NewUsers.Mint is MintOnDemand, and the handler did not call Ensure
	ReasonNoWrite             Reason = "no_write"              // a page, where NewUsers.Mint waits for a write
	ReasonCookieNotVerified   Reason = "cookie_not_verified"   // there is a cookie that may be a live user's, and could not be verified
	ReasonStaleCookie         Reason = "stale_cookie"          // a write with a cookie that has ended
	ReasonProtocolUpgrade     Reason = "protocol_upgrade"      // a WebSocket or another upgrade
	ReasonPrefetch            Reason = "prefetch"              // the browser loads the page in advance
	ReasonMachinePath         Reason = "machine_path"          // a path that API clients request, such as /favicon.ico
	ReasonMethod              Reason = "method"                // a method that neither reads a page nor writes; of Refused, one that the handler does not have
	ReasonNotAPage            Reason = "not_a_page"            // a piece of a page, or a fetch
	ReasonEmbedded            Reason = "embedded"              // an iframe, a frame or a plugin
	ReasonNoBrowser           Reason = "no_browser"            // a write that no browser sent: a webhook or an API client
	ReasonBeacon              Reason = "beacon"                // a write that a page sent without waiting for an answer
	ReasonAutomatic           Reason = "automatic"             // NewUsers.IsAutomatic says so
	ReasonBot                 Reason = "bot"                   // NewUsers.IsBot says so
	ReasonCredentialForm      Reason = "credential_form"       // a form that decides by itself who the visitor becomes
	ReasonAuthorization       Reason = "authorization"         // the app knows the sender by an Authorization header
	ReasonCrossSite           Reason = "cross_site"            // another site may have sent it
	ReasonReport              Reason = "report"                // the browser sent it by itself
	ReasonWorkerWithoutCookie Reason = "worker_without_cookie" // a service worker sent it without a cookie
	ReasonNewUserLimit        Reason = "new_user_limit"        // the network has created too many users
	ReasonHasAccount          Reason = "has_account"           // the user has made their account in another browser
	ReasonClock               Reason = "clock"                 // the token has expired only by a clock that is wrong; of Failed, the database's clock cannot be asked, or differs
)

// Why a token was not accepted: Event.Token, and the reason of a Refused where a user
// was needed.
const (
	ReasonExpired          Reason = "expired"            // too old
	ReasonSessionEnded     Reason = "session_ended"      // its session has ended
	ReasonSignedOut        Reason = "signed_out"         // the visitor signed out in this very request
	ReasonMalformed        Reason = "malformed"          // not a token of walkin's
	ReasonForged           Reason = "forged"             // the signature is wrong
	ReasonTooLong          Reason = "too_long"           // longer than any token of walkin's
	ReasonIncomplete       Reason = "incomplete"         // a claim is missing
	ReasonForeign          Reason = "foreign"            // of another issuer or audience
	ReasonUnknownKey       Reason = "unknown_key"        // signed with a key that this process does not have
	ReasonClockSkew        Reason = "clock_skew"         // issued in the future
	ReasonWrongCookie      Reason = "wrong_cookie"       // in the cookie of the other kind of user
	ReasonWrongKind        Reason = "wrong_kind"         // of an anonymous user who is permanent now
	ReasonFormerCookie     Reason = "former_cookie"      // in a cookie of before Former.ChangedAt, and issued after it
	ReasonDuplicateCookie  Reason = "duplicate_cookie"   // the browser has live cookies of two users
	ReasonUnknownUser      Reason = "unknown_user"       // the store does not know the user
	ReasonOtherDatabase    Reason = "other_database"     // the token names another database
	ReasonBanned           Reason = "banned"             // the user is banned
	ReasonAccessToken      Reason = "access_token"       // TokenHandler got an access token; of Failed, one could not be issued
	ReasonBearerNeeded     Reason = "bearer_needed"      // TokenHandler got no token
	ReasonFlowWithoutToken Reason = "flow_without_token" // a client without cookies began a login flow without a token
)

// Why a request was refused.
const (
	ReasonNoUser             Reason = "no_user"              // it has no user
	ReasonAnonymous          Reason = "anonymous"            // its user is anonymous, and an account is needed
	ReasonHalfProven         Reason = "half_proven"          // the user has a second factor, and the Page of the refusal asks for it
	ReasonNotRecent          Reason = "not_recent"           // the last proof of identity is too old
	ReasonRule               Reason = "rule"                 // a guard's rule of the app returned an error
	ReasonCrossOrigin        Reason = "cross_origin"         // another site may have sent it
	ReasonNoCookie           Reason = "no_cookie"            // the browser did not send back the cookie that it got
	ReasonSafeMethod         Reason = "safe_method"          // a GET that was to change something
	ReasonRenderedForAnother Reason = "rendered_for_another" // the form was shown to another user
	ReasonRenderedForMissing Reason = "rendered_for_missing" // the form lacks RenderedForField
	ReasonFormType           Reason = "form_type"            // a form in a media type that is not accepted
	ReasonFormLarge          Reason = "form_large"           // a form that is too large
	ReasonFormMalformed      Reason = "form_malformed"       // a form that cannot be read
	ReasonFormRepeated       Reason = "form_repeated"        // a field that is there twice
	ReasonNoRoute            Reason = "no_route"             // the handler has no such path
	ReasonStoreDown          Reason = "store_down"           // the store did not answer
	ReasonConstraint         Reason = "constraint"           // a rule of the app's tables failed
	ReasonInternal           Reason = "internal"             // a hook of the app failed, or an error that walkin does not know
)

// Why an identity did not change.
const (
	ReasonIdentityTaken       Reason = "identity_taken"        // another user has it
	ReasonReplaced            Reason = "replaced"              // the identity has been replaced meanwhile
	ReasonRaced               Reason = "raced"                 // another request was faster
	ReasonLastIdentity        Reason = "last_identity"         // it is the user's only one
	ReasonTooManyIdentities   Reason = "too_many_identities"   // the user has a hundred
	ReasonNoIdentity          Reason = "no_identity"           // the user does not have it
	ReasonBadIdentity         Reason = "bad_identity"          // a credential proved one that is empty or too long
	ReasonIdentityChangeLimit Reason = "identity_change_limit" // too many changes in an hour
	ReasonSignInLimit         Reason = "sign_in_limit"         // too many sign-ins in an hour
	ReasonSessionLimit        Reason = "session_limit"         // the user has Sessions.Max sessions; of SignedOut, the oldest made room
	ReasonAllBefore           Reason = "all_before"            // of SignedOut: EndSessionsBefore ended all sessions of before a time
	ReasonRefreshTokenReused  Reason = "refresh_token_reused"  // two clients used one refresh token, and the session ended
)

// A second browser and a second factor.
const (
	ReasonHandoverPermanent  Reason = "handover_permanent"  // the second browser has an account already
	ReasonHandoverUnverified Reason = "handover_unverified" // the second browser has a cookie that cannot be verified
	ReasonHandoverSame       Reason = "handover_same"       // both browsers have the same user
	ReasonHandoverFull       Reason = "handover_full"       // the user has sessions in five browsers
	ReasonHandoverOccupied   Reason = "handover_occupied"   // the second browser has an anonymous user with data
	ReasonHandoverOver       Reason = "handover_over"       // the code was used, has expired or came too late
	ReasonFactorNotProven    Reason = "factor_not_proven"   // a session without the second factor cannot add an identity
)

// Impersonation.
const (
	ReasonImpersonation          Reason = "impersonation"           // an operator sees the site as the user; of Failed, its end could not be stored
	ReasonImpersonationReadOnly  Reason = "impersonation_read_only" // and may not write
	ReasonImpersonationUpgrade   Reason = "impersonation_upgrade"   // and may not open a WebSocket
	ReasonImpersonationBearer    Reason = "impersonation_bearer"    // and may not send an Authorization header
	ReasonImpersonationOver      Reason = "impersonation_over"      // the impersonation has ended
	ReasonImpersonationSelf      Reason = "impersonation_self"      // operators cannot impersonate themselves
	ReasonImpersonationForbidden Reason = "impersonation_forbidden" // IsOperator says no
	ReasonImpersonationNoUser    Reason = "impersonation_no_user"   // there is no such user
	ReasonImpersonationReason    Reason = "impersonation_reason"    // the reason is missing, or too long
)

// What failed while the request went on: of Failed.
const (
	ReasonProxyNotTrusted      Reason = "proxy_not_trusted"       // requests come through a proxy that is not in Proxies.Trusted
	ReasonNoClientAddress      Reason = "no_client_address"       // requests have no address
	ReasonSecureCookieOverHTTP Reason = "secure_cookie_over_http" // pages are loaded over http, where browsers drop Secure cookies
	ReasonCookiesBlocked       Reason = "cookies_blocked"         // many browsers do not send back the cookie that they got
	ReasonLimiter              Reason = "limiter"                 // the shared limiter failed; each process counts for itself
	ReasonNewUserLimitOf       Reason = "new_user_limit_of"       // NewUsers.LimitOf returned an invalid limit
	ReasonChallenge            Reason = "challenge"               // the challenge failed
	ReasonUserLost             Reason = "user_lost"               // the store does not know the users of valid tokens
	ReasonAnnounce             Reason = "announce"                // the store could not be told how long tokens live
	ReasonFeed                 Reason = "feed"                    // the feed of ended sessions could not be read
	ReasonFeedAlarm            Reason = "feed_alarm"              // the feed's notifications could not be received
	ReasonRenewal              Reason = "renewal"                 // a token could not be re-issued
	ReasonRollbackMint         Reason = "rollback_mint"           // a user whose cookie was not delivered could not be removed
	ReasonSweep                Reason = "sweep"                   // a sweep failed
	ReasonSessionData          Reason = "session_data"            // session data could not be loaded or saved
	ReasonSessionWithoutUser   Reason = "session_without_user"    // session data was changed for a visitor without a user
	ReasonSessionDestroyed     Reason = "session_destroyed"       // session data was destroyed, and the visitor is still signed in
	ReasonTokenTooLarge        Reason = "token_too_large"         // AppClaims made the token too large
)
