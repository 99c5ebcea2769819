package walkin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"time"
)

// startScript is the browser's half of StartHandler.
//
//go:embed start.js
var startScript []byte

// StartHandler gives users to visitors of pages that walkin does not serve, such as
// static files on a CDN. On such a page no page view gives a visitor a user, and each
// of several concurrent writes would create a new one. A POST gives a visitor without a
// user a new one, as [Middleware.Ensure] does, also in place of a cookie that has ended,
// and answers 204; a visitor with a user keeps it. A GET serves a script of some thirty lines with walkinFetch: fetch that
// makes the POST before the first write, and once more when the answer to a write is
// 401:
//
//	mux.Handle("/walkin.js", wk.StartHandler())
//
//	<script src="https://app.example.com/walkin.js"></script>
//	<script>walkinFetch("https://app.example.com/notes", {method: "POST", body: text})</script>
//
// A page of another origin needs Config.CrossOrigin and the app's CORS headers, see
// docs/single-page-apps.md. Put the handler inside [Middleware.Handler].
func (m *Middleware) StartHandler() http.Handler {
	sum := sha256.Sum256(startScript)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			h := w.Header()
			h.Set("Content-Type", "text/javascript; charset=utf-8")
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
			h.Set("Cache-Control", "public, max-age=86400")
			h.Set("ETag", tag)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(startScript))
		case http.MethodPost:
			if _, err := m.ensure(w, r, byStart); err != nil {
				m.Refuse(w, r, err)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			m.Refuse(w, r, &Refusal{Status: http.StatusMethodNotAllowed, Reason: ReasonMethod})
		}
	})
}
