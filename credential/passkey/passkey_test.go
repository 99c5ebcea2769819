package passkey_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/passkey"
)

// TestRegister holds who becomes whom by making a key, and that the key opens
// the same account from another browser, on another replica.
func TestRegister(t *testing.T) {
	for _, tt := range []struct {
		name   string
		setup  setup
		before func(*person)
		want   walkin.Outcome
		same   bool // the user ID stays
		rows   int
	}{
		{"nobody", minting(walkin.MintOff), func(*person) {}, walkin.SignedUp, false, 0},
		{"nobody, where acts mint", minting(walkin.MintOnWrite), func(*person) {}, walkin.SignedUp, false, 0},
		{"a reader", minting(walkin.MintOnVisit), func(p *person) { p.Visit("/") }, walkin.Upgraded, true, 0},
		{"an anonymous user", minting(walkin.MintOnVisit), func(p *person) { p.Post("/note", nil) }, walkin.Upgraded, true, 1},
		{"a permanent user", minting(walkin.MintOnVisit), func(p *person) { p.Post("/prove", map[string][]string{"name": {"ann"}}) }, walkin.Linked, true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, tt.setup)
			p := s.person()
			tt.before(p)
			before := p.who()
			made := p.device.create(p.begin("register"), twist{})
			a := p.at(1).post("register-finish", made)
			want(t, a, http.StatusOK, "outcome", string(tt.want))
			if got := a.header.Get("Cache-Control"); got != "private, no-store" || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("got Cache-Control %q, Content-Type %q", got, a.header.Get("Content-Type"))
			}
			if bytes.Contains(a.body, []byte("token")) || bytes.Contains(a.body, []byte("expires")) { // the cookie has it
				t.Errorf("got %s", a.body)
			}
			if got := s.rows(); got != tt.rows {
				t.Errorf("got %d rows of guests, want %d", got, tt.rows)
			}
			after := p.who()
			if after.ID == uuid.Nil || after.Anonymous || after.Session == before.Session || after.Notes != before.Notes {
				t.Errorf("got %+v after %+v", after, before)
			}
			if tt.same && after.ID != before.ID {
				t.Errorf("got the ID %s, want %s", after.ID, before.ID)
			}
			if got := p.Fetch("/members").StatusCode; got != http.StatusOK {
				t.Errorf("members: got %d", got)
			}
			other := p.elsewhere().at(1)
			want(t, other.signIn(twist{}), http.StatusOK, "outcome", "signed_in")
			if got := other.who(); got.ID != after.ID || got.Method != "hwk" {
				t.Errorf("signed in elsewhere: got %+v, want %s by hwk", got, after.ID)
			}
		})
	}
}

// TestSignIn holds what becomes of a visitor who proves a key.
func TestSignIn(t *testing.T) {
	conflict := func(c walkin.Conflict) setup {
		return func(cfg *walkin.Config, _ *passkey.Config) { cfg.Conflict = c }
	}
	guest := func(p *person) { p.Post("/note", nil) }
	reader := func(p *person) { p.Visit("/") }
	for _, tt := range []struct {
		name   string
		merge  bool
		setup  setup
		before func(*person)
		status int
		want   string
		notes  int
	}{
		{"nobody", false, minting(walkin.MintOff), func(*person) {}, http.StatusOK, "signed_in", 1},
		{"a reader", false, minting(walkin.MintOnVisit), reader, http.StatusOK, "signed_in", 1},
		{"a reader where guests are kept", false, conflict(walkin.ConflictReject), reader, http.StatusOK, "signed_in", 1},
		{"a guest", false, minting(walkin.MintOnVisit), guest, http.StatusOK, "signed_in", 1},
		{"a guest who is merged", true, minting(walkin.MintOnVisit), guest, http.StatusOK, "merged", 2},
		{"a guest where guests are kept", false, conflict(walkin.ConflictReject), guest, http.StatusConflict, "", 1},
		{"another member", false, minting(walkin.MintOnVisit), func(p *person) { p.Post("/prove", map[string][]string{"name": {"bea"}}) }, http.StatusConflict, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s *site
			setups := []setup{tt.setup}
			if tt.merge {
				setups = append(setups, merging(&s))
			}
			s = newSite(t, setups...)
			ann := s.person()
			ann.Visit("/")
			want(t, ann.register(twist{}), http.StatusOK, "", "")
			ann.Post("/note", nil)
			owner := ann.who()

			p := ann.elsewhere()
			tt.before(p)
			s.told()
			if tt.status != http.StatusOK {
				p.holding(func() { want(t, p.signIn(twist{}), tt.status, "", "") })
				wantTold(t, s, "identity_taken")
				return
			}
			want(t, p.signIn(twist{}), tt.status, "outcome", tt.want)
			if got := s.rows(); got != 0 {
				t.Errorf("signing in made %d rows of guests", got)
			}
			if got := p.who(); got.ID != owner.ID || got.Notes != tt.notes || got.Anonymous {
				t.Errorf("got %+v, want %s with %d notes", got, owner.ID, tt.notes)
			}
			if got := ann.who(); got.ID != owner.ID {
				t.Errorf("the first browser is %+v", got)
			}
		})
	}
}

// TestProveAgain holds that a permanent user proves one of their own keys, also
// by a device that does not say whose it is when it is asked for one by name.
func TestProveAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		tw   twist
	}{{"with the user handle", twist{}}, {"without", twist{noHandle: true}}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				p, stranger := s.member(), s.member()
				time.Sleep(time.Hour)
				// A passkey of another account on the same device, and newer.
				p.device.keys = append(p.device.keys, stranger.device.keys...)
				before := p.who()
				o := p.device.read(p.begin("signin"))
				if got := o.PublicKey.AllowCredentials; len(got) != 1 || got[0].ID != b64(p.device.keys[0].id) ||
					!slices.Equal(got[0].Transports, []string{"internal"}) {
					t.Errorf("asked for %+v", got)
				}
				want(t, p.signIn(tt.tw), http.StatusOK, "outcome", "signed_in")
				after := p.who()
				if after.ID != before.ID || after.Session == before.Session || after.ProvenAt-before.ProvenAt != 3600 {
					t.Errorf("got %+v after %+v", after, before)
				}
				p.holding(func() { // who answers with a key that was not asked for
					o := p.begin("signin")
					want(t, p.post("signin-finish", p.device.prove(stranger.device.keys[0], p.device.read(o), twist{})), http.StatusConflict, "", "")
				})
			})
		})
	}
}

// attacks on an answer, with what the operator is told.
func attacks() []attack {
	return []attack{
		{"another origin", twist{origin: "https://evil.example"}, http.StatusUnauthorized, "passkey_origin"},
		{"a subdomain", twist{origin: "https://www.app.example"}, http.StatusUnauthorized, "passkey_origin"},
		{"a port", twist{origin: "https://app.example:8443"}, http.StatusUnauthorized, "passkey_origin"},
		{"plain http", twist{origin: "http://app.example"}, http.StatusUnauthorized, "passkey_origin"},
		{"another RP ID", twist{rpID: "evil.example"}, http.StatusUnauthorized, "passkey_rp_id"},
		{"a frame of another site", twist{framed: true}, http.StatusUnauthorized, "passkey_framed"},
		{"user not verified", twist{without: userVerified}, http.StatusUnauthorized, "passkey_user_unverified"},
		{"user not present", twist{without: userPresent}, http.StatusUnauthorized, "passkey_bad"},
		{"backed up and not eligible", twist{with: backedUp}, http.StatusUnauthorized, "passkey_bad"},
		{"a challenge of its own", twist{challenge: b64(make([]byte, 32))}, http.StatusGone, "passkey_ceremony"},
		{"no challenge", twist{answer: func(a map[string]any) {
			response := a["response"].(map[string]any)
			response["clientDataJSON"] = b64([]byte(`{"type":"webauthn.get","origin":"https://app.example"}`))
		}}, http.StatusGone, "passkey_ceremony"},
		{"an ID that is not the raw one", twist{answer: func(a map[string]any) { a["id"] = b64([]byte("another")) }}, http.StatusBadRequest, "passkey_malformed"},
		{"no ID", twist{answer: func(a map[string]any) { a["id"], a["rawId"] = "", "" }}, http.StatusBadRequest, "passkey_malformed"},
		{"another type", twist{answer: func(a map[string]any) { a["type"] = "password" }}, http.StatusBadRequest, "passkey_malformed"},
		{"nothing signed", twist{answer: func(a map[string]any) { a["response"] = map[string]any{} }}, http.StatusBadRequest, "passkey_malformed"},
	}
}

type attack struct {
	name   string
	tw     twist
	status int
	reason string
}

// TestSignInAttacks holds that what is not a key's own fresh proof signs in no user and
// costs the visitor nothing, not even the challenge.
func TestSignInAttacks(t *testing.T) {
	s := newSite(t)
	ann, other := s.member(), s.member()
	ann.device.counts = false
	for _, tt := range append(attacks(),
		attack{"a bogus signature", twist{signature: func(b []byte) { b[len(b)-1] ^= 1 }}, http.StatusUnauthorized, "passkey_bad"},
		attack{"a signature of zeros", twist{signature: func(b []byte) { clear(b) }}, http.StatusUnauthorized, "passkey_bad"},
		attack{"backup eligible all at once", twist{with: backupEligible}, http.StatusUnauthorized, "passkey_bad"},
		attack{"the proof of a registration", twist{kind: "webauthn.create"}, http.StatusUnauthorized, "passkey_bad"},
		attack{"the user handle of another", twist{handle: other.device.keys[0].handle}, http.StatusUnauthorized, "passkey_bad"},
		attack{"the key of another", twist{id: other.device.keys[0].id}, http.StatusUnauthorized, "passkey_bad"},
		attack{"a key that nobody has", twist{id: []byte("sixteen bytes...")}, http.StatusUnauthorized, "passkey_unknown"},
	) {
		t.Run(tt.name, func(t *testing.T) {
			for name, before := range map[string]func(*person){
				"reader": func(*person) {},
				"guest":  func(p *person) { p.Post("/note", nil) },
				"member": func(p *person) { want(t, p.signIn(twist{}), http.StatusOK, "", "") },
			} {
				p := ann.elsewhere()
				before(p)
				p.Visit("/") // so that looking is no change
				s.told()
				o := p.begin("signin")
				p.holding(func() {
					a := p.post("signin-finish", p.device.get(o, tt.tw))
					want(t, a, tt.status, "", "")
					if name == "member" && a.status == http.StatusOK {
						t.Error("a member is signed in anew")
					}
				})
				if got := s.told(); len(got) != 1 || got[0] != tt.reason {
					t.Errorf("%s: the owner is told %q, want %q", name, got, tt.reason)
				}
				if tt.name != "a bogus signature" {
					continue // an account signs in only so often
				}
				proof := p.device.get(o, twist{})
				want(t, p.post("signin-finish", proof), http.StatusOK, "outcome", "signed_in")
				p.holding(func() { want(t, p.post("signin-finish", proof), http.StatusGone, "", "") })
			}
		})
	}
	if n := len(s.keysOf(ann.who().ID)); n != 1 {
		t.Errorf("got %d keys after all that", n)
	}
}

// TestBearer holds that a client without cookies finds its new token in the answer:
// the one it had has ended.
func TestBearer(t *testing.T) {
	s := newSite(t, minting(walkin.MintOnVisit))
	guest := s.person()
	guest.Post("/note", nil)
	id, token := guest.who().ID, guest.Cookie("__Host-walkin-anon")
	app := s.person()
	post := func(path string, body []byte) answer {
		r := app.request(path, body)
		r.Header.Set("Authorization", "Bearer "+token)
		return answerOf(t, app.Do(r))
	}
	for _, step := range []struct {
		begin, finish, outcome string
		use                    func([]byte, twist) []byte
	}{
		{"register", "register-finish", "upgraded", app.device.create},
		{"signin", "signin-finish", "signed_in", app.device.get},
	} {
		a := post(step.finish, step.use(post(step.begin, []byte(`{}`)).body, twist{}))
		want(t, a, http.StatusOK, "outcome", step.outcome)
		if a.field("token_type") != "bearer" || len(app.Cookies()) > 0 {
			t.Errorf("%s: got %s and the cookies %v", step.finish, a.body, app.Cookies())
		}
		token = a.field("access_token")
		r := app.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		var got who
		if err := json.Unmarshal(answerOf(t, app.Do(r)).body, &got); err != nil || got.ID != id || got.Anonymous {
			t.Errorf("%s: got %+v, want %s", step.finish, got, id)
		}
	}
}
