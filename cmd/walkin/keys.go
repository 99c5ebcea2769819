package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http/httptest"
	"os"
	"runtime"

	"github.com/spf13/cobra"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store/memstore"
)

func keysCommand() *cobra.Command {
	return group("keys", "Make, rotate and check the keys that sign tokens", keysGenerate(), keysRotate(), keysJWKS(), keysCheck())
}

var b64 = base64.RawURLEncoding.EncodeToString

// generate makes a private JWK (RFC 7517, RFC 8037).
func generate(alg string) (map[string]string, error) {
	switch alg {
	case "EdDSA":
		public, private, err := ed25519.GenerateKey(rand.Reader)
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "alg": alg, "use": "sig", "x": b64(public), "d": b64(private.Seed())}, err
	case "ES256":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		point, err := key.PublicKey.Bytes() // 4, x, y
		if err != nil {
			return nil, err
		}
		scalar, err := key.Bytes()
		return map[string]string{"kty": "EC", "crv": "P-256", "alg": alg, "use": "sig", "x": b64(point[1:33]), "y": b64(point[33:]), "d": b64(scalar)}, err
	case "RS256":
		key, err := rsa.GenerateKey(rand.Reader, 3072)
		if err != nil {
			return nil, err
		}
		n := func(i *big.Int) string { return b64(i.Bytes()) }
		return map[string]string{"kty": "RSA", "alg": alg, "use": "sig", "n": n(key.N), "e": n(big.NewInt(int64(key.E))), "d": n(key.D),
			"p": n(key.Primes[0]), "q": n(key.Primes[1]), "dp": n(key.Precomputed.Dp), "dq": n(key.Precomputed.Dq), "qi": n(key.Precomputed.Qinv)}, nil
	case "HS256":
		secret := make([]byte, 32)
		_, err := rand.Read(secret)
		return map[string]string{"kty": "oct", "alg": alg, "use": "sig", "k": b64(secret)}, err
	}
	return nil, fmt.Errorf("--alg %q is not EdDSA, ES256, RS256 or HS256", alg)
}

func keysGenerate() *cobra.Command {
	var alg string
	c := command("generate", "Make a key set with one new key, on standard output", cobra.NoArgs, func(t *tool, _ []string) error {
		key, err := generate(alg)
		if err != nil {
			return err
		}
		t.say("this is secret: keep it where the app alone can read it")
		return printJSON(t.out, map[string]any{"keys": []any{key}})
	})
	c.Flags().StringVar(&alg, "alg", "EdDSA", "EdDSA, ES256, RS256 or HS256")
	return c
}

// A keySet is a JWKS. Keys that it keeps stay as they are written.
type keySet struct {
	Keys []json.RawMessage `json:"keys"`
}

// readKeys reads a key set from standard input or a file. The set is never an argument,
// which other users of the machine could read.
func readKeys(c *cobra.Command, file string) (keySet, []walkin.Key, error) {
	var set keySet
	var in io.Reader = c.InOrStdin()
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return set, nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return set, nil, err
	}
	keys, err := walkin.ParseJWKS(data)
	if err != nil {
		return set, nil, err
	}
	return set, keys, json.Unmarshal(data, &set)
}

func keysFlag(c *cobra.Command) *string {
	return c.Flags().String("keys", "", "the file with the key set; standard input otherwise")
}

func keysRotate() *cobra.Command {
	var file *string
	var alg, step string
	var c *cobra.Command
	c = command("rotate", "Write a key set that is one step on", cobra.NoArgs, func(t *tool, _ []string) error {
		set, _, err := readKeys(c, *file)
		if err != nil {
			return err
		}
		switch n := len(set.Keys); {
		case step == "announce":
			key, err := generate(alg)
			if err != nil {
				return err
			}
			text, err := json.Marshal(key)
			if err != nil {
				return err
			}
			set.Keys = append(set.Keys, text)
			t.say("the new key is the last one and signs nothing yet; when every replica has this set: --step sign")
		case step == "sign" && n > 1:
			set.Keys = append([]json.RawMessage{set.Keys[n-1]}, set.Keys[:n-1]...)
			t.say("the new key signs; when the longest life of a token has passed (30 days): --step remove")
		case step == "remove" && n > 1:
			set.Keys = set.Keys[:1]
			t.say("tokens of the other %d keys are worth nothing from now on", n-1)
		case step == "sign", step == "remove":
			return errors.New("there is one key; --step announce adds another")
		default:
			return errors.New("--step is announce, sign or remove; docs/keys.md says when")
		}
		return printJSON(t.out, set)
	})
	file = keysFlag(c)
	c.Flags().StringVar(&alg, "alg", "EdDSA", "of the new key: EdDSA, ES256, RS256 or HS256")
	c.Flags().StringVar(&step, "step", "", "announce, sign or remove")
	return c
}

func keysJWKS() *cobra.Command {
	var file *string
	var c *cobra.Command
	c = command("jwks", "Write the public half of a key set", cobra.NoArgs, func(t *tool, _ []string) error {
		_, keys, err := readKeys(c, *file)
		if err != nil {
			return err
		}
		text, err := publicKeys(keys)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(t.out, "%s\n", text)
		return err
	})
	file = keysFlag(c)
	return c
}

// publicKeys is what a site with these keys publishes.
func publicKeys(keys []walkin.Key) ([]byte, error) {
	wk, err := walkin.New(walkin.Config{Keys: keys, Store: memstore.New()})
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	wk.JWKSHandler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return w.Body.Bytes(), nil
}

func keysCheck() *cobra.Command {
	var file *string
	var c *cobra.Command
	c = command("check", "Say what a key set is worth; exits with 1 if something is wrong", cobra.NoArgs, func(t *tool, _ []string) error {
		findings := []string{}
		if *file != "" && runtime.GOOS != "windows" {
			if info, err := os.Stat(*file); err == nil && info.Mode().Perm()&0o077 != 0 {
				findings = append(findings, fmt.Sprintf("others can read the file: mode %04o", info.Mode().Perm()))
			}
		}
		_, keys, err := readKeys(c, *file)
		if err == nil {
			_, err = publicKeys(keys)
		}
		if err != nil {
			findings = append(findings, err.Error())
		}
		type one struct {
			ID   string `json:"id"`
			Alg  string `json:"alg"`
			Role string `json:"role"`
		}
		all := []one{}
		for i, key := range keys {
			role := "verifies"
			if i == 0 {
				role = "signs and verifies"
			}
			all = append(all, one{key.ID, algOf(key), role})
		}
		printed := t.print(map[string]any{"keys": all, "findings": findings}, func(w io.Writer) {
			for _, key := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\n", printable(key.ID), key.Alg, key.Role)
			}
			for _, finding := range findings {
				fmt.Fprintf(w, "finding\t%s\n", finding)
			}
		})
		if printed == nil && len(findings) > 0 {
			return errFindings
		}
		return printed
	})
	file = keysFlag(c)
	return c
}

func algOf(key walkin.Key) string {
	switch public := publicOf(key).(type) {
	case nil:
		return "HS256"
	case ed25519.PublicKey:
		return "EdDSA"
	case *ecdsa.PublicKey:
		return "ES256"
	default:
		_ = public
		return "RS256"
	}
}

func publicOf(key walkin.Key) crypto.PublicKey {
	if key.Private == nil {
		return nil
	}
	return key.Private.Public()
}
