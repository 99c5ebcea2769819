package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/pages"
)

//go:embed templates static
var files embed.FS

var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{
		"day":     func(t time.Time) string { return t.Local().Format("2 January, 15:04") },
		"machine": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"notes":   countNotes,
	}).ParseFS(files, "templates/layout.html"))
	pages := map[string]*template.Template{}
	names, _ := fs.Glob(files, "templates/*.html")
	for _, name := range names {
		base := strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")
		pages[base] = template.Must(template.Must(layout.Clone()).ParseFS(files, name))
	}
	return pages
}

// A view is what a template gets.
type view struct {
	Visitor  visitor
	Notice   string // shown once
	ReturnTo string // where the head's links to the forms lead back to
	Data     any

	Banner      template.HTML // for an operator who sees Margin as this user
	RenderedFor template.HTML // a hidden field, for forms that must not be filed under the next user
	Account     *pages.Page   // a page of package pages, in this frame
}

// A visitor is what every page says of who is looking at it.
type visitor struct {
	ID        string // empty without a user
	Name      string // of a member
	Permanent bool
	Notes     int
}

func (s *site) visitor(r *http.Request) (v visitor, err error) {
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		return v, nil
	}
	if v.Notes, err = s.notes.count(r.Context(), c.UserID); err != nil {
		return v, err
	}
	id := c.UserID.String()
	if v.ID = id; c.Anonymous {
		return v, nil
	}
	v.Permanent = true
	identities, err := s.wk.Identities(r.Context(), c.UserID)
	if err != nil {
		return v, err
	}
	for _, identity := range identities {
		if identity.Provider == "email" {
			v.Name = identity.Subject
			return v, nil
		}
	}
	v.Name = "Member " + id[len(id)-4:] // the beginning is the time
	return v, nil
}

// name is under which a visitor's device lists their passkey.
func (s *site) name(r *http.Request) string {
	v, _ := s.visitor(r) // without one it is the site's
	return v.Name
}

// frame puts a page of package pages into Margin's layout.
func (s *site) frame(w io.Writer, r *http.Request, page pages.Page) error {
	who, _ := s.visitor(r) // the database may be why the page is shown
	return templates["account"].ExecuteTemplate(w, "layout", view{Visitor: who, Account: &page, Banner: template.HTML(s.wk.ImpersonationBanner(r))})
}

func (s *site) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) error {
	who, err := s.visitor(r)
	if err != nil {
		return err
	}
	v := view{Visitor: who, Data: data, Banner: template.HTML(s.wk.ImpersonationBanner(r)), Notice: s.accounts.Notice(w, r), RenderedFor: template.HTML(s.wk.RenderedForField(r))}
	if status == http.StatusOK && name == "public" {
		v.ReturnTo = r.URL.EscapedPath()
	}
	return write(w, status, name, v)
}

// write renders before it sends: a page that fails must not arrive as half of
// a 200.
func write(w http.ResponseWriter, status int, name string, v view) error {
	var page bytes.Buffer
	if err := templates[name].ExecuteTemplate(&page, "layout", v); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store") // every page says who is looking at it
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
	return nil
}

type message struct {
	Title   string
	Message string
	Text    string
}

// refused shows visitors why they were refused, and gives them back what they wrote. A
// refusal answers everything else itself.
func (s *site) refused(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) {
	m := message{Title: "This did not work", Message: refusal.Message, Text: r.PostForm.Get("text")}
	if m.Text != "" {
		m.Title = "This note is not kept yet" // the way to another page would cost them what they wrote
	}
	if refusal.Page != "" && m.Text == "" || !isPerson(r) {
		refusal.ServeHTTP(w, r)
		return
	}
	// Without a look at the visitor's notes: the database may be the reason.
	_ = write(w, refusal.Status, "message", view{Banner: template.HTML(s.wk.ImpersonationBanner(r)), Data: m})
}

// page lets a handler return its error, and answers it.
func (s *site) page(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := handle(w, r)
		if errors.Is(err, errNoNote) {
			err = s.render(w, r, http.StatusNotFound, "message", message{Title: "Nothing is written here",
				Message: "Check the address. A note may have been deleted by its writer."})
		}
		if err != nil {
			s.wk.Refuse(w, r, err)
		}
	})
}

// headers says to browsers what these pages do not do: load anything from elsewhere, or
// stand in a frame. Package pages has a policy of its own for its pages.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// Not no-referrer: the guards find the way back after a refused post in
		// the Referer, and with no-referrer older browsers send Origin: null.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// oneHost sends readers to the one name of the site: by any other their passkeys
// and providers would not know them, nor the cookie that they got there.
func oneHost(base *url.URL, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != base.Host && r.Method == http.MethodGet && isPerson(r) {
			http.Redirect(w, r, base.Scheme+"://"+base.Host+r.URL.RequestURI(), http.StatusTemporaryRedirect)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func countNotes(n int) string {
	if n == 1 {
		return "1 note"
	}
	return fmt.Sprintf("%d notes", n)
}
