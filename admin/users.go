package admin

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// A list is a page of users.
type list struct {
	Kind, Query, Seen string
	Users             []store.ListedUser
	Next, CSV         template.URL // queries of links, encoded
	Now               time.Time
}

// query reads the filters of a list.
func query(r *http.Request) (q store.UserQuery, l *list) {
	form := r.URL.Query()
	l = &list{Kind: form.Get("kind"), Query: strings.TrimSpace(form.Get("q")), Seen: form.Get("seen"), Now: time.Now()}
	switch l.Kind {
	case "anonymous":
		q.Kind = store.AnonymousUsers
	case "permanent":
		q.Kind = store.PermanentUsers
	default:
		l.Kind = ""
	}
	if at, err := time.Parse(time.DateOnly, l.Seen); err == nil {
		q.SeenBefore = at
	} else {
		l.Seen = ""
	}
	q.SubjectPrefix, q.After = l.Query, form.Get("after")
	return q, l
}

func (l *list) link(after string) template.URL {
	v := url.Values{}
	for name, value := range map[string]string{"kind": l.Kind, "q": l.Query, "seen": l.Seen, "after": after} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return template.URL(v.Encode())
}

func (s *Screen) users(w http.ResponseWriter, r *http.Request) {
	q, l := query(r)
	if id, err := uuid.Parse(l.Query); err == nil && len(l.Query) == 36 {
		http.Redirect(w, r, s.cfg.Path+"/users/"+id.String(), http.StatusSeeOther)
		return
	}
	page, err := s.store.ListUsers(r.Context(), q)
	if lower := strings.ToLower(q.SubjectPrefix); err == nil && len(page.Users) == 0 && q.After == "" && lower != q.SubjectPrefix {
		q.SubjectPrefix = lower // as addresses are kept
		page, err = s.store.ListUsers(r.Context(), q)
		l.Query = lower
	}
	if err != nil {
		s.wk.Refuse(w, r, err)
		return
	}
	l.Users, l.CSV = page.Users, l.link("")
	if page.Next != "" {
		l.Next = l.link(page.Next)
	}
	s.show(w, r, "Users", view{List: l})
}

// csv streams the whole list. A cell that a spreadsheet would take for a formula gets
// a quote in front.
func (s *Screen) csv(w http.ResponseWriter, r *http.Request) {
	q, _ := query(r)
	q.After, q.Limit = "", 1000
	page, err := s.store.ListUsers(r.Context(), q)
	if err != nil {
		s.wk.Refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="users.csv"`)
	out := csv.NewWriter(w)
	_ = out.Write([]string{"id", "kind", "created", "seen", "banned_until", "identities"})
	for {
		for _, u := range page.Users {
			kind, banned := "permanent", ""
			if u.Anonymous {
				kind = "anonymous"
			}
			if !u.Ban.Until.IsZero() {
				banned = u.Ban.Until.UTC().Format(time.RFC3339)
			}
			var names []string
			for _, one := range u.Identities {
				names = append(names, one.Provider+" "+one.Subject)
			}
			_ = out.Write([]string{u.ID.String(), kind, u.CreatedAt.UTC().Format(time.RFC3339), u.SeenAt.UTC().Format(time.RFC3339), banned, cell(strings.Join(names, "; "))})
		}
		out.Flush()
		if q.After = page.Next; q.After == "" || out.Error() != nil {
			return
		}
		if page, err = s.store.ListUsers(r.Context(), q); err != nil {
			panic(http.ErrAbortHandler) // a list that is cut short must not look whole
		}
	}
}

func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// A one is a user's page.
type one struct {
	store.Export
	Banned      bool
	Events      []Event
	Impersonate bool
	Self        bool
	Now         time.Time
}

func (s *Screen) user(w http.ResponseWriter, r *http.Request) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		s.wk.Refuse(w, r, noUser())
		return
	}
	e, err := s.wk.Export(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		err = noUser()
	}
	o := &one{Export: e, Impersonate: s.cfg.Impersonate, Now: time.Now()}
	if err == nil && s.cfg.Events != nil {
		o.Events, err = s.cfg.Events(r.Context(), id)
	}
	if err != nil {
		s.wk.Refuse(w, r, err)
		return
	}
	o.Banned = e.Ban != nil && time.Now().Before(e.Ban.Until)
	c, _ := walkin.FromContext(r.Context())
	o.Self = c.UserID == id
	s.show(w, r, "User", view{User: o})
}

// export writes what a user may ask for.
func (s *Screen) export(w http.ResponseWriter, r *http.Request) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		s.wk.Refuse(w, r, noUser())
		return
	}
	e, err := s.wk.Export(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		err = noUser()
	}
	text, marshal := json.MarshalIndent(e, "", "  ")
	if err = errors.Join(err, marshal); err != nil {
		s.wk.Refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Disposition", `attachment; filename="user.json"`)
	_, _ = w.Write(text)
}

func noUser() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusNotFound, Reason: ReasonNoSuchUser, Message: "There is no such user."}
}

// act does what a button of a user's page says.
func (s *Screen) act(w http.ResponseWriter, r *http.Request) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		s.wk.Refuse(w, r, noUser())
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	to := s.cfg.Path + "/users/" + id.String()
	c, _ := walkin.FromContext(r.Context())
	switch action := r.PathValue("action"); {
	case action == "impersonate" && s.cfg.Impersonate:
		if err = s.wk.Impersonate(w, r, id, r.PostFormValue("reason")); err == nil {
			to = "/"
		}
	case c.UserID == id:
		// An operator who locks themselves out cannot undo it here.
		err = &walkin.Refusal{Status: http.StatusConflict, Reason: ReasonSelf, Message: "That is you."}
	case action == "sign-out":
		err = s.wk.SignOutEverywhere(r.Context(), id)
	case action == "ban":
		ban := store.Ban{Reason: strings.TrimSpace(r.PostFormValue("reason"))}
		if until := r.PostFormValue("until"); until != "" {
			if ban.Until, err = time.Parse(time.DateOnly, until); err != nil {
				err = &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: ReasonBanUntil, Message: "The end of a ban is a day like 2026-03-29."}
			}
		}
		if err == nil {
			err = s.wk.Ban(r.Context(), id, ban)
		}
	case action == "unban":
		err = s.wk.Unban(r.Context(), id)
	case action == "delete" && r.PostFormValue("sure") != "yes":
		err = &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: ReasonNotSure, Message: "Please tick the box: a deletion cannot be undone."}
	case action == "delete":
		err = s.wk.DeleteUser(r.Context(), id)
	default:
		err = &walkin.Refusal{Status: http.StatusNotFound, Reason: ReasonNoSuchAction}
	}
	if errors.Is(err, store.ErrNotFound) {
		err = noUser()
	}
	if err != nil {
		s.wk.Refuse(w, r, err)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
