// Package sources reads its secrets and switches when it starts.
package sources

import (
	"cmp"
	"flag"
	"os"

	"github.com/walkin-go/walkin"
)

var (
	insecure = true
	secret   = flag.String("secret", "", "the secret")
	port     = env("PORT", "8080")
)

func init() { flag.BoolVar(&insecure, "insecure", false, "for development") }

type settings struct {
	Secret string
	Dev    bool
}

func env(name, otherwise string) string { return cmp.Or(os.Getenv(name), otherwise) }

func read(name string) ([]byte, error) { return os.ReadFile(name) }

func load() (s settings) {
	s.Secret = env("SECRET", "")
	s.Dev = env("APP_ENV", "production") == "development"
	return s
}

func keys() ([]walkin.Key, error) {
	s := load()
	b, err := read("/run/secrets/key")
	return []walkin.Key{
		{Secret: b}, {Secret: []byte(s.Secret)}, {Secret: []byte(*secret)},
		{Secret: append([]byte("v1:"), b...)}, {Secret: []byte("v1:" + os.Getenv("SECRET"))},
	}, err
}

func cookies() []walkin.Cookies {
	dev := true
	if os.Getenv("APP_ENV") == "production" {
		dev = false
	}
	return []walkin.Cookies{{Insecure: insecure}, {Insecure: dev}, {Insecure: load().Dev}}
}
