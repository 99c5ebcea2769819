// Package sources has secrets and constants that take a way around.
package sources

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"

	"github.com/walkin-go/walkin"
)

const one, two = "0123456789abcdef", "fedcba9876543210"

var (
	insecure = true
	local    = one + two
)

type settings struct{ Secret string }

func key() []byte { return []byte(one + two) }

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func always() bool { return true }

func keys() []walkin.Key {
	decoded, _ := base64.StdEncoding.DecodeString("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	sum := sha256.Sum256([]byte(one))
	s := settings{Secret: one + two}
	return []walkin.Key{
		{Secret: []byte(one + two)},                      // want `a secret is in the source`
		{Secret: []byte{1, 2, 3, 4}},                     // want `a secret is in the source`
		{Secret: decoded},                                // want `a secret is in the source`
		{Secret: sum[:]},                                 // want `a secret is in the source`
		{Secret: key()},                                  // want `a secret is in the source`
		{Secret: []byte(s.Secret)},                       // want `a secret is in the source`
		{Secret: []byte(fmt.Sprintf("%s-%s", one, two))}, // want `a secret is in the source`
		{Secret: append([]byte(nil), local...)},          // want `a secret is in the source`
		{Secret: []byte(env("SECRET", one+two))},         // want `a secret is in the source`
	}
}

func cookies() []walkin.Cookies {
	yes := true
	return []walkin.Cookies{
		{Insecure: insecure}, // want `Insecure is a constant`
		{Insecure: yes},      // want `Insecure is a constant`
		{Insecure: always()}, // want `Insecure is a constant`
	}
}
