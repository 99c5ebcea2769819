package walkin

import (
	"html"
	"net/http"

	"github.com/google/uuid"
)

// ImpersonationBanner returns what pages show while an operator sees them as their
// user, with the button that ends it, as HTML, and nothing otherwise; to html/template
// it is a template.HTML. It is in the language of Config.Texts. It has no styles of its
// own; its class is walkin-impersonation. Every such answer has the header
// Walkin-Impersonation as well, which names the user.
func (m *Middleware) ImpersonationBanner(r *http.Request) string {
	c, ok := FromContext(r.Context())
	if !ok || c.Actor == uuid.Nil {
		return ""
	}
	words := m.Texts(r)
	// The ID and the time are isolated from the direction of the sentence.
	text := words.Text("impersonation.banner", "user", "\u2068"+c.UserID.String()+"\u2069", "time", "\u2068"+c.ExpiresAt.UTC().Format("15:04 UTC")+"\u2069")
	return `<div class="walkin-impersonation" role="status" lang="` + words.Language() + `" dir="` + words.Direction() + `"><form method="post" action="` +
		html.EscapeString(m.cfg.Paths.Base+stopPath) + `"><span>` + html.EscapeString(text) + `</span> <button>` + html.EscapeString(words.Text("impersonation.stop")) + `</button></form></div>`
}
