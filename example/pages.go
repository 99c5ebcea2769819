package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/quota"
	"github.com/walkin-go/walkin/resume"
)

const (
	maxText = 5000     // characters of a note
	maxBody = 64 << 10 // bytes of a form: maxText of the longest characters, percent-encoded
)

// ---- the front page ----

type homePage struct {
	Notes     []note
	Public    []note
	Downloads quota.Left
	Text      string // what was typed, when Error says what is wrong with it
	Error     string
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
	if page.Downloads, err = s.downloads.Remaining(r); err != nil {
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
	// An API client posts without the page, and so without its field; after a second
	// try, above, the browser has another user than its page had.
	if r.PostFormValue("walkin_rendered_for") != "" && !r.URL.Query().Has("again") {
		if err := s.wk.CheckRenderedFor(r); err != nil {
			return s.render(w, r, http.StatusConflict, "message", message{
				Title:   "This note is not kept yet",
				Message: "You signed in or out after this page was opened, so it would have gone to somebody else's notes. Copy your text, and paste it on the front page.",
				Text:    text,
			})
		}
	}
	// Every visitor who may post has a user by now, with or without a cookie. Ensure
	// returns it, or says why there is none: a bot, a post from elsewhere.
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
	if _, err := s.writing.Take(w, r); err != nil {
		return err // with their text, see refused
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

// isPerson reports whether a visitor looks at the answer.
func isPerson(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// userID is the visitor's; the zero ID, which owns nothing, without a user.
func userID(r *http.Request) uuid.UUID {
	c, _ := walkin.FromContext(r.Context())
	return c.UserID
}

func parseForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return errTooLarge
		}
		return errBadForm
	}
	return nil
}

// noteText reads the text of a note, and says what is wrong with it.
func noteText(w http.ResponseWriter, r *http.Request) (text, complaint string, err error) {
	if err := parseForm(w, r); err != nil {
		return "", "", err
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
	if _, err := s.writing.Take(w, r); err != nil {
		return err // with their text, see refused
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

// download hands out all notes in one file.
func (s *site) download(w http.ResponseWriter, r *http.Request) error {
	list, err := s.notes.of(r.Context(), userID(r))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="margin.txt"`)
	w.Header().Set("Cache-Control", "no-store")
	for _, n := range list {
		fmt.Fprintf(w, "%s\n\n%s\n\n\n", n.CreatedAt.Format("2 January 2006, 15:04"), n.Text)
	}
	return nil
}

func backTo(w http.ResponseWriter, r *http.Request, id string) error {
	http.Redirect(w, r, "/#note-"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}

// lead is what Margin says at the head of a page of package pages.
func (s *site) lead(r *http.Request, page string) string {
	who, err := s.visitor(r)
	switch {
	case err != nil || who.Permanent:
		return ""
	case page == "signin" && who.Notes > 0:
		return fmt.Sprintf("The %s you wrote here will come along into your account.", countNotes(who.Notes))
	case page == "signout" && who.Notes > 0:
		return fmt.Sprintf("You would lose your %s: without an account only this browser opens what you wrote, and no more once you sign out.", countNotes(who.Notes))
	case page != "signup":
		return ""
	}
	why := ""
	switch {
	case r.FormValue("return_to") == "/resume":
		why = "Publishing takes an account, so that you can always take a note back. "
	case r.URL.Query().Get("for") == "downloads":
		why = "That was the last download for today. With an account there are as many as you like. "
	}
	return why + "You stay who you are, and can open your notes from any browser."
}
