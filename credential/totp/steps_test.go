package totp_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"

	"github.com/walkin-go/walkin/credential/totp"
	"github.com/walkin-go/walkin/internal/faulty"
	"github.com/walkin-go/walkin/store/memstore"
)

// TestEveryStepFails holds that whichever call of the store fails, no browser is signed
// in by half of what it takes, the factor is neither on nor off by half, the answer is
// 503, and the same request succeeds when the store is back.
func TestEveryStepFails(t *testing.T) {
	const address = "ann@example.com"
	post := func(path string, pairs ...string) func(*browser) *http.Response {
		form := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return func(b *browser) *http.Response { return b.at().Post(path, form) }
	}
	var p *phone
	code := func(path string) func(*browser) *http.Response {
		return func(b *browser) *http.Response { return b.at().Post(path, url.Values{"code": {p.code(b.s.t)}}) }
	}
	withFactor := func(s *site) (b *browser) {
		b, p = s.withFactor(address)
		return b
	}
	half := func(s *site) *browser {
		withFactor(s)
		return s.half(address)
	}
	plain := func(s *site) *browser {
		b := s.browser()
		b.signUp(address)
		return b
	}
	begun := func(s *site) *browser {
		b := plain(s)
		b.want(b.post("/factor/begin"), 200, "")
		return b
	}
	read := func(s *site) *browser {
		b := begun(s)
		b.want(b.get("/factor/set-up"), 200, "")
		p = &phone{key: keyIn(b)}
		return b
	}
	for _, tt := range []struct {
		name     string
		visit    func(*site) *browser
		ask      func(*browser) *http.Response
		tolerate []string
	}{
		{"half", func(s *site) *browser { withFactor(s); return s.browser() }, post("/signin", "email", address, "password", secret), nil},
		{"the code", half, code("/factor"), nil},
		{"a recovery code", half, func(b *browser) *http.Response {
			return b.at().Post("/factor", url.Values{"code": {p.recovery[0]}})
		}, nil},
		{"the code again", func(s *site) *browser {
			b := half(s)
			first := b.copied()
			first.want(first.post("/factor", "code", p.code(s.t)), 303, "")
			return b
		}, code("/factor"), nil},
		{"the code in a session", func(s *site) *browser {
			withFactor(s).post("/prove", "provider", "https://id.example", "subject", "ann", "method", "fed")
			b := s.browser()
			b.want(b.post("/prove", "provider", "https://id.example", "subject", "ann", "method", "fed"), 200, "")
			return b
		}, code("/factor"), nil},
		{"begin", plain, post("/factor/begin"), nil},
		{"set-up", begun, func(b *browser) *http.Response { return b.at().Fetch("/factor/set-up") }, nil},
		// Once it is on, the codes are shown, whatever becomes of the data of ended sessions.
		{"confirm", read, code("/factor/confirm"), []string{"InTx", "LockUser", "DeleteSessions", "commit"}},
		{"new codes", withFactor, code("/factor/codes"), nil},
		{"off", withFactor, code("/factor/off"), []string{"InTx", "LockUser", "DeleteSessions", "commit"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s *site
				var b *browser
				var was, on bool
				isOn := func() bool {
					_, err := s.store.(*faulty.Store).Store.Identity(t.Context(), totp.Provider, userOf(s, address))
					return err == nil
				}
				faulty.EachStep(t, func(t *testing.T, st *faulty.Store) faulty.Call {
					st.Store = memstore.New()
					s = newSite(t, st)
					b = tt.visit(s)
					was, on = b.isPermanent(), isOn()
					return faulty.Call{Name: tt.name, Ask: func() *http.Response { return tt.ask(b) }, Tolerate: tt.tolerate}
				}, func(t *testing.T, step string, answer *http.Response) {
					if answer.StatusCode >= 400 && (b.isPermanent() != was || isOn() != on) {
						t.Errorf("%s fails: signed in %t, the factor on %t; want %t and %t", step, b.isPermanent(), isOn(), was, on)
					}
				})
			})
		})
	}
}

func keyIn(b *browser) (key string) {
	ok(b.s.t, json.Unmarshal([]byte(b.body), &[]any{&key}))
	return key
}

func userOf(s *site, address string) string {
	identity, err := s.store.(*faulty.Store).Store.Identity(s.t.Context(), "email", address)
	ok(s.t, err)
	return identity.UserID.String()
}
