package walkin

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/walkin-go/walkin/internal/request"
)

// A demand says who wants a new user: the shape of the request, or the app.
type demand uint8

const (
	byShape demand = iota
	byApp          // in Ensure
	byStart        // in StartHandler: a page asks for nothing else
)

// mintRefusal returns "" when this request may give its visitor, whose token status is
// s, a new user; and otherwise the reason why not.
//
// It fails closed: a request gets no user unless it is known to be a visitor's own
// first step. A refusal costs the visitor nothing; the next page view asks again.
func (a *admission) mintRefusal(r *http.Request, f request.Facts, s tokenStatus, by demand) Reason {
	switch {
	case a.cfg.NewUsers.Mint == MintOff:
		return ReasonMintOff
	case s != absent && s != sessionEnded && s != invalid:
		// There is a token that could not be verified, or two: to mint over it could
		// take a live user away.
		return ReasonCookieNotVerified
	case f.IsUpgrade():
		return ReasonProtocolUpgrade // many WebSocket libraries drop the cookie
	case f.IsPrefetch():
		return ReasonPrefetch
	case request.IsMachinePath(r.URL.Path, f.SaysBrowser()):
		return ReasonMachinePath
	}
	var reason Reason
	switch f.Method {
	case request.Write:
		reason = a.writeMintRefusal(r, f, s, by)
	case request.Get:
		reason = a.visitMintRefusal(f, s, by)
	default:
		reason = ReasonMethod
	}
	stores := f.Method == request.Write || by != byShape || a.cfg.NewUsers.PersistOnMint
	if reason == "" && s == absent && stores && a.keepsNoCookie(r, f) {
		reason = ReasonNoCookie
	}
	if reason == "" && a.cfg.NewUsers.IsBot(r) {
		reason = ReasonBot
	}
	return reason
}

func (a *admission) writeMintRefusal(r *http.Request, f request.Facts, s tokenStatus, by demand) Reason {
	if reason := f.WriteRefusal(false); reason != "" {
		return Reason(reason)
	}
	switch {
	case f.From == request.TrustedFar, f.From == request.Exempt:
		// Also a top-level post from elsewhere: the browser withholds a Lax
		// cookie there, and there may be one.
		return ReasonCrossSite
	case s != absent && by != byStart:
		// A click that raced an upgrade must not open a second user. What is written
		// with it would be that user's; StartHandler writes nothing, and a page
		// that walkin does not serve has no other way to replace a cookie that has
		// ended.
		return ReasonStaleCookie
	case f.Auth == request.AppBearer, f.Auth == request.AppAuth:
		return ReasonAuthorization // an API client sent it, and the app knows it by that
	case by != byShape:
		return ""
	case a.cfg.NewUsers.Mint == MintOnDemand:
		return ReasonOnDemand
	case a.isCredentialForm(r):
		return ReasonCredentialForm
	}
	return a.automatic(r, f)
}

// automatic returns why an unsafe request that is allowed was still not sent by a
// visitor, or "". Such a request creates and stores no user by itself.
func (a *admission) automatic(r *http.Request, f request.Facts) Reason {
	switch {
	case !f.IsBrowser():
		return ReasonNoBrowser // a webhook, or another API client
	case f.Shape == request.Beacon:
		return ReasonBeacon
	case a.cfg.NewUsers.IsAutomatic != nil && a.cfg.NewUsers.IsAutomatic(r):
		return ReasonAutomatic
	}
	return ""
}

func (a *admission) visitMintRefusal(f request.Facts, s tokenStatus, by demand) Reason {
	visit := a.notAPage(f)
	switch {
	case f.Auth == request.AppBearer:
		return ReasonAuthorization
	case by == byApp && s == absent:
		if visit != "" && f.SaysBrowser() && f.From != request.Own && f.From != request.Trusted {
			return ReasonCrossSite
		}
		return ""
	case visit != "":
		return visit
	case a.cfg.NewUsers.Mint == MintOnVisit || by == byApp:
		return ""
	case s == absent:
		return ReasonNoWrite
	}
	// The device already holds a cookie of ours, and an invalid one. Without a new one
	// its visitor could never write again.
	return ""
}

// notAPage returns "" when a visitor opens a page, and otherwise what else it is.
func (a *admission) notAPage(f request.Facts) Reason {
	switch f.Shape {
	case request.Page:
		return ""
	case request.Frame:
		if a.cfg.Cookies.Partitioned {
			return ""
		}
		return ReasonEmbedded
	case request.Frameset, request.Plugin:
		return ReasonEmbedded
	}
	return ReasonNotAPage
}

// storesUser reports whether this request stores a provisional visitor: when they write
// something themselves, outside of the forms that decide which user they become.
func (a *admission) storesUser(r *http.Request, v *visit) bool {
	return v.facts.Method == request.Write && a.writeRefusal(v, r) == nil &&
		(v.bearer || a.automatic(r, v.facts) == "") && !a.isCredentialForm(r)
}

// mayDemand reports whether the handler is likely to call Ensure on a visitor
// whom the store does not know. Then the response is wrapped in advance, so that
// the cookie is kept off a 304, and out of caches whatever a FileServer says.
func (a *admission) mayDemand(r *http.Request, v *visit) bool {
	if a.cfg.NewUsers.Mint != MintOnDemand || v.facts.IsAsset() || v.facts.IsUpgrade() || v.bearer {
		return false
	}
	if v.facts.Method != request.Get && v.facts.Method != request.Write {
		return false // a CONNECT, an OPTIONS, a HEAD: no one's first step
	}
	c := v.claims.Load()
	return c == nil || c.Provisional
}

// isCredentialForm reports whether the request goes to a form that decides by itself
// which user the visitor becomes. A sign-out is one: a user who is made only to sign
// out is one too many, and where Config.NewUsers.Limit is reached it would be a 429.
func (a *admission) isCredentialForm(r *http.Request) bool {
	if isSignOutPath(r.URL.Path) {
		return true
	}
	signOut, _, _ := strings.Cut(a.cfg.Paths.SignOut, "?")
	upgrade, _, _ := strings.Cut(a.cfg.Paths.Upgrade, "?")
	signIn, _, _ := strings.Cut(a.cfg.Paths.SignIn, "?")
	path := a.asked(r).Path
	return path == signOut || path == upgrade || path == signIn ||
		slices.ContainsFunc(a.cfg.Paths.Credentials, func(at string) bool {
			at = strings.TrimSuffix(at, "/")
			below, ok := strings.CutPrefix(path, at)
			return ok && (below == "" || below[0] == '/')
		})
}

// isSignOutPath reports whether a path is called like one to sign out: /sign-out,
// /users/sign_out, /logout/. Others are for Config.Paths.Credentials to name.
func isSignOutPath(at string) bool {
	at = strings.ToLower(strings.TrimSuffix(at, "/"))
	switch strings.NewReplacer("-", "", "_", "").Replace(path.Base(at)) {
	case "signout", "signoff", "logout", "logoff":
		return true
	}
	return at == "/out" // and not /clock/out, which is no sign-out
}
