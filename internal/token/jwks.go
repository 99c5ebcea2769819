package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// ParseJWKS reads keys from a JSON Web Key Set, as walkin.ParseJWKS says.
func ParseJWKS(data []byte) ([]Key, error) {
	set, err := jwk.Parse(data)
	if err != nil || !json.Valid(data) { // jwx reads the first value, and takes no notice of what is behind it
		// jwx's error may quote the input, which is secret.
		return nil, errors.New("walkin: the key set is not a valid JWKS")
	}
	if set.Len() == 0 {
		return nil, errors.New("walkin: the key set is empty")
	}
	var keys []Key
	var errs []error
	for i := range set.Len() {
		j, _ := set.Key(i)
		key, err := fromJWK(j)
		if err != nil {
			errs = append(errs, fmt.Errorf("walkin: key %d of the key set: %w", i+1, err))
		}
		keys = append(keys, key)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return keys, nil
}

func fromJWK(j jwk.Key) (Key, error) {
	if use := j.KeyUsage(); use != "" && use != "sig" {
		return Key{}, errors.New(`its use is not "sig"`)
	}
	if r, ok := j.(jwk.RSAPrivateKey); ok && (len(r.P()) == 0 || len(r.Q()) == 0) {
		return Key{}, errors.New("its RSA key lacks its primes, p and q") // RFC 7518 §6.3.2 allows it; crypto/rsa does not
	}
	var raw any
	if err := j.Raw(&raw); err != nil {
		return Key{}, errors.New("it cannot be read")
	}
	if r, ok := raw.(*rsa.PrivateKey); ok && r.Validate() != nil {
		return Key{}, errors.New("the parts of its RSA key do not belong together")
	}
	key := Key{ID: j.KeyID()}
	switch raw := raw.(type) {
	case []byte:
		key.Secret = raw
	case crypto.Signer:
		key.Private = raw
	default:
		return Key{}, errors.New("it is a public key; a secret or private one is needed")
	}
	// RFC 7517 §4.3. The private key signs, and its public half verifies; a secret does both.
	if _, limited := j.Get(jwk.KeyOpsKey); limited {
		ops := j.KeyOps()
		if !slices.Contains(ops, jwk.KeyOpSign) {
			return Key{}, errors.New(`its key_ops lack "sign"`)
		}
		if key.Secret != nil && !slices.Contains(ops, jwk.KeyOpVerify) {
			return Key{}, errors.New(`its key_ops lack "verify"`)
		}
	}
	if alg := j.Algorithm().String(); alg != "" {
		if k, err := newKey(key); err == nil && alg != k.alg.String() {
			return Key{}, fmt.Errorf("it is for %.20q, walkin would use it for %s", alg, k.alg)
		}
	}
	return key, nil
}

// KeyFile reads a JWKS file, and makes one when there is none, as walkin.KeyFile and
// walkin.KeyFileES256 say.
func KeyFile(path string, es256 bool) ([]Key, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKeyFile(path, es256); err != nil {
			return nil, fmt.Errorf("walkin: making the key file: %w", err)
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("walkin: key file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("walkin: key file %s has mode %04o: others can read it; chmod 600 it", path, mode)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("walkin: key file: %w", err)
	}
	return ParseJWKS(data)
}

// makeKeyFile writes the file aside and links it into place, so that a second
// process sees it whole or not at all, and never replaces it.
func makeKeyFile(path string, es256 bool) error {
	var private crypto.Signer
	var err error
	if es256 {
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return err
	}
	j, err := jwk.FromRaw(private)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(map[string]any{"keys": []any{j}}, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".walkin-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
