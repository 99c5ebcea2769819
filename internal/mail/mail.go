// Package mail writes mail as text and as HTML, from the texts of one language. Both
// say the same. Neither has a picture, tracking, or a link other than those it is
// given.
package mail

import (
	"html"
	"strings"

	"github.com/walkin-go/walkin/texts"
)

// A Message is what a mail says. Its texts are plain.
type Message struct {
	Subject string
	Parts   []Part
}

// A Part is a paragraph.
type Part struct {
	Text     string
	Code     bool   // large, on a line of its own
	Link     string // a URL after the text; empty is none
	LinkName string // what HTML shows in its place
}

// A Mail is what is sent.
type Mail struct{ Subject, Text, HTML string }

// Write writes a mail, which begins with a greeting.
func Write(c *texts.Catalogue, m Message) Mail {
	var text, page strings.Builder
	text.WriteString(c.Text("mail.hello") + "\n")
	page.WriteString(`<!doctype html>
<html lang="` + c.Language() + `" dir="` + c.Direction() + `">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>` + html.EscapeString(m.Subject) + `</title>
</head>
<body style="font-family: system-ui, sans-serif; line-height: 1.5; max-width: 34em; margin: 0 auto; padding: 1.5em">
<p>` + html.EscapeString(c.Text("mail.hello")) + "</p>\n")
	for _, part := range m.Parts {
		text.WriteString("\n")
		if part.Code {
			text.WriteString("    ")
			page.WriteString(`<p style="font-size: 2em; font-family: monospace; letter-spacing: .15em" dir="ltr">` + html.EscapeString(part.Text) + "</p>\n")
		} else {
			page.WriteString("<p>" + html.EscapeString(part.Text))
			if part.Link != "" {
				page.WriteString("<br>\n" + `<a href="` + html.EscapeString(part.Link) + `">` + html.EscapeString(part.LinkName) + "</a>")
			}
			page.WriteString("</p>\n")
		}
		text.WriteString(part.Text + "\n")
		if part.Link != "" {
			text.WriteString("\n" + part.Link + "\n")
		}
	}
	page.WriteString("</body>\n</html>\n")
	return Mail{Subject: m.Subject, Text: text.String(), HTML: page.String()}
}
