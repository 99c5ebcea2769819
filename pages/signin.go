package pages

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/texts"
)

// signUpPage is what visitors make an account on.
func (p *Pages) signUpPage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	p.form(w, r, form, "signup")
}

// signInPage is what visitors sign in on, and what a permanent user confirms on that it
// is them.
func (p *Pages) signInPage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	if form.Refusal != nil && p.isOfAccount(r, form) {
		p.emailPage(w, r, form) // another address, by the same form
		return
	}
	if c, ok := walkin.FromContext(r.Context()); ok && !c.Anonymous {
		p.form(w, r, form, "confirm")
		return
	}
	p.form(w, r, form, "signin")
}

// codePage asks for the digits that were sent.
func (p *Pages) codePage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	p.form(w, r, form, "code")
}

// providerPage is where visitors come back to when a provider did not vouch for them.
func (p *Pages) providerPage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	c, ok := walkin.FromContext(r.Context())
	switch {
	case ok && c.Anonymous:
		p.signUpPage(w, r, form)
	case p.isOfAccount(r, form):
		p.emailPage(w, r, form)
	default:
		p.signInPage(w, r, form)
	}
}

// isOfAccount reports whether a form that was refused is one of the account page, which
// it is then shown on again.
func (p *Pages) isOfAccount(r *http.Request, form walkin.Form) bool {
	c, ok := walkin.FromContext(r.Context())
	return ok && !c.Anonymous && strings.HasPrefix(form.ReturnTo, p.cfg.Path) && time.Since(c.ProvenAt) < p.wk.RecentProof()
}

var titles = map[string]string{"signup": "signup.title", "signin": "signin.title", "confirm": "confirm.title", "code": "code.title"}

// form shows one of the pages on which visitors prove who they are.
func (p *Pages) form(w http.ResponseWriter, r *http.Request, form walkin.Form, name string) {
	v := &view{Title: titles[name], ReturnTo: form.ReturnTo, Email: r.PostFormValue("email")}
	v.refused(p.wk.Texts(r), form.Refusal, name)
	pending := false
	if name == "code" {
		var address string
		if address, pending = p.cfg.Code.Pending(r); pending {
			v.Email = address
		}
		v.Data = codeView{Pending: pending, Action: r.URL.Path, Again: p.sendPath(r), Start: p.startPath(r)}
		if query := r.URL.Query(); form.Refusal == nil && query.Has("again") {
			// Shown once: the page that says it has an address that does not.
			p.putNotice(w, "code.done_again")
			query.Del("again")
			http.Redirect(w, r, strings.TrimSuffix(r.URL.Path+"?"+query.Encode(), "?"), http.StatusSeeOther)
			return
		}
		if form.Refusal == nil {
			v.Notice = p.Notice(w, r)
		}
	}
	if name == "signin" && form.Refusal == nil && p.wk.HasAccount(r) {
		v.Notice = p.wk.Texts(r).Text("error.has_account")
	}
	if c, ok := walkin.FromContext(r.Context()); ok && !c.Anonymous {
		if form.Refusal == nil && !pending && time.Since(c.ProvenAt) < p.wk.RecentProof() {
			// Back to the form with the browser's button: they have been through it.
			http.Redirect(w, r, form.ReturnTo, http.StatusSeeOther)
			return
		}
		if name != "code" {
			methods, err := p.methods(r, c.UserID)
			if err != nil {
				p.wk.Refuse(w, r, err)
				return
			}
			v.Data = methods
		}
	}
	if err := p.render(w, r, form.Status, name, v); err != nil {
		p.wk.Refuse(w, r, err)
	}
}

type codeView struct {
	Pending              bool
	Action, Again, Start string
}

// sendPath is where the form posts that asks for another code, and startPath the page
// that asks for the address.
func (p *Pages) sendPath(r *http.Request) string {
	switch strings.TrimSuffix(r.URL.Path, "/code") {
	case p.cfg.SignUpPath:
		return p.cfg.SignUpPath
	case p.cfg.Path + "email":
		return p.cfg.Path + "email"
	}
	return p.cfg.SignInPath + "/send"
}

func (p *Pages) startPath(r *http.Request) string {
	start := strings.TrimSuffix(p.sendPath(r), "/send")
	if start == p.cfg.Path+"email" {
		return p.cfg.Path
	}
	return start
}

// refused says what was wrong, and in which field.
func (v *view) refused(c *texts.Catalogue, refusal *walkin.Refusal, page string) {
	if refusal == nil {
		return
	}
	v.Problem = refusal.Message
	kind, _, _ := strings.Cut(refusal.Text.Key, ".")
	switch {
	case page == "code":
		v.Field = "code"
	case refusal.Status == http.StatusTooManyRequests || refusal.Status >= 500:
	case kind == "factor":
		v.Field = "factor"
	case kind == "password":
		v.Field = "password"
	case page == "confirm": // it has no other field
	case kind == "name", kind == "code", refusal.Text.Key == "error.identity_taken", refusal.Text.Key == "email.reserved":
		v.Field = "email"
	case refusal.Text.Key == "handover.missing":
		v.Field = "number"
	case refusal.Text.Key == "passkey.name":
		v.Field = "name"
	}
}

// connect asks before it links the user who is signed in at the provider.
func (p *Pages) connect(w http.ResponseWriter, r *http.Request) error {
	for _, offer := range p.offered() {
		if offer.Name == r.URL.Query().Get("provider") {
			v := &view{Title: "connect.title", ReturnTo: p.cfg.Path + "?done=added", Data: offer}
			return p.render(w, r, http.StatusOK, "connect", v)
		}
	}
	return notFound()
}

// addPasskey has a browser make a passkey by itself, where it can: after a sign-in with
// a password or a code, on the way to where the visitor goes. The script of the sign-in
// page leads here.
func (p *Pages) addPasskey(w http.ResponseWriter, r *http.Request) error {
	to := walkin.ReturnTo(r)
	c, ok := walkin.FromContext(r.Context())
	if !ok || c.Anonymous || time.Since(c.ProvenAt) >= p.wk.RecentProof() || !slices.Contains([]string{"pwd", "otp", "mfa"}, c.Method) {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	}
	return p.render(w, r, http.StatusOK, "add-passkey", &view{Title: "challenge.title", ReturnTo: to})
}

// signOutPage asks first. For a visitor without an account signing out is for good, and
// the page says what that means.
func (p *Pages) signOutPage(w http.ResponseWriter, r *http.Request) error {
	c, ok := walkin.FromContext(r.Context())
	if !ok {
		return p.render(w, r, http.StatusOK, "message", &view{Title: "signout.done_title", Data: message{Text: "signout.done"}})
	}
	shared := false
	if c.Anonymous && p.cfg.Handover != nil {
		sessions, err := p.sessions(r, c)
		if err != nil {
			return err
		}
		shared = len(sessions) > 1
	}
	return p.render(w, r, http.StatusOK, "signout", &view{Title: "signout.title", ReturnTo: walkin.ReturnTo(r), Data: shared})
}

// signOut signs out and leads to the form's return_to, or to the front page. With
// "everywhere" it also ends the sessions of an anonymous user's other devices; those of
// an account need a fresh proof, and are ended on its page.
func (p *Pages) signOut(w http.ResponseWriter, r *http.Request) error {
	if c, ok := walkin.FromContext(r.Context()); ok && c.Anonymous && r.PostFormValue("everywhere") != "" {
		if err := p.wk.CheckOrigin(r); err != nil {
			return err
		}
		if err := p.wk.EndOtherSessions(r.Context(), c.UserID, c.SessionID); err != nil {
			return err
		}
	}
	if err := p.wk.SignOut(w, r); err != nil {
		return err
	}
	p.putNotice(w, "account.done_signed_out")
	p.leadTo(w, r, walkin.ReturnTo(r))
	return nil
}

// message is a page without a form.
type message struct {
	Text  string // a key
	Args  []any
	Links []link
}

type link struct{ Text, To string }

// returnTo is a local path with a query of ours.
func withQuery(path, name, value string) string {
	return path + "?" + url.Values{name: {value}}.Encode()
}
