package walkin

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"time"
)

const (
	flowLifetime = 15 * time.Minute
	flowLength   = 26 // of rand.Text
)

func sessionFlowID(c Claims) string { return "session:" + c.SessionID.String() }

// cookieFlowID hashes the value: an attacker who can read the store must not be able
// to send it.
func cookieFlowID(value string) string {
	sum := sha256.Sum256([]byte(value))
	return "cookie:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// flowValue returns the value of the binding cookie, if there is one that we may
// have set.
func (k *cookies) flowValue(r *http.Request) (string, bool) {
	values := r.CookiesNamed(k.binding)
	if len(values) == 0 || len(values[0].Value) != flowLength {
		return "", false
	}
	// Two different ones, which no browser sends for a __Host- cookie: an attacker may
	// have planted one of them.
	if slices.ContainsFunc(values, func(c *http.Cookie) bool { return c.Value != values[0].Value }) {
		return "", false
	}
	return values[0].Value, true
}
