package bench_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// withContext is the minimum for a middleware that tells a handler who the visitor is.
// next is a variable of the package, so that the compiler cannot see what it does with
// the request and must really copy it.
var withContext http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	hello.ServeHTTP(w, r.WithContext(somebody))
})

var somebody = context.WithValue(context.Background(), handKey{}, "somebody")

// withValue is withContext with a value for each request, and a handler that asks for it.
var withValue http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	valuePage.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handKey{}, "somebody")))
})

// byHeart is the minimum for a visitor who returns with a token, in a middleware that
// knows only one token and trusts it for an hour. It looks for a bearer, finds the last
// cookie, compares it, reads the clock, and tells the handler.
func byHeart(token string) http.Handler {
	began, name := time.Now(), "; "+cookieName+"="
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lines := r.Header["Cookie"]
		if len(r.Header["Authorization"]) > 0 || len(lines) != 1 || time.Since(began) > time.Hour {
			http.Error(w, "somebody else", http.StatusUnauthorized)
			return
		}
		if at := strings.Index(lines[0], name); at < 0 || lines[0][at+len(name):] != token {
			http.Error(w, "somebody else", http.StatusUnauthorized)
			return
		}
		valuePage.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handKey{}, "somebody")))
	})
}

var valuePage http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, ok := r.Context().Value(handKey{}).(string)
	answer(w, ok)
})

// A bareClaims is the payload of a token, for encoding/json.
type bareClaims struct {
	Issuer    string    `json:"iss"`
	Subject   uuid.UUID `json:"sub"`
	Audience  string    `json:"aud"`
	ExpiresAt int64     `json:"exp"`
	IssuedAt  int64     `json:"iat"`
	SessionID uuid.UUID `json:"session_id"`
	Role      string    `json:"role"`
	Anonymous bool      `json:"is_anonymous"`
	AMR       []bareAMR `json:"amr"`
	Prov      bool      `json:"prov,omitempty"`
}

type bareAMR struct {
	Method string `json:"method"`
	At     int64  `json:"timestamp"`
}

// bareVerify is the signature alone, by the standard library.
func bareVerify(tb testing.TB, k key) func(message, signature []byte) bool {
	switch public := k.verify().(type) {
	case []byte:
		return func(message, signature []byte) bool {
			mac := hmac.New(sha256.New, public)
			mac.Write(message)
			var sum [sha256.Size]byte
			return hmac.Equal(mac.Sum(sum[:0]), signature)
		}
	case ed25519.PublicKey:
		return func(message, signature []byte) bool { return ed25519.Verify(public, message, signature) }
	case *ecdsa.PublicKey:
		return func(message, signature []byte) bool {
			if len(signature) != 64 {
				return false
			}
			r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
			return ecdsa.Verify(public, digest(message), r, s)
		}
	case *rsa.PublicKey:
		return func(message, signature []byte) bool {
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest(message), signature) == nil
		}
	}
	tb.Fatalf("no bare verification for %s", k.alg)
	return nil
}

// bareSign is the signature alone, by the standard library.
func bareSign(tb testing.TB, k key) func(message []byte) []byte {
	switch private := k.sign().(type) {
	case []byte:
		return func(message []byte) []byte {
			mac := hmac.New(sha256.New, private)
			mac.Write(message)
			return mac.Sum(nil)
		}
	case ed25519.PrivateKey:
		return func(message []byte) []byte { return ed25519.Sign(private, message) }
	case *ecdsa.PrivateKey:
		return func(message []byte) []byte {
			r, s, err := ecdsa.Sign(rand.Reader, private, digest(message))
			if err != nil {
				return nil
			}
			signature := make([]byte, 64)
			r.FillBytes(signature[:32])
			s.FillBytes(signature[32:])
			return signature
		}
	case *rsa.PrivateKey:
		return func(message []byte) []byte {
			signature, err := rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest(message))
			if err != nil {
				return nil
			}
			return signature
		}
	}
	tb.Fatalf("no bare signing for %s", k.alg)
	return nil
}

// split returns what a token's signature covers, and the signature.
func split(tb testing.TB, token string) (message, signature []byte) {
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		tb.Fatal(err)
	}
	return []byte(token[:dot]), signature
}

// bareMiss verifies and decodes with the minimum of code: the signature, base64 and
// encoding/json, and a request that knows whose it is.
func bareMiss(tb testing.TB, k key) http.Handler {
	verify := bareVerify(tb, k)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(cookieName)
		if err != nil {
			answer(w, false)
			return
		}
		claims, err := bareDecode(verify, cookie.Value)
		if err != nil {
			answer(w, false)
			return
		}
		barePage.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handKey{}, claims)))
	})
}

var barePage http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(handKey{}).(*bareClaims)
	answer(w, ok && c.Subject != uuid.Nil)
})

func bareDecode(verify func(message, signature []byte) bool, token string) (*bareClaims, error) {
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		return nil, err
	}
	if !verify([]byte(token[:dot]), signature) {
		return nil, http.ErrNoCookie
	}
	body, err := base64.RawURLEncoding.DecodeString(token[strings.IndexByte(token, '.')+1 : dot])
	if err != nil {
		return nil, err
	}
	claims := new(bareClaims)
	return claims, json.Unmarshal(body, claims)
}

// bareFirst makes a user, signs their token and sets the cookie, with the
// standard library and uuid alone.
func bareFirst(tb testing.TB, k key) http.Handler {
	sign := bareSign(tb, k)
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+k.alg+`","kid":"AAAAAAAAAAAA","typ":"JWT"}`)) + "."
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := uuid.NewV7()
		if err != nil {
			answer(w, false)
			return
		}
		now := time.Now()
		body, err := json.Marshal(&bareClaims{
			Issuer: "walkin", Subject: user, Audience: "walkin", SessionID: uuid.New(), Role: "authenticated",
			ExpiresAt: now.Add(lifetime).Unix(), IssuedAt: now.Unix(), Anonymous: true, Prov: true,
			AMR: []bareAMR{{"anonymous", now.Unix()}},
		})
		if err != nil {
			answer(w, false)
			return
		}
		token := base64.RawURLEncoding.AppendEncode([]byte(header), body)
		signature := sign(token)
		token = base64.RawURLEncoding.AppendEncode(append(token, '.'), signature)
		setCookie(w, string(token))
		answer(w, signature != nil)
	})
}
