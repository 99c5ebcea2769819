// Package hooks is for machines, which prove themselves in their own way.
package hooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"

	"github.com/walkin-go/walkin"
)

type hooks struct{ secret []byte }

func (h hooks) verify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		mac := hmac.New(sha256.New, h.secret)
		mac.Write(body)
		if sent, err := hex.DecodeString(r.Header.Get("X-Signature")); err != nil || !hmac.Equal(sent, mac.Sum(nil)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (h hooks) paid(w http.ResponseWriter, r *http.Request) {}

func metrics(w http.ResponseWriter, r *http.Request) {
	if user, pass, ok := r.BasicAuth(); !ok || user != "ops" || pass == "" {
		w.WriteHeader(401)
		return
	}
}

func New(wk *walkin.Middleware, secret []byte) http.Handler {
	h := hooks{secret}
	mux := http.NewServeMux()
	mux.Handle("POST /stripe", h.verify(http.HandlerFunc(h.paid)))
	mux.HandleFunc("POST /webhooks/github", h.paid)
	mux.HandleFunc("POST /metrics", metrics)
	mux.Handle("POST /mine", wk.RequireUser()(http.HandlerFunc(h.paid)))
	root := http.NewServeMux()
	root.HandleFunc("POST /internal", h.paid) // outside of Handler: other rules hold there
	root.Handle("/", wk.Handler(mux))
	return root
}
