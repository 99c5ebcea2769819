package pages

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/walkin-go/walkin"
)

//go:embed templates
var files embed.FS

//go:embed style.css
var style []byte

func version(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}

// A Page is what [Config.Frame] puts into the site's own frame.
type Page struct {
	Title     string        // of the page, without the site's name
	Site      string        // Config.Name
	Language  string        // for the attribute lang
	Direction string        // for the attribute dir
	Head      template.HTML // style sheets, for the end of head
	Body      template.HTML // one element main
	Skip      string        // the text of a link to #main
	Home      string        // Config.Home
}

// parse reads the templates: those of own in place of ours.
func parse(own fs.FS) (map[string]*template.Template, error) {
	read := func(name string) (string, error) {
		if own != nil {
			if b, err := fs.ReadFile(own, name); err == nil {
				return string(b), nil
			}
		}
		b, err := files.ReadFile("templates/" + name)
		return string(b), err
	}
	entries, err := files.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	parts, err := read("parts.html")
	if err != nil {
		return nil, err
	}
	shared, err := template.New("parts.html").Parse(parts)
	if err != nil {
		return nil, err
	}
	all := map[string]*template.Template{}
	for _, entry := range entries {
		text, err := read(entry.Name())
		if err != nil {
			return nil, err
		}
		t, err := shared.Clone()
		if err == nil {
			t, err = t.New(entry.Name()).Parse(text)
		}
		if err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(entry.Name(), ".html")] = t
	}
	return all, nil
}

// policy allows what the pages need: their style sheet, the passkeys' script and its
// calls, and forms to the site itself and to the providers: browsers hold the redirects
// after a form to form-action as well.
func policy(cfg Config) string {
	forms, ancestors := "'self'", "'none'"
	if cfg.Providers != nil {
		for _, name := range cfg.Providers.Names() {
			if issuer, err := url.Parse(cfg.Providers.Issuer(name)); err == nil {
				forms += " " + issuer.Scheme + "://" + issuer.Host
			}
		}
	}
	if len(cfg.FrameAncestors) > 0 {
		ancestors = strings.Join(cfg.FrameAncestors, " ")
	}
	return "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action " + forms +
		"; base-uri 'none'; frame-ancestors " + ancestors
}

// render writes a page. It is made before it is sent: one that fails must not arrive as
// half of a 200.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, name string, v *view) error {
	v.fill(p, r)
	if p.cfg.Lead != nil {
		v.Lead = p.cfg.Lead(r, name)
	}
	var body bytes.Buffer
	if err := p.templates[name].Execute(&body, v); err != nil {
		return err
	}
	title := v.Title
	if v.Problem != "" {
		title = v.T("page.error") + ": " + title
	}
	w.Header().Set("Content-Security-Policy", p.policy)
	return p.write(w, r, status, title, body.String())
}

// write puts a page into the frame and sends it.
func (p *Pages) write(w http.ResponseWriter, r *http.Request, status int, title, body string) error {
	c := p.wk.Texts(r)
	head := `<link rel="stylesheet" href="` + template.HTMLEscapeString(p.styles) + `">`
	if p.cfg.Style != "" {
		head += "\n" + `<link rel="stylesheet" href="` + template.HTMLEscapeString(p.cfg.Style) + `">`
	}
	var page bytes.Buffer
	err := p.cfg.Frame(&page, r, Page{
		Title: title, Site: p.cfg.Name, Language: c.Language(), Direction: c.Direction(), Home: p.cfg.Home, Skip: c.Text("page.skip"),
		Head: template.HTML(head),
		// The body is of a template, which has escaped what goes into it.
		Body: template.HTML(`<main class="walkin" id="main" tabindex="-1" lang="` + c.Language() + `" dir="` + c.Direction() + `">` + body + `</main>`),
	})
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Accept-Language")
	for name, value := range map[string]string{
		"Content-Security-Policy": p.policy, // unless the page that is shown, such as a challenge, has one of its own
		// Not no-referrer: the guards find the way back after a refused post in the
		// Referer, and with no-referrer older browsers send Origin: null.
		"Referrer-Policy": "same-origin",
		"Cache-Control":   "private, no-store",
	} {
		h.Set(name, cmp.Or(h.Get(name), value))
	}
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // the only error is a client that went away
	return nil
}

// plain shows a page of another package of walkin, such as a refusal, in the frame.
func (p *Pages) plain(w http.ResponseWriter, r *http.Request, status int, title, body string) {
	heading := "<h1>" + template.HTMLEscapeString(title) + "</h1>\n"
	if err := p.write(w, r, status, title, heading+body); err != nil {
		p.wk.Report(r.Context(), ReasonFrame, err)
		http.Error(w, title, status)
	}
}

var frame = template.Must(template.New("").Parse(`<!doctype html>
<html lang="{{.Language}}" dir="{{.Direction}}" class="walkin-page">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="turbo-visit-control" content="reload">
<title>{{.Title}} · {{.Site}}</title>
{{.Head}}
</head>
<body>
<a class="walkin-skip" href="#main">{{.Skip}}</a>
{{.Banner}}<header class="walkin-header"><a href="{{.Home}}">{{.Site}}</a></header>
{{.Body}}
</body>
</html>
`))

func (p *Pages) plainFrame(w io.Writer, r *http.Request, page Page) error {
	return frame.Execute(w, struct {
		Page
		Banner template.HTML // of an operator who sees the site as this user
	}{page, template.HTML(p.wk.ImpersonationBanner(r))})
}

func serveStyle(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.URL.Query().Get("v") == version(style) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(style)
}

// A view is what a template gets.
type view struct {
	Title                   string
	Path, Home              string
	SignUp, SignIn, SignOut string
	HasPassword, HasCode    bool
	HasPasskeys             bool
	HasHandover             bool
	Providers               []provider // that are offered
	Anonymous, Permanent    bool       // who looks at it; neither is a visitor without a user
	RenderedFor             template.HTML
	Notice                  string // shown once
	Lead                    string // of Config.Lead
	Problem                 string // what was wrong, and
	Field                   string // in which field; empty is the form
	Of                      string // of which sign-in method that field is a field
	ReturnTo                string
	Email                   string
	MinLength               int
	Language                string
	Data                    any

	say func(key string, args ...any) string
}

// A provider is a button.
type provider struct{ Name, Title, Issuer string }

func (v *view) fill(p *Pages, r *http.Request) {
	c := p.wk.Texts(r)
	v.say = func(key string, args ...any) string {
		for i := 1; i < len(args); i += 2 {
			if s, ok := args[i].(string); ok {
				args[i] = isolate(s, c.Direction())
			}
		}
		return c.Text(key, args...)
	}
	v.Title, v.Language = v.say(v.Title), c.Language()
	v.Path, v.Home, v.SignUp, v.SignIn, v.SignOut = p.cfg.Path, p.cfg.Home, p.cfg.SignUpPath, p.cfg.SignInPath, p.cfg.SignOutPath
	v.HasPassword, v.HasCode, v.HasPasskeys = p.cfg.Password != nil, p.cfg.Code != nil, p.cfg.Passkeys != nil
	v.HasHandover = p.cfg.Handover != nil
	if v.HasPassword {
		v.MinLength = p.cfg.Password.MinLength()
	}
	if v.Providers == nil {
		v.Providers = p.offered()
	}
	claims, ok := walkin.FromContext(r.Context())
	v.Anonymous, v.Permanent = ok && claims.Anonymous, ok && !claims.Anonymous
	v.RenderedFor = template.HTML(p.wk.RenderedForField(r))
	if v.ReturnTo == "" {
		v.ReturnTo = p.cfg.Home
	}
}

func (p *Pages) offered() []provider {
	all := []provider{}
	if p.cfg.Providers == nil {
		return all
	}
	for _, name := range p.cfg.Providers.Names() {
		all = append(all, provider{name, p.cfg.Providers.Title(name), p.cfg.Providers.Issuer(name)})
	}
	return all
}

// T returns a text in the visitor's language.
func (v *view) T(key string, args ...any) string { return v.say(key, args...) }

// In returns the address of a page with the way back in it.
func (v *view) To(page string) string {
	if v.ReturnTo == v.Home {
		return page
	}
	return page + "?return_to=" + template.URLQueryEscaper(v.ReturnTo)
}

// Attr returns the attributes of a field: what is wrong with it, and where its hints
// are. The field with the error gets the focus.
func (v *view) Attr(field string, hints ...string) template.HTMLAttr {
	attr := ""
	if v.Problem != "" && v.Field == field {
		attr, hints = ` aria-invalid="true" autofocus`, append([]string{"error"}, hints...)
	}
	if len(hints) > 0 {
		attr += fmt.Sprintf(" aria-describedby=%q", strings.Join(hints, " "))
	}
	return template.HTMLAttr(attr) // of constants of the templates alone
}

// isolate keeps a name, an address or a number from changing the direction of the
// sentence around it, and drops what is no character of a line.
func isolate(s, direction string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 || c == 0x2028 || c == 0x2029 {
			return -1
		}
		return c
	}, s)
	if direction == "rtl" || strings.ContainsFunc(s, func(c rune) bool { return c >= 0x590 && c <= 0x8ff || c >= 0xfb1d && c <= 0xfefc }) {
		return "\u2068" + s + "\u2069"
	}
	return s
}
