package pages

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
)

// An export is all that is stored about a user, as they download it. It has no secrets,
// such as the hash of a password: they are of use to a thief alone.
type export struct {
	ID         uuid.UUID         `json:"id"`
	CreatedAt  time.Time         `json:"created_at"`
	SeenAt     time.Time         `json:"seen_at"`
	Identities []exportedMethod  `json:"sign_in_methods"`
	Sessions   []exportedSession `json:"sessions"`
	Site       any               `json:"site,omitempty"`
}

type exportedMethod struct {
	Provider  string    `json:"provider"`
	Subject   string    `json:"subject"`
	CreatedAt time.Time `json:"created_at"`
}

type exportedSession struct {
	CreatedAt time.Time `json:"created_at"`
	RenewedAt time.Time `json:"renewed_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Device    string    `json:"device,omitempty"`
}

// download sends the file.
func (p *Pages) download(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	ctx, store := r.Context(), p.wk.Store()
	user, err := store.LockUser(ctx, c.UserID)
	if err != nil {
		return err
	}
	file := export{ID: user.ID, CreatedAt: user.CreatedAt, SeenAt: user.SeenAt}
	identities, err := store.Identities(ctx, c.UserID)
	if err != nil {
		return err
	}
	for _, identity := range identities {
		file.Identities = append(file.Identities, exportedMethod{identity.Provider, identity.Subject, identity.CreatedAt})
	}
	sessions, err := store.UserSessions(ctx, c.UserID)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		file.Sessions = append(file.Sessions, exportedSession{s.CreatedAt, s.RenewedAt, s.ExpiresAt, p.deviceOf(r, s.ID)})
	}
	if p.cfg.Export != nil {
		if file.Site, err = p.cfg.Export(ctx, c.UserID); err != nil {
			return err
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
	return p.render(w, r, http.StatusOK, "message", &view{Title: "delete.done_title", Data: message{Text: "delete.done"}})
}
