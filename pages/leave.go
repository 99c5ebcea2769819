package pages

import (
	"encoding/json"
	"net/http"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// An export is all that is stored about a user, as they download it. It has no secrets,
// such as the hash of a password: they are of use to a thief alone.
type export struct {
	store.Export
	Devices map[uuid.UUID]string `json:"devices,omitempty"` // by their sessions
}

// download sends the file.
func (p *Pages) download(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	stored, err := p.wk.Export(r.Context(), c.UserID)
	if err != nil {
		return err
	}
	file := export{stored, map[uuid.UUID]string{}}
	for _, s := range stored.Sessions {
		if device := p.deviceOf(r, s.ID); device != "" {
			file.Devices[s.ID] = device
		}
	}
	body, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", `attachment; filename="your-data.json"`)
	_, _ = w.Write(append(body, '\n')) // the only error is a client that went away
	return nil
}

// delete deletes the user; what the app stores goes by its foreign keys or its hooks.
func (p *Pages) delete(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	identities, err := p.wk.Identities(r.Context(), c.UserID)
	if err != nil {
		return err
	}
	if err := p.wk.DeleteUser(r.Context(), c.UserID); err != nil {
		return err
	}
	p.notify(r, identities, notice{subject: "mail.deleted_subject", text: "mail.deleted", after: "mail.deleted_not_you"})
	if err := p.wk.SignOut(w, r); err != nil {
		return err
	}
	if !wantsPage(r) {
		p.leadTo(w, r, p.cfg.Home)
		return nil
	}
	return p.render(w, r, http.StatusOK, "message", &view{Title: "delete.done_title", Data: message{Text: "delete.done"}})
}
