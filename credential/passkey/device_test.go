package passkey_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// Bits of a device's answer.
const (
	userPresent    = 1 << 0
	userVerified   = 1 << 2
	backupEligible = 1 << 3
	backedUp       = 1 << 4
	attested       = 1 << 6
)

// A device is an authenticator with the browser in front of it: it keeps keys of
// ES256, and says what a good one says unless it is twisted.
type device struct {
	t      testing.TB
	keys   []*key
	synced bool // its keys are copied to other devices
	counts bool // its keys count

	idLength int // of new keys; 0 is 16
}

type key struct {
	id, handle []byte
	private    *ecdsa.PrivateKey
	count      uint32
	flags      byte
}

// A twist is what a bad device, browser or go-between makes of an answer. Zero
// fields leave it as it is.
type twist struct {
	origin, challenge, rpID, kind string
	framed                        bool
	without, with                 byte // flags
	handle                        []byte
	noHandle                      bool
	id                            []byte                      // of the key, in all places
	public                        []byte                      // of a new key
	format                        string                      // of the attestation
	count                         *uint32                     // of the answer
	signature                     func(signature []byte)      // changes it
	answer                        func(answer map[string]any) // changes the JSON
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (d *device) unb64(s string) []byte {
	d.t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

// options are those of both ceremonies.
type options struct {
	PublicKey struct {
		Challenge string
		RPID      string `json:"rpId"`
		RP        struct{ ID, Name string }
		User      struct{ ID, Name, DisplayName string }
		Timeout   int

		ExcludeCredentials, AllowCredentials []struct {
			ID         string
			Transports []string
		}
		PubKeyCredParams       []struct{ Alg int }
		Attestation            string
		UserVerification       string
		AuthenticatorSelection struct {
			ResidentKey, UserVerification string
			RequireResidentKey            bool
		}
	}
}

func (d *device) read(text []byte) options {
	d.t.Helper()
	var o options
	if err := json.Unmarshal(text, &o); err != nil {
		d.t.Fatal(err)
	}
	return o
}

func (d *device) clientData(kind protocol.CeremonyType, o options, tw twist) []byte {
	data := map[string]any{"type": string(kind), "challenge": o.PublicKey.Challenge, "origin": "https://app.example", "crossOrigin": tw.framed}
	for name, value := range map[string]string{"type": tw.kind, "challenge": tw.challenge, "origin": tw.origin} {
		if value != "" {
			data[name] = value
		}
	}
	text, err := json.Marshal(data)
	if err != nil {
		d.t.Fatal(err)
	}
	return text
}

func authData(rpID string, tw twist, flags byte, count uint32) []byte {
	if tw.rpID != "" {
		rpID = tw.rpID
	}
	if tw.count != nil {
		count = *tw.count
	}
	hash := sha256.Sum256([]byte(rpID))
	data := append(hash[:], flags&^tw.without|tw.with)
	return binary.BigEndian.AppendUint32(data, count)
}

// create makes a key, or returns nil when the device is told that it has one.
func (d *device) create(text []byte, tw twist) []byte {
	d.t.Helper()
	o := d.read(text)
	for _, excluded := range o.PublicKey.ExcludeCredentials {
		if slices.ContainsFunc(d.keys, func(k *key) bool { return b64(k.id) == excluded.ID }) {
			return nil
		}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	k := &key{id: make([]byte, max(16, d.idLength)), handle: d.unb64(o.PublicKey.User.ID), private: private, flags: userPresent | userVerified}
	rand.Read(k.id)
	if tw.id != nil {
		k.id = tw.id
	}
	if d.synced {
		k.flags |= backupEligible | backedUp
	}
	if d.counts {
		k.count = 1
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		d.t.Fatal(err)
	}
	public := d.cbor(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	if tw.public != nil {
		public = tw.public
	}
	data := authData(o.PublicKey.RP.ID, tw, k.flags|attested, k.count)
	data = append(data, make([]byte, 16)...) // the AAGUID
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.id)))
	data = append(append(data, k.id...), public...)
	format, statement := "none", map[string]any{}
	if tw.format != "" {
		format, statement = tw.format, map[string]any{"x5c": [][]byte{[]byte("no certificate")}}
	}
	// A device has one key for a site and handle.
	d.keys = slices.DeleteFunc(d.keys, func(old *key) bool { return bytes.Equal(old.handle, k.handle) })
	d.keys = append(d.keys, k)
	return d.answer(k, tw, map[string]any{
		"clientDataJSON":    b64(d.clientData(protocol.CreateCeremony, o, tw)),
		"attestationObject": b64(d.cbor(map[string]any{"fmt": format, "attStmt": statement, "authData": data})),
		"transports":        []string{"internal"},
	})
}

// get proves the newest key that may be used, or returns nil when there is none.
func (d *device) get(text []byte, tw twist) []byte {
	d.t.Helper()
	o := d.read(text)
	allowed := func(k *key) bool {
		for _, a := range o.PublicKey.AllowCredentials {
			if a.ID == b64(k.id) {
				return true
			}
		}
		return len(o.PublicKey.AllowCredentials) == 0
	}
	for _, k := range slices.Backward(d.keys) {
		if allowed(k) {
			return d.prove(k, o, tw)
		}
	}
	return nil
}

func (d *device) prove(k *key, o options, tw twist) []byte {
	d.t.Helper()
	if d.counts {
		k.count++
	}
	client := d.clientData(protocol.AssertCeremony, o, tw)
	data := authData(o.PublicKey.RPID, tw, k.flags, k.count)
	clientHash := sha256.Sum256(client)
	digest := sha256.Sum256(append(bytes.Clone(data), clientHash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, digest[:])
	if err != nil {
		d.t.Fatal(err)
	}
	if tw.signature != nil {
		tw.signature(signature)
	}
	response := map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64(k.handle)}
	switch {
	case tw.noHandle:
		delete(response, "userHandle")
	case tw.handle != nil:
		response["userHandle"] = b64(tw.handle)
	}
	return d.answer(k, tw, response)
}

func (d *device) answer(k *key, tw twist, response map[string]any) []byte {
	d.t.Helper()
	id := k.id
	if tw.id != nil {
		id = tw.id
	}
	answer := map[string]any{"id": b64(id), "rawId": b64(id), "type": "public-key", "response": response}
	if tw.answer != nil {
		tw.answer(answer)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		d.t.Fatal(err)
	}
	return text
}

func (d *device) cbor(v any) []byte {
	d.t.Helper()
	b, err := webauthncbor.Marshal(v)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}
