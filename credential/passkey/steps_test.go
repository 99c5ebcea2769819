package passkey_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/internal/faulty"
)

// TestEveryStepFails holds that whichever call of the store fails, no key is registered
// and none signs in, and that the answer is 503.
func TestEveryStepFails(t *testing.T) {
	ask := func(path string, body []byte) func(*person) *http.Response {
		return func(p *person) *http.Response { return p.Do(p.request(path, body)) }
	}
	var body []byte
	var id string
	finish := func(path string) func(*person) *http.Response {
		return func(p *person) *http.Response { return p.Do(p.request(path, body)) }
	}
	anonymous := func(s *site) *person {
		p := s.person()
		p.Visit("/")
		p.Post("/note", nil)
		return p
	}
	for _, tt := range []struct {
		name     string
		visit    func(*site) *person
		ask      func(*person) *http.Response
		tolerate []string
		once     bool
	}{
		{"begin to register", anonymous, ask("register", []byte(`{}`)), nil, false},
		{"begin to register another", (*site).member, ask("register", []byte(`{}`)), nil, false},
		{"register", func(s *site) *person {
			p := anonymous(s)
			body = p.device.create(p.begin("register"), twist{})
			return p
		}, finish("register-finish"), nil, true},
		{"begin to sign in", (*site).member, ask("signin", []byte(`{}`)), nil, false},
		// What is noted about the use of a key may fail.
		{"sign in", func(s *site) *person {
			p := s.member().elsewhere()
			body = p.device.get(p.begin("signin"), twist{})
			return p
		}, finish("signin-finish"), []string{"InTx", "LockUser", "Identity", "SetSecret", "commit"}, true},
		{"rename", func(s *site) *person {
			p := s.member()
			id = s.keysOf(p.who().ID)[0].ID
			return p
		}, func(p *person) *http.Response {
			return p.Post("/rename", url.Values{"id": {id}, "name": {"My phone"}})
		}, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p *person
			var was who
			faulty.EachStep(t, func(t *testing.T, st *faulty.Store) faulty.Call {
				s := newSite(t, func(c *walkin.Config, _ *passkey.Config) { st.Store, c.Store = c.Store, st })
				p = tt.visit(s)
				was = p.who()
				return faulty.Call{Name: tt.name, Ask: func() *http.Response { return tt.ask(p) }, Tolerate: tt.tolerate, Once: tt.once}
			}, func(t *testing.T, step string, answer *http.Response) {
				if answer.StatusCode >= 400 && p.who() != was {
					t.Errorf("%s fails: got %+v, want %+v", step, p.who(), was)
				}
			})
		})
	}
}
