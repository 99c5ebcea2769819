package pages

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"

	"github.com/walkin-go/walkin"
)

// A Preview is a [Mailer] for development. It sends nothing and keeps the last mails in
// memory. Its ServeHTTP shows them in the developer's browser alone: it answers 404
// unless the request comes from this very machine, to a name of it, and passed no
// proxy. Make one with [NewPreview].
type Preview struct {
	mu    sync.Mutex
	mails []previewed // the newest first
}

type previewed struct{ To, Subject, Text, HTML string }

const maxPreviewed = 50

// NewPreview returns a Preview, and warns in the log, which may be nil. It returns an
// error for a site with Secure cookies: such a site is not in development.
func NewPreview(wk *walkin.Middleware, log *slog.Logger) (*Preview, error) {
	if wk == nil || wk.Cookie("preview").Secure {
		return nil, errors.New("walkin: pages: NewPreview needs a middleware with Insecure cookies: it shows every mail to whoever is at this machine")
	}
	if log != nil {
		log.Warn("walkin: pages: a preview shows all mail to whoever is at this machine; never use it in production")
	}
	return &Preview{}, nil
}

// Deliver implements [Mailer].
func (p *Preview) Deliver(_ context.Context, to, subject, text, html string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mails = slices.Insert(p.mails, 0, previewed{to, subject, text, html})
	p.mails = p.mails[:min(len(p.mails), maxPreviewed)]
	return nil
}

var previewPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Mail preview</title>
<h1>Mail preview</h1>
<p>Nothing was sent. These are the last mails, the newest first. Reload for more.
{{- range .}}
<article>
<h2>{{.Subject}}</h2>
<p>To {{.To}}
<iframe sandbox srcdoc="{{.HTML}}" title="{{.Subject}}" width="100%" height="420"></iframe>
<details><summary>As text</summary><pre>{{.Text}}</pre></details>
</article>
{{- else}}
<p>No mail yet.
{{- end}}
</html>
`))

// ServeHTTP shows the mails.
func (p *Preview) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isLocal(r) {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	p.mu.Lock()
	mails := slices.Clone(p.mails)
	p.mu.Unlock()
	_ = previewPage.Execute(w, mails) // the only error is a client that went away
}

// isLocal reports whether a request comes from this machine, to this machine, and
// through nothing in between. Fails closed: another site's name that was pointed at this
// machine is not its name, and a proxy's request is not the developer's.
func isLocal(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via", "Cf-Connecting-Ip", "True-Client-Ip"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
