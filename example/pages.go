package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/resume"
)

// A site is the pages. It never asks how a visitor came to be who they are.
type site struct {
	wk    *walkin.Middleware
	notes *notes
}

const (
	maxText = 5000     // characters of a note
	maxBody = 64 << 10 // bytes of a form: maxText of the longest characters, percent-encoded
)

// ---- the front page ----

type homePage struct {
	Notes  []note
	Public []note
	Text   string // what was typed, when Error says what is wrong with it
	Error  string
}

func (s *site) home(w http.ResponseWriter, r *http.Request) error {
	return s.showHome(w, r, http.StatusOK, homePage{})
}

func (s *site) showHome(w http.ResponseWriter, r *http.Request, status int, page homePage) error {
	var err error
	if c, ok := walkin.FromContext(r.Context()); ok {
		if page.Notes, err = s.notes.of(r.Context(), c.UserID); err != nil {
			return err
		}
	}
	if page.Public, err = s.notes.published(r.Context()); err != nil {
		return err
	}
	return s.render(w, r, status, "home", page)
}

// ---- notes ----

func (s *site) addNote(w http.ResponseWriter, r *http.Request) error {
	text, complaint, err := noteText(w, r)
	if err != nil {
		return err
	}
	if refusesCookies(r) {
		if !r.URL.Query().Has("again") {
			// Perhaps it only had none yet. A 307 has the browser send the
			// same form once more, this time with the cookie it just got.
			http.Redirect(w, r, "/notes?again", http.StatusTemporaryRedirect)
			return nil
		}
		return s.render(w, r, http.StatusForbidden, "message", message{
			Title:   "Your browser keeps no cookies",
			Message: "One cookie is how Margin knows that a note is yours. Nobody else gets to see it, and it follows you nowhere. Allow cookies for this site, and try again.",
			Text:    text,
		})
	}
	// Everybody who may post is somebody by now, with or without a cookie.
	// Ensure says who, or why there is nobody: a robot, a post from elsewhere.
	c, err := s.wk.Ensure(w, r)
	if refusal, ok := errors.AsType[*walkin.Refusal](err); ok && refusal.Status == http.StatusUnauthorized && isPerson(r) {
		// The way to the sign-in page would cost them what they wrote.
		return s.render(w, r, refusal.Status, "message", message{
			Title:   "This note is not kept yet",
			Message: "Margin cannot tell whose it is; perhaps you were signed out in the meantime. Copy your text, and paste it on the front page or once you have signed in.",
			Text:    text,
		})
	}
	if err != nil {
		return err
	}
	if complaint != "" {
		return s.showHome(w, r, http.StatusUnprocessableEntity, homePage{Text: text, Error: complaint})
	}
	if err := s.notes.add(r.Context(), c.UserID, text); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// refusesCookies reports whether a browser posts the form of a page of ours
// without any cookie, although that page set one.
func refusesCookies(r *http.Request) bool {
	_, somebody := walkin.FromContext(r.Context()) // who was offered one
	return somebody && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Referer() != "" && len(r.Cookies()) == 0
}

// isPerson reports whether somebody looks at the answer.
func isPerson(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// noteText reads the text of a note, and says what is wrong with it.
func noteText(w http.ResponseWriter, r *http.Request) (text, complaint string, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return "", "", errTooLarge
		}
		return "", "", errBadForm
	}
	// Browsers send line breaks as CRLF, whatever the visitor sees.
	text = strings.ReplaceAll(strings.ToValidUTF8(r.PostForm.Get("text"), "\ufffd"), "\r\n", "\n")
	text = strings.TrimSpace(text)
	switch n := utf8.RuneCountInString(text); {
	case n == 0:
		complaint = "There is nothing in this note yet. Write something first."
	case n > maxText:
		complaint = fmt.Sprintf("This note has %s characters; %s is the most. Shorten it, or make two of it.", thousands(n), thousands(maxText))
	}
	return text, complaint, nil
}

type editPage struct {
	Note  note
	Text  string
	Error string
}

func (s *site) editNote(w http.ResponseWriter, r *http.Request) error {
	n, err := s.notes.mine(r.Context(), userID(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		return s.render(w, r, http.StatusOK, "edit", editPage{Note: n, Text: n.Text})
	}
	text, complaint, err := noteText(w, r)
	if err != nil {
		return err
	}
	if complaint != "" {
		return s.render(w, r, http.StatusUnprocessableEntity, "edit", editPage{Note: n, Text: text, Error: complaint})
	}
	if err := s.notes.edit(r.Context(), n.UserID, n.ID, text); err != nil {
		return err
	}
	return backTo(w, r, n.ID)
}

func (s *site) deleteNote(w http.ResponseWriter, r *http.Request) error {
	if err := s.notes.delete(r.Context(), userID(r), r.PathValue("id")); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// resumePage shows the note and the button to a visitor who was about to publish
// it and had no account: their wish survives the upgrade, the click does not.
func (s *site) resumePage(w http.ResponseWriter, r *http.Request, p resume.Pending) {
	s.page(func(w http.ResponseWriter, r *http.Request) error {
		id, _, _ := strings.Cut(strings.TrimPrefix(p.Action, "/notes/"), "/")
		n, err := s.notes.mine(r.Context(), userID(r), id)
		if err != nil {
			return err
		}
		return s.render(w, r, http.StatusOK, "publish", struct {
			note
			Action string
		}{n, p.Action})
	}).ServeHTTP(w, r)
}

func (s *site) publish(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := s.notes.publish(r.Context(), userID(r), id); err != nil {
		return err
	}
	http.Redirect(w, r, "/p/"+id, http.StatusSeeOther)
	return nil
}

func (s *site) unpublish(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := s.notes.unpublish(r.Context(), userID(r), id); err != nil {
		return err
	}
	return backTo(w, r, id)
}

// publicNote is for everybody. A draft is not found here, not even by its writer.
func (s *site) publicNote(w http.ResponseWriter, r *http.Request) error {
	n, err := s.notes.one(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if !n.Published() {
		return errNoNote
	}
	return s.render(w, r, http.StatusOK, "public", struct {
		Note note
		Mine bool
	}{n, n.UserID == userID(r)})
}

func backTo(w http.ResponseWriter, r *http.Request, id string) error {
	http.Redirect(w, r, "/#note-"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}

// ---- who you are ----

type accountPage struct {
	ReturnTo   string
	Email      string
	Error      string
	Taken      bool // the way on is to sign in
	Publishing bool // the way here was a note to publish
}

// upgradePage is what walkin.UpgradeHandler shows.
func (s *site) upgradePage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	s.showAccount(w, r, form, "upgrade")
}

// signInPage is what walkin.SignInHandler shows.
func (s *site) signInPage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	s.showAccount(w, r, form, "signin")
}

func (s *site) showAccount(w http.ResponseWriter, r *http.Request, form walkin.Form, name string) {
	s.page(func(w http.ResponseWriter, r *http.Request) error {
		if c, _ := walkin.FromContext(r.Context()); form.Refusal == nil && c.Method != "" {
			// Back to the form with the browser's button: they have been through it.
			http.Redirect(w, r, form.ReturnTo, http.StatusSeeOther)
			return nil
		}
		page := accountPage{
			ReturnTo:   form.ReturnTo,
			Email:      r.PostFormValue("email"),
			Publishing: form.ReturnTo == "/resume",
		}
		if form.Refusal != nil {
			page.Error = form.Refusal.Message
			page.Taken = form.Status == http.StatusConflict
		}
		return s.render(w, r, form.Status, name, page)
	}).ServeHTTP(w, r)
}

func (s *site) whoami(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(struct {
		ID          uuid.UUID `json:"id"`
		IsAnonymous bool      `json:"is_anonymous"`
	}{c.UserID, c.Anonymous})
}

// signOutPage asks first. For somebody without an account signing out is for
// good, and the page says what that means.
func (s *site) signOutPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, r, http.StatusOK, "signout", nil)
}

// userID is the visitor's; the zero ID, which owns nothing, for nobody.
func userID(r *http.Request) uuid.UUID {
	c, _ := walkin.FromContext(r.Context())
	return c.UserID
}

// A visitor is what every page says of who is looking at it.
type visitor struct {
	Name      string // "Guest 7f3a" or the name they sign in with; empty for nobody
	Permanent bool
	Notes     int
}

func (s *site) visitor(r *http.Request) (v visitor, welcome string, err error) {
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		return v, "", nil
	}
	if v.Notes, err = s.notes.count(r.Context(), c.UserID); err != nil {
		return v, "", err
	}
	if c.Anonymous {
		id := c.UserID.String()
		v.Name = "Guest " + id[len(id)-4:] // the end: the beginning is the time
		return v, "", nil
	}
	identities, err := s.wk.Identities(r.Context(), c.UserID)
	if err != nil {
		return v, "", err
	}
	v.Name, v.Permanent = "a friend", true
	if len(identities) > 0 {
		first := identities[0]
		v.Name = first.Subject
		// The first page after a form says that it worked.
		from, _ := url.Parse(r.Referer())
		if from != nil && (from.Path == "/upgrade" || from.Path == "/signin") && time.Since(c.ProvenAt) < time.Minute {
			welcome = "Welcome back."
			if first.CreatedAt.Unix() == c.ProvenAt.Unix() {
				welcome = "Your account is ready, and what you wrote is in it."
			}
		}
	}
	return v, welcome, nil
}

// ---- showing ----

//go:embed templates static
var files embed.FS

var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{
		"asset":   asset,
		"ago":     func(t time.Time) string { return ago(t, time.Now()) },
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
	Notice   string
	ReturnTo string // where the head's links to the forms lead back to
	Data     any
}

func (s *site) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) error {
	who, notice, err := s.visitor(r)
	if err != nil {
		return err
	}
	v := view{Visitor: who, Notice: notice, Data: data}
	switch {
	case status == http.StatusOK && (name == "home" || name == "public"):
		v.ReturnTo = r.URL.EscapedPath()
	default:
		if account, ok := data.(accountPage); ok {
			v.ReturnTo = account.ReturnTo
		}
	}
	if r.URL.Query().Has("signed_out") && !who.Permanent {
		v.Notice = "You are signed out."
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

// refused shows people why they were refused where walkin does not send them
// elsewhere; everything else it answers itself.
func (s *site) refused(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) {
	if refusal.Page != "" || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		refusal.ServeHTTP(w, r)
		return
	}
	// Without a look at the visitor's notes: the database may be the reason.
	if err := write(w, refusal.Status, "message", view{Data: message{
		Title:   "This did not work",
		Message: refusal.Message,
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

// headers says to browsers what these pages do not do: run scripts, load
// anything from elsewhere, stand in a frame.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		// Not no-referrer: the guards find the way back after a refused post in
		// the Referer, and with no-referrer older browsers send Origin: null.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
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

// ago says when something was, in the words one would use.
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
