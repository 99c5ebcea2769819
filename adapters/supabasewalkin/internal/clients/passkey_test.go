package clients_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin/adapters/supabasewalkin"
	"github.com/walkin-go/walkin/credential/passkey"
)

const pagesAt = "http://localhost:5173" // where the page with supabase-js is

func withPasskeys(r *replica) {
	p, err := passkey.New(r.wk, passkey.Config{RPID: "localhost", Origins: []string{pagesAt}, DisplayName: "Tests"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.cfg.Passkeys = supabasewalkin.Passkeys{Handler: p, Rename: p.Rename, List: func(ctx context.Context, id uuid.UUID) ([]supabasewalkin.Passkey, error) {
		keys, err := p.Keys(ctx, id)
		var all []supabasewalkin.Passkey
		for _, k := range keys {
			all = append(all, supabasewalkin.Passkey{ID: k.ID, Name: k.Name, CreatedAt: k.CreatedAt, UsedAt: k.UsedAt})
		}
		return all, err
	}}
}

// A device is an authenticator with one key, of ES256.
type device struct {
	id, handle []byte
	private    *ecdsa.PrivateKey
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// A challenge is the answer to options.
type challenge struct {
	ID      string `json:"challenge_id"`
	Options struct {
		Challenge string
		User      struct{ ID string }
	}
}

func (a answer) challenge(t *testing.T) (c challenge) {
	t.Helper()
	a.want(t, 200, "")
	if err := json.Unmarshal([]byte(a.text), &c); err != nil || c.ID == "" || c.Options.Challenge == "" || !strings.Contains(a.text, `"expires_at"`) {
		t.Fatalf("got %s", a.text)
	}
	return c
}

func clientData(kind, challenge string) []byte {
	text, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": pagesAt, "crossOrigin": false})
	return text
}

func authData(flags byte) []byte {
	sum := sha256.Sum256([]byte("localhost"))
	return append(sum[:], flags, 0, 0, 0, 0)
}

// said is the body of a verification.
func (d *device) said(c challenge, response map[string]string) string {
	text, _ := json.Marshal(map[string]any{"challenge_id": c.ID, "credential": map[string]any{
		"id": b64(d.id), "rawId": b64(d.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	}})
	return string(text)
}

// create makes the device's key.
func (d *device) create(t *testing.T, c challenge) string {
	t.Helper()
	var err error
	if d.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	d.id = make([]byte, 16)
	_, _ = rand.Read(d.id)
	if d.handle, err = base64.RawURLEncoding.DecodeString(c.Options.User.ID); err != nil {
		t.Fatal(err)
	}
	point, err := d.private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	const present, verified, attested = 1 << 0, 1 << 2, 1 << 6
	data := append(authData(present|verified|attested), make([]byte, 16)...)
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(d.id))), d.id...)
	// In CBOR: {1: 2, 3: -7, -1: 1, -2: x, -3: y}
	data = slices.Concat(data, []byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}, point[1:33], []byte{0x22, 0x58, 32}, point[33:])
	// And {"fmt": "none", "attStmt": {}, "authData": data}
	object := slices.Concat([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58"), []byte{byte(len(data))}, data)
	return d.said(c, map[string]string{"clientDataJSON": b64(clientData("webauthn.create", c.Options.Challenge)), "attestationObject": b64(object)})
}

// get proves the device's key.
func (d *device) get(t *testing.T, c challenge) string {
	t.Helper()
	client, data := clientData("webauthn.get", c.Options.Challenge), authData(1<<0|1<<2)
	sum := sha256.Sum256(client)
	signed := sha256.Sum256(append(slices.Clone(data), sum[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, d.private, signed[:])
	if err != nil {
		t.Fatal(err)
	}
	return d.said(c, map[string]string{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64(d.handle)})
}

// permanent is a user with an address, by a code.
func (s *site) permanent(address string) answer {
	s.t.Helper()
	r := s.replicas[0]
	r.do("POST", "/otp", "", `{"email":"`+address+`"}`).want(s.t, 200, "")
	return r.do("POST", "/verify", "", `{"email":"`+address+`","type":"email","token":"`+s.mail[len(s.mail)-1].Code+`"}`).want(s.t, 200, "")
}

// testPasskeys holds the calls for passkeys: what one replica begins the other ends, a
// challenge is good once, for the user who began and for nothing else.
func testPasskeys(t *testing.T, database func() share) {
	s := newSite(t, database, withPasskeys)
	one, two := s.replicas[0], s.replicas[1]
	ann, bea := s.permanent("ann@example.com"), s.permanent("bea@example.com")
	list := func(token string) (keys []struct {
		ID   string
		Name string `json:"friendly_name"`
	}) {
		t.Helper()
		a := one.do("GET", "/passkeys", token, "").want(t, 200, "")
		if err := json.Unmarshal([]byte(a.text), &keys); err != nil {
			t.Fatalf("got %s", a.text)
		}
		return keys
	}
	const (
		register = "/passkeys/registration/"
		signIn   = "/passkeys/authentication/"
	)
	one.do("POST", register+"options", one.anonymous().Access, "{}").want(t, 403, "no_authorization")

	var device device
	c := one.do("POST", register+"options", ann.Access, "{}").challenge(t)
	body := device.create(t, c)
	two.do("POST", signIn+"verify", "", body).want(t, 422, "webauthn_challenge_not_found")
	two.do("POST", register+"verify", ann.Access, body).want(t, 422, "webauthn_challenge_not_found") // it was used up by that

	c = one.do("POST", register+"options", ann.Access, "{}").challenge(t)
	two.do("POST", register+"verify", bea.Access, device.create(t, c)).want(t, 422, "webauthn_challenge_not_found")
	if a, b := list(ann.Access), list(bea.Access); len(a) != 0 || len(b) != 0 {
		t.Fatalf("with another's challenge: ann has %v, bea has %v", a, b)
	}

	c = one.do("POST", register+"options", ann.Access, "{}").challenge(t)
	body = device.create(t, c)
	two.do("POST", register+"verify", ann.Access, body).want(t, 200, "")
	one.do("POST", register+"verify", ann.Access, body).want(t, 422, "webauthn_challenge_not_found")
	keys := list(ann.Access) // by the token of before: the answer had no other
	if len(keys) != 1 {
		t.Fatalf("got %v", keys)
	}
	if u := two.refresh(ann.Refr).want(t, 200, ""); u.User.ID != ann.User.ID {
		t.Errorf("got the user %s, want %s", u.User.ID, ann.User.ID)
	}
	two.do("PATCH", "/passkeys/"+keys[0].ID, ann.Access, `{"friendly_name":"Phone"}`).want(t, 200, "")
	two.do("PATCH", "/passkeys/"+keys[0].ID, bea.Access, `{"friendly_name":"Mine"}`).want(t, 404, "webauthn_credential_not_found")
	two.do("DELETE", "/passkeys/"+keys[0].ID, bea.Access, "").want(t, 404, "webauthn_credential_not_found")
	if got := list(ann.Access); len(got) != 1 || got[0].Name != "Phone" {
		t.Errorf("got %v", got)
	}

	c = one.do("POST", signIn+"options", "", "{}").challenge(t)
	body = device.get(t, c)
	in := two.do("POST", signIn+"verify", "", body).want(t, 200, "")
	if in.User.ID != ann.User.ID || in.Access == "" || in.Refr == "" {
		t.Errorf("got %s", in.text)
	}
	one.do("POST", signIn+"verify", "", body).want(t, 422, "webauthn_challenge_not_found")
	c = one.do("POST", signIn+"options", "", "{}").challenge(t)
	other := device
	other.private, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	before := s.told()
	two.do("POST", signIn+"verify", "", other.get(t, c)).want(t, 422, "webauthn_verification_failed")
	if n := s.told() - before; n != 1 {
		t.Errorf("the operator was told %d times", n)
	}
	two.do("POST", signIn+"verify", "", device.get(t, c)).want(t, 422, "webauthn_challenge_not_found")

	admin := "/admin/users/" + ann.User.ID + "/passkeys"
	if a := one.do("GET", admin, secretKey, ""); a.status != 200 || !strings.Contains(a.text, `"friendly_name":"Phone"`) {
		t.Errorf("got %d %s", a.status, a.text)
	}
	one.do("PUT", "/admin/users/"+ann.User.ID, secretKey, `{"ban_duration":"1h"}`).want(t, 200, "")
	c = two.do("POST", signIn+"options", "", "{}").challenge(t)
	two.do("POST", signIn+"verify", "", device.get(t, c)).want(t, 400, "user_banned")
	one.do("PUT", "/admin/users/"+ann.User.ID, secretKey, `{"ban_duration":"none"}`).want(t, 200, "")
	deleted := make([]answer, 4)
	s.together(len(deleted), func(i int, r *replica) { deleted[i] = r.do("DELETE", admin+"/"+keys[0].ID, secretKey, "") })
	if got := count(deleted); got != `{"204":1,"404 webauthn_credential_not_found":3}` {
		t.Errorf("got %s", got)
	}
	c = two.do("POST", signIn+"options", "", "{}").challenge(t)
	two.do("POST", signIn+"verify", "", device.get(t, c)).want(t, 422, "webauthn_verification_failed")
}
