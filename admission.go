package walkin

import (
	"errors"
	"net/http"
	"time"

	"github.com/walkin-go/walkin/internal/request"
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
	case needs == needsStore && (v.reason() == "clock_skew" || v.status == foreign):
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
		return a.noUser(v, "no_user")
	case c.Anonymous:
		return a.anonymous()
	case time.Since(c.ProvenAt) > a.cfg.Sessions.RecentProof:
		return notRecent()
	}
	return nil
}
