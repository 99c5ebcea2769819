package code_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/store"
)

// The five pre-hijacking attacks of Sudhodanan and Paverd (2022), as far as they
// concern codes: Eve prepares an account in Ann's name, and waits for Ann.

// Eve signs up with Ann's address and a password, which proves nothing. Ann
// proves the address later, and gets an account of her own.
func TestClassicFederatedMerge(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	attacker := s.anonymous(site)
	want(t, attacker.Post("/password", url.Values{"email": {ann}, "password": {eves}}), http.StatusSeeOther)
	want(t, attacker.Post("/join/send", url.Values{"email": {ann}, "password": {eves}}), http.StatusSeeOther)
	eveID, _ := attacker.whoami()

	victim := s.anonymous(site)
	annID, _ := victim.whoami()
	message := victim.mustAsk(ann)
	if message.Owned {
		t.Error("Ann is told that she has an account")
	}
	want(t, victim.enter(message.Code), http.StatusSeeOther)
	victim.must(annID, true)
	attacker.must(eveID, true)
	if s.owner("email", ann).String() != annID || annID == eveID {
		t.Error("Ann's address is in Eve's account")
	}
	thief := s.stranger(site)
	want(t, thief.Post("/login", url.Values{"email": {ann}, "password": {eves}}), http.StatusUnauthorized)
}

// Eve has a copy of the session that Ann upgrades, in a browser of her own.
func TestUnexpiredSession(t *testing.T) {
	t.Run("she reads along", func(t *testing.T) {
		s := newWorld(t)
		site := s.replica()
		victim := s.anonymous(site)
		attacker := victim.plant().on(site)
		id, _ := victim.whoami()
		message := victim.mustAsk(ann)
		want(t, victim.enter(message.Code), http.StatusSeeOther)
		victim.must(id, true)
		attacker.must("", false)
		want(t, attacker.enter(message.Code), http.StatusUnauthorized)
	})
	t.Run("her password waits in Ann's session", func(t *testing.T) {
		s := newWorld(t)
		site := s.replica()
		victim := s.anonymous(site)
		attacker := victim.plant().on(site)
		id, _ := victim.whoami()
		want(t, victim.Post("/join/send", url.Values{"email": {ann}, "password": {secret}}), http.StatusSeeOther)
		// A moment later Eve asks for the same, and Ann gets two messages.
		want(t, attacker.Post("/join/send", url.Values{"email": {ann}, "password": {eves}}), http.StatusSeeOther)
		want(t, victim.Post("/join", url.Values{"code": {s.mail.last(t, ann).Code}}), http.StatusUnauthorized)
		if got := s.lastReason(); got != "other_browser" {
			t.Errorf("got reason %q", got)
		}
		victim.must(id, false)
		want(t, victim.Post("/join/send", url.Values{"email": {ann}, "password": {secret}}), http.StatusSeeOther)
		want(t, victim.Post("/join", url.Values{"code": {s.mail.last(t, ann).Code}}), http.StatusSeeOther)
		victim.must(id, true)
		want(t, s.stranger(site).Post("/login", url.Values{"email": {ann}, "password": {eves}}), http.StatusUnauthorized)
		want(t, s.stranger(site).Post("/login", url.Values{"email": {ann}, "password": {secret}}), http.StatusSeeOther)
	})
}

// Eve leaves an identifier of her own in the account that Ann will make of the
// session: a code that is on its way to Eve when Ann upgrades.
func TestTrojanIdentifier(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	victim := s.anonymous(site)
	id, _ := victim.whoami()
	attacker := victim.plant().on(site)
	want(t, attacker.Post("/phone/send", url.Values{"phone": {"+14155550123"}}), http.StatusSeeOther)
	eves := s.mail.last(t, "+14155550123").Code

	want(t, victim.enter(victim.mustAsk(ann).Code), http.StatusSeeOther)
	for _, v := range []visitor{attacker, victim} { // Eve herself, and Ann lured to type it
		want(t, v.Post("/phone", url.Values{"code": {eves}}), http.StatusUnauthorized)
	}
	identities, err := s.store.Identities(t.Context(), uuid.MustParse(id))
	if err != nil || len(identities) != 1 || identities[0].Subject != ann {
		t.Errorf("got identities %v, %v", identities, err)
	}
}

// Eve, in an account that is Ann's by rights, asks for a code to an address of
// her own, and uses it after Ann has taken the account back.
func TestUnexpiredEmailChange(t *testing.T) {
	s := newWorld(t)
	site := s.replica()
	victim := s.anonymous(site)
	id, _ := victim.whoami()
	want(t, victim.enter(victim.mustAsk(ann).Code), http.StatusSeeOther)
	attacker := victim.plant().on(site)
	eves := attacker.mustAsk(eve).Code

	want(t, victim.Post("/out/"+id, nil), http.StatusOK)
	want(t, victim.enter(victim.mustAsk(ann).Code), http.StatusSeeOther)
	victim.must(id, true)
	want(t, attacker.enter(eves), http.StatusUnauthorized)
	want(t, victim.enter(eves), http.StatusUnauthorized)
	if s.owner("email", eve) != uuid.Nil {
		t.Error("Eve's address belongs to somebody")
	}
}

// Eve's account is from a provider that calls her Ann and verifies nothing.
// Nothing is matched by what an address looks like there.
func TestNonVerifyingProvider(t *testing.T) {
	s := newWorld(t)
	eveID, now := uuid.Must(uuid.NewV7()), time.Now()
	if err := s.store.CreateUser(t.Context(), store.User{ID: eveID, CreatedAt: now, SeenAt: now}); err != nil {
		t.Fatal(err)
	}
	if err := s.store.CreateIdentity(t.Context(), store.Identity{Provider: "https://idp.example", Subject: ann, UserID: eveID, CreatedAt: now}); err != nil {
		t.Fatal(err)
	}
	victim := s.stranger(s.replica())
	message := victim.mustAsk(ann)
	if message.Owned {
		t.Error("Ann is told that she has an account")
	}
	want(t, victim.enter(message.Code), http.StatusSeeOther)
	if id, _ := victim.whoami(); id == eveID.String() || id == "" {
		t.Errorf("got user %q", id)
	}
}
