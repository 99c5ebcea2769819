package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/walkin-go/walkin"
)

func tokenCommand() *cobra.Command {
	return group("token", "Look into tokens", tokenInspect())
}

// An inspected is what a token says, and what that is worth.
type inspected struct {
	Header    json.RawMessage `json:"header"`
	Claims    json.RawMessage `json:"claims"`
	Signature string          `json:"signature"` // "not checked", "valid", "invalid"
	Expired   bool            `json:"expired"`
}

func tokenInspect() *cobra.Command {
	var file string
	var c *cobra.Command
	c = command("inspect", "Show what a token on standard input says; exits with 1 if it is worth nothing", cobra.NoArgs, func(t *tool, _ []string) error {
		data, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 64<<10))
		if err != nil {
			return err
		}
		token := strings.TrimSpace(string(data))
		_, after, isCookie := strings.Cut(token, "=")
		if isCookie { // as it is copied out of a browser
			token = strings.TrimSpace(after)
		}
		seen, err := inspect(token)
		if err != nil {
			return err
		}
		if file != "" {
			_, keys, err := readKeys(c, file)
			if err != nil {
				return err
			}
			seen.Signature = "invalid"
			for _, key := range keys {
				if verifies(key, token) {
					seen.Signature = "valid"
				}
			}
		}
		err = t.print(seen, func(w io.Writer) {
			fmt.Fprintf(w, "header\t%s\nclaims\t%s\nsignature\t%s\nexpired\t%t\n", printable(string(seen.Header)), printable(string(seen.Claims)), seen.Signature, seen.Expired)
		})
		if err == nil && (seen.Expired || seen.Signature == "invalid") {
			return errFindings
		}
		return err
	})
	c.Flags().StringVar(&file, "keys", "", "a file with the key set to check the signature with")
	return c
}

var errToken = errors.New("standard input is no token") // and is not repeated, since it is a secret

func inspect(token string) (inspected, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return inspected{}, errToken
	}
	seen := inspected{Signature: "not checked"}
	for i, to := range []*json.RawMessage{&seen.Header, &seen.Claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || !json.Valid(text) {
			return inspected{}, errToken
		}
		*to = text
	}
	var times struct {
		Expires int64 `json:"exp"`
	}
	if err := json.Unmarshal(seen.Claims, &times); err != nil {
		return inspected{}, errToken
	}
	seen.Expired = time.Now().After(time.Unix(times.Expires, 0))
	return seen, nil
}

// verifies reports whether a key made the signature of a token.
func verifies(key walkin.Key, token string) bool {
	i := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil {
		return false
	}
	text := []byte(token[:i])
	sum := sha256.Sum256(text)
	switch public := publicOf(key).(type) {
	case nil:
		mac := hmac.New(sha256.New, key.Secret)
		mac.Write(text)
		return hmac.Equal(signature, mac.Sum(nil))
	case ed25519.PublicKey:
		return ed25519.Verify(public, text, signature)
	case *ecdsa.PublicKey:
		if len(signature) != 64 {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		return ecdsa.Verify(public, sum[:], r, s)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
	}
	return false
}
