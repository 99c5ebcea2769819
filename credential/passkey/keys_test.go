package passkey_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/passkey"
	"github.com/walkin-go/walkin/store"
)

// TestCounter holds that a key whose counter does not go up is refused, and the
// operator told of a copy; and that a key without a counter is none of that.
func TestCounter(t *testing.T) {
	count := func(n uint32) *uint32 { return &n }
	s := newSite(t)
	p := s.person()
	p.device.counts = true
	p.register(twist{count: count(10)})
	id := p.who().ID
	for _, c := range []struct {
		count  uint32
		status int
	}{
		{11, http.StatusOK}, {11, http.StatusForbidden}, {5, http.StatusForbidden}, {0, http.StatusForbidden},
		{12, http.StatusOK}, {1 << 31, http.StatusOK}, {1<<32 - 1, http.StatusOK}, {1, http.StatusForbidden},
	} {
		other := p.elsewhere()
		other.Post("/note", nil)
		s.told()
		if c.status == http.StatusOK {
			want(t, other.signIn(twist{count: count(c.count)}), c.status, "outcome", "signed_in")
			continue
		}
		other.holding(func() { want(t, other.signIn(twist{count: count(c.count)}), c.status, "", "") })
		s.mu.Lock()
		e := s.events[len(s.events)-1]
		s.mu.Unlock()
		if e.Reason != "cloned" || e.Err == nil || !strings.Contains(e.Err.Error(), id.String()) {
			t.Errorf("%d: the owner is told %+v", c.count, e)
		}
	}
	zero := s.member()
	for range 3 {
		want(t, zero.elsewhere().signIn(twist{}), http.StatusOK, "outcome", "signed_in")
	}
}

// TestParallelUses holds that proofs at once, and a rename among them, are all
// good, lose nothing, and leave a key that can be used.
func TestParallelUses(t *testing.T) {
	s := newSite(t)
	p := s.person()
	p.device.counts = true
	want(t, p.register(twist{}), http.StatusOK, "", "")
	const n = 20
	people, replies := make([]*person, n), make([][]byte, n)
	for i := range people {
		people[i] = p.elsewhere().at(i % 2)
		replies[i] = p.device.get(people[i].begin("signin"), twist{})
	}
	id := s.keysOf(p.who().ID)[0].ID
	got := parallel(n+1, func(i int) answer {
		if i == n {
			return p.act("/rename", url.Values{"id": {id}, "name": {"My phone"}})
		}
		return people[i].post("signin-finish", replies[i])
	})
	// A later count that is stored first makes an earlier one look like a copy's,
	// if it is read after that; it is the same person, who tries again.
	if got[http.StatusOK]+got[http.StatusForbidden] != n+1 || got[http.StatusOK] < 2 {
		t.Errorf("got %v", got)
	}
	keys := s.keysOf(p.who().ID)
	if len(keys) != 1 || keys[0].Name != "My phone" || keys[0].UsedAt.IsZero() {
		t.Errorf("got %+v", keys)
	}
	want(t, p.elsewhere().signIn(twist{}), http.StatusOK, "", "")
	stale := p.elsewhere()
	p.device.keys[0].count -= 2
	want(t, stale.signIn(twist{}), http.StatusForbidden, "", "")
}

// TestCounterOvertaken holds that a count which is stored late does not take back
// a later one, with which a copy could sign in.
func TestCounterOvertaken(t *testing.T) {
	s := newSite(t)
	p := s.person()
	p.device.counts = true
	want(t, p.register(twist{}), http.StatusOK, "", "")
	first, second := p.elsewhere(), p.elsewhere()
	slow := p.device.get(first.begin("signin"), twist{})
	fast := p.device.get(second.begin("signin"), twist{})
	s.store.inTx = func() { want(t, second.post("signin-finish", fast), http.StatusOK, "outcome", "signed_in") }
	want(t, first.post("signin-finish", slow), http.StatusOK, "outcome", "signed_in")
	p.device.keys[0].count--
	want(t, p.elsewhere().signIn(twist{}), http.StatusForbidden, "", "")
}

// TestRemovedMeanwhile holds that a key which is removed, or whose user is deleted,
// while it is being proven signs in no user and does not come back.
func TestRemovedMeanwhile(t *testing.T) {
	for name, remove := range map[string]func(*site, uuid.UUID, string) error{
		"the key": func(s *site, user uuid.UUID, id string) error {
			return s.store.DeleteIdentity(t.Context(), user, passkey.Provider, id)
		},
		"the owner": func(s *site, user uuid.UUID, id string) error {
			identity, err := s.store.Identity(t.Context(), passkey.Provider, id)
			if err != nil {
				return err
			}
			identity.UserID = s.member().who().ID
			s.told()
			return errors.Join(s.store.DeleteIdentity(t.Context(), user, passkey.Provider, id), s.store.CreateIdentity(t.Context(), identity))
		},
		"the user": func(s *site, user uuid.UUID, _ string) error { return s.wk[1].DeleteUser(t.Context(), user) },
	} {
		for _, tx := range []int{1, 2} { // that of the counter, that of Continue
			s := newSite(t)
			p := s.member()
			user := p.who().ID
			id := s.keysOf(user)[0].ID
			other := p.elsewhere()
			other.Post("/note", nil)
			proof := p.device.get(other.begin("signin"), twist{})
			n := 0
			var before func()
			before = func() {
				if n++; n < tx {
					s.store.inTx = before
				} else if err := remove(s, user, id); err != nil {
					t.Error(err)
				}
			}
			s.store.inTx = before
			s.told()
			other.holding(func() { want(t, other.post("signin-finish", proof), http.StatusUnauthorized, "", "") })
			wantTold(t, s, "passkey_unknown")
			if _, err := s.store.Identity(t.Context(), passkey.Provider, id); (name != "the owner") != errors.Is(err, store.ErrNotFound) || n != tx {
				t.Errorf("%s, transaction %d of %d: got the identity with %v", name, tx, n, err)
			}
		}
	}
}

// TestCounterIsLost holds that a proof counts, also when what it changes cannot
// be stored.
func TestCounterIsLost(t *testing.T) {
	var log bytes.Buffer
	s := newSite(t, func(c *walkin.Config, _ *passkey.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	p := s.member()
	s.store.breaks("SetSecret")
	want(t, p.elsewhere().signIn(twist{}), http.StatusOK, "outcome", "signed_in")
	if !strings.Contains(log.String(), "passkey_counter") || s.store.calls == 0 {
		t.Errorf("the log says %q", log.String())
	}
}

// TestMethod holds what the claims say of a key, and that one which turns from
// copied to not is refused.
func TestMethod(t *testing.T) {
	for _, synced := range []bool{false, true} {
		s := newSite(t)
		p := s.person()
		p.device.synced = synced
		want(t, p.register(twist{}), http.StatusOK, "", "")
		method := map[bool]string{false: "hwk", true: "swk"}[synced]
		if got := p.who().Method; got != method {
			t.Errorf("registered: got %q, want %q", got, method)
		}
		other := p.elsewhere()
		want(t, other.signIn(twist{without: backedUp}), http.StatusOK, "", "") // the backup is off for now
		if got := other.who().Method; got != method {
			t.Errorf("signed in: got %q, want %q", got, method)
		}
		if got := s.keysOf(p.who().ID)[0]; got.Synced != synced {
			t.Errorf("got %+v", got)
		}
		if synced {
			want(t, p.elsewhere().signIn(twist{without: backupEligible | backedUp}), http.StatusUnauthorized, "", "")
		}
	}
}

// TestSeveralKeys holds that a user has keys on several devices, each under its
// name, that each opens the account, and what can be done about them.
func TestSeveralKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		p := s.person()
		p.Post("/note", nil)
		id := p.who().ID
		phone, laptop := &device{t: t, synced: true}, &device{t: t}
		for i, d := range []*device{phone, laptop} {
			time.Sleep(time.Second)
			a := p.post("register", fmt.Appendf(nil, `{"name":" Device %d ","return_to":"/"}`, i))
			want(t, a, http.StatusOK, "", "")
			want(t, p.post("register-finish", d.create(a.body, twist{})), http.StatusOK, "", "")
		}
		keys := s.keysOf(id)
		if len(keys) != 2 || keys[0].Name != "Device 0" || keys[1].Name != "Device 1" || !keys[0].Synced || keys[1].Synced ||
			!keys[0].CreatedAt.Before(keys[1].CreatedAt) || !keys[0].UsedAt.IsZero() || keys[0].ID != b64(phone.keys[0].id) {
			t.Fatalf("got %+v", keys)
		}
		for _, d := range []*device{phone, laptop} {
			other := s.person()
			other.device = d
			want(t, other.signIn(twist{}), http.StatusOK, "outcome", "signed_in")
			if got := other.who(); got.ID != id || got.Notes != 1 {
				t.Errorf("signed in as %+v", got)
			}
			if d.create(p.begin("register"), twist{}) != nil {
				t.Error("a device that has a key of the account is asked for another")
			}
			if !bytes.Equal(d.keys[0].handle, phone.keys[0].handle) || bytes.Contains(d.keys[0].handle, id[:]) {
				t.Errorf("got the handle %x for the user %s", d.keys[0].handle, id)
			}
		}
		if got := s.keysOf(id)[0].UsedAt; time.Since(got) != 0 {
			t.Errorf("it was used at %v", got)
		}
		if stranger := s.member(); bytes.Equal(stranger.device.keys[0].handle, phone.keys[0].handle) {
			t.Error("two users have one handle")
		}

		rename := func(p *person, id, name string) answer {
			return p.act("/rename", url.Values{"id": {id}, "name": {name}})
		}
		want(t, rename(p, keys[1].ID, " Laptop\t"), http.StatusOK, "", "")
		want(t, rename(p, keys[1].ID, strings.Repeat("ü", 65)), http.StatusUnprocessableEntity, "", "")
		want(t, rename(p, keys[1].ID, "two\nlines"), http.StatusUnprocessableEntity, "", "")
		want(t, rename(p, keys[1].ID, "\xff"), http.StatusUnprocessableEntity, "", "")
		want(t, rename(p, "nothing", "mine"), http.StatusNotFound, "", "")
		want(t, rename(s.member(), keys[1].ID, "mine"), http.StatusNotFound, "", "")
		guest := s.person()
		guest.Visit("/")
		want(t, rename(guest, keys[1].ID, "mine"), http.StatusNotFound, "", "")
		want(t, answerOf(t, p.Fetch("/rename?name=mine&id="+keys[1].ID)), http.StatusMethodNotAllowed, "", "")
		r := p.NewRequest(http.MethodPost, "/rename?name=mine&id="+keys[1].ID, nil)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		want(t, answerOf(t, p.Do(r)), http.StatusForbidden, "", "")
		if got := s.keysOf(id); got[0].Name != "Device 0" || got[1].Name != "Laptop" {
			t.Errorf("got %+v", got)
		}

		// Removing takes a fresh proof, and leaves the last.
		unlink := func(id string) answer { return p.act("/unlink", url.Values{"id": {id}}) }
		time.Sleep(11 * time.Minute)
		want(t, unlink(keys[0].ID), http.StatusForbidden, "", "")
		p.device = laptop
		want(t, p.signIn(twist{}), http.StatusOK, "outcome", "signed_in")
		want(t, unlink(keys[0].ID), http.StatusOK, "", "")
		want(t, unlink(keys[1].ID), http.StatusConflict, "", "")
		other := s.person()
		other.device = phone
		other.Post("/note", nil)
		s.told()
		other.holding(func() { want(t, other.signIn(twist{}), http.StatusUnauthorized, "", "") })
		wantTold(t, s, "passkey_unknown")
		// The phone may come back, in place of its old key.
		o := p.begin("register")
		want(t, p.post("register-finish", phone.create(o, twist{})), http.StatusOK, "outcome", "linked")
		if len(phone.keys) != 1 {
			t.Errorf("the phone has %d keys", len(phone.keys))
		}
		want(t, other.signIn(twist{}), http.StatusOK, "", "")
	})
}

// TestNotRecent holds that a permanent user is told before the device makes a
// key, and that one who is told nothing has the time to.
func TestNotRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		p := s.member()
		time.Sleep(8*time.Minute + 30*time.Second)
		o := p.begin("register")
		if got := p.device.read(o).PublicKey.Timeout; got > 90_000 || got < 88_000 {
			t.Errorf("got %d ms, want what is left of the proof", got)
		}
		reply := (&device{t: t}).create(o, twist{})
		time.Sleep(45 * time.Second)
		p.holding(func() {
			want(t, p.post("register", []byte(`{}`)), http.StatusForbidden, "detail", "Please sign in again first, so that we know it is you.")
		})
		want(t, p.post("register-finish", reply), http.StatusOK, "outcome", "linked")
	})
}

// TestNewAtThisBrowser holds that a second person who signs up at a browser does
// not replace the first one's key on a device that both use.
func TestNewAtThisBrowser(t *testing.T) {
	p := newSite(t, minting(walkin.MintOff)).person()
	for range 2 {
		want(t, p.register(twist{}), http.StatusOK, "outcome", "signed_up")
		want(t, answerOf(t, p.Post("/out", nil)), http.StatusSeeOther, "", "")
	}
	if len(p.device.keys) != 2 {
		t.Errorf("the device has %d keys", len(p.device.keys))
	}
}

// TestLongID holds that keys work whose IDs do not fit into a subject.
func TestLongID(t *testing.T) {
	s := newSite(t)
	for _, n := range []int{1, 191, 192, 1023} {
		p := s.person()
		p.device.idLength = n
		want(t, p.register(twist{id: slices.Repeat([]byte{byte(n)}, n)}), http.StatusOK, "", "")
		subject := s.keysOf(p.who().ID)[0].ID
		if len(subject) > 255 || (subject == b64(p.device.keys[0].id)) != (n <= 191) {
			t.Errorf("%d bytes: got the subject %q", n, subject)
		}
		other := p.elsewhere()
		want(t, other.signIn(twist{}), http.StatusOK, "outcome", "signed_in")
		if got, want := other.who().ID, p.who().ID; got != want {
			t.Errorf("%d bytes: got %s, want %s", n, got, want)
		}
	}
}

// TestTransports holds that of the transports to a device, which the browser names, the
// known ones are kept, once: others cannot fill the store.
func TestTransports(t *testing.T) {
	for name, said := range map[string][]string{
		"odd":      {"internal", "hybrid", "carrier pigeon", "internal", ""},
		"many":     slices.Repeat([]string{"internal", "hybrid"}, 1000),
		"no words": {"internal", "hybrid", strings.Repeat("x", 20_000)},
	} {
		s := newSite(t)
		p := s.person()
		a := p.register(twist{answer: func(answer map[string]any) { answer["response"].(map[string]any)["transports"] = said }})
		want(t, a, http.StatusOK, "", "")
		identities, err := s.store.Identities(t.Context(), p.who().ID)
		if err != nil || len(identities) != 1 || len(identities[0].Secret) > 500 {
			t.Fatalf("%s: got %d identities, %v", name, len(identities), err)
		}
		if got := p.device.read(p.begin("signin")).PublicKey.AllowCredentials[0].Transports; !slices.Equal(got, []string{"hybrid", "internal"}) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// TestStoredKey holds what an identity looks like, and that one which cannot be
// read hurts no other.
func TestStoredKey(t *testing.T) {
	s := newSite(t)
	p := s.member()
	id := p.who().ID
	identities, err := s.store.Identities(t.Context(), id)
	if err != nil || len(identities) != 1 {
		t.Fatal(identities, err)
	}
	if got := identities[0]; got.Provider != "passkey" || got.Subject != b64(p.device.keys[0].id) || len(got.Secret) > 500 {
		t.Errorf("got %+v, %d bytes", got, len(got.Secret))
	}
	laptop := &device{t: t}
	want(t, p.post("register-finish", laptop.create(p.begin("register"), twist{})), http.StatusOK, "", "")
	if err := s.store.SetSecret(t.Context(), "passkey", identities[0].Subject, []byte("junk")); err != nil {
		t.Fatal(err)
	}
	if got := s.keysOf(id); len(got) != 1 {
		t.Errorf("got %+v", got)
	}
	other := p.elsewhere()
	other.Visit("/")
	other.holding(func() { want(t, other.signIn(twist{}), http.StatusInternalServerError, "", "") })
	other.device = laptop
	want(t, other.signIn(twist{}), http.StatusOK, "outcome", "signed_in")
}
