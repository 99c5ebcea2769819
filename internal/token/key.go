package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// A Key is a walkin.Key, which says what its fields mean. It must not be printed:
// walkin.Key hides its secret, and this type does not.
type Key struct {
	ID      string
	Secret  []byte
	Private crypto.Signer
}

// A key is a Key prepared for use. Its algorithm belongs to it, whatever a token says.
type key struct {
	id       string
	alg      jwa.SignatureAlgorithm
	private  any // for signer
	public   any // for verifier; the secret itself for HS256
	signer   jws.Signer
	verifier jws.Verifier

	session, access string // the first segments of its tokens
	anonymous       bool   // verifies nothing but anonymous users' access tokens
}

// equal reports whether two are the same key, whatever they are called.
func (k *key) equal(other *key) bool {
	if secret, ok := k.public.([]byte); ok {
		same, ok := other.public.([]byte)
		return ok && bytes.Equal(secret, same)
	}
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(other.public)
}

func newKey(k Key) (*key, error) {
	if k.ID != "" && !validKeyID(k.ID) {
		return nil, errors.New("its ID is not 1 to 64 of A–Z a–z 0–9 . _ -")
	}
	key := &key{id: k.ID}
	switch private := k.Private.(type) {
	case nil:
		switch {
		case len(k.Secret) < minSecret:
			return nil, fmt.Errorf("its secret has %d bytes; %d random ones are needed", len(k.Secret), minSecret)
		case len(bytes.Trim(k.Secret, string(k.Secret[:1]))) == 0:
			return nil, errors.New("its secret is one byte repeated; random bytes are needed")
		}
		secret := bytes.Clone(k.Secret) // the caller may wipe it
		key.alg, key.private, key.public = jwa.HS256, secret, secret
		// The fingerprint of a random secret reveals nothing.
		sum := sha256.Sum256(append([]byte("walkin key id\x00"), k.Secret...))
		key.id = strings.TrimPrefix(k.ID+"."+base64.RawURLEncoding.EncodeToString(sum[:9]), ".")
	case ed25519.PrivateKey:
		if len(private) != ed25519.PrivateKeySize {
			return nil, errors.New("its Ed25519 key has a wrong length")
		}
		private = bytes.Clone(private)
		key.alg, key.private, key.public = jwa.EdDSA, private, private.Public()
	case *ecdsa.PrivateKey:
		if private == nil || private.Curve != elliptic.P256() {
			return nil, errors.New("its ECDSA key is not on P-256")
		}
		//lint:ignore SA1019 whether it is there is all that is asked; Bytes panics when it is not
		if private.D == nil {
			return nil, errors.New("its ECDSA key has no private part")
		}
		if private.X == nil || private.Y == nil {
			return nil, errors.New("its ECDSA key has no public part")
		}
		key.alg, key.private, key.public = jwa.ES256, private, &private.PublicKey
	case *rsa.PrivateKey:
		if private == nil || private.N == nil || private.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("its RSA key is shorter than %d bits", minRSABits)
		}
		if private.D == nil {
			return nil, errors.New("its RSA key has no private part")
		}
		key.alg, key.private, key.public = jwa.RS256, private, &private.PublicKey
	default:
		return nil, fmt.Errorf("a private key of type %T is not supported", private)
	}
	if k.Private != nil && len(k.Secret) > 0 {
		return nil, errors.New("it has both a secret and a private key")
	}
	if key.id == "" {
		id, err := thumbprint(key.public)
		if err != nil {
			return nil, errors.New("its public key cannot be read")
		}
		key.id = id
	}
	var err error
	if key.signer, err = jws.NewSigner(key.alg); err != nil {
		return nil, err
	}
	if key.verifier, err = jws.NewVerifier(key.alg); err != nil {
		return nil, err
	}
	// A key whose halves do not belong together would sign tokens that no replica
	// accepts.
	probe := []byte("walkin")
	signature, err := key.signer.Sign(probe, key.private)
	if err != nil || key.verifier.Verify(probe, signature, key.public) != nil {
		return nil, errors.New("what it signs does not verify")
	}
	key.session, key.access = key.header(Session), key.header(Access)
	return key, nil
}

// maxKeyID leaves room for a fingerprint behind an ID of 64.
const maxKeyID = 64 + 1 + 12

func validKeyID(id string) bool {
	return len(id) <= 64 && validKeyIDBytes(id)
}

func validKeyIDBytes(id string) bool {
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return id != ""
}

// header returns the first segment of every token this key signs.
func (k *key) header(kind Kind) string {
	return base64.RawURLEncoding.EncodeToString(
		[]byte(`{"alg":"` + k.alg.String() + `","kid":"` + k.id + `","typ":"` + string(kind) + `"}`))
}
