package walkin_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"testing"

	"github.com/walkin-go/walkin"
)

// kms is a signer that keeps its key to itself.
type kms struct{ crypto.Signer }

// TestDerive holds that a derived secret is the key's and the purpose's alone, and
// that there is none where there is nothing secret.
func TestDerive(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	seed := bytes.Clone(ed.Seed())
	seen := map[string]string{}
	for _, tt := range []struct {
		name string
		key  walkin.Key
	}{
		{"a secret", walkin.Key{Secret: bytes.Repeat([]byte("a secret"), 5)}},
		{"another secret", walkin.Key{Secret: bytes.Repeat([]byte("a Secret"), 5)}},
		{"Ed25519", walkin.Key{Private: ed}},
		{"a secret of the same bytes", walkin.Key{Secret: seed}},
		{"P-256", walkin.Key{Private: ec}},
		{"RSA", walkin.Key{Private: rs}},
	} {
		for _, purpose := range []string{"codes", "code", "codes\x00", "c", "odes"} {
			got, err := tt.key.Derive(purpose)
			if err != nil || len(got) != 32 {
				t.Fatalf("%s, %q: got %d bytes, %v", tt.name, purpose, len(got), err)
			}
			if other, ok := seen[string(got)]; ok {
				t.Errorf("%s, %q: the same as %s", tt.name, purpose, other)
			}
			seen[string(got)] = tt.name + ", " + purpose
			named := tt.key
			named.ID = "2026"
			if again, err := named.Derive(purpose); err != nil || !bytes.Equal(again, got) {
				t.Errorf("%s, %q: a second time, under another ID, it is another one (%v)", tt.name, purpose, err)
			}
		}
	}

	// However a key was written down, it is the same key.
	swapped := &rsa.PrivateKey{PublicKey: rs.PublicKey, D: rs.D, Primes: []*big.Int{rs.Primes[1], rs.Primes[0]}}
	der, err := x509.MarshalPKCS8PrivateKey(rs)
	if err != nil {
		t.Fatal(err)
	}
	read, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := walkin.Key{Private: rs}.Derive("codes")
	for name, key := range map[string]crypto.Signer{"swapped primes": swapped, "PKCS #8": read.(crypto.Signer)} {
		if got, err := (walkin.Key{Private: key}).Derive("codes"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got another secret, %v", name, err)
		}
	}

	for name, key := range map[string]walkin.Key{
		"nothing":               {},
		"an empty secret":       {Secret: []byte{}},
		"a short secret":        {Secret: []byte("31 bytes are one byte too few..")},
		"zeros":                 {Secret: make([]byte, 32)},
		"one byte":              {Secret: bytes.Repeat([]byte{7}, 64)},
		"a KMS":                 {Private: kms{ed}},
		"no Ed25519 key":        {Private: ed25519.PrivateKey{}},
		"an Ed25519 seed of 0":  {Private: ed25519.NewKeyFromSeed(make([]byte, 32))},
		"zeros for Ed25519":     {Private: ed25519.PrivateKey(make([]byte, 64))},
		"no ECDSA key":          {Private: (*ecdsa.PrivateKey)(nil)},
		"half an ECDSA key":     {Private: &ecdsa.PrivateKey{PublicKey: ec.PublicKey}},
		"no RSA key":            {Private: (*rsa.PrivateKey)(nil)},
		"half an RSA key":       {Private: &rsa.PrivateKey{PublicKey: rs.PublicKey}},
		"a secret and a signer": {Secret: bytes.Repeat([]byte("a secret"), 5), Private: ed},
	} {
		if got, err := key.Derive("codes"); err == nil || got != nil {
			t.Errorf("%s: got %d bytes, %v; want an error", name, len(got), err)
		}
	}
	if got, err := (walkin.Key{Private: ed}).Derive(""); err == nil || got != nil {
		t.Errorf("no purpose: got %d bytes, %v; want an error", len(got), err)
	}
}

// TestDeriveFromKeyFile holds that two fresh sites have different secrets, and two
// replicas of one the same.
func TestDeriveFromKeyFile(t *testing.T) {
	dir := t.TempDir()
	derive := func(file string) string {
		keys, err := walkin.KeyFile(dir + "/" + file)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := keys[0].Derive("codes")
		if err != nil {
			t.Fatal(err)
		}
		return string(secret)
	}
	one := derive("one")
	if one == derive("two") {
		t.Error("two sites have the same secret")
	}
	if one != derive("one") {
		t.Error("two replicas have different secrets")
	}
}
