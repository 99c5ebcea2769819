package walkin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// Errors of a store as it tells them apart, each around one of a driver's.
var (
	errOwn  = fmt.Errorf("%w: notes_user_id_fkey on table notes", store.ErrConstraint)
	errGone = fmt.Errorf("%w: connection reset by peer", store.ErrUnavailable)
)

// manyErrors cannot be compared.
type manyErrors []string

func (e manyErrors) Error() string { return strings.Join(e, ", ") }

// TestStoreErrors holds what is answered to each kind of error, of a store and of a
// hook that asked the same database by itself.
func TestStoreErrors(t *testing.T) {
	tests := []struct {
		name   string
		method string // of the store; empty is the hook
		err    error
		status int
		reason string
	}{
		{"a store that cannot be asked", "CreateIdentity", errGone, 503, "store_down"},
		{"a store that says nothing of the kind", "CreateIdentity", errDown, 503, "store_down"},
		{"a store that hangs", "CreateIdentity", errHang, 503, "store_down"},
		{"a constraint of the app's", "SetAnonymous", errOwn, 500, "constraint"},
		{"a constraint at the commit", "commit", errOwn, 500, "constraint"},
		{"a store that is gone at the commit", "commit", errGone, 503, "store_down"},

		{"a hook whose connection was cut", "", errGone, 503, "store_down"},
		{"a hook that forgot a table", "", errOwn, 500, "constraint"},
		{"a hook's own error", "", errors.New("out of paper"), 500, "internal"},
		{"a hook's own errors", "", manyErrors{"out of paper", "out of ink"}, 500, "internal"},
		{"a hook that found nothing", "", store.ErrNotFound, 500, "internal"},
		{"a hook that was too late", "", store.ErrSessionEnded, 500, "internal"},
		{"a hook that waits for ever", "", errHang, 503, "store_down"},
		{"a hook that gave up waiting", "", context.DeadlineExceeded, 500, "internal"},
		{"a hook that refuses", "", &walkin.Refusal{Status: http.StatusTeapot, Reason: "ban"}, 418, "ban"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, func(c *walkin.Config) {
					c.Paths.Upgrade = "/prove"
					c.Hooks.OnUpgrade = func(ctx context.Context, _ walkin.Change) error {
						switch {
						case tt.method != "":
							return nil
						case errors.Is(tt.err, errHang):
							<-ctx.Done()
							return ctx.Err()
						}
						return tt.err
					}
				})
				c := resident(s, "anonymous")
				id := body(t, c.Fetch("/"))
				s.told()
				if tt.method != "" {
					s.store.failAt(tt.method, tt.err)
				}
				start := time.Now()
				r := act(c, "/prove?name=ann")
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("took %v", took)
				}
				s.store.be(nil)
				if r.StatusCode != tt.status || (r.Header.Get("Retry-After") != "") != (tt.status == 503) || len(r.Cookies()) > 0 {
					t.Errorf("got %d, Retry-After %q and %v, want %d", r.StatusCode, r.Header.Get("Retry-After"), r.Cookies(), tt.status)
				}
				events := s.told()
				last := events[len(events)-1]
				if last.Outcome != walkin.Refused || string(last.Reason) != tt.reason {
					t.Errorf("got event %+v, want refused for %s", last, tt.reason)
				}
				if tt.reason != "ban" && tt.err != errHang && !strings.Contains(last.Err.Error(), tt.err.Error()) {
					t.Errorf("the owner is told %v, want %v in it", last.Err, tt.err)
				}
				if got := body(t, c.Fetch("/")); got != id {
					t.Errorf("afterwards: got %q, want %q", got, id)
				}
			})
		})
	}
}

// calls are those that an app makes of a Middleware for the user of a request.
func calls(s *site, id uuid.UUID) map[string]func(http.ResponseWriter, *http.Request) error {
	return map[string]func(http.ResponseWriter, *http.Request) error{
		"Continue": func(w http.ResponseWriter, r *http.Request) error {
			_, err := s.Continue(w, r, walkin.Proof{Provider: "test", Subject: "new"})
			return err
		},
		"SignOut":           func(w http.ResponseWriter, r *http.Request) error { return s.SignOut(w, r) },
		"SignOutEverywhere": func(_ http.ResponseWriter, r *http.Request) error { return s.SignOutEverywhere(r.Context(), id) },
		"DeleteUser":        func(_ http.ResponseWriter, r *http.Request) error { return s.DeleteUser(r.Context(), id) },
		"Ensure":            func(w http.ResponseWriter, r *http.Request) error { _, err := s.Ensure(w, r); return err },
		"Unlink":            func(w http.ResponseWriter, r *http.Request) error { return s.Unlink(w, r, "test", "ann") },
		"Identities": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := s.Identities(r.Context(), id)
			return err
		},
		"AccessToken": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := s.AccessToken(r.Context(), "another service", 0)
			return err
		},
	}
}

// TestStoreErrorsOfEachCall holds that whatever an app hands to Refuse is answered
// with 503 when the store is down or hangs, within seconds, and with 500 when it is
// the app's own constraint.
func TestStoreErrorsOfEachCall(t *testing.T) {
	for fault, want := range map[error]int{errDown: 503, errGone: 503, errHang: 503, errOwn: 500} {
		for _, kind := range []string{"nobody", "permanent"} {
			for name := range calls(nil, uuid.Nil) {
				t.Run(fmt.Sprintf("%v/%s/%s", fault, kind, name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := newSite(t)
						c := resident(s, kind)
						id := uuid.New()
						if kind == "permanent" {
							id = s.claims(c).UserID
						}
						did := false
						r := act(c.On(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							s.store.be(fault) // behind Handler, which looks first
							start := time.Now()
							err := calls(s, id)[name](w, r)
							if took := time.Since(start); took > 7*time.Second {
								t.Errorf("took %v, want at most two bounds of the store", took)
							}
							did = true
							switch {
							case err != nil:
								s.Refuse(w, r, err)
							case kind == "permanent" && name != "Ensure": // an unsafe request was looked at
								t.Error("got no error")
							default:
								w.WriteHeader(want)
							}
						}))), "/")
						s.store.be(nil)
						if kind == "nobody" && (name == "Unlink" || name == "AccessToken") {
							return // refused before the store is asked
						}
						if r.StatusCode != want || !did {
							t.Errorf("got %d, want %d", r.StatusCode, want)
						}
					})
				})
			}
		}
	}
}

// TestHangingBegin holds that a transaction which never begins, or never ends, is
// given up like any other call, and that the store
// of another Middleware has the same limits.
func TestHangingBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		second, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: s.Store()})
		if err != nil {
			t.Fatal(err)
		}
		st := second.Store()
		for at, fault := range map[string]error{"InTx": errHang, "Identity": errHang, "LockUser": errHang, "commit": errHang} {
			s.store.failAt(at, fault)
			start := time.Now()
			err := st.InTx(t.Context(), func(ctx context.Context) error {
				if _, err := st.Identity(ctx, "test", "ann"); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				if _, err := st.LockUser(ctx, uuid.New()); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				return nil
			})
			if took := time.Since(start); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || took != 3*time.Second {
				t.Errorf("%s: got %v after %v, want ErrUnavailable and DeadlineExceeded after 3 s", at, err, took)
			}
		}
	})
}

// slowCommit is a store whose commit takes longer than it has, and is done all the same.
type slowCommit struct {
	store.Store
	takes time.Duration
}

func (s *slowCommit) InTx(ctx context.Context, fn func(context.Context) error) error {
	err := s.Store.InTx(ctx, fn)
	time.Sleep(s.takes)
	return err
}

// TestLateCommit holds that a transaction which the store has committed counts, however
// late it says so.
func TestLateCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowCommit{Store: memstore.New()}
		s := newSite(t, func(c *walkin.Config) { c.Store = &faultyStore{Store: slow} })
		c := resident(s, "anonymous")
		slow.takes = 4 * time.Second
		if r := act(c, "/prove?name=new"); r.StatusCode != http.StatusOK || s.claims(c).Anonymous {
			t.Errorf("got %d, and an anonymous visitor %t", r.StatusCode, s.claims(c).Anonymous)
		}
	})
}

// hangingData is a store of session data that hangs.
type hangingData struct{ ctxShelf }

func (hangingData) FindCtx(ctx context.Context, _ string) ([]byte, bool, error) {
	<-ctx.Done()
	return nil, false, ctx.Err()
}

// TestHangingData holds that a page with session data does not wait for ever.
func TestHangingData(t *testing.T) {
	sm := scs.New() // which starts a goroutine
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		sm.Store = hangingData{}
		c := walkintest.NewClient(t, s.Handler(s.LoadAndSave(sm)(http.HandlerFunc(who))))
		c.Visit("/")
		start := time.Now()
		if r := c.Fetch("/"); r.StatusCode != http.StatusServiceUnavailable || time.Since(start) > 4*time.Second {
			t.Errorf("got %d after %v, want 503 after 3 s", r.StatusCode, time.Since(start))
		}
	})
}

// TestLateClick holds that a click from another tab, with the token of before an
// upgrade, opens no second account for a minute, and then is a newcomer's. A session
// that ended otherwise prevents no new account.
func TestLateClick(t *testing.T) {
	for _, kind := range []string{"provisional", "anonymous", "permanent"} {
		for _, outcome := range []string{"upgraded", "merged", "signed_in", "linked"} {
			if (outcome == "linked") != (kind == "permanent") && outcome != "signed_in" || outcome == "merged" && kind == "provisional" {
				continue
			}
			t.Run(kind+"/"+outcome, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t, merging, func(c *walkin.Config) { c.Paths.Upgrade = "/prove" })
					replica := newSite(t, over(s), func(c *walkin.Config) { c.Paths.Upgrade = "/prove" })
					s.prove(s.browser(who), "bea")
					c := resident(s, kind)
					name := cookieOf(kind)
					late := carrying(s, name, c.Cookie(name))
					form := words("name", "new")
					if outcome == "merged" || outcome == "signed_in" {
						form = words("name", "bea", "conflict", map[string]string{"merged": "merge", "signed_in": "sign-in"}[outcome])
					}
					if kind == "permanent" && outcome == "signed_in" {
						form = words("name", "ann")
					}
					if got := body(t, c.Post("/prove", form)); got != outcome {
						t.Fatalf("got %q, want %q", got, outcome)
					}
					users := s.store.rows(t)
					for _, wait := range []time.Duration{0, 30 * time.Second, 29 * time.Second} {
						time.Sleep(wait)
						for _, site := range []*site{s, replica} {
							r := act(late.On(site.Handler(site.routes())), "/prove?name=free")
							if r.StatusCode != http.StatusConflict || len(r.Cookies()) > 0 || s.store.rows(t) != users {
								t.Errorf("after %v: got %d and %v, want 409 and nothing", wait, r.StatusCode, r.Cookies())
							}
							if got := site.outcomes(); !strings.HasSuffix(got, ":"+string(walkin.ReasonReplaced)) {
								t.Errorf("after %v: got events %q, want a refusal for %s", wait, got, walkin.ReasonReplaced)
							}
						}
					}
					time.Sleep(2 * time.Second)
					if r := act(late.On(replica.Handler(replica.routes())), "/prove?name=free"); body(t, r) != "signed_up" {
						t.Errorf("after a minute: got %d %q, want signed_up", r.StatusCode, body(t, r))
					}
				})
			})
		}
	}
	s := newSite(t)
	c := resident(s, "permanent")
	late := carrying(s, permName, c.Cookie(permName))
	c.Post("/out", url.Values{})
	if r := act(late, "/prove?name=free"); body(t, r) != "signed_up" {
		t.Errorf("after a sign-out: got %d %q, want signed_up", r.StatusCode, body(t, r))
	}
}

// TestSignOutBuriesNobody holds that a sign-out which looked before an upgrade and runs
// after it takes nothing from the new account.
func TestSignOutBuriesNobody(t *testing.T) {
	s := newSite(t)
	replica := newSite(t, over(s))
	c := resident(s, "provisional")
	token := c.Cookie(anonName)
	var once sync.Once
	out := replica.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { s.prove(c, "ann") }) // behind Handler's look, and before the sign-out
		if err := replica.SignOut(w, r); err != nil {
			replica.Refuse(w, r, err)
		}
	}))
	r := httptest.NewRequest(http.MethodPost, "https://app.example/out", nil)
	r.Header.Set("Cookie", anonName+"="+token)
	out.ServeHTTP(httptest.NewRecorder(), r)
	identity, err := s.store.Identity(t.Context(), "test", "ann")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.LockUser(t.Context(), identity.UserID); err != nil {
		t.Errorf("the account: got %v", err)
	}
	if r := act(c, "/members"); r.StatusCode != http.StatusOK {
		t.Errorf("the new token: got %d, want 200", r.StatusCode)
	}
}
