package walkin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/walkintest"
)

// An everyCall is something that is asked of a Middleware, and asks its store.
type everyCall struct {
	name    string
	visitor string
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
		return func(s *site, c *walkintest.Client) string {
			return answered(s.t, act(c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				claims, _ := walkin.FromContext(r.Context())
				if err := do(s, r.Context(), claims.UserID); err != nil {
					s.Refuse(w, r, err)
				}
			}))), "/"))
		}
	}
	return []everyCall{
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
			sm := scs.New() // in memory

			return answered(s.t, act(c.On(s.Handler(s.LoadAndSave(sm)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				sm.Put(r.Context(), "text", "draft")
			})))), "/"))
		}},
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
			start := func() (*site, *walkintest.Client) {
				s := newSite(t, merging, func(c *walkin.Config) { c.Paths.Upgrade = "/prove" })
				ann := resident(s, "permanent")
				s.prove(ann, "second")
				if call.visitor == "permanent" {
					return s, ann
				}
				return s, resident(s, call.visitor)
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
		})
	}
}
