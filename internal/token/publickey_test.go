package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"reflect"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// TestPublicKeys compares public keys and thumbprints with jwx's: one of each type, and
// so many on P-256 that some have a coordinate with a zero in front.
func TestPublicKeys(t *testing.T) {
	edPublic, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaPrivate, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := []any{edPublic, &rsaPrivate.PublicKey, &rsa.PublicKey{N: rsaPrivate.N, E: 3}}
	short := 0
	for len(keys) < 1000 || short == 0 {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if point, err := private.PublicKey.Bytes(); err != nil {
			t.Fatal(err)
		} else if point[1] == 0 || point[33] == 0 {
			short++
		}
		keys = append(keys, &private.PublicKey)
	}
	for _, key := range keys {
		theirs, err := jwk.FromRaw(key)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(theirs)
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]string
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if got, err := publicMembers(key); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("publicMembers = %v, %v; jwx writes %v", got, err, want)
		}
		sum, err := theirs.Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := thumbprint(key); err != nil || got != base64.RawURLEncoding.EncodeToString(sum) {
			t.Errorf("thumbprint = %q, %v; jwx has %q", got, err, base64.RawURLEncoding.EncodeToString(sum))
		}
	}
}

// TestThumbprint has the example of RFC 8037 appendix A.3, and what is no public key of ours.
func TestThumbprint(t *testing.T) {
	x, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	const want = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
	if got, err := thumbprint(ed25519.PublicKey(x)); err != nil || got != want {
		t.Errorf("thumbprint = %q, %v; the RFC has %q", got, err, want)
	}
	//lint:ignore SA1019 a point that is not on the curve cannot be made otherwise
	other := &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}
	for _, key := range []any{nil, sha256.New(), other} {
		if got, err := thumbprint(key); err == nil {
			t.Errorf("thumbprint(%T) = %q, and it is no public key", key, got)
		}
	}
}
