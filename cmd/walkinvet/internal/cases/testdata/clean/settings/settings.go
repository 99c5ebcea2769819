package settings

import (
	"crypto/rand"
	"os"

	"github.com/walkin-go/walkin"
)

func config(dev bool) (walkin.Config, error) {
	keys, err := walkin.KeyFile("keys")
	if err != nil {
		return walkin.Config{}, err
	}
	keys = append(keys, walkin.Key{Secret: []byte(os.Getenv("SECRET"))}, walkin.Key{Secret: []byte(rand.Text() + rand.Text())})
	cfg := walkin.Config{Keys: keys, Cookies: walkin.Cookies{Insecure: dev}}
	cfg.Cookies.Insecure = os.Getenv("DEV") != ""
	return cfg, nil
}

type own struct {
	Insecure bool
	Secret   []byte
}

var _ = own{Insecure: true, Secret: []byte("nothing of walkin's")}
