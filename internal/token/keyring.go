// Package token signs and verifies walkin's tokens, which are standard JWTs. It writes
// and reads their headers and claims itself, since walkin issues every token that it
// accepts. It knows no request, cookie or store.
//
// It is the only package that imports jwx, and of that only the signers, verifiers and
// key parsing: the parts that are fast and hold no global state.
package token

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
)

const (
	Leeway  = 60 * time.Second // how far the clocks of two replicas may differ
	MaxSize = 3800             // bytes of a cookie, name included; browsers drop more than 4,096 without a word

	minSecret  = 32              // bytes; RFC 7518 §3.2
	minRSABits = 2048            // RFC 7518 §3.3
	roleClaim  = "authenticated" // of both kinds of user, as the field has it
)

// A Kind is the type in a token's header.
type Kind string

const (
	Session Kind = "JWT"    // a token for our cookies
	Access  Kind = "at+jwt" // a token for another service, RFC 9068; never accepted in a cookie
)

// A Status is what a token turned out to be, by itself.
type Status uint8

const (
	Valid        Status = 1 + iota // ours and not expired; its session may have ended
	Invalid                        // forged, malformed or expired
	Unverifiable                   // perhaps ours, but this replica cannot tell
)

// A Keyring signs with its first key and verifies with all. It does not
// change after New.
type Keyring struct {
	issuer, audience string
	start, middle    string // of a payload, with them

	signing, anonymous *key // anonymous: of anonymous users' access tokens
	ids                map[string]bool
	jwks, allJWKS      []byte

	// The valid first segments are known, since walkin writes them. These maps are the
	// allow-list of algorithms, the choice of the key, and the check of crit, typ and
	// every other header. All that is one step, before anything that a stranger wrote
	// is parsed.
	session, access, acting map[string]*key
}

// NewKeyring prepares keys for use. Where there are anonymous keys, the first of them
// signs anonymous users' access tokens, and they verify nothing else. The error names all
// mistakes in them.
func NewKeyring(keys, anonymous []Key, issuer, audience string) (*Keyring, error) {
	r := &Keyring{
		issuer: issuer, audience: audience,
		start:   `{"iss":` + string(appendQuoted(nil, issuer)) + `,"sub":"`,
		middle:  `","aud":` + string(appendQuoted(nil, audience)) + `,"exp":`,
		ids:     make(map[string]bool),
		session: make(map[string]*key), access: make(map[string]*key), acting: make(map[string]*key),
	}
	var errs []error
	if len(keys) == 0 {
		errs = append(errs, errors.New("walkin: Config.Keys is empty; KeyFile makes a first key"))
	}
	all, err := r.add("Config.Keys", keys, nil)
	errs = append(errs, err)
	for _, key := range all {
		r.session[key.session] = key
		r.acting[key.header(Acting)] = key
	}
	if len(all) > 0 {
		r.signing, r.anonymous = all[0], all[0]
	}
	guests, err := r.add("Config.Tokens.AnonymousKeys", anonymous, all)
	errs = append(errs, err)
	for _, key := range guests {
		key.anonymous = true
	}
	if len(guests) > 0 {
		r.anonymous = guests[0]
	}
	r.jwks, err = publicJWKS(all)
	errs = append(errs, err)
	r.allJWKS, err = publicJWKS(slices.Concat(all, guests))
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return r, nil
}

// add prepares the keys of a setting. None may be among those before.
func (r *Keyring) add(setting string, keys []Key, before []*key) (all []*key, _ error) {
	var errs []error
	names := make(map[string]bool)
	for i, k := range keys {
		key, err := newKey(k)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("walkin: %s[%d]: %w", setting, i, err))
			continue
		case r.ids[key.id], k.ID != "" && names[k.ID]:
			errs = append(errs, fmt.Errorf("walkin: %s[%d]: its ID %q is taken by an earlier key", setting, i, cmp.Or(k.ID, key.id)))
			continue
		case slices.ContainsFunc(before, key.equal):
			// Services would get it with the others.
			errs = append(errs, fmt.Errorf("walkin: %s[%d]: it is one of Config.Keys", setting, i))
			continue
		}
		names[k.ID] = true
		r.ids[key.id] = true
		r.access[key.access] = key
		all = append(all, key)
	}
	return all, errors.Join(errs...)
}

// publicJWKS returns the public halves. A secret is never among them.
func publicJWKS(keys []*key) ([]byte, error) {
	public := []map[string]string{} // "keys":[] rather than null
	for _, key := range keys {
		if key.alg == jwa.HS256 {
			continue
		}
		members, err := publicMembers(key.public)
		if err != nil {
			return nil, fmt.Errorf("walkin: the public key of %q cannot be written: %w", key.id, err)
		}
		members["kid"], members["alg"], members["use"] = key.id, key.alg.String(), "sig"
		public = append(public, members)
	}
	return json.Marshal(map[string]any{"keys": public})
}

// Issue signs a token for c.
func (r *Keyring) Issue(c Claims, kind Kind, audience string) (string, error) {
	var space [512]byte
	body, err := r.appendPayload(space[:0], c, audience)
	if err != nil {
		return "", err
	}
	if kind == Access {
		key := r.accessKey(c)
		return key.sign(key.access, body)
	}
	return r.signing.sign(r.signing.session, body)
}

// accessKey returns the key that signs access tokens for c.
func (r *Keyring) accessKey(c Claims) *key {
	if c.Anonymous {
		return r.anonymous
	}
	return r.signing
}

func (k *key) sign(header string, body []byte) (string, error) {
	b := make([]byte, 0, 256+len(body)*3/2)
	b = append(b, header...)
	b = append(b, '.')
	b = base64.RawURLEncoding.AppendEncode(b, body)
	signature, err := k.signer.Sign(b, k.private)
	if err != nil {
		return "", fmt.Errorf("walkin: signing a token: %w", err)
	}
	b = append(b, '.')
	b = base64.RawURLEncoding.AppendEncode(b, signature)
	return string(b), nil
}

// strict refuses padding, white space and flipped unused bits, so that a token has only
// one spelling.
var strict = base64.RawURLEncoding.Strict()

// A Reason says why a token was not accepted.
type Reason string

const (
	ReasonTooLong    Reason = "too_long"
	ReasonMalformed  Reason = "malformed"
	ReasonForged     Reason = "forged"
	ReasonForeign    Reason = "foreign"
	ReasonIncomplete Reason = "incomplete"
	ReasonExpired    Reason = "expired"
	ReasonUnknownKey Reason = "unknown_key"
	ReasonClockSkew  Reason = "clock_skew"
)

// Verify returns the claims of a token of ours that is live, or the reason why there
// are none. Invalid is for a token that is not ours or is over. Unverifiable is for a
// token that may be ours and cannot be verified here and now.
//
// access is true for an access token, which is looked for only in a bearer.
func (r *Keyring) Verify(token string, bearer bool, now time.Time) (c Claims, access bool, s Status, reason Reason) {
	header, reason := headerOf(token)
	if reason != "" {
		return Claims{}, false, Invalid, reason
	}
	key := r.session[header]
	if key == nil && bearer {
		key = r.access[header]
		access = true
	}
	if key == nil {
		if r.foreign(header, Session) || bearer && r.foreign(header, Access) {
			return Claims{}, false, Unverifiable, ReasonUnknownKey
		}
		return Claims{}, false, Invalid, ReasonMalformed
	}
	text, reason := key.open(token)
	if reason != "" {
		return Claims{}, false, Invalid, reason
	}
	var p payload
	if !r.parse(&p, text) {
		other, err := unmarshal(text)
		if err != nil {
			return Claims{}, false, Invalid, ReasonMalformed
		}
		p = *other
	}
	c, s, reason = r.check(&p, now)
	if key.anonymous && s == Valid && !c.Anonymous {
		// Whoever has only this key makes no permanent user.
		return Claims{}, false, Invalid, ReasonForged
	}
	return c, access, s, reason
}

// JWKS returns the public keys as a JSON Web Key Set: those of anonymous users' access
// tokens only with all.
func (r *Keyring) JWKS(all bool) []byte {
	if all {
		return r.allJWKS
	}
	return r.jwks
}

// headerOf returns the first segment of a token, or why it is none of ours.
func headerOf(token string) (header string, reason Reason) {
	if len(token) > MaxSize {
		return "", ReasonTooLong
	}
	header, rest, _ := strings.Cut(token, ".")
	// encoding/base64 passes over line breaks, also when it is strict.
	if !strings.Contains(rest, ".") || strings.ContainsAny(token, "\r\n") {
		return "", ReasonMalformed
	}
	return header, ""
}

// open returns the payload of a token that has this key's header, or why not.
func (k *key) open(token string) (body []byte, reason Reason) {
	header, rest, _ := strings.Cut(token, ".")
	text, signature, _ := strings.Cut(rest, ".")
	// A second dot in what should be the signature is not base64.
	mac, err := strict.DecodeString(signature)
	if err != nil {
		return nil, ReasonMalformed
	}
	if k.verifier.Verify([]byte(token[:len(header)+1+len(text)]), mac, k.public) != nil {
		return nil, ReasonForged
	}
	// From here on the words are our own.
	if body, err = strict.DecodeString(text); err != nil {
		return nil, ReasonMalformed
	}
	return body, ""
}

// IsOurs reports whether a bearer's token has a first segment that we write. A
// key ID that we do not know makes it perhaps ours only in an access token: in
// other tokens golang-jwt, for one, spells its header as we do.
func (r *Keyring) IsOurs(token string) bool {
	header, _, _ := strings.Cut(token, ".")
	return r.session[header] != nil || r.access[header] != nil || r.foreign(header, Access)
}

// foreign reports whether a header has exactly the form of our headers of a type, but a
// key ID that is not among ours. Such a token comes from a replica with other keys, or
// from a key that was removed. foreign checks the form alone; nothing is parsed.
func (r *Keyring) foreign(header string, kind Kind) bool {
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
	id, ok := strings.CutSuffix(rest, `","typ":"`+string(kind)+`"}`)
	return ok && len(id) <= maxKeyID && validKeyIDBytes(id) && !r.ids[id]
}
