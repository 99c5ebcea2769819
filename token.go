package walkin

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/walkin-go/walkin/internal/response"
)

// A Token is what a response carries to a client without cookies, in place of a cookie.
// It is a bearer token for this app, and as good as the cookie.
type Token struct {
	Text      string
	ExpiresAt time.Time
}

// ServeHTTP answers with the token as a JSON object, in the words of RFC 6749 §5.1:
// access_token, token_type, expires_in and expires_at (Unix seconds). No cache may
// keep it.
func (t Token) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	response.NoStore(h, "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// The only error is a client that went away.
	_ = json.NewEncoder(w).Encode(struct {
		Token     string `json:"access_token"`
		Type      string `json:"token_type"`
		ExpiresIn int    `json:"expires_in"`
		ExpiresAt int64  `json:"expires_at"`
	}{t.Text, "bearer", int(time.Until(t.ExpiresAt).Seconds()), t.ExpiresAt.Unix()})
}
