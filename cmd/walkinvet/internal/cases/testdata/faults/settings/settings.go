package settings

import (
	"cmp"
	"encoding/hex"
	"os"
	"strings"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/challenge"
)

const dev = true

const secret = "0123456789abcdef0123456789abcdef"

var key = []byte("0123456789abcdef0123456789abcdef")

func configs() []walkin.Key {
	cfg := walkin.Config{
		Cookies: walkin.Cookies{Insecure: true}, // want `Insecure is a constant`
		Keys: []walkin.Key{
			{Secret: []byte(secret)},                  // want `a secret is in the source`
			{Secret: key},                             // want `a secret is in the source`
			{Secret: []byte{1, 2, 3}},                 // want `a secret is in the source`
			{Secret: []byte(strings.Repeat("x", 32))}, // want `a secret is in the source`
			{Secret: []byte(cmp.Or(os.Getenv("KEY"), "0123456789abcdef"))}, // want `a secret is in the source`
		},
	}
	cfg.Cookies.Insecure = dev // want `Insecure is a constant`
	decoded, _ := hex.DecodeString("00112233445566778899aabbccddeeff")
	more := walkin.Key{Secret: decoded} // want `a secret is in the source`
	fallback := os.Getenv("SECRET")
	if fallback == "" {
		fallback = "a secret for development"
	}
	last := walkin.Key{}
	last.Secret = []byte(fallback)                                   // want `a secret is in the source`
	_ = challenge.Turnstile{SiteKey: "public", Secret: "0x4AAAAAAA"} // want `a secret`
	keys, _ := walkin.ParseJWKS([]byte(`{"keys":[]}`))               // want `a key is in the source`
	return append(keys, more, last)
}
