package supabasewalkin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// read reads the body of a call: a JSON object.
func (h *Handler) read(c *call) error {
	if c.Method == http.MethodGet || c.Method == http.MethodHead {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return fail(http.StatusRequestEntityTooLarge, "request_entity_too_large", "The body is too large")
	} else if err != nil {
		return errBody
	}
	if len(body) == 0 {
		if bodiless(c) {
			return nil
		}
		return errBody
	}
	// No form of another page can send this type without a preflight.
	if kind, _, err := mime.ParseMediaType(c.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fail(http.StatusUnsupportedMediaType, "bad_json", "The body has to be application/json")
	}
	if c.form, err = object(body); err != nil {
		return errBody
	}
	for name, value := range c.form {
		if textFields[name] && value[0] != '"' && string(value) != "null" {
			return fail(http.StatusBadRequest, "bad_json", "Could not parse "+name)
		}
	}
	return nil
}

// object returns the members of the one JSON object that text is. A name that comes
// twice is an error, also in another case: what reads the request in front of us may
// take the other one.
func object(text []byte) (map[string]json.RawMessage, error) {
	members, names := map[string]json.RawMessage{}, map[string]bool{}
	in := json.NewDecoder(bytes.NewReader(text))
	if first, err := in.Token(); err != nil || first != json.Delim('{') {
		return nil, errBody
	}
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return nil, err
		}
		text, _ := name.(string) // the decoder takes no other name
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return nil, err
		}
		if names[strings.ToLower(text)] {
			return nil, errBody
		}
		names[strings.ToLower(text)], members[text] = true, value
	}
	if _, err := in.Token(); err != nil {
		return nil, err
	}
	if _, err := in.Token(); err != io.EOF {
		return nil, errBody
	}
	return members, nil
}

// textFields are the fields that are read as text. One of another type is refused, and
// is not taken for a field that is missing: the sign-up of a client that sends its
// address in a list would become an anonymous one.
var textFields = setOf("auth_code", "ban_duration", "challenge_id", "code_challenge", "code_challenge_method", "code_verifier", "email",
	"factor_type", "friendly_name", "id", "id_token", "new_email", "nonce", "password", "password_hash", "phone", "provider",
	"redirect_to", "refresh_token", "role", "token", "token_hash", "type")

func setOf(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

// bodiless reports whether a call may come without a body: some clients then send none.
func bodiless(c *call) bool {
	switch c.Pattern {
	case "POST /logout", "POST /reauthenticate":
		return true
	}
	return c.Method == http.MethodDelete || !strings.HasPrefix(c.Pattern, c.Method+" ") // all below a path is refused anyway
}

// field reads one field of the body. If the field is missing, it does not change into.
func (c *call) field(name string, into any) error {
	text, ok := c.form[name]
	if !ok || string(text) == "null" {
		return nil
	}
	if json.Unmarshal(text, into) != nil {
		return fail(http.StatusBadRequest, "bad_json", "Could not parse "+name)
	}
	return nil
}

// text reads a field that is a string, or "".
func (c *call) text(name string) string {
	var s string
	_ = json.Unmarshal(c.form[name], &s)
	return s
}

// gives reports whether a field is there, if only as "": who sends it wants something of
// it, and must not be told that it was done.
func (c *call) gives(name string) bool {
	value, ok := c.form[name]
	return ok && string(value) != "null"
}

func (c *call) has(name string) bool { return c.text(name) != "" }
