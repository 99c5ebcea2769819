package pages

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
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
	last  int
}

type previewed struct {
	ID                      int
	To, Subject, Text, HTML string
}

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
	p.last++
	p.mails = slices.Insert(p.mails, 0, previewed{p.last, to, subject, text, html})
	p.mails = p.mails[:min(len(p.mails), maxPreviewed)]
	return nil
}

const previewStyle = `body { margin: 0 auto; max-width: 44rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; background: #f6f7f8; color: #1d2229; overflow-wrap: anywhere }
h1 { font-size: 1.5rem } h2 { font-size: 1.125rem; margin: 0 } article { margin: 1.5rem 0; padding: 1rem; background: #fff; border: 1px solid #dde1e6; border-radius: .5rem }
iframe { width: 100%; height: 22rem; border: 1px solid #dde1e6; background: #fff } pre { white-space: pre-wrap; overflow-wrap: anywhere }
summary { padding: .25rem 0; cursor: pointer } :focus-visible { outline: 3px solid #1f5fae; outline-offset: 2px }`

var previewPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mail preview</title>
<style>` + previewStyle + `</style>
<main>
<h1>Mail preview</h1>
<p>Nothing was sent. These are the last mails, the newest first. Reload for more.</p>
{{- range .}}
<article>
<h2>{{.Subject}}</h2>
<p>To {{.To}}</p>
<iframe sandbox="allow-popups allow-popups-to-escape-sandbox" src="?mail={{.ID}}" title="{{.Subject}}"></iframe>
<details><summary>As text</summary><pre>{{.Text}}</pre></details>
</article>
{{- else}}
<p>No mail yet.</p>
{{- end}}
</main>
</html>
`))

// previewPolicy allows the style of the page, by its hash, and the frames with the mails.
var previewPolicy = func() string {
	sum := sha256.Sum256([]byte(previewStyle))
	return "default-src 'none'; frame-src 'self'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; frame-ancestors 'none'"
}()

// mailPolicy is of a mail in its frame: mail programs know styles in attributes alone,
// and no script runs there. Its links open in another window.
const mailPolicy = "default-src 'none'; style-src 'unsafe-inline'; sandbox allow-popups allow-popups-to-escape-sandbox; frame-ancestors 'self'"

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
	p.mu.Lock()
	mails := slices.Clone(p.mails)
	p.mu.Unlock()
	if id := r.URL.Query().Get("mail"); id != "" {
		i := slices.IndexFunc(mails, func(m previewed) bool { return strconv.Itoa(m.ID) == id })
		if i < 0 {
			http.NotFound(w, r)
			return
		}
		h.Set("Content-Security-Policy", mailPolicy)
		_, _ = io.WriteString(w, strings.Replace(mails[i].HTML, "<head>", `<head><base target="_blank">`, 1))
		return
	}
	h.Set("Content-Security-Policy", previewPolicy)
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
