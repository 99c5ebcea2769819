package code

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"strings"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/credential/internal/form"
	"github.com/walkin-go/walkin/internal/response"
)

const (
	linkParameter = "code"
	againField    = "again"
)

// SendHandler serves the form that asks for an address. On GET it shows page. On POST
// it sends a code to the address, see [Codes.Send], and redirects the visitor to next,
// with the form's return_to. next is the local path of the form that takes the code. On
// a refusal page shows the form again. A form with a field named again, and anything in
// it, asks for another code for the same address: what Config.Secret returned the last
// time goes on with it, and next gets again=1, so that its page can say so. API clients get a problem document, and so does
// every client if page is nil.
func (c *Codes) SendHandler(next string, page walkin.Page) http.Handler {
	return c.wk.FormHandler(page, func(w http.ResponseWriter, r *http.Request) (string, error) {
		if err := form.Parse(r); err != nil {
			return "", err
		}
		address, err := form.Field(r, c.cfg.AddressField)
		if err != nil {
			return "", err
		}
		if err := c.Send(w, r, address); err != nil {
			return "", err
		}
		query := url.Values{}
		if to := r.Form.Get("return_to"); to != "" && len(to) <= maxReturnTo {
			query.Set("return_to", to)
		}
		if r.Form.Get(againField) != "" {
			query.Set(againField, "1")
		}
		switch {
		case len(query) == 0:
			return next, nil
		case strings.Contains(next, "?"):
			return next + "&" + query.Encode(), nil
		}
		return next + "?" + query.Encode(), nil
	})
}

// A Link is what the page behind a link shows.
type Link struct {
	// Form has the status, the error, and where the visitor goes afterwards, which
	// belongs into a hidden field return_to.
	walkin.Form

	// Code is the code in the link; empty if there is none.
	Code string

	// Here says that this browser has asked for a code. Then show a button that posts
	// Code, to this very page, in the field named Field. Elsewhere show the code, to be
	// typed in where it was asked for. Say too that visitors who did not ask for it
	// should not pass it on.
	Here  bool
	Field string
}

// LinkHandler serves the page that links lead to, at Config.Link. Opening it changes
// nothing, and does not say whether the code is right, so a scanner that follows every
// link in a mail does no harm. In the browser that asked, the page has a button; its
// post does with the code what SignInHandler does. In every other browser it shows the
// code.
//
// No cache keeps the page, and no other site gets its URL. If page is nil, a plain one
// is shown.
func (c *Codes) LinkHandler(page func(http.ResponseWriter, *http.Request, Link)) http.Handler {
	if page == nil {
		page = c.linkPage
	}
	m := c.wk
	show := func(w http.ResponseWriter, r *http.Request, f walkin.Form) {
		typed := r.URL.Query().Get(linkParameter)
		if r.Method == http.MethodPost {
			typed = r.PostFormValue(c.cfg.CodeField)
		}
		l := Link{Form: f, Field: c.cfg.CodeField}
		var ok bool
		if l.Code, ok = c.isCode(typed); ok {
			// Whether it is the right one is not looked at: that would be a
			// guess without a try.
			_, l.Here = c.pending(r)
		} else {
			l.Code = "" // another client's words are not shown as ours
			if l.Refusal == nil {
				l.Status = http.StatusNotFound
			}
		}
		page(w, r, l)
	}
	handler := m.FormHandler(show, func(w http.ResponseWriter, r *http.Request) (string, error) {
		proof, err := c.proof(r)
		if err != nil {
			return "", err
		}
		_, err = m.Continue(w, r, proof)
		return "", err
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		response.NoStore(h, "no-store")
		// No site gets the URL. Not no-referrer: with it, browsers that send no
		// Sec-Fetch-Site post the button with the origin "null", as if from elsewhere.
		h.Set("Referrer-Policy", "strict-origin")
		h.Set("X-Robots-Tag", "noindex")
		if r.Method == http.MethodGet {
			// From the ticket, and not from the link: a message repeats nothing that
			// its requester typed.
			p, _ := c.pending(r)
			r = r.Clone(r.Context())
			r.Form = url.Values{"return_to": {p.ReturnTo}}
		}
		handler.ServeHTTP(w, r)
	})
}

// Links is LinkHandler with a page of its own, in the frame of package pages if there is
// one.
func (c *Codes) Links() http.Handler { return c.LinkHandler(nil) }

func (c *Codes) linkPage(w http.ResponseWriter, r *http.Request, l Link) {
	m := c.wk
	words := m.Texts(r)
	say := func(key string) string { return html.EscapeString(words.Text(key)) }
	paragraph := func(text string) string { return "<p>" + text + "</p>\n" }
	title, body := words.Text("error.title"), ""
	switch {
	case l.Refusal != nil:
		body = `<p role="alert">` + html.EscapeString(l.Refusal.Message) + "</p>\n"
	case l.Code == "":
		title, body = words.Text("link.incomplete_title"), paragraph(say("link.incomplete"))
	case l.Here:
		title = words.Text("link.title")
		body = paragraph(say("link.lead")) + `<form method="post">
<input type="hidden" name="` + html.EscapeString(l.Field) + `" value="` + html.EscapeString(l.Code) + `">
<input type="hidden" name="return_to" value="` + html.EscapeString(l.ReturnTo) + `">
<button>` + say("link.submit") + `</button>
</form>
`
	default:
		title = words.Text("link.elsewhere_title", "code", l.Code)
		body = paragraph(say("link.elsewhere")) + paragraph(say("link.warning"))
	}
	// Their click is their own.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	m.ShowPage(w, r, l.Status, title, body+`<p><a href="/">`+say("error.start")+"</a></p>\n")
}

// setMark marks the browser that asks and returns what to know it by, which is not
// secret. The session alone is not enough. It may have been planted, so that an
// attacker has it too and asks for a code for the same address a moment later, with a
// password of their own. And it is over once the code was used. A new mark each time
// tells the two browsers apart.
func (c *Codes) setMark(w http.ResponseWriter) string {
	cookie := c.mark
	cookie.Value, cookie.MaxAge = rand.Text(), int(lifetime.Seconds())
	http.SetCookie(w, &cookie)
	response.NoStore(w.Header(), "no-store")
	return markOf(cookie.Value)
}

// browser returns the mark of the browser; empty is none, or more than a browser
// has.
func (c *Codes) browser(r *http.Request) string {
	values := r.CookiesNamed(c.mark.Name)
	if len(values) != 1 {
		return ""
	}
	return markOf(values[0].Value)
}

// markOf hashes the value: a reader of the store must not be able to send it. It takes
// no key, which may change between two requests of one browser: the value is random.
func markOf(value string) string {
	sum := sha256.Sum256([]byte("walkin code browser\x00" + value))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
