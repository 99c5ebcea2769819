package main

import (
	"context"
	"os"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/code"
	"github.com/walkin-go/walkin/credential/code/smtp"
	"github.com/walkin-go/walkin/credential/password"
	"github.com/walkin-go/walkin/pages"
)

// newAccount returns the pages of an account: an address is proven by a code, and the
// password that was typed with it signs in from then on.
func newAccount(wk *walkin.Middleware, site string) (*pages.Pages, error) {
	mail, err := newMail()
	if err != nil {
		return nil, err
	}
	passwords, err := password.New(wk, password.Config{Proven: true})
	if err != nil {
		return nil, err
	}
	codes, err := code.New(wk, code.Config{Sender: mail, Link: site + "/account/code", Secret: passwords.NewSecret})
	if err != nil {
		return nil, err
	}
	return pages.New(wk, pages.Config{
		Name: "Notes", URL: site,
		Password: passwords, Code: codes, Mail: mail, Device: pages.Device,
	})
}

// A mailer sends codes and notices.
type mailer interface {
	code.Sender
	pages.Mailer
}

// newMail returns the relay that the environment names. Without one, mail is printed.
func newMail() (mailer, error) {
	host := os.Getenv("SMTP_HOST")
	if host == "" {
		return printer{code.Print(os.Stdout)}, nil
	}
	return smtp.New(smtp.Config{
		Host: host, Username: os.Getenv("SMTP_USER"), Password: os.Getenv("SMTP_PASSWORD"),
		From: "Notes <hello@notes.example>", Site: "Notes",
	})
}

type printer struct{ code.Sender }

func (printer) Deliver(_ context.Context, to, subject, text, _ string) error {
	_, err := os.Stdout.WriteString("To " + to + ": " + subject + "\n" + text + "\n")
	return err
}
