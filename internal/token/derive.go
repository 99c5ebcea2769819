package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Derive returns a secret of 32 bytes for one purpose, as walkin.Key.Derive says.
func (k Key) Derive(purpose string) ([]byte, error) {
	if purpose == "" {
		return nil, errors.New("walkin: Key.Derive needs a purpose")
	}
	// Fails closed: from an empty secret, HKDF makes bytes that look as good as any
	// others and are the same on every site.
	if _, err := newKey(k); err != nil {
		return nil, fmt.Errorf("walkin: nothing can be derived from this key: %w", err)
	}
	kind, secret := secretOf(k)
	if len(secret) < minSecret || len(bytes.Trim(secret, string(secret[:1]))) == 0 {
		return nil, errors.New("walkin: nothing can be derived from this key: it has no secret of its own")
	}
	// Each part has its length in front, so that no two purposes, and no
	// purpose and kind of key, run into one another.
	info := []byte("walkin derive v1")
	for _, part := range []string{kind, purpose} {
		info = binary.BigEndian.AppendUint64(info, uint64(len(part)))
		info = append(info, part...)
	}
	return hkdf.Key(sha256.New, secret, nil, string(info), sha256.Size)
}

// secretOf returns the secret part of a key that newKey accepts, in one encoding
// however the key was written down. For a secret that is the secret itself, for Ed25519
// the seed, and for P-256 a scalar of 32 bytes. For RSA it is the modulus and the
// private exponent, since not every RSA key comes with its primes, or with them in the
// same order.
func secretOf(k Key) (kind string, secret []byte) {
	switch private := k.Private.(type) {
	case nil:
		return "secret", k.Secret
	case ed25519.PrivateKey:
		return "Ed25519", private.Seed()
	case *ecdsa.PrivateKey:
		scalar, err := private.Bytes()
		if err != nil {
			return "", nil
		}
		return "P-256", scalar
	case *rsa.PrivateKey:
		size := private.Size()
		secret = make([]byte, 2*size)
		private.N.FillBytes(secret[:size])
		if private.D.BitLen() > 8*size {
			return "", nil
		}
		private.D.FillBytes(secret[size:])
		return "RSA", secret
	}
	return "", nil
}
