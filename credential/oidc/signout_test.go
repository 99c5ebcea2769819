package oidc_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/walkintest"
)

// TestSignOutEndsTheRoundTrip is about a login flow which was begun without a user. If
// a page view then made a user, the flow ends with their sign-out: for a visitor
// without a user and for the next user.
func TestSignOutEndsTheRoundTrip(t *testing.T) {
	s := newSite(t, minting(walkin.MintOnVisit))
	c := s.browser()
	answer := s.op.answer(s.press(c, "op"), "mallory")
	c.Visit("/")
	c.Post("/note", nil)
	c.On(s.replicas[1]).Post("/out", nil)
	if got := c.Cookies(); len(got) > 0 {
		t.Errorf("got a jar with %v", got)
	}
	for _, next := range []func(){func() {}, func() { c.Visit("/") }} {
		next()
		if r := s.back(c, "op", answer); r.StatusCode != http.StatusForbidden || c.Cookie(permName) != "" {
			t.Errorf("got %d", r.StatusCode)
		}
	}
	if _, err := s.store.Identity(t.Context(), issuer, "mallory"); err == nil {
		t.Error("the identity was attached")
	}
}

// TestSignOutWhileAway holds that a user who signs out while the provider is being
// asked what its answer is worth stays signed out.
func TestSignOutWhileAway(t *testing.T) {
	for _, kind := range []string{"a guest", "a permanent user"} {
		s := newSite(t)
		owner := s.browser()
		s.prove(owner, "ann") // so there is an account to sign in to
		c := victims[kind](s)
		answer := s.op.answer(s.press(c, "op"), "ann")
		elsewhere := walkintest.NewClient(t, s.replicas[1])
		for _, cookie := range c.Cookies() {
			elsewhere.SetCookie(cookie.Name, cookie.Value)
		}
		s.op.token = func(http.ResponseWriter, url.Values) bool {
			elsewhere.Post("/out", nil)
			return false
		}
		r, reason := s.back(c, "op", answer), s.reason()
		if after := s.who(c); r.StatusCode != http.StatusUnauthorized || reason != "session_ended" || after.Method != "" {
			t.Errorf("%s: got %d for %q, and %+v", kind, r.StatusCode, reason, after)
		}
	}
}
