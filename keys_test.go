package walkin_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
	"github.com/walkin-go/walkin/walkintest"
)

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

// TestKeyWithoutPart holds that a public key in the place of a private one, or half of a
// key, is found when the site starts, and not by its first visitor.
func TestKeyWithoutPart(t *testing.T) {
	ec, rs := keyOf(t, "ES256", 0).Private.(*ecdsa.PrivateKey), keyOf(t, "RS256", 0).Private.(*rsa.PrivateKey)
	ed, other := keyOf(t, "EdDSA", 0).Private.(ed25519.PrivateKey), keyOf(t, "EdDSA", 1).Private.(ed25519.PrivateKey)
	alone, flat := *ec, *ec
	alone.PublicKey = ecdsa.PublicKey{Curve: ec.Curve}
	flat.Y = nil
	for name, private := range map[string]crypto.Signer{
		"ECDSA, public part alone":  &ecdsa.PrivateKey{PublicKey: ec.PublicKey},
		"ECDSA, private part alone": &alone,
		"ECDSA, no y":               &flat,
		"ECDSA, nothing":            new(ecdsa.PrivateKey),
		"RSA, public part alone":    &rsa.PrivateKey{PublicKey: rs.PublicKey},
		"RSA, private part alone":   &rsa.PrivateKey{D: rs.D, Primes: rs.Primes},
		"RSA, nothing":              new(rsa.PrivateKey),
		"Ed25519, two halves":       append(slices.Clone(ed[:32]), other[32:]...),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("New panicked: %v", p)
				}
			}()
			for _, id := range []string{"", "main"} {
				_, err := walkin.New(walkin.Config{Keys: []walkin.Key{{ID: id, Private: private}}, Store: memstore.New()})
				wantError(t, err, "Config.Keys[0]")
			}
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

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestKeyThatSignsNoMore holds that a key which has been wiped gives no one an empty
// cookie: new visitors have no user, and others stay who they are.
func TestKeyThatSignsNoMore(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	s := newSite(t, renewAlways, func(c *walkin.Config) {
		c.Keys = []walkin.Key{{Private: private}}
		c.Paths.Upgrade = "/prove"
	})
	kinds := append([]string{"nobody"}, kinds...)
	clients := make(map[string]*walkintest.Client)
	before := make(map[string]walkin.Claims)
	for _, kind := range kinds {
		clients[kind] = resident(s, kind)
		if kind != "nobody" {
			before[kind] = s.claims(clients[kind])
		}
	}
	private.D = new(big.Int) //lint:ignore SA1019 a key that was wiped is what this is about
	rows := s.store.rows(t)
	for _, kind := range kinds {
		c := clients[kind]
		stored := kind == "anonymous" || kind == "permanent"
		for _, path := range []string{"", "/note", "/prove?name=new", "/prove?name=ann", "/token"} {
			s.told()
			want := http.StatusInternalServerError
			if path == "" || path == "/note" && stored {
				want = http.StatusOK // nothing new is needed: a renewal can wait
			}
			r := c.Visit("/")
			if path != "" {
				r = act(c, path)
			}
			if r.StatusCode != want || len(r.Cookies()) > 0 {
				t.Errorf("%s, %q: got %d with cookies %v, want %d without", kind, path, r.StatusCode, r.Cookies(), want)
			}
			if got := s.outcomes(); !strings.Contains(got, ":internal") && !strings.Contains(got, "failed:renewal") {
				t.Errorf("%s, %q: the owner is told %q", kind, path, got)
			}
		}
		if got := s.claims(c); got != before[kind] {
			t.Errorf("%s: got %+v afterwards, want %+v", kind, got, before[kind])
		}
	}
	if got := s.store.rows(t); got != rows {
		t.Errorf("got %d users, want %d", got, rows)
	}
}
