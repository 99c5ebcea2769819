package smtp

import (
	"context"

	"github.com/walkin-go/walkin/credential/code"
)

// composer returns what writes the mail of a site, in the language of the message.
func composer(site string) func(context.Context, code.Message) (Mail, error) {
	return func(_ context.Context, m code.Message) (Mail, error) {
		subject, text, html := code.Compose(site, m)
		return Mail{Subject: subject, Text: text, HTML: html}, nil
	}
}
