package password_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/internal/faulty"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

// TestEveryStepFails holds that whichever call of the store fails, no password signs in
// or up and none is changed, that the answer is 503, and that the same works when the
// store is back.
func TestEveryStepFails(t *testing.T) {
	const next = "another horse battery"
	post := func(path, name, secret string) func(*walkintest.Client) *http.Response {
		return func(c *walkintest.Client) *http.Response {
			return c.Post(path, url.Values{"email": {name}, "password": {secret}, "next": {next}})
		}
	}
	for _, tt := range []struct {
		name string
		cost password.Cost // of the replica that is asked
		ask  func(*walkintest.Client) *http.Response
		may  []string // fail: the sign-in goes on with the old hash
	}{
		{"sign-up", password.Cost{}, post("/upgrade", "bob", secret), nil},
		{"sign-in", password.Cost{}, post("/signin", name, secret), nil},
		{"sign-in that renews the hash", password.Cost{Time: 3, Memory: 19456, Threads: 1}, post("/signin", name, secret),
			[]string{"InTx", "LockUser", "Identity", "SetSecret", "commit"}},
		{"change", password.Cost{}, post("/change", name, secret), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s *site
			var before string
			faulty.EachStep(t, func(t *testing.T, st *faulty.Store) faulty.Call {
				s = &site{store: memstore.New()}
				st.Store = s.store
				wk := middleware(t, st, func(c *walkin.Config) {
					c.Paths.Upgrade, c.Paths.SignIn, c.Paths.Credentials = "/upgrade", "/signin", []string{"/change"}
				})
				var err error
				for _, cost := range []password.Cost{{}, tt.cost} {
					if s.Password, err = password.New(wk, password.Config{Cost: cost}); err != nil {
						t.Fatal(err)
					}
					s.SetIDKey(quick)
					if s.owner(name) == uuid.Nil {
						s.signUp(t, name, secret)
					}
				}
				before = s.stored(t, name)
				mux := http.NewServeMux()
				mux.Handle("/upgrade", wk.UpgradeHandler(s, nil))
				mux.Handle("/signin", wk.SignInHandler(s, nil))
				mux.HandleFunc("POST /change", func(w http.ResponseWriter, r *http.Request) {
					if err := s.Change(r, r.PostFormValue("email"), r.PostFormValue("password"), r.PostFormValue("next")); err != nil {
						wk.Refuse(w, r, err)
					}
				})
				c := walkintest.NewClient(t, wk.Handler(mux))
				return faulty.Call{Name: tt.name, Ask: func() *http.Response { return tt.ask(c) }, Tolerate: tt.may}
			}, func(t *testing.T, step string, answer *http.Response) {
				if answer.StatusCode >= 400 && (len(answer.Cookies()) > 0 || tt.may == nil && s.stored(t, name) != before || s.owner("bob") != uuid.Nil) {
					t.Errorf("%s fails: got %d and %v, and the hash changed %t", step, answer.StatusCode, answer.Cookies(), s.stored(t, name) != before)
				}
			})
		})
	}
}

func (s *site) owner(name string) uuid.UUID {
	identity, _ := s.store.Identity(context.Background(), password.Provider, name)
	return identity.UserID
}
