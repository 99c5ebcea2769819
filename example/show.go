package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
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
		"asset":   asset,
		"ago":     when,
		"machine": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"notes":   countNotes,
		"maxText": func() string { return thousands(maxText) },
		"signIn":  func(returnTo string) string { return withReturn("/signin", returnTo) },
		"upgrade": func(returnTo string) string { return withReturn("/upgrade", returnTo) },
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
	end := id[len(id)-4:] // the beginning is the time
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
	if v.Name, err = s.notes.name(r.Context(), c.UserID); v.Name == "" {
		v.Name = "Member " + end
	}
	return v, err
}

// name is under which a visitor's device lists their passkey.
func (s *site) name(r *http.Request) string {
	v, _ := s.visitor(r) // without one it is the site's
	return v.Name
}

// frame puts a page of package pages into Margin's layout.
func (s *site) frame(w io.Writer, r *http.Request, page pages.Page) error {
	who, err := s.visitor(r)
	if err != nil {
		who = visitor{} // the database may be why the page is shown
	}
	return templates["account"].ExecuteTemplate(w, "layout", view{Visitor: who, Account: &page, Banner: template.HTML(s.wk.ImpersonationBanner(r))})
}

func (s *site) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) error {
	who, err := s.visitor(r)
	if err != nil {
		return err
	}
	v := view{Visitor: who, Data: data, Banner: template.HTML(s.wk.ImpersonationBanner(r)), Notice: s.accounts.Notice(w, r), RenderedFor: template.HTML(s.wk.RenderedForField(r))}
	if status == http.StatusOK && (name == "home" || name == "public") {
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

var (
	errTooLarge = errors.New("the form is too large")
	errBadForm  = errors.New("the form cannot be read")
)

// refused shows visitors why they were refused, unless walkin sends them elsewhere, and
// gives them back what they wrote. The refusal answers everything else itself.
func (s *site) refused(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) {
	if refusal.Page != "" || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		refusal.ServeHTTP(w, r)
		return
	}
	// Without a look at the visitor's notes: the database may be the reason.
	if err := write(w, refusal.Status, "message", view{Banner: template.HTML(s.wk.ImpersonationBanner(r)), Data: message{
		Title:   "This did not work",
		Message: refusal.Message,
		Text:    r.PostForm.Get("text"), // of a note that was not kept
	}}); err != nil {
		refusal.ServeHTTP(w, r)
	}
}

// page lets a handler return its error, and answers it.
func (s *site) page(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := handle(w, r)
		if err == nil {
			return
		}
		refusal, refused := errors.AsType[*walkin.Refusal](err)
		switch {
		case refused:
			s.wk.Refuse(w, r, refusal)
		case errors.Is(err, errNoNote):
			s.notFound(w, r)
		case errors.Is(err, errTooLarge):
			s.fail(w, r, http.StatusRequestEntityTooLarge, message{Title: "That is too much",
				Message: "A note has at most " + thousands(maxText) + " characters. Go back and shorten it, or make several of it."})
		case errors.Is(err, errBadForm):
			s.fail(w, r, http.StatusBadRequest, message{Title: "That did not arrive whole",
				Message: "The form could not be read. Go back and send it again."})
		default:
			slog.ErrorContext(r.Context(), "example: a page failed", "path", r.Pattern, "error", err)
			// Without the visitor: asking who they are may be what failed.
			_ = write(w, http.StatusInternalServerError, "message", view{Data: message{Title: "Something went wrong",
				Message: "That was our fault, and not yours. Go back and try again in a moment."}})
		}
	})
}

func (s *site) notFound(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, http.StatusNotFound, message{Title: "Nothing is written here",
		Message: "The address may have a slip in it, or the note was taken back by whoever wrote it."})
}

func (s *site) fail(w http.ResponseWriter, r *http.Request, status int, m message) {
	if err := s.render(w, r, status, "message", m); err != nil {
		slog.ErrorContext(r.Context(), "example: an error page failed", "error", err)
		http.Error(w, http.StatusText(status), status)
	}
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

// ---- helpers of the templates ----

// asset returns the address of a static file with a piece of its hash, so that
// browsers may keep it for ever.
func asset(name string) string {
	b, err := files.ReadFile("static/" + name)
	if err != nil {
		return "/static/" + name
	}
	sum := sha256.Sum256(b)
	return "/static/" + name + "?v=" + hex.EncodeToString(sum[:4])
}

func static(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("v") {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeFileFS(w, r, files, "static/"+r.PathValue("file"))
}

func countNotes(n int) string {
	if n == 1 {
		return "1 note"
	}
	return fmt.Sprintf("%d notes", n)
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func withReturn(page, returnTo string) string {
	if returnTo == "" || returnTo == "/" {
		return page
	}
	return page + "?return_to=" + url.QueryEscape(returnTo)
}

// when says when something was, in the words one would use.
func when(t time.Time) string { return ago(t, time.Now()) }

func ago(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.Local)
	switch {
	case now.Sub(t) < time.Minute:
		return "just now"
	case !t.Before(midnight):
		return t.Format("today, 15:04")
	case !t.Before(midnight.AddDate(0, 0, -1)):
		return t.Format("yesterday, 15:04")
	case t.Year() == now.Year():
		return t.Format("2 January")
	}
	return t.Format("2 January 2006")
}
