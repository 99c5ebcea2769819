package walkin

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/walkin-go/walkin/internal/request"
	"github.com/walkin-go/walkin/internal/token"
	"github.com/walkin-go/walkin/texts"
)

// An admission decides what a request may do: write for its visitor, give them a new
// user, or store that user. It changes nothing.
type admission struct {
	*shared
	verifier     *verifier
	site         request.Site
	firstCookies *firstCookies
}

// A call is something that changes something for its visitor, as admission sees it.
type call struct {
	name         string // of the method that is called
	needs        need   // what must be known of the visitor
	stateChecked bool   // a safe method may do it too, see Proof.StateChecked
}

// What has to be known of the visitor of a call.
type need uint8

const (
	needsNothing     need = iota // a sign-out ends whatever there is
	needsCertainty               // whose request it is, or that it is no user's
	needsStore                   // and what the store has of them
	needsRecentProof             // a permanent user with a proof within Config.Sessions.RecentProof
)

// admit returns nil when a request may make a call, and the refusal otherwise. Every
// method that changes something for its visitor asks it first. It fails closed.
func (a *admission) admit(v *visit, r *http.Request, c call) error {
	refusal := a.changeRefusal(v, r)
	if c.stateChecked {
		refusal = a.writeRefusal(v, r)
	}
	switch {
	case c.needs > needsNothing && CheckActor(v) != nil:
		return CheckActor(v)
	case refusal != nil:
		return refusal
	case c.needs == needsRecentProof:
		refusal = a.recentProofRefusal(v)
	case c.needs >= needsCertainty && a.noCookie(v, r) != nil:
		return a.noCookie(v, r)
	case c.needs >= needsCertainty:
		refusal = a.certaintyRefusal(v, c.needs)
	}
	switch {
	case refusal != nil:
		return refusal
	case c.needs > needsNothing && v.begun():
		return errors.New("walkin: " + c.name + " was called after the response began")
	}
	return nil
}

// certaintyRefusal returns nil when it is known whose request it is.
func (a *admission) certaintyRefusal(v *visit, needs need) *Refusal {
	switch {
	case v.status == unreachable, needs == needsStore && v.unsure:
		return storeDown(nil)
	case v.status == conflicting:
		return a.twoUsers()
	case needs == needsStore && (v.reason() == ReasonClockSkew || v.status == foreign):
		// Whose request this is cannot be told here and now: a new account for a
		// visitor who has one would take theirs away.
		return &Refusal{Status: http.StatusUnauthorized, Reason: v.reason()}
	}
	return nil
}

// recentProofRefusal returns nil for a permanent user who has just proven who they are.
func (a *admission) recentProofRefusal(v *visit) *Refusal {
	c := v.claims.Load()
	switch {
	case c == nil:
		return a.noUser(v, ReasonNoUser)
	case c.Anonymous:
		return a.anonymous()
	case time.Since(c.ProvenAt) > a.cfg.Sessions.RecentProof:
		return notRecent()
	}
	return nil
}

// facts returns what is known about the sender of a request: what Handler read, or else
// what r itself says.
func (a *admission) facts(v *visit, r *http.Request) request.Facts {
	if v.facts.IsRead() {
		return v.facts
	}
	var b requestCredentials
	b.read(r.Header, a.verifier)
	return a.readFacts(r, &b)
}

func (a *admission) readFacts(r *http.Request, b *requestCredentials) request.Facts {
	some, lax := !b.bearer && !b.nothing(), false
	if !isSafe(r) {
		if b.bearer { // cookies were not read yet
			var permanent, anonymous carriedCookie
			a.cookies.find(r.Header, nil, &permanent, &anonymous)
			some = permanent.status != absent || anonymous.status != absent
		}
		_, flow := a.cookies.flowValue(r)
		some = some || flow
		lax = some && !a.cfg.Cookies.Partitioned
	}
	return request.Read(r, &a.site, some, lax)
}

// newSite returns what package request has to be told about a site.
func newSite(cfg Config, keys *token.Keyring) request.Site {
	return request.Site{
		Insecure: cfg.Cookies.Insecure, Partitioned: cfg.Cookies.Partitioned, IsOurs: keys.IsOurs,
		// CrossOriginProtection does not say which origins it trusts, nor why it
		// lets a request pass. It is asked about one from elsewhere that is
		// nothing but its origin: what it passes then is trusted wherever it goes.
		Trusts: func(origin string) bool {
			return cfg.CrossOrigin.Check(&http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/.walkin/trusted-origin"},
				Header: http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {origin}}}) == nil
		},
		IsExempt: func(r *http.Request) bool { return cfg.CrossOrigin.Check(r) == nil },
	}
}

// writeRefusal returns nil when an unsafe request may change something for its visitor,
// and the refusal otherwise. Every part of walkin that changes something asks it.
func (a *admission) writeRefusal(v *visit, r *http.Request) *Refusal {
	f := a.facts(v, r)
	if reason := f.WriteRefusal(v.status == live && !v.bearer); reason != "" {
		return foreignRequest(Reason(reason))
	}
	return nil
}

// changeRefusal is writeRefusal where a safe method may not do it either.
func (a *admission) changeRefusal(v *visit, r *http.Request) *Refusal {
	if a.facts(v, r).Method != request.Write {
		return safeMethod()
	}
	return a.writeRefusal(v, r)
}

// noUser is the refusal of a request without a user that gets none.
func (a *admission) noUser(v *visit, reason Reason) *Refusal {
	switch {
	case v.status == unreachable:
		return storeDown(nil)
	case v.status == conflicting:
		return a.twoUsers()
	case v.status == suspended:
		return refusalOf(v.more().err)
	case reason == ReasonCrossSite, reason == ReasonReport, reason == ReasonWorkerWithoutCookie:
		return foreignRequest(reason)
	case reason == ReasonNoCookie:
		return withoutCookie()
	case v.status == hasAccount:
		return signInAgain(a.cfg.Paths.SignIn)
	case v.reason() != "":
		reason = v.reason()
	}
	return &Refusal{Status: http.StatusUnauthorized, Reason: reason, Page: a.cfg.Paths.SignIn}
}

// twoUsers is the refusal of a browser that has live cookies of two users, or more
// cookies than are verified. Either user may have been planted, so neither counts, and
// only a sign-out helps.
func (a *admission) twoUsers() *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Reason: ReasonDuplicateCookie, SignOut: a.cfg.Paths.SignOut,
		Text: texts.Of("error.two_users")}
}

func (a *admission) anonymous() *Refusal {
	return &Refusal{Status: http.StatusForbidden, Reason: ReasonAnonymous, Page: a.cfg.Paths.Upgrade,
		Text: texts.Of("error.account_needed")}
}

func (a *admission) asked(r *http.Request) *url.URL { return askedBelow(a.cfg.Paths.Base, r) }
