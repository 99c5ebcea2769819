package walkin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestDoubleClick holds which browsers get the session of the first half of a double
// click with its second half: those that have what the flow was bound to, and no other
// user by now; for the same identity, and while that session is alive.
func TestDoubleClick(t *testing.T) {
	const flowBound, sessionBound = "nobody", "anonymous"
	for _, tt := range []struct {
		name, began string
		then        func(s *site, first, second *walkintest.Client) // between the halves
		proof       walkin.Proof
		want        string
	}{
		{"at once", flowBound, nil, walkin.Proof{}, "200 signed_up"},
		{"at once, in a session", sessionBound, nil, walkin.Proof{}, "200 upgraded"},
		{"with the answer of the first half", flowBound, func(_ *site, first, second *walkintest.Client) {
			second.SetCookie(permName, first.Cookie(permName))
		}, walkin.Proof{}, "200 signed_up"},
		{"a page view in between", flowBound, func(_ *site, _, second *walkintest.Client) { second.Visit("/") }, walkin.Proof{}, "200 signed_up"},
		{"a write in between", flowBound, func(_ *site, _, second *walkintest.Client) {
			second.Visit("/")
			second.Post("/note", nil)
		}, walkin.Proof{}, "401"},
		{"another user in between", flowBound, func(s *site, _, second *walkintest.Client) { s.prove(second, "bea") }, walkin.Proof{}, "401"},
		{"another subject", flowBound, nil, walkin.Proof{Subject: "bea"}, "401"},
		{"another provider", flowBound, nil, walkin.Proof{Provider: "other"}, "401"},
		{"another flow", flowBound, nil, walkin.Proof{FlowID: "cookie:other"}, "401"},
		{"without the flow's cookie", flowBound, func(s *site, _, second *walkintest.Client) {
			for _, c := range second.Cookies() {
				second.SetCookie(c.Name, "")
			}
		}, walkin.Proof{}, "401"},
		{"signed out", flowBound, func(_ *site, first, _ *walkintest.Client) { first.Post("/out", nil) }, walkin.Proof{}, "401"},
		{"signed out, in a session", sessionBound, func(_ *site, first, _ *walkintest.Client) { first.Post("/out", nil) }, walkin.Proof{}, "401"},
		{"signed out with the answer", flowBound, func(_ *site, first, second *walkintest.Client) {
			second.SetCookie(permName, first.Cookie(permName))
			first.Post("/out", nil)
		}, walkin.Proof{}, "401"},
		{"its session has expired", flowBound, func(s *site, first, _ *walkintest.Client) {
			c, past := s.claims(first), time.Now().Add(-time.Hour)
			noError(s.t, s.store.RenewSession(s.t.Context(), store.Session{ID: c.SessionID, UserID: c.UserID, RenewedAt: past, ExpiresAt: past}))
		}, walkin.Proof{}, "401"},
		{"its user is lost", flowBound, func(s *site, _, _ *walkintest.Client) {
			s.store.Store = ticketsOf{memstore.New(), s.store.Store}
		}, walkin.Proof{}, "401"},
		{"much later", flowBound, func(*site, *walkintest.Client, *walkintest.Client) { time.Sleep(16 * time.Minute) }, walkin.Proof{}, "401"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, func(c *walkin.Config) { c.Paths.Credentials = []string{"/begin", "/first", "/second"} })
				s.prove(resident(s, "nobody"), "bea")
				flow, used := "", false
				mux := s.routes()
				mux.HandleFunc("POST /begin", func(w http.ResponseWriter, r *http.Request) {
					var err error
					if flow, err = s.StartFlow(w, r); err != nil {
						t.Error(err)
					}
				})
				click := func(p walkin.Proof) http.HandlerFunc {
					return func(w http.ResponseWriter, r *http.Request) {
						p := p
						for at, or := range map[*string]string{&p.Provider: "test", &p.Subject: "new", &p.FlowID: flow} {
							if *at == "" {
								*at = or
							}
						}
						p.Redeem = func(context.Context) error {
							if used {
								return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: "used", Err: walkin.ErrRedeemed}
							}
							used = true
							return nil
						}
						outcome, err := s.Continue(w, r, p)
						if err != nil {
							s.Refuse(w, r, err)
							return
						}
						fmt.Fprint(w, outcome)
					}
				}
				mux.HandleFunc("POST /first", click(walkin.Proof{}))
				mux.HandleFunc("POST /second", click(tt.proof))
				first := resident(s, tt.began).On(s.Handler(mux))
				first.Post("/begin", nil)
				second := walkintest.NewClient(t, s.Handler(mux))
				for _, c := range first.Cookies() {
					second.SetCookie(c.Name, c.Value)
				}
				if r := first.Post("/first", nil); r.StatusCode != http.StatusOK {
					t.Fatalf("the first half: got %d %s", r.StatusCode, body(t, r))
				}
				session := s.claims(first).SessionID
				if tt.then != nil {
					tt.then(s, first, second)
				}
				r := second.Post("/second", nil)
				got := fmt.Sprint(r.StatusCode)
				if r.StatusCode == http.StatusOK {
					got += " " + body(t, r)
				}
				if got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if tt.name == "with the answer of the first half" && len(r.Cookies()) > 0 {
					t.Errorf("who has the cookie is given %v", r.Cookies())
				}
				if has := s.claims(second).SessionID == session; has != (r.StatusCode == http.StatusOK) {
					t.Errorf("got the session of the first half: %t", has)
				}
			})
		})
	}
}

// TestSecondHalfMeanwhile holds what the second half of a double click gets while the first
// one ends the session that both came with: the session of the first half, and no other;
// and 503 where the store fails at any step.
func TestSecondHalfMeanwhile(t *testing.T) {
	redeemed := func(context.Context) error {
		return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: "used", Err: walkin.ErrRedeemed}
	}
	// secondHalf runs first while the second half is in its handler, and fails the nth
	// call of the store after it, if any.
	secondHalf := func(t *testing.T, nth int, first func(s *site, c *walkintest.Client, flow string)) (string, []string) {
		s := newSite(t)
		s.prove(resident(s, "nobody"), "bea")
		c := resident(s, "anonymous")
		copied := carrying(s, anonName, c.Cookie(anonName))
		flow := "session:" + s.claims(c).SessionID.String()
		got := calling(func(s *site, w http.ResponseWriter, r *http.Request) error {
			first(s, copied, flow)
			s.store.failStep(nth, errDown)
			_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "cora", FlowID: flow, Redeem: redeemed})
			return err
		})(s, c)
		return got[:3], s.store.stepsTaken()
	}
	proves := func(s *site, c *walkintest.Client, flow string) {
		calling(func(s *site, w http.ResponseWriter, r *http.Request) error {
			_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "cora", FlowID: flow})
			return err
		})(s, c)
	}
	got, steps := secondHalf(t, 0, proves)
	if got != "200" || len(steps) == 0 {
		t.Fatalf("got %s by %v, want the session of the first half", got, steps)
	}
	for i := range steps {
		if got, _ := secondHalf(t, i+1, proves); got != "503" {
			t.Errorf("step %d of %v: got %s, want 503", i+1, steps, got)
		}
	}
	got, _ = secondHalf(t, 0, func(s *site, c *walkintest.Client, flow string) {
		other := resident(s, "nobody")
		proves(s, other, flow)                   // the flow's end, in a browser that took it along
		s.prove(c, "bea", "conflict", "sign-in") // and this browser's next session is another's
		if s.claims(c).UserID == s.claims(other).UserID {
			t.Fatal("both are one user")
		}
	})
	if got != "401" {
		t.Errorf("after another user signed in here: got %s, want 401", got)
	}
}

// hides is a store that does not find an identity at first: it is made at that moment.
type hides struct {
	store.Store
	looks int // that find nothing
}

func (s *hides) Identity(ctx context.Context, provider, subject string) (store.Identity, error) {
	if s.looks > 0 {
		s.looks--
		return store.Identity{}, store.ErrNotFound
	}
	return s.Store.Identity(ctx, provider, subject)
}

// TestLateHalfIsDecidedAgain holds that a late click, which found its identity free for the
// last time, is decided again by what is there now: it signs in, or is told that a name
// is taken, and not that its network can have no new user.
func TestLateHalfIsDecidedAgain(t *testing.T) {
	for query, want := range map[string]string{"": "200 signed_in", "&new=1": "409 identity_taken"} {
		late := &hides{Store: memstore.New()}
		s := newSite(t, func(c *walkin.Config) {
			c.Store = &faultyStore{Store: late}
			c.NewUsers.Limit = limit.Limit{Count: 1, Per: time.Hour}
		})
		c := resident(s, "anonymous")
		const address = "203.0.113.7:1"
		second := carrying(s, anonName, c.Cookie(anonName)).From(address)
		s.prove(c, "new")
		s.actFrom(address) // there is room for one
		s.told()
		late.looks = 1
		r := act(second, "/prove?name=new"+query)
		got := fmt.Sprint(r.StatusCode, " ", body(t, r))
		if r.StatusCode != http.StatusOK {
			_, reason, _ := strings.Cut(s.outcomes(), "refused:")
			got = fmt.Sprint(r.StatusCode, " ", reason)
		}
		if got != want || late.looks > 0 {
			t.Errorf("%q: got %s with %d looks left, want %s", query, got, late.looks, want)
		}
	}
}

// TestUsedUpWithoutAFlow holds that a proof that was used up, of a credential which binds
// nothing to the browser, is refused and is no second half.
func TestUsedUpWithoutAFlow(t *testing.T) {
	s := newSite(t)
	for _, kind := range append([]string{"nobody"}, kinds...) {
		c := resident(s, kind)
		if got := calling(func(s *site, w http.ResponseWriter, r *http.Request) error {
			_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "cora", Redeem: func(context.Context) error {
				return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: "used", Err: walkin.ErrRedeemed}
			}})
			return err
		})(s, c); got[:3] != "401" {
			t.Errorf("%s: got %q, want 401", kind, got)
		}
	}
}

// TestEndedInTheHandler holds what a proof becomes whose session ends between the look at
// the cookie and the change: no second account, no upgrade of the user of that session,
// and a reason that says what happened.
func TestEndedInTheHandler(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(s *site, c walkin.Claims, copied *walkintest.Client)
		want string
	}{
		"signed out, of a flow":     {func(s *site, _ walkin.Claims, copied *walkintest.Client) { copied.Post("/out", nil) }, "session_ended"},
		"another tab has signed in": {func(s *site, _ walkin.Claims, copied *walkintest.Client) { s.prove(copied, "cora") }, "replaced"},
		"signed out":                {func(s *site, _ walkin.Claims, copied *walkintest.Client) { copied.Post("/out", nil) }, "raced"},
		"the session is over": {func(s *site, c walkin.Claims, _ *walkintest.Client) {
			past := time.Now().Add(-time.Hour)
			noError(s.t, s.store.RenewSession(s.t.Context(), store.Session{ID: c.SessionID, UserID: c.UserID, RenewedAt: past, ExpiresAt: past}))
		}, "raced"},
	} {
		s := newSite(t)
		c := resident(s, "anonymous")
		claims := s.claims(c)
		copied := carrying(s, anonName, c.Cookie(anonName))
		got := calling(func(s *site, w http.ResponseWriter, r *http.Request) error {
			tt.end(s, claims, copied)
			s.told()
			p := walkin.Proof{Provider: "test", Subject: "new"}
			if strings.Contains(name, "of a flow") {
				p.FlowID = "session:" + claims.SessionID.String()
			}
			_, err := s.Continue(w, r, p)
			return err
		})(s, c)
		_, reason, _ := strings.Cut(s.outcomes(), "refused:")
		status := map[bool]string{true: "401", false: "409"}[tt.want == "session_ended"]
		if got[:3] != status || reason != tt.want {
			t.Errorf("%s: got %q for %q, want %s for %q", name, got, reason, status, tt.want)
		}
		if _, err := s.store.Identity(t.Context(), "test", "new"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: the identity: got %v, want ErrNotFound", name, err)
		}
	}
}

// TestFlowOfBefore holds that the second half of a flow finds the session that goes on
// there, also where its browser had no user when the flow began, and had one at its end.
func TestFlowOfBefore(t *testing.T) {
	s := newSite(t, func(c *walkin.Config) { c.Paths.Credentials = []string{"/begin", "/click"} })
	flow, used := "", false
	mux := s.routes()
	mux.HandleFunc("POST /begin", func(w http.ResponseWriter, r *http.Request) {
		var err error
		flow, err = s.StartFlow(w, r)
		noError(t, err)
	})
	mux.HandleFunc("POST /click", func(w http.ResponseWriter, r *http.Request) {
		outcome, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "new", FlowID: flow, Redeem: func(context.Context) error {
			if used {
				return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: "used", Err: walkin.ErrRedeemed}
			}
			used = true
			return nil
		}})
		if err != nil {
			s.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, outcome)
	})
	first := walkintest.NewClient(t, s.Handler(mux))
	first.Post("/begin", nil)
	second := walkintest.NewClient(t, s.Handler(mux)) // with what the browser had then
	for _, c := range first.Cookies() {
		second.SetCookie(c.Name, c.Value)
	}
	first.Visit("/")
	first.Post("/note", nil)
	if r := act(first, "/click"); r.StatusCode != http.StatusOK {
		t.Fatalf("the first half: got %d %s", r.StatusCode, body(t, r))
	}
	if r := act(second, "/click"); r.StatusCode != http.StatusOK || s.claims(second) != s.claims(first) {
		t.Errorf("the second half: got %d", r.StatusCode)
	}
}

// TestCameFromItself holds what CameFrom says of the session that the visitor has, of one
// that is none of theirs, and of a request without a user.
func TestCameFromItself(t *testing.T) {
	s := newSite(t)
	other := s.claims(resident(s, "anonymous")).SessionID
	for _, kind := range []string{"nobody", "anonymous", "permanent"} {
		c := resident(s, kind)
		own := uuid.New()
		if kind != "nobody" {
			own = s.claims(c).SessionID
		}
		for session, want := range map[uuid.UUID]bool{own: kind != "nobody", other: false} {
			r := c.On(s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if got, err := s.CameFrom(r, session); got != want || err != nil {
					t.Errorf("%s, own %t: got %t, %v", kind, session == own, got, err)
				}
			}))).Fetch("/")
			if r.StatusCode != http.StatusOK {
				t.Errorf("%s: got %d", kind, r.StatusCode)
			}
		}
	}
}

// TestIdentityTakenMeanwhile holds that a newcomer whose identity gets an owner between
// the look and the change signs in to that owner, who is the same person.
func TestIdentityTakenMeanwhile(t *testing.T) {
	late := &hides{Store: memstore.New()}
	s := newSite(t, func(c *walkin.Config) {
		c.Store = &faultyStore{Store: late}
		c.Paths.Upgrade = "/prove"
	})
	ann := s.claims(resident(s, "permanent")).UserID
	for _, kind := range []string{"nobody", "provisional"} {
		c := resident(s, kind)
		late.looks = 1
		if r := act(c, "/prove?name=ann"); body(t, r) != "signed_in" || s.claims(c).UserID != ann {
			t.Errorf("%s: got %d, want to be signed in", kind, r.StatusCode)
		}
	}
}
