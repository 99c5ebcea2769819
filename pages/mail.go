package pages

import (
	"context"
	"net/http"
	"time"

	"github.com/walkin-go/walkin/internal/mail"
	"github.com/walkin-go/walkin/store"
	"github.com/walkin-go/walkin/texts"
)

var textNotFound = texts.Of("error.not_found")

// A notice tells the owner of an account what was changed. It repeats nothing that the
// author of the change wrote.
type notice struct {
	subject, text  string // keys
	after          string // a key: what to do when it was not them; empty is to look at the account
	link, linkName string // the URL and its key
}

const mailTime = 10 * time.Second

// notify writes to all e-mail addresses among identities. A mail that fails is reported
// and holds nothing up: the change is done.
func (p *Pages) notify(r *http.Request, identities []store.Identity, n notice) {
	if p.cfg.Mail == nil {
		return
	}
	if n.after == "" {
		n.after, n.link, n.linkName = "mail.not_you", p.cfg.URL+p.cfg.Path, "mail.account_name"
	}
	c := p.wk.Texts(r)
	message := mail.Write(c, mail.Message{
		Subject: c.Text(n.subject, "site", p.cfg.Name),
		Parts:   []mail.Part{{Text: c.Text(n.text, "site", p.cfg.Name)}, {Text: c.Text(n.after), Link: n.link, LinkName: c.Text(n.linkName)}},
	})
	// A client that hangs up must not keep the owner from hearing of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), mailTime)
	defer cancel()
	for _, identity := range identities {
		if identity.Provider != emailProvider {
			continue
		}
		if err := p.cfg.Mail.Deliver(ctx, identity.Subject, message.Subject, message.Text, message.HTML); err != nil {
			p.wk.Report(r.Context(), ReasonNotice, err)
		}
	}
}
