package pages

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

// A method is an identity as its owner sees it.
type method struct {
	Provider, Subject string
	Kind              string // "email", "password", "passkey", "provider" or "unknown"
	Name              string // of the provider, for its form
	Title             string
	Detail            string // what it is
	Added, Used       string // dates
	HasPassword       bool
	identity          store.Identity
}

// methods returns how a user can sign in, oldest first.
func (p *Pages) methods(r *http.Request, user uuid.UUID) ([]method, error) {
	identities, err := p.wk.Store().Identities(r.Context(), user)
	if err != nil {
		return nil, err
	}
	c := p.wk.Texts(r)
	var all []method
	for _, identity := range identities {
		if identity.Provider == store.FactorProvider {
			continue
		}
		m := method{Provider: identity.Provider, Subject: identity.Subject, Title: identity.Subject, Added: date(c, identity.CreatedAt), identity: identity}
		isPassword := p.cfg.Password != nil && identity.Provider == p.cfg.Password.Provider()
		m.HasPassword = isPassword && len(identity.Secret) > 0
		switch {
		case identity.Provider == emailProvider && p.cfg.Code != nil:
			m.Kind, m.Detail = "email", c.Text("methods.code")
			if m.HasPassword {
				m.Detail = c.Text("methods.password_code")
			}
		case isPassword:
			m.Kind, m.Detail = "password", c.Text("methods.password")
		case identity.Provider == passkeyProvider && p.cfg.Passkeys != nil:
			name, used, synced := p.cfg.Passkeys.Describe(identity)
			m.Kind, m.Title, m.Detail = "passkey", name, c.Text("methods.passkey_device")
			if synced {
				m.Detail = c.Text("methods.passkey_synced")
			}
			if name == "" {
				m.Title = c.Text("methods.passkey")
			}
			if !used.IsZero() {
				m.Used = date(c, used)
			}
		default:
			m.Kind, m.Title, m.Detail = "unknown", identity.Provider, c.Text("methods.unknown")
			for _, offer := range p.offered() {
				if offer.Issuer == identity.Provider {
					m.Kind, m.Name, m.Title, m.Detail = "provider", offer.Name, offer.Title, ""
				}
			}
		}
		all = append(all, m)
	}
	return all, nil
}

// date says on which day something was.
func date(c *texts.Catalogue, t time.Time) string {
	t, now := t.Local(), time.Now().Local()
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.Local)
	switch {
	case !t.Before(midnight):
		return c.Text("date.today")
	case !t.Before(midnight.AddDate(0, 0, -1)):
		return c.Text("date.yesterday")
	}
	return t.Format(c.Text("date.layout"))
}

// An accountView is what account.html gets.
type accountView struct {
	Methods     []method
	Recent      bool // what changes the account is allowed
	Email       string
	HasPassword bool // to change
	CanPassword bool // to set or change
	CanEmail    bool
	Connect     []provider // that open the account not yet
	Sessions    []session
	EndSession  string      // where another one is ended, or empty
	Factor      *factorView // nil without one
}

// The notices of the account page, by the value of "done" in its address.
var done = map[string]string{
	"added": "account.done_added", "removed": "account.done_removed", "renamed": "account.done_renamed", "password": "account.done_password",
	"email": "account.done_email", "factor_off": "account.done_factor_off", "session": "account.done_session", "sessions": "account.done_sessions",
}

func (p *Pages) account(w http.ResponseWriter, r *http.Request) error {
	if key, ok := done[r.URL.Query().Get("done")]; ok {
		// Shown once: the page that says it has an address that does not.
		p.putNotice(w, key)
		http.Redirect(w, r, p.cfg.Path, http.StatusSeeOther)
		return nil
	}
	return p.showAccount(w, r, http.StatusOK, nil)
}

func (p *Pages) showAccount(w http.ResponseWriter, r *http.Request, status int, refusal *walkin.Refusal) error {
	c, _ := walkin.FromContext(r.Context())
	page := accountView{Recent: time.Since(c.ProvenAt) < p.wk.RecentProof()}
	var err error
	if page.Methods, err = p.methods(r, c.UserID); err != nil {
		return err
	}
	page.Connect = p.offered()
	for _, m := range page.Methods {
		page.Connect = slices.DeleteFunc(page.Connect, func(o provider) bool { return o.Issuer == m.Provider })
		if (m.Kind == "email" || m.Kind == "password") && page.Email == "" {
			page.Email, page.HasPassword, page.CanPassword = m.Subject, m.HasPassword, p.cfg.Password != nil
			page.CanEmail = m.Kind == "email" && p.changesEmail()
		}
	}
	if page.Recent {
		page.EndSession = p.cfg.Path + "end-session"
	}
	if page.Sessions, err = p.sessions(r, c); err != nil {
		return err
	}
	if page.Factor, err = p.factor(r, c, page.Methods); err != nil {
		return err
	}
	v := &view{Title: "account.title", ReturnTo: p.cfg.Path, Email: r.PostFormValue("email"), Of: r.PostFormValue("id"), Data: page}
	v.refused(p.wk.Texts(r), refusal, "account")
	if v.Field == "email" && r.URL.Path == p.cfg.Path+"email" {
		v.Field = "new-email"
	}
	if refusal == nil {
		v.Notice = p.Notice(w, r)
	}
	return p.render(w, r, status, "account", v)
}

// again shows the account page with what was wrong, where the visitor can correct it.
func (p *Pages) again(w http.ResponseWriter, r *http.Request, err error) error {
	refusal, ok := errors.AsType[*walkin.Refusal](err)
	if !ok || refusal.Status != http.StatusUnprocessableEntity || !wantsPage(r) {
		return err
	}
	filled := *refusal
	filled.Message = p.wk.Texts(r).Say(refusal.Text)
	return p.showAccount(w, r, refusal.Status, &filled)
}

// finish leads back to the account page, which says what was done.
func (p *Pages) finish(w http.ResponseWriter, r *http.Request, what string) error {
	p.leadTo(w, r, withQuery(p.cfg.Path, "done", what))
	return nil
}

func (p *Pages) remove(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	before, err := p.wk.Identities(r.Context(), c.UserID)
	if err != nil {
		return err
	}
	if err := p.wk.Unlink(w, r, r.PostFormValue("provider"), r.PostFormValue("subject")); err != nil {
		return err
	}
	// Also to an address that was removed: it may not have been its owner.
	p.notify(r, before, notice{subject: "mail.removed_subject", text: "mail.removed"})
	return p.finish(w, r, "removed")
}

func (p *Pages) rename(w http.ResponseWriter, r *http.Request) error {
	if err := p.cfg.Passkeys.Rename(w, r, r.PostFormValue("id"), r.PostFormValue("name")); err != nil {
		return p.again(w, r, err)
	}
	return p.finish(w, r, "renamed")
}

// setPassword gives the user's own name or address a password, or another one, and ends
// the sessions of those who may know the old one.
func (p *Pages) setPassword(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	identities, err := p.wk.Identities(r.Context(), c.UserID)
	if err != nil {
		return err
	}
	provider := p.cfg.Password.Provider()
	i := slices.IndexFunc(identities, func(identity store.Identity) bool { return identity.Provider == provider })
	if i < 0 {
		return &walkin.Refusal{Status: http.StatusNotFound, Reason: walkin.ReasonNoIdentity, Text: textNotFound}
	}
	_ = r.ParseForm()                              // guards have read it
	r.PostForm.Set("email", identities[i].Subject) // theirs, whatever the form says
	secret, err := p.cfg.Password.NewSecret(r)
	if err != nil {
		return p.again(w, r, err)
	}
	if err := p.wk.Store().SetSecret(r.Context(), provider, identities[i].Subject, secret); err != nil {
		return err
	}
	if err := p.wk.EndOtherSessions(r.Context(), c.UserID, c.SessionID); err != nil {
		return err
	}
	p.notify(r, identities, notice{subject: "mail.password_subject", text: "mail.password"})
	return p.finish(w, r, "password")
}
