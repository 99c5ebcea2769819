package walkin

import (
	"context"
	"html"

	"github.com/google/uuid"
)

// ImpersonationBanner returns what pages show while an operator sees them as their
// user, with the button that ends it, as HTML, and nothing otherwise; to html/template
// it is a template.HTML. It has no styles of its own; its class is
// walkin-impersonation. Every such answer has the header Walkin-Impersonation as well,
// which names the user.
func (m *Middleware) ImpersonationBanner(ctx context.Context) string {
	c, ok := FromContext(ctx)
	if !ok || c.Actor == uuid.Nil {
		return ""
	}
	return `<div class="walkin-impersonation" role="status"><form method="post" action="` + html.EscapeString(m.cfg.Paths.Base+stopPath) +
		`">You see this site as the user <code>` + c.UserID.String() + `</code> until ` + c.ExpiresAt.UTC().Format("15:04 UTC") +
		`, and can change nothing. <button>Stop</button></form></div>`
}
