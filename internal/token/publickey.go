package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// publicMembers returns the members of a public key as RFC 7517 writes them: those that
// its type requires, and no others. They are written here, and not by jwx's jwk package,
// which every program with walkin would have to carry for it; a test compares the two.
func publicMembers(public any) (map[string]string, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch public := public.(type) {
	case ed25519.PublicKey: // RFC 8037 §2
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "x": b64(public)}, nil
	case *ecdsa.PublicKey: // RFC 7518 §6.2.1; newKey takes P-256 alone
		point, err := public.Bytes() // 4, x, y: SEC 1 §2.3.3
		if err != nil {
			return nil, err
		}
		half := 1 + len(point)/2
		return map[string]string{"kty": "EC", "crv": public.Params().Name, "x": b64(point[1:half]), "y": b64(point[half:])}, nil
	case *rsa.PublicKey: // RFC 7518 §6.3.1
		e := big.NewInt(int64(public.E))
		return map[string]string{"kty": "RSA", "n": b64(public.N.Bytes()), "e": b64(e.Bytes())}, nil
	}
	return nil, fmt.Errorf("a public key of type %T is not supported", public)
}

// thumbprint returns the SHA-256 of a public key's required members, in the order of
// their names and without white space, in base64url: RFC 7638 §3.
func thumbprint(public any) (string, error) {
	members, err := publicMembers(public)
	if err != nil {
		return "", err
	}
	written, err := json.Marshal(members) // sorts the names
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(written)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
