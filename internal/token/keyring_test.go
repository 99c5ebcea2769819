package token_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin/internal/token"
)

var secret = []byte("a secret that is only of this test")

func keyring(t *testing.T, keys, anonymous []token.Key) *token.Keyring {
	t.Helper()
	r, err := token.NewKeyring(keys, anonymous, "walkin", "walkin")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// signed returns a token with the header of another one and a payload of any kind,
// signed by the secret.
func signed(like string, payload []byte) string {
	header, _, _ := strings.Cut(like, ".")
	text := header + "." + base64.RawURLEncoding.EncodeToString(payload)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// TestClaims holds which claims make no visitor though one of our keys signed them, as
// another service that has the key may do.
func TestClaims(t *testing.T) {
	r := keyring(t, []token.Key{{Secret: secret}}, nil)
	now := time.Unix(1_795_000_000, 0)
	like, err := r.Issue(token.Claims{UserID: uuid.New(), SessionID: uuid.New(), Anonymous: true, IssuedAt: now, ExpiresAt: now}, token.Session, "walkin")
	if err != nil {
		t.Fatal(err)
	}
	user, session := uuid.New(), uuid.New()
	for _, tt := range []struct {
		name   string
		change map[string]any // nil takes a claim away
		status token.Status
		reason token.Reason
	}{
		{"all of them", map[string]any{}, token.Valid, ""},
		{"more than ours", map[string]any{"x": 1}, token.Valid, ""},
		{"another issuer", map[string]any{"iss": "other"}, token.Invalid, token.ReasonForeign},
		{"another audience", map[string]any{"aud": "other"}, token.Invalid, token.ReasonForeign},
		{"another role", map[string]any{"role": "anon"}, token.Invalid, token.ReasonForeign},
		{"app claims that are no object", map[string]any{"app": []int{1}}, token.Invalid, token.ReasonForeign},
		{"app claims that are a digit", map[string]any{"app": 7}, token.Invalid, token.ReasonForeign},
		{"app claims", map[string]any{"app": map[string]int{"a": 1}}, token.Valid, ""},
		{"no user", map[string]any{"sub": nil}, token.Invalid, token.ReasonIncomplete},
		{"a user that is none", map[string]any{"sub": uuid.Nil}, token.Invalid, token.ReasonIncomplete},
		{"no session", map[string]any{"session_id": nil}, token.Invalid, token.ReasonIncomplete},
		{"no flag", map[string]any{"is_anonymous": nil}, token.Invalid, token.ReasonIncomplete},
		{"no time of issue", map[string]any{"iat": nil}, token.Invalid, token.ReasonIncomplete},
		{"no expiry", map[string]any{"exp": nil}, token.Invalid, token.ReasonIncomplete},
		{"no method", map[string]any{"amr": nil}, token.Invalid, token.ReasonIncomplete},
		{"two methods", map[string]any{"amr": []map[string]any{{"method": "pwd"}, {"method": "otp"}}}, token.Invalid, token.ReasonIncomplete},
		{"a permanent user who is not stored", map[string]any{"prov": true, "is_anonymous": false}, token.Invalid, token.ReasonIncomplete},
		{"an anonymous user who is not stored", map[string]any{"prov": true}, token.Valid, ""},
		{"a minute ago", map[string]any{"exp": now.Unix() - 60}, token.Valid, ""},
		{"longer ago", map[string]any{"exp": now.Unix() - 61}, token.Invalid, token.ReasonExpired},
		{"a minute ahead", map[string]any{"iat": now.Unix() + 60}, token.Valid, ""},
		{"further ahead", map[string]any{"iat": now.Unix() + 61}, token.Unverifiable, token.ReasonClockSkew},
		{"a wrong type", map[string]any{"exp": "now"}, token.Invalid, token.ReasonMalformed},
	} {
		claims := map[string]any{"iss": "walkin", "sub": user, "aud": "walkin", "exp": now.Unix() + 60, "iat": now.Unix(), "session_id": session,
			"role": "authenticated", "is_anonymous": true, "amr": []map[string]any{{"method": "anonymous", "timestamp": now.Unix()}}}
		maps.Copy(claims, tt.change)
		maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
		payload, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		c, _, status, reason := r.Verify(signed(like, payload), false, now)
		if status != tt.status || reason != tt.reason || (c.UserID == user && c.SessionID == session) != (tt.status == token.Valid) {
			t.Errorf("%s: got %d %q and %+v, want %d %q", tt.name, status, reason, c, tt.status, tt.reason)
		}
	}
}

// TestIssued holds that what is issued is read as it was, in each kind of token: of an
// anonymous user without a method.
func TestIssued(t *testing.T) {
	now := time.Unix(1_795_000_000, 0)
	r := keyring(t, []token.Key{{Secret: secret}}, nil)
	permanent := token.Claims{UserID: uuid.New(), SessionID: uuid.New(), Method: "pwd", ProvenAt: now.Add(-time.Hour), IssuedAt: now, ExpiresAt: now.Add(time.Hour), App: `{"a":1}`, Database: "db"}
	anonymous := token.Claims{UserID: uuid.New(), SessionID: uuid.New(), Anonymous: true, Provisional: true, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	for _, c := range []token.Claims{permanent, anonymous} {
		for _, kind := range []token.Kind{token.Session, token.Access} {
			text, err := r.Issue(c, kind, "walkin")
			if err != nil {
				t.Fatal(err)
			}
			for _, bearer := range []bool{false, true} {
				got, access, status, reason := r.Verify(text, bearer, now)
				if ok := kind == token.Session || bearer; ok && (got != c || status != token.Valid || access != (kind == token.Access)) || !ok && (status != token.Invalid || reason != token.ReasonMalformed) {
					t.Errorf("%s, bearer %t: got %+v, %t, %d %q, want %+v", kind, bearer, got, access, status, reason, c)
				}
			}
			if _, _, status := r.VerifyActing(text, now); status != token.Invalid {
				t.Errorf("%s as an operator's: got %d", kind, status)
			}
			changed := text[:len(text)-4] + "AAAA"
			if _, _, status, reason := r.Verify(changed, true, now); status != token.Invalid || reason != token.ReasonForged {
				t.Errorf("%s with another signature: got %d %q", kind, status, reason)
			}
		}
	}
}

// TestActing holds which tokens an operator sees a site with.
func TestActing(t *testing.T) {
	now := time.Unix(1_795_000_000, 0)
	r := keyring(t, []token.Key{{Secret: secret}}, nil)
	c := token.Claims{UserID: uuid.New(), SessionID: uuid.New(), Method: "pwd", ProvenAt: now, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	actor := token.Actor{UserID: uuid.New(), SessionID: uuid.New()}
	text, err := r.IssueActing(c, actor, "walkin")
	if err != nil {
		t.Fatal(err)
	}
	if got, by, status := r.VerifyActing(text, now); got != c || by != actor || status != token.Valid {
		t.Errorf("got %+v by %+v, %d", got, by, status)
	}
	if _, _, status := r.VerifyActing(text, now.Add(2*time.Hour)); status != token.Invalid {
		t.Errorf("two hours later: got %d", status)
	}
	for _, bearer := range []bool{false, true} {
		if _, _, status, _ := r.Verify(text, bearer, now); status != token.Invalid {
			t.Errorf("as a visitor's, bearer %t: got %d", bearer, status)
		}
	}
	other := keyring(t, []token.Key{{Secret: []byte("another secret, just as long as it is")}}, nil)
	if _, _, status := other.VerifyActing(text, now); status != token.Unverifiable {
		t.Errorf("by a replica with another key: got %d", status)
	}
	_, payload, _ := strings.Cut(text, ".")
	payload, _, _ = strings.Cut(payload, ".")
	plain, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	for name, act := range map[string]string{
		"no operator":             "",
		"nothing of an operator":  `,"act":null`,
		"an operator of no name":  `,"act":{"session_id":"` + actor.SessionID.String() + `"}`,
		"an operator signed out":  `,"act":{"sub":"` + actor.UserID.String() + `"}`,
		"an operator of no shape": `,"act":7`,
	} {
		before, _, _ := bytes.Cut(plain, []byte(`,"act":`))
		if _, _, status := r.VerifyActing(signed(text, []byte(string(before)+act+"}")), now); status != token.Invalid {
			t.Errorf("%s: got %d", name, status)
		}
	}
	for name, broken := range map[string]string{"nothing": "", "half": text[:len(text)/2], "another signature": text[:len(text)-4] + "AAAA", "too long": text + strings.Repeat("A", token.MaxSize)} {
		if _, _, status := r.VerifyActing(broken, now); status != token.Invalid {
			t.Errorf("%s: got %d", name, status)
		}
	}
	c.App = "{"
	if _, err := r.IssueActing(c, actor, "walkin"); err == nil {
		t.Error("app claims that are no JSON: got no error")
	}
}

// TestAnonymousKeys holds that a key of anonymous users' access tokens makes no permanent
// user, and that its tokens are over, or ahead, for the same reasons as others.
func TestAnonymousKeys(t *testing.T) {
	now := time.Unix(1_795_000_000, 0)
	another := []byte("another secret, just as long as it is")
	r := keyring(t, []token.Key{{ID: "main", Secret: another}}, []token.Key{{ID: "guests", Secret: secret}})
	c := token.Claims{UserID: uuid.New(), SessionID: uuid.New(), Anonymous: true, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	text, err := r.Issue(c, token.Access, "walkin")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]token.Reason{0: "", 2 * time.Hour: token.ReasonExpired, -time.Hour: token.ReasonClockSkew} {
		if _, _, status, reason := r.Verify(text, true, now.Add(at)); reason != want || (status == token.Valid) != (want == "") {
			t.Errorf("%v later: got %d %q, want %q", at, status, reason, want)
		}
	}
	_, payload, _ := strings.Cut(text, ".")
	payload, _, _ = strings.Cut(payload, ".")
	plain, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	permanent := bytes.Replace(plain, []byte(`"is_anonymous":true`), []byte(`"is_anonymous":false`), 1)
	if _, _, status, reason := r.Verify(signed(text, permanent), true, now); status != token.Invalid || reason != token.ReasonForged {
		t.Errorf("a permanent user: got %d %q", status, reason)
	}
}

// TestUnknownKeys holds which headers may be those of a replica with other keys: exactly
// ours, with an ID that is not among ours and that a key can have.
func TestUnknownKeys(t *testing.T) {
	r := keyring(t, []token.Key{{ID: "main", Secret: secret}}, nil)
	long := strings.Repeat("a", 64) + "." + strings.Repeat("b", 12)
	for header, want := range map[string]token.Status{
		`{"alg":"HS256","kid":"x","typ":"JWT"}`:              token.Unverifiable,
		`{"alg":"EdDSA","kid":"x","typ":"JWT"}`:              token.Unverifiable,
		`{"alg":"ES256","kid":"x","typ":"JWT"}`:              token.Unverifiable,
		`{"alg":"RS256","kid":"x","typ":"JWT"}`:              token.Unverifiable,
		`{"alg":"HS256","kid":"` + long + `","typ":"JWT"}`:   token.Unverifiable,
		`{"alg":"HS256","kid":"` + long + `c","typ":"JWT"}`:  token.Invalid,
		`{"alg":"HS256","kid":"","typ":"JWT"}`:               token.Invalid,
		`{"alg":"HS256","kid":"a b","typ":"JWT"}`:            token.Invalid,
		`{"alg":"none","kid":"x","typ":"JWT"}`:               token.Invalid,
		`{"alg":"HS512","kid":"x","typ":"JWT"}`:              token.Invalid,
		`{"alg":"HS256","typ":"JWT"}`:                        token.Invalid,
		`{"typ":"JWT","alg":"HS256","kid":"x"}`:              token.Invalid,
		`{"alg":"HS256","kid":"x","typ":"JWT","crit":["x"]}`: token.Invalid,
		`{"alg":"HS256","kid":"x","typ":"at+jwt"}`:           token.Invalid, // in a cookie
		strings.Repeat("x", 200):                             token.Invalid,
	} {
		text := base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30.AAAA"
		if _, _, status, _ := r.Verify(text, false, time.Now()); status != want {
			t.Errorf("%s: got %d, want %d", header, status, want)
		}
	}
	access := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"x","typ":"at+jwt"}`))
	if _, _, status, _ := r.Verify(access+".e30.AAAA", true, time.Now()); status != token.Unverifiable || !r.IsOurs(access+".e30.AAAA") {
		t.Errorf("an access token: got %d, ours %t", status, r.IsOurs(access+".e30.AAAA"))
	}
	for _, header := range []string{"!" + access, access + "=", access[:len(access)-1] + "!"} {
		if _, _, status, _ := r.Verify(header+".e30.AAAA", true, time.Now()); status != token.Invalid || r.IsOurs(header+".e30.AAAA") {
			t.Errorf("%s: got %d", header, status)
		}
	}
}

// TestDerivedFromTheSecretPart holds what is derived, for each kind of key: from all that
// is secret of it, with the length of each part in front of it.
func TestDerivedFromTheSecretPart(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := curve.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		kind   string
		key    token.Key
		secret []byte
	}{
		{"secret", token.Key{Secret: secret}, secret},
		{"Ed25519", token.Key{Private: edwards}, edwards.Seed()},
		{"P-256", token.Key{Private: crypto.Signer(curve)}, scalar},
		{"RSA", token.Key{Private: private}, append(private.N.FillBytes(make([]byte, 256)), private.D.FillBytes(make([]byte, 256))...)},
	} {
		info := []byte("walkin derive v1")
		for _, part := range []string{tt.kind, "purpose"} {
			info = append(binary.BigEndian.AppendUint64(info, uint64(len(part))), part...)
		}
		want, err := hkdf.Key(sha256.New, tt.secret, nil, string(info), 32)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tt.key.Derive("purpose"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, %v, want %x", tt.kind, got, err, want)
		}
		if _, err := tt.key.Derive(""); err == nil {
			t.Errorf("%s, for no purpose: got no error", tt.kind)
		}
	}
}

// TestWiped holds that a key works on when its owner wipes what it was made from.
func TestWiped(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := bytes.Clone(secret)
	now := time.Now()
	for name, tt := range map[string]struct {
		key  token.Key
		wipe []byte
	}{"a secret": {token.Key{Secret: own}, own}, "a private key": {token.Key{Private: private}, private}} {
		r := keyring(t, []token.Key{tt.key}, nil)
		clear(tt.wipe)
		text, err := r.Issue(token.Claims{UserID: uuid.New(), SessionID: uuid.New(), Anonymous: true, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}, token.Session, "walkin")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, status, reason := r.Verify(text, false, now); status != token.Valid {
			t.Errorf("%s: got %d %q", name, status, reason)
		}
	}
}
