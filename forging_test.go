package walkin_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
)

// Attackers, and others who hold a key, write their tokens here with the
// standard library alone.

// algorithms are all that walkin signs with.
var algorithms = []string{"HS256", "EdDSA", "ES256", "RS256"}

// rsaKeys are made once: that takes long.
var rsaKeys = sync.OnceValue(func() (keys [2]*rsa.PrivateKey) {
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

// keyOf returns the site's key of an algorithm (0), or an attacker's (1). But
// for RSA they are the same in every process, as fuzzing wants them.
func keyOf(t testing.TB, alg string, whose int) walkin.Key {
	t.Helper()
	seed := sha256.Sum256(fmt.Append(nil, alg, whose))
	switch alg {
	case "HS256":
		return walkin.Key{Secret: seed[:]}
	case "EdDSA":
		return walkin.Key{Private: ed25519.NewKeyFromSeed(seed[:])}
	case "ES256":
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
		if err != nil {
			t.Fatal(err)
		}
		return walkin.Key{Private: key}
	case "RS256":
		return walkin.Key{Private: rsaKeys()[whose]}
	}
	t.Fatalf("no such algorithm: %q", alg)
	return walkin.Key{}
}

func signedBy(keys ...walkin.Key) func(*walkin.Config) {
	return func(c *walkin.Config) { c.Keys = keys }
}

func b64[T ~string | ~[]byte](b T) string { return base64.RawURLEncoding.EncodeToString([]byte(b)) }

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sign returns the signature of k's algorithm, the same one every time.
func sign(t testing.TB, k walkin.Key, input string) []byte {
	t.Helper()
	sum := sha256.Sum256([]byte(input))
	switch private := k.Private.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(private, []byte(input))
	case *ecdsa.PrivateKey:
		der, err := private.Sign(nil, sum[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		var pair struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &pair); err != nil {
			t.Fatal(err)
		}
		return scalars(pair.R, pair.S)
	case *rsa.PrivateKey:
		b, err := rsa.SignPKCS1v15(nil, private, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return mac(k.Secret, input)
}

func mac(secret []byte, input string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(input))
	return h.Sum(nil)
}

// scalars returns an ES256 signature, or what passes for one.
func scalars(r, s *big.Int) []byte {
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

// seal returns a token of two texts of JSON, signed by k.
func seal(t testing.TB, k walkin.Key, header, payload string) string {
	t.Helper()
	return sealed(t, k, b64(header), b64(payload))
}

// sealed returns a token of two segments as they are, signed by k.
func sealed(t testing.TB, k walkin.Key, header, payload string) string {
	t.Helper()
	return header + "." + payload + "." + b64(sign(t, k, header+"."+payload))
}

// publicForms returns what an attacker may take for an HMAC secret: a public
// key in all its spellings or, where there is none, what else is known.
func publicForms(t testing.TB, k walkin.Key, kid string) map[string][]byte {
	t.Helper()
	if k.Private == nil {
		return map[string][]byte{"no key": {}, "the key ID": []byte(kid), "the word secret": []byte("secret")}
	}
	der, err := x509.MarshalPKIXPublicKey(k.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	forms := map[string][]byte{
		"DER": der, "PEM": text, "PEM without a last newline": bytes.TrimSpace(text), "JWK": []byte(publicJWK(t, k, "")),
	}
	switch public := k.Private.Public().(type) {
	case ed25519.PublicKey:
		forms["raw"] = public
	case *ecdsa.PublicKey:
		if forms["raw"], err = public.Bytes(); err != nil {
			t.Fatal(err)
		}
	case *rsa.PublicKey:
		forms["raw"] = public.N.Bytes()
		forms["PKCS #1 DER"] = x509.MarshalPKCS1PublicKey(public)
		forms["PKCS #1 PEM"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: forms["PKCS #1 DER"]})
	}
	return forms
}

// members returns the members of a key's JWK, in base64url, public or all.
func members(t testing.TB, k walkin.Key, private bool) map[string]string {
	t.Helper()
	all := map[string]string{}
	var secret map[string]string
	switch key := k.Private.(type) {
	case nil:
		all["kty"] = "oct"
		secret = map[string]string{"k": b64(k.Secret)}
	case ed25519.PrivateKey:
		all["kty"], all["crv"], all["x"] = "OKP", "Ed25519", b64(key[32:])
		secret = map[string]string{"d": b64(key.Seed())}
	case *ecdsa.PrivateKey:
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		d, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		all["kty"], all["crv"], all["x"], all["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
		secret = map[string]string{"d": b64(d)}
	case *rsa.PrivateKey:
		all["kty"], all["n"], all["e"] = "RSA", b64(key.N.Bytes()), b64(big.NewInt(int64(key.E)).Bytes())
		secret = map[string]string{
			"d": b64(key.D.Bytes()), "p": b64(key.Primes[0].Bytes()), "q": b64(key.Primes[1].Bytes()),
			"dp": b64(key.Precomputed.Dp.Bytes()), "dq": b64(key.Precomputed.Dq.Bytes()), "qi": b64(key.Precomputed.Qinv.Bytes()),
		}
	}
	if private {
		maps.Copy(all, secret)
	}
	return all
}

func publicJWK(t testing.TB, k walkin.Key, kid string) string {
	t.Helper()
	all := members(t, k, false)
	if all["kid"] = kid; kid == "" {
		delete(all, "kid")
	}
	return toJSON(t, all)
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A victim has a live token, and an attacker who has it too and wants another
// one to count.
type victim struct {
	alg             string
	key, attackers  walkin.Key
	user            uuid.UUID
	token           string
	h, p, s         string // its segments
	header, payload string // decoded
	kid             string
	signature       []byte
}

func newVictim(t testing.TB, alg, token string) *victim {
	t.Helper()
	v := &victim{alg: alg, key: keyOf(t, alg, 0), attackers: keyOf(t, alg, 1), token: token}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d parts", len(parts))
	}
	v.h, v.p, v.s = parts[0], parts[1], parts[2]
	v.header, v.payload, v.signature = string(unb64(t, v.h)), string(unb64(t, v.p)), unb64(t, v.s)
	var header struct{ Kid string }
	var payload struct{ Sub uuid.UUID }
	if err := errors.Join(json.Unmarshal([]byte(v.header), &header), json.Unmarshal([]byte(v.payload), &payload)); err != nil {
		t.Fatal(err)
	}
	v.kid, v.user = header.Kid, payload.Sub
	if want := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"JWT"}`, alg, v.kid); v.header != want {
		t.Fatalf("got header %s, want %s", v.header, want)
	}
	return v
}

// forged returns the payload as the attacker would like to have it.
func (v *victim) forged() string {
	return strings.NewReplacer(`"is_anonymous":true`, `"is_anonymous":false`, `"prov":true`, `"prov":false`,
		v.user.String(), "01890000-0000-7000-8000-000000000000").Replace(v.payload)
}

// A mutation is a token that must not count. One that may be ours, and cannot be
// verified here, is left alone: over all others a page view may mint.
type mutation struct {
	name  string
	token string
	ours  bool // perhaps
}

// mutations returns everything that an attacker can think of.
func mutations(t testing.TB, v *victim) []mutation {
	t.Helper()
	dot := "."
	changed := func(old, new string) string { // another header, with our own signature over it
		t.Helper()
		text := strings.Replace(v.header, old, new, 1)
		if text == v.header {
			t.Fatalf("%q is not in the header", old)
		}
		return seal(t, v.key, text, v.payload)
	}
	kid := fmt.Sprintf(`"kid":%q`, v.kid)
	alg := fmt.Sprintf(`"alg":%q`, v.alg)
	evil := publicJWK(t, v.attackers, "evil")
	signed := func(signature []byte) string { return v.h + dot + v.p + dot + b64(signature) }

	all := []mutation{
		// Parts.
		{"empty", "", false},
		{"a word", "token", false},
		{"one dot", ".", false},
		{"two dots", "..", false},
		{"three dots", "...", false},
		{"1 MB of dots", strings.Repeat(".", 1<<20), false},
		{"1 MB of letters", strings.Repeat("A", 1<<20), false},
		{"no signature", v.h + dot + v.p, false},
		{"an empty signature", v.h + dot + v.p + dot, false},
		{"no header", v.p + dot + v.s, false},
		{"an empty header", dot + v.p + dot + v.s, false},
		{"no payload", v.h + dot + v.s, false},
		{"an empty payload", v.h + dot + dot + v.s, false},
		{"the header alone", v.h, false},
		{"the header and dots", v.h + "..", false},
		{"an extra part", v.token + dot + v.s, false},
		{"an extra dot behind", v.token + dot, false},
		{"an extra dot in front", dot + v.token, false},
		{"an extra dot between", v.h + dot + dot + v.p + dot + v.s, false},
		{"five parts, as a JWE", v.h + dot + v.p + dot + v.s + dot + v.p + dot + v.s, false},
		{"twice", v.token + v.token, false},
		{"twice, with a dot", v.token + dot + v.token, false},
		{"parts in another order", v.p + dot + v.h + dot + v.s, false},
		{"without the first byte", v.token[1:], false},
		{"without the last byte", v.token[:len(v.token)-1], false},
		{"a byte more", v.token + "A", false},
		{"four bytes more", v.token + "AAAA", false},
		{"more than fits into a cookie", v.token + strings.Repeat("A", 4000), false},

		// The signature.
		{"the signature of another token", v.h + dot + v.p + dot + b64(sign(t, v.key, v.h+dot+b64(v.forged()))), false},
		{"another payload, the old signature", v.h + dot + b64(v.forged()) + dot + v.s, false},
		{"another payload, an attacker's signature", seal(t, v.attackers, v.header, v.forged()), false},
		{"the payload, an attacker's signature", seal(t, v.attackers, v.header, v.payload), false},
		{"another session", v.h + dot + b64(strings.Replace(v.payload, `"session_id":"`, `"session_id":"0`, 1)) + dot + v.s, false},
		{"a space in the payload", v.h + dot + b64(v.payload+" ") + dot + v.s, false},
		{"the signature of the payload alone", signed(sign(t, v.key, v.p)), false},
		{"the signature of the texts", signed(sign(t, v.key, v.header+dot+v.payload)), false},
		{"a signature one byte shorter", signed(v.signature[:len(v.signature)-1]), false},
		{"a signature without its first byte", signed(v.signature[1:]), false},
		{"a signature one byte longer", signed(append(slices.Clip(v.signature), 0)), false},
		{"a signature behind a zero", signed(append([]byte{0}, v.signature...)), false},
		{"the signature twice", signed(slices.Repeat(v.signature, 2)), false},
		{"a signature of zeros", signed(make([]byte, len(v.signature))), false},
		{"a signature of ones", signed(bytes.Repeat([]byte{0xff}, len(v.signature))), false},
		{"a signature of 10 KB", signed(make([]byte, 10<<10)), false},
		{"the hash itself", signed(mac(nil, v.h+dot+v.p)), false},

		// JSON serialisation.
		{"flattened JSON", fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, v.h, v.p, v.s), false},
		{"general JSON", fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, v.p, v.h, v.s), false},
		{"flattened JSON, unprotected header", fmt.Sprintf(`{"header":%s,"payload":%q,"signature":%q}`, v.header, v.p, v.s), false},
		{"flattened JSON in base64", b64(fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, v.h, v.p, v.s)), false},
		{"the three texts", v.header + dot + v.payload + dot + string(v.signature), false},

		// Spelling.
		{"in quotes of its own", `""` + v.token + `""`, false},
		{"behind its scheme", "Bearer " + v.token, false},
		{"dots as %2e", v.h + "%2e" + v.p + "%2e" + v.s, false},
		{"upper case", strings.ToUpper(v.token), false},
		{"standard base64", strings.NewReplacer("-", "+", "_", "/").Replace(v.token), false},
		{"padded header", v.h + "=" + dot + v.p + dot + v.s, false},
		{"padded header, by two", v.h + "==" + dot + v.p + dot + v.s, false},
		{"padded payload", v.h + dot + v.p + "=" + dot + v.s, false},
		{"padded payload, by two", v.h + dot + v.p + "==" + dot + v.s, false},
		{"padded signature", v.token + "=", false},
		{"padded signature, by two", v.token + "==", false},
		{"padded payload, signed by us", sealed(t, v.key, v.h, v.p+"="), false},
		{"a newline in the payload, signed by us", sealed(t, v.key, v.h, v.p[:8]+"\n"+v.p[8:]), false},
		{"unused bits of the payload, signed by us", sealed(t, v.key, v.h, twins(t, v.p)[0]), false},

		// The header, with our own signature over it: what it says is never asked.
		{"alg missing", changed(alg+",", ""), false},
		{"alg empty", changed(alg, `"alg":""`), false},
		{"alg null", changed(alg, `"alg":null`), false},
		{"alg a list", changed(alg, `"alg":[`+fmt.Sprintf("%q", v.alg)+`]`), false},
		{"alg in lower case", changed(v.alg, strings.ToLower(v.alg)), false},
		{"alg escaped", changed(`"alg"`, `"\u0061lg"`), false},
		{"alg twice", changed(alg, alg+","+alg), false},
		{"alg twice, the second none", changed(alg, alg+`,"alg":"none"`), false},
		{"alg twice, the first none", changed(alg, `"alg":"none",`+alg), false},
		{"Alg", changed(`"alg"`, `"Alg"`), false},
		{"kid missing", changed(","+kid, ""), false},
		{"kid unknown", changed(v.kid, "key-of-another-replica"), true},
		{"kid nearly ours", changed(v.kid, v.kid+"A"), true},
		{"kid empty", changed(v.kid, ""), false},
		{"kid of 10 KB", changed(v.kid, strings.Repeat("k", 10<<10)), false},
		{"kid of 78 letters", changed(v.kid, strings.Repeat("k", 78)), false},
		{"kid a path", changed(v.kid, "../../etc/passwd"), false},
		{"kid /dev/null", seal(t, walkin.Key{Secret: []byte{0}}, strings.Replace(v.header, v.kid, "/dev/null", 1), v.payload), false},
		{"kid SQL", changed(v.kid, "' OR 1=1--"), false},
		{"kid a command", changed(v.kid, "|id"), false},
		{"kid a number", changed(kid, `"kid":1`), false},
		{"kid null", changed(kid, `"kid":null`), false},
		{"kid a list", changed(kid, `"kid":[`+fmt.Sprintf("%q", v.kid)+`]`), false},
		{"kid and a NUL", changed(v.kid, v.kid+`\u0000`), false},
		{"kid in quotes", changed(v.kid, `\"`+v.kid+`\"`), false},
		{"kid twice", changed(kid, kid+","+kid), false},
		{"kid not UTF-8", changed(v.kid, "\xff\xfe"), false},
		{"typ missing", changed(`,"typ":"JWT"`, ""), false},
		{"typ in lower case", changed(`"JWT"`, `"jwt"`), false},
		{"typ as a media type", changed(`"JWT"`, `"application/jwt"`), false},
		{"typ of another kind", changed(`"JWT"`, `"verify+jwt"`), false},
		{"typ null", changed(`"JWT"`, `null`), false},
		{"crit unknown", changed(`}`, `,"crit":["exp2"],"exp2":1}`), false},
		{"crit empty", changed(`}`, `,"crit":[]}`), false},
		{"b64 false", changed(`}`, `,"b64":false,"crit":["b64"]}`), false},
		{"b64 false, unencoded", sealed(t, v.key, b64(strings.Replace(v.header, "}", `,"b64":false,"crit":["b64"]}`, 1)), v.payload), false},
		{"zip", changed(`}`, `,"zip":"DEF"}`), false},
		{"cty of a nested token", changed(`}`, `,"cty":"JWT"}`), false},
		{"a nested token", seal(t, v.key, strings.Replace(v.header, `}`, `,"cty":"JWT"}`, 1), v.token), false},
		{"a nested token under our header", seal(t, v.key, v.header, v.token), false},
		{"a nested token in JSON", seal(t, v.key, v.header, fmt.Sprintf("%q", v.token)), false},
		{"a member more", changed(`}`, `,"x":1}`), false},
		{"members in another order", seal(t, v.key, fmt.Sprintf(`{"typ":"JWT",%s,%s}`, alg, kid), v.payload), false},
		{"a space in the header", changed(`,`, `, `), false},
		{"a newline behind the header", seal(t, v.key, v.header+"\n", v.payload), false},
		{"a BOM before the header", seal(t, v.key, "\ufeff"+v.header, v.payload), false},
		{"two headers", seal(t, v.key, v.header+v.header, v.payload), false},
		{"header null", seal(t, v.key, `null`, v.payload), false},
		{"header a list", seal(t, v.key, `[`+v.header+`]`, v.payload), false},
		{"a header without its first bytes", seal(t, v.key, strings.TrimPrefix(strings.Replace(v.header, v.kid, "other", 1), `{"alg":"`), v.payload), false},
		{"header not JSON", seal(t, v.key, `alg`, v.payload), false},
		{"header of 10,000 brackets", seal(t, v.key, strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000), v.payload), false},
		{"kid of 1,000 brackets", changed(kid, `"kid":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)), false},
		{"payload of 10,000 brackets", seal(t, v.key, v.header, `{"app":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)+`}`), false},

		// A key that came with the token.
		{"embedded jwk", seal(t, v.attackers, strings.Replace(v.header, `}`, `,"jwk":`+evil+`}`, 1), v.payload), false},
		{"embedded jwk, no kid", seal(t, v.attackers, fmt.Sprintf(`{%s,"jwk":%s,"typ":"JWT"}`, alg, evil), v.payload), false},
		{"jku", seal(t, v.attackers, strings.Replace(v.header, `}`, `,"jku":"https://evil.example/jwks.json"}`, 1), v.payload), false},
		{"jku of this very host", seal(t, v.attackers, strings.Replace(v.header, `}`, `,"jku":"https://app.example/upload/jwks.json"}`, 1), v.payload), false},
		{"kid an address", seal(t, v.attackers, strings.Replace(v.header, v.kid, "https://evil.example/jwks.json", 1), v.payload), false},
		{"x5u", seal(t, v.attackers, strings.Replace(v.header, `}`, `,"x5u":"https://evil.example/cert.pem"}`, 1), v.payload), false},
		{"x5c", seal(t, v.attackers, strings.Replace(v.header, `}`, `,"x5c":["MIIBszCCAVmgAwIBAgIUe"]}`, 1), v.payload), false},
		{"x5t", seal(t, v.attackers, strings.Replace(v.header, `}`, `,"x5t#S256":"`+b64(make([]byte, 32))+`"}`, 1), v.payload), false},
	}

	// none in every case, with the signature and without.
	for i := range 16 {
		word := []byte("none")
		for bit := range word {
			if i>>bit&1 == 1 {
				word[bit] -= 'a' - 'A'
			}
		}
		header := strings.Replace(v.header, v.alg, string(word), 1)
		all = append(all,
			mutation{"alg " + string(word), b64(header) + dot + b64(v.forged()) + dot, false},
			mutation{"alg " + string(word) + ", the old signature", b64(header) + dot + v.p + dot + v.s, false})
	}
	// Another algorithm than the key's.
	for _, other := range []string{"HS256", "HS384", "HS512", "EdDSA", "Ed25519", "ES256", "ES256K", "ES384", "PS256", "RS256", "RS512", "dir", "A128KW", "PBES2-HS256+A128KW"} {
		if other != v.alg {
			all = append(all, mutation{"alg " + other, changed(v.alg, other), false})
		}
	}
	for name, secret := range publicForms(t, v.key, v.kid) {
		k := walkin.Key{Secret: secret}
		for _, header := range []string{strings.Replace(v.header, v.alg, "HS256", 1), `{"alg":"HS256","typ":"JWT"}`, v.header} {
			all = append(all, mutation{"HS256 keyed with " + name, seal(t, k, header, v.payload), false})
		}
	}
	// What does not belong there: white space, padding and dots in every place,
	// the rest in the payload and behind.
	places := [...]int{0, len(v.h) / 2, len(v.h), len(v.h) + 1, len(v.h) + 1 + len(v.p)/2, len(v.h) + 1 + len(v.p), len(v.token) - len(v.s), len(v.token) - len(v.s)/2, len(v.token)}
	for i, at := range places {
		for _, junk := range []string{" ", "\n", "\r", "=", "."} {
			all = append(all, mutation{fmt.Sprintf("%q in place %d", junk, i), v.token[:at] + junk + v.token[at:], false})
		}
	}
	for _, junk := range []string{"\t", "\r\n", "\x00", "\x7f", "\u00a0", "\u200b", "\ufeff", "?", "#", "+", "/", "*", "%", ",", ";", "~", "-", "_", "A", `"`, `\`} {
		middle := places[4]
		all = append(all,
			mutation{fmt.Sprintf("%q in the payload", junk), v.token[:middle] + junk + v.token[middle:], false},
			mutation{fmt.Sprintf("%q behind", junk), v.token + junk, false})
	}
	// Bits that base64 does not use, and bits that it does.
	for i, segment := range []string{v.h, v.p, v.s} {
		for _, twin := range twins(t, segment) {
			all = append(all, mutation{"unused bits of a segment", replaced(v, i, twin), false})
		}
	}
	for _, i := range []int{0, 1, len(v.signature) / 2, len(v.signature) - 1} {
		for _, mask := range []byte{0x01, 0x10, 0x80, 0xff} {
			b := slices.Clone(v.signature)
			b[i] ^= mask
			all = append(all, mutation{fmt.Sprintf("signature byte %d xor %#x", i, mask), signed(b), false})
		}
	}
	for name, b := range oddSignatures(t, v) {
		all = append(all, mutation{name, signed(b), false})
	}
	for _, m := range all {
		if m.token == v.token {
			t.Fatalf("%s: this is the token itself", m.name)
		}
	}
	return all
}

// twins returns the other spellings of a segment which a decoder that does not
// look closely takes for the same bytes.
func twins(t testing.TB, segment string) []string {
	t.Helper()
	var all []string
	want := string(unb64(t, segment))
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if twin := segment[:len(segment)-1] + string(c); twin != segment && string(unb64(t, twin)) == want {
			all = append(all, twin)
		}
	}
	if got := len(all); got != []int{0, 0, 15, 3}[len(segment)%4] {
		t.Fatalf("a segment of %d letters has %d twins", len(segment), got)
	}
	return all
}

func replaced(v *victim, i int, segment string) string {
	parts := [...]string{v.h, v.p, v.s}
	parts[i] = segment
	return strings.Join(parts[:], ".")
}

// oddSignatures returns the signatures that an algorithm is known for.
func oddSignatures(t testing.TB, v *victim) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	switch public := v.key.Private.(type) {
	case ed25519.PrivateKey:
		// RFC 8032 §5.1.7: S counts modulo L, and must be below it.
		l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
		s := slices.Clone(v.signature[32:])
		slices.Reverse(s)
		again := new(big.Int).Add(new(big.Int).SetBytes(s), l).FillBytes(make([]byte, 32))
		slices.Reverse(again)
		all["S + L"] = append(slices.Clone(v.signature[:32]), again...)
		identity := append(make([]byte, 0, 64), 1)
		all["the identity and 0"] = identity[:64]
		all["R and S swapped"] = append(slices.Clone(v.signature[32:]), v.signature[:32]...)
	case *ecdsa.PrivateKey:
		n := public.Params().N
		r, s := new(big.Int).SetBytes(v.signature[:32]), new(big.Int).SetBytes(v.signature[32:])
		for name, x := range map[string]*big.Int{"0": new(big.Int), "1": big.NewInt(1), "n": n, "n - 1": new(big.Int).Sub(n, big.NewInt(1)), "n + 1": new(big.Int).Add(n, big.NewInt(1))} {
			all["r = "+name] = scalars(x, s)
			all["s = "+name] = scalars(r, x)
			for other, y := range map[string]*big.Int{"0": new(big.Int), "1": big.NewInt(1), "n": n} {
				all["r = "+name+", s = "+other] = scalars(x, y)
			}
		}
		all["r and s swapped"] = scalars(s, r)
		all["r = -r"] = scalars(new(big.Int).Sub(n, r), s)
		der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		all["DER"] = der
		all["33 bytes each"] = slices.Concat([]byte{0}, v.signature[:32], []byte{0}, v.signature[32:])
		little := slices.Clone(v.signature)
		slices.Reverse(little[:32])
		slices.Reverse(little[32:])
		all["little-endian"] = little
	case *rsa.PrivateKey:
		s := new(big.Int).SetBytes(v.signature)
		size := len(v.signature)
		for name, x := range map[string]*big.Int{
			"1": big.NewInt(1), "n": public.N, "n - 1": new(big.Int).Sub(public.N, big.NewInt(1)),
			"-s": new(big.Int).Sub(public.N, s),
		} {
			all["s = "+name] = x.FillBytes(make([]byte, size))
		}
		if again := new(big.Int).Add(s, public.N); again.BitLen() <= 8*size {
			all["s + n"] = again.FillBytes(make([]byte, size))
		}
	default:
		sum := sha256.Sum256([]byte(v.h + "." + v.p))
		all["the unkeyed hash"] = sum[:]
		all["in hex"] = []byte(hex.EncodeToString(v.signature))
		all["half of it"] = v.signature[:16]
	}
	return all
}

// A meeting is what became of one request: the answer, and whom the handler saw.
type meeting struct {
	*http.Response
	claims walkin.Claims
	known  bool
}

// meet serves a request in front of a handler that runs once and sees who came.
func (s *site) meet(t *testing.T, r *http.Request) meeting {
	t.Helper()
	var m meeting
	calls := 0
	rec := httptest.NewRecorder()
	s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		calls++
		m.claims, m.known = walkin.FromContext(r.Context())
	})).ServeHTTP(rec, r)
	m.Response = rec.Result()
	if calls != 1 || m.StatusCode != http.StatusOK {
		t.Errorf("got %d and %d calls of the handler, want 200 and 1", m.StatusCode, calls)
	}
	return m
}

// brings puts a token into the cookie of that name, or into Authorization, and
// returns what arrives of it: either has a syntax of its own.
func brings(r *http.Request, carrier, token string) (arrives string, ok bool) {
	if carrier == "bearer" {
		r.Header["Authorization"] = []string{"Bearer " + token}
		return strings.TrimLeft(token, " "), true
	}
	r.Header["Cookie"] = []string{carrier + "=" + token}
	if all := r.CookiesNamed(carrier); len(all) > 0 {
		return all[0].Value, true
	}
	return "", false
}

// turnsAway holds that a token gives its bearer no user, whatever they ask for, and
// what they are answered: no row, no clearing, and a new cookie at most on a page view,
// and not over a token that may be ours.
func (s *site) turnsAway(t *testing.T, carrier string, m mutation, victim uuid.UUID) {
	t.Helper()
	for _, r := range []*http.Request{s.navigation("/"), s.request(http.MethodGet, "/"), s.request(http.MethodPost, "/")} {
		what := fmt.Sprintf("%s, %s %s", carrier, r.Method, r.Header.Get("Sec-Fetch-Mode"))
		arrives, ok := brings(r, carrier, m.token)
		if ok && arrives != m.token {
			continue // the carrier's own syntax took the mutation away
		}
		met := s.meet(t, r)
		set := met.Cookies()
		switch {
		case met.known && met.claims.UserID == victim:
			t.Errorf("%s: the handler saw the victim", what)
		case !ok:
			// net/http read no cookie, so this is a first visit.
		case carrier != "bearer" && !m.ours && r.Header.Get("Sec-Fetch-Mode") == "navigate":
			if len(set) != 1 || set[0].Name != anonName || set[0].MaxAge <= 0 || !met.known || !met.claims.Provisional {
				t.Errorf("%s: got %v and %v, want a new anonymous user", what, set, met.claims)
			}
		default:
			if met.known || len(met.Header["Set-Cookie"]) > 0 {
				t.Errorf("%s: got %v and %v, want nobody and no cookie", what, met.claims, met.Header["Set-Cookie"])
			}
		}
		if n := s.store.count(writes...); ok && n > 0 {
			t.Errorf("%s: %d writes to the store", what, n)
		}
	}
	for _, e := range s.told() {
		if text := fmt.Sprint(e); len(m.token) > 40 && len(m.token) < 10<<10 && strings.Contains(text, m.token[:40]) {
			t.Errorf("the token is in an event: %s", text)
		}
	}
}

// aVictim returns a visitor with a live token, and a replica of their site that
// has the key of it among others, as in a rotation. The signature has letters
// in which the alphabets of base64 differ, and the payload has unused bits.
func aVictim(t *testing.T, alg, kind string, changes ...func(*walkin.Config)) (*site, *victim) {
	t.Helper()
	pad := ""
	home := newSite(t, signedBy(keyOf(t, alg, 0)), func(c *walkin.Config) {
		c.Tokens.AppClaims = func(context.Context, walkin.Claims) (map[string]any, error) {
			return map[string]any{"pad": pad}, nil
		}
	})
	keys := []walkin.Key{{Secret: siteSecret}}
	for _, alg := range algorithms {
		keys = append(keys, keyOf(t, alg, 0))
	}
	s := newSite(t, append(changes, over(home), signedBy(keys...))...)
	for ; ; pad += "x" {
		v := newVictim(t, alg, resident(home, kind).Cookie(cookieOf(kind)))
		if strings.ContainsAny(v.s, "-_") && len(v.p)%4 > 0 {
			s.store.count()
			return s, v
		}
	}
}
