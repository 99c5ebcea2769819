package passkey

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"
)

// script drives the browser's API for the forms of a page; at most 4,000 bytes,
// of which suggestions in a field are a fifth.
//
//go:embed script.js
var script []byte

// serveScript serves the script. Browsers keep it for a day and then ask whether
// it is still the same.
//
// What it says is in the visitor's language: it is filled in, by the names of the
// browsers' errors.
func (p *Passkeys) serveScript(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	// With the site's name, a form that removes a key tells the device to offer that key no
	// more: only once the server has said that it is removed. A sign-in with an unknown key
	// tells nothing. A store that was restored from a backup has lost some, and what a
	// device drops is gone.
	c, says := p.middleware.Texts(r), map[string]string{"rp": p.webauthn.Config.RPID}
	for name, key := range map[string]string{"notsupported": "passkey.not_supported", "security": "passkey.not_secure",
		"notallowed": "passkey.cancelled", "invalidstate": "passkey.exists", "failed": "passkey.failed"} {
		says[name] = c.Text(key)
	}
	texts, _ := json.Marshal(says) // of strings
	script := bytes.Replace(script, []byte("const texts = {}"), append([]byte("const texts = "), texts...), 1)
	sum := sha256.Sum256(script)
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=86400")
	if c != nil { // one of several languages, by whatever the app goes by
		h.Set("Cache-Control", "private, max-age=86400")
		h.Add("Vary", "Accept-Language")
	}
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(script))
}
