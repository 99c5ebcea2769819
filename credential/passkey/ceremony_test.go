package passkey_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/passkey"
)

// TestRegisterAttacks holds that a bad answer makes no key and no member, costs
// the visitor nothing, and cannot be tried twice.
func TestRegisterAttacks(t *testing.T) {
	s := newSite(t)
	ann := s.member()
	large := &device{t: t}
	odd := func(n int) []byte { return slices.Repeat([]byte{0xfb}, n) }
	rsaKey := func(n, e []byte) []byte { return large.cbor(map[int]any{1: 3, 3: -257, -1: n, -2: e}) }
	edKey := func(x []byte) []byte { return large.cbor(map[int]any{1: 1, 3: -8, -1: 6, -2: x}) }
	orderEight, err := hex.DecodeString("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
	if err != nil {
		t.Fatal(err)
	}
	slow := large.cbor(map[int]any{1: 3, 3: -257, -1: slices.Repeat([]byte{0xff}, 2048), -2: []byte{1, 0, 1}})
	for _, tt := range append(attacks(),
		attack{"the proof of a sign-in", twist{kind: "webauthn.get"}, http.StatusUnauthorized, "passkey_bad"},
		attack{"a key that is none", twist{public: large.cbor(map[int]any{1: 2, 3: -7, -1: 1, -2: make([]byte, 32), -3: make([]byte, 32)})}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"a key that takes long to check", twist{public: slow}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"RSA of 512 bits", twist{public: rsaKey(odd(64), []byte{1, 0, 1})}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"RSA of 2047 bits", twist{public: rsaKey(append([]byte{0x7f}, odd(255)...), []byte{1, 0, 1})}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"RSA of 512 bits and zeros", twist{public: rsaKey(append(make([]byte, 192), odd(64)...), []byte{1, 0, 1})}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"an even modulus", twist{public: rsaKey(append(odd(255), 0xfe), []byte{1, 0, 1})}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"e = 1", twist{public: rsaKey(odd(256), []byte{1})}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"e = 2", twist{public: rsaKey(odd(256), []byte{2})}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"e = 65536", twist{public: rsaKey(odd(256), []byte{1, 0, 0})}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"an e that nothing takes", twist{public: rsaKey(odd(256), []byte{1, 0, 0, 0, 1})}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"no e", twist{public: rsaKey(odd(256), nil)}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"Ed25519 of zeros", twist{public: edKey(make([]byte, 32))}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"Ed25519 of one", twist{public: edKey(append([]byte{1}, make([]byte, 31)...))}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"Ed25519 of minus one", twist{public: edKey(append(append([]byte{0xec}, slices.Repeat([]byte{0xff}, 30)...), 0x7f))}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"Ed25519 of order eight", twist{public: edKey(orderEight)}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"Ed25519 that is no point", twist{public: edKey(append([]byte{2}, make([]byte, 31)...))}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"Ed25519 above the field", twist{public: edKey(slices.Repeat([]byte{0xff}, 32))}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"P-256 off the curve", twist{public: large.cbor(map[int]any{1: 2, 3: -7, -1: 1, -2: odd(32), -3: odd(32)})}, http.StatusUnprocessableEntity, "passkey_unusable"},
		attack{"a key of another kind", twist{public: large.cbor(map[int]any{1: 2, 3: -47, -1: 8, -2: make([]byte, 32), -3: make([]byte, 32)})}, http.StatusUnauthorized, "passkey_bad"},
		attack{"somebody else's key", twist{id: ann.device.keys[0].id}, http.StatusConflict, "identity_taken"},
	) {
		t.Run(tt.name, func(t *testing.T) {
			for name, before := range map[string]func(*person){
				"reader": func(*person) {},
				"guest":  func(p *person) { p.Post("/note", nil) },
				"member": func(p *person) { p.register(twist{}) },
			} {
				p := s.person()
				p.Visit("/")
				before(p)
				s.told()
				o := p.begin("register")
				p.holding(func() { want(t, p.post("register-finish", (&device{t: t}).create(o, tt.tw)), tt.status, "", "") })
				if got := s.told(); !slices.Equal(got, []string{tt.reason}) {
					t.Errorf("%s: the owner is told %q, want %q", name, got, tt.reason)
				}
				keys := 0
				if name == "member" {
					keys = 1
				}
				if got := len(s.keysOf(p.who().ID)); got != keys {
					t.Errorf("%s: got %d keys, want %d", name, got, keys)
				}
				if tt.status == http.StatusGone || tt.status == http.StatusBadRequest {
					continue // the challenge was not in it
				}
				p.holding(func() {
					want(t, p.post("register-finish", (&device{t: t}).create(o, twist{})), http.StatusGone, "", "")
				})
			}
		})
	}
	want(t, ann.elsewhere().signIn(twist{}), http.StatusOK, "outcome", "signed_in")
	if n := len(s.keysOf(ann.who().ID)); n != 1 {
		t.Errorf("the attacked account has %d keys", n)
	}
}

// TestKinds holds that real keys of all three kinds are registered.
func TestKinds(t *testing.T) {
	d := &device{t: t}
	for range 50 {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !passkey.Usable(d.cbor(map[int]any{1: 1, 3: -8, -1: 6, -2: []byte(public)})) {
			t.Errorf("the key %x is refused", public)
		}
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, public := range map[string][]byte{
		"ES256": nil, // the device's own
		"EdDSA": d.cbor(map[int]any{1: 1, 3: -8, -1: 6, -2: []byte(ed)}),
		"RS256": d.cbor(map[int]any{1: 3, 3: -257, -1: private.N.Bytes(), -2: []byte{1, 0, 1}}),
	} {
		p := newSite(t).person()
		a := p.post("register-finish", p.device.create(p.begin("register"), twist{public: public}))
		if a.status != http.StatusOK {
			t.Errorf("%s: got %d %s", name, a.status, a.body)
		}
	}
}

// TestAttestation holds that one that was not asked for is not looked at.
func TestAttestation(t *testing.T) {
	p := newSite(t).person()
	o := p.begin("register")
	if got := p.device.read(o).PublicKey.Attestation; got != "none" {
		t.Errorf("asked for attestation %q", got)
	}
	want(t, p.post("register-finish", p.device.create(o, twist{format: "packed"})), http.StatusOK, "outcome", "signed_up")
}

// TestOptions holds what browsers are asked for.
func TestOptions(t *testing.T) {
	p := newSite(t, func(_ *walkin.Config, c *passkey.Config) {
		c.UserName = func(r *http.Request) string {
			if c, ok := walkin.FromContext(r.Context()); ok && !c.Anonymous {
				return "ann@example.com"
			}
			return ""
		}
	}).person()
	o := p.device.read(p.begin("register")).PublicKey
	if sel := o.AuthenticatorSelection; sel.ResidentKey != "required" || !sel.RequireResidentKey || sel.UserVerification != "required" {
		t.Errorf("registering: got %+v", sel)
	}
	if o.RP.ID != "app.example" || o.RP.Name != "Notes" || o.Timeout != 300_000 || len(o.ExcludeCredentials) != 0 {
		t.Errorf("registering: got %+v", o)
	}
	if want := "Notes, " + time.Now().Format("2 January 2006"); o.User.Name != want || o.User.DisplayName != want {
		t.Errorf("registering: got the name %q and %q, want %q", o.User.Name, o.User.DisplayName, want)
	}
	if len(p.device.unb64(o.Challenge)) < 32 || len(p.device.unb64(o.User.ID)) != 32 {
		t.Errorf("registering: got the challenge %q and handle %q", o.Challenge, o.User.ID)
	}
	p.register(twist{})
	if got := p.device.read(p.begin("register")).PublicKey.User.Name; got != "ann@example.com" {
		t.Errorf("registering one more: got the name %q", got)
	}
	o = p.device.read(p.elsewhere().begin("signin")).PublicKey
	if o.RPID != "app.example" || o.UserVerification != "required" || o.Timeout != 300_000 || len(o.AllowCredentials) != 0 {
		t.Errorf("signing in: got %+v", o)
	}
}

// TestBound holds that a ceremony is completed by the browser that began it, as who it
// was then, once and in time; and that no other browser can spend it.
func TestBound(t *testing.T) {
	for _, step := range []string{"register", "signin"} {
		for _, tt := range []struct {
			name    string
			before  func(*person)
			between func(*person)
			good    bool
		}{
			{"at once", func(p *person) { p.Visit("/") }, func(*person) {}, true},
			{"a reader who acts", func(p *person) { p.Visit("/") }, func(p *person) { p.Post("/note", nil) }, true},
			{"nobody who opens a page", func(*person) {}, func(p *person) { p.Visit("/") }, true},
			{"nobody who opens a page and acts", func(*person) {}, func(p *person) { p.Visit("/"); p.Post("/note", nil) }, true},
			{"almost too late", func(p *person) { p.Visit("/") }, func(*person) { time.Sleep(5*time.Minute - time.Second) }, true},
			{"too late", func(p *person) { p.Visit("/") }, func(*person) { time.Sleep(5 * time.Minute) }, false},
			{"who upgraded otherwise", func(p *person) { p.Visit("/") }, func(p *person) { p.Post("/prove", map[string][]string{"name": {"bea"}}) }, false},
			{"nobody who signed up otherwise", func(*person) {}, func(p *person) { p.Post("/prove", map[string][]string{"name": {"cleo"}}) }, false},
			{"who signed out", func(p *person) { p.Visit("/") }, func(p *person) { p.Post("/out", nil) }, false},
		} {
			t.Run(step+"/"+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t)
					p := s.member().elsewhere()
					tt.before(p)
					o := p.begin(step)
					tt.between(p)
					reply := p.device.get(o, twist{})
					if step == "register" {
						reply = (&device{t: t}).create(o, twist{})
					}
					thief := s.person()
					thief.Visit("/")
					thief.holding(func() { want(t, thief.post(step+"-finish", reply), http.StatusGone, "", "") })
					if !tt.good {
						p.holding(func() { want(t, p.at(1).post(step+"-finish", reply), http.StatusGone, "", "") })
						return
					}
					want(t, p.at(1).post(step+"-finish", reply), http.StatusOK, "", "")
					for i := range s.replicas {
						p.holding(func() { want(t, p.at(i).post(step+"-finish", reply), http.StatusGone, "", "") })
					}
				})
			})
		}
	}
}

// TestAnswerToTheOther holds that the challenge of one ceremony is none for the
// other, also when everything else fits.
func TestAnswerToTheOther(t *testing.T) {
	s := newSite(t)
	p := s.member().elsewhere()
	p.Visit("/")
	toSignIn, toRegister := p.device.read(p.begin("signin")), p.device.read(p.begin("register"))
	p.holding(func() {
		reply := p.device.prove(p.device.keys[0], toSignIn, twist{challenge: toRegister.PublicKey.Challenge})
		want(t, p.post("signin-finish", reply), http.StatusGone, "", "")
	})
	want(t, p.post("signin-finish", p.device.prove(p.device.keys[0], toSignIn, twist{})), http.StatusOK, "", "")
}

// parallel runs do n times at once, and returns the answers by status.
func parallel(n int, do func(i int) answer) map[int]int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			a := do(i)
			mu.Lock()
			defer mu.Unlock()
			got[a.status]++
		})
	}
	close(start)
	wg.Wait()
	return got
}

// TestParallelFinishes holds that of one answer sent many times one counts, on
// whichever replica, and that it is the one whose cookie lives.
func TestParallelFinishes(t *testing.T) {
	for _, step := range []string{"register", "signin"} {
		s := newSite(t)
		p := s.member().elsewhere()
		p.Post("/note", nil)
		before := p.who()
		o := p.begin(step)
		reply := p.device.get(o, twist{})
		if step == "register" {
			reply = (&device{t: t}).create(o, twist{})
		}
		got := parallel(20, func(i int) answer { return p.at(i%2).post(step+"-finish", reply) })
		if want := map[int]int{http.StatusOK: 1, http.StatusGone: 19}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", step, got, want)
		}
		after := p.who()
		if after.Anonymous || after.ID == uuid.Nil || step == "register" && (after.ID != before.ID || len(s.keysOf(after.ID)) != 1) {
			t.Errorf("%s: got %+v after %+v", step, after, before)
		}
	}
}

// TestTwentyVisitorsOneKey holds that one wins, and that the others keep what
// they have.
func TestTwentyVisitorsOneKey(t *testing.T) {
	s := newSite(t)
	people, replies := make([]*person, 20), make([][]byte, 20)
	for i := range people {
		people[i] = s.person().at(i % 2)
		people[i].Post("/note", nil)
		replies[i] = people[i].device.create(people[i].begin("register"), twist{id: []byte("one and the same")})
	}
	got := parallel(20, func(i int) answer { return people[i].post("register-finish", replies[i]) })
	if want := map[int]int{http.StatusOK: 1, http.StatusConflict: 19}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	members := 0
	for _, p := range people {
		v := p.who()
		if v.ID == uuid.Nil || v.Notes != 1 {
			t.Errorf("somebody is %+v", v)
		}
		if !v.Anonymous {
			members++
		}
	}
	if members != 1 {
		t.Errorf("got %d members", members)
	}
}

// TestDoubleClick holds that two upgrades at once, by two keys on two replicas,
// end as one user with the ID they had and a live cookie.
func TestDoubleClick(t *testing.T) {
	for range 10 {
		s := newSite(t)
		p := s.person()
		p.Post("/note", nil)
		before := p.who()
		first := p.device.create(p.begin("register"), twist{})
		second := p.device.create(p.begin("register"), twist{})
		if len(p.device.keys) != 2 {
			t.Fatal("the second key replaced the first on the device, and the second may be refused")
		}
		got := parallel(2, func(i int) answer { return p.at(i).post("register-finish", [][]byte{first, second}[i]) })
		if got[http.StatusOK] == 0 || got[http.StatusInternalServerError] > 0 {
			t.Fatalf("got %v", got)
		}
		if after := p.who(); after.ID != before.ID || after.Anonymous || after.Notes != 1 || len(s.keysOf(after.ID)) != got[http.StatusOK] {
			t.Fatalf("got %+v with %d keys after %+v, answers %v", after, len(s.keysOf(after.ID)), before, got)
		}
	}
}

// TestFixation holds that a planted or copied anonymous cookie is worth nothing once
// its user has a key.
func TestFixation(t *testing.T) {
	for _, before := range []func(*person){func(*person) {}, func(p *person) { p.Post("/note", nil) }} {
		s := newSite(t)
		victim, attacker := s.person(), s.person()
		victim.Visit("/")
		before(victim)
		attacker.SetCookie(anonCookie, victim.Cookie(anonCookie))
		if got := attacker.who().ID; got != victim.who().ID {
			t.Fatalf("the copy is %s", got)
		}
		o := attacker.begin("register") // and has begun to make a key of their own
		want(t, victim.register(twist{}), http.StatusOK, "outcome", "upgraded")
		for i := range s.replicas {
			if got := attacker.at(i).act("/note", nil); got.status != http.StatusUnauthorized {
				t.Errorf("replica %d: the copy acts, with %d", i, got.status)
			}
		}
		want(t, attacker.post("register-finish", attacker.device.create(o, twist{})), http.StatusGone, "", "")
		if got := len(s.keysOf(victim.who().ID)); got != 1 {
			t.Errorf("got %d keys", got)
		}
	}
}

// TestHookFails holds that nothing happened then, and that it can be tried again.
func TestHookFails(t *testing.T) {
	for name, hook := range map[string]func(walkin.Change) error{
		"an error": func(walkin.Change) error { return errors.New("no room") },
		"a refusal": func(walkin.Change) error {
			return &walkin.Refusal{Status: http.StatusForbidden, Reason: "banned"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			ann, p := s.member(), s.person()
			p.Post("/note", nil)
			s.hook = hook
			p.holding(func() {
				if a := p.register(twist{}); a.status < 400 {
					t.Errorf("registering: got %d", a.status)
				}
			})
			again := ann.elsewhere()
			again.Post("/note", nil)
			again.holding(func() {
				if a := again.signIn(twist{}); a.status < 400 {
					t.Errorf("signing in: got %d", a.status)
				}
			})
			s.hook = nil
			want(t, p.register(twist{}), http.StatusOK, "outcome", "upgraded")
			want(t, again.signIn(twist{}), http.StatusOK, "outcome", "signed_in")
		})
	}
}

// TestStoreDown holds that whatever fails is a 503 that says nothing, and that
// everybody is who they were.
func TestStoreDown(t *testing.T) {
	for _, tt := range []struct {
		method, step string
		begin        bool
		member       bool
	}{
		{"PutTicket", "register", true, false},
		{"Identities", "register", true, true},
		{"Identities", "signin", true, true},
		{"TakeTicket", "register", false, false},
		{"Ticket", "signin", false, false},
		{"Identity", "register", false, false},
		{"Identity", "signin", false, false},
		{"CreateIdentity", "register", false, false},
	} {
		t.Run(tt.method+" "+tt.step, func(t *testing.T) {
			s := newSite(t)
			p := s.member()
			if !tt.member {
				p = p.elsewhere()
				p.Post("/note", nil)
			}
			o := p.begin(tt.step)
			reply := p.device.get(o, twist{})
			if tt.step == "register" {
				reply = (&device{t: t}).create(o, twist{})
			}
			s.told()
			s.store.breaks(tt.method)
			p.holding(func() {
				a := p.post(tt.step, []byte(`{}`))
				if !tt.begin {
					a = p.post(tt.step+"-finish", reply)
				}
				want(t, a, http.StatusServiceUnavailable, "detail", "This does not work at the moment. Please try again in a few seconds.")
				if a.header.Get("Retry-After") == "" {
					t.Error("got no Retry-After")
				}
			})
			s.store.breaks("")
			wantTold(t, s, "store_down")
		})
	}
}
