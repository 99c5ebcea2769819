package oidc_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/oidc"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// TestUpgrade is scenario 13: what an anonymous user wrote is owned by the same ID
// afterwards, on the other replica as well.
func TestUpgrade(t *testing.T) {
	s := newSite(t)
	c, before := s.anonymous()
	planted := s.browser()
	for _, cookie := range c.Cookies() {
		planted.SetCookie(cookie.Name, cookie.Value)
	}
	to := s.press(c, "op", "return_to", "/notes?all")
	q := to.Query()
	for name, want := range map[string]string{
		"client_id": "client", "redirect_uri": "https://app.example/auth/callback/op", "response_type": "code",
		"scope": "openid profile email", "code_challenge_method": "S256", "prompt": "", "max_age": "", "response_mode": "",
	} {
		if got := q.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(name)) < 26 {
			t.Errorf("%s: got %q", name, q.Get(name))
		}
	}
	if to.Host != "op.example" || to.Path != "/authorize" {
		t.Errorf("got %s", to)
	}
	r := s.back(c.On(s.replicas[1]), "op", s.op.answer(to, "ann"))
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/notes?all" {
		t.Fatalf("got %d to %q: %s", r.StatusCode, r.Header.Get("Location"), text(r))
	}
	after := s.who(c)
	if after.ID != before.ID || after.Anonymous || after.Notes != 2 || after.Session == before.Session || after.Method != "fed" {
		t.Errorf("got %+v after %+v", after, before)
	}
	identity, err := s.store.Identity(t.Context(), issuer, "ann")
	if err != nil || identity.UserID != before.ID || len(identity.Secret) != 0 {
		t.Errorf("got %+v, %v", identity, err)
	}
	if r := c.Visit("/members"); r.StatusCode != http.StatusOK {
		t.Errorf("members: got %d", r.StatusCode)
	}
	if r := planted.Post("/note", nil); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old cookie: got %d", r.StatusCode)
	}
	s.quiet("")
}

// TestLinkOnly holds that a visitor who came to link an identity is never signed in to
// another user, and that their own session goes on.
func TestLinkOnly(t *testing.T) {
	for name, setup := range map[string]setup{
		"signing in": minting(walkin.MintOnVisit),
		"merging": func(c *walkin.Config, o *oidc.Config) {
			minting(walkin.MintOnVisit)(c, o)
			c.Conflict = walkin.ConflictMerge
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, setup)
			s.prove(s.browser(), "ann")
			b, before := s.anonymous()
			if r := s.prove(b, "ann", "link", "1"); r.StatusCode != http.StatusConflict || s.reason() != "identity_taken" {
				t.Errorf("another's: got %d %s", r.StatusCode, s.reason())
			}
			if after := s.who(b); after.ID != before.ID {
				t.Errorf("got %v, want %v as before", after.ID, before.ID)
			}
			if r := s.prove(b, "bea", "link", "1"); r.StatusCode != http.StatusSeeOther {
				t.Errorf("a free one: got %d", r.StatusCode)
			}
			if after := s.who(b); after.ID != before.ID {
				t.Errorf("linked: got %v, want %v", after.ID, before.ID)
			}
		})
	}
}

// TestExistingOnly holds that a flow for existing users makes no permanent user, on
// either replica, and that those there are sign in, are merged into and link.
func TestExistingOnly(t *testing.T) {
	noOne := func(s *site) *walkintest.Client { return s.browser() }
	anonymous := func(s *site) *walkintest.Client { c, _ := s.anonymous(); return c }
	reader := func(s *site) *walkintest.Client { c := s.browser(); c.Visit("/"); return c }
	bea := func(s *site) *walkintest.Client { c, _ := s.member("bea"); return c }
	merge := func(c *walkin.Config, _ *oidc.Config) {
		c.NewUsers.Mint, c.Conflict = walkin.MintOnVisit, walkin.ConflictMerge
	}
	for _, tt := range []struct {
		name    string
		visitor func(*site) *walkintest.Client
		owned   bool
		setup   setup
		want    walkin.Outcome
	}{
		{"no one, free", noOne, false, minting(walkin.MintOff), ""},
		{"no one, owned", noOne, true, minting(walkin.MintOff), walkin.SignedIn},
		{"minted on the way, free", noOne, false, minting(walkin.MintOnVisit), ""},
		{"a reader, free", reader, false, minting(walkin.MintOnVisit), ""},
		{"a reader, owned", reader, true, minting(walkin.MintOnVisit), walkin.SignedIn},
		{"an anonymous user, free", anonymous, false, minting(walkin.MintOnVisit), ""},
		{"an anonymous user, owned", anonymous, true, minting(walkin.MintOnVisit), walkin.SignedIn},
		{"an anonymous user, owned, merging", anonymous, true, merge, walkin.Merged},
		{"a permanent user, free", bea, false, minting(walkin.MintOnVisit), walkin.Linked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, tt.setup)
			if tt.owned {
				s.prove(s.browser(), "ann")
			}
			b := tt.visitor(s)
			before := s.glance(b)
			s.events = nil
			r := s.back(b.On(s.replicas[1]), "op", s.op.answer(s.press(b, "op", "existing", "1"), "ann"))
			if s.outcome() != tt.want {
				t.Fatalf("got %d, %q, want %q: %s", r.StatusCode, s.outcome(), tt.want, text(r))
			}
			if tt.want != "" {
				return
			}
			if r.StatusCode != http.StatusForbidden || s.reason() != string(oidc.ReasonNoAccount) {
				t.Errorf("got %d %s", r.StatusCode, s.reason())
			}
			if after := s.glance(b); before.ID != uuid.Nil && after != before {
				t.Errorf("got %+v, want %+v as before", after, before)
			}
			if _, err := s.store.Identity(t.Context(), issuer, "ann"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the identity is there: %v", err)
			}
			// The field is the flow's and not the visitor's: the next one without it makes one.
			if s.prove(b, "ann"); s.outcome() != walkin.SignedUp && s.outcome() != walkin.Upgraded {
				t.Errorf("without the field: got %q", s.outcome())
			}
		})
	}
}

// TestOutcomes is the table of Continue, by way of a provider.
func TestOutcomes(t *testing.T) {
	nobody := func(s *site) *walkintest.Client { return s.browser() }
	guest := func(s *site) *walkintest.Client { c, _ := s.anonymous(); return c }
	reader := func(s *site) *walkintest.Client { c := s.browser(); c.Visit("/"); return c }
	bea := func(s *site) *walkintest.Client { c, _ := s.member("bea"); return c }
	merge := func(c *walkin.Config, _ *oidc.Config) { c.Conflict = walkin.ConflictMerge }
	reject := func(c *walkin.Config, _ *oidc.Config) { c.Conflict = walkin.ConflictReject }
	for _, c := range []struct {
		name    string
		visitor func(*site) *walkintest.Client
		owned   bool
		setup   setup
		want    walkin.Outcome
		status  int
	}{
		{"nobody, free", nobody, false, minting(walkin.MintOff), walkin.SignedUp, 303},
		{"nobody, owned", nobody, true, minting(walkin.MintOff), walkin.SignedIn, 303},
		{"nobody who is minted on the way", nobody, false, minting(walkin.MintOnVisit), walkin.Upgraded, 303},
		{"a reader, free", reader, false, nil, walkin.Upgraded, 303},
		{"a reader, owned", reader, true, reject, walkin.SignedIn, 303},
		{"a guest, free", guest, false, nil, walkin.Upgraded, 303},
		{"a guest, owned", guest, true, nil, walkin.SignedIn, 303},
		{"a guest, owned, merging", guest, true, merge, walkin.Merged, 303},
		{"a guest, owned, rejecting", guest, true, reject, "", 409},
		{"a permanent user, free", bea, false, nil, walkin.Linked, 303},
		{"a permanent user, owned by another", bea, true, nil, "", 409},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.setup == nil {
				c.setup = minting(walkin.MintOnVisit)
			}
			s := newSite(t, c.setup)
			if c.owned {
				if r := s.prove(s.browser(), "ann"); r.StatusCode != http.StatusSeeOther {
					t.Fatalf("got %d: %s", r.StatusCode, text(r))
				}
			}
			b := c.visitor(s)
			before := s.glance(b)
			s.events = nil
			r := s.prove(b, "ann")
			if r.StatusCode != c.status || s.outcome() != c.want {
				t.Fatalf("got %d, %q, want %d, %q: %s", r.StatusCode, s.outcome(), c.status, c.want, text(r))
			}
			after := s.who(b)
			switch c.want {
			case "":
				if after != before {
					t.Errorf("got %+v, want %+v as before", after, before)
				}
			case walkin.SignedIn, walkin.SignedUp:
				if after.ID == before.ID {
					t.Errorf("got %v, want another user", after.ID)
				}
			case walkin.Upgraded, walkin.Linked:
				if before.ID != uuid.Nil && after.ID != before.ID {
					t.Errorf("got %v, want %v as before", after.ID, before.ID)
				}
			case walkin.Merged:
				if after.Notes != 2 {
					t.Errorf("got %d notes, want the guest's two", after.Notes)
				}
			}
		})
	}
}

// TestStartMakesNoGuest holds that pressing a button and going away again
// leaves no user behind.
func TestStartMakesNoGuest(t *testing.T) {
	for _, m := range []walkin.Mint{walkin.MintOnVisit, walkin.MintOnWrite, walkin.MintOnDemand, walkin.MintOff} {
		s := newSite(t, minting(m))
		c := s.browser()
		s.press(c, "op")
		reader := s.browser()
		reader.Visit("/")
		s.press(reader, "op")
		s.press(reader, "other")
		for _, e := range s.events {
			if e.Outcome == walkin.Persisted {
				t.Errorf("mint %d: a row was made", m)
			}
		}
	}
}

// TestTwoVisitorsOneIdentity is scenario 11: of twenty visitors on two replicas
// who prove one identity at once, one has it and nineteen are refused.
func TestTwoVisitorsOneIdentity(t *testing.T) {
	s := newSite(t, func(c *walkin.Config, _ *oidc.Config) { c.Conflict = walkin.ConflictReject })
	const n = 20
	var browsers [n]*walkintest.Client
	var before [n]who
	var answers [n]url.Values
	for i := range n {
		browsers[i], before[i] = s.anonymous()
		answers[i] = s.op.answer(s.press(browsers[i], "op"), "ann")
	}
	var responses [n]*http.Response
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { responses[i] = s.back(browsers[i].On(s.replicas[i%2]), "op", answers[i]) })
	}
	wg.Wait()
	won := 0
	for i, r := range responses {
		after := s.who(browsers[i])
		switch r.StatusCode {
		case http.StatusSeeOther:
			won++
			if after.ID != before[i].ID || after.Anonymous || after.Notes != 2 {
				t.Errorf("the winner: got %+v after %+v", after, before[i])
			}
		case http.StatusConflict:
			if after != before[i] {
				t.Errorf("a loser: got %+v, want %+v as before", after, before[i])
			}
		default:
			t.Errorf("got %d: %s", r.StatusCode, text(r))
		}
	}
	if won != 1 {
		t.Errorf("%d have the identity, want one", won)
	}
}

// TestDoubleClick is scenario 12: the button is pressed twice, and both answers
// come back at the same moment, to two replicas.
func TestDoubleClick(t *testing.T) {
	for range 10 {
		s := newSite(t)
		c, before := s.anonymous()
		var answers [2]url.Values
		for i := range answers {
			answers[i] = s.op.answer(s.press(c.On(s.replicas[i]), "op"), "ann")
		}
		var requests [2]*http.Request
		for i := range requests {
			requests[i] = callback(c, "op", answers[i])
			c.Carry(requests[i]) // both are on their way before either is answered
		}
		var responses [2]*http.Response
		var wg sync.WaitGroup
		for i := range requests {
			wg.Go(func() {
				var err error
				if responses[i], err = c.On(s.replicas[i]).Serve(requests[i]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, r := range responses {
			if r.StatusCode != http.StatusSeeOther {
				t.Errorf("got %d for %q: %s", r.StatusCode, s.reason(), text(r))
			}
			c.Keep(r)
		}
		if after := s.who(c); after.ID != before.ID || after.Anonymous || after.Notes != 2 || s.identities(before.ID) != 1 {
			t.Errorf("got %+v after %+v", after, before)
		}
	}
}

// TestHookFails is scenario 14.
func TestHookFails(t *testing.T) {
	for name, hook := range map[string]func(walkin.Change) error{
		"an error": func(walkin.Change) error { return errors.New("the app's own") },
		"a panic":  func(walkin.Change) error { panic("the app's own") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c, before := s.anonymous()
			answer := s.op.answer(s.press(c, "op"), "ann")
			s.hook = hook
			r := callback(c, "op", answer)
			c.Carry(r)
			if response, err := c.Serve(r); err == nil {
				c.Keep(response)
				s.refused(c, response, before, http.StatusInternalServerError, "internal")
			}
			if after := s.who(c); after != before || s.identities(before.ID) != 0 {
				t.Errorf("got %+v, want %+v as before", after, before)
			}
			s.hook = nil
			if r := s.prove(c, "ann"); r.StatusCode != http.StatusSeeOther || s.who(c).ID != before.ID {
				t.Errorf("trying again: got %d", r.StatusCode)
			}
		})
	}
}

// TestReproof holds what counts as a recent proof: what the provider says was shown
// just now, and not that it let a visitor through.
func TestReproof(t *testing.T) {
	const (
		hour = 3600
		free = "" // the visitor signs up by it
	)
	trusting := provider(func(p *oidc.Provider) { p.SignInIsProof = true })
	for _, c := range []struct {
		name    string
		reproof bool
		age     any // of auth_time, in seconds; nil: the provider does not say
		setup   setup
		status  int
		reason  string
		recent  bool
	}{
		{"a sign-in of just now", false, 1, nil, 303, "", true},
		{"a session of an hour", false, hour, nil, 303, "", false},
		{"it does not say", false, nil, nil, 303, "", false},
		{"it does not say, and is trusted", false, nil, trusting, 303, "", true},
		{"it says, and is trusted", false, hour, trusting, 303, "", false},
		{"re-proof, shown just now", true, 1, nil, 303, "", true},
		{"re-proof, answered silently", true, hour, nil, 403, "oidc_not_fresh", false},
		{"re-proof, it does not say", true, nil, nil, 403, "oidc_not_fresh", false},
		{"re-proof, it does not say and is trusted", true, nil, trusting, 303, "", true},
		{"re-proof, answered silently, and is trusted", true, hour, trusting, 403, "oidc_not_fresh", false},
		{"the clock of the provider is ahead", false, -30, nil, 303, "", true},
		{"the provider is of the future", false, -hour, nil, 403, "oidc_not_believed", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.setup == nil {
				c.setup = minting(walkin.MintOnVisit)
			}
			s := newSite(t, c.setup)
			first := s.browser()
			s.op.claims = func(m map[string]any) { m["auth_time"] = time.Now().Add(-2 * time.Hour).Unix() }
			if r := s.prove(first, "ann"); r.StatusCode != http.StatusSeeOther {
				t.Fatalf("got %d: %s", r.StatusCode, text(r))
			}
			if r := first.Fetch("/danger"); r.StatusCode != http.StatusForbidden {
				t.Fatalf("a session of two hours at the provider: got %d", r.StatusCode)
			}
			before := s.who(first)
			s.op.claims = func(m map[string]any) {
				if age, ok := c.age.(int); ok {
					m["auth_time"] = time.Now().Unix() - int64(age)
				}
			}
			var more []string
			if c.reproof {
				more = []string{"reproof", "1"}
			}
			to := s.press(first, "op", more...)
			q := to.Query()
			if (q.Get("prompt") == "login" && q.Get("max_age") == "0") != c.reproof {
				t.Errorf("got prompt %q and max_age %q", q.Get("prompt"), q.Get("max_age"))
			}
			r := s.back(first, "op", s.op.answer(to, "ann"))
			if c.status != http.StatusSeeOther {
				s.refused(first, r, before, c.status, c.reason)
			} else if r.StatusCode != c.status {
				t.Errorf("got %d for %q, want %d", r.StatusCode, s.reason(), c.status)
			}
			want := http.StatusForbidden
			if c.recent {
				want = http.StatusOK
			}
			if r := first.Fetch("/danger"); r.StatusCode != want {
				t.Errorf("RequireRecent: got %d, want %d", r.StatusCode, want)
			}
		})
	}
}

// TestReproofByAnother holds that a re-proof is one of the user's own
// identities, and links none.
func TestReproofByAnother(t *testing.T) {
	s := newSite(t)
	s.op.claims = func(m map[string]any) { m["auth_time"] = time.Now().Unix() }
	if r := s.prove(s.browser(), "eve"); r.StatusCode != http.StatusSeeOther {
		t.Fatal(r.StatusCode)
	}
	for _, sub := range []string{"eve", "somebody new"} {
		c, before := s.member("ann " + sub) // whose proof is recent, so that a link would succeed
		r := s.prove(c, sub, "reproof", "1")
		s.refused(c, r, before, http.StatusForbidden, "oidc_other_account")
		if n := s.identities(before.ID); n != 1 {
			t.Errorf("got %d identities", n)
		}
	}
}

// TestReproofOfNoAccount holds that a visitor who has no account to prove signs in or
// up by a re-proof, as by any sign-in.
func TestReproofOfNoAccount(t *testing.T) {
	for name, visitor := range map[string]func(*site) *walkintest.Client{
		"without a user":    func(s *site) *walkintest.Client { return s.browser() },
		"an anonymous user": func(s *site) *walkintest.Client { c, _ := s.anonymous(); return c },
	} {
		for _, owned := range []bool{false, true} {
			s := newSite(t, minting(walkin.MintOnWrite))
			s.op.claims = func(m map[string]any) { m["auth_time"] = time.Now().Unix() }
			if owned {
				s.prove(s.browser(), "ann")
			}
			c := visitor(s)
			r := s.prove(c, "ann", "reproof", "1")
			if r.StatusCode != http.StatusSeeOther || s.who(c).Anonymous || (s.outcome() == walkin.SignedIn) != owned {
				t.Errorf("%s, owned %t: got %d for %q, and %q", name, owned, r.StatusCode, s.reason(), s.outcome())
			}
		}
	}
}

// TestLink holds that a link needs a recent proof, and is none itself unless
// the provider says so.
func TestLink(t *testing.T) {
	s := newSite(t)
	c, before := s.member("ann")
	if r := s.prove(c, "ann"); r.StatusCode != http.StatusSeeOther || s.outcome() != walkin.Linked {
		t.Fatalf("got %d: %s", r.StatusCode, text(r))
	}
	after := s.who(c)
	if after.ID != before.ID || after.Method != "pwd" || after.ProvenAt != before.ProvenAt || s.identities(before.ID) != 2 {
		t.Errorf("got %+v after %+v", after, before)
	}

	s = newSite(t, func(c *walkin.Config, _ *oidc.Config) { c.Sessions.RecentProof = time.Nanosecond })
	c, before = s.member("ann")
	s.refused(c, s.prove(c, "ann"), before, http.StatusForbidden, "not_recent")
	if n := s.identities(before.ID); n != 1 {
		t.Errorf("got %d identities, want one", n)
	}
}

// TestProfile is scenario 10: an address counts as verified when the provider
// says so and the site believes it, and is matched with nothing.
func TestProfile(t *testing.T) {
	listed := provider(func(p *oidc.Provider) { p.VerifiesEmail = true })
	unlisted := provider(func(*oidc.Provider) {})
	const address = "ann@example.com"
	for _, c := range []struct {
		name     string
		setup    setup
		claims   map[string]any
		userinfo map[string]any
		verified bool
		want     string
		called   string
	}{
		{"verified, listed", listed, map[string]any{"email": address, "email_verified": true}, nil, true, address, ""},
		{"verified as a text, listed", listed, map[string]any{"email": address, "email_verified": "true"}, nil, true, address, ""},
		{"verified, not listed", unlisted, map[string]any{"email": address, "email_verified": true}, nil, false, address, ""},
		{"not verified", listed, map[string]any{"email": address, "email_verified": false}, nil, false, address, ""},
		{"not verified as a text", listed, map[string]any{"email": address, "email_verified": "false"}, nil, false, address, ""},
		{"not verified, not listed", unlisted, map[string]any{"email": address}, nil, false, address, ""},
		{"nothing said", listed, map[string]any{"email": address}, nil, false, address, ""},
		{"a number", listed, map[string]any{"email": address, "email_verified": 1}, nil, false, address, ""},
		{"null", listed, map[string]any{"email": address, "email_verified": nil}, nil, false, address, ""},
		{"in userinfo", listed, nil, map[string]any{"sub": "ann", "email": address, "email_verified": true}, true, address, ""},
		{"in userinfo, not verified", listed, nil, map[string]any{"sub": "ann", "email": address}, false, address, ""},
		{"verified there, another here", listed, map[string]any{"email": address}, map[string]any{"sub": "ann", "email": "x@example.com", "email_verified": true}, false, address, ""},
		{"none", listed, nil, nil, false, "", ""},
		{"two lines", listed, map[string]any{"email": address + "\r\nBcc: x", "email_verified": true}, nil, false, "", ""},
		{"254 bytes", listed, map[string]any{"email": ofLength(254), "email_verified": true}, nil, true, ofLength(254), ""},
		{"255 bytes", listed, map[string]any{"email": ofLength(255), "email_verified": true}, nil, false, "", ""},
		{"254 bytes, not verified", listed, map[string]any{"email": ofLength(254)}, nil, false, ofLength(254), ""},
		{"255 bytes, not verified", listed, map[string]any{"email": ofLength(255)}, nil, false, "", ""},
		{"a name", listed, map[string]any{"email": address, "name": " Ann "}, nil, false, address, "Ann"},
		{"a name in userinfo", listed, nil, map[string]any{"sub": "ann", "email": address, "name": "Ann"}, false, address, "Ann"},
		{"a name here and there", listed, map[string]any{"name": "Ann"}, map[string]any{"sub": "ann", "email": address, "name": "Another"}, false, address, "Ann"},
		{"a name of 255 bytes", listed, map[string]any{"name": strings.Repeat("x", 255)}, nil, false, "", strings.Repeat("x", 255)},
		{"a name of 256 bytes", listed, map[string]any{"name": strings.Repeat("x", 256)}, nil, false, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.setup)
			s.op.claims = func(m map[string]any) {
				maps.Copy(m, c.claims)
			}
			s.op.userinfo = c.userinfo
			victim, _ := s.member(address) // owns an account of that name here
			owner := s.who(victim)
			b, before := s.anonymous()
			if r := s.prove(b, "ann"); r.StatusCode != http.StatusSeeOther {
				t.Fatalf("got %d for %q", r.StatusCode, s.reason())
			}
			if after := s.who(b); after.ID != before.ID || after.ID == owner.ID {
				t.Errorf("got %v, want %v", after.ID, before.ID)
			}
			got := s.profiles[len(s.profiles)-1]
			want := oidc.Profile{Provider: issuer, Subject: "ann", UnverifiedEmail: c.want, Name: c.called}
			if c.verified {
				want.Email, want.UnverifiedEmail = c.want, ""
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			s.quiet("")
		})
	}
	if _, ok := oidc.ProfileFrom(context.Background()); ok {
		t.Error("got a profile from nowhere")
	}
}

// ofLength returns an address of n bytes.
func ofLength(n int) string { return strings.Repeat("x", n-len("@example.com")) + "@example.com" }

// TestUserinfoIsAsked holds that the provider is asked for the address where the ID
// token has none and the site wants one, and not otherwise.
func TestUserinfoIsAsked(t *testing.T) {
	none := func(m map[string]any) { delete(m, "userinfo_endpoint") }
	for name, c := range map[string]struct {
		scopes    []string
		email     string
		discovery func(map[string]any)
		want      int
	}{
		"no address in the ID token":  {nil, "", nil, 1},
		"an address in the ID token":  {nil, "ann@example.com", nil, 0},
		"no address is wanted":        {[]string{"profile"}, "", nil, 0},
		"an address alone is wanted":  {[]string{"email"}, "", nil, 1},
		"there is no userinfo to ask": {nil, "", none, 0},
	} {
		s := newSite(t, provider(func(p *oidc.Provider) { p.Scopes = c.scopes }))
		s.op.discovery = c.discovery
		if c.email != "" {
			s.op.claims = func(m map[string]any) { m["email"] = c.email }
		}
		b, _ := s.anonymous()
		if r := s.prove(b, "ann"); r.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: got %d for %q", name, r.StatusCode, s.cause())
		}
		if got := s.op.called("/userinfo"); got != c.want {
			t.Errorf("%s: it was asked %d times, want %d", name, got, c.want)
		}
	}
}

// TestCancelled holds that a visitor who does not go on, or cannot, comes back
// as who they were.
func TestCancelled(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(*site, *url.URL) url.Values
		fault  func(*op)
		status int
		reason string
		cause  string // that the operator is told
	}{
		{"no consent", says("error", "access_denied"), nil, 403, "oidc_denied", ""},
		{"no sign-in", says("error", "login_required"), nil, 403, "oidc_denied", ""},
		{"it fails", says("error", "server_error"), nil, 503, "oidc_provider_down", "the provider answered server_error"},
		{"it says something", says("error", "ann@example.com <script>"), nil, 503, "oidc_provider_down", "the provider answered an unknown error code"},
		{"no code", says("x", "y"), nil, 400, "oidc_malformed", ""},
		{"no such code", says("code", "guessed"), nil, 403, "oidc_not_believed", "the token endpoint answered 400, invalid_grant"},
		{"it is down by then", nil, func(o *op) { o.down = true }, 503, "oidc_provider_down", "cannot be reached: dial tcp: connection to op.example refused"},
		{"the exchange fails", nil, func(o *op) {
			o.token = func(w http.ResponseWriter, _ url.Values) bool {
				http.Error(w, "ann@example.com: "+accessToken, http.StatusBadGateway)
				return true
			}
		}, 503, "oidc_provider_down", "the token endpoint answered 502, without an error code"},
		{"nonsense", nil, func(o *op) {
			o.token = func(w http.ResponseWriter, _ url.Values) bool { _, _ = w.Write([]byte("eyJ{")); return true }
		}, 503, "oidc_provider_down", "the provider did not answer as it should"},
		{"no ID token", nil, func(o *op) { o.idToken = func(string) string { return "" } }, 403, "oidc_not_believed", "there is no ID token"},
		{"no keys to be had", nil, func(o *op) { o.fails = "/keys" }, 503, "oidc_provider_down", "the provider's keys could not be fetched"},
		{"userinfo fails", nil, func(o *op) { o.fails = "/userinfo" }, 503, "oidc_provider_down", "the provider did not answer as it should"},
		{"userinfo is broken", nil, func(o *op) { o.userinfo = map[string]any{"sub": "ann", "email": 7} }, 503, "oidc_provider_down", "the provider did not answer as it should"},
		{"userinfo of another", nil, func(o *op) { o.userinfo = map[string]any{"sub": "eve", "email": "eve@example.com"} }, 403, "oidc_not_believed", "userinfo is about another user"},
		{"userinfo is malformed", nil, func(o *op) { o.userinfo = map[string]any{"sub": "ann", "name": 7} }, 403, "oidc_not_believed", "userinfo is malformed"},
	} {
		for _, visitor := range []string{"a guest", "a permanent user", "nobody"} {
			t.Run(c.name+"/"+visitor, func(t *testing.T) {
				s := newSite(t, minting(walkin.MintOnWrite))
				b := s.browser()
				switch visitor {
				case "a guest":
					b, _ = s.anonymous()
				case "a permanent user":
					b, _ = s.member("bea")
				}
				to := s.press(b, "op", "return_to", "/notes")
				before := s.who(b)
				if c.fault != nil {
					c.fault(s.op)
				}
				var answer url.Values
				if c.answer != nil {
					answer = c.answer(s, to)
				} else {
					answer = s.op.answer(to, "ann")
				}
				s.refused(b, s.back(b, "op", answer), before, c.status, c.reason)
				if got := s.cause(); !strings.Contains(got, c.cause) || (c.cause == "") != strings.HasSuffix(got, " <nil>") {
					t.Errorf("the operator is told %q, want %q in it", got, c.cause)
				}
			})
		}
	}
}

func says(name, value string) func(*site, *url.URL) url.Values {
	return func(_ *site, to *url.URL) url.Values {
		return url.Values{"state": {to.Query().Get("state")}, name: {value}}
	}
}

// TestPage holds what an app's page is shown with, and that neither it nor a
// redirect hands on the code and the state.
func TestPage(t *testing.T) {
	var shown walkin.Form
	var asked *http.Request
	s := newSite(t, func(_ *walkin.Config, c *oidc.Config) {
		c.Page = func(w http.ResponseWriter, r *http.Request, f walkin.Form) {
			shown, asked = f, r
			w.WriteHeader(f.Status)
		}
	})
	c, before := s.anonymous()
	to := s.press(c, "op", "return_to", "/notes?all")
	r := s.back(c, "op", url.Values{"state": {to.Query().Get("state")}, "code": {"secret"}, "error": {"access_denied"}})
	s.refused(c, r, before, http.StatusForbidden, "oidc_denied")
	if shown.Status != http.StatusForbidden || shown.ReturnTo != "/notes?all" || shown.Refusal == nil || shown.Refusal.Message == "" {
		t.Errorf("got %+v", shown)
	}
	if got := asked.URL.String() + asked.RequestURI + asked.FormValue("code") + asked.FormValue("state"); got != "/notes?all/notes?all" {
		t.Errorf("the page was asked for %q", got)
	}
	if claims, ok := walkin.FromContext(asked.Context()); !ok || claims.UserID != before.ID {
		t.Error("the page does not know its visitor")
	}
	s.refused(c, s.back(c, "op", url.Values{"state": {"guessed"}, "code": {"secret"}}), before, http.StatusForbidden, "oidc_state")
	if got := asked.URL.String() + asked.RequestURI; got != "//" || shown.ReturnTo != "/" {
		t.Errorf("without a login flow: the page was asked for %q, with %q to return to", got, shown.ReturnTo)
	}
	if r := c.Visit("/auth/start?return_to=/x"); r.StatusCode != http.StatusOK || shown.Refusal != nil || shown.ReturnTo != "/x" {
		t.Errorf("the form for the first time: got %d, %+v", r.StatusCode, shown)
	}
	if r := c.Post("/auth/start", pressed("unheard-of")); r.StatusCode != http.StatusUnprocessableEntity || shown.Refusal.Message == "" {
		t.Errorf("an unknown provider: got %d", r.StatusCode)
	}
	s.op.down = true
	s.wk[0], s.op.calls = nil, nil
	if r := c.On(newSiteOver(s)).Post("/auth/start", pressed("op", "return_to", "/y")); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a provider that is down: got %d", r.StatusCode)
	}

	// A hook may send the visitor elsewhere; the way back is not the callback.
	s = newSite(t)
	c, _ = s.anonymous()
	s.hook = func(walkin.Change) error { return &walkin.Refusal{Status: 403, Reason: "ban", Page: "/banned"} }
	r = s.prove(c, "ann", "return_to", "/notes")
	if got := r.Header.Get("Location"); got != "/banned?return_to=%2Fnotes" {
		t.Errorf("got %q", got)
	}
}

// TestWithPage holds that another page is shown in place of Config.Page, for the
// visitor, and that the handler it was made from keeps its own.
func TestWithPage(t *testing.T) {
	var shown []string
	page := func(name string) walkin.Page {
		return func(_ http.ResponseWriter, r *http.Request, _ walkin.Form) {
			c, _ := walkin.FromContext(r.Context())
			shown = append(shown, name+" "+c.UserID.String())
		}
	}
	s := newSite(t, func(_ *walkin.Config, c *oidc.Config) { c.Page = page("first") })
	c, before := s.anonymous()
	second := s.sso[0].(*oidc.Handler).WithPage(page("second"))
	for _, h := range []http.Handler{second, s.sso[0]} {
		c := c.On(h)
		s.back(c, "op", url.Values{"state": {"guessed"}})
		c.Post("/auth/start", pressed("unheard-of"))
	}
	id := " " + before.ID.String()
	if want := []string{"second" + id, "second" + id, "first" + id, "first" + id}; !slices.Equal(shown, want) {
		t.Errorf("got %q, want %q", shown, want)
	}
}

// newSiteOver returns a replica that has not asked the providers yet.
func newSiteOver(s *site) http.Handler {
	s.t.Helper()
	fresh := newSite(s.t, func(c *walkin.Config, sso *oidc.Config) {
		c.Store = s.store
		sso.Client = &http.Client{Transport: web{"op.example": s.op, "other.example": s.other}}
	})
	return fresh.replicas[0]
}

// TestReturnTo holds that a login flow ends on this site.
func TestReturnTo(t *testing.T) {
	s := newSite(t)
	for _, evil := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "/%5cevil.example", "javascript:alert(1)", ""} {
		c, _ := s.anonymous()
		if r := s.prove(c, "user "+evil, "return_to", evil); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/" {
			t.Errorf("%q: got %d to %q", evil, r.StatusCode, r.Header.Get("Location"))
		}
	}
}

// TestProviderDown holds that a provider that is down keeps no site down, and
// is asked again when it is back.
func TestProviderDown(t *testing.T) {
	s := newSite(t)
	s.op.down = true
	c, before := s.anonymous()
	for range 2 {
		s.refused(c, c.Post("/auth/start", pressed("op")), before, http.StatusServiceUnavailable, "oidc_provider_down")
	}
	if r := s.back(c, "other", s.other.answer(s.press(c, "other"), "ann")); r.StatusCode != http.StatusSeeOther {
		t.Errorf("the other provider: got %d", r.StatusCode)
	}
	s.op.down = false
	for range 3 {
		s.press(c, "op")
	}
	if n := s.op.called("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("it was asked %d times, want once", n)
	}
}

// TestDiscovery holds what a document must say.
func TestDiscovery(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"another issuer":           func(m map[string]any) { m["issuer"] = "https://evil.example" },
		"a slash more":             func(m map[string]any) { m["issuer"] = issuer + "/" },
		"http for the code":        func(m map[string]any) { m["token_endpoint"] = "http://op.example/token" },
		"http for the visitor":     func(m map[string]any) { m["authorization_endpoint"] = "http://op.example/authorize" },
		"a script":                 func(m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" },
		"http for the keys":        func(m map[string]any) { m["jwks_uri"] = "http://op.example/keys" },
		"no keys":                  func(m map[string]any) { delete(m, "jwks_uri") },
		"http for the userinfo":    func(m map[string]any) { m["userinfo_endpoint"] = "http://op.example/userinfo" },
		"no endpoint for the code": func(m map[string]any) { delete(m, "token_endpoint") },
		"a text for a list":        func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = "client_secret_basic" },
		"a list for a text":        func(m map[string]any) { m["token_endpoint"] = []string{} },
	} {
		s := newSite(t)
		s.op.discovery = change
		c, before := s.anonymous()
		s.refused(c, c.Post("/auth/start", pressed("op")), before, http.StatusServiceUnavailable, "oidc_provider_down")
		want := "walkin: oidc: discovery: "
		if strings.HasPrefix(name, "another issuer") || strings.HasPrefix(name, "a slash") {
			want += `walkin: oidc: the provider calls itself another issuer than "https://op.example"`
		}
		if got := s.cause(); !strings.Contains(got, want) {
			t.Errorf("the operator is told %q, want %q", got, want)
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestDiscoveryFails holds that nothing of what a provider answers instead is
// told to anybody.
func TestDiscoveryFails(t *testing.T) {
	s := newSite(t)
	s.op.fails = "/.well-known/openid-configuration"
	c, before := s.anonymous()
	s.refused(c, c.Post("/auth/start", pressed("op")), before, http.StatusServiceUnavailable, "oidc_provider_down")
}

// TestOutside holds that the handler knows its visitors when it stands outside of
// the middleware, where the site's own routes are not.
func TestOutside(t *testing.T) {
	var asked who
	s := newSite(t, func(_ *walkin.Config, c *oidc.Config) {
		c.Page = func(_ http.ResponseWriter, r *http.Request, _ walkin.Form) {
			c, _ := walkin.FromContext(r.Context())
			asked = who{ID: c.UserID}
		}
	})
	c, before := s.anonymous()
	outside := c.On(s.sso[0])
	to := s.press(outside, "op")
	s.back(outside, "op", url.Values{"state": {to.Query().Get("state")}, "error": {"access_denied"}})
	if asked.ID != before.ID {
		t.Errorf("the page was shown to %v, want %v", asked.ID, before.ID)
	}
	if r := s.prove(outside, "ann"); r.StatusCode != http.StatusSeeOther || s.who(c).ID != before.ID || s.who(c).Anonymous {
		t.Errorf("got %d, %+v", r.StatusCode, s.who(c))
	}
}

// TestClientAuthentication holds that a secret goes the way the provider wants
// it, and a code is shown once.
func TestClientAuthentication(t *testing.T) {
	for name, methods := range map[string]any{
		"nothing said": nil, "basic": []string{"client_secret_basic"}, "post": []string{"client_secret_post"},
		"both": []string{"client_secret_post", "client_secret_basic"},
	} {
		s := newSite(t)
		s.op.discovery = func(m map[string]any) {
			if methods != nil {
				m["token_endpoint_auth_methods_supported"] = methods
			}
		}
		c, _ := s.anonymous()
		inBody := false
		s.op.token = func(_ http.ResponseWriter, form url.Values) bool { inBody = form.Has("client_secret"); return false }
		if r := s.prove(c, "ann"); r.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: got %d for %q", name, r.StatusCode, s.reason())
		}
		if inBody != (name == "post") || s.op.called("/token") != 1 {
			t.Errorf("%s: in the body %t, %d calls", name, inBody, s.op.called("/token"))
		}
	}
}

// TestPublicClient holds that a client without a secret names itself in the body, as
// OAuth has it for those who do not authenticate, whatever the provider takes of others.
func TestPublicClient(t *testing.T) {
	s := newSite(t, provider(func(p *oidc.Provider) { p.ClientSecret = "" }))
	s.op.public = true
	s.op.discovery = func(m map[string]any) {
		m["token_endpoint_auth_methods_supported"] = []string{"none", "client_secret_basic"}
	}
	named := ""
	s.op.token = func(_ http.ResponseWriter, form url.Values) bool { named = form.Get("client_id"); return false }
	c, _ := s.anonymous()
	if r := s.prove(c, "ann"); r.StatusCode != http.StatusSeeOther || named != "client" {
		t.Errorf("got %d for %q, and the body named %q", r.StatusCode, s.cause(), named)
	}
}

// TestScopes holds what is asked for: openid always, once, and as the site orders it.
func TestScopes(t *testing.T) {
	for _, tt := range []struct {
		scopes []string
		want   string
	}{
		{nil, "openid profile email"},
		{[]string{}, "openid"},
		{[]string{"email"}, "openid email"},
		{[]string{"email", "openid"}, "email openid"},
	} {
		s := newSite(t, provider(func(p *oidc.Provider) { p.Scopes = tt.scopes }))
		if got := s.press(s.browser(), "op").Query().Get("scope"); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.scopes, got, tt.want)
		}
	}
}
