package pages

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
)

// SecondFactor is package credential/totp.
type SecondFactor interface {
	walkin.Credential

	// Page is where it asks for the code: "factor" below Config.Path.
	Page() string

	// Pending reports whether this browser has a sign-in that lacks the code.
	Pending(r *http.Request) bool

	On(ctx context.Context, userID uuid.UUID) (on bool, recovery int, err error)
	Lacks(ctx context.Context, userID uuid.UUID, method string, adds bool) (bool, error)
	Begin(w http.ResponseWriter, r *http.Request) error
	SetUp(r *http.Request) (key, uri, svg string, ok bool, err error)
	Confirm(w http.ResponseWriter, r *http.Request) (recovery []string, err error)
	NewCodes(w http.ResponseWriter, r *http.Request) (recovery []string, err error)
	TurnOff(w http.ResponseWriter, r *http.Request) error
}

func (p *Pages) routeFactor() {
	path := p.cfg.Path + "factor"
	p.mux.Handle(path, p.wk.SignInHandler(p.cfg.SecondFactor, p.factorPage))
	p.mux.Handle("POST "+path+"/begin", p.member(true, p.beginFactor))
	p.mux.Handle("GET "+path+"/set-up", p.member(true, func(w http.ResponseWriter, r *http.Request) error { return p.showSetUp(w, r, nil) }))
	p.mux.Handle("POST "+path+"/set-up", p.member(true, p.confirmFactor))
	p.mux.Handle("POST "+path+"/codes", p.member(true, p.newCodes))
	p.mux.Handle("POST "+path+"/off", p.member(true, p.turnOff))
}

// A factorView is the part of the account page that is about the second factor.
type factorView struct {
	On, CanTurnOn bool
	Recovery      int  // codes that are left
	First         bool // a code is needed before a sign-in method is added
}

// factor returns what the account page shows, or nil without the factor. A user without
// a password has no use for it.
func (p *Pages) factor(r *http.Request, c walkin.Claims, methods []method) (*factorView, error) {
	if p.cfg.SecondFactor == nil {
		return nil, nil
	}
	v := &factorView{}
	var err error
	if v.On, v.Recovery, err = p.cfg.SecondFactor.On(r.Context(), c.UserID); err != nil {
		return nil, err
	}
	if v.First, err = p.cfg.SecondFactor.Lacks(r.Context(), c.UserID, c.Method, true); err != nil {
		return nil, err
	}
	for _, m := range methods {
		v.CanTurnOn = v.CanTurnOn || !v.On && m.HasPassword
	}
	return v, nil
}

// factorPage asks for the code.
func (p *Pages) factorPage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	c, ok := walkin.FromContext(r.Context())
	v := &view{Title: "factor.title", ReturnTo: form.ReturnTo, Data: p.cfg.SecondFactor.Pending(r) || ok && !c.Anonymous}
	v.refused(p.wk.Texts(r), form.Refusal, "factor")
	if err := p.render(w, r, form.Status, "factor", v); err != nil {
		p.wk.Refuse(w, r, err)
	}
}

func (p *Pages) beginFactor(w http.ResponseWriter, r *http.Request) error {
	if err := p.cfg.SecondFactor.Begin(w, r); err != nil {
		return err
	}
	http.Redirect(w, r, p.cfg.Path+"factor/set-up", http.StatusSeeOther)
	return nil
}

// A setUpView is what the page of a set-up shows.
type setUpView struct {
	Key string // in groups
	URI template.URL
	QR  template.HTML
}

func (p *Pages) showSetUp(w http.ResponseWriter, r *http.Request, refusal *walkin.Refusal) error {
	key, uri, svg, ok, err := p.cfg.SecondFactor.SetUp(r)
	if err != nil {
		return err
	}
	if !ok { // too late, or the browser's button from a page after it
		http.Redirect(w, r, p.cfg.Path, http.StatusSeeOther)
		return nil
	}
	var grouped strings.Builder
	for i, c := range key {
		if i > 0 && i%4 == 0 {
			grouped.WriteByte(' ')
		}
		grouped.WriteRune(c)
	}
	v := &view{Title: "factor.set_up_title", Data: setUpView{grouped.String(), template.URL(uri), template.HTML(svg)}} // both made by the factor
	status := http.StatusOK
	if refusal != nil {
		status = refusal.Status
		v.refused(p.wk.Texts(r), refusal, "factor")
	}
	return p.render(w, r, status, "factor-setup", v)
}

// wrongCode returns the refusal of a code that the visitor can correct, its message
// filled in, or nil.
func (p *Pages) wrongCode(r *http.Request, err error) *walkin.Refusal {
	refusal, ok := errors.AsType[*walkin.Refusal](err)
	if !ok || !strings.HasPrefix(refusal.Text.Key, "factor.") || refusal.Status == http.StatusNotFound || refusal.Status == http.StatusConflict {
		return nil
	}
	filled := *refusal
	filled.Message = p.wk.Texts(r).Say(refusal.Text)
	return &filled
}

func (p *Pages) confirmFactor(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	recovery, err := p.cfg.SecondFactor.Confirm(w, r)
	if refusal := p.wrongCode(r, err); refusal != nil {
		return p.showSetUp(w, r, refusal)
	}
	if err != nil {
		return err
	}
	p.tellFactor(r, c.UserID, notice{subject: "mail.factor_on_subject", text: "mail.factor_on"})
	return p.showCodes(w, r, recovery)
}

func (p *Pages) newCodes(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	recovery, err := p.cfg.SecondFactor.NewCodes(w, r)
	if refusal := p.wrongCode(r, err); refusal != nil {
		return p.showAccount(w, r, refusal.Status, refusal)
	}
	if err != nil {
		return err
	}
	p.tellFactor(r, c.UserID, notice{subject: "mail.factor_codes_subject", text: "mail.factor_codes"})
	return p.showCodes(w, r, recovery)
}

// showCodes shows recovery codes in the answer to the post that made them: they are
// stored hashed, so no later page can.
func (p *Pages) showCodes(w http.ResponseWriter, r *http.Request, recovery []string) error {
	return p.render(w, r, http.StatusOK, "factor-codes", &view{Title: "factor.codes_title", Data: recovery})
}

func (p *Pages) turnOff(w http.ResponseWriter, r *http.Request) error {
	c, _ := walkin.FromContext(r.Context())
	err := p.cfg.SecondFactor.TurnOff(w, r)
	if refusal := p.wrongCode(r, err); refusal != nil {
		return p.showAccount(w, r, refusal.Status, refusal)
	}
	if err != nil {
		return err
	}
	p.tellFactor(r, c.UserID, notice{subject: "mail.factor_off_subject", text: "mail.factor_off"})
	return p.finish(w, r, "factor_off")
}

// tellFactor tells the owner of an account what became of the factor.
func (p *Pages) tellFactor(r *http.Request, user uuid.UUID, n notice) {
	identities, err := p.wk.Identities(r.Context(), user)
	if err != nil {
		p.wk.Report(r.Context(), ReasonNotice, err) // it is done
		return
	}
	p.notify(r, identities, n)
}
