package oidc_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// An op is a provider that can be told to misbehave; the tests in
// internal/providers go to real ones. It is reached without a network.
type op struct {
	t      testing.TB
	issuer string
	key    *ecdsa.PrivateKey

	// Faults; nil and zero is none.
	claims    func(map[string]any)                       // of the ID token
	sign      func(jose.SigningKey) jose.SigningKey      // how it is signed
	idToken   func(string) string                        // what is sent
	userinfo  map[string]any                             // nil: the subject alone
	discovery func(map[string]any)                       // the document
	token     func(http.ResponseWriter, url.Values) bool // true: it has answered
	public    bool                                       // the client has no secret
	down      bool
	fails     string // the path that answers with 500

	mu    sync.Mutex
	last  string                // the subject of the last ID token
	codes map[string]url.Values // of the request each was issued for
	calls map[string]int        // by path
}

func newOP(t testing.TB, issuer string) *op {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &op{t: t, issuer: issuer, key: key, codes: map[string]url.Values{}, calls: map[string]int{}}
}

const accessToken = "at-3f1c9e"

// answer is the provider's page: the user says yes, as sub. It returns the
// parameters that the browser brings back.
func (o *op) answer(to *url.URL, sub string) url.Values {
	q := to.Query()
	code := rand.Text()
	q.Set("sub", sub)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.codes[code] = q
	return url.Values{"code": {code}, "state": {q.Get("state")}}
}

func (o *op) called(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls[path]
}

func (o *op) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls[r.URL.Path]++
	say := func(v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	fail := func(code string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "ann@example.com did it"})
	}
	if r.URL.Path == o.fails {
		http.Error(w, "ann@example.com: "+accessToken, http.StatusInternalServerError)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		doc := map[string]any{
			"issuer": o.issuer, "authorization_endpoint": o.issuer + "/authorize", "token_endpoint": o.issuer + "/token",
			"jwks_uri": o.issuer + "/keys", "userinfo_endpoint": o.issuer + "/userinfo",
			"id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"},
		}
		if o.discovery != nil {
			o.discovery(doc)
		}
		say(doc)
	case "/keys":
		say(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: o.key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
	case "/userinfo":
		if r.Header.Get("Authorization") != "Bearer "+accessToken {
			fail("invalid_token")
			return
		}
		if o.userinfo == nil {
			say(map[string]any{"sub": o.last})
			return
		}
		say(o.userinfo)
	case "/token":
		if err := r.ParseForm(); err != nil {
			fail("invalid_request")
			return
		}
		if o.token != nil && o.token(w, r.PostForm) {
			return
		}
		asked, ok := o.codes[r.PostForm.Get("code")]
		delete(o.codes, r.PostForm.Get("code"))
		id, secret, _ := r.BasicAuth()
		id, secret = cmp.Or(id, r.PostForm.Get("client_id")), cmp.Or(secret, r.PostForm.Get("client_secret"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		switch {
		case id != "client" || (secret == "") != o.public || secret != "" && secret != "secret":
			fail("invalid_client")
		case !ok, asked.Get("redirect_uri") != r.PostForm.Get("redirect_uri"):
			fail("invalid_grant")
		case asked.Get("code_challenge_method") != "S256", asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]):
			fail("invalid_grant")
		default:
			say(map[string]any{"access_token": accessToken, "token_type": "Bearer", "id_token": o.mint(asked)})
		}
	default:
		http.NotFound(w, r)
	}
}

// mint returns the ID token for a request.
func (o *op) mint(asked url.Values) string {
	now := time.Now()
	c := map[string]any{
		"iss": o.issuer, "sub": asked.Get("sub"), "aud": "client", "nonce": asked.Get("nonce"),
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	if o.claims != nil {
		o.claims(c)
	}
	o.last, _ = c["sub"].(string)
	payload, err := json.Marshal(c)
	if err != nil {
		o.t.Error(err)
	}
	key := jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: o.key, KeyID: "1"}}
	if o.sign != nil {
		key = o.sign(key)
	}
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		o.t.Error(err)
		return ""
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		o.t.Error(err)
		return ""
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		o.t.Error(err)
	}
	if o.idToken != nil {
		token = o.idToken(token)
	}
	return token
}

// A web routes requests to handlers by their host.
type web map[string]http.Handler

func (n web) RoundTrip(r *http.Request) (*http.Response, error) {
	h := n[r.URL.Host]
	if o, ok := h.(*op); h == nil || ok && o.down {
		return nil, fmt.Errorf("dial tcp: connection to %s refused", r.URL.Host)
	}
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	response := w.Result()
	response.Request = r
	return response, nil
}
