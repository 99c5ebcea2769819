// Package form reads the forms of credentials.
package form

import (
	"errors"
	"mime"
	"net/http"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/texts"
)

const maxForm = 64 << 10 // bytes

// Parse reads the body of a form, unless it was read before. The error is a
// *[walkin.Refusal]: 400, 413 or 415 for an invalid form.
func Parse(r *http.Request) error {
	if len(r.PostForm) > 0 {
		return nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	multipart := kind == "multipart/form-data"
	if err != nil || !multipart && kind != "application/x-www-form-urlencoded" {
		return &walkin.Refusal{Status: http.StatusUnsupportedMediaType, Reason: walkin.ReasonFormType,
			Text: texts.Of("form.type")}
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
		return &walkin.Refusal{Status: http.StatusRequestEntityTooLarge, Reason: walkin.ReasonFormLarge,
			Text: texts.Of("form.large")}
	}
	if err != nil {
		// The error may quote the form.
		return &walkin.Refusal{Status: http.StatusBadRequest, Reason: walkin.ReasonFormMalformed,
			Text: texts.Of("form.malformed")}
	}
	return nil
}

// Field returns the value of a field of a parsed form. The field may be there once at
// most: of two passwords the visitor knows one, and we do not know which. Only the body
// counts: a secret in a URL ends up in logs and histories.
func Field(r *http.Request, name string) (string, error) {
	switch values := r.PostForm[name]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", &walkin.Refusal{Status: http.StatusBadRequest, Reason: walkin.ReasonFormRepeated,
		Text: texts.Of("form.repeated")}
}

// Unfit refuses what the visitor typed and can type in another way; key names the text.
func Unfit(reason walkin.Reason, key string, args ...any) *walkin.Refusal {
	return &walkin.Refusal{Status: http.StatusUnprocessableEntity, Reason: reason, Text: texts.Of(key, args...)}
}
