package main

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/resume"
)

const (
	maxText = 5000     // characters of a note
	maxBody = 64 << 10 // bytes of a form: maxText of the longest characters, percent-encoded
)

// The app's own reasons, for its events and metrics.
const (
	reasonNoCookies walkin.Reason = "no_cookies"
	reasonForm      walkin.Reason = "form"
)

type homePage struct {
	Notes []note
	Text  string // what was typed, when Error says what is wrong with it
	Error string
}

func (s *site) home(w http.ResponseWriter, r *http.Request) error {
	return s.showHome(w, r, http.StatusOK, homePage{})
}

func (s *site) showHome(w http.ResponseWriter, r *http.Request, status int, page homePage) error {
	var err error
	if page.Notes, err = s.notes.of(r.Context(), userID(r)); err != nil {
		return err
	}
	return s.render(w, r, status, "home", page)
}

func (s *site) addNote(w http.ResponseWriter, r *http.Request) error {
	text, complaint, err := noteText(w, r)
	if err != nil {
		return err
	}
	again := r.URL.Query().Has("again")
	if _, ok := walkin.FromContext(r.Context()); ok && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Referer() != "" && len(r.Cookies()) == 0 {
		if again { // a browser that keeps none, although our page had one for it
			return &walkin.Refusal{Status: http.StatusForbidden, Reason: reasonNoCookies, Message: "Your browser keeps no cookies. " +
				"One is how Margin knows that a note is yours; it follows you nowhere. Allow cookies for this site, and try again."}
		}
		// Perhaps it only had none yet. A 307 has it send the same form once more, this
		// time with the cookie that it gets now.
		http.Redirect(w, r, "/notes?again", http.StatusTemporaryRedirect)
		return nil
	}
	// An API client posts without the page, and so without its field; after a second
	// try, above, the browser has another user than its page had.
	if r.PostFormValue("walkin_rendered_for") != "" && !again {
		if err := s.wk.CheckRenderedFor(r); err != nil {
			return err
		}
	}
	// Every visitor who may post has a user by now, with or without a cookie. Ensure
	// returns it, or says why there is none: a bot, a post from elsewhere.
	c, err := s.wk.Ensure(w, r)
	if err != nil {
		return err // with their text, see refused
	}
	if complaint != "" {
		return s.showHome(w, r, http.StatusUnprocessableEntity, homePage{Text: text, Error: complaint})
	}
	if _, err := s.writing.Take(w, r); err != nil {
		return err
	}
	if err := s.notes.add(r.Context(), c.UserID, text); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
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

// noteText reads the text of a note, and says what is wrong with it.
func noteText(w http.ResponseWriter, r *http.Request) (text, complaint string, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		return "", "", &walkin.Refusal{Status: http.StatusRequestEntityTooLarge, Reason: reasonForm, Message: "The form could not be read, or is too large. Go back and shorten the note."}
	}
	// Browsers send line breaks as CRLF, whatever the visitor sees.
	text = strings.ReplaceAll(strings.ToValidUTF8(r.PostForm.Get("text"), "\ufffd"), "\r\n", "\n")
	text = strings.TrimSpace(text)
	switch n := utf8.RuneCountInString(text); {
	case n == 0:
		complaint = "There is nothing in this note yet. Write something first."
	case n > maxText:
		complaint = fmt.Sprintf("This note has %d characters; %d is the most. Shorten it, or make two of it.", n, maxText)
	}
	return text, complaint, nil
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
	if r.FormValue("return_to") == "/resume" {
		why = "Publishing takes an account, so that you can always delete a note. "
	}
	return why + "Your user ID stays the same, and you can open your notes from any browser."
}
