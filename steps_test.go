package walkin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/scs/v2"
	scsmem "github.com/alexedwards/scs/v2/memstore"
	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// An everyCall is something that is asked of a Middleware, and asks its store.
type everyCall struct {
	name    string
	visitor string
	config  func(*walkin.Config)                                   // unless nil
	before  func(s *site, c *walkintest.Client) *walkintest.Client // unless nil: what comes first; it returns whose call it is
	do      func(s *site, c *walkintest.Client) (answer string)
	// ends is of calls that end a session and then find that they cannot end
	// another: they say so, and what has ended stays ended.
	ends bool
}

func everyCalls() []everyCall {
	post := func(path string, words ...string) func(*site, *walkintest.Client) string {
		return func(s *site, c *walkintest.Client) string {
			form := make(url.Values)
			for i := 0; i < len(words); i += 2 {
				form.Set(words[i], words[i+1])
			}
			return answered(s.t, c.Post(path, form))
		}
	}
	byID := func(do func(s *site, ctx context.Context, id uuid.UUID) error) func(*site, *walkintest.Client) string {
		return calling(func(s *site, _ http.ResponseWriter, r *http.Request) error {
			claims, _ := walkin.FromContext(r.Context())
			return do(s, r.Context(), claims.UserID)
		})
	}
	return slices.Concat(refreshCalls(), deviceCalls(), lostCalls(), []everyCall{
		{name: "upgrade", visitor: "anonymous", do: post("/prove", "name", "new", "secret", "s")},
		{name: "upgrade, no row yet", visitor: "provisional", do: post("/prove", "name", "new")},
		{name: "sign-up", visitor: "nobody", do: post("/prove", "name", "new")},
		{name: "sign-in", visitor: "nobody", do: post("/prove", "name", "ann", "secret", "other")},
		{name: "sign-in as a guest", visitor: "anonymous", do: post("/prove", "name", "ann", "conflict", "sign-in")},
		{name: "sign-in, no row yet", visitor: "provisional", do: post("/prove", "name", "ann")},
		{name: "merge", visitor: "anonymous", do: post("/prove", "name", "ann", "conflict", "merge")},
		{name: "link", visitor: "permanent", do: post("/prove", "name", "new")},
		{name: "proof of their own", visitor: "permanent", do: post("/prove", "name", "ann")},
		{name: "first write", visitor: "provisional", do: post("/note")},
		{name: "write", visitor: "anonymous", do: post("/note")},
		{name: "members' write", visitor: "permanent", do: post("/members")},
		{name: "Ensure", visitor: "provisional", do: post("/ensure")},
		{name: "AccessToken", visitor: "permanent", do: post("/token")},
		{name: "Unlink", visitor: "permanent", do: func(s *site, c *walkintest.Client) string {
			return post("/unlink", "name", "second")(s, c)
		}},
		{name: "SignOut, anonymous", visitor: "anonymous", do: post("/out"), ends: true},
		{name: "SignOut, no row yet", visitor: "provisional", do: post("/out"), ends: true},
		{name: "SignOut, permanent", visitor: "permanent", do: post("/out"), ends: true},
		{name: "SignOutEverywhere", visitor: "permanent", do: byID((*site).signOutEverywhere)},
		{name: "DeleteUser", visitor: "permanent", do: byID((*site).deleteUser)},
		{name: "DeleteUser, anonymous", visitor: "anonymous", do: byID((*site).deleteUser)},
		{name: "Identities", visitor: "permanent", do: byID(func(s *site, ctx context.Context, id uuid.UUID) error {
			_, err := s.Identities(ctx, id)
			return err
		})},
		{name: "session data", visitor: "anonymous", do: func(s *site, c *walkintest.Client) string {
			sm := &scs.SessionManager{Lifetime: time.Hour, Codec: scs.GobCodec{}, Store: scsmem.NewWithCleanupInterval(0)}
			return answered(s.t, act(c.On(s.Handler(s.LoadAndSave(sm)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				sm.Put(r.Context(), "text", "draft")
			})))), "/"))
		}},
	})
}

// calling is a call from a handler of the app, behind Handler.
func calling(do func(s *site, w http.ResponseWriter, r *http.Request) error) func(*site, *walkintest.Client) string {
	return callingAt("/", do)
}

func callingAt(path string, do func(s *site, w http.ResponseWriter, r *http.Request) error) func(*site, *walkintest.Client) string {
	return func(s *site, c *walkintest.Client) string {
		return answered(s.t, act(c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := do(s, w, r); err != nil {
				s.Refuse(w, r, err)
			}
		}))), path))
	}
}

// refreshCalls are those of clients that keep refresh tokens. One whose token was used
// twice counts as a success here: the session is to end, or to be tried again.
func refreshCalls() (all []everyCall) {
	var token string
	var old, next walkin.Claims
	opened := func(s *site, c *walkintest.Client) *walkintest.Client {
		var err error
		old = s.claims(c)
		if token, err = s.StartRefresh(s.t.Context(), old); err != nil {
			s.t.Fatal(err)
		}
		return c
	}
	refresh := calling(func(s *site, _ http.ResponseWriter, r *http.Request) error {
		_, _, err := s.Refresh(r, token)
		if errors.Is(err, walkin.ErrRedeemed) {
			return nil
		}
		return err
	})
	used := func(wait time.Duration) func(*site, *walkintest.Client) *walkintest.Client {
		return func(s *site, c *walkintest.Client) *walkintest.Client {
			opened(s, c)
			refresh(s, c)
			time.Sleep(wait)
			return c
		}
	}
	upgraded := func(s *site, c *walkintest.Client) *walkintest.Client {
		opened(s, c)
		s.prove(c, "cora")
		next = s.claims(c)
		return c
	}
	onceMore := func(s *site, _ http.ResponseWriter, r *http.Request) error {
		return s.RefreshOnceMore(r.Context(), old, next, time.Now().Add(time.Minute))
	}
	mayOnceMore := func(s *site, c *walkintest.Client) *walkintest.Client {
		upgraded(s, c)
		calling(onceMore)(s, c)
		return c
	}
	return []everyCall{
		{name: "StartRefresh", visitor: "anonymous", do: calling(func(s *site, _ http.ResponseWriter, r *http.Request) error {
			c, _ := walkin.FromContext(r.Context())
			_, err := s.StartRefresh(r.Context(), c)
			return err
		})},
		{name: "Refresh", visitor: "anonymous", before: opened, do: refresh},
		{name: "Refresh that renews", visitor: "anonymous", config: renewAlways, before: opened, do: refresh},
		{name: "Refresh in a second tab", visitor: "permanent", before: used(time.Second), do: refresh},
		{name: "Refresh by a thief", visitor: "permanent", before: used(time.Minute), do: refresh},
		{name: "RefreshOnceMore", visitor: "anonymous", before: upgraded, do: calling(onceMore)},
		{name: "Refresh once more", visitor: "anonymous", before: mayOnceMore, do: refresh},
		{name: "Refresh once more, twice", visitor: "anonymous", before: func(s *site, c *walkintest.Client) *walkintest.Client {
			mayOnceMore(s, c)
			refresh(s, c)
			return c
		}, do: refresh},
		{name: "ClientToken", visitor: "anonymous", do: calling(func(s *site, _ http.ResponseWriter, r *http.Request) error {
			c, _ := walkin.FromContext(r.Context())
			_, err := s.ClientToken(r.Context(), c, walkin.ProfileClaims{}, time.Minute)
			return err
		})},
	}
}

// deviceCalls are about the user's other browsers and sessions, and about other users.
func deviceCalls() []everyCall {
	var first, giver walkin.Claims
	var operator uuid.UUID
	flow := func() string { return "session:" + first.SessionID.String() }
	begun := func(s *site, c *walkintest.Client) *walkintest.Client {
		first = s.claims(c)
		return c
	}
	join := callingAt("/prove", func(s *site, w http.ResponseWriter, r *http.Request) error {
		return s.Join(w, r, walkin.Handover{UserID: giver.UserID, SessionID: giver.SessionID, Leave: true})
	})
	gives := func(s *site, c *walkintest.Client) *walkintest.Client {
		giver = s.claims(resident(s, "anonymous"))
		return c
	}
	operates := func(cfg *walkin.Config) {
		cfg.Impersonation.IsOperator = func(_ context.Context, id uuid.UUID) (bool, error) { return id == operator, nil }
	}
	impersonate := calling(func(s *site, w http.ResponseWriter, r *http.Request) error {
		return s.Impersonate(w, r, giver.UserID, "ticket 7")
	})
	seen := func(s *site, c *walkintest.Client) *walkintest.Client {
		operator = s.claims(c).UserID
		return gives(s, c)
	}
	return []everyCall{
		{name: "sign-in that makes room", visitor: "nobody", config: func(c *walkin.Config) { c.Sessions.Max = 1 },
			before: func(s *site, c *walkintest.Client) *walkintest.Client {
				time.Sleep(2 * time.Hour)
				return c
			}, do: func(s *site, c *walkintest.Client) string {
				return answered(s.t, c.Post("/prove", words("name", "ann")))
			}},
		{name: "EndSession", visitor: "permanent", before: begun, do: calling(func(s *site, _ http.ResponseWriter, r *http.Request) error {
			return s.EndSession(r.Context(), first.UserID, first.SessionID)
		})},
		{name: "EndOtherSessions", visitor: "permanent", do: calling(func(s *site, _ http.ResponseWriter, r *http.Request) error {
			c, _ := walkin.FromContext(r.Context())
			return s.EndOtherSessions(r.Context(), c.UserID, uuid.Nil)
		})},
		{name: "Export", visitor: "permanent", do: calling(func(s *site, _ http.ResponseWriter, r *http.Request) error {
			c, _ := walkin.FromContext(r.Context())
			_, err := s.Export(r.Context(), c.UserID)
			return err
		})},
		{name: "IsAlive", visitor: "permanent", do: calling(func(s *site, _ http.ResponseWriter, r *http.Request) error {
			c, _ := walkin.FromContext(r.Context())
			alive, err := s.IsAlive(r.Context(), c)
			if err == nil && !alive {
				return store.ErrSessionEnded
			}
			return err
		})},
		{name: "CameFrom", visitor: "anonymous", before: func(s *site, c *walkintest.Client) *walkintest.Client {
			begun(s, c)
			s.prove(c, "cora")
			return c
		}, do: calling(func(s *site, _ http.ResponseWriter, r *http.Request) error {
			came, err := s.CameFrom(r, first.SessionID)
			if err == nil && !came {
				return store.ErrSessionEnded
			}
			return err
		})},
		{name: "the second half of a double click", visitor: "anonymous", before: func(s *site, c *walkintest.Client) *walkintest.Client {
			begun(s, c)
			late := carrying(s, anonName, c.Cookie(anonName))
			calling(func(s *site, w http.ResponseWriter, r *http.Request) error {
				_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "cora", FlowID: flow()})
				return err
			})(s, c)
			return late
		}, do: calling(func(s *site, w http.ResponseWriter, r *http.Request) error {
			_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "cora", FlowID: flow(),
				Redeem: func(context.Context) error {
					return &walkin.Refusal{Status: http.StatusUnauthorized, Reason: "used", Err: walkin.ErrRedeemed}
				}})
			return err
		})},
		{name: "a click a minute late", visitor: "anonymous", before: func(s *site, c *walkintest.Client) *walkintest.Client {
			late := carrying(s, anonName, c.Cookie(anonName))
			s.prove(c, "cora")
			time.Sleep(time.Minute)
			body(s.t, late.Fetch("/")) // that the session is over is known
			return late
		}, do: func(s *site, c *walkintest.Client) string {
			return answered(s.t, c.Post("/prove", words("name", "new")))
		}},
		{name: "a late click whose identity was free", visitor: "anonymous", before: func(s *site, c *walkintest.Client) *walkintest.Client {
			late := carrying(s, anonName, c.Cookie(anonName))
			s.prove(c, "cora")
			s.store.Store = &hides{Store: s.store.Store, looks: 1}
			body(s.t, late.Fetch("/"))
			return late
		}, do: func(s *site, c *walkintest.Client) string {
			return answered(s.t, c.Post("/prove", words("name", "cora")))
		}},
		{name: "Join", visitor: "anonymous", before: gives, do: join},
		{name: "Join, no row yet", visitor: "provisional", before: gives, do: join},
		{name: "Impersonate", visitor: "permanent", config: operates, before: seen, do: impersonate},
		{name: "a page of an impersonation", visitor: "permanent", config: operates, before: func(s *site, c *walkintest.Client) *walkintest.Client {
			impersonate(s, seen(s, c))
			return c
		}, do: func(s *site, c *walkintest.Client) string { return answered(s.t, c.Fetch("/")) }},
	}
}

// lostCalls are of users whom the store has lost, as after a restore.
func lostCalls() []everyCall {
	prove := func(s *site, c *walkintest.Client) string {
		return answered(s.t, c.Post("/prove", words("name", "new")))
	}
	restored := func(there *store.User) func(*site, *walkintest.Client) *walkintest.Client {
		return func(s *site, c *walkintest.Client) *walkintest.Client {
			id := s.claims(c).UserID
			s.store.Store = memstore.New()
			if there != nil {
				user := *there
				user.ID = id
				if err := s.store.CreateUser(s.t.Context(), user); err != nil {
					s.t.Fatal(err)
				}
			}
			return carryingAll(s, c) // this replica has seen nothing of them
		}
	}
	return []everyCall{
		{name: "a lost guest's write", visitor: "anonymous", before: restored(nil), do: func(s *site, c *walkintest.Client) string {
			return answered(s.t, c.Post("/note", nil))
		}},
		{name: "a lost guest's upgrade", visitor: "anonymous", before: restored(nil), do: prove},
		{name: "a lost user's return", visitor: "permanent", before: restored(nil), do: prove},
		{name: "a lost user's return to a kept ID", visitor: "permanent", before: restored(&store.User{SeenAt: time.Unix(0, 0)}), do: prove},
		{name: "a lost user's return to a guest's ID", visitor: "permanent", before: restored(&store.User{Anonymous: true, SeenAt: time.Unix(5, 0)}), do: prove},
	}
}

func (s *site) signOutEverywhere(ctx context.Context, id uuid.UUID) error {
	return s.SignOutEverywhere(ctx, id)
}

func (s *site) deleteUser(ctx context.Context, id uuid.UUID) error { return s.DeleteUser(ctx, id) }

func answered(t *testing.T, r *http.Response) string {
	t.Helper()
	return fmt.Sprint(r.StatusCode, " ", body(t, r))
}

// TestEveryStepFails holds that whichever call of the store fails, of whatever is
// asked of a Middleware, the answer is 503, the visitor is who they were, with the
// cookies that they had, and the same request succeeds when the store is back.
func TestEveryStepFails(t *testing.T) {
	for _, call := range everyCalls() {
		t.Run(call.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { failAtEachStep(t, call) })
		})
	}
}

// A faultyShelf is a store of session data that fails at its steps, too. Each session has
// some.
type faultyShelf struct {
	plainShelf
	steps *faultyStore
}

func (s faultyShelf) FindCtx(ctx context.Context, _ string) ([]byte, bool, error) {
	if err := s.steps.call(ctx, "find data"); err != nil {
		return nil, false, err
	}
	b, err := scs.GobCodec{}.Encode(time.Now().Add(time.Hour), map[string]any{"cart": "1 book"})
	return b, true, err
}

func (s faultyShelf) CommitCtx(ctx context.Context, _ string, _ []byte, _ time.Time) error {
	return s.steps.call(ctx, "commit data")
}

func (faultyShelf) DeleteCtx(context.Context, string) error { return nil }

func failAtEachStep(t *testing.T, call everyCall) {
	start := func() (*site, *walkintest.Client) {
		s := newSite(t, merging, func(c *walkin.Config) { c.Paths.Upgrade = "/prove" }, func(c *walkin.Config) {
			if call.config != nil {
				call.config(c)
			}
		})
		s.LoadAndSave(&scs.SessionManager{Lifetime: time.Hour, Codec: scs.GobCodec{}, Store: faultyShelf{plainShelf{}, s.store}})
		c := resident(s, "permanent")
		s.prove(c, "second")
		if call.visitor != "permanent" {
			c = resident(s, call.visitor)
		}
		if call.before != nil {
			c = call.before(s, c)
		}
		return s, c
	}
	s, c := start()
	s.store.failStep(0, nil)
	want := call.do(s, c)
	steps := s.store.stepsTaken()
	if len(steps) == 0 || want[:3] >= "400" {
		t.Fatalf("got %q by %v, want a success that asks the store", want, steps)
	}
	for i, step := range steps {
		for _, fault := range []error{errDown, store.ErrUnavailable} {
			s, c := start()
			who, jar := body(t, c.Fetch("/")), fmt.Sprint(c.Cookies())
			s.store.failStep(i+1, fault)
			got := call.do(s, c)
			steps := s.store.stepsTaken()
			step = steps[i] // users are locked in the order of their IDs, which is another each time
			s.store.failStep(0, nil)
			if got[:3] != "503" {
				t.Errorf("%s, step %d of %v: got %q, want 503", step, i+1, steps, got)
				continue
			}
			if after := fmt.Sprint(c.Cookies()); after != jar {
				t.Errorf("%s, step %d of %v: the jar: got %v, want %v", step, i+1, steps, after, jar)
			}
			if after := body(t, c.Fetch("/")); after != who && !(call.ends && step == "LookupSession") {
				t.Errorf("%s, step %d of %v: got %q, want %q", step, i+1, steps, after, who)
			}
			if _, err := s.store.Store.Identity(t.Context(), "test", "new"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s, step %d of %v: the identity: got %v, want ErrNotFound", step, i+1, steps, err)
			}
			if again := call.do(s, c); again[:3] != want[:3] {
				t.Errorf("%s, step %d of %v: afterwards got %q, want %q", step, i+1, steps, again, want)
			}
		}
	}
}
