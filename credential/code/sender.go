package code

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/walkin-go/walkin/internal/mail"
	"github.com/walkin-go/walkin/texts"
)

// A Message is what a visitor is sent.
type Message struct {
	// Kind says what To is: an e-mail address or a phone number.
	Kind Kind

	// To is the address, in the spelling that becomes the identity. Send to
	// this very spelling: another one may be another mailbox.
	To string

	// Code is what the visitor types in. Say where: on the page that they
	// asked on, and nowhere else.
	Code string

	// Link, unless empty, is a URL that contains the code. It does
	// nothing by itself: the page behind it has a button in the browser that
	// asked, and shows the code in every other.
	Link string

	// Owned says that the address has an account, which the code signs in to. Without
	// one the code creates an account. A visitor who thinks that they are new learns it
	// here, and so does an owner whose address another visitor typed.
	Owned bool

	// ExpiresIn is how long the code works.
	ExpiresIn time.Duration

	// Texts are those of the requester's language, for [Compose].
	Texts *texts.Catalogue
}

// Compose writes a message of a site as mail, in the message's language. The subject
// begins with the code, since a notification shows no more than that. Nothing in it was
// typed by the visitor who asks.
func Compose(site string, m Message) (subject, text, html string) {
	c, asked := m.Texts, "mail.code_signup"
	if m.Owned {
		asked = "mail.code_signin"
	}
	parts := []mail.Part{
		{Text: c.Text(asked, "site", site)},
		{Text: m.Code, Code: true},
		{Text: c.Text("mail.code_enter", "minutes", texts.Minutes(m.ExpiresIn))},
	}
	if m.Link != "" {
		parts = append(parts, mail.Part{Text: c.Text("mail.code_link"), Link: m.Link, LinkName: c.Text("mail.code_link_name")})
	}
	parts = append(parts, mail.Part{Text: c.Text("mail.code_ignore")})
	written := mail.Write(c, mail.Message{Subject: c.Text("mail.code_subject", "code", m.Code, "site", site), Parts: parts})
	return written.Subject, written.Text, written.HTML
}

// A Sender sends messages. It is the app's: [Print] is for development, and
// credential/code/smtp sends mail.
type Sender interface {
	// Send sends a message, or hands it to a queue, until ctx ends. The context has the
	// values of the request's, such as the visitor's language if the app put it there;
	// it does not end when the visitor leaves.
	//
	// It must take as long whether Message.Owned or not. The visitor learns that it
	// failed but not why. The operator gets the error in an event, so it should not
	// quote the message. Send may be called concurrently.
	Send(ctx context.Context, m Message) error
}

// A SenderFunc is a function that is a [Sender].
type SenderFunc func(ctx context.Context, m Message) error

// Send calls f.
func (f SenderFunc) Send(ctx context.Context, m Message) error { return f(ctx, m) }

// Print returns a [Sender] for development: it sends nothing and writes every
// message to w, such as the terminal, in one Write.
func Print(w io.Writer) Sender {
	return SenderFunc(func(_ context.Context, m Message) error {
		what := "opens an account"
		if m.Owned {
			what = "signs in"
		}
		text := fmt.Sprintf("To %s: the code %s %s", m.To, m.Code, what)
		if m.Link != "" {
			text += ", and so does " + m.Link
		}
		_, err := fmt.Fprintf(w, "%s (works for %v)\n", text, m.ExpiresIn)
		return err
	})
}
