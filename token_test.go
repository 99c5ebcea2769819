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
	"io/fs"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
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

// TestTokenMutators holds that of a token which was tampered with nothing
// counts, in the cookie it belongs into and as a bearer, for every algorithm.
func TestTokenMutators(t *testing.T) {
	for _, tt := range []struct{ alg, kind string }{
		{"HS256", "anonymous"}, {"HS256", "permanent"}, {"EdDSA", "anonymous"}, {"ES256", "permanent"}, {"RS256", "anonymous"},
	} {
		var log bytes.Buffer
		s, v := aVictim(t, tt.alg, tt.kind, func(c *walkin.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		for _, carrier := range []string{cookieOf(tt.kind), "bearer"} {
			r := s.request(http.MethodGet, "/")
			brings(r, carrier, v.token)
			if met := s.meet(t, r); met.claims.UserID != v.user {
				t.Fatalf("%s, %s, %s: the token itself: got %v, want %s", tt.alg, tt.kind, carrier, met.claims, v.user)
			}
		}
		for _, m := range mutations(t, v) {
			t.Run(tt.alg+"/"+tt.kind+"/"+m.name, func(t *testing.T) {
				s.turnsAway(t, cookieOf(tt.kind), m, v.user)
				s.turnsAway(t, "bearer", m, v.user)
			})
		}
		if log.Len() > 0 {
			t.Errorf("%s, %s: strangers' tokens made the log say %.200q", tt.alg, tt.kind, log.String())
		}
	}
}

// TestMintOverMutants holds which cookies a page view may replace: what is
// nothing of ours, and never what may be.
func TestMintOverMutants(t *testing.T) {
	s := newSite(t)
	v := s.victim(resident(s, "anonymous").Cookie(anonName))
	s.store.count()
	for _, m := range []mutation{
		{"garbage", "garbage", false},
		{"empty", "", false},
		{"forged", v.h + "." + v.p + "." + b64(make([]byte, 32)), false},
		{"of another service", seal(t, v.key, v.header, strings.Replace(v.payload, `"iss":"walkin"`, `"iss":"x"`, 1)), false},
		{"of a key that is not here", seal(t, v.key, strings.Replace(v.header, v.kid, "other", 1), v.payload), true},
		{"of a clock that is ahead", seal(t, v.key, v.header, strings.Replace(v.payload, `"iat":`, `"iat":9999999999,"x":`, 1)), true},
	} {
		t.Run(m.name, func(t *testing.T) { s.turnsAway(t, anonName, m, v.user) })
	}
}

// TestEmptyBearer holds that a client which says it has a token, and has none, is
// whose cookie it sends, and gets no user without one. The blank behind the scheme
// does not survive the way.
func TestEmptyBearer(t *testing.T) {
	s := newSite(t)
	token := resident(s, "anonymous").Cookie(anonName)
	for _, value := range []string{"Bearer", "bearer", "Bearer ", "Bearer  "} {
		for _, cookie := range []string{"", anonName + "=" + token} {
			r := with(s.navigation("/"), "Authorization", value, "Cookie", cookie)
			if met := s.meet(t, r); met.known != (cookie != "") || len(met.Header["Set-Cookie"]) > 0 {
				t.Errorf("%q and cookie %.20q: got %v and %v, want the cookie's user or none, and no new cookie", value, cookie, met.claims, met.Header["Set-Cookie"])
			}
		}
	}
}

// TestTokenJunkIsCheap holds that what is too long for a token of ours, or has
// none of our headers, is refused before anything is decoded.
func TestTokenJunkIsCheap(t *testing.T) {
	s := newSite(t)
	for name, token := range map[string]string{
		"dots":     strings.Repeat(".", 1<<20),
		"letters":  strings.Repeat("A", 1<<20),
		"brackets": b64(strings.Repeat("[", 1000)) + ".e30.AAAA",
		"a header": b64(`{"alg":"HS256","typ":"JWT"}`) + "." + strings.Repeat("A", 3000) + ".AAAA",
	} {
		if _, err := s.Verify(token, true, time.Now()); err == nil {
			t.Errorf("%s: accepted", name)
		}
		cost := testing.AllocsPerRun(10, func() { s.Verify(token, true, time.Now()) })
		if cost > 3 { // the error of the test's own
			t.Errorf("%s: got %v allocations, want none", name, cost)
		}
	}
}

// TestTokenClaims holds what a token must say, when one of our keys signed it: another
// service may have the key.
func TestTokenClaims(t *testing.T) {
	s := newSite(t)
	c := resident(s, "permanent")
	permanent := s.victim(c.Cookie(permName))
	c = resident(s, "anonymous")
	anonymous := s.victim(c.Cookie(anonName))
	now := time.Now().Unix()
	s.store.count()

	tests := []struct {
		name   string
		change map[string]any // nil removes a member
		want   string         // "user", "nobody", or "hands off": no user, and nothing is minted over it
	}{
		{"nothing", map[string]any{}, "user"},
		{"another member", map[string]any{"jti": "x", "nbf": now + 3600, "email": "a@b.example"}, "user"},
		{"no exp", map[string]any{"exp": nil}, "nobody"},
		{"exp 0", map[string]any{"exp": 0}, "nobody"},
		{"exp a string", map[string]any{"exp": fmt.Sprint(now + 3600)}, "nobody"},
		{"exp a fraction", map[string]any{"exp": float64(now) + 3600.5}, "nobody"},
		{"exp with an exponent", map[string]any{"exp": json.Number("1e10")}, "nobody"},
		{"exp too large for a number", map[string]any{"exp": json.Number("9223372036854775808")}, "nobody"},
		{"exp too large for a time", map[string]any{"exp": json.Number("9223372036854775807")}, "nobody"},
		{"exp negative", map[string]any{"exp": -1}, "nobody"},
		{"exp a list", map[string]any{"exp": []int64{now + 3600}}, "nobody"},
		{"exp true", map[string]any{"exp": true}, "nobody"},
		{"exp long ago", map[string]any{"exp": now - 3600}, "nobody"},
		{"no iat", map[string]any{"iat": nil}, "nobody"},
		{"iat 0", map[string]any{"iat": 0}, "nobody"},
		{"iat a string", map[string]any{"iat": fmt.Sprint(now)}, "nobody"},
		{"iat a fraction", map[string]any{"iat": float64(now) - 10.5}, "nobody"},
		{"iat ahead", map[string]any{"iat": now + 300}, "hands off"},
		{"no iss", map[string]any{"iss": nil}, "nobody"},
		{"iss empty", map[string]any{"iss": ""}, "nobody"},
		{"another iss", map[string]any{"iss": "walkin2"}, "nobody"},
		{"iss in upper case", map[string]any{"iss": "Walkin"}, "nobody"},
		{"iss a list", map[string]any{"iss": []string{"walkin"}}, "nobody"},
		{"no aud", map[string]any{"aud": nil}, "nobody"},
		{"aud empty", map[string]any{"aud": ""}, "nobody"},
		{"another aud", map[string]any{"aud": "postgrest"}, "nobody"},
		{"aud a list", map[string]any{"aud": []string{"walkin"}}, "nobody"},
		{"no sub", map[string]any{"sub": nil}, "nobody"},
		{"sub empty", map[string]any{"sub": ""}, "nobody"},
		{"sub not a UUID", map[string]any{"sub": "1"}, "nobody"},
		{"sub an address", map[string]any{"sub": "ann@example.com"}, "nobody"},
		{"sub a number", map[string]any{"sub": 1}, "nobody"},
		{"sub the zero UUID", map[string]any{"sub": uuid.Nil}, "nobody"},
		{"no session_id", map[string]any{"session_id": nil}, "nobody"},
		{"session_id not a UUID", map[string]any{"session_id": "x"}, "nobody"},
		{"session_id the zero UUID", map[string]any{"session_id": uuid.Nil}, "nobody"},
		{"another session_id", map[string]any{"session_id": uuid.New()}, "nobody"},
		{"no is_anonymous", map[string]any{"is_anonymous": nil}, "nobody"},
		{"is_anonymous null", map[string]any{"is_anonymous": json.RawMessage("null")}, "nobody"},
		{"is_anonymous a string", map[string]any{"is_anonymous": "false"}, "nobody"},
		{"is_anonymous a number", map[string]any{"is_anonymous": 0}, "nobody"},
		{"prov a string", map[string]any{"prov": "true"}, "nobody"},
		{"no amr", map[string]any{"amr": nil}, "nobody"},
		{"amr empty", map[string]any{"amr": []string{}}, "nobody"},
		{"amr as in RFC 8176", map[string]any{"amr": []string{"pwd"}}, "nobody"},
		{"amr twice", map[string]any{"amr": []map[string]any{{"method": "pwd", "timestamp": now}, {"method": "otp", "timestamp": now}}}, "nobody"},
		{"amr with a time in words", map[string]any{"amr": []map[string]any{{"method": "pwd", "timestamp": "today"}}}, "nobody"},
	}
	for _, tt := range tests {
		for carrier, v := range map[string]*victim{anonName: anonymous, permName: permanent} {
			t.Run(tt.name+"/"+carrier, func(t *testing.T) {
				var payload map[string]any
				decoder := json.NewDecoder(strings.NewReader(v.payload))
				decoder.UseNumber()
				if err := decoder.Decode(&payload); err != nil {
					t.Fatal(err)
				}
				for name, value := range tt.change {
					if payload[name] = value; value == nil {
						delete(payload, name)
					}
				}
				s.wantToken(t, carrier, seal(t, v.key, v.header, toJSON(t, payload)), v, tt.want)
			})
		}
	}
	// prov and is_anonymous must agree with each other and with the cookie.
	t.Run("permanent and provisional", func(t *testing.T) {
		text := strings.Replace(permanent.payload, `"is_anonymous":false`, `"is_anonymous":false,"prov":true`, 1)
		s.wantToken(t, permName, seal(t, permanent.key, permanent.header, text), permanent, "nobody")
	})

	good := strings.TrimSuffix(anonymous.payload, "}")
	for _, tt := range []struct{ name, payload, want string }{
		{"itself", anonymous.payload, "user"},
		{"white space", " \n" + anonymous.payload + "\n ", "user"},
		{"empty", "", "nobody"},
		{"null", "null", "nobody"},
		{"an empty object", "{}", "nobody"},
		{"a list", "[" + anonymous.payload + "]", "nobody"},
		{"a string", fmt.Sprintf("%q", anonymous.payload), "nobody"},
		{"a number", "1", "nobody"},
		{"cut off", good, "nobody"},
		{"something behind", anonymous.payload + "x", "nobody"},
		{"two objects", anonymous.payload + anonymous.payload, "nobody"},
		{"a BOM", "\ufeff" + anonymous.payload, "nobody"},
		{"a comma behind the last member", good + ",}", "nobody"},
		{"a comment", good + "/**/}", "nobody"},
		{"1,500 brackets", good + `,"x":` + strings.Repeat("[", 1500) + "}", "nobody"},
	} {
		t.Run("payload/"+tt.name, func(t *testing.T) {
			s.wantToken(t, anonName, seal(t, anonymous.key, anonymous.header, tt.payload), anonymous, tt.want)
		})
	}
}

// victim returns the victim of a token of a site whose key is siteSecret.
func (s *site) victim(token string) *victim {
	s.t.Helper()
	v := newVictim(s.t, "HS256", token)
	v.key = walkin.Key{Secret: siteSecret}
	return v
}

// wantToken holds what a token makes of its bearer: "user", "nobody", or
// "hands off".
func (s *site) wantToken(t *testing.T, carrier, token string, v *victim, want string) {
	t.Helper()
	if want != "user" {
		m := mutation{token: token, ours: want == "hands off"}
		s.turnsAway(t, carrier, m, v.user)
		s.turnsAway(t, "bearer", m, v.user)
		return
	}
	for _, carrier := range []string{carrier, "bearer"} {
		r := s.request(http.MethodGet, "/")
		brings(r, carrier, token)
		if met := s.meet(t, r); met.claims.UserID != v.user || len(met.Cookies()) > 0 {
			t.Errorf("%s: got %v and %v, want the user and no cookie", carrier, met.claims, met.Cookies())
		}
	}
}

// TestTokenExpiry holds that a token lives to its last second and the leeway,
// from the cache as without it.
func TestTokenExpiry(t *testing.T) {
	for _, kind := range kinds {
		synctest.Test(t, func(t *testing.T) {
			short := func(c *walkin.Config) { c.Tokens.Lifetime = 10 * time.Minute }
			s := newSite(t, short)
			token := resident(s, kind).Cookie(cookieOf(kind))
			known := newSite(t, short, over(s))
			image := func(s *site, carrier string) meeting {
				r := with(s.request(http.MethodGet, "/"), "Sec-Fetch-Dest", "image") // renews nothing
				brings(r, carrier, token)
				return s.meet(t, r)
			}
			want := func(want bool) {
				t.Helper()
				for name, s := range map[string]*site{"fresh": newSite(t, short, over(s)), "cached": known} {
					for _, carrier := range []string{cookieOf(kind), "bearer"} {
						if got := image(s, carrier).known; got != want {
							t.Errorf("%s, %s, %s, at %v: got a user: %t, want %t", kind, name, carrier, time.Now().UTC(), got, want)
						}
					}
				}
			}
			want(true)
			time.Sleep(10 * time.Minute)
			want(true)
			time.Sleep(time.Minute)
			want(true)
			time.Sleep(time.Second)
			want(false)
			if !known.Remembers(token) {
				t.Error("the token is not in the cache; this test has looked at nothing")
			}
			// Over an expired one a page view mints, as over none.
			r := known.navigation("/")
			brings(r, cookieOf(kind), token)
			if met := known.meet(t, r); !met.known || len(met.Cookies()) != 1 {
				t.Errorf("%s: the next page: got %v, want a new user", kind, met.claims)
			}
		})
	}
}

// mistakes are what can be wrong with a Config.
var configErrors = []struct {
	name  string
	make  func(*walkin.Config)
	named string
}{
	{"no key", func(c *walkin.Config) { c.Keys = nil }, "Config.Keys is empty"},
	{"no store", func(c *walkin.Config) { c.Store = nil }, "Config.Store"},
	{"Mint", func(c *walkin.Config) { c.NewUsers.Mint = 99 }, "Config.NewUsers.Mint is 99"},
	{"a negative Lifetime", func(c *walkin.Config) { c.Tokens.Lifetime = -time.Hour }, "Config.Tokens.Lifetime is -1h"},
	{"a short Lifetime", func(c *walkin.Config) { c.Tokens.Lifetime = time.Second }, "Config.Tokens.Lifetime is 1s"},
	{"a Lifetime that no browser keeps", func(c *walkin.Config) { c.Tokens.Lifetime = 401 * 24 * time.Hour }, "Config.Tokens.Lifetime is 9624h"},
	{"a negative RenewAfter", func(c *walkin.Config) { c.Tokens.RenewAfter = -1 }, "Config.Tokens.RenewAfter is -1ns"},
	{"a RenewAfter as long as Lifetime", func(c *walkin.Config) { c.Tokens.Lifetime, c.Tokens.RenewAfter = time.Hour, time.Hour }, "Config.Tokens.RenewAfter is 1h"},
	{"a negative RecheckAfter", func(c *walkin.Config) { c.Sessions.RecheckAfter = -1 }, "Config.Sessions.RecheckAfter is -1ns"},
	{"a RecheckAfter longer than Lifetime", func(c *walkin.Config) { c.Tokens.Lifetime, c.Sessions.RecheckAfter = time.Hour, 2*time.Hour }, "Config.Sessions.RecheckAfter is 2h"},
	{"a negative RecentProof", func(c *walkin.Config) { c.Sessions.RecentProof = -1 }, "Config.Sessions.RecentProof is -1ns"},
	{"Conflict", func(c *walkin.Config) { c.Conflict = 99 }, "Config.Conflict is 99"},
	{"ConflictMerge without OnMerge", func(c *walkin.Config) { c.Conflict = walkin.ConflictMerge }, "Config.Conflict is ConflictMerge"},
	{"Partitioned and Insecure", func(c *walkin.Config) { c.Cookies.Partitioned, c.Cookies.Insecure = true, true }, "Config.Cookies.Partitioned"},
	{"a Domain with a scheme", func(c *walkin.Config) { c.Cookies.Domain = "https://example.com" }, "Config.Cookies.Domain"},
	{"a Domain with a dot in front", func(c *walkin.Config) { c.Cookies.Domain = ".example.com" }, "Config.Cookies.Domain"},
	{"a Domain with a port", func(c *walkin.Config) { c.Cookies.Domain = "example.com:443" }, "Config.Cookies.Domain"},
	{"a Domain that is an address", func(c *walkin.Config) { c.Cookies.Domain = "127.0.0.1" }, "Config.Cookies.Domain"},
	{"a Domain that is all of com", func(c *walkin.Config) { c.Cookies.Domain = "com" }, "Config.Cookies.Domain"},
	{"a Domain that ends the cookie", func(c *walkin.Config) { c.Cookies.Domain = "example.com; Path=/x" }, "Config.Cookies.Domain"},
	{"an UpgradeURL elsewhere", func(c *walkin.Config) { c.Paths.Upgrade = "https://example.com/sign-up" }, "Config.Paths.Upgrade"},
	{"a relative UpgradeURL", func(c *walkin.Config) { c.Paths.Upgrade = "sign-up" }, "Config.Paths.Upgrade"},
	{"a SignInURL elsewhere", func(c *walkin.Config) { c.Paths.SignIn = "//evil.example" }, "Config.Paths.SignIn"},
	{"a credential's path elsewhere", func(c *walkin.Config) { c.Paths.Credentials = []string{"/code", "//evil.example"} }, "Config.Paths.Credentials[1]"},
	{"everything a credential's path", func(c *walkin.Config) { c.Paths.Credentials = []string{"/"} }, "Config.Paths.Credentials[0]"},
	{"a credential's path with a query", func(c *walkin.Config) { c.Paths.Credentials = []string{"/code?a"} }, "Config.Paths.Credentials[0]"},
	{"a negative CacheSize", func(c *walkin.Config) { c.CacheSize = -1 }, "Config.CacheSize is -1"},
}

// TestConfigMistakes holds that New finds every mistake, and names all of them
// in one error.
func TestConfigMistakes(t *testing.T) {
	good := func() walkin.Config {
		return walkin.Config{Keys: []walkin.Key{{Secret: siteSecret}}, Store: memstore.New()}
	}
	if _, err := walkin.New(good()); err != nil {
		t.Fatalf("none: got %v", err)
	}
	for _, tt := range configErrors {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good()
			tt.make(&cfg)
			m, err := walkin.New(cfg)
			wantError(t, err, tt.named)
			if m != nil {
				t.Error("got a Middleware all the same")
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		_, err := walkin.New(walkin.Config{
			Keys:     []walkin.Key{{Secret: []byte("secret")}, {Secret: siteSecret}, {ID: "a b", Secret: siteSecret}, {Secret: siteSecret}},
			NewUsers: walkin.NewUsers{Mint: 99}, Tokens: walkin.Tokens{Lifetime: time.Second, RenewAfter: -1}, Sessions: walkin.Sessions{RecheckAfter: -1, RecentProof: -1}, Conflict: 99,
			Cookies: walkin.Cookies{Partitioned: true, Insecure: true, Domain: "com"}, Paths: walkin.Paths{Upgrade: "up", SignIn: "//evil.example"}, CacheSize: -1,
		})
		wantError(t, err, "Config.Keys[0]", "Config.Keys[2]", "Config.Keys[3]", "Config.Store", "Config.NewUsers.Mint", "Config.Tokens.Lifetime", "Config.Tokens.RenewAfter",
			"Config.Sessions.RecheckAfter", "Config.Sessions.RecentProof", "Config.Conflict", "Config.Cookies.Partitioned", "Config.Cookies.Domain",
			"Config.Paths.Upgrade", "Config.Paths.SignIn", "Config.CacheSize")
		if strings.Contains(err.Error(), "Config.Keys[1]") {
			t.Errorf("the good key is named: %v", err)
		}
	})
}

// wantError checks that there is an error which names all these, each beginning
// a line of ours, and no secret of these tests.
func wantError(t *testing.T, err error, named ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one about %q", named)
	}
	text := err.Error()
	for _, name := range named {
		if !strings.Contains(text, name) {
			t.Errorf("got %q, want %q in it", text, name)
		}
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "walkin: ") {
			t.Errorf("got a line %q, want \"walkin: \" in front", line)
		}
	}
	if strings.Contains(text, string(siteSecret)) {
		t.Errorf("the secret is in the error: %q", text)
	}
}

// TestWeakKeys holds that New takes no key that is too weak, or cannot sign.
func TestWeakKeys(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ed, other := keyOf(t, "EdDSA", 0).Private.(ed25519.PrivateKey), keyOf(t, "EdDSA", 1).Private.(ed25519.PrivateKey)
	named := func(id string) []walkin.Key {
		return []walkin.Key{{ID: id, Secret: siteSecret}, {ID: id, Private: ed}}
	}
	for _, tt := range []struct {
		name string
		keys []walkin.Key
		want string
	}{
		{"nothing", []walkin.Key{{}}, "its secret has 0 bytes"},
		{"an empty secret", []walkin.Key{{Secret: []byte{}}}, "its secret has 0 bytes"},
		{"a secret of 8 bytes", []walkin.Key{{Secret: siteSecret[:8]}}, "its secret has 8 bytes"},
		{"a secret of 31 bytes", []walkin.Key{{Secret: siteSecret[:31]}}, "its secret has 31 bytes"},
		{"a secret of zeros", []walkin.Key{{Secret: make([]byte, 64)}}, "one byte repeated"},
		{"a secret of ones", []walkin.Key{{Secret: bytes.Repeat([]byte{0xff}, 64)}}, "one byte repeated"},
		{"a secret of x", []walkin.Key{{Secret: []byte(strings.Repeat("x", 64))}}, "one byte repeated"},
		{"an ID with a space", named("a b"), "its ID"},
		{"an ID with a quote", named(`a"b`), "its ID"},
		{"an ID with a line break", named("a\nb"), "its ID"},
		{"an ID with an umlaut", named("schlüssel"), "its ID"},
		{"an ID of 65 bytes", named(strings.Repeat("k", 65)), "its ID"},
		{"both a secret and a private key", []walkin.Key{{Secret: siteSecret, Private: ed}}, "both"},
		{"ECDSA on P-384", []walkin.Key{{Private: p384}}, "not on P-256"},
		{"RSA of 1,024 bits", []walkin.Key{{Private: small}}, "shorter than 2048 bits"},
		{"a nil Ed25519 key", []walkin.Key{{Private: ed25519.PrivateKey(nil)}}, "wrong length"},
		{"an Ed25519 seed", []walkin.Key{{Private: ed[:32]}}, "wrong length"},
		{"a nil ECDSA key", []walkin.Key{{Private: (*ecdsa.PrivateKey)(nil)}}, "not on P-256"},
		{"a nil RSA key", []walkin.Key{{Private: (*rsa.PrivateKey)(nil)}}, "shorter"},
		{"a pointer to an Ed25519 key", []walkin.Key{{Private: &ed}}, "not supported"},
		{"an opaque signer", []walkin.Key{{Private: opaque{ed}}}, "not supported"},
		{"one secret twice", []walkin.Key{{Secret: siteSecret}, {Secret: siteSecret}}, "Config.Keys[1]: its ID"},
		{"one private key twice", []walkin.Key{{Private: ed}, {Private: ed}}, "Config.Keys[1]: its ID"},
		{"two private keys of one ID", []walkin.Key{{ID: "a", Private: ed}, {ID: "a", Private: other}}, "Config.Keys[1]: its ID"},
		{"two kinds of one ID", []walkin.Key{{ID: "a", Private: ed}, {ID: "a", Private: keyOf(t, "ES256", 0).Private}}, "Config.Keys[1]: its ID"},
		{"a secret and a private key of one ID", named("main"), "Config.Keys[1]: its ID"},
		{"a good one and a bad one", []walkin.Key{{Secret: siteSecret}, {Secret: siteSecret[:31]}}, "Config.Keys[1]: its secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := walkin.New(walkin.Config{Keys: tt.keys, Store: memstore.New()})
			wantError(t, err, tt.want)
		})
	}
	for name, keys := range map[string][]walkin.Key{
		"32 bytes":     {{Secret: siteSecret[:32]}},
		"IDs":          {{ID: strings.Repeat("k", 64), Secret: siteSecret}, {ID: "a.b_c-D9", Private: ed}},
		"all together": {keyOf(t, "HS256", 0), keyOf(t, "EdDSA", 0), keyOf(t, "ES256", 0), keyOf(t, "RS256", 0)},
	} {
		s := newSite(t, signedBy(keys...))
		if c := s.browser(who); body(t, c.Visit("/")) != body(t, c.On(newSite(t, signedBy(keys...), over(s)).Handler(http.HandlerFunc(who))).Fetch("/")) {
			t.Errorf("%s: a replica with the same keys does not take its tokens", name)
		}
	}
}

// opaque is a key that is somewhere else.
type opaque struct{ crypto.Signer }

// TestKeyWithoutPrivatePart holds that a public key in the place of a private
// one is found when the site starts, and not by its first visitor.
func TestKeyWithoutPrivatePart(t *testing.T) {
	ec, rs := keyOf(t, "ES256", 0).Private.(*ecdsa.PrivateKey), keyOf(t, "RS256", 0).Private.(*rsa.PrivateKey)
	ed, other := keyOf(t, "EdDSA", 0).Private.(ed25519.PrivateKey), keyOf(t, "EdDSA", 1).Private.(ed25519.PrivateKey)
	for name, private := range map[string]crypto.Signer{
		"ECDSA, public part alone": &ecdsa.PrivateKey{PublicKey: ec.PublicKey},
		"ECDSA, nothing":           new(ecdsa.PrivateKey),
		"RSA, public part alone":   &rsa.PrivateKey{PublicKey: rs.PublicKey},
		"RSA, nothing":             new(rsa.PrivateKey),
		"Ed25519, two halves":      append(slices.Clone(ed[:32]), other[32:]...),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("New panicked: %v", p)
				}
			}()
			_, err := walkin.New(walkin.Config{Keys: []walkin.Key{{Private: private}}, Store: memstore.New()})
			wantError(t, err, "Config.Keys[0]")
		})
	}
}

// TestKeysAreCopied holds that what becomes of a secret after New, such as being
// wiped, does not change what signs.
func TestKeysAreCopied(t *testing.T) {
	secret := slices.Clone(siteSecret)
	s := newSite(t, func(c *walkin.Config) { c.Keys[0].Secret = secret })
	clear(secret)
	c := s.browser(who)
	id := body(t, c.Visit("/"))
	if got := body(t, c.On(newSite(t, over(s)).Handler(http.HandlerFunc(who))).Fetch("/")); got != id {
		t.Errorf("got %q on a replica, want %q: another secret signs now", got, id)
	}
}

// setOf returns a JWKS of a walkin key's private members and what else is said
// of it.
func setOf(t testing.TB, keys ...map[string]string) string {
	t.Helper()
	return toJSON(t, map[string]any{"keys": keys})
}

func jwkOf(t testing.TB, k walkin.Key, more ...string) map[string]string {
	t.Helper()
	all := members(t, k, true)
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

// TestParseJWKS holds that a key set of every kind of key gives keys that are
// the same as those of Go, and that a wrong one is refused without a word of
// what is in it.
func TestParseJWKS(t *testing.T) {
	t.Run("a mixed set", func(t *testing.T) {
		var set []map[string]string
		var want []walkin.Key
		for i, alg := range algorithms {
			k := keyOf(t, alg, 0)
			more := []string{"kid", fmt.Sprint("key-", i), "use", "sig", "alg", alg}
			set = append(set, jwkOf(t, k, more[:2*i]...)) // with ever more members
			if i > 0 {
				k.ID = fmt.Sprint("key-", i)
			}
			want = append(want, k)
		}
		got, err := walkin.ParseJWKS([]byte(setOf(t, set...)))
		if err != nil || len(got) != len(want) {
			t.Fatalf("got %d keys and %v, want %d", len(got), err, len(want))
		}
		// Each signs what the other takes, so the keys and their IDs are the same.
		for i := range want {
			s := newSite(t, signedBy(got[i]))
			other := newSite(t, signedBy(want[i]), over(s))
			c := s.browser(who)
			if id, there := body(t, c.Visit("/")), body(t, c.On(other.Handler(http.HandlerFunc(who))).Fetch("/")); id != there {
				t.Errorf("%s: got %q on the replica, want %q", algorithms[i], there, id)
			}
		}
	})
	t.Run("operations that suffice", func(t *testing.T) {
		for _, set := range []string{withOps(t, jwkOf(t, keyOf(t, "EdDSA", 0)), "sign"), withOps(t, jwkOf(t, keyOf(t, "HS256", 0)), "sign", "verify")} {
			if _, err := walkin.ParseJWKS([]byte(" " + set + "\n")); err != nil {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("one key, not in a set", func(t *testing.T) {
		got, err := walkin.ParseJWKS([]byte(toJSON(t, jwkOf(t, keyOf(t, "EdDSA", 0)))))
		if err != nil || len(got) != 1 {
			t.Errorf("got %d keys and %v, want 1", len(got), err)
		}
	})

	hs, ed, ec, rs := keyOf(t, "HS256", 0), keyOf(t, "EdDSA", 0), keyOf(t, "ES256", 0), keyOf(t, "RS256", 0)
	public := func(k walkin.Key) map[string]string { return members(t, k, false) }
	without := func(k walkin.Key, missing ...string) map[string]string {
		all := jwkOf(t, k)
		for _, member := range missing {
			delete(all, member)
		}
		return all
	}
	for _, tt := range []struct{ name, set, want string }{
		{"empty", "", "not a valid JWKS"},
		{"not JSON", "secret: " + b64(hs.Secret), "not a valid JWKS"},
		{"cut off", setOf(t, jwkOf(t, hs))[:70], "not a valid JWKS"},
		{"a secret as it is", string(hs.Secret), "not a valid JWKS"},
		{"PEM", "-----BEGIN PRIVATE KEY-----\n" + b64(hs.Secret) + "\n-----END PRIVATE KEY-----", "not a valid JWKS"},
		{"null", "null", "key set"},
		{"an empty object", "{}", "key set"},
		{"an empty set", `{"keys":[]}`, "the key set is empty"},
		{"an unknown type", setOf(t, jwkOf(t, hs, "kty", "MAGIC")), "key set"},
		{"a public key", setOf(t, public(ec)), "key 1 of the key set: it is a public key"},
		{"a private key and a public one", setOf(t, jwkOf(t, ed), public(rs)), "key 2 of the key set: it is a public key"},
		{"use enc", setOf(t, jwkOf(t, ed, "use", "enc")), `key 1 of the key set: its use is not "sig"`},
		{"ES256 for ES384", setOf(t, jwkOf(t, ec, "alg", "ES384")), "key 1 of the key set: it is for"},
		{"RS256 for PS256", setOf(t, jwkOf(t, rs, "alg", "PS256")), "key 1 of the key set: it is for"},
		{"HS256 for HS512", setOf(t, jwkOf(t, hs, "alg", "HS512")), "key 1 of the key set: it is for"},
		{"HS256 for none", setOf(t, jwkOf(t, hs, "alg", "none")), "key 1 of the key set"},
		{"an RSA key for HS256", setOf(t, jwkOf(t, rs, "alg", "HS256")), "key 1 of the key set: it is for"},
		{"all wrong", setOf(t, public(ec), jwkOf(t, ed, "use", "enc"), jwkOf(t, hs, "alg", "HS512")), "key 3 of the key set"},
		{"a secret without its value", setOf(t, without(hs, "k")), "key set"},
		{"an EC key without its point", setOf(t, without(ec, "x")), "key set"},
		{"a value that is not base64", setOf(t, jwkOf(t, hs, "k", b64(hs.Secret)+"!")), "key set"},
		{"text behind the set", setOf(t, jwkOf(t, ed)) + "x", "not a valid JWKS"},
		{"two sets", setOf(t, jwkOf(t, ed)) + setOf(t, jwkOf(t, ec)), "not a valid JWKS"},
		{"text behind one key", toJSON(t, jwkOf(t, ed)) + "\n}", "not a valid JWKS"},
		{"only to verify", withOps(t, jwkOf(t, ed), "verify"), `its key_ops lack "sign"`},
		{"only to encrypt", withOps(t, jwkOf(t, rs), "encrypt", "decrypt"), `its key_ops lack "sign"`},
		{"for nothing", withOps(t, jwkOf(t, ed)), `its key_ops lack "sign"`},
		{"a secret that may not verify", withOps(t, jwkOf(t, hs), "sign"), `its key_ops lack "verify"`},
		{"an RSA key without primes", setOf(t, without(rs, "p", "q", "dp", "dq", "qi")), "its RSA key lacks its primes"},
		{"an RSA key with one prime", setOf(t, without(rs, "q")), "key 1 of the key set"},
		{"an RSA key with a wrong prime", setOf(t, jwkOf(t, rs, "p", jwkOf(t, rs)["q"])), "key 1 of the key set"},
		{"a point of another EC key", setOf(t, jwkOf(t, ec, "x", jwkOf(t, keyOf(t, "ES256", 1))["x"], "y", jwkOf(t, keyOf(t, "ES256", 1))["y"])), ""},
		{"the public half of another Ed25519 key", setOf(t, jwkOf(t, ed, "x", jwkOf(t, keyOf(t, "EdDSA", 1))["x"])), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := walkin.ParseJWKS([]byte(tt.set))
			if tt.want == "" && err == nil { // either may find it
				_, err = walkin.New(walkin.Config{Keys: keys, Store: memstore.New()})
			}
			wantError(t, err, tt.want)
			wantNoSecret(t, err, hs, ed, ec, rs)
		})
	}
	// What is wrong with a key itself is found by New.
	for _, tt := range []struct{ name, set, want string }{
		{"a short secret", setOf(t, jwkOf(t, hs, "k", b64(hs.Secret[:31]))), "its secret has 31 bytes"},
		{"a kid twice", setOf(t, jwkOf(t, ed, "kid", "a"), jwkOf(t, ec, "kid", "a")), `its ID "a" is taken`},
		{"a secret twice", setOf(t, jwkOf(t, hs), jwkOf(t, hs)), "is taken"},
		{"a kid that is no ID", setOf(t, jwkOf(t, ed, "kid", "a b")), "its ID is not"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := walkin.ParseJWKS([]byte(tt.set))
			if err == nil {
				_, err = walkin.New(walkin.Config{Keys: keys, Store: memstore.New()})
			}
			wantError(t, err, tt.want)
			wantNoSecret(t, err, hs, ed, ec, rs)
		})
	}
}

// withOps returns a set of one key with the operations that it is for.
func withOps(t *testing.T, members map[string]string, ops ...string) string {
	t.Helper()
	all := map[string]any{"key_ops": append([]string{}, ops...)}
	for name, value := range members {
		all[name] = value
	}
	return toJSON(t, map[string]any{"keys": []any{all}})
}

// wantNoSecret checks that an error says nothing of what is private in keys, in
// the spelling of a JWKS.
func wantNoSecret(t *testing.T, err error, keys ...walkin.Key) {
	t.Helper()
	for _, k := range keys {
		public := members(t, k, false)
		for name, value := range members(t, k, true) {
			if _, ok := public[name]; !ok && strings.Contains(fmt.Sprint(err), value[:min(len(value), 12)]) {
				t.Errorf("the member %q is in the error: %v", name, err)
			}
		}
	}
}

// TestKeyFile holds that processes which start together share one new key, that no
// other account can read it, and that a file which is wrong is refused.
func TestKeyFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("file modes are not what they are elsewhere")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	sites := make([]*site, 16)
	var wg sync.WaitGroup
	for i := range sites {
		wg.Go(func() {
			keys, err := walkin.KeyFile(path)
			if err != nil || len(keys) != 1 {
				t.Errorf("got %d keys and %v, want 1", len(keys), err)
				return
			}
			sites[i] = newSite(t, signedBy(keys...))
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, s := range sites {
		if got, want := jwks(t, s), jwks(t, sites[0]); got != want {
			t.Errorf("got key %s, want %s for all", got, want)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v and %v, want 0600", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("got files %v and %v, want the key file alone", entries, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(text, &set); err != nil || len(set.Keys) != 1 || set.Keys[0]["crv"] != "Ed25519" || set.Keys[0]["d"] == "" {
		t.Errorf("got a file that is no JWKS of an Ed25519 key: %v", err)
	}

	// The file is read again, and never written again.
	if _, err := walkin.KeyFile(path); err != nil {
		t.Error(err)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, text) {
		t.Errorf("the file was changed; %v", err)
	}

	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o620, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := walkin.KeyFile(path)
		wantError(t, err, path, fmt.Sprintf("%04o", mode), "chmod 600")
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := walkin.KeyFile(path); err != nil {
		t.Errorf("a file that even its owner cannot write: got %v", err)
	}

	secret := set.Keys[0]["d"]
	for name, broken := range map[string]string{
		"empty": "", "cut off": string(text[:len(text)/2]), "something else": "d = " + secret, "no key": `{"keys":[]}`,
		"the public key": strings.Replace(string(text), `"d"`, `"z"`, 1),
		"another use":    strings.Replace(string(text), `"d"`, `"use":"enc","d"`, 1),
	} {
		path := filepath.Join(dir, "broken.json")
		write(t, path, broken)
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := walkin.KeyFile(path)
		wantError(t, err, "key set")
		if err != nil && strings.Contains(err.Error(), secret[:12]) {
			t.Errorf("%s: the secret is in the error", name)
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != broken {
			t.Errorf("%s: the broken file was touched; %v", name, err)
		}
	}
	for name, path := range map[string]string{
		"no such directory": filepath.Join(dir, "none", "keys.json"),
		"a directory":       t.TempDir(),
		"a link to nowhere": link(t, filepath.Join(dir, "nowhere"), filepath.Join(dir, "link.json")),
	} {
		keys, err := walkin.KeyFile(path)
		if err == nil || len(keys) > 0 {
			t.Errorf("%s: got %d keys and no error", name, len(keys))
		}
	}
}

func link(t *testing.T, to, path string) string {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// jwks returns what a site publishes.
func jwks(t *testing.T, s *site) string {
	t.Helper()
	return body(t, walkintest.NewClient(t, s.JWKSHandler()).Fetch("/.well-known/jwks.json"))
}

// TestRotation holds that a new key takes over without anybody noticing, and that
// removing an old one leaves its visitors without a user, and that nothing is minted or
// cleared over them.
func TestRotation(t *testing.T) {
	var line []walkin.Key // the newest first
	for i, alg := range []string{"HS256", "EdDSA", "ES256", "RS256", "HS256"} {
		k := keyOf(t, alg, i/4)
		if i == 0 {
			line = []walkin.Key{k}
			continue
		}
		old := line[0]
		t.Run(alg, func(t *testing.T) {
			home := newSite(t, signedBy(old))
			announced := newSite(t, signedBy(old, k), over(home)) // known, and does not sign yet
			rotated := newSite(t, signedBy(append([]walkin.Key{k}, line...)...), over(home))
			removed := newSite(t, signedBy(k), over(home))

			for _, kind := range kinds {
				c := resident(home, kind)
				token := c.Cookie(cookieOf(kind))
				id := body(t, c.Fetch("/"))
				for name, s := range map[string]*site{"announced": announced, "rotated": rotated} {
					if got := body(t, c.On(s.Handler(s.routes())).Fetch("/")); got != id {
						t.Errorf("%s, an old token where the key is %s: got %q, want %q", kind, name, got, id)
					}
				}
				if c.Cookie(cookieOf(kind)) != token {
					t.Errorf("%s: the cookie was replaced before it was due", kind)
				}
				home.store.count()
				removed.told()
				removed.turnsAway(t, cookieOf(kind), mutation{token: token, ours: true}, userOf(t, token))
				if got := body(t, c.Post("/", nil)); got != id {
					t.Errorf("%s, on the site again: got %q, want %q", kind, got, id)
				}
			}

			// The visitor who comes first now has a token of the new key, which is good
			// wherever that key is known.
			for _, kind := range kinds {
				c := resident(rotated, kind)
				if got, want := headerOf(t, c.Cookie(cookieOf(kind))), headerOf(t, mintedBy(removed)); got != want {
					t.Errorf("%s: got header %s, want %s", kind, got, want)
				}
				id := body(t, c.Fetch("/"))
				for name, s := range map[string]*site{"announced": announced, "removed": removed} {
					if got := body(t, c.On(s.Handler(s.routes())).Fetch("/")); got != id {
						t.Errorf("%s, a new token where the key is %s: got %q, want %q", kind, name, got, id)
					}
				}
			}
		})
		line = append([]walkin.Key{k}, line...)
	}

	t.Run("a renewal signs with the new key", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			home := newSite(t)
			rotated := newSite(t, over(home), signedBy(keyOf(t, "EdDSA", 0), walkin.Key{Secret: siteSecret}))
			for _, kind := range kinds {
				c := resident(home, kind)
				id := body(t, c.Fetch("/"))
				time.Sleep(day)
				c = c.On(rotated.Handler(rotated.routes()))
				for _, path := range []string{"/", "/renewed"} {
					if got := body(t, c.Visit(path)); got != id {
						t.Errorf("%s, %s: got %q, want %q", kind, path, got, id)
					}
				}
				if got := headerOf(t, c.Cookie(cookieOf(kind))); !strings.Contains(got, "EdDSA") {
					t.Errorf("%s: got header %s, want the new key's", kind, got)
				}
			}
		})
	})
}

// TestRotationInTwoSteps holds that no visitor of two replicas loses their user
// while a key is rotated as docs/keys.md says: every step reaches one replica
// first, and visitors and newcomers go back and forth all the time.
func TestRotationInTwoSteps(t *testing.T) {
	old, k := walkin.Key{Secret: siteSecret}, keyOf(t, "EdDSA", 0)
	steps := []struct {
		name string
		keys []walkin.Key
		stay time.Duration // before the next step
	}{
		{"before", []walkin.Key{old}, time.Hour},
		{"announced", []walkin.Key{old, k}, time.Hour},
		{"rotated", []walkin.Key{k, old}, 31 * day},
		{"removed", []walkin.Key{k}, 31 * day},
	}
	synctest.Test(t, func(t *testing.T) {
		home := newSite(t, unlimited)
		open := func(keys []walkin.Key) *site { return newSite(t, over(home), unlimited, signedBy(keys...)) }
		replicas := [2]*site{open(steps[0].keys), open(steps[0].keys)}
		type somebody struct {
			*walkintest.Client
			what, id string
		}
		var all []somebody
		for _, step := range steps {
			for i := range replicas {
				replicas[i] = open(step.keys)
				for on, s := range replicas {
					for _, kind := range kinds {
						c := s.browser(s.routes().ServeHTTP)
						c.Visit("/")
						if kind != "provisional" {
							c.Post("/note", nil)
						}
						if kind == "permanent" {
							s.prove(c, fmt.Sprint("user", len(all)))
						}
						all = append(all, somebody{c, fmt.Sprintf("%s of replica %d when %s was on %d", kind, on, step.name, i+1), body(t, c.Fetch("/"))})
					}
				}
				for range 2 {
					for on, s := range replicas {
						for _, c := range all {
							at := c.On(s.Handler(s.routes()))
							for _, r := range []*http.Response{at.Visit("/"), at.Post("/", nil)} {
								if got := body(t, r); got != c.id {
									t.Fatalf("%s, on replica %d: %s, got %q, want %q", step.name, on, c.what, got, c.id)
								}
							}
						}
					}
					for left := step.stay / 4; left > 0; left -= 7 * day { // and they come once a week
						time.Sleep(min(left, 7*day))
						for _, c := range all {
							c.On(replicas[0].Handler(replicas[0].routes())).Visit("/")
						}
					}
				}
			}
		}
	})
}

// headerOf returns the text of a token's first segment.
func headerOf(t *testing.T, token string) string {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	return string(unb64(t, first))
}

// userOf returns whom a token is for.
func userOf(t *testing.T, token string) uuid.UUID {
	t.Helper()
	var payload struct{ Sub uuid.UUID }
	if err := json.Unmarshal(unb64(t, strings.Split(token, ".")[1]), &payload); err != nil {
		t.Fatal(err)
	}
	return payload.Sub
}

// mintedBy returns the token of a new visitor.
func mintedBy(s *site) string {
	s.t.Helper()
	return resident(s, "provisional").Cookie(anonName)
}

// TestJWKS holds that what is published verifies the tokens, and is nothing
// that signs them.
func TestJWKS(t *testing.T) {
	keys := []walkin.Key{{ID: "secret", Secret: siteSecret}}
	for _, alg := range algorithms {
		keys = append(keys, keyOf(t, alg, 0))
	}
	keys = append(keys, walkin.Key{ID: "named", Private: keyOf(t, "EdDSA", 1).Private})
	s := newSite(t, signedBy(keys...))

	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(jwks(t, s)), &set); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range set.Keys {
		got = append(got, fmt.Sprint(k["alg"], " ", k["kty"], " ", k["use"], ": ", slices.Sorted(maps.Keys(k))))
	}
	want := []string{
		"EdDSA OKP sig: [alg crv kid kty use x]",
		"ES256 EC sig: [alg crv kid kty use x y]",
		"RS256 RSA sig: [alg e kid kty n use]",
		"EdDSA OKP sig: [alg crv kid kty use x]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for i, k := range keys[2:] {
		// A token of that key names one that is published, with its values.
		var header struct{ Kid string }
		if err := json.Unmarshal([]byte(headerOf(t, mintedBy(newSite(t, signedBy(k))))), &header); err != nil {
			t.Fatal(err)
		}
		if set.Keys[i]["kid"] != header.Kid {
			t.Errorf("got kid %v, want %s", set.Keys[i]["kid"], header.Kid)
		}
		for name, value := range members(t, k, false) {
			if set.Keys[i][name] != value {
				t.Errorf("%s: got %s %v, want %s", header.Kid, name, set.Keys[i][name], value)
			}
		}
	}
	if got := set.Keys[len(set.Keys)-1]["kid"]; got != "named" {
		t.Errorf("got kid %v, want the key's own", got)
	}

	if got := jwks(t, newSite(t)); got != `{"keys":[]}` {
		t.Errorf("with a secret alone: got %s, want an empty set", got)
	}
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
		c := walkintest.NewClient(t, s.JWKSHandler())
		r := c.Do(c.NewRequest(method, "/jwks", nil))
		if method == "POST" || method == "DELETE" {
			if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" || strings.Contains(body(t, r), "kty") {
				t.Errorf("%s: got %d, want 405", method, r.StatusCode)
			}
			continue
		}
		if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/jwk-set+json" || !strings.Contains(r.Header.Get("Cache-Control"), "max-age=") {
			t.Errorf("%s: got %d and %v", method, r.StatusCode, r.Header)
		}
	}
}

// TestKeySkew holds that a replica whose keys are others, in a deploy or by mistake,
// takes no visitor's identity away: the visitor has no user there, is refused where
// they write, and is intact where they were.
func TestKeySkew(t *testing.T) {
	main, ed := []byte("the main secret of this little site"), keyOf(t, "EdDSA", 0)
	for name, tt := range map[string]struct{ home, away []walkin.Key }{
		"another secret":                     {[]walkin.Key{{Secret: siteSecret}}, []walkin.Key{{Secret: main}}},
		"another secret under the same ID":   {[]walkin.Key{{ID: "main", Secret: siteSecret}}, []walkin.Key{{ID: "main", Secret: main}}},
		"a secret that is a byte longer":     {[]walkin.Key{{ID: "main", Secret: siteSecret}}, []walkin.Key{{ID: "main", Secret: append(slices.Clone(siteSecret), '\n')}}},
		"the same secret under another ID":   {[]walkin.Key{{ID: "a", Secret: siteSecret}}, []walkin.Key{{ID: "b", Secret: siteSecret}}},
		"another private key":                {[]walkin.Key{ed}, []walkin.Key{keyOf(t, "EdDSA", 1)}},
		"another kind of key":                {[]walkin.Key{ed}, []walkin.Key{keyOf(t, "ES256", 0)}},
		"the replica has not rotated yet":    {[]walkin.Key{ed, {Secret: siteSecret}}, []walkin.Key{{Secret: siteSecret}}},
		"the replica has forgotten too soon": {[]walkin.Key{{Secret: siteSecret}}, []walkin.Key{ed}},
	} {
		t.Run(name, func(t *testing.T) {
			home := newSite(t, signedBy(tt.home...))
			away := newSite(t, signedBy(tt.away...), over(home), func(c *walkin.Config) { c.Paths.SignIn = "/sign-in" })
			site := away.Handler(away.routes())
			for _, kind := range kinds {
				c := resident(home, kind)
				id, jar := body(t, c.Fetch("/")), fmt.Sprint(c.Cookies())
				home.store.count()
				away.told()
				away.turnsAway(t, cookieOf(kind), mutation{token: c.Cookie(cookieOf(kind)), ours: true}, userOf(t, c.Cookie(cookieOf(kind))))

				there := c.On(site)
				for _, path := range []string{"/note", "/members", "/ensure"} {
					for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
						if r := there.Do(there.NewRequest(method, path, nil)); r.StatusCode != http.StatusUnauthorized || len(r.Header["Set-Cookie"]) > 0 {
							t.Errorf("%s, %s %s: got %d and %v, want 401 and no cookie", kind, method, path, r.StatusCode, r.Header["Set-Cookie"])
						}
					}
				}
				if r := there.Visit("/note"); r.StatusCode != http.StatusSeeOther || len(r.Header["Set-Cookie"]) > 0 {
					t.Errorf("%s, behind a guard: got %d and %v, want the way to sign in", kind, r.StatusCode, r.Header["Set-Cookie"])
				}
				for _, e := range away.told() {
					if e.Outcome != walkin.Skipped && e.Outcome != walkin.Refused || !strings.Contains(e.Reason, "unknown_key") {
						t.Errorf("%s: got event %+v, want unknown_key", kind, e)
					}
				}
				if n := home.store.count(writes...); n > 0 {
					t.Errorf("%s: %d writes", kind, n)
				}
				if got := fmt.Sprint(c.Cookies()); got != jar {
					t.Errorf("%s: the jar: got %v, want %v", kind, got, jar)
				}
				if got := body(t, c.Post("/note", nil)); got != id {
					t.Errorf("%s, at home again: got %q, want %q", kind, got, id)
				}
			}
		})
	}
}

// TestClocksApart holds that replicas whose clocks differ by less than a minute
// take each other's tokens, and that by more they do no harm.
func TestClocksApart(t *testing.T) {
	// Each bubble has its own clock, and all start at the same time.
	at := func(t *testing.T, ahead time.Duration, store *faultyStore, run func(*site)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(ahead)
			run(newSite(t, func(c *walkin.Config) { c.Store = store }))
		})
	}
	for _, kind := range kinds {
		for _, tt := range []struct {
			ahead time.Duration
			taken bool
		}{
			{0, true}, {30 * time.Second, true}, {time.Minute, true},
			{61 * time.Second, false}, {5 * time.Minute, false}, {24 * time.Hour, false},
		} {
			t.Run(fmt.Sprint(kind, "/", tt.ahead), func(t *testing.T) {
				store := &faultyStore{Store: memstore.New()}
				var token, id string
				at(t, tt.ahead, store, func(fast *site) {
					c := resident(fast, kind)
					token, id = c.Cookie(cookieOf(kind)), body(t, c.Fetch("/"))
				})
				at(t, 0, store, func(slow *site) {
					slow.store.count()
					c := carrying(slow, cookieOf(kind), token)
					if !tt.taken {
						slow.turnsAway(t, cookieOf(kind), mutation{token: token, ours: true}, userOf(t, token))
						if r := c.Post("/note", nil); r.StatusCode != http.StatusUnauthorized || len(r.Header["Set-Cookie"]) > 0 {
							t.Errorf("an act: got %d and %v, want 401 and no cookie", r.StatusCode, r.Header["Set-Cookie"])
						}
						return
					}
					for _, r := range []*http.Response{c.Visit("/"), c.Fetch("/"), c.Post("/note", nil), c.Visit("/")} {
						if got := body(t, r); got != id {
							t.Errorf("got %q, want %q", got, id)
						}
					}
					token = c.Cookie(cookieOf(kind))
				})
				at(t, tt.ahead, store, func(fast *site) { // what the slow one issued, and that nothing was lost
					c := carrying(fast, cookieOf(kind), token)
					for _, r := range []*http.Response{c.Visit("/"), c.Post("/note", nil)} {
						if got := body(t, r); got != id {
							t.Errorf("on the fast replica again: got %q, want %q", got, id)
						}
					}
				})
			})
		}
	}
}

// claiming lets a site's app say something in every token.
func claiming(say func(walkin.Claims) (map[string]any, error)) func(*walkin.Config) {
	return func(c *walkin.Config) {
		c.Tokens.AppClaims = func(_ context.Context, c walkin.Claims) (map[string]any, error) { return say(c) }
	}
}

// TestAppClaims holds that what the app says in a token comes back as it was, on every
// replica, and is said again when the token is renewed.
func TestAppClaims(t *testing.T) {
	t.Run("round trip", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			app  map[string]any
			want string
		}{
			{"nil", nil, ""},
			{"empty", map[string]any{}, ""},
			{"a word", map[string]any{"plan": "free"}, `{"plan":"free"}`},
			{"all kinds", map[string]any{"a": 1, "b": 1.5, "c": true, "d": nil, "e": []int{1}, "f": map[string]int{"g": 1}},
				`{"a":1,"b":1.5,"c":true,"d":null,"e":[1],"f":{"g":1}}`},
			{"a large number", map[string]any{"id": int64(1) << 60}, `{"id":1152921504606846976}`},
			{"a name of no kind", map[string]any{"": 1, "https://example.com/claim": 2, `x":0,"admin`: true}, `{"":1,"https://example.com/claim":2,"x\":0,\"admin":true}`},
			{"nearly a name of ours", map[string]any{"Sub": 1, "is_anonymous ": false, "email": "x"}, `{"Sub":1,"email":"x","is_anonymous ":false}`},
			{"our names further inside", map[string]any{"x": map[string]any{"sub": 1, "is_anonymous": false}}, `{"x":{"is_anonymous":false,"sub":1}}`},
			{"what HTML and cookies mind", map[string]any{"x": "<a&b>;\"\\\x00\n\u2028ü💡"}, `{"x":"\u003ca\u0026b\u003e;\"\\\u0000\n\u2028ü💡"}`},
			{"not UTF-8", map[string]any{"x": "\xff"}, `{"x":"\ufffd"}`},
		} {
			t.Run(tt.name, func(t *testing.T) {
				say := claiming(func(walkin.Claims) (map[string]any, error) { return tt.app, nil })
				s := newSite(t, say)
				replica := newSite(t, over(s)) // whose own claims do not matter
				for _, kind := range kinds {
					token := resident(s, kind).Cookie(cookieOf(kind))
					for name, s := range map[string]*site{"here": s, "on the replica": replica} {
						r := s.request(http.MethodGet, "/")
						brings(r, cookieOf(kind), token)
						if met := s.meet(t, r); met.claims.App != tt.want || met.claims.Anonymous != (kind != "permanent") {
							t.Errorf("%s, %s: got %q of an anonymous user: %t; want %q", kind, name, met.claims.App, met.claims.Anonymous, tt.want)
						}
					}
				}
			})
		}
	})

	t.Run("asked about the user as they are", func(t *testing.T) {
		s := newSite(t, claiming(func(c walkin.Claims) (map[string]any, error) {
			return map[string]any{"user": c.UserID, "session": c.SessionID, "anonymous": c.Anonymous, "provisional": c.Provisional}, nil
		}))
		for _, kind := range kinds {
			r := s.request(http.MethodGet, "/")
			brings(r, cookieOf(kind), resident(s, kind).Cookie(cookieOf(kind)))
			c := s.meet(t, r).claims
			want := fmt.Sprintf(`{"anonymous":%t,"provisional":%t,"session":%q,"user":%q}`, c.Anonymous, c.Provisional, c.SessionID, c.UserID)
			if c.App != want {
				t.Errorf("%s: got %s, want %s", kind, c.App, want)
			}
		}
	})

	t.Run("renewed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			plan := "free"
			s := newSite(t, claiming(func(walkin.Claims) (map[string]any, error) { return map[string]any{"plan": plan}, nil }))
			for _, kind := range kinds {
				plan = "free"
				c := resident(s, kind)
				app := func() string { return appOf(t, c.Cookie(cookieOf(kind))) }
				plan = "pro"
				time.Sleep(day - time.Second)
				if c.Visit("/"); app() != `{"plan":"free"}` {
					t.Errorf("%s, before the renewal: got %s", kind, app())
				}
				time.Sleep(time.Second)
				if c.Visit("/"); app() != `{"plan":"pro"}` {
					t.Errorf("%s, after the renewal: got %s", kind, app())
				}
			}
		})
	})
}

// appOf returns the app's claims in the text of a token.
func appOf(t *testing.T, token string) string {
	t.Helper()
	var payload struct{ App json.RawMessage }
	if err := json.Unmarshal(unb64(t, strings.Split(token, ".")[1]), &payload); err != nil {
		t.Fatal(err)
	}
	return string(payload.App)
}

// reserved are the names that only walkin gives.
var reserved = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "session_id", "role", "is_anonymous", "amr", "prov", "app"}

// TestAppClaimsRefused holds that claims which cannot be said cost the visitor nothing:
// pages are served, without a user or to who they were, no cookie is set and no row
// made, and the operator is told each time.
func TestAppClaimsRefused(t *testing.T) {
	broken := map[string]func() (map[string]any, error){
		"an error":  func() (map[string]any, error) { return nil, errors.New("a bug") },
		"too large": func() (map[string]any, error) { return map[string]any{"x": strings.Repeat("x", 3000)}, nil },
		"huge":      func() (map[string]any, error) { return map[string]any{"x": strings.Repeat("x", 1<<16)}, nil },
		"not JSON":  func() (map[string]any, error) { return map[string]any{"x": make(chan int)}, nil },
	}
	for _, name := range reserved {
		broken["a claim named "+name] = func() (map[string]any, error) { return map[string]any{"plan": "free", name: "x"}, nil }
	}
	for name, say := range broken {
		t.Run(name, func(t *testing.T) {
			reason := "internal"
			if name == "too large" || name == "huge" {
				reason = "token_too_large"
			}
			for _, persist := range []bool{false, true} {
				s := newSite(t, claiming(func(walkin.Claims) (map[string]any, error) { return say() }), func(c *walkin.Config) { c.NewUsers.PersistOnMint = persist })
				c := s.browser(s.routes().ServeHTTP)
				for range 3 { // each page asks again, and none makes anything
					r := c.Visit("/")
					if body(t, r) != "nobody" || len(r.Header["Set-Cookie"]) > 0 {
						t.Fatalf("a page: got %q and %v, want nobody and no cookie", body(t, r), r.Header["Set-Cookie"])
					}
					if got, want := s.outcomes(), "failed:"+reason; got != want {
						t.Errorf("a page: got events %q, want %q", got, want)
					}
				}
				for _, path := range []string{"/note", "/ensure"} {
					r := c.Post(path, nil)
					if r.StatusCode != http.StatusInternalServerError || len(r.Header["Set-Cookie"]) > 0 {
						t.Errorf("%s: got %d and %v, want 500 and no cookie", path, r.StatusCode, r.Header["Set-Cookie"])
					}
					if got, want := s.outcomes(), "refused:"+reason; got != want {
						t.Errorf("%s: got events %q, want %q", path, got, want)
					}
				}
				if n := s.store.count(writes...); n > 0 {
					t.Errorf("%d writes to the store", n)
				}
				s.wantRows(0)
			}
		})
		if strings.HasPrefix(name, "a claim named ") && name != "a claim named sub" {
			continue
		}
		t.Run(name+"/at the renewal", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ok := true
				s := newSite(t, claiming(func(walkin.Claims) (map[string]any, error) {
					if ok {
						return nil, nil
					}
					return say()
				}))
				for _, kind := range kinds {
					ok = true
					c := resident(s, kind)
					id, jar := body(t, c.Fetch("/")), fmt.Sprint(c.Cookies())
					time.Sleep(2 * day)
					ok = false
					s.told()
					for range 3 {
						r := c.Visit("/")
						if got := body(t, r); got != id || len(r.Header["Set-Cookie"]) > 0 || fmt.Sprint(c.Cookies()) != jar {
							t.Errorf("%s: got %q and %v, want %q with the old cookie", kind, got, r.Header["Set-Cookie"], id)
						}
						if got := s.outcomes(); got != "failed:renewal" {
							t.Errorf("%s: got events %q, want the failed renewal", kind, got)
						}
					}
					ok = true
					if r := c.Visit("/"); body(t, r) != id || len(r.Cookies()) != 1 {
						t.Errorf("%s, repaired: got %q and %v, want the renewal", kind, body(t, r), r.Cookies())
					}
				}
			})
		})
	}
}

// TestCookieSize holds that the largest cookie is what browsers keep, and that
// what fits comes back, from every kind of cookie and as an access token.
func TestCookieSize(t *testing.T) {
	for name, change := range map[string]func(*walkin.Config){
		"HS256":    func(*walkin.Config) {},
		"RS256":    signedBy(keyOf(t, "RS256", 0)),
		"Insecure": func(c *walkin.Config) { c.Cookies.Insecure = true },
		"Domain":   func(c *walkin.Config) { c.Cookies.Domain = "app.example" },
	} {
		t.Run(name, func(t *testing.T) {
			size := 0
			s := newSite(t, change, claiming(func(walkin.Claims) (map[string]any, error) {
				return map[string]any{"x": strings.Repeat("x", size)}, nil
			}))
			visit := func() []*http.Cookie {
				rec := httptest.NewRecorder()
				s.Handler(http.HandlerFunc(who)).ServeHTTP(rec, s.navigation("/"))
				return rec.Result().Cookies()
			}
			first := sort.Search(5000, func(n int) bool { size = n; return len(visit()) == 0 })
			size = first - 1
			largest := visit()
			length := len(largest[0].Name) + 1 + len(largest[0].Value)
			if length > 3800 || length < 3796 {
				t.Errorf("the largest cookie has %d bytes, want at most 3,800 and nearly as much", length)
			}
			replica := newSite(t, change, over(s))
			var access string
			r := replica.request(http.MethodGet, "/")
			r.Header.Set("Cookie", largest[0].Name+"="+largest[0].Value)
			rec := httptest.NewRecorder()
			replica.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, _ := walkin.FromContext(r.Context())
				if got, want := len(c.App), len(`{"x":""}`)+size; got != want {
					t.Errorf("got %d bytes of app claims, want %d", got, want)
				}
				var err error
				if access, err = replica.AccessToken(r.Context(), "walkin", 0); err != nil {
					t.Error(err)
				}
			})).ServeHTTP(rec, r)
			r = replica.request(http.MethodGet, "/")
			brings(r, "bearer", access)
			if !replica.meet(t, r).known {
				t.Errorf("its access token of %d bytes is not taken", len(access))
			}
		})
	}
}

// TestAccessToken holds what a token for another service says, how long it
// lives, and where it counts here: as a bearer, when it is for us, and never in
// a cookie, not even one that is known from a bearer.
func TestAccessToken(t *testing.T) {
	ask := func(t *testing.T, s *site, carrier, token, audience string, ttl time.Duration) (access string, err error) {
		t.Helper()
		r := s.request(http.MethodGet, "/")
		brings(r, carrier, token)
		s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			access, err = s.AccessToken(r.Context(), audience, ttl)
		})).ServeHTTP(httptest.NewRecorder(), r)
		return access, err
	}
	comes := func(t *testing.T, s *site, carrier, token string) meeting {
		t.Helper()
		r := s.navigation("/")
		brings(r, carrier, token)
		return s.meet(t, r)
	}

	for _, alg := range algorithms {
		s := newSite(t, signedBy(keyOf(t, alg, 0)), claiming(func(walkin.Claims) (map[string]any, error) { return map[string]any{"plan": "pro"}, nil }))
		for _, kind := range kinds {
			t.Run(alg+"/"+kind, func(t *testing.T) {
				token := resident(s, kind).Cookie(cookieOf(kind))
				user := userOf(t, token)
				ours, err := ask(t, s, cookieOf(kind), token, "walkin", 0)
				if err != nil {
					t.Fatal(err)
				}
				theirs, err := ask(t, s, cookieOf(kind), token, "postgrest", time.Hour)
				if err != nil {
					t.Fatal(err)
				}

				// What another service reads: the claims of the cookie.
				for access, aud := range map[string]string{ours: "walkin", theirs: "postgrest"} {
					v := newVictim(t, alg, token)
					if got, want := headerOf(t, access), strings.Replace(v.header, `"JWT"`, `"at+jwt"`, 1); got != want {
						t.Errorf("got header %s, want %s", got, want)
					}
					var got, want map[string]any
					if err := errors.Join(json.Unmarshal(unb64(t, strings.Split(access, ".")[1]), &got), json.Unmarshal([]byte(v.payload), &want)); err != nil {
						t.Fatal(err)
					}
					life := map[string]float64{"walkin": 300, "postgrest": 3600}[aud]
					if got["aud"] != aud || got["exp"].(float64)-got["iat"].(float64) != life {
						t.Errorf("got %v, want aud %s and a life of %v s", got, aud, life)
					}
					for _, name := range []string{"iss", "sub", "session_id", "role", "is_anonymous", "prov", "app"} {
						if fmt.Sprint(got[name]) != fmt.Sprint(want[name]) {
							t.Errorf("got %s %v, want %v as in the cookie", name, got[name], want[name])
						}
					}
				}

				for name, s := range map[string]*site{"here": s, "on a replica": newSite(t, signedBy(keyOf(t, alg, 0)), over(s))} {
					// In a cookie before anybody knows it, and after it came as a bearer.
					for _, when := range []string{"unknown", "known"} {
						for _, cookie := range []string{anonName, permName} {
							for _, access := range []string{ours, theirs} {
								if met := comes(t, s, cookie, access); met.claims.UserID == user {
									t.Errorf("%s, %s, in %s: got the user, want nobody", name, when, cookie)
								}
							}
						}
						if met := comes(t, s, "bearer", ours); met.claims.UserID != user || len(met.Header["Set-Cookie"]) > 0 || met.claims.App != `{"plan":"pro"}` {
							t.Errorf("%s, %s, as a bearer: got %v and %v, want the user and no cookie", name, when, met.claims, met.Header["Set-Cookie"])
						}
						if met := comes(t, s, "bearer", theirs); met.known || len(met.Header["Set-Cookie"]) > 0 {
							t.Errorf("%s, %s, for another service: got %v and %v, want nobody and no cookie", name, when, met.claims, met.Header["Set-Cookie"])
						}
					}
				}

				// A bearer may ask for the next one.
				if next, err := ask(t, s, "bearer", ours, "postgrest", 0); err != nil || userOf(t, next) != user {
					t.Errorf("asked by a bearer: got %v", err)
				}
			})
		}
	}

	t.Run("limits", func(t *testing.T) {
		s := newSite(t)
		token := resident(s, "anonymous").Cookie(anonName)
		for _, tt := range []struct {
			audience string
			ttl      time.Duration
			ok       bool
		}{
			{"", 0, false}, {"", time.Minute, false}, {"a", -1, false}, {"a", -time.Hour, false},
			{"a", time.Hour + 1, false}, {"a", 400 * day, false}, {"a", time.Hour, true}, {"a", time.Second, true}, {"a", 1, true},
		} {
			access, err := ask(t, s, anonName, token, tt.audience, tt.ttl)
			if (err == nil) != tt.ok || (access != "") != tt.ok {
				t.Errorf("audience %q for %v: got %q and %v, want a token: %t", tt.audience, tt.ttl, access, err, tt.ok)
			}
		}
		if access, err := ask(t, s, anonName, "x", "a", 0); !errors.Is(err, walkin.ErrNotFound) || access != "" {
			t.Errorf("nobody: got %q and %v, want ErrNotFound", access, err)
		}
		if _, err := s.AccessToken(t.Context(), "a", 0); !errors.Is(err, walkin.ErrNotFound) {
			t.Errorf("outside of a request: got %v, want ErrNotFound", err)
		}
	})

	t.Run("ends", func(t *testing.T) {
		for _, kind := range kinds {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				c := resident(s, kind)
				access, err := ask(t, s, cookieOf(kind), c.Cookie(cookieOf(kind)), "walkin", time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute) // and the leeway
				if !comes(t, s, "bearer", access).known || !comes(t, newSite(t, over(s)), "bearer", access).known {
					t.Errorf("%s: dead before its time", kind)
				}
				time.Sleep(time.Second)
				if comes(t, s, "bearer", access).known || comes(t, newSite(t, over(s)), "bearer", access).known {
					t.Errorf("%s: alive after its time", kind)
				}
				if access, err = ask(t, s, cookieOf(kind), c.Cookie(cookieOf(kind)), "walkin", time.Hour); err != nil {
					t.Fatal(err)
				}
				if r := c.Post("/out", nil); r.StatusCode != http.StatusSeeOther {
					t.Fatalf("signing out: got %d", r.StatusCode)
				}
				act := s.request(http.MethodPost, "/")
				brings(act, "bearer", access)
				if s.meet(t, act).known || comes(t, newSite(t, over(s)), "bearer", access).known {
					t.Errorf("%s: alive after its session", kind)
				}
			})
		}
	})
}

// FuzzToken holds that no text but a token that was issued verifies, and that
// none breaks the verifier.
func FuzzToken(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	issued := make(map[string]bool) // and whether it is for bearers alone
	var keys []walkin.Key
	for _, alg := range algorithms[:3] { // RSA keys are others in every process
		keys = append(keys, keyOf(f, alg, 0))
	}
	m, err := walkin.New(walkin.Config{Keys: keys, Store: memstore.New()})
	if err != nil {
		f.Fatal(err)
	}
	for i, alg := range algorithms[:3] {
		one, err := walkin.New(walkin.Config{Keys: keys[i : i+1], Store: memstore.New()})
		if err != nil {
			f.Fatal(err)
		}
		first, _, _ := strings.Cut(walkintest.NewClient(f, one.Handler(http.NotFoundHandler())).Visit("/").Cookies()[0].Value, ".")
		head := string(unb64(f, first))
		payload := fmt.Sprintf(`{"iss":"walkin","sub":"019b7c8e-5f4d-7000-8000-000000000001","aud":"walkin","exp":%d,"iat":%d,`+
			`"session_id":"d0c5d6a5-0b55-4e1b-9f0c-1e0ab0f0a001","role":"authenticated","is_anonymous":true,"amr":[{"method":"anonymous","timestamp":%d}],"prov":true}`,
			now.Unix()+3600, now.Unix(), now.Unix())
		session := seal(f, keys[i], head, payload)
		access := seal(f, keys[i], strings.Replace(head, `"JWT"`, `"at+jwt"`, 1), payload)
		issued[session], issued[access] = false, true
		for _, mutation := range mutations(f, newVictim(f, alg, session)) {
			// What does not belong there is the same for all: one has it.
			if len(mutation.token) < 10<<10 && (i == 0 || !strings.HasPrefix(mutation.name, `"`)) {
				f.Add(mutation.token)
			}
		}
	}
	for token := range issued {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		access, ok := issued[token]
		for _, bearer := range []bool{false, true} {
			c, err := m.Verify(token, bearer, now)
			if want := ok && (bearer || !access); (err == nil) != want {
				t.Errorf("bearer %t: got %v, want it accepted: %t", bearer, err, want)
			}
			if err != nil && c != (walkin.Claims{}) {
				t.Errorf("bearer %t: got %v with %v", bearer, c, err)
			}
		}
	})
}

// TestKeyHidesItself holds that printing a Config gives no key away.
func TestKeyHidesItself(t *testing.T) {
	secret := "a secret that nobody may ever see"
	cfg := walkin.Config{Keys: []walkin.Key{{ID: "mine", Secret: []byte(secret)}}}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", cfg.Keys[0], "config", cfg)
	for _, text := range []string{
		fmt.Sprint(cfg), fmt.Sprintf("%v", cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg), cfg.Keys[0].String(), log.String(),
	} {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprint([]byte(secret))) || !strings.Contains(text, "mine") {
			t.Errorf("got %q", text)
		}
	}
}
