package token_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/token"
)

// TestKeys holds which keys sign, alone and beside others.
func TestKeys(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 there is no other way to take a part of a key away
	halved := ecdsa.PrivateKey{PublicKey: ecdsa.PublicKey{Curve: curve.Curve, Y: curve.Y}, D: curve.D}
	main := token.Key{Secret: secret}
	for _, tt := range []struct {
		name            string
		keys, anonymous []token.Key
		want            string // in the error
	}{
		{"a secret", []token.Key{main}, nil, ""},
		{"none", nil, nil, "Config.Keys is empty"},
		{"an ID of 64", []token.Key{{ID: strings.Repeat("a", 64), Secret: secret}}, nil, ""},
		{"an ID of 65", []token.Key{{ID: strings.Repeat("a", 65), Secret: secret}}, nil, "its ID is not"},
		{"an ID of other signs", []token.Key{{ID: "a b", Secret: secret}}, nil, "its ID is not"},
		{"31 bytes", []token.Key{{Secret: secret[:31]}}, nil, "its secret has 31 bytes"},
		{"32 bytes", []token.Key{{Secret: secret[:32]}}, nil, ""},
		{"one byte repeated", []token.Key{{Secret: make([]byte, 32)}}, nil, "one byte repeated"},
		{"both kinds", []token.Key{{Secret: []byte("x"), Private: edwards}}, nil, "both a secret and a private key"},
		{"half a point", []token.Key{{Private: &halved}}, nil, "no public part"},
		{"the public part of an RSA key", []token.Key{{Private: &rsa.PrivateKey{PublicKey: private.PublicKey}}}, nil, "no private part"},
		{"two of an ID", []token.Key{{ID: "a", Secret: secret}, {ID: "a", Private: edwards}}, nil, `its ID "a" is taken`},
		{"one twice", []token.Key{main, main}, nil, "is taken by an earlier key"},
		{"one of the others", []token.Key{main}, []token.Key{{ID: "guests", Secret: secret}}, "it is one of Config.Keys"},
		{"one of the others, private", []token.Key{{Private: edwards}}, []token.Key{{ID: "guests", Private: edwards}}, "it is one of Config.Keys"},
		{"another kind than the others", []token.Key{main, {Private: edwards}}, []token.Key{{Private: curve}, {Private: private}}, ""},
		{"another secret than the others", []token.Key{{Private: edwards}, main}, []token.Key{{Secret: []byte("another secret, just as long as it is")}}, ""},
	} {
		_, err := token.NewKeyring(tt.keys, tt.anonymous, "walkin", "walkin")
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestKeyFile holds that both kinds of a key file are made once, and read again.
func TestKeyFile(t *testing.T) {
	for _, es256 := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "keys.json")
		var ids [2]string
		for i := range ids {
			keys, err := token.KeyFile(path, es256)
			if err != nil || len(keys) != 1 {
				t.Fatalf("got %d keys, %v", len(keys), err)
			}
			r := keyring(t, keys, nil)
			var set struct {
				Keys []struct{ Kid, Alg, Use string }
			}
			if err := json.Unmarshal(r.JWKS(false), &set); err != nil || len(set.Keys) != 1 {
				t.Fatalf("got %s, %v", r.JWKS(false), err)
			}
			if want := map[bool]string{false: "EdDSA", true: "ES256"}[es256]; set.Keys[0].Alg != want || set.Keys[0].Use != "sig" || set.Keys[0].Kid == "" {
				t.Errorf("got %+v, want %s", set.Keys[0], want)
			}
			ids[i] = set.Keys[0].Kid
		}
		if ids[0] != ids[1] {
			t.Errorf("got %q", ids)
		}
	}
	if _, err := token.KeyFile(filepath.Join(t.TempDir(), "nowhere", "keys.json"), false); err == nil || !strings.Contains(err.Error(), "making the key file") {
		t.Errorf("where there is no folder: got %v", err)
	}
}

// TestProfile holds what an access token with a profile carries, and that no part of it
// can be more than one value.
func TestProfile(t *testing.T) {
	r := keyring(t, []token.Key{{Secret: secret}}, nil)
	now := time.Unix(1_795_000_000, 0)
	c := token.Claims{UserID: uuid.New(), SessionID: uuid.New(), Method: "pwd", ProvenAt: now, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	for _, tt := range []struct {
		name    string
		profile token.Profile
		want    string // of what comes behind the claims; "" is an error
	}{
		{"nothing", token.Profile{}, `"email":"","phone":"","app_metadata":{},"user_metadata":{},"aal":"aal1"}`},
		{"all of it", token.Profile{Email: "a@example.com", Phone: "1", AppMetadata: json.RawMessage(` {"a": 1}`), UserMetadata: json.RawMessage(`{"b":[2]}`), AAL: "aal2"},
			`"email":"a@example.com","phone":"1","app_metadata":{"a":1},"user_metadata":{"b":[2]},"aal":"aal2"}`},
		{"a list", token.Profile{AppMetadata: json.RawMessage(`[1]`)}, ""},
		{"more than one value", token.Profile{UserMetadata: json.RawMessage(`{},"sub":"x"`)}, ""},
		{"half a value", token.Profile{UserMetadata: json.RawMessage(`{"a"`)}, ""},
	} {
		text, err := r.IssueProfile(c, tt.profile, "walkin")
		if (err == nil) != (tt.want != "") {
			t.Errorf("%s: got %v", tt.name, err)
		}
		if err != nil {
			continue
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
		if err != nil || !strings.HasSuffix(string(payload), tt.want) {
			t.Errorf("%s: got %s, %v, want %s", tt.name, payload, err, tt.want)
		}
		if got, access, status, _ := r.Verify(text, true, now); got != c || !access || status != token.Valid {
			t.Errorf("%s: got %+v, %t, %d", tt.name, got, access, status)
		}
	}
	largest := 0
	for n := 2000; ; n++ {
		text, err := r.IssueProfile(c, token.Profile{Email: strings.Repeat("x", n)}, "walkin")
		if err != nil {
			if !errors.Is(err, token.ErrTooLarge) || largest != token.MaxSize {
				t.Errorf("too much of it: got %v after %d bytes", err, largest)
			}
			break
		}
		largest = len(text)
	}
	c.App = "{"
	if _, err := r.IssueProfile(c, token.Profile{}, "walkin"); err == nil {
		t.Error("app claims that are no JSON: got no error")
	}
}

// TestShapes holds why a token is none before its claims are read.
func TestShapes(t *testing.T) {
	r := keyring(t, []token.Key{{Secret: secret}}, nil)
	now := time.Unix(1_795_000_000, 0)
	c := token.Claims{UserID: uuid.New(), SessionID: uuid.New(), Anonymous: true, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	issue := func(app int) string {
		c.App = `{"a":"` + strings.Repeat("x", app) + `"}`
		text, err := r.Issue(c, token.Session, "walkin")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	app := 2000
	for len(issue(app)) < token.MaxSize {
		app++
	}
	fits, small := issue(app), issue(1)
	if len(fits) != token.MaxSize {
		t.Fatalf("no token has %d bytes", token.MaxSize)
	}
	for name, tt := range map[string]struct {
		text string
		want token.Reason
	}{
		"as large as may be":     {fits, ""},
		"larger":                 {issue(app + 1), token.ReasonTooLong},
		"no signature":           {small[:strings.LastIndex(small, ".")], token.ReasonMalformed},
		"a signature of no kind": {small[:strings.LastIndex(small, ".")] + ".!!!!", token.ReasonMalformed},
		"padded":                 {small + "=", token.ReasonMalformed},
		"a line break":           {small[:len(small)-2] + "\n" + small[len(small)-2:], token.ReasonMalformed},
		"four parts":             {small + ".AAAA", token.ReasonMalformed},
	} {
		if _, _, status, reason := r.Verify(tt.text, false, now); reason != tt.want || (status == token.Valid) != (tt.want == "") {
			t.Errorf("%s: got %d %q, want %q", name, status, reason, tt.want)
		}
	}
}
