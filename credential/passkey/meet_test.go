package passkey_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/limit"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// copied returns another browser with the same cookies.
func (p *person) copied() *person {
	other := p.elsewhere()
	for _, c := range p.Cookies() {
		other.SetCookie(c.Name, c.Value)
	}
	return other
}

// TestProofIsCopied holds that a copy of a proof that was used signs in no browser, also
// one with the cookies of before, and is not taken for a copy of the key.
func TestProofIsCopied(t *testing.T) {
	s := newSite(t, minting(walkin.MintOff))
	owner := s.person()
	owner.device.counts = true
	want(t, owner.register(twist{}), http.StatusOK, "", "")
	p := owner.elsewhere()
	proof := p.device.get(p.begin("signin"), twist{})
	later := p.copied()
	want(t, p.post("signin-finish", proof), http.StatusOK, "outcome", "signed_in")
	s.told()
	later.holding(func() { want(t, later.post("signin-finish", proof), http.StatusGone, "", "") })
	wantTold(t, s, "passkey_ceremony")
}

// TestHalvesMeet holds that of two halves of a double click at one moment the faster one
// counts.
func TestHalvesMeet(t *testing.T) {
	s := newSite(t, minting(walkin.MintOff))
	p := s.member().elsewhere()
	proof := p.device.get(p.begin("signin"), twist{})
	fast := p.copied()
	n := 0
	var inTx func()
	inTx = func() {
		if n++; n == 1 { // that of the counter
			s.store.inTx = inTx
			return
		}
		want(t, fast.post("signin-finish", proof), http.StatusOK, "outcome", "signed_in")
	}
	s.store.inTx = inTx
	s.told()
	p.holding(func() { want(t, p.post("signin-finish", proof), http.StatusGone, "", "") })
	wantTold(t, s, "passkey_ceremony")
}

// TestStoreDownAtLast holds that whichever call fails that asks whose key it is, in the
// transaction of the change, the store is down and the key is known.
func TestStoreDownAtLast(t *testing.T) {
	s := newSite(t)
	owner := s.member()
	signIn := func(after int) (*person, func() answer) {
		p := owner.elsewhere()
		p.Post("/note", nil)
		proof := p.device.get(p.begin("signin"), twist{})
		return p, func() answer {
			n := 0
			var inTx func()
			inTx = func() {
				if n++; n == 1 { // that of the counter
					s.store.inTx = inTx
					return
				}
				s.store.breaks("Identity")
				s.store.after = after
			}
			s.store.inTx = inTx
			defer s.store.breaks("")
			return p.post("signin-finish", proof)
		}
	}
	_, do := signIn(1000)
	want(t, do(), http.StatusOK, "outcome", "signed_in")
	calls := s.store.lastCalls
	if calls < 2 {
		t.Fatalf("it was asked %d times", calls)
	}
	for after := range calls {
		p, do := signIn(after)
		p.holding(func() { want(t, do(), http.StatusServiceUnavailable, "", "") })
	}
}

// TestChallengesDiffer holds that no two challenges of a browser are alike, and that one
// has one spelling.
func TestChallengesDiffer(t *testing.T) {
	s := newSite(t)
	p := s.member().elsewhere()
	p.Visit("/")
	first, second := p.device.read(p.begin("signin")), p.device.read(p.begin("signin"))
	if first.PublicKey.Challenge == second.PublicKey.Challenge {
		t.Errorf("two challenges are %s", first.PublicKey.Challenge)
	}
	for more, status := range map[string]int{"!": 410, "=": 410, "A": 410, "AAAA": 410, "\n": 401} {
		p.holding(func() {
			want(t, p.post("signin-finish", p.device.prove(p.device.keys[0], first, twist{challenge: first.PublicKey.Challenge + more})), status, "", "")
		})
	}
}

// TestSaid holds what visitors are told of a device that did not verify its user, and of
// a key that is another user's.
func TestSaid(t *testing.T) {
	s := newSite(t)
	ann, p := s.member(), s.person()
	p.Visit("/")
	a := ann.elsewhere().signIn(twist{without: userVerified})
	if want(t, a, http.StatusUnauthorized, "", ""); !strings.Contains(a.field("detail"), "did not ask for its PIN") {
		t.Errorf("got %s", a.body)
	}
	a = p.register(twist{id: ann.device.keys[0].id})
	want(t, a, http.StatusConflict, "detail", texts.English().Text("passkey.known"))
}

// TestNothingFails holds that a sign-in with a key of an account tells the operator of no
// failure.
func TestNothingFails(t *testing.T) {
	s := newSite(t)
	want(t, s.member().elsewhere().signIn(twist{}), http.StatusOK, "outcome", "signed_in")
	for _, e := range s.events {
		if e.Outcome == walkin.Failed {
			t.Errorf("the operator is told %+v", e)
		}
	}
}

// TestOwnKeysDown holds that a sign-in of a member needs their keys, where those are what
// the device was asked for, and that one without a user asks for none.
func TestOwnKeysDown(t *testing.T) {
	s := newSite(t, minting(walkin.MintOnVisit))
	p, anonymous := s.member(), s.person()
	anonymous.Visit("/")
	anonymous.Post("/note", nil)
	proof := p.device.get(p.begin("signin"), twist{noHandle: true})
	s.store.breaks("Identities")
	p.holding(func() {
		want(t, p.post("signin", []byte(`{}`)), http.StatusServiceUnavailable, "", "")
		want(t, p.post("signin-finish", proof), http.StatusServiceUnavailable, "", "")
	})
	s.store.breaks("Identities")
	want(t, s.person().post("signin", []byte(`{}`)), http.StatusOK, "", "")
	want(t, anonymous.post("signin", []byte(`{}`)), http.StatusOK, "", "")
	if s.store.calls != 0 {
		t.Error("the store was asked for the keys of no user")
	}
	s.store.breaks("")
	want(t, p.post("signin-finish", proof), http.StatusOK, "outcome", "signed_in")
}

// TestSignOutMeanwhile holds that an answer which is under way while its visitor signs
// out opens no session, and makes no key.
func TestSignOutMeanwhile(t *testing.T) {
	for step, last := range map[string]int{"register": 1, "signin": 2} { // the transaction of the change
		s := newSite(t)
		owner := s.member()
		p := owner.elsewhere()
		p.Post("/note", nil)
		o := p.begin(step)
		reply := p.device.get(o, twist{})
		if step == "register" {
			reply = (&device{t: t}).create(o, twist{})
		}
		leaves, n := p.copied(), 0
		var inTx func()
		inTx = func() {
			if n++; n < last {
				s.store.inTx = inTx
				return
			}
			want(t, leaves.act("/out", nil), http.StatusSeeOther, "", "")
		}
		s.store.inTx = inTx
		s.told()
		want(t, p.post(step+"-finish", reply), http.StatusUnauthorized, "", "")
		if got := s.told(); !slices.Contains(got, "session_ended") {
			t.Errorf("%s: the operator is told %q", step, got)
		}
		if p.Cookie(permCookie) != "" || len(s.keysOf(owner.who().ID)) != 1 {
			t.Errorf("%s: signed in, or with another key", step)
		}
	}
}

// TestUsedFor holds how long a challenge that was used is kept as used: until it would
// have ended, and a minute.
func TestUsedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		p := s.member().elsewhere()
		p.Visit("/")
		began := time.Now()
		proof := p.device.get(p.begin("signin"), twist{})
		time.Sleep(4 * time.Minute)
		want(t, p.post("signin-finish", proof), http.StatusOK, "outcome", "signed_in")
		if got := s.store.added.ExpiresAt.Sub(began); got != 6*time.Minute {
			t.Errorf("it is kept for %v after it was made, want 6m", got)
		}
	})
}

// TestUnreadableCeremony holds that a ticket which cannot be read makes no key, and is
// the operator's matter.
func TestUnreadableCeremony(t *testing.T) {
	s := newSite(t, func(c *walkin.Config, _ *passkey.Config) { c.Store = garbled{c.Store} })
	p := s.person()
	p.Post("/note", nil)
	made := p.device.create(p.begin("register"), twist{})
	p.holding(func() { want(t, p.post("register-finish", made), http.StatusInternalServerError, "", "") })
	if n := len(s.keysOf(p.who().ID)); n != 0 {
		t.Errorf("got %d keys", n)
	}
}

// garbled is a store whose tickets cannot be read.
type garbled struct{ store.Store }

func (s garbled) TakeTicket(ctx context.Context, key string, now time.Time) (store.Ticket, error) {
	ticket, err := s.Store.TakeTicket(ctx, key, now)
	ticket.Data = []byte("{")
	return ticket, err
}

// TestHangUp holds that a request whose body ends too early is no request.
func TestHangUp(t *testing.T) {
	s := newSite(t)
	p := s.member()
	for _, step := range []string{"register", "register-finish", "signin", "signin-finish"} {
		s.told()
		p.holding(func() {
			r := p.request(step, nil)
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{}`), iotest.ErrReader(errors.New("gone"))))
			want(t, answerOf(t, p.Do(r)), http.StatusBadRequest, "", "")
		})
		wantTold(t, s, "passkey_malformed")
	}
}

// TestLargest holds how large a request may be.
func TestLargest(t *testing.T) {
	p := newSite(t).member()
	body := func(n int) []byte { return append([]byte(`{}`), bytes.Repeat([]byte(" "), n-2)...) }
	want(t, p.post("register", body(32<<10)), http.StatusOK, "", "")
	want(t, p.post("register", body(32<<10+1)), http.StatusRequestEntityTooLarge, "", "")
}

// TestKeysAndDescribe holds what is told of keys, of one that cannot be read, and while
// the store is down.
func TestKeysAndDescribe(t *testing.T) {
	for _, synced := range []bool{false, true} {
		s := newSite(t)
		p := s.person()
		p.device.synced = synced
		a := p.post("register", []byte(`{"name":"My phone"}`))
		want(t, p.post("register-finish", p.device.create(a.body, twist{})), http.StatusOK, "", "")
		id := p.who().ID
		want(t, p.elsewhere().signIn(twist{}), http.StatusOK, "", "")
		key := s.keysOf(id)[0]
		identity, err := s.store.Identity(t.Context(), passkey.Provider, key.ID)
		if err != nil {
			t.Fatal(err)
		}
		name, usedAt, isSynced := s.passkeys[0].Describe(identity)
		if name != "My phone" || usedAt.IsZero() || !usedAt.Equal(key.UsedAt) || isSynced != synced || key.Synced != synced {
			t.Errorf("got %q, %v, %t of %+v", name, usedAt, isSynced, key)
		}
		for text, want := range map[string]string{"AAECAwQFBgcICQoLDA0ODw==": "00010203-0405-0607-0809-0a0b0c0d0e0f", "AAEC": uuid.Nil.String()} {
			var fields map[string]any
			if err := json.Unmarshal(identity.Secret, &fields); err != nil {
				t.Fatal(err)
			}
			fields["aaguid"] = text
			secret, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.store.SetSecret(t.Context(), passkey.Provider, key.ID, secret); err != nil {
				t.Fatal(err)
			}
			if got := s.keysOf(id)[0].AAGUID.String(); got != want {
				t.Errorf("got the AAGUID %s, want %s", got, want)
			}
		}
		identity.Secret = []byte("junk")
		if name, usedAt, synced := s.passkeys[0].Describe(identity); name != "" || !usedAt.IsZero() || synced {
			t.Errorf("of junk: got %q, %v, %t", name, usedAt, synced)
		}
		if err := s.store.CreateIdentity(t.Context(), store.Identity{Provider: "own", Subject: "ann", UserID: id, Secret: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
		if got := s.keysOf(id); len(got) != 1 {
			t.Errorf("an identity of another kind is a key: %+v", got)
		}
		s.store.breaks("Identities")
		if keys, err := s.passkeys[0].Keys(t.Context(), id); err == nil || keys != nil {
			t.Errorf("while the store is down: got %v, %v", keys, err)
		}
		s.store.breaks("")
		if err := s.store.SetSecret(t.Context(), passkey.Provider, key.ID, []byte("junk")); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.events = nil
		s.mu.Unlock()
		if got := s.keysOf(id); len(got) != 0 {
			t.Errorf("got %+v", got)
		}
		s.mu.Lock()
		if len(s.events) != 1 || s.events[0].Outcome != walkin.Failed || s.events[0].Reason != passkey.ReasonUnreadable {
			t.Errorf("the operator is told %+v", s.events)
		}
		s.mu.Unlock()
		want(t, p.act("/rename", url.Values{"id": {key.ID}, "name": {"mine"}}), http.StatusInternalServerError, "", "")
		if got, err := s.store.Identity(t.Context(), passkey.Provider, key.ID); err != nil || string(got.Secret) != "junk" {
			t.Errorf("it became %q, %v", got.Secret, err)
		}
	}
}

// TestRenameNeedsAUser holds that a request without a user renames nothing.
func TestRenameNeedsAUser(t *testing.T) {
	s := newSite(t, minting(walkin.MintOff))
	p := s.member()
	id := s.keysOf(p.who().ID)[0].ID
	want(t, s.person().act("/rename", url.Values{"id": {id}, "name": {"mine"}}), http.StatusUnauthorized, "", "")
	wantTold(t, s, "no_user")
	want(t, p.act("/rename", url.Values{"id": {id}, "name": {strings.Repeat("ü", 64)}}), http.StatusOK, "", "")
}

// TestLeastTime holds how much of a proof must be left for a user who registers a key:
// a minute, or half of a proof that is shorter than two.
func TestLeastTime(t *testing.T) {
	for _, tt := range []struct{ proof, left time.Duration }{{10 * time.Minute, time.Minute}, {2 * time.Minute, time.Minute}, {time.Minute, 30 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, func(c *walkin.Config, _ *passkey.Config) { c.Sessions.RecentProof = tt.proof })
			p := s.person()
			p.Visit("/")
			want(t, p.act("/prove", map[string][]string{"name": {"ann"}}), http.StatusOK, "", "")
			time.Sleep(tt.proof - tt.left)
			a := p.post("register", []byte(`{}`))
			want(t, a, http.StatusOK, "", "")
			if got := p.device.read(a.body).PublicKey.Timeout; got != int(min(tt.left, 5*time.Minute).Milliseconds()) {
				t.Errorf("%v: the device has %d ms", tt, got)
			}
			time.Sleep(time.Second)
			want(t, p.post("register", []byte(`{}`)), http.StatusForbidden, "", "")
		})
	}
}

// TestScriptLanguages holds that the script of a site with several languages is kept by
// browsers, and by no cache that serves others.
func TestScriptLanguages(t *testing.T) {
	s := newSite(t, func(c *walkin.Config, _ *passkey.Config) {
		c.Texts = func(r *http.Request) *texts.Catalogue {
			if r.Header.Get("Accept-Language") == "de" {
				return texts.German()
			}
			return texts.English()
		}
	})
	tags := map[string]bool{}
	for language, says := range map[string]string{"en": texts.English().Text("passkey.cancelled"), "de": texts.German().Text("passkey.cancelled")} {
		r := httptest.NewRequest(http.MethodGet, "https://app.example/passkey/script.js", nil)
		r.Header.Set("Accept-Language", language)
		w := httptest.NewRecorder()
		s.passkeys[0].ServeHTTP(w, r)
		tags[w.Header().Get("ETag")] = true
		if w.Header().Get("Cache-Control") != "private, max-age=86400" || !slices.Contains(w.Header().Values("Vary"), "Accept-Language") {
			t.Errorf("%s: got %v", language, w.Header())
		}
		if !strings.Contains(w.Body.String(), says) || !strings.Contains(w.Body.String(), `"rp":"app.example"`) {
			t.Errorf("%s: the script says %s", language, w.Body)
		}
	}
	if len(tags) != 2 {
		t.Errorf("got the tags %v", tags)
	}
	r := httptest.NewRequest(http.MethodPost, "https://app.example/passkey/script.js", nil)
	w := httptest.NewRecorder()
	s.passkeys[0].ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: got %d, %v", w.Code, w.Header())
	}
}

// TestUsable holds the bounds on each kind of key.
func TestUsable(t *testing.T) {
	d := &device{t: t}
	rsa := func(bits int, e ...byte) []byte { // odd, with the highest bit set
		n := make([]byte, (bits+7)/8)
		n[0], n[len(n)-1] = 1<<((bits-1)%8), n[len(n)-1]|1
		return d.cbor(map[int]any{1: 3, 3: -257, -1: n, -2: e})
	}
	ed := func(x []byte) []byte { return d.cbor(map[int]any{1: 1, 3: -8, -1: 6, -2: x}) }
	base := append([]byte{0x58}, bytes.Repeat([]byte{0x66}, 31)...) // the base point of Ed25519
	p256 := elliptic.P256().Params()
	ec := func(alg, curve int, x, y []byte) []byte {
		return d.cbor(map[int]any{1: 2, 3: alg, -1: curve, -2: x, -3: y})
	}
	for _, tt := range []struct {
		name   string
		public []byte
		want   bool
	}{
		{"P-256", ec(-7, 1, p256.Gx.Bytes(), p256.Gy.Bytes()), true},
		{"another y", ec(-7, 1, p256.Gx.Bytes(), p256.Gx.Bytes()), false},
		{"RSA of 2047 bits", rsa(2047, 1, 0, 1), false},
		{"RSA of 2048 bits", rsa(2048, 1, 0, 1), true},
		{"RSA of 8192 bits", rsa(8192, 1, 0, 1), true},
		{"RSA of 9000 bits", rsa(9000, 1, 0, 1), false},
		{"1100 bytes", rsa(8*(1100-len(rsa(8192, 1, 0, 1))+1024), 1, 0, 1), true},
		{"1101 bytes", rsa(8*(1101-len(rsa(8192, 1, 0, 1))+1024), 1, 0, 1), false},
		{"e = 1", rsa(2048, 1), false},
		{"e = 3", rsa(2048, 3), true},
		{"e = 4", rsa(2048, 4), false},
		{"the largest e", rsa(2048, 0x7f, 0xff, 0xff, 0xff), true},
		{"a larger e", rsa(2048, 0x80, 0, 0, 1), false},
		{"Ed25519", ed(base), true},
		{"Ed25519, the other x", ed(append(base[:31:31], base[31]|0x80)), true},
		{"31 bytes", ed(base[:31]), false},
		{"33 bytes", ed(append(slices.Clone(base), 0)), false},
		{"no key", []byte("junk"), false},
		{"nothing", nil, false},
	} {
		if got := passkey.Usable(tt.public); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
	for k := range byte(19) { // a y above the field is another spelling of k
		if passkey.Usable(ed(slices.Concat([]byte{0xed + k}, bytes.Repeat([]byte{0xff}, 30), []byte{0x7f}))) {
			t.Errorf("Ed25519 with y = p + %d is usable", k)
		}
	}
}

// TestNetworkLimit holds that registrations count in the network that they come from, the
// larger one of IPv6 included, and that one which cannot be stored does not count.
func TestNetworkLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(_ *walkin.Config, c *passkey.Config) { c.PerNetwork = limit.Limit{Count: 2, Per: time.Hour} })
		from := func(addr string) answer {
			p := s.person()
			p.Client = p.From(addr)
			return p.post("register", []byte(`{}`))
		}
		s.store.breaks("PutTicket")
		for range 3 {
			want(t, from("203.0.113.7:1"), http.StatusServiceUnavailable, "", "")
		}
		s.store.breaks("")
		for range 2 {
			want(t, from("203.0.113.7:1"), http.StatusOK, "", "")
		}
		a := from("203.0.113.7:1")
		if want(t, a, http.StatusTooManyRequests, "", ""); a.header.Get("Retry-After") != "1800" {
			t.Errorf("got Retry-After %q", a.header.Get("Retry-After"))
		}
		for i := range 8 {
			want(t, from("[2001:db8:1:"+string(rune('1'+i/2))+"::1]:1"), http.StatusOK, "", "")
		}
		want(t, from("[2001:db8:1:9::1]:1"), http.StatusTooManyRequests, "", "")
		want(t, from("[2001:db8:2:1::1]:1"), http.StatusOK, "", "")
		s.told()
	})
}
