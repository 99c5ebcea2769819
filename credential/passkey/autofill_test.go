package passkey_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/limit"
)

// suggest asks for a challenge as the script does when the page is opened.
func (p *person) suggest() []byte {
	p.site.t.Helper()
	a := p.post("signin", []byte(`{"mediation":"conditional"}`))
	want(p.site.t, a, http.StatusOK, "", "")
	return a.body
}

// TestSuggest holds who becomes whom by a key that the browser suggested, and
// that nothing is written before.
func TestSuggest(t *testing.T) {
	for name, before := range map[string]func(*person){
		"nobody":  func(*person) {},
		"reader":  func(p *person) { p.Visit("/") },
		"guest":   func(p *person) { p.Post("/note", nil) },
		"member":  func(p *person) { want(t, p.signIn(twist{}), http.StatusOK, "", "") },
		"tickets": func(p *person) { p.begin("signin") }, // of a button that was pressed, too
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, minting(walkin.MintOnVisit))
			ann := s.member()
			p := ann.elsewhere()
			before(p)
			s.told()
			for _, method := range []string{"PutTicket", "AddTicket", "CreateIdentity", "SetSecret"} {
				s.store.breaks(method)
				for range 10 {
					p.suggest()
				}
				if s.store.calls > 0 || s.rows() > 0 {
					t.Errorf("looking at the page called %s %d times and made %d rows", method, s.store.calls, s.rows())
				}
			}
			s.store.breaks("")
			o := p.suggest()
			if got := p.device.read(o).PublicKey; len(got.AllowCredentials) != 0 || got.UserVerification != "required" || got.RPID != "app.example" {
				t.Errorf("got %+v", got)
			}
			p.suggest() // in another tab, or again
			proof := p.device.get(o, twist{})
			want(t, p.at(1).post("signin-finish", proof), http.StatusOK, "outcome", "signed_in")
			if got := p.who(); got.ID != ann.who().ID || got.Anonymous {
				t.Errorf("got %+v, want %s", got, ann.who().ID)
			}
			for i := range s.replicas {
				p.holding(func() { want(t, p.at(i).post("signin-finish", proof), http.StatusGone, "", "") })
			}
		})
	}
}

// TestSuggestAttacks holds that a challenge which was not kept is worth no more than
// one that was.
func TestSuggestAttacks(t *testing.T) {
	s := newSite(t)
	ann := s.member()
	for _, tt := range append(attacks(),
		attack{"a bogus signature", twist{signature: func(b []byte) { b[len(b)-1] ^= 1 }}, http.StatusUnauthorized, "passkey_bad"},
		attack{"the proof of a registration", twist{kind: "webauthn.create"}, http.StatusUnauthorized, "passkey_bad"},
		attack{"a key that nobody has", twist{id: []byte("sixteen bytes...")}, http.StatusUnauthorized, "passkey_unknown"},
		attack{"no user handle", twist{noHandle: true}, http.StatusUnauthorized, "passkey_bad"},
	) {
		p := ann.elsewhere()
		p.Post("/note", nil)
		s.told()
		p.holding(func() { want(t, p.post("signin-finish", p.device.get(p.suggest(), tt.tw)), tt.status, "", "") })
		if got := s.told(); len(got) != 1 || got[0] != tt.reason {
			t.Errorf("%s: the owner is told %q, want %q", tt.name, got, tt.reason)
		}
	}

	// What the MAC covers.
	p := ann.elsewhere()
	p.Post("/note", nil)
	o := p.device.read(p.suggest())
	good := p.device.unb64(o.PublicKey.Challenge)
	for i := range good {
		changed := append([]byte(nil), good...)
		changed[i] ^= 1
		p.holding(func() {
			want(t, p.post("signin-finish", p.device.get(p.suggest(), twist{challenge: b64(changed)})), http.StatusGone, "", "")
		})
	}
	for name, challenge := range map[string]string{
		"shorter": b64(good[:len(good)-1]), "longer": b64(append(good[:len(good):len(good)], 0)),
		"padded": base64.URLEncoding.EncodeToString(good) + "=", "no MAC": b64(good[:24]), "not base64": "*",
	} {
		p.holding(func() {
			a := p.post("signin-finish", p.device.prove(p.device.keys[0], o, twist{challenge: challenge}))
			if a.status != http.StatusGone {
				t.Errorf("%s: got %d %s, want 410", name, a.status, a.body)
			}
		})
	}

	// Another site's with the same key, and one of the same site with another.
	for name, other := range map[string]setup{
		"another site": func(_ *walkin.Config, c *passkey.Config) {
			c.RPID, c.Origins = "other.example", []string{"https://other.example"}
		},
		"another key": func(c *walkin.Config, _ *passkey.Config) {
			c.Keys = []walkin.Key{{Secret: []byte("another key of thirty-two bytes!!")}}
		},
	} {
		elsewhere := newSite(t, other)
		elsewhere.store.Store = s.store.Store
		there := elsewhere.person()
		there.SetCookie(anonCookie, p.Cookie(anonCookie))
		there.device = p.device
		there.holding(func() {
			if a := there.post("signin-finish", p.device.get(p.suggest(), twist{})); a.status != http.StatusGone {
				t.Errorf("%s: got %d %s, want 410", name, a.status, a.body)
			}
		})
	}

	// It is for signing in alone.
	p.holding(func() {
		made := (&device{t: t}).create(p.begin("register"), twist{challenge: p.device.read(p.suggest()).PublicKey.Challenge})
		want(t, p.post("register-finish", made), http.StatusGone, "", "")
	})
}

// TestSuggestBound holds that such a challenge is for the browser that has it, as
// who it was then, once and for five minutes.
func TestSuggestBound(t *testing.T) {
	for _, tt := range []struct {
		name    string
		before  func(*person)
		between func(*person)
		good    bool
	}{
		{"at once", func(p *person) { p.Visit("/") }, func(*person) {}, true},
		{"nobody who opens a page and acts", func(*person) {}, func(p *person) { p.Visit("/"); p.Post("/note", nil) }, true},
		{"almost too late", func(p *person) { p.Visit("/") }, func(*person) { time.Sleep(5*time.Minute - 2*time.Second) }, true},
		{"too late", func(p *person) { p.Visit("/") }, func(*person) { time.Sleep(5 * time.Minute) }, false},
		{"long after", func(p *person) { p.Visit("/") }, func(*person) { time.Sleep(time.Hour) }, false},
		{"who upgraded otherwise", func(p *person) { p.Visit("/") }, func(p *person) { p.Post("/prove", map[string][]string{"name": {"bea"}}) }, false},
		{"nobody who signed up otherwise", func(*person) {}, func(p *person) { p.Post("/prove", map[string][]string{"name": {"cleo"}}) }, false},
		{"who signed out", func(p *person) { p.Visit("/") }, func(p *person) { p.Post("/out", nil) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				p := s.member().elsewhere()
				tt.before(p)
				o := p.suggest()
				tt.between(p)
				proof := p.device.get(o, twist{})
				thief := s.person()
				thief.Visit("/")
				thief.holding(func() { want(t, thief.post("signin-finish", proof), http.StatusGone, "", "") })
				if !tt.good {
					p.holding(func() { want(t, p.at(1).post("signin-finish", proof), http.StatusGone, "", "") })
					return
				}
				want(t, p.at(1).post("signin-finish", proof), http.StatusOK, "", "")
			})
		})
	}
}

// TestSuggestRotation holds that replicas change their key one after the other, and
// that a challenge of years, made by an attacker who has the key, is none of ours.
func TestSuggestRotation(t *testing.T) {
	one := walkin.Key{Secret: []byte("thirty-two bytes, and not a token's")}
	two := walkin.Key{Secret: []byte("thirty-two bytes of another secret")}
	n := 0
	s := newSite(t, func(c *walkin.Config, _ *passkey.Config) {
		c.Keys = []walkin.Key{one, two}
		if n++; n > 1 {
			c.Keys = []walkin.Key{two, one}
		}
	})
	for i := range s.replicas {
		p := s.member().elsewhere()
		p.Visit("/")
		proof := p.device.get(p.at(i).suggest(), twist{})
		want(t, p.at(1-i).post("signin-finish", proof), http.StatusOK, "", "")
	}

	p := s.member().elsewhere()
	p.Visit("/")
	o := p.device.read(p.at(0).suggest())
	bound := "session:" + p.who().Session.String()
	for _, c := range []struct {
		expiry time.Duration
		status int
	}{{10 * 365 * 24 * time.Hour, http.StatusGone}, {7 * time.Minute, http.StatusGone}, {-time.Second, http.StatusGone}, {time.Minute, http.StatusOK}} {
		key, err := one.Derive("walkin passkey app.example\x00walkin\x00walkin")
		if err != nil {
			t.Fatal(err)
		}
		challenge := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(c.expiry).Unix()))
		challenge = append(challenge, "sixteen bytes..."...)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(bound + "\x00"))
		mac.Write(challenge)
		q := *p
		want(t, q.at(0).post("signin-finish", p.device.prove(p.device.keys[0], o, twist{challenge: b64(mac.Sum(challenge))})), c.status, "", "")
	}
}

// TestButton holds that the button of a sign-in leaves nothing in the store either: for
// requests without a user, anonymous users, and members, who are asked for a key of
// their own.
func TestButton(t *testing.T) {
	for name, before := range map[string]func(*person){
		"nobody": func(*person) {},
		"reader": func(p *person) { p.Visit("/") },
		"guest":  func(p *person) { p.Post("/note", nil) },
		"member": func(p *person) { want(t, p.signIn(twist{}), http.StatusOK, "", "") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, minting(walkin.MintOnVisit))
			ann, bea := s.member(), s.member()
			p := ann.elsewhere()
			before(p)
			s.told()
			for _, method := range []string{"PutTicket", "AddTicket"} {
				s.store.breaks(method)
				for range 200 {
					p.begin("signin")
				}
				if s.store.calls > 0 {
					t.Errorf("pressing the button called %s %d times", method, s.store.calls)
				}
			}
			s.store.breaks("")
			o := p.begin("signin")
			if got := len(p.device.read(o).PublicKey.AllowCredentials); (got > 0) != (name == "member") {
				t.Errorf("%d keys are asked for", got)
			}
			thief := s.person()
			proof := p.device.get(o, twist{noHandle: name == "member"}) // a device may leave it out then
			thief.holding(func() { want(t, thief.post("signin-finish", proof), http.StatusGone, "", "") })
			if name == "member" { // asked for their own, answered with another's
				other := bea.device.prove(bea.device.keys[0], p.device.read(o), twist{})
				p.holding(func() { want(t, p.post("signin-finish", other), http.StatusConflict, "", "") })
				other = bea.device.prove(bea.device.keys[0], p.device.read(o), twist{noHandle: true})
				p.holding(func() { want(t, p.post("signin-finish", other), http.StatusUnauthorized, "", "") })
			}
			want(t, p.at(1).post("signin-finish", proof), http.StatusOK, "outcome", "signed_in")
			if got := p.who(); got.ID != ann.who().ID {
				t.Errorf("got %+v", got)
			}
			for i := range s.replicas {
				p.holding(func() { want(t, p.at(i).post("signin-finish", proof), http.StatusGone, "", "") })
			}
		})
	}
}

// TestCeremonyFlood holds that ceremonies which begin and never end leave no more
// tickets than their network may have, on two replicas that share a limiter.
func TestCeremonyFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := limit.New(0)
		s := newSite(t, func(c *walkin.Config, _ *passkey.Config) { c.Limiter = shared })
		statuses := map[int]int{}
		for i := range 300 {
			p := s.person()
			p.Client = p.Client.From("203.0.113.7:1")
			statuses[p.at(i%2).post("register", []byte("{}")).status]++
		}
		if statuses[http.StatusOK] != 60 || statuses[http.StatusTooManyRequests] != 240 {
			t.Errorf("got %v, want 60 of 300", statuses)
		}
		if a := s.person().post("register", []byte("{}")); a.status != http.StatusOK {
			t.Errorf("from elsewhere: got %d %s", a.status, a.body)
		}
		time.Sleep(15 * time.Minute)
		p := s.person()
		p.Client = p.Client.From("203.0.113.7:1")
		if a := p.post("register", []byte("{}")); a.status != http.StatusOK {
			t.Errorf("later: got %d %s", a.status, a.body)
		}
	})
}

// TestSuggestOnce holds that of one answer sent many times, on two replicas, one
// counts, and that the others are not taken for a copy of the key.
func TestSuggestOnce(t *testing.T) {
	s := newSite(t)
	p := s.person()
	p.device.counts = true
	want(t, p.register(twist{}), http.StatusOK, "", "")
	other := p.elsewhere()
	other.Post("/note", nil)
	proof := other.device.get(other.suggest(), twist{})
	got := parallel(20, func(i int) answer { return other.at(i%2).post("signin-finish", proof) })
	if got[http.StatusOK] != 1 || got[http.StatusGone]+got[http.StatusForbidden] != 19 {
		t.Errorf("got %v, want one that counts", got)
	}
	if v := other.who(); v.ID != p.who().ID {
		t.Errorf("got %+v, want %s", v, p.who().ID)
	}
	s.told()
	other.holding(func() { want(t, other.post("signin-finish", proof), http.StatusGone, "", "") })
	wantTold(t, s, "passkey_ceremony")
}

// TestSuggestAndFail holds that a failure leaves the challenge, and the visitor,
// as they were.
func TestSuggestAndFail(t *testing.T) {
	s := newSite(t)
	p := s.member().elsewhere()
	p.Post("/note", nil)
	proof := p.device.get(p.suggest(), twist{})
	s.hook = func(walkin.Change) error { return errors.New("no room") }
	p.holding(func() { want(t, p.post("signin-finish", proof), http.StatusInternalServerError, "", "") })
	s.hook = nil
	for _, method := range []string{"Ticket", "AddTicket", "Identity"} {
		s.store.breaks(method)
		p.holding(func() { want(t, p.post("signin-finish", proof), http.StatusServiceUnavailable, "", "") })
		if s.store.calls == 0 {
			t.Errorf("%s was not called", method)
		}
		s.store.breaks("")
	}
	want(t, p.post("signin-finish", proof), http.StatusOK, "outcome", "signed_in")
}

// TestOddMediation holds that what asks for nothing special gets a challenge.
func TestOddMediation(t *testing.T) {
	p := newSite(t).member()
	for _, body := range []string{``, `{`, `[]`, `{"mediation":7}`, `{"mediation":"silent"}`} {
		if a := p.post("signin", []byte(body)); a.status != http.StatusOK {
			t.Errorf("%s: got %d %s", body, a.status, a.body)
		}
	}
}
