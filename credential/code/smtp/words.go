package smtp

import (
	"bytes"
	"context"
	"html/template"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/walkin-go/walkin/credential/code"
)

const text = `Hello,

somebody, most likely you, asked {{.Site}} for a code for this address.
{{- if .Owned}}
There is an account with it, and the code signs in to that.
{{- else}}
There is no account with it yet; the code opens one.
{{- end}}

    {{.Code}}

Type it in on the page where you asked for it, within {{.Minutes}} minutes.
{{- if .Link}}
Or open this page in the same browser:

{{.Link}}
{{- end}}

If that was not you, there is nothing to do: without the code, nobody
gets in. Give it to nobody, whoever asks you for it.
`

const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{.Site}}</title>
</head>
<body style="font-family: sans-serif; line-height: 1.5; max-width: 32em">
<p>Hello,</p>
<p>somebody, most likely you, asked {{.Site}} for a code for this address.
{{if .Owned}}There is an account with it, and the code signs in to that.{{else}}There is no account with it yet; the code opens one.{{end}}</p>
<p style="font-size: 2em; font-family: monospace; letter-spacing: .15em">{{.Code}}</p>
<p>Type it in on the page where you asked for it, within {{.Minutes}} minutes.
{{- if .Link}} Or <a href="{{.Link}}">go on here</a>, in the same browser.{{end}}</p>
<p>If that was not you, there is nothing to do: without the code, nobody gets in. Give it to nobody, whoever asks you for it.</p>
</body>
</html>
`

// composer returns what writes the English mail of a site.
func composer(site string) func(context.Context, code.Message) (Mail, error) {
	textBody := texttemplate.Must(texttemplate.New("").Parse(text))
	htmlBody := template.Must(template.New("").Parse(html))
	return func(_ context.Context, m code.Message) (Mail, error) {
		words := struct {
			code.Message
			Site, Minutes string
		}{m, site, strconv.Itoa(int(m.ExpiresIn / time.Minute))}
		var plain strings.Builder
		var page bytes.Buffer
		if err := textBody.Execute(&plain, words); err != nil {
			return Mail{}, err
		}
		if err := htmlBody.Execute(&page, words); err != nil {
			return Mail{}, err
		}
		// The code comes first: a notification shows no more than that.
		return Mail{Subject: m.Code + " is your code for " + site, Text: plain.String(), HTML: page.String()}, nil
	}
}
