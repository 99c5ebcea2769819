package walkin

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// This file is the only one that knows jwx. Of it only the signers, verifiers
// and key parsing are used: the parts that are fast and hold no global state.
// Headers and claims are written and read here, since we issue every token we
// accept.

const (
	leeway      = 60 * time.Second // how far the clocks of two replicas may differ
	maxToken    = 3800             // bytes of a cookie, name included; browsers drop more than 4,096 in silence
	minSecret   = 32               // bytes; RFC 7518 §3.2
	minRSABits  = 2048             // RFC 7518 §3.3
	maxAccess   = time.Hour        // the longest life of an access token
	roleClaim   = "authenticated"  // of both kinds of user, as the field has it
	typeSession = "JWT"            // a token for our cookies
	typeAccess  = "at+jwt"         // a token for another service, RFC 9068; never accepted in a cookie
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

// ParseJWKS reads keys from a JSON Web Key Set (RFC 7517) that holds secrets
// or private keys, and nothing public: a set with a public key in it is
// probably not the one that was meant.
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

// KeyFile reads a JWKS file, and makes one with a new Ed25519 key when there
// is none. Of several processes that start together one makes it and all read
// the same. The file is made with mode 0600; one that others than its owner
// can read is an error.
//
// Replicas on several machines need the same keys: give them the same file, or
// its content to [ParseJWKS]. To rotate, add a new key behind the old one on all
// replicas, then put it first, and remove the old one when no token of it can be
// alive any more, after Config.Lifetime; see docs/keys.md.
func KeyFile(path string) ([]Key, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKeyFile(path); err != nil {
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
func makeKeyFile(path string) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
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

// A key is a Key made ready: its algorithm belongs to it, whatever a token says.
type key struct {
	id       string
	alg      jwa.SignatureAlgorithm
	private  any // for signer
	public   any // for verifier; the secret itself for HS256
	signer   jws.Signer
	verifier jws.Verifier

	session, access string // the first segments of its tokens
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
		// The fingerprint of a random secret tells nobody anything.
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
		j, err := jwk.FromRaw(key.public)
		if err != nil {
			return nil, errors.New("its public key cannot be read")
		}
		thumbprint, err := j.Thumbprint(crypto.SHA256) // RFC 7638
		if err != nil {
			return nil, errors.New("its public key cannot be read")
		}
		key.id = base64.RawURLEncoding.EncodeToString(thumbprint)
	}
	var err error
	if key.signer, err = jws.NewSigner(key.alg); err != nil {
		return nil, err
	}
	if key.verifier, err = jws.NewVerifier(key.alg); err != nil {
		return nil, err
	}
	// A key whose halves do not belong together would sign what no replica
	// takes.
	probe := []byte("walkin")
	signature, err := key.signer.Sign(probe, key.private)
	if err != nil || key.verifier.Verify(probe, signature, key.public) != nil {
		return nil, errors.New("what it signs does not verify")
	}
	key.session, key.access = key.header(typeSession), key.header(typeAccess)
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
func (k *key) header(typ string) string {
	return base64.RawURLEncoding.EncodeToString(
		[]byte(`{"alg":"` + k.alg.String() + `","kid":"` + k.id + `","typ":"` + typ + `"}`))
}

// A keyring signs with its first key and verifies with all. It does not
// change after New.
type keyring struct {
	issuer, audience string
	start, middle    string // of a payload, with them

	signing *key
	ids     map[string]bool
	jwks    []byte

	// The valid first segments are known, since we write them: these maps
	// are the allow-list of algorithms, the choice of the key and the check
	// of crit, typ and every other header in one step, before anything a
	// stranger wrote is parsed.
	session, access map[string]*key
}

func newKeyring(keys []Key, issuer, audience string) (*keyring, error) {
	r := &keyring{
		issuer: issuer, audience: audience,
		start:   `{"iss":` + string(appendQuoted(nil, issuer)) + `,"sub":"`,
		middle:  `","aud":` + string(appendQuoted(nil, audience)) + `,"exp":`,
		ids:     make(map[string]bool),
		session: make(map[string]*key), access: make(map[string]*key),
	}
	public := []jwk.Key{} // "keys":[] rather than null
	var errs []error
	names := make(map[string]bool)
	if len(keys) == 0 {
		errs = append(errs, errors.New("walkin: Config.Keys is empty; KeyFile makes a first key"))
	}
	for i, k := range keys {
		key, err := newKey(k)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("walkin: Config.Keys[%d]: %w", i, err))
			continue
		case r.ids[key.id], k.ID != "" && names[k.ID]:
			errs = append(errs, fmt.Errorf("walkin: Config.Keys[%d]: its ID %q is taken by an earlier key", i, cmp.Or(k.ID, key.id)))
			continue
		}
		names[k.ID] = true
		r.ids[key.id] = true
		r.session[key.session] = key
		r.access[key.access] = key
		if r.signing == nil {
			r.signing = key
		}
		if key.alg == jwa.HS256 {
			continue // a secret is never published
		}
		j, err := jwk.FromRaw(key.public)
		if err == nil {
			err = errors.Join(j.Set(jwk.KeyIDKey, key.id), j.Set(jwk.AlgorithmKey, key.alg), j.Set(jwk.KeyUsageKey, "sig"))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("walkin: Config.Keys[%d]: its public key cannot be written", i))
			continue
		}
		public = append(public, j)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	var err error
	r.jwks, err = json.Marshal(map[string]any{"keys": public})
	return r, err
}

// issue signs a token for c.
func (r *keyring) issue(c Claims, typ, audience string) (string, error) {
	var space [512]byte
	body, err := r.appendPayload(space[:0], c, audience)
	if err != nil {
		return "", err
	}
	b := make([]byte, 0, 256+len(body)*3/2)
	header := r.signing.session
	if typ == typeAccess {
		header = r.signing.access
	}
	b = append(b, header...)
	b = append(b, '.')
	b = base64.RawURLEncoding.AppendEncode(b, body)
	signature, err := r.signing.signer.Sign(b, r.signing.private)
	if err != nil {
		return "", fmt.Errorf("walkin: signing a token: %w", err)
	}
	b = append(b, '.')
	b = base64.RawURLEncoding.AppendEncode(b, signature)
	return string(b), nil
}

// strict refuses padding, white space and flipped unused bits: of one token
// there is one spelling.
var strict = base64.RawURLEncoding.Strict()

// verify returns the claims of a token of ours and live, or why not: invalid
// for what is nothing of ours or over, unverifiable for what may be ours and
// cannot be judged here and now.
//
// access is true for an access token, which is looked for only in a bearer.
func (r *keyring) verify(token string, bearer bool, now time.Time) (c Claims, access bool, s standing, reason string) {
	if len(token) > maxToken {
		return Claims{}, false, invalid, "too_long"
	}
	// encoding/base64 passes over line breaks, also when it is strict.
	if strings.ContainsAny(token, "\r\n") {
		return Claims{}, false, invalid, "malformed"
	}
	header, rest, _ := strings.Cut(token, ".")
	body, signature, ok := strings.Cut(rest, ".")
	if !ok {
		return Claims{}, false, invalid, "malformed"
	}
	key := r.session[header]
	if key == nil && bearer {
		key = r.access[header]
		access = true
	}
	if key == nil {
		if r.foreign(header, typeSession) || bearer && r.foreign(header, typeAccess) {
			return Claims{}, false, unverifiable, "unknown_key"
		}
		return Claims{}, false, invalid, "malformed"
	}
	// A second dot in what should be the signature is not base64.
	mac, err := strict.DecodeString(signature)
	if err != nil {
		return Claims{}, false, invalid, "malformed"
	}
	if key.verifier.Verify([]byte(token[:len(header)+1+len(body)]), mac, key.public) != nil {
		return Claims{}, false, invalid, "forged"
	}
	// From here on the words are our own.
	text, err := strict.DecodeString(body)
	if err != nil {
		return Claims{}, false, invalid, "malformed"
	}
	var p payload
	if !r.parse(&p, text) {
		other, err := unmarshal(text)
		if err != nil {
			return Claims{}, false, invalid, "malformed"
		}
		p = *other
	}
	c, s, reason = r.judge(&p, now)
	return c, access, s, reason
}

// isOurs reports whether a bearer's token has a first segment that we write. A
// key ID that we do not know makes it perhaps ours only in an access token: in
// other tokens golang-jwt, for one, spells its header as we do.
func (r *keyring) isOurs(token string) bool {
	header, _, _ := strings.Cut(token, ".")
	return r.session[header] != nil || r.access[header] != nil || r.foreign(header, typeAccess)
}

// foreign reports whether a header has exactly the form that ours of a type
// have, with a key ID that is not among ours: a token of a replica with other
// keys, or of a key that was removed. It looks at the form alone; nothing is parsed.
func (r *keyring) foreign(header, typ string) bool {
	var text [160]byte
	if base64.RawURLEncoding.DecodedLen(len(header)) > len(text) {
		return false
	}
	n, err := strict.Decode(text[:], []byte(header))
	if err != nil {
		return false
	}
	rest, ok := strings.CutPrefix(string(text[:n]), `{"alg":"`)
	if !ok {
		return false
	}
	alg, rest, ok := strings.Cut(rest, `","kid":"`)
	if !ok {
		return false
	}
	switch jwa.SignatureAlgorithm(alg) {
	case jwa.HS256, jwa.EdDSA, jwa.ES256, jwa.RS256:
	default:
		return false
	}
	id, ok := strings.CutSuffix(rest, `","typ":"`+typ+`"}`)
	return ok && len(id) <= maxKeyID && validKeyIDBytes(id) && !r.ids[id]
}
