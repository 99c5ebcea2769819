package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/walkin-go/walkin/credential/oidc"
)

// A sampleID is an OpenID provider that believes everybody: a stand-in for
// Google and its like. A site that had it would let anybody be anybody.
type sampleID struct {
	issuer, callback string
	secret           string // of its one client, this site
	key              jose.JSONWebKey
	mux              *http.ServeMux

	mu    sync.Mutex
	codes map[string]grant
}

// A grant is what a user said yes to.
type grant struct {
	name, nonce, challenge string
	at                     time.Time
}

// sampleIDPath is where it is served.
const sampleIDPath = "/sample-id/"

func newSampleID(base string) (*sampleID, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	p := &sampleID{
		issuer: base + "/sample-id", callback: base + "/account/provider/callback/sample", secret: rand.Text(),
		key:   jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: string(jose.ES256), Use: "sig"},
		mux:   http.NewServeMux(),
		codes: map[string]grant{},
	}
	p.mux.HandleFunc("GET "+sampleIDPath+".well-known/openid-configuration", p.discovery)
	p.mux.HandleFunc("GET "+sampleIDPath+"keys", p.keys)
	p.mux.Handle("GET "+sampleIDPath+"sampleid.css", http.StripPrefix(sampleIDPath, http.FileServer(http.Dir("testdata"))))
	p.mux.HandleFunc("GET "+sampleIDPath+"authorize", p.authorize)
	p.mux.HandleFunc("POST "+sampleIDPath+"authorize", p.authorize)
	p.mux.HandleFunc("POST "+sampleIDPath+"token", p.token)
	return p, nil
}

func (p *sampleID) provider() oidc.Provider {
	return oidc.Provider{Name: "sample", Title: "Sample ID", Issuer: p.issuer, ClientID: "margin", ClientSecret: p.secret}
}

func (p *sampleID) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	p.mux.ServeHTTP(w, r)
}

func (p *sampleID) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                p.issuer,
		"authorization_endpoint":                p.issuer + "/authorize",
		"token_endpoint":                        p.issuer + "/token",
		"jwks_uri":                              p.issuer + "/keys",
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
		"code_challenge_methods_supported":      []string{"S256"},
	})
}

func (p *sampleID) keys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.key.Public()}})
}

// authorize asks the visitor who they are, and sends them back with the answer.
func (p *sampleID) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != "margin" || q.Get("redirect_uri") != p.callback || q.Get("code_challenge_method") != "S256" {
		http.Error(w, "Sample ID knows Margin alone.", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}}
	name := strings.TrimSpace(r.PostFormValue("name"))
	switch {
	case r.PostFormValue("no") != "":
		back.Set("error", "access_denied")
	case r.Method != http.MethodPost || name == "" || utf8.RuneCountInString(name) > 40:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		http.ServeFile(w, r, "testdata/sampleid.html")
		return
	default:
		code := rand.Text()
		back.Set("code", code)
		p.keep(code, grant{name, q.Get("nonce"), q.Get("code_challenge"), time.Now()})
	}
	http.Redirect(w, r, p.callback+"?"+back.Encode(), http.StatusSeeOther)
}

const grantTime = time.Minute

func (p *sampleID) keep(code string, g grant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for old, g := range p.codes {
		if time.Since(g.at) > grantTime {
			delete(p.codes, old)
		}
	}
	p.codes[code] = g
}

func (p *sampleID) take(code string) (grant, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.codes[code]
	delete(p.codes, code)
	return g, ok && time.Since(g.at) < grantTime
}

// token hands the ID token to the site.
func (p *sampleID) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if id != "margin" || subtle.ConstantTimeCompare([]byte(secret), []byte(p.secret)) != 1 {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	g, ok := p.take(r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) || r.PostFormValue("redirect_uri") != p.callback {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	token, err := p.sign(map[string]any{
		"iss": p.issuer, "aud": "margin", "sub": strings.ToLower(g.name), "name": g.name, "nonce": g.nonce,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		"auth_time": g.at.Unix(), // they typed it, each time
	})
	if err != nil {
		http.Error(w, "Sample ID cannot sign.", http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "id_token": token})
}

func (p *sampleID) sign(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: p.key}, nil)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the only error is a client that went away
}
