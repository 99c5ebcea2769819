package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// A Profile is what a client's access token carries beside the claims; walkin.ProfileClaims
// have the same fields, and say what they mean.
type Profile struct {
	Email, Phone              string
	AppMetadata, UserMetadata json.RawMessage
	AAL                       string
}

// ErrTooLarge is wrapped by the error for claims that do not fit into a token.
var ErrTooLarge = errors.New("walkin: the claims do not fit into a token")

// IssueProfile is [Keyring.Issue] for an access token with a profile. None of its
// claims can take the place of one of ours: each part is one JSON value.
func (r *Keyring) IssueProfile(c Claims, p Profile, audience string) (string, error) {
	body, err := r.appendPayload(nil, c, audience)
	if err != nil {
		return "", err
	}
	body = append(bytes.TrimSuffix(body, []byte("}")), `,"email":`...)
	body = append(appendQuoted(body, p.Email), `,"phone":`...)
	body = appendQuoted(body, p.Phone)
	for _, part := range [...]struct {
		name string
		text json.RawMessage
	}{{"app_metadata", p.AppMetadata}, {"user_metadata", p.UserMetadata}} {
		text := bytes.TrimSpace(part.text)
		if len(text) == 0 {
			text = []byte("{}")
		}
		var compact bytes.Buffer
		if text[0] != '{' || json.Compact(&compact, text) != nil {
			return "", fmt.Errorf("walkin: writing a token: %s is not a JSON object", part.name)
		}
		body = append(body, `,"`+part.name+`":`...)
		body = append(body, compact.Bytes()...)
	}
	if p.AAL == "" {
		p.AAL = "aal1"
	}
	body = append(appendQuoted(append(body, `,"aal":`...), p.AAL), '}')
	key := r.accessKey(c)
	text, err := key.sign(key.access, body)
	if len(text) > MaxSize {
		return "", ErrTooLarge // Verify would take it for a stranger's
	}
	return text, err
}
