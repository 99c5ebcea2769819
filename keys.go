package walkin

import (
	"crypto"
	"log/slog"
	"strconv"

	"github.com/walkin-go/walkin/internal/token"
)

// A Key signs and verifies tokens. Set exactly one of Secret and Private.
type Key struct {
	// ID is the key's name, "kid" in the token: 1 to 64 of A–Z a–z 0–9 . _ -
	// Empty derives it from the key, so that replicas with different keys
	// never mistake each other's tokens for forgeries. The name of a secret
	// is always followed by such a fingerprint, for the same reason.
	ID string

	// Secret is an HMAC secret for HS256: 32 random bytes at least, for
	// example of crypto/rand; never a password.
	Secret []byte

	// Private is an ed25519.PrivateKey (EdDSA), an *ecdsa.PrivateKey on
	// P-256 (ES256) or an *rsa.PrivateKey of 2,048 bits at least (RS256).
	// Use one when other services are to verify tokens by
	// [Middleware.JWKSHandler].
	Private crypto.Signer
}

// String names the key and hides the rest, so that a Config which is printed or
// logged gives nothing away.
func (k Key) String() string {
	return "walkin.Key(" + strconv.Quote(k.ID) + ")"
}

// GoString is String, for %#v.
func (k Key) GoString() string { return k.String() }

// LogValue is String, for log/slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Derive returns a secret of 32 bytes for one purpose, such as "example.com codes". It
// is the same on every replica that has the key, and different for every other key and
// every other purpose. It reveals nothing about the key or about another purpose, so
// one key file serves a whole site:
//
//	codeKey, err := keys[0].Derive("example.com codes")
//
// It is HKDF-SHA256 (RFC 5869) over Secret, or over the private half of Private. It
// returns an error if there is nothing secret to derive from: for a Key that New would
// refuse, such as an empty one, and for a signer that does not reveal its key, such as
// a KMS. Then keep a secret for each purpose beside the keys.
//
// To rotate, derive from every key: the first signs, and all verify. The packages
// that take such a secret take those of the older keys too, in OldKeys.
func (k Key) Derive(purpose string) ([]byte, error) { return token.Key(k).Derive(purpose) }

// ParseJWKS reads keys from a JSON Web Key Set (RFC 7517) of secrets or private keys. A
// set with a public key in it is an error, since it is probably not the one that was
// meant.
func ParseJWKS(data []byte) ([]Key, error) {
	keys, err := token.ParseJWKS(data)
	return keysFrom(keys), err
}

// KeyFile reads a JWKS file. If there is none, it makes one with a new Ed25519 key. Of
// several processes that start together one makes it and all read the same. The file is
// made with mode 0600; if others than its owner can read it, that is an error.
//
// Replicas on several machines need the same keys: give them the same file, or
// its content to [ParseJWKS]. To rotate, add a new key behind the old one on all
// replicas, then put it first, and remove the old one when no token of it can be
// alive any more, after Config.Tokens.Lifetime; see docs/keys.md.
func KeyFile(path string) ([]Key, error) {
	keys, err := token.KeyFile(path, false)
	return keysFrom(keys), err
}

// KeyFileES256 is [KeyFile], but makes a new key on P-256 for ES256: for clients and
// services that cannot verify Ed25519, such as supabase-js.
func KeyFileES256(path string) ([]Key, error) {
	keys, err := token.KeyFile(path, true)
	return keysFrom(keys), err
}

func keysFrom(keys []token.Key) (all []Key) {
	for _, key := range keys {
		all = append(all, Key(key))
	}
	return all
}

func keysOf(keys []Key) (all []token.Key) {
	for _, key := range keys {
		all = append(all, token.Key(key))
	}
	return all
}
