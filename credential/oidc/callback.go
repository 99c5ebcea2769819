package oidc

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/form"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
	"golang.org/x/oauth2"
)

const (
	postedFor = 2 * time.Minute // between a provider's post and the visitor's own request
	clockSkew = time.Minute     // between a provider and this site
)

// An answer is what a provider says through the visitor's browser, so any client
// may have written it.
type answer struct {
	Code   string `json:"code,omitempty"`
	Issuer string `json:"iss,omitempty"`
	Error  string `json:"error,omitempty"`
}

// callback takes a visitor back and, when all is well, lets Continue say who
// they are from now on.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request, name string) {
	t, err := h.complete(w, r, name)
	if err != nil {
		h.refuse(w, r, err, t.ReturnTo)
		return
	}
	http.Redirect(w, r, t.ReturnTo, http.StatusSeeOther)
}

func (h *Handler) complete(w http.ResponseWriter, r *http.Request, name string) (ticket, error) {
	p := h.providers[name]
	if p == nil {
		return ticket{}, &walkin.Refusal{Status: http.StatusNotFound, Reason: ReasonUnknownProvider}
	}
	t, err := h.redeem(r, p)
	if err != nil {
		return t, err
	}
	if !slices.Contains(h.middleware.FlowIDs(r), t.Binding) {
		// Another visitor's, sent here to sign this visitor in to their account; or
		// the visitor's own, from before they became another user.
		return t, &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonBrowser,
			Text: texts.Of("oidc.elsewhere")}
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	profile, at, err := p.prove(ctx, t)
	if err != nil {
		return t, err
	}
	if t.Reproof {
		if err := h.checkReproof(r, t, profile, at); err != nil {
			return t, err
		}
	}
	var conflict walkin.Conflict
	if t.Link {
		conflict = walkin.ConflictReject
	}
	_, err = h.middleware.Continue(w, r.WithContext(context.WithValue(r.Context(), profileKey{}, profile)), walkin.Proof{
		Provider: p.Issuer, Subject: profile.Subject, Method: "fed", At: at, StateChecked: true, FlowID: t.Binding, Conflict: conflict,
		Applied: t.allowed,
	})
	if err == nil {
		// Its ticket is gone, and an office that signs in at nine is no flood. Only
		// here, where a provider has vouched for a user: a state that is sent back at
		// once costs a bot nothing.
		h.limits.GiveBack(r.Context(), h.buckets(r))
	}
	return t, err
}

// allowed rolls back what would give the site one more permanent user, where the flow
// was begun for existing users alone. In the transaction, so that a user who appears or
// goes in the meantime is judged as they are. Fails closed: whatever is neither a
// sign-in nor a change of a permanent user is refused.
func (t ticket) allowed(_ context.Context, c walkin.Change) error {
	if !t.Existing || c.Outcome == walkin.SignedIn || c.Outcome == walkin.Merged || c.Outcome == walkin.Linked {
		return nil
	}
	return &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonNoAccount, Code: "no_account",
		Text: texts.Of("oidc.no_account")}
}

// redeem returns the ticket of a callback, with the answer. The ticket is used up by
// that.
func (h *Handler) redeem(r *http.Request, p *provider) (ticket, error) {
	query := r.URL.Query()
	if repeated(query) {
		return ticket{}, malformed()
	}
	if posted := query.Get("posted"); posted != "" {
		t, _, err := h.take(r.Context(), postedKey(posted), p.Name)
		return t, err
	}
	t, _, err := h.take(r.Context(), stateKey(query.Get("state")), p.Name)
	t.Answer = answer{Code: query.Get("code"), Issuer: query.Get("iss"), Error: query.Get("error")}
	return t, err
}

// formPost keeps what a provider posts, and has the browser come for it with the
// visitor's cookies. It never changes which user a visitor is. It writes to the store
// only in place of an existing ticket, so it cannot be made to fill it.
func (h *Handler) formPost(w http.ResponseWriter, r *http.Request) {
	name, _ := callbackOf(r)
	p := h.providers[name]
	if p == nil || !p.FormPost {
		h.middleware.RefuseMethod(w, r, "GET")
		return
	}
	t, posted, err := h.keepPosted(r, p)
	if err != nil {
		h.refuse(w, r, err, t.ReturnTo)
		return
	}
	// The code stays here: a URL ends up in histories and logs. Not by the path
	// of the request: a router may have changed it, and some leave //evil.example
	// in it.
	http.Redirect(w, r, p.redirect+"?posted="+posted, http.StatusSeeOther)
}

func (h *Handler) keepPosted(r *http.Request, p *provider) (ticket, string, error) {
	if err := form.Parse(r); err != nil {
		return ticket{}, "", err
	}
	if repeated(r.PostForm) {
		return ticket{}, "", malformed()
	}
	t, kept, err := h.take(r.Context(), stateKey(r.PostForm.Get("state")), p.Name)
	if err != nil {
		return t, "", err
	}
	t.Answer = answer{Code: r.PostForm.Get("code"), Issuer: r.PostForm.Get("iss"), Error: r.PostForm.Get("error")}
	until := time.Now().Add(postedFor)
	if kept.ExpiresAt.Before(until) {
		until = kept.ExpiresAt
	}
	posted := rand.Text()
	return t, posted, h.keep(r.Context(), postedKey(posted), t, kept.UserID, until)
}

// repeated reports whether a parameter that counts is there twice: otherwise an
// attacker could choose which one is meant.
func repeated(values url.Values) bool {
	for _, name := range [...]string{"code", "state", "iss", "error", "posted"} {
		if len(values[name]) > 1 {
			return true
		}
	}
	return false
}

// prove asks the provider to verify its answer. It returns who the visitor is there,
// and when they proved it: the zero time for now.
func (p *provider) prove(ctx context.Context, t ticket) (Profile, time.Time, error) {
	at, err := p.endpoints(ctx)
	if err != nil {
		return Profile{}, time.Time{}, providerDown(err)
	}
	a := t.Answer
	switch {
	case p.Fetch == nil && (a.Issuer != "" || at.sendsIss) && a.Issuer != p.Issuer:
		// Also of an error. OAuth without OpenID has no issuer to compare; there
		// it is the callback of its own that tells providers apart.
		return Profile{}, time.Time{}, mixedUp()
	case a.Error != "":
		return Profile{}, time.Time{}, refusedThere(a.Error)
	case a.Code == "":
		return Profile{}, time.Time{}, malformed()
	}
	token, err := at.oauth.Exchange(context.WithValue(ctx, oauth2.HTTPClient, p.client), a.Code, oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return Profile{}, time.Time{}, exchangeFailed(err)
	}
	if p.Fetch != nil {
		profile, err := p.fetch(ctx, at, token)
		return profile, p.provenAt(time.Time{}), err
	}
	return p.verify(ctx, at, token, t.Nonce)
}

// provenAt returns when a sign-in was proven. authTime is what the provider says about
// that; zero if it says nothing.
func (p *provider) provenAt(authTime time.Time) time.Time {
	switch {
	case !authTime.IsZero():
		return authTime
	case p.SignInIsProof:
		return time.Time{} // now
	}
	// Fails closed: a session at the provider may be weeks old, and the visitor who
	// sits at the computer now came through it by pressing a button.
	return time.Unix(1, 0)
}

// checkReproof refuses a login flow that was to prove again who the visitor is and did
// not: one that the provider answered from an earlier session, or with another account
// than theirs.
func (h *Handler) checkReproof(r *http.Request, t ticket, profile Profile, at time.Time) error {
	if !at.IsZero() && at.Before(t.Started.Add(-clockSkew)) {
		return &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonNotFresh,
			Text: texts.Of("oidc.not_recent")}
	}
	c, ok := walkin.FromContext(r.Context())
	if !ok || c.Anonymous {
		return nil // a sign-in
	}
	owned, err := h.store.Identity(r.Context(), profile.Provider, profile.Subject)
	if errors.Is(err, store.ErrNotFound) || err == nil && owned.UserID != c.UserID {
		return &walkin.Refusal{Status: http.StatusForbidden, Reason: ReasonOtherAccount,
			Text: texts.Of("oidc.not_yours")}
	}
	return err
}

// refuse shows what went wrong, as to a request for the page the visitor wanted. So
// neither the page nor a redirect to another can pass on the code and the state.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error, returnTo string) {
	if returnTo == "" {
		returnTo = "/"
	}
	u, parseErr := url.Parse(returnTo)
	if parseErr != nil {
		u = &url.URL{Path: "/"} // ReturnTo has parsed it
	}
	clean := *r
	clean.URL, clean.RequestURI, clean.Body = u, returnTo, http.NoBody
	clean.Form, clean.PostForm = url.Values{"return_to": {returnTo}}, url.Values{}
	h.middleware.RefuseForm(w, &clean, err, h.page)
}
