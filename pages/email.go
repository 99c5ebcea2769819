package pages

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// undoFor is how long the old address can undo a change, and stays reserved: an
// attacker who got into an account and changed its address must not get the old one as
// well.
const undoFor = 72 * time.Hour

// A change is what the ticket of an undo remembers.
type change struct {
	User    uuid.UUID `json:"user"`
	Address string    `json:"address"` // the old one
	Secret  []byte    `json:"secret,omitempty"`
	At      time.Time `json:"at"` // what was added from then on goes
}

func hashed(kind, secret string) string {
	sum := sha256.Sum256([]byte(secret)) // a reader of the store must not be able to send it
	return kind + base64.RawURLEncoding.EncodeToString(sum[:])
}

func undoKey(token string) string       { return hashed("pages-undo:", token) }
func reservedKey(address string) string { return hashed("pages-reserved:", address) }

func (p *Pages) routeEmail() {
	path := p.cfg.Path
	recent := p.wk.RequireRecent(p.wk.RecentProof())
	send := p.cfg.Code.SendHandler(path+"email/code", p.emailPage)
	p.mux.Handle("POST "+path+"email", recent(p.takesJSON(p.rendered(send))))
	p.mux.Handle("GET "+path+"email", http.RedirectHandler(path, http.StatusSeeOther))
	p.mux.Handle(path+"email/code", recent(p.reserved(p.wk.FormHandler(p.codePage, p.changeEmail))))
	p.mux.Handle("GET "+path+"undo", p.page(p.undoPage))
	p.mux.Handle("POST "+path+"undo", p.takesJSON(p.page(p.undo)))
}

// emailPage shows the account page again when a code could not be sent.
func (p *Pages) emailPage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	if err := p.showAccount(w, r, form.Status, form.Refusal); err != nil {
		p.wk.Refuse(w, r, err)
	}
}

// changeEmail takes the code for the new address, and lets it take the place of the old.
func (p *Pages) changeEmail(w http.ResponseWriter, r *http.Request) (string, error) {
	c, _ := walkin.FromContext(r.Context())
	identities, err := p.wk.Store().Identities(r.Context(), c.UserID)
	if err != nil {
		return "", err
	}
	proof, err := p.cfg.Code.SignIn(r)
	if err != nil {
		return "", err
	}
	outcome, err := p.wk.Continue(w, r, proof)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(identities, func(identity store.Identity) bool { return identity.Provider == emailProvider })
	if outcome == walkin.Linked && i >= 0 {
		if err := p.replaceEmail(r, identities[i], proof.Subject); err != nil {
			return "", err
		}
	}
	return withQuery(p.cfg.Path, "done", "email"), nil
}

// replaceEmail removes an address for which another has just been linked. Its password
// goes on, and a ticket remembers what an undo needs.
func (p *Pages) replaceEmail(r *http.Request, old store.Identity, address string) error {
	st, token := p.wk.Store(), rand.Text()
	err := st.InTx(r.Context(), func(ctx context.Context) error {
		if _, err := st.LockUser(ctx, old.UserID); err != nil { // the lock
			return err
		}
		added, err := st.Identity(ctx, emailProvider, address)
		if err != nil {
			return err
		}
		if added.UserID != old.UserID {
			return store.ErrIdentityTaken
		}
		undo := change{User: old.UserID, Address: old.Subject, Secret: old.Secret, At: added.CreatedAt}
		if len(added.Secret) == 0 && len(old.Secret) > 0 {
			if err := st.SetSecret(ctx, emailProvider, address, old.Secret); err != nil {
				return err
			}
		}
		if err := st.DeleteIdentity(ctx, old.UserID, emailProvider, old.Subject); err != nil {
			return err
		}
		data, err := json.Marshal(undo)
		if err != nil {
			return err
		}
		until := time.Now().Add(undoFor)
		if err := st.PutTicket(ctx, store.Ticket{Key: undoKey(token), Data: data, ExpiresAt: until, UserID: old.UserID}); err != nil {
			return err
		}
		return st.PutTicket(ctx, store.Ticket{Key: reservedKey(old.Subject), Data: old.UserID[:], ExpiresAt: until, UserID: old.UserID})
	})
	if err != nil {
		return err
	}
	c, _ := walkin.FromContext(r.Context())
	if err := p.wk.EndOtherSessions(r.Context(), c.UserID, c.SessionID); err != nil {
		return err
	}
	p.notify(r, []store.Identity{old}, notice{subject: "mail.email_subject", text: "mail.email", after: "mail.email_undo",
		link: withQuery(p.cfg.URL+p.cfg.Path+"undo", "token", token), linkName: "mail.email_undo_name"})
	return nil
}

// reserved refuses a proof of an address that was another account's until recently. Its
// reader has the mailbox.
func (p *Pages) reserved(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if address, ok := p.cfg.Code.Pending(r); ok && r.Method == http.MethodPost {
			c, _ := walkin.FromContext(r.Context())
			ticket, err := p.wk.Store().Ticket(r.Context(), reservedKey(address), time.Now())
			switch {
			case errors.Is(err, store.ErrNotFound), err == nil && !c.Anonymous && bytes.Equal(ticket.Data, c.UserID[:]):
			case err != nil:
				p.wk.Refuse(w, r, err) // fails closed: it may be reserved
				return
			default:
				p.wk.RefuseForm(w, r, &walkin.Refusal{Status: http.StatusConflict, Reason: ReasonEmailReserved, Text: texts.Of("email.reserved")}, p.codePage)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func undoOver() *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusNotFound, Reason: ReasonUndoOver, Text: texts.Of("undo.over")}
}

// undoPage asks: opening a link must change nothing, since scanners open every link.
func (p *Pages) undoPage(w http.ResponseWriter, r *http.Request) error {
	token := r.URL.Query().Get("token")
	ticket, err := p.wk.Store().Ticket(r.Context(), undoKey(token), time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return undoOver()
	}
	var undo change
	if err == nil {
		err = json.Unmarshal(ticket.Data, &undo)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Referrer-Policy", "strict-origin") // the token is in the address
	return p.render(w, r, http.StatusOK, "undo", &view{Title: "undo.title", Email: undo.Address, Data: token})
}

// undo gives an account back to its old address, as it was: what was added since goes,
// all sessions end, and it signs in no user.
func (p *Pages) undo(w http.ResponseWriter, r *http.Request) error {
	if err := p.wk.CheckOrigin(r); err != nil {
		return err
	}
	st := p.wk.Store()
	var undo change
	err := st.InTx(r.Context(), func(ctx context.Context) error {
		ticket, err := st.TakeTicket(ctx, undoKey(r.PostFormValue("token")), time.Now())
		if err != nil {
			return err
		}
		undo = change{}
		if err := json.Unmarshal(ticket.Data, &undo); err != nil {
			return err
		}
		if _, err := st.LockUser(ctx, undo.User); err != nil { // the lock; the account may be gone
			return err
		}
		identities, err := st.Identities(ctx, undo.User)
		if err != nil {
			return err
		}
		for _, identity := range identities {
			if !identity.CreatedAt.Before(undo.At) {
				if err := st.DeleteIdentity(ctx, undo.User, identity.Provider, identity.Subject); err != nil {
					return err
				}
			}
		}
		if _, err := st.TakeTicket(ctx, reservedKey(undo.Address), time.Now()); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return st.CreateIdentity(ctx, store.Identity{Provider: emailProvider, Subject: undo.Address, UserID: undo.User, Secret: undo.Secret, CreatedAt: time.Now()})
	})
	if errors.Is(err, store.ErrNotFound) {
		return undoOver()
	}
	if err != nil {
		return err
	}
	if err := p.wk.SignOutEverywhere(r.Context(), undo.User); err != nil {
		return err
	}
	if !wantsPage(r) {
		p.leadTo(w, r, p.cfg.SignInPath)
		return nil
	}
	return p.render(w, r, http.StatusOK, "message", &view{Title: "undo.done_title",
		Data: message{Text: "undo.done", Args: []any{"email", undo.Address}, Links: []link{{"signin.title", p.cfg.SignInPath}}}})
}
