package walkin

import (
	"errors"
	"strings"
)

// What the middleware knows is told once, to it. These methods hand it to the
// packages that are made from it.

// Store returns Config.Store for packages that are made from the middleware. Each of
// its calls ends after 3 seconds, and a transaction, hooks included, after 10.
func (m *Middleware) Store() Store { return m.cfg.Store }

// DeriveKeys returns a secret of 32 bytes for one purpose from each of Config.Keys:
// the first signs, all verify. So they rotate with the keys. Apps that share keys and
// differ in Issuer or Audience get different ones. See [Key.Derive].
func (m *Middleware) DeriveKeys(purpose string) ([][]byte, error) {
	if purpose == "" || strings.Contains(purpose, "\x00") {
		return nil, errors.New("walkin: DeriveKeys needs a purpose, without a NUL")
	}
	var all [][]byte
	for _, key := range m.cfg.Keys {
		secret, err := key.Derive(strings.Join([]string{purpose, m.cfg.Issuer, m.cfg.Audience}, "\x00"))
		if err != nil {
			return nil, err
		}
		all = append(all, secret)
	}
	return all, nil
}
