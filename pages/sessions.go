package pages

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// A session is one browser in which a user is signed in.
type session struct {
	ID    string
	This  bool
	Name  string
	Since string
	Seen  string
}

// sessions returns a user's, the one of this request first.
func (p *Pages) sessions(r *http.Request, c walkin.Claims) ([]session, error) {
	stored, err := p.wk.Store().UserSessions(r.Context(), c.UserID)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	stored = slices.DeleteFunc(stored, func(s store.Session) bool { return !s.ExpiresAt.After(now) })
	slices.SortFunc(stored, func(a, b store.Session) int {
		switch c.SessionID {
		case a.ID:
			return -1
		case b.ID:
			return 1
		}
		return b.RenewedAt.Compare(a.RenewedAt)
	})
	words := p.wk.Texts(r)
	var all []session
	for _, s := range stored {
		one := session{ID: s.ID.String(), This: s.ID == c.SessionID, Name: words.Text("sessions.other"), Since: date(words, s.CreatedAt), Seen: date(words, s.RenewedAt)}
		if one.This {
			one.Name, one.Seen = words.Text("sessions.this"), words.Text("date.today")
		}
		if kind := p.deviceOf(r, s.ID); kind != "" {
			if text := words.Text("device." + kind); text != "device."+kind {
				kind = text
			}
			one.Name = isolate(kind, words.Direction())
			if one.This {
				one.Name = words.Text("sessions.this_device", "device", one.Name)
			}
		}
		all = append(all, one)
	}
	return all, nil
}

func (p *Pages) endSession(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	id, err := uuid.Parse(r.PostFormValue("session"))
	if err != nil || id == c.SessionID {
		return notFound()
	}
	if err := p.wk.EndSession(r.Context(), c.UserID, id); err != nil {
		return err
	}
	return p.finish(w, r, "session")
}

func (p *Pages) endOthers(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	if err := p.wk.EndOtherSessions(r.Context(), c.UserID, c.SessionID); err != nil {
		return err
	}
	return p.finish(w, r, "sessions")
}

// Device is for Config.Device: it returns "phone", "tablet" or "computer", by what the
// browser says of itself, or empty if the browser does not say.
func Device(r *http.Request) string {
	agent := r.UserAgent()
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(agent, word) })
	}
	switch {
	case has("iPad", "Tablet"), has("Android") && !has("Mobile"):
		return "tablet"
	case has("Mobi", "iPhone", "Android"):
		return "phone"
	case has("Windows NT", "Macintosh", "X11", "CrOS"):
		return "computer"
	}
	return ""
}

const (
	deviceFor = 400 * 24 * time.Hour // no session lives longer without a renewal
	maxDevice = 64                   // bytes
)

func deviceKey(id uuid.UUID) string { return "pages-device:" + id.String() }

// keepDevice notes what kind of browser opened a session, beside it: where the app says
// so, and nothing that would find the browser again.
func (p *Pages) keepDevice(r *http.Request, user, id uuid.UUID) {
	if p.cfg.Device == nil {
		return
	}
	kind := p.cfg.Device(r)
	if kind == "" || len(kind) > maxDevice {
		return
	}
	data, err := json.Marshal(kind)
	if err == nil {
		err = p.wk.Store().PutTicket(r.Context(), store.Ticket{Key: deviceKey(id), Data: data, ExpiresAt: time.Now().Add(deviceFor), UserID: user})
	}
	if err != nil {
		p.wk.Report(r.Context(), ReasonDevice, err) // the list says "another browser"
	}
}

func (p *Pages) deviceOf(r *http.Request, id uuid.UUID) (kind string) {
	if p.cfg.Device == nil {
		return ""
	}
	ticket, err := p.wk.Store().Ticket(r.Context(), deviceKey(id), time.Now())
	if err != nil {
		return "" // the list says "another browser"
	}
	_ = json.Unmarshal(ticket.Data, &kind)
	return kind
}
