package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// errNotFlat is for JSON that is no form.
var errNotFlat = errors.New("the body is not one JSON object of texts, numbers and booleans")

// SentJSON reports whether the body of a request is JSON.
func SentJSON(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// FormOfJSON returns a copy of a request whose JSON body is turned into that of a form,
// so that it is read as one. Its client is answered in JSON, unless it asks for a page.
// All other requests are returned as they are. The copy is good with an error as well:
// an *http.MaxBytesError, or one for a body that is no form.
func FormOfJSON(r *http.Request) (*http.Request, error) {
	if !SentJSON(r.Header) {
		return r, nil
	}
	c := *r
	c.Header = r.Header.Clone()
	if !WantsPage(r.Header) {
		c.Header.Set("Accept", "application/json")
	}
	c.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.Form, c.PostForm = nil, nil // where the app has parsed it, there was no form
	var body []byte
	var err error
	if r.Body != nil {
		body, err = io.ReadAll(r.Body)
	}
	var form url.Values
	if err == nil {
		form, err = flat(body)
	}
	text := form.Encode()
	c.Body, c.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	return &c, err
}

// flat reads one object. A name that is there twice has two values, as in a form.
func flat(body []byte) (url.Values, error) {
	if !utf8.Valid(body) {
		return nil, errNotFlat // not the password that its reader would make of it
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return nil, errNotFlat
	}
	form := url.Values{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errNotFlat
		}
		value, err := d.Token()
		if err != nil {
			return nil, errNotFlat
		}
		switch v := value.(type) {
		case string:
			form.Add(name.(string), v)
		case json.Number:
			form.Add(name.(string), v.String())
		case bool:
			form.Add(name.(string), strconv.FormatBool(v))
		case nil: // not sent
		default:
			return nil, errNotFlat
		}
	}
	if _, err := d.Token(); err != nil { // the end of the object
		return nil, errNotFlat
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotFlat
	}
	return form, nil
}
