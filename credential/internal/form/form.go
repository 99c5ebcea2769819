// Package form reads the forms of credentials.
package form

import (
	"errors"
	"mime"
	"net/http"

	"github.com/walkin-go/walkin"
)

const maxForm = 64 << 10 // bytes

// Parse reads the body of a form, unless somebody has read it. The error is a
// *[walkin.Refusal]: 400, 413 or 415 for a form that is none.
func Parse(r *http.Request) error {
	if len(r.PostForm) > 0 {
		return nil
	}
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
			Message: "This form is too large for us. Please send only what it asks for."}
	}
	if err != nil {
		// The error may quote the form.
		return &walkin.Refusal{Status: http.StatusBadRequest, Reason: "form_malformed",
			Message: "We could not read the form. Please reload the page and try again."}
	}
	return nil
}

// Field returns the value of a field that may be there once, of a form that was
// parsed. Of two passwords the visitor knows one, and we do not know which. Only
// the body counts: a secret in a URL ends up in logs and histories.
func Field(r *http.Request, name string) (string, error) {
	switch values := r.PostForm[name]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", &walkin.Refusal{Status: http.StatusBadRequest, Reason: "form_repeated",
		Message: "A field of the form came twice. Please reload the page and try again."}
}

// Unfit refuses what the visitor typed and can type otherwise.
func Unfit(reason, message string) *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: reason, Message: message}
}
