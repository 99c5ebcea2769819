package password

import (
	"errors"
	"mime"
	"net/http"

	"github.com/walkin-go/walkin"
)

const maxForm = 64 << 10 // bytes

// read returns the name and the password of a form, the name in its one
// spelling and the password as it was typed. Only the body counts: a password
// in a URL ends up in logs and histories.
func (p *Password) read(r *http.Request) (name, password string, err error) {
	if len(r.PostForm) == 0 { // else somebody has parsed it, perhaps we
		if err := parseForm(r); err != nil {
			return "", "", err
		}
	}
	if name, err = field(r, p.nameField); err != nil {
		return "", "", err
	}
	if password, err = field(r, p.passwordField); err != nil {
		return "", "", err
	}
	if name, err = normalise(name); err != nil {
		return "", "", err
	}
	return name, password, checkTyped(password)
}

func parseForm(r *http.Request) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	multipart := kind == "multipart/form-data"
	if err != nil || !multipart && kind != "application/x-www-form-urlencoded" {
		return &walkin.Refusal{Status: http.StatusUnsupportedMediaType, Reason: "form_type",
			Message: "This is not a form that we can read. Please send it from the page."}
	}
	if r.Body != nil {
		r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	}
	if multipart {
		err = r.ParseMultipartForm(maxForm) // no larger than the body, so nothing goes to disk
	} else {
		err = r.ParseForm()
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return &walkin.Refusal{Status: http.StatusRequestEntityTooLarge, Reason: "form_large",
			Message: "This form is too large for us. Please send only your name and password."}
	}
	if err != nil {
		// The error may quote the form.
		return &walkin.Refusal{Status: http.StatusBadRequest, Reason: "form_malformed",
			Message: "We could not read the form. Please reload the page and try again."}
	}
	return nil
}

// field returns the value of a field that may be there once. Of two passwords
// the visitor knows one, and we do not know which.
func field(r *http.Request, name string) (string, error) {
	switch values := r.PostForm[name]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", &walkin.Refusal{Status: http.StatusBadRequest, Reason: "form_repeated",
		Message: "A field of the form came twice. Please reload the page and try again."}
}

// unfit refuses what the visitor typed and can type otherwise.
func unfit(reason, message string) *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: reason, Message: message}
}
