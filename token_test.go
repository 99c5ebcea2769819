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
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
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

var (
	hmacKey    = walkin.Key{ID: "hmac", Secret: []byte("a secret that is only of this test")}
	ed25519Key = sync.OnceValue(func() walkin.Key {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return walkin.Key{ID: "ed", Private: must(k, err)}
	})
	p256Key = sync.OnceValue(func() walkin.Key {
		return walkin.Key{ID: "ec", Private: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	})
	rsaKey = sync.OnceValue(func() walkin.Key {
		return walkin.Key{ID: "rsa", Private: must(rsa.GenerateKey(rand.Reader, 2048))}
	})
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var b64 = base64.RawURLEncoding

// sign signs a header and a payload with a key of ours, as an attacker without
// it cannot and another service with it can.
func sign(k walkin.Key, header, payload string) string {
	input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	var signature []byte
	switch private := k.Private.(type) {
	case nil:
		signature = mac(k.Secret, input)
	case ed25519.PrivateKey:
		signature = ed25519.Sign(private, []byte(input))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		must(0, err)
	case *rsa.PrivateKey:
		signature = must(rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum[:]))
	}
	return input + "." + b64.EncodeToString(signature)
}

func mac(key []byte, input string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(input))
	return h.Sum(nil)
}

// parts of a token.
type parts struct{ header, payload, signature string }

func split(t *testing.T, token string) parts {
	t.Helper()
	p := strings.Split(token, ".")
	if len(p) != 3 {
		t.Fatalf("got a token of %d parts", len(p))
	}
	return parts{p[0], p[1], p[2]}
}

func (p parts) String() string { return p.header + "." + p.payload + "." + p.signature }

func decoded(s string) string { return string(must(b64.DecodeString(s))) }

// flipBits changes the last letter of a segment where it has bits that mean
// nothing, or returns "".
func flipBits(s string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s)%4 == 0 {
		return ""
	}
	i := strings.IndexByte(letters, s[len(s)-1])
	return s[:len(s)-1] + string(letters[i^1])
}

// mutants returns everything that is done to a token of k, with a name each.
func mutants(t *testing.T, k walkin.Key, token string) map[string]string {
	t.Helper()
	p := split(t, token)
	header, payload := decoded(p.header), decoded(p.payload)
	var h map[string]string
	if err := json.Unmarshal([]byte(header), &h); err != nil {
		t.Fatal(err)
	}
	alg, kid := h["alg"], h["kid"]
	evil := strings.Replace(payload, `"sub":"`, `"sub":"00000000-0000-7000-8000-000000000000","was":"`, 1)
	m := map[string]string{
		"nothing": "", "a dot": ".", "two dots": "..", "three dots": "...", "a megabyte of dots": strings.Repeat(".", 1<<20),
		"no signature": p.header + "." + p.payload, "empty signature": p.header + "." + p.payload + ".",
		"empty payload": p.header + ".." + p.signature, "empty header": "." + p.payload + "." + p.signature,
		"four parts": token + "." + p.signature, "five parts": token + ".x.y", "leading dot": "." + token,
		"padded": p.header + "." + p.payload + "." + p.signature + "=", "padded payload": p.header + "." + p.payload + "=." + p.signature,
		"space before": " " + token, "space after": token + " ", "space inside": p.header + ". " + p.payload + "." + p.signature,
		"newline after": token + "\n", "newline inside": p.header + "." + p.payload[:9] + "\n" + p.payload[9:] + "." + p.signature,
		"question mark": token + "?", "fragment": token + "#x", "NUL": token + "\x00", "quotes": `"` + `"` + token,
		"signature longer":   p.header + "." + p.payload + "." + b64.EncodeToString(append([]byte(decoded(p.signature)), 0)),
		"signature shorter":  p.header + "." + p.payload + "." + b64.EncodeToString([]byte(decoded(p.signature)[1:])),
		"signature of zeros": p.header + "." + p.payload + "." + b64.EncodeToString(make([]byte, len(decoded(p.signature)))),
		"another payload":    p.header + "." + b64.EncodeToString([]byte(evil)) + "." + p.signature,
		"flattened JSON":     `{"protected":"` + p.header + `","payload":"` + p.payload + `","signature":"` + p.signature + `"}`,
		"general JSON":       `{"payload":"` + p.payload + `","signatures":[{"protected":"` + p.header + `","signature":"` + p.signature + `"}]}`,
		"10,000 brackets":    b64.EncodeToString([]byte(strings.Repeat("[", 10000))) + "." + p.payload + "." + p.signature,
		"a MB of header":     strings.Repeat("A", 1<<20) + "." + p.payload + "." + p.signature,
		"standard alphabet":  p.header + "." + p.payload + "." + strings.NewReplacer("-", "+", "_", "/").Replace(p.signature) + "+",
	}
	for i, s := range []string{p.header, p.payload, p.signature} {
		flipped := flipBits(s)
		if flipped == "" {
			continue
		}
		q := []string{p.header, p.payload, p.signature}
		q[i] = flipped
		m[fmt.Sprint("unused bits of part ", i)] = strings.Join(q, ".")
	}
	for _, none := range []string{"none", "None", "NONE", "noNE", ""} {
		unsigned := b64.EncodeToString([]byte(strings.Replace(header, `"`+alg+`"`, `"`+none+`"`, 1))) + "." + p.payload + "."
		m["alg "+none+", unsigned"] = unsigned
		m["alg "+none+", signed"] = unsigned + p.signature
	}
	// The right signature under a header that is not ours.
	for name, text := range map[string]string{
		"crit":           strings.Replace(header, `{`, `{"crit":["exp"],"exp":1,`, 1),
		"b64 false":      strings.Replace(header, `{`, `{"b64":false,"crit":["b64"],`, 1),
		"jku":            strings.Replace(header, `{`, `{"jku":"https://evil.example/keys",`, 1),
		"x5u":            strings.Replace(header, `{`, `{"x5u":"https://evil.example/cert",`, 1),
		"embedded jwk":   strings.Replace(header, `{`, `{"jwk":{"kty":"oct","k":"AAAA"},`, 1),
		"x5c":            strings.Replace(header, `{`, `{"x5c":["AAAA"],`, 1),
		"members moved":  `{"typ":"JWT","alg":"` + alg + `","kid":"` + kid + `"}`,
		"a space":        strings.Replace(header, `:`, `: `, 1),
		"a member twice": strings.Replace(header, `{`, `{"alg":"`+alg+`",`, 1),
		"lower-case alg": strings.Replace(header, alg, strings.ToLower(alg), 1),
		"another alg":    strings.Replace(header, alg, map[string]string{"HS256": "HS512", "EdDSA": "Ed25519", "ES256": "ES384", "RS256": "PS256"}[alg], 1),
		"typ missing":    `{"alg":"` + alg + `","kid":"` + kid + `"}`,
		"typ of another": strings.Replace(header, `"JWT"`, `"logout+jwt"`, 1),
		"nested":         strings.Replace(header, `}`, `,"cty":"JWT"}`, 1),
		"kid empty":      strings.Replace(header, `"`+kid+`"`, `""`, 1),
		"kid number":     strings.Replace(header, `"`+kid+`"`, `1`, 1),
		"kid null":       strings.Replace(header, `"`+kid+`"`, `null`, 1),
		"kid path":       strings.Replace(header, kid, `../../etc/passwd`, 1),
		"kid SQL":        strings.Replace(header, kid, `' OR 1=1--`, 1),
		"kid 10 KB":      strings.Replace(header, kid, strings.Repeat("k", 10<<10), 1),
		"kid absent":     strings.Replace(header, `"kid":"`+kid+`",`, ``, 1),
		"not JSON":       "alg=" + alg,
		"access token":   strings.Replace(header, `"JWT"`, `"at+jwt"`, 1), // good as a bearer, with another test
	} {
		m["header: "+name] = sign(k, text, payload)
	}
	// Another key of the kind that is meant.
	m["forged by another key"] = sign(otherKey(k), header, payload)
	if public, ok := k.Private.(interface{ Public() crypto.PublicKey }); ok {
		der := must(x509.MarshalPKIXPublicKey(public.Public()))
		confused := b64.EncodeToString([]byte(strings.Replace(header, alg, "HS256", 1))) + "." + p.payload
		for name, key := range map[string][]byte{
			"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "raw": der[len(der)-32:],
		} {
			m["HS256 with the public key, "+name] = confused + "." + b64.EncodeToString(mac(key, confused))
		}
	}
	if private, ok := k.Private.(*ecdsa.PrivateKey); ok {
		sum := sha256.Sum256([]byte(p.header + "." + p.payload))
		m["signature in DER"] = p.header + "." + p.payload + "." + b64.EncodeToString(must(ecdsa.SignASN1(rand.Reader, private, sum[:])))
		n := private.Params().N
		for i, r := range []*big.Int{new(big.Int), big.NewInt(1), n} {
			for j, s := range []*big.Int{new(big.Int), big.NewInt(1), n} {
				raw := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
				m[fmt.Sprint("r ", i, " s ", j)] = p.header + "." + p.payload + "." + b64.EncodeToString(raw)
				m[fmt.Sprint("r ", i, " s ", j, " DER")] = p.header + "." + p.payload + "." + b64.EncodeToString(must(asn1.Marshal([]*big.Int{r, s})))
			}
		}
	}
	// Claims that another service with the key might sign.
	edit := func(old, new string) string {
		text := strings.Replace(payload, old, new, 1)
		if text == payload {
			t.Fatalf("the payload %s has no %s", payload, old)
		}
		return sign(k, header, text)
	}
	var c map[string]any
	if err := json.Unmarshal([]byte(payload), &c); err != nil {
		t.Fatal(err)
	}
	without := func(name string) string {
		rest := maps.Clone(c)
		delete(rest, name)
		return sign(k, header, string(must(json.Marshal(rest))))
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "session_id", "is_anonymous", "amr"} {
		m["claims without "+name] = without(name)
	}
	m["claims: another issuer"] = edit(`"iss":"walkin"`, `"iss":"somebody"`)
	m["claims: another audience"] = edit(`"aud":"walkin"`, `"aud":"somebody"`)
	m["claims: audiences"] = edit(`"aud":"walkin"`, `"aud":["walkin","somebody"]`)
	m["claims: sub not a UUID"] = edit(`"sub":"`, `"sub":"x`)
	m["claims: exp text"] = edit(`"exp":`, `"exp":"never","x":`)
	m["claims: exp fraction"] = edit(`"exp":`, `"exp":99999999999.5,"x":`)
	m["claims: exp 0"] = edit(`"exp":`, `"exp":0,"x":`)
	m["claims: exp over"] = edit(`"exp":`, `"exp":1000000000,"x":`)
	m["claims: is_anonymous null"] = edit(`"is_anonymous":true`, `"is_anonymous":null`)
	m["claims: is_anonymous text"] = edit(`"is_anonymous":true`, `"is_anonymous":"true"`)
	m["claims: prov and permanent"] = edit(`"is_anonymous":true`, `"is_anonymous":false,"prov":true`)
	m["claims: brackets"] = sign(k, header, strings.Repeat("[", 2000))
	m["claims: not JSON"] = sign(k, header, "sub=1")
	m["claims: null"] = sign(k, header, "null")
	return m
}

// otherKey returns a key of the same kind that is not ours.
func otherKey(k walkin.Key) walkin.Key {
	switch k.Private.(type) {
	case ed25519.PrivateKey:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return walkin.Key{Private: must(private, err)}
	case *ecdsa.PrivateKey:
		return walkin.Key{Private: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	case *rsa.PrivateKey:
		return walkin.Key{Private: must(rsa.GenerateKey(rand.Reader, 2048))}
	}
	return walkin.Key{Secret: []byte("a secret that is of somebody else")}
}

// TestTokenMutators holds that whatever is done to a token, its bearer is
// nobody: the handler runs without claims, nothing is a 500, nothing panics.
func TestTokenMutators(t *testing.T) {
	for _, k := range []walkin.Key{hmacKey, ed25519Key(), p256Key(), rsaKey()} {
		t.Run(k.ID, func(t *testing.T) {
			s := newSite(t, func(c *walkin.Config) { c.Keys = []walkin.Key{k} })
			c := s.browser(who)
			c.Act("/", nil)
			token := c.Cookie(anonName)
			if got := body(t, c.Fetch("/")); !strings.HasSuffix(got, "anonymous=true") {
				t.Fatalf("the token itself: got %q", got)
			}
			for name, mutant := range mutants(t, k, token) {
				for _, carrier := range []string{"cookie", "bearer", "bearer and act"} {
					r := s.request(http.MethodGet, "/")
					switch {
					case carrier == "cookie":
						r.Header.Set("Cookie", anonName+"="+mutant)
					case name == "header: access token":
						continue // TestAccessToken
					case name == "space before" || name == "space after" || name == "newline after" || name == "NUL":
						continue // net/http refuses or trims such a field itself
					default:
						r.Header.Set("Authorization", "Bearer "+mutant)
					}
					if carrier == "bearer and act" {
						r.Method = http.MethodPost
					}
					answer, err := s.browser(who).Serve(r)
					if err != nil {
						t.Errorf("%s as %s: %v", name, carrier, err)
						continue
					}
					if got := body(t, answer); got != "nobody" && !(carrier == "cookie" && isTrimmed(name)) {
						t.Errorf("%s as %s: got %q, want nobody", name, carrier, got)
					}
					if len(answer.Cookies()) > 0 {
						t.Errorf("%s as %s: got cookies %v", name, carrier, answer.Cookies())
					}
				}
			}
		})
	}
}

// isTrimmed names the mutants that net/http mends before we see them: blanks
// around a cookie's value.
func isTrimmed(name string) bool { return name == "space after" || name == "newline after" }

// TestMintOverMutants holds which cookies a page view may replace: what is
// nothing of ours, and never what may be.
func TestMintOverMutants(t *testing.T) {
	s := newSite(t)
	c := s.browser(who)
	c.Act("/", nil)
	token := c.Cookie(anonName)
	p := split(t, token)
	foreign := strings.Replace(decoded(p.header), `"kid":"`, `"kid":"other.`, 1)
	for _, tt := range []struct {
		name, cookie string
		mints        bool
	}{
		{"garbage", "garbage", true},
		{"empty", "", true},
		{"forged", p.header + "." + p.payload + "." + b64.EncodeToString(make([]byte, 32)), true},
		{"a key we do not have", b64.EncodeToString([]byte(foreign)) + "." + p.payload + "." + p.signature, false},
	} {
		r := s.navigation("/")
		r.Header.Set("Cookie", anonName+"="+tt.cookie)
		answer, err := s.browser(who).Serve(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(answer.Cookies()) == 1; got != tt.mints {
			t.Errorf("%s: got cookies %v, want a mint: %t", tt.name, answer.Cookies(), tt.mints)
		}
	}
}

func TestWrongCookie(t *testing.T) {
	s := newSite(t)
	c := s.browser(s.routes().ServeHTTP)
	c.Act("/note", nil)
	s.prove(c, "ann")
	permanent := c.Cookie(permName)
	if permanent == "" {
		t.Fatal("no permanent cookie")
	}
	other := s.browser(who)
	other.Act("/", nil)
	for name, token := range map[string]string{permName: other.Cookie(anonName), anonName: permanent} {
		r := s.request(http.MethodGet, "/")
		r.Header.Set("Cookie", name+"="+token)
		answer, err := s.browser(who).Serve(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := body(t, answer); got != "nobody" {
			t.Errorf("in %s: got %q, want nobody", name, got)
		}
	}
}

func TestAccessToken(t *testing.T) {
	s := newSite(t)
	var token, foreign string
	c := s.browser(func(w http.ResponseWriter, r *http.Request) {
		token = must(s.AccessToken(r.Context(), "walkin", time.Minute))
		foreign = must(s.AccessToken(r.Context(), "another service", 0))
		who(w, r)
	})
	id := body(t, c.Act("/", nil))
	ask := func(field, value string) string {
		t.Helper()
		r := s.request(http.MethodGet, "/")
		r.Header.Set(field, value)
		answer, err := s.browser(who).Serve(r)
		if err != nil {
			t.Fatal(err)
		}
		return body(t, answer)
	}
	for range 2 { // the second time from the cache
		if got := ask("Authorization", "Bearer "+token); got != id {
			t.Errorf("as a bearer: got %q, want %q", got, id)
		}
		if got := ask("Cookie", anonName+"="+token); got != "nobody" {
			t.Errorf("in a cookie: got %q, want nobody", got)
		}
		if got := ask("Authorization", "Bearer "+foreign); got != "nobody" {
			t.Errorf("for another service: got %q, want nobody", got)
		}
	}
	claims := walkin.NewContext(t.Context(), walkintest.Anonymous(t))
	for name, err := range map[string]error{
		"no audience": second(s.AccessToken(claims, "", time.Minute)),
		"too long":    second(s.AccessToken(claims, "x", 2*time.Hour)),
		"negative":    second(s.AccessToken(claims, "x", -1)),
		"for nobody":  second(s.AccessToken(t.Context(), "x", time.Minute)),
	} {
		if err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func second(_ string, err error) error { return err }

// TestWeakKeys holds that every mistake of a Config is named, all in one error.
func TestWeakKeys(t *testing.T) {
	_, err := walkin.New(walkin.Config{
		Keys: []walkin.Key{
			{}, {Secret: make([]byte, 8)}, {Secret: make([]byte, 31)}, {Secret: make([]byte, 32)},
			{ID: "no such/name", Secret: hmacKey.Secret}, hmacKey, hmacKey,
			{Private: must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))},
			{Private: must(rsa.GenerateKey(rand.Reader, 1024))},
			{Secret: hmacKey.Secret, Private: ed25519Key().Private},
			{Private: ed25519.PrivateKey("short")},
		},
		Mint: 99, Lifetime: 1000 * 24 * time.Hour, RenewAfter: -1, RecheckAfter: -1, RecentProof: -1,
		Insecure: true, Partitioned: true, Domain: "https://example.com", UpgradeURL: "https://evil.example", SignInURL: "//x",
		Conflict: walkin.ConflictMerge, CacheSize: -1,
	})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		"Keys[0]", "Keys[1]", "Keys[2]", "Keys[3]", "Keys[4]", "Keys[6]", "Keys[7]", "Keys[8]", "Keys[9]", "Keys[10]",
		"Store", "Mint", "Lifetime", "RenewAfter", "RecheckAfter", "RecentProof", "Partitioned", "Domain",
		"UpgradeURL", "SignInURL", "ConflictMerge", "CacheSize", "31",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "Keys[5]") || strings.Contains(err.Error(), string(hmacKey.Secret)) {
		t.Errorf("the error names what is right, or what is secret:\n%v", err)
	}
}

// jwks returns a private key set of text.
func jwks(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

func TestParseJWKS(t *testing.T) {
	const (
		secret  = `{"kty":"oct","kid":"s","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MDE"}`
		private = `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
		public  = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	)
	keys, err := walkin.ParseJWKS(jwks(secret, private))
	if err != nil || len(keys) != 2 || keys[0].ID != "s" || keys[0].Secret == nil || keys[1].Private == nil {
		t.Fatalf("got %d keys, %v", len(keys), err)
	}
	newSite(t, func(c *walkin.Config) { c.Keys = keys })
	for name, text := range map[string]string{
		"public": string(jwks(public)), "mixed": string(jwks(private, public)), "empty": string(jwks()),
		"not JSON": `secret-words`, "null": "null", "for encryption": string(jwks(strings.Replace(secret, `"kid"`, `"use":"enc","kid"`, 1))),
		"another alg": string(jwks(strings.Replace(secret, `"kid"`, `"alg":"HS512","kid"`, 1))),
	} {
		_, err := walkin.ParseJWKS([]byte(text))
		if err == nil {
			t.Errorf("%s: got no error", name)
		} else if strings.Contains(err.Error(), "secret-words") || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%s: the error repeats the keys: %v", name, err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "walkin.key")
	var wg sync.WaitGroup
	var all [16][]walkin.Key
	for i := range all {
		wg.Go(func() { all[i] = must(walkin.KeyFile(path)) })
	}
	wg.Wait()
	for _, keys := range all {
		if len(keys) != 1 || !keys[0].Private.(ed25519.PrivateKey).Equal(all[0][0].Private) {
			t.Fatal("two processes made two keys")
		}
	}
	info := must(os.Stat(path))
	if info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %o, want 600", info.Mode().Perm())
	}
	if entries := must(os.ReadDir(filepath.Dir(path))); len(entries) != 1 {
		t.Errorf("got %d files, want one", len(entries))
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := walkin.KeyFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others read: got %v", err)
	}
	write(t, filepath.Join(t.TempDir(), "x"), "")
	broken := filepath.Join(t.TempDir(), "broken")
	write(t, broken, "secret-words")
	if _, err := walkin.KeyFile(broken); err == nil || strings.Contains(err.Error(), "secret-words") {
		t.Errorf("a broken file: got %v", err)
	}
	if _, err := walkin.KeyFile(filepath.Join(t.TempDir(), "no", "such", "folder")); err == nil {
		t.Error("no folder: got no error")
	}
}

// replica returns another site over the same store with other keys.
func replica(t *testing.T, s *site, keys ...walkin.Key) *site {
	t.Helper()
	return newSite(t, over(s), func(c *walkin.Config) { c.Keys = keys })
}

func TestRotation(t *testing.T) {
	old, fresh := hmacKey, ed25519Key()
	s := newSite(t, func(c *walkin.Config) { c.Keys = []walkin.Key{old} })
	c := s.browser(who)
	id := body(t, c.Act("/", nil))

	both := replica(t, s, fresh, old)
	if got := body(t, c.On(both.browser2(who)).Act("/", nil)); got != id {
		t.Errorf("old token, both keys: got %q, want %q", got, id)
	}
	newcomer := both.browser(who)
	newcomer.Visit("/")
	if header := decoded(split(t, newcomer.Cookie(anonName)).header); !strings.Contains(header, `"kid":"ed"`) || !strings.Contains(header, "EdDSA") {
		t.Errorf("a new token: got header %s, want the first key's", header)
	}
	without := replica(t, s, fresh)
	for range 3 {
		r := c.On(without.browser2(who)).Visit("/")
		if got := body(t, r); got != "nobody" || len(r.Cookies()) > 0 {
			t.Errorf("the key was removed: got %q and %v, want nobody and no mint", got, r.Cookies())
		}
	}

	published := replica(t, s, old, fresh, p256Key(), rsaKey())
	r, err := published.browser(published.JWKSHandler().ServeHTTP).Serve(published.request(http.MethodGet, "/jwks"))
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]string }
	if err := json.NewDecoder(r.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k["kid"])
		for _, private := range []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth"} {
			if _, ok := k[private]; ok {
				t.Errorf("key %s publishes %q", k["kid"], private)
			}
		}
		if k["use"] != "sig" || k["alg"] == "" {
			t.Errorf("key %s: got use %q and alg %q", k["kid"], k["use"], k["alg"])
		}
	}
	if !slices.Equal(ids, []string{"ed", "ec", "rsa"}) {
		t.Errorf("got keys %v, want the three that are not secrets", ids)
	}
}

// browser2 returns the site itself, for a browser that has been elsewhere.
func (s *site) browser2(h http.HandlerFunc) http.Handler { return s.Handler(h) }

func TestKeySkew(t *testing.T) {
	for name, keys := range map[string][]walkin.Key{
		"another secret":                     {{Secret: []byte("another secret of another replica")}},
		"another secret under the same name": {{ID: hmacKey.ID, Secret: []byte("another secret of another replica")}},
		"another kind":                       {ed25519Key()},
	} {
		s := newSite(t, func(c *walkin.Config) { c.Keys = []walkin.Key{hmacKey} })
		c := s.browser(s.routes().ServeHTTP)
		c.Act("/note", nil)
		id := body(t, c.Fetch("/"))
		other := replica(t, s, keys...)
		rows := s.store.rows(t)
		for _, r := range []*http.Response{
			c.On(other.Handler(other.routes())).Visit("/"),
			c.On(other.Handler(other.routes())).Fetch("/"),
			c.On(other.Handler(other.routes())).Act("/note", nil),
		} {
			if len(r.Header["Set-Cookie"]) > 0 || body(t, r) == id {
				t.Errorf("%s: got %v, %q", name, r.Header["Set-Cookie"], body(t, r))
			}
		}
		if got := c.On(other.Handler(other.RequireUser()(http.HandlerFunc(who)))).Act("/", nil).StatusCode; got != http.StatusUnauthorized {
			t.Errorf("%s: acting behind a guard: got %d, want 401", name, got)
		}
		if got := s.store.rows(t); got != rows {
			t.Errorf("%s: got %d rows, want %d", name, got, rows)
		}
		if got := body(t, c.Fetch("/")); got != id {
			t.Errorf("%s: back on the first replica: got %q, want %q", name, got, id)
		}
	}
}

func TestAppClaims(t *testing.T) {
	var claims map[string]any
	var fail error
	app := func(c *walkin.Config) {
		c.AppClaims = func(context.Context, walkin.Claims) (map[string]any, error) { return claims, fail }
	}
	s := newSite(t, app)
	seen := func(w http.ResponseWriter, r *http.Request) {
		c, ok := walkin.FromContext(r.Context())
		fmt.Fprint(w, ok, " ", c.App)
	}
	claims = map[string]any{"plan": "trial", "n": 3}
	c := s.browser(seen)
	if got := body(t, c.Visit("/")); got != `true {"n":3,"plan":"trial"}` {
		t.Errorf("got %q", got)
	}
	if got := body(t, c.Fetch("/")); got != `true {"n":3,"plan":"trial"}` {
		t.Errorf("from the cookie: got %q", got)
	}
	for name, bad := range map[string]func(){
		"a name of ours": func() { claims, fail = map[string]any{"is_anonymous": false}, nil },
		"sub":            func() { claims, fail = map[string]any{"sub": uuid.Nil}, nil },
		"too large":      func() { claims, fail = map[string]any{"x": strings.Repeat("x", 3000)}, nil },
		"not JSON":       func() { claims, fail = map[string]any{"x": func() {}}, nil },
		"an error":       func() { claims, fail = nil, fmt.Errorf("the app says no") },
	} {
		bad()
		for range 3 {
			s.told()
			r := s.browser(seen).Visit("/")
			if got := body(t, r); got != "false " || len(r.Header["Set-Cookie"]) > 0 {
				t.Errorf("%s: got %q and %v, want nobody and no cookie", name, got, r.Header["Set-Cookie"])
			}
			if got := s.outcomes(); !strings.HasPrefix(got, "failed") {
				t.Errorf("%s: got %q, want a failure that is told", name, got)
			}
		}
		if r := s.browser(seen).Act("/", nil); r.StatusCode != http.StatusInternalServerError || len(r.Header["Set-Cookie"]) > 0 {
			t.Errorf("%s: acting: got %d and %v", name, r.StatusCode, r.Header["Set-Cookie"])
		}
	}
	if n := s.store.rows(t); n != 0 {
		t.Errorf("got %d rows of users without a token", n)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, app)
		claims, fail = map[string]any{"plan": "trial"}, nil
		c := s.browser(seen)
		c.Visit("/")
		claims = map[string]any{"plan": "gold"}
		time.Sleep(25 * time.Hour)
		c.Visit("/")
		if got := body(t, c.Fetch("/")); got != `true {"plan":"gold"}` {
			t.Errorf("after a renewal: got %q", got)
		}
	})
}

// FuzzToken holds that nothing but a token we issued is somebody, and that
// nothing panics.
func FuzzToken(f *testing.F) {
	m := must(walkin.New(walkin.Config{Keys: []walkin.Key{hmacKey, ed25519Key(), p256Key()}, Store: memstore.New()}))
	site := m.Handler(http.HandlerFunc(who))
	c := walkintest.NewClient(f, site)
	c.Visit("/")
	header, _, _ := strings.Cut(c.Cookie(anonName), ".")
	// The same in every process that fuzzes.
	token := sign(hmacKey, decoded(header), `{"iss":"walkin","sub":"01890000-0000-7000-8000-000000000001","aud":"walkin",`+
		`"exp":4102444800,"iat":1767225600,"session_id":"01890000-0000-4000-8000-000000000002","role":"authenticated",`+
		`"is_anonymous":true,"amr":[{"method":"anonymous","timestamp":1767225600}],"prov":true}`)
	p := strings.Split(token, ".")
	for _, seed := range []string{
		token, "", ".", "..", "a.b.c", p[0] + "." + p[1] + ".", p[0] + ".e30." + p[2], token + "=", token + ".", " " + token,
		b64.EncodeToString([]byte(`{"alg":"none"}`)) + "." + p[1] + ".", p[0] + "." + p[1] + "." + strings.Repeat("A", 43),
		b64.EncodeToString([]byte(`{"alg":"HS256","kid":"x","typ":"JWT"}`)) + "." + p[1] + "." + p[2],
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, bearer := range []bool{false, true} {
			c := walkintest.NewClient(t, site)
			r := c.NewRequest(http.MethodGet, "/", nil)
			if bearer {
				r.Header.Set("Authorization", "Bearer "+s)
			} else {
				r.Header.Set("Cookie", anonName+"="+s)
			}
			answer, err := c.Serve(r)
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			_, _ = text.ReadFrom(answer.Body)
			// What net/http makes of the field is its own: blanks around, quotes.
			if text.String() != "nobody" && strings.Trim(s, " \t\r\n\"") != token && !strings.Contains(s, ";") {
				t.Errorf("bearer %t: %q is %s", bearer, s, &text)
			}
			if answer.StatusCode != http.StatusOK {
				t.Errorf("bearer %t: %q: got %d", bearer, s, answer.StatusCode)
			}
		}
	})
}
